//! The committed offsets of all groups of a shard, and those that wait for the end of their transaction.
//!
//! Invariant: no empty map is kept, so a group without entry has nothing committed. Only replaying a record changes
//! the store, live and on loading alike.

use std::collections::BTreeMap;

use types::{GroupId, PartitionIndex, ProducerId, TopicName};

use super::pending::PendingOffsets;

use crate::group::record::CommittedOffset;

/// Offsets by partition of one topic.
pub(crate) type TopicOffsets = BTreeMap<PartitionIndex, CommittedOffset>;
/// Offsets of one group.
pub(crate) type GroupOffsets = BTreeMap<TopicName, TopicOffsets>;

/// Committed offsets by group, topic and partition.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OffsetStore {
    by_group: BTreeMap<GroupId, GroupOffsets>,
    pending: PendingOffsets,
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

    /// What open transactions have committed.
    pub(crate) fn pending(&self) -> &PendingOffsets {
        &self.pending
    }

    /// A commit outside of any transaction.
    pub(crate) fn put(
        &mut self,
        group: GroupId,
        topic: TopicName,
        partition: PartitionIndex,
        value: CommittedOffset,
    ) {
        if self.pending.has_group(&group) {
            let place = (group.clone(), topic.clone(), partition);
            self.pending.supersede(&place);
        }
        self.insert(group, topic, partition, value);
    }

    fn insert(
        &mut self,
        group: GroupId,
        topic: TopicName,
        partition: PartitionIndex,
        value: CommittedOffset,
    ) {
        let topics = self.by_group.entry(group).or_default();
        topics.entry(topic).or_default().insert(partition, value);
    }

    /// A commit within the open transaction of `producer`.
    pub(crate) fn put_pending(
        &mut self,
        producer: ProducerId,
        group: GroupId,
        topic: TopicName,
        partition: PartitionIndex,
        value: CommittedOffset,
    ) {
        self.pending.put(producer, (group, topic, partition), value);
    }

    /// The transaction of `producer` ended: what it committed counts now, or never.
    pub(crate) fn end_transaction(&mut self, producer: ProducerId, committed: bool) {
        for ((group, topic, partition), value) in self.pending.end(producer, committed) {
            self.insert(group, topic, partition, value);
        }
    }

    /// A tombstone: takes away what is committed, and what is pending.
    pub(crate) fn remove(&mut self, group: &GroupId, topic: &TopicName, partition: PartitionIndex) {
        if self.pending.has_group(group) {
            let place = (group.clone(), topic.clone(), partition);
            self.pending.clear(&place);
        }
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
