//! `sys.producers`.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result;
use storage::ActiveProducer;
use types::{Offset, Timestamp};

use super::cells::{Cell, Column, Kind, bigint, int, time};
use super::parts::PartitionPart;
use super::table::SystemTable;
use super::wish::Wish;
use super::{Source, parts};
use crate::system::System;

/// A producer in a partition.
pub(super) struct Row {
    part: PartitionPart,
    producer: ActiveProducer,
}

/// The table.
pub(super) struct Producers;

#[async_trait]
impl SystemTable for Producers {
    const NAME: &'static str = "producers";
    const ABOUT: &'static str = "The idempotent and transactional producers that partitions know, as DescribeProducers tells of them.";
    const NAMING: &'static [&'static str] = &["topic", "partition"];
    const COLUMNS: &'static [Column<Row>] = &[
        Column::new("topic", Kind::Text, "The topic.", |row| {
            Cell::Text(row.part.topic.as_str())
        }),
        Column::new("partition", Kind::Int, "The partition.", |row| {
            Cell::Int(row.part.partition)
        }),
        Column::new("producer_id", Kind::Bigint, "The producer's id.", |row| {
            Cell::Bigint(row.producer.producer.value())
        }),
        Column::new(
            "producer_epoch",
            Kind::Int,
            "The last epoch of it that was seen.",
            |row| Cell::Int(row.producer.epoch.into()),
        ),
        Column::nullable(
            "last_sequence",
            Kind::Int,
            "The sequence of its last record in this epoch; NULL if there is none.",
            |row| int(row.producer.last_sequence),
        ),
        Column::nullable(
            "last_timestamp",
            Kind::Time,
            "The largest timestamp of its last batch.",
            |row| {
                let ms = row.producer.last_timestamp;
                time((ms >= 0).then(|| Timestamp::from_ms(ms)))
            },
        ),
        Column::nullable(
            "coordinator_epoch",
            Kind::Int,
            "The epoch of the transaction coordinator that wrote its last marker; NULL if there was none.",
            |row| {
                let epoch = row.producer.coordinator_epoch;
                int((epoch >= 0).then_some(epoch))
            },
        ),
        Column::nullable(
            "transaction_start_offset",
            Kind::Bigint,
            "Where its open transaction begins in this partition; NULL if none is open.",
            |row| bigint(row.producer.transaction_start.map(Offset::value)),
        ),
    ];
    type Row = Row;
    type Part = PartitionPart;

    async fn parts(source: &Arc<Source>, wish: &Wish) -> Result<Vec<PartitionPart>> {
        parts::partitions(source, wish).await
    }

    async fn rows(
        source: &Arc<Source>,
        parts: &mut VecDeque<PartitionPart>,
        _wish: &Wish,
        enough: usize,
    ) -> Result<Vec<Row>> {
        parts::ask(source, parts, enough, rows).await
    }
}

fn rows(system: &dyn System, part: PartitionPart) -> Vec<Row> {
    let producers = system.producers(&part.topic, part.partition).into_iter();
    let row = |producer| Row {
        part: part.clone(),
        producer,
    };
    producers.map(row).collect()
}
