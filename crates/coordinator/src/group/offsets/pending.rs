//! Offsets that open transactions have committed: nobody reads them before the transaction commits, and they are
//! forgotten when it aborts.
//!
//! After `OffsetMetadataManager.pendingTransactionalOffsets` and `OpenTransactions`. Of several commits of one
//! partition the one that stands last in the log counts, in whatever order their transactions end; Kafka compares the
//! records' offsets, here a commit that came later marks what is pending as superseded, which needs no offsets.
//!
//! Invariants: `by_producer` names exactly the entries of `by_group`; no empty map is kept.

use std::collections::{BTreeMap, BTreeSet};

use types::{GroupId, PartitionIndex, ProducerId, TopicName};

use crate::group::record::CommittedOffset;

/// A partition as a group reads it.
pub(crate) type Place = (GroupId, TopicName, PartitionIndex);

type ByPartition = BTreeMap<PartitionIndex, BTreeMap<ProducerId, PendingOffset>>;

/// An offset of an open transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PendingOffset {
    value: CommittedOffset,
    /// Rises with the order in the log.
    order: u64,
    /// Another offset for the partition stands behind it in the log and has been taken.
    superseded: bool,
}

/// The pending offsets of a shard.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PendingOffsets {
    by_group: BTreeMap<GroupId, BTreeMap<TopicName, ByPartition>>,
    by_producer: BTreeMap<ProducerId, BTreeSet<Place>>,
    ordered: u64,
}

impl PendingOffsets {
    pub(crate) fn put(&mut self, producer: ProducerId, place: Place, value: CommittedOffset) {
        self.ordered += 1;
        let offset = PendingOffset {
            value,
            order: self.ordered,
            superseded: false,
        };
        let (group, topic, partition) = place.clone();
        let topics = self.by_group.entry(group).or_default();
        let partitions = topics.entry(topic).or_default();
        partitions
            .entry(partition)
            .or_default()
            .insert(producer, offset);
        self.by_producer.entry(producer).or_default().insert(place);
    }

    /// Whether an open transaction may replace the offset of a partition.
    pub(crate) fn contains(
        &self,
        group: &GroupId,
        topic: &TopicName,
        partition: PartitionIndex,
    ) -> bool {
        let topics = self.by_group.get(group);
        let partitions = topics.and_then(|topics| topics.get(topic));
        partitions.is_some_and(|partitions| partitions.contains_key(&partition))
    }

    /// Whether an open transaction has committed anything for a group.
    pub(crate) fn has_group(&self, group: &GroupId) -> bool {
        self.by_group.contains_key(group)
    }

    /// The partitions of a group with pending offsets.
    pub(crate) fn of_group(
        &self,
        group: &GroupId,
    ) -> impl Iterator<Item = (&TopicName, PartitionIndex)> {
        let topics = self.by_group.get(group).into_iter().flatten();
        topics.flat_map(|(topic, partitions)| partitions.keys().map(move |index| (topic, *index)))
    }

    /// The groups with pending offsets.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &GroupId> {
        self.by_group.keys()
    }

    /// A commit outside of any transaction stands behind all that is pending for the partition.
    pub(crate) fn supersede(&mut self, place: &Place) {
        self.supersede_before(place, u64::MAX);
    }

    fn supersede_before(&mut self, (group, topic, partition): &Place, order: u64) {
        let topics = self.by_group.get_mut(group);
        let partitions = topics.and_then(|topics| topics.get_mut(topic));
        let offsets = partitions.and_then(|partitions| partitions.get_mut(partition));
        for offset in offsets.into_iter().flat_map(BTreeMap::values_mut) {
            offset.superseded |= offset.order < order;
        }
    }

    /// The offset of a partition was deleted, and with it what is pending.
    pub(crate) fn clear(&mut self, place: &Place) {
        let (group, topic, partition) = place;
        let topics = self.by_group.get(group);
        let partitions = topics.and_then(|topics| topics.get(topic));
        let producers: Vec<_> = partitions
            .and_then(|partitions| partitions.get(partition))
            .map(|offsets| offsets.keys().copied().collect())
            .unwrap_or_default();
        for producer in producers {
            self.take(producer, place);
            if let Some(places) = self.by_producer.get_mut(&producer) {
                places.remove(place);
                if places.is_empty() {
                    self.by_producer.remove(&producer);
                }
            }
        }
    }

    /// Ends a producer's transaction and gives the offsets that count if it committed.
    pub(crate) fn end(
        &mut self,
        producer: ProducerId,
        committed: bool,
    ) -> Vec<(Place, CommittedOffset)> {
        let places = self.by_producer.remove(&producer).unwrap_or_default();
        let mut counting = Vec::new();
        for place in places {
            let Some(offset) = self.take(producer, &place) else {
                continue;
            };
            if committed && !offset.superseded {
                self.supersede_before(&place, offset.order);
                counting.push((place, offset.value));
            }
        }
        counting
    }

    fn take(&mut self, producer: ProducerId, place: &Place) -> Option<PendingOffset> {
        let (group, topic, partition) = place;
        let topics = self.by_group.get_mut(group)?;
        let partitions = topics.get_mut(topic)?;
        let offsets = partitions.get_mut(partition)?;
        let offset = offsets.remove(&producer);
        if offsets.is_empty() {
            partitions.remove(partition);
        }
        if partitions.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            self.by_group.remove(group);
        }
        offset
    }
}
