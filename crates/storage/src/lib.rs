//! One partition's log: segments, sparse indexes, recovery, group commit, retention, producer state.
//!
//! Everything above this crate sees [`PartitionLog`] and the values in `partition_log`; files, syncs and checkpoints stay
//! below it. Engines differ behind [`Durability`].

mod durability;
mod partition_log;

pub use durability::{CommitFailed, Durability, SyncTarget};
pub use partition_log::{
    AppendContext, AppendError, AppendOrigin, AppendOutcome, AppendTicket, BoxedCommit,
    DeleteRecordsError, EpochEnd, Isolation, LogOffsets, PartitionLog, ReadError, ReadPlan,
    TimestampQuery, TimestampedOffset, VisibleSubscriber,
};
