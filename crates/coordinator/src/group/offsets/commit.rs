//! OffsetCommit and TxnOffsetCommit.
//!
//! After `OffsetMetadataManager.commitOffset` and `ClassicGroup.validateOffsetCommit`. A commit of a member extends
//! its session; a commit without a member id is taken while the group is Empty, and creates the group if need be (a
//! "simple" group, which has offsets but never had members). Within a transaction neither the state of the group nor
//! the session counts, and a member that does not say who it is may commit.

use std::sync::Arc;

use types::{
    GroupId, InstanceId, LeaderEpoch, MemberId, PartitionIndex, Timestamp, TopicId, TopicName,
};

use crate::group::classic::generation::{Generation, GroupState};
use crate::group::classic::state::{ClassicGroup, MemberMismatch};
use crate::group::kind::Group;
use crate::group::record::{CommittedOffset, GroupRecord};
use crate::group::settings::GroupSettings;
use crate::machine::Producer;

/// OffsetCommit.
#[derive(Clone, Debug)]
pub struct CommitRequest {
    /// The group; may be empty.
    pub group: GroupId,
    /// The member; `None` for a commit from outside the group.
    pub member: Option<MemberId>,
    /// `group.instance.id` of a static member.
    pub instance: Option<InstanceId>,
    /// The generation the member is in; `None` (negative on the wire) for a commit from outside the group.
    pub generation: Option<Generation>,
    /// How long to keep the offsets, in milliseconds, if the client chose (versions 2 to 4).
    pub retention_ms: Option<i64>,
    /// Whether the client knows the errors of member epochs (version 9).
    pub takes_member_epochs: bool,
    /// What to commit.
    pub topics: Vec<CommitTopic>,
}

/// TxnOffsetCommit: offsets that count once the transaction commits.
#[derive(Clone, Debug)]
pub struct TxnCommitRequest {
    /// Whose transaction.
    pub producer: Producer,
    /// What to commit.
    pub commit: CommitRequest,
}

/// Offsets of one topic to commit.
#[derive(Clone, Debug)]
pub struct CommitTopic {
    /// The topic's name.
    pub topic: TopicName,
    /// The topic's id, if the client named the topic by it (version 10).
    pub topic_id: Option<TopicId>,
    /// The offsets.
    pub partitions: Vec<CommitPartition>,
}

/// The offset of one partition to commit.
#[derive(Clone, Debug)]
pub struct CommitPartition {
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset the group wants to read next; stored as it is.
    pub offset: i64,
    /// The leader epoch of the last record read, if the client said.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Text to keep beside the offset.
    pub metadata: Option<Arc<str>>,
}

/// The results for one topic, in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedTopic {
    /// The topic's name.
    pub topic: TopicName,
    /// The topic's id, if the request named it.
    pub topic_id: Option<TopicId>,
    /// One result per partition.
    pub partitions: Vec<CommittedPartition>,
}

/// The result for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedPartition {
    /// The partition.
    pub partition: PartitionIndex,
    /// Whether it is committed.
    pub result: Result<(), CommitPartitionError>,
}

/// Why a whole OffsetCommit is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// ILLEGAL_GENERATION; from version 9 GROUP_ID_NOT_FOUND.
    #[error("there is no such group")]
    UnknownGroup,
    /// UNKNOWN_MEMBER_ID.
    #[error("the group has no such member")]
    UnknownMember,
    /// FENCED_INSTANCE_ID.
    #[error("another member has taken over the group instance id")]
    FencedInstance,
    /// ILLEGAL_GENERATION.
    #[error("the group's generation is {current}")]
    IllegalGeneration {
        /// The group's generation.
        current: Generation,
    },
    /// REBALANCE_IN_PROGRESS.
    #[error("the group waits for its assignment")]
    RebalanceInProgress,
    /// STALE_MEMBER_EPOCH.
    #[error("the commit is of member epoch {received}, the member is in {known}")]
    StaleMemberEpoch {
        /// The commit's; -1 if it has none.
        received: i32,
        /// The member's.
        known: i32,
    },
    /// UNSUPPORTED_VERSION.
    #[error("the version of OffsetCommit is too old for the group's protocol")]
    UnsupportedVersion,
    /// UNKNOWN_SERVER_ERROR, as in Kafka: the records of one commit make one batch.
    #[error(
        "the commit makes {bytes} bytes of records, more than {max}; commit fewer partitions at once"
    )]
    TooLarge {
        /// What its records would take, at least.
        bytes: usize,
        /// What the log takes.
        max: usize,
    },
}

/// Refuses a commit whose records would not fit one batch: each repeats the names of group and topic, so that a small
/// request can make many bytes. Nothing was changed yet.
pub(crate) fn check_size(
    request: &CommitRequest,
    settings: &GroupSettings,
) -> Result<(), CommitError> {
    let of_topic = |topic: &CommitTopic| {
        let names = request.group.as_str().len() + topic.topic.as_str().len();
        let metadata = topic.partitions.iter().map(|partition| {
            let metadata = partition.metadata.as_deref().unwrap_or_default();
            names + metadata.len() + RECORD_BYTES
        });
        metadata.sum::<usize>()
    };
    let bytes = request.topics.iter().map(of_topic).sum();
    let max = settings.record_bytes_max;
    if bytes > max {
        return Err(CommitError::TooLarge { bytes, max });
    }
    Ok(())
}

/// A committed offset takes about so many bytes besides its names and metadata.
const RECORD_BYTES: usize = 48;

/// Why one partition's offset is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitPartitionError {
    /// OFFSET_METADATA_TOO_LARGE.
    #[error("the metadata has {length} characters, more than {max}")]
    MetadataTooLarge {
        /// Its length in UTF-16 code units.
        length: usize,
        /// `offset.metadata.max.bytes`.
        max: usize,
    },
}

impl From<MemberMismatch> for CommitError {
    fn from(mismatch: MemberMismatch) -> Self {
        match mismatch {
            MemberMismatch::Unknown => Self::UnknownMember,
            MemberMismatch::Fenced => Self::FencedInstance,
        }
    }
}

/// Decides whether the group takes the commit. `Some` is the member whose session it extends.
pub(crate) fn validate(
    group: Option<&Group>,
    request: &CommitRequest,
) -> Result<Option<MemberId>, CommitError> {
    let Some(group) = group else {
        return match request.generation {
            None => Ok(None),
            Some(_) => Err(CommitError::UnknownGroup),
        };
    };
    group.validate_commit(request)
}

/// Decides whether the group takes a commit within a transaction (`validateTransactionalOffsetCommit`).
pub(crate) fn validate_transactional(
    group: Option<&Group>,
    request: &CommitRequest,
) -> Result<(), CommitError> {
    let Some(group) = group else {
        return match request.generation {
            None => Ok(()),
            Some(_) => Err(CommitError::UnknownGroup),
        };
    };
    group.validate_transactional_commit(request)
}

/// The same for a classic group.
pub(crate) fn validate_transactional_classic(
    group: &ClassicGroup,
    request: &CommitRequest,
) -> Result<(), CommitError> {
    let is_empty = group.state() == GroupState::Empty;
    let names_member =
        request.generation.is_some() || request.member.is_some() || request.instance.is_some();
    if (request.generation.is_none() && is_empty) || !names_member {
        return Ok(());
    }
    group.validate_member(request.member.as_ref(), request.instance.as_ref())?;
    if request.generation != Some(group.generation()) {
        return Err(CommitError::IllegalGeneration {
            current: group.generation(),
        });
    }
    Ok(())
}

/// [`validate`] for a classic group.
pub(crate) fn validate_classic(
    group: &ClassicGroup,
    request: &CommitRequest,
) -> Result<Option<MemberId>, CommitError> {
    let is_empty = group.state() == GroupState::Empty;
    let names_member =
        request.generation.is_some() || request.member.is_some() || request.instance.is_some();
    if request.generation.is_none() && is_empty {
        return Ok(None);
    }
    if !names_member {
        return Err(CommitError::UnknownMember);
    }
    let member = group.validate_member(request.member.as_ref(), request.instance.as_ref())?;
    if request.generation != Some(group.generation()) {
        return Err(CommitError::IllegalGeneration {
            current: group.generation(),
        });
    }
    if group.state() == GroupState::CompletingRebalance {
        return Err(CommitError::RebalanceInProgress);
    }
    Ok(Some(member))
}

/// The records of a commit that the group takes, and the result for each partition.
pub(crate) fn commit(
    request: CommitRequest,
    now: Timestamp,
    settings: &GroupSettings,
) -> (Vec<GroupRecord>, Vec<CommittedTopic>) {
    let expire_timestamp = request
        .retention_ms
        .map(|retention_ms| Timestamp::from_ms(now.ms().saturating_add(retention_ms)));
    let mut records = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for CommitTopic {
        topic,
        topic_id,
        partitions,
    } in request.topics
    {
        let mut results = Vec::with_capacity(partitions.len());
        for committed in partitions {
            let partition = committed.partition;
            let result = check_metadata(committed.metadata.as_deref(), settings);
            if result.is_ok() {
                let value = CommittedOffset {
                    offset: committed.offset,
                    leader_epoch: committed.leader_epoch,
                    metadata: committed.metadata.unwrap_or_else(|| Arc::from("")),
                    commit_timestamp: now,
                    expire_timestamp,
                    topic_id,
                };
                records.push(GroupRecord::OffsetCommit {
                    group: request.group.clone(),
                    topic: topic.clone(),
                    partition,
                    value: Some(value),
                });
            }
            results.push(CommittedPartition { partition, result });
        }
        topics.push(CommittedTopic {
            topic,
            topic_id,
            partitions: results,
        });
    }
    (records, topics)
}

fn check_metadata(
    metadata: Option<&str>,
    settings: &GroupSettings,
) -> Result<(), CommitPartitionError> {
    let max = settings.offset_metadata_length_max;
    // A text never has more UTF-16 units than bytes, so most need no counting.
    match metadata {
        Some(metadata) if metadata.len() > max => {
            let length = metadata.encode_utf16().count();
            if length > max {
                return Err(CommitPartitionError::MetadataTooLarge { length, max });
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
