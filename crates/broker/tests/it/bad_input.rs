//! What a client must never be able to do to the broker or to other clients.

use protocol::messages::{ApiVersionsRequest, MetadataRequest};
use testkit::{RawClient, Server, eventually, frame};

/// The broker still answers somebody else.
async fn assert_serves(server: &Server) {
    let mut other = RawClient::connect(server.address()).await;
    let answer = other.call(&ApiVersionsRequest::default(), 0).await;
    assert_eq!(answer.error_code, 0);
}

async fn assert_closes(bytes: &[u8]) {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    client.send(bytes).await;
    assert!(
        client.is_closed().await,
        "no answer is due for {bytes:02x?}"
    );
    assert_serves(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn a_length_of_two_gib_closes_the_connection() {
    assert_closes(&i32::MAX.to_be_bytes()).await;
}

#[tokio::test]
async fn a_negative_length_closes_the_connection() {
    assert_closes(&(-1_i32).to_be_bytes()).await;
}

#[tokio::test]
async fn an_empty_frame_closes_the_connection() {
    assert_closes(&0_i32.to_be_bytes()).await;
}

#[tokio::test]
async fn an_unknown_api_closes_the_connection() {
    assert_closes(b"\0\0\0\x0a\x7f\xff\0\0\0\0\0\x01\xff\xff").await;
}

#[tokio::test]
async fn an_api_that_is_not_advertised_closes_the_connection() {
    // Vote (52) exists in Kafka, but only between controllers.
    assert_closes(b"\0\0\0\x0a\0\x34\0\0\0\0\0\x01\xff\xff").await;
}

#[tokio::test]
async fn a_version_that_is_not_supported_closes_the_connection() {
    // Metadata, version 99.
    assert_closes(b"\0\0\0\x0e\0\x03\0\x63\0\0\0\x01\xff\xff\0\0\0\0").await;
}

#[tokio::test]
async fn produce_versions_that_are_advertised_only_for_librdkafka_close_the_connection() {
    assert_closes(b"\0\0\0\x14\0\0\0\x02\0\0\0\x01\xff\xff\0\x01\0\0\x03\xe8\0\0\0\0").await;
}

#[tokio::test]
async fn a_body_with_lying_counts_closes_the_connection() {
    // Metadata version 1 with 2^31 - 1 topics.
    assert_closes(b"\0\0\0\x0e\0\x03\0\x01\0\0\0\x01\xff\xff\x7f\xff\xff\xff").await;
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    // The body is not even parsed: its form is unknown.
    client
        .send(b"\0\0\0\x0c\0\x12\0\x63\0\0\0\x07\xff\xff\xde\xad")
        .await;
    let answer = client.response::<ApiVersionsRequest>(0, 7).await;
    assert_eq!(answer.error_code, 35);
    let own = answer
        .api_keys
        .iter()
        .find(|row| row.api_key == 18)
        .expect("ApiVersions tells its own range");
    assert_eq!((own.min_version, own.max_version), (0, 4));
    // The connection goes on with a version that both know.
    assert_eq!(
        client
            .call(&ApiVersionsRequest::default(), 0)
            .await
            .error_code,
        0
    );
    server.stop().await;
}

#[tokio::test]
async fn a_request_before_api_versions_is_answered() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    let answer = client
        .call(
            &MetadataRequest {
                topics: Some(Vec::new()),
                ..Default::default()
            },
            9,
        )
        .await;
    assert_eq!(answer.brokers.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_half_sent_frame_holds_nobody_up() {
    let server = Server::start().await;
    let mut half = RawClient::connect(server.address()).await;
    let request = frame(&ApiVersionsRequest::default(), 0, 1);
    let (first, rest) = request.split_at(request.len() / 2);
    half.send(first).await;
    assert_serves(&server).await;
    half.send(rest).await;
    assert_eq!(
        half.response::<ApiVersionsRequest>(0, 1).await.error_code,
        0
    );
    server.stop().await;
}

#[tokio::test]
async fn a_frame_that_arrives_byte_by_byte_is_answered() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    for byte in frame(&ApiVersionsRequest::default(), 0, 1) {
        client.send(&[byte]).await;
    }
    assert_eq!(
        client.response::<ApiVersionsRequest>(0, 1).await.error_code,
        0
    );
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_in_the_middle_of_a_frame_is_forgotten() {
    let server = Server::start().await;
    let mut half = RawClient::connect(server.address()).await;
    half.send(&[0, 0, 1, 0, 0]).await;
    drop(half);
    eventually("the connection is forgotten", async || {
        server.broker().metrics().open_connections() == 0
    })
    .await;
    assert_serves(&server).await;
    server.stop().await;
}
