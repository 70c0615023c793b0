//! Handlers of the APIs about topics.

mod auto_create;
pub(crate) mod create_partitions;
pub(crate) mod create_topics;
pub(crate) mod delete_topics;
pub(crate) mod describe_topic_partitions;
mod errors;
pub(crate) mod metadata;
mod partition_view;
