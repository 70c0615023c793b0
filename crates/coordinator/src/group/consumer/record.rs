//! What consumer groups write to `__consumer_offsets`, as typed values.
//!
//! The shapes follow Kafka's `ConsumerGroup*Key/Value.json`. A missing value is a tombstone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use types::{InstanceId, MemberId, Timestamp, TopicName};

use crate::group::classic::member::{Client, MemberProtocol};
use crate::group::modern::epoch::Epoch;
use crate::group::modern::partitions::TopicPartitions;

/// One record of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerRecord {
    /// ConsumerGroupMetadata: the group epoch. Its tombstone ends the group.
    Epoch(Option<GroupEpoch>),
    /// ConsumerGroupPartitionMetadata, which Kafka wrote before 4.1; only its being there counts, so that a tombstone can
    /// take it away.
    PartitionMetadata {
        /// Whether it is there.
        present: bool,
    },
    /// ConsumerGroupMemberMetadata: who a member is and what it reads. Its tombstone ends the member.
    Member {
        /// The member.
        member: MemberId,
        /// What it said of itself.
        value: Option<ConsumerMemberMetadata>,
    },
    /// ConsumerGroupTargetAssignmentMetadata: the epoch of the target assignment.
    TargetEpoch(Option<Epoch>),
    /// ConsumerGroupTargetAssignmentMember: what a member shall have.
    Target {
        /// The member.
        member: MemberId,
        /// The partitions.
        value: Option<TopicPartitions>,
    },
    /// ConsumerGroupCurrentMemberAssignment: what a member has.
    Current {
        /// The member.
        member: MemberId,
        /// How far it is.
        value: Option<CurrentAssignment>,
    },
    /// ConsumerGroupRegularExpression: the topics that match a pattern.
    RegularExpression {
        /// The pattern.
        regex: Arc<str>,
        /// The topics.
        value: Option<ResolvedRegex>,
    },
}

impl ConsumerRecord {
    /// Whether the record takes something away.
    pub(crate) fn is_tombstone(&self) -> bool {
        match self {
            Self::Epoch(value) => value.is_none(),
            Self::PartitionMetadata { present } => !present,
            Self::Member { value, .. } => value.is_none(),
            Self::TargetEpoch(value) => value.is_none(),
            Self::Target { value, .. } => value.is_none(),
            Self::Current { value, .. } => value.is_none(),
            Self::RegularExpression { value, .. } => value.is_none(),
        }
    }
}

/// ConsumerGroupMetadataValue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupEpoch {
    /// The group epoch.
    pub epoch: Epoch,
    /// A hash over the topics the group reads.
    pub metadata_hash: i64,
}

/// ConsumerGroupMemberMetadataValue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMemberMetadata {
    /// `group.instance.id` of a static member.
    pub instance: Option<InstanceId>,
    /// `client.rack`.
    pub rack: Option<Arc<str>>,
    /// Who it said it is.
    pub client: Client,
    /// The topics it is subscribed to by name.
    pub topics: BTreeSet<TopicName>,
    /// The pattern of topics it is subscribed to; `None` (null or empty in the log) for none.
    pub regex: Option<Arc<str>>,
    /// How long it may take to give partitions back; `None` (−1) if it never said.
    pub rebalance_timeout: Option<Duration>,
    /// The assignor it wants. Kept by name: an assignor may be gone from the settings.
    pub assignor: Option<Arc<str>>,
    /// Present for members of the classic protocol.
    pub classic: Option<ClassicMemberMetadata>,
}

/// What a member of the classic protocol said in its JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberMetadata {
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// The protocols it supports, in order of preference.
    pub protocols: Vec<MemberProtocol>,
}

/// ConsumerGroupCurrentMemberAssignmentValue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentAssignment {
    /// The member epoch; −2 for a static member that has left for a while.
    pub epoch: i32,
    /// The epoch before, with which a member may still come that missed the last answer; −1 for none.
    pub previous_epoch: i32,
    /// How far the member is on its way to its target.
    pub state: MemberState,
    /// What it has, or may take.
    pub assigned: TopicPartitions,
    /// What it has and must give back.
    pub revoking: TopicPartitions,
}

/// The member epoch of a static member that has left and whose partitions are kept for its instance.
pub(crate) const AWAY_EPOCH: i32 = -2;

/// How far a member is on its way to its target (`MemberState.java`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It has what it shall have.
    Stable,
    /// It must give partitions back.
    UnrevokedPartitions,
    /// It waits for partitions that others still have.
    UnreleasedPartitions,
    /// Written by a later version; the member must begin anew.
    Unknown,
}

impl MemberState {
    /// The state as the log carries it.
    pub const fn value(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown => 127,
        }
    }

    /// The state the log carries as `value`.
    pub const fn from_value(value: i8) -> Self {
        match value {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            2 => Self::UnreleasedPartitions,
            _ => Self::Unknown,
        }
    }
}

/// ConsumerGroupRegularExpressionValue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedRegex {
    /// The topics that match.
    pub topics: BTreeSet<TopicName>,
    /// The revision of the metadata that was searched.
    pub version: u64,
    /// When.
    pub timestamp: Timestamp,
}
