//! Causes to wire codes for the APIs about transactions, one exhaustive `match` per operation.

use coordinator::{
    AddPartitionsError, EndError, InitProducerError, Producer, VerifyPartitionsError,
};
use protocol::ErrorCode;
use types::{ProducerEpoch, ProducerId};

pub(super) use crate::handlers::groups::errors::coordinator;

/// The first version of AddPartitionsToTxn, AddOffsetsToTxn and EndTxn that knows PRODUCER_FENCED.
const FENCED_SINCE: i16 = 2;
/// The first version of InitProducerId that does.
const INIT_PRODUCER_FENCED_SINCE: i16 = 4;

/// A producer as the wire carries it; -1 and below name none.
pub(super) fn producer(id: i64, epoch: i16) -> Option<Producer> {
    Some(Producer {
        id: ProducerId::new(id)?,
        epoch: ProducerEpoch::new(epoch)?,
    })
}

pub(super) fn init_producer(error: InitProducerError, version: i16) -> ErrorCode {
    match error {
        InitProducerError::Concurrent => ErrorCode::ConcurrentTransactions,
        InitProducerError::Fenced if version < INIT_PRODUCER_FENCED_SINCE => {
            ErrorCode::InvalidProducerEpoch
        }
        InitProducerError::Fenced => ErrorCode::ProducerFenced,
        // It was given one and still wants one: the coordinator has seen to that.
        InitProducerError::NeedsFreshId => ErrorCode::UnknownServerError,
    }
}

pub(super) fn add_partitions(error: AddPartitionsError, version: i16) -> ErrorCode {
    match error {
        AddPartitionsError::UnknownProducer => ErrorCode::InvalidProducerIdMapping,
        AddPartitionsError::Fenced => fenced(version),
        AddPartitionsError::Concurrent => ErrorCode::ConcurrentTransactions,
        AddPartitionsError::TooManyPartitions => ErrorCode::UnknownServerError,
    }
}

pub(super) fn verify_partitions(error: VerifyPartitionsError) -> ErrorCode {
    match error {
        VerifyPartitionsError::UnknownProducer => ErrorCode::InvalidProducerIdMapping,
        VerifyPartitionsError::Fenced => ErrorCode::ProducerFenced,
        VerifyPartitionsError::Concurrent => ErrorCode::ConcurrentTransactions,
    }
}

pub(super) fn end(error: EndError, version: i16) -> ErrorCode {
    match error {
        EndError::UnknownProducer => ErrorCode::InvalidProducerIdMapping,
        EndError::Fenced => fenced(version),
        EndError::Concurrent => ErrorCode::ConcurrentTransactions,
        EndError::InvalidState => ErrorCode::InvalidTxnState,
        // It was given one and still wants one: the coordinator has seen to that.
        EndError::NeedsFreshId => ErrorCode::UnknownServerError,
    }
}

/// Older clients do not know PRODUCER_FENCED; INVALID_PRODUCER_EPOCH makes them do the same.
fn fenced(version: i16) -> ErrorCode {
    if version < FENCED_SINCE {
        ErrorCode::InvalidProducerEpoch
    } else {
        ErrorCode::ProducerFenced
    }
}
