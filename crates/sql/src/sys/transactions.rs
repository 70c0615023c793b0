//! `sys.transactions`.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result;
use types::{PartitionIndex, TransactionalId};

use super::cells::{Cell, Column, Kind, int, time};
use super::table::SystemTable;
use super::wish::Wish;
use super::{Source, parts};
use crate::system::Transaction;

/// A transactional id.
pub(super) struct Row {
    transaction: Transaction,
    /// Its partitions as texts.
    partitions: Vec<String>,
}

/// The table.
pub(super) struct Transactions;

#[async_trait]
impl SystemTable for Transactions {
    const NAME: &'static str = "transactions";
    const ABOUT: &'static str = "The transactional ids, and where their transactions stand.";
    const NAMING: &'static [&'static str] = &["transactional_id"];
    const COLUMNS: &'static [Column<Row>] = &[
        Column::new(
            "transactional_id",
            Kind::Text,
            "`transactional.id` of the producer.",
            |row| Cell::Text(row.transaction.id.as_str()),
        ),
        Column::new(
            "state",
            Kind::Text,
            "Where it stands, as Kafka's tools print it: `Empty`, `Ongoing`, `PrepareCommit`, `CompleteCommit`, ...",
            |row| Cell::Text(row.transaction.state),
        ),
        Column::new("producer_id", Kind::Bigint, "The producer's id.", |row| {
            Cell::Bigint(row.transaction.producer.value())
        }),
        Column::new(
            "producer_epoch",
            Kind::Int,
            "The producer's epoch.",
            |row| Cell::Int(row.transaction.epoch.value().into()),
        ),
        Column::new(
            "timeout_ms",
            Kind::Int,
            "A transaction that is open for longer is aborted (`transaction.timeout.ms`).",
            |row| Cell::Int(row.transaction.timeout_ms),
        ),
        Column::nullable(
            "started",
            Kind::Time,
            "When its transaction began; NULL if it has none.",
            |row| time(row.transaction.started),
        ),
        Column::new(
            "partitions",
            Kind::Texts,
            "The partitions of its transaction, as `topic-partition`.",
            |row| Cell::Texts(&row.partitions),
        ),
        Column::nullable(
            "coordinator_partition",
            Kind::Int,
            "The partition of `__transaction_state` that keeps it.",
            |row| int(row.transaction.coordinator.map(PartitionIndex::value)),
        ),
    ];
    type Row = Row;
    type Part = TransactionalId;

    async fn parts(source: &Arc<Source>, wish: &Wish) -> Result<Vec<TransactionalId>> {
        let mut ids = source
            .system
            .transactions()
            .await
            .map_err(parts::unanswered)?;
        ids.retain(|id| wish.allows("transactional_id", id.as_str()));
        ids.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        Ok(ids)
    }

    async fn rows(
        source: &Arc<Source>,
        parts: &mut VecDeque<TransactionalId>,
        _wish: &Wish,
        enough: usize,
    ) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        while rows.len() < enough
            && let Some(id) = parts.pop_front()
        {
            let described = source.system.describe_transaction(id).await;
            let described = described.map_err(parts::unanswered)?;
            rows.extend(described.map(|transaction| {
                let partitions = transaction.partitions.iter();
                Row {
                    partitions: partitions.map(ToString::to_string).collect(),
                    transaction,
                }
            }));
        }
        Ok(rows)
    }

    fn bytes(row: &Row) -> usize {
        size_of::<Row>() + 2 * parts::bytes(&row.partitions)
    }
}
