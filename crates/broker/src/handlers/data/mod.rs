//! Handlers of the APIs about records and offsets of partitions.

pub(crate) mod delete_records;
pub(crate) mod describe_producers;
pub(crate) mod fetch;
pub(crate) mod list_offsets;
pub(crate) mod offset_for_leader_epoch;
pub(crate) mod produce;
