//! Topics that are joined must have equally many partitions.
//!
//! After `CopartitionedTopicsEnforcer.java`. Topics that the application does not make decide; among repartition topics
//! alone a fixed number decides, else the largest.

use std::collections::{BTreeMap, BTreeSet};

use types::TopicName;

use super::super::topology::{StreamsTopology, Subtopology, SubtopologyId};
use super::configure::Failure;
use super::problem::{ConfigureError, TopicProblem};
use super::{DecidedCounts, PartitionCounts, known_count};

/// Gives copartitioned repartition topics equally many partitions.
pub(crate) fn enforce_copartitioning(
    topology: &StreamsTopology,
    groups: &[BTreeSet<TopicName>],
    existing: PartitionCounts<'_>,
    decided: &mut DecidedCounts,
) -> Result<(), Failure> {
    let (fixed, flexible) = repartition_topics(topology);
    for group in groups.iter().filter(|group| !group.is_empty()) {
        let count_of = |topic: &TopicName| {
            known_count(topic, existing, decided).map(|count| (topic.clone(), count))
        };
        let is_repartition =
            |topic: &&TopicName| fixed.contains(*topic) || flexible.contains(*topic);
        let repartition: BTreeMap<TopicName, i32> = group
            .iter()
            .filter(is_repartition)
            .filter_map(count_of)
            .collect();
        let external: BTreeMap<TopicName, i32> = group
            .iter()
            .filter(|topic| !is_repartition(topic))
            .filter_map(count_of)
            .collect();
        let needed = if !external.is_empty() {
            equal_count(external.values().copied())
                .ok_or(TopicProblem::DifferentPartitionCounts(external))?
        } else if !fixed.is_empty() {
            // Kafka compares all fixed topics of the topology here, not only those of this copartition group.
            let counts = fixed
                .iter()
                .filter_map(|topic| known_count(topic, existing, decided));
            equal_count(counts)
                .ok_or_else(|| TopicProblem::DifferentPartitionCounts(repartition.clone()))?
        } else {
            repartition.values().copied().max().unwrap_or(0)
        };
        for (topic, count) in repartition {
            if fixed.contains(&topic) && count != needed {
                return Err(TopicProblem::FixedPartitionCount {
                    topic,
                    fixed: count,
                    needed,
                }
                .into());
            }
            decided.insert(topic, needed);
        }
    }
    Ok(())
}

fn equal_count(mut counts: impl Iterator<Item = i32>) -> Option<i32> {
    let first = counts.next()?;
    counts.all(|count| count == first).then_some(first)
}

/// Repartition topics with a fixed number of partitions, and those without.
fn repartition_topics(topology: &StreamsTopology) -> (BTreeSet<TopicName>, BTreeSet<TopicName>) {
    let sources = topology
        .subtopologies
        .values()
        .flat_map(|subtopology| &subtopology.repartition_source_topics);
    let named = |fixed: bool| {
        sources
            .clone()
            .filter(move |topic| (topic.partitions != 0) == fixed)
            .map(|topic| topic.name.clone())
            .collect()
    };
    (named(true), named(false))
}

/// The copartition groups of all subtopologies, by the names of their topics.
pub(crate) fn copartition_groups(
    topology: &StreamsTopology,
) -> Result<Vec<BTreeSet<TopicName>>, ConfigureError> {
    let mut groups = Vec::new();
    for (id, subtopology) in &topology.subtopologies {
        groups.extend(groups_of(id, subtopology)?);
    }
    Ok(groups)
}

fn groups_of(
    id: &SubtopologyId,
    subtopology: &Subtopology,
) -> Result<Vec<BTreeSet<TopicName>>, ConfigureError> {
    let missing = || ConfigureError::NoSuchCopartitionedTopic(id.clone());
    let source = |index: &i16| {
        let topic = usize::try_from(*index)
            .ok()
            .and_then(|index| subtopology.source_topics.get(index));
        topic.cloned().ok_or_else(missing)
    };
    let repartition = |index: &i16| {
        let topic = usize::try_from(*index)
            .ok()
            .and_then(|index| subtopology.repartition_source_topics.get(index));
        topic.map(|topic| topic.name.clone()).ok_or_else(missing)
    };
    subtopology
        .copartition_groups
        .iter()
        .map(|group| {
            let sources = group.source_topics.iter().map(source);
            let repartition = group.repartition_source_topics.iter().map(repartition);
            sources.chain(repartition).collect()
        })
        .collect()
}
