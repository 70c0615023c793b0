//! `watertable topic`: create, list, describe, change, delete topics; delete their records; look up offsets.

pub(crate) mod alter;
pub(crate) mod contract;
mod create;
mod delete;
mod delete_records;
mod describe;
mod list;
mod offsets;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use client::{
    Cluster, Isolation, Metadata, Topic, TopicPartition, TopicSelection, resolve_offsets,
};

use crate::moment::Position;
use crate::report::Failure;
use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  watertable topic create flights --partitions 3 --config retention.ms=604800000
  watertable topic list 'flights*'
  watertable topic describe flights
  watertable topic alter flights --set retention.ms=3600000 --partitions 6
  watertable topic contract infer flights
  watertable topic offsets flights --at @-1h
  watertable topic delete-records flights --before 1000 --partition 0
  watertable topic delete flights"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) session: Session,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Create topics
    Create(create::Arguments),
    /// List topics
    List(list::Arguments),
    /// Show partitions, leaders, replicas, offsets and settings
    Describe(describe::Arguments),
    /// Change settings, add partitions
    Alter(alter::Arguments),
    /// Propose, set, show or drop the declared columns of a topic's table
    Contract(contract::Arguments),
    /// Delete topics with everything in them
    Delete(delete::Arguments),
    /// Delete the oldest records
    DeleteRecords(delete_records::Arguments),
    /// Look up first and last offsets, or the offset of a time
    Offsets(offsets::Arguments),
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let Arguments { session, verb } = arguments;
    session::run(async move {
        match verb {
            Verb::Create(arguments) => create::run(&session, arguments).await,
            Verb::List(arguments) => list::run(&session, &arguments).await,
            Verb::Describe(arguments) => describe::run(&session, &arguments).await,
            Verb::Alter(arguments) => alter::run(&session, arguments).await,
            Verb::Contract(arguments) => contract::run(&session, arguments).await,
            Verb::Delete(arguments) => delete::run(&session, &arguments).await,
            Verb::DeleteRecords(arguments) => delete_records::run(&session, &arguments).await,
            Verb::Offsets(arguments) => offsets::run(&session, &arguments).await,
        }
    })
}

/// Whether a name fits a pattern, in which `*` stands for anything and `?` for one character.
fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // The places in the pattern that the name read so far may have led to.
    let mut places = vec![false; pattern.len() + 1];
    places[0] = true;
    let skip_stars = |places: &mut Vec<bool>| {
        for (at, symbol) in pattern.iter().enumerate() {
            if places[at] && *symbol == '*' {
                places[at + 1] = true;
            }
        }
    };
    skip_stars(&mut places);
    for character in name {
        let mut next = vec![false; pattern.len() + 1];
        for (at, symbol) in pattern.iter().enumerate() {
            if places[at] {
                match symbol {
                    '*' => next[at] = true,
                    '?' => next[at + 1] = true,
                    literal if *literal == character => next[at + 1] = true,
                    _ => {}
                }
            }
        }
        skip_stars(&mut next);
        places = next;
    }
    places.last().copied().unwrap_or_default()
}

/// All topics that fit, by name; internal ones only if asked for or named.
async fn matching(
    cluster: &Cluster,
    patterns: &[String],
    internal: bool,
) -> Result<(Metadata, Vec<Arc<Topic>>)> {
    let metadata = cluster.metadata(TopicSelection::All).await?;
    let mut topics = Vec::new();
    for topic in metadata.topics.values() {
        let Ok(topic) = topic else { continue };
        let named = patterns.iter().any(|pattern| **pattern == *topic.name);
        let fits = patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, &topic.name));
        if fits && (internal || named || !topic.is_internal) {
            topics.push(Arc::clone(topic));
        }
    }
    // A name that was spelled out must exist; a pattern may fit nothing.
    for pattern in patterns {
        let is_name = !pattern.contains(['*', '?']);
        if is_name && !topics.iter().any(|topic| *topic.name == **pattern) {
            return Err(no_topic(pattern, metadata.topics.keys()));
        }
    }
    Ok((metadata, topics))
}

/// Says that a topic is not there, with the nearest name that is.
pub(crate) fn no_topic<'a>(name: &str, known: impl Iterator<Item = &'a Arc<str>>) -> anyhow::Error {
    let nearest = ::contract::nearest(name, known.map(|known| &**known));
    let next_step = match nearest {
        Some(known) => format!("did you mean '{known}'? `watertable topic list` shows all"),
        None => format!(
            "create it with `watertable topic create {name}`, or see `watertable topic list`"
        ),
    };
    Failure::new(format!("there is no topic '{name}'"), next_step).into()
}

/// One topic that must exist.
async fn existing(cluster: &Cluster, name: &str) -> Result<Arc<Topic>> {
    let (_, topics) = matching(cluster, &[name.to_owned()], true).await?;
    let topic = topics.into_iter().find(|topic| *topic.name == *name);
    topic.with_context(|| format!("there is no topic '{name}'"))
}

/// The partitions asked for, or all; each must exist.
fn chosen(topic: &Topic, numbers: &[i32]) -> Result<Vec<TopicPartition>> {
    if numbers.is_empty() {
        let all = topic.partitions.iter();
        let all =
            all.map(|partition| TopicPartition::new(Arc::clone(&topic.name), partition.index));
        return Ok(all.collect());
    }
    numbers
        .iter()
        .map(|number| {
            if topic.partition(*number).is_none() {
                return Err(client::MetadataError::NoPartition {
                    topic: topic.name.as_ref().to_owned(),
                    partition: *number,
                    count: topic.partitions.len(),
                }
                .into());
            }
            Ok(TopicPartition::new(Arc::clone(&topic.name), *number))
        })
        .collect()
}

/// The offset that a place means in each partition.
pub(crate) async fn offsets_of(
    cluster: &Cluster,
    partitions: &[TopicPartition],
    position: Position,
    isolation: Isolation,
) -> Result<BTreeMap<TopicPartition, i64>> {
    let Some(lookup) = position.lookup() else {
        let Position::Offset(offset) = position else {
            unreachable!("every other place is looked up");
        };
        return Ok(partitions.iter().map(|p| (p.clone(), offset)).collect());
    };
    let wanted = partitions.iter().map(|p| (p.clone(), lookup)).collect();
    let mut offsets = resolve_offsets(cluster, &wanted, isolation).await?;
    if let Position::BeforeEnd(count) = position {
        let wanted = partitions
            .iter()
            .map(|p| (p.clone(), client::OffsetSpec::Earliest));
        let starts = resolve_offsets(cluster, &wanted.collect(), isolation).await?;
        for (partition, offset) in &mut offsets {
            let start = starts.get(partition).copied().unwrap_or_default();
            *offset = offset.saturating_sub(count).max(start);
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        let cases = [
            ("flights", "flights", true),
            ("flights", "flights2", false),
            ("flights*", "flights2", true),
            ("*", "", true),
            ("*a*b", "xxaxxb", true),
            ("*a*b", "xxaxxbc", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("**", "anything", true),
            ("", "", true),
            ("", "a", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_misspelled_topic_is_told_its_neighbour() {
        let known = [Arc::from("flights"), Arc::from("orders")];
        let error = no_topic("fligths", known.iter());
        let failure = error.downcast_ref::<Failure>().expect("a failure");
        assert!(format!("{failure:?}").contains("did you mean 'flights'"));
        let error = no_topic("zzz", known.iter());
        assert!(format!("{:?}", error.downcast_ref::<Failure>()).contains("create it"));
    }
}
