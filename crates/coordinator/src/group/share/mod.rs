//! Share groups (KIP-932): members share partitions, and the coordinator keeps who reads what and which partitions have
//! a state at the share coordinator.
//!
//! Invariant: a group changes only by its records ([`record::ShareGroupRecord`]), so what was replayed equals what lived.
//!
//! | File | What |
//! |---|---|
//! | `state` | a group and its members |
//! | `record` | the records, and applying them |
//! | `heartbeat` | joining, leaving, assignment |
//! | `assignor` | who shall read what |
//! | `partitions` | which partitions have a state: initializing, initialized, deleting |
//! | `offsets` | altering and deleting the start offsets of an empty group |
//! | `describe` | ShareGroupDescribe |
//!
//! Source: `group-coordinator/.../group/modern/share/*.java`, `GroupMetadataManager.java`.

pub(crate) mod assignor;
pub(crate) mod describe;
pub(crate) mod heartbeat;
pub(crate) mod offsets;
pub(crate) mod partitions;
pub(crate) mod record;
pub(crate) mod shard;
pub(crate) mod state;

#[cfg(test)]
mod tests;
