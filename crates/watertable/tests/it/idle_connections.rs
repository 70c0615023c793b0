//! Ten thousand clients that connect and say nothing: they cost little, and others are served meanwhile.

use std::net::TcpStream;

use protocol::messages::ApiVersionsRequest;
use testkit::RawClient;

use crate::server::Server;

/// Sockets of the test and of the broker each stay below the 20,000 descriptors that a process may have on small machines.
const CONNECTIONS: usize = 10_000;
/// What an idle connection may cost: its state and timer, no buffer.
const BYTES_EACH_MAX: u64 = 8 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_cost_little_and_hold_nobody_up() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut client = RawClient::connect(server.kafka).await;
    assert_eq!(
        client
            .call(&ApiVersionsRequest::default(), 0)
            .await
            .error_code,
        0
    );
    let before = server.anonymous_memory();
    let idle: Vec<_> = (0..CONNECTIONS)
        .map(|_| TcpStream::connect(server.kafka).unwrap())
        .collect();
    // Connections are accepted in order: this one comes after all of them.
    let mut last = RawClient::connect(server.kafka).await;
    assert_eq!(
        last.call(&ApiVersionsRequest::default(), 0)
            .await
            .error_code,
        0
    );
    assert_eq!(
        client
            .call(&ApiVersionsRequest::default(), 0)
            .await
            .error_code,
        0
    );
    let each = server.anonymous_memory().saturating_sub(before) / CONNECTIONS as u64;
    assert!(
        each <= BYTES_EACH_MAX,
        "an idle connection costs {each} bytes"
    );
    drop(idle);
    assert_eq!(
        client
            .call(&ApiVersionsRequest::default(), 0)
            .await
            .error_code,
        0
    );
}
