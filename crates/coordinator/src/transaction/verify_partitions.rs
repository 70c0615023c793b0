//! AddPartitionsToTxn that only asks: whether a partition belongs to an open transaction
//! (`TransactionCoordinator.handleVerifyPartitionsInTransaction`).

use types::{TopicPartition, TransactionalId};

use super::claim::ClaimedProducer;
use super::state::Transaction;

/// AddPartitionsToTxn with `VerifyOnly`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyPartitionsRequest {
    /// The transactional id, not empty.
    pub id: TransactionalId,
    /// Who writes to the partitions.
    pub producer: ClaimedProducer,
    /// What to look for.
    pub partitions: Vec<TopicPartition>,
}

/// One partition that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPartition {
    /// The partition.
    pub partition: TopicPartition,
    /// Whether it belongs to the transaction; if not, the answer is TRANSACTION_ABORTABLE.
    pub belongs: bool,
}

/// Why nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyPartitionsError {
    /// INVALID_PRODUCER_ID_MAPPING: the transactional id is unknown or belongs to another producer id.
    #[error("the producer id is not that of the transactional id")]
    UnknownProducer,
    /// PRODUCER_FENCED: there was a newer session.
    #[error("there is a newer session of this transactional id")]
    Fenced,
    /// CONCURRENT_TRANSACTIONS: the transaction is being ended.
    #[error("the transaction is being ended")]
    Concurrent,
}

pub(crate) fn verify_partitions(
    transaction: Option<&Transaction>,
    request: VerifyPartitionsRequest,
) -> Result<Vec<VerifiedPartition>, VerifyPartitionsError> {
    let transaction = transaction.ok_or(VerifyPartitionsError::UnknownProducer)?;
    if Some(transaction.producer.id) != request.producer.id {
        return Err(VerifyPartitionsError::UnknownProducer);
    }
    if Some(transaction.producer.epoch) != request.producer.epoch {
        return Err(VerifyPartitionsError::Fenced);
    }
    if transaction.state.is_prepared() {
        return Err(VerifyPartitionsError::Concurrent);
    }
    let verify = |partition| VerifiedPartition {
        belongs: transaction.partitions.contains(&partition),
        partition,
    };
    Ok(request.partitions.into_iter().map(verify).collect())
}
