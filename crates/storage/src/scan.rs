//! Walks the batches of a segment file from front to back through one bounded buffer.
//!
//! Invariant: memory is bounded by [`CHUNK_BYTES`] whatever the file says; what is reported as a batch lies wholly
//! before the end that the caller gave, and, if asked for, has a matching CRC.

use std::io;

use env::disk::DiskFile;

use crate::batch_header::{BatchHeader, CRC_START, HEADER_BYTES, HeaderError};

/// How much is read at once when everything is looked at.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;

/// How thorough a walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Headers only; the records are skipped.
    Headers,
    /// Every byte, against the CRC of its batch.
    Checksums,
}

/// What a step of the walk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A whole batch at `position`.
    Batch { position: u32, header: BatchHeader },
    /// The end that the caller gave.
    End,
    /// No whole batch at `position`.
    Broken { position: u32, cause: Broken },
}

/// Why there is no whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("the batch needs {needed} bytes, {available} are there")]
    Torn { needed: u32, available: u32 },
    #[error("checksum {actual:#010x}, stored is {stored:#010x}")]
    Checksum { stored: u32, actual: u32 },
}

/// A walk over `file` between two positions.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    file: &'a dyn DiskFile,
    position: u32,
    end: u32,
    buffer: Vec<u8>,
    buffer_start: u32,
    chunk: usize,
    bytes_read: u64,
}

impl<'a> Scanner<'a> {
    /// A walk from `position`, where a batch begins, to `end`, reading `chunk` bytes at once.
    pub(crate) fn new(file: &'a dyn DiskFile, position: u32, end: u32, chunk: usize) -> Self {
        Self {
            file,
            position,
            end,
            buffer: Vec::new(),
            buffer_start: 0,
            chunk: chunk.max(HEADER_BYTES),
            bytes_read: 0,
        }
    }

    /// Bytes read from the file so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Goes to the next batch. After anything but a batch the walk stays where it is.
    pub(crate) fn step(&mut self, check: Check) -> io::Result<Step> {
        let position = self.position;
        let available = self.end.saturating_sub(position);
        if available == 0 {
            return Ok(Step::End);
        }
        let broken = |cause| Ok(Step::Broken { position, cause });
        let header = match BatchHeader::parse(self.window(position, HEADER_BYTES)?) {
            Ok(header) => header,
            Err(error) => return broken(error.into()),
        };
        if header.size > available {
            return broken(Broken::Torn {
                needed: header.size,
                available,
            });
        }
        if check == Check::Checksums {
            match self.checksum(position, header.size)? {
                Some(actual) if actual == header.crc => {}
                Some(actual) => {
                    return broken(Broken::Checksum {
                        stored: header.crc,
                        actual,
                    });
                }
                None => {
                    return broken(Broken::Torn {
                        needed: header.size,
                        available,
                    });
                }
            }
        }
        self.position = position + header.size;
        Ok(Step::Batch { position, header })
    }

    /// The CRC of the batch at `position`; `None` if the file ends within it.
    fn checksum(&mut self, position: u32, size: u32) -> io::Result<Option<u32>> {
        let mut at = position + CRC_START as u32;
        let end = position + size;
        let mut crc = 0;
        while at < end {
            let want = (end - at) as usize;
            let chunk = self.chunk;
            let bytes = self.window(at, want.min(chunk))?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let bytes = &bytes[..bytes.len().min(want)];
            crc = crc32c::crc32c_append(crc, bytes);
            at += u32::try_from(bytes.len()).expect("a window is no longer than a chunk");
        }
        Ok(Some(crc))
    }

    /// Goes on at `position`, where a batch begins.
    pub(crate) fn seek(&mut self, position: u32) {
        self.position = position;
    }

    /// The bytes from `at`, at least `want` of them unless the walk's range or the file ends before.
    pub(crate) fn window(&mut self, at: u32, want: usize) -> io::Result<&[u8]> {
        let buffer_end = u64::from(self.buffer_start) + self.buffer.len() as u64;
        let inside = at >= self.buffer_start && u64::from(at) + want as u64 <= buffer_end;
        if !inside {
            let room = self.end.saturating_sub(at) as usize;
            let length = self.chunk.max(want).min(room);
            self.buffer.resize(length, 0);
            let count = self.file.read_at(&mut self.buffer, u64::from(at))?;
            self.buffer.truncate(count);
            self.buffer_start = at;
            self.bytes_read += count as u64;
        }
        let from = (at - self.buffer_start) as usize;
        Ok(self.buffer.get(from..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use env::disk::{Disk, OpenMode, SystemDisk};
    use proptest::prelude::*;
    use protocol::records::{BatchBuilder, BatchOptions};

    use super::*;

    fn batches() -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 0..5_usize {
            let mut builder = BatchBuilder::new(BatchOptions::default());
            for _ in 0..=number {
                builder
                    .push(1, None, Some(&vec![7; number * 200]), &[])
                    .unwrap();
            }
            bytes.extend_from_slice(&builder.build().unwrap());
        }
        bytes
    }

    fn walk(bytes: &[u8], chunk: usize, check: Check) -> (Vec<u32>, Step) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, bytes).unwrap();
        let file = SystemDisk.open(&path, OpenMode::Read).unwrap();
        let end = u32::try_from(bytes.len()).unwrap();
        let mut scanner = Scanner::new(&*file, 0, end, chunk);
        let mut positions = Vec::new();
        loop {
            match scanner.step(check).unwrap() {
                Step::Batch { position, .. } => positions.push(position),
                other => return (positions, other),
            }
        }
    }

    #[test]
    fn all_batches_are_found_whatever_the_size_of_the_buffer() {
        let bytes = batches();
        let (expected, end) = walk(&bytes, 1 << 20, Check::Headers);
        assert_eq!((expected.len(), end), (5, Step::End));
        for chunk in [1, 61, 62, 100, 300, 1000] {
            for check in [Check::Headers, Check::Checksums] {
                assert_eq!(walk(&bytes, chunk, check), (expected.clone(), Step::End));
            }
        }
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_found_by_the_checksums(index in 0..3000_usize, bit in 0..8_u32) {
            let mut bytes = batches();
            let index = index % bytes.len();
            let positions = walk(&bytes, 1 << 20, Check::Headers).0;
            let start = positions.iter().rev().find(|start| **start as usize <= index);
            let within = index - *start.unwrap() as usize;
            bytes[index] ^= 1 << bit;
            let (found, last) = walk(&bytes, 256, Check::Checksums);
            // Base offset and leader epoch are under no checksum.
            if !(0..8).contains(&within) && !(12..16).contains(&within) {
                prop_assert!(found.len() < 5);
                let is_broken = matches!(last, Step::Broken { .. });
                prop_assert!(is_broken);
            }
        }

        #[test]
        fn random_bytes_end_the_walk(bytes in proptest::collection::vec(any::<u8>(), 1..2000)) {
            let (found, _) = walk(&bytes, 256, Check::Checksums);
            prop_assert!(found.is_empty());
            walk(&bytes, 256, Check::Headers);
        }
    }
}
