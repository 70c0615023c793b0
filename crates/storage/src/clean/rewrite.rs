//! Cleaning one log: the map of its keys, then group after group of its segments written anew and swapped in.
//!
//! Invariants: memory is bounded by the map and two buffers, or by the largest batch; a group is swapped in only once its
//! files are durable; nothing of the log changes before. Source: Kafka's `Cleaner`.

use std::io::{self, IoSlice};
use std::sync::Arc;

use env::disk::{DiskFile, OpenMode};
use protocol::records::{BatchView, PayloadError};
use types::{Offset, Timestamp};

use super::batches::BatchReader;
use super::errors::CleanError;
use super::filter::{Filter, INFLATED_BYTES_MAX, Kept, last_records, marker_kind};
use super::offset_map::{ENTRY_BYTES, OffsetMap};
use super::plan::{Cleanable, group};
use super::settings::CleanerSettings;
use super::state::CleanState;
use super::transactions::CleanedTransactions;
use crate::batch_header::BatchHeader;
use crate::files::{SegmentPart, part_path};
use crate::local_log::LocalLog;
use crate::segment::{Segment, SegmentFacts, SegmentIndex};
use crate::settings::LogSettings;
use crate::transactions::AbortedTransaction;

/// What a cleaning asks of its surroundings.
pub(crate) trait Pace {
    /// So many bytes were read or written: waits as long as the limit wants it.
    ///
    /// # Errors
    /// [`CleanError::Stopped`] if the cleaning shall end.
    fn transferred(&self, bytes: usize) -> Result<(), CleanError>;
}

/// What came of the cleaning of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cleaned {
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
    pub(crate) records_read: u64,
    pub(crate) records_kept: u64,
    /// Groups of segments that were replaced.
    pub(crate) swaps: u64,
    /// How full the map was.
    pub(crate) map_percent: u64,
}

/// A segment that was written and is not part of the log yet.
#[derive(Debug)]
pub(crate) struct CleanedSegment {
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Where the segment behind it begins.
    pub(crate) end: Offset,
    /// Its aborted transactions.
    pub(crate) aborted: Vec<AbortedTransaction>,
    /// Some batch is not what it was.
    pub(crate) is_changed: bool,
}

/// A cleaning of one log.
pub(crate) struct Rewrite<'a> {
    pub(crate) log: &'a LocalLog,
    pub(crate) cleanable: &'a Cleanable,
    pub(crate) cleaner: &'a CleanerSettings,
    pub(crate) settings: &'a LogSettings,
    pub(crate) pace: &'a dyn Pace,
    pub(crate) now: Timestamp,
    /// Drawn for this cleaning.
    pub(crate) seed: u64,
}

impl Rewrite<'_> {
    /// Cleans the log and returns what it did. `state` says how far it got, also after an error.
    pub(crate) fn run(&self, state: &mut CleanState) -> Result<Cleaned, CleanError> {
        let mut stats = Cleaned::default();
        self.log.remove_unfinished()?;
        let mut buffer = Vec::new();
        let map = self.build_map(&mut buffer, &mut stats)?;
        let Some(latest) = map.latest() else {
            return Ok(stats);
        };
        let end = latest.plus(1);
        stats.map_percent = map.percent_full();
        let upper_bound = self.cleanable.upper_bound;
        let mut filter = Filter {
            map: &map,
            transactions: self.transactions(Offset::ZERO, upper_bound),
            last_records: Default::default(),
            upper_bound,
            now_ms: self.now.ms(),
            delete_retention_ms: self.settings.delete_retention_ms,
        };
        let count = self
            .cleanable
            .segments
            .partition_point(|segment| segment.base() < end);
        let (cleaned, behind) = self.cleanable.segments.split_at(count);
        let behind = behind.first().map_or(upper_bound, |next| next.base());
        let groups = group(cleaned, self.settings, behind);
        for (number, group) in groups.iter().enumerate() {
            let next = groups.get(number + 1).and_then(|next| next.first());
            let end = next.map_or(behind, |next| next.base());
            filter.last_records = last_records(&self.log.writer.lock().producers);
            let new = self.write_group(group, end, &mut filter, &mut buffer, &mut stats)?;
            if new.is_changed || group.len() > 1 {
                self.log.swap_in(group, new, state)?;
                stats.swaps += 1;
            } else {
                self.log.keep_aborted(&new)?;
            }
        }
        let disk = &*self.log.shared.env.disk;
        let next = CleanState {
            first_dirty: Some(end),
            ..*state
        };
        self.log
            .in_folder(|| next.write(disk, &self.log.folder()))?;
        *state = next;
        Ok(stats)
    }

    /// The aborted transactions with records in `from..end`.
    fn transactions(&self, from: Offset, end: Offset) -> CleanedTransactions {
        let view = self.log.view.lock();
        let aborted = view.transactions.aborted().iter().copied();
        CleanedTransactions::new(
            aborted.filter(|aborted| aborted.first < end && aborted.last >= from),
        )
    }

    /// The keys of the uncleaned part, or of as much of it as fits.
    fn build_map(
        &self,
        buffer: &mut Vec<u8>,
        stats: &mut Cleaned,
    ) -> Result<OffsetMap, CleanError> {
        let start = self.cleanable.first_dirty;
        let upper_bound = self.cleanable.upper_bound;
        let share = self.cleaner.share(ENTRY_BYTES);
        // There are no more keys than offsets.
        let offsets = usize::try_from(upper_bound.since(start)).unwrap_or(usize::MAX);
        let keys_max = share.keys_max.min(offsets.saturating_add(1));
        let mut map = OffsetMap::new(keys_max, self.cleaner.load_factor, self.seed);
        let mut transactions = self.transactions(start, upper_bound);
        let dirty = self.cleanable.dirty();
        for (number, segment) in dirty.iter().enumerate() {
            let end = dirty
                .get(number + 1)
                .map_or(upper_bound, |next| next.base());
            if !self.map_segment(segment, end, &mut map, &mut transactions, buffer, stats)? {
                return Ok(map);
            }
            if let Some(last) = Offset::new(end.value() - 1) {
                // Behind its last batch there may be a gap.
                map.reach(last);
            }
        }
        Ok(map)
    }

    /// Puts the keys of a segment into the map. False if they do not fit.
    fn map_segment(
        &self,
        segment: &Arc<Segment>,
        end: Offset,
        map: &mut OffsetMap,
        transactions: &mut CleanedTransactions,
        buffer: &mut Vec<u8>,
        stats: &mut Cleaned,
    ) -> Result<bool, CleanError> {
        let start = self.cleanable.first_dirty;
        let file = self.log.file(segment)?;
        let chunk = self.cleaner.share(ENTRY_BYTES).buffer_bytes;
        let offsets = segment.base()..end;
        let size = segment.size();
        let mut batches = BatchReader::new(file.disk_file(), offsets, 0, size, buffer, chunk);
        loop {
            let position = batches.position();
            let mut read = |bytes| self.read(bytes, stats);
            let Some((header, bytes)) = batches.next(&mut read)? else {
                return Ok(true);
            };
            let mapped = map_batch(&header, bytes, start, map, transactions);
            match mapped {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(cause) => return Err(batches.corrupt_at(position, cause)),
            }
            if header.last() >= start {
                map.reach(header.last());
            }
        }
    }

    fn read(&self, bytes: usize, stats: &mut Cleaned) -> Result<(), CleanError> {
        stats.bytes_read += bytes as u64;
        self.pace.transferred(bytes)
    }

    /// Writes what stays of a group of segments into files beside the log, durably.
    fn write_group(
        &self,
        group: &[Arc<Segment>],
        end: Offset,
        filter: &mut Filter<'_>,
        buffer: &mut Vec<u8>,
        stats: &mut Cleaned,
    ) -> Result<CleanedSegment, CleanError> {
        let base = group.first().map_or(Offset::ZERO, |first| first.base());
        let folder = self.log.folder();
        let disk = &*self.log.shared.env.disk;
        let total: u64 = group.iter().map(|old| u64::from(old.size())).sum();
        // A batch with a new horizon may be a little larger than it was.
        let spare = u64::from(i32::MAX.unsigned_abs()).saturating_sub(total);
        let create = |part| -> io::Result<Arc<dyn DiskFile>> {
            let file = disk.open(&part_path(&folder, base, part), OpenMode::CreateIfMissing)?;
            file.set_length(0)?;
            Ok(file)
        };
        let files = self.log.in_folder(|| {
            Ok(OutputFiles {
                log: create(SegmentPart::CleanedLog)?,
                offset_index: create(SegmentPart::CleanedOffsetIndex)?,
                time_index: create(SegmentPart::CleanedTimeIndex)?,
            })
        })?;
        let chunk = self.cleaner.share(ENTRY_BYTES).buffer_bytes;
        let mut out = Output::new(
            base,
            files,
            self.settings.index_interval_bytes,
            chunk,
            spare,
        );
        for (number, old) in group.iter().enumerate() {
            let old_end = group.get(number + 1).map_or(end, |next| next.base());
            self.filter_segment(old, old_end, filter, buffer, &mut out, stats)?;
            out.facts.appended_ms = old.facts().appended_ms;
        }
        let is_changed = out.is_changed;
        let (segment, file) = out.finish(self.pace, stats)?;
        Ok(CleanedSegment {
            segment,
            file,
            end,
            aborted: filter.transactions.take_retained(),
            is_changed,
        })
    }

    fn filter_segment(
        &self,
        old: &Arc<Segment>,
        end: Offset,
        filter: &mut Filter<'_>,
        buffer: &mut Vec<u8>,
        out: &mut Output,
        stats: &mut Cleaned,
    ) -> Result<(), CleanError> {
        let file = self.log.file(old)?;
        let chunk = self.cleaner.share(ENTRY_BYTES).buffer_bytes;
        let offsets = old.base()..end;
        let size = old.size();
        let mut batches = BatchReader::new(file.disk_file(), offsets, 0, size, buffer, chunk);
        loop {
            let position = batches.position();
            let mut read = |bytes| self.read(bytes, stats);
            let Some((header, bytes)) = batches.next(&mut read)? else {
                return Ok(());
            };
            let kept = match filter.filter(&header, bytes) {
                Ok(kept) => kept,
                Err(cause) => return Err(batches.corrupt_at(position, cause)),
            };
            stats.records_read += u64::from(header.count.unsigned_abs());
            out.put(&header, bytes, kept, self.pace, stats)?;
        }
    }
}

/// Puts the keys of a batch into the map. False if they do not fit.
fn map_batch(
    header: &BatchHeader,
    bytes: &[u8],
    start: Offset,
    map: &mut OffsetMap,
    transactions: &mut CleanedTransactions,
) -> Result<bool, super::errors::Corruption> {
    let view = BatchView::parse(bytes)?;
    let producer = header.producer_id;
    if !header.is_control() {
        let transactional = header.is_transactional();
        if transactions.pass_batch(producer, transactional, header.last()) {
            // Its records go: they hide no others.
            return Ok(true);
        }
        if header.last() < start {
            return Ok(true);
        }
    }
    let payload = view
        .payload(INFLATED_BYTES_MAX)
        .map_err(PayloadError::from)?;
    if header.is_control() {
        let kind = marker_kind(&view, &payload)?;
        transactions.pass_marker(producer, header.last(), kind);
        return Ok(true);
    }
    for record in view.records(&payload) {
        let record = record.map_err(PayloadError::from)?;
        let offset = Offset::new(view.offset_of(record.offset_delta));
        if let (Some(key), Some(offset)) = (record.key, offset)
            && offset >= start
            && !map.put(key, offset)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The files of a segment that is being written.
#[derive(Debug)]
struct OutputFiles {
    log: Arc<dyn DiskFile>,
    offset_index: Arc<dyn DiskFile>,
    time_index: Arc<dyn DiskFile>,
}

/// A segment that is being written.
#[derive(Debug)]
struct Output {
    base: Offset,
    files: OutputFiles,
    facts: SegmentFacts,
    index: SegmentIndex,
    index_interval_bytes: u32,
    /// What is not written yet.
    pending: Vec<u8>,
    /// Behind the last batch.
    end: Offset,
    written: u32,
    chunk: usize,
    /// By how much rewritten batches may be larger than they were.
    spare: u64,
    is_changed: bool,
}

impl Output {
    fn new(
        base: Offset,
        files: OutputFiles,
        index_interval_bytes: u32,
        chunk: usize,
        spare: u64,
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
            spare,
            is_changed: false,
        }
    }

    /// Adds what stays of a batch.
    fn put(
        &mut self,
        header: &BatchHeader,
        bytes: &[u8],
        kept: Kept,
        pace: &dyn Pace,
        stats: &mut Cleaned,
    ) -> Result<(), CleanError> {
        let rewritten = match kept {
            Kept::Nothing => {
                self.is_changed = true;
                return Ok(());
            }
            Kept::Verbatim => None,
            Kept::Rewritten(new) => {
                let growth = (new.len() as u64).saturating_sub(bytes.len() as u64);
                // No segment may be larger than 2 GiB: then what could go stays.
                let fits = growth <= self.spare;
                self.spare -= if fits { growth } else { 0 };
                self.is_changed |= fits;
                fits.then_some(new)
            }
        };
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
    fn finish(
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
