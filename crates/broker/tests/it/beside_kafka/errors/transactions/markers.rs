//! WriteTxnMarkers, which this Kafka takes from anybody, and DescribeProducers, which tells what is open.

use protocol::messages::describe_producers_request::TopicRequest;
use protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use protocol::messages::*;
use protocol::records::BatchOptions;
use testkit::requests::{batch, produce};

use super::super::{LATEST, READ_UNCOMMITTED, look_up};
use super::{ADD_MAX, Producer, Side, tell_add, topic};

const PRODUCE: i16 = 9;

pub(super) async fn errors(side: &mut Side, name: &str) {
    places(side, name).await;
    for version in [1, 2] {
        for transaction_version in [0, 1, 2, 3] {
            epochs(side, version, transaction_version).await;
        }
    }
    describing(side, name).await;
}

fn marker(
    producer: (i64, i16),
    coordinator_epoch: i32,
    topics: &[(&str, &[i32])],
) -> WritableTxnMarker {
    let topic = |(name, partitions): &(&str, &[i32])| WritableTxnMarkerTopic {
        name: (*name).to_owned(),
        partition_indexes: partitions.to_vec(),
    };
    WritableTxnMarker {
        producer_id: producer.0,
        producer_epoch: producer.1,
        transaction_result: false,
        topics: topics.iter().map(topic).collect(),
        coordinator_epoch,
        transaction_version: 0,
    }
}

async fn tell(side: &mut Side, step: &str, version: i16, markers: Vec<WritableTxnMarker>) {
    let request = WriteTxnMarkersRequest { markers };
    let told = |answer: &WriteTxnMarkersResponse| {
        let mut told: Vec<_> = answer
            .markers
            .iter()
            .flat_map(|marker| marker.topics.iter().map(move |topic| (marker, topic)))
            .flat_map(|(marker, topic)| {
                let partitions = topic.partitions.iter();
                let id = marker.producer_id;
                partitions.map(move |at| (id, &topic.name, at.partition_index, at.error_code))
            })
            .map(|(id, topic, partition, code)| {
                (
                    id,
                    topic.rsplit('-').next().unwrap_or_default(),
                    partition,
                    code,
                )
            })
            .collect();
        told.sort_unstable();
        format!("{told:?}")
    };
    let step = format!("markers: {step}");
    side.tell(&step, version, &request, |_| 0, told).await;
}

async fn places(side: &mut Side, name: &str) {
    let missing = side.name("no-such-topic");
    for version in [1, 2] {
        let cases = [
            ("none", Vec::new()),
            ("nowhere", vec![marker((5, 0), 0, &[])]),
            ("no partitions", vec![marker((5, 0), 0, &[(name, &[])])]),
            (
                "an unknown topic",
                vec![marker((5, 0), 0, &[(&missing, &[0])])],
            ),
            (
                "an unknown partition",
                vec![marker((5, 0), 0, &[(name, &[0, 1, -1])])],
            ),
            // Kafka never answers a partition that is named twice.
            (
                "a producer twice",
                vec![
                    marker((5, 0), 0, &[(name, &[0])]),
                    marker((5, 0), 0, &[(name, &[0])]),
                ],
            ),
            (
                "a producer twice, in two epochs",
                vec![
                    marker((6, 4), 0, &[(name, &[0])]),
                    marker((6, 3), 0, &[(name, &[0])]),
                ],
            ),
            (
                "a producer that cannot be",
                vec![marker((-1, 0), 0, &[(name, &[0])])],
            ),
            (
                "an epoch that cannot be",
                vec![marker((7, -1), 0, &[(name, &[0])])],
            ),
            // Kafka never answers when the one that goes nowhere is the last.
            (
                "one that is not good and one that is",
                vec![
                    marker((9, 0), 0, &[(&missing, &[0])]),
                    marker((8, 0), 0, &[(name, &[0])]),
                ],
            ),
        ];
        for (step, markers) in cases {
            let before = topic_end(side, name).await;
            tell(side, step, version, markers).await;
            let written = topic_end(side, name).await - before;
            side.note(step, version, &format!("{written} written"));
        }
    }
}

async fn topic_end(side: &mut Side, name: &str) -> i64 {
    look_up(side, name, READ_UNCOMMITTED, LATEST).await.1
}

/// Markers of every epoch over what a producer has written, with and without an open transaction. Each producer is used
/// once: a later coordinator epoch shuts its own coordinator out.
async fn epochs(side: &mut Side, version: i16, transaction_version: i8) {
    let what = format!("marked-{version}-{transaction_version}");
    let name = topic(side, &what).await;
    for open in [true, false] {
        let producer = Producer::init(side, &format!("{what}-{open}")).await;
        let cases = [(-1, 0), (0, 0), (1, 3), (1, 2), (1, 3), (2, 3), (0, 9)];
        for (case, (bumped, coordinator_epoch)) in cases.into_iter().enumerate() {
            let producer = match open {
                true => Producer::init(side, &format!("{what}-{case}")).await,
                false => producer.clone(),
            };
            if open {
                tell_add(side, "add", ADD_MAX, &producer.add(&[(&name, &[0])])).await;
                let request = producer.produce(&name, 0);
                side.tell("produce to be marked", PRODUCE, &request, told, told)
                    .await;
            }
            let step = format!(
                "open {open}, epoch {bumped:+}, coordinator {coordinator_epoch}, protocol {transaction_version}"
            );
            let session = (producer.id, producer.epoch + bumped);
            let marker = WritableTxnMarker {
                transaction_version,
                ..marker(session, coordinator_epoch, &[(&name, &[0])])
            };
            let request = WriteTxnMarkersRequest {
                markers: vec![marker],
            };
            let code = |answer: &WriteTxnMarkersResponse| {
                answer.markers[0].topics[0].partitions[0].error_code
            };
            side.tell(&step, version, &request, |_| 0, code).await;
            tell_producers(side, &name, &[0]).await;
        }
    }
}

fn told(answer: &ProduceResponse) -> i16 {
    answer.responses[0].partition_responses[0].error_code
}

/// What DescribeProducers tells, besides ids and times.
async fn tell_producers(side: &mut Side, name: &str, partitions: &[i32]) {
    let request = DescribeProducersRequest {
        topics: vec![TopicRequest {
            name: name.to_owned(),
            partition_indexes: partitions.to_vec(),
        }],
    };
    let told = |answer: &DescribeProducersResponse| {
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let told = partitions.map(|partition| {
            let mut producers: Vec<_> = partition
                .active_producers
                .iter()
                .map(|producer| {
                    (
                        producer.producer_epoch,
                        producer.last_sequence,
                        producer.coordinator_epoch,
                        producer.current_txn_start_offset,
                    )
                })
                .collect();
            producers.sort_unstable();
            format!(
                "{} {} {producers:?}",
                partition.partition_index, partition.error_code
            )
        });
        told.collect::<Vec<_>>().join(", ")
    };
    side.tell("describe producers", 0, &request, |_| 0, told)
        .await;
}

async fn describing(side: &mut Side, name: &str) {
    let missing = side.name("no-such-topic");
    for (name, partitions) in [
        (name, &[1, -1, 7][..]),
        (&missing, &[0]),
        ("", &[0]),
        ("not/a/topic", &[0]),
        (name, &[]),
    ] {
        tell_producers(side, name, partitions).await;
    }
    let name = topic(side, "described-producers").await;
    tell_producers(side, &name, &[0, 0]).await;
    let idempotent = BatchOptions {
        producer_id: 4_000_000_000,
        producer_epoch: 3,
        base_sequence: 4,
        ..BatchOptions::default()
    };
    let request = produce(&name, -1, batch(idempotent, &["a", "b"]));
    side.tell("produce to be described", PRODUCE, &request, told, told)
        .await;
    tell_producers(side, &name, &[0]).await;
}
