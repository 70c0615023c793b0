//! Members that go: by their own wish, because they were silent, or because they did not give partitions back.
//!
//! After `consumerGroupLeave`, `consumerGroupFenceMembers` and the timers in Kafka's `GroupMetadataManager.java`.

use std::time::Duration;

use types::MemberId;

use super::heartbeat::{ConsumerHeartbeatError, ConsumerHeartbeatReply, ConsumerHeartbeatRequest};
use super::migrate;
use super::record::{AWAY_EPOCH, ConsumerRecord, CurrentAssignment};
use super::regex;
use super::state::ConsumerGroup;
use super::update::Scope;
use crate::group::classic::state::ClassicGroup;
use crate::group::modern::partitions::TopicPartitions;

/// What has become of a group some of whose members went.
#[derive(Debug)]
#[must_use]
pub(crate) enum Remaining {
    /// It goes on as it is.
    Same,
    /// Only members of the classic protocol are left: it is this group now.
    Classic {
        /// The group.
        group: Box<ClassicGroup>,
        /// Whether its members must join again.
        rebalances: bool,
    },
}

/// A member says that it leaves.
pub(crate) fn leave(
    scope: &mut Scope<'_, '_>,
    request: &ConsumerHeartbeatRequest,
) -> Result<(ConsumerHeartbeatReply, Remaining), ConsumerHeartbeatError> {
    let id = find(scope.group, request)?;
    let reply = ConsumerHeartbeatReply {
        member: id.clone(),
        epoch: request.epoch,
        heartbeat_interval: Duration::ZERO,
        assignment: None,
    };
    if request.instance.is_some() && request.leaves_for_a_while() {
        go_away(scope, &id);
        return Ok((reply, Remaining::Same));
    }
    Ok((reply, fence(scope, &[id])))
}

fn find(
    group: &ConsumerGroup,
    request: &ConsumerHeartbeatRequest,
) -> Result<MemberId, ConsumerHeartbeatError> {
    let member = match &request.instance {
        None => group.member(&request.member),
        Some(instance) => group.static_member(instance),
    };
    let member = member.ok_or(ConsumerHeartbeatError::UnknownMember)?;
    if member.id != request.member {
        return Err(ConsumerHeartbeatError::FencedInstance);
    }
    Ok(member.id.clone())
}

/// A static member leaves for a while: what it has is kept for its instance until its session ends, what it was to give
/// back is free.
fn go_away(scope: &mut Scope<'_, '_>, id: &MemberId) {
    let Some(member) = scope.group.member(id) else {
        return;
    };
    let value = CurrentAssignment {
        epoch: AWAY_EPOCH,
        revoking: TopicPartitions::new(),
        ..member.current.clone()
    };
    scope.record(ConsumerRecord::Current {
        member: id.clone(),
        value: Some(value),
    });
}

/// Removes members. The others get their partitions with the target of the next epoch.
pub(crate) fn fence(scope: &mut Scope<'_, '_>, members: &[MemberId]) -> Remaining {
    if members.is_empty() {
        return Remaining::Same;
    }
    if migrate::can_downgrade(scope.group, members, scope.transition.settings)
        && let Some(classic) = migrate::downgrade(scope, members)
    {
        return Remaining::Classic {
            group: Box::new(classic),
            rebalances: true,
        };
    }
    for member in members {
        scope.remove_member(member);
        scope.cancel_timers(member);
    }
    regex::forget_unused(scope);
    let hash = scope
        .group
        .compute_metadata_hash(scope.transition.topics.image());
    scope.begin_epoch(hash);
    Remaining::Same
}

/// Time is up for a member, if it is still there.
pub(crate) fn expire(scope: &mut Scope<'_, '_>, member: &MemberId) -> Remaining {
    if scope.group.member(member).is_none() {
        return Remaining::Same;
    }
    fence(scope, std::slice::from_ref(member))
}

/// A member did not give partitions back in time, if it is still at `epoch`.
pub(crate) fn expire_revocation(
    scope: &mut Scope<'_, '_>,
    member: &MemberId,
    epoch: i32,
) -> Remaining {
    let found = scope.group.member(member);
    if found.is_none_or(|member| member.epoch() != epoch) {
        return Remaining::Same;
    }
    fence(scope, std::slice::from_ref(member))
}
