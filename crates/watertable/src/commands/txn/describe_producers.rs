//! `watertable txn describe-producers`.

use anyhow::Result;
use client::TopicPartition;
use client::admin::describe_producers;
use serde::Serialize;

use super::partition;
use crate::output::{self, Columns, or_dash};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The partition
    #[arg(value_name = "TOPIC:PARTITION", value_parser = partition)]
    partition: TopicPartition,
}

#[derive(Serialize)]
struct Row {
    producer_id: i64,
    producer_epoch: i16,
    coordinator_epoch: Option<i32>,
    last_sequence: Option<i32>,
    last_timestamp_ms: i64,
    transaction_start_offset: Option<i64>,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let producers = describe_producers(&session.cluster(), &arguments.partition).await?;
    let rows: Vec<Row> = producers
        .into_iter()
        .map(|producer| Row {
            producer_id: producer.producer_id,
            producer_epoch: producer.producer_epoch,
            coordinator_epoch: producer.coordinator_epoch,
            last_sequence: producer.last_sequence,
            last_timestamp_ms: producer.last_timestamp_ms,
            transaction_start_offset: producer.transaction_start_offset,
        })
        .collect();
    if session.json {
        return output::json(&rows);
    }
    let mut columns = Columns::new(&[
        "#PRODUCER",
        "#EPOCH",
        "#COORDINATOR EPOCH",
        "#LAST SEQUENCE",
        "#LAST TIMESTAMP",
        "#TRANSACTION START",
    ]);
    for row in &rows {
        columns.row([
            row.producer_id.to_string(),
            row.producer_epoch.to_string(),
            or_dash(row.coordinator_epoch),
            or_dash(row.last_sequence),
            row.last_timestamp_ms.to_string(),
            or_dash(row.transaction_start_offset),
        ]);
    }
    columns.print()
}
