//! JoinGroup of a static member that comes back without its member id, for example after a restart (KIP-345).
//!
//! After `updateStaticMemberThenRebalanceOrCompleteJoin` in Kafka's `GroupMetadataManager.java`. The instance gets a
//! new member id and the old one is fenced. A Stable group whose chosen protocol stays the same does not rebalance:
//! the new id inherits the assignment.

use types::MemberId;

use super::generation::GroupState;
use super::join::{JoinReply, JoinRequest};
use super::rebalance::{
    complete_join_if_ready, persist, prepare_or_complete, prepare_rebalance, renew_session,
};
use super::state::ClassicGroup;
use crate::group::request::{GroupReply, ReplyToken};
use crate::group::timers::TimerKey;
use crate::group::transition::Transition;

/// Joins as the instance that `old` was until now.
pub(super) fn join_replacing(
    group: &mut ClassicGroup,
    transition: &mut Transition<'_>,
    request: JoinRequest,
    old: MemberId,
    new: MemberId,
    token: ReplyToken,
) {
    let leader_before = group.leader().cloned();
    group.replace_static_member(transition, &old, &new);
    transition.cancel(&TimerKey::Session(group.id.clone(), old));
    group.update_member(
        &new,
        request.protocols,
        request.rebalance_timeout,
        request.session_timeout,
    );
    renew_session(group, transition, &new);

    let keeps_protocol = group.select_protocol().as_ref() == group.protocol();
    if group.state() == GroupState::Stable && keeps_protocol && persist(group, transition) {
        let mut reply = JoinReply::joined(group, &new);
        if let Ok(joined) = &mut reply.result {
            if request.supports_skip_assignment {
                joined.skip_assignment = group.is_leader(&new);
            } else {
                // Naming the old leader makes the client a follower, so that it does not assign again.
                joined.leader = leader_before;
                joined.members.clear();
            }
        }
        return transition.reply(token, GroupReply::Join(reply));
    }
    group.park_join(transition, &new, token);
    match group.state() {
        GroupState::Stable => prepare_or_complete(group, transition),
        // The old id may already be with the leader, whose assignment would miss the new one.
        GroupState::CompletingRebalance => prepare_rebalance(group, transition),
        GroupState::PreparingRebalance | GroupState::Empty => {
            complete_join_if_ready(group, transition);
        }
    }
}
