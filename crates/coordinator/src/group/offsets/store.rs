//! The committed offsets of all groups of a shard.
//!
//! Invariant: no empty map is kept, so a group without entry has nothing committed. Only replaying a record changes
//! the store, live and on loading alike.

use std::collections::BTreeMap;

use types::{GroupId, PartitionIndex, TopicName};

use crate::group::record::CommittedOffset;

/// Offsets by partition of one topic.
pub(crate) type TopicOffsets = BTreeMap<PartitionIndex, CommittedOffset>;
/// Offsets of one group.
pub(crate) type GroupOffsets = BTreeMap<TopicName, TopicOffsets>;

/// Committed offsets by group, topic and partition.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OffsetStore {
    by_group: BTreeMap<GroupId, GroupOffsets>,
}

impl OffsetStore {
    pub(crate) fn group(&self, group: &GroupId) -> Option<&GroupOffsets> {
        self.by_group.get(group)
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = (&GroupId, &GroupOffsets)> {
        self.by_group.iter()
    }

    pub(crate) fn get(
        &self,
        group: &GroupId,
        topic: &TopicName,
        partition: PartitionIndex,
    ) -> Option<&CommittedOffset> {
        self.by_group.get(group)?.get(topic)?.get(&partition)
    }

    pub(crate) fn put(
        &mut self,
        group: GroupId,
        topic: TopicName,
        partition: PartitionIndex,
        value: CommittedOffset,
    ) {
        let topics = self.by_group.entry(group).or_default();
        topics.entry(topic).or_default().insert(partition, value);
    }

    pub(crate) fn remove(&mut self, group: &GroupId, topic: &TopicName, partition: PartitionIndex) {
        let Some(topics) = self.by_group.get_mut(group) else {
            return;
        };
        let Some(partitions) = topics.get_mut(topic) else {
            return;
        };
        partitions.remove(&partition);
        if partitions.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            self.by_group.remove(group);
        }
    }
}
