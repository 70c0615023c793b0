//! What a broker answers to requests that are wrong: unknown members, illegal generations, commits by outsiders, wrong
//! sequences, stale epochs, fenced producers.
//!
//! Ids differ between two brokers, and later requests carry ids of earlier answers. So each sequence is written once, runs
//! against either broker by itself, and notes what is the same by nature: error codes, epochs, generations, offsets. The two
//! transcripts must not differ.

mod batches;
mod classic_groups;
mod consumer_groups;
mod malformed;
mod offsets;
mod producers;
mod records;
mod share_groups;
mod streams_groups;
mod transactions;

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use protocol::Request;
use protocol::messages::*;
use testkit::RawClient;

use super::Pair;

/// A coordinator that is being found or loaded; the same request succeeds soon.
const NOT_YET: [i16; 3] = [14, 15, 16];
const NOT_YET_INTERVAL: Duration = Duration::from_millis(50);
const NOT_YET_ATTEMPTS: usize = 600;
const READ_UNCOMMITTED: i8 = 0;
const READ_COMMITTED: i8 = 1;
/// The first version of ListOffsets that knows the largest timestamp.
const LIST_OFFSETS: i16 = 7;
/// The end of a log, for ListOffsets.
const LATEST: i64 = -1;

/// One of the two brokers, and what it answered.
struct Side {
    client: RawClient,
    address: SocketAddr,
    /// Part of the names of topics and groups, so that a broker that was asked before does not matter.
    run: String,
    lines: Vec<String>,
}

impl Side {
    async fn new(address: SocketAddr, run: String) -> Self {
        Self {
            client: RawClient::connect(address).await,
            address,
            run,
            lines: Vec::new(),
        }
    }

    /// `None`: the connection was closed; there is a new one.
    async fn ask<R: Request>(&mut self, version: i16, request: &R) -> Option<R::Response> {
        self.client.request(request, version).await;
        let Some(frame) = self.client.frame().await else {
            self.client = RawClient::connect(self.address).await;
            return None;
        };
        let (_, response) = protocol::frame::decode_response::<R>(frame, version).unwrap();
        Some(response)
    }

    /// As `ask`, with a note of what `told` finds in the answer. Requests that meet a coordinator that is not there yet are
    /// repeated: `code` is where the answer says so.
    async fn tell<R: Request, T: Display>(
        &mut self,
        step: &str,
        version: i16,
        request: &R,
        code: impl Fn(&R::Response) -> i16,
        told: impl Fn(&R::Response) -> T,
    ) -> Option<R::Response> {
        for _ in 0..NOT_YET_ATTEMPTS {
            let Some(answer) = self.ask(version, request).await else {
                self.note(step, version, "closed");
                return None;
            };
            if !NOT_YET.contains(&code(&answer)) {
                self.note(step, version, &told(&answer).to_string());
                return Some(answer);
            }
            tokio::time::sleep(NOT_YET_INTERVAL).await;
        }
        self.note(step, version, "no coordinator");
        None
    }

    fn note(&mut self, step: &str, version: i16, told: &str) {
        self.lines.push(format!("{step}, v{version}: {told}"));
    }

    fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.run)
    }
}

pub(super) async fn errors(pair: &mut Pair, run: &str) {
    transcripts(pair, run, async |side| {
        classic_groups::errors(side).await;
        consumer_groups::errors(side).await;
        offsets::errors(side).await;
        producers::errors(side).await;
        streams_groups::errors(side).await;
        share_groups::errors(side).await;
    })
    .await;
}

pub(super) async fn what_is_written(pair: &mut Pair, run: &str) {
    transcripts(pair, run, async |side| {
        batches::errors(side).await;
        malformed::errors(side).await;
        records::errors(side).await;
        transactions::errors(side).await;
    })
    .await;
}

/// Runs a sequence against both brokers and compares what they told.
async fn transcripts(pair: &mut Pair, run: &str, sequence: impl AsyncFn(&mut Side)) {
    let mut transcripts = Vec::new();
    for address in [pair.kafka_address, pair.our_address] {
        let mut side = Side::new(address, format!("{run}-errors")).await;
        sequence(&mut side).await;
        transcripts.push(side.lines);
    }
    let ours = transcripts.pop().unwrap_or_default();
    let kafkas = transcripts.pop().unwrap_or_default();
    assert_eq!(kafkas.len(), ours.len(), "the sequences are the same code");
    for (kafka, ours) in kafkas.iter().zip(&ours) {
        pair.compare("", kafka, ours);
    }
}

/// Has the topics of the coordinators created, which happens when one is asked for: then they are there for every test,
/// also on a Kafka that was asked before.
pub(super) async fn coordinators(address: SocketAddr) {
    let side = &mut Side::new(address, String::new()).await;
    let code = |answer: &FindCoordinatorResponse| answer.coordinators[0].error_code;
    for (key_type, step) in [
        (0, "find the coordinator of groups"),
        (1, "find the coordinator of transactions"),
    ] {
        let request = FindCoordinatorRequest {
            key_type,
            coordinator_keys: vec!["any".to_owned()],
            ..Default::default()
        };
        side.tell(step, 4, &request, code, code).await;
    }
}

/// Creates a topic with one partition that both sides can write to.
async fn topic(side: &mut Side, what: &str) -> String {
    let name = side.name(what);
    testkit::requests::topic(&mut side.client, &name, &[]).await;
    await_leader(side, &name).await;
    name
}

/// Waits for a topic that was just created: Kafka's broker learns of it, and that it leads it, a little later.
async fn await_leader(side: &mut Side, name: &str) {
    for _ in 0..NOT_YET_ATTEMPTS {
        if look_up(side, name, READ_UNCOMMITTED, LATEST).await.0 == 0 {
            return;
        }
        tokio::time::sleep(NOT_YET_INTERVAL).await;
    }
    panic!("topic {name} has no leader");
}

/// A ListOffsets of the first partition: error and offset.
async fn look_up(side: &mut Side, name: &str, isolation_level: i8, timestamp: i64) -> (i16, i64) {
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level,
        topics: vec![list_offsets_request::ListOffsetsTopic {
            name: name.to_owned(),
            partitions: vec![list_offsets_request::ListOffsetsPartition {
                current_leader_epoch: -1,
                timestamp,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let answer = side.ask(LIST_OFFSETS, &request).await.unwrap();
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code, partition.offset)
}
