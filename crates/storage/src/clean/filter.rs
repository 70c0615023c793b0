//! [`Filter`]: what is left of each batch.
//!
//! Rules: Kafka's `Cleaner.cleanInto` (which batches and records stay) and `MemoryRecords.filterTo` (how they are written).
//! Invariants: offsets never change; a batch of which nothing goes and that needs no delete horizon keeps its bytes; a
//! batch that stays keeps its base offset, last offset, sequences and leader epoch. A batch whose records cannot be read
//! although its checksum is right (a producer wrote it so) keeps its bytes, and tombstones behind it stay; Kafka cleans
//! the partition no more.

use std::collections::HashMap;

use bytes::BufMut;
use protocol::records::control::{self, ControlRecordType};
use protocol::records::{BatchView, Compression, PayloadError, RecordView, compression};
use protocol::varint;
use types::Offset;

use super::errors::Corruption;
use super::offset_map::OffsetMap;
use super::transactions::{CleanedTransactions, MarkerKind};
use crate::batch_header::{BatchHeader, CRC_START, HEADER_BYTES, Rewrite, rewrite, set_crc};
use crate::inflate::inflate_stored;
use crate::planted::{Bug, is_planted};
use crate::producers::Producers;

/// Kafka's "no timestamp".
const NO_TIMESTAMP: i64 = -1;

/// The last thing that a live producer left in the log: what must stay, so that its sequences and epoch are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastRecord {
    /// The last offset of its last batch of records; `None` if only a marker tells of it.
    offset: Option<Offset>,
    epoch: i16,
}

/// The last records of all live producers.
pub(crate) fn last_records(producers: &Producers) -> HashMap<i64, LastRecord> {
    let all = producers.iter_sorted();
    all.into_iter()
        .map(|(id, producer)| {
            let last = LastRecord {
                offset: producer.batches.last().map(|batch| batch.last_offset),
                epoch: producer.epoch,
            };
            (id, last)
        })
        .collect()
}

/// What is to be written for a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Nothing,
    /// Its bytes as they are.
    Verbatim,
    /// These bytes instead.
    Rewritten {
        bytes: Vec<u8>,
        /// Records are missing in them, and must not stay.
        is_less: bool,
    },
}

/// Which batches and records of a log stay.
#[derive(Debug)]
pub(crate) struct Filter<'a> {
    pub(crate) map: &'a OffsetMap,
    pub(crate) transactions: CleanedTransactions,
    pub(crate) last_records: HashMap<i64, LastRecord>,
    /// Where this cleaning ends: the batch that ends there stays, so that the log ends where it did.
    pub(crate) upper_bound: Offset,
    pub(crate) now_ms: i64,
    pub(crate) delete_retention_ms: u64,
    /// Batches that were passed and whose records cannot be read.
    pub(crate) unreadable: u64,
}

/// What becomes of a batch as a whole.
#[derive(Clone, Copy, Debug)]
struct Retention {
    /// No record of it stays.
    discard_records: bool,
    /// It stays even without records.
    keep_empty: bool,
    /// A marker whose transaction has no batches any more.
    is_needless_marker: bool,
}

/// Which records of a batch stay.
#[derive(Debug, Default)]
struct Survivors {
    /// One for each record.
    stays: Vec<bool>,
    count: i32,
    first_timestamp: i64,
    max_timestamp: i64,
    has_tombstone: bool,
}

impl Filter<'_> {
    /// What stays of a batch. Batches come in the order of the log, all of them.
    pub(crate) fn filter(
        &mut self,
        header: &BatchHeader,
        bytes: &[u8],
    ) -> Result<Kept, Corruption> {
        let view = BatchView::parse(bytes)?;
        let payload = inflate_stored(&view).map_err(PayloadError::from);
        let (payload, kind) = match payload {
            Ok(payload) if header.is_control() => {
                let kind = marker_kind(&view, &payload)?;
                (Some(payload), Some(kind))
            }
            Err(error) if header.is_control() => return Err(error.into()),
            payload => (payload.ok(), None),
        };
        let retention = self.retention(header, kind);
        if retention.discard_records {
            return Ok(without_records(header, bytes, retention));
        }
        let survivors = payload
            .as_deref()
            .map(|payload| self.survivors(header, &view, payload));
        let (payload, survivors) = match (&payload, survivors) {
            (Some(payload), Some(Ok(survivors))) => (payload, survivors),
            (_, Some(Err(error))) if header.is_control() => return Err(error.into()),
            _ => {
                self.unreadable += 1;
                return Ok(Kept::Verbatim);
            }
        };
        if survivors.count == 0 {
            return Ok(without_records(header, bytes, retention));
        }
        let needs_horizon = (survivors.has_tombstone || retention.is_needless_marker)
            && header.delete_horizon_ms().is_none();
        let is_less = survivors.count != header.count;
        if !is_less && !needs_horizon {
            return Ok(Kept::Verbatim);
        }
        let horizon = needs_horizon.then(|| self.horizon());
        let bytes = rebuild(header, &view, payload, &survivors, horizon, bytes)?;
        Ok(Kept::Rewritten { bytes, is_less })
    }

    /// When tombstones and markers that are seen now for the first time may go.
    fn horizon(&self) -> i64 {
        let retention = i64::try_from(self.delete_retention_ms).unwrap_or(i64::MAX);
        self.now_ms.saturating_add(retention)
    }

    /// What becomes of a batch, which is a marker of `kind` or has records.
    fn retention(&mut self, header: &BatchHeader, kind: Option<MarkerKind>) -> Retention {
        let producer = header.producer_id;
        let last = header.last();
        let can_discard = if let Some(kind) = kind {
            self.transactions.pass_marker(producer, last, kind)
        } else {
            let transactional = header.is_transactional();
            self.transactions.pass_batch(producer, transactional, last)
        };
        // Markers go by the same delay as tombstones.
        let is_due = header
            .delete_horizon_ms()
            .is_some_and(|horizon| horizon <= self.now_ms);
        let is_last_of_producer = self.last_records.get(&producer).is_some_and(|known| {
            producer >= 0
                && match known.offset {
                    Some(offset) => offset == last,
                    None => header.is_control() && known.epoch == header.producer_epoch,
                }
        });
        Retention {
            discard_records: can_discard && (!header.is_control() || is_due),
            keep_empty: is_last_of_producer || header.end() == self.upper_bound,
            is_needless_marker: can_discard && header.is_control(),
        }
    }

    fn survivors(
        &self,
        header: &BatchHeader,
        view: &BatchView<'_>,
        payload: &[u8],
    ) -> Result<Survivors, PayloadError> {
        let mut survivors = Survivors {
            first_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            ..Survivors::default()
        };
        for record in view.records(payload) {
            let record = record?;
            let stays = header.is_control() || self.record_stays(header, view, &record);
            survivors.stays.push(stays);
            if !stays {
                continue;
            }
            let timestamp = view.timestamp_of(record.timestamp_delta);
            if survivors.count == 0 {
                survivors.first_timestamp = timestamp;
            }
            survivors.count += 1;
            survivors.max_timestamp = survivors.max_timestamp.max(timestamp);
            survivors.has_tombstone |= record.value.is_none();
        }
        Ok(survivors)
    }

    fn record_stays(
        &self,
        header: &BatchHeader,
        view: &BatchView<'_>,
        record: &RecordView<'_>,
    ) -> bool {
        let Some(offset) = Offset::new(view.offset_of(record.offset_delta)) else {
            return false;
        };
        if self.map.latest().is_none_or(|latest| offset > latest) {
            // Not looked at in this round.
            return true;
        }
        let Some(key) = record.key else {
            // From a time when the topic was not compacted.
            return false;
        };
        let is_latest = self.map.get(key).is_none_or(|latest| {
            offset > latest || (offset == latest && !is_planted(Bug::NewestCleaned))
        });
        // A batch that cannot be read may hold a value of the key, which only the tombstone deletes.
        let keeps_tombstones = self.unreadable > 0
            || header
                .delete_horizon_ms()
                .is_none_or(|horizon| self.now_ms < horizon);
        is_latest && (record.value.is_some() || keeps_tombstones)
    }
}

/// What the first record of a control batch says.
pub(crate) fn marker_kind(
    view: &BatchView<'_>,
    payload: &[u8],
) -> Result<MarkerKind, PayloadError> {
    let Some(record) = view.records(payload).next() else {
        return Ok(MarkerKind::Emptied);
    };
    let kind = record?.key.map(control::decode_key);
    Ok(match kind {
        Some(Ok(ControlRecordType::Abort)) => MarkerKind::Abort,
        Some(Ok(ControlRecordType::Commit)) => MarkerKind::Commit,
        _ => MarkerKind::Other,
    })
}

/// What is written for a batch of which no record stays.
fn without_records(header: &BatchHeader, bytes: &[u8], retention: Retention) -> Kept {
    if retention.keep_empty {
        Kept::Rewritten {
            bytes: emptied(header, bytes),
            is_less: true,
        }
    } else {
        Kept::Nothing
    }
}

/// The batch without its records (`DefaultRecordBatch.writeEmptyHeader`).
fn emptied(header: &BatchHeader, bytes: &[u8]) -> Vec<u8> {
    let mut batch = bytes.get(..HEADER_BYTES).unwrap_or_default().to_vec();
    let fields = Rewrite {
        attributes: header.attributes_of_emptied(),
        base_timestamp: NO_TIMESTAMP,
        max_timestamp: header.max_timestamp,
        count: 0,
    };
    finish(&mut batch, &fields);
    batch
}

/// The batch with its survivors only, and with a delete horizon if there is a new one.
fn rebuild(
    header: &BatchHeader,
    view: &BatchView<'_>,
    payload: &[u8],
    survivors: &Survivors,
    horizon: Option<i64>,
    bytes: &[u8],
) -> Result<Vec<u8>, Corruption> {
    let base_timestamp = horizon
        .or(header.delete_horizon_ms())
        .unwrap_or(survivors.first_timestamp);
    let mut records = Vec::with_capacity(payload.len());
    let mut rest = payload;
    for (record, stays) in view.records(payload).zip(&survivors.stays) {
        let record = record.map_err(PayloadError::from)?;
        let Some((raw, behind)) = rest.split_at_checked(record.size) else {
            break;
        };
        rest = behind;
        if *stays {
            let timestamp = view.timestamp_of(record.timestamp_delta);
            let delta = timestamp.wrapping_sub(base_timestamp);
            put_record(&mut records, raw, &record, delta);
        }
    }
    let codec = view.compression();
    if codec != Compression::None {
        records = compression::compress(codec, None, &records).map_err(PayloadError::from)?;
    }
    let mut batch = Vec::with_capacity(HEADER_BYTES + records.len());
    batch.extend_from_slice(bytes.get(..HEADER_BYTES).unwrap_or_default());
    batch.extend_from_slice(&records);
    if i32::try_from(batch.len()).is_err() {
        return Err(Corruption::TooLarge);
    }
    let fields = Rewrite {
        attributes: match horizon {
            Some(_) => header.attributes_with_horizon(),
            None => header.attributes,
        },
        base_timestamp,
        max_timestamp: if header.is_log_append_time() {
            header.max_timestamp
        } else {
            survivors.max_timestamp
        },
        count: survivors.count,
    };
    finish(&mut batch, &fields);
    Ok(batch)
}

/// Writes a record anew with another timestamp delta: everything behind its deltas stays as it is.
fn put_record(out: &mut Vec<u8>, raw: &[u8], record: &RecordView<'_>, timestamp_delta: i64) {
    if timestamp_delta == record.timestamp_delta {
        out.extend_from_slice(raw);
        return;
    }
    // These fields were read once already, and cannot fail now. Varints may be longer than they need be, so that what
    // follows them is found from the front.
    let mut body = raw;
    varint::read_i32(&mut body).ok();
    let mut fields = body.get(1..).unwrap_or_default();
    varint::read_i64(&mut fields).ok();
    varint::read_i32(&mut fields).ok();
    let front = 1 + varint::size_i64(timestamp_delta) + varint::size_i32(record.offset_delta);
    let size = i32::try_from(front + fields.len()).unwrap_or(i32::MAX);
    varint::write_i32(out, size);
    out.put_i8(record.attributes);
    varint::write_i64(out, timestamp_delta);
    varint::write_i32(out, record.offset_delta);
    out.extend_from_slice(fields);
}

fn finish(batch: &mut [u8], fields: &Rewrite) {
    rewrite(batch, fields);
    let crc = crc32c::crc32c(batch.get(CRC_START..).unwrap_or_default());
    set_crc(batch, crc);
}
