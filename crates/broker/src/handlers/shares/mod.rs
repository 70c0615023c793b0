//! Share groups (KIP-932): members and their records, their offsets, and what brokers say to the share coordinator.

pub(crate) mod alter_share_group_offsets;
pub(crate) mod delete_share_group_offsets;
pub(crate) mod delete_share_group_state;
pub(crate) mod describe_share_group_offsets;
pub(crate) mod initialize_share_group_state;
pub(crate) mod read_share_group_state;
pub(crate) mod read_share_group_state_summary;
pub(crate) mod share_acknowledge;
pub(crate) mod share_fetch;
pub(crate) mod share_group_describe;
pub(crate) mod share_group_heartbeat;
mod wire;
pub(crate) mod write_share_group_state;
