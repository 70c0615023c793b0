//! Records of share groups, types 10 to 15 of `__consumer_offsets`. A missing value is a tombstone.

use std::collections::BTreeSet;
use std::sync::Arc;

use types::{GroupId, MemberId, TopicName};

use super::partitions::ShareStatePartitions;
use crate::group::classic::member::Client;
use crate::group::modern::epoch::Epoch;
use crate::group::modern::partitions::TopicPartitions;

/// A record of a share group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareGroupRecord {
    /// The group.
    pub group: GroupId,
    /// What of it.
    pub part: ShareGroupPart,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareGroupPart {
    /// ShareGroupMetadata: the group itself.
    Group(Option<ShareGroupMetadata>),
    /// ShareGroupMemberMetadata: who a member is and what it wants.
    Member(MemberId, Option<ShareMemberMetadata>),
    /// ShareGroupTargetAssignmentMetadata: the epoch the target was computed for.
    TargetEpoch(Option<Epoch>),
    /// ShareGroupTargetAssignmentMember: what a member shall have.
    Target(MemberId, Option<TopicPartitions>),
    /// ShareGroupCurrentMemberAssignment: what a member has.
    Current(MemberId, Option<ShareMemberAssignment>),
    /// ShareGroupStatePartitionMetadata: which partitions have a state.
    StatePartitions(Option<ShareStatePartitions>),
}

/// ShareGroupMetadataValue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareGroupMetadata {
    /// Counts changes of the group.
    pub epoch: Epoch,
    /// A hash over the topics it reads.
    pub metadata_hash: i64,
}

/// ShareGroupMemberMetadataValue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareMemberMetadata {
    /// Where it is.
    pub rack: Option<Arc<str>>,
    /// Who it said it is.
    pub client: Client,
    /// What it wants to read.
    pub topics: BTreeSet<TopicName>,
}

/// ShareGroupCurrentMemberAssignmentValue. A member of a share group is always stable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareMemberAssignment {
    /// The target epoch it was brought to.
    pub epoch: Epoch,
    /// The epoch before; `None` for a member that has just joined.
    pub previous_epoch: Option<Epoch>,
    /// What it reads.
    pub partitions: TopicPartitions,
}
