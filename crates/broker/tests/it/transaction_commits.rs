//! How often a transaction waits for the disk, in both protocols, counted in group commits of the broker.
//!
//! | | durable before | |
//! |---|---|---|
//! | the partition is added | the client, or the broker, may write into it | 1 |
//! | records | the producer may end the transaction | 1 |
//! | the outcome (PrepareCommit) | EndTxn is answered | 1 |
//! | markers | the next transaction may begin | 1 |
//! | the end (CompleteCommit) | nothing: it is durable with the beginning of the next transaction | 0 |

use std::time::Duration;

use protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use protocol::messages::*;
use protocol::records::BatchOptions;
use testkit::requests::{batch, produce, topic};
use tokio::time::Instant;

use testkit::{RawClient, Server, ServerOptions, eventually};

const ID: &str = "transfers";
const INIT: i16 = 5;
const ADD: i16 = 3;
/// When the log syncs what nobody waits for.
const SYNCED_AFTER: Duration = Duration::from_secs(1);
/// What each protocol sends: Produce, EndTxn, and whether it adds partitions.
const PROTOCOLS: [(i16, i16, bool); 2] = [(9, 4, true), (12, 5, false)];

struct Scene {
    server: Server,
    client: RawClient,
    id: i64,
    epoch: i16,
    sequence: i32,
}

impl Scene {
    /// A server with a producer that has begun nothing yet.
    async fn new(options: ServerOptions) -> Self {
        let server = Server::start_with(options).await;
        let mut client = RawClient::connect(server.address()).await;
        topic(&mut client, "flights", &[]).await;
        let find = FindCoordinatorRequest {
            key_type: 1,
            coordinator_keys: vec![ID.to_owned()],
            ..Default::default()
        };
        assert_eq!(client.call(&find, 4).await.coordinators[0].error_code, 0);
        let request = InitProducerIdRequest {
            transactional_id: Some(ID.to_owned()),
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let mut answer = InitProducerIdResponse::default();
        eventually("the producer is initialized", async || {
            answer = client.call(&request, INIT).await;
            answer.error_code == 0
        })
        .await;
        Self {
            server,
            client,
            id: answer.producer_id,
            epoch: answer.producer_epoch,
            sequence: 0,
        }
    }

    fn commits(&self) -> u64 {
        self.server.broker().metrics().storage.commits.get()
    }

    async fn add(&mut self) {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: ID.to_owned(),
            v3_and_below_producer_id: self.id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: "flights".to_owned(),
                partitions: vec![0],
            }],
            ..Default::default()
        };
        let answer = self.client.call(&request, ADD).await;
        let topic = &answer.results_by_topic_v3_and_below[0];
        assert_eq!(topic.results_by_partition[0].partition_error_code, 0);
    }

    /// One record, the next of the session.
    fn record(&mut self) -> ProduceRequest {
        let options = BatchOptions {
            producer_id: self.id,
            producer_epoch: self.epoch,
            base_sequence: self.sequence,
            is_transactional: true,
            ..BatchOptions::default()
        };
        self.sequence += 1;
        ProduceRequest {
            transactional_id: Some(ID.to_owned()),
            ..produce("flights", -1, batch(options, &["value"]))
        }
    }

    async fn produce(&mut self, version: i16) {
        let request = self.record();
        let answer = self.client.call(&request, version).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }

    fn commit(&self) -> EndTxnRequest {
        EndTxnRequest {
            transactional_id: ID.to_owned(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            committed: true,
        }
    }

    /// The epoch and sequence that an end of this version leads to.
    fn next(&mut self, version: i16) {
        if version >= 5 {
            self.epoch += 1;
            self.sequence = 0;
        }
    }

    async fn end(&mut self, version: i16) {
        let answer = self.client.call(&self.commit(), version).await;
        assert_eq!(answer.error_code, 0);
        self.next(version);
    }

    async fn completed(&mut self) {
        let describe = DescribeTransactionsRequest {
            transactional_ids: vec![ID.to_owned()],
        };
        eventually("the transaction is complete", async || {
            let answer = self.client.call(&describe, 0).await;
            answer.transaction_states[0].transaction_state == "CompleteCommit"
        })
        .await;
    }
}

/// Commits of one transaction: adding, records, more records, the outcome with its marker.
async fn counted(scene: &mut Scene, produce: i16, end: i16, adds: bool) -> [u64; 4] {
    let mut last = scene.commits();
    let mut counted = |scene: &Scene| {
        let now = scene.commits();
        now - std::mem::replace(&mut last, now)
    };
    if adds {
        scene.add().await;
    }
    let added = counted(scene);
    scene.produce(produce).await;
    let first = counted(scene);
    scene.produce(produce).await;
    let more = counted(scene);
    scene.end(end).await;
    scene.completed().await;
    [added, first, more, counted(scene)]
}

#[tokio::test]
async fn a_transaction_waits_four_times_for_the_disk() {
    for (produce, end, adds) in PROTOCOLS {
        let mut scene = Scene::new(ServerOptions::default()).await;
        let expected = match adds {
            true => [1, 1, 1, 2],
            // Adding by the way.
            false => [0, 2, 1, 2],
        };
        counted(&mut scene, produce, end, adds).await;
        let mut rounds = 0;
        eventually("three transactions are counted", async || {
            let begun = Instant::now();
            let found = counted(&mut scene, produce, end, adds).await;
            // In a slow round the last transaction's end may have become durable by itself.
            if begun.elapsed() < SYNCED_AFTER / 2 {
                assert_eq!(found, expected, "Produce {produce}, EndTxn {end}");
                rounds += 1;
            }
            rounds == 3
        })
        .await;
        scene.server.stop().await;
    }
}

/// Nobody waits for the record that a transaction is complete, but who reads the log sees it.
#[tokio::test]
async fn that_a_transaction_is_complete_becomes_durable_without_another() {
    let mut scene = Scene::new(ServerOptions::default()).await;
    scene.add().await;
    scene.end(4).await;
    scene.completed().await;
    let commits = scene.commits();
    let scene = &scene;
    eventually("the record is durable", async || scene.commits() > commits).await;
}

/// The pause between two attempts would be longer than this test may take.
#[tokio::test]
async fn the_next_transaction_begins_when_the_last_one_has_ended_and_not_after_a_pause() {
    let options = ServerOptions::default()
        .set("add.partitions.to.txn.retry.backoff.ms", "600000")
        .set("add.partitions.to.txn.retry.backoff.max.ms", "600000");
    let mut scene = Scene::new(options).await;
    scene.produce(12).await;
    for _round in 0..20 {
        // Sent together: what is written next meets the end of the last transaction.
        let end = scene.commit();
        scene.next(5);
        let next = scene.record();
        let end = scene.client.request(&end, 5).await;
        let produced = scene.client.request(&next, 12).await;
        let answer = scene.client.response::<EndTxnRequest>(5, end).await;
        assert_eq!((answer.error_code, answer.producer_epoch), (0, scene.epoch));
        let answer = scene.client.response::<ProduceRequest>(12, produced).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    scene.server.stop().await;
}
