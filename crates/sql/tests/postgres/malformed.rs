//! Bytes that no client should send: an error or the end of the connection, and the server goes on.

use crate::client::{Client, message};
use crate::fixture::Fixture;

#[tokio::test]
async fn garbage_instead_of_a_start_is_refused() {
    let fixture = Fixture::start().await;
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0\0\0\0\0",
        b"\0\0\0\x08\0\x02\0\0",
        b"\0\0\0\x0c\0\x03\0\0user",
        b"\xff\xff\xff\xff\0\x03\0\0",
        b"\x7f\xff\xff\xff\0\x03\0\0",
    ] {
        let mut client = Client::open(fixture.address).await;
        client.send_raw(garbage).await;
        let replies = client.until_end().await;
        assert_eq!(replies.len(), 1, "{garbage:?}");
        assert_eq!(
            replies[0].field('C').as_deref(),
            Some("08P01"),
            "{garbage:?}"
        );
    }
    assert_eq!(fixture.client().await.value("SELECT 1").await, "1");
}

#[tokio::test]
async fn encryption_is_declined_only_so_often() {
    let fixture = Fixture::start().await;
    let mut client = Client::open(fixture.address).await;
    client
        .send_raw(&b"\0\0\0\x08\x04\xd2\x16\x2f".repeat(3))
        .await;
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut client.stream, &mut answer)
        .await
        .unwrap();
    assert!(
        answer.starts_with(b"NNE") || answer.starts_with(b"NNN"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn malformed_messages_end_the_session_with_an_error() {
    let fixture = Fixture::start().await;
    let malformed = [
        message('Q', b"no end"),
        message('Q', b"two\0ends\0"),
        message('Q', b"\xff\xfe\0"),
        message('P', b"s\0select\0\xff\xff"),
        message('B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff"),
        message('B', b"\0\0\0\x01\0\x07\0\0\0\0"),
        message('D', b"Xs\0"),
        message('E', b"p\0\0"),
        message('p', b"password\0"),
        message('?', b""),
        b"Q\0\0\0\x03".to_vec(),
        b"Q\x7f\xff\xff\xff".to_vec(),
        b"Q\xff\xff\xff\xff".to_vec(),
    ];
    for bytes in malformed {
        let mut client = fixture.client().await;
        client.send_raw(&bytes).await;
        let replies = client.until_end().await;
        assert_eq!(replies.len(), 1, "{bytes:?}");
        assert_eq!(replies[0].field('C').as_deref(), Some("08P01"), "{bytes:?}");
        assert_eq!(replies[0].field('S').as_deref(), Some("FATAL"), "{bytes:?}");
    }
    assert_eq!(fixture.client().await.value("SELECT 1").await, "1");
}

#[tokio::test]
async fn half_a_message_waits_for_its_other_half() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let query = message('Q', b"SELECT 42\0");
    for byte in &query {
        client.send_raw(&[*byte]).await;
    }
    let replies = client.until_ready().await;
    assert_eq!(replies[1].row(), ["42"]);
    // What was answered is not kept back by the beginning of the next message.
    client
        .send_raw(&[message('Q', b"SELEC\0"), query[..7].to_vec()].concat())
        .await;
    assert_eq!(client.until_ready().await.len(), 2);
    client.send_raw(&query[7..]).await;
    assert_eq!(client.until_ready().await[1].row(), ["42"]);
    // One that ends there ends the session and nothing else.
    client.send_raw(&query[..7]).await;
    drop(client);
    assert_eq!(fixture.client().await.value("SELECT 1").await, "1");
}

#[tokio::test]
async fn copy_messages_outside_of_a_copy_are_passed_over() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client
        .send_raw(
            &[
                message('d', b"data"),
                message('c', b""),
                message('f', b"why\0"),
            ]
            .concat(),
        )
        .await;
    assert_eq!(client.value("SELECT 1").await, "1");
}
