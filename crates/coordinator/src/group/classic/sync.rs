//! SyncGroup: the leader hands in the assignment, everybody fetches its part.
//!
//! After `classicGroupSyncToClassicGroup` in Kafka's `GroupMetadataManager.java`. The leader's SyncGroup writes the
//! generation to the log; Kafka makes the group Stable when that write is durable, here it is Stable at once and the
//! runtime holds every reply back until then.

use std::collections::HashMap;
use std::sync::Arc;

use types::{GroupId, InstanceId, MemberId};

use super::generation::{Generation, GroupState};
use super::rebalance::{clear_assignments, persist, prepare_rebalance, renew_session};
use super::state::{ClassicGroup, MemberMismatch};
use crate::group::request::{GroupReply, ReplyToken};
use crate::group::timers::TimerKey;
use crate::group::transition::Transition;

/// SyncGroup.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// The group.
    pub group: GroupId,
    /// The member; `None` if the request names none.
    pub member: Option<MemberId>,
    /// `group.instance.id` of a static member.
    pub instance: Option<InstanceId>,
    /// The generation it joined; `None` if negative.
    pub generation: Option<Generation>,
    /// Checked against the group's if present (version 5).
    pub protocol_type: Option<Arc<str>>,
    /// Checked against the group's if present (version 5).
    pub protocol: Option<Arc<str>>,
    /// From the leader: what each member gets. Ignored from others.
    pub assignments: Vec<MemberAssignment>,
}

/// What the leader assigns to one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberAssignment {
    /// The member.
    pub member: MemberId,
    /// Bytes only the members understand.
    pub assignment: Arc<[u8]>,
}

/// The answer to SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncedMember {
    /// The group's protocol type.
    pub protocol_type: Option<Arc<str>>,
    /// The chosen protocol.
    pub protocol: Option<Arc<str>>,
    /// The member's assignment; may be empty.
    pub assignment: Arc<[u8]>,
}

/// Why a SyncGroup is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// INVALID_GROUP_ID.
    #[error("the group id is empty")]
    InvalidGroupId,
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
    /// INCONSISTENT_GROUP_PROTOCOL.
    #[error("the group has another protocol type or protocol")]
    InconsistentProtocol,
    /// REBALANCE_IN_PROGRESS.
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    /// REBALANCE_IN_PROGRESS: the same member has sent another one meanwhile. Kafka never answers such a request.
    #[error("a later sync of the same member has taken this one's place")]
    Superseded,
    /// UNKNOWN_SERVER_ERROR, as when Kafka's append fails with MESSAGE_TOO_LARGE. The group rebalances.
    #[error("the group's metadata does not fit into a record of {max} bytes")]
    RecordTooLarge {
        /// The most bytes a record may have.
        max: usize,
    },
}

impl From<MemberMismatch> for SyncError {
    fn from(mismatch: MemberMismatch) -> Self {
        match mismatch {
            MemberMismatch::Unknown => Self::UnknownMember,
            MemberMismatch::Fenced => Self::FencedInstance,
        }
    }
}

/// Answers at once, parks the request, or ends the rebalance, by who asks and when.
pub(crate) fn sync(
    group: &mut ClassicGroup,
    transition: &mut Transition<'_>,
    request: SyncRequest,
    token: ReplyToken,
) {
    let member = match validate(group, &request) {
        Ok(member) => member,
        Err(error) => return transition.reply(token, GroupReply::Sync(Err(error))),
    };
    match group.state() {
        // A validated member belongs to a group that is not Empty.
        GroupState::Empty | GroupState::PreparingRebalance => {
            let error = SyncError::RebalanceInProgress;
            transition.reply(token, GroupReply::Sync(Err(error)));
        }
        GroupState::CompletingRebalance => {
            group.park_sync(transition, &member, token);
            note_synced(group, transition, &member);
            if group.is_leader(&member) {
                assign(group, transition, request.assignments);
            }
        }
        GroupState::Stable => {
            note_synced(group, transition, &member);
            let reply = synced(group, &member);
            transition.reply(token, reply);
        }
    }
}

fn validate(group: &ClassicGroup, request: &SyncRequest) -> Result<MemberId, SyncError> {
    let member = group.validate_member(request.member.as_ref(), request.instance.as_ref())?;
    if request.generation != Some(group.generation()) {
        return Err(SyncError::IllegalGeneration {
            current: group.generation(),
        });
    }
    let differs = |requested: &Option<Arc<str>>, current: Option<&Arc<str>>| {
        requested.is_some() && requested.as_ref() != current
    };
    if differs(&request.protocol_type, group.protocol_type())
        || differs(&request.protocol, group.protocol())
    {
        return Err(SyncError::InconsistentProtocol);
    }
    Ok(member)
}

fn note_synced(group: &mut ClassicGroup, transition: &mut Transition<'_>, member: &MemberId) {
    group.pending_sync.remove(member);
    if group.pending_sync.is_empty() {
        transition.cancel(&TimerKey::Sync(group.id.clone()));
    }
}

fn synced(group: &ClassicGroup, member: &MemberId) -> GroupReply {
    let assignment = group
        .member(member)
        .map_or_else(|| Arc::from([]), |member| member.assignment.clone());
    GroupReply::Sync(Ok(SyncedMember {
        protocol_type: group.protocol_type().cloned(),
        protocol: group.protocol().cloned(),
        assignment,
    }))
}

/// Takes the leader's assignment, makes the group Stable and answers everybody who waits. Members the leader left out
/// get an empty assignment.
fn assign(
    group: &mut ClassicGroup,
    transition: &mut Transition<'_>,
    assignments: Vec<MemberAssignment>,
) {
    // A member named twice gets the last assignment, as in Kafka's map.
    let mut assignments: HashMap<MemberId, Arc<[u8]>> = assignments
        .into_iter()
        .map(|assigned| (assigned.member, assigned.assignment))
        .collect();
    for id in group.member_ids() {
        if let Some(member) = group.member_mut(&id) {
            member.assignment = assignments.remove(&id).unwrap_or_else(|| Arc::from([]));
        }
    }
    group.transition_to(GroupState::Stable, transition.now.wall);
    if !persist(group, transition) {
        let max = transition.settings.record_bytes_max;
        reset_assignments(group, transition, &SyncError::RecordTooLarge { max });
        return prepare_rebalance(group, transition);
    }
    for id in group.member_ids() {
        let reply = synced(group, &id);
        if group.answer_sync(transition, &id, reply) {
            // Its session may have run out while it waited for us; then no timer is left.
            renew_session(group, transition, &id);
        }
    }
}

/// Takes all assignments back and refuses every parked SyncGroup with `error`.
pub(super) fn reset_assignments(
    group: &mut ClassicGroup,
    transition: &mut Transition<'_>,
    error: &SyncError,
) {
    clear_assignments(group);
    for id in group.member_ids() {
        if group.answer_sync(transition, &id, GroupReply::Sync(Err(error.clone()))) {
            renew_session(group, transition, &id);
        }
    }
}
