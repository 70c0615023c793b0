//! Builds record batches: for clients, for coordinators' records, for transaction markers.
use bytes::{BufMut, Bytes};

use super::compression::{self, Compression, CompressionError};
use super::control::{self, ControlRecordType, EndTransactionMarker};
use super::{
    CONTROL_BIT, MAGIC_V2, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID,
    NO_SEQUENCE, NO_TIMESTAMP, TIMESTAMP_TYPE_BIT, TRANSACTIONAL_BIT, TimestampType, layout,
};
use crate::varint;

/// Everything a batch says besides its records.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchOptions {
    pub base_offset: i64,
    pub partition_leader_epoch: i32,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub is_transactional: bool,
    pub is_control: bool,
    pub compression: Compression,
    /// `None` is the codec's default.
    pub compression_level: Option<i32>,
    pub timestamp_type: TimestampType,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            base_offset: 0,
            partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            is_transactional: false,
            is_control: false,
            compression: Compression::None,
            compression_level: None,
            timestamp_type: TimestampType::CreateTime,
        }
    }
}

/// Why a batch could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("record batch would exceed 2 GiB")]
    TooLarge,
    #[error("record has offset delta {offset_delta}, after {last_offset_delta}")]
    OffsetsNotIncreasing {
        offset_delta: i32,
        last_offset_delta: i32,
    },
    #[error(transparent)]
    Compression(#[from] CompressionError),
}

/// Collects records and makes a batch of them.
#[derive(Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    /// Room for the header, then the records uncompressed.
    bytes: Vec<u8>,
    count: i32,
    last_offset_delta: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    #[must_use]
    pub fn new(options: BatchOptions) -> Self {
        Self {
            options,
            bytes: vec![0; layout::RECORDS],
            count: 0,
            last_offset_delta: -1,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
        }
    }

    /// A batch with one end-transaction marker (KIP-98): `options` with producer id and epoch of the transaction.
    pub fn end_transaction(
        options: BatchOptions,
        timestamp_ms: i64,
        kind: ControlRecordType,
        marker: EndTransactionMarker,
    ) -> Result<Bytes, BuildError> {
        let mut builder = Self::new(BatchOptions {
            is_transactional: true,
            is_control: true,
            ..options
        });
        builder.push(
            timestamp_ms,
            Some(&control::encode_key(kind)),
            Some(&marker.encode()),
            &[],
        )?;
        builder.build()
    }

    /// Changes who produced the batch: a producer knows its sequence only when it sends.
    pub fn set_producer(&mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) {
        self.options.producer_id = producer_id;
        self.options.producer_epoch = producer_epoch;
        self.options.base_sequence = base_sequence;
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[must_use]
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Bytes of the batch if it were built now without compression.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a record at the next offset. Header keys may occur more than once.
    pub fn push(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> Result<(), BuildError> {
        let offset_delta = self
            .last_offset_delta
            .checked_add(1)
            .ok_or(BuildError::TooLarge)?;
        self.push_at(offset_delta, timestamp_ms, key, value, headers)
    }

    /// Appends a record at an offset of its own, above the last one; compaction leaves such gaps.
    pub fn push_at(
        &mut self,
        offset_delta: i32,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> Result<(), BuildError> {
        if offset_delta <= self.last_offset_delta {
            let last_offset_delta = self.last_offset_delta;
            return Err(BuildError::OffsetsNotIncreasing {
                offset_delta,
                last_offset_delta,
            });
        }
        if self.count == 0 {
            self.base_timestamp = timestamp_ms;
            self.max_timestamp = timestamp_ms;
        }
        let timestamp_delta = timestamp_ms.wrapping_sub(self.base_timestamp);
        let size = body_size(timestamp_delta, offset_delta, key, value, headers)
            .ok_or(BuildError::TooLarge)?;
        let total = usize::try_from(size)
            .ok()
            .and_then(|size| size.checked_add(self.bytes.len()))
            .ok_or(BuildError::TooLarge)?;
        if i32::try_from(total).is_err() {
            return Err(BuildError::TooLarge);
        }
        let out = &mut self.bytes;
        varint::write_i32(out, size);
        out.put_i8(0);
        varint::write_i64(out, timestamp_delta);
        varint::write_i32(out, offset_delta);
        put_nullable(out, key);
        put_nullable(out, value);
        varint::write_i32(out, length_i32(headers.len()));
        for (key, value) in headers {
            put_nullable(out, Some(key));
            put_nullable(out, *value);
        }
        self.count = self.count.checked_add(1).ok_or(BuildError::TooLarge)?;
        self.last_offset_delta = offset_delta;
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);
        Ok(())
    }

    /// The whole batch with its CRC. A builder without records gives a batch without records.
    pub fn build(self) -> Result<Bytes, BuildError> {
        let Self {
            options,
            mut bytes,
            count,
            last_offset_delta,
            base_timestamp,
            max_timestamp,
        } = self;
        if options.compression != Compression::None {
            let payload = bytes.get(layout::RECORDS..).unwrap_or_default();
            let packed =
                compression::compress(options.compression, options.compression_level, payload)?;
            bytes.truncate(layout::RECORDS);
            bytes.extend_from_slice(&packed);
        }
        let length = bytes.len().saturating_sub(layout::LOG_OVERHEAD);
        let length = i32::try_from(length).map_err(|_over| BuildError::TooLarge)?;
        let mut header = bytes.get_mut(..layout::RECORDS).unwrap_or_default();
        let header = &mut header;
        header.put_i64(options.base_offset);
        header.put_i32(length);
        header.put_i32(options.partition_leader_epoch);
        header.put_i8(MAGIC_V2);
        header.put_u32(0);
        header.put_i16(attributes(&options));
        header.put_i32(last_offset_delta.max(0));
        header.put_i64(base_timestamp);
        header.put_i64(max_timestamp);
        header.put_i64(options.producer_id);
        header.put_i16(options.producer_epoch);
        header.put_i32(options.base_sequence);
        header.put_i32(count);
        let crc = crc32c::crc32c(bytes.get(layout::ATTRIBUTES..).unwrap_or_default());
        if let Some(field) = bytes
            .get_mut(layout::CRC..)
            .and_then(|tail| tail.first_chunk_mut::<4>())
        {
            *field = crc.to_be_bytes();
        }
        Ok(Bytes::from(bytes))
    }
}

fn attributes(options: &BatchOptions) -> i16 {
    let mut attributes = i16::from(options.compression.id());
    if options.timestamp_type == TimestampType::LogAppendTime {
        attributes |= TIMESTAMP_TYPE_BIT;
    }
    if options.is_transactional {
        attributes |= TRANSACTIONAL_BIT;
    }
    if options.is_control {
        attributes |= CONTROL_BIT;
    }
    attributes
}

/// Lengths were checked by [`body_size`] before anything is written.
fn length_i32(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

fn put_nullable(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => varint::write_i32(out, -1),
        Some(bytes) => {
            varint::write_i32(out, length_i32(bytes.len()));
            out.extend_from_slice(bytes);
        }
    }
}

fn nullable_size(field: Option<&[u8]>) -> Option<usize> {
    match field {
        None => Some(varint::size_i32(-1)),
        Some(bytes) => varint::size_i32(i32::try_from(bytes.len()).ok()?).checked_add(bytes.len()),
    }
}

/// Bytes of a record after its length field; `None` above 2 GiB.
fn body_size(
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&[u8], Option<&[u8]>)],
) -> Option<i32> {
    let mut size = 1_usize
        .checked_add(varint::size_i64(timestamp_delta))?
        .checked_add(varint::size_i32(offset_delta))?
        .checked_add(nullable_size(key)?)?
        .checked_add(nullable_size(value)?)?
        .checked_add(varint::size_i32(i32::try_from(headers.len()).ok()?))?;
    for (key, value) in headers {
        size = size
            .checked_add(nullable_size(Some(key))?)?
            .checked_add(nullable_size(*value)?)?;
    }
    i32::try_from(size).ok()
}
