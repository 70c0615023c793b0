//! What cannot be seen from outside: conversations that were planned long ago.

use std::time::Duration;

use coordinator::share_state::WriteShareState;
use coordinator::{
    Client, Epoch, InitializeShareStates, ShareHeartbeatReply, ShareHeartbeatRequest, SharePurpose,
};
use types::{LeaderEpoch, MemberId, TopicName};

use super::*;
use crate::handlers::fixture::Fixture;

const GROUP: &str = "workers";
const TOPIC: &str = "jobs";

async fn heartbeat(shares: &Arc<Shares>, purpose: SharePurpose) -> ShareHeartbeatReply {
    let joins = purpose == SharePurpose::Stay(Epoch::ZERO);
    let request = ShareHeartbeatRequest {
        group: GroupId::new(GROUP),
        member: MemberId::new("a"),
        purpose,
        rack: None,
        client: Client {
            id: Arc::from("client"),
            host: Arc::from("/127.0.0.1"),
        },
        topics: joins.then(|| vec![TopicName::new(TOPIC)]),
        session_timeout: Duration::from_secs(45),
    };
    loop {
        match shares.heartbeat(request.clone()).await {
            Ok(reply) => return reply.unwrap(),
            Err(CoordinatorError::LoadInProgress | CoordinatorError::NotAvailable) => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Joins; the plan of the states that were begun because of it.
async fn joined(shares: &Arc<Shares>) -> InitializeShareStates {
    shares.groups.ensure_topic().await.unwrap();
    let reply = heartbeat(shares, SharePurpose::Stay(Epoch::ZERO)).await;
    let plan = reply.initialize.unwrap();
    let begun = async {
        let group = GroupId::new(GROUP);
        while shares.initialized_partitions(&group).await.unwrap() != plan.partitions {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), begun).await;
    in_time.expect("states begin");
    plan
}

#[tokio::test]
async fn an_initialisation_that_was_planned_long_ago_sets_no_state_back() {
    let fixture = Fixture::new().await;
    fixture.create_topic(TOPIC, 1).await;
    let shares = fixture.shares();
    let group = GroupId::new(GROUP);
    let plan = joined(&shares).await;
    let (topic, partition) = plan.partitions.iter().next().unwrap();
    let key = partition_key(&group, topic, partition.value()).unwrap();
    let progress = WriteShareState {
        key: key.clone(),
        partition_exists: true,
        state_epoch: plan.epoch.value(),
        leader_epoch: Some(LeaderEpoch::new(0).unwrap()),
        start_offset: 7,
        delivery_complete_count: 0,
        batches: Vec::new(),
    };
    shares.coordinator.write(progress).await.unwrap().unwrap();
    let start_offset = async || {
        let summary = shares.summary(&group, topic, partition.value()).await;
        summary.unwrap().start_offset
    };
    // The same plan, of a heartbeat that came before the states were noted.
    shares.initialize(group.clone(), plan.clone()).await;
    assert_eq!(start_offset().await, 7);

    // A group that was deleted meanwhile gets no state from an old plan.
    heartbeat(&shares, SharePurpose::Leave).await;
    let deleted = shares.delete_groups(vec![group.clone()]).await;
    assert!(
        deleted.iter().all(|(_, result)| result.is_ok()),
        "{deleted:?}"
    );
    shares.initialize(group.clone(), plan).await;
    let read = ReadShareState {
        key,
        partition_exists: true,
        leader_epoch: None,
    };
    let read = shares.coordinator.read(read).await.unwrap();
    assert_eq!(read.err(), Some(ShareStateError::Uninitialized));
}
