//! Requests of one connection: effects in order, answers in order, waits overlapped.

use std::time::Duration;

use protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, FetchRequest, MetadataRequest, ProduceRequest,
};
use protocol::records::BatchOptions;
use testkit::{RawClient, Server, frame};
use tokio::time::timeout;

use testkit::requests::{CREATE, FETCH, PRODUCE, batch, create, fetch, produce, topic};

#[tokio::test]
async fn many_requests_in_one_packet_are_answered_in_order() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    let mut packet = Vec::new();
    for id in 0..500 {
        packet.extend_from_slice(&frame(&ApiVersionsRequest::default(), 0, 2 * id));
        let none = MetadataRequest {
            topics: Some(Vec::new()),
            ..Default::default()
        };
        packet.extend_from_slice(&frame(&none, 9, 2 * id + 1));
    }
    client.send(&packet).await;
    for id in 0..500 {
        client.response::<ApiVersionsRequest>(0, 2 * id).await;
        client.response::<MetadataRequest>(9, 2 * id + 1).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_takes_effect_behind_a_fetch_that_waits() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    // The fetch waits for what the produce request behind it on the same connection brings.
    let fetching = client.request(&fetch("t", 0, 25_000), FETCH).await;
    let producing = client
        .request(
            &produce("t", -1, batch(BatchOptions::default(), &["a"])),
            PRODUCE,
        )
        .await;
    let fetched = timeout(
        Duration::from_secs(10),
        client.response::<FetchRequest>(FETCH, fetching),
    )
    .await;
    let fetched = fetched.expect("the fetch wakes long before its own wait ends");
    assert!(
        !fetched.responses[0].partitions[0]
            .records
            .as_ref()
            .unwrap()
            .is_empty()
    );
    let produced = client.response::<ProduceRequest>(PRODUCE, producing).await;
    assert_eq!(produced.responses[0].partition_responses[0].error_code, 0);
    server.stop().await;
}

#[tokio::test]
async fn idempotent_batches_in_flight_together_keep_their_order() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    for round in 0..50_i32 {
        let mut waiting = Vec::new();
        for number in 0..5 {
            let base_sequence = round * 5 + number;
            let options = BatchOptions {
                producer_id: 9,
                producer_epoch: 0,
                base_sequence,
                ..Default::default()
            };
            let request = produce("t", -1, batch(options, &["x"]));
            waiting.push((
                client.request(&request, PRODUCE).await,
                i64::from(base_sequence),
            ));
        }
        for (id, offset) in waiting {
            let answer = client.response::<ProduceRequest>(PRODUCE, id).await;
            let answer = &answer.responses[0].partition_responses[0];
            assert_eq!((answer.error_code, answer.base_offset), (0, offset));
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn administration_waits_for_what_was_asked_before_and_holds_what_comes_after() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    // In one packet: a fetch that waits, a topic created, a record produced into it.
    let fetching = client.request(&fetch("t", 0, 200), FETCH).await;
    let creating = client.request(&create("new", &[]), CREATE).await;
    let producing = client
        .request(
            &produce("new", -1, batch(BatchOptions::default(), &["a"])),
            PRODUCE,
        )
        .await;
    client.response::<FetchRequest>(FETCH, fetching).await;
    assert_eq!(
        client
            .response::<CreateTopicsRequest>(CREATE, creating)
            .await
            .topics[0]
            .error_code,
        0
    );
    let produced = client.response::<ProduceRequest>(PRODUCE, producing).await;
    assert_eq!(produced.responses[0].partition_responses[0].error_code, 0);
    server.stop().await;
}
