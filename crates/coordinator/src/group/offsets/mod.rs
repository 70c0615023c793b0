//! Committed offsets, after Kafka's `OffsetMetadataManager.java`.

pub(crate) mod commit;
pub(crate) mod delete;
pub(crate) mod expire;
pub(crate) mod fetch;
pub(crate) mod pending;
pub(crate) mod store;
