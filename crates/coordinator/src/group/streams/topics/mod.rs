//! Which topics a topology needs: partition counts of internal topics, copartitioning, and what is missing.
//!
//! After `org.apache.kafka.coordinator.group.streams.topics`. Pure: topics are looked up by a function.

pub(crate) mod configure;
pub(crate) mod copartition;
pub(crate) mod problem;
pub(crate) mod repartition;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use types::TopicName;

use super::topology::{StreamsTopology, SubtopologyId};
use problem::TopicProblem;

/// How many partitions a topic has; `None` for a topic that does not exist.
pub(crate) type PartitionCounts<'a> = &'a dyn Fn(&TopicName) -> Option<i32>;

/// Partition counts decided for topics that are yet to be made.
pub(crate) type DecidedCounts = BTreeMap<TopicName, i32>;

/// A topology with everything that follows from the topics there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfiguredTopology {
    /// The epoch of the topology it was made from.
    pub(crate) epoch: i32,
    /// The subtopologies; `None` if partition counts could not be decided.
    pub(crate) subtopologies: Option<BTreeMap<SubtopologyId, ConfiguredSubtopology>>,
    /// Internal topics that do not exist.
    pub(crate) missing_topics: Vec<CreatableTopic>,
    /// Why no tasks can be assigned.
    pub(crate) problem: Option<TopicProblem>,
}

/// A subtopology with its number of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfiguredSubtopology {
    /// The number of its tasks, at least one: the most partitions among its inputs.
    pub(crate) tasks: i32,
    /// Topics it reads that the application does not make.
    pub(crate) source_topics: Vec<TopicName>,
    /// Topics it writes for other subtopologies.
    pub(crate) repartition_sink_topics: Vec<TopicName>,
    /// Topics it reads that other subtopologies write.
    pub(crate) repartition_source_topics: BTreeMap<TopicName, CreatableTopic>,
    /// Topics that keep its state.
    pub(crate) state_changelog_topics: BTreeMap<TopicName, CreatableTopic>,
}

/// An internal topic as it is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatableTopic {
    /// Its name.
    pub name: TopicName,
    /// Its number of partitions, at least one.
    pub partitions: i32,
    /// Its replication factor; `None` is the broker's default.
    pub replication_factor: Option<i16>,
    /// Its settings.
    pub configs: BTreeMap<Arc<str>, Arc<str>>,
}

impl ConfiguredTopology {
    /// Whether tasks can be assigned.
    pub(crate) fn is_ready(&self) -> bool {
        self.problem.is_none()
    }
}

impl ConfiguredSubtopology {
    /// Whether its tasks have state that a standby could follow.
    pub(crate) fn is_stateful(&self) -> bool {
        !self.state_changelog_topics.is_empty()
    }

    /// The topics whose partitions make the tasks.
    pub(crate) fn input_topics(&self) -> impl Iterator<Item = &TopicName> {
        self.source_topics
            .iter()
            .chain(self.repartition_source_topics.keys())
    }
}

/// Partition counts as decided so far: what exists first, then what is to be made.
fn known_count(
    topic: &TopicName,
    existing: PartitionCounts<'_>,
    decided: &DecidedCounts,
) -> Option<i32> {
    existing(topic).or_else(|| decided.get(topic).copied())
}

/// All topics of the topology that a subtopology reads although nobody made them.
fn missing_source_topics(
    topology: &StreamsTopology,
    existing: PartitionCounts<'_>,
) -> std::collections::BTreeSet<TopicName> {
    let subtopologies = topology.subtopologies.values();
    subtopologies
        .flat_map(|subtopology| &subtopology.source_topics)
        .filter(|topic| existing(topic).is_none())
        .cloned()
        .collect()
}
