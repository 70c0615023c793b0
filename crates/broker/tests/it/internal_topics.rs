//! The topics that coordinators keep their state in may be deleted like any other: what they held is gone, and the next
//! client begins anew, without a restart.

use protocol::messages::delete_topics_request::DeleteTopicState;
use protocol::messages::*;
use testkit::requests::{create, topic};
use testkit::{RawClient, Server, eventually};

use crate::groups::{commit, committed, coordinated};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

async fn delete(client: &mut RawClient, name: &str) {
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some(name.to_owned()),
            ..Default::default()
        }],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let answer = client.call(&request, 6).await;
    assert_eq!(answer.responses[0].error_code, 0);
}

async fn find(client: &mut RawClient, key_type: i8, key: &str) {
    let request = FindCoordinatorRequest {
        key_type,
        coordinator_keys: vec![key.to_owned()],
        ..Default::default()
    };
    eventually("there is a coordinator", async || {
        client.call(&request, 4).await.coordinators[0].error_code == 0
    })
    .await;
}

#[tokio::test]
async fn groups_begin_anew_after_their_topic_was_deleted() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    coordinated(&mut client, "g").await;
    let offset = commit("g", "t", protocol::Uuid::ZERO, 7);
    let answer = client.call(&offset, 8).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);

    for round in 0..2 {
        delete(&mut client, "__consumer_offsets").await;
        find(&mut client, GROUP, "g").await;
        coordinated(&mut client, "g").await;
        let (known, _) = committed(&mut client, "g", "t", protocol::Uuid::ZERO, 7).await;
        assert_eq!(known, -1, "round {round}: what the topic held is gone");
        eventually("a commit is taken", async || {
            let answer = client.call(&offset, 8).await;
            answer.topics[0].partitions[0].error_code == 0
        })
        .await;
        let (known, _) = committed(&mut client, "g", "t", protocol::Uuid::ZERO, 7).await;
        assert_eq!(known, 7);
    }
}

#[tokio::test]
async fn transactional_producers_begin_anew_after_their_topic_was_deleted() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    let init = InitProducerIdRequest {
        transactional_id: Some("x".to_owned()),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let mut ids = Vec::new();
    for _ in 0..3 {
        find(&mut client, TRANSACTION, "x").await;
        eventually("the producer has a session", async || {
            let answer = client.call(&init, 4).await;
            if answer.error_code == 0 {
                ids.push((answer.producer_id, answer.producer_epoch));
            }
            answer.error_code == 0
        })
        .await;
        delete(&mut client, "__transaction_state").await;
    }
    let fresh: std::collections::BTreeSet<_> = ids.iter().map(|(id, _)| *id).collect();
    assert_eq!(fresh.len(), 3, "{ids:?}: no id is given out twice");
    assert!(ids.iter().all(|(_, epoch)| *epoch == 0), "{ids:?}");
}

#[tokio::test]
async fn a_coordinators_topic_may_come_back_with_another_number_of_partitions() {
    let mut server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    coordinated(&mut client, "g").await;
    let groups: Vec<String> = (0..20).map(|number| format!("g{number}")).collect();
    // Fewer than the 50 there were, and more.
    for partitions in [3, 70] {
        delete(&mut client, "__consumer_offsets").await;
        let mut create = create("__consumer_offsets", &[("cleanup.policy", "compact")]);
        create.topics[0].num_partitions = partitions;
        let answer = client.call(&create, 5).await;
        assert_eq!(answer.topics[0].error_code, 0);
        for group in &groups {
            let offset = commit(group, "t", protocol::Uuid::ZERO, partitions.into());
            eventually("a commit is taken", async || {
                let answer = client.call(&offset, 8).await;
                answer.topics[0].partitions[0].error_code == 0
            })
            .await;
        }
        // Each lies where a broker looks for it that never knew another number.
        server = server.restart().await;
        client = RawClient::connect(server.address()).await;
        for group in &groups {
            coordinated(&mut client, group).await;
            let (known, _) = committed(&mut client, group, "t", protocol::Uuid::ZERO, 7).await;
            assert_eq!(known, i64::from(partitions), "{group}");
        }
    }
}
