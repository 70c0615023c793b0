//! Static members: coming back under the same instance id.

use types::{InstanceId, MemberId};

use super::harness::{Harness, SESSION, join_request, protocol};
use crate::group::classic::generation::GroupState;
use crate::group::classic::heartbeat::HeartbeatError;
use crate::group::classic::join::{JoinError, JoinRequest};
use crate::group::classic::sync::SyncError;
use crate::group::request::{GroupRequest, ReplyToken};

fn instance(name: &str) -> InstanceId {
    InstanceId::new(name)
}

fn join_as(name: &str) -> JoinRequest {
    JoinRequest {
        instance: Some(instance(name)),
        ..join_request()
    }
}

fn send_as(harness: &mut Harness, name: &str) -> ReplyToken {
    harness.send(GroupRequest::Join(join_as(name)))
}

/// A Stable group of two static members, the leader first, with their names.
fn stable_pair(harness: &mut Harness) -> [(MemberId, &'static str); 2] {
    let names = ["a", "b"];
    let tokens = names.map(|name| send_as(harness, name));
    harness.settle();
    let joined = tokens.map(|token| {
        let reply = harness.join_reply(token).expect("answered");
        let generation = reply.result.expect("accepted").generation;
        (reply.member.expect("named"), generation)
    });
    let generation = joined[0].1;
    let [first, second] = joined.map(|(member, _)| member);
    let follower = harness.sync(&second, generation, &[]);
    let leader = harness.sync(&first, generation, &[(&first, b"1"), (&second, b"2")]);
    assert_eq!(&*harness.synced(leader).expect("assigned").assignment, b"1");
    assert_eq!(
        &*harness.synced(follower).expect("assigned").assignment,
        b"2"
    );
    [(first, "a"), (second, "b")]
}

#[test]
fn a_static_member_needs_no_second_join_and_is_named_after_its_instance() {
    let mut harness = Harness::new();
    let token = send_as(&mut harness, "a");
    harness.settle();
    let reply = harness.join_reply(token).expect("answered");
    assert!(reply.member.expect("named").as_str().starts_with("a-"));
    reply.result.expect("accepted");
}

#[test]
fn a_returning_follower_takes_over_its_assignment_without_a_rebalance() {
    let mut harness = Harness::new();
    let [_, (old, name)] = stable_pair(&mut harness);
    let reply = harness.join_now(join_as(name));
    let new = reply.member.expect("named");
    let joined = reply.result.expect("accepted");
    assert_ne!(new, old);
    assert_eq!(joined.generation.value(), 1);
    assert!(!joined.skip_assignment);
    assert_eq!(joined.members, []);
    assert_eq!(harness.state(), GroupState::Stable);
    let token = harness.sync(&new, joined.generation, &[]);
    assert_eq!(&*harness.synced(token).expect("assigned").assignment, b"2");
    let restarted = harness.restarted();
    assert_eq!(restarted.group().to_record(), harness.group().to_record());
}

#[test]
fn the_replaced_member_is_fenced() {
    let mut harness = Harness::new();
    let [_, (old, name)] = stable_pair(&mut harness);
    harness.join_now(join_as(name));
    let name = instance(name);
    let generation = harness.group().generation();
    let heartbeat = harness.heartbeat_with(&old, Some(&name), generation);
    assert_eq!(heartbeat, Err(HeartbeatError::FencedInstance));
    let rejoin = JoinRequest {
        member: Some(old.clone()),
        ..join_as(name.as_str())
    };
    assert_eq!(harness.join_error(rejoin), JoinError::FencedInstance);
    let left = harness.leave(&[(Some(&old), Some(&name))]);
    assert!(left[0].is_err());
    let forgotten = harness.heartbeat_with(&old, None, generation);
    assert_eq!(forgotten, Err(HeartbeatError::UnknownMember));
}

#[test]
fn a_returning_leader_is_told_not_to_assign() {
    for supports_skip_assignment in [true, false] {
        let mut harness = Harness::new();
        let [(old, name), _] = stable_pair(&mut harness);
        let request = JoinRequest {
            supports_skip_assignment,
            ..join_as(name)
        };
        let reply = harness.join_now(request);
        let joined = reply.result.expect("accepted");
        assert_eq!(joined.skip_assignment, supports_skip_assignment);
        let expected_leader = if supports_skip_assignment {
            reply.member
        } else {
            Some(old)
        };
        assert_eq!(joined.leader, expected_leader);
        assert_eq!(
            joined.members.len(),
            if supports_skip_assignment { 2 } else { 0 }
        );
        assert_eq!(harness.state(), GroupState::Stable);
    }
}

#[test]
fn another_protocol_choice_on_return_forces_a_rebalance() {
    let mut harness = Harness::new();
    let protocols = vec![
        protocol("range", &["flights"]),
        protocol("sticky", &["flights"]),
    ];
    let request = JoinRequest {
        protocols,
        ..join_as("a")
    };
    let token = harness.send(GroupRequest::Join(request));
    harness.settle();
    let joined = harness.joined(token);
    let member = joined.leader.expect("leads");
    harness.sync(&member, joined.generation, &[]);
    let protocols = vec![
        protocol("sticky", &["flights"]),
        protocol("range", &["flights"]),
    ];
    let token = harness.send(GroupRequest::Join(JoinRequest {
        protocols,
        ..join_as("a")
    }));
    let joined = harness.joined(token);
    assert_eq!(joined.generation.value(), 2);
    assert_eq!(joined.protocol.as_deref(), Some("sticky"));
}

#[test]
fn a_return_while_the_assignment_is_awaited_forces_a_rebalance_and_fences_the_old_sync() {
    let mut harness = Harness::new();
    let tokens = ["a", "b"].map(|name| send_as(&mut harness, name));
    harness.settle();
    let members = tokens.map(|token| {
        let reply = harness.join_reply(token).expect("answered");
        reply.member.expect("named")
    });
    let generation = harness.group().generation();
    let waiting = harness.sync(&members[1], generation, &[]);
    let back = send_as(&mut harness, "b");
    assert_eq!(harness.synced(waiting), Err(SyncError::FencedInstance));
    assert_eq!(harness.state(), GroupState::PreparingRebalance);
    harness.send(GroupRequest::Join(JoinRequest {
        member: Some(members[0].clone()),
        ..join_as("a")
    }));
    assert_eq!(harness.joined(back).generation.value(), 2);
}

#[test]
fn a_return_during_the_join_phase_fences_the_old_join() {
    let mut harness = Harness::new();
    let [(first, _), (_, name)] = stable_pair(&mut harness);
    let again = JoinRequest {
        member: Some(first.clone()),
        ..join_as("a")
    };
    let token = harness.send(GroupRequest::Join(again));
    assert_eq!(harness.state(), GroupState::PreparingRebalance);
    let replacing = send_as(&mut harness, "a");
    let reply = harness.join_reply(token).expect("answered");
    assert_eq!(reply.result, Err(JoinError::FencedInstance));
    assert_eq!(reply.member, Some(first));
    let other = send_as(&mut harness, name);
    assert_eq!(harness.joined(replacing).generation.value(), 2);
    assert_eq!(harness.joined(other).generation.value(), 2);
}

#[test]
fn an_absent_static_member_keeps_its_place_until_its_session_ends() {
    let mut harness = Harness::new();
    let [(first, name), (second, _)] = stable_pair(&mut harness);
    for _ in 0..3 {
        harness.advance(SESSION / 4);
        assert_eq!(harness.heartbeat(&first), Ok(()));
    }
    assert_eq!(harness.state(), GroupState::Stable);
    harness.advance(SESSION / 4);
    assert_eq!(harness.state(), GroupState::PreparingRebalance);
    assert_eq!(
        harness.heartbeat(&second),
        Err(HeartbeatError::UnknownMember)
    );
    let again = JoinRequest {
        member: Some(first),
        ..join_as(name)
    };
    let token = harness.send(GroupRequest::Join(again));
    assert_eq!(harness.joined(token).members.len(), 1);
}

#[test]
fn a_join_phase_nobody_joins_waits_for_the_sessions_to_end() {
    let mut harness = Harness::new();
    let request = |name: &str| JoinRequest {
        session_timeout: SESSION * 20,
        rebalance_timeout: SESSION,
        ..join_as(name)
    };
    let tokens = ["a", "b"].map(|name| harness.send(GroupRequest::Join(request(name))));
    harness.settle();
    let members = tokens.map(|token| harness.join_reply(token).expect("answered").member);
    let [first, second] = members.map(|member| member.expect("named"));
    let generation = harness.group().generation();
    harness.sync(&first, generation, &[]);
    harness.sync(&second, generation, &[]);
    // A third member starts a rebalance and goes away again; the static ones stay silent.
    let third = harness.new_member();
    harness.rejoin(&third);
    harness.leave(&[(Some(&third), None)]);
    harness.advance(SESSION * 10);
    assert_eq!(harness.state(), GroupState::PreparingRebalance);
    assert_eq!(harness.group().members().len(), 2);
    harness.advance(SESSION * 20);
    assert_eq!(harness.state(), GroupState::Empty);
}
