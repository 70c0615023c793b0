//! Compares the index files of a segment with its batches, entry by entry, while the batches are walked over.
//!
//! Invariant: memory is one buffer per file. Entries that the broker would leave out (padding, behind the end) are left
//! out here too.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::disk::{Disk, DiskFile, OpenMode};
use types::Offset;

use crate::batch_header::BatchHeader;
use crate::{offset_index, time_index};

/// Entries read at once.
const ENTRIES_AT_ONCE: usize = 1024;

/// The entries of one file, front to back.
#[derive(Debug)]
struct Entries {
    file: Arc<dyn DiskFile>,
    entry_bytes: usize,
    position: u64,
    buffer: Vec<u8>,
    at: usize,
}

impl Entries {
    fn open(disk: &dyn Disk, path: &Path, entry_bytes: usize) -> io::Result<Option<Self>> {
        match disk.open(path, OpenMode::Read) {
            Ok(file) => Ok(Some(Self {
                file,
                entry_bytes,
                position: 0,
                buffer: Vec::new(),
                at: 0,
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next whole entry; `None` at the end of the file.
    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        if self.buffer.len() < self.at + self.entry_bytes {
            self.buffer.resize(ENTRIES_AT_ONCE * self.entry_bytes, 0);
            let count = self.file.read_at(&mut self.buffer, self.position)?;
            self.buffer.truncate(count - count % self.entry_bytes);
            self.position += self.buffer.len() as u64;
            self.at = 0;
        }
        let entry = self.buffer.get(self.at..self.at + self.entry_bytes);
        self.at += self.entry_bytes;
        Ok(entry)
    }
}

/// An entry: what rises in both kinds of index, and the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// A position, or a timestamp.
    key: i64,
    /// Relative to the segment's base.
    last: u32,
}

/// What is wrong with an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The broker sees it and does not use the file.
    Falls,
    /// The entry for this offset says what is not so.
    Wrong { last: Offset },
}

/// One index file beside its segment.
#[derive(Debug)]
pub(super) struct IndexCheck {
    pub(super) path: PathBuf,
    entries: Entries,
    decode: fn(&[u8]) -> Option<Entry>,
    is_times: bool,
    base: Offset,
    next: Option<Entry>,
    seen: bool,
    pub(super) fault: Option<Fault>,
}

impl IndexCheck {
    pub(super) fn offsets(
        disk: &dyn Disk,
        path: PathBuf,
        base: Offset,
    ) -> io::Result<Option<Self>> {
        let entries = Entries::open(disk, &path, offset_index::ENTRY_BYTES)?;
        Self::new(path, entries, decode_offsets, false, base)
    }

    pub(super) fn times(disk: &dyn Disk, path: PathBuf, base: Offset) -> io::Result<Option<Self>> {
        let entries = Entries::open(disk, &path, time_index::ENTRY_BYTES)?;
        Self::new(path, entries, decode_times, true, base)
    }

    fn new(
        path: PathBuf,
        entries: Option<Entries>,
        decode: fn(&[u8]) -> Option<Entry>,
        is_times: bool,
        base: Offset,
    ) -> io::Result<Option<Self>> {
        let Some(entries) = entries else {
            return Ok(None);
        };
        let mut check = Self {
            path,
            entries,
            decode,
            is_times,
            base,
            next: None,
            seen: false,
            fault: None,
        };
        check.advance()?;
        Ok(Some(check))
    }

    fn advance(&mut self) -> io::Result<()> {
        let before = self.next.take();
        let next = self.entries.next()?.and_then(self.decode);
        // The same rule as in `decode` of both indexes: zeros behind the first entry are padding.
        let next = next.filter(|next| !(self.seen && next.key == 0 && next.last == 0));
        self.seen = true;
        if let (Some(before), Some(next)) = (before, next)
            && (next.key <= before.key || next.last <= before.last)
        {
            self.fault = Some(Fault::Falls);
            return Ok(());
        }
        self.next = next;
        Ok(())
    }

    /// Compares with the next batch of the segment.
    pub(super) fn compare(&mut self, position: u32, header: &BatchHeader) -> io::Result<()> {
        let last = header.last().since(self.base);
        while self.fault.is_none()
            && let Some(entry) = self.next
        {
            let is_here = if self.is_times {
                u64::from(entry.last) <= last
            } else {
                entry.key <= i64::from(position)
            };
            if !is_here {
                return Ok(());
            }
            let key = if self.is_times {
                header.max_timestamp
            } else {
                i64::from(position)
            };
            if entry.key != key || u64::from(entry.last) != last {
                self.fault = Some(Fault::Wrong {
                    last: self.base.plus(u64::from(entry.last)),
                });
                return Ok(());
            }
            self.advance()?;
        }
        Ok(())
    }
}

fn decode_offsets(bytes: &[u8]) -> Option<Entry> {
    let (last, position) = bytes.split_first_chunk::<4>()?;
    Some(Entry {
        key: i64::from(u32::from_be_bytes(*position.first_chunk()?)),
        last: u32::from_be_bytes(*last),
    })
}

fn decode_times(bytes: &[u8]) -> Option<Entry> {
    let (timestamp, last) = bytes.split_first_chunk::<8>()?;
    Some(Entry {
        key: i64::from_be_bytes(*timestamp),
        last: u32::from_be_bytes(*last.first_chunk()?),
    })
}
