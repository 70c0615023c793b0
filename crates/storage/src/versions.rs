//! Files of a version that only a newer release knows.
//!
//! The gate of a data directory is `watertable.format`: whoever changes a format so that older releases would misread it
//! raises that number. Beyond it each file has a version of its own. Invariant: a file that is whole and of a newer version is
//! refused, never taken for a damaged one: that would throw away what the newer release knows.

use std::io;
use std::path::{Path, PathBuf};

/// A file is newer than this release.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} has version {found}, but this version reads up to version {known}: use the newer version that wrote it",
    path.display()
)]
pub struct NewerVersion {
    /// The file.
    pub path: PathBuf,
    /// The version it has.
    pub found: u32,
    /// The newest version that is known here.
    pub known: u32,
}

impl From<NewerVersion> for io::Error {
    fn from(newer: NewerVersion) -> Self {
        Self::new(io::ErrorKind::InvalidData, newer)
    }
}

/// Refuses a version above the newest that is known.
pub(crate) fn refuse_newer(path: &Path, found: u32, known: u32) -> Result<(), NewerVersion> {
    if found <= known {
        return Ok(());
    }
    Err(NewerVersion {
        path: path.to_owned(),
        found,
        known,
    })
}

/// The same for a small file of text, whose first line is its version. What is no number there is damage, not news.
pub(crate) fn refuse_newer_text(path: &Path, text: &[u8], known: u32) -> Result<(), NewerVersion> {
    let line = text.split(|byte| *byte == b'\n').next();
    let found = line
        .and_then(|line| std::str::from_utf8(line).ok())
        .and_then(|line| line.parse().ok());
    refuse_newer(path, found.unwrap_or(known), known)
}
