//! Transactions from the producer's side: what counts, what does not, who is fenced; and what administrators see of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::admin::{
    TransactionFilter, TransactionMarker, abort_transaction, describe_producers,
    describe_transaction, list_transactions,
};
use client::{
    CommitOffset, Consumer, ConsumerConfig, ConsumerGroupMetadata, FetchOffsetsError,
    GroupCoordinator, Isolation, OffsetSpec, ProducerConfig, ProducerRecord, TransactionError,
    TransactionProtocol, TransactionalProducer, fetch_committed_offsets,
};
use protocol::ErrorCode;
use testkit::eventually;

use crate::{Read, Target, place, read, read_all, unique};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A broker, a topic, and a transactional producer that has begun nothing.
struct Scene {
    target: Target,
    topic: Arc<str>,
    id: Arc<str>,
    producer: TransactionalProducer,
}

impl Scene {
    async fn new(partitions: i32) -> Self {
        let target = Target::start().await;
        let topic = target.topic("txn", partitions).await;
        let id = unique("transfers");
        let producer = producer(&target, &id).await;
        Self {
            target,
            topic,
            id,
            producer,
        }
    }

    /// As [`Scene::new`], with a record in an open transaction, which is on the broker.
    async fn with_pending(value: &str) -> Self {
        let mut scene = Self::new(1).await;
        scene.producer.begin().expect("nothing is open");
        send(&mut scene.producer, &scene.topic, value).await;
        let everything = read_all(&scene.target.cluster, &scene.topic, 1).await;
        assert_eq!(values(everything), [value]);
        scene
    }
}

async fn producer(target: &Target, id: &Arc<str>) -> TransactionalProducer {
    let cluster = target.cluster.clone();
    let config = ProducerConfig::default();
    let producer = TransactionalProducer::init(cluster, Arc::clone(id), TIMEOUT, config).await;
    producer.expect("the broker coordinates transactions")
}

async fn send(producer: &mut TransactionalProducer, topic: &Arc<str>, value: &str) {
    let record = ProducerRecord {
        value: Some(value.as_bytes()),
        ..ProducerRecord::default()
    };
    let sent = producer.send(topic, record).await;
    sent.expect("the record is taken");
}

/// Reads the committed records of a topic from its beginning.
async fn reader(target: &Target, topic: &Arc<str>) -> Consumer {
    let config = ConsumerConfig {
        isolation: Isolation::ReadCommitted,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(target.cluster.clone(), config);
    let topics = [Arc::clone(topic)];
    let assigned = consumer.assign_topics(&topics, OffsetSpec::Earliest).await;
    assigned.expect("the topic exists");
    consumer
}

async fn committed(target: &Target, topic: &Arc<str>, count: usize) -> Vec<String> {
    values(read(&mut reader(target, topic).await, count).await)
}

fn values(found: BTreeMap<i32, Vec<Read>>) -> Vec<String> {
    let records = found.into_values().flatten();
    records
        .map(|record| {
            let value = record.value.expect("a value");
            String::from_utf8(value).expect("text")
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_records_count_and_aborted_ones_do_not() {
    let scene = Scene::new(1).await;
    let (target, first, mut producer) = (scene.target, scene.topic, scene.producer);
    let second = target.topic("txn", 1).await;
    assert_eq!(producer.protocol(), TransactionProtocol::V2);
    let mut session = producer.session();
    for round in 0..6 {
        producer.begin().unwrap();
        for topic in [&first, &second] {
            for number in 0..10 {
                send(&mut producer, topic, &format!("{round}-{number}")).await;
            }
        }
        if round % 2 == 0 {
            producer.commit().await.unwrap();
        } else {
            producer.abort().await.unwrap();
        }
        // Each end bumps the epoch.
        let next = producer.session();
        assert_eq!(next, (session.0, session.1 + 1));
        session = next;
    }
    // One that says where the committed ones end.
    producer.begin().unwrap();
    send(&mut producer, &first, "end").await;
    send(&mut producer, &second, "end").await;
    producer.commit().await.unwrap();
    let rounds = [0, 2, 4].into_iter();
    let mut expected: Vec<String> = rounds
        .flat_map(|round| (0..10).map(move |number| format!("{round}-{number}")))
        .collect();
    expected.push("end".to_owned());
    for topic in [&first, &second] {
        assert_eq!(committed(&target, topic, expected.len()).await, expected);
    }
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_holds_back_who_reads_what_is_committed() {
    let mut scene = Scene::with_pending("pending").await;
    let mut consumer = reader(&scene.target, &scene.topic).await;
    let nothing = tokio::time::timeout(Duration::from_millis(300), read(&mut consumer, 1)).await;
    assert!(nothing.is_err());
    scene.producer.commit().await.unwrap();
    assert_eq!(values(read(&mut consumer, 1).await), ["pending"]);
    scene.target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_producer_fences_the_older_and_aborts_its_transaction() {
    let scene = Scene::with_pending("lost").await;
    let (target, topic, mut old) = (scene.target, scene.topic, scene.producer);
    let mut new = producer(&target, &scene.id).await;
    let error = old.commit().await.unwrap_err();
    assert!(matches!(error, TransactionError::Fenced { .. }), "{error}");
    let again = old.begin().unwrap_err();
    assert!(matches!(again, TransactionError::Fenced { .. }), "{again}");
    new.begin().unwrap();
    send(&mut new, &topic, "kept").await;
    new.commit().await.unwrap();
    assert_eq!(committed(&target, &topic, 1).await, ["kept"]);
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_count_with_their_transaction() {
    let scene = Scene::new(2).await;
    let (target, topic, mut producer) = (scene.target, scene.topic, scene.producer);
    let group = unique("readers");
    let coordinator = GroupCoordinator::new(target.cluster.clone(), Arc::clone(&group));
    let metadata = ConsumerGroupMetadata::outsider(Arc::clone(&group));
    for (offset, commits) in [(3, true), (5, false), (7, true)] {
        producer.begin().unwrap();
        let offsets = BTreeMap::from([(place(&topic, 1), CommitOffset::new(offset))]);
        producer.send_offsets(&metadata, &offsets).await.unwrap();
        if commits {
            producer.commit().await.unwrap();
        } else {
            producer.abort().await.unwrap();
        }
        let expected = if commits { offset } else { 3 };
        eventually(
            "the offsets are decided",
            async || match fetch_committed_offsets(&coordinator, None).await {
                Ok(found) => found
                    .get(&place(&topic, 1))
                    .is_some_and(|found| found.offset == expected),
                Err(FetchOffsetsError::Refused { source, .. })
                    if source.is(ErrorCode::UnstableOffsetCommit) =>
                {
                    false
                }
                Err(error) => panic!("{error}"),
            },
        )
        .await;
    }
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_out_of_order_is_refused() {
    let scene = Scene::new(1).await;
    let (target, topic, mut producer) = (scene.target, scene.topic, scene.producer);
    let not_open = TransactionError::NotOpen;
    let record = ProducerRecord::default();
    let sent = producer.send(&topic, record).await.unwrap_err();
    assert_eq!(sent.to_string(), not_open.to_string());
    let ended = producer.commit().await.unwrap_err();
    assert_eq!(ended.to_string(), not_open.to_string());
    let ended = producer.abort().await.unwrap_err();
    assert_eq!(ended.to_string(), not_open.to_string());
    // Nothing was written: there is nothing to end.
    let session = producer.session();
    producer.begin().unwrap();
    assert!(matches!(producer.begin(), Err(TransactionError::Open)));
    producer.commit().await.unwrap();
    assert_eq!(producer.session(), session);
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_see_transactions_and_may_abort_one_in_a_partition() {
    let scene = Scene::with_pending("pending").await;
    let (target, topic, id, producer) = (scene.target, scene.topic, scene.id, scene.producer);
    let cluster = &target.cluster;
    let described = describe_transaction(cluster, &id).await.unwrap();
    assert_eq!(described.state, "Ongoing");
    assert_eq!(
        (described.producer_id, described.producer_epoch),
        producer.session()
    );
    assert_eq!(described.partitions, [place(&topic, 0)]);
    assert!(described.started_ms.is_some());
    let filter = TransactionFilter {
        id_pattern: Some(format!("{id}.*")),
        ..TransactionFilter::default()
    };
    let listed = list_transactions(cluster, &filter).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].transactional_id, *id);
    let producers = describe_producers(cluster, &place(&topic, 0))
        .await
        .unwrap();
    assert_eq!(producers.len(), 1);
    assert_eq!(producers[0].transaction_start_offset, Some(0));
    let marker = TransactionMarker {
        producer_id: producers[0].producer_id,
        producer_epoch: producers[0].producer_epoch,
        coordinator_epoch: 0,
    };
    abort_transaction(cluster, &place(&topic, 0), marker)
        .await
        .unwrap();
    let producers = describe_producers(cluster, &place(&topic, 0))
        .await
        .unwrap();
    assert_eq!(producers[0].transaction_start_offset, None);
    let unknown = describe_transaction(cluster, "nobody").await.unwrap_err();
    assert!(unknown.to_string().contains("nobody"), "{unknown}");
    target.stop().await;
}
