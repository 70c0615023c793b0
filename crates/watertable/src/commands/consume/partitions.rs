//! Reading partitions without a group.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use client::{Cluster, ConsumeError, Consumer, MetadataError, OffsetSpec, TopicPartition};

use super::Arguments;
use super::sink::Sink;
use crate::commands::topic::offsets_of;
use crate::moment::Position;
use crate::session;

pub(super) async fn run(cluster: &Cluster, arguments: &Arguments) -> Result<()> {
    let partitions = partitions(cluster, arguments).await?;
    let isolation = arguments.isolation();
    let starts = offsets_of(cluster, &partitions, arguments.start(), isolation).await?;
    let ends = if arguments.until_end {
        Some(offsets_of(cluster, &partitions, Position::End, isolation).await?)
    } else {
        None
    };
    if let (Some(ends), Position::Offset(_)) = (&ends, arguments.start()) {
        check_starts(&starts, ends, arguments.session.json)?;
    }
    let mut config = arguments.consumer_config();
    // Records may be deleted while we read; going on with the oldest is what a reader from the start wants. An offset
    // that was asked for by number is not replaced by another one.
    config.reset = match arguments.start() {
        Position::Offset(_) => None,
        _ => Some(OffsetSpec::Earliest),
    };
    let mut consumer = Consumer::new(cluster.clone(), config);
    for (partition, offset) in &starts {
        let end = ends.as_ref().and_then(|ends| ends.get(partition));
        if end.is_none_or(|end| offset < end) {
            consumer.seek(partition.clone(), *offset);
        }
    }
    let expected = ends.as_ref().map(|ends| {
        let left = ends.iter().map(|(partition, end)| {
            let start = starts.get(partition).copied().unwrap_or_default();
            u64::try_from(end - start).unwrap_or_default()
        });
        left.sum()
    });
    let mut sink = Sink::new(arguments, expected);
    let outcome = tokio::select! {
        outcome = print_all(&mut consumer, &mut sink, arguments, ends.as_ref()) => outcome,
        () = session::interrupted() => Ok(()),
    };
    sink.finish()?;
    outcome
}

/// An offset behind the end of a log is no empty log: without `--until-end` the broker says so, here nobody asks it.
fn check_starts(
    starts: &BTreeMap<TopicPartition, i64>,
    ends: &BTreeMap<TopicPartition, i64>,
    json: bool,
) -> Result<()> {
    let beyond: Vec<_> = starts
        .iter()
        .filter_map(|(partition, start)| {
            let end = ends.get(partition).copied().unwrap_or_default();
            (*start > end).then_some((partition, *start, end))
        })
        .collect();
    if let Some((partition, position, _)) = beyond.first()
        && beyond.len() == starts.len()
    {
        let (partition, position) = ((*partition).clone(), *position);
        return Err(ConsumeError::OutOfRange {
            partition,
            position,
        }
        .into());
    }
    for (partition, start, end) in beyond {
        if !json {
            eprintln!("{partition} ends at {end}, nothing to read from {start}");
        }
    }
    Ok(())
}

async fn partitions(cluster: &Cluster, arguments: &Arguments) -> Result<Vec<TopicPartition>> {
    let mut partitions = Vec::new();
    for name in arguments.topics() {
        let topic = cluster.topic(&name).await?;
        if arguments.partition.is_empty() {
            let all = topic.partitions.iter();
            partitions.extend(all.map(|p| TopicPartition::new(Arc::clone(&name), p.index)));
        }
        for number in &arguments.partition {
            if topic.partition(*number).is_none() {
                return Err(MetadataError::NoPartition {
                    topic: name.as_ref().to_owned(),
                    partition: *number,
                    count: topic.partitions.len(),
                }
                .into());
            }
            partitions.push(TopicPartition::new(Arc::clone(&name), *number));
        }
    }
    Ok(partitions)
}

async fn print_all(
    consumer: &mut Consumer,
    sink: &mut Sink,
    arguments: &Arguments,
    ends: Option<&BTreeMap<TopicPartition, i64>>,
) -> Result<()> {
    let idle_limit = arguments.idle_timeout;
    let mut last_record = tokio::time::Instant::now();
    while !sink.is_full() {
        if let Some(ends) = ends {
            drop_finished(consumer, ends);
            if consumer.positions().next().is_none() {
                return Ok(());
            }
        }
        let Some(batch) = consumer.poll().await? else {
            sink.flush()?;
            if idle_limit.is_some_and(|limit| last_record.elapsed() >= limit) {
                return Ok(());
            }
            continue;
        };
        last_record = tokio::time::Instant::now();
        let end = ends.and_then(|ends| ends.get(&batch.partition).copied());
        sink.print(&batch, end)?;
    }
    Ok(())
}

/// Partitions that were read up to where they ended are read no more.
fn drop_finished(consumer: &mut Consumer, ends: &BTreeMap<TopicPartition, i64>) {
    let finished: Vec<TopicPartition> = consumer
        .positions()
        .filter(|(partition, position)| ends.get(*partition).is_some_and(|end| position >= end))
        .map(|(partition, _)| partition.clone())
        .collect();
    for partition in finished {
        consumer.remove(&partition);
    }
}
