//! Groups that change their protocol while they have members, and members of the classic protocol in consumer groups.

use std::sync::Arc;
use std::time::Duration;

use types::MemberId;

use super::consumers::{joining, partitions, settings, staying};
use super::harness::{GROUP, Harness, group_id, join_request};
use crate::group::classic::generation::{Generation, GroupState};
use crate::group::classic::heartbeat::HeartbeatError;
use crate::group::classic::join::{JoinError, JoinRequest};
use crate::group::classic::member::MemberProtocol;
use crate::group::classic::sync::{SyncError, SyncRequest, SyncedMember};
use crate::group::consumer::heartbeat::ConsumerHeartbeatError;
use crate::group::consumer::settings::{ConsumerGroupSettings, MigrationPolicy};
use crate::group::consumer::state::ConsumerGroupState;
use crate::group::kind::Group;
use crate::group::modern::partitions::TopicPartitions;
use crate::group::request::{GroupReply, GroupRequest};
use crate::group::settings::GroupSettings;

/// A ConsumerProtocolSubscription of version 1 to `flights`, with what the member has of it.
fn subscription(owned: &[i32]) -> Arc<[u8]> {
    let mut bytes = vec![0, 1, 0, 0, 0, 1];
    bytes.extend(b"\0\x07flights\xff\xff\xff\xff");
    bytes.extend(named(owned));
    Arc::from(bytes)
}

/// A ConsumerProtocolAssignment.
fn assignment(version: u8, indexes: &[i32]) -> Arc<[u8]> {
    let mut bytes = vec![0, version];
    bytes.extend(named(indexes));
    bytes.extend([0xff; 4]);
    Arc::from(bytes)
}

fn named(indexes: &[i32]) -> Vec<u8> {
    if indexes.is_empty() {
        return vec![0; 4];
    }
    let mut bytes = vec![0, 0, 0, 1];
    bytes.extend(b"\0\x07flights");
    bytes.extend(i32::try_from(indexes.len()).unwrap().to_be_bytes());
    for index in indexes {
        bytes.extend(index.to_be_bytes());
    }
    bytes
}

fn joins(member: Option<&MemberId>, owned: &[i32]) -> JoinRequest {
    JoinRequest {
        member: member.cloned(),
        protocols: vec![MemberProtocol {
            name: Arc::from("range"),
            metadata: subscription(owned),
        }],
        ..join_request()
    }
}

impl Harness {
    fn classic_sync(
        &mut self,
        member: &MemberId,
        generation: i32,
    ) -> Result<SyncedMember, SyncError> {
        let request = SyncRequest {
            group: group_id(),
            member: Some(member.clone()),
            instance: None,
            generation: Generation::new(generation),
            protocol_type: Some(Arc::from("consumer")),
            protocol: Some(Arc::from("range")),
            assignments: Vec::new(),
        };
        match self.call(GroupRequest::Sync(request)) {
            GroupReply::Sync(reply) => reply,
            other => panic!("not a sync: {other:?}"),
        }
    }

    fn classic_heartbeat(
        &mut self,
        member: &MemberId,
        generation: i32,
    ) -> Result<(), HeartbeatError> {
        self.heartbeat_with(
            member,
            None,
            Generation::new(generation).expect("not negative"),
        )
    }
}

/// A consumer group with a member of its own protocol and one of the classic, everything settled at epoch 2.
fn mixed() -> (Harness, MemberId) {
    let mut harness = Harness::with_topics(&[("flights", 4)]);
    harness.consume(joining("a", &["flights"])).expect("taken");
    let reply = harness.join_now(joins(None, &[]));
    assert_eq!(reply.result, Err(JoinError::MemberIdRequired));
    let member = reply.member.expect("given");
    let joined = harness
        .join_now(joins(Some(&member), &[]))
        .result
        .expect("taken");
    assert_eq!(joined.generation.value(), 2);
    assert_eq!(joined.protocol.as_deref(), Some("range"));
    assert_eq!((joined.leader, joined.members.len()), (None, 0));
    let synced = harness.classic_sync(&member, 2).expect("synced");
    assert_eq!(synced.assignment, assignment(1, &[]));
    harness.consume(staying("a", 1)).expect("taken");
    let mut gave_back = staying("a", 1);
    gave_back.owned = harness
        .consumer_group()
        .member(&MemberId::new("a"))
        .map(|a| a.current.assigned.clone());
    assert_eq!(harness.consume(gave_back).expect("taken").epoch, 2);

    // What was given back is the classic member's once it joins again.
    assert_eq!(
        harness.classic_heartbeat(&member, 2),
        Err(HeartbeatError::RebalanceInProgress)
    );
    let joined = harness
        .join_now(joins(Some(&member), &[]))
        .result
        .expect("taken");
    assert_eq!(joined.generation.value(), 2);
    let synced = harness.classic_sync(&member, 2).expect("synced");
    assert_eq!(synced.assignment.len(), assignment(1, &[0, 1]).len());
    assert_eq!(harness.classic_heartbeat(&member, 2), Ok(()));
    assert_eq!(harness.consumer_group().state(), ConsumerGroupState::Stable);
    (harness, member)
}

#[test]
fn a_classic_member_lives_in_a_consumer_group() {
    let (mut harness, member) = mixed();
    assert!(matches!(
        harness.classic_heartbeat(&member, 1),
        Err(HeartbeatError::IllegalGeneration { .. })
    ));
    let unknown = MemberId::new("a");
    assert_eq!(
        harness.classic_heartbeat(&unknown, 2),
        Err(HeartbeatError::UnknownMember)
    );
    assert!(matches!(
        harness.classic_sync(&member, 7),
        Err(SyncError::IllegalGeneration { .. })
    ));
    let mut other = joins(Some(&member), &[]);
    other.protocols[0].name = Arc::from("roundrobin");
    assert_eq!(harness.join_error(other), JoinError::InconsistentProtocol);
    let mut malformed = joins(Some(&member), &[]);
    malformed.protocols[0].metadata = Arc::from([]);
    assert_eq!(
        harness.join_error(malformed),
        JoinError::MalformedSubscription
    );

    // Silent for longer than the session it asked for, it goes.
    harness.consume(staying("a", 2)).expect("taken");
    harness.advance(Duration::from_secs(11));
    assert_eq!(harness.consumer_group().members().len(), 1);
    let reply = harness.consume(staying("a", 2)).expect("taken");
    assert_eq!(reply.assignment, Some(partitions(1, &[0, 1, 2, 3])));
}

#[test]
fn a_group_whose_last_member_of_the_consumer_protocol_leaves_is_classic_again() {
    let (mut harness, member) = mixed();
    harness.consume(staying("a", -1)).expect("taken");
    assert_eq!(harness.state(), GroupState::PreparingRebalance);
    assert_eq!(harness.group().generation().value(), 2);
    // Its assignment is what it had, and it joins as in any classic group.
    let restarted = harness.restarted();
    assert_eq!(
        restarted.group().member(&member).unwrap().assignment.len(),
        assignment(1, &[0, 1]).len()
    );
    let token = harness.send(GroupRequest::Join(joins(Some(&member), &[])));
    let joined = harness.joined(token);
    assert_eq!((joined.generation.value(), joined.members.len()), (3, 1));
}

#[test]
fn a_classic_group_of_consumers_becomes_a_consumer_group() {
    let mut harness = Harness::with_topics(&[("flights", 2)]);
    let reply = harness.join_now(joins(None, &[]));
    let member = reply.member.expect("given");
    let token = harness.send(GroupRequest::Join(joins(Some(&member), &[])));
    harness.settle();
    let joined = harness.joined(token);
    let generation = joined.generation;
    let token = harness.sync(&member, generation, &[(&member, &assignment(1, &[0, 1]))]);
    harness.synced(token).expect("synced");

    let reply = harness.consume(joining("a", &["flights"])).expect("taken");
    assert_eq!(reply.epoch, generation.value() + 1);
    assert_eq!(reply.assignment, Some(TopicPartitions::new()));
    let group = harness.consumer_group();
    assert_eq!(
        group.member(&member).unwrap().current.assigned,
        partitions(1, &[0, 1])
    );
    assert_eq!(
        harness.restarted().consumer_group().durable(),
        group.durable()
    );
    // The classic member is told to join again, and gives back.
    let refused = harness.classic_heartbeat(&member, generation.value());
    assert_eq!(refused, Err(HeartbeatError::RebalanceInProgress));
    let joined = harness
        .join_now(joins(Some(&member), &[0, 1]))
        .result
        .expect("taken");
    assert_eq!(joined.generation, generation, "it must give back first");
    let synced = harness
        .classic_sync(&member, generation.value())
        .expect("synced");
    assert_eq!(synced.assignment.len(), assignment(1, &[0]).len());
    let joined = harness
        .join_now(joins(Some(&member), &[0]))
        .result
        .expect("taken");
    assert_eq!(joined.generation.value(), generation.value() + 1);
}

#[test]
fn the_migration_policy_and_foreign_groups_stand_in_the_way() {
    let policy = |upgrade, downgrade| ConsumerGroupSettings {
        migration: MigrationPolicy { upgrade, downgrade },
        ..ConsumerGroupSettings::default()
    };
    let mut harness = Harness::with(GroupSettings {
        consumer: policy(false, true),
        ..settings(&[("flights", 1)])
    });
    harness.stable_group(1);
    let error = harness
        .consume(joining("a", &["flights"]))
        .expect_err("disabled");
    assert!(matches!(error, ConsumerHeartbeatError::UnknownGroup { .. }));
    assert!(matches!(harness.shard.groups[GROUP], Group::Classic(_)));

    let mut harness = Harness::with(GroupSettings {
        consumer: policy(true, true),
        ..settings(&[("flights", 1)])
    });
    let mut connect = joins(None, &[]);
    connect.protocol_type = Arc::from("connect");
    connect.requires_known_member = false;
    harness.send(GroupRequest::Join(connect));
    let error = harness
        .consume(joining("a", &["flights"]))
        .expect_err("no consumers");
    assert!(matches!(error, ConsumerHeartbeatError::UnknownGroup { .. }));
    let error = harness
        .consume(staying("a", 1))
        .expect_err("not a consumer group");
    assert!(matches!(error, ConsumerHeartbeatError::UnknownGroup { .. }));
}
