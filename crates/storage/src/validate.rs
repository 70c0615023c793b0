//! What a batch must fulfil before it is appended, as far as that does not depend on the log.
//!
//! Invariant: the CRC of every batch is right, and every record that can be read without decompressing is what it says:
//! its fields fill it, the records fill the batch, their offsets go up by one. No record is decompressed unless a setting
//! needs to look inside: compaction (keys), `message.timestamp.before.max.ms`, a forced `compression.type`, or to name the
//! records at fault. Then one batch at a time is in memory, at most [`INFLATED_BYTES_MAX`] of it (see [`inflate`]).
//! Rules: Kafka's `UnifiedLog.analyzeAndValidateRecords` and `LogValidator`; compressed batches stay opaque otherwise.
//! Stricter than Kafka in one thing: it stores offset deltas that do not go up by one. A consumer goes on behind the last
//! offset that it saw, so one that is too large would have it skip records of other producers.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use protocol::records::control::{self, ControlRecordType, EndTransactionMarker};
use protocol::records::{
    BatchView, Compression, CompressionError, RecordError, RecordsSummary, compression, summarize,
};

use crate::batch_header::{
    BatchHeader, CRC_START, HEADER_BYTES, HeaderError, set_crc, set_payload_fields,
};
use crate::inflate::{INFLATED_BYTES_MAX, Inflated, inflate, inflate_stored};
use crate::producers::Marker;
use crate::settings::{LogCompression, LogSettings, LogTimestampType};
use crate::{AppendError, AppendOrigin};

/// The most bytes that a batch may inflate to when a setting makes us look inside: as many times `max.message.bytes`.
const INFLATION_MAX: usize = 64;

/// A batch that may be appended if the log agrees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValidBatch {
    pub(crate) header: BatchHeader,
    /// Where it lies in the bytes.
    pub(crate) start: usize,
    pub(crate) marker: Option<Marker>,
    /// The largest timestamp of its records, where the topic takes producers' timestamps and the header says something
    /// else: it is put right (`DefaultRecordBatch.setMaxTimestamp`), because retention and look-ups go by it.
    pub(crate) create_time: Option<i64>,
}

impl ValidBatch {
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.start + self.header.size as usize
    }
}

/// Batches that may be appended, one after the other in `bytes`.
#[derive(Debug)]
pub(crate) struct ValidBatches {
    pub(crate) bytes: Bytes,
    pub(crate) batches: Vec<ValidBatch>,
}

/// Checks the batches in `bytes`, which are compressed anew if the settings force a codec.
pub(crate) fn validate(
    bytes: Bytes,
    settings: &LogSettings,
    now_ms: i64,
    origin: AppendOrigin,
) -> Result<ValidBatches, AppendError> {
    let mut batches = Vec::with_capacity(1);
    let mut start = 0;
    while start < bytes.len() {
        let rest = bytes.get(start..).unwrap_or_default();
        let batch = validate_batch(rest, start, settings, now_ms, origin)?;
        start = batch.range().end;
        batches.push(batch);
    }
    if batches.is_empty() {
        return Err(invalid("there is no record batch"));
    }
    let valid = ValidBatches { bytes, batches };
    match settings.compression {
        LogCompression::Producer => Ok(valid),
        LogCompression::Forced(codec, level) => recompress(valid, codec, level, settings),
    }
}

fn invalid(reason: &'static str) -> AppendError {
    AppendError::InvalidBatch { reason }
}

fn validate_batch(
    rest: &[u8],
    start: usize,
    settings: &LogSettings,
    now_ms: i64,
    origin: AppendOrigin,
) -> Result<ValidBatch, AppendError> {
    let header = BatchHeader::parse(rest).map_err(|error| invalid(header_reason(error)))?;
    let Some(bytes) = rest.get(..header.size as usize) else {
        return Err(invalid("the batch is longer than the bytes that were sent"));
    };
    if origin == AppendOrigin::Client {
        check_client_header(&header)?;
    }
    if Compression::from_id(header.compression_id()).is_none() {
        return Err(invalid("the batch has an unknown compression"));
    }
    if header.count <= 0 || header.last_offset_delta != header.count - 1 {
        return Err(invalid(
            "the number of records does not agree with the last offset delta",
        ));
    }
    if header.is_transactional() && header.producer_id < 0 {
        return Err(invalid("a transactional batch has no producer id"));
    }
    if origin == AppendOrigin::Client {
        check_size(bytes.len(), settings)?;
    }
    let actual = crc32c::crc32c(bytes.get(CRC_START..).unwrap_or_default());
    if actual != header.crc {
        return Err(AppendError::CorruptBatch {
            expected: header.crc,
            actual,
        });
    }
    let (marker, largest) = if header.is_control() {
        (Some(read_marker(bytes)?), None)
    } else {
        (None, check_records(bytes, &header, settings, now_ms)?)
    };
    let takes_create_time = settings.timestamp_type == LogTimestampType::CreateTime;
    let is_right = largest.is_none_or(|largest| largest == header.max_timestamp)
        && !header.is_log_append_time();
    Ok(ValidBatch {
        header,
        start,
        marker,
        create_time: (takes_create_time && marker.is_none() && !is_right)
            .then_some(largest.unwrap_or(header.max_timestamp)),
    })
}

fn check_size(size: usize, settings: &LogSettings) -> Result<(), AppendError> {
    let limit = settings.max_message_bytes as usize;
    if size > limit {
        return Err(AppendError::BatchTooLarge { size, limit });
    }
    Ok(())
}

fn header_reason(error: HeaderError) -> &'static str {
    match error {
        HeaderError::Short { .. } => "there are fewer bytes than a batch header has",
        HeaderError::Zeros | HeaderError::Magic(_) => "only record batches of format 2 are stored",
        HeaderError::Length(_) => "the length of the batch is impossible",
        HeaderError::Offsets => "the offsets of the batch are impossible",
    }
}

fn check_client_header(header: &BatchHeader) -> Result<(), AppendError> {
    if header.base_offset != 0 {
        return Err(invalid("the base offset sent by a client is not 0"));
    }
    if header.is_control() {
        return Err(invalid("clients may not write control batches"));
    }
    if header.producer_id >= 0 && header.base_sequence < 0 {
        return Err(invalid("a batch with a producer id has no sequence"));
    }
    Ok(())
}

/// The marker in a control batch.
fn read_marker(bytes: &[u8]) -> Result<Marker, AppendError> {
    marker_of(bytes).ok_or(invalid("a control batch without a transaction marker"))
}

/// The transaction marker in a control batch, if that is what it holds.
pub(crate) fn marker_of(bytes: &[u8]) -> Option<Marker> {
    let view = BatchView::parse(bytes).ok()?;
    let payload = inflate_stored(&view).ok()?;
    let record = view.records(&payload).next()?.ok()?;
    let aborted = match control::decode_key(record.key?).ok()? {
        ControlRecordType::Abort => true,
        ControlRecordType::Commit => false,
        ControlRecordType::Other(_) => return None,
    };
    let marker = EndTransactionMarker::decode(record.value?).ok()?;
    Some(Marker {
        aborted,
        coordinator_epoch: marker.coordinator_epoch,
    })
}

/// Checks the records: all that are not compressed, and those that the settings ask to look at. Gives their largest
/// timestamp, if they were looked at.
fn check_records(
    bytes: &[u8],
    header: &BatchHeader,
    settings: &LogSettings,
    now_ms: i64,
) -> Result<Option<i64>, AppendError> {
    let rules = RecordRules::new(header, settings, now_ms);
    if header.is_compressed() {
        let is_opaque = !rules.needs_keys
            && !rules.refuses_type
            && settings.timestamp_before_max_ms.is_none()
            && !rules.is_outside(header.max_timestamp);
        return if is_opaque {
            Ok(None)
        } else {
            inspect(bytes, &rules, settings).map(Some)
        };
    }
    let summary = summary_of(bytes, header)?;
    if rules.surely_hold(&summary) {
        Ok(Some(summary.largest_timestamp.max(NO_TIMESTAMP)))
    } else {
        inspect(bytes, &rules, settings).map(Some)
    }
}

/// What the records of an uncompressed batch have in common.
fn summary_of(bytes: &[u8], header: &BatchHeader) -> Result<RecordsSummary, AppendError> {
    let payload = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let mut summary = summarize(payload, header.count, header.base_timestamp)?;
    if header.is_log_append_time() {
        summary.smallest_timestamp = header.max_timestamp;
        summary.largest_timestamp = header.max_timestamp;
    }
    Ok(summary)
}

/// What each record must fulfil (`LogValidator.validateRecord`).
#[derive(Debug)]
struct RecordRules {
    /// Compaction needs a key in each record.
    needs_keys: bool,
    /// A producer may not say that the broker gave the timestamps, where the broker does or where there are none.
    refuses_type: bool,
    now_ms: i64,
    /// How old and how far ahead a timestamp may be.
    before_max_ms: i64,
    after_max_ms: i64,
}

impl RecordRules {
    fn new(header: &BatchHeader, settings: &LogSettings, now_ms: i64) -> Self {
        let is_create_time = settings.timestamp_type == LogTimestampType::CreateTime;
        let bound = |ms: Option<u64>| {
            ms.filter(|_| is_create_time)
                .map_or(i64::MAX, |ms| i64::try_from(ms).unwrap_or(i64::MAX))
        };
        Self {
            needs_keys: settings.cleanup.compact,
            refuses_type: header.is_log_append_time()
                && (!is_create_time || header.max_timestamp == NO_TIMESTAMP),
            now_ms,
            before_max_ms: bound(settings.timestamp_before_max_ms),
            after_max_ms: bound(settings.timestamp_after_max_ms),
        }
    }

    /// With Kafka's arithmetic, which takes a time before all time for one in the future.
    fn is_outside(&self, timestamp: i64) -> bool {
        let age_ms = self.now_ms.wrapping_sub(timestamp);
        timestamp != NO_TIMESTAMP
            && (age_ms > self.before_max_ms || age_ms.wrapping_neg() > self.after_max_ms)
    }

    /// Whether no record can be at fault. Where one may be, [`inspect`] tells.
    fn surely_hold(&self, records: &RecordsSummary) -> bool {
        let earliest = self.now_ms.saturating_sub(self.before_max_ms);
        let latest = self.now_ms.saturating_add(self.after_max_ms);
        !self.refuses_type
            && (records.all_have_keys || !self.needs_keys)
            && records.smallest_timestamp >= earliest
            && records.largest_timestamp <= latest
    }
}

/// Looks at each record. Gives the largest timestamp.
fn inspect(bytes: &[u8], rules: &RecordRules, settings: &LogSettings) -> Result<i64, AppendError> {
    let mut largest = NO_TIMESTAMP;
    let mut indexes = Vec::new();
    let mut first_outside = None;
    each_record(bytes, settings, |index, record, timestamp| {
        largest = largest.max(timestamp);
        if rules.needs_keys && record.key.is_none() {
            indexes.push(index);
        } else if rules.refuses_type || rules.is_outside(timestamp) {
            first_outside.get_or_insert(timestamp);
            indexes.push(index);
        }
    })?;
    match first_outside {
        // One bad timestamp names the error for all records at fault.
        Some(timestamp) => Err(AppendError::InvalidTimestamp { timestamp, indexes }),
        None if indexes.is_empty() => Ok(largest),
        None => Err(AppendError::InvalidRecords {
            indexes,
            reason: "a compacted topic cannot accept records without keys",
        }),
    }
}

/// What stands for no timestamp.
pub(crate) const NO_TIMESTAMP: i64 = -1;

/// Calls `look` with each record, its index and its timestamp.
fn each_record(
    bytes: &[u8],
    settings: &LogSettings,
    mut look: impl FnMut(i32, &protocol::records::RecordView<'_>, i64),
) -> Result<(), AppendError> {
    let view = BatchView::parse(bytes).map_err(|_cause| invalid("the batch cannot be read"))?;
    let payload = payload_of(&view, settings)?;
    for (index, record) in (0..).zip(view.records(&payload)) {
        let record = record?;
        if record.offset_delta != index {
            let offset_delta = record.offset_delta;
            let error = RecordError::OffsetDelta {
                index,
                offset_delta,
            };
            return Err(error.into());
        }
        look(index, &record, view.timestamp_of(record.timestamp_delta));
    }
    Ok(())
}

/// The records of a batch, inflated within bounds: [`INFLATED_BYTES_MAX`], unless the topic takes batches that are larger as
/// they are.
fn payload_of<'a>(
    view: &BatchView<'a>,
    settings: &LogSettings,
) -> Result<Inflated<'a>, AppendError> {
    let largest = settings.max_message_bytes as usize;
    let limit = largest
        .saturating_mul(INFLATION_MAX)
        .min(INFLATED_BYTES_MAX)
        .max(largest);
    inflate(view, limit).map_err(|error| match error {
        CompressionError::OutputTooLarge { limit, .. } => AppendError::InflatesTooFar { limit },
        CompressionError::Corrupt { .. }
        | CompressionError::InvalidLevel { .. }
        | CompressionError::Failed { .. } => {
            invalid("the records of the batch cannot be decompressed")
        }
    })
}

/// Brings all data batches to `codec`; those that have it already stay as they are.
fn recompress(
    valid: ValidBatches,
    codec: Compression,
    level: Option<i32>,
    settings: &LogSettings,
) -> Result<ValidBatches, AppendError> {
    let differs = |batch: &ValidBatch| {
        !batch.header.is_control() && batch.header.compression_id() != codec.id()
    };
    if !valid.batches.iter().any(differs) {
        return Ok(valid);
    }
    let mut bytes = BytesMut::with_capacity(valid.bytes.len());
    let mut batches = Vec::with_capacity(valid.batches.len());
    for batch in &valid.batches {
        let start = bytes.len();
        let old = valid.bytes.get(batch.range()).unwrap_or_default();
        if differs(batch) {
            append_recompressed(&mut bytes, old, codec, level, settings)?;
        } else {
            bytes.extend_from_slice(old);
        }
        let new = bytes.get(start..).unwrap_or_default();
        check_size(new.len(), settings)?;
        let header = BatchHeader::parse(new).map_err(|error| invalid(header_reason(error)))?;
        batches.push(ValidBatch {
            header,
            start,
            marker: batch.marker,
            create_time: batch.create_time,
        });
    }
    Ok(ValidBatches {
        bytes: bytes.freeze(),
        batches,
    })
}

fn append_recompressed(
    out: &mut BytesMut,
    batch: &[u8],
    codec: Compression,
    level: Option<i32>,
    settings: &LogSettings,
) -> Result<(), AppendError> {
    let view = BatchView::parse(batch).map_err(|_cause| invalid("the batch cannot be read"))?;
    let payload = payload_of(&view, settings)?;
    summarize(&payload, view.records_count(), view.base_timestamp())?;
    let start = out.len();
    out.extend_from_slice(batch.get(..HEADER_BYTES).unwrap_or_default());
    if codec == Compression::None {
        let size = HEADER_BYTES.saturating_add(payload.len());
        // Looked at before it is there twice.
        check_size(size, settings)?;
        out.extend_from_slice(&payload);
    } else {
        let packed = compression::compress(codec, level, &payload)
            .map_err(|_cause| invalid("the records of the batch cannot be compressed"))?;
        out.extend_from_slice(&packed);
    }
    let batch = out.get_mut(start..).unwrap_or_default();
    set_payload_fields(batch, codec.id());
    let crc = crc32c::crc32c(batch.get(CRC_START..).unwrap_or_default());
    set_crc(batch, crc);
    Ok(())
}
