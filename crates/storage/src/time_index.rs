//! The sparse time index of a segment, in Kafka's `.timeindex` format.
//!
//! An entry is twelve bytes, big-endian: the largest timestamp so far (`i64`, milliseconds), and the last offset of the
//! batch that has it, relative to the segment's base offset (`u32`). Timestamps rise strictly, so everything up to the
//! offset of an entry is at most as old as its timestamp. Source: Kafka's `TimeIndex`.

/// Bytes of an entry in the file.
pub(crate) const ENTRY_BYTES: usize = 12;

/// The largest timestamp up to some batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    /// In milliseconds.
    pub(crate) timestamp: i64,
    /// The last offset of the batch that has it, relative to the segment's base.
    pub(crate) last: u32,
}

/// The entries of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimeIndex {
    entries: Vec<TimeEntry>,
}

impl TimeIndex {
    /// Adds an entry if it says something new: a larger timestamp at a later offset.
    pub(crate) fn push(&mut self, entry: TimeEntry) {
        let news = self
            .entries
            .last()
            .is_none_or(|last| last.timestamp < entry.timestamp && last.last < entry.last);
        if news {
            self.entries.push(entry);
        }
    }

    pub(crate) fn entries(&self) -> &[TimeEntry] {
        &self.entries
    }

    /// The last entry up to which every timestamp is below `timestamp`; `None` if none is known.
    pub(crate) fn last_older(&self, timestamp: i64) -> Option<TimeEntry> {
        let count = self
            .entries
            .partition_point(|entry| entry.timestamp < timestamp);
        self.entries.get(count.checked_sub(1)?).copied()
    }

    /// The bytes of the entries from the `from`th on.
    pub(crate) fn encode(&self, from: usize) -> Vec<u8> {
        let entries = self.entries.get(from..).unwrap_or_default();
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        for entry in entries {
            bytes.extend_from_slice(&entry.timestamp.to_be_bytes());
            bytes.extend_from_slice(&entry.last.to_be_bytes());
        }
        bytes
    }

    /// Reads a file's bytes. Entries behind `last` (relative), and zeros behind the entries, are left out. `None` if
    /// the entries do not rise.
    pub(crate) fn decode(bytes: &[u8], last: u32) -> Option<Self> {
        let mut index = Self::default();
        for entry in bytes.chunks_exact(ENTRY_BYTES) {
            let (timestamp, offset) = entry.split_first_chunk::<8>()?;
            let entry = TimeEntry {
                timestamp: i64::from_be_bytes(*timestamp),
                last: u32::from_be_bytes(*offset.first_chunk()?),
            };
            let padding = entry.last == 0 && entry.timestamp == 0 && !index.entries.is_empty();
            if padding || entry.last > last {
                break;
            }
            let rises = index
                .entries
                .last()
                .is_none_or(|last| last.timestamp < entry.timestamp && last.last < entry.last);
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

    fn index() -> TimeIndex {
        let mut index = TimeIndex::default();
        for (timestamp, last) in [(50, 3), (40, 8), (70, 9), (90, 20)] {
            index.push(TimeEntry { timestamp, last });
        }
        index
    }

    #[test]
    fn older_timestamps_behind_newer_ones_add_nothing() {
        assert_eq!(index().entries().len(), 3);
    }

    #[test]
    fn everything_up_to_the_answer_is_older() {
        let cases = [
            (50, None),
            (51, Some(3)),
            (70, Some(3)),
            (71, Some(9)),
            (i64::MAX, Some(20)),
        ];
        for (timestamp, last) in cases {
            let found = index().last_older(timestamp).map(|entry| entry.last);
            assert_eq!(found, last, "{timestamp}");
        }
    }

    #[test]
    fn bytes_are_kafkas_and_come_back() {
        assert_eq!(index().encode(2), [0, 0, 0, 0, 0, 0, 0, 90, 0, 0, 0, 20]);
        let mut bytes = index().encode(0);
        assert_eq!(TimeIndex::decode(&bytes, 9).unwrap().entries().len(), 2);
        bytes.extend_from_slice(&[0; 24]);
        assert_eq!(TimeIndex::decode(&bytes, 100), Some(index()));
        bytes.splice(0..0, index().encode(0));
        assert_eq!(TimeIndex::decode(&bytes, 100), None);
    }
}
