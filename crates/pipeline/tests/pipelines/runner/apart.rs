//! What is wrong with one pipeline is no matter of the others.

use std::sync::Arc;
use std::time::Duration;

use client::admin::{TransactionFilter, delete_topics, list_transactions};
use client::{ProducerConfig, ProducerRecord, TransactionalProducer};
use pipeline::control::RunState;

use super::desk::Desk;
use super::{create, produce};

const COPY: &str = "\
format: 1
pipeline: NAME
run: { continuous: true, retry: { backoff: 100ms..300ms } }
from:
  raw:
    topic: { name: raw }
    columns: { id: bigint, at: timestamp }
sql: SELECT id, at FROM raw
checks:
  - not_null: [id]
to:
  topic: { name: NAME.out, key: at, timestamp: at }
";

async fn copies(desk: &Desk, name: &str) {
    desk.deploy(&COPY.replace("NAME", name)).await;
}

/// No transaction is open.
async fn nothing_is_open(desk: &Desk) {
    testkit::eventually("transactions end", async || {
        let all = list_transactions(desk.cluster(), &TransactionFilter::default())
            .await
            .expect("transactions");
        all.iter().all(|transaction| transaction.state != "Ongoing")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_without_a_topic_hold_up_nobody_else_and_a_plan_makes_it_again() {
    let desk = Desk::start().await;
    create(desk.cluster(), "raw", 1, false).await;
    copies(&desk, "one").await;
    let worker = desk.worker();
    produce(
        desk.cluster(),
        "raw",
        &[(None, Some(r#"{"id":1,"at":"2020-01-01T00:00:00"}"#))],
    )
    .await;
    desk.all_values("one.out", 1).await;
    let deleted = delete_topics(desk.cluster(), &["one.dead".to_owned()]).await;
    deleted.expect("it is deleted");
    produce(desk.cluster(), "raw", &[(None, Some("no json"))]).await;
    desk.told("one", "the topic one.dead, which the pipeline writes, is gone; watertable pipeline plan and apply make it again").await;
    nothing_is_open(&desk).await;
    copies(&desk, "two").await;
    desk.all_values("two.out", 1).await;
    let plan = desk
        .plan(&COPY.replace("NAME", "one"))
        .await
        .expect("a plan");
    assert_eq!(plan.pipelines.len(), 1, "{plan:?}");
    assert_eq!(plan.pipelines[0].topics.len(), 1, "{plan:?}");
    desk.apply(&plan).await;
    testkit::eventually("the dead letter is kept", async || {
        desk.values("one.dead").await.len() == 1
    })
    .await;
    let runs = desk.runs("one").await;
    assert_eq!(runs.last().unwrap().state, RunState::Running);
    desk.stop(worker).await;
}

/// What a worker that was killed has left open is ended by the one that takes over, and not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_left_open_holds_up_nobody() {
    let desk = Desk::start().await;
    create(desk.cluster(), "raw", 1, false).await;
    copies(&desk, "one").await;
    let timeout = Duration::from_secs(600);
    let config = ProducerConfig::default();
    let left = TransactionalProducer::init(desk.cluster().clone(), "pl.one.main", timeout, config);
    let mut left = left.await.expect("a producer");
    left.begin().expect("a transaction");
    let record = ProducerRecord {
        key: Some(b"[]"),
        ..ProducerRecord::default()
    };
    let sent = left.send(&Arc::from("__positions"), record).await;
    sent.expect("it is sent")
        .wait()
        .await
        .expect("it is written");
    produce(
        desk.cluster(),
        "raw",
        &[(None, Some(r#"{"id":1,"at":"2020-01-01T00:00:00"}"#))],
    )
    .await;
    let worker = desk.worker();
    // Whoever waits for the end of a transaction does so for as long as that.
    let limit = desk.cluster().config().operation_timeout;
    let written = tokio::time::timeout(limit, desk.all_values("one.out", 1)).await;
    assert!(written.is_ok(), "the end of a transaction was waited for");
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_the_topic_does_not_take_is_a_dead_letter() {
    let desk = Desk::start().await;
    create(desk.cluster(), "raw", 1, false).await;
    copies(&desk, "one").await;
    let worker = desk.worker();
    for at in ["2099-01-01T00:00:00", "2020-01-01T00:00:00"] {
        let value = format!(r#"{{"id":1,"at":"{at}"}}"#);
        produce(desk.cluster(), "raw", &[(None, Some(&value))]).await;
    }
    desk.all_values("one.out", 1).await;
    let dead = desk.dead("one", "message").await;
    assert_eq!(
        dead,
        [
            "at is more than 3600000 ms after now, and the topic takes no such record (its setting message.timestamp.after.max.ms)"
        ]
    );
    desk.stop(worker).await;
}
