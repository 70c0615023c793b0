//! Requests of one connection: effects in order, answers in order, waits overlapped.

use protocol::messages::{ApiVersionsRequest, MetadataRequest};
use testkit::{RawClient, Server, frame};

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
