//! The join phase: how it begins, is prolonged and ends.
//!
//! After `prepareRebalance`, `tryCompleteInitialRebalanceElseSchedule` and `completeClassicGroupJoin` in Kafka's
//! `GroupMetadataManager.java`. Invariant: a group in PreparingRebalance always has a join timer, so a parked
//! JoinGroup is answered even if nobody else ever comes.

use std::sync::Arc;
use std::time::Duration;

use types::MemberId;

use super::generation::GroupState;
use super::join::JoinReply;
use super::state::ClassicGroup;
use super::sync::{SyncError, reset_assignments};
use crate::group::record::GroupRecord;
use crate::group::timers::{TimerAction, TimerKey};
use crate::group::transition::Transition;

/// The least time between two attempts to end a join phase nobody has joined: the members choose the rebalance
/// timeout, and one of zero must not keep the coordinator busy.
const JOIN_RETRY_DELAY_MIN: Duration = Duration::from_secs(1);

/// Begins a join phase, or ends the present one if everybody has come.
pub(super) fn prepare_or_complete(group: &mut ClassicGroup, transition: &mut Transition<'_>) {
    if group.state() == GroupState::PreparingRebalance {
        complete_join_if_ready(group, transition);
    } else {
        prepare_rebalance(group, transition);
    }
}

/// Begins a join phase; from Empty with a delay, so that a group that starts together rebalances once.
pub(crate) fn prepare_rebalance(group: &mut ClassicGroup, transition: &mut Transition<'_>) {
    if group.state() == GroupState::CompletingRebalance {
        reset_assignments(group, transition, &SyncError::RebalanceInProgress);
    }
    group.pending_sync.clear();
    transition.cancel(&TimerKey::Sync(group.id.clone()));

    let is_initial = group.state() == GroupState::Empty;
    group.transition_to(GroupState::PreparingRebalance, transition.now.wall);
    if is_initial {
        group.new_member_added = false;
        let delay = transition.settings.initial_rebalance_delay;
        let remaining = group.rebalance_timeout().saturating_sub(delay);
        schedule_initial_join(group, transition, delay, remaining);
    } else if group.all_have_joined() {
        complete_join(group, transition);
    } else {
        let action = TimerAction::CompleteJoin {
            group: group.id.clone(),
        };
        transition.schedule(group.rebalance_timeout(), action);
    }
}

fn schedule_initial_join(
    group: &ClassicGroup,
    transition: &mut Transition<'_>,
    delay: Duration,
    remaining: Duration,
) {
    let action = TimerAction::ExtendInitialJoin {
        group: group.id.clone(),
        delay,
        remaining,
    };
    transition.schedule(delay, action);
}

/// The delay of the first join phase is over: wait once more if somebody came during it, but not beyond the rebalance
/// timeout.
pub(crate) fn extend_initial_join(
    group: &mut ClassicGroup,
    transition: &mut Transition<'_>,
    delay: Duration,
    remaining: Duration,
) {
    if group.new_member_added && !remaining.is_zero() {
        group.new_member_added = false;
        let next = transition.settings.initial_rebalance_delay.min(remaining);
        schedule_initial_join(group, transition, next, remaining.saturating_sub(delay));
    } else {
        complete_join(group, transition);
    }
}

/// Ends the join phase if everybody has come. The first one after Empty ends by its timer only.
pub(super) fn complete_join_if_ready(group: &mut ClassicGroup, transition: &mut Transition<'_>) {
    if group.state() == GroupState::PreparingRebalance
        && !group.is_initial_rebalance()
        && group.all_have_joined()
    {
        complete_join(group, transition);
    }
}

/// Ends the join phase: dynamic members that did not come are removed, static ones keep their place until their
/// session ends, and those who came learn the new generation.
pub(crate) fn complete_join(group: &mut ClassicGroup, transition: &mut Transition<'_>) {
    transition.cancel(&TimerKey::Join(group.id.clone()));
    remove_absent_dynamic_members(group, transition);

    if !group.elect_joined_leader() && group.members().len() > 0 {
        let action = TimerAction::CompleteJoin {
            group: group.id.clone(),
        };
        let delay = group.rebalance_timeout().max(JOIN_RETRY_DELAY_MIN);
        return transition.schedule(delay, action);
    }
    group.begin_generation(transition.now.wall);
    if group.state() == GroupState::Empty {
        // A record without members is small: its texts are bounded by what a request can carry.
        record_metadata(group, transition);
        return;
    }
    for id in group.member_ids() {
        let reply = JoinReply::joined(group, &id);
        group.answer_join(transition, &id, reply);
        renew_session(group, transition, &id);
        if let Some(member) = group.member_mut(&id) {
            member.is_new = false;
        }
        group.pending_sync.insert(id);
    }
    let action = TimerAction::ExpireSync {
        group: group.id.clone(),
        generation: group.generation(),
    };
    transition.schedule(group.rebalance_timeout(), action);
}

fn remove_absent_dynamic_members(group: &mut ClassicGroup, transition: &mut Transition<'_>) {
    let absent: Vec<MemberId> = group
        .members()
        .filter(|member| member.parked_join.is_none() && member.instance.is_none())
        .map(|member| member.id.clone())
        .collect();
    for id in absent {
        remove_with_session(group, transition, &id);
    }
}

/// Removes a member together with its session timer.
pub(super) fn remove_with_session(
    group: &mut ClassicGroup,
    transition: &mut Transition<'_>,
    id: &MemberId,
) {
    group.remove(transition, id);
    transition.cancel(&TimerKey::Session(group.id.clone(), id.clone()));
}

/// Notes a sign of life: the member has its whole session timeout again.
pub(crate) fn renew_session(group: &ClassicGroup, transition: &mut Transition<'_>, id: &MemberId) {
    if let Some(member) = group.member(id) {
        let action = TimerAction::ExpireSession {
            group: group.id.clone(),
            member: id.clone(),
        };
        transition.schedule(member.session_timeout, action);
    }
}

/// Writes the group's present state to the log. False, and nothing written, if the record would be too large.
#[must_use]
pub(super) fn persist(group: &ClassicGroup, transition: &mut Transition<'_>) -> bool {
    let fits = group.to_record().is_some_and(|value| {
        value.encoded_bytes_max(&group.id) <= transition.settings.record_bytes_max
    });
    if fits {
        record_metadata(group, transition);
    }
    fits
}

fn record_metadata(group: &ClassicGroup, transition: &mut Transition<'_>) {
    let value = group.to_record();
    debug_assert!(value.is_some(), "only settled groups are recorded");
    if value.is_some() {
        transition.record(GroupRecord::GroupMetadata {
            group: group.id.clone(),
            value,
        });
    }
}

/// Every member's assignment is empty again.
pub(super) fn clear_assignments(group: &mut ClassicGroup) {
    for id in group.member_ids() {
        if let Some(member) = group.member_mut(&id) {
            member.assignment = Arc::from([]);
        }
    }
}
