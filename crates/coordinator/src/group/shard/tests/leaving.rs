//! LeaveGroup.

use types::{GroupId, InstanceId, MemberId};

use super::harness::{Harness, join_request};
use crate::group::classic::generation::GroupState;
use crate::group::classic::join::{JoinError, JoinRequest};
use crate::group::classic::leave::{LeaveError, LeaveMemberError, LeaveRequest, LeavingMember};
use crate::group::classic::sync::SyncError;
use crate::group::record::GroupRecord;
use crate::group::request::{GroupReply, GroupRequest};

#[test]
fn the_last_member_leaves_an_empty_group_and_a_record_of_it() {
    let mut harness = Harness::new();
    let members = harness.stable_group(1);
    assert_eq!(harness.leave(&[(Some(&members[0]), None)]), [Ok(())]);
    assert_eq!(harness.state(), GroupState::Empty);
    let Some(GroupRecord::GroupMetadata {
        value: Some(value), ..
    }) = harness.log.last()
    else {
        panic!("not a group's record: {:?}", harness.log.last());
    };
    assert_eq!(value.generation.value(), 2);
    assert_eq!(value.members, []);
    assert_eq!(value.protocol, None);
    assert_eq!(value.leader, None);
    assert_eq!(value.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(value.state_timestamp, Some(harness.now.wall));
}

#[test]
fn a_batch_leaves_with_one_rebalance_and_a_result_for_each() {
    let mut harness = Harness::new();
    let members = harness.stable_group(3);
    let ghost = MemberId::new("ghost");
    let unknown = Err(LeaveMemberError::UnknownMember);
    let left = harness.leave(&[
        (Some(&members[0]), None),
        (Some(&ghost), None),
        (Some(&members[1]), None),
        (None, None),
    ]);
    assert_eq!(left, [Ok(()), unknown.clone(), Ok(()), unknown]);
    assert_eq!(harness.state(), GroupState::PreparingRebalance);
    let token = harness.rejoin(&members[2]);
    assert_eq!(harness.joined(token).generation.value(), 2);
}

#[test]
fn nobody_leaving_changes_nothing() {
    let mut harness = Harness::new();
    harness.stable_group(1);
    harness.leave(&[(Some(&MemberId::new("ghost")), None)]);
    assert_eq!(harness.state(), GroupState::Stable);
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance_id() {
    let mut harness = Harness::new();
    let instance = InstanceId::new("a");
    let request = JoinRequest {
        instance: Some(instance.clone()),
        ..join_request()
    };
    let token = harness.send(GroupRequest::Join(request));
    harness.settle();
    harness.joined(token);
    let other = InstanceId::new("b");
    let left = harness.leave(&[(None, Some(&other)), (None, Some(&instance))]);
    assert_eq!(left, [Err(LeaveMemberError::UnknownMember), Ok(())]);
    assert_eq!(harness.state(), GroupState::Empty);
}

#[test]
fn a_pending_member_may_leave() {
    let mut harness = Harness::new();
    let member = harness.new_member();
    assert_eq!(harness.leave(&[(Some(&member), None)]), [Ok(())]);
    let request = JoinRequest {
        member: Some(member),
        ..join_request()
    };
    assert_eq!(harness.join_error(request), JoinError::UnknownMember);
}

#[test]
fn leaving_answers_the_members_own_waiting_requests() {
    let mut harness = Harness::new();
    let members = harness.stable_group(2);
    let join = harness.rejoin(&members[0]);
    harness.leave(&[(Some(&members[0]), None)]);
    let reply = harness.join_reply(join).expect("answered");
    assert_eq!(
        (reply.member, reply.result),
        (None, Err(JoinError::UnknownMember))
    );

    let mut harness = Harness::new();
    let (first, second) = (harness.new_member(), harness.new_member());
    let tokens = [harness.rejoin(&first), harness.rejoin(&second)];
    harness.settle();
    let generation = harness.joined(tokens[0]).generation;
    let sync = harness.sync(&second, generation, &[]);
    harness.leave(&[(Some(&second), None)]);
    assert_eq!(harness.synced(sync), Err(SyncError::UnknownMember));
}

#[test]
fn the_last_absent_member_leaving_ends_the_join_phase() {
    let mut harness = Harness::new();
    let members = harness.stable_group(2);
    let token = harness.rejoin(&members[0]);
    harness.leave(&[(Some(&members[1]), None)]);
    assert_eq!(harness.joined(token).generation.value(), 2);
}

#[test]
fn everybody_leaving_during_the_initial_delay_ends_in_an_empty_group() {
    let mut harness = Harness::with(crate::group::settings::GroupSettings::default());
    let member = harness.new_member();
    harness.rejoin(&member);
    harness.leave(&[(Some(&member), None)]);
    assert_eq!(harness.state(), GroupState::PreparingRebalance);
    harness.advance(harness.shard.settings.initial_rebalance_delay);
    assert_eq!(harness.state(), GroupState::Empty);
}

#[test]
fn groups_nobody_knows_are_told_apart_from_bad_ids() {
    let mut harness = Harness::new();
    let member = LeavingMember {
        member: Some(MemberId::new("ghost")),
        instance: None,
    };
    let request = |group: &str| {
        GroupRequest::Leave(LeaveRequest {
            group: GroupId::new(group),
            members: vec![member.clone()],
        })
    };
    let empty = harness.call(request(""));
    assert_eq!(empty, GroupReply::Leave(Err(LeaveError::InvalidGroupId)));
    let GroupReply::Leave(Ok(left)) = harness.call(request("other")) else {
        panic!("refused as a whole");
    };
    assert_eq!(left[0].requested, member);
    assert_eq!(left[0].result, Err(LeaveMemberError::UnknownMember));
}
