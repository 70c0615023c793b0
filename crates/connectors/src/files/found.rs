//! [`Found`]: a file that is there, and [`Position`]: how far one was read.
//!
//! The etag of a local file is the text `MTIME-SIZE-INODE`: the time of its last change in nanoseconds, its size, and its number in the
//! file system. Two files are the same content if time and size are the same: the inode only tells that a file was renamed, since a
//! file that is put back from a backup, or lies on a file system that was mounted again, has another one and is still what it was. The
//! device is left out for the same reason. The etag of an object of S3 is the store's.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// A file, as it was when files were listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name: as the pipeline's path has it, relative to the same folder, or `s3://bucket/key`.
    pub path: String,
    /// Its size in bytes, as it lies there, compressed or not.
    pub size: u64,
    /// Changes when what is in it changes.
    pub etag: String,
    /// When it last changed, in milliseconds since 1970.
    pub modified_ms: i64,
    /// Whether it has been as it is for `settle`.
    pub settled: bool,
    /// Whether it changes in the future, as the clock here has it: one of the clocks is wrong.
    pub is_ahead: bool,
    /// When it came to be, in milliseconds since 1970, where the file system tells.
    pub born_ms: Option<i64>,
}

/// How far a file was read. What reads files keeps it where it keeps what it made of the records, in one transaction.
///
/// As JSON it has the keys `path`, `etag`, `size`, `next_byte`, `next_row`, `done`, and `leaves_ms` of a file that is put away. Keys that
/// are not known are left out when it is read, and all from `next_byte` on may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The file.
    pub path: String,
    /// What the file was.
    pub etag: String,
    /// Its size then.
    pub size: u64,
    /// Where the next record begins, in bytes of what is in the file when it is not compressed; of no meaning for Parquet.
    #[serde(default)]
    pub next_byte: u64,
    /// The number of the next record; the first has 1, a header has none.
    #[serde(default = "first_row")]
    pub next_row: u64,
    /// Whether all of it was read.
    #[serde(default)]
    pub done: bool,
    /// When all of it had been read, in milliseconds since 1970, if it is put away then: another file may have its name afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves_ms: Option<i64>,
}

const fn first_row() -> u64 {
    1
}

impl Position {
    /// Before the first record of a file.
    pub fn start(found: &Found) -> Self {
        Self {
            path: found.path.clone(),
            etag: found.etag.clone(),
            size: found.size,
            next_byte: 0,
            next_row: first_row(),
            done: false,
            leaves_ms: None,
        }
    }

    /// Where reading a file goes on: `positions` by path. One of another file is none of this one.
    pub fn of(found: &Found, positions: &HashMap<String, Self>) -> Self {
        let position = positions.get(&found.path);
        let position = position.filter(|position| position.is_of(found)).cloned();
        position.unwrap_or_else(|| Self::start(found))
    }

    /// The same file, given up: nothing more of it is read.
    #[must_use]
    pub fn given_up(self) -> Self {
        Self { done: true, ..self }
    }

    /// Whether a file that has its name and is not what it was is a new one: it was to be put away when all of it had been read, so it
    /// may have gone without anybody having been able to write that down. Not what was written into the file itself since.
    pub(super) fn makes_room_for(&self, found: &Found) -> bool {
        let Some(leaves_ms) = self.leaves_ms.filter(|_| self.done) else {
            return false;
        };
        match (parts(&self.etag), parts(&found.etag)) {
            // The number of a file that was deleted may be the next one's.
            (Some((_, was)), Some((_, is))) => {
                was != is || found.born_ms.is_some_and(|born| born > leaves_ms)
            }
            _ => true,
        }
    }

    /// Whether the file is still what it was.
    pub fn is_of(&self, found: &Found) -> bool {
        self.size == found.size && same_content(&self.etag, &found.etag)
    }
}

/// The etag of a local file.
pub(super) fn local_etag(modified_ns: i128, size: u64, inode: u64) -> String {
    format!("{modified_ns}-{size}-{inode}")
}

/// Time and size, and the inode, of a local file's etag.
fn parts(etag: &str) -> Option<(&str, &str)> {
    let (content, inode) = etag.rsplit_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (time, size) = content.rsplit_once('-')?;
    let time = time.strip_prefix('-').unwrap_or(time);
    (is_number(time) && is_number(size) && is_number(inode)).then_some((content, inode))
}

/// Whether two etags are of the same content.
pub(super) fn same_content(one: &str, other: &str) -> bool {
    match (parts(one), parts(other)) {
        (Some((one, _)), Some((other, _))) => one == other,
        _ => one == other,
    }
}

/// What is the same of a local file whatever its name is; `None` for objects, of which many may have the same content.
pub(super) fn identity(etag: &str) -> Option<&str> {
    parts(etag).map(|_| etag)
}
