//! Cleaning one log: the map of its keys, then group after group of its segments written anew and swapped in.
//!
//! Invariants: memory is bounded by the map and two buffers, or by the largest batch; a group is swapped in only once its
//! files are durable; nothing of the log changes before; the old segments of a group are let go with its swap. Source: Kafka's `Cleaner`.

use std::io;
use std::sync::Arc;

use env::disk::{DiskFile, OpenMode};
use types::{Offset, Timestamp};

use super::batches::BatchReader;
use super::errors::CleanError;
use super::filter::{Filter, last_records};
use super::keys::KeyMapper;
use super::offset_map::{ENTRY_BYTES, OffsetMap};
use super::output::{Output, OutputFiles};
use super::plan::{Cleanable, group};
use super::settings::CleanerSettings;
use super::state::CleanState;
use super::transactions::CleanedTransactions;
use crate::files::{SegmentPart, part_path};
use crate::local_log::LocalLog;
use crate::segment::Segment;
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
    /// Batches that stay as they are because their records cannot be read.
    pub(crate) unreadable: u64,
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
    pub(crate) cleaner: &'a CleanerSettings,
    pub(crate) settings: &'a LogSettings,
    pub(crate) pace: &'a dyn Pace,
    pub(crate) now: Timestamp,
    /// Drawn for this cleaning.
    pub(crate) seed: u64,
}

impl Rewrite<'_> {
    /// Cleans the log and returns what it did. `state` says how far it got, also after an error.
    pub(crate) fn run(
        &self,
        cleanable: Cleanable,
        state: &mut CleanState,
    ) -> Result<Cleaned, CleanError> {
        let mut stats = Cleaned::default();
        if let Some(lost) = cleanable.segments.iter().find(|one| one.is_lost()) {
            let segment = lost.base();
            return Err(CleanError::Lost { segment });
        }
        self.log.remove_unfinished()?;
        let mut buffer = Vec::new();
        let map = self.build_map(&cleanable, &mut buffer, &mut stats)?;
        let Some(latest) = map.latest() else {
            return Ok(stats);
        };
        let end = latest.plus(1);
        stats.map_percent = map.percent_full();
        let upper_bound = cleanable.upper_bound;
        let mut filter = Filter {
            map: &map,
            transactions: self.transactions(Offset::ZERO, upper_bound),
            last_records: Default::default(),
            upper_bound,
            now_ms: self.now.ms(),
            delete_retention_ms: self.settings.delete_retention_ms,
            unreadable: 0,
        };
        let mut cleaned = cleanable.segments;
        let count = cleaned.partition_point(|segment| segment.base() < end);
        let behind = cleaned.split_off(count);
        let behind = behind.first().map_or(upper_bound, |next| next.base());
        let mut groups = group(&cleaned, self.settings, behind)
            .into_iter()
            .peekable();
        // What is replaced is held open as long as somebody holds it: not here, for longer than its own turn.
        drop(cleaned);
        while let Some(group) = groups.next() {
            let next = groups.peek().and_then(|next| next.first());
            let end = next.map_or(behind, |next| next.base());
            filter.last_records = last_records(&self.log.writer.lock().producers);
            let new = self.write_group(&group, end, &mut filter, &mut buffer, &mut stats)?;
            if new.is_changed || group.len() > 1 {
                self.log.swap_in(group, new, state)?;
                stats.swaps += 1;
            } else {
                self.log.keep_aborted(&new)?;
            }
        }
        stats.unreadable = filter.unreadable;
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
        cleanable: &Cleanable,
        buffer: &mut Vec<u8>,
        stats: &mut Cleaned,
    ) -> Result<OffsetMap, CleanError> {
        let start = cleanable.first_dirty;
        let upper_bound = cleanable.upper_bound;
        let share = self.cleaner.share(ENTRY_BYTES);
        // There are no more keys than offsets.
        let offsets = usize::try_from(upper_bound.since(start)).unwrap_or(usize::MAX);
        let keys_max = share.keys_max.min(offsets.saturating_add(1));
        let mut map = OffsetMap::new(keys_max, self.cleaner.load_factor, self.seed);
        let mut transactions = self.transactions(start, upper_bound);
        let dirty = cleanable.dirty();
        for (number, segment) in dirty.iter().enumerate() {
            let end = dirty
                .get(number + 1)
                .map_or(upper_bound, |next| next.base());
            let mut keys = KeyMapper {
                start,
                map: &mut map,
                transactions: &mut transactions,
            };
            if !self.map_segment(segment, end, &mut keys, buffer, stats)? {
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
        keys: &mut KeyMapper<'_>,
        buffer: &mut Vec<u8>,
        stats: &mut Cleaned,
    ) -> Result<bool, CleanError> {
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
            match keys.add(&header, bytes) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(cause) => return Err(batches.corrupt_at(position, cause)),
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
            total,
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
