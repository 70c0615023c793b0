//! Bugs on purpose, for the simulation to find. They exist only in builds with the feature `planted`, which nothing but the
//! simulation's own check turns on; in all others [`is_planted`] is the constant `false`.

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "planted"),
    allow(dead_code, unreachable_pub, reason = "only named, where it would be")
)]
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

    pub(crate) fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted")]
pub(crate) use switch::is_planted;
#[cfg(feature = "planted")]
pub use switch::plant;

/// Whether a bug is planted: never.
#[cfg(not(feature = "planted"))]
pub(crate) const fn is_planted(_bug: Bug) -> bool {
    false
}
