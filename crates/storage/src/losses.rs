//! [`LossLog`]: what opening a directory took out of logs, gave up or could not believe, each told once in the broker's log and
//! kept for who wants to look at it.
//!
//! Invariant: nothing that was in a log goes, and nothing that was known is forgotten, without an entry here that says what
//! (bytes, offsets) and why. Bounded: beyond [`KEPT_MAX`] entries are told and counted, not kept.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use types::Offset;

use crate::metrics::Counter;

/// Entries that are kept.
const KEPT_MAX: usize = 1000;

/// One loss, or one thing that was not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What happened.
    pub kind: LossKind,
    /// The file or folder.
    pub path: PathBuf,
    /// The bytes concerned: where they begin and how many they are.
    pub bytes: Option<(u64, u64)>,
    /// The first offset concerned, and the one behind the last if that is known.
    pub offsets: Option<(Offset, Option<Offset>)>,
    /// Why.
    pub cause: String,
    /// Where the bytes are kept.
    pub kept: Option<PathBuf>,
}

/// What was lost, or not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossKind {
    /// The end of a log was cut off.
    Cut,
    /// A segment was taken out of a log.
    SetAside,
    /// Segments whose records had all been deleted by request were removed.
    Removed,
    /// A closed segment is corrupt from here on; what can be found behind is served.
    Corrupt,
    /// A batch is not served, because its base offset is impossible.
    Misplaced,
    /// No segment has these offsets.
    Missing,
    /// The files end before the checkpoint says.
    Short,
    /// The checkpoint was not used.
    Checkpoint,
    /// A producer snapshot was not used.
    Snapshot,
    /// What is known of producers before a gap was forgotten.
    Producers,
    /// `log-start-offset` was not used.
    LogStart,
    /// `cleaner-offset` was not used.
    CleanerState,
}

impl LossKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Cut,
        Self::SetAside,
        Self::Removed,
        Self::Corrupt,
        Self::Misplaced,
        Self::Missing,
        Self::Short,
        Self::Checkpoint,
        Self::Snapshot,
        Self::Producers,
        Self::LogStart,
        Self::CleanerState,
    ];

    /// A word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::SetAside => "set-aside",
            Self::Removed => "removed",
            Self::Corrupt => "corrupt",
            Self::Misplaced => "misplaced",
            Self::Missing => "missing",
            Self::Short => "short",
            Self::Checkpoint => "checkpoint",
            Self::Snapshot => "snapshot",
            Self::Producers => "producers",
            Self::LogStart => "log-start",
            Self::CleanerState => "cleaner-state",
        }
    }

    /// What it means, for the broker's log.
    fn sentence(self) -> &'static str {
        match self {
            Self::Cut => {
                "the end of a log is not a whole record batch that follows; it was cut off"
            }
            Self::SetAside => "a segment does not follow the log before it; it was set aside",
            Self::Removed => {
                "the log ended below where its records were deleted up to; it goes on from there"
            }
            Self::Corrupt => {
                "a closed segment is corrupt; what lies behind is served as far as it can be found"
            }
            Self::Misplaced => {
                "a batch of a closed segment has an impossible base offset; it is not served"
            }
            Self::Missing => {
                "no segment has these offsets: their records are gone, and who reads them is told"
            }
            Self::Short => {
                "the files do not reach as far as the checkpoint says; reading the whole log"
            }
            Self::Checkpoint => "the checkpoint cannot be used; reading all logs instead",
            Self::Snapshot => "a producer snapshot is damaged; it is not used",
            Self::Producers => {
                "records are missing before a segment; producers that wrote before it are unknown"
            }
            Self::LogStart => {
                "the file that says up to where records were deleted is damaged; deleted records may be readable again"
            }
            Self::CleanerState => {
                "the file that says how far a log was cleaned is damaged; it is cleaned from its beginning"
            }
        }
    }

    /// Whether records that readers could have seen are concerned.
    fn is_serious(self) -> bool {
        matches!(
            self,
            Self::Corrupt | Self::Misplaced | Self::Missing | Self::Short
        )
    }
}

/// The losses of one data directory since it was opened.
#[derive(Debug, Default)]
pub(crate) struct LossLog {
    kept: Mutex<Vec<Loss>>,
    /// How many there were of each kind, in the order of [`LossKind::ALL`].
    counts: [Counter; LossKind::ALL.len()],
}

impl LossLog {
    /// Tells and keeps a loss.
    pub(crate) fn tell(&self, loss: Loss) {
        for (kind, count) in LossKind::ALL.iter().zip(&self.counts) {
            count.add(u64::from(*kind == loss.kind));
        }
        let position = loss.bytes.map(|(position, _)| position);
        let bytes = loss.bytes.map(|(_, bytes)| bytes);
        let first_offset = loss.offsets.map(|(first, _)| first.value());
        let end_offset = loss.offsets.and_then(|(_, end)| Some(end?.value()));
        let kept = loss.kept.as_ref().map(|kept| kept.display());
        macro_rules! tell {
            ($level:ident) => {
                tracing::$level!(
                    path = %loss.path.display(),
                    position,
                    bytes,
                    first_offset,
                    end_offset,
                    cause = %loss.cause,
                    kept = kept.map(tracing::field::display),
                    "{}",
                    loss.kind.sentence()
                )
            };
        }
        if loss.kind.is_serious() {
            tell!(error);
        } else {
            tell!(warn);
        }
        let mut kept = self.kept.lock();
        if kept.len() < KEPT_MAX {
            kept.push(loss);
        }
    }

    /// Tells that a small file is not used.
    pub(crate) fn tell_unused(&self, kind: LossKind, path: &Path, cause: &str) {
        self.tell(Loss {
            kind,
            path: path.to_owned(),
            bytes: None,
            offsets: None,
            cause: cause.to_owned(),
            kept: None,
        });
    }

    pub(crate) fn all(&self) -> Vec<Loss> {
        self.kept.lock().clone()
    }

    /// How many there were of each kind.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (LossKind, u64)> {
        let counts = LossKind::ALL.iter().zip(&self.counts);
        counts.map(|(kind, count)| (*kind, count.get()))
    }
}
