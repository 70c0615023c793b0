//! How many connections there may be, and what clients are told about the broker.

use std::time::Duration;

use protocol::messages::{ApiVersionsRequest, MetadataRequest};
use testkit::{RawClient, Server, ServerOptions, frame};

/// Long enough to see that something does not happen, without a test that waits long.
const QUIET: Duration = Duration::from_millis(100);

async fn is_served(client: &mut RawClient) {
    let answer = client.call(&ApiVersionsRequest::default(), 0).await;
    assert_eq!(answer.error_code, 0);
}

#[tokio::test]
async fn an_address_beyond_its_limit_is_closed_until_one_of_its_connections_ends() {
    let options = ServerOptions::default().set("max.connections.per.ip", "2");
    let server = Server::start_with(options).await;
    let mut first = RawClient::connect(server.address()).await;
    let mut second = RawClient::connect(server.address()).await;
    is_served(&mut first).await;
    is_served(&mut second).await;
    let mut third = RawClient::connect(server.address()).await;
    assert!(third.is_closed().await);
    drop(first);
    testkit::eventually("a place is free again", async || {
        let mut next = RawClient::connect(server.address()).await;
        let request = frame(&ApiVersionsRequest::default(), 0, 1);
        next.try_send(&request).await && next.frame().await.is_some()
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn beyond_all_connections_the_next_one_waits() {
    let options = ServerOptions::default().set("max.connections", "1");
    let server = Server::start_with(options).await;
    let mut first = RawClient::connect(server.address()).await;
    is_served(&mut first).await;
    let mut second = RawClient::connect(server.address()).await;
    let asked = second.request(&ApiVersionsRequest::default(), 0).await;
    let answer = second.response::<ApiVersionsRequest>(0, asked);
    let waited = tokio::time::timeout(QUIET, answer).await;
    assert!(waited.is_err(), "the second connection waits");
    drop(first);
    let answer = second.response::<ApiVersionsRequest>(0, asked).await;
    assert_eq!(answer.error_code, 0);
    server.stop().await;
}

#[tokio::test]
async fn clients_are_told_the_rack() {
    let options = ServerOptions::default().set("broker.rack", "zone-a");
    let server = Server::start_with(options).await;
    let mut client = RawClient::connect(server.address()).await;
    let answer = client.call(&MetadataRequest::default(), 1).await;
    assert_eq!(answer.brokers[0].rack.as_deref(), Some("zone-a"));
    server.stop().await;
}
