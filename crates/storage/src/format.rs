//! Which format a data directory has, and how often it was opened.
//!
//! `watertable.format` holds one line, `format N`. `boot-count` holds two: version 0 and the count. Invariant: a
//! directory of a newer format is never written to; the count only grows, and is durable before it is used.

use std::io;
use std::path::{Path, PathBuf};

use env::disk::Disk;
use types::LeaderEpoch;

use crate::checkpoint;
use crate::small_file;
use crate::versions::{NewerVersion, refuse_newer_text};

/// The format that this version reads and writes.
pub const FORMAT_VERSION: u32 = 1;

pub(crate) const FORMAT_FILE: &str = "watertable.format";
pub(crate) const BOOT_FILE: &str = "boot-count";
const BOOT_VERSION: u32 = 0;
const TEXT_BYTES_MAX: u64 = 4096;

/// Why a directory cannot be used by this version.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A newer version wrote it.
    #[error(
        "{} says format {found}, but this version reads up to format {}: use the newer version that wrote it",
        path.display(), FORMAT_VERSION
    )]
    Newer {
        /// The file that says so.
        path: PathBuf,
        /// The format it names.
        found: u32,
    },
    /// A newer version wrote one of its files.
    #[error(transparent)]
    NewerFile(#[from] NewerVersion),
    /// A file does not hold what it should.
    #[error("{} does not hold what this program writes there", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The number of starts is gone, and logs are there.
    #[error(
        "{} is missing, but the directory holds logs: their leader epochs would begin again at 1. Restore it, or write two lines into it: 0, and a number that is not below the number of starts so far",
        path.display()
    )]
    BootCountLost {
        /// The file.
        path: PathBuf,
    },
    /// The number of starts is below what the checkpoint says.
    #[error(
        "{} counts fewer starts than the checkpoint, which start {checkpoint} wrote: restore it, or write two lines into it: 0, and {checkpoint} or more",
        path.display()
    )]
    BootCountBehind {
        /// The file.
        path: PathBuf,
        /// The start that wrote the checkpoint.
        checkpoint: LeaderEpoch,
    },
    /// The boots are used up.
    #[error("{} has counted as many starts as there are leader epochs", path.display())]
    EpochsUsedUp {
        /// The file.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("could not read or write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl FormatError {
    /// Whether a newer version wrote it.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::Newer { .. } | Self::NewerFile(_))
    }
}

/// Refuses a directory that a newer version wrote, by any of the files that speak for all of it. Changes nothing.
pub(crate) fn refuse_newer_directory(disk: &dyn Disk, root: &Path) -> Result<(), FormatError> {
    // What is damaged is for whoever needs it to tell.
    let unless_damaged = |error| match error {
        FormatError::Damaged { .. } => Ok(()),
        error => Err(error),
    };
    look(disk, root).map(drop).or_else(unless_damaged)?;
    boots(disk, root).map(drop).or_else(unless_damaged)?;
    checkpoint::refuse_newer_checkpoint(disk, root)
}

/// Refuses a directory of a newer format; marks a new one.
pub(crate) fn check(disk: &dyn Disk, root: &Path) -> Result<(), FormatError> {
    let path = root.join(FORMAT_FILE);
    let Some(text) = read_text(disk, &path)? else {
        let text = format!("format {FORMAT_VERSION}\n");
        write(disk, &path, &text)?;
        return sync_name(disk, root);
    };
    check_text(&text, path)
}

/// Whether a directory has a format, one that this version reads. Changes nothing.
pub(crate) fn look(disk: &dyn Disk, root: &Path) -> Result<bool, FormatError> {
    let path = root.join(FORMAT_FILE);
    let Some(text) = read_text(disk, &path)? else {
        return Ok(false);
    };
    check_text(&text, path).map(|()| true)
}

pub(crate) fn check_text(text: &str, path: PathBuf) -> Result<(), FormatError> {
    let found = text
        .trim_end()
        .strip_prefix("format ")
        .and_then(|number| number.parse().ok());
    match found {
        Some(FORMAT_VERSION) => Ok(()),
        Some(found) if found > FORMAT_VERSION => Err(FormatError::Newer { path, found }),
        _ => Err(FormatError::Damaged { path }),
    }
}

/// How often a directory was opened; `None` if nothing says so. Changes nothing.
pub(crate) fn boots(disk: &dyn Disk, root: &Path) -> Result<Option<LeaderEpoch>, FormatError> {
    let path = root.join(BOOT_FILE);
    match read_text(disk, &path)? {
        None => Ok(None),
        Some(text) => {
            refuse_newer_text(&path, text.as_bytes(), BOOT_VERSION)?;
            match decode_boot(&text) {
                Some(last) => Ok(Some(last)),
                None => Err(FormatError::Damaged { path }),
            }
        }
    }
}

/// Makes the name of a new directory durable.
fn sync_name(disk: &dyn Disk, root: &Path) -> Result<(), FormatError> {
    let parent = match root.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    disk.sync_directory(parent)
        .map_err(|source| FormatError::Io {
            path: parent.to_owned(),
            source,
        })
}

/// The epoch in which the next opening leads. Epochs never go back: if there are logs, there is a count, and it is not below
/// that of the start that wrote the checkpoint, whose clean stop long ago could be taken for the last one. Changes nothing.
pub(crate) fn next_boot(
    disk: &dyn Disk,
    root: &Path,
    has_logs: bool,
    checkpointed_in: Option<LeaderEpoch>,
) -> Result<LeaderEpoch, FormatError> {
    let path = root.join(BOOT_FILE);
    let last = match boots(disk, root)? {
        None if has_logs => return Err(FormatError::BootCountLost { path }),
        None => LeaderEpoch::ZERO,
        Some(last) => last,
    };
    if let Some(checkpoint) = checkpointed_in.filter(|checkpoint| *checkpoint > last) {
        return Err(FormatError::BootCountBehind { path, checkpoint });
    }
    last.next().ok_or(FormatError::EpochsUsedUp { path })
}

/// Counts the opening that leads in `epoch`, durably.
pub(crate) fn count_boot(
    disk: &dyn Disk,
    root: &Path,
    epoch: LeaderEpoch,
) -> Result<(), FormatError> {
    write(disk, &root.join(BOOT_FILE), &encode_boot(epoch))
}

pub(crate) fn encode_boot(epoch: LeaderEpoch) -> String {
    format!("0\n{epoch}\n")
}

pub(crate) fn decode_boot(text: &str) -> Option<LeaderEpoch> {
    let mut lines = text.lines();
    if lines.next()? != "0" {
        return None;
    }
    LeaderEpoch::new(lines.next()?.parse().ok()?)
}

fn read_text(disk: &dyn Disk, path: &Path) -> Result<Option<String>, FormatError> {
    let bytes = small_file::read(disk, path, TEXT_BYTES_MAX).map_err(|source| FormatError::Io {
        path: path.to_owned(),
        source,
    })?;
    match bytes.map(String::from_utf8) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => Err(FormatError::Damaged {
            path: path.to_owned(),
        }),
    }
}

fn write(disk: &dyn Disk, path: &Path, text: &str) -> Result<(), FormatError> {
    small_file::replace(disk, path, text.as_bytes()).map_err(|source| FormatError::Io {
        path: path.to_owned(),
        source,
    })
}
