//! `watertable topic delete-records`: moves the start of logs forward.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use client::Isolation;
use client::admin::delete_records;
use serde::Serialize;

use super::{chosen, existing, offsets_of};
use crate::moment::Position;
use crate::output::{self, Columns};
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
    let results: BTreeMap<_, _> = if arguments.dry_run {
        before
            .into_iter()
            .map(|(partition, offset)| (partition, Ok(offset)))
            .collect()
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
                let error = anyhow!(refusal);
                failure
                    .get_or_insert(error.context(format!("cannot delete records of {partition}")));
            }
        }
    }
    if session.json {
        output::json(&rows)?;
    } else {
        let mut columns = Columns::new(&["#PARTITION", "#START"]);
        for row in &rows {
            columns.row([row.partition.to_string(), row.log_start_offset.to_string()]);
        }
        columns.print()?;
    }
    failure.map_or(Ok(()), Err)
}
