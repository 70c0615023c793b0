//! A borrowed view of one record batch, and the iterator over batches lying one after another.
//!
//! Invariant: a [`BatchView`] covers exactly one whole batch whose length, magic, offsets and count are possible. Its
//! CRC and its records are checked only when asked for.
use std::borrow::Cow;

use super::compression::{self, Compression, CompressionError};
use super::record::{RecordError, RecordIterator};
use super::{
    COMPRESSION_MASK, CONTROL_BIT, DELETE_HORIZON_BIT, MAGIC_V2, TIMESTAMP_TYPE_BIT,
    TRANSACTIONAL_BIT, TimestampType, layout,
};

/// Why bytes are not a record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("record batch needs {needed} bytes, {available} are there")]
    Truncated { needed: usize, available: usize },
    #[error("record batch length {length} is below the least possible")]
    LengthTooSmall { length: i32 },
    #[error("record batch has magic {magic}, only 2 is supported")]
    UnsupportedMagic { magic: i8 },
    #[error("record batch has unknown compression {id}")]
    UnknownCompression { id: u8 },
    #[error("record batch has negative records count {count}")]
    NegativeCount { count: i32 },
    #[error(
        "record batch at offset {base_offset} has impossible last offset delta {last_offset_delta}"
    )]
    ImpossibleOffsets {
        base_offset: i64,
        last_offset_delta: i32,
    },
    #[error("record batch has checksum {stored:#010x}, computed {computed:#010x}")]
    CrcMismatch { stored: u32, computed: u32 },
}

/// Why the records of a batch could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    #[error(transparent)]
    Compression(#[from] CompressionError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// One whole batch, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchView<'a> {
    bytes: &'a [u8],
    payload: &'a [u8],
    compression: Compression,
    base_offset: i64,
    batch_length: i32,
    partition_leader_epoch: i32,
    crc: u32,
    attributes: i16,
    last_offset_delta: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    records_count: i32,
}

/// Takes `N` bytes off the front. Only called where the total was checked; zeros never happen there.
#[inline]
fn take<const N: usize>(input: &mut &[u8]) -> [u8; N] {
    match input.split_first_chunk::<N>() {
        Some((head, rest)) => {
            *input = rest;
            *head
        }
        None => [0; N],
    }
}

impl<'a> BatchView<'a> {
    /// Views the batch at the start of `bytes`, which may go on after it.
    ///
    /// Checks the length, magic, compression, count and offsets; neither the CRC ([`Self::verify_crc`]) nor the records.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let available = bytes.len();
        // Magic lies at the same place in every version, so old formats are told apart before their shorter header ends.
        if let Some(&magic) = bytes.get(layout::MAGIC)
            && magic.cast_signed() != MAGIC_V2
        {
            return Err(BatchError::UnsupportedMagic {
                magic: magic.cast_signed(),
            });
        }
        let mut header = bytes.get(..layout::RECORDS).ok_or(BatchError::Truncated {
            needed: layout::RECORDS,
            available,
        })?;
        let header = &mut header;
        let base_offset = i64::from_be_bytes(take(header));
        let batch_length = i32::from_be_bytes(take(header));
        let partition_leader_epoch = i32::from_be_bytes(take(header));
        let [_magic] = take(header);
        let crc = u32::from_be_bytes(take(header));
        let attributes = i16::from_be_bytes(take(header));
        let last_offset_delta = i32::from_be_bytes(take(header));
        let base_timestamp = i64::from_be_bytes(take(header));
        let max_timestamp = i64::from_be_bytes(take(header));
        let producer_id = i64::from_be_bytes(take(header));
        let producer_epoch = i16::from_be_bytes(take(header));
        let base_sequence = i32::from_be_bytes(take(header));
        let records_count = i32::from_be_bytes(take(header));

        let total = total_size(batch_length).ok_or(BatchError::LengthTooSmall {
            length: batch_length,
        })?;
        let bytes = bytes.get(..total).ok_or(BatchError::Truncated {
            needed: total,
            available,
        })?;
        let payload = bytes.get(layout::RECORDS..).unwrap_or_default();
        if records_count < 0 {
            return Err(BatchError::NegativeCount {
                count: records_count,
            });
        }
        let end = base_offset
            .checked_add(i64::from(last_offset_delta))
            .and_then(|last| last.checked_add(1));
        if last_offset_delta < 0 || end.is_none() {
            return Err(BatchError::ImpossibleOffsets {
                base_offset,
                last_offset_delta,
            });
        }
        let [_, low] = (attributes & COMPRESSION_MASK).to_be_bytes();
        let compression =
            Compression::from_id(low).ok_or(BatchError::UnknownCompression { id: low })?;
        Ok(Self {
            bytes,
            payload,
            compression,
            base_offset,
            batch_length,
            partition_leader_epoch,
            crc,
            attributes,
            last_offset_delta,
            base_timestamp,
            max_timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
            records_count,
        })
    }

    /// Compares the stored CRC with the bytes.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = self.compute_crc();
        if computed == self.crc {
            Ok(())
        } else {
            Err(BatchError::CrcMismatch {
                stored: self.crc,
                computed,
            })
        }
    }

    /// CRC-32C over everything from the attributes on.
    #[must_use]
    pub fn compute_crc(&self) -> u32 {
        crc32c::crc32c(self.bytes.get(layout::ATTRIBUTES..).unwrap_or_default())
    }

    /// The whole batch.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records as they lie in the batch, compressed if the batch is.
    #[must_use]
    pub fn record_bytes(&self) -> &'a [u8] {
        self.payload
    }

    #[must_use]
    pub fn base_offset(&self) -> i64 {
        self.base_offset
    }

    /// Bytes after the length field, as stored; [`Self::total_size`] is usually wanted.
    #[must_use]
    pub fn batch_length(&self) -> i32 {
        self.batch_length
    }

    /// Bytes of the whole batch, its first 12 included.
    #[must_use]
    pub fn total_size(&self) -> usize {
        self.bytes.len()
    }

    #[must_use]
    pub fn partition_leader_epoch(&self) -> i32 {
        self.partition_leader_epoch
    }

    #[must_use]
    pub fn magic(&self) -> i8 {
        MAGIC_V2
    }

    /// The CRC as stored.
    #[must_use]
    pub fn crc(&self) -> u32 {
        self.crc
    }

    #[must_use]
    pub fn attributes(&self) -> i16 {
        self.attributes
    }

    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & TIMESTAMP_TYPE_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Whether the base timestamp is a delete horizon (KIP-534).
    #[must_use]
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON_BIT != 0
    }

    #[must_use]
    pub fn last_offset_delta(&self) -> i32 {
        self.last_offset_delta
    }

    /// Offset of the last record, inclusive.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(i64::from(self.last_offset_delta))
    }

    /// Offset of the batch that follows.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    #[must_use]
    pub fn base_timestamp(&self) -> i64 {
        self.base_timestamp
    }

    #[must_use]
    pub fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    #[must_use]
    pub fn producer_id(&self) -> i64 {
        self.producer_id
    }

    #[must_use]
    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }

    #[must_use]
    pub fn producer_epoch(&self) -> i16 {
        self.producer_epoch
    }

    #[must_use]
    pub fn base_sequence(&self) -> i32 {
        self.base_sequence
    }

    /// Sequence of the last record, wrapping after `i32::MAX` to 0 as in Kafka (`DefaultRecordBatch.incrementSequence`);
    /// -1 when the batch has none.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return super::NO_SEQUENCE;
        }
        match self.base_sequence.checked_add(self.last_offset_delta) {
            Some(sequence) => sequence,
            // Past the end sequences go on at 0: base + delta - (MAX + 1), written without overflow.
            None => self
                .last_offset_delta
                .saturating_sub(i32::MAX.saturating_sub(self.base_sequence))
                .saturating_sub(1),
        }
    }

    /// Number of records, never negative.
    #[must_use]
    pub fn records_count(&self) -> i32 {
        self.records_count
    }

    /// The records uncompressed: borrowed when they are stored so, at most `max_output` bytes otherwise.
    pub fn payload(&self, max_output: usize) -> Result<Cow<'a, [u8]>, CompressionError> {
        match self.compression {
            Compression::None => Ok(Cow::Borrowed(self.payload)),
            codec => compression::decompress(codec, self.payload, max_output).map(Cow::Owned),
        }
    }

    /// Iterates over `payload`, which is what [`Self::payload`] returned.
    #[must_use]
    pub fn records<'p>(&self, payload: &'p [u8]) -> RecordIterator<'p> {
        RecordIterator::new(payload, self.records_count)
    }

    /// Whether as many records as the count says can be read, and fill the payload.
    pub fn check_records(&self, max_output: usize) -> Result<(), PayloadError> {
        let payload = self.payload(max_output)?;
        for record in self.records(&payload) {
            record?;
        }
        Ok(())
    }

    /// Timestamp of a record of this batch.
    #[must_use]
    pub fn timestamp_of(&self, timestamp_delta: i64) -> i64 {
        match self.timestamp_type() {
            TimestampType::LogAppendTime => self.max_timestamp,
            TimestampType::CreateTime => self.base_timestamp.wrapping_add(timestamp_delta),
        }
    }

    /// Offset of a record of this batch.
    #[must_use]
    pub fn offset_of(&self, offset_delta: i32) -> i64 {
        self.base_offset.wrapping_add(i64::from(offset_delta))
    }
}

/// Bytes of a whole batch from its length field; `None` when no batch has that length.
pub(crate) fn total_size(batch_length: i32) -> Option<usize> {
    let total = usize::try_from(batch_length)
        .ok()?
        .checked_add(layout::LOG_OVERHEAD)?;
    (total >= layout::RECORDS).then_some(total)
}

/// Bytes after the last whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialTail {
    /// Where it begins.
    pub position: usize,
    /// How many bytes are there.
    pub available: usize,
    /// How many the batch needs, if its length field is there.
    pub needed: Option<usize>,
}

/// Iterates over batches that lie one after another.
///
/// Ends at the end of the bytes, at a batch that is cut off (see [`Self::partial_tail`]), or after the first error.
#[derive(Debug, Clone)]
pub struct BatchIterator<'a> {
    bytes: &'a [u8],
    position: usize,
    failed: bool,
}

impl<'a> BatchIterator<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            failed: false,
        }
    }

    /// Where the next batch begins; after the end, how many bytes were whole batches.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// What is left after the last whole batch; `None` when nothing is, or when it is not a cut batch but garbage.
    #[must_use]
    pub fn partial_tail(&self) -> Option<PartialTail> {
        let rest = self.bytes.get(self.position..)?;
        if rest.is_empty() || self.failed {
            return None;
        }
        match BatchView::parse(rest) {
            Err(BatchError::Truncated { available, .. }) => {
                let length = rest
                    .get(layout::BATCH_LENGTH..)
                    .and_then(|tail| tail.first_chunk::<4>());
                let needed = length.and_then(|length| total_size(i32::from_be_bytes(*length)));
                Some(PartialTail {
                    position: self.position,
                    available,
                    needed,
                })
            }
            _ => None,
        }
    }
}

impl<'a> Iterator for BatchIterator<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.position..)?;
        if rest.is_empty() || self.failed {
            return None;
        }
        match BatchView::parse(rest) {
            Ok(batch) => {
                self.position = self.position.saturating_add(batch.total_size());
                Some(Ok(batch))
            }
            Err(BatchError::Truncated { .. }) => match known_impossible_length(rest) {
                Some(error) => {
                    self.failed = true;
                    Some(Err(error))
                }
                None => None,
            },
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}

/// A cut header whose length field is there and impossible is garbage, not a cut batch.
fn known_impossible_length(rest: &[u8]) -> Option<BatchError> {
    let length = i32::from_be_bytes(*rest.get(layout::BATCH_LENGTH..)?.first_chunk::<4>()?);
    total_size(length)
        .is_none()
        .then_some(BatchError::LengthTooSmall { length })
}
