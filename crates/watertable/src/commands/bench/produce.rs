//! `watertable bench produce`: throughput, and the latency of batches beside it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use client::{Cluster, Producer, ProducerRecord};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use super::payload::Payloads;
use super::{Latency, ProducerArguments, Throughput, TopicArguments, prepare};
use crate::histogram::Histogram;
use crate::session::{self, Session};
use crate::{arguments, output, progress};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    topic: TopicArguments,
    #[command(flatten)]
    producer: ProducerArguments,
    /// How many records
    #[arg(long, short = 'n', default_value_t = 1_000_000, value_name = "COUNT")]
    records: u64,
    /// End after this time even if records are left
    #[arg(long, value_name = "DURATION", value_parser = arguments::duration)]
    duration: Option<Duration>,
    /// Producers side by side, each with its own connections
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=64))]
    producers: u16,
    /// Give records keys, as many different ones as this, so that they spread by key
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    keys: Option<u64>,
}

impl Arguments {
    /// Throughput profits from a batch that waits a little, as with Kafka's own default.
    fn linger_ms(&self) -> u64 {
        self.producer.linger_ms.unwrap_or(5)
    }
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    throughput: Throughput,
    batches: u64,
    /// From the first record of a batch to its acknowledgement.
    batch_latency: Latency,
    acks: i16,
    compression: &'static str,
    record_size: usize,
    batch_size: usize,
    linger_ms: u64,
}

#[derive(Default)]
struct Tally {
    records: u64,
    batches: u64,
    latency: Histogram,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let topic = prepare(&cluster, &arguments.topic).await?;
    let tally = Arc::new(Mutex::new(Tally::default()));
    let bar = progress::bar(Some(arguments.records), "records", false);
    let started = Instant::now();
    let runs = (0..arguments.producers).map(|number| {
        let share = share(arguments.records, arguments.producers, number);
        // Connections of their own, as separate processes would have.
        let cluster = Cluster::new(cluster.bootstrap().to_vec(), cluster.config().clone());
        one_producer(cluster, Arc::clone(&topic), arguments, share, &tally, &bar)
    });
    let all = futures_util::future::try_join_all(runs);
    tokio::select! {
        done = all => done.map(|_| ())?,
        // What is there so far is still a result.
        () = session::interrupted() => {}
    }
    let time = started.elapsed();
    bar.finish_and_clear();
    let tally = tally.lock();
    let size = arguments.producer.record_size as u64;
    let report = Report {
        throughput: Throughput::new(tally.records, tally.records * size, time),
        batches: tally.batches,
        batch_latency: Latency::of(&tally.latency),
        acks: arguments.producer.acks.value(),
        compression: arguments.producer.compression.name(),
        record_size: arguments.producer.record_size,
        batch_size: arguments.producer.batch_size,
        linger_ms: arguments.linger_ms(),
    };
    if session.json {
        return output::json(&report);
    }
    output::line(&format!(
        "{}\nfirst record of a batch to its acknowledgement: {} ({} batches)",
        report.throughput, report.batch_latency, report.batches
    ))
}

/// The records of one of several producers; together they are all.
fn share(records: u64, producers: u16, number: u16) -> u64 {
    let producers = u64::from(producers);
    records / producers + u64::from(u64::from(number) < records % producers)
}

async fn one_producer(
    cluster: Cluster,
    topic: Arc<str>,
    arguments: &Arguments,
    records: u64,
    tally: &Arc<Mutex<Tally>>,
    bar: &indicatif::ProgressBar,
) -> Result<()> {
    let mut config = arguments.producer.config(arguments.linger_ms());
    let (tally, bar) = (Arc::clone(tally), bar.clone());
    config.on_batch = Some(Arc::new(move |batch| {
        let mut tally = tally.lock();
        tally.records += u64::from(batch.records);
        tally.batches += 1;
        tally.latency.record(batch.acked_at - batch.opened_at, 1);
        bar.inc(u64::from(batch.records));
    }));
    let producer = Producer::new(cluster, config);
    let mut payloads = Payloads::new(arguments.producer.record_size);
    let deadline = arguments.duration.map(|duration| Instant::now() + duration);
    for number in 0..records {
        let key = arguments.keys.map(|keys| (number % keys).to_be_bytes());
        let record = ProducerRecord {
            key: key.as_ref().map(<[u8; 8]>::as_slice),
            value: Some(payloads.next()),
            ..ProducerRecord::default()
        };
        producer
            .send(&topic, record)
            .await
            .context("cannot produce")?;
        // Looking at the clock for every record would cost as much as the record.
        let look = number.is_multiple_of(256);
        if look && (producer.failure().is_some() || deadline.is_some_and(|at| Instant::now() >= at))
        {
            break;
        }
    }
    producer.flush().await.context("cannot produce")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for (records, producers) in [(10, 3), (2, 5), (0, 1), (100, 7)] {
            let shares = (0..producers).map(|number| share(records, producers, number));
            assert_eq!(shares.sum::<u64>(), records);
        }
    }
}
