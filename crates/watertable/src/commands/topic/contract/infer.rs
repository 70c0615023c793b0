//! `watertable topic contract infer`: a proposal from the newest records of every partition.

use std::sync::Arc;

use anyhow::{Result, ensure};
use client::{Cluster, Consumer, ConsumerConfig, Isolation, OffsetSpec, TopicPartition};
use contract::{Column, Contract, InferError, Proposal};

use super::existing;
use crate::commands::topic::offsets_of;
use crate::moment::Position;
use crate::output::{self, counted};
use crate::report::Failure;
use crate::session::Session;

/// A sample holds no more bytes than this.
const SAMPLE_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The topic
    topic: String,
    /// How many records to look at: the newest, the same number of each partition
    #[arg(long, default_value_t = 1000, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sample: u32,
    /// Names for the columns of CSV, which has none
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    names: Vec<String>,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let values = sample_of(&cluster, &arguments.topic, arguments.sample).await?;
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let Proposal {
        contract,
        left_out,
        misfits,
    } = contract::infer(&values).map_err(|error| no_proposal(&arguments.topic, error))?;
    let contract = named(contract, &arguments.names)?;
    if session.json {
        let text: serde_json::Value = serde_json::from_str(&contract.to_string())?;
        let left_out: Vec<_> = left_out.iter().map(|left| &left.name).collect();
        return output::json(&serde_json::json!({
            "topic": arguments.topic,
            "contract": text,
            "records": values.len(),
            "misfits": misfits,
            "left_out": left_out,
        }));
    }
    eprintln!(
        "proposed from {}; nothing is changed",
        counted(values.len(), "record")
    );
    if misfits > 0 {
        eprintln!("{} would not fit it", counted(misfits, "record"));
    }
    for left in left_out {
        eprintln!("left out {:?}: {}", left.name, left.cause);
    }
    output::line(&format!("{contract:#}"))
}

fn no_proposal(topic: &str, error: InferError) -> Failure {
    let next_step = match &error {
        InferError::Empty => "produce some records, or write the contract by hand",
        InferError::NoFormat | InferError::Contract(_) => {
            "write the contract by hand: `watertable topic contract --help` shows the form"
        }
    };
    Failure::new(
        format!("no contract can be proposed for topic '{topic}': {error}"),
        next_step,
    )
}

/// The contract with other names for its columns.
fn named(contract: Contract, names: &[String]) -> Result<Contract> {
    if names.is_empty() {
        return Ok(contract);
    }
    let columns = contract.columns();
    ensure!(
        names.len() == columns.len(),
        "--names has {}, but the records have {}",
        counted(names.len(), "name"),
        counted(columns.len(), "field")
    );
    let renamed = columns.iter().zip(names).map(|(column, name)| Column {
        name: name.clone(),
        ..column.clone()
    });
    Ok(Contract::new(contract.format().clone(), renamed.collect())?)
}

/// Values of the newest records of a topic, the same number of each partition.
pub(crate) async fn sample_of(cluster: &Cluster, topic: &str, count: u32) -> Result<Vec<Vec<u8>>> {
    let topic = existing(cluster, topic).await?;
    let partitions: Vec<_> = topic
        .partitions
        .iter()
        .map(|partition| TopicPartition::new(Arc::clone(&topic.name), partition.index))
        .collect();
    sample(cluster, &partitions, count).await
}

/// Values of the newest records, the same number of each partition. Tombstones say nothing.
async fn sample(
    cluster: &Cluster,
    partitions: &[TopicPartition],
    count: u32,
) -> Result<Vec<Vec<u8>>> {
    let isolation = Isolation::ReadCommitted;
    let share = i64::from(count.div_ceil(u32::try_from(partitions.len().max(1))?));
    let starts = offsets_of(cluster, partitions, Position::BeforeEnd(share), isolation).await?;
    let ends = offsets_of(cluster, partitions, Position::End, isolation).await?;
    let config = ConsumerConfig {
        isolation,
        // Records may be deleted while we read.
        reset: Some(OffsetSpec::Earliest),
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(cluster.clone(), config);
    for (partition, start) in &starts {
        if ends.get(partition).is_some_and(|end| start < end) {
            consumer.seek(partition.clone(), *start);
        }
    }
    let (mut values, mut bytes) = (Vec::new(), 0);
    while bytes < SAMPLE_BYTES_MAX {
        let done: Vec<_> = consumer
            .positions()
            .filter(|(partition, position)| ends.get(*partition).is_none_or(|end| position >= end))
            .map(|(partition, _)| partition.clone())
            .collect();
        for partition in done {
            consumer.remove(&partition);
        }
        if consumer.positions().next().is_none() {
            break;
        }
        let Some(batch) = consumer.poll().await? else {
            continue;
        };
        let start = starts.get(&batch.partition).copied().unwrap_or_default();
        for record in batch.records() {
            let record = record?;
            if record.offset >= start
                && let Some(value) = record.value
            {
                bytes += value.len();
                values.push(value.to_vec());
            }
        }
    }
    Ok(values)
}
