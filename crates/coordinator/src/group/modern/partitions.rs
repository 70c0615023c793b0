//! Partitions by topic id, as assignments name them.
//!
//! Invariant: no topic is kept without partitions, so two equal assignments compare equal.

use std::collections::{BTreeMap, BTreeSet};

use types::{PartitionIndex, TopicId};

/// A set of partitions, by topic id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TopicPartitions(BTreeMap<TopicId, BTreeSet<PartitionIndex>>);

impl TopicPartitions {
    /// No partitions.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether there is no partition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many partitions there are.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// The partitions of one topic.
    pub fn topic(&self, topic: TopicId) -> Option<&BTreeSet<PartitionIndex>> {
        self.0.get(&topic)
    }

    /// Whether a partition is in the set.
    pub fn contains(&self, topic: TopicId, partition: PartitionIndex) -> bool {
        self.0
            .get(&topic)
            .is_some_and(|partitions| partitions.contains(&partition))
    }

    /// Adds a partition; says whether it is new.
    pub fn insert(&mut self, topic: TopicId, partition: PartitionIndex) -> bool {
        self.0.entry(topic).or_default().insert(partition)
    }

    /// Takes a partition out; says whether it was there.
    pub fn remove(&mut self, topic: TopicId, partition: PartitionIndex) -> bool {
        let Some(partitions) = self.0.get_mut(&topic) else {
            return false;
        };
        let removed = partitions.remove(&partition);
        if partitions.is_empty() {
            self.0.remove(&topic);
        }
        removed
    }

    /// Adds all partitions of `other`.
    pub fn extend(&mut self, other: &Self) {
        for (topic, partitions) in &other.0 {
            self.0
                .entry(*topic)
                .or_default()
                .extend(partitions.iter().copied());
        }
    }

    /// Keeps the topics for which `keep` says so.
    pub fn retain_topics(&mut self, mut keep: impl FnMut(TopicId) -> bool) {
        self.0.retain(|topic, _| keep(*topic));
    }

    /// Whether `other` has every partition of this set.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().all(|(topic, partitions)| {
            other
                .topic(*topic)
                .is_some_and(|others| partitions.is_subset(others))
        })
    }

    /// Whether some partition is in both sets.
    pub fn intersects(&self, other: &Self) -> bool {
        self.iter()
            .any(|(topic, partition)| other.contains(topic, partition))
    }

    /// Topics with their partitions, both in order.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = (TopicId, &BTreeSet<PartitionIndex>)> {
        self.0
            .iter()
            .map(|(topic, partitions)| (*topic, partitions))
    }

    /// Every partition, in order.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, PartitionIndex)> {
        self.topics().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |partition| (topic, *partition))
        })
    }
}

impl FromIterator<(TopicId, PartitionIndex)> for TopicPartitions {
    fn from_iter<I: IntoIterator<Item = (TopicId, PartitionIndex)>>(partitions: I) -> Self {
        let mut set = Self::new();
        set.extend_from(partitions);
        set
    }
}

impl TopicPartitions {
    /// Adds partitions one by one.
    pub fn extend_from(&mut self, partitions: impl IntoIterator<Item = (TopicId, PartitionIndex)>) {
        for (topic, partition) in partitions {
            self.insert(topic, partition);
        }
    }
}
