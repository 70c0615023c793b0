//! `watertable bench`: measures any Kafka-compatible broker from the client's side.
//!
//! What is measured is stated with each number. Latency is measured open loop: records are due at fixed times whether or
//! not the broker keeps up, and a record's latency counts from when it was due, so that a broker that stalls cannot make
//! its victims go unasked.

mod consume;
mod latency;
mod payload;
mod produce;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use client::admin::{NewTopic, create_topics};
use client::{Acks, Cluster, Compression, ProducerConfig};
use protocol::ErrorCode;
use serde::Serialize;

use super::produce::{parse_acks, parse_compression};
use crate::arguments;
use crate::histogram::Histogram;
use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  watertable bench produce --records 1000000 --record-size 1KiB --batch-size 64KiB
  watertable bench consume --records 1000000
  watertable bench latency --rate 5000 --duration 30s --acks all
  watertable bench produce --brokers kafka:9092 --partitions 6 --compression lz4 --json"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) session: Session,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Write as fast as the broker takes it, or at a fixed rate
    Produce(produce::Arguments),
    /// Read as fast as the broker gives it
    Consume(consume::Arguments),
    /// Write at a fixed rate and measure time to acknowledgement and to the consumer
    Latency(latency::Arguments),
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let Arguments { session, verb } = arguments;
    session::run(async move {
        match verb {
            Verb::Produce(arguments) => produce::run(&session, &arguments).await,
            Verb::Consume(arguments) => consume::run(&session, &arguments).await,
            Verb::Latency(arguments) => latency::run(&session, &arguments).await,
        }
    })
}

/// The topic of a run.
#[derive(Clone, Debug, clap::Args)]
struct TopicArguments {
    /// The topic; created if it is not there
    #[arg(long, default_value = "watertable-bench", value_name = "TOPIC")]
    topic: String,
    /// How many partitions, if the topic is created
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// How many replicas, if the topic is created
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// A setting of the topic, if it is created; may be given often
    #[arg(long = "config", value_name = "NAME=VALUE", value_parser = arguments::setting)]
    configs: Vec<(String, String)>,
}

/// How to produce in a run.
#[derive(Clone, Debug, clap::Args)]
struct ProducerArguments {
    /// Bytes of each value
    #[arg(long, default_value = "1KiB", value_name = "SIZE", value_parser = arguments::size)]
    record_size: usize,
    /// Where a batch is full, before compression
    #[arg(long, default_value = "64KiB", value_name = "SIZE", value_parser = arguments::size)]
    batch_size: usize,
    /// The most of one request
    #[arg(long, default_value = "1MiB", value_name = "SIZE", value_parser = arguments::size)]
    request_size: usize,
    /// Memory for records that are not acknowledged
    #[arg(long, default_value = "64MiB", value_name = "SIZE", value_parser = arguments::size)]
    buffer: usize,
    /// How long a batch waits for more records [default: 5, or 0 where latency is measured]
    #[arg(long, value_name = "MS")]
    linger_ms: Option<u64>,
    /// When a record counts as written: 0, 1 or all
    #[arg(long, default_value = "all", value_parser = parse_acks)]
    acks: Acks,
    /// How batches are compressed: none, gzip, snappy, lz4, zstd
    #[arg(long, short = 'z', default_value = "none", value_name = "CODEC", value_parser = parse_compression)]
    compression: Compression,
    /// Produce without idempotence
    #[arg(long)]
    no_idempotence: bool,
    /// Requests on their way per broker
    #[arg(long, default_value_t = 5, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=5))]
    in_flight: u8,
}

impl ProducerArguments {
    fn config(&self, linger_ms: u64) -> ProducerConfig {
        ProducerConfig {
            acks: self.acks,
            idempotent: !self.no_idempotence,
            compression: self.compression,
            linger: Duration::from_millis(linger_ms),
            batch_bytes: self.batch_size,
            buffer_bytes: self.buffer,
            request_bytes_max: self.request_size,
            in_flight_max: usize::from(self.in_flight),
            ..ProducerConfig::default()
        }
    }
}

/// Creates the topic of a run unless it is there.
async fn prepare(cluster: &Cluster, arguments: &TopicArguments) -> Result<Arc<str>> {
    let configs: BTreeMap<String, String> = arguments.configs.iter().cloned().collect();
    let topic = NewTopic {
        name: arguments.topic.clone(),
        partitions: Some(arguments.partitions),
        replication_factor: arguments.replication_factor,
        configs,
    };
    for (name, result) in create_topics(cluster, &[topic], false).await? {
        match result {
            Err(refusal) if !refusal.is(ErrorCode::TopicAlreadyExists) => {
                return Err(anyhow!(refusal).context(format!("cannot create topic '{name}'")));
            }
            _ => {}
        }
    }
    let name: Arc<str> = Arc::from(arguments.topic.as_str());
    // A topic that was just created has its leaders a moment later.
    cluster.refresh_topic(&name, false).await?;
    Ok(name)
}

/// Percentiles in milliseconds.
#[derive(Debug, Serialize)]
struct Latency {
    mean_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
}

impl Latency {
    fn of(histogram: &Histogram) -> Self {
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        Self {
            mean_ms: ms(histogram.mean()),
            p50_ms: ms(histogram.percentile(500)),
            p99_ms: ms(histogram.percentile(990)),
            p999_ms: ms(histogram.percentile(999)),
            max_ms: ms(histogram.max()),
        }
    }
}

impl std::fmt::Display for Latency {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms, mean {:.2} ms",
            self.p50_ms, self.p99_ms, self.p999_ms, self.max_ms, self.mean_ms
        )
    }
}

/// What went through in a time.
#[derive(Debug, Serialize)]
struct Throughput {
    records: u64,
    /// Bytes of keys and values, not of the wire.
    bytes: u64,
    seconds: f64,
    records_per_second: f64,
    mib_per_second: f64,
}

impl Throughput {
    fn new(records: u64, bytes: u64, time: Duration) -> Self {
        let seconds = time.as_secs_f64();
        let per_second = |count: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
        Self {
            records,
            bytes,
            seconds,
            records_per_second: per_second(records as f64),
            mib_per_second: per_second(bytes as f64 / (1024.0 * 1024.0)),
        }
    }
}

impl std::fmt::Display for Throughput {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} records, {} in {:.2} s: {:.0} records/s, {:.1} MiB/s",
            self.records,
            crate::output::bytes(self.bytes),
            self.seconds,
            self.records_per_second,
            self.mib_per_second
        )
    }
}
