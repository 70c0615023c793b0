//! The bytes behind a [`storage::ReadPlan`], batch by batch: read window by window, each byte once, or without those between
//! headers.

use std::any::Any;
use std::collections::VecDeque;
use std::io;

use bytes::{Bytes, BytesMut};
use protocol::{FileSlice, Slice};
use storage::SegmentFile;

use crate::batch_facts::BatchFacts;

/// What is read at once to look at headers only: a page, which the disk reads anyway.
const HEADERS_WINDOW_BYTES: usize = 4096;
/// What is read at once of records: enough that calls do not matter, and not more than the processor's cache keeps until it is
/// decoded.
pub(crate) const RECORDS_WINDOW_BYTES: usize = 256 << 10;

/// Fills `buffer` from `at` on.
fn read(slice: &FileSlice, at: usize, buffer: &mut [u8]) -> io::Result<()> {
    let end = at.checked_add(buffer.len());
    end.filter(|end| *end <= slice.length)
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let file: &dyn Any = &*slice.file;
    let file = file
        .downcast_ref::<SegmentFile>()
        .ok_or(io::ErrorKind::Unsupported)?;
    let count = file.disk_file().read_at(buffer, slice.offset + at as u64)?;
    if count < buffer.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// Walks over the batches of slices.
#[derive(Debug)]
pub(crate) struct Batches {
    /// Those that are not walked over yet.
    slices: VecDeque<Slice>,
    /// Where the next batch begins in the first of them.
    position: usize,
    /// Bytes of the first slice, from `window_at` on.
    window: Bytes,
    window_at: usize,
    /// What is read at once.
    window_bytes: usize,
    /// Bytes that were read from slices and not told yet.
    bytes_read: usize,
}

impl Batches {
    /// With `headers_only` the records of few batches are asked for.
    pub(crate) fn new(slices: Vec<Slice>, headers_only: bool) -> Self {
        Self {
            slices: slices.into(),
            position: 0,
            window: Bytes::new(),
            window_at: 0,
            window_bytes: if headers_only {
                HEADERS_WINDOW_BYTES
            } else {
                RECORDS_WINDOW_BYTES
            },
            bytes_read: 0,
        }
    }

    /// How many bytes were read since the last time.
    pub(crate) fn take_bytes_read(&mut self) -> usize {
        std::mem::take(&mut self.bytes_read)
    }

    /// Goes on with other slices, and the memory of these.
    pub(crate) fn go_on(&mut self, slices: Vec<Slice>) {
        self.slices = slices.into();
        self.position = 0;
        self.window.clear();
        self.window_at = 0;
    }

    /// Looks at the next batch. `Ok(None)` at the end; `Err(UnexpectedEof)` or `Err(InvalidData)` if the bytes are no whole
    /// batches, which storage rules out.
    pub(crate) fn peek(&mut self) -> io::Result<Option<BatchFacts>> {
        loop {
            let Some(slice) = self.slices.front() else {
                return Ok(None);
            };
            if self.position < slice.len() {
                break;
            }
            self.slices.pop_front();
            self.position = 0;
            self.window.clear();
            self.window_at = 0;
        }
        let header = self.bytes(BatchFacts::BYTES)?;
        BatchFacts::parse(&header)
            .map(Some)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The bytes of the batch that [`Batches::peek`] saw.
    pub(crate) fn batch(&mut self, facts: &BatchFacts) -> io::Result<Bytes> {
        self.bytes(facts.size)
    }

    /// Goes on behind the batch that [`Batches::peek`] saw.
    pub(crate) fn skip(&mut self, facts: &BatchFacts) {
        self.position = self.position.saturating_add(facts.size);
    }

    /// `length` bytes from the next batch on, within its slice.
    fn bytes(&mut self, length: usize) -> io::Result<Bytes> {
        let inside = self.position.saturating_sub(self.window_at);
        let known = self.window.len().saturating_sub(inside);
        if known < length {
            self.read_on(inside, known, length)?;
        }
        let start = self.position - self.window_at;
        Ok(self.window.slice(start..start + length))
    }

    /// Moves the window to the next batch. `known` bytes of it, from `inside` on, are the window's end already.
    fn read_on(&mut self, inside: usize, known: usize, length: usize) -> io::Result<()> {
        let slice = self.slices.front().ok_or(io::ErrorKind::UnexpectedEof)?;
        let rest = slice.len().saturating_sub(self.position);
        if length > rest {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let size = length.max(self.window_bytes).min(rest);
        let window = std::mem::take(&mut self.window);
        self.window = match slice {
            Slice::Memory(bytes) => bytes.slice(self.position..self.position + size),
            Slice::File(slice) => {
                let mut buffer = buffer(window, inside, known);
                buffer.resize(size, 0);
                let unknown = buffer.get_mut(known..).unwrap_or_default();
                read(slice, self.position + known, unknown)?;
                buffer.freeze()
            }
        };
        self.bytes_read += size - known;
        self.window_at = self.position;
        Ok(())
    }
}

/// Memory that begins with `known` bytes of the window, from `inside` on: the window's own if nobody else has it.
fn buffer(window: Bytes, inside: usize, known: usize) -> BytesMut {
    let kept = inside..inside + known;
    match window.try_into_mut() {
        // That of a large batch is given back.
        Ok(mut window) if window.capacity() <= 2 * RECORDS_WINDOW_BYTES => {
            if known > 0 {
                window.copy_within(kept, 0);
            }
            window
        }
        Ok(window) => BytesMut::from(window.get(kept).unwrap_or_default()),
        Err(window) => BytesMut::from(window.get(kept).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use protocol::records::{BatchBuilder, BatchOptions};

    use super::*;

    fn batch(base_offset: i64, value: &[u8]) -> Bytes {
        let mut builder = BatchBuilder::new(BatchOptions {
            base_offset,
            ..BatchOptions::default()
        });
        builder.push(1, None, Some(value), &[]).unwrap();
        builder.build().unwrap()
    }

    #[test]
    fn batches_of_many_slices_are_walked_over_either_way() {
        let large = vec![7; 3 * HEADERS_WINDOW_BYTES];
        let all = [
            batch(0, b"a"),
            batch(1, &large),
            batch(2, b"c"),
            batch(3, b""),
        ];
        let slices = vec![
            Slice::Memory([&all[0][..], &all[1][..]].concat().into()),
            Slice::Memory(Bytes::new()),
            Slice::Memory([&all[2][..], &all[3][..]].concat().into()),
        ];
        for headers_only in [false, true] {
            let mut batches = Batches::new(slices.clone(), headers_only);
            for (offset, expected) in all.iter().enumerate() {
                let facts = batches.peek().unwrap().unwrap();
                assert_eq!(facts.base_offset, i64::try_from(offset).unwrap());
                assert_eq!(&batches.batch(&facts).unwrap(), expected);
                batches.skip(&facts);
            }
            assert_eq!(batches.peek().unwrap(), None);
        }
        // Of the large value nothing is read but what lies beside its header.
        let mut batches = Batches::new(slices, true);
        while let Some(facts) = batches.peek().unwrap() {
            batches.skip(&facts);
        }
        assert!(
            batches.bytes_read < 3 * HEADERS_WINDOW_BYTES,
            "{}",
            batches.bytes_read
        );
    }

    #[test]
    fn what_is_no_batch_is_an_error() {
        let mut batches = Batches::new(vec![Slice::Memory(Bytes::from(vec![0; 100]))], false);
        assert_eq!(
            batches.peek().unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let cut = batch(0, b"value").slice(..65);
        let mut batches = Batches::new(vec![Slice::Memory(cut)], true);
        let facts = batches.peek().unwrap().unwrap();
        assert_eq!(
            batches.batch(&facts).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
