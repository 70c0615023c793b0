//! [`Output`]: the segment that a cleaning writes, with its indexes.
//!
//! Invariants: no segment is larger than [`SEGMENT_BYTES_MAX`], however badly its batches compress when they are written
//! anew; what has to go never stays for lack of room, since the tombstone that hides it might go before it does.

use std::io::{self, IoSlice};
use std::sync::Arc;

use env::disk::DiskFile;
use types::Offset;

use super::errors::CleanError;
use super::filter::Kept;
use super::rewrite::{Cleaned, Pace};
use crate::batch_header::BatchHeader;
use crate::segment::{Segment, SegmentFacts, SegmentIndex};

/// Positions in a segment are read as signed by Kafka.
const SEGMENT_BYTES_MAX: u64 = i32::MAX.unsigned_abs() as u64;

/// The files of a segment that is being written.
#[derive(Debug)]
pub(crate) struct OutputFiles {
    pub(crate) log: Arc<dyn DiskFile>,
    pub(crate) offset_index: Arc<dyn DiskFile>,
    pub(crate) time_index: Arc<dyn DiskFile>,
}

/// A segment that is being written.
#[derive(Debug)]
pub(crate) struct Output {
    base: Offset,
    files: OutputFiles,
    pub(crate) facts: SegmentFacts,
    index: SegmentIndex,
    index_interval_bytes: u32,
    /// What is not written yet.
    pending: Vec<u8>,
    /// Behind the last batch.
    end: Offset,
    written: u32,
    chunk: usize,
    /// Bytes of the old segments that are still to come, and may all have to stay.
    unread: u64,
    /// Some batch is not what it was.
    pub(crate) is_changed: bool,
}

impl Output {
    /// `unread` is the size of the old segments together.
    pub(crate) fn new(
        base: Offset,
        files: OutputFiles,
        index_interval_bytes: u32,
        chunk: usize,
        unread: u64,
    ) -> Self {
        Self {
            base,
            files,
            facts: SegmentFacts::empty(base, 0),
            index: SegmentIndex::default(),
            index_interval_bytes,
            pending: Vec::with_capacity(chunk),
            end: base,
            written: 0,
            chunk,
            unread,
            is_changed: false,
        }
    }

    /// Adds what stays of a batch.
    pub(crate) fn put(
        &mut self,
        header: &BatchHeader,
        bytes: &[u8],
        kept: Kept,
        pace: &dyn Pace,
        stats: &mut Cleaned,
    ) -> Result<(), CleanError> {
        self.unread = self.unread.saturating_sub(bytes.len() as u64);
        let rewritten = match kept {
            Kept::Nothing => {
                self.is_changed = true;
                return Ok(());
            }
            Kept::Verbatim => None,
            Kept::Rewritten { bytes, .. } if self.has_room_for(&bytes) => Some(bytes),
            Kept::Rewritten { is_less: true, .. } => {
                return Err(CleanError::TooLarge { segment: self.base });
            }
            // Only its delete horizon has no room: a later cleaning sets it.
            Kept::Rewritten { .. } => None,
        };
        self.is_changed |= rewritten.is_some();
        let new = rewritten.as_deref().unwrap_or(bytes);
        let header = match &rewritten {
            Some(new) => BatchHeader::parse(new).map_err(io::Error::other)?,
            None => *header,
        };
        let position = self.facts.size;
        self.end = header.end();
        self.facts.add(&header);
        let interval = self.index_interval_bytes;
        self.index
            .add(self.base, position, &header, &self.facts, interval);
        stats.records_kept += u64::from(header.count.unsigned_abs());
        self.pending.extend_from_slice(new);
        if self.pending.len() >= self.chunk {
            self.flush(pace, stats)?;
        }
        Ok(())
    }

    /// Whether all that may still come fits behind these bytes, too.
    fn has_room_for(&self, bytes: &[u8]) -> bool {
        u64::from(self.facts.size) + bytes.len() as u64 + self.unread <= SEGMENT_BYTES_MAX
    }

    fn flush(&mut self, pace: &dyn Pace, stats: &mut Cleaned) -> Result<(), CleanError> {
        let bytes = self.pending.len();
        self.files
            .log
            .write_at(&[IoSlice::new(&self.pending)], u64::from(self.written))?;
        self.written += u32::try_from(bytes).unwrap_or(u32::MAX);
        self.pending.clear();
        stats.bytes_written += bytes as u64;
        pace.transferred(bytes)
    }

    /// Makes the files durable.
    pub(crate) fn finish(
        mut self,
        pace: &dyn Pace,
        stats: &mut Cleaned,
    ) -> Result<(Arc<Segment>, Arc<dyn DiskFile>), CleanError> {
        if !self.pending.is_empty() {
            self.flush(pace, stats)?;
        }
        self.index.add_time(self.base, &self.facts);
        self.files.log.sync_data()?;
        let offsets = self.index.offsets.encode(0);
        let times = self.index.times.encode(0);
        for (file, bytes) in [
            (&self.files.offset_index, &offsets),
            (&self.files.time_index, &times),
        ] {
            file.write_at(&[IoSlice::new(bytes)], 0)?;
            file.sync_data()?;
        }
        let saved = (
            self.index.offsets.entries().len(),
            self.index.times.entries().len(),
        );
        self.facts.has_gaps = true;
        let segment = Segment::with(self.base, self.facts, Some(self.index));
        segment.note_saved(saved);
        segment.note_verified(0, self.facts.size, self.facts.has_zstd, self.end);
        Ok((segment, self.files.log))
    }
}

#[cfg(test)]
mod tests {
    use env::disk::{Disk, OpenMode, SystemDisk};
    use protocol::records::{BatchBuilder, BatchOptions};

    use super::*;

    struct Unhurried;

    impl Pace for Unhurried {
        fn transferred(&self, _bytes: usize) -> Result<(), CleanError> {
            Ok(())
        }
    }

    /// A batch with one record of so many bytes.
    fn batch(bytes: usize) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        let value = vec![b'v'; bytes];
        builder.push(1, Some(b"k"), Some(&value), &[]).unwrap();
        builder.build().unwrap().to_vec()
    }

    /// What becomes of one batch after the other, if the old segments are `total` bytes large together.
    fn put(total: u64, batches: Vec<(Vec<u8>, Kept)>) -> Result<Output, CleanError> {
        let folder = tempfile::tempdir().unwrap();
        let open = |name| {
            let path = folder.path().join(name);
            SystemDisk.open(&path, OpenMode::CreateNew).unwrap()
        };
        let files = OutputFiles {
            log: open("log"),
            offset_index: open("index"),
            time_index: open("timeindex"),
        };
        let mut out = Output::new(Offset::ZERO, files, 4096, 1 << 20, total);
        let mut stats = Cleaned::default();
        for (bytes, kept) in batches {
            let header = BatchHeader::parse(&bytes).unwrap();
            out.put(&header, &bytes, kept, &Unhurried, &mut stats)?;
        }
        Ok(out)
    }

    fn rewritten(bytes: Vec<u8>, is_less: bool) -> Kept {
        Kept::Rewritten { bytes, is_less }
    }

    #[test]
    fn what_must_go_never_stays_because_the_rest_has_no_room() {
        let (old, new) = (batch(100), batch(110));
        let room = |free: usize| SEGMENT_BYTES_MAX - free as u64;
        let growth = new.len() - old.len();
        let case = |free, is_less| {
            let kept = rewritten(new.clone(), is_less);
            put(room(free), vec![(old.clone(), kept)])
        };
        let out = case(growth, true).unwrap();
        assert_eq!(out.pending, new);
        for free in [0, growth - 1] {
            let refused = case(free, true);
            assert!(matches!(refused, Err(CleanError::TooLarge { .. })));
            let out = case(free, false).unwrap();
            assert_eq!(out.pending, old, "only a delete horizon is put off");
            assert!(!out.is_changed);
        }
    }

    #[test]
    fn batches_that_shrink_make_room_for_those_that_grow() {
        let grown = || (batch(100), rewritten(batch(110), true));
        let full = SEGMENT_BYTES_MAX;
        assert!(put(full, vec![grown()]).is_err());
        assert!(put(full, vec![(batch(100), Kept::Nothing), grown()]).is_ok());
        let shrunk = || (batch(100), rewritten(batch(85), true));
        assert!(put(full, vec![shrunk(), grown()]).is_ok());
        assert!(put(full, vec![shrunk(), grown(), grown()]).is_err());
    }
}
