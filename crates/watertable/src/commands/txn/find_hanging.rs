//! `watertable txn find-hanging`: transactions that stay open in a partition although their coordinator does not know
//! that they reach there (`TransactionsCommand.FindHangingTransactionsCommand`). They hold up everybody who reads only
//! what is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use client::admin::{
    AdminError, ProducerState, TransactionFilter, describe_producers, describe_transaction,
    list_transactions,
};
use client::{Cluster, TopicPartition, TopicSelection, now_ms};
use protocol::ErrorCode;
use serde::Serialize;

use crate::arguments;
use crate::output::{self, Columns};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only in these topics; all otherwise
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,
    /// Only transactions whose producer has written nothing for so long; no shorter than the longest
    /// timeout that the brokers allow (transaction.max.timeout.ms)
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = arguments::duration)]
    older_than: Duration,
}

#[derive(Serialize)]
struct Row {
    topic: String,
    partition: i32,
    producer_id: i64,
    producer_epoch: i16,
    coordinator_epoch: Option<i32>,
    start_offset: i64,
    last_timestamp_ms: i64,
    /// How long ago its producer has written last.
    silent_ms: i64,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let limit_ms = i64::try_from(arguments.older_than.as_millis()).unwrap_or(i64::MAX);
    let mut open = Vec::new();
    for partition in partitions(&cluster, &arguments.topics).await? {
        for producer in describe_producers(&cluster, &partition).await? {
            let silent_ms = now_ms().saturating_sub(producer.last_timestamp_ms);
            if producer.transaction_start_offset.is_some() && silent_ms > limit_ms {
                open.push((partition.clone(), producer, silent_ms));
            }
        }
    }
    let rows = hanging(&cluster, open).await?;
    if session.json {
        return output::json(&rows);
    }
    let mut columns = Columns::new(&[
        "TOPIC",
        "#PARTITION",
        "#PRODUCER",
        "#EPOCH",
        "#START OFFSET",
        "#SILENT MS",
    ]);
    for row in &rows {
        columns.row([
            row.topic.clone(),
            row.partition.to_string(),
            row.producer_id.to_string(),
            row.producer_epoch.to_string(),
            row.start_offset.to_string(),
            row.silent_ms.to_string(),
        ]);
    }
    columns.print()
}

async fn partitions(cluster: &Cluster, topics: &[String]) -> Result<Vec<TopicPartition>> {
    let names: Vec<Arc<str>> = topics.iter().map(|name| Arc::from(name.as_str())).collect();
    let described = if names.is_empty() {
        let metadata = cluster.metadata(TopicSelection::All).await?;
        metadata.topics.into_values().flatten().collect()
    } else {
        let mut described = Vec::new();
        for name in &names {
            described.push(cluster.topic(name).await?);
        }
        described
    };
    let partitions = described.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|partition| TopicPartition::new(Arc::clone(&topic.name), partition.index))
    });
    Ok(partitions.collect())
}

/// Those that no coordinator knows of.
async fn hanging(
    cluster: &Cluster,
    open: Vec<(TopicPartition, ProducerState, i64)>,
) -> Result<Vec<Row>> {
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let producer_ids: BTreeSet<i64> = open.iter().map(|(_, state, _)| state.producer_id).collect();
    let filter = TransactionFilter {
        producer_ids: producer_ids.into_iter().collect(),
        ..TransactionFilter::default()
    };
    let mut known: BTreeMap<i64, Vec<TopicPartition>> = BTreeMap::new();
    for listed in list_transactions(cluster, &filter).await? {
        match describe_transaction(cluster, &listed.transactional_id).await {
            Ok(described) => {
                known.insert(described.producer_id, described.partitions);
            }
            // Forgotten meanwhile.
            Err(AdminError::Refused { source, .. })
                if source.is(ErrorCode::TransactionalIdNotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let rows = open
        .into_iter()
        .filter_map(|(partition, state, silent_ms)| {
            let reaches = known.get(&state.producer_id);
            if reaches.is_some_and(|partitions| partitions.contains(&partition)) {
                return None;
            }
            Some(Row {
                topic: partition.topic.as_ref().to_owned(),
                partition: partition.partition,
                producer_id: state.producer_id,
                producer_epoch: state.producer_epoch,
                coordinator_epoch: state.coordinator_epoch,
                start_offset: state.transaction_start_offset?,
                last_timestamp_ms: state.last_timestamp_ms,
                silent_ms,
            })
        });
    Ok(rows.collect())
}
