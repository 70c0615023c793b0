//! The requests that clients send, and what is read out of the answers.

use bytes::Bytes;
use protocol::Records;
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::{
    CreateTopicsRequest, FetchRequest, InitProducerIdRequest, OffsetCommitRequest,
    OffsetFetchRequest, ProduceRequest,
};
use protocol::records::{BatchBuilder, BatchIterator, BatchOptions};

use crate::model::FetchedBatch;
use crate::plan::{Partition, TopicPlan};

pub(crate) const CREATE: i16 = 5;
pub(crate) const PRODUCE: i16 = 9;
pub(crate) const FETCH: i16 = 12;
pub(crate) const INIT_PRODUCER: i16 = 4;
pub(crate) const COMMIT: i16 = 8;
pub(crate) const COMMITTED: i16 = 8;

/// A batch decompresses to no more.
const DECOMPRESSED_MAX: usize = 1 << 20;

pub(crate) fn create(topic: &TopicPlan) -> CreateTopicsRequest {
    let configs = [
        ("segment.ms", topic.segment_ms.to_string()),
        ("file.delete.delay.ms", "100".to_owned()),
    ];
    let config = |(name, value): (&str, String)| CreatableTopicConfig {
        name: name.to_owned(),
        value: Some(value),
    };
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: topic.name.clone(),
            num_partitions: topic.partitions,
            replication_factor: 1,
            configs: configs.into_iter().map(config).collect(),
            ..Default::default()
        }],
        timeout_ms: 5_000,
        ..Default::default()
    }
}

pub(crate) fn init_producer() -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    }
}

/// A batch of records that say their values, each with some bytes behind it.
pub(crate) fn batch(options: BatchOptions, time_ms: i64, values: &[u64], padding: usize) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for value in values {
        let mut bytes = value.to_be_bytes().to_vec();
        bytes.extend((0..padding).map(|at| value.wrapping_mul(at as u64 + 7).to_le_bytes()[1]));
        builder
            .push(time_ms, None, Some(&bytes), &[])
            .expect("the batch is small");
    }
    builder.build().expect("the batch is small")
}

pub(crate) fn produce(partition: &Partition, acks: i16, records: Bytes) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: partition.topic.clone(),
            partition_data: vec![PartitionProduceData {
                index: partition.index,
                records: Some(Records::from(records)),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub(crate) fn fetch(
    positions: &[(Partition, i64)],
    max_bytes: i32,
    max_wait_ms: i32,
) -> FetchRequest {
    let topic = |(partition, offset): &(Partition, i64)| FetchTopic {
        topic: partition.topic.clone(),
        partitions: vec![FetchPartition {
            partition: partition.index,
            fetch_offset: *offset,
            partition_max_bytes: max_bytes,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            ..Default::default()
        }],
        ..Default::default()
    };
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: positions.iter().map(topic).collect(),
        ..Default::default()
    }
}

pub(crate) fn commit(group: &str, offsets: &[(Partition, i64)]) -> OffsetCommitRequest {
    let topic = |(partition, offset): &(Partition, i64)| OffsetCommitRequestTopic {
        name: partition.topic.clone(),
        partitions: vec![OffsetCommitRequestPartition {
            partition_index: partition.index,
            committed_offset: *offset,
            committed_leader_epoch: -1,
            committed_metadata: None,
        }],
        ..Default::default()
    };
    OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: -1,
        member_id: String::new(),
        topics: offsets.iter().map(topic).collect(),
        ..Default::default()
    }
}

pub(crate) fn committed(group: &str, partitions: &[Partition]) -> OffsetFetchRequest {
    let topic = |partition: &Partition| OffsetFetchRequestTopics {
        name: partition.topic.clone(),
        partition_indexes: vec![partition.index],
        ..Default::default()
    };
    OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: Some(partitions.iter().map(topic).collect()),
            member_epoch: -1,
            ..Default::default()
        }],
        require_stable: true,
        ..Default::default()
    }
}

/// The batches and records of an answer.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    pub(crate) batches: Vec<FetchedBatch>,
    /// Offsets and values.
    pub(crate) records: Vec<(i64, u64)>,
}

/// Reads what was fetched, with its checksums.
pub(crate) fn read(records: Option<Records>) -> Result<Fetched, String> {
    let mut fetched = Fetched::default();
    let Some(records) = records else {
        return Ok(fetched);
    };
    let bytes = records.into_bytes().map_err(|error| error.to_string())?;
    for batch in BatchIterator::new(&bytes) {
        let batch = batch.map_err(|error| error.to_string())?;
        batch.verify_crc().map_err(|error| error.to_string())?;
        fetched.batches.push(FetchedBatch {
            base: batch.base_offset(),
            end: batch.next_offset(),
            leader_epoch: batch.partition_leader_epoch(),
        });
        if batch.is_control() {
            continue;
        }
        let payload = batch
            .payload(DECOMPRESSED_MAX)
            .map_err(|error| error.to_string())?;
        for record in batch.records(&payload) {
            let record = record.map_err(|error| error.to_string())?;
            let value = record.value.and_then(|value| value.first_chunk::<8>());
            let value = value.ok_or("a record has no value")?;
            let offset = batch.offset_of(record.offset_delta);
            fetched.records.push((offset, u64::from_be_bytes(*value)));
        }
    }
    Ok(fetched)
}
