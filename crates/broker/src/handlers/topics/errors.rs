//! Causes to wire codes for the APIs about topics, each with the sentence that people are told.

use metadata::{CreatePartitionsError, CreateTopicError, DeleteTopicError, TransactError};
use protocol::ErrorCode;

use crate::handlers::refusal::Refusal;

/// A client that is above its `controller_mutation_rate`.
pub(super) fn quota_exceeded() -> Refusal {
    let message = "the controller_mutation_rate of the client is exceeded";
    Refusal::new(ErrorCode::ThrottlingQuotaExceeded, message)
}

/// A topic that was not created.
pub(super) fn create_topic(error: &CreateTopicError) -> Refusal {
    let code = match error {
        CreateTopicError::Duplicate
        | CreateTopicError::Prohibited
        | CreateTopicError::AssignmentAndNumber(_) => ErrorCode::InvalidRequest,
        CreateTopicError::Name(_) | CreateTopicError::Collision { .. } => {
            ErrorCode::InvalidTopicException
        }
        CreateTopicError::Exists(_) => ErrorCode::TopicAlreadyExists,
        CreateTopicError::Partitions(_) => ErrorCode::InvalidPartitions,
        CreateTopicError::ReplicationFactor(_) | CreateTopicError::TooFewBrokers { .. } => {
            ErrorCode::InvalidReplicationFactor
        }
        CreateTopicError::Assignment(_) => ErrorCode::InvalidReplicaAssignment,
        CreateTopicError::NullSetting(_) | CreateTopicError::Setting(_) => ErrorCode::InvalidConfig,
        CreateTopicError::TooManyPartitions => ErrorCode::PolicyViolation,
        CreateTopicError::Store(cause) => not_stored(cause),
    };
    Refusal::new(code, error.to_string())
}

/// Partitions that were not added.
pub(super) fn create_partitions(error: &CreatePartitionsError) -> Refusal {
    let code = match error {
        CreatePartitionsError::Duplicate => ErrorCode::InvalidRequest,
        CreatePartitionsError::UnknownTopic => ErrorCode::UnknownTopicOrPartition,
        CreatePartitionsError::Same(_) | CreatePartitionsError::Fewer { .. } => {
            ErrorCode::InvalidPartitions
        }
        CreatePartitionsError::Assignment(_) => ErrorCode::InvalidReplicaAssignment,
        CreatePartitionsError::TooManyPartitions => ErrorCode::PolicyViolation,
        CreatePartitionsError::Store(cause) => not_stored(cause),
    };
    Refusal::new(code, error.to_string())
}

/// A topic that was not deleted.
pub(super) fn delete_topic(error: &DeleteTopicError) -> Refusal {
    let code = match error {
        DeleteTopicError::Disabled => ErrorCode::TopicDeletionDisabled,
        DeleteTopicError::Duplicate => ErrorCode::InvalidRequest,
        DeleteTopicError::UnknownName(_) => ErrorCode::UnknownTopicOrPartition,
        DeleteTopicError::UnknownId(_) => ErrorCode::UnknownTopicId,
        DeleteTopicError::Store(cause) => not_stored(cause),
    };
    Refusal::new(code, error.to_string())
}

/// Metadata that could not be written puts the whole broker at risk; clients are told no more than that.
fn not_stored(error: &TransactError) -> ErrorCode {
    tracing::error!(%error, cause = ?std::error::Error::source(error), "could not change the topics");
    ErrorCode::UnknownServerError
}
