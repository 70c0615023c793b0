//! [`BatchReader`]: the batches of a segment with their bytes, one after the other, through one buffer.
//!
//! Invariant: every batch that is returned lies wholly before the end that was given and matches its checksum; the buffer
//! is as large as asked for, or as the largest batch.

use std::ops::Range;

use env::disk::DiskFile;
use types::Offset;

use super::errors::{CleanError, Corruption};
use crate::batch_header::{BatchHeader, CRC_START, HEADER_BYTES};
use crate::scan::Broken;

/// A walk over a segment's batches.
#[derive(Debug)]
pub(crate) struct BatchReader<'a> {
    file: &'a dyn DiskFile,
    segment: Offset,
    position: u32,
    end: u32,
    /// Batches begin at rising offsets.
    expected: Offset,
    /// Where the next segment begins.
    below: Offset,
    buffer: &'a mut Vec<u8>,
    buffer_start: u32,
    chunk: usize,
}

impl<'a> BatchReader<'a> {
    /// A walk over `file`, whose offsets lie in `offsets`, from `position`, where a batch begins, to `end`, reading
    /// `chunk` bytes at once into `buffer`.
    pub(crate) fn new(
        file: &'a dyn DiskFile,
        offsets: Range<Offset>,
        position: u32,
        end: u32,
        buffer: &'a mut Vec<u8>,
        chunk: usize,
    ) -> Self {
        buffer.clear();
        Self {
            file,
            segment: offsets.start,
            position,
            end,
            expected: offsets.start,
            below: offsets.end,
            buffer,
            buffer_start: position,
            chunk: chunk.max(HEADER_BYTES),
        }
    }

    /// The next batch and its bytes; `None` at the end. `read` is called with the bytes of each read before they are
    /// looked at.
    pub(crate) fn next(
        &mut self,
        read: &mut dyn FnMut(usize) -> Result<(), CleanError>,
    ) -> Result<Option<(BatchHeader, &[u8])>, CleanError> {
        let position = self.position;
        let available = self.end.saturating_sub(position);
        if available == 0 {
            return Ok(None);
        }
        self.fill(position, HEADER_BYTES, read)?;
        let header = match BatchHeader::parse(self.window(position, HEADER_BYTES)) {
            Ok(header) => header,
            Err(error) => return Err(self.corrupt(Broken::Header(error))),
        };
        if header.size > available {
            return Err(self.corrupt(Broken::Torn {
                needed: header.size,
                available,
            }));
        }
        if header.base() < self.expected || header.end() > self.below {
            return Err(self.corrupt(Corruption::Misplaced {
                expected: self.expected,
                below: self.below,
                found: header.base(),
            }));
        }
        let size = header.size as usize;
        self.fill(position, size, read)?;
        let bytes = self.window(position, size);
        if bytes.len() < size {
            let available = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            return Err(self.corrupt(Broken::Torn {
                needed: header.size,
                available,
            }));
        }
        let actual = crc32c::crc32c(bytes.get(CRC_START..).unwrap_or_default());
        if actual != header.crc {
            return Err(self.corrupt(Broken::Checksum {
                stored: header.crc,
                actual,
            }));
        }
        self.position = position + header.size;
        self.expected = header.end();
        Ok(Some((header, self.window(position, size))))
    }

    /// An error at the batch that was returned last, or at the one that could not be.
    pub(crate) fn corrupt_at(&self, position: u32, cause: impl Into<Corruption>) -> CleanError {
        CleanError::Corrupt {
            segment: self.segment,
            position,
            cause: cause.into(),
        }
    }

    /// Where the next batch begins.
    pub(crate) fn position(&self) -> u32 {
        self.position
    }

    fn corrupt(&self, cause: impl Into<Corruption>) -> CleanError {
        self.corrupt_at(self.position, cause)
    }

    fn window(&self, at: u32, want: usize) -> &[u8] {
        let from = (at - self.buffer_start) as usize;
        let rest = self.buffer.get(from..).unwrap_or_default();
        rest.get(..want).unwrap_or(rest)
    }

    /// Has the bytes `at..at + want` in the buffer, as far as the file has them.
    fn fill(
        &mut self,
        at: u32,
        want: usize,
        read: &mut dyn FnMut(usize) -> Result<(), CleanError>,
    ) -> Result<(), CleanError> {
        let buffer_end = u64::from(self.buffer_start) + self.buffer.len() as u64;
        if at >= self.buffer_start && u64::from(at) + want as u64 <= buffer_end {
            return Ok(());
        }
        let room = self.end.saturating_sub(at) as usize;
        self.buffer.resize(self.chunk.max(want).min(room), 0);
        let count = self.file.read_at(self.buffer, u64::from(at))?;
        self.buffer.truncate(count);
        self.buffer_start = at;
        read(count)
    }
}
