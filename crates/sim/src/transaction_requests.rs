//! The requests of transactional producers, in the versions of clients that know transactions v2 (KIP-890) or do not.

use bytes::Bytes;
use protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest,
    ProduceRequest, TxnOffsetCommitRequest,
};

use crate::plan::Partition;
use crate::requests;

/// The versions that a client speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Versions {
    pub(crate) init_producer: i16,
    pub(crate) produce: i16,
    pub(crate) commit: i16,
    pub(crate) end: i16,
    /// The broker adds partitions by itself, and each transaction has an epoch of its own.
    pub(crate) is_v2: bool,
}

pub(crate) const ADD_PARTITIONS: i16 = 3;
pub(crate) const ADD_OFFSETS: i16 = 3;

impl Versions {
    pub(crate) fn new(is_v2: bool) -> Self {
        let (init_producer, produce, commit, end) =
            if is_v2 { (5, 12, 5, 5) } else { (4, 9, 3, 3) };
        Self {
            init_producer,
            produce,
            commit,
            end,
            is_v2,
        }
    }
}

/// A session of a transactional producer.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) producer: (i64, i16),
}

pub(crate) fn init(id: &str, timeout_ms: i32) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: Some(id.to_owned()),
        transaction_timeout_ms: timeout_ms,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    }
}

pub(crate) fn add_partition(who: &Identity, partition: &Partition) -> AddPartitionsToTxnRequest {
    AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: who.id.clone(),
        v3_and_below_producer_id: who.producer.0,
        v3_and_below_producer_epoch: who.producer.1,
        v3_and_below_topics: vec![AddPartitionsToTxnTopic {
            name: partition.topic.clone(),
            partitions: vec![partition.index],
        }],
        ..Default::default()
    }
}

pub(crate) fn produce(who: &Identity, partition: &Partition, records: Bytes) -> ProduceRequest {
    let mut request = requests::produce(partition, -1, records);
    request.transactional_id = Some(who.id.clone());
    request
}

pub(crate) fn add_offsets(who: &Identity, group: &str) -> AddOffsetsToTxnRequest {
    AddOffsetsToTxnRequest {
        transactional_id: who.id.clone(),
        producer_id: who.producer.0,
        producer_epoch: who.producer.1,
        group_id: group.to_owned(),
    }
}

pub(crate) fn commit_offsets(
    who: &Identity,
    group: &str,
    offsets: &[(Partition, i64)],
) -> TxnOffsetCommitRequest {
    let topic = |(partition, offset): &(Partition, i64)| TxnOffsetCommitRequestTopic {
        name: partition.topic.clone(),
        partitions: vec![TxnOffsetCommitRequestPartition {
            partition_index: partition.index,
            committed_offset: *offset,
            committed_leader_epoch: -1,
            committed_metadata: None,
        }],
    };
    TxnOffsetCommitRequest {
        transactional_id: who.id.clone(),
        group_id: group.to_owned(),
        producer_id: who.producer.0,
        producer_epoch: who.producer.1,
        generation_id: -1,
        topics: offsets.iter().map(topic).collect(),
        ..Default::default()
    }
}

pub(crate) fn end(who: &Identity, committed: bool) -> EndTxnRequest {
    EndTxnRequest {
        transactional_id: who.id.clone(),
        producer_id: who.producer.0,
        producer_epoch: who.producer.1,
        committed,
    }
}
