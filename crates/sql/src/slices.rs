//! The bytes behind a [`storage::ReadPlan`]: whole, or batch by batch without those between headers.

use std::any::Any;
use std::io;

use bytes::Bytes;
use protocol::Slice;
use storage::SegmentFile;

use crate::batch_facts::BatchFacts;

/// What is read at once to look at headers only: a page, which the disk reads anyway.
const WINDOW_BYTES: usize = 4096;

/// The bytes of `slice` from `at` on, `length` of them.
fn read(slice: &Slice, at: usize, length: usize) -> io::Result<Bytes> {
    match slice {
        Slice::Memory(bytes) => {
            let end = at.checked_add(length).filter(|end| *end <= bytes.len());
            let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
            Ok(bytes.slice(at..end))
        }
        Slice::File(range) => {
            let file: &dyn Any = &*range.file;
            let file = file
                .downcast_ref::<SegmentFile>()
                .ok_or(io::ErrorKind::Unsupported)?;
            let end = at.checked_add(length).filter(|end| *end <= range.length);
            end.ok_or(io::ErrorKind::UnexpectedEof)?;
            let mut bytes = vec![0; length];
            let count = file
                .disk_file()
                .read_at(&mut bytes, range.offset + at as u64)?;
            if count < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(bytes.into())
        }
    }
}

/// Walks over the batches of slices.
#[derive(Debug)]
pub(crate) struct Batches {
    /// Those that are not walked over yet.
    slices: std::collections::VecDeque<Slice>,
    /// Where the next batch begins in the first of them.
    position: usize,
    /// Bytes of the first slice, from `window_at` on.
    window: Bytes,
    window_at: usize,
    /// Whether only headers are needed, and records are read one batch at a time.
    headers_only: bool,
    /// Bytes that were read from slices.
    pub(crate) bytes_read: usize,
}

impl Batches {
    pub(crate) fn new(slices: Vec<Slice>, headers_only: bool) -> Self {
        Self {
            slices: slices.into(),
            position: 0,
            window: Bytes::new(),
            window_at: 0,
            headers_only,
            bytes_read: 0,
        }
    }

    pub(crate) fn empty() -> Self {
        Self::new(Vec::new(), false)
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
            self.window = Bytes::new();
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
        let slice = self.slices.front().ok_or(io::ErrorKind::UnexpectedEof)?;
        let inside = self.position.checked_sub(self.window_at);
        let known = inside.and_then(|start| {
            let end = start.checked_add(length)?;
            (end <= self.window.len()).then(|| self.window.slice(start..end))
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let rest = slice.len().saturating_sub(self.position);
        let wanted = if self.headers_only {
            length.max(WINDOW_BYTES).min(rest).max(length)
        } else {
            rest.max(length)
        };
        let read = read(slice, self.position, wanted)?;
        self.bytes_read += read.len();
        self.window_at = self.position;
        self.window = read;
        Ok(self.window.slice(..length))
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
        let large = vec![7; 3 * WINDOW_BYTES];
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
            batches.bytes_read < 3 * WINDOW_BYTES,
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
