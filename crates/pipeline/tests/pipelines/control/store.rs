//! The topics, who writes them, and who follows them.

use std::time::Duration;

use client::admin::{ConfigResource, describe_configs};
use pipeline::control::{
    Action, CommitError, Event, Position, Store, Time, Writer, positions, topics,
};
use serde_json::json;
use spec::names::internal;

use super::{Runner, World, change, deployment, environment, version};

fn position(task: &str, offset: i64) -> Position {
    Position {
        env: "prod".to_owned(),
        pipeline: "trips".to_owned(),
        task: task.to_owned(),
        input: "raw".to_owned(),
        place: "0".to_owned(),
        position: json!({ "offset": offset }),
        version: 1,
        time: Time::from_ms(0),
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    let limited = tokio::time::timeout(testkit::DEADLINE, future).await;
    limited.expect("it comes in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_before_there_are_topics_and_the_first_change_is_seen() {
    let world = World::start().await;
    let mut store = Store::open(&world.cluster).await.unwrap();
    assert_eq!(store.pipelines().count(), 0);
    let prod = environment("prod");
    let writer = Writer::open(&world.client(), &prod).await.unwrap();
    let record = version("prod", "trips", 1);
    writer
        .commit(&change(record.clone()), async || {})
        .await
        .unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(within(store.changed()).await.unwrap());
    }
    // Each topic has its order, and there is none between them.
    seen.sort_by_key(|event| matches!(event, Event::Deployment(_)));
    assert!(matches!(&seen[0], Event::Version(seen) if **seen == record));
    assert!(
        matches!(&seen[1], Event::Pipeline { current: Some(seen), .. } if **seen == record),
        "{seen:?}"
    );
    assert!(matches!(&seen[2], Event::Deployment(seen) if seen.id == "d1"));
    assert_eq!(store.version("prod", "trips", 1).unwrap().fingerprint, "f1");
    let again = Store::open(&world.client()).await.unwrap();
    assert_eq!(again.state(), store.state());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_the_topics_again_changes_nothing() {
    let world = World::start().await;
    let settings = async || {
        let mut settings = Vec::new();
        for topic in [internal::PIPELINES, internal::DEPLOYMENTS, internal::RUNS] {
            let topic = ConfigResource::Topic(topic.to_owned());
            let entries = describe_configs(&world.cluster, &topic, None, false).await;
            let entries = entries.unwrap().into_iter();
            settings.extend(entries.map(|entry| (entry.name, entry.value)));
        }
        settings
    };
    topics::create(&world.cluster).await.unwrap();
    let first = settings().await;
    topics::create(&world.client()).await.unwrap();
    assert_eq!(settings().await, first);
    let has = |name: &str, value: &str| {
        let wanted = (name.to_owned(), Some(value.to_owned()));
        assert!(first.contains(&wanted), "{name}={value}: {first:?}");
    };
    has("cleanup.policy", "compact");
    has("cleanup.policy", "compact,delete");
    has("retention.ms", "-1");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_at_once_the_one_that_began_later_wins() {
    let world = World::start().await;
    let prod = environment("prod");
    let first = Writer::open(&world.client(), &prod).await.unwrap();
    let second = Writer::open(&world.client(), &prod).await.unwrap();
    let lost = change(version("prod", "trips", 1));
    let error = first.commit(&lost, async || {}).await.unwrap_err();
    assert!(matches!(error, CommitError::Fenced), "{error:?}");
    let won = change(version("prod", "people", 1));
    second.commit(&won, async || {}).await.unwrap();
    let store = Store::open(&world.cluster).await.unwrap();
    let names: Vec<_> = store
        .pipelines()
        .map(|record| record.pipeline.as_str())
        .collect();
    assert_eq!(names, ["people"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_one_environment_does_not_fence_another() {
    let world = World::start().await;
    let prod = Writer::open(&world.client(), &environment("prod"))
        .await
        .unwrap();
    let dev = Writer::open(&world.client(), &environment("dev"))
        .await
        .unwrap();
    let of = |env| change(version(env, "trips", 1));
    prod.commit(&of("prod"), async || {}).await.unwrap();
    dev.commit(&of("dev"), async || {}).await.unwrap();
    let store = Store::open(&world.cluster).await.unwrap();
    assert_eq!(store.pipelines().count(), 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_not_committed_is_not_seen() {
    let world = World::start().await;
    let prod = environment("prod");
    let writer = Writer::open(&world.client(), &prod).await.unwrap();
    // Whoever made it goes away in the middle.
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let mut sender = Some(sender);
    let lost = change(version("prod", "trips", 1));
    let going = writer.commit(&lost, async || {
        if let Some(sender) = sender.take() {
            sender.send(()).unwrap();
        }
        std::future::pending().await
    });
    tokio::select! {
        biased;
        done = going => panic!("{done:?}"),
        _ = receiver => {}
    }
    let writer = Writer::open(&world.client(), &prod).await.unwrap();
    assert_eq!(writer.state().pipelines().count(), 0);
    writer
        .commit(&change(version("prod", "people", 1)), async || {})
        .await
        .unwrap();
    let store = Store::open(&world.cluster).await.unwrap();
    assert_eq!(store.pipelines().count(), 1);
    assert!(store.version("prod", "trips", 1).is_none());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_behind_an_open_transaction_is_waited_for() {
    let world = World::start().await;
    topics::create(&world.cluster).await.unwrap();
    let mut slow = Runner::start(&world.cluster, "pl.trips.slow").await;
    let mut quick = Runner::start(&world.cluster, "pl.trips.quick").await;
    let (of_slow, of_quick) = (position("slow", 1), position("quick", 7));
    slow.write(internal::POSITIONS, &of_slow.key(), &of_slow)
        .await;
    quick
        .write(internal::POSITIONS, &of_quick.key(), &of_quick)
        .await;
    quick.commit().await;
    // The transaction in front is still open, and readers of what is committed stop there.
    let client = world.client();
    let reading = positions(&client, "prod", "trips", "quick");
    tokio::pin!(reading);
    let early = tokio::time::timeout(Duration::from_millis(500), &mut reading).await;
    assert!(early.is_err(), "it does not answer without it: {early:?}");
    slow.commit().await;
    let found = within(reading).await.unwrap();
    let at = ("raw".to_owned(), "0".to_owned());
    assert_eq!(found.get(&at), Some(&of_quick));
    assert_eq!(found.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_position_counts() {
    let world = World::start().await;
    topics::create(&world.cluster).await.unwrap();
    let mut runner = Runner::start(&world.cluster, "pl.trips.main").await;
    for offset in 1..=3 {
        let position = position("main", offset);
        let key = position.key();
        runner.write(internal::POSITIONS, &key, &position).await;
        runner.commit().await;
    }
    let found = positions(&world.cluster, "prod", "trips", "main")
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    let last = found.values().next().unwrap();
    assert_eq!(last.position, json!({ "offset": 3 }));
    let other = positions(&world.cluster, "dev", "trips", "main").await;
    assert_eq!(other.unwrap().len(), 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_topic_that_was_deleted_does_not_mean_that_nothing_runs() {
    let world = World::start().await;
    let prod = environment("prod");
    let writer = Writer::open(&world.client(), &prod).await.unwrap();
    let trips = change(version("prod", "trips", 1));
    writer.commit(&trips, async || {}).await.unwrap();
    let deleted = [internal::DEPLOYMENTS.to_owned()];
    let deleted = client::admin::delete_topics(&world.cluster, &deleted).await;
    deleted
        .unwrap()
        .remove(internal::DEPLOYMENTS)
        .unwrap()
        .unwrap();
    let error = Store::open(&world.client()).await.unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        said.starts_with("the topic '__deployments' is gone"),
        "{said}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_none_is_left_out_and_one_of_a_later_version_is_not() {
    let world = World::start().await;
    topics::create(&world.cluster).await.unwrap();
    let mut somebody = Runner::start(&world.cluster, "somebody").await;
    let record = version("prod", "trips", 1);
    let key = record.current_key();
    let nonsense = json!({ "anything": 1 });
    somebody.write(internal::PIPELINES, &key, &nonsense).await;
    somebody.commit().await;
    somebody.write(internal::PIPELINES, &key, &record).await;
    somebody.commit().await;
    let store = Store::open(&world.cluster).await.unwrap();
    assert_eq!(store.pipelines().count(), 1);
    let done = deployment(&record, Action::Apply);
    let later = json!({ "format": 2, "id": done.id });
    let mut producer = Plain::start(&world).await;
    producer.write(internal::DEPLOYMENTS, &later).await;
    let error = Store::open(&world.cluster).await.unwrap_err();
    let said = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    assert!(
        said.contains("'__deployments'") && said.contains("a later version wrote it"),
        "{said}"
    );
    world.stop().await;
}

/// Somebody who writes what they like.
struct Plain(client::Producer);

impl Plain {
    async fn start(world: &World) -> Self {
        let config = client::ProducerConfig::default();
        Self(client::Producer::new(world.cluster.clone(), config))
    }

    async fn write(&mut self, topic: &str, value: &serde_json::Value) {
        let value = value.to_string();
        let record = client::ProducerRecord {
            value: Some(value.as_bytes()),
            ..client::ProducerRecord::default()
        };
        let sent = self.0.send(&topic.into(), record).await;
        sent.unwrap().wait().await.unwrap();
    }
}
