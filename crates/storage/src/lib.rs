//! One partition's log: segments, sparse indexes, recovery, group commit, retention, producer state.
//!
//! Everything above this crate sees [`PartitionLog`] and the values in `partition_log`; files, syncs and checkpoints stay
//! below it. Engines differ behind [`Durability`]. [`LogDirectory`] is where local logs come from.

mod append;
mod background;
mod batch_header;
mod chain;
mod check;
mod checkpoint;
mod clean;
mod codec;
mod commit;
mod cut;
mod directory;
mod durability;
mod figures;
mod files;
mod format;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod index_files;
mod inflate;
mod leader_epochs;
mod local_log;
mod losses;
mod metrics;
mod missing;
mod offset_index;
mod opening;
mod partition_log;
mod parts;
pub mod planted;
mod producer_snapshot;
mod producers;
mod read;
mod recover;
mod registry;
mod retain;
mod rewrite_unsynced;
mod roll;
mod room;
mod scan;
mod segment;
mod settings;
mod shared;
mod small_file;
mod state_codec;
mod tail;
mod time_index;
mod transactions;
mod validate;
mod verification;
mod versions;
mod waiters;

pub use check::{
    CheckError, CheckReport, DirectoryCheck, Finding, FindingKind, Remedy, RepairAction,
    RepairError, Repaired, Severity, TopicIds,
};
pub use clean::CleanerSettings;
pub use commit::{COMMIT_THREAD, GroupCommit};
pub use directory::{DirectoryOptions, LogDirectory, MoveAwayError, OpenError, Opened};
pub use durability::{CommitFailed, Durability, SyncTarget};
pub use figures::LogFigures;
pub use files::SegmentFile;
pub use format::{FORMAT_VERSION, FormatError};
pub use local_log::LocalLog;
pub use losses::{Loss, LossKind};
pub use metrics::{Counter, DurationCounts, Durations, Gauge, StorageMetrics};
pub use partition_log::{
    ActiveProducer, AppendContext, AppendError, AppendOrigin, AppendOutcome, AppendTicket,
    BoxedCommit, CoordinatorIntent, DeleteRecordsError, EpochEnd, FirstBatch, Isolation,
    LogOffsets, LogSegment, PartitionLog, ReadError, ReadPlan, TimestampQuery, TimestampedOffset,
    TransactionVersion, VisibleSubscriber,
};
pub use settings::{CleanupPolicy, LogCompression, LogSettings, LogTimestampType};
pub use verification::VerificationGuard;
pub use versions::NewerVersion;
