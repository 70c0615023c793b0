//! SyncGroup and Heartbeat: how a generation gets its assignment and stays alive.

use std::sync::Arc;

use types::{GroupId, InstanceId, MemberId};

use super::harness::{Harness, REBALANCE, SESSION, group_id, join_request};
use crate::group::classic::generation::{Generation, GroupState};
use crate::group::classic::heartbeat::{HeartbeatError, HeartbeatRequest};
use crate::group::classic::join::JoinRequest;
use crate::group::classic::sync::{SyncError, SyncRequest};
use crate::group::record::GroupRecord;
use crate::group::request::{GroupReply, GroupRequest};
use crate::group::settings::GroupSettings;

fn sync_request(member: Option<MemberId>, generation: i32) -> SyncRequest {
    SyncRequest {
        group: group_id(),
        member,
        instance: None,
        generation: Generation::new(generation),
        protocol_type: Some(Arc::from("consumer")),
        protocol: Some(Arc::from("range")),
        assignments: Vec::new(),
    }
}

#[test]
fn followers_wait_for_the_leaders_assignment() {
    let mut harness = Harness::new();
    let (first, second) = (harness.new_member(), harness.new_member());
    let tokens = [harness.rejoin(&first), harness.rejoin(&second)];
    harness.settle();
    let generation = harness.joined(tokens[0]).generation;
    let records_before = harness.log.len();
    let follower = harness.sync(&second, generation, &[]);
    assert_eq!(harness.reply(follower), None);
    let leader = harness.sync(&first, generation, &[(&second, b"all of it")]);
    assert_eq!(
        &*harness.synced(follower).expect("assigned").assignment,
        b"all of it"
    );
    let synced = harness.synced(leader).expect("assigned");
    assert_eq!(&*synced.assignment, b"", "the leader left itself out");
    assert_eq!(synced.protocol.as_deref(), Some("range"));
    assert_eq!(synced.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(harness.state(), GroupState::Stable);
    assert_eq!(harness.log.len(), records_before + 1);
}

#[test]
fn a_stable_group_repeats_the_assignment() {
    let mut harness = Harness::new();
    let members = harness.stable_group(2);
    let again = harness.sync(&members[1], harness.group().generation(), &[]);
    let synced = harness.synced(again).expect("assigned");
    assert_eq!(&*synced.assignment, members[1].as_str().as_bytes());
}

#[test]
fn a_sync_that_does_not_fit_the_group_is_refused() {
    let mut harness = Harness::new();
    let members = harness.stable_group(1);
    let member = || Some(members[0].clone());
    let current = Generation::new(1).expect("not negative");
    let cases = [
        (
            SyncRequest {
                group: GroupId::new(""),
                ..sync_request(member(), 1)
            },
            SyncError::InvalidGroupId,
        ),
        (
            SyncRequest {
                group: GroupId::new("other"),
                ..sync_request(member(), 1)
            },
            SyncError::UnknownMember,
        ),
        (sync_request(None, 1), SyncError::UnknownMember),
        (
            sync_request(Some(MemberId::new("ghost")), 1),
            SyncError::UnknownMember,
        ),
        (
            SyncRequest {
                instance: Some(InstanceId::new("a")),
                ..sync_request(member(), 1)
            },
            SyncError::UnknownMember,
        ),
        (
            sync_request(member(), 2),
            SyncError::IllegalGeneration { current },
        ),
        (
            sync_request(member(), -1),
            SyncError::IllegalGeneration { current },
        ),
        (
            SyncRequest {
                protocol_type: Some(Arc::from("connect")),
                ..sync_request(member(), 1)
            },
            SyncError::InconsistentProtocol,
        ),
        (
            SyncRequest {
                protocol: Some(Arc::from("sticky")),
                ..sync_request(member(), 1)
            },
            SyncError::InconsistentProtocol,
        ),
    ];
    for (request, expected) in cases {
        let reply = harness.call(GroupRequest::Sync(request));
        assert_eq!(reply, GroupReply::Sync(Err(expected)));
    }
}

#[test]
fn a_rebalance_refuses_the_syncs_that_wait() {
    let mut harness = Harness::new();
    let (first, second) = (harness.new_member(), harness.new_member());
    let tokens = [harness.rejoin(&first), harness.rejoin(&second)];
    harness.settle();
    let generation = harness.joined(tokens[0]).generation;
    let waiting = harness.sync(&second, generation, &[]);
    let third = harness.new_member();
    harness.rejoin(&third);
    assert_eq!(harness.synced(waiting), Err(SyncError::RebalanceInProgress));
    let late = harness.sync(&first, generation, &[]);
    assert_eq!(harness.synced(late), Err(SyncError::RebalanceInProgress));
}

#[test]
fn a_second_sync_of_one_member_takes_the_place_of_the_first() {
    let mut harness = Harness::new();
    let (first, second) = (harness.new_member(), harness.new_member());
    let tokens = [harness.rejoin(&first), harness.rejoin(&second)];
    harness.settle();
    let generation = harness.joined(tokens[0]).generation;
    let waiting = harness.sync(&second, generation, &[]);
    let again = harness.sync(&second, generation, &[]);
    assert_eq!(harness.synced(waiting), Err(SyncError::Superseded));
    assert_eq!(harness.reply(again), None);
}

#[test]
fn members_that_never_sync_are_removed_after_the_rebalance_timeout() {
    let mut harness = Harness::new();
    let (first, second) = (harness.new_member(), harness.new_member());
    let tokens = [harness.rejoin(&first), harness.rejoin(&second)];
    harness.settle();
    let generation = harness.joined(tokens[0]).generation;
    let leader = harness.sync(&first, generation, &[]);
    harness.synced(leader).expect("assigned");
    for _ in 0..REBALANCE.as_secs() {
        harness.advance(SESSION / 10);
        for member in [&first, &second] {
            let _kept_alive = harness.heartbeat(member);
        }
    }
    assert_eq!(harness.state(), GroupState::PreparingRebalance);
    assert_eq!(
        harness.heartbeat(&second),
        Err(HeartbeatError::UnknownMember)
    );
    assert_eq!(
        harness.heartbeat(&first),
        Err(HeartbeatError::RebalanceInProgress)
    );
}

#[test]
fn waiting_for_the_leader_keeps_a_member_alive() {
    let mut harness = Harness::new();
    let (first, second) = (harness.new_member(), harness.new_member());
    let tokens = [harness.rejoin(&first), harness.rejoin(&second)];
    harness.settle();
    let generation = harness.joined(tokens[0]).generation;
    let waiting = harness.sync(&second, generation, &[]);
    for _ in 0..4 {
        harness.advance(SESSION / 2);
        assert_eq!(harness.heartbeat(&first), Ok(()));
    }
    harness.sync(&first, generation, &[]);
    harness.synced(waiting).expect("assigned");
    // From now on it must show signs of life again.
    harness.advance(SESSION);
    assert_eq!(
        harness.heartbeat(&second),
        Err(HeartbeatError::UnknownMember)
    );
}

#[test]
fn a_silent_leader_lets_the_others_rebalance() {
    let mut harness = Harness::new();
    let (first, second) = (harness.new_member(), harness.new_member());
    let tokens = [harness.rejoin(&first), harness.rejoin(&second)];
    harness.settle();
    let generation = harness.joined(tokens[0]).generation;
    let waiting = harness.sync(&second, generation, &[]);
    harness.advance(SESSION);
    assert_eq!(harness.synced(waiting), Err(SyncError::RebalanceInProgress));
    let again = harness.rejoin(&second);
    let joined = harness.joined(again);
    assert_eq!(joined.leader, Some(second));
}

#[test]
fn silence_costs_the_membership() {
    let mut harness = Harness::new();
    let members = harness.stable_group(2);
    harness.advance(SESSION / 2);
    assert_eq!(harness.heartbeat(&members[0]), Ok(()));
    harness.advance(SESSION / 2);
    assert_eq!(harness.state(), GroupState::PreparingRebalance);
    assert_eq!(
        harness.heartbeat(&members[0]),
        Err(HeartbeatError::RebalanceInProgress)
    );
    assert_eq!(
        harness.heartbeat(&members[1]),
        Err(HeartbeatError::UnknownMember)
    );
    harness.advance(SESSION);
    assert_eq!(harness.state(), GroupState::Empty);
    assert_eq!(harness.group().generation().value(), 2);
}

#[test]
fn heartbeats_are_answered_by_state_and_generation() {
    let mut harness = Harness::new();
    let member = harness.new_member();
    let token = harness.rejoin(&member);
    harness.settle();
    let generation = harness.joined(token).generation;
    assert_eq!(
        harness.heartbeat(&member),
        Ok(()),
        "also before the assignment"
    );
    let earlier = Generation::ZERO;
    assert_eq!(
        harness.heartbeat_with(&member, None, earlier),
        Err(HeartbeatError::IllegalGeneration {
            current: generation
        })
    );
    let instance = InstanceId::new("a");
    assert_eq!(
        harness.heartbeat_with(&member, Some(&instance), generation),
        Err(HeartbeatError::UnknownMember)
    );
    for (group, expected) in [
        ("", HeartbeatError::InvalidGroupId),
        ("other", HeartbeatError::UnknownMember),
    ] {
        let reply = harness.call(GroupRequest::Heartbeat(HeartbeatRequest {
            group: GroupId::new(group),
            member: Some(member.clone()),
            instance: None,
            generation: Some(generation),
        }));
        assert_eq!(reply, GroupReply::Heartbeat(Err(expected)));
    }
}

#[test]
fn an_assignment_that_fits_no_record_is_refused_and_the_group_rebalances() {
    let max = 4096;
    let mut harness = Harness::with(GroupSettings {
        record_bytes_max: max,
        initial_rebalance_delay: std::time::Duration::ZERO,
        ..GroupSettings::default()
    });
    let member = harness.new_member();
    let token = harness.rejoin(&member);
    harness.settle();
    let generation = harness.joined(token).generation;
    let large = vec![0; max];
    let token = harness.sync(&member, generation, &[(&member, &large)]);
    assert_eq!(
        harness.synced(token),
        Err(SyncError::RecordTooLarge { max })
    );
    assert_eq!(harness.state(), GroupState::PreparingRebalance);
    assert!(
        harness
            .group()
            .members()
            .all(|member| member.assignment.is_empty())
    );
}

#[test]
fn a_restart_keeps_members_and_their_assignments() {
    let mut harness = Harness::new();
    let members = harness.stable_group(2);
    let mut restarted = harness.restarted();
    assert_eq!(restarted.group().to_record(), harness.group().to_record());
    for member in &members {
        assert_eq!(restarted.heartbeat(member), Ok(()));
    }
    let token = restarted.rejoin(&members[1]);
    assert_eq!(
        restarted.joined(token).generation.value(),
        1,
        "nothing has changed"
    );
    restarted.advance(SESSION);
    assert_eq!(
        restarted.state(),
        GroupState::Empty,
        "sessions count from loading"
    );
}

#[test]
fn a_restart_within_a_rebalance_goes_back_to_the_last_stable_generation() {
    let mut harness = Harness::new();
    let members = harness.stable_group(2);
    let before = harness.group().to_record();
    harness.rejoin(&members[0]);
    harness.rejoin(&members[1]);
    assert_eq!(harness.state(), GroupState::CompletingRebalance);
    let restarted = harness.restarted();
    assert_eq!(restarted.state(), GroupState::Stable);
    assert_eq!(restarted.group().to_record(), before);
}

#[test]
fn a_record_that_contradicts_itself_is_left_out() {
    let mut harness = Harness::new();
    harness.stable_group(1);
    let record = harness.log.last().expect("written").clone();
    let GroupRecord::GroupMetadata {
        group,
        value: Some(value),
    } = record
    else {
        panic!("not the record of a group: {record:?}");
    };
    let mut twice = value.clone();
    twice.members.push(value.members[0].clone());
    let mut same_instance = twice.clone();
    for (index, member) in same_instance.members.iter_mut().enumerate() {
        member.member = MemberId::new(&index.to_string());
        member.instance = Some(InstanceId::new("a"));
    }
    let mut no_protocol = value;
    no_protocol.protocol = None;
    for value in [twice, same_instance, no_protocol] {
        let record = GroupRecord::GroupMetadata {
            group: group.clone(),
            value: Some(value),
        };
        harness
            .shard
            .replay(harness.now, record)
            .expect_err("contradiction");
    }
    assert_eq!(harness.group().members().len(), 1);
}

#[test]
fn sessions_of_members_that_moved_on_have_no_effect() {
    let mut harness = Harness::new();
    let first = JoinRequest {
        requires_known_member: false,
        ..join_request()
    };
    let token = harness.send(GroupRequest::Join(first));
    harness.settle();
    let joined = harness.joined(token);
    let member = joined.leader.expect("leads");
    harness.leave(&[(Some(&member), None)]);
    assert_eq!(harness.state(), GroupState::Empty);
    harness.advance(REBALANCE * 5);
    assert_eq!(harness.group().generation().value(), 2);
}
