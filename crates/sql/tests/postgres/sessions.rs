//! Starts, ends and limits of sessions.

use std::time::Duration;

use sql::postgres::Limits;

use crate::client::{Client, PATIENCE, kinds};
use crate::fixture::Fixture;

#[tokio::test]
async fn a_session_begins_with_what_clients_rely_on() {
    let fixture = Fixture::start().await;
    let mut client = Client::open(fixture.address).await;
    // SSLRequest and GSSENCRequest are declined, and the session goes on in the clear.
    for code in [80_877_103_u32, 80_877_104] {
        client.send_packet(&code.to_be_bytes()).await;
        let mut answer = [0];
        tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut answer)
            .await
            .unwrap();
        assert_eq!(&answer, b"N");
    }
    client
        .send_startup(&[
            ("user", "me"),
            ("database", "any"),
            ("unknown_setting", "x"),
            ("application_name", "test"),
        ])
        .await;
    let replies = kinds(&client.until_ready().await);
    assert!(
        replies.starts_with('R') && replies.ends_with("KZ"),
        "{replies}"
    );
    for (name, value) in [
        ("client_encoding", "UTF8"),
        ("server_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("TimeZone", "UTC"),
        ("standard_conforming_strings", "on"),
        ("integer_datetimes", "on"),
        ("application_name", "test"),
        ("session_authorization", "me"),
    ] {
        assert_eq!(
            client.settings.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    assert!(client.settings["server_version"].starts_with("16.0 (Watertable "));
    assert_eq!(client.value("SELECT current_user").await, "me");
}

#[tokio::test]
async fn a_newer_minor_version_is_negotiated_down() {
    let fixture = Fixture::start().await;
    let mut client = Client::open(fixture.address).await;
    client
        .send_packet(b"\0\x03\0\x02user\0me\0_pq_.new\0on\0\0")
        .await;
    let replies = client.until_ready().await;
    let negotiated = replies.iter().find(|reply| reply.kind == 'v').unwrap();
    assert_eq!(negotiated.body, b"\0\x03\0\0\0\0\0\x01_pq_.new\0");
}

#[tokio::test]
async fn more_sessions_than_there_are_places_are_told_so() {
    let limits = Limits {
        sessions: 2,
        ..Limits::default()
    };
    let fixture = Fixture::start_within(limits).await;
    let first = fixture.client().await;
    let mut second = fixture.client().await;
    let mut third = Client::open(fixture.address).await;
    third.send_startup(&[("user", "me")]).await;
    let replies = third.until_end().await;
    assert_eq!(replies[0].field('C').as_deref(), Some("53300"));
    assert_eq!(replies[0].field('S').as_deref(), Some("FATAL"));
    drop(first);
    // A place is free once the server has noticed.
    let again = async {
        loop {
            let mut fourth = Client::open(fixture.address).await;
            fourth.send_startup(&[("user", "me")]).await;
            if fourth.until_end_or_ready().await {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
    assert_eq!(second.value("SELECT 1").await, "1");
}

#[tokio::test]
async fn a_hundred_sessions_ask_at_once() {
    let fixture = Fixture::start().await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(fixture.client().await);
    }
    for client in &mut clients {
        client
            .send_query("SELECT count(*), sum(n) FROM numbers")
            .await;
    }
    for client in &mut clients {
        let replies = client.until_ready().await;
        let row = replies.iter().find(|reply| reply.kind == 'D').unwrap();
        assert_eq!(row.row(), ["10000", "50005000"]);
    }
}

#[tokio::test]
async fn silent_clients_and_idle_sessions_are_ended_in_time() {
    let limits = Limits {
        startup: Duration::from_millis(50),
        idle: Duration::from_millis(200),
        ..Limits::default()
    };
    let fixture = Fixture::start_within(limits).await;
    let mut silent = Client::open(fixture.address).await;
    silent.send_raw(b"\0\0").await;
    assert!(silent.until_end().await.is_empty());
    let mut idle = fixture.client().await;
    let replies = idle.until_end().await;
    assert_eq!(replies[0].field('C').as_deref(), Some("57P05"));
}

#[tokio::test]
async fn a_stop_ends_queries_and_tells_every_client() {
    let fixture = Fixture::start().await;
    let mut idle = fixture.client().await;
    let mut busy = fixture.client().await;
    busy.send_query("SELECT count(*) FROM endless").await;
    fixture
        .until("the query runs", |endless| {
            endless.readers.load(std::sync::atomic::Ordering::SeqCst) == 1
        })
        .await;
    fixture.stop.cancel();
    for client in [&mut idle, &mut busy] {
        let replies = client.until_end().await;
        assert_eq!(replies.last().unwrap().field('C').as_deref(), Some("57P01"));
    }
    tokio::time::timeout(PATIENCE, fixture.ended.cancelled())
        .await
        .unwrap();
    fixture
        .until("the query ended", |endless| {
            endless.readers.load(std::sync::atomic::Ordering::SeqCst) == 0
        })
        .await;
}

#[tokio::test]
async fn settings_of_one_session_are_not_seen_by_another() {
    let fixture = Fixture::start().await;
    let mut one = fixture.client().await;
    let mut other = fixture.client().await;
    one.rows("SET TimeZone TO 'Europe/Berlin'; SET watertable.strict = on")
        .await;
    assert_eq!(one.settings["TimeZone"], "Europe/Berlin");
    assert_eq!(one.value("SHOW timezone").await, "Europe/Berlin");
    assert_eq!(one.value("SHOW watertable.strict").await, "on");
    assert_eq!(
        one.value("SELECT at FROM flights WHERE id = 1").await,
        "2013-01-01 11:00:00+01"
    );
    assert_eq!(other.value("SHOW timezone").await, "UTC");
    assert_eq!(other.value("SHOW watertable.strict").await, "false");
    assert_eq!(
        other.value("SELECT at FROM flights WHERE id = 1").await,
        "2013-01-01 10:00:00+00"
    );
}
