//! The 61 bytes before the records of a batch (format v2), read from files without the records, and changed in place.
//!
//! Invariant: a [`BatchHeader`] has a possible length, magic 2 and offsets that do not overflow; nothing is said about
//! the CRC. Layout: `org.apache.kafka.common.record.DefaultRecordBatch`.

use types::{LeaderEpoch, Offset};

/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 61;
/// Bytes before those that the length field counts.
pub(crate) const LOG_OVERHEAD: usize = 12;
/// The bytes from here on are under the CRC.
pub(crate) const CRC_START: usize = 21;
/// The bytes that offset assignment changes: base offset, length, leader epoch.
pub(crate) const ASSIGNED_BYTES: usize = 16;

const MAGIC: u8 = 2;
const CRC_FIELD: usize = 17;
const ATTRIBUTES_FIELD: usize = 21;
const BASE_TIMESTAMP_FIELD: usize = 27;
const MAX_TIMESTAMP_FIELD: usize = 35;
const COUNT_FIELD: usize = 57;
const TIMESTAMP_TYPE_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;
const DELETE_HORIZON_BIT: i16 = 0x40;
const COMPRESSION_MASK: i16 = 0x07;
const ZSTD: i16 = 4;

/// What the header of a batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    /// Bytes of the whole batch.
    pub(crate) size: u32,
    pub(crate) leader_epoch: i32,
    pub(crate) crc: u32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) count: i32,
}

/// Why bytes are not the header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("{available} bytes are less than a batch header")]
    Short { available: usize },
    #[error("zeros where a batch would be")]
    Zeros,
    #[error("magic {0}, only 2 is stored")]
    Magic(u8),
    #[error("impossible batch length {0}")]
    Length(i32),
    #[error("impossible offsets")]
    Offsets,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(HeaderError::Short {
                available: bytes.len(),
            });
        };
        let mut fields = Fields(header);
        let base_offset = i64::from_be_bytes(fields.take());
        let length = i32::from_be_bytes(fields.take());
        let leader_epoch = i32::from_be_bytes(fields.take());
        let [magic] = fields.take();
        if magic != MAGIC {
            if header.iter().all(|byte| *byte == 0) {
                return Err(HeaderError::Zeros);
            }
            return Err(HeaderError::Magic(magic));
        }
        let size = u32::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(LOG_OVERHEAD as u32))
            .filter(|size| *size as usize >= HEADER_BYTES && *size <= i32::MAX as u32)
            .ok_or(HeaderError::Length(length))?;
        let header = Self {
            base_offset,
            size,
            leader_epoch,
            crc: u32::from_be_bytes(fields.take()),
            attributes: i16::from_be_bytes(fields.take()),
            last_offset_delta: i32::from_be_bytes(fields.take()),
            base_timestamp: i64::from_be_bytes(fields.take()),
            max_timestamp: i64::from_be_bytes(fields.take()),
            producer_id: i64::from_be_bytes(fields.take()),
            producer_epoch: i16::from_be_bytes(fields.take()),
            base_sequence: i32::from_be_bytes(fields.take()),
            count: i32::from_be_bytes(fields.take()),
        };
        let last = base_offset.checked_add(i64::from(header.last_offset_delta));
        let possible = base_offset >= 0
            && header.last_offset_delta >= 0
            && last.is_some_and(|last| last < i64::MAX);
        if possible {
            Ok(header)
        } else {
            Err(HeaderError::Offsets)
        }
    }

    pub(crate) fn base(&self) -> Offset {
        Offset::new(self.base_offset).expect("parse refuses negative base offsets")
    }

    pub(crate) fn last(&self) -> Offset {
        self.base()
            .plus(u64::from(self.last_offset_delta.unsigned_abs()))
    }

    /// The offset after the last record.
    pub(crate) fn end(&self) -> Offset {
        self.last().plus(1)
    }

    /// Whether it has a record for each of its offsets, as every batch has until it is cleaned.
    pub(crate) fn is_dense(&self) -> bool {
        i64::from(self.count) == i64::from(self.last_offset_delta) + 1
    }

    pub(crate) fn epoch(&self) -> Option<LeaderEpoch> {
        LeaderEpoch::new(self.leader_epoch)
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    pub(crate) fn is_log_append_time(&self) -> bool {
        self.attributes & TIMESTAMP_TYPE_BIT != 0
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.attributes & COMPRESSION_MASK != 0
    }

    /// From when on tombstones in it, or the marker, may go (KIP-534); `None` if no cleaning saw them yet.
    pub(crate) fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    /// The attributes of the batch once its base timestamp is a delete horizon.
    pub(crate) fn attributes_with_horizon(&self) -> i16 {
        self.attributes | DELETE_HORIZON_BIT
    }

    /// The attributes of the batch once it has no records.
    pub(crate) fn attributes_of_emptied(&self) -> i16 {
        self.attributes & !(COMPRESSION_MASK | DELETE_HORIZON_BIT)
    }

    /// Gives the records the broker's time, here and not in the bytes.
    pub(crate) fn stamp(&mut self, now_ms: i64) {
        self.attributes |= TIMESTAMP_TYPE_BIT;
        self.max_timestamp = now_ms;
    }

    /// Leaves the records the producer's time, of which `largest` is the largest, here and not in the bytes.
    pub(crate) fn leave_create_time(&mut self, largest: i64) {
        self.attributes &= !TIMESTAMP_TYPE_BIT;
        self.max_timestamp = largest;
    }

    /// The number of its codec.
    pub(crate) fn compression_id(&self) -> u8 {
        (self.attributes & COMPRESSION_MASK).to_be_bytes()[1]
    }

    pub(crate) fn is_zstd(&self) -> bool {
        self.attributes & COMPRESSION_MASK == ZSTD
    }
}

/// Takes fixed-size fields off the front; the total was checked, so zeros never come out for missing bytes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.0 = rest;
                *head
            }
            None => [0; N],
        }
    }
}

/// Writes the fields that appending decides, none of which is under the CRC.
pub(crate) fn assign(batch: &mut [u8], base: Offset, epoch: LeaderEpoch) {
    put(batch, 0, &base.value().to_be_bytes());
    put(batch, 12, &epoch.value().to_be_bytes());
}

/// Stores whose time the records have, and the largest. The CRC covers these bytes: call [`set_crc`] afterwards.
pub(crate) fn set_timestamps(batch: &mut [u8], attributes: i16, largest: i64) {
    put(batch, ATTRIBUTES_FIELD, &attributes.to_be_bytes());
    put(batch, MAX_TIMESTAMP_FIELD, &largest.to_be_bytes());
}

/// After the payload of `batch` was replaced: stores its codec and the length. Call [`set_crc`] afterwards.
pub(crate) fn set_payload_fields(batch: &mut [u8], codec: u8) {
    // Payloads are bounded far below 2 GiB before they get here.
    let length = i32::try_from(batch.len().saturating_sub(LOG_OVERHEAD)).unwrap_or(i32::MAX);
    put(batch, 8, &length.to_be_bytes());
    if let Some(field) = batch.get_mut(ATTRIBUTES_FIELD + 1) {
        *field = (*field & !0x07) | codec;
    }
}

/// What cleaning changes in a batch besides its records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rewrite {
    pub(crate) attributes: i16,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) count: i32,
}

/// After the records of `batch` were replaced: stores what changed, and the length. Call [`set_crc`] afterwards.
pub(crate) fn rewrite(batch: &mut [u8], fields: &Rewrite) {
    // The caller refuses batches of 2 GiB.
    let length = i32::try_from(batch.len().saturating_sub(LOG_OVERHEAD)).unwrap_or(i32::MAX);
    put(batch, 8, &length.to_be_bytes());
    put(batch, ATTRIBUTES_FIELD, &fields.attributes.to_be_bytes());
    put(
        batch,
        BASE_TIMESTAMP_FIELD,
        &fields.base_timestamp.to_be_bytes(),
    );
    put(
        batch,
        MAX_TIMESTAMP_FIELD,
        &fields.max_timestamp.to_be_bytes(),
    );
    put(batch, COUNT_FIELD, &fields.count.to_be_bytes());
}

/// Stores a checksum.
pub(crate) fn set_crc(batch: &mut [u8], crc: u32) {
    put(batch, CRC_FIELD, &crc.to_be_bytes());
}

fn put(batch: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(field) = batch.get_mut(at..at + bytes.len()) {
        field.copy_from_slice(bytes);
    }
}
