//! Reading: from an offset to slices of files, and from a timestamp to an offset.
//!
//! Invariants: a slice holds whole batches below the bound of the reader; bytes that this process did not append are
//! read once and compared with their checksums before they are handed out; a corrupt batch, or a segment that is gone or
//! cannot be read, ends a plan before it, and is an error for who asks for it, while what follows it is still served.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use protocol::records::BatchView;
use protocol::{FileHandle, FileSlice, Slice};
use types::{Offset, Timestamp};

use crate::batch_header::{BatchHeader, HEADER_BYTES};
use crate::chain::Chain;
use crate::files::SegmentFile;
use crate::inflate::inflate_stored;
use crate::local_log::{LocalLog, Mark, Status};
use crate::offset_index::OffsetEntry;
use crate::planted::{Bug, is_planted};
use crate::scan::{CHUNK_BYTES, Check, Scanner, Step};
use crate::segment::{Segment, SegmentIndex};
use crate::tail::MEMORY_READ_BYTES_MAX;
use crate::validate::NO_TIMESTAMP;
use crate::{Isolation, ReadError, ReadPlan, TimestampQuery, TimestampedOffset};

/// How much is read at once to walk over headers: enough for an interval of the index with small batches.
const WALK_BYTES: usize = 16 * 1024;

/// Segments of a read and where it has to stop.
#[derive(Debug)]
struct Span {
    segments: Vec<Arc<Segment>>,
    bound: Mark,
    /// How often segments had been replaced by then.
    generation: u32,
}

/// What is left of the bytes that a reader wants.
#[derive(Clone, Copy, Debug)]
struct Room {
    bytes: usize,
    /// Nothing was found before.
    is_first: bool,
    /// The first batch comes even if it is larger.
    at_least_one: bool,
}

/// What of a segment a read gets.
#[derive(Debug)]
struct Piece {
    file: Arc<SegmentFile>,
    start: u32,
    /// As far as the reader wants it.
    stop: u32,
    /// As far as it is whole.
    intact: u32,
}

impl Span {
    /// The byte position in `segment` that readers may not pass.
    fn end_of(&self, segment: &Segment) -> u32 {
        if segment.base() == self.bound.segment {
            self.bound.position
        } else {
            segment.size()
        }
    }
}

impl LocalLog {
    pub(crate) fn plan_read(
        &self,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
        at_least_one: bool,
    ) -> Result<ReadPlan, ReadError> {
        self.shared.metrics.reads.add(1);
        let plan = loop {
            match self.fill_plan(from, max_bytes, isolation, at_least_one) {
                Ok(Some(plan)) => break Ok(plan),
                // Segments were cleaned or given up meanwhile, and their aborted transactions with them.
                Ok(None) => {}
                Err(error) => break Err(error),
            }
        };
        match plan {
            // Retention may have taken a segment away between the look at the log and the look at its file.
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                self.begin_read(from, max_bytes, isolation)?;
                Err(ReadError::Io(error))
            }
            plan => plan,
        }
    }

    /// `None` if the log has changed so that the aborted transactions of what was planned are no longer known.
    fn fill_plan(
        &self,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
        at_least_one: bool,
    ) -> Result<Option<ReadPlan>, ReadError> {
        let (mut plan, span) = self.begin_read(from, max_bytes, isolation)?;
        let is_last = |segment| {
            span.segments
                .last()
                .is_some_and(|last| Arc::ptr_eq(last, segment))
        };
        let first_offset = from;
        let mut from = Some(from);
        let mut end_offset = span.bound.offset;
        for segment in &span.segments {
            let end = span.end_of(segment);
            let room = Room {
                bytes: max_bytes.saturating_sub(plan.length),
                is_first: plan.slices.is_empty(),
                at_least_one,
            };
            let piece = match self.piece_of(segment, from, end, room) {
                Ok(Some(piece)) => piece,
                // A gap that compaction left at the end of the segment: the next one goes on.
                Ok(None) => continue,
                // What was found before is answered; who begins here is told.
                Err(_) if !plan.slices.is_empty() => {
                    end_offset = end_offset.min(segment.base());
                    break;
                }
                Err(error) => return Err(error),
            };
            from = None;
            let Piece {
                file,
                start,
                stop,
                intact,
            } = piece;
            if intact > start {
                plan.has_zstd |= segment.facts().has_zstd;
                let kept = (intact - start <= MEMORY_READ_BYTES_MAX)
                    .then(|| segment.recent_bytes(start, intact))
                    .flatten();
                push_slice(&mut plan, Arc::clone(&file), start, intact, kept);
            }
            if intact < end {
                plan.is_limited = stop < end && intact == stop;
                if isolation == Isolation::ReadCommitted {
                    let behind = self.offset_behind(segment, &file, intact)?;
                    end_offset = end_offset.min(behind);
                }
                break;
            }
            // The segments behind the span were left out because of `max_bytes`.
            plan.is_limited = is_last(segment) && segment.base() != span.bound.segment;
            if plan.is_limited {
                end_offset = end_offset.min(self.end_of_segment(segment));
            }
        }
        if isolation == Isolation::ReadCommitted && plan.length > 0 {
            let view = self.view.lock();
            if view.generation != span.generation || view.log_start > first_offset {
                return Ok(None);
            }
            if !is_planted(Bug::AbortedNotTold) {
                plan.aborted = view.transactions.aborted_in(first_offset, end_offset);
            }
        }
        self.shared.metrics.read_bytes.add(plan.length as u64);
        Ok(Some(plan))
    }

    /// What of a segment a read gets: from the batch with offset `from` on, or from its beginning. `None` if nothing in it is
    /// at or behind that offset.
    fn piece_of(
        &self,
        segment: &Arc<Segment>,
        from: Option<Offset>,
        end: u32,
        room: Room,
    ) -> Result<Option<Piece>, ReadError> {
        if segment.is_lost() {
            return Err(ReadError::Lost {
                first: segment.base(),
                end: self.end_of_segment(segment),
            });
        }
        let file = self.file(segment).map_err(ReadError::Io)?;
        let start = match from {
            Some(offset) => match self.locate(segment, &file, offset, end)? {
                Some(start) => start,
                None => return Ok(None),
            },
            None => 0,
        };
        let first = room.at_least_one && room.is_first;
        let stop = self.cut(segment, &file, start, end, room.bytes, first)?;
        let intact = self.verify(segment, &file, start, stop)?;
        if intact == start && stop > start && room.is_first {
            return Err(ReadError::Corrupt {
                segment: segment.base(),
                position: u64::from(start),
            });
        }
        Ok(Some(Piece {
            file,
            start,
            stop,
            intact,
        }))
    }

    /// An offset that no batch before `position` reaches, as near as the index knows
    /// (`LogSegment.fetchUpperBoundOffset`).
    fn offset_behind(
        &self,
        segment: &Arc<Segment>,
        file: &SegmentFile,
        position: u32,
    ) -> Result<Offset, ReadError> {
        let index = self.index_of(segment).map_err(ReadError::Io)?;
        let known = index.offsets.last_of_batch_from(position);
        let known = known.map(|last| segment.base().plus(u64::from(last)));
        // An index that is wrong must not hide that a transaction was aborted: the log itself has the last word.
        Ok(match (known, self.header_at(file, position)?) {
            (Some(known), Some(header)) => known.max(header.last()),
            _ => self.end_of_segment(segment),
        })
    }

    /// Where the next segment begins, or the log ends.
    fn end_of_segment(&self, segment: &Arc<Segment>) -> Offset {
        let view = self.view.lock();
        let next = view
            .segments
            .partition_point(|other| other.base() <= segment.base());
        view.segments
            .get(next)
            .map_or(view.log_end.offset, |next| next.base())
    }

    /// See [`crate::PartitionLog::is_ready`]: the place is known, the checksums were compared, the page cache holds it.
    pub(crate) fn is_read_ready(&self, from: Offset, max_bytes: usize) -> bool {
        let Ok((_, span)) = self.begin_read(from, max_bytes, Isolation::ReadUncommitted) else {
            // The error is found without the disk.
            return true;
        };
        let mut room = u32::try_from(max_bytes).unwrap_or(u32::MAX);
        for (number, segment) in span.segments.iter().enumerate() {
            let mut start = 0;
            if number == 0 && from > segment.base() {
                if segment.recent_position(from).is_some() {
                    // Appended a moment ago, and so is all that follows.
                    return true;
                }
                let Some(index) = segment.index() else {
                    return false;
                };
                start = index.offsets.floor(segment.base(), from);
            }
            let end = span.end_of(segment).min(start.saturating_add(room));
            if start >= end {
                continue;
            }
            let Some(file) = segment.open_file() else {
                return false;
            };
            let length = (end - start) as usize;
            if segment.unverified(start, end).is_some()
                || !file.disk_file().is_cached(u64::from(start), length)
            {
                return false;
            }
            room = room.saturating_sub(end - start);
        }
        true
    }

    fn check_readable(&self, status: &Status) -> Result<(), ReadError> {
        if matches!(status, Status::Deleted) {
            return Err(ReadError::Deleted);
        }
        match &self.unreadable {
            Some(error) => Err(ReadError::Io(io::Error::new(
                error.kind(),
                Arc::clone(error),
            ))),
            None => Ok(()),
        }
    }

    /// An empty plan, and the segments that may fill it.
    fn begin_read(
        &self,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<(ReadPlan, Span), ReadError> {
        let view = self.view.lock();
        self.check_readable(&view.status)?;
        let offsets = view.offsets(self.shared.leader_epoch);
        if from < offsets.log_start || from > offsets.log_end {
            return Err(ReadError::OffsetOutOfRange {
                requested: from,
                log_start: offsets.log_start,
                log_end: offsets.log_end,
            });
        }
        let plan = ReadPlan {
            offsets,
            ..ReadPlan::default()
        };
        let bound = match isolation {
            Isolation::ReadUncommitted => view.high_watermark,
            Isolation::ReadCommitted => view.last_stable(),
        };
        let mut segments = Vec::new();
        if from < bound.offset {
            let first = view.segment_of(from).unwrap_or_default();
            // The first segment may hold next to nothing behind `from`; those after it count in full.
            let mut bytes = 0;
            for segment in view.segments.get(first..).unwrap_or_default() {
                if segment.base() > bound.segment || bytes > max_bytes {
                    break;
                }
                if !segments.is_empty() {
                    bytes = bytes.saturating_add(segment.size() as usize);
                }
                segments.push(Arc::clone(segment));
            }
        }
        let generation = view.generation;
        let span = Span {
            segments,
            bound,
            generation,
        };
        Ok((plan, span))
    }

    /// Where the batch begins that contains `offset`, or else the first one behind it; `None` if that is not below
    /// `end`.
    fn locate(
        &self,
        segment: &Arc<Segment>,
        file: &SegmentFile,
        offset: Offset,
        end: u32,
    ) -> Result<Option<u32>, ReadError> {
        if offset <= segment.base() {
            return Ok((end > 0).then_some(0));
        }
        if let Some(position) = segment.recent_position(offset) {
            return Ok((position < end).then_some(position));
        }
        let index = self.index_of(segment).map_err(ReadError::Io)?;
        if let Some(entry) = index.offsets.ceiling(segment.base(), offset)
            && entry.position < end
            && let Some(header) = self.header_at(file, entry.position)?
            && header.base() <= offset
            && header.last() >= offset
            && header.last() == last_of(segment, entry)
        {
            return Ok(Some(entry.position));
        }
        // Where the batch at `position` begins.
        let (mut position, first) = self.floor(segment, file, &index, offset)?;
        let mut expected = Some(first);
        let below = self.end_of_segment(segment);
        let has_gaps = segment.facts().has_gaps;
        let corrupt = |position| ReadError::Corrupt {
            segment: segment.base(),
            position: u64::from(position),
        };
        // The last batch on the way whose base offset is damaged.
        let mut damaged = None;
        loop {
            self.shared.metrics.lookup_reads.add(1);
            let mut chain = Chain::new(expected, below, has_gaps);
            let mut walk = Scanner::new(file.disk_file(), position, end, WALK_BYTES);
            let broken = loop {
                match walk.step(Check::Headers).map_err(ReadError::Io)? {
                    Step::Batch { position, header } if !chain.follow(&header) => {
                        damaged = Some(position);
                    }
                    Step::Batch { position, header } if header.last() >= offset => {
                        return match damaged {
                            // The offset may have been in it.
                            Some(damaged) if header.base() > offset => Err(corrupt(damaged)),
                            _ => Ok(Some(position)),
                        };
                    }
                    Step::Batch { .. } => {}
                    Step::End => return damaged.map_or(Ok(None), |damaged| Err(corrupt(damaged))),
                    Step::Broken { position, .. } => break position,
                }
            };
            // The chain of lengths is broken here. The index knows where it goes on; if that is behind the offset, the
            // offset lies in the broken part.
            match index.offsets.entry_after(broken) {
                Some(next) if next.position < end => match self.header_at(file, next.position)? {
                    Some(header)
                        if base_of(segment, next, &header).is_none_or(|base| base <= offset) =>
                    {
                        position = next.position;
                        expected = base_of(segment, next, &header);
                    }
                    _ => return Err(corrupt(broken)),
                },
                _ => return Err(corrupt(broken)),
            }
        }
    }

    /// Where a batch begins at or before the one that contains `offset`, and its base offset: as near as the index knows. If
    /// no batch begins where the index says, or that or the entry is damaged, the chain from the start knows better.
    fn floor(
        &self,
        segment: &Segment,
        file: &SegmentFile,
        index: &SegmentIndex,
        offset: Offset,
    ) -> Result<(u32, Offset), ReadError> {
        if let Some(entry) = index.offsets.floor_entry(segment.base(), offset)
            && entry.position > 0
            && let Some(header) = self.header_at(file, entry.position)?
            && header.last() == last_of(segment, entry)
        {
            return Ok((entry.position, header.base()));
        }
        Ok((0, segment.base()))
    }

    /// The header at a position, if there is one.
    fn header_at(
        &self,
        file: &SegmentFile,
        position: u32,
    ) -> Result<Option<BatchHeader>, ReadError> {
        self.shared.metrics.lookup_reads.add(1);
        let mut header = [0; HEADER_BYTES];
        file.disk_file()
            .read_at(&mut header, u64::from(position))
            .map_err(ReadError::Io)?;
        Ok(BatchHeader::parse(&header).ok())
    }

    /// The end of the last batch that lies wholly within `room` bytes from `start`. With `first` that of the first
    /// batch, if even that one is larger.
    fn cut(
        &self,
        segment: &Arc<Segment>,
        file: &SegmentFile,
        start: u32,
        end: u32,
        room: usize,
        first: bool,
    ) -> Result<u32, ReadError> {
        let limit = start.saturating_add(u32::try_from(room).unwrap_or(u32::MAX));
        if limit >= end {
            return Ok(end);
        }
        if let Some(boundary) = segment.recent_boundary(start, limit) {
            return Ok(boundary);
        }
        let index = self.index_of(segment).map_err(ReadError::Io)?;
        // Index files are written without syncs: what they say holds only if a batch begins there. A part of a batch would
        // be taken for a damaged one.
        if let Some(entry) = index.offsets.boundary(start, limit)
            && (is_planted(Bug::IndexAheadOfLog)
                || self
                    .header_at(file, entry.position)?
                    .is_some_and(|header| header.last() == last_of(segment, entry)))
        {
            return Ok(entry.position);
        }
        self.shared.metrics.lookup_reads.add(1);
        let mut walk = Scanner::new(file.disk_file(), start, end, WALK_BYTES);
        let mut stop = start;
        while let Step::Batch { position, header } =
            walk.step(Check::Headers).map_err(ReadError::Io)?
        {
            let behind = position + header.size;
            if behind > limit && !(first && stop == start) {
                break;
            }
            stop = behind;
        }
        if stop == start && first {
            return Err(ReadError::Corrupt {
                segment: segment.base(),
                position: u64::from(start),
            });
        }
        Ok(stop)
    }

    /// Compares the checksums of what nobody looked at yet. Returns up to where all is well.
    fn verify(
        &self,
        segment: &Arc<Segment>,
        file: &SegmentFile,
        start: u32,
        stop: u32,
    ) -> Result<u32, ReadError> {
        // Goes forward whatever the segment remembers of what was verified: its memory is bounded.
        let mut at = start;
        let below = self.end_of_segment(segment);
        let has_gaps = segment.facts().has_gaps;
        while let Some((from, to, first)) = segment.unverified(at, stop) {
            // Where nothing is known before it, the place was looked up, and with it the first batch's base offset.
            let mut chain = Chain::new(first, below, has_gaps);
            let mut walk = Scanner::new(file.disk_file(), from, to, CHUNK_BYTES);
            let mut has_zstd = false;
            let mut end = None;
            let intact = loop {
                match walk.step(Check::Checksums).map_err(ReadError::Io)? {
                    Step::Batch { position, header } => {
                        let found = header.base();
                        if !chain.follow(&header) {
                            tracing::error!(
                                partition = %self.partition,
                                segment = %segment.base(),
                                position,
                                %found,
                                "the base offset of a record batch on disk is damaged; it is not served"
                            );
                            break position;
                        }
                        has_zstd |= header.is_zstd();
                        end = Some(header.end());
                    }
                    Step::End => break to,
                    Step::Broken { position, cause } => {
                        tracing::error!(
                            partition = %self.partition,
                            segment = %segment.base(),
                            position,
                            %cause,
                            "a record batch on disk is corrupt; it is not served"
                        );
                        break position;
                    }
                }
            };
            self.shared.metrics.verified_bytes.add(walk.bytes_read());
            if let Some(end) = end {
                segment.note_verified(from, intact, has_zstd, end);
            }
            if intact < to {
                return Ok(intact);
            }
            at = to;
        }
        Ok(stop)
    }

    pub(crate) fn find_timestamp(
        &self,
        query: TimestampQuery,
        isolation: Isolation,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let span = {
            let view = self.view.lock();
            self.check_readable(&view.status)?;
            let bound = match isolation {
                Isolation::ReadUncommitted => view.high_watermark,
                Isolation::ReadCommitted => view.last_stable(),
            };
            let segments = view.segments.iter().filter(|segment| !segment.is_lost());
            Span {
                segments: segments.cloned().collect(),
                bound,
                generation: view.generation,
            }
        };
        let log_start = self.view.lock().log_start;
        let found = match query {
            TimestampQuery::AtLeast(timestamp) => {
                self.first_at_least(&span.segments, timestamp.ms(), log_start)?
            }
            TimestampQuery::Largest => self.first_largest(&span.segments, log_start)?,
        };
        Ok(found
            .filter(|(offset, _)| *offset < span.bound.offset)
            .map(|(offset, timestamp)| TimestampedOffset {
                offset,
                timestamp: Timestamp::from_ms(timestamp),
                leader_epoch: self.view.lock().epochs.at(offset),
            }))
    }

    fn first_at_least(
        &self,
        segments: &[Arc<Segment>],
        timestamp: i64,
        log_start: Offset,
    ) -> Result<Option<(Offset, i64)>, ReadError> {
        for segment in segments {
            let facts = segment.facts();
            if facts.max_timestamp.is_none_or(|max| max < timestamp) {
                continue;
            }
            let index = self.index_of(segment).map_err(ReadError::Io)?;
            let file = self.file(segment).map_err(ReadError::Io)?;
            let older = self.older_up_to(segment, &file, &index, timestamp)?;
            let from = older.map_or(segment.base(), |last| last.plus(1));
            let (position, _) = self.floor(segment, &file, &index, from.max(log_start))?;
            let found = self.find_record(segment, &file, position, |header, offset, at| {
                header.max_timestamp >= timestamp && at >= timestamp && offset >= log_start
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The last offset up to which every timestamp in the segment is below `timestamp`, as far as the time index knows. An
    /// entry counts only if the batch that it names has that offset and that timestamp.
    fn older_up_to(
        &self,
        segment: &Arc<Segment>,
        file: &SegmentFile,
        index: &SegmentIndex,
        timestamp: i64,
    ) -> Result<Option<Offset>, ReadError> {
        let Some(entry) = index.times.last_older(timestamp) else {
            return Ok(None);
        };
        let last = segment.base().plus(u64::from(entry.last));
        let header = match self.locate(segment, file, last, segment.size()) {
            Ok(Some(position)) => self.header_at(file, position)?,
            Ok(None) | Err(ReadError::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        let is_borne_out = header
            .is_some_and(|header| header.last() == last && header.max_timestamp == entry.timestamp);
        Ok(is_borne_out.then_some(last))
    }

    fn first_largest(
        &self,
        segments: &[Arc<Segment>],
        log_start: Offset,
    ) -> Result<Option<(Offset, i64)>, ReadError> {
        let mut best: Option<(Option<i64>, &Arc<Segment>)> = None;
        for segment in segments {
            let max = segment.facts().max_timestamp;
            if best.is_none_or(|(largest, _)| max > largest) {
                best = Some((max, segment));
            }
        }
        let Some((largest, segment)) = best else {
            return Ok(None);
        };
        let file = self.file(segment).map_err(ReadError::Io)?;
        let position = match largest {
            Some(_) => {
                let index = self.index_of(segment).map_err(ReadError::Io)?;
                let last = segment.facts().max_timestamp_last;
                self.floor(segment, &file, &index, last)?.0
            }
            None => 0,
        };
        // Where no record has a timestamp, the first is as late as any.
        let largest = largest.unwrap_or(NO_TIMESTAMP);
        self.find_record(segment, &file, position, |header, offset, at| {
            header.max_timestamp == largest && at == largest && offset >= log_start
        })
    }

    /// The first record from `position` on that `wanted` accepts, called with the header, offset and timestamp. The
    /// records of a batch are looked at only if `wanted` accepts its last offset and largest timestamp.
    fn find_record(
        &self,
        segment: &Arc<Segment>,
        file: &SegmentFile,
        position: u32,
        wanted: impl Fn(&BatchHeader, Offset, i64) -> bool,
    ) -> Result<Option<(Offset, i64)>, ReadError> {
        let size = segment.size();
        let first = (position == 0).then(|| segment.base());
        let below = self.end_of_segment(segment);
        let mut chain = Chain::new(first, below, segment.facts().has_gaps);
        let mut walk = Scanner::new(file.disk_file(), position, size, WALK_BYTES);
        loop {
            match walk.step(Check::Headers).map_err(ReadError::Io)? {
                Step::Batch { position, header } => {
                    if !chain.follow(&header)
                        || !wanted(&header, header.last(), header.max_timestamp)
                    {
                        continue;
                    }
                    let found = self.find_in_batch(segment, file, position, &header, &wanted)?;
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Step::End => return Ok(None),
                Step::Broken { position, .. } => {
                    return Err(ReadError::Corrupt {
                        segment: segment.base(),
                        position: u64::from(position),
                    });
                }
            }
        }
    }

    fn find_in_batch(
        &self,
        segment: &Segment,
        file: &SegmentFile,
        position: u32,
        header: &BatchHeader,
        wanted: &impl Fn(&BatchHeader, Offset, i64) -> bool,
    ) -> Result<Option<(Offset, i64)>, ReadError> {
        let corrupt = || ReadError::Corrupt {
            segment: segment.base(),
            position: u64::from(position),
        };
        let bytes = read_batch(file, position, header).map_err(ReadError::Io)?;
        let view = BatchView::parse(&bytes).map_err(|_cause| corrupt())?;
        view.verify_crc().map_err(|_cause| corrupt())?;
        let payload = inflate_stored(&view).map_err(|_cause| corrupt())?;
        for record in view.records(&payload) {
            let record = record.map_err(|_cause| corrupt())?;
            let timestamp = view.timestamp_of(record.timestamp_delta);
            let offset = Offset::new(view.offset_of(record.offset_delta)).ok_or_else(corrupt)?;
            if wanted(header, offset, timestamp) {
                return Ok(Some((offset, timestamp)));
            }
        }
        Ok(None)
    }
}

/// The last offset of the batch of an entry of the index.
fn last_of(segment: &Segment, entry: OffsetEntry) -> Offset {
    segment.base().plus(u64::from(entry.last))
}

/// Where the batch of an entry of the index begins, which its header does not say under a checksum.
fn base_of(segment: &Segment, entry: OffsetEntry, header: &BatchHeader) -> Option<Offset> {
    let last = last_of(segment, entry).value();
    Offset::new(last - i64::from(header.last_offset_delta))
}

impl ReadPlan {
    /// The batches before the first one that is compressed with zstd. Reads headers, as few as it takes.
    ///
    /// # Errors
    /// The disk's.
    pub fn before_zstd(mut self) -> io::Result<Self> {
        if !self.has_zstd {
            return Ok(self);
        }
        let slices = std::mem::take(&mut self.slices);
        self.length = 0;
        self.has_zstd = false;
        for slice in slices {
            let whole = slice.len();
            let kept = bytes_before_zstd(&slice)?;
            if kept > 0 {
                self.length += kept;
                self.slices.push(slice.truncated(kept));
            }
            if kept < whole {
                self.is_limited = true;
                break;
            }
        }
        Ok(self)
    }
}

fn bytes_before_zstd(slice: &Slice) -> io::Result<usize> {
    match slice {
        Slice::Memory(bytes) => {
            let mut at = 0;
            while let Ok(header) = BatchHeader::parse(bytes.get(at..).unwrap_or_default()) {
                if header.is_zstd() {
                    break;
                }
                at += header.size as usize;
            }
            Ok(at)
        }
        Slice::File(slice) => {
            let file: &dyn std::any::Any = &*slice.file;
            let file = file
                .downcast_ref::<SegmentFile>()
                .ok_or(io::ErrorKind::Unsupported)?;
            // Positions in segments are below 2 GiB.
            let start = u32::try_from(slice.offset).unwrap_or(u32::MAX);
            let length = u32::try_from(slice.length).unwrap_or(u32::MAX);
            let mut walk = Scanner::new(
                file.disk_file(),
                start,
                start.saturating_add(length),
                WALK_BYTES,
            );
            loop {
                match walk.step(Check::Headers)? {
                    Step::Batch { position, header } if header.is_zstd() => {
                        return Ok((position - start) as usize);
                    }
                    Step::Batch { .. } => {}
                    Step::End | Step::Broken { .. } => return Ok(slice.length),
                }
            }
        }
    }
}

fn push_slice(
    plan: &mut ReadPlan,
    file: Arc<SegmentFile>,
    start: u32,
    end: u32,
    kept: Option<Bytes>,
) {
    let length = (end - start) as usize;
    let file: Arc<dyn FileHandle> = file;
    plan.length += length;
    plan.slices.push(match kept {
        Some(bytes) => Slice::Memory(bytes),
        None => Slice::File(FileSlice {
            file,
            offset: u64::from(start),
            length,
        }),
    });
}

/// The bytes of one batch.
pub(crate) fn read_batch(
    file: &SegmentFile,
    position: u32,
    header: &BatchHeader,
) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; header.size as usize];
    let count = file.disk_file().read_at(&mut bytes, u64::from(position))?;
    bytes.truncate(count);
    Ok(bytes)
}
