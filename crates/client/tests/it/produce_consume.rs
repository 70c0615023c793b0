//! Records there and back again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::{
    Acks, Compression, ConsumeError, Consumer, ConsumerConfig, Isolation, OffsetSpec, ProduceError,
    Producer, ProducerConfig, ProducerRecord, list_offsets, partition_for_key, resolve_offsets,
};
use protocol::ErrorCode;

use crate::{Target, place, read, read_all, unique};

fn value(number: u32) -> Vec<u8> {
    format!("record number {number} of some that look alike").into_bytes()
}

async fn produce(target: &Target, topic: &Arc<str>, config: ProducerConfig, count: u32) {
    let producer = Producer::new(target.cluster.clone(), config);
    for number in 0..count {
        let key = (number % 97).to_string();
        let value = value(number);
        let record = ProducerRecord {
            key: Some(key.as_bytes()),
            value: Some(&value),
            timestamp_ms: Some(1_000_000 + i64::from(number)),
            ..ProducerRecord::default()
        };
        producer.send(topic, record).await.expect("there is room");
    }
    producer.flush().await.expect("the broker takes them");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_back_whole_and_in_order_with_every_codec() {
    const COUNT: u32 = 2000;
    let target = Target::start().await;
    for compression in Compression::ALL {
        let topic = target.topic("codec", 3).await;
        let config = ProducerConfig {
            compression,
            batch_bytes: 4096,
            ..ProducerConfig::default()
        };
        produce(&target, &topic, config, COUNT).await;
        let found = read_all(&target.cluster, &topic, COUNT as usize).await;
        let mut expected: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
        for number in 0..COUNT {
            let key = (number % 97).to_string();
            let partition = partition_for_key(key.as_bytes(), 3);
            expected.entry(partition).or_default().push(number);
        }
        for (partition, numbers) in expected {
            let records = &found[&partition];
            assert_eq!(records.len(), numbers.len(), "{compression}");
            for (position, (record, number)) in records.iter().zip(numbers).enumerate() {
                assert_eq!(record.offset, i64::try_from(position).expect("small"));
                assert_eq!(record.value.as_deref(), Some(value(number).as_slice()));
                assert_eq!(record.timestamp_ms, 1_000_000 + i64::from(number));
            }
        }
    }
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_is_cancelled_while_a_leader_is_looked_up_loses_nothing() {
    const COUNT: u32 = 300;
    let target = Target::start().await;
    let topic = target.topic("cancelled", 1).await;
    let config = ProducerConfig {
        batch_bytes: 1024,
        ..ProducerConfig::default()
    };
    produce(&target, &topic, config, COUNT).await;
    let mut consumer = Consumer::new(target.cluster.clone(), ConsumerConfig::default());
    consumer.seek(place(&topic, 0), 0);
    let mut offsets = Vec::new();
    let mut cancelled = 0;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while offsets.len() < COUNT as usize && tokio::time::Instant::now() < deadline {
        // As when another user of the cluster has met a leader that is gone.
        target.cluster.forget_topic(&topic);
        // Looked at once, and dropped unless it is done.
        let polled = tokio::select! {
            biased;
            polled = consumer.poll() => Some(polled),
            () = std::future::ready(()) => None,
        };
        let polled = match polled {
            Some(polled) => polled,
            None => {
                cancelled += 1;
                let polled = tokio::time::timeout(Duration::from_secs(20), consumer.poll()).await;
                polled.expect("a broker that answers")
            }
        };
        if let Some(batch) = polled.expect("the records are there") {
            offsets.extend(
                batch
                    .records()
                    .map(|record| record.expect("well formed").offset),
            );
        }
    }
    assert!(cancelled > 1, "no poll was cancelled");
    let all: Vec<i64> = (0..i64::from(COUNT)).collect();
    assert_eq!(offsets, all);
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_acknowledgement_delivers() {
    let target = Target::start().await;
    for (acks, idempotent) in [
        (Acks::None, false),
        (Acks::Leader, false),
        (Acks::All, false),
        (Acks::All, true),
    ] {
        let topic = target.topic("acks", 1).await;
        // A leader that does not know yet that it leads drops what asks for no answer.
        produce(&target, &topic, ProducerConfig::default(), 1).await;
        let config = ProducerConfig {
            acks,
            idempotent,
            ..ProducerConfig::default()
        };
        produce(&target, &topic, config, 500).await;
        let found = read_all(&target.cluster, &topic, 501).await;
        assert_eq!(found[&0].len(), 501, "{acks:?}");
    }
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nulls_empty_fields_and_repeated_headers_survive() {
    let target = Target::start().await;
    let topic = target.topic("nulls", 1).await;
    let producer = Producer::new(target.cluster.clone(), ProducerConfig::default());
    let headers: [(&[u8], Option<&[u8]>); 3] =
        [(b"a", Some(b"1")), (b"a", None), (b"b", Some(b""))];
    let records = [
        (None, None),
        (Some(b"".as_slice()), Some(b"".as_slice())),
        (Some(b"\xff\x00".as_slice()), None),
    ];
    for (key, value) in records {
        let record = ProducerRecord {
            partition: Some(0),
            key,
            value,
            headers: &headers,
            ..ProducerRecord::default()
        };
        producer.send(&topic, record).await.expect("there is room");
    }
    producer.flush().await.expect("the broker takes them");
    let found = read_all(&target.cluster, &topic, records.len()).await;
    for (record, (key, value)) in found[&0].iter().zip(records) {
        assert_eq!(record.key.as_deref(), key);
        assert_eq!(record.value.as_deref(), value);
        let expected: crate::OwnedHeaders = headers
            .iter()
            .map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)))
            .collect();
        assert_eq!(record.headers, expected);
    }
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_tells_the_offset_of_its_own_record() {
    let target = Target::start().await;
    let topic = target.topic("deliveries", 2).await;
    let config = ProducerConfig {
        linger: Duration::from_millis(20),
        ..ProducerConfig::default()
    };
    let producer = Producer::new(target.cluster.clone(), config);
    let mut deliveries = Vec::new();
    for number in 0..100_u32 {
        let value = number.to_be_bytes();
        let record = ProducerRecord {
            partition: Some((number % 2).cast_signed()),
            value: Some(&value),
            ..ProducerRecord::default()
        };
        deliveries.push(producer.send(&topic, record).await.expect("there is room"));
    }
    for (number, delivery) in (0..100_i64).zip(&deliveries) {
        let delivered = delivery.wait().await.expect("the broker takes it");
        assert_eq!(i64::from(delivered.partition), number % 2);
        assert_eq!(delivered.offset, Some(number / 2));
    }
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_found_by_time_and_reading_begins_there() {
    let target = Target::start().await;
    let topic = target.topic("times", 1).await;
    produce(&target, &topic, ProducerConfig::default(), 300).await;
    let at = |spec| BTreeMap::from([(place(&topic, 0), spec)]);
    for (spec, expected) in [
        (OffsetSpec::Earliest, Some(0)),
        (OffsetSpec::Latest, Some(300)),
        (OffsetSpec::Timestamp(0), Some(0)),
        (OffsetSpec::Timestamp(1_000_123), Some(123)),
        (OffsetSpec::Timestamp(2_000_000), None),
        (OffsetSpec::MaxTimestamp, Some(299)),
    ] {
        let found = list_offsets(&target.cluster, &at(spec), Isolation::ReadUncommitted).await;
        let found = found.expect("the leader answers");
        assert_eq!(found[&place(&topic, 0)].offset, expected, "{spec:?}");
    }
    let past_all = at(OffsetSpec::Timestamp(2_000_000));
    let resolved = resolve_offsets(&target.cluster, &past_all, Isolation::ReadUncommitted).await;
    assert_eq!(
        resolved.expect("the leader answers")[&place(&topic, 0)],
        300
    );
    let mut consumer = Consumer::new(target.cluster.clone(), ConsumerConfig::default());
    consumer.seek(place(&topic, 0), 123);
    let found = read(&mut consumer, 177).await;
    assert_eq!(found[&0][0].offset, 123);
    assert_eq!(consumer.position(&place(&topic, 0)), Some(300));
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_outside_of_the_log_is_an_error_or_reset() {
    let target = Target::start().await;
    let topic = target.topic("outside", 1).await;
    produce(&target, &topic, ProducerConfig::default(), 10).await;
    let mut strict = Consumer::new(target.cluster.clone(), ConsumerConfig::default());
    strict.seek(place(&topic, 0), 1000);
    let error = loop {
        match strict.poll().await {
            Ok(None) => {}
            Ok(Some(batch)) => panic!("there is nothing at 1000: {batch:?}"),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, ConsumeError::OutOfRange { position: 1000, .. }),
        "{error:?}"
    );
    let config = ConsumerConfig {
        reset: Some(OffsetSpec::Earliest),
        ..ConsumerConfig::default()
    };
    let mut resetting = Consumer::new(target.cluster.clone(), config);
    resetting.seek(place(&topic, 0), 1000);
    assert_eq!(read(&mut resetting, 10).await[&0][0].offset, 0);
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_larger_than_a_fetch_are_read_all_the_same() {
    let target = Target::start().await;
    let topic = target.topic("large", 1).await;
    let config = ProducerConfig {
        batch_bytes: 900_000,
        ..ProducerConfig::default()
    };
    let producer = Producer::new(target.cluster.clone(), config);
    let large = vec![b'x'; 800_000];
    for _ in 0..5 {
        let record = ProducerRecord {
            value: Some(&large),
            ..ProducerRecord::default()
        };
        producer.send(&topic, record).await.expect("there is room");
    }
    producer.flush().await.expect("the broker takes them");
    let config = ConsumerConfig {
        partition_bytes_max: 1000,
        fetch_bytes_max: 1000,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(target.cluster.clone(), config);
    consumer.seek(place(&topic, 0), 0);
    let found = read(&mut consumer, 5).await;
    assert!(
        found[&0]
            .iter()
            .all(|record| record.value.as_ref() == Some(&large))
    );
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_too_large_is_refused_and_those_after_it_are_delivered() {
    let target = Target::start().await;
    let topic = target
        .topic_with("too-large", 1, &[("max.message.bytes", "10000")])
        .await;
    let config = ProducerConfig {
        linger: Duration::ZERO,
        ..ProducerConfig::default()
    };
    let producer = Producer::new(target.cluster.clone(), config);
    let large = vec![b'x'; 20_000];
    let send = async |value: &[u8]| {
        let record = ProducerRecord {
            value: Some(value),
            ..ProducerRecord::default()
        };
        producer.send(&topic, record).await.expect("there is room")
    };
    let first = send(b"first").await;
    let refused = send(&large).await;
    let mut last = Vec::new();
    for number in 0..50_u8 {
        last.push(send(&[number]).await);
    }
    first.wait().await.expect("the broker takes it");
    match refused.wait().await {
        Err(ProduceError::Refused { source, .. }) => {
            assert!(source.is(ErrorCode::MessageTooLarge), "{source}");
        }
        other => panic!("{other:?}"),
    }
    for (delivery, offset) in last.iter().zip(1..) {
        let delivered = delivery.wait().await.expect("the broker takes it");
        assert_eq!(delivered.offset, Some(offset));
    }
    assert!(
        producer.flush().await.is_err(),
        "the flush tells of the refused one"
    );
    assert!(producer.flush().await.is_ok(), "once");
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_and_a_missing_partition_are_told_at_once() {
    let target = Target::start().await;
    let config = ProducerConfig {
        allow_auto_topic_creation: false,
        ..ProducerConfig::default()
    };
    let producer = Producer::new(target.cluster.clone(), config);
    let missing = unique("missing");
    let sent = producer.send(&missing, ProducerRecord::default()).await;
    assert!(matches!(sent, Err(ProduceError::Metadata(_))), "{sent:?}");
    let topic = target.topic("partitions", 2).await;
    let record = ProducerRecord {
        partition: Some(2),
        ..ProducerRecord::default()
    };
    let sent = producer.send(&topic, record).await;
    let error = sent.expect_err("there is no partition 2").to_string();
    assert!(error.contains("has no partition 2; it has 2"), "{error}");
    target.stop().await;
}
