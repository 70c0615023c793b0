//! JoinGroup: who gets in, when the join phase ends, who leads.

use std::sync::Arc;
use std::time::Duration;

use types::{GroupId, InstanceId, MemberId};

use super::harness::{Harness, REBALANCE, SESSION, group_id, join_request, protocol};
use crate::group::classic::generation::{Generation, GroupState};
use crate::group::classic::heartbeat::HeartbeatError;
use crate::group::classic::join::{JoinError, JoinRequest};
use crate::group::record::GroupRecord;
use crate::group::request::GroupRequest;
use crate::group::settings::GroupSettings;

#[test]
fn requests_that_no_group_can_take_are_refused() {
    let settings = GroupSettings::default();
    let timeout = |requested| JoinError::InvalidSessionTimeout {
        requested,
        min: settings.session_timeout_min,
        max: settings.session_timeout_max,
    };
    let short = Duration::from_millis(5_999);
    let long = Duration::from_millis(1_800_001);
    let cases = [
        (
            JoinRequest {
                group: GroupId::new(""),
                ..join_request()
            },
            JoinError::InvalidGroupId,
        ),
        (
            JoinRequest {
                session_timeout: short,
                ..join_request()
            },
            timeout(short),
        ),
        (
            JoinRequest {
                session_timeout: long,
                ..join_request()
            },
            timeout(long),
        ),
        (
            JoinRequest {
                member: Some(MemberId::new("ghost")),
                ..join_request()
            },
            JoinError::UnknownMember,
        ),
        (
            JoinRequest {
                protocols: Vec::new(),
                ..join_request()
            },
            JoinError::InconsistentProtocol,
        ),
        (
            JoinRequest {
                protocol_type: Arc::from(""),
                ..join_request()
            },
            JoinError::InconsistentProtocol,
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(Harness::new().join_error(request), expected);
    }
}

#[test]
fn a_new_dynamic_member_is_given_an_id_of_kafkas_form_first() {
    let mut harness = Harness::new();
    let reply = harness.join_now(JoinRequest {
        randomness: [0xff; 16],
        ..join_request()
    });
    assert_eq!(reply.result, Err(JoinError::MemberIdRequired));
    let id = reply.member.expect("an id is given");
    assert_eq!(id.as_str(), "client-ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_eq!(harness.state(), GroupState::Empty);
    assert!(matches!(
        &harness.log[..],
        [GroupRecord::GroupMetadata { value: Some(_), .. }]
    ));
}

#[test]
fn an_id_made_from_an_overlong_name_still_fits_a_message() {
    let mut harness = Harness::new();
    let mut request = join_request();
    request.client.id = Arc::from("ä".repeat(16_383));
    let id = harness.join_now(request).member.expect("an id is given");
    assert!(id.as_str().len() <= 32_767);
    assert!(id.as_str().starts_with("ää"));
}

#[test]
fn an_old_client_joins_without_the_detour() {
    let mut harness = Harness::new();
    let request = JoinRequest {
        requires_known_member: false,
        ..join_request()
    };
    let token = harness.send(GroupRequest::Join(request));
    harness.settle();
    assert_eq!(harness.joined(token).generation.value(), 1);
}

#[test]
fn an_id_that_is_not_used_expires_after_the_session_timeout() {
    let mut harness = Harness::new();
    let member = harness.new_member();
    harness.advance(SESSION);
    let request = JoinRequest {
        member: Some(member),
        ..join_request()
    };
    assert_eq!(harness.join_error(request), JoinError::UnknownMember);
}

#[test]
fn a_pending_member_holds_the_join_phase_up_until_it_expires() {
    let mut harness = Harness::new();
    let members = harness.stable_group(1);
    harness.new_member();
    let token = harness.rejoin(&members[0]);
    assert_eq!(harness.state(), GroupState::PreparingRebalance);
    assert_eq!(harness.join_reply(token), None);
    harness.advance(SESSION);
    assert_eq!(harness.joined(token).generation.value(), 2);
}

#[test]
fn a_pending_member_cannot_come_back_as_a_static_one() {
    let mut harness = Harness::new();
    let member = harness.new_member();
    let request = JoinRequest {
        member: Some(member),
        instance: Some(InstanceId::new("a")),
        ..join_request()
    };
    assert_eq!(
        harness.join_error(request),
        JoinError::PendingMemberIsStatic
    );
}

#[test]
fn only_the_leader_gets_the_member_list() {
    let mut harness = Harness::new();
    let (first, second) = (harness.new_member(), harness.new_member());
    let tokens = [harness.rejoin(&first), harness.rejoin(&second)];
    harness.settle();
    let joined = tokens.map(|token| harness.joined(token));
    assert_eq!(joined[0].leader, Some(first));
    assert_eq!(joined[0].members.len(), 2);
    assert_eq!(joined[1].leader, joined[0].leader);
    assert_eq!(joined[1].members, []);
    assert_eq!(joined[1].generation, joined[0].generation);
    assert_eq!(joined[1].protocol.as_deref(), Some("range"));
}

#[test]
fn the_initial_delay_is_extended_by_joins_up_to_the_rebalance_timeout() {
    let mut harness = Harness::with(GroupSettings::default());
    let delay = GroupSettings::default().initial_rebalance_delay;
    let members: Vec<MemberId> = (0..3).map(|_| harness.new_member()).collect();
    let rejoin = |harness: &mut Harness, member: &MemberId| {
        harness.send(GroupRequest::Join(JoinRequest {
            member: Some(member.clone()),
            rebalance_timeout: delay * 2,
            ..join_request()
        }))
    };
    let first = rejoin(&mut harness, &members[0]);
    harness.advance(delay / 2);
    let second = rejoin(&mut harness, &members[1]);
    harness.advance(delay / 2);
    assert_eq!(
        harness.join_reply(first),
        None,
        "somebody came, so it waits once more"
    );
    let third = rejoin(&mut harness, &members[2]);
    harness.advance(delay);
    for token in [first, second, third] {
        assert_eq!(harness.joined(token).generation.value(), 1, "time is up");
    }
}

#[test]
fn the_initial_delay_applies_once_if_nobody_else_comes() {
    let mut harness = Harness::with(GroupSettings::default());
    let member = harness.new_member();
    let token = harness.rejoin(&member);
    harness.advance(GroupSettings::default().initial_rebalance_delay);
    assert_eq!(harness.joined(token).generation.value(), 1);
}

#[test]
fn the_protocol_with_most_votes_among_the_common_ones_is_chosen() {
    let cases: [(&[&[&str]], Option<&str>); 4] = [
        (&[&["a", "b"], &["b", "a"], &["b", "a"]], Some("b")),
        (&[&["a", "b", "c"], &["c", "b"]], Some("b")),
        (&[&["a", "x"], &["b", "x"]], Some("x")),
        (&[&["a", "a"]], Some("a")),
    ];
    for (members, expected) in cases {
        let mut harness = Harness::new();
        let ids: Vec<MemberId> = members.iter().map(|_| harness.new_member()).collect();
        let mut tokens = Vec::new();
        for (id, names) in ids.iter().zip(members) {
            let protocols = names
                .iter()
                .map(|name| protocol(name, &["flights"]))
                .collect();
            let request = JoinRequest {
                member: Some(id.clone()),
                protocols,
                ..join_request()
            };
            tokens.push(harness.send(GroupRequest::Join(request)));
        }
        harness.settle();
        for token in tokens {
            assert_eq!(
                harness.joined(token).protocol.as_deref(),
                expected,
                "{members:?}"
            );
        }
    }
}

#[test]
fn a_member_without_a_common_protocol_is_refused() {
    let mut harness = Harness::new();
    harness.stable_group(2);
    let other = vec![protocol("sticky", &["flights"])];
    let cases = [
        JoinRequest {
            protocols: other,
            ..join_request()
        },
        JoinRequest {
            protocol_type: Arc::from("connect"),
            ..join_request()
        },
    ];
    for request in cases {
        assert_eq!(harness.join_error(request), JoinError::InconsistentProtocol);
    }
    assert_eq!(harness.state(), GroupState::Stable);
}

#[test]
fn a_leader_that_joins_again_forces_a_rebalance() {
    let mut harness = Harness::new();
    let members = harness.stable_group(2);
    let token = harness.rejoin(&members[0]);
    assert_eq!(harness.state(), GroupState::PreparingRebalance);
    assert_eq!(
        harness.heartbeat(&members[1]),
        Err(HeartbeatError::RebalanceInProgress)
    );
    let other = harness.rejoin(&members[1]);
    assert_eq!(harness.joined(token).generation.value(), 2);
    assert_eq!(harness.joined(other).generation.value(), 2);
}

#[test]
fn a_follower_that_joins_again_unchanged_gets_the_present_generation() {
    let mut harness = Harness::new();
    let members = harness.stable_group(2);
    let token = harness.rejoin(&members[1]);
    let joined = harness.joined(token);
    assert_eq!(joined.generation.value(), 1);
    assert_eq!(joined.members, []);
    assert_eq!(harness.state(), GroupState::Stable);
}

#[test]
fn changed_metadata_forces_a_rebalance() {
    let mut harness = Harness::new();
    let members = harness.stable_group(2);
    let request = JoinRequest {
        member: Some(members[1].clone()),
        protocols: vec![protocol("range", &["flights", "planes"])],
        ..join_request()
    };
    harness.send(GroupRequest::Join(request));
    assert_eq!(harness.state(), GroupState::PreparingRebalance);
}

#[test]
fn joining_again_unchanged_while_the_assignment_is_awaited_repeats_the_answer() {
    let mut harness = Harness::new();
    let member = harness.new_member();
    let first = harness.rejoin(&member);
    harness.settle();
    assert_eq!(harness.state(), GroupState::CompletingRebalance);
    let again = harness.rejoin(&member);
    assert_eq!(harness.joined(first), harness.joined(again));
    let changed = JoinRequest {
        member: Some(member),
        protocols: vec![protocol("range", &["planes"])],
        ..join_request()
    };
    let token = harness.send(GroupRequest::Join(changed));
    assert_eq!(harness.joined(token).generation.value(), 2);
}

#[test]
fn a_second_join_of_one_member_takes_the_place_of_the_first() {
    let mut harness = Harness::new();
    let members = harness.stable_group(2);
    let first = harness.rejoin(&members[0]);
    let second = harness.rejoin(&members[0]);
    let reply = harness.join_reply(first).expect("answered");
    assert_eq!(reply.result, Err(JoinError::Superseded));
    assert_eq!(harness.join_reply(second), None);
}

#[test]
fn those_who_do_not_join_again_in_time_are_dropped() {
    let mut harness = Harness::new();
    let members = harness.stable_group(3);
    let changed = JoinRequest {
        member: Some(members[1].clone()),
        protocols: vec![protocol("range", &["planes"])],
        ..join_request()
    };
    let token = harness.send(GroupRequest::Join(changed));
    for _ in 0..10 {
        harness.advance(SESSION / 2);
        let _kept_alive = (
            harness.heartbeat(&members[0]),
            harness.heartbeat(&members[2]),
        );
    }
    assert_eq!(harness.join_reply(token), None);
    harness.advance(REBALANCE);
    let joined = harness.joined(token);
    assert_eq!(
        joined.leader.as_ref(),
        Some(&members[1]),
        "the leader was dropped"
    );
    assert_eq!(joined.members.len(), 1);
    assert_eq!(
        harness.heartbeat(&members[0]),
        Err(HeartbeatError::UnknownMember)
    );
}

#[test]
fn a_full_group_takes_nobody_else() {
    let max = 2;
    let mut harness = Harness::with(GroupSettings {
        group_size_max: max,
        initial_rebalance_delay: Duration::ZERO,
        ..GroupSettings::default()
    });
    let members = harness.stable_group(2);
    let full = JoinError::GroupMaxSizeReached { max };
    assert_eq!(harness.join_error(join_request()), full);
    harness.rejoin(&members[0]);
    let token = harness.rejoin(&members[1]);
    assert_eq!(
        harness.joined(token).generation.value(),
        2,
        "members may always come back"
    );
}

#[test]
fn a_loaded_group_beyond_the_largest_size_drops_whoever_joins_last() {
    let mut harness = Harness::new();
    let members = harness.stable_group(3);
    harness.shard.settings.group_size_max = 2;
    let mut harness = harness.restarted();
    assert_eq!(harness.state(), GroupState::PreparingRebalance);
    let tokens = [harness.rejoin(&members[0]), harness.rejoin(&members[1])];
    let last = JoinRequest {
        member: Some(members[2].clone()),
        ..join_request()
    };
    assert_eq!(
        harness.join_error(last),
        JoinError::GroupMaxSizeReached { max: 2 }
    );
    harness.advance(REBALANCE);
    for token in tokens {
        assert_eq!(harness.joined(token).generation.value(), 2);
    }
}

#[test]
fn a_new_member_that_waits_too_long_for_its_first_join_is_forgotten() {
    let mut harness = Harness::new();
    let members = harness.stable_group(1);
    let request = JoinRequest {
        requires_known_member: false,
        rebalance_timeout: REBALANCE * 10,
        ..join_request()
    };
    let token = harness.send(GroupRequest::Join(request));
    for _ in 0..60 {
        harness.advance(SESSION / 2);
        let _kept_alive = harness.heartbeat(&members[0]);
    }
    let reply = harness.join_reply(token).expect("answered");
    assert_eq!(reply.result, Err(JoinError::UnknownMember));
}

#[test]
fn rebalance_timeouts_of_zero_neither_block_nor_spin() {
    let mut harness = Harness::new();
    let request = |name: &str| JoinRequest {
        instance: Some(InstanceId::new(name)),
        rebalance_timeout: Duration::ZERO,
        ..join_request()
    };
    let first = harness.send(GroupRequest::Join(request("a")));
    harness.settle();
    let generation = harness.joined(first).generation;
    assert_eq!(generation, Generation::new(1).expect("not negative"));
    // Nobody sends SyncGroup, in no time at all: the member is removed and the group is Empty again.
    harness.advance(Duration::ZERO);
    assert_eq!(harness.state(), GroupState::Empty);
    assert_eq!(harness.group().generation().value(), 2);
    assert_eq!(harness.shard.groups.len(), 1, "{:?}", group_id());
}
