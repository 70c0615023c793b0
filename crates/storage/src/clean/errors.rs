//! Why a cleaning ended before its end.

use std::io;

use protocol::records::{BatchError, PayloadError};
use types::Offset;

use crate::scan::Broken;

/// Why a log was not cleaned. Nothing of it changed, or all of a group of segments; an [`CleanError::Io`] may leave a swap
/// that is finished later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CleanError {
    /// The log or its policy is no longer there, or the cleaner shall end.
    #[error("the cleaning was called off")]
    Stopped,
    /// Bytes that are not what was written. The log is not cleaned again.
    #[error("segment {segment} is corrupt at position {position}")]
    Corrupt {
        segment: Offset,
        position: u32,
        #[source]
        cause: Corruption,
    },
    /// Written anew, its batches take more room than a segment has, because they compress worse than they did. Without what
    /// has to go, the segment cannot be written; with it, a value could outlive the tombstone that deleted it.
    #[error("segment {segment} would be larger than any segment can be")]
    TooLarge { segment: Offset },
    /// The file of a segment is gone. What it held may be what keeps older records from being the newest of their keys.
    #[error("segment {segment} is lost")]
    Lost { segment: Offset },
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A swap was begun and could not be finished: the next start does.
    #[error("could not finish putting a cleaned segment in place")]
    Unfinished(#[source] io::Error),
}

/// What is wrong with a batch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Corruption {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Payload(#[from] PayloadError),
    #[error(
        "a batch begins at offset {found}, but only offsets from {expected} to {below} belong there"
    )]
    Misplaced {
        expected: Offset,
        below: Offset,
        found: Offset,
    },
    #[error("a cleaned batch would be larger than any batch can be")]
    TooLarge,
}
