//! What groups of the newer protocols share (KIP-848, KIP-932, KIP-1071): the coordinator computes the assignment, and
//! members learn of it by heartbeats.
//!
//! | File | What |
//! |---|---|
//! | `topics` | the topics of the cluster as groups see them |
//! | `partitions` | partitions by topic id |
//! | `epoch` | how often a group, its target assignment or a member has changed |
//! | `target` | who shall have what, and by partition who has it |
//! | `hash` | whether the topics a group reads have changed |
//!
//! After `modern/*.java` of Kafka's group coordinator.

pub(crate) mod assignor;
pub(crate) mod epoch;
pub(crate) mod hash;
pub(crate) mod partitions;
pub(crate) mod target;
pub(crate) mod topics;
