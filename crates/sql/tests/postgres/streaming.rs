//! Results as streams: bounded memory, cancel, time-outs, clients that vanish.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sql::postgres::Limits;
use tokio::io::AsyncReadExt;

use crate::client::{Client, kinds};
use crate::fixture::{BATCH_ROWS, Fixture};

/// What sockets on both sides hold at most of what was sent and not read; Linux lets either grow to some MiB.
const SOCKETS_BYTES: u64 = 24 * 1024 * 1024;
/// More than a row takes of the text that it is.
const ROW_BYTES_MIN: u64 = 100;

#[tokio::test]
async fn a_client_that_reads_slowly_holds_the_query_back() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client.send_query("SELECT n, text FROM endless").await;
    let mut buffer = vec![0; 64 * 1024];
    let mut read = 0;
    while read < 64 * 1024 * 1024 {
        read += u64::try_from(client.stream.read(&mut buffer).await.unwrap()).unwrap();
        let produced = fixture.endless.rows.load(Ordering::SeqCst) * ROW_BYTES_MIN;
        assert!(
            produced < read + SOCKETS_BYTES,
            "{produced} bytes were made for {read} read"
        );
    }
    assert!(fixture.endless.rows.load(Ordering::SeqCst) > BATCH_ROWS);
    drop(client);
    fixture
        .until("the query ended with its client", |endless| {
            endless.readers.load(Ordering::SeqCst) == 0
        })
        .await;
}

#[tokio::test]
async fn a_client_that_vanishes_ends_its_query() {
    let fixture = Fixture::start().await;
    for sql in [
        "SELECT count(*) FROM endless",
        "SELECT n FROM endless",
        "COPY endless TO STDOUT",
    ] {
        let mut client = fixture.client().await;
        client.send_query(sql).await;
        fixture
            .until("the query runs", |endless| {
                endless.readers.load(Ordering::SeqCst) == 1
            })
            .await;
        drop(client);
        fixture
            .until("the query ended", |endless| {
                endless.readers.load(Ordering::SeqCst) == 0
            })
            .await;
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_in_time() {
    let limits = Limits {
        stall: Duration::from_millis(200),
        ..Limits::default()
    };
    let fixture = Fixture::start_within(limits).await;
    let mut client = fixture.client().await;
    client.send_query("SELECT n, text FROM endless").await;
    fixture
        .until("the query runs", |endless| {
            endless.readers.load(Ordering::SeqCst) == 1
        })
        .await;
    fixture
        .until("the query ended", |endless| {
            endless.readers.load(Ordering::SeqCst) == 0
        })
        .await;
}

#[tokio::test]
async fn a_portal_that_waits_ends_with_its_session() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client
        .rows("BEGIN; DECLARE c CURSOR FOR SELECT n FROM endless; FETCH 10 FROM c")
        .await;
    assert_eq!(fixture.endless.readers.load(Ordering::SeqCst), 1);
    let produced = fixture.endless.rows.load(Ordering::SeqCst);
    assert!(
        produced <= 64 * BATCH_ROWS,
        "{produced} rows were made for 10"
    );
    client.send('X', b"").await;
    fixture
        .until("the query ended", |endless| {
            endless.readers.load(Ordering::SeqCst) == 0
        })
        .await;
}

#[tokio::test]
async fn a_cancel_request_ends_the_query_and_not_the_session() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    for sql in ["SELECT count(*) FROM endless", "SELECT n FROM endless"] {
        client.send_query(sql).await;
        fixture
            .until("the query runs", |endless| {
                endless.readers.load(Ordering::SeqCst) == 1
            })
            .await;
        cancel(&fixture, &client.key).await;
        let replies = client.until_ready().await;
        let error = &replies[replies.len() - 2];
        assert_eq!(error.field('C').as_deref(), Some("57014"), "{sql}");
        fixture
            .until("the query ended", |endless| {
                endless.readers.load(Ordering::SeqCst) == 0
            })
            .await;
        assert_eq!(client.value("SELECT 1").await, "1");
    }
    // One for nothing, and one with another's secret.
    cancel(&fixture, &client.key).await;
    let mut wrong = client.key.clone();
    wrong[7] ^= 1;
    cancel(&fixture, &wrong).await;
    assert_eq!(client.value("SELECT count(*) FROM numbers").await, "10000");
}

/// Sends a cancel request and waits until the server has closed its connection, which is after it was done.
async fn cancel(fixture: &Fixture, key: &[u8]) {
    let mut canceller = Client::open(fixture.address).await;
    canceller
        .send_packet(&[&80_877_102_u32.to_be_bytes(), key].concat())
        .await;
    assert!(canceller.until_end().await.is_empty());
}

#[tokio::test]
async fn a_statement_ends_at_its_timeout() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client.rows("SET statement_timeout = 50").await;
    let error = client.error("SELECT count(*) FROM endless").await;
    assert_eq!(error.field('C').as_deref(), Some("57014"));
    assert_eq!(
        error.field('M').as_deref(),
        Some("canceling statement due to statement timeout")
    );
    client.rows("RESET statement_timeout").await;
    assert_eq!(client.value("SELECT count(*) FROM numbers").await, "10000");
}

#[tokio::test]
async fn what_is_sent_ahead_is_answered_in_order() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    for number in 0..50 {
        client
            .send_query(&format!("SELECT {number}, max(n) FROM numbers"))
            .await;
    }
    for number in 0..50 {
        let replies = client.until_ready().await;
        assert_eq!(kinds(&replies), "TDCZ");
        assert_eq!(replies[1].row(), [number.to_string(), "10000".to_owned()]);
    }
}

#[tokio::test]
async fn a_value_larger_than_any_buffer_arrives_whole() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let value = client.value("SELECT repeat('0123456789', 2000000)").await;
    assert_eq!(value.len(), 20_000_000);
    assert_eq!(client.value("SELECT 1").await, "1");
}
