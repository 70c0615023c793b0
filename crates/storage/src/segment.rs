//! One segment of a log: what is known of its file, and its sparse indexes while they are in memory.
//!
//! Invariant: the bytes below `size` are whole batches, appended by this process or recovered; what lies behind them in
//! the file (reserved space, a failed write) is nobody's. A segment whose file was found to be gone at opening has none, and
//! stays in the list until retention or a deletion passes it. Facts and indexes change together, under one short lock that is
//! never held over IO.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use types::{Offset, Timestamp};

use crate::LogSegment;
use crate::batch_header::BatchHeader;
use crate::files::SegmentFile;
use crate::offset_index::{OffsetEntry, OffsetIndex};
use crate::tail::{Kept, Tail};
use crate::time_index::{TimeEntry, TimeIndex};

/// What is known of a segment without looking into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFacts {
    /// Bytes of whole batches.
    pub(crate) size: u32,
    /// The largest timestamp of the first batch, from which `segment.ms` counts; when that has none, the wall clock.
    pub(crate) first_timestamp: i64,
    /// The largest timestamp of all; `None` if no batch has one.
    pub(crate) max_timestamp: Option<i64>,
    /// The last offset of the first batch that has it.
    pub(crate) max_timestamp_last: Offset,
    /// When this segment was last appended to, by the wall clock; stands in for records without timestamps.
    pub(crate) appended_ms: i64,
    /// Whether some batch is compressed with zstd.
    pub(crate) has_zstd: bool,
    /// Whether cleaning may have left offsets out.
    pub(crate) has_gaps: bool,
    /// Records that every reader sees: outside of transactions. Saturates; 0 if an older version wrote what is known.
    pub(crate) plain_records: u32,
}

impl SegmentFacts {
    pub(crate) fn empty(base: Offset, now_ms: i64) -> Self {
        Self {
            size: 0,
            first_timestamp: now_ms,
            max_timestamp: None,
            max_timestamp_last: base,
            appended_ms: now_ms,
            has_zstd: false,
            has_gaps: false,
            plain_records: 0,
        }
    }

    /// What is left to know of a segment once its file is gone: until when retention would have kept it.
    fn lost(self) -> Self {
        Self {
            size: 0,
            max_timestamp: None,
            appended_ms: self.largest_timestamp(),
            has_zstd: false,
            plain_records: 0,
            ..self
        }
    }

    /// The time that retention goes by.
    pub(crate) fn largest_timestamp(&self) -> i64 {
        self.max_timestamp.unwrap_or(self.appended_ms)
    }

    /// Takes a batch at the end into account.
    pub(crate) fn add(&mut self, header: &BatchHeader) {
        // Cleaning leaves batches without records: no record has their timestamp.
        let timestamp =
            (header.max_timestamp >= 0 && header.count > 0).then_some(header.max_timestamp);
        if self.size == 0 {
            self.first_timestamp = timestamp.unwrap_or(self.appended_ms);
        }
        if timestamp > self.max_timestamp {
            self.max_timestamp = timestamp;
            self.max_timestamp_last = header.last();
        }
        self.has_zstd |= header.is_zstd();
        if !header.is_transactional() && !header.is_control() {
            let records = u32::try_from(header.count).unwrap_or(0);
            self.plain_records = self.plain_records.saturating_add(records);
        }
        self.size += header.size;
    }
}

/// Both indexes of a segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct SegmentIndex {
    pub(crate) offsets: OffsetIndex,
    pub(crate) times: TimeIndex,
    /// Where the last batch with an entry begins.
    indexed_to: u32,
}

impl SegmentIndex {
    pub(crate) fn new(offsets: OffsetIndex, times: TimeIndex) -> Self {
        let indexed_to = offsets.entries().last().map_or(0, |entry| entry.position);
        Self {
            offsets,
            times,
            indexed_to,
        }
    }

    /// Adds entries for the batch at `position` if the last entry is far enough away. `facts` include the batch.
    pub(crate) fn add(
        &mut self,
        base: Offset,
        position: u32,
        header: &BatchHeader,
        facts: &SegmentFacts,
        interval_bytes: u32,
    ) {
        if position.saturating_sub(self.indexed_to) < interval_bytes.max(1) {
            return;
        }
        let Some(last) = relative(base, header.last()) else {
            return;
        };
        self.indexed_to = position;
        self.offsets.push(OffsetEntry { last, position });
        self.add_time(base, facts);
    }

    /// Adds the entry that ends a time index: the largest timestamp of the segment.
    pub(crate) fn add_time(&mut self, base: Offset, facts: &SegmentFacts) {
        if let (Some(timestamp), Some(last)) = (
            facts.max_timestamp,
            relative(base, facts.max_timestamp_last),
        ) {
            self.times.push(TimeEntry { timestamp, last });
        }
    }

    /// Bytes of memory, about.
    pub(crate) fn memory(&self) -> usize {
        self.offsets.entries().len() * 8 + self.times.entries().len() * 16 + 64
    }
}

fn relative(base: Offset, offset: Offset) -> Option<u32> {
    // Kafka reads these fields as signed.
    u32::try_from(offset.since(base))
        .ok()
        .filter(|relative| *relative <= i32::MAX.unsigned_abs())
}

/// One segment.
#[derive(Debug)]
pub(crate) struct Segment {
    base: Offset,
    /// Its file is gone: it stands for the offsets that readers must not skip unawares.
    is_lost: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    facts: SegmentFacts,
    index: Option<Arc<SegmentIndex>>,
    index_used: bool,
    /// Entries that are in the index files already: offsets, times.
    saved: (usize, usize),
    verified: VerifiedRanges,
    tail: Tail,
    /// Whether the tail keeps bytes.
    is_keeping: bool,
    file: Option<Arc<SegmentFile>>,
    /// Cleaning gave its name to another: the open file is all there is.
    is_replaced: bool,
}

impl Segment {
    /// A new segment, whose index lives in memory from the beginning.
    pub(crate) fn create(base: Offset, now_ms: i64) -> Arc<Self> {
        let facts = SegmentFacts::empty(base, now_ms);
        Self::with(base, facts, Some(SegmentIndex::default()))
    }

    /// A segment that an earlier process wrote; its index is loaded when it is needed.
    pub(crate) fn known(base: Offset, facts: SegmentFacts) -> Arc<Self> {
        Self::with(base, facts, None)
    }

    /// A segment whose file is gone, of which `facts` were known.
    pub(crate) fn lost(base: Offset, facts: SegmentFacts) -> Arc<Self> {
        Self::build(base, true, facts.lost(), None)
    }

    /// A segment that was just read, with the index that was built on the way.
    pub(crate) fn with(
        base: Offset,
        facts: SegmentFacts,
        index: Option<SegmentIndex>,
    ) -> Arc<Self> {
        Self::build(base, false, facts, index)
    }

    fn build(
        base: Offset,
        is_lost: bool,
        facts: SegmentFacts,
        index: Option<SegmentIndex>,
    ) -> Arc<Self> {
        Arc::new(Self {
            base,
            is_lost,
            state: Mutex::new(State {
                facts,
                index: index.map(Arc::new),
                index_used: false,
                saved: (0, 0),
                verified: VerifiedRanges::default(),
                tail: Tail::default(),
                is_keeping: false,
                file: None,
                is_replaced: false,
            }),
        })
    }

    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    /// Whether its file is gone.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }

    pub(crate) fn facts(&self) -> SegmentFacts {
        self.state.lock().facts
    }

    pub(crate) fn size(&self) -> u32 {
        self.state.lock().facts.size
    }

    /// What it is now; it ends at `end`, and is not the one that is appended to.
    pub(crate) fn describe(&self, end: Offset) -> LogSegment {
        let facts = self.facts();
        LogSegment {
            base: self.base,
            end,
            bytes: facts.size.into(),
            largest_timestamp: facts.max_timestamp.map(Timestamp::from_ms),
            appended: Timestamp::from_ms(facts.appended_ms),
            is_active: false,
            is_lost: self.is_lost,
            has_only_records: u64::from(facts.plain_records) == end.since(self.base),
        }
    }

    /// Takes a batch into account that was written at the end.
    pub(crate) fn add(
        &self,
        header: &BatchHeader,
        kept: Option<Kept>,
        interval_bytes: u32,
        now_ms: i64,
    ) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let position = state.facts.size;
        state.facts.add(header);
        state.facts.appended_ms = now_ms;
        if let Some(index) = &mut state.index {
            Arc::make_mut(index).add(self.base, position, header, &state.facts, interval_bytes);
        }
        if let Some(base) = relative(self.base, header.base()) {
            state.tail.push(base, position, kept);
        }
        // Its checksum was compared when it was accepted.
        state.verified.add(position, state.facts.size, header.end());
    }

    /// Whether `offset` can be expressed in this segment's indexes.
    pub(crate) fn can_hold(&self, offset: Offset) -> bool {
        relative(self.base, offset).is_some()
    }

    pub(crate) fn has_index(&self) -> bool {
        self.state.lock().index.is_some()
    }

    pub(crate) fn index(&self) -> Option<Arc<SegmentIndex>> {
        self.state.lock().index.clone()
    }

    /// Keeps an index that was loaded or built, `saved` entries of which are in the files.
    pub(crate) fn keep_index(&self, index: Arc<SegmentIndex>, saved: (usize, usize)) {
        let mut state = self.state.lock();
        state.index = Some(index);
        state.saved = saved;
    }

    /// The index in memory, and that it is in use.
    pub(crate) fn use_index(&self) -> Option<Arc<SegmentIndex>> {
        let mut state = self.state.lock();
        state.index_used = true;
        state.index.clone()
    }

    /// Drops the index from memory if it was not used since the last call and all of it is in the files. Returns
    /// whether it is still there.
    pub(crate) fn drop_index_unless_used(&self) -> bool {
        let mut state = self.state.lock();
        let Some(index) = &state.index else {
            return false;
        };
        let lengths = (index.offsets.entries().len(), index.times.entries().len());
        if std::mem::take(&mut state.index_used) || state.saved != lengths {
            return true;
        }
        state.index = None;
        false
    }

    /// The index and how many of its entries are in the files.
    pub(crate) fn unsaved_index(&self) -> Option<(Arc<SegmentIndex>, (usize, usize))> {
        let state = self.state.lock();
        let index = state.index.clone()?;
        Some((index, state.saved))
    }

    pub(crate) fn note_saved(&self, saved: (usize, usize)) {
        self.state.lock().saved = saved;
    }

    /// Ends the time index: no batch follows in this segment.
    pub(crate) fn finish_index(&self) {
        let mut state = self.state.lock();
        let state = &mut *state;
        if let Some(index) = &mut state.index {
            Arc::make_mut(index).add_time(self.base, &state.facts);
        }
        state.tail = Tail::default();
        state.is_keeping = false;
    }

    /// Where the batch begins that contains `offset`, if it was appended lately.
    pub(crate) fn recent_position(&self, offset: Offset) -> Option<u32> {
        let relative = relative(self.base, offset)?;
        self.state.lock().tail.position_of(relative)
    }

    /// Where the last of the lately appended batches begins that begins in `(after, limit]`.
    pub(crate) fn recent_boundary(&self, after: u32, limit: u32) -> Option<u32> {
        self.state.lock().tail.boundary(after, limit)
    }

    /// The bytes of `start..stop`, if they were appended lately and kept.
    pub(crate) fn recent_bytes(&self, start: u32, stop: u32) -> Option<Bytes> {
        self.state.lock().tail.bytes(start, stop)
    }

    /// Notes that the tail keeps bytes. Returns whether that is news.
    pub(crate) fn begin_keeping(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().is_keeping, true)
    }

    /// Gives the bytes of the tail back.
    pub(crate) fn stop_keeping(&self) {
        let mut state = self.state.lock();
        state.is_keeping = false;
        state.tail.forget_bytes();
    }

    /// The first part of `from..to` that nobody checked in this process, and the offset at which it begins if that is
    /// known from what lies before it.
    pub(crate) fn unverified(&self, from: u32, to: u32) -> Option<(u32, u32, Option<Offset>)> {
        let state = self.state.lock();
        let (from, to) = state.verified.missing(from, to)?;
        let first = if from == 0 && !state.facts.has_gaps {
            Some(self.base)
        } else {
            state.verified.offset_at(from)
        };
        Some((from, to, first))
    }

    /// Notes that the bytes `from..to` were checked; `end` is the offset behind the last batch in them.
    pub(crate) fn note_verified(&self, from: u32, to: u32, has_zstd: bool, end: Offset) {
        let mut state = self.state.lock();
        state.verified.add(from, to, end);
        state.facts.has_zstd |= has_zstd;
    }

    pub(crate) fn open_file(&self) -> Option<Arc<SegmentFile>> {
        self.state.lock().file.clone()
    }

    /// Keeps `file` unless there is one; returns the one that is kept and whether it is the given one.
    pub(crate) fn keep_file(&self, file: Arc<SegmentFile>) -> (Arc<SegmentFile>, bool) {
        let mut state = self.state.lock();
        match &state.file {
            Some(kept) => (Arc::clone(kept), false),
            None => {
                state.file = Some(Arc::clone(&file));
                (file, true)
            }
        }
    }

    /// Cleaning is about to take the segment's name away: from now on its files are known by `file` only, which stays
    /// open as long as somebody holds the segment.
    pub(crate) fn mark_replaced(&self, file: Arc<SegmentFile>) {
        let mut state = self.state.lock();
        state.file.get_or_insert(file);
        state.is_replaced = true;
    }

    /// The name was not taken away.
    pub(crate) fn forget_replaced(&self) {
        self.state.lock().is_replaced = false;
    }

    /// Whether files of the segment's name may be another's.
    pub(crate) fn is_replaced(&self) -> bool {
        self.state.lock().is_replaced
    }

    /// Gives the open file up if it was not used since the last call. Returns whether it is still kept.
    pub(crate) fn close_unless_used(&self) -> bool {
        let mut state = self.state.lock();
        if state.is_replaced {
            return false;
        }
        match &state.file {
            Some(file) if file.take_used() => true,
            _ => {
                state.file = None;
                false
            }
        }
    }
}

/// Byte ranges whose checksums were compared in this process; few, since readers go forward.
#[derive(Debug, Default)]
struct VerifiedRanges {
    /// Ascending, disjoint, not touching; with the offset behind the last batch of each.
    ranges: Vec<(u32, u32, Offset)>,
}

impl VerifiedRanges {
    /// More ranges than this are not remembered: the smallest is forgotten and checked again when it is read.
    const LIMIT: usize = 16;

    fn add(&mut self, from: u32, to: u32, end_offset: Offset) {
        if from >= to {
            return;
        }
        if let Some(last) = self.ranges.last_mut()
            && last.1 == from
        {
            last.1 = to;
            last.2 = end_offset;
            return;
        }
        let first = self.ranges.partition_point(|range| range.1 < from);
        let end = self.ranges.partition_point(|range| range.0 <= to);
        let touching = self.ranges.get(first..end).unwrap_or_default();
        let from = touching.first().map_or(from, |range| range.0.min(from));
        let (to, end_offset) = match touching.last() {
            Some(range) if range.1 > to => (range.1, range.2),
            _ => (to, end_offset),
        };
        self.ranges
            .splice(first..end.max(first), [(from, to, end_offset)]);
        if self.ranges.len() > Self::LIMIT {
            let smallest = (0..self.ranges.len())
                .min_by_key(|index| self.ranges.get(*index).map(|range| range.1 - range.0));
            if let Some(index) = smallest {
                self.ranges.remove(index);
            }
        }
    }

    /// The offset of the batch at `position`, if a range ends there.
    fn offset_at(&self, position: u32) -> Option<Offset> {
        let index = self.ranges.partition_point(|range| range.1 < position);
        let range = self.ranges.get(index)?;
        (range.1 == position).then_some(range.2)
    }

    fn missing(&self, from: u32, to: u32) -> Option<(u32, u32)> {
        let index = self.ranges.partition_point(|range| range.1 <= from);
        let Some(range) = self.ranges.get(index) else {
            return (from < to).then_some((from, to));
        };
        let start = if range.0 <= from { range.1 } else { from };
        let next = if range.0 <= from {
            self.ranges.get(index + 1).map_or(to, |range| range.0)
        } else {
            range.0
        };
        let end = to.min(next);
        (start < end).then_some((start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verified_ranges_merge_and_name_what_is_missing() {
        let mut ranges = VerifiedRanges::default();
        assert_eq!(ranges.missing(0, 10), Some((0, 10)));
        let at = |value| Offset::new(value).unwrap();
        ranges.add(10, 20, at(2));
        ranges.add(30, 40, at(4));
        assert_eq!(ranges.offset_at(20), Some(at(2)));
        assert_eq!(ranges.offset_at(21), None);
        assert_eq!(ranges.missing(0, 40), Some((0, 10)));
        assert_eq!(ranges.missing(10, 40), Some((20, 30)));
        assert_eq!(ranges.missing(15, 20), None);
        assert_eq!(ranges.missing(35, 50), Some((40, 50)));
        ranges.add(20, 30, at(3));
        assert_eq!(ranges.ranges, [(10, 40, at(4))]);
        ranges.add(0, 100, at(9));
        assert_eq!(ranges.ranges, [(0, 100, at(9))]);
    }

    #[test]
    fn only_so_many_ranges_are_remembered() {
        let mut ranges = VerifiedRanges::default();
        for number in 0..100 {
            ranges.add(number * 10, number * 10 + 1 + number % 7, Offset::ZERO);
        }
        assert_eq!(ranges.ranges.len(), VerifiedRanges::LIMIT);
    }
}
