//! Variable-length integers: unsigned LEB128 (compact lengths, tagged fields) and zigzag (record fields).
//!
//! Readers advance the slice they are given and leave it where the value ends. Invariant: at most 5 bytes are read for
//! 32 bits and 10 for 64, as in Kafka (`clients/.../common/utils/ByteUtils.java`).
use bytes::BufMut;

/// Why a variable-length integer could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VarintError {
    #[error("variable-length integer ends after the last byte")]
    Truncated,
    #[error("variable-length integer is longer than {max_bytes} bytes")]
    TooLong { max_bytes: usize },
}

/// Longest encoding of 32 bits.
pub const MAX_BYTES_32: usize = 5;
/// Longest encoding of 64 bits.
pub const MAX_BYTES_64: usize = 10;

/// Reads an unsigned 32-bit integer. Bits beyond 32 in the fifth byte are dropped, as Java does.
#[inline]
pub fn read_u32(input: &mut &[u8]) -> Result<u32, VarintError> {
    // Almost all lengths fit one byte.
    if let Some((&first, rest)) = input.split_first()
        && first < 0x80
    {
        *input = rest;
        return Ok(u32::from(first));
    }
    let mut value: u32 = 0;
    let mut shift: u32 = 0;
    for index in 0..MAX_BYTES_32 {
        let byte = *input.get(index).ok_or(VarintError::Truncated)?;
        value |= u32::from(byte & 0x7f).wrapping_shl(shift);
        if byte < 0x80 {
            *input = input.get(index.saturating_add(1)..).unwrap_or_default();
            return Ok(value);
        }
        shift = shift.saturating_add(7);
    }
    Err(VarintError::TooLong {
        max_bytes: MAX_BYTES_32,
    })
}

/// Reads an unsigned 64-bit integer.
#[inline]
pub fn read_u64(input: &mut &[u8]) -> Result<u64, VarintError> {
    if let Some((&first, rest)) = input.split_first()
        && first < 0x80
    {
        *input = rest;
        return Ok(u64::from(first));
    }
    let mut value: u64 = 0;
    let mut shift: u32 = 0;
    for index in 0..MAX_BYTES_64 {
        let byte = *input.get(index).ok_or(VarintError::Truncated)?;
        value |= u64::from(byte & 0x7f).wrapping_shl(shift);
        if byte < 0x80 {
            *input = input.get(index.saturating_add(1)..).unwrap_or_default();
            return Ok(value);
        }
        shift = shift.saturating_add(7);
    }
    Err(VarintError::TooLong {
        max_bytes: MAX_BYTES_64,
    })
}

/// Reads a zigzag-encoded 32-bit integer.
#[inline]
pub fn read_i32(input: &mut &[u8]) -> Result<i32, VarintError> {
    let raw = read_u32(input)?;
    Ok(raw.wrapping_shr(1).cast_signed() ^ (raw & 1).cast_signed().wrapping_neg())
}

/// Reads a zigzag-encoded 64-bit integer.
#[inline]
pub fn read_i64(input: &mut &[u8]) -> Result<i64, VarintError> {
    let raw = read_u64(input)?;
    Ok(raw.wrapping_shr(1).cast_signed() ^ (raw & 1).cast_signed().wrapping_neg())
}

/// Writes an unsigned 32-bit integer.
#[inline]
pub fn write_u32(output: &mut impl BufMut, value: u32) {
    write_u64(output, u64::from(value));
}

/// Writes an unsigned 64-bit integer.
#[inline]
pub fn write_u64(output: &mut impl BufMut, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value = value.wrapping_shr(7);
        if value == 0 {
            output.put_u8(low & 0x7f);
            return;
        }
        output.put_u8(low | 0x80);
    }
}

/// Writes a zigzag-encoded 32-bit integer.
#[inline]
pub fn write_i32(output: &mut impl BufMut, value: i32) {
    write_u32(
        output,
        value.wrapping_shl(1).cast_unsigned() ^ value.wrapping_shr(31).cast_unsigned(),
    );
}

/// Writes a zigzag-encoded 64-bit integer.
#[inline]
pub fn write_i64(output: &mut impl BufMut, value: i64) {
    write_u64(
        output,
        value.wrapping_shl(1).cast_unsigned() ^ value.wrapping_shr(63).cast_unsigned(),
    );
}

/// Bytes an unsigned 32-bit integer takes.
#[inline]
#[must_use]
pub fn size_u32(value: u32) -> usize {
    size_u64(u64::from(value))
}

/// Bytes an unsigned 64-bit integer takes.
#[inline]
#[must_use]
pub fn size_u64(value: u64) -> usize {
    let bits = 64_u32.saturating_sub((value | 1).leading_zeros());
    usize::try_from(bits.div_ceil(7)).unwrap_or(MAX_BYTES_64)
}

/// Bytes a zigzag-encoded 32-bit integer takes.
#[inline]
#[must_use]
pub fn size_i32(value: i32) -> usize {
    size_u32(value.wrapping_shl(1).cast_unsigned() ^ value.wrapping_shr(31).cast_unsigned())
}

/// Bytes a zigzag-encoded 64-bit integer takes.
#[inline]
#[must_use]
pub fn size_i64(value: i64) -> usize {
    size_u64(value.wrapping_shl(1).cast_unsigned() ^ value.wrapping_shr(63).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_those_of_kafka() {
        // Values and bytes of Kafka's own ByteUtilsTest.
        for (value, bytes) in [
            (0, vec![0x00]),
            (-1, vec![0x01]),
            (1, vec![0x02]),
            (63, vec![0x7e]),
            (-64, vec![0x7f]),
            (64, vec![0x80, 0x01]),
            (-65, vec![0x81, 0x01]),
            (i32::MAX, vec![0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut out = Vec::new();
            write_i32(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(read_i32(&mut out.as_slice()), Ok(value));
            assert_eq!(size_i32(value), bytes.len());
        }
    }

    #[test]
    fn overlong_and_truncated_are_errors() {
        assert_eq!(
            read_u32(&mut [0x80; 5].as_slice()),
            Err(VarintError::TooLong { max_bytes: 5 })
        );
        assert_eq!(
            read_u64(&mut [0x80; 10].as_slice()),
            Err(VarintError::TooLong { max_bytes: 10 })
        );
        assert_eq!(
            read_u32(&mut [0x80; 4].as_slice()),
            Err(VarintError::Truncated)
        );
        assert_eq!(read_u64(&mut [].as_slice()), Err(VarintError::Truncated));
    }

    proptest! {
        #[test]
        fn every_value_round_trips(a: u32, b: u64, c: i32, d: i64) {
            let mut out = Vec::new();
            write_u32(&mut out, a);
            write_u64(&mut out, b);
            write_i32(&mut out, c);
            write_i64(&mut out, d);
            prop_assert_eq!(out.len(), size_u32(a) + size_u64(b) + size_i32(c) + size_i64(d));
            let mut input = out.as_slice();
            prop_assert_eq!(read_u32(&mut input), Ok(a));
            prop_assert_eq!(read_u64(&mut input), Ok(b));
            prop_assert_eq!(read_i32(&mut input), Ok(c));
            prop_assert_eq!(read_i64(&mut input), Ok(d));
            prop_assert!(input.is_empty());
        }
    }
}
