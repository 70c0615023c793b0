//! Requests that tests send, and the versions they send them in.

use bytes::Bytes;
use protocol::Records;
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::{CreateTopicsRequest, FetchRequest, ProduceRequest};
use protocol::records::{BatchBuilder, BatchOptions};

use crate::RawClient;

/// CreateTopics.
pub const CREATE: i16 = 5;
/// Produce by name.
pub const PRODUCE: i16 = 9;
/// Fetch by name.
pub const FETCH: i16 = 12;

/// One topic with one partition.
pub fn create(name: &str, configs: &[(&str, &str)]) -> CreateTopicsRequest {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: (*name).to_owned(),
        value: Some((*value).to_owned()),
    };
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: 1,
        replication_factor: 1,
        configs: configs.iter().map(config).collect(),
        ..Default::default()
    };
    CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: 10_000,
        ..Default::default()
    }
}

/// Creates a topic with one partition.
///
/// # Panics
/// When the broker refuses.
pub async fn topic(client: &mut RawClient, name: &str, configs: &[(&str, &str)]) {
    let answer = client.call(&create(name, configs), CREATE).await;
    assert_eq!(
        answer.topics[0].error_code, 0,
        "{:?}",
        answer.topics[0].error_message
    );
}

/// A batch of values without keys.
///
/// # Panics
/// When the values are too large for a batch.
pub fn batch(options: BatchOptions, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for value in values {
        builder
            .push(1_700_000_000_000, None, Some(value.as_bytes()), &[])
            .expect("tests send little");
    }
    builder.build().expect("tests send little")
}

/// Records for partition 0 of a topic.
pub fn produce(name: &str, acks: i16, records: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData {
        index: 0,
        records: Some(Records::from(records)),
    };
    let topic = TopicProduceData {
        name: name.to_owned(),
        partition_data: vec![partition],
        ..Default::default()
    };
    ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![topic],
        ..Default::default()
    }
}

/// A fetch of partition 0 without a session, for at least one byte.
pub fn fetch(name: &str, offset: i64, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition {
        partition: 0,
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        ..Default::default()
    };
    let topic = FetchTopic {
        topic: name.to_owned(),
        partitions: vec![partition],
        ..Default::default()
    };
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    }
}
