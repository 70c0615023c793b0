//! The machine of one partition of `__share_group_state`: what share groups remember of each partition they read.
//!
//! For each group and partition it keeps the start offset and the states of records behind it. Changes are written as
//! small updates; every so often a snapshot makes what was written before redundant. Nothing is ever compacted, because
//! updates build on each other: the log is cut below the oldest snapshot still needed.
//!
//! Invariants: of overlapping states the one delivered more often, or further along, wins, so the order in which late
//! writes arrive does not matter; no state lies below the start offset; writers and readers of an old leader epoch, and
//! writers of an old state epoch, are fenced.
//!
//! | File | What |
//! |---|---|
//! | `combine` | one list of states out of two |
//! | `state` | what is kept of one partition, and its records |
//! | `request` | what the machine is asked |
//! | `machine` | the machine |
//!
//! Source: KIP-932; `share-coordinator/.../share/{ShareCoordinatorShard,PersisterStateBatchCombiner,ShareGroupOffset,
//! ShareCoordinatorOffsetsManager}.java`.

mod combine;
mod machine;
mod request;
mod state;

#[cfg(test)]
mod tests;

pub use machine::{ShareStateEffect, ShareStateSettings, ShareStateShard};
pub use request::{
    InitializeShareState, ReadShareState, ShareStateError, ShareStateReply, ShareStateRequest,
    ShareStateSummary, WriteShareState,
};
pub use state::{
    SharePartitionKey, ShareSnapshot, ShareStateRecord, ShareUpdate, StoredShareState,
};
