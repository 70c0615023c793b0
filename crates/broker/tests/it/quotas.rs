//! Clients above their quotas, over sockets: what they are told, and that they have to wait.

use std::time::Duration;
use tokio::time::Instant;

use bytes::Bytes;
use protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use protocol::messages::create_topics_request::CreatableTopic;
use protocol::messages::*;
use protocol::records::BatchOptions;
use testkit::requests::{FETCH, PRODUCE, batch, fetch, produce, topic};
use testkit::{RawClient, Server};

async fn quota(client: &mut RawClient, entity_type: &str, key: &str, value: Option<f64>) {
    let entry = EntryData {
        entity: vec![EntityData {
            entity_type: entity_type.to_owned(),
            entity_name: None,
        }],
        ops: vec![OpData {
            key: key.to_owned(),
            value: value.unwrap_or(0.0),
            remove: value.is_none(),
        }],
    };
    let request = AlterClientQuotasRequest {
        entries: vec![entry],
        validate_only: false,
    };
    let answer = client.call(&request, 1).await;
    assert_eq!(answer.entries[0].error_code, 0);
}

fn records(bytes: usize) -> Bytes {
    batch(BatchOptions::default(), &["x".repeat(bytes).as_str()])
}

/// How long the connection takes to answer the next request.
async fn wait(client: &mut RawClient) -> Duration {
    let begun = Instant::now();
    client.call(&ApiVersionsRequest::default(), 0).await;
    begun.elapsed()
}

#[tokio::test]
async fn a_producer_above_its_quota_is_told_and_muted() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    quota(
        &mut client,
        "client-id",
        "producer_byte_rate",
        Some(10_000.0),
    )
    .await;
    let first = client
        .call(&produce("t", 1, records(50_000)), PRODUCE)
        .await;
    assert_eq!(first.throttle_time_ms, 0);
    // 3 % above what may come within ten seconds.
    let begun = Instant::now();
    let second = client
        .call(&produce("t", 1, records(53_000)), PRODUCE)
        .await;
    let told = Duration::from_millis(u64::try_from(second.throttle_time_ms).unwrap());
    assert_eq!(second.responses[0].partition_responses[0].error_code, 0);
    assert!(
        told > Duration::from_millis(100) && told < Duration::from_secs(2),
        "{told:?}"
    );
    assert!(
        begun.elapsed() < told + Duration::from_millis(500),
        "the answer itself does not wait"
    );
    assert!(wait(&mut client).await >= told - Duration::from_millis(60));
    // Another connection is not muted.
    let mut other = RawClient::connect(server.address()).await;
    assert!(wait(&mut other).await < Duration::from_secs(1));
    quota(&mut other, "client-id", "producer_byte_rate", None).await;
    let third = other
        .call(&produce("t", 1, records(500_000)), PRODUCE)
        .await;
    assert_eq!(third.throttle_time_ms, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_throttled_fetch_is_empty_and_loses_nothing() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    client.call(&produce("t", -1, records(9000)), PRODUCE).await;
    quota(&mut client, "user", "consumer_byte_rate", Some(1500.0)).await;
    let first = client.call(&fetch("t", 0, 1000), FETCH).await;
    assert_eq!((first.throttle_time_ms, first.responses.len()), (0, 1));
    let second = client.call(&fetch("t", 0, 1000), FETCH).await;
    assert!(
        second.throttle_time_ms > 0 && second.responses.is_empty(),
        "{second:?}"
    );
    assert_eq!(second.error_code, 0);
    let mut other = RawClient::connect(server.address()).await;
    quota(&mut other, "user", "consumer_byte_rate", None).await;
    let third = other.call(&fetch("t", 0, 1000), FETCH).await;
    assert_eq!((third.throttle_time_ms, third.responses.len()), (0, 1));
    server.stop().await;
}

#[tokio::test]
async fn topics_above_the_mutation_rate_are_refused_in_new_versions_only() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    quota(&mut client, "user", "controller_mutation_rate", Some(10.0)).await;
    let create = |name: &str, num_partitions| CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.to_owned(),
            num_partitions,
            replication_factor: 1,
            ..Default::default()
        }],
        ..Default::default()
    };
    let exceeded = protocol::ErrorCode::ThrottlingQuotaExceeded.code();
    // More than is saved up: allowed once, and owed then.
    let answer = client.call(&create("first", 112), 7).await;
    assert_eq!(
        (answer.topics[0].error_code, answer.throttle_time_ms),
        (0, 0)
    );
    let answer = client.call(&create("second", 1), 7).await;
    assert_eq!(answer.topics[0].error_code, exceeded);
    assert!(answer.throttle_time_ms > 0);
    let mut other = RawClient::connect(server.address()).await;
    let answer = other.call(&create("third", 4), 5).await;
    assert_eq!(answer.topics[0].error_code, 0);
    assert!(answer.throttle_time_ms > 0);
    server.stop().await;
}

#[tokio::test]
async fn an_address_that_connects_too_fast_is_held_and_closed() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    quota(&mut client, "ip", "connection_creation_rate", Some(1.0)).await;
    let mut refused = 0;
    for _ in 0..12 {
        let mut new = RawClient::connect(server.address()).await;
        new.request(&ApiVersionsRequest::default(), 0).await;
        if new.frame().await.is_none() {
            refused += 1;
        }
    }
    assert!(refused > 0);
    // Connections there were stay.
    client.call(&ApiVersionsRequest::default(), 0).await;
    server.stop().await;
}

/// Sets it over a connection of its own, since one that was above its quota is not read for a while.
async fn set(server: &Server, entity_type: &str, key: &str, value: Option<f64>) {
    let mut client = RawClient::connect(server.address()).await;
    quota(&mut client, entity_type, key, value).await;
}

/// Kafka takes any value above zero, for whole numbers too; what such a rate throttles for is longer than the wire can say.
#[tokio::test]
async fn a_rate_of_almost_nothing_throttles_for_as_long_as_can_be_said() {
    let server = Server::start().await;
    topic(&mut RawClient::connect(server.address()).await, "t", &[]).await;
    for rate in [1e-20, f64::MIN_POSITIVE] {
        for key in ["producer_byte_rate", "request_percentage"] {
            set(&server, "client-id", key, Some(rate)).await;
            let mut producer = RawClient::connect(server.address()).await;
            let answer = producer.call(&produce("t", 1, records(10)), PRODUCE).await;
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
            if key == "producer_byte_rate" {
                assert_eq!(answer.throttle_time_ms, i32::MAX, "{rate}");
            }
            set(&server, "client-id", key, None).await;
        }
        set(&server, "user", "controller_mutation_rate", Some(rate)).await;
        let mut told = Vec::new();
        for number in 0..3 {
            let mut creator = RawClient::connect(server.address()).await;
            let name = format!("created-{number}-{rate:e}");
            let create = testkit::requests::create(&name, &[]);
            let answer = creator.call(&create, 6).await;
            told.push((answer.topics[0].error_code, answer.throttle_time_ms));
        }
        // The first takes more than there is; whoever comes then is refused for ever.
        assert_eq!(told[1..], [(89, i32::MAX), (89, i32::MAX)]);
        set(&server, "user", "controller_mutation_rate", None).await;
    }
    server.stop().await;
}
