//! AddPartitionsToTxn and AddOffsetsToTxn: a transaction reaches further
//! (`TransactionCoordinator.handleAddPartitionsToTransaction`).

use types::{Timestamp, TopicPartition, TransactionalId};

use super::claim::ClaimedProducer;
use super::state::{LAST_EPOCH_OF_CLIENTS, Transaction, TransactionState, TransactionVersion};

/// AddPartitionsToTxn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddPartitionsRequest {
    /// The transactional id, not empty.
    pub id: TransactionalId,
    /// Who asks.
    pub producer: ClaimedProducer,
    /// What the client speaks: V2 if the partitions are added because something was sent to them.
    pub version: TransactionVersion,
    /// What to add; offsets of a group are added as the group's partition of `__consumer_offsets`.
    pub partitions: Vec<TopicPartition>,
}

/// Why nothing was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddPartitionsError {
    /// INVALID_PRODUCER_ID_MAPPING: the transactional id is unknown or belongs to another producer id.
    #[error("the producer id is not that of the transactional id")]
    UnknownProducer,
    /// PRODUCER_FENCED: there was a newer session.
    #[error("there is a newer session of this transactional id")]
    Fenced,
    /// CONCURRENT_TRANSACTIONS: the last transaction is being ended.
    #[error("the last transaction has not ended yet")]
    Concurrent,
    /// UNKNOWN_SERVER_ERROR, as in Kafka: the transaction would not fit into one record.
    #[error("the transaction has too many partitions")]
    TooManyPartitions,
}

/// The transaction with the partitions; `None` if it has them already.
pub(crate) fn add_partitions(
    before: Option<&Transaction>,
    request: AddPartitionsRequest,
    now: Timestamp,
) -> Result<Option<Transaction>, AddPartitionsError> {
    let before = before.ok_or(AddPartitionsError::UnknownProducer)?;
    // First of all, because the epoch changes while a transaction ends.
    if before.state.is_prepared() {
        return Err(AddPartitionsError::Concurrent);
    }
    if Some(before.producer.id) != request.producer.id {
        return Err(AddPartitionsError::UnknownProducer);
    }
    // Nobody was given the epoch beyond the last of clients: no marker could end a transaction of it.
    if Some(before.producer.epoch) != request.producer.epoch
        || before.producer.epoch.value() > LAST_EPOCH_OF_CLIENTS
    {
        return Err(AddPartitionsError::Fenced);
    }
    let ongoing = before.state == TransactionState::Ongoing;
    let has = |partition| before.partitions.contains(partition);
    if ongoing && request.partitions.iter().all(has) {
        return Ok(None);
    }
    let mut partitions = before.partitions.clone();
    partitions.extend(request.partitions);
    Ok(Some(Transaction {
        previous_id: None,
        state: TransactionState::Ongoing,
        partitions,
        started: if ongoing { before.started } else { Some(now) },
        updated: now,
        client_version: request.version,
        ..before.clone()
    }))
}
