//! `watertable group reset-offsets`, with the choices of kafka-consumer-groups. It only shows what it would do until
//! `--execute` is given.
//!
//! A share group has start offsets instead of committed ones; they are moved the same way.
//!
//! Invariant: new offsets lie inside their logs; what would lie outside is moved to the nearer end, as Kafka's tool does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use client::admin::{
    AdminError, GroupKind, alter_share_group_offsets, describe_group, share_group_offsets,
};
use client::{
    Cluster, CommitOffset, GroupCoordinator, Isolation, OffsetSpec, TopicPartition, commit_offsets,
    fetch_committed_offsets, now_ms,
};
use serde::Serialize;

use super::{log_offsets, partitions_named};
use crate::arguments;
use crate::commands::topic::offsets_of;
use crate::moment::{self, Position};
use crate::output::{self, Columns, or_dash};
use crate::report::Failure;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The group
    group: String,
    /// A topic, or some of its partitions as TOPIC:0,1; may be given often
    #[arg(long = "topic", value_name = "TOPIC[:NUMBERS]")]
    topics: Vec<String>,
    /// Every partition the group has committed an offset of
    #[arg(long, conflicts_with = "topics")]
    all_topics: bool,
    #[command(flatten)]
    goal: Goal,
    /// Do it
    #[arg(long)]
    execute: bool,
    /// Only show what would be done: the default
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
}

/// Where to.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Goal {
    /// To the first record
    #[arg(long)]
    to_earliest: bool,
    /// After the last record
    #[arg(long)]
    to_latest: bool,
    /// To where the group is: useful with --json as a backup, or to fix the offsets of a live position
    #[arg(long)]
    to_current: bool,
    /// To this offset
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// To the first record of this time or later: 2026-01-31, 2026-01-31T13:00:00Z, milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = moment::time_ms)]
    to_datetime: Option<i64>,
    /// To the first record that is at most so old: 1h, 30m, 7d
    #[arg(long, value_name = "DURATION", value_parser = arguments::duration)]
    by_duration: Option<Duration>,
    /// Forward, or back with a minus, by so many records
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// To the offsets of a CSV file: topic,partition,offset per line, as Kafka's tool exports it
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Row {
    topic: String,
    partition: i32,
    current_offset: Option<i64>,
    new_offset: i64,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let keeper = Keeper::find(&cluster, &arguments.group).await?;
    let committed = keeper.current().await?;
    let file = match &arguments.goal.from_file {
        Some(path) => Some(read_csv(path)?),
        None => None,
    };
    let places = places(&cluster, arguments, &committed, file.as_ref()).await?;
    let goals = goals(
        &cluster,
        &arguments.goal,
        &places,
        &committed,
        file.as_ref(),
    )
    .await?;
    let goals = inside_logs(&cluster, goals).await?;
    let rows: Vec<Row> = goals
        .iter()
        .map(|(place, offset)| Row {
            topic: place.topic.as_ref().to_owned(),
            partition: place.partition,
            current_offset: committed.get(place).copied(),
            new_offset: *offset,
        })
        .collect();
    if arguments.execute {
        keeper.set(&goals).await?;
    }
    if session.json {
        return output::json(&rows);
    }
    let mut columns = Columns::new(&["TOPIC", "#PARTITION", "#CURRENT", "#NEW"]);
    for row in &rows {
        columns.row([
            row.topic.clone(),
            row.partition.to_string(),
            or_dash(row.current_offset),
            row.new_offset.to_string(),
        ]);
    }
    columns.print()?;
    if !arguments.execute {
        output::line("dry run: nothing was changed; add --execute to do it")?;
    }
    Ok(())
}

/// What keeps a group's offsets.
enum Keeper<'a> {
    Committed(GroupCoordinator),
    ShareStart {
        cluster: &'a Cluster,
        group: &'a str,
    },
}

impl<'a> Keeper<'a> {
    async fn find(cluster: &'a Cluster, group: &'a str) -> Result<Self> {
        match describe_group(cluster, group).await {
            Ok(description) if description.kind == GroupKind::Share => {
                Ok(Self::ShareStart { cluster, group })
            }
            // A group may be made by its first offsets.
            Err(AdminError::Refused { source, .. })
                if source.is(protocol::ErrorCode::GroupIdNotFound) =>
            {
                Ok(Self::committed(cluster, group))
            }
            Ok(_) => Ok(Self::committed(cluster, group)),
            Err(error) => Err(error.into()),
        }
    }

    fn committed(cluster: &Cluster, group: &str) -> Self {
        Self::Committed(GroupCoordinator::new(cluster.clone(), group))
    }

    async fn current(&self) -> Result<BTreeMap<TopicPartition, i64>> {
        Ok(match self {
            Self::Committed(coordinator) => fetch_committed_offsets(coordinator, None)
                .await?
                .into_iter()
                .map(|(place, committed)| (place, committed.offset))
                .collect(),
            Self::ShareStart { cluster, group } => share_group_offsets(cluster, group)
                .await?
                .into_iter()
                .map(|(place, offset)| (place, offset.start_offset))
                .collect(),
        })
    }

    async fn set(&self, goals: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        match self {
            Self::Committed(coordinator) => {
                let offsets = goals.iter();
                let offsets =
                    offsets.map(|(place, offset)| (place.clone(), CommitOffset::new(*offset)));
                commit_offsets(coordinator, None, &offsets.collect())
                    .await
                    .map_err(|error| busy_group(error, coordinator.group_id()))
            }
            Self::ShareStart { cluster, group } => {
                let results = alter_share_group_offsets(cluster, group, goals).await?;
                for (place, result) in results {
                    result.with_context(|| format!("cannot move the start offset of {place}"))?;
                }
                Ok(())
            }
        }
    }
}

/// A group with members refuses commits of strangers with a code that does not say so.
fn busy_group(error: client::CommitError, group: &str) -> anyhow::Error {
    use protocol::ErrorCode as E;
    if let client::CommitError::Refused { source, .. } = &error
        && (source.is(E::UnknownMemberId) || source.is(E::IllegalGeneration))
    {
        return Failure::new(
            format!("group '{group}' has members, which would overwrite the offsets"),
            "stop the members first, or wait until their sessions end",
        )
        .into();
    }
    error.into()
}

/// The partitions to move.
async fn places(
    cluster: &Cluster,
    arguments: &Arguments,
    committed: &BTreeMap<TopicPartition, i64>,
    file: Option<&BTreeMap<TopicPartition, i64>>,
) -> Result<BTreeSet<TopicPartition>> {
    if let Some(file) = file {
        return Ok(file.keys().cloned().collect());
    }
    if arguments.all_topics {
        if committed.is_empty() {
            return Err(Failure::new(
                format!("group '{}' has no committed offsets", arguments.group),
                "name the topics with --topic",
            )
            .into());
        }
        return Ok(committed.keys().cloned().collect());
    }
    if arguments.topics.is_empty() {
        return Err(
            Failure::new("no topics are chosen", "give --topic TOPIC or --all-topics").into(),
        );
    }
    partitions_named(cluster, &arguments.topics).await
}

async fn goals(
    cluster: &Cluster,
    goal: &Goal,
    places: &BTreeSet<TopicPartition>,
    committed: &BTreeMap<TopicPartition, i64>,
    file: Option<&BTreeMap<TopicPartition, i64>>,
) -> Result<BTreeMap<TopicPartition, i64>> {
    if let Some(file) = file {
        return Ok(file.clone());
    }
    if goal.to_current || goal.shift_by.is_some() {
        let shift = goal.shift_by.unwrap_or_default();
        let ends = log_offsets(cluster, places.iter().cloned(), OffsetSpec::Latest).await?;
        let moved = places.iter().filter_map(|place| {
            let current = match committed.get(place) {
                Some(current) => *current,
                // As Kafka's tool: without a committed offset the end is where the group is.
                None if goal.to_current => *ends.get(place)?,
                None => return Some(Err(place)),
            };
            Some(Ok((place.clone(), current.saturating_add(shift))))
        });
        return moved.collect::<Result<_, _>>().map_err(|place| {
            let what = format!("the group has no committed offset of {place} to shift");
            Failure::new(what, "choose another goal, such as --to-earliest").into()
        });
    }
    let position = if goal.to_earliest {
        Position::Start
    } else if goal.to_latest {
        Position::End
    } else if let Some(offset) = goal.to_offset {
        Position::Offset(offset)
    } else if let Some(ms) = goal.to_datetime {
        Position::Time(ms)
    } else if let Some(age) = goal.by_duration {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        Position::Time(now_ms().saturating_sub(age))
    } else {
        bail!("no goal was given");
    };
    let places: Vec<TopicPartition> = places.iter().cloned().collect();
    offsets_of(cluster, &places, position, Isolation::ReadUncommitted).await
}

async fn inside_logs(
    cluster: &Cluster,
    goals: BTreeMap<TopicPartition, i64>,
) -> Result<BTreeMap<TopicPartition, i64>> {
    let starts = log_offsets(cluster, goals.keys().cloned(), OffsetSpec::Earliest).await?;
    let ends = log_offsets(cluster, goals.keys().cloned(), OffsetSpec::Latest).await?;
    let mut inside = BTreeMap::new();
    for (place, offset) in goals {
        let (Some(start), Some(end)) = (starts.get(&place), ends.get(&place)) else {
            return Err(Failure::new(
                format!("{place} does not exist, or has no leader"),
                "leave it out, or look at `watertable topic describe`",
            )
            .into());
        };
        inside.insert(place, offset.clamp(*start, *end));
    }
    Ok(inside)
}

fn read_csv(path: &PathBuf) -> Result<BTreeMap<TopicPartition, i64>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse_csv(&text).with_context(|| format!("cannot read {}", path.display()))
}

/// Lines of `topic,partition,offset`; with a group in front, as `--export` writes for several groups, that is skipped.
fn parse_csv(text: &str) -> Result<BTreeMap<TopicPartition, i64>> {
    let mut offsets = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let fields: Vec<&str> = line
            .split(',')
            .map(|field| field.trim().trim_matches('"'))
            .collect();
        let (topic, partition, offset) = match fields.as_slice() {
            [topic, partition, offset] | [_, topic, partition, offset] => {
                (topic, partition, offset)
            }
            _ => bail!("line {}: not topic,partition,offset", number + 1),
        };
        let parsed = partition
            .parse::<i32>()
            .ok()
            .zip(offset.parse::<i64>().ok());
        let parsed = parsed.filter(|(partition, offset)| *partition >= 0 && *offset >= 0);
        let (partition, offset) = parsed.with_context(|| {
            format!("line {}: partition and offset must be numbers", number + 1)
        })?;
        offsets.insert(TopicPartition::new(*topic, partition), offset);
    }
    if offsets.is_empty() {
        bail!("there are no offsets in it");
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_of_kafkas_tool_are_read() {
        let offsets =
            parse_csv("flights,0,10\n\"flights\",\"1\",\"20\"\n\ng,orders,0,5\n").expect("offsets");
        assert_eq!(offsets.len(), 3);
        assert_eq!(offsets[&TopicPartition::new("flights", 1)], 20);
        assert_eq!(offsets[&TopicPartition::new("orders", 0)], 5);
        for text in ["", "a,b", "a,x,1", "a,0,-1", "a,0,x"] {
            assert!(parse_csv(text).is_err(), "{text}");
        }
    }
}
