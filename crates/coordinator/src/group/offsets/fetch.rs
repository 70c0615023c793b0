//! OffsetFetch of one group.
//!
//! After `OffsetMetadataManager.fetchOffsets` and `fetchAllOffsets`. Whatever was never committed, in a group or a
//! topic nobody knows, is "no offset", not an error.

use types::{GroupId, MemberId, PartitionIndex, TopicId, TopicName};

use super::store::OffsetStore;
use crate::group::record::CommittedOffset;

/// OffsetFetch of one group.
#[derive(Clone, Debug)]
pub struct FetchOffsetsRequest {
    /// The group; may be empty.
    pub group: GroupId,
    /// The member that asks (version 9); `None` if nobody is named.
    pub member: Option<MemberId>,
    /// The member's epoch (version 9); −1 if none is named.
    pub member_epoch: i32,
    /// What to look up.
    pub topics: TopicSelection,
    /// Whether an offset that an open transaction may replace is to be refused (version 7).
    pub require_stable: bool,
}

/// Which offsets to look up.
#[derive(Clone, Debug)]
pub enum TopicSelection {
    /// Everything the group has committed.
    All,
    /// These.
    Topics(Vec<FetchTopic>),
}

/// Partitions of one topic to look up.
#[derive(Clone, Debug)]
pub struct FetchTopic {
    /// The topic's name.
    pub topic: TopicName,
    /// The topic's id, if the client named the topic by it (version 10). An offset committed under another id belongs
    /// to an earlier topic of that name, and counts as none.
    pub topic_id: Option<TopicId>,
    /// The partitions.
    pub partitions: Vec<PartitionIndex>,
}

/// What is committed in one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedTopic {
    /// The topic's name.
    pub topic: TopicName,
    /// The topic's id, if the request named it.
    pub topic_id: Option<TopicId>,
    /// The partitions, in the order of the request.
    pub partitions: Vec<FetchedPartition>,
}

/// What is committed for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset; `None` if nothing is committed.
    pub result: Result<Option<CommittedOffset>, FetchOffsetError>,
}

/// Why a whole OffsetFetch of one group is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchOffsetsError {
    /// UNKNOWN_MEMBER_ID.
    #[error("the group has no such member")]
    UnknownMember,
    /// STALE_MEMBER_EPOCH.
    #[error("the member's epoch is {current}")]
    StaleMemberEpoch {
        /// The epoch the coordinator knows.
        current: i32,
    },
    /// ILLEGAL_GENERATION: the member speaks the classic protocol.
    #[error("the member's generation is {current}")]
    IllegalGeneration {
        /// The epoch the coordinator knows.
        current: i32,
    },
}

/// Why an offset cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchOffsetError {
    /// UNSTABLE_OFFSET_COMMIT: an open transaction holds another offset for the partition.
    #[error("an open transaction has committed another offset")]
    Unstable,
}

pub(crate) fn fetch(store: &OffsetStore, request: FetchOffsetsRequest) -> Vec<FetchedTopic> {
    let offsets = store.group(&request.group);
    let has_pending = request.require_stable && store.pending().has_group(&request.group);
    let is_unstable = |topic: &TopicName, partition| {
        has_pending && store.pending().contains(&request.group, topic, partition)
    };
    let refused = |partition| FetchedPartition {
        partition,
        result: Err(FetchOffsetError::Unstable),
    };
    match request.topics {
        TopicSelection::Topics(topics) => topics
            .into_iter()
            .map(|requested| {
                let offsets = offsets.and_then(|offsets| offsets.get(&requested.topic));
                let lookup = |partition| {
                    if is_unstable(&requested.topic, partition) {
                        return refused(partition);
                    }
                    let offset = offsets.and_then(|offsets| offsets.get(&partition));
                    let offset = offset.filter(|offset| is_same_topic(offset, requested.topic_id));
                    FetchedPartition {
                        partition,
                        result: Ok(offset.cloned()),
                    }
                };
                FetchedTopic {
                    partitions: requested.partitions.into_iter().map(lookup).collect(),
                    topic: requested.topic,
                    topic_id: requested.topic_id,
                }
            })
            .collect(),
        TopicSelection::All => offsets
            .into_iter()
            .flatten()
            .map(|(topic, partitions)| FetchedTopic {
                topic: topic.clone(),
                topic_id: None,
                partitions: partitions
                    .iter()
                    .map(|(partition, offset)| {
                        if is_unstable(topic, *partition) {
                            return refused(*partition);
                        }
                        FetchedPartition {
                            partition: *partition,
                            result: Ok(Some(offset.clone())),
                        }
                    })
                    .collect(),
            })
            .collect(),
    }
}

/// Ids are compared only where both sides know one: commits by name have none.
fn is_same_topic(offset: &CommittedOffset, requested: Option<TopicId>) -> bool {
    match (offset.topic_id, requested) {
        (Some(committed), Some(requested)) => committed == requested,
        _ => true,
    }
}
