//! Memory that clients take and do nothing with: it is bounded, others are served meanwhile, and it is taken back.

#![allow(clippy::disallowed_methods, reason = "clients run beside each other")]

use std::sync::atomic::Ordering;

use bytes::Bytes;
use protocol::messages::{ApiVersionsRequest, MetadataRequest};
use protocol::records::BatchOptions;
use testkit::requests::{CREATE, PRODUCE, batch, create, produce, topic};
use testkit::{RawClient, Server, ServerOptions, eventually, frame};

const MIB: usize = 1024 * 1024;
/// `queued.max.request.bytes` of these tests.
const LIMIT: usize = 4 * MIB;

async fn server() -> Server {
    let options = ServerOptions::default()
        .set("queued.max.request.bytes", &LIMIT.to_string())
        .set("message.max.bytes", &(8 * MIB).to_string());
    Server::start_with(options).await
}

fn used(server: &Server) -> usize {
    let used = server
        .broker()
        .metrics()
        .request_memory
        .used
        .load(Ordering::Relaxed);
    usize::try_from(used).unwrap()
}

/// Sends the first `bytes` of a frame that claims 100 MB.
async fn half_frame(server: &Server, bytes: usize) -> RawClient {
    let mut liar = RawClient::connect(server.address()).await;
    liar.send(&(100 * 1000 * 1000_i32).to_be_bytes()).await;
    liar.send(&vec![0; bytes]).await;
    liar
}

/// Half frames that take all the memory that such may have, and the place beyond it; the last one waits.
async fn fill(server: &Server) -> Vec<RawClient> {
    let mut liars = Vec::new();
    for bytes in [MIB + MIB / 4, MIB + MIB / 4, 3 * MIB] {
        liars.push(half_frame(server, bytes).await);
    }
    let waits = &server.broker().metrics().request_memory.waits;
    eventually("memory is short", async || {
        used(server) > LIMIT / 4 * 3 && waits.load(Ordering::Relaxed) > 0
    })
    .await;
    liars
}

fn all_topics() -> MetadataRequest {
    MetadataRequest {
        topics: None,
        ..Default::default()
    }
}

fn large_batch() -> Bytes {
    let value = "v".repeat(3 * MIB);
    batch(BatchOptions::default(), &[&value])
}

#[tokio::test]
async fn small_requests_do_not_wait_for_memory_that_half_frames_hold() {
    let server = server().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    let liars = fill(&server).await;
    let waits = &server.broker().metrics().request_memory.waits;
    let before = waits.load(Ordering::Relaxed);
    for _ in 0..100 {
        let records = batch(BatchOptions::default(), &["v"]);
        let answer = client.call(&produce("t", -1, records), PRODUCE).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    // The liars wait for each other once more if one of them had to give way meanwhile.
    let after = waits.load(Ordering::Relaxed);
    assert!(after - before <= 3, "{} waits", after - before);
    drop(liars);
    server.stop().await;
}

#[tokio::test]
async fn half_frames_give_way_to_a_large_request_that_waits() {
    let server = server().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[("max.message.bytes", "8388608")]).await;
    let mut liars = fill(&server).await;
    let answer = client.call(&produce("t", -1, large_batch()), PRODUCE).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    let metrics = &server.broker().metrics().request_memory;
    assert!(metrics.waits.load(Ordering::Relaxed) > 0);
    assert!(metrics.evicted.load(Ordering::Relaxed) > 0);
    assert!(
        liars.remove(0).is_closed().await,
        "who held the most for the longest gave way"
    );
    drop(liars);
    drop(client);
    eventually("all memory is free again", async || used(&server) == 0).await;
    server.stop().await;
}

#[tokio::test]
async fn large_requests_of_many_clients_at_once_are_all_served_within_the_memory() {
    let server = server().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[("max.message.bytes", "8388608")]).await;
    let request = produce("t", -1, large_batch());
    let mut clients = Vec::new();
    for _ in 0..16 {
        let mut client = RawClient::connect(server.address()).await;
        let request = request.clone();
        clients.push(tokio::spawn(async move {
            let answer = client.call(&request, PRODUCE).await;
            answer.responses[0].partition_responses[0].error_code
        }));
    }
    for client in clients {
        assert_eq!(client.await.unwrap(), 0);
    }
    server.stop().await;
}

#[tokio::test]
async fn answers_that_nobody_reads_take_half_of_the_memory_and_hold_nobody_up() {
    let server = server().await;
    let mut client = RawClient::connect(server.address()).await;
    for number in 0..50 {
        let name = format!("{}-{number}", "n".repeat(200));
        let answer = client.call(&create(&name, &[]), CREATE).await;
        assert_eq!(answer.topics[0].error_code, 0);
    }
    // Some 15 KB for each of these, of which the sockets take some.
    let asked = frame(&all_topics(), 1, 1).repeat(5_000);
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut reader = RawClient::connect(server.address()).await;
        let asked = asked.clone();
        readers.push(tokio::spawn(async move {
            let sent = reader.try_send(&asked).await;
            (reader, sent)
        }));
    }
    eventually("answers take all the memory they may", async || {
        used(&server) > LIMIT / 2 - 64 * 1024
    })
    .await;
    topic(&mut client, "t", &[("max.message.bytes", "8388608")]).await;
    let answer = client.call(&produce("t", -1, large_batch()), PRODUCE).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    let answer = client.call(&ApiVersionsRequest::default(), 0).await;
    assert_eq!(answer.error_code, 0);
    let evicted = &server.broker().metrics().request_memory.evicted;
    assert_eq!(evicted.load(Ordering::Relaxed), 0, "nobody has to give way");
    assert!(used(&server) <= LIMIT, "{}", used(&server));
    for reader in readers {
        reader.abort();
    }
    server.stop().await;
}

#[tokio::test]
async fn half_a_frame_and_unread_answers_are_idle() {
    let options = ServerOptions::default().set("connections.max.idle.ms", "200");
    let server = Server::start_with(options).await;
    let mut client = RawClient::connect(server.address()).await;
    let mut request = create("t", &[]);
    request.topics[0].num_partitions = 200;
    assert_eq!(client.call(&request, CREATE).await.topics[0].error_code, 0);
    let mut half = half_frame(&server, 1000).await;
    let mut reader = RawClient::connect(server.address()).await;
    // Some 5 KB for each.
    let asked = frame(&all_topics(), 1, 1).repeat(1_000);
    // More than the sockets take in either direction: the broker stops reading, and then cuts the connection.
    let reading = tokio::spawn(async move { while reader.try_send(&asked).await {} });
    assert!(half.is_closed().await);
    let cut = tokio::time::timeout(testkit::DEADLINE, reading).await;
    assert!(cut.is_ok(), "the connection is cut in time");
    server.stop().await;
}

#[tokio::test]
async fn one_connection_that_asks_without_end_does_not_hold_up_another() {
    let server = Server::start().await;
    let mut greedy = RawClient::connect(server.address()).await;
    topic(&mut greedy, "t", &[("write.caching", "true")]).await;
    let value = "v".repeat(64 * 1024);
    let records = batch(BatchOptions::default(), &[&value]);
    let all = 4_000;
    let asked = frame(&produce("t", 1, records), PRODUCE, 1);
    let (mut small, greedy) = (
        RawClient::connect(server.address()).await,
        tokio::spawn(async move {
            for _ in 0..all {
                if !greedy.try_send(&asked).await {
                    break;
                }
            }
        }),
    );
    let topics = &server.broker().metrics().requests;
    let produced = || {
        let counts = topics.snapshot();
        counts
            .iter()
            .find(|counts| counts.api == "Produce")
            .unwrap()
            .requests
    };
    eventually("the greedy one is served", async || produced() > 100).await;
    // Each of these is answered after at most a few turns of the greedy one, each of a MiB.
    for _ in 0..20 {
        let before = produced();
        let answer = small.call(&ApiVersionsRequest::default(), 0).await;
        assert_eq!(answer.error_code, 0);
        let between = produced() - before;
        assert!(between <= 200, "{between} requests of another came first");
    }
    greedy.abort();
    server.stop().await;
}
