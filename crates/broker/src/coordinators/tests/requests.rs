//! Requests that reach more than one shard, and a group's whole way through the runtime.

use std::sync::Arc;

use coordinator::{
    DeleteGroupError, DeleteOffsetsRequest, Generation, GroupState, HeartbeatRequest, LeaveRequest,
    LeavingMember, ListRequest, MemberAssignment, SyncRequest,
};
use tokio_util::sync::CancellationToken;
use types::{GroupId, MemberId, PartitionIndex, TopicName, TopicPartition};

use super::fakes::{Fixture, join_request};
use crate::coordinators::CoordinatorError;

fn ids(groups: &[&str]) -> Vec<GroupId> {
    groups.iter().map(|group| GroupId::new(group)).collect()
}

#[tokio::test]
async fn groups_are_spread_as_kafka_spreads_them() {
    let fixture = Fixture::new(50);
    // jshell> Math.abs("...".hashCode()) % 50, with Kafka's Utils.abs for the smallest integer
    for (group, partition) in [
        ("console-consumer-1", 24),
        ("readers", 28),
        ("a", 47),
        ("", 0),
        ("polygenelubricants", 0),
    ] {
        assert_eq!(
            fixture.groups.partition_of(group),
            PartitionIndex::new(partition),
            "{group}"
        );
    }
}

#[tokio::test]
async fn groups_of_several_shards_are_answered_in_the_order_asked_for() {
    let fixture = Fixture::new(7);
    let names: Vec<String> = (0..20).map(|index| format!("group-{index}")).collect();
    for name in &names[..19] {
        fixture.commit(name, 1).await.unwrap();
    }
    let asked: Vec<&str> = names.iter().rev().map(String::as_str).collect();
    let described = fixture.groups.describe(ids(&asked)).await;
    assert!(
        described
            .iter()
            .map(|(group, _)| group.as_str())
            .eq(asked.iter().copied())
    );
    for (group, result) in described {
        let described = result.unwrap();
        assert_eq!(described.group, group);
        let known = group.as_str() != "group-19";
        assert_eq!(described.state, known.then_some(GroupState::Empty));
    }
    let listed = fixture.groups.list(ListRequest::default()).await.unwrap();
    assert_eq!(listed.len(), 19);
    let deleted = fixture.groups.delete_groups(ids(&asked)).await;
    assert!(
        deleted
            .iter()
            .map(|(group, _)| group.as_str())
            .eq(asked.iter().copied())
    );
    for (group, result) in deleted {
        let expected = match group.as_str() {
            "group-19" => Err(DeleteGroupError::UnknownGroup),
            _ => Ok(()),
        };
        assert_eq!(result.unwrap().result, expected);
    }
    assert_eq!(
        fixture.groups.list(ListRequest::default()).await.unwrap(),
        []
    );
}

#[tokio::test]
async fn a_loading_shard_refuses_its_groups_and_the_whole_list() {
    let fixture = Fixture::new(2);
    let (here, there) = ("a", "b");
    assert_ne!(
        fixture.groups.partition_of(here),
        fixture.groups.partition_of(there)
    );
    fixture.commit(here, 1).await.unwrap();
    let restarted = fixture.restarted();
    let loading = fixture.groups.partition_of(here).unwrap();
    let log = &restarted.topic.logs[usize::try_from(loading.value()).unwrap()];
    log.hold_reads();
    let described = restarted.groups.describe(ids(&[here, there])).await;
    assert_eq!(described[0].1, Err(CoordinatorError::LoadInProgress));
    assert!(described[1].1.is_ok());
    let listed = restarted.groups.list(ListRequest::default()).await;
    assert_eq!(listed, Err(CoordinatorError::LoadInProgress));
    log.allow_reads();
}

#[tokio::test]
async fn deleted_topics_are_forgotten_in_every_shard() {
    let fixture = Fixture::new(3);
    for group in ["a", "b", "c"] {
        fixture.commit(group, 1).await.unwrap();
    }
    fixture
        .groups
        .topics_deleted(vec![TopicName::new("flights")])
        .await;
    for group in ["a", "b", "c"] {
        assert_eq!(fixture.committed(group).await, Ok(None));
    }
}

#[tokio::test]
async fn a_group_joins_syncs_heartbeats_survives_a_restart_and_leaves() {
    let fixture = Fixture::new(1);
    let group = "readers";
    let stopping = CancellationToken::new();
    let timers = tokio::spawn(Arc::clone(&fixture.groups).run_timers(stopping.clone()));
    let joins = [[1; 16], [2; 16]].map(|randomness| {
        let request = coordinator::JoinRequest {
            randomness,
            ..join_request(group, None)
        };
        fixture.groups.join(request)
    });
    for _ in 0..2 {
        tokio::task::yield_now().await;
        fixture
            .clock
            .advance(fixture.topic.settings.initial_rebalance_delay);
    }
    let mut members = Vec::new();
    for join in joins {
        let reply = join.await.unwrap();
        let joined = reply.result.unwrap();
        assert_eq!(joined.generation, Generation::new(1).unwrap());
        members.push((reply.member.unwrap(), joined));
    }
    let assignments = members.iter().map(|(member, _)| MemberAssignment {
        member: member.clone(),
        assignment: Arc::from(member.as_str().as_bytes()),
    });
    let assignments: Vec<MemberAssignment> = assignments.collect();
    let sync = |member: &MemberId| SyncRequest {
        group: GroupId::new(group),
        member: Some(member.clone()),
        instance: None,
        generation: Generation::new(1),
        protocol_type: None,
        protocol: None,
        assignments: assignments.clone(),
    };
    let syncs: Vec<_> = members
        .iter()
        .map(|(member, _)| fixture.groups.sync(sync(member)))
        .collect();
    for ((member, _), sync) in members.iter().zip(syncs) {
        let synced = sync.await.unwrap().unwrap();
        assert_eq!(&*synced.assignment, member.as_str().as_bytes());
    }
    let heartbeat = |member: &MemberId| HeartbeatRequest {
        group: GroupId::new(group),
        member: Some(member.clone()),
        instance: None,
        generation: Generation::new(1),
    };
    let (first, _) = &members[0];
    assert_eq!(fixture.groups.heartbeat(heartbeat(first)).await, Ok(Ok(())));
    stopping.cancel();
    timers.await.unwrap();

    let restarted = fixture.restarted();
    assert_eq!(restarted.committed_when_loaded(group).await, None);
    assert_eq!(
        restarted.groups.heartbeat(heartbeat(first)).await,
        Ok(Ok(()))
    );
    let leaving = |member: &MemberId| LeavingMember {
        member: Some(member.clone()),
        instance: None,
    };
    let left = restarted
        .groups
        .leave(LeaveRequest {
            group: GroupId::new(group),
            members: members.iter().map(|(member, _)| leaving(member)).collect(),
        })
        .await;
    assert!(
        left.unwrap()
            .unwrap()
            .iter()
            .all(|member| member.result.is_ok())
    );
    let described = restarted.groups.describe(ids(&[group])).await;
    assert_eq!(
        described[0].1.as_ref().unwrap().state,
        Some(GroupState::Empty)
    );
    let partition = TopicPartition {
        topic: TopicName::new("flights"),
        partition: PartitionIndex::default(),
    };
    let deleted = restarted
        .groups
        .delete_offsets(DeleteOffsetsRequest {
            group: GroupId::new(group),
            partitions: vec![partition],
        })
        .await;
    assert!(deleted.unwrap().unwrap()[0].result.is_ok());
}
