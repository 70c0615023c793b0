//! Handlers of the APIs about topics.

mod auto_create;
pub(crate) mod create_partitions;
pub(crate) mod create_topics;
pub(crate) mod delete_topics;
pub(crate) mod describe_topic_partitions;
mod errors;
mod granted;
pub(crate) mod metadata;
mod partition_view;

/// Partitions that one request may create (`ReplicationControlManager.MAX_PARTITIONS_PER_BATCH`). It bounds the answer
/// too, which has some kilobytes of configs for each new topic.
const PARTITIONS_PER_REQUEST_MAX: i64 = 10_000;
