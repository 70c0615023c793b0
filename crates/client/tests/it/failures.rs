//! Brokers that go away, answer nonsense or not at all.

use std::time::Duration;

use client::{
    BrokerAddress, CallError, ClientConfig, Cluster, ConnectError, Connection, MetadataError,
    Producer, ProducerConfig, ProducerRecord, TopicSelection, call_error,
};
use testkit::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn impatient() -> ClientConfig {
    ClientConfig {
        connect_timeout: Duration::from_millis(300),
        request_timeout: Duration::from_millis(300),
        operation_timeout: Duration::from_millis(800),
        ..ClientConfig::default()
    }
}

/// A listener that reads one request and answers with these bytes.
async fn answering(bytes: Vec<u8>) -> BrokerAddress {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    #[allow(
        clippy::disallowed_methods,
        reason = "the other side of the connection"
    )]
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 1024];
            if socket.read(&mut request).await.is_ok() {
                socket.write_all(&bytes).await.ok();
                // Stays open: what follows is the client's to decide.
                socket.read_to_end(&mut Vec::new()).await.ok();
            }
        }
    });
    BrokerAddress {
        host: "127.0.0.1".to_owned(),
        port,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_ends_the_connection_with_its_reason() {
    let cases: [(&[u8], &str); 4] = [
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "is outside of what is accepted",
        ),
        (
            &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
            "is outside of what is accepted",
        ),
        (
            &[0, 0, 0, 6, 0, 0, 0, 99, 0, 0],
            "correlation id 99, expected 0",
        ),
        (&[0, 0, 0, 6, 0, 0, 0, 0, 0, 0], "cannot read the answer"),
    ];
    for (bytes, reason) in cases {
        let address = answering(bytes.to_vec()).await;
        let error = Connection::open(address, &ClientConfig::default()).await;
        let error = error.expect_err("that is no broker");
        let mut text = error.to_string();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(inner) = cause {
            text += &format!(": {inner}");
            cause = inner.source();
        }
        assert!(text.contains(reason), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_after_the_connect_timeout() {
    let address = answering(Vec::new()).await;
    let error = Connection::open(address, &impatient())
        .await
        .expect_err("nobody answers");
    assert!(matches!(error, ConnectError::Timeout { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_waits_for_a_first_broker_only_if_told_to() {
    let nobody = BrokerAddress {
        host: "127.0.0.1".to_owned(),
        port: 1,
    };
    let started = tokio::time::Instant::now();
    let eager = ClientConfig {
        wait_for_first_broker: false,
        ..ClientConfig::default()
    };
    let cluster = Cluster::new(vec![nobody.clone()], eager);
    let error = cluster
        .metadata(TopicSelection::All)
        .await
        .expect_err("nobody is there");
    assert!(matches!(
        call_error(&error),
        Some(CallError::Connect(ConnectError::Bootstrap(_)))
    ));
    assert!(started.elapsed() < Duration::from_secs(5));
    let cluster = Cluster::new(vec![nobody], impatient());
    let error = cluster
        .metadata(TopicSelection::All)
        .await
        .expect_err("nobody is there");
    assert!(matches!(error, MetadataError::Call(_)), "{error:?}");
    assert!(
        started.elapsed() > Duration::from_millis(300),
        "it tried more than once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_address_serves_when_the_first_does_not() {
    let server = Server::start().await;
    let address = server.address();
    let addresses = client::parse_addresses(&format!("127.0.0.1:1,{address}"));
    let cluster = Cluster::new(addresses.expect("addresses"), ClientConfig::default());
    let metadata = cluster
        .metadata(TopicSelection::None)
        .await
        .expect("the second answers");
    assert_eq!(metadata.brokers.len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_delivered_is_told_after_the_delivery_timeout() {
    let server = Server::start().await;
    let address = client::parse_addresses(&server.address().to_string()).expect("an address");
    let cluster = Cluster::new(address, impatient());
    let config = ProducerConfig {
        delivery_timeout: Duration::from_millis(500),
        ..ProducerConfig::default()
    };
    let producer = Producer::new(cluster, config);
    let topic = crate::unique("undeliverable");
    let first = producer
        .send(&topic, ProducerRecord::default())
        .await
        .expect("there is room");
    first.wait().await.expect("the broker is there");
    server.stop().await;
    let second = producer
        .send(&topic, ProducerRecord::default())
        .await
        .expect("there is room");
    let error = second
        .wait()
        .await
        .expect_err("the broker is gone")
        .to_string();
    assert!(error.contains("no acknowledgement"), "{error}");
    assert!(producer.flush().await.is_err());
}
