//! LeaveGroup: members go, by their own wish or an administrator's.
//!
//! After `classicGroupLeaveToClassicGroup` in Kafka's `GroupMetadataManager.java`. A batch makes one rebalance.

use types::{GroupId, InstanceId, MemberId};

use super::generation::GroupState;
use super::rebalance::{complete_join_if_ready, prepare_rebalance, remove_with_session};
use super::state::{ClassicGroup, MemberMismatch};
use crate::group::transition::Transition;

/// LeaveGroup.
#[derive(Clone, Debug)]
pub struct LeaveRequest {
    /// The group.
    pub group: GroupId,
    /// Who leaves.
    pub members: Vec<LeavingMember>,
}

/// One member that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingMember {
    /// The member; `None` to name it by its instance id alone, as administrators do.
    pub member: Option<MemberId>,
    /// `group.instance.id` of a static member.
    pub instance: Option<InstanceId>,
}

/// What became of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftMember {
    /// As the request named it.
    pub requested: LeavingMember,
    /// Whether it is gone.
    pub result: Result<(), LeaveMemberError>,
}

/// Why a whole LeaveGroup is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaveError {
    /// INVALID_GROUP_ID.
    #[error("the group id is empty")]
    InvalidGroupId,
}

/// Why one member could not leave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaveMemberError {
    /// UNKNOWN_MEMBER_ID: no such group or member.
    #[error("the group has no such member")]
    UnknownMember,
    /// FENCED_INSTANCE_ID.
    #[error("another member has taken over the group instance id")]
    FencedInstance,
}

impl From<MemberMismatch> for LeaveMemberError {
    fn from(mismatch: MemberMismatch) -> Self {
        match mismatch {
            MemberMismatch::Unknown => Self::UnknownMember,
            MemberMismatch::Fenced => Self::FencedInstance,
        }
    }
}

/// The answer where there is no such group: nobody in it can leave.
pub(crate) fn leave_unknown_group(members: Vec<LeavingMember>) -> Vec<LeftMember> {
    let unknown = |requested| LeftMember {
        requested,
        result: Err(LeaveMemberError::UnknownMember),
    };
    members.into_iter().map(unknown).collect()
}

pub(crate) fn leave(
    group: &mut ClassicGroup,
    transition: &mut Transition<'_>,
    members: Vec<LeavingMember>,
) -> Vec<LeftMember> {
    let mut left = Vec::with_capacity(members.len());
    for requested in members {
        let result = resolve(group, &requested).map(|member| {
            remove_with_session(group, transition, &member);
        });
        left.push(LeftMember { requested, result });
    }
    if left.iter().any(|member| member.result.is_ok()) {
        match group.state() {
            GroupState::Stable | GroupState::CompletingRebalance => {
                prepare_rebalance(group, transition);
            }
            GroupState::PreparingRebalance => complete_join_if_ready(group, transition),
            GroupState::Empty => {}
        }
    }
    left
}

/// The member or pending member that a request names.
fn resolve(group: &ClassicGroup, requested: &LeavingMember) -> Result<MemberId, LeaveMemberError> {
    let instance = requested.instance.as_ref();
    match &requested.member {
        None => instance
            .and_then(|instance| group.static_member(instance))
            .cloned()
            .ok_or(LeaveMemberError::UnknownMember),
        Some(member) if group.pending_join.contains(member) => Ok(member.clone()),
        Some(member) => Ok(group.validate_member(Some(member), instance)?),
    }
}
