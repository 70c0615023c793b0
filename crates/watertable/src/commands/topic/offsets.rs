//! `watertable topic offsets`: the ends of logs, or the offset of a time.

use anyhow::Result;
use client::{Isolation, TopicPartition, list_offsets};
use serde::Serialize;

use super::{chosen, matching, offsets_of};
use crate::moment::{POSITION_HELP, Position, display_time};
use crate::output::{self, Columns, or_dash};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The topics; * and ? stand for any characters
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Only these partitions
    #[arg(long, short, value_name = "NUMBER", value_delimiter = ',')]
    partition: Vec<i32>,
    /// One place instead of start and end: start, end, max-timestamp, -N for N before the end, @TIME
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    at: Option<Position>,
    /// Also topics in which the cluster keeps its own state
    #[arg(long)]
    internal: bool,
}

#[derive(Serialize)]
struct Ends {
    topic: String,
    partition: i32,
    start: i64,
    end: i64,
}

#[derive(Serialize)]
struct Found {
    topic: String,
    partition: i32,
    offset: Option<i64>,
    timestamp: Option<i64>,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let (_, topics) = matching(&cluster, &arguments.patterns, arguments.internal).await?;
    let mut partitions: Vec<TopicPartition> = Vec::new();
    for topic in &topics {
        partitions.extend(chosen(topic, &arguments.partition)?);
    }
    let isolation = Isolation::ReadUncommitted;
    let Some(at) = arguments.at else {
        let starts = offsets_of(&cluster, &partitions, Position::Start, isolation).await?;
        let ends = offsets_of(&cluster, &partitions, Position::End, isolation).await?;
        let rows = partitions.into_iter().map(|place| Ends {
            start: starts.get(&place).copied().unwrap_or_default(),
            end: ends.get(&place).copied().unwrap_or_default(),
            topic: place.topic.as_ref().to_owned(),
            partition: place.partition,
        });
        return print_ends(session, &rows.collect::<Vec<_>>());
    };
    let rows: Vec<Found> = match at {
        Position::Offset(_) => {
            return Err(crate::report::Failure::new(
                "an offset needs no looking up",
                format!("give --at one of: {POSITION_HELP}"),
            )
            .into());
        }
        Position::BeforeEnd(_) => {
            let offsets = offsets_of(&cluster, &partitions, at, isolation).await?;
            let offsets = offsets.into_iter();
            offsets
                .map(|(place, offset)| Found {
                    topic: place.topic.as_ref().to_owned(),
                    partition: place.partition,
                    offset: Some(offset),
                    timestamp: None,
                })
                .collect()
        }
        _ => {
            let lookup = at.lookup();
            let wanted = partitions.iter();
            let wanted = wanted
                .filter_map(|place| Some((place.clone(), lookup?)))
                .collect();
            let found = list_offsets(&cluster, &wanted, isolation).await?;
            let found = found.into_iter();
            found
                .map(|(place, found)| Found {
                    topic: place.topic.as_ref().to_owned(),
                    partition: place.partition,
                    offset: found.offset,
                    timestamp: found.timestamp_ms,
                })
                .collect()
        }
    };
    if session.json {
        return output::json(&rows);
    }
    let mut columns = Columns::new(&["TOPIC", "#PARTITION", "#OFFSET", "TIME"]);
    for row in &rows {
        columns.row([
            row.topic.clone(),
            row.partition.to_string(),
            or_dash(row.offset),
            or_dash(row.timestamp.map(display_time)),
        ]);
    }
    columns.print()
}

fn print_ends(session: &Session, rows: &[Ends]) -> Result<()> {
    if session.json {
        return output::json(&rows);
    }
    let mut columns = Columns::new(&["TOPIC", "#PARTITION", "#START", "#END", "#RECORDS"]);
    for row in rows {
        columns.row([
            row.topic.clone(),
            row.partition.to_string(),
            row.start.to_string(),
            row.end.to_string(),
            // At most: compaction and transactions leave gaps.
            (row.end - row.start).to_string(),
        ]);
    }
    columns.print()
}
