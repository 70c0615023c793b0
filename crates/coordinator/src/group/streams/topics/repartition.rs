//! Partition counts of repartition topics, and of changelogs.
//!
//! After `RepartitionTopics.java` and `ChangelogTopics.java`. A repartition topic without a fixed number gets that of
//! the largest input of the subtopology that writes it; inputs may be repartition topics themselves, so counts are
//! decided in rounds until nothing is open or nothing moves.

use super::super::topology::{StreamsTopology, Subtopology};
use super::problem::ConfigureError;
use super::{DecidedCounts, PartitionCounts, known_count};

/// The number of partitions of every repartition topic.
pub(crate) fn repartition_counts(
    topology: &StreamsTopology,
    existing: PartitionCounts<'_>,
) -> Result<DecidedCounts, ConfigureError> {
    let mut counts = fixed_counts(topology);
    loop {
        let mut is_open = false;
        let mut has_moved = false;
        for subtopology in topology.subtopologies.values() {
            for sink in &subtopology.repartition_sink_topics {
                if counts.contains_key(sink) {
                    continue;
                }
                match largest_known_input(subtopology, existing, &counts) {
                    Some(count) => {
                        counts.insert(sink.clone(), count);
                        has_moved = true;
                    }
                    None => is_open = true,
                }
            }
        }
        if !is_open {
            break;
        }
        if !has_moved {
            return Err(ConfigureError::UnresolvableLoop);
        }
    }
    let sources = |subtopology: &Subtopology| {
        let mut sources = subtopology.repartition_source_topics.iter();
        sources.all(|source| counts.contains_key(&source.name))
    };
    if topology.subtopologies.values().all(sources) {
        Ok(counts)
    } else {
        Err(ConfigureError::RepartitionSourceWithoutSink)
    }
}

fn fixed_counts(topology: &StreamsTopology) -> DecidedCounts {
    let subtopologies = topology.subtopologies.values();
    subtopologies
        .flat_map(|subtopology| &subtopology.repartition_source_topics)
        .filter(|topic| topic.partitions != 0)
        .map(|topic| (topic.name.clone(), topic.partitions))
        .collect()
}

fn largest_known_input(
    subtopology: &Subtopology,
    existing: PartitionCounts<'_>,
    counts: &DecidedCounts,
) -> Option<i32> {
    let repartition = subtopology.repartition_source_topics.iter();
    let repartition = repartition.filter_map(|topic| counts.get(&topic.name).copied());
    let external = subtopology.source_topics.iter();
    let external = external.filter_map(existing);
    repartition.chain(external).max()
}

/// The number of partitions of every changelog: as many as its subtopology has tasks.
pub(crate) fn changelog_counts(
    topology: &StreamsTopology,
    existing: PartitionCounts<'_>,
    decided: &DecidedCounts,
) -> Result<DecidedCounts, ConfigureError> {
    let mut counts = DecidedCounts::new();
    for (id, subtopology) in &topology.subtopologies {
        let inputs = subtopology.input_topics();
        let largest = inputs
            .filter_map(|topic| known_count(topic, existing, decided))
            .max()
            .ok_or_else(|| ConfigureError::NoSourceTopics(id.clone()))?;
        for topic in &subtopology.state_changelog_topics {
            counts.insert(topic.name.clone(), largest);
        }
    }
    Ok(counts)
}
