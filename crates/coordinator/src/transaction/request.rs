//! The requests a shard of transactions answers, and what it gives back.

use std::collections::BTreeSet;

use types::{Instant, ProducerId, TopicPartition, TransactionalId};

use super::add_partitions::{AddPartitionsError, AddPartitionsRequest};
use super::describe::DescribedTransaction;
use super::end::{EndError, EndRequest};
use super::init_producer::{InitProducerError, InitProducerRequest};
use super::list::{ListTransactionsRequest, ListedTransaction};
use super::record::TransactionRecord;
use super::state::TransactionVersion;
use super::verify_partitions::{VerifiedPartition, VerifyPartitionsError, VerifyPartitionsRequest};
use crate::machine::Producer;

/// Everything that can be asked of a shard.
#[derive(Clone, Debug)]
pub enum TransactionRequest {
    /// InitProducerId with a transactional id.
    InitProducer(InitProducerRequest),
    /// AddPartitionsToTxn and AddOffsetsToTxn.
    AddPartitions(AddPartitionsRequest),
    /// AddPartitionsToTxn that only asks.
    VerifyPartitions(VerifyPartitionsRequest),
    /// EndTxn.
    End(EndRequest),
    /// What [`TransactionEffect::WriteMarkers`] asked for is done.
    MarkersWritten(MarkersWritten),
    /// DescribeTransactions, for the ids of this shard.
    Describe(Vec<TransactionalId>),
    /// ListTransactions, for this shard.
    List(ListTransactionsRequest),
}

/// The answer to a [`TransactionRequest`], of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionReply {
    /// The producer's session from now on.
    InitProducer(Result<Producer, InitProducerError>),
    /// To [`TransactionRequest::AddPartitions`].
    AddPartitions(Result<(), AddPartitionsError>),
    /// One entry per partition asked for, in order.
    VerifyPartitions(Result<Vec<VerifiedPartition>, VerifyPartitionsError>),
    /// The producer's session from now on.
    End(Result<Producer, EndError>),
    /// To [`TransactionRequest::MarkersWritten`].
    MarkersWritten,
    /// One entry per id asked for, in order; `None` for an unknown one.
    Describe(Vec<Option<DescribedTransaction>>),
    /// In the order of the ids.
    List(Vec<ListedTransaction>),
}

/// Every partition of a transaction has its marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkersWritten {
    /// The transactional id.
    pub id: TransactionalId,
    /// As in [`Markers::asked`].
    pub asked: Instant,
}

/// What a shard wants done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionEffect {
    /// Write a marker to each partition, however long it takes, then say [`TransactionRequest::MarkersWritten`]. Asked
    /// again when the shard is loaded again; what was asked before must not go on then.
    WriteMarkers(Markers),
}

/// The end of a transaction, to be told to its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markers {
    /// The transactional id.
    pub id: TransactionalId,
    /// When they were asked for, which tells this wish from those of earlier lives of the shard.
    pub asked: Instant,
    /// Whose transaction ends.
    pub producer: Producer,
    /// Whether it committed.
    pub committed: bool,
    /// The leader epoch of the coordinator.
    pub coordinator_epoch: i32,
    /// What the client spoke: from V2 on the marker's epoch must be above that of the records.
    pub version: TransactionVersion,
    /// Where its records are.
    pub partitions: BTreeSet<TopicPartition>,
}

/// What one call did.
pub(crate) type Output =
    crate::machine::Output<TransactionRecord, TransactionReply, TransactionEffect>;

/// A producer id nobody has, for requests that may need one: taking one costs, so it is first tried without.
pub type FreshId = Option<ProducerId>;
