//! `watertable group`: list, describe, reset and delete groups of every kind.

mod delete;
mod delete_offsets;
mod describe;
mod list;
mod reset_offsets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
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
  watertable group delete-offsets counters --topic flights
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
    /// Forget the offsets of topics that no member reads
    DeleteOffsets(delete_offsets::Arguments),
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
            Verb::DeleteOffsets(arguments) => delete_offsets::run(&session, &arguments).await,
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

/// The partitions that texts like `TOPIC` and `TOPIC:0,1` name.
async fn partitions_named(
    cluster: &Cluster,
    topics: &[String],
) -> Result<BTreeSet<TopicPartition>> {
    let mut places = BTreeSet::new();
    for text in topics {
        let (name, numbers) = match text.split_once(':') {
            Some((name, numbers)) => (name, Some(numbers)),
            None => (text.as_str(), None),
        };
        let name: Arc<str> = Arc::from(name);
        let topic = cluster.topic(&name).await?;
        match numbers {
            None => {
                let all = topic.partitions.iter();
                places.extend(all.map(|p| TopicPartition::new(Arc::clone(&name), p.index)));
            }
            Some(numbers) => {
                for number in numbers.split(',') {
                    let number: i32 = number
                        .trim()
                        .parse()
                        .with_context(|| format!("'{text}' is not TOPIC:0,1"))?;
                    if topic.partition(number).is_none() {
                        return Err(client::MetadataError::NoPartition {
                            topic: name.as_ref().to_owned(),
                            partition: number,
                            count: topic.partitions.len(),
                        }
                        .into());
                    }
                    places.insert(TopicPartition::new(Arc::clone(&name), number));
                }
            }
        }
    }
    Ok(places)
}
