//! Reading as a member of a group. Offsets are committed after the records were printed: at-least-once.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use client::{Cluster, GroupConfig, GroupEvent, GroupMember, TopicPartition};

use super::Arguments;
use super::sink::Sink;
use crate::commands::topic::offsets_of;
use crate::moment::Position;
use crate::report::Failure;
use crate::session;

pub(super) async fn run(cluster: &Cluster, arguments: &Arguments, group: &str) -> Result<()> {
    let start = match arguments.start() {
        Position::Offset(_) | Position::BeforeEnd(_) => {
            return Err(Failure::new(
                "a group begins at its committed offsets, not at a number",
                format!("move them with `watertable group reset-offsets {group}`, or begin at start, end or @TIME"),
            )
            .into());
        }
        position => position.lookup(),
    };
    let mut config = GroupConfig::new(group);
    config.start = start;
    config.consumer = arguments.consumer_config();
    config.consumer.reset = start;
    config.assignors.clone_from(&arguments.assignor);
    config.group_instance_id.clone_from(&arguments.instance_id);
    if arguments.no_commit {
        config.auto_commit = None;
    }
    let mut member = GroupMember::new(cluster.clone(), arguments.topics(), config);
    let mut sink = Sink::new(arguments, None);
    let outcome = tokio::select! {
        outcome = print_all(cluster, &mut member, &mut sink, arguments) => outcome,
        () = session::interrupted() => Ok(()),
    };
    let printed = sink.finish();
    let left = member.leave().await;
    outcome?;
    printed?;
    left.with_context(|| format!("cannot leave group '{group}' in order"))
}

async fn print_all(
    cluster: &Cluster,
    member: &mut GroupMember,
    sink: &mut Sink,
    arguments: &Arguments,
) -> Result<()> {
    let mut ends: Option<BTreeMap<TopicPartition, i64>> = None;
    let mut last_record = tokio::time::Instant::now();
    while !sink.is_full() {
        if let Some(ends) = &ends
            && member.positions().all(|(partition, position)| {
                ends.get(partition).is_some_and(|end| position >= *end)
            })
        {
            return Ok(());
        }
        match member.poll().await? {
            GroupEvent::Batch(batch) => {
                last_record = tokio::time::Instant::now();
                let next = sink.print(&batch, None)?;
                // Printed means seen, only when it has left the buffer.
                sink.flush()?;
                member.processed(&batch.partition, next);
            }
            GroupEvent::Assigned(partitions) => {
                tracing::debug!(?partitions, "assigned");
                if arguments.until_end {
                    let isolation = arguments.isolation();
                    ends = Some(offsets_of(cluster, &partitions, Position::End, isolation).await?);
                }
            }
            GroupEvent::Idle => {
                let idle = last_record.elapsed();
                if arguments.idle_timeout.is_some_and(|limit| idle >= limit) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
