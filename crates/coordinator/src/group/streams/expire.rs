//! Members that are silent, or do not give up tasks, and the first assignment of a group.
//!
//! After `GroupMetadataManager.streamsGroupFenceMember`, `scheduleStreamsGroupSessionTimeout`,
//! `scheduleStreamsGroupRebalanceTimeout` and `computeDelayedTargetAssignment`.

use std::time::Duration;

use types::{GroupId, MemberId};

use super::member::{Member, StreamsMemberState};
use super::record::{StreamsGroupMetadata, StreamsRecord};
use super::settings::{StreamsGroupSettings, standby_replicas};
use super::state::StreamsGroup;
use super::target::assign;
use crate::group::time::Now;
use crate::group::timers::{TimerAction, TimerKey, Timers};

/// A member's session begins anew.
pub(crate) fn schedule_session_timeout(
    timers: &mut Timers,
    now: Now,
    settings: &StreamsGroupSettings,
    group: &GroupId,
    member: &MemberId,
) {
    let deadline = now.instant.plus(settings.session_timeout);
    let action = TimerAction::ExpireSession {
        group: group.clone(),
        member: member.clone(),
    };
    timers.schedule(deadline, action);
}

/// A member must give up tasks in time.
pub(crate) fn schedule_rebalance_timeout(
    timers: &mut Timers,
    now: Now,
    group: &GroupId,
    member: &Member,
) {
    let timeout_ms = u64::try_from(member.metadata.rebalance_timeout_ms).unwrap_or(0);
    let deadline = now.instant.plus(Duration::from_millis(timeout_ms));
    let action = TimerAction::ExpireStreamsRebalance {
        group: group.clone(),
        member: member.id.clone(),
        epoch: member.current.member_epoch,
    };
    timers.schedule(deadline, action);
}

/// After a load: every member has its whole session again.
pub(crate) fn schedule_all(
    group: &StreamsGroup,
    timers: &mut Timers,
    now: Now,
    settings: &StreamsGroupSettings,
) {
    for member in group.members().values() {
        schedule_session_timeout(timers, now, settings, &group.id, &member.id);
        if member.current.state == StreamsMemberState::UnrevokedTasks {
            schedule_rebalance_timeout(timers, now, &group.id, member);
        }
    }
}

/// The records of a member that goes, by its own wish or not.
pub(crate) fn leave_records(
    group: &StreamsGroup,
    timers: &mut Timers,
    member: &MemberId,
) -> Vec<StreamsRecord> {
    timers.cancel(&TimerKey::Session(group.id.clone(), member.clone()));
    timers.cancel(&TimerKey::StreamsRebalance(
        group.id.clone(),
        member.clone(),
    ));
    let metadata = group.metadata();
    vec![
        StreamsRecord::CurrentMember {
            member: member.clone(),
            value: None,
        },
        StreamsRecord::TargetMember {
            member: member.clone(),
            value: None,
        },
        StreamsRecord::Member {
            member: member.clone(),
            value: None,
        },
        StreamsRecord::Group(Some(StreamsGroupMetadata {
            epoch: metadata.epoch.saturating_add(1),
            ..metadata.clone()
        })),
    ]
}

/// A member was silent for its whole session.
pub(crate) fn expire_session(
    group: &StreamsGroup,
    timers: &mut Timers,
    member: &MemberId,
) -> Vec<StreamsRecord> {
    if group.members().contains_key(member) {
        leave_records(group, timers, member)
    } else {
        Vec::new()
    }
}

/// A member did not leave `epoch` in time.
pub(crate) fn expire_rebalance(
    group: &StreamsGroup,
    timers: &mut Timers,
    member: &MemberId,
    epoch: i32,
) -> Vec<StreamsRecord> {
    let known = group.members().get(member);
    if known.is_some_and(|known| known.current.member_epoch == epoch) {
        leave_records(group, timers, member)
    } else {
        Vec::new()
    }
}

/// The first assignment of a group, after its first members had time to come together.
pub(crate) fn assign_delayed(group: &StreamsGroup) -> Vec<StreamsRecord> {
    let epoch = group.metadata().epoch;
    let Some(configured) = group.configured.as_ref().filter(|_| !group.is_empty()) else {
        // Nobody came back yet: the next heartbeat assigns.
        return Vec::new();
    };
    if epoch <= group.target_epoch() {
        return Vec::new();
    }
    // It cannot fail: there are members.
    let standby_replicas = standby_replicas(&group.metadata().last_assignment_configs);
    assign(group, None, configured, standby_replicas, epoch)
        .map_or_else(|_| Vec::new(), |targets| targets.records)
}
