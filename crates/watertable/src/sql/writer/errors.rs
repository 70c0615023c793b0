//! What the client says, as SQL wants it: whether something was written is what decides.

use std::error::Error;

use client::admin::AdminError;
use client::{MetadataError, ProduceError, Refusal, TransactionError};
use protocol::ErrorCode as E;
use sql::WriteError;
use types::TopicName;

const WRITE: &str = "write to the topic";

fn failed(attempted: &'static str, source: impl Error + Send + Sync + 'static) -> WriteError {
    WriteError::Failed {
        attempted,
        source: Box::new(source),
    }
}

/// A record that was not sent.
pub(super) fn of_send(topic: &TopicName, error: ProduceError) -> WriteError {
    match error {
        ProduceError::Refused { source, .. } => of_refusal(topic, WRITE, source),
        ProduceError::Metadata(MetadataError::Topic { source, .. }) => {
            of_refusal(topic, WRITE, source)
        }
        error => failed(WRITE, error),
    }
}

/// A record that was sent.
pub(super) fn of_delivery(topic: &TopicName, error: ProduceError) -> WriteError {
    match error {
        ProduceError::Call(_) | ProduceError::Expired { .. } | ProduceError::Closed => {
            WriteError::Unknown {
                source: Box::new(error),
            }
        }
        error => of_send(topic, error),
    }
}

/// Something of a transaction before its end.
pub(super) fn of_transaction(
    attempted: &'static str,
    topic: Option<&TopicName>,
    error: TransactionError,
) -> WriteError {
    match (error, topic) {
        (TransactionError::Produce(error), _) => of_produce(error, topic),
        (error @ TransactionError::Fenced { .. }, _) => WriteError::Expired {
            source: Box::new(error),
        },
        (error, _) => failed(attempted, error),
    }
}

/// A record of a transaction; the error may be of another topic than is written to now.
fn of_produce(error: ProduceError, topic: Option<&TopicName>) -> WriteError {
    let named = match &error {
        ProduceError::Refused { topic, .. } => Some(TopicName::new(topic)),
        ProduceError::Metadata(MetadataError::Topic { topic, .. }) => Some(TopicName::new(topic)),
        _ => topic.cloned(),
    };
    match named {
        Some(topic) => of_send(&topic, error),
        None => failed(WRITE, error),
    }
}

/// Whether a commit failed before its end was asked for, so that there is something to abort.
pub(super) fn is_before_the_end(error: &TransactionError) -> bool {
    matches!(
        error,
        TransactionError::Produce(_) | TransactionError::MustAbort
    )
}

/// A commit.
pub(super) fn of_commit(error: TransactionError) -> WriteError {
    const COMMIT: &str = "commit the transaction";
    match error {
        // The answer was that it does not end so.
        error @ TransactionError::Refused { .. } => failed(COMMIT, error),
        error @ (TransactionError::Coordinator(_) | TransactionError::Call(_)) => {
            WriteError::Unknown {
                source: Box::new(error),
            }
        }
        error => of_transaction(COMMIT, None, error),
    }
}

fn of_refusal(topic: &TopicName, attempted: &'static str, refusal: Refusal) -> WriteError {
    let topic = topic.clone();
    let source = Box::new(refusal.clone());
    match refusal.code() {
        Some(E::UnknownTopicOrPartition | E::UnknownTopicId) => WriteError::NoTopic { topic },
        Some(E::MessageTooLarge | E::RecordListTooLarge) => WriteError::TooLarge { topic, source },
        Some(E::InvalidRecord | E::InvalidTimestamp) => WriteError::Record { topic, source },
        Some(
            E::TopicAuthorizationFailed | E::ClusterAuthorizationFailed | E::InvalidTopicException,
        ) => WriteError::Denied { topic, source },
        Some(E::InvalidProducerEpoch | E::ProducerFenced) => WriteError::Expired { source },
        _ => failed(attempted, refusal),
    }
}

/// A topic that was not made.
pub(super) fn of_creation(topic: &TopicName, refusal: Refusal) -> WriteError {
    let topic = topic.clone();
    match refusal.code() {
        Some(E::TopicAlreadyExists) => WriteError::TopicExists { topic },
        Some(
            E::InvalidTopicException
            | E::InvalidPartitions
            | E::InvalidReplicationFactor
            | E::InvalidConfig
            | E::InvalidRequest
            | E::PolicyViolation,
        ) => WriteError::Definition {
            topic,
            source: Box::new(refusal),
        },
        _ => of_refusal(&topic, "create the topic", refusal),
    }
}

/// A topic that was not dropped.
pub(super) fn of_deletion(topic: &TopicName, refusal: Refusal) -> WriteError {
    of_refusal(topic, "delete the topic", refusal)
}

/// A request about topics that was not answered.
pub(super) fn of_admin(attempted: &'static str, error: AdminError) -> WriteError {
    failed(attempted, error)
}
