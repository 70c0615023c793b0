//! The requests that clients send, and what is read out of the answers.

use bytes::Bytes;
use protocol::Records;
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use protocol::messages::fetch_response::AbortedTransaction;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, FetchRequest, FindCoordinatorRequest,
    InitProducerIdRequest, ListOffsetsRequest, OffsetCommitRequest, OffsetFetchRequest,
    ProduceRequest,
};
use protocol::records::{BatchBuilder, BatchIterator, BatchOptions, ControlRecordType, control};

use crate::model::FetchedBatch;
use crate::plan::{Partition, TopicPlan};

pub(crate) const CREATE: i16 = 5;
pub(crate) const PRODUCE: i16 = 9;
pub(crate) const FETCH: i16 = 12;
pub(crate) const INIT_PRODUCER: i16 = 4;
pub(crate) const COMMIT: i16 = 8;
pub(crate) const COMMITTED: i16 = 8;
pub(crate) const FIND_COORDINATOR: i16 = 4;
pub(crate) const LIST_OFFSETS: i16 = 5;
pub(crate) const DELETE_RECORDS: i16 = 1;

/// A batch decompresses to no more.
const DECOMPRESSED_MAX: usize = 1 << 20;

pub(crate) fn create(topic: &TopicPlan) -> CreateTopicsRequest {
    let configs = topic.settings();
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

/// Asks for a coordinator: of groups (0) or transactions (1). The first of these makes the topic of its state.
pub(crate) fn find_coordinator(key_type: i8) -> FindCoordinatorRequest {
    FindCoordinatorRequest {
        key_type,
        coordinator_keys: vec!["any".to_owned()],
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

/// What a record says of which nothing stays but the key.
pub(crate) const TOMBSTONE: u64 = u64::MAX;

/// A batch of records that say their values, each with some bytes behind it.
pub(crate) fn batch(options: BatchOptions, time_ms: i64, values: &[u64], padding: usize) -> Bytes {
    let records: Vec<_> = values.iter().map(|value| (None, *value)).collect();
    keyed_batch(options, time_ms, &records, padding)
}

/// A batch of records with keys and values.
pub(crate) fn keyed_batch(
    options: BatchOptions,
    time_ms: i64,
    records: &[(Option<u64>, u64)],
    padding: usize,
) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (key, value) in records {
        let mut bytes = value.to_be_bytes().to_vec();
        bytes.extend((0..padding).map(|at| value.wrapping_mul(at as u64 + 7).to_le_bytes()[1]));
        let bytes = Some(bytes).filter(|_| *value != TOMBSTONE);
        let key = key.map(u64::to_be_bytes);
        builder
            .push(
                time_ms,
                key.as_ref().map(<[u8; 8]>::as_slice),
                bytes.as_deref(),
                &[],
            )
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
    reads_committed: bool,
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
        isolation_level: i8::from(reads_committed),
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: positions.iter().map(topic).collect(),
        ..Default::default()
    }
}

/// Asks where the logs begin.
pub(crate) fn earliest(partition: &Partition) -> ListOffsetsRequest {
    const EARLIEST: i64 = -2;
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: partition.topic.clone(),
            partitions: vec![ListOffsetsPartition {
                partition_index: partition.index,
                current_leader_epoch: -1,
                timestamp: EARLIEST,
            }],
        }],
        ..Default::default()
    }
}

/// Asks for records below `offset` to be deleted; -1 is all.
pub(crate) fn delete_records(partition: &Partition, offset: i64) -> DeleteRecordsRequest {
    DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: partition.topic.clone(),
            partitions: vec![DeleteRecordsPartition {
                partition_index: partition.index,
                offset,
            }],
        }],
        timeout_ms: 5_000,
    }
}

/// Who commits: a member of a group, or anybody.
#[derive(Clone, Debug)]
pub(crate) struct Committer {
    pub(crate) generation: i32,
    pub(crate) member: String,
}

impl Committer {
    pub(crate) const ANYBODY: Self = Self {
        generation: -1,
        member: String::new(),
    };
}

pub(crate) fn commit(
    group: &str,
    committer: &Committer,
    offsets: &[(Partition, i64)],
) -> OffsetCommitRequest {
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
        generation_id_or_member_epoch: committer.generation,
        member_id: committer.member.clone(),
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
    /// Offsets and values of the records that a reader may see.
    pub(crate) records: Vec<(i64, u64)>,
    /// Those of all records.
    pub(crate) all: Vec<(i64, u64)>,
    /// Their keys, where they have any.
    pub(crate) keys: Vec<Option<u64>>,
}

/// Transactions that were aborted, as an answer names them: by producer, from an offset on.
#[derive(Debug, Default)]
pub(crate) struct Aborted(Vec<(i64, i64)>);

impl Aborted {
    /// Of an answer to a reader of what is committed; others are told of none.
    pub(crate) fn new(told: Option<&[AbortedTransaction]>) -> Self {
        let told = told.unwrap_or_default().iter();
        Self(
            told.map(|one| (one.first_offset, one.producer_id))
                .collect(),
        )
    }

    /// Whether the batch of a producer that ends with `last` is a part of one.
    fn covers(&self, producer: i64, last: i64) -> bool {
        let mut told = self.0.iter();
        told.any(|(first, aborted)| *aborted == producer && *first <= last)
    }

    /// The marker of a producer's transaction at `offset` says that it was aborted: the first that began is over.
    fn end(&mut self, producer: i64, offset: i64) {
        let begun = self.0.iter().enumerate();
        let begun = begun.filter(|(_, (first, aborted))| *aborted == producer && *first <= offset);
        if let Some(place) = begun.min_by_key(|(_, one)| **one).map(|(place, _)| place) {
            self.0.remove(place);
        }
    }
}

/// Reads what was fetched, with its checksums.
pub(crate) fn read(records: Option<Records>, mut aborted: Aborted) -> Result<Fetched, String> {
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
        let (producer, last) = (batch.producer_id(), batch.last_offset());
        let payload = batch
            .payload(DECOMPRESSED_MAX)
            .map_err(|error| error.to_string())?;
        let is_aborted = batch.is_transactional() && aborted.covers(producer, last);
        for record in batch.records(&payload) {
            let record = record.map_err(|error| error.to_string())?;
            if batch.is_control() {
                let kind = control::decode_key(record.key.unwrap_or_default());
                if kind.is_ok_and(|kind| kind == ControlRecordType::Abort) {
                    aborted.end(producer, last);
                }
                continue;
            }
            let value = match record.value {
                Some(value) => value
                    .first_chunk::<8>()
                    .map(|value| u64::from_be_bytes(*value)),
                None => Some(TOMBSTONE),
            };
            let value = value.ok_or("a record has no value")?;
            let offset = batch.offset_of(record.offset_delta);
            let key = record.key.and_then(|key| key.first_chunk::<8>());
            fetched.all.push((offset, value));
            fetched.keys.push(key.map(|key| u64::from_be_bytes(*key)));
            if !is_aborted {
                fetched.records.push((offset, value));
            }
        }
    }
    Ok(fetched)
}
