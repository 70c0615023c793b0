//! Why a coordinator gives no answer.

use storage::AppendError;

/// Why a request got no answer from the state machine. Clients retry the first three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CoordinatorError {
    /// COORDINATOR_LOAD_IN_PROGRESS: ask again in a moment.
    #[error("the coordinator is loading")]
    LoadInProgress,
    /// COORDINATOR_NOT_AVAILABLE: it stops, or waits before it loads again.
    #[error("the coordinator is not available")]
    NotAvailable,
    /// NOT_COORDINATOR: another broker is, or nobody before FindCoordinator was called.
    #[error("this broker is not the coordinator")]
    NotCoordinator,
    /// UNKNOWN_SERVER_ERROR: what was to be written fits no record.
    #[error("the coordinator's record was refused by the log")]
    Refused,
    /// INVALID_PRODUCER_EPOCH: the log knows a newer session of the producer.
    #[error("the producer is fenced")]
    ProducerFenced,
    /// INVALID_TXN_STATE: the log knows no such transaction.
    #[error("the producer is not in a transaction")]
    NotInTransaction,
    /// TRANSACTION_COORDINATOR_FENCED: a marker of a transaction coordinator that was replaced.
    #[error("the transaction coordinator was replaced")]
    TransactionCoordinatorFenced,
}

/// What group clients are told when an append fails (`CoordinatorOperationExceptionHelper.java`).
impl From<&AppendError> for CoordinatorError {
    fn from(error: &AppendError) -> Self {
        match error {
            AppendError::FencedLeaderEpoch { .. }
            | AppendError::Deleted
            | AppendError::Full
            | AppendError::Offline
            | AppendError::Io(_) => Self::NotCoordinator,
            AppendError::BatchTooLarge { .. }
            | AppendError::InflatesTooFar { .. }
            | AppendError::InvalidBatch { .. }
            | AppendError::MalformedRecord(_)
            | AppendError::InvalidRecords { .. }
            | AppendError::CorruptBatch { .. }
            | AppendError::InvalidTimestamp { .. }
            | AppendError::OutOfOrderSequence { .. } => Self::Refused,
            AppendError::ProducerFenced { .. } => Self::ProducerFenced,
            AppendError::UnverifiedTransaction { .. }
            | AppendError::InvalidTransactionState { .. } => Self::NotInTransaction,
            AppendError::CoordinatorFenced { .. } => Self::TransactionCoordinatorFenced,
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::ErrorCode;
    use types::LeaderEpoch;

    use super::*;
    use crate::handlers::groups::errors::coordinator;

    #[test]
    fn errors_of_the_log_are_told_to_groups_as_those_of_a_coordinator() {
        let epoch = LeaderEpoch::new(1).expect("not negative");
        for (error, expected) in [
            (
                AppendError::FencedLeaderEpoch {
                    requested: epoch,
                    current: epoch,
                },
                ErrorCode::NotCoordinator,
            ),
            (AppendError::Deleted, ErrorCode::NotCoordinator),
            (AppendError::Full, ErrorCode::NotCoordinator),
            (AppendError::Offline, ErrorCode::NotCoordinator),
            (
                AppendError::BatchTooLarge { size: 2, limit: 1 },
                ErrorCode::UnknownServerError,
            ),
            (
                AppendError::InvalidBatch { reason: "why" },
                ErrorCode::UnknownServerError,
            ),
        ] {
            let told = coordinator(CoordinatorError::from(&error));
            assert_eq!(told, expected, "{error}");
        }
    }
}
