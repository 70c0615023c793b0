//! Bugs on purpose, for the simulation to find. They exist only in builds with the feature `planted`, which nothing but the
//! simulation's own check turns on; in all others [`is_planted`] is the constant `false`.

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A commit reports success without a sync.
    AckBeforeSync,
    /// The high watermark is the end of the log, whatever is durable.
    HighWatermarkAboveCommit,
    /// A checkpoint does not wait until what it says is durable: it runs ahead of the log.
    CheckpointAheadOfLog,
    /// What recovery cuts off stays in the file.
    LostTruncation,
    /// Recovery forgets what producers did behind the checkpoint.
    ProducersNotReplayed,
    /// The names of new segments are not made durable.
    NamesNotSynced,
    /// A segment that was ended is not synced any more.
    EndedSegmentNotSynced,
    /// Recovery believes the headers of batches behind the checkpoint.
    TornTailAccepted,
    /// What a producer sent counts although the disk refused to write it.
    ProducersTooNew,
    /// A commit covers what was appended while it ran.
    WindowTooLong,
    /// What an index says is believed without a look at the log, that it may have run ahead of.
    IndexAheadOfLog,
    /// Up to where records were deleted is forgotten at a start.
    LogStartLost,
    /// Readers of what is committed get what is not decided yet.
    UndecidedServed,
    /// Of the aborted transactions readers are not told.
    AbortedNotTold,
    /// Cleaning removes the newest record of a key.
    NewestCleaned,
    /// A topic takes over the folder of another one that had its name.
    OldTopicTakenOver,
    /// A coordinator answers before its records are durable: that offsets are committed, that a transaction is.
    AnswerBeforeCommit,
}

impl Bug {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::AckBeforeSync,
        Self::HighWatermarkAboveCommit,
        Self::CheckpointAheadOfLog,
        Self::LostTruncation,
        Self::ProducersNotReplayed,
        Self::NamesNotSynced,
        Self::EndedSegmentNotSynced,
        Self::TornTailAccepted,
        Self::ProducersTooNew,
        Self::WindowTooLong,
        Self::IndexAheadOfLog,
        Self::LogStartLost,
        Self::UndecidedServed,
        Self::AbortedNotTold,
        Self::NewestCleaned,
        Self::OldTopicTakenOver,
        Self::AnswerBeforeCommit,
    ];
}

#[cfg(feature = "planted")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug in what runs on this thread from now on.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Whether a bug is planted.
    pub fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted")]
pub use switch::{is_planted, plant};

/// Whether a bug is planted: never.
#[cfg(not(feature = "planted"))]
pub const fn is_planted(_bug: Bug) -> bool {
    false
}
