//! A partition as Metadata and DescribeTopicPartitions show it (`KRaftMetadataCache.getPartitionMetadata`).

use metadata::Topic;

use crate::ownership::BrokerId;
use crate::topics::Topics;

/// Who has a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartitionView {
    /// Its number.
    pub(super) index: i32,
    /// The broker that leads it, if there is one and clients can reach it.
    pub(super) leader: Option<BrokerId>,
    /// The leader's epoch.
    pub(super) leader_epoch: i32,
    /// The brokers that hold it, all of them in sync: each partition lies on every broker of this cluster of one.
    pub(super) replicas: Vec<i32>,
}

/// The partitions of `topic` with numbers in `range`, as far as they exist.
pub(super) fn partitions<'a>(
    topics: &'a Topics,
    topic: &'a Topic,
    range: std::ops::Range<i32>,
) -> impl Iterator<Item = PartitionView> + 'a {
    let brokers: Vec<BrokerId> = topics
        .config
        .endpoints()
        .map(|endpoint| endpoint.broker)
        .collect();
    let replicas: Vec<i32> = brokers.iter().map(|broker| broker.0).collect();
    range.filter_map(move |index| {
        let owner = topics.owner(topic, index).ok()?;
        Some(PartitionView {
            index,
            leader: owner.leader.filter(|leader| brokers.contains(leader)),
            leader_epoch: owner.epoch.value(),
            replicas: replicas.clone(),
        })
    })
}
