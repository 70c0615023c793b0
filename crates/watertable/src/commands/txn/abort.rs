//! `watertable txn abort`: ends a transaction that hangs in one partition (`TransactionsCommand.AbortTransactionCommand`).

use anyhow::Result;
use client::admin::{TransactionMarker, abort_transaction, describe_producers};
use client::{Cluster, TopicPartition};

use super::partition;
use crate::output;
use crate::report::Failure;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The partition
    #[arg(value_name = "TOPIC:PARTITION", value_parser = partition)]
    partition: TopicPartition,
    /// Where the transaction begins; the broker is asked whose it is
    #[arg(long, value_name = "OFFSET", required_unless_present = "producer_id")]
    start_offset: Option<i64>,
    /// Whose transaction it is, instead of where it begins
    #[arg(long, value_name = "ID", requires_all = ["producer_epoch", "coordinator_epoch"], conflicts_with = "start_offset")]
    producer_id: Option<i64>,
    /// The producer's epoch
    #[arg(long, value_name = "EPOCH", requires = "producer_id")]
    producer_epoch: Option<i16>,
    /// The last coordinator's epoch
    #[arg(long, value_name = "EPOCH", requires = "producer_id")]
    coordinator_epoch: Option<i32>,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let given = arguments
        .producer_id
        .zip(arguments.producer_epoch)
        .zip(arguments.coordinator_epoch);
    let marker = match (given, arguments.start_offset) {
        (Some(((producer_id, producer_epoch), coordinator_epoch)), _) => TransactionMarker {
            producer_id,
            producer_epoch,
            coordinator_epoch,
        },
        (None, Some(offset)) => find(&cluster, &arguments.partition, offset).await?,
        (None, None) => return Err(no_transaction(&arguments.partition, "")),
    };
    abort_transaction(&cluster, &arguments.partition, marker).await?;
    if session.json {
        return output::json(&serde_json::json!({
            "aborted": arguments.partition.to_string(),
            "producer_id": marker.producer_id,
            "producer_epoch": marker.producer_epoch,
        }));
    }
    let text = format!(
        "aborted the transaction of producer {} in {}\n",
        marker.producer_id, arguments.partition
    );
    output::write(text.as_bytes())
}

/// The transaction that begins at an offset.
async fn find(
    cluster: &Cluster,
    partition: &TopicPartition,
    offset: i64,
) -> Result<TransactionMarker> {
    let producers = describe_producers(cluster, partition).await?;
    let mut producers = producers.into_iter();
    let found = producers.find(|producer| producer.transaction_start_offset == Some(offset));
    let found =
        found.ok_or_else(|| no_transaction(partition, &format!(" begins at offset {offset}")))?;
    Ok(TransactionMarker {
        producer_id: found.producer_id,
        producer_epoch: found.producer_epoch,
        // A producer that has never ended a transaction here has no coordinator yet: the first epoch is good then.
        coordinator_epoch: found.coordinator_epoch.unwrap_or(0),
    })
}

fn no_transaction(partition: &TopicPartition, which: &str) -> anyhow::Error {
    Failure::new(
        format!("no open transaction of {partition}{which}"),
        format!(
            "`watertable txn describe-producers {}:{}` shows where transactions begin",
            partition.topic, partition.partition
        ),
    )
    .into()
}
