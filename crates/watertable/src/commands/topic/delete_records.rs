//! `watertable topic delete-records`: moves the start of logs forward.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use client::admin::delete_records;
use client::{Cluster, Isolation, OffsetSpec, Refusal, TopicPartition, resolve_offsets};
use protocol::ErrorCode;
use serde::Serialize;

use super::{chosen, existing, offsets_of};
use crate::moment::Position;
use crate::output::{self, Columns};
use crate::report::{Failure, shows_offsets};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The topic
    topic: String,
    /// The first record to keep: an offset, end, -N for N before the end, @TIME
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    before: Position,
    /// Only these partitions
    #[arg(long, short, value_name = "NUMBER", value_delimiter = ',')]
    partition: Vec<i32>,
    /// Only show what would be deleted
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Row {
    partition: i32,
    log_start_offset: i64,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let topic = existing(&cluster, &arguments.topic).await?;
    let partitions = chosen(&topic, &arguments.partition)?;
    let before = offsets_of(
        &cluster,
        &partitions,
        arguments.before,
        Isolation::ReadUncommitted,
    )
    .await?;
    let results = if arguments.dry_run {
        would_delete(&cluster, before).await?
    } else {
        delete_records(&cluster, &before).await?
    };
    let mut rows = Vec::new();
    let mut failure = None;
    for (partition, result) in results {
        match result {
            Ok(log_start_offset) => rows.push(Row {
                partition: partition.partition,
                log_start_offset,
            }),
            Err(refusal) => {
                failure.get_or_insert_with(|| refused(&partition, refusal));
            }
        }
    }
    if session.json {
        output::json(&rows)?;
    } else if !rows.is_empty() {
        let mut columns = Columns::new(&["#PARTITION", "#START"]);
        for row in &rows {
            columns.row([row.partition.to_string(), row.log_start_offset.to_string()]);
        }
        columns.print()?;
    }
    failure.map_or(Ok(()), Err)
}

fn refused(partition: &TopicPartition, refusal: Refusal) -> anyhow::Error {
    let what = format!("cannot delete records of {partition}");
    if refusal.is(ErrorCode::OffsetOutOfRange) {
        let next_step = format!(
            "{}; `--before end` deletes all records there are",
            shows_offsets(&partition.topic)
        );
        return Failure::new(format!("{what}: {refusal}"), next_step).into();
    }
    anyhow!(refusal).context(what)
}

/// What the brokers would answer, judged by where the logs begin and end now.
async fn would_delete(
    cluster: &Cluster,
    before: BTreeMap<TopicPartition, i64>,
) -> Result<BTreeMap<TopicPartition, Result<i64, Refusal>>> {
    let ends = |spec| {
        let wanted = before
            .keys()
            .map(move |partition| (partition.clone(), spec));
        let wanted: BTreeMap<_, _> = wanted.collect();
        async move { resolve_offsets(cluster, &wanted, Isolation::ReadUncommitted).await }
    };
    let starts = ends(OffsetSpec::Earliest).await?;
    let ends = ends(OffsetSpec::Latest).await?;
    let judge = |(partition, offset): (TopicPartition, i64)| {
        let start = starts.get(&partition).copied().unwrap_or_default();
        let end = ends.get(&partition).copied().unwrap_or_default();
        let outcome = match offset {
            offset if offset > end => Err(Refusal::new(ErrorCode::OffsetOutOfRange)),
            offset => Ok(offset.max(start)),
        };
        (partition, outcome)
    };
    Ok(before.into_iter().map(judge).collect())
}
