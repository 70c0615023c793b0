//! Handlers of the APIs about groups: wire structs to the coordinator's requests and back.

pub(crate) mod errors;
mod wire;

pub(crate) mod consumer_group_describe;
pub(crate) mod consumer_group_heartbeat;
pub(crate) mod delete_groups;
pub(crate) mod describe_groups;
pub(crate) mod find_coordinator;
pub(crate) mod heartbeat;
pub(crate) mod join_group;
pub(crate) mod leave_group;
pub(crate) mod list_groups;
pub(crate) mod offset_commit;
pub(crate) mod offset_delete;
pub(crate) mod offset_fetch;
pub(crate) mod streams_group_describe;
pub(crate) mod streams_group_heartbeat;
pub(crate) mod sync_group;
pub(crate) mod txn_offset_commit;
