//! What is known of the cleaning of one log, in memory ([`Cleaning`]) and on disk ([`CleanState`], the file
//! `cleaner-offset` in the partition's folder).
//!
//! Invariants: the generation in the file is raised, durably, before segments are replaced, so that a checkpoint of an
//! older generation is known to say nothing certain about closed segments; everything below the first dirty offset was
//! cleaned at least once.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64};

use env::disk::Disk;
use parking_lot::Mutex;
use types::Offset;

use crate::small_file;

/// Where the state of a log's cleaning is kept.
pub(crate) const FILE: &str = "cleaner-offset";
/// No file of ours with text in it is longer.
const TEXT_BYTES_MAX: u64 = 4096;

/// How far a log was cleaned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CleanState {
    /// How often segments of the log were replaced.
    pub(crate) generation: u32,
    /// Where the part begins that was never cleaned; `None` if nothing was.
    pub(crate) first_dirty: Option<Offset>,
}

impl CleanState {
    /// The file's text: version 0, the generation, the first dirty offset or -1.
    fn encode(self) -> String {
        let first = self.first_dirty.map_or(-1, Offset::value);
        format!("0\n{}\n{first}\n", self.generation)
    }

    fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != "0" {
            return None;
        }
        let generation = lines.next()?.parse().ok()?;
        let first: i64 = lines.next()?.parse().ok()?;
        Some(Self {
            generation,
            first_dirty: Offset::new(first),
        })
    }

    /// Reads the state in a partition's folder. That of a log that was never cleaned if there is none; `None` if it is
    /// damaged.
    pub(crate) fn read(disk: &dyn Disk, folder: &Path) -> io::Result<Option<Self>> {
        let Some(bytes) = small_file::read(disk, &folder.join(FILE), TEXT_BYTES_MAX)? else {
            return Ok(Some(Self::default()));
        };
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
    /// while the log is online: later the folder may be another's. Appending needs none of it.
    pub(crate) segments: Mutex<()>,
    /// Index files of closed segments are written under this lock, so that those of a segment that was replaced are not.
    pub(crate) index_files: Mutex<()>,
    /// Something in the log is corrupt: it is not cleaned by this process any more.
    pub(crate) is_uncleanable: AtomicBool,
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
            };
            assert_eq!(CleanState::decode(&state.encode()), Some(state));
        }
        for other in ["", "1\n2\n3\n", "0\n2\n", "0\nx\n3\n"] {
            assert_eq!(CleanState::decode(other), None, "{other}");
        }
    }
}
