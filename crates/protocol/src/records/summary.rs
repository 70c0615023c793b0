//! Reading through the records of a batch as a producer sends it: is each what it says, and what do they have in common.
//!
//! Every produced batch that is not compressed goes this way, so it is read twice as fast as [`RecordIterator`] reads: no
//! field becomes a value that nobody asks for, and the next record begins where the length says, which the processor knows
//! before it has checked the fields. Invariant: what [`walk`] takes, the iterator takes too. What it does not take is read
//! again by the iterator, which has the last word and names what is wrong.

use super::record::{RecordError, RecordIterator};
use crate::varint::{self, VarintError};

/// What the records of a batch have in common. Timestamps are those of `CreateTime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordsSummary {
    /// `i64::MAX` if there are no records.
    pub smallest_timestamp: i64,
    /// `i64::MIN` if there are no records.
    pub largest_timestamp: i64,
    pub all_have_keys: bool,
}

impl RecordsSummary {
    const EMPTY: Self = Self {
        smallest_timestamp: i64::MAX,
        largest_timestamp: i64::MIN,
        all_have_keys: true,
    };

    #[inline]
    fn add(&mut self, timestamp: i64, has_key: bool) {
        self.smallest_timestamp = self.smallest_timestamp.min(timestamp);
        self.largest_timestamp = self.largest_timestamp.max(timestamp);
        self.all_have_keys &= has_key;
    }
}

/// Reads through the records in `payload`: they must be `count`, fill it, be filled by their fields, and have the offset
/// deltas 0, 1, 2 and so on.
pub fn summarize(
    payload: &[u8],
    count: i32,
    base_timestamp: i64,
) -> Result<RecordsSummary, RecordError> {
    match walk(payload, count, base_timestamp) {
        Some(summary) => Ok(summary),
        None => iterate(payload, count, base_timestamp),
    }
}

fn iterate(payload: &[u8], count: i32, base_timestamp: i64) -> Result<RecordsSummary, RecordError> {
    let mut summary = RecordsSummary::EMPTY;
    let mut index = 0_i32;
    for record in RecordIterator::new(payload, count) {
        let record = record?;
        if record.offset_delta != index {
            return Err(RecordError::OffsetDelta {
                index,
                offset_delta: record.offset_delta,
            });
        }
        index = index.saturating_add(1);
        let timestamp = base_timestamp.wrapping_add(record.timestamp_delta);
        summary.add(timestamp, record.key.is_some());
    }
    Ok(summary)
}

fn walk(payload: &[u8], count: i32, base_timestamp: i64) -> Option<RecordsSummary> {
    let mut summary = RecordsSummary::EMPTY;
    let mut input = payload;
    for index in 0..count {
        let (length, start) = signed(input, 0)?;
        let length = usize::try_from(length).ok()?;
        let (body, rest) = input.get(start..)?.split_at_checked(length)?;
        input = rest;
        // Behind the attributes.
        let (timestamp_delta, at) = signed_64(body, 1)?;
        let (offset_delta, at) = signed(body, at)?;
        let (key, at) = signed(body, at)?;
        let (value, at) = signed(body, at.saturating_add(bytes(key)?))?;
        let (headers, at) = signed(body, at.saturating_add(bytes(value)?))?;
        if offset_delta != i64::from(index) || behind_headers(body, headers, at)? != body.len() {
            return None;
        }
        summary.add(base_timestamp.wrapping_add(timestamp_delta), key >= 0);
    }
    input.is_empty().then_some(summary)
}

/// Where the headers end.
#[inline]
fn behind_headers(body: &[u8], headers: i64, mut at: usize) -> Option<usize> {
    // Each takes a byte at least, so that the end of the body ends this.
    for _ in 0..u32::try_from(headers).ok()? {
        let (key, behind) = signed(body, at)?;
        let (value, behind) = signed(body, behind.saturating_add(usize::try_from(key).ok()?))?;
        at = behind.saturating_add(bytes(value)?);
    }
    Some(at)
}

/// How many bytes a nullable field has.
#[inline]
fn bytes(length: i64) -> Option<usize> {
    usize::try_from(length.max(0)).ok()
}

/// An integer of 32 bits, and where it ends.
#[inline]
fn signed(input: &[u8], at: usize) -> Option<(i64, usize)> {
    short(input, at).or_else(|| long(input, at, |rest| varint::read_i32(rest).map(i64::from)))
}

/// An integer of 64 bits, and where it ends.
#[inline]
fn signed_64(input: &[u8], at: usize) -> Option<(i64, usize)> {
    short(input, at).or_else(|| long(input, at, varint::read_i64))
}

/// A zigzag-encoded integer of one or two bytes, as almost all are.
#[inline]
fn short(input: &[u8], at: usize) -> Option<(i64, usize)> {
    let first = *input.get(at)?;
    let behind = at.wrapping_add(1);
    if first < 0x80 {
        return Some((unzigzag(first.into()), behind));
    }
    let second = *input.get(behind)?;
    let raw = u32::from(first & 0x7f) | u32::from(second).wrapping_shl(7);
    (second < 0x80).then(|| (unzigzag(raw), behind.wrapping_add(1)))
}

#[inline]
fn unzigzag(raw: u32) -> i64 {
    let value = raw.wrapping_shr(1).cast_signed() ^ (raw & 1).cast_signed().wrapping_neg();
    value.into()
}

#[inline(never)]
fn long(
    input: &[u8],
    at: usize,
    read: impl Fn(&mut &[u8]) -> Result<i64, VarintError>,
) -> Option<(i64, usize)> {
    let mut rest = input.get(at..)?;
    let value = read(&mut rest).ok()?;
    Some((value, input.len().checked_sub(rest.len())?))
}

#[cfg(test)]
mod tests {
    use super::super::{BatchBuilder, BatchOptions, BatchView};
    use super::*;
    use proptest::prelude::*;

    const BASE: i64 = 1_000;
    const COUNT: i32 = 3;

    /// Three records: timestamps 1000, 990 and 1010, the second without a key.
    fn payload() -> Vec<u8> {
        let header = (&b"h"[..], None);
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder
            .push(BASE, Some(b"k"), Some(&[7; 100]), &[header, header])
            .unwrap();
        builder.push(990, None, None, &[]).unwrap();
        builder
            .push(1010, Some(b""), Some(b"v"), &[header])
            .unwrap();
        let bytes = builder.build().unwrap();
        BatchView::parse(&bytes).unwrap().record_bytes().to_vec()
    }

    #[test]
    fn timestamps_and_keys_are_those_of_the_records() {
        let expected = RecordsSummary {
            smallest_timestamp: 990,
            largest_timestamp: 1010,
            all_have_keys: false,
        };
        assert_eq!(walk(&payload(), COUNT, BASE), Some(expected));
        assert_eq!(summarize(&payload(), COUNT, BASE), Ok(expected));
        assert_eq!(summarize(&[], 0, BASE), Ok(RecordsSummary::EMPTY));
    }

    #[test]
    fn offsets_that_do_not_go_up_by_one_are_named() {
        let payload = [[14, 0, 0, 0, 1, 2, b'v', 0], [14, 0, 0, 4, 1, 2, b'v', 0]].concat();
        assert_eq!(
            summarize(&payload, 2, BASE),
            Err(RecordError::OffsetDelta {
                index: 1,
                offset_delta: 2
            })
        );
    }

    #[test]
    fn lengths_of_more_bytes_than_32_bits_take_are_not_walked_over() {
        // A key length of 0 in six bytes.
        let body = [0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 0];
        let payload = [&[22], &body[..]].concat();
        assert!(matches!(
            summarize(&payload, 1, BASE),
            Err(RecordError::Varint { index: 0, .. })
        ));
        assert_eq!(walk(&payload, 1, BASE), None);
    }

    proptest! {
        /// Whatever the bytes are, the walk takes nothing that the iterator refuses, and sees the same in it.
        #[test]
        fn a_walk_is_what_the_iterator_reads(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in 0_usize..4,
            count in 0_i32..5,
            base: i64,
        ) {
            let mut payload = payload();
            for (index, value) in changes {
                let at = index.index(payload.len());
                payload[at] = value;
            }
            payload.truncate(payload.len() - cut);
            if let Some(summary) = walk(&payload, count, base) {
                prop_assert_eq!(Ok(summary), iterate(&payload, count, base));
            }
        }

        /// And what producers send is walked over: the iterator is not asked.
        #[test]
        fn what_producers_send_is_walked_over(
            records in prop::collection::vec((any::<i64>(), any::<Option<[u8; 9]>>(), 0_usize..40_000, 0_usize..3), 1..20),
        ) {
            let mut builder = BatchBuilder::new(BatchOptions::default());
            for (timestamp, key, value, headers) in &records {
                let key = key.as_ref().map(|key| key.as_slice());
                let headers = vec![(&b"name"[..], Some(&b"value"[..])); *headers];
                builder.push(*timestamp, key, Some(&vec![7; *value]), &headers).unwrap();
            }
            let bytes = builder.build().unwrap();
            let batch = BatchView::parse(&bytes).unwrap();
            let (payload, count) = (batch.record_bytes(), batch.records_count());
            let walked = walk(payload, count, batch.base_timestamp());
            prop_assert_eq!(walked, iterate(payload, count, batch.base_timestamp()).ok());
            prop_assert!(walked.is_some());
        }
    }
}
