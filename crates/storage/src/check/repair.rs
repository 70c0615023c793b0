//! Repairs that lose nothing: the end of a log is cut, files that the broker can make anew are set aside.
//!
//! ```text
//! <data>/set-aside/<name>/...     what was taken away, under its path in the data directory
//! ```
//!
//! Order: what is taken away is copied or renamed to where it is kept, durably; the checkpoint forgets the logs that are cut,
//! durably; the segment is cut and synced; its indexes are set aside. A crash in between leaves the log as it was, or a log
//! that the next start cuts in the same place.
//!
//! Invariant: no byte that is not zero leaves the data directory.

use std::io;
use std::path::{Path, PathBuf};

use env::disk::{Disk, OpenMode};
use types::{Offset, TopicPartition};

use super::report::below;
use crate::checkpoint::{self, LoadError};
use crate::cut::copy_aside;
use crate::files::{SegmentPart, part_path};

/// Where repairs keep what they take away.
pub(super) const SET_ASIDE_FOLDER: &str = "set-aside";

/// One thing that a repair does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairAction {
    /// Cuts the last segment of a log.
    Cut {
        /// The log.
        partition: TopicPartition,
        /// The segment's file.
        path: PathBuf,
        /// The segment's base offset.
        base: Offset,
        /// The first byte that is cut off.
        from: u64,
        /// Up to here is kept what is cut off; behind it are only zeros.
        to: u64,
        /// The first offset that is cut off: where the log ends afterwards.
        first: Offset,
        /// Whole batches among what is cut off.
        whole_batches: u64,
        /// Records in them.
        whole_records: u64,
        /// Behind the last of them.
        end: Option<Offset>,
    },
    /// Moves a file away that the broker makes anew.
    SetAside {
        /// The file.
        path: PathBuf,
    },
}

/// Something that a repair took away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The file it was in or was, below the data directory.
    pub path: PathBuf,
    /// Where it is now, below the data directory.
    pub kept: PathBuf,
    /// How many bytes it has.
    pub bytes: u64,
}

/// Why a repair ended; what was done before it stands.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The disk failed.
    #[error("could not repair {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The checkpoint could not be replaced.
    #[error("could not take a log out of the checkpoint")]
    Checkpoint(#[source] io::Error),
    /// The file is not as long any more as when it was checked.
    #[error("{} has changed since it was checked", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

/// Repairs one data directory.
#[derive(Debug)]
pub(super) struct Repairer<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) root: &'a Path,
    /// Where this repair keeps what it takes away.
    pub(super) aside: PathBuf,
    pub(super) now_ms: i64,
}

impl Repairer<'_> {
    pub(super) fn run(&self, actions: &[RepairAction]) -> Result<Vec<Repaired>, RepairError> {
        let mut done = Vec::new();
        // A damaged checkpoint goes first: it cannot forget a log.
        for action in actions {
            if let RepairAction::SetAside { path } = action {
                done.extend(self.set_aside(path)?);
            }
        }
        let cut: Vec<_> = actions
            .iter()
            .filter_map(|action| match action {
                RepairAction::Cut { partition, .. } => Some(partition.clone()),
                RepairAction::SetAside { .. } => None,
            })
            .collect();
        for action in actions {
            if let RepairAction::Cut { path, from, to, .. } = action {
                done.push(self.keep(path, *from, *to)?);
            }
        }
        if !cut.is_empty() {
            self.forget(&cut, &mut done)?;
        }
        for action in actions {
            if let RepairAction::Cut {
                path, base, from, ..
            } = action
            {
                self.cut(path, *from)?;
                for part in [SegmentPart::OffsetIndex, SegmentPart::TimeIndex] {
                    let folder = path.parent().unwrap_or(self.root);
                    done.extend(self.set_aside(&part_path(folder, *base, part))?);
                }
            }
        }
        Ok(done)
    }

    /// Where a file is kept; its folder is made.
    fn place_for(&self, path: &Path) -> io::Result<PathBuf> {
        let kept = self.aside.join(below(self.root, path));
        let folder = kept.parent().unwrap_or(&self.aside);
        self.disk.create_directories(folder)?;
        // All names down to it.
        let mut above = folder;
        while above.starts_with(self.root) {
            self.disk.sync_directory(above)?;
            match above.parent() {
                Some(parent) => above = parent,
                None => break,
            }
        }
        Ok(kept)
    }

    /// Moves a file away; `None` if there is none.
    fn set_aside(&self, path: &Path) -> Result<Option<Repaired>, RepairError> {
        let at = |source| RepairError::Io {
            path: path.to_owned(),
            source,
        };
        let bytes = match self.disk.open(path, OpenMode::Read) {
            Ok(file) => file.length().map_err(at)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(error)),
        };
        let kept = self.place_for(path).map_err(at)?;
        self.disk.rename(path, &kept).map_err(at)?;
        for folder in [kept.parent(), path.parent()].into_iter().flatten() {
            self.disk.sync_directory(folder).map_err(at)?;
        }
        Ok(Some(self.repaired(path, &kept, bytes)))
    }

    fn repaired(&self, path: &Path, kept: &Path, bytes: u64) -> Repaired {
        Repaired {
            path: below(self.root, path),
            kept: below(self.root, kept),
            bytes,
        }
    }

    /// Copies what is going to be cut off.
    fn keep(&self, path: &Path, from: u64, to: u64) -> Result<Repaired, RepairError> {
        let at = |source| RepairError::Io {
            path: path.to_owned(),
            source,
        };
        let file = self.disk.open(path, OpenMode::Read).map_err(at)?;
        if file.length().map_err(at)? < to {
            return Err(RepairError::Changed {
                path: path.to_owned(),
            });
        }
        let mut kept = self.place_for(path).map_err(at)?;
        kept.set_extension(format!("{from}.cut"));
        copy_aside(self.disk, &*file, from, to, &kept).map_err(at)?;
        Ok(self.repaired(path, &kept, to - from))
    }

    /// Takes the logs out of the checkpoint, of which a copy is kept.
    fn forget(
        &self,
        partitions: &[TopicPartition],
        done: &mut Vec<Repaired>,
    ) -> Result<(), RepairError> {
        let path = self.root.join(checkpoint::FILE);
        match self.disk.open(&path, OpenMode::Read) {
            Ok(file) => {
                let bytes = file.length().map_err(RepairError::Checkpoint)?;
                let kept = self.place_for(&path).map_err(RepairError::Checkpoint)?;
                copy_aside(self.disk, &*file, 0, bytes, &kept).map_err(RepairError::Checkpoint)?;
                done.push(self.repaired(&path, &kept, bytes));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(RepairError::Checkpoint(error)),
        }
        match checkpoint::forget(self.disk, self.root, self.now_ms, partitions) {
            Ok(()) => Ok(()),
            Err(LoadError::Io(error)) => Err(RepairError::Checkpoint(error)),
            Err(LoadError::Damaged) => Err(RepairError::Changed { path }),
        }
    }

    fn cut(&self, path: &Path, from: u64) -> Result<(), RepairError> {
        let at = |source| RepairError::Io {
            path: path.to_owned(),
            source,
        };
        let file = self.disk.open(path, OpenMode::ReadWrite).map_err(at)?;
        file.set_length(from).map_err(at)?;
        file.sync_data().map_err(at)
    }
}
