//! Heartbeat: a sign of life, answered with whether the member must join again.
//!
//! After `classicGroupHeartbeatToClassicGroup` in Kafka's `GroupMetadataManager.java`.

use types::{GroupId, InstanceId, MemberId};

use super::generation::{Generation, GroupState};
use super::rebalance::renew_session;
use super::state::{ClassicGroup, MemberMismatch};
use crate::group::transition::Transition;

/// Heartbeat.
#[derive(Clone, Debug)]
pub struct HeartbeatRequest {
    /// The group.
    pub group: GroupId,
    /// The member; `None` if the request names none.
    pub member: Option<MemberId>,
    /// `group.instance.id` of a static member.
    pub instance: Option<InstanceId>,
    /// The generation the member is in; `None` if negative.
    pub generation: Option<Generation>,
}

/// Why a Heartbeat is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeartbeatError {
    /// INVALID_GROUP_ID.
    #[error("the group id is empty")]
    InvalidGroupId,
    /// UNKNOWN_MEMBER_ID: no such group or member.
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
    /// REBALANCE_IN_PROGRESS: the sign of life counts, and the member must join again.
    #[error("the group is rebalancing")]
    RebalanceInProgress,
}

impl From<MemberMismatch> for HeartbeatError {
    fn from(mismatch: MemberMismatch) -> Self {
        match mismatch {
            MemberMismatch::Unknown => Self::UnknownMember,
            MemberMismatch::Fenced => Self::FencedInstance,
        }
    }
}

pub(crate) fn heartbeat(
    group: &ClassicGroup,
    transition: &mut Transition<'_>,
    request: &HeartbeatRequest,
) -> Result<(), HeartbeatError> {
    let member = group.validate_member(request.member.as_ref(), request.instance.as_ref())?;
    if request.generation != Some(group.generation()) {
        return Err(HeartbeatError::IllegalGeneration {
            current: group.generation(),
        });
    }
    renew_session(group, transition, &member);
    match group.state() {
        GroupState::PreparingRebalance => Err(HeartbeatError::RebalanceInProgress),
        // Consumers begin to send heartbeats as soon as they have joined, before they are assigned anything.
        GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        GroupState::Empty => Err(HeartbeatError::UnknownMember),
    }
}
