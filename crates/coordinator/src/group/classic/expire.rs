//! Members whose time is up: silent ones, and ones that never fetched their assignment.
//!
//! After `expireClassicGroupMemberHeartbeat` and `expirePendingSync` in Kafka's `GroupMetadataManager.java`.

use types::MemberId;

use super::generation::{Generation, GroupState};
use super::rebalance::{complete_join, prepare_rebalance, remove_with_session};
use super::state::ClassicGroup;
use crate::group::transition::Transition;

/// A session has run out. Members that wait for an answer of ours are spared: answering renews the session.
pub(crate) fn expire_session(
    group: &mut ClassicGroup,
    transition: &mut Transition<'_>,
    id: &MemberId,
) {
    let is_pending = group.pending_join.contains(id);
    let spared = group
        .member(id)
        .is_none_or(|member| member.waits_for_coordinator());
    if !is_pending && spared {
        return;
    }
    remove_with_session(group, transition, id);
    match group.state() {
        GroupState::Stable | GroupState::CompletingRebalance if !is_pending => {
            prepare_rebalance(group, transition);
        }
        GroupState::PreparingRebalance if group.all_have_joined() => {
            complete_join(group, transition);
        }
        _ => {}
    }
}

/// Too long without SyncGroup: the members that did not send it are removed, the others rebalance.
pub(crate) fn expire_sync(
    group: &mut ClassicGroup,
    transition: &mut Transition<'_>,
    generation: Generation,
) {
    let settled = matches!(
        group.state(),
        GroupState::CompletingRebalance | GroupState::Stable
    );
    if generation != group.generation() || !settled || group.pending_sync.is_empty() {
        return;
    }
    for id in std::mem::take(&mut group.pending_sync) {
        remove_with_session(group, transition, &id);
    }
    prepare_rebalance(group, transition);
}
