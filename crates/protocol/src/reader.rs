//! Reads the primitives of a message from one frame (`clients/.../common/protocol/Readable.java` and KIP-482).
//!
//! Invariant: nothing is allocated before it was checked against what remains of the frame and against a budget. The
//! budget covers all that decoding allocates, elements of arrays and text alike, and is a small multiple of the frame's
//! length (64 KiB for short frames), so that a frame full of tiny elements cannot make many times its own size. `bytes` and records are slices
//! of the frame and cost nothing.
use bytes::Bytes;

use crate::slice::Records;
use crate::uuid::Uuid;
use crate::varint::{self, VarintError};

/// Half bytes decoding may allocate per byte of the frame, so that with what the buffer's sharing takes it stays below 8
/// bytes. What real requests need depends on how short their names are: a topic of Metadata v4 takes 40 bytes and its
/// name's, 2 and its name's on the wire, which is 7.33 for each byte of names of four letters.
const HALF_BUDGET_PER_BYTE: usize = 15;
/// What any frame may allocate, so that many hundreds of groups or topics with names of one letter are not refused.
const BUDGET_LEAST: usize = 64 * 1024;
/// Longest string, as in Kafka's generated code.
const STRING_LENGTH_MAX: usize = 0x7fff;

/// A message that could not be decoded, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{cause} at byte {position} of the message")]
pub struct DecodeError {
    /// Bytes from the start of what the reader was given.
    pub position: usize,
    pub cause: DecodeCause,
}

/// Why a message could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeCause {
    #[error("{needed} bytes are needed and {available} left")]
    Truncated { needed: usize, available: usize },
    #[error(transparent)]
    Varint(VarintError),
    #[error("a field that must not be null is")]
    Null,
    #[error("a string has {length} bytes, more than 32767")]
    StringTooLong { length: usize },
    #[error("an array claims {count} elements and {available} bytes are left")]
    CountTooLarge { count: usize, available: usize },
    #[error("decoding would need {requested} bytes more, of which {left} are allowed")]
    BudgetExceeded { requested: usize, left: usize },
    #[error("tag {tag} follows tag {previous}")]
    TagsNotIncreasing { tag: u32, previous: u32 },
    #[error("tag {tag} does not exist in this version")]
    UnexpectedTag { tag: u32 },
    #[error("tagged field claims {size} bytes and has {read}")]
    TagSize { size: usize, read: usize },
    #[error("version {version} is not between {min} and {max}")]
    UnsupportedVersion { version: i16, min: i16, max: i16 },
}

/// Reads one frame.
#[derive(Debug, Clone)]
pub struct Reader {
    bytes: Bytes,
    position: usize,
    budget: usize,
}

/// Where the reader is among the tagged fields of a struct.
#[derive(Debug)]
pub struct Tags {
    left: u32,
    previous: Option<u32>,
}

/// Takes from the budget before something is allocated.
fn charge(budget: &mut usize, requested: usize, position: usize) -> Result<(), DecodeError> {
    match budget.checked_sub(requested) {
        Some(left) => {
            *budget = left;
            Ok(())
        }
        None => {
            let cause = DecodeCause::BudgetExceeded {
                requested,
                left: *budget,
            };
            Err(DecodeError { position, cause })
        }
    }
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident),*) => { $(
        $(#[$doc])*
        #[inline]
        pub fn $name(&mut self) -> Result<$name, DecodeError> {
            Ok($name::from_be_bytes(self.take_array()?))
        }
    )* };
}

impl Reader {
    /// Reads `bytes` with a budget in proportion to their length.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        let budget = bytes
            .len()
            .saturating_mul(HALF_BUDGET_PER_BYTE)
            .div_euclid(2)
            .max(BUDGET_LEAST);
        Self {
            bytes,
            position: 0,
            budget,
        }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes not yet read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.position)
    }

    /// What was not read, as a slice of the frame.
    #[must_use]
    pub fn into_rest(self) -> Bytes {
        let mut bytes = self.bytes;
        bytes.split_off(self.position.min(bytes.len()))
    }

    /// An error at the present position.
    #[must_use]
    #[cold]
    pub fn error(&self, cause: DecodeCause) -> DecodeError {
        DecodeError {
            position: self.position,
            cause,
        }
    }

    #[inline]
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    #[cold]
    fn truncated(&self, needed: usize) -> DecodeError {
        self.error(DecodeCause::Truncated {
            needed,
            available: self.remaining(),
        })
    }

    #[inline]
    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest().first_chunk::<N>() {
            Some(&chunk) => {
                self.position = self.position.saturating_add(N);
                Ok(chunk)
            }
            None => Err(self.truncated(N)),
        }
    }

    fn take_slice(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        let end = self.position.saturating_add(length);
        if length > self.remaining() {
            return Err(self.truncated(length));
        }
        let slice = self.bytes.slice(self.position..end);
        self.position = end;
        Ok(slice)
    }

    /// Passes over bytes.
    pub fn skip(&mut self, length: usize) -> Result<(), DecodeError> {
        if length > self.remaining() {
            return Err(self.truncated(length));
        }
        self.position = self.position.saturating_add(length);
        Ok(())
    }

    fixed!(
        /// Reads 1 byte.
        i8,
        /// Reads 2 bytes.
        i16,
        /// Reads 2 bytes.
        u16,
        /// Reads 4 bytes.
        i32,
        /// Reads 4 bytes.
        u32,
        /// Reads 8 bytes.
        i64,
        /// Reads 8 bytes.
        f64
    );

    /// Reads 1 byte; anything but 0 is true.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    /// Reads 16 bytes.
    #[inline]
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        Ok(Uuid(self.take_array()?))
    }

    /// Reads an unsigned variable-length integer.
    #[inline]
    pub fn varint(&mut self) -> Result<u32, DecodeError> {
        let rest = self.rest();
        let mut input = rest;
        match varint::read_u32(&mut input) {
            Ok(value) => {
                let read = rest.len().saturating_sub(input.len());
                self.position = self.position.saturating_add(read);
                Ok(value)
            }
            Err(error) => Err(self.error(DecodeCause::Varint(error))),
        }
    }

    /// A varint that is one more than the length, 0 meaning null. Java reads it as signed, so the upper half is null too.
    #[inline]
    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        let signed = self.varint()?.wrapping_sub(1).cast_signed();
        Ok(usize::try_from(signed).ok())
    }

    /// Length of bytes or count of an array; `None` is null.
    #[inline]
    fn length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            self.compact_length()
        } else {
            Ok(usize::try_from(self.i32()?).ok())
        }
    }

    fn not_null<T>(&self, value: Option<T>) -> Result<T, DecodeError> {
        value.ok_or_else(|| self.error(DecodeCause::Null))
    }

    /// Reads a string that must not be null.
    pub fn string(&mut self, flexible: bool) -> Result<String, DecodeError> {
        let value = self.nullable_string(flexible)?;
        self.not_null(value)
    }

    /// Reads a string. Bytes that are not UTF-8 become U+FFFD, as Java's decoder does.
    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<String>, DecodeError> {
        let length = if flexible {
            self.compact_length()?
        } else {
            usize::try_from(self.i16()?).ok()
        };
        let Some(length) = length else {
            return Ok(None);
        };
        if length > STRING_LENGTH_MAX {
            return Err(self.error(DecodeCause::StringTooLong { length }));
        }
        let end = self.position.saturating_add(length);
        let Some(bytes) = self.bytes.get(self.position..end) else {
            return Err(self.truncated(length));
        };
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => {
                charge(&mut self.budget, length, self.position)?;
                text.to_owned()
            }
            Err(_not_utf8) => {
                // Each bad byte becomes three; while the string grows, old and new exist at once.
                charge(&mut self.budget, length.saturating_mul(6), self.position)?;
                String::from_utf8_lossy(bytes).into_owned()
            }
        };
        self.position = self.position.saturating_add(length);
        Ok(Some(text))
    }

    /// Reads bytes that must not be null, as a slice of the frame.
    pub fn bytes(&mut self, flexible: bool) -> Result<Bytes, DecodeError> {
        let value = self.nullable_bytes(flexible)?;
        self.not_null(value)
    }

    /// Reads bytes as a slice of the frame.
    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Bytes>, DecodeError> {
        match self.length(flexible)? {
            None => Ok(None),
            Some(length) => self.take_slice(length).map(Some),
        }
    }

    /// Reads records that must not be null, as a slice of the frame.
    pub fn records(&mut self, flexible: bool) -> Result<Records, DecodeError> {
        let value = self.nullable_records(flexible)?;
        self.not_null(value)
    }

    /// Reads records as a slice of the frame.
    pub fn nullable_records(&mut self, flexible: bool) -> Result<Option<Records>, DecodeError> {
        let Some(bytes) = self.nullable_bytes(flexible)? else {
            return Ok(None);
        };
        charge(
            &mut self.budget,
            size_of::<crate::slice::Slice>(),
            self.position,
        )?;
        Ok(Some(Records::from(bytes)))
    }

    /// Reads an array that must not be null; each element takes at least `min_size` bytes.
    pub fn array<T>(
        &mut self,
        flexible: bool,
        min_size: usize,
        element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let value = self.nullable_array(flexible, min_size, element)?;
        self.not_null(value)
    }

    /// Reads an array; each element takes at least `min_size` bytes.
    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        min_size: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.length(flexible)? else {
            return Ok(None);
        };
        let available = self.remaining();
        if count
            .checked_mul(min_size.max(1))
            .is_none_or(|least| least > available)
        {
            return Err(self.error(DecodeCause::CountTooLarge { count, available }));
        }
        charge(
            &mut self.budget,
            count.saturating_mul(size_of::<T>()),
            self.position,
        )?;
        #[allow(
            clippy::disallowed_methods,
            reason = "the count was checked against the frame and the budget"
        )]
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    /// Reads a struct that may be null: a byte tells which.
    pub fn nullable_struct<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.i8()? < 0 {
            Ok(None)
        } else {
            read(self).map(Some)
        }
    }

    /// Reads a struct that may be null as a tagged field has it: a varint tells which.
    pub fn nullable_tagged_struct<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.varint()? == 0 {
            Ok(None)
        } else {
            read(self).map(Some)
        }
    }

    /// Begins the tagged fields of a struct.
    pub fn tags(&mut self) -> Result<Tags, DecodeError> {
        Ok(Tags {
            left: self.varint()?,
            previous: None,
        })
    }

    /// The next tagged field: its tag and size. Tags must increase (KIP-482).
    pub fn next_tag(&mut self, tags: &mut Tags) -> Result<Option<(u32, usize)>, DecodeError> {
        let Some(left) = tags.left.checked_sub(1) else {
            return Ok(None);
        };
        tags.left = left;
        let tag = self.varint()?;
        if let Some(previous) = tags.previous
            && tag <= previous
        {
            return Err(self.error(DecodeCause::TagsNotIncreasing { tag, previous }));
        }
        tags.previous = Some(tag);
        let size = self.varint()?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > self.remaining() {
            return Err(self.truncated(size));
        }
        Ok(Some((tag, size)))
    }

    /// Reads the value of a tagged field, which must take just `size` bytes.
    pub fn tagged<T>(
        &mut self,
        size: usize,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let start = self.position;
        let value = read(self)?;
        let read = self.position.saturating_sub(start);
        if read == size {
            Ok(value)
        } else {
            Err(self.error(DecodeCause::TagSize { size, read }))
        }
    }

    /// Passes over the tagged fields of a struct that knows none.
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        let mut tags = self.tags()?;
        while let Some((_tag, size)) = self.next_tag(&mut tags)? {
            self.skip(size)?;
        }
        Ok(())
    }
}
