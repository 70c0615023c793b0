//! OffsetDelete: an administrator takes committed offsets back.
//!
//! After `OffsetMetadataManager.deleteOffsets` and `ClassicGroup.validateOffsetDelete`.

use types::{GroupId, PartitionIndex, TopicName, TopicPartition};

use super::store::OffsetStore;
use crate::group::kind::Group;
use crate::group::record::GroupRecord;

/// OffsetDelete.
#[derive(Clone, Debug)]
pub struct DeleteOffsetsRequest {
    /// The group.
    pub group: GroupId,
    /// Whose offsets to forget.
    pub partitions: Vec<TopicPartition>,
}

/// The result for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// Success also where nothing was committed.
    pub result: Result<(), DeleteOffsetError>,
}

/// Why a whole OffsetDelete is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteOffsetsError {
    /// INVALID_GROUP_ID.
    #[error("the group id is empty")]
    InvalidGroupId,
    /// GROUP_ID_NOT_FOUND.
    #[error("there is no such group")]
    UnknownGroup,
    /// NON_EMPTY_GROUP: the group has members whose subscriptions only they can read.
    #[error("the group has members of another protocol type than consumer")]
    NonEmptyGroup,
}

/// Why the offset of one partition is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteOffsetError {
    /// GROUP_SUBSCRIBED_TO_TOPIC.
    #[error("the group is subscribed to the topic")]
    SubscribedToTopic,
}

/// The group, if its offsets may be deleted.
pub(crate) fn validate<'a>(
    group: Option<&'a Group>,
    request: &DeleteOffsetsRequest,
) -> Result<&'a Group, DeleteOffsetsError> {
    if request.group.as_str().is_empty() {
        return Err(DeleteOffsetsError::InvalidGroupId);
    }
    let group = group.ok_or(DeleteOffsetsError::UnknownGroup)?;
    group.validate_delete_offsets()?;
    Ok(group)
}

/// The tombstones, and the result for each partition.
pub(crate) fn delete(
    group: &Group,
    store: &OffsetStore,
    request: DeleteOffsetsRequest,
) -> (Vec<GroupRecord>, Vec<DeletedOffset>) {
    let mut records = Vec::new();
    let mut results = Vec::with_capacity(request.partitions.len());
    for partition in request.partitions {
        let result = if group.is_subscribed(&partition.topic) {
            Err(DeleteOffsetError::SubscribedToTopic)
        } else {
            let TopicPartition {
                topic,
                partition: index,
            } = &partition;
            if store.get(&request.group, topic, *index).is_some()
                || store.pending().contains(&request.group, topic, *index)
            {
                records.push(tombstone(&request.group, topic, *index));
            }
            Ok(())
        };
        results.push(DeletedOffset { partition, result });
    }
    (records, results)
}

/// The tombstones of everything a group has committed, also within open transactions.
pub(crate) fn delete_all(store: &OffsetStore, group: &GroupId) -> Vec<GroupRecord> {
    let topics = store.group(group).into_iter().flatten();
    let committed = topics.flat_map(|(topic, partitions)| {
        let tombstone = |partition: &PartitionIndex| tombstone(group, topic, *partition);
        partitions.keys().map(tombstone)
    });
    let pending = store
        .pending()
        .of_group(group)
        .filter(|(topic, partition)| store.get(group, topic, *partition).is_none())
        .map(|(topic, partition)| tombstone(group, topic, partition));
    committed.chain(pending).collect()
}

/// The tombstones of everything any group has committed in `topics`, which are gone
/// (`OffsetMetadataManager.onPartitionsDeleted`).
pub(crate) fn delete_topics(store: &OffsetStore, topics: &[TopicName]) -> Vec<GroupRecord> {
    let mut records = Vec::new();
    for (group, offsets) in store.groups() {
        for topic in topics {
            for partition in offsets
                .get(topic)
                .into_iter()
                .flat_map(|offsets| offsets.keys())
            {
                records.push(tombstone(group, topic, *partition));
            }
        }
    }
    for group in store.pending().groups() {
        for (topic, partition) in store.pending().of_group(group) {
            if topics.contains(topic) && store.get(group, topic, partition).is_none() {
                records.push(tombstone(group, topic, partition));
            }
        }
    }
    records
}

pub(crate) fn tombstone(
    group: &GroupId,
    topic: &TopicName,
    partition: PartitionIndex,
) -> GroupRecord {
    GroupRecord::OffsetCommit {
        group: group.clone(),
        topic: topic.clone(),
        partition,
        value: None,
    }
}
