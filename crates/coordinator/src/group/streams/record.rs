//! What a streams group writes to `__consumer_offsets`.
//!
//! After `StreamsCoordinatorRecordHelpers.java`; one variant per pair of key and value messages. `None` is a tombstone.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::MemberId;

use super::member::{StreamsCurrentAssignment, StreamsMemberMetadata};
use super::tasks::TaskSet;
use super::topology::StreamsTopology;

/// One record of a streams group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamsRecord {
    /// StreamsGroupMetadataKey and -Value: the group itself.
    Group(Option<StreamsGroupMetadata>),
    /// StreamsGroupTopologyKey and -Value.
    Topology(Option<StreamsTopology>),
    /// StreamsGroupMemberMetadataKey and -Value: what a member said.
    Member {
        /// The member.
        member: MemberId,
        /// What it said.
        value: Option<StreamsMemberMetadata>,
    },
    /// StreamsGroupTargetAssignmentMetadataKey and -Value: the epoch of the target assignment.
    TargetEpoch(Option<i32>),
    /// StreamsGroupTargetAssignmentMemberKey and -Value: what a member should have.
    TargetMember {
        /// The member.
        member: MemberId,
        /// Its tasks.
        value: Option<TaskSet>,
    },
    /// StreamsGroupCurrentMemberAssignmentKey and -Value: what a member has.
    CurrentMember {
        /// The member.
        member: MemberId,
        /// Its tasks and epochs.
        value: Option<StreamsCurrentAssignment>,
    },
}

impl StreamsRecord {
    /// Whether it takes something back.
    pub(crate) fn is_tombstone(&self) -> bool {
        match self {
            Self::Group(value) => value.is_none(),
            Self::Topology(value) => value.is_none(),
            Self::Member { value, .. } => value.is_none(),
            Self::TargetEpoch(value) => value.is_none(),
            Self::TargetMember { value, .. } => value.is_none(),
            Self::CurrentMember { value, .. } => value.is_none(),
        }
    }
}

/// StreamsGroupMetadataValue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamsGroupMetadata {
    /// Counts changes that make the group assign anew.
    pub epoch: i32,
    /// A hash of the topics the topology needs, as they were at this epoch.
    pub metadata_hash: i64,
    /// The epoch of the topology if all its topics were there and right, else -1.
    pub validated_topology_epoch: i32,
    /// The settings of the assignor at this epoch.
    pub last_assignment_configs: BTreeMap<Arc<str>, Arc<str>>,
}
