//! `watertable group`: list, describe, reset and delete consumer groups.

mod delete;
mod describe;
mod list;
mod reset_offsets;

use std::collections::BTreeMap;

use anyhow::Result;
use client::{Cluster, Isolation, OffsetSpec, TopicPartition, list_offsets};

use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  watertable group list
  watertable group describe counters
  watertable group reset-offsets counters --topic flights --to-earliest
  watertable group reset-offsets counters --topic flights:0,1 --shift-by -100 --execute
  watertable group delete counters"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) session: Session,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List groups with their states
    List(list::Arguments),
    /// Show members, committed offsets and lag
    Describe(describe::Arguments),
    /// Move the committed offsets of a group without members; a dry run unless --execute is given
    ResetOffsets(Box<reset_offsets::Arguments>),
    /// Delete groups without members
    Delete(delete::Arguments),
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let Arguments { session, verb } = arguments;
    session::run(async move {
        match verb {
            Verb::List(arguments) => list::run(&session, &arguments).await,
            Verb::Describe(arguments) => describe::run(&session, &arguments).await,
            Verb::ResetOffsets(arguments) => reset_offsets::run(&session, &arguments).await,
            Verb::Delete(arguments) => delete::run(&session, &arguments).await,
        }
    })
}

/// An end of each partition's log; partitions that are gone are left out.
async fn log_offsets(
    cluster: &Cluster,
    partitions: impl Iterator<Item = TopicPartition>,
    spec: OffsetSpec,
) -> Result<BTreeMap<TopicPartition, i64>> {
    let mut wanted = BTreeMap::new();
    for partition in partitions {
        // A group remembers offsets of topics that were deleted since.
        let topic = cluster.topic(&partition.topic).await;
        let exists = topic.is_ok_and(|topic| {
            let found = topic.partition(partition.partition);
            found.is_some_and(|found| found.leader.is_some())
        });
        if exists {
            wanted.insert(partition, spec);
        }
    }
    let found = list_offsets(cluster, &wanted, Isolation::ReadUncommitted).await?;
    Ok(found
        .into_iter()
        .filter_map(|(place, found)| Some((place, found.offset?)))
        .collect())
}
