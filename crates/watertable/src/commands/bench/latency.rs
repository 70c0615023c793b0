//! `watertable bench latency`: open loop at a fixed rate.
//!
//! Record `n` is due at `start + n / rate`. Its value begins with that time, so that the consumer can tell how late it
//! is. Two latencies are reported, both from when the record was due: to its acknowledgement, and to the moment the
//! consumer has it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use client::{
    Acks, Cluster, Consumer, ConsumerConfig, Delivery, OffsetSpec, Producer, ProducerRecord,
};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::payload::Payloads;
use super::{Latency, ProducerArguments, Throughput, TopicArguments, prepare};
use crate::histogram::Histogram;
use crate::report::Failure;
use crate::session::{self, Session};
use crate::{arguments, output, progress};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    topic: TopicArguments,
    #[command(flatten)]
    producer: ProducerArguments,
    /// Records per second
    #[arg(long, default_value_t = 1000, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: u64,
    /// How long
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = arguments::duration)]
    duration: Duration,
    /// Records of this first time are not counted
    #[arg(long, default_value = "1s", value_name = "DURATION", value_parser = arguments::duration)]
    warm_up: Duration,
    /// How long the last records may take to arrive
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = arguments::duration)]
    drain: Duration,
}

impl Arguments {
    /// Waiting for more records is latency.
    fn linger_ms(&self) -> u64 {
        self.producer.linger_ms.unwrap_or(0)
    }
}

#[derive(Serialize)]
struct Report {
    /// What was asked for, in records per second.
    rate: u64,
    #[serde(flatten)]
    throughput: Throughput,
    /// From when a record was due to its acknowledgement; absent with acks=0.
    #[serde(skip_serializing_if = "Option::is_none")]
    ack: Option<Latency>,
    /// From when a record was due to when the consumer had it.
    end_to_end: Latency,
    consumed: u64,
    acks: i16,
    linger_ms: u64,
}

/// The times at which records are due.
#[derive(Clone, Copy)]
struct Schedule {
    start: Instant,
    rate: u64,
}

impl Schedule {
    fn due(self, number: u64) -> Instant {
        let ns = u128::from(number) * 1_000_000_000 / u128::from(self.rate);
        self.start + Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

/// What each value begins with: a mark of this run, and the number of the record.
const STAMP_BYTES: usize = 16;

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let topic = prepare(&cluster, &arguments.topic).await?;
    let run_mark = client::now_ms().cast_unsigned();
    let mut consumer = consumer(&cluster, &topic).await?;
    let producer = Producer::new(
        cluster.clone(),
        arguments.producer.config(arguments.linger_ms()),
    );
    // Connections, producer id and the consumer's first fetch are not what is measured.
    warm(&producer, &topic, &mut consumer, arguments, run_mark).await?;
    let seconds = arguments.duration.as_secs_f64();
    let records = (seconds * arguments.rate as f64) as u64;
    let skipped = (arguments.warm_up.as_secs_f64() * arguments.rate as f64) as u64;
    let schedule = Schedule {
        start: Instant::now() + Duration::from_millis(10),
        rate: arguments.rate,
    };
    let bar = progress::bar(Some(records), "records", false);
    let (deliveries, acknowledged) = mpsc::unbounded_channel();
    let sending = send(
        &producer, &topic, schedule, records, arguments, run_mark, deliveries, &bar,
    );
    let acking = collect_acks(acknowledged, schedule, skipped);
    let reading = collect_records(
        &mut consumer,
        schedule,
        records,
        skipped,
        run_mark,
        arguments,
    );
    let (sent, acks, read) = tokio::select! {
        all = async { tokio::try_join!(sending, acking, reading) } => all?,
        () = session::interrupted() => {
            return Err(Failure::new("interrupted before the end", "choose a shorter --duration").into());
        }
    };
    bar.finish_and_clear();
    let measured = records.saturating_sub(skipped);
    if read.count() == 0 {
        return Err(Failure::new(
            "no record came back after the warm-up",
            "choose a longer --duration, a shorter --warm-up or a longer --drain",
        )
        .into());
    }
    let bytes = measured * arguments.producer.record_size.max(STAMP_BYTES) as u64;
    let report = Report {
        rate: arguments.rate,
        throughput: Throughput::new(measured, bytes, sent.saturating_sub(arguments.warm_up)),
        ack: (arguments.producer.acks != Acks::None).then(|| Latency::of(&acks)),
        end_to_end: Latency::of(&read),
        consumed: read.count(),
        acks: arguments.producer.acks.value(),
        linger_ms: arguments.linger_ms(),
    };
    if session.json {
        return output::json(&report);
    }
    let mut text = format!("{}\n", report.throughput);
    if let Some(ack) = &report.ack {
        text += &format!("due to acknowledged: {ack}\n");
    }
    text += &format!("due to consumed:     {}\n", report.end_to_end);
    if report.consumed < measured {
        text += &format!(
            "{} records did not arrive within --drain\n",
            measured - report.consumed
        );
    }
    output::write(text.as_bytes())
}

async fn consumer(cluster: &Cluster, topic: &Arc<str>) -> Result<Consumer> {
    let config = ConsumerConfig {
        reset: Some(OffsetSpec::Latest),
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(cluster.clone(), config);
    consumer
        .assign_topics(&[Arc::clone(topic)], OffsetSpec::Latest)
        .await?;
    Ok(consumer)
}

fn stamped(payload: &[u8], run_mark: u64, number: u64, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&run_mark.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(payload.get(STAMP_BYTES..).unwrap_or_default());
}

/// The number of a record of this run.
fn number_of(value: Option<&[u8]>, run_mark: u64) -> Option<u64> {
    let (mark, rest) = value?.split_first_chunk::<8>()?;
    let (number, _) = rest.split_first_chunk::<8>()?;
    (u64::from_be_bytes(*mark) == run_mark).then(|| u64::from_be_bytes(*number))
}

/// Sends one record and reads it back.
async fn warm(
    producer: &Producer,
    topic: &Arc<str>,
    consumer: &mut Consumer,
    arguments: &Arguments,
    run_mark: u64,
) -> Result<()> {
    let mut value = Vec::new();
    stamped(&[], run_mark, u64::MAX, &mut value);
    let record = ProducerRecord {
        value: Some(&value),
        ..ProducerRecord::default()
    };
    producer.send(topic, record).await?;
    producer.flush().await.context("cannot produce")?;
    let deadline = Instant::now() + arguments.drain;
    while Instant::now() < deadline {
        if let Some(batch) = consumer.poll().await? {
            for record in batch.records() {
                if number_of(record?.value, run_mark).is_some() {
                    return Ok(());
                }
            }
        }
    }
    let what = "the first record did not come back";
    Err(Failure::new(
        what,
        "choose a longer --drain, or look into the broker's log",
    )
    .into())
}

#[derive(Debug)]
struct SentRecord {
    number: u64,
    delivery: Delivery,
}

/// Sends each record when it is due; gives the time it took.
async fn send(
    producer: &Producer,
    topic: &Arc<str>,
    schedule: Schedule,
    records: u64,
    arguments: &Arguments,
    run_mark: u64,
    deliveries: mpsc::UnboundedSender<SentRecord>,
    bar: &indicatif::ProgressBar,
) -> Result<Duration> {
    let mut payloads = Payloads::new(arguments.producer.record_size.max(STAMP_BYTES));
    let mut value = Vec::new();
    for number in 0..records {
        let due = schedule.due(number);
        // Timers are a millisecond coarse: records that are due within it go together.
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
        stamped(payloads.next(), run_mark, number, &mut value);
        let record = ProducerRecord {
            value: Some(&value),
            ..ProducerRecord::default()
        };
        let delivery = producer
            .send(topic, record)
            .await
            .context("cannot produce")?;
        // Ends early only when the other side failed, which tells why.
        if deliveries.send(SentRecord { number, delivery }).is_err() {
            break;
        }
        bar.inc(1);
    }
    drop(deliveries);
    producer.flush().await.context("cannot produce")?;
    Ok(schedule.start.elapsed())
}

async fn collect_acks(
    mut acknowledged: mpsc::UnboundedReceiver<SentRecord>,
    schedule: Schedule,
    skipped: u64,
) -> Result<Histogram> {
    let mut histogram = Histogram::default();
    while let Some(SentRecord { number, delivery }) = acknowledged.recv().await {
        // The delivery remembers when its acknowledgement came, however late it is asked.
        let delivered = delivery.wait().await.context("cannot produce")?;
        if number >= skipped {
            let late = delivered
                .acked_at
                .saturating_duration_since(schedule.due(number));
            histogram.record(late, 1);
        }
    }
    Ok(histogram)
}

async fn collect_records(
    consumer: &mut Consumer,
    schedule: Schedule,
    records: u64,
    skipped: u64,
    run_mark: u64,
    arguments: &Arguments,
) -> Result<Histogram> {
    let mut histogram = Histogram::default();
    let deadline = schedule.due(records) + arguments.drain;
    let mut count = 0;
    while count < records && Instant::now() < deadline {
        let Ok(polled) = tokio::time::timeout_at(deadline, consumer.poll()).await else {
            break;
        };
        let Some(batch) = polled? else { continue };
        let now = Instant::now();
        for record in batch.records() {
            let record = record?;
            // The record that opened the connections is none of the schedule.
            let Some(number) = number_of(record.value, run_mark).filter(|n| *n < records) else {
                continue;
            };
            count += 1;
            if number >= skipped {
                histogram.record(now.saturating_duration_since(schedule.due(number)), 1);
            }
        }
    }
    Ok(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_due_at_even_distances() {
        let schedule = Schedule {
            start: Instant::now(),
            rate: 3,
        };
        assert_eq!(schedule.due(0), schedule.start);
        assert_eq!(schedule.due(3) - schedule.start, Duration::from_secs(1));
        assert_eq!((schedule.due(1) - schedule.start).as_millis(), 333);
    }

    #[test]
    fn stamps_of_other_runs_are_told_apart() {
        let mut value = Vec::new();
        stamped(&[b'x'; 20], 7, 42, &mut value);
        assert_eq!(value.len(), 20);
        assert_eq!(number_of(Some(&value), 7), Some(42));
        assert_eq!(number_of(Some(&value), 8), None);
        assert_eq!(number_of(Some(b"short"), 7), None);
        assert_eq!(number_of(None, 7), None);
    }
}
