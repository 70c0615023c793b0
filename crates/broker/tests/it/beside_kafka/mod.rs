//! The same requests to this broker and to an Apache Kafka, whose answers must not differ.
//!
//! Needs a Kafka of one node, without an authorizer and without a quorum whose voters change, so it runs only when asked for:
//!
//! ```text
//! cargo xtask kafka start --static-quorum --data-dir target/kafka
//! WATERTABLE_KAFKA=127.0.0.1:19092 cargo test -p broker --test it beside_kafka -- --ignored
//! ```
//!
//! Ids, addresses and sentences for people differ by nature and are not compared; whatever else differs on purpose is
//! named where it is taken out.

mod administration;
mod cluster;
mod configs;
mod errors;
mod more_configs;
mod offsets;
mod quotas;
mod topics;

use std::fmt::Debug;
use std::net::SocketAddr;

use protocol::Request;
use testkit::{RawClient, Server, ServerOptions};

/// How much of a question and of two answers is shown where they differ.
const QUESTION_SHOWN: usize = 400;
const BEFORE_DIFFERENCE: usize = 150;
const AFTER_DIFFERENCE: usize = 150;
/// A change arrives at Kafka's broker within so many requests, each of which takes it most of a millisecond.
const ASKED_AGAIN_MAX: usize = 10_000;

/// The two brokers, and where they differed.
struct Pair {
    kafka: RawClient,
    ours: RawClient,
    kafka_address: SocketAddr,
    our_address: SocketAddr,
    differences: Vec<String>,
}

impl Pair {
    /// Both answer; what `normalise` leaves must be equal.
    async fn same<R: Request + Debug>(
        &mut self,
        version: i16,
        request: &R,
        normalise: impl Fn(&mut R::Response),
    ) where
        R::Response: Debug + PartialEq,
    {
        let expected = self.kafka_answers(version, request, &normalise).await;
        let found = self.we_answer(version, request, &normalise).await;
        self.compare(&format!("v{version} {request:?}"), &expected, &found);
    }

    /// As [`Pair::same`], for what Kafka's broker learns from its controller a little later.
    async fn same_soon<R: Request + Debug>(
        &mut self,
        version: i16,
        request: &R,
        normalise: impl Fn(&mut R::Response),
    ) where
        R::Response: Debug + PartialEq,
    {
        let found = self.we_answer(version, request, &normalise).await;
        let mut expected = self.kafka_answers(version, request, &normalise).await;
        for _ in 0..ASKED_AGAIN_MAX {
            if expected == found {
                return;
            }
            expected = self.kafka_answers(version, request, &normalise).await;
        }
        self.compare(&format!("v{version} {request:?}"), &expected, &found);
    }

    /// As [`Pair::same`], where what to ask depends on whom.
    async fn same_of<R: Request + Debug>(
        &mut self,
        version: i16,
        of_kafka: &R,
        of_us: &R,
        normalise: impl Fn(&mut R::Response),
    ) where
        R::Response: Debug + PartialEq,
    {
        let expected = self.kafka_answers(version, of_kafka, &normalise).await;
        let found = self.we_answer(version, of_us, &normalise).await;
        self.compare(&format!("v{version} {of_us:?}"), &expected, &found);
    }

    fn compare<T: Debug + PartialEq>(&mut self, question: &str, expected: &T, found: &T) {
        if expected == found {
            return;
        }
        let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
        let same = expected
            .bytes()
            .zip(found.bytes())
            .take_while(|(one, other)| one == other)
            .count();
        let around = |text: &str| {
            let from = same.saturating_sub(BEFORE_DIFFERENCE);
            text.chars()
                .skip(from)
                .take(BEFORE_DIFFERENCE + AFTER_DIFFERENCE)
                .collect::<String>()
        };
        let question: String = question.chars().take(QUESTION_SHOWN).collect();
        self.differences.push(format!(
            "{question}\n  kafka: …{}…\n  ours:  …{}…",
            around(&expected),
            around(&found)
        ));
    }

    /// `None`: the connection was closed.
    async fn kafka_answers<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        normalise: &impl Fn(&mut R::Response),
    ) -> Option<R::Response> {
        let answer = answer(&mut self.kafka, version, request, normalise).await;
        if answer.is_none() {
            self.kafka = RawClient::connect(self.kafka_address).await;
        }
        answer
    }

    async fn we_answer<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        normalise: &impl Fn(&mut R::Response),
    ) -> Option<R::Response> {
        let answer = answer(&mut self.ours, version, request, normalise).await;
        if answer.is_none() {
            self.ours = RawClient::connect(self.our_address).await;
        }
        answer
    }
}

async fn answer<R: Request>(
    client: &mut RawClient,
    version: i16,
    request: &R,
    normalise: &impl Fn(&mut R::Response),
) -> Option<R::Response> {
    client.request(request, version).await;
    let frame = client.frame().await?;
    let (_, mut response) = protocol::frame::decode_response::<R>(frame, version).unwrap();
    normalise(&mut response);
    Some(response)
}

/// Sentences for people differ; that there is none without an error does not.
fn hide_message(error_code: i16, message: &mut Option<String>) {
    if error_code != 0 {
        *message = None;
    }
}

/// One by one: they change what all of a broker's clients see.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A Kafka that was asked before still knows its topics; `run` is part of the names of those to come.
async fn beside_kafka(run: &str, ask: impl AsyncFnOnce(&mut Pair, &str)) {
    let _one = ONE_AT_A_TIME.lock().await;
    let address =
        std::env::var("WATERTABLE_KAFKA").expect("WATERTABLE_KAFKA says where a Kafka is");
    let kafka_address: SocketAddr = address.parse().unwrap();
    let server = Server::start_with(
        ServerOptions::default()
            .set("num.partitions", "4")
            .set("group.consumer.heartbeat.interval.ms", "1000")
            .set("group.consumer.min.heartbeat.interval.ms", "1000")
            .set("group.share.min.record.lock.duration.ms", "1000"),
    )
    .await;
    for address in [kafka_address, server.address()] {
        errors::coordinators(address).await;
    }
    let mut pair = Pair {
        kafka: RawClient::connect(kafka_address).await,
        ours: RawClient::connect(server.address()).await,
        kafka_address,
        our_address: server.address(),
        differences: Vec::new(),
    };
    ask(&mut pair, &format!("{run}{}", std::process::id())).await;
    assert!(
        pair.differences.is_empty(),
        "{} answers differ:\n{}",
        pair.differences.len(),
        pair.differences.join("\n")
    );
}

#[tokio::test]
#[ignore = "needs a Kafka"]
async fn answers_are_those_of_kafka() {
    beside_kafka("t", async |pair, run| {
        cluster::api_versions(pair).await;
        cluster::features(pair).await;
        topics::create_topics(pair, run).await;
        cluster::metadata(pair, run).await;
        topics::describe_topic_partitions(pair, run).await;
        offsets::offsets(pair, run).await;
        configs::configs(pair, run).await;
        more_configs::more_configs(pair, run).await;
        topics::create_partitions(pair, run).await;
        cluster::cluster(pair, run).await;
        administration::leaders_and_replicas(pair, run).await;
        administration::quorum(pair).await;
        administration::security(pair).await;
        administration::scram(pair, run).await;
        quotas::quotas(pair, run).await;
        topics::delete_topics(pair, run).await;
        errors::errors(pair, run).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a Kafka"]
async fn what_is_written_is_told_as_kafka_tells_it() {
    beside_kafka("w", errors::what_is_written).await;
}
