//! Committed offsets and groups that nobody needs any more.

use std::sync::Arc;
use std::time::Duration;

use types::{MemberId, Timestamp};

use super::harness::{GROUP, Harness, SESSION, commit_topic, group_id, join_request};
use crate::group::classic::generation::GroupState;
use crate::group::classic::join::JoinRequest;
use crate::group::offsets::commit::CommitRequest;
use crate::group::record::GroupRecord;
use crate::group::request::GroupRequest;
use crate::group::settings::GroupSettings;

const RETENTION: Duration = Duration::from_secs(3600);
const CHECK: Duration = Duration::from_secs(60);

fn harness() -> Harness {
    Harness::with(GroupSettings {
        offsets_retention: RETENTION,
        offsets_retention_check_interval: CHECK,
        initial_rebalance_delay: Duration::ZERO,
        ..GroupSettings::default()
    })
}

/// Lets time pass while the members send heartbeats.
fn live(harness: &mut Harness, members: &[MemberId], duration: Duration) {
    let mut left = duration;
    while !left.is_zero() {
        let step = left.min(SESSION / 2);
        harness.advance(step);
        for member in members {
            harness.heartbeat(member).expect("alive");
        }
        left -= step;
    }
}

#[test]
fn simple_offsets_expire_from_their_commit_and_take_the_group_along() {
    let mut harness = harness();
    harness.commit(None, None, "flights", 1).expect("taken");
    harness.advance(RETENTION / 2);
    harness.commit(None, None, "planes", 1).expect("taken");
    harness.advance(RETENTION / 2 + CHECK);
    assert_eq!(harness.committed("flights"), None);
    assert_eq!(harness.committed("planes"), Some(1));
    harness.advance(RETENTION / 2 + CHECK);
    assert_eq!(harness.committed("planes"), None);
    assert_eq!(harness.shard.groups.len(), 0);
    assert!(matches!(
        harness.log.last(),
        Some(GroupRecord::GroupMetadata { value: None, .. })
    ));
    assert_eq!(harness.restarted().shard.groups.len(), 0);
}

#[test]
fn offsets_of_a_left_group_expire_from_when_it_became_empty() {
    let mut harness = harness();
    let members = harness.stable_group(1);
    let generation = Some(harness.group().generation());
    harness
        .commit(Some(&members[0]), generation, "flights", 1)
        .expect("taken");
    live(&mut harness, &members, RETENTION * 2);
    assert_eq!(harness.committed("flights"), Some(1), "still subscribed");
    harness.leave(&[(Some(&members[0]), None)]);
    harness.advance(RETENTION - CHECK);
    assert_eq!(harness.committed("flights"), Some(1));
    harness.advance(CHECK * 2);
    assert_eq!(harness.committed("flights"), None);
    assert!(!harness.shard.groups.contains_key(GROUP));
}

#[test]
fn a_stable_group_loses_only_what_it_no_longer_subscribes_to() {
    let mut harness = harness();
    let members = harness.stable_group(1);
    let generation = Some(harness.group().generation());
    for name in ["flights", "planes"] {
        harness
            .commit(Some(&members[0]), generation, name, 1)
            .expect("taken");
    }
    live(&mut harness, &members, RETENTION + CHECK);
    assert_eq!(harness.committed("flights"), Some(1));
    assert_eq!(harness.committed("planes"), None);
    assert_eq!(harness.state(), GroupState::Stable);
}

#[test]
fn nothing_expires_in_groups_whose_subscriptions_cannot_be_read() {
    let unreadable = {
        let mut request = join_request();
        request.protocols[0].metadata = Arc::from([0xff]);
        request
    };
    let connect = JoinRequest {
        protocol_type: Arc::from("connect"),
        ..join_request()
    };
    for request in [unreadable, connect] {
        let mut harness = harness();
        let request = JoinRequest {
            requires_known_member: false,
            ..request
        };
        let token = harness.send(GroupRequest::Join(request));
        harness.settle();
        let joined = harness.joined(token);
        let member = joined.leader.expect("leads");
        harness.sync(&member, joined.generation, &[]);
        harness
            .commit(Some(&member), Some(joined.generation), "planes", 1)
            .expect("taken");
        live(&mut harness, &[member], RETENTION + CHECK);
        assert_eq!(harness.committed("planes"), Some(1));
    }
}

#[test]
fn an_expiry_time_chosen_by_the_client_counts_instead() {
    let mut harness = harness();
    let request = |name: &str, retention_ms| CommitRequest {
        group: group_id(),
        member: None,
        instance: None,
        generation: None,
        retention_ms: Some(retention_ms),
        takes_member_epochs: true,
        topics: vec![commit_topic(name, 1)],
    };
    let long_ms = i64::try_from(RETENTION.as_millis()).unwrap() * 2;
    harness.commit_request(request("soon", 1)).expect("taken");
    harness
        .commit_request(request("late", long_ms))
        .expect("taken");
    harness
        .commit_request(request("never", i64::MAX))
        .expect("taken");
    harness.advance(CHECK);
    assert_eq!(harness.committed("soon"), None);
    harness.advance(RETENTION + CHECK);
    assert_eq!(harness.committed("late"), Some(1));
    harness.advance(RETENTION + CHECK);
    assert_eq!(harness.committed("late"), None);
    assert_eq!(harness.committed("never"), Some(1));
}

#[test]
fn a_wall_clock_set_back_expires_nothing() {
    let mut harness = harness();
    harness.commit(None, None, "flights", 1).expect("taken");
    harness.now.wall = Timestamp::from_ms(0);
    harness.advance(CHECK * 3);
    assert_eq!(harness.committed("flights"), Some(1));
}

#[test]
fn a_group_nobody_came_back_to_is_forgotten_at_the_next_check() {
    let mut harness = harness();
    harness.new_member();
    harness.advance(CHECK);
    assert_eq!(harness.shard.groups.len(), 0);
}
