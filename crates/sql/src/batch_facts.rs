//! [`BatchFacts`]: what the header of a batch says, without its records.
//!
//! Storage has compared the checksum of what it hands out, and checked before it took an uncompressed batch that its records
//! are what the header says, so that counting and skipping need no more than this. Of a compressed batch the number of
//! records and the largest timestamp are the producer's word, as they are for the time index; a batch whose records are
//! not what its header says is an error once somebody asks for its records.

use protocol::records::layout;

/// Kafka's attribute bits, as `protocol::records` lists them.
const LOG_APPEND_TIME_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;

/// The first bytes of a batch, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchFacts {
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    /// Bytes of the whole batch.
    pub(crate) size: usize,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) records: u32,
    attributes: i16,
}

impl BatchFacts {
    /// How many bytes it is read from.
    pub(crate) const BYTES: usize = layout::RECORDS;

    /// `None` if the bytes are too few or no batch begins so.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..Self::BYTES)?;
        if *header.get(layout::MAGIC)? != 2 {
            return None;
        }
        let length = usize::try_from(int(header, layout::BATCH_LENGTH)?).ok()?;
        let size = length.checked_add(layout::LOG_OVERHEAD)?;
        let base_offset = long(header, layout::BASE_OFFSET)?;
        let delta = u32::try_from(int(header, layout::LAST_OFFSET_DELTA)?).ok()?;
        let last_offset = base_offset.checked_add(delta.into())?;
        if size < Self::BYTES || base_offset < 0 || last_offset == i64::MAX {
            return None;
        }
        Some(Self {
            base_offset,
            last_offset,
            size,
            max_timestamp: long(header, layout::MAX_TIMESTAMP)?,
            producer_id: long(header, layout::PRODUCER_ID)?,
            records: u32::try_from(int(header, layout::RECORDS_COUNT)?).ok()?,
            attributes: i16::from_be_bytes(field(header, layout::ATTRIBUTES)?),
        })
    }

    /// Whether each of its offsets is a record: until it was cleaned. The offsets of records go up, so that the count
    /// tells.
    pub(crate) const fn is_dense(&self) -> bool {
        self.last_offset - self.base_offset + 1 == self.records as i64
    }

    pub(crate) const fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    pub(crate) const fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// The timestamp of every record, if they have one in common.
    pub(crate) fn common_timestamp(&self) -> Option<i64> {
        (self.attributes & LOG_APPEND_TIME_BIT != 0).then_some(self.max_timestamp)
    }
}

fn field<const N: usize>(header: &[u8], at: usize) -> Option<[u8; N]> {
    header.get(at..)?.first_chunk().copied()
}

fn int(header: &[u8], at: usize) -> Option<i32> {
    field(header, at).map(i32::from_be_bytes)
}

fn long(header: &[u8], at: usize) -> Option<i64> {
    field(header, at).map(i64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use protocol::records::{BatchBuilder, BatchOptions, BatchView, TimestampType};

    use super::*;

    #[test]
    fn a_header_says_what_the_view_of_the_whole_batch_says() {
        for (timestamp_type, is_transactional) in [
            (TimestampType::CreateTime, true),
            (TimestampType::LogAppendTime, false),
        ] {
            let mut builder = BatchBuilder::new(BatchOptions {
                base_offset: 70,
                producer_id: 5,
                timestamp_type,
                is_transactional,
                ..BatchOptions::default()
            });
            builder.push_at(0, 9, None, Some(b"a"), &[]).unwrap();
            builder.push_at(3, 8, None, Some(b"b"), &[]).unwrap();
            let bytes = builder.build().unwrap();
            let view = BatchView::parse(&bytes).unwrap();
            let facts = BatchFacts::parse(&bytes[..BatchFacts::BYTES]).unwrap();
            assert_eq!(facts.base_offset, view.base_offset());
            assert_eq!(facts.last_offset, view.last_offset());
            assert_eq!(facts.size, view.total_size());
            assert_eq!(facts.max_timestamp, view.max_timestamp());
            assert_eq!(facts.producer_id, view.producer_id());
            assert_eq!(i64::from(facts.records), i64::from(view.records_count()));
            assert_eq!(facts.is_control(), view.is_control());
            assert_eq!(facts.is_transactional(), is_transactional);
            assert!(!facts.is_dense());
            let common = (timestamp_type == TimestampType::LogAppendTime).then_some(9);
            assert_eq!(facts.common_timestamp(), common);
        }
        assert_eq!(BatchFacts::parse(&[0; 61]), None);
        assert_eq!(BatchFacts::parse(&[2; 60]), None);
    }
}
