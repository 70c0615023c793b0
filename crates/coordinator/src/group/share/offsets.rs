//! Altering and deleting the start offsets of a group without members.
//!
//! Both take two steps: the group records what it is about to do, the caller asks the share coordinator, and then tells
//! the group how it went. A crash between leaves initializing or deleting partitions, which the next attempt takes up.

use types::{GroupId, PartitionIndex, TopicId, TopicName};

use super::heartbeat::InitializeShareStates;
use super::partitions::ShareStatePartitions;
use super::state::ShareGroup;
use crate::group::modern::partitions::TopicPartitions;
use crate::group::modern::topics::TopicsImage;

/// AlterShareGroupOffsets.
#[derive(Clone, Debug)]
pub struct AlterShareOffsetsRequest {
    /// The group; it is created if there is none.
    pub group: GroupId,
    /// Partitions by topic. Numbers and offsets are as they came.
    pub topics: Vec<(TopicName, Vec<i32>)>,
}

/// DeleteShareGroupOffsets.
#[derive(Clone, Debug)]
pub struct DeleteShareOffsetsRequest {
    /// The group.
    pub group: GroupId,
    /// The topics.
    pub topics: Vec<TopicName>,
}

/// What is to be altered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterShareOffsets {
    /// The id of each topic asked for, in order; `None` where there is no such topic.
    pub topics: Vec<Option<TopicId>>,
    /// What the share coordinator must begin anew.
    pub initialize: InitializeShareStates,
}

/// What is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteShareOffsets {
    /// For each topic asked for, in order, what the share coordinator must forget.
    pub topics: Vec<Result<(TopicId, TopicPartitions), DeleteShareTopicError>>,
}

/// Why nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareOffsetsError {
    /// GROUP_ID_NOT_FOUND.
    #[error("there is no such share group")]
    UnknownGroup,
    /// NON_EMPTY_GROUP.
    #[error("the group has members")]
    NonEmptyGroup,
}

/// Why a topic's offsets are kept. Both are UNKNOWN_TOPIC_OR_PARTITION.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteShareTopicError {
    /// The cluster has no such topic.
    #[error("there is no such topic")]
    UnknownTopic,
    /// The group has not read it.
    #[error("the group has no offsets of this topic")]
    NoOffsets,
}

pub(crate) fn validate(group: &ShareGroup) -> Result<(), ShareOffsetsError> {
    if group.is_empty() {
        Ok(())
    } else {
        Err(ShareOffsetsError::NonEmptyGroup)
    }
}

/// Says what to do, and what to record first if there is something.
pub(crate) fn alter(
    group: &ShareGroup,
    request: &AlterShareOffsetsRequest,
    topics: &TopicsImage,
) -> (Option<ShareStatePartitions>, AlterShareOffsets) {
    let mut ids = Vec::with_capacity(request.topics.len());
    let mut partitions = TopicPartitions::new();
    for (name, indexes) in &request.topics {
        let topic = topics.by_name(name.as_str());
        ids.push(topic.map(|topic| topic.id));
        let Some(topic) = topic else {
            continue;
        };
        let existing = indexes.iter().filter(|index| **index < topic.partitions);
        partitions.extend_from(
            existing
                .filter_map(|index| PartitionIndex::new(*index))
                .map(|index| (topic.id, index)),
        );
    }
    let known = group.state_partitions();
    let next = (!partitions.is_empty()).then(|| known.with_initializing(&partitions, topics));
    let plan = AlterShareOffsets {
        topics: ids,
        initialize: InitializeShareStates {
            epoch: group.epoch,
            partitions,
        },
    };
    (next, plan)
}

/// Says what to do, and what to record first if there is something.
pub(crate) fn delete(
    group: &ShareGroup,
    request: &DeleteShareOffsetsRequest,
    topics: &TopicsImage,
) -> (Option<ShareStatePartitions>, DeleteShareOffsets) {
    let before = group.state_partitions();
    let mut next = before.clone();
    let mut delete = |name: &TopicName| {
        let topic = topics.by_name(name.as_str());
        let topic = topic.ok_or(DeleteShareTopicError::UnknownTopic)?;
        let doomed = next.delete_topic(topic.id, topics);
        let doomed = doomed.ok_or(DeleteShareTopicError::NoOffsets)?;
        Ok((topic.id, doomed))
    };
    let plan = DeleteShareOffsets {
        topics: request.topics.iter().map(&mut delete).collect(),
    };
    ((next != before).then_some(next), plan)
}
