//! A member of a streams group.
//!
//! After `StreamsGroupMember.java` and `MemberState.java`.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::{InstanceId, MemberId};

use super::assignor::ProcessId;
use super::tasks::AssignedTasks;
use crate::group::classic::member::Client;

/// How far a member is on its way to its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamsMemberState {
    /// It has its target.
    #[default]
    Stable,
    /// It must give up tasks before it enters the next epoch.
    UnrevokedTasks,
    /// It waits for tasks that other processes have not given up.
    UnreleasedTasks,
    /// A state of a later Kafka: the member must begin again.
    Unknown,
}

impl StreamsMemberState {
    /// The state as records have it.
    pub const fn value(self) -> i8 {
        match self {
            Self::Stable => 1,
            Self::UnrevokedTasks => 2,
            Self::UnreleasedTasks => 3,
            Self::Unknown => 127,
        }
    }

    /// The state that a record means.
    pub const fn from_value(value: i8) -> Self {
        match value {
            1 => Self::Stable,
            2 => Self::UnrevokedTasks,
            3 => Self::UnreleasedTasks,
            _ => Self::Unknown,
        }
    }
}

/// Where other clients reach a member's interactive queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEndpoint {
    /// The host.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

/// What a member says of itself; a change makes the group assign anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsMemberMetadata {
    /// Its static name. Kafka 4.2 refuses it in requests, but its records have it.
    pub instance: Option<InstanceId>,
    /// Where it runs.
    pub rack: Option<Arc<str>>,
    /// Who it says it is.
    pub client: Client,
    /// How long it may take to give up tasks, in milliseconds; -1 until it said so.
    pub rebalance_timeout_ms: i32,
    /// The epoch of the topology it runs; -1 until it said so.
    pub topology_epoch: i32,
    /// The process it runs in.
    pub process: ProcessId,
    /// Where its interactive queries are answered.
    pub user_endpoint: Option<UserEndpoint>,
    /// Tags for rack-aware assignment.
    pub client_tags: BTreeMap<Arc<str>, Arc<str>>,
}

impl Default for StreamsMemberMetadata {
    fn default() -> Self {
        Self {
            instance: None,
            rack: None,
            client: Client {
                id: Arc::from(""),
                host: Arc::from(""),
            },
            rebalance_timeout_ms: -1,
            topology_epoch: -1,
            process: Arc::from(""),
            user_endpoint: None,
            client_tags: BTreeMap::new(),
        }
    }
}

/// What a member has, and in which epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamsCurrentAssignment {
    /// The epoch it is in.
    pub member_epoch: i32,
    /// The epoch it was in before; its heartbeats of that epoch are still taken, in case the answer was lost.
    pub previous_member_epoch: i32,
    /// How far it is.
    pub state: StreamsMemberState,
    /// What it has.
    pub assigned: AssignedTasks,
    /// What it must give up.
    pub pending_revocation: AssignedTasks,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: MemberId,
    pub(crate) metadata: StreamsMemberMetadata,
    pub(crate) current: StreamsCurrentAssignment,
}

impl Member {
    /// A member that has said and got nothing yet.
    pub(crate) fn new(id: MemberId) -> Self {
        Self {
            id,
            metadata: StreamsMemberMetadata::default(),
            current: StreamsCurrentAssignment::default(),
        }
    }

    /// Whether it has all of the target of this epoch.
    pub(crate) fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.current.state == StreamsMemberState::Stable
            && self.current.member_epoch == target_epoch
    }
}
