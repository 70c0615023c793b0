//! Writes the primitives of a message into a list of pieces (`clients/.../common/protocol/Writable.java`, KIP-482).
//!
//! Small things are copied into one growing buffer; large `bytes`, records and file ranges become pieces of their own,
//! so that a fetch response goes out with writev and sendfile. Invariant: pieces keep the order of writing.
use bytes::{BufMut, Bytes, BytesMut};

use crate::slice::{Records, Slice};
use crate::uuid::Uuid;
use crate::varint;

/// From this length on bytes in memory are not copied but sent as a piece of their own. Below, one more entry in
/// writev and a reference count cost more than the copy.
const COPY_BELOW: usize = 512;
/// First size of a message's buffer: most responses to one partition or group.
const BUFFER_CAPACITY: usize = 256;
/// Longest string, as in Kafka's generated code.
const STRING_LENGTH_MAX: usize = 0x7fff;

/// Why a message cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("{field} is set and does not exist in version {version}")]
    UnsupportedField { field: &'static str, version: i16 },
    #[error("{field} must not be null in this version")]
    Null { field: &'static str },
    #[error("{field} is too long")]
    TooLong { field: &'static str },
    #[error("version {version} is not between {min} and {max}")]
    UnsupportedVersion { version: i16, min: i16, max: i16 },
    #[error("message of {length} bytes is too long for a frame")]
    FrameTooLong { length: usize },
}

#[derive(Debug)]
enum Part {
    Buffer(BytesMut),
    Shared(Slice),
}

/// Collects a message.
#[derive(Debug, Default)]
pub struct Writer {
    /// What comes before `buffer`.
    parts: Vec<Part>,
    buffer: BytesMut,
    parts_length: usize,
}

/// A written message: pieces in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Segments {
    slices: Vec<Slice>,
    length: usize,
}

impl Segments {
    /// Bytes of all pieces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    #[must_use]
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    #[must_use]
    pub fn into_slices(self) -> Vec<Slice> {
        self.slices
    }

    /// One run of bytes, copied if there is more than one piece.
    pub fn into_bytes(self) -> Result<Bytes, crate::slice::IntoBytesError> {
        Records(self.slices).into_bytes()
    }
}

impl IntoIterator for Segments {
    type Item = Slice;
    type IntoIter = std::vec::IntoIter<Slice>;

    fn into_iter(self) -> Self::IntoIter {
        self.slices.into_iter()
    }
}

/// The value of a field that must not be null.
pub(crate) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, EncodeError> {
    value.ok_or(EncodeError::Null { field })
}

macro_rules! fixed {
    ($($name:ident => $put:ident),*) => { $(
        #[inline]
        pub fn $name(&mut self, value: $name) {
            self.buffer.$put(value);
        }
    )* };
}

impl Writer {
    /// Has room for a short message, so that its buffer need not grow step by step.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: BytesMut::with_capacity(BUFFER_CAPACITY),
            ..Self::default()
        }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts_length.saturating_add(self.buffer.len())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces, in order.
    #[must_use]
    pub fn finish(mut self) -> Segments {
        let length = self.len();
        self.flush();
        let slices = self.parts.into_iter().map(|part| match part {
            Part::Buffer(buffer) => Slice::Memory(buffer.freeze()),
            Part::Shared(slice) => slice,
        });
        Segments {
            slices: slices.collect(),
            length,
        }
    }

    /// As [`Self::finish`], and puts the length of all that follows into the first four bytes, which the caller wrote
    /// as a placeholder before anything else.
    pub fn finish_frame(mut self) -> Result<Segments, EncodeError> {
        let length = self.len().saturating_sub(4);
        let prefix = i32::try_from(length).map_err(|_over| EncodeError::FrameTooLong { length })?;
        self.flush();
        if let Some(Part::Buffer(first)) = self.parts.first_mut()
            && let Some(field) = first.first_chunk_mut::<4>()
        {
            *field = prefix.to_be_bytes();
        }
        Ok(self.finish())
    }

    fn flush(&mut self) {
        if !self.buffer.is_empty() {
            let buffer = self.buffer.split();
            self.parts_length = self.parts_length.saturating_add(buffer.len());
            self.parts.push(Part::Buffer(buffer));
        }
    }

    /// Appends a piece, copying it if it is small and in memory.
    pub fn slice(&mut self, slice: Slice) {
        match slice {
            Slice::Memory(bytes) if bytes.len() < COPY_BELOW => self.buffer.put_slice(&bytes),
            shared if shared.is_empty() => {}
            shared => {
                self.flush();
                self.parts_length = self.parts_length.saturating_add(shared.len());
                self.parts.push(Part::Shared(shared));
            }
        }
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    fixed!(i8 => put_i8, i16 => put_i16, u16 => put_u16, i32 => put_i32, u32 => put_u32, i64 => put_i64, f64 => put_f64);

    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.buffer.put_u8(u8::from(value));
    }

    #[inline]
    pub fn uuid(&mut self, value: Uuid) {
        self.buffer.put_slice(&value.0);
    }

    /// Writes an unsigned variable-length integer.
    #[inline]
    pub fn varint(&mut self, value: u32) {
        varint::write_u32(&mut self.buffer, value);
    }

    /// Length of bytes or count of an array, or null.
    fn length(
        &mut self,
        length: Option<usize>,
        flexible: bool,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        let signed = match length {
            None => -1,
            Some(length) => {
                i32::try_from(length).map_err(|_over| EncodeError::TooLong { field })?
            }
        };
        if flexible {
            self.varint(signed.cast_unsigned().wrapping_add(1));
        } else {
            self.i32(signed);
        }
        Ok(())
    }

    pub fn string(
        &mut self,
        value: &str,
        flexible: bool,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        self.nullable_string(Some(value), flexible, field)
    }

    pub fn nullable_string(
        &mut self,
        value: Option<&str>,
        flexible: bool,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        let length = value.map(str::len);
        if length.is_some_and(|length| length > STRING_LENGTH_MAX) {
            return Err(EncodeError::TooLong { field });
        }
        if flexible {
            self.length(length, true, field)?;
        } else {
            self.i16(length.map_or(-1, |length| i16::try_from(length).unwrap_or(i16::MAX)));
        }
        self.buffer.put_slice(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    pub fn bytes(
        &mut self,
        value: &Bytes,
        flexible: bool,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        self.nullable_bytes(Some(value), flexible, field)
    }

    pub fn nullable_bytes(
        &mut self,
        value: Option<&Bytes>,
        flexible: bool,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        self.length(value.map(Bytes::len), flexible, field)?;
        if let Some(bytes) = value {
            self.slice(Slice::Memory(bytes.clone()));
        }
        Ok(())
    }

    pub fn records(
        &mut self,
        value: &Records,
        flexible: bool,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        self.nullable_records(Some(value), flexible, field)
    }

    pub fn nullable_records(
        &mut self,
        value: Option<&Records>,
        flexible: bool,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        self.length(value.map(Records::len), flexible, field)?;
        for slice in value.map(Records::slices).unwrap_or_default() {
            self.slice(slice.clone());
        }
        Ok(())
    }

    pub fn array<T>(
        &mut self,
        value: &[T],
        flexible: bool,
        field: &'static str,
        element: impl FnMut(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.nullable_array(Some(value), flexible, field, element)
    }

    pub fn nullable_array<T>(
        &mut self,
        value: Option<&[T]>,
        flexible: bool,
        field: &'static str,
        mut element: impl FnMut(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.length(value.map(<[T]>::len), flexible, field)?;
        for item in value.unwrap_or_default() {
            element(self, item)?;
        }
        Ok(())
    }

    /// A struct that may be null: a byte tells which.
    pub fn nullable_struct<T>(
        &mut self,
        value: Option<&T>,
        write: impl FnOnce(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        match value {
            None => {
                self.i8(-1);
                Ok(())
            }
            Some(value) => {
                self.i8(1);
                write(self, value)
            }
        }
    }

    /// A struct that may be null as a tagged field has it: a varint tells which.
    pub fn nullable_tagged_struct<T>(
        &mut self,
        value: Option<&T>,
        write: impl FnOnce(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        match value {
            None => {
                self.varint(0);
                Ok(())
            }
            Some(value) => {
                self.varint(1);
                write(self, value)
            }
        }
    }

    /// Ends a struct that has no tagged field set.
    #[inline]
    pub fn no_tags(&mut self) {
        self.buffer.put_u8(0);
    }

    /// Ends a struct with its tagged fields.
    pub fn tags(&mut self, tags: TaggedFields) {
        self.varint(tags.count);
        self.append(tags.fields);
    }

    fn append(&mut self, other: Self) {
        for part in other.parts {
            match part {
                Part::Buffer(buffer) => self.buffer.put_slice(&buffer),
                Part::Shared(slice) => self.slice(slice),
            }
        }
        self.buffer.put_slice(&other.buffer);
    }
}

/// The tagged fields of one struct while they are collected: their number and sizes come before their values.
#[derive(Debug, Default)]
pub struct TaggedFields {
    count: u32,
    fields: Writer,
}

impl TaggedFields {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field; tags must come in increasing order.
    pub fn add(
        &mut self,
        tag: u32,
        field: &'static str,
        write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut value = Writer::default();
        write(&mut value)?;
        let size = u32::try_from(value.len()).map_err(|_over| EncodeError::TooLong { field })?;
        self.fields.varint(tag);
        self.fields.varint(size);
        self.fields.append(value);
        self.count = self.count.saturating_add(1);
        Ok(())
    }
}
