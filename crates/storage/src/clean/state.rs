//! What is known of the cleaning of one log, in memory ([`Cleaning`]) and on disk ([`CleanState`], the file
//! `cleaner-offset` in the partition's folder).
//!
//! Invariants: the generation in the file is raised, durably, before segments are replaced, so that a checkpoint of an
//! older generation is known to say nothing certain about closed segments; everything below the first dirty offset was
//! cleaned at least once; every transaction that began below `decided` has ended, and its marker may be gone.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64};

use env::disk::Disk;
use parking_lot::Mutex;
use types::Offset;

use super::step_back::StepBack;
use super::swap::UnfinishedSwap;
use crate::small_file;
use crate::versions::refuse_newer_text;

/// Where the state of a log's cleaning is kept.
pub(crate) const FILE: &str = "cleaner-offset";
/// Its version, the first line.
const VERSION: u32 = 0;
/// No file of ours with text in it is longer.
const TEXT_BYTES_MAX: u64 = 4096;

/// How far a log was cleaned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CleanState {
    /// How often segments of the log were replaced.
    pub(crate) generation: u32,
    /// Where the part begins that was never cleaned; `None` if nothing was.
    pub(crate) first_dirty: Option<Offset>,
    /// Behind the last segment that was ever replaced. It was stable then, so that no transaction below is open.
    pub(crate) decided: Offset,
}

impl CleanState {
    /// The file's text: version 0, the generation, the first dirty offset or -1, the end of what was replaced.
    pub(crate) fn encode(self) -> String {
        let first = self.first_dirty.map_or(-1, Offset::value);
        format!("0\n{}\n{first}\n{}\n", self.generation, self.decided)
    }

    /// The state once the segments up to `end` are replaced.
    pub(crate) fn replacing(self, end: Offset) -> Self {
        Self {
            generation: self.generation.wrapping_add(1),
            decided: self.decided.max(end),
            ..self
        }
    }

    pub(crate) fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != "0" {
            return None;
        }
        let generation = lines.next()?.parse().ok()?;
        let first: i64 = lines.next()?.parse().ok()?;
        let first_dirty = Offset::new(first);
        // Files without the last line come from before it was written.
        let decided = match lines.next() {
            Some(line) => Offset::new(line.parse().ok()?)?,
            None => first_dirty.unwrap_or_default(),
        };
        Some(Self {
            generation,
            first_dirty,
            decided,
        })
    }

    /// Reads the state in a partition's folder. That of a log that was never cleaned if there is none; `None` if it is
    /// damaged. A newer version is an error.
    pub(crate) fn read(disk: &dyn Disk, folder: &Path) -> io::Result<Option<Self>> {
        let Some(bytes) = small_file::read(disk, &folder.join(FILE), TEXT_BYTES_MAX)? else {
            return Ok(Some(Self::default()));
        };
        refuse_newer_text(&folder.join(FILE), &bytes, VERSION)?;
        let text = String::from_utf8(bytes).ok();
        Ok(text.as_deref().and_then(Self::decode))
    }

    /// Replaces the file durably.
    pub(crate) fn write(self, disk: &dyn Disk, folder: &Path) -> io::Result<()> {
        small_file::replace(disk, &folder.join(FILE), self.encode().as_bytes())
    }
}

/// What cleaning keeps of a log in memory. Order of the locks: `progress`, `segments`, the log's writer, `index_files`, the
/// log's view.
#[derive(Debug, Default)]
pub(crate) struct Cleaning {
    /// Held by whoever cleans the log, from before it looks at it until the end. `None` until the file was read.
    pub(crate) progress: Mutex<Option<CleanState>>,
    /// Segments are replaced or given up under this lock, and cleaning opens, renames and removes files only under it and
    /// while the log is online: later the folder may be another's. Appending needs none of it. Who changes segments gets
    /// it from [`LocalLog::lock_segments`](crate::local_log::LocalLog), which finishes a swap that was left unfinished.
    pub(crate) segments: Mutex<Option<UnfinishedSwap>>,
    /// Index files of closed segments are written under this lock, so that those of a segment that was replaced are not.
    pub(crate) index_files: Mutex<()>,
    /// Something in the log is corrupt: it is not cleaned by this process any more.
    pub(crate) is_uncleanable: AtomicBool,
    /// After cleanings that failed for a reason that may pass.
    pub(crate) step_back: Mutex<StepBack>,
    /// The base offset of the last segment in the last checkpoint that was written with this log in it, or -1.
    pub(crate) checkpointed: AtomicI64,
}

impl Cleaning {
    pub(crate) fn new() -> Self {
        Self {
            checkpointed: AtomicI64::new(-1),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_comes_back() {
        for first_dirty in [None, Offset::new(0), Offset::new(4711)] {
            let state = CleanState {
                generation: 7,
                first_dirty,
                decided: Offset::new(4712).unwrap(),
            };
            assert_eq!(CleanState::decode(&state.encode()), Some(state));
        }
        for other in ["", "1\n2\n3\n", "0\n2\n", "0\nx\n3\n", "0\n2\n3\n-4\n"] {
            assert_eq!(CleanState::decode(other), None, "{other}");
        }
    }

    #[test]
    fn a_file_without_the_end_of_what_was_replaced_is_read() {
        let decided = |text| CleanState::decode(text).unwrap().decided.value();
        assert_eq!(decided("0\n2\n3\n"), 3);
        assert_eq!(decided("0\n2\n-1\n"), 0);
    }
}
