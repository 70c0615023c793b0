//! Single records of an uncompressed payload (`clients/.../common/record/DefaultRecord.java`).
//!
//! A record: length (zigzag varint), attributes (1 byte), timestamp delta (zigzag varlong), offset delta (zigzag
//! varint), key length and bytes (-1 means null), value likewise, header count, and per header key length and bytes and
//! value length (-1 means null) and bytes. Invariant: every length is checked against what remains before it is used,
//! and a [`RecordView`] was read to its end, headers included.
use crate::varint::{self, VarintError};

/// Why a payload is not a run of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("record {index} is malformed: {source}")]
    Varint { index: i32, source: VarintError },
    #[error("record {index} has impossible length {length}, {available} bytes are left")]
    Length {
        index: i32,
        length: i32,
        available: usize,
    },
    #[error("record {index} has a field of impossible length {length}, {available} bytes are left")]
    FieldLength {
        index: i32,
        length: i32,
        available: usize,
    },
    #[error("record {index} has impossible header count {count}")]
    HeaderCount { index: i32, count: i32 },
    #[error("record {index} has {unread} bytes after its last field")]
    TrailingInRecord { index: i32, unread: usize },
    #[error("record {index} has offset delta {offset_delta}")]
    OffsetDelta { index: i32, offset_delta: i32 },
    #[error("{unread} bytes follow the last record")]
    TrailingInBatch { unread: usize },
}

/// One record, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecordView<'a> {
    /// Unused by Kafka so far.
    pub attributes: i8,
    /// Milliseconds after the base timestamp of the batch.
    pub timestamp_delta: i64,
    /// Offsets after the base offset of the batch.
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// In order; a key may occur more than once.
    pub headers: Headers<'a>,
    /// Bytes of the record, its length field included.
    pub size: usize,
}

/// The headers of a record: iterates over key bytes (UTF-8 by convention) and nullable value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    count: i32,
}

impl Headers<'_> {
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count <= 0
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.count <= 0 {
            return None;
        }
        self.count = self.count.saturating_sub(1);
        // The bytes were read through once when the record was, so nothing is lost by ending at an error.
        read_header(&mut self.bytes, 0).ok()
    }
}

fn read_header<'a>(
    input: &mut &'a [u8],
    index: i32,
) -> Result<(&'a [u8], Option<&'a [u8]>), RecordError> {
    let key_length = read_i32(input, index)?;
    let key = take(input, key_length, index)?;
    let value = take_nullable(input, index)?;
    Ok((key, value))
}

fn read_i32(input: &mut &[u8], index: i32) -> Result<i32, RecordError> {
    varint::read_i32(input).map_err(|source| RecordError::Varint { index, source })
}

fn take<'a>(input: &mut &'a [u8], length: i32, index: i32) -> Result<&'a [u8], RecordError> {
    let split = usize::try_from(length)
        .ok()
        .and_then(|length| input.split_at_checked(length));
    let Some((head, rest)) = split else {
        return Err(RecordError::FieldLength {
            index,
            length,
            available: input.len(),
        });
    };
    *input = rest;
    Ok(head)
}

fn take_nullable<'a>(input: &mut &'a [u8], index: i32) -> Result<Option<&'a [u8]>, RecordError> {
    match read_i32(input, index)? {
        // Kafka takes any negative length for null (`Utils.readBytes` after a sign test).
        length if length < 0 => Ok(None),
        length => take(input, length, index).map(Some),
    }
}

/// Iterates over the records of an uncompressed payload.
///
/// Yields an error when a record is malformed, or at the end when bytes are left over; then it ends.
#[derive(Debug, Clone)]
pub struct RecordIterator<'a> {
    input: &'a [u8],
    index: i32,
    count: i32,
    failed: bool,
}

impl<'a> RecordIterator<'a> {
    /// `payload` holds `count` records.
    #[must_use]
    pub fn new(payload: &'a [u8], count: i32) -> Self {
        Self {
            input: payload,
            index: 0,
            count,
            failed: false,
        }
    }

    fn read(&mut self) -> Result<RecordView<'a>, RecordError> {
        let index = self.index;
        let before = self.input.len();
        let body = next_body(&mut self.input, index)?;
        let size = before.saturating_sub(self.input.len());
        let mut input = body;
        let input = &mut input;
        let [attributes] =
            *take(input, 1, index)?
                .first_chunk::<1>()
                .ok_or(RecordError::FieldLength {
                    index,
                    length: 1,
                    available: 0,
                })?;
        let timestamp_delta =
            varint::read_i64(input).map_err(|source| RecordError::Varint { index, source })?;
        let offset_delta = read_i32(input, index)?;
        let key = take_nullable(input, index)?;
        let value = take_nullable(input, index)?;
        let count = read_i32(input, index)?;
        // A header takes two bytes at least.
        if usize::try_from(count).map_or(true, |count| count > input.len()) {
            return Err(RecordError::HeaderCount { index, count });
        }
        let headers = Headers {
            bytes: input,
            count,
        };
        for _ in 0..count {
            read_header(input, index)?;
        }
        if !input.is_empty() {
            return Err(RecordError::TrailingInRecord {
                index,
                unread: input.len(),
            });
        }
        Ok(RecordView {
            attributes: attributes.cast_signed(),
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers,
            size,
        })
    }
}

/// Takes the next record without its length field.
fn next_body<'a>(input: &mut &'a [u8], index: i32) -> Result<&'a [u8], RecordError> {
    let length = read_i32(input, index)?;
    let split = usize::try_from(length)
        .ok()
        .and_then(|length| input.split_at_checked(length));
    let Some((body, rest)) = split else {
        return Err(RecordError::Length {
            index,
            length,
            available: input.len(),
        });
    };
    *input = rest;
    Ok(body)
}

impl<'a> Iterator for RecordIterator<'a> {
    type Item = Result<RecordView<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.index >= self.count {
            self.failed = true;
            let unread = self.input.len();
            return (unread > 0).then_some(Err(RecordError::TrailingInBatch { unread }));
        }
        let record = self.read();
        self.index = self.index.saturating_add(1);
        self.failed = record.is_err();
        Some(record)
    }
}
