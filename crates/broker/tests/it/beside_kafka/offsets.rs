//! Offsets by name, time and epoch, and records deleted by offset.

use protocol::Records;
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::*;
use protocol::records::{BatchBuilder, BatchOptions};

use super::Pair;

pub(super) async fn offsets(pair: &mut Pair, run: &str) {
    let name = format!("{run}-three");
    for records in [
        &[
            (1_700_000_001_000, "a"),
            (1_700_000_003_000, "b"),
            (1_700_000_002_000, "c"),
        ][..],
        &[(1_700_000_002_500, "d")],
    ] {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for (timestamp, value) in records {
            builder
                .push(*timestamp, None, Some(value.as_bytes()), &[])
                .unwrap();
        }
        let records = Some(Records::from(builder.build().unwrap()));
        let partition_data = vec![PartitionProduceData { index: 0, records }];
        let topic_data = vec![TopicProduceData {
            name: name.clone(),
            partition_data,
            ..Default::default()
        }];
        let request = ProduceRequest {
            transactional_id: None,
            acks: -1,
            timeout_ms: 30_000,
            topic_data,
        };
        pair.same(12, &request, |_| {}).await;
    }
    let normalise = |response: &mut ListOffsetsResponse| {
        for partition in response
            .topics
            .iter_mut()
            .flat_map(|topic| &mut topic.partitions)
        {
            partition.leader_epoch = partition.leader_epoch.min(0);
        }
    };
    let list = |name: &str, partition_index, timestamp, current_leader_epoch| {
        let partitions = vec![ListOffsetsPartition {
            partition_index,
            timestamp,
            current_leader_epoch,
        }];
        let topics = vec![ListOffsetsTopic {
            name: name.to_owned(),
            partitions,
        }];
        ListOffsetsRequest {
            replica_id: -1,
            topics,
            ..Default::default()
        }
    };
    for version in 1..=11 {
        for timestamp in [
            -1,
            -2,
            -3,
            -4,
            -5,
            -6,
            -7,
            0,
            1_700_000_001_000,
            1_700_000_001_001,
            1_700_000_002_500,
            1_700_000_003_001,
        ] {
            for partition in [0, 1, 3] {
                pair.same(version, &list(&name, partition, timestamp, -1), normalise)
                    .await;
            }
        }
        if version >= 4 {
            pair.same(version, &list(&name, 0, -1, 1000), normalise)
                .await;
            pair.same(
                version,
                &list(&format!("{run}-missing"), 0, -1, -1),
                normalise,
            )
            .await;
        }
    }
    let normalise = |response: &mut OffsetForLeaderEpochResponse| {
        for partition in response
            .topics
            .iter_mut()
            .flat_map(|topic| &mut topic.partitions)
        {
            partition.leader_epoch = partition.leader_epoch.min(0);
        }
    };
    // The epochs in which the two lead have other numbers.
    let latest = list(&name, 0, -1, -1);
    let epoch = |response: ListOffsetsResponse| response.topics[0].partitions[0].leader_epoch;
    let of_kafka = epoch(pair.kafka_answers(11, &latest, &|_| {}).await.unwrap());
    let of_us = epoch(pair.we_answer(11, &latest, &|_| {}).await.unwrap());
    let epoch_end = |topic: &str, partition, leader_epoch, current_leader_epoch| {
        let partitions = vec![OffsetForLeaderPartition {
            partition,
            current_leader_epoch,
            leader_epoch,
        }];
        let topics = vec![OffsetForLeaderTopic {
            topic: topic.to_owned(),
            partitions,
        }];
        OffsetForLeaderEpochRequest {
            replica_id: -1,
            topics,
        }
    };
    for version in 2..=4 {
        for (topic, partition, above) in [
            (&*name, 0, 0),
            (&*name, 0, 1),
            (&*name, 1, 0),
            (&*name, 9, 0),
            ("missing", 0, 0),
        ] {
            let asked = |epoch: i32| epoch_end(topic, partition, epoch + above, -1);
            pair.same_of(version, &asked(of_kafka), &asked(of_us), normalise)
                .await;
        }
        for current_leader_epoch in [-1, 1000] {
            let asked = epoch_end(&name, 0, -1, current_leader_epoch);
            pair.same(version, &asked, normalise).await;
        }
    }
    let compacted = format!("{run}-configured");
    for (topic, partition_index, offset) in [
        (&*name, 0, 2),
        (&*name, 0, 1),
        (&*name, 0, 5),
        (&*name, 0, -2),
        (&*name, 0, -1),
        (&*name, 9, 0),
        ("missing", 0, 0),
        (&*compacted, 0, 0),
    ] {
        let partitions = vec![DeleteRecordsPartition {
            partition_index,
            offset,
        }];
        let topics = vec![DeleteRecordsTopic {
            name: topic.to_owned(),
            partitions,
        }];
        let request = DeleteRecordsRequest {
            topics,
            timeout_ms: 30_000,
        };
        for version in 0..=2 {
            pair.same(version, &request, |_| {}).await;
        }
    }
    // Kafka still finds deleted records by their time while their segment is there; we do not.
    for timestamp in [-1, -2, 1_700_000_003_001] {
        pair.same(11, &list(&name, 0, timestamp, -1), normalise_epochs)
            .await;
    }
}

fn normalise_epochs(response: &mut ListOffsetsResponse) {
    for partition in response
        .topics
        .iter_mut()
        .flat_map(|topic| &mut topic.partitions)
    {
        partition.leader_epoch = partition.leader_epoch.min(0);
    }
}
