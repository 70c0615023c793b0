//! The sparse offset index of a segment: which batch lies where, in Kafka's `.index` format.
//!
//! An entry is eight bytes, big-endian: the *last* offset of a batch relative to the segment's base offset (`u32`), and
//! the byte position where that batch begins (`u32`). Both rise strictly. Source: Kafka's `OffsetIndex`, and
//! `DumpLogSegments`, which checks that the batch at the position ends at the offset.

use types::Offset;

/// Bytes of an entry in the file.
pub(crate) const ENTRY_BYTES: usize = 8;

/// One batch: where it begins and which offset is its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    /// The batch's last offset, relative to the segment's base.
    pub(crate) last: u32,
    /// Where the batch begins, in bytes.
    pub(crate) position: u32,
}

/// The entries of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OffsetIndex {
    entries: Vec<OffsetEntry>,
}

impl OffsetIndex {
    pub(crate) fn push(&mut self, entry: OffsetEntry) {
        let rises = self
            .entries
            .last()
            .is_none_or(|last| last.last < entry.last && last.position < entry.position);
        // An index is a hint, and part of it may have come from a file that says too much: walks then begin further back.
        if rises {
            self.entries.push(entry);
        }
    }

    pub(crate) fn entries(&self) -> &[OffsetEntry] {
        &self.entries
    }

    /// A position at or before the batch that contains `offset`: of the last entry whose batch ends at or before it
    /// is the nearest that is known to lie before.
    pub(crate) fn floor(&self, base: Offset, offset: Offset) -> u32 {
        self.floor_entry(base, offset)
            .map_or(0, |entry| entry.position)
    }

    /// As [`OffsetIndex::floor`], the whole entry.
    pub(crate) fn floor_entry(&self, base: Offset, offset: Offset) -> Option<OffsetEntry> {
        let relative = offset.since(base);
        let count = self
            .entries
            .partition_point(|entry| u64::from(entry.last) <= relative);
        self.entries.get(count.checked_sub(1)?).copied()
    }

    /// The first entry whose batch ends at or after `offset`: the batch that contains it, or one behind.
    pub(crate) fn ceiling(&self, base: Offset, offset: Offset) -> Option<OffsetEntry> {
        let relative = offset.since(base);
        let index = self
            .entries
            .partition_point(|entry| u64::from(entry.last) < relative);
        self.entries.get(index).copied()
    }

    /// The entry with the largest known position of a batch in `(after, limit]`.
    pub(crate) fn boundary(&self, after: u32, limit: u32) -> Option<OffsetEntry> {
        let count = self
            .entries
            .partition_point(|entry| entry.position <= limit);
        let entry = self.entries.get(count.checked_sub(1)?)?;
        (entry.position > after).then_some(*entry)
    }

    /// The first known batch that begins behind `position`.
    pub(crate) fn entry_after(&self, position: u32) -> Option<OffsetEntry> {
        let index = self
            .entries
            .partition_point(|entry| entry.position <= position);
        self.entries.get(index).copied()
    }

    /// The last offset, relative to the segment's base, of the first known batch that begins at or behind `position`.
    pub(crate) fn last_of_batch_from(&self, position: u32) -> Option<u32> {
        let index = self
            .entries
            .partition_point(|entry| entry.position < position);
        self.entries.get(index).map(|entry| entry.last)
    }

    /// The bytes of the entries from the `from`th on.
    pub(crate) fn encode(&self, from: usize) -> Vec<u8> {
        let entries = self.entries.get(from..).unwrap_or_default();
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        for entry in entries {
            bytes.extend_from_slice(&entry.last.to_be_bytes());
            bytes.extend_from_slice(&entry.position.to_be_bytes());
        }
        bytes
    }

    /// Reads a file's bytes. Entries at or behind `size`, and zeros behind the entries, are left out. `None` if the
    /// entries do not rise: then the file is not to be trusted.
    pub(crate) fn decode(bytes: &[u8], size: u32) -> Option<Self> {
        let mut index = Self::default();
        for entry in bytes.chunks_exact(ENTRY_BYTES) {
            let (last, position) = entry.split_first_chunk::<4>()?;
            let entry = OffsetEntry {
                last: u32::from_be_bytes(*last),
                position: u32::from_be_bytes(*position.first_chunk()?),
            };
            let padding = entry.last == 0 && entry.position == 0 && !index.entries.is_empty();
            if padding || entry.position >= size {
                break;
            }
            let rises = index
                .entries
                .last()
                .is_none_or(|last| last.last < entry.last && last.position < entry.position);
            if !rises {
                return None;
            }
            index.entries.push(entry);
        }
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> OffsetIndex {
        let mut index = OffsetIndex::default();
        for (last, position) in [(4, 0), (9, 100), (30, 260)] {
            index.push(OffsetEntry { last, position });
        }
        index
    }

    fn at(value: i64) -> Offset {
        Offset::new(value).unwrap()
    }

    #[test]
    fn the_floor_never_lies_behind_the_batch_that_is_looked_for() {
        let cases = [
            (1000, 0),
            (1003, 0),
            (1004, 0),
            (1008, 0),
            (1009, 100),
            (1029, 100),
            (1030, 260),
            (9999, 260),
        ];
        for (offset, position) in cases {
            assert_eq!(
                index().floor(at(1000), at(offset)),
                position,
                "offset {offset}"
            );
        }
    }

    #[test]
    fn boundaries_are_the_largest_below_a_limit() {
        let boundary = |after, limit| {
            let entry = index().boundary(after, limit);
            entry.map(|entry| entry.position)
        };
        assert_eq!(boundary(0, 99), None);
        assert_eq!(boundary(0, 100), Some(100));
        assert_eq!(boundary(0, 1000), Some(260));
        assert_eq!(boundary(260, 1000), None);
        let next = |position| index().entry_after(position).map(|entry| entry.position);
        assert_eq!(next(100), Some(260));
        assert_eq!(next(260), None);
    }

    #[test]
    fn bytes_are_kafkas_and_come_back() {
        let bytes = index().encode(1);
        assert_eq!(bytes, [0, 0, 0, 9, 0, 0, 0, 100, 0, 0, 0, 30, 0, 0, 1, 4]);
        assert_eq!(OffsetIndex::decode(&index().encode(0), 1000), Some(index()));
    }

    #[test]
    fn entries_behind_the_log_and_padding_are_left_out() {
        let mut bytes = index().encode(0);
        let cut = OffsetIndex::decode(&bytes, 260).unwrap();
        assert_eq!(cut.entries().len(), 2);
        bytes.extend_from_slice(&[0; 64]);
        assert_eq!(OffsetIndex::decode(&bytes, 1000), Some(index()));
    }

    #[test]
    fn a_file_whose_entries_fall_is_not_trusted() {
        let mut bytes = index().encode(1);
        bytes.extend_from_slice(&index().encode(0));
        assert_eq!(OffsetIndex::decode(&bytes, 1000), None);
    }
}
