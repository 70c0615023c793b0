//! What is written counts as a whole or not at all.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sql::postgres::Limits;

use crate::client::{Client, message};
use crate::writable::{Fault, Writable};

async fn count(client: &mut Client) -> String {
    client.value("SELECT count(*) FROM t").await
}

async fn started() -> (Writable, Client) {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client.tag("CREATE TABLE t WITH (partitions = 2)").await;
    (server, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_counts_when_it_is_committed() {
    let (server, mut client) = started().await;
    client.tag("BEGIN").await;
    client
        .tag("INSERT INTO t (_key, _value) VALUES ('a', '1')")
        .await;
    client
        .tag("INSERT INTO t (_key, _value) VALUES ('b', '2'), ('c', '3')")
        .await;
    assert_eq!(count(&mut client).await, "0");
    assert_eq!(client.tag("COMMIT").await, "COMMIT");
    assert_eq!(count(&mut client).await, "3");
    client.tag("BEGIN").await;
    client
        .tag("INSERT INTO t (_value) VALUES ('4'), ('5')")
        .await;
    assert_eq!(client.tag("ROLLBACK").await, "ROLLBACK");
    assert_eq!(count(&mut client).await, "3");
    assert_eq!(server.counts(), (0, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_of_several_statements_counts_as_a_whole() {
    let (server, mut client) = started().await;
    client
        .tag("INSERT INTO t (_value) VALUES ('1'); INSERT INTO t (_value) VALUES ('2')")
        .await;
    assert_eq!(count(&mut client).await, "2");
    let failed = "INSERT INTO t (_value) VALUES ('3'), ('4'); INSERT INTO t (_vlue) VALUES ('5')";
    assert_eq!(client.state(failed).await, "42703");
    assert_eq!(count(&mut client).await, "2");
    assert_eq!(server.counts(), (0, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_block_counts_nothing() {
    let (server, mut client) = started().await;
    client.tag("BEGIN").await;
    client
        .tag("INSERT INTO t (_value) VALUES ('1'), ('2')")
        .await;
    assert_eq!(
        client.state("INSERT INTO t (_partition) VALUES (9)").await,
        "22003"
    );
    assert_eq!(
        client.state("INSERT INTO t (_value) VALUES ('3')").await,
        "25P02"
    );
    assert_eq!(client.tag("COMMIT").await, "ROLLBACK");
    assert_eq!(count(&mut client).await, "0");
    assert_eq!(server.counts(), (0, 0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_savepoint_takes_back_what_wrote_nothing_and_says_so_otherwise() {
    let (server, mut client) = started().await;
    client.tag("BEGIN").await;
    client
        .tag("INSERT INTO t (_value) VALUES ('1'), ('2')")
        .await;
    client.tag("SAVEPOINT s").await;
    client
        .state("INSERT INTO nowhere (_value) VALUES ('3')")
        .await;
    client.tag("ROLLBACK TO s").await;
    client.tag("INSERT INTO t (_value) VALUES ('3')").await;
    let error = client.error("ROLLBACK TO s").await;
    assert_eq!(error.field('C').as_deref(), Some("0A000"));
    assert_eq!(
        error.field('H').as_deref(),
        Some("ROLLBACK takes back all of the block.")
    );
    client.tag("ROLLBACK").await;
    // A statement that failed while it wrote took the block with it.
    client.tag("BEGIN").await;
    client.tag("SAVEPOINT s").await;
    server.plant(Fault::AppendAfter(1));
    client
        .state("INSERT INTO t (_value) VALUES ('4'), ('5')")
        .await;
    assert_eq!(client.state("ROLLBACK TO s").await, "0A000");
    client.tag("ROLLBACK").await;
    assert_eq!(count(&mut client).await, "0");
    client.tag("INSERT INTO t (_value) VALUES ('6')").await;
    assert_eq!(count(&mut client).await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_fails_midway_leaves_nothing_that_counts_and_a_clear_error() {
    let (server, mut client) = started().await;
    for fault in [
        Fault::Begin,
        Fault::AppendAfter(0),
        Fault::AppendAfter(2),
        Fault::Commit,
    ] {
        server.plant(fault);
        let error = client
            .error("INSERT INTO t (_value) VALUES ('1'), ('2'), ('3')")
            .await;
        assert_eq!(error.field('C').as_deref(), Some("58000"), "{fault:?}");
        let message = error.field('M').unwrap();
        assert_eq!(
            message, "could not write to the topic: connection refused",
            "{fault:?}"
        );
        let detail = error.field('D').unwrap();
        assert_eq!(
            detail, "None of the 3 records of the transaction counts.",
            "{fault:?}"
        );
        assert_eq!(count(&mut client).await, "0", "{fault:?}");
    }
    server.plant(Fault::CommitUnheard);
    let error = client
        .error("INSERT INTO t (_value) VALUES ('1'), ('2')")
        .await;
    assert_eq!(error.field('C').as_deref(), Some("08007"));
    assert_eq!(error.field('D'), None);
    assert_eq!(
        error.field('H').as_deref(),
        Some("Look whether the records are there before writing them again.")
    );
    // The session goes on.
    client.tag("INSERT INTO t (_value) VALUES ('3')").await;
    assert_eq!(count(&mut client).await, "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_fails_ends_its_block() {
    let (server, mut client) = started().await;
    client.tag("BEGIN").await;
    client
        .tag("INSERT INTO t (_value) VALUES ('1'), ('2')")
        .await;
    server.plant(Fault::Commit);
    let replies = client.query("COMMIT").await;
    assert_eq!(replies[0].field('C').as_deref(), Some("58000"));
    assert_eq!(replies[1].body, b"I");
    assert_eq!(count(&mut client).await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_vanishes_leaves_nothing_that_counts() {
    let (server, mut client) = started().await;
    let mut other = server.client().await;
    client.tag("BEGIN").await;
    client
        .tag("INSERT INTO t (_value) VALUES ('1'), ('2')")
        .await;
    drop(client);
    server
        .until("the transaction is aborted", |(_, _, aborted)| aborted == 1)
        .await;
    assert_eq!(count(&mut other).await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_hangs_is_cancelled() {
    let (server, mut client) = started().await;
    server.plant(Fault::Hang);
    client
        .send_query("INSERT INTO t (_value) VALUES ('1'), ('2')")
        .await;
    let key = client.key.clone();
    let writer = std::sync::Arc::clone(&server.writer);
    let cancel = async {
        while writer.begun.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        loop {
            let mut canceller = Client::open(server.address).await;
            canceller
                .send_packet(&[&80_877_102_u32.to_be_bytes(), key.as_slice()].concat())
                .await;
            canceller.until_end().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let replies = tokio::select! {
        biased;
        replies = client.until_ready() => replies,
        () = cancel => unreachable!("it goes on for ever"),
    };
    assert_eq!(replies[0].field('C').as_deref(), Some("57014"));
    assert_eq!(
        replies[0].field('D').as_deref(),
        Some("None of the 2 records of the transaction counts.")
    );
    assert_eq!(server.counts(), (0, 0, 1));
    *server.writer.fault.lock().unwrap() = None;
    assert_eq!(count(&mut client).await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_do_not_wait_for_a_session_that_does_nothing() {
    let limits = Limits {
        idle_in_transaction: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = Writable::start_within(limits).await;
    let mut client = server.client().await;
    client.tag("CREATE TABLE t").await;
    client.tag("BEGIN").await;
    client
        .tag("INSERT INTO t (_value) VALUES ('1'), ('2')")
        .await;
    let replies = client.until_end().await;
    assert_eq!(replies[0].field('C').as_deref(), Some("25P03"));
    server
        .until("the transaction is aborted", |(_, _, aborted)| aborted == 1)
        .await;
    // A block that wrote nothing holds nobody up.
    let mut client = server.client().await;
    client.tag("BEGIN").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.send_raw(&message('Q', b"COMMIT\0")).await;
    assert_eq!(client.until_ready().await[0].text(), "COMMIT");
}
