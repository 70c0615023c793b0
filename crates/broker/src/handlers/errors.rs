//! Causes to wire codes, one exhaustive `match` per kind of error: a new cause does not compile until it has a code.

use protocol::ErrorCode;
use storage::{AppendError, DeleteRecordsError, ReadError};

use crate::topics::PartitionError;

/// The code of a partition that cannot be used.
pub(crate) fn partition(error: PartitionError) -> ErrorCode {
    match error {
        PartitionError::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
        PartitionError::UnknownTopicId => ErrorCode::UnknownTopicId,
        PartitionError::NotLeader(_) => ErrorCode::NotLeaderOrFollower,
        PartitionError::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
        PartitionError::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
        PartitionError::Storage => ErrorCode::KafkaStorageError,
    }
}

/// The code of an append that did not happen.
pub(crate) fn append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::FencedLeaderEpoch { .. } | AppendError::Deleted => {
            ErrorCode::NotLeaderOrFollower
        }
        AppendError::InvalidBatch { .. }
        | AppendError::MalformedRecord(_)
        | AppendError::InvalidRecords { .. } => ErrorCode::InvalidRecord,
        AppendError::CorruptBatch { .. } => ErrorCode::CorruptMessage,
        // Producers split a batch that is too large and send it again, which helps with either.
        AppendError::BatchTooLarge { .. } | AppendError::InflatesTooFar { .. } => {
            ErrorCode::MessageTooLarge
        }
        AppendError::InvalidTimestamp { .. } => ErrorCode::InvalidTimestamp,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        AppendError::ProducerFenced { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::InvalidTransactionState { .. } | AppendError::UnverifiedTransaction { .. } => {
            ErrorCode::InvalidTxnState
        }
        AppendError::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        AppendError::Full | AppendError::Offline | AppendError::Io(_) => {
            ErrorCode::KafkaStorageError
        }
    }
}

/// The code of a read that failed.
pub(crate) fn read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        // Both need somebody to decide: a code that clients try again for would have them wait for ever.
        ReadError::Corrupt { .. } | ReadError::Lost { .. } => ErrorCode::CorruptMessage,
        ReadError::Deleted => ErrorCode::NotLeaderOrFollower,
        ReadError::Io(_) => ErrorCode::KafkaStorageError,
    }
}

/// The code of records that were not deleted.
pub(crate) fn delete_records(error: &DeleteRecordsError) -> ErrorCode {
    match error {
        DeleteRecordsError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        DeleteRecordsError::Compacted => ErrorCode::PolicyViolation,
        DeleteRecordsError::Deleted => ErrorCode::NotLeaderOrFollower,
        DeleteRecordsError::Offline | DeleteRecordsError::Io(_) => ErrorCode::KafkaStorageError,
    }
}
