//! [`OpenBatch`]: a batch that is being made into rows, as many at a time as there is room for.
//!
//! Invariants: what is decompressed was reserved before, and so was a row; records whose offsets do not go up within their
//! batch are an error, not rows. A record that is many rows, each of a line, is left in the middle if there is no room.

use std::ops::RangeInclusive;

use bytes::Bytes;
use protocol::records::{
    BatchView, Compression, CompressionError, NO_TIMESTAMP, PayloadError, RecordError,
    RecordIterator, RecordView, TimestampType,
};

use crate::batch_facts::BatchFacts;
use crate::errors::{ScanCause, ScanError};
use crate::memory::Memory;
use crate::record_source::RecordSource;
use crate::rows::{Row, Rows};
use crate::spec::ScanSpec;
use crate::typed::Fault;
use crate::wanted::Wanted;

/// A batch of rows ends when it has so many bytes.
pub(crate) const BATCH_BYTES: usize = 2 << 20;
/// PostgreSQL's bound of a value. Arrow's is 4 GiB, which hexadecimal digits of half as many bytes would pass.
const RECORD_BYTES_MAX: usize = 1 << 30;
/// No batch is decompressed beyond this, as consumers' clients do it.
const DECOMPRESSED_BYTES_MAX: usize = 512 << 20;
/// The first guess at what compressed records take, and how it grows.
const DECOMPRESSED_BYTES_MIN: usize = 64 << 10;
const DECOMPRESSED_RATIO: usize = 4;
const DECOMPRESSED_GROWTH: usize = 8;

/// A batch that rows are made of.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    pub(crate) facts: BatchFacts,
    /// `None`: the header says all.
    pub(crate) records: Option<OpenRecords>,
}

impl OpenBatch {
    /// The earliest time of its records, if it is known of all of them.
    pub(crate) fn earliest(&self) -> Option<i64> {
        match &self.records {
            Some(records) if self.facts.common_timestamp().is_none() => {
                (records.read == records.count).then_some(records.earliest)
            }
            _ => self.facts.common_timestamp(),
        }
    }
}

/// Records, and how far rows were made of them.
#[derive(Debug)]
pub(crate) struct OpenRecords {
    payload: Bytes,
    position: usize,
    /// Of the batch, and of those that were read.
    count: i32,
    read: i32,
    /// Where the next record may be, from the base offset on.
    deltas: RangeInclusive<i32>,
    /// `None`: they all have the largest timestamp of the batch.
    base_timestamp: Option<i64>,
    /// Of those that were read and have a time.
    earliest: i64,
    /// Where in the value of the next record the lines begin that are no rows yet.
    line: usize,
}

/// A place before a record.
#[derive(Debug)]
struct Place {
    position: usize,
    read: i32,
    deltas: RangeInclusive<i32>,
}

impl OpenRecords {
    /// The records of the batch in `bytes`, decompressed.
    pub(crate) fn read(bytes: &Bytes, memory: &mut Memory) -> Result<Self, ScanCause> {
        let view = BatchView::parse(bytes)?;
        Ok(Self {
            payload: decompressed(bytes, &view, memory)?,
            position: 0,
            count: view.records_count(),
            read: 0,
            deltas: 0..=view.last_offset_delta(),
            base_timestamp: match view.timestamp_type() {
                TimestampType::CreateTime => Some(view.base_timestamp()),
                TimestampType::LogAppendTime => None,
            },
            earliest: i64::MAX,
            line: 0,
        })
    }

    fn place(&self) -> Place {
        Place {
            position: self.position,
            read: self.read,
            deltas: self.deltas.clone(),
        }
    }

    /// Goes back to a record, to go on at this byte of its value.
    fn return_to(&mut self, place: Place, line: usize) {
        let Place {
            position,
            read,
            deltas,
        } = place;
        (self.position, self.read, self.deltas) = (position, read, deltas);
        self.line = line;
    }

    fn next(&mut self) -> Result<Option<RecordView<'_>>, RecordError> {
        let rest = self.payload.get(self.position..).unwrap_or_default();
        let record = match RecordIterator::new(rest, self.count - self.read).next() {
            None => return Ok(None),
            Some(Ok(record)) => record,
            // Read from the start, the error says which record of the batch it is.
            Some(Err(error)) => {
                let mut all = RecordIterator::new(&self.payload, self.count);
                return Err(all.find_map(Result::err).unwrap_or(error));
            }
        };
        let (index, offset_delta) = (self.read, record.offset_delta);
        if !self.deltas.contains(&offset_delta) {
            return Err(RecordError::OffsetDelta {
                index,
                offset_delta,
            });
        }
        self.deltas = offset_delta.saturating_add(1)..=*self.deltas.end();
        self.position += record.size;
        self.read += 1;
        if let Some(base) = self.base_timestamp {
            let timestamp = base.wrapping_add(record.timestamp_delta);
            if timestamp != NO_TIMESTAMP {
                self.earliest = self.earliest.min(timestamp);
            }
        }
        Ok(Some(record))
    }
}

impl Rows {
    /// Makes rows of a batch until there are `rows_max`. True once there is nothing left in it.
    pub(crate) fn push_from(
        &mut self,
        open: &mut OpenBatch,
        source: &mut RecordSource,
        spec: &ScanSpec,
        rows_max: usize,
        memory: &mut Memory,
    ) -> Result<bool, ScanError> {
        let OpenBatch { facts, records } = open;
        let Some(records) = records else {
            let (last, timestamp) = (facts.last_offset, facts.max_timestamp);
            self.push_offsets(&mut source.wanted, last, timestamp, rows_max);
            return Ok(!source.wanted.reaches(facts.last_offset));
        };
        while self.count() < rows_max && self.bytes() < BATCH_BYTES {
            let base_timestamp = records.base_timestamp;
            let (place, line) = (records.place(), std::mem::take(&mut records.line));
            let record = match records.next() {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(true),
                Err(cause) => {
                    let cause = ScanCause::Payload(PayloadError::Record(cause));
                    return Err(source.error(facts.base_offset, cause));
                }
            };
            let offset = facts.base_offset.saturating_add(record.offset_delta.into());
            if !source.wanted.take(offset) {
                if !source.wanted.reaches(facts.last_offset) {
                    return Ok(true);
                }
                continue;
            }
            let timestamp = base_timestamp.map_or(facts.max_timestamp, |base| {
                base.wrapping_add(record.timestamp_delta)
            });
            if !spec.shows(timestamp) || spec.hides(record.value) {
                continue;
            }
            if record.size > RECORD_BYTES_MAX {
                let (size, limit) = (record.size, RECORD_BYTES_MAX);
                return Err(source.error(offset, ScanCause::TooLarge { size, limit }));
            }
            // Lines are rows until there are as many bytes as a batch has.
            let lines_bytes = if spec.has_lines { BATCH_BYTES } else { 0 };
            let row_bytes = row_bytes(&record)
                .saturating_add(self.row_bytes(record.size))
                .saturating_add(lines_bytes);
            let reserved = memory.reserve_rows(self.bytes().saturating_add(row_bytes));
            reserved.map_err(|cause| source.error(offset, cause))?;
            let row = Row {
                offset,
                timestamp,
                key: record.key,
                value: record.value,
                headers: Some(record.headers),
            };
            let pushed = if spec.has_lines {
                self.push_lines(&row, line, rows_max)
            } else {
                self.push(&row).map(|()| None)
            };
            let rest = pushed.map_err(|cause| source.error(offset, cause))?;
            if let Some(line) = rest {
                records.return_to(place, line);
                return Ok(false);
            }
            source.wanted.pass(offset.saturating_add(1));
        }
        Ok(false)
    }

    /// Makes a row of every line of a record from this byte of its value on, until there are `rows_max`. Returns where it goes
    /// on, if there is more. A record without a line is a row too.
    fn push_lines(
        &mut self,
        row: &Row<'_>,
        from: usize,
        rows_max: usize,
    ) -> Result<Option<usize>, Fault> {
        let Some(value) = row.value else {
            return self.push(row).map(|()| None);
        };
        let mut lines = lines(value, from).peekable();
        if lines.peek().is_none() {
            return self.push(row).map(|()| None);
        }
        for (start, line) in lines {
            if self.count() >= rows_max || self.bytes() >= BATCH_BYTES {
                return Ok(Some(start));
            }
            let value = Some(line);
            self.push(&Row { value, ..*row })?;
        }
        Ok(None)
    }

    /// Makes rows of the wanted offsets up to `last` alone.
    pub(crate) fn push_offsets(
        &mut self,
        wanted: &mut Wanted,
        last: i64,
        timestamp: i64,
        rows_max: usize,
    ) {
        while self.count() < rows_max {
            let room = rows_max - self.count();
            let Some(run) = wanted.take_run(last, room as u64) else {
                return;
            };
            if self.are_only_counted() {
                self.push_uncounted(usize::try_from(run.end - run.start).unwrap_or(room));
                continue;
            }
            for offset in run {
                self.push_untyped(&Row {
                    offset,
                    timestamp,
                    key: None,
                    value: None,
                    headers: None,
                });
            }
        }
    }
}

/// The lines from a byte on that are not blank, and where they begin.
pub(crate) fn lines(value: &[u8], from: usize) -> impl Iterator<Item = (usize, &[u8])> {
    let rest = value.get(from..).unwrap_or_default();
    let mut next = from;
    let lines = rest.split(|byte| *byte == b'\n').map(move |line| {
        let start = next;
        next += line.len() + 1;
        (start, line)
    });
    lines.filter(|(_, line)| !line.trim_ascii().is_empty())
}

/// What a row may take at most: text for bytes takes twice as much, a header two views.
fn row_bytes(record: &RecordView<'_>) -> usize {
    record
        .size
        .saturating_mul(2)
        .saturating_add(record.headers.len().saturating_mul(40))
        .saturating_add(128)
}

/// The records of a batch uncompressed. Memory is reserved before it is used: a guess first, then more.
fn decompressed(
    bytes: &Bytes,
    view: &BatchView<'_>,
    memory: &mut Memory,
) -> Result<Bytes, ScanCause> {
    if view.compression() == Compression::None {
        return Ok(bytes.slice_ref(view.record_bytes()));
    }
    let mut limit = view
        .record_bytes()
        .len()
        .saturating_mul(DECOMPRESSED_RATIO)
        .clamp(DECOMPRESSED_BYTES_MIN, DECOMPRESSED_BYTES_MAX);
    loop {
        memory.reserve_payload(limit)?;
        match view.payload(limit) {
            Ok(payload) => {
                memory.reserve_payload(payload.len())?;
                return Ok(Bytes::from(payload.into_owned()));
            }
            Err(CompressionError::OutputTooLarge { .. }) if limit < DECOMPRESSED_BYTES_MAX => {
                limit = limit
                    .saturating_mul(DECOMPRESSED_GROWTH)
                    .min(DECOMPRESSED_BYTES_MAX);
            }
            Err(cause) => return Err(ScanCause::Payload(cause.into())),
        }
    }
}
