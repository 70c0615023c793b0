//! `watertable bench consume`: throughput of reading.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use client::{Consumer, ConsumerConfig, Isolation, OffsetSpec, TopicPartition, resolve_offsets};
use serde::Serialize;
use tokio::time::Instant;

use super::Throughput;
use crate::report::Failure;
use crate::session::{self, Session};
use crate::{arguments, output, progress};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The topic, which must have records
    #[arg(long, default_value = "watertable-bench", value_name = "TOPIC")]
    topic: String,
    /// End after so many records, or where the topic ends now
    #[arg(long, short = 'n', value_name = "COUNT")]
    records: Option<u64>,
    /// The most a broker sends at once
    #[arg(long, default_value = "50MiB", value_name = "SIZE", value_parser = arguments::size)]
    fetch_max: usize,
    /// The most a broker sends of one partition at once
    #[arg(long, default_value = "1MiB", value_name = "SIZE", value_parser = arguments::size)]
    partition_max: usize,
    /// The least a broker waits for
    #[arg(long, default_value = "1", value_name = "SIZE", value_parser = arguments::size)]
    fetch_min: usize,
    /// Count batches without looking at each record
    #[arg(long)]
    batches_only: bool,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    throughput: Throughput,
    batches: u64,
    first_record_ms: f64,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let topic: Arc<str> = Arc::from(arguments.topic.as_str());
    let size = |size: usize| i32::try_from(size).unwrap_or(i32::MAX);
    let config = ConsumerConfig {
        fetch_bytes_max: size(arguments.fetch_max),
        partition_bytes_max: size(arguments.partition_max),
        fetch_bytes_min: size(arguments.fetch_min),
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(cluster.clone(), config);
    let topics = [Arc::clone(&topic)];
    let partitions = consumer
        .assign_topics(&topics, OffsetSpec::Earliest)
        .await?;
    let wanted = partitions
        .into_iter()
        .map(|partition| (partition, OffsetSpec::Latest));
    let isolation = Isolation::ReadUncommitted;
    let ends = resolve_offsets(&cluster, &wanted.collect(), isolation).await?;
    let left = left(&consumer, &ends);
    if left == 0 {
        return Err(Failure::new(
            format!("topic '{topic}' has no records"),
            format!("write some with `watertable bench produce --topic {topic}`"),
        )
        .into());
    }
    let expected = arguments.records.map_or(left, |records| records.min(left));
    let bar = progress::bar(Some(expected), "records", false);
    let mut tally = Tally::new();
    tokio::select! {
        done = read(&mut consumer, &ends, expected, arguments, &mut tally, &bar) => done?,
        () = session::interrupted() => {}
    }
    bar.finish_and_clear();
    let first_record = tally.first_record.unwrap_or_default();
    let report = Report {
        throughput: Throughput::new(tally.records, tally.bytes, tally.started.elapsed()),
        batches: tally.batches,
        first_record_ms: first_record.as_secs_f64() * 1000.0,
    };
    if session.json {
        return output::json(&report);
    }
    output::line(&format!(
        "{}\nfirst record after {:.2} ms ({} batches)",
        report.throughput, report.first_record_ms, report.batches
    ))
}

struct Tally {
    started: Instant,
    first_record: Option<Duration>,
    records: u64,
    batches: u64,
    bytes: u64,
}

impl Tally {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            first_record: None,
            records: 0,
            batches: 0,
            bytes: 0,
        }
    }
}

/// Records between where the consumer stands and the ends; fewer if there are gaps.
fn left(consumer: &Consumer, ends: &BTreeMap<TopicPartition, i64>) -> u64 {
    let left = consumer.positions().map(|(partition, position)| {
        let end = ends.get(partition).copied().unwrap_or_default();
        u64::try_from(end - position).unwrap_or_default()
    });
    left.sum()
}

async fn read(
    consumer: &mut Consumer,
    ends: &BTreeMap<TopicPartition, i64>,
    expected: u64,
    arguments: &Arguments,
    tally: &mut Tally,
    bar: &indicatif::ProgressBar,
) -> Result<()> {
    while tally.records < expected && left(consumer, ends) > 0 {
        let Some(batch) = consumer.poll().await? else {
            continue;
        };
        if tally.first_record.is_none() {
            tally.first_record = Some(tally.started.elapsed());
        }
        let before = tally.records;
        if arguments.batches_only {
            tally.records += u64::from(batch.record_count());
            tally.bytes += batch.payload_bytes() as u64;
        } else {
            for record in batch.records() {
                let record = record?;
                tally.records += 1;
                let length = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len) as u64;
                tally.bytes += length(record.key) + length(record.value);
            }
        }
        tally.batches += 1;
        bar.inc(tally.records - before);
    }
    Ok(())
}
