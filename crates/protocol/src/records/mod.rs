//! Record batches, version 2: views, in-place changes, records, building, compression.
//!
//! Layout of a batch (big endian; `clients/.../common/record/DefaultRecordBatch.java`):
//!
//! | At | Bytes | Field |
//! |---|---|---|
//! | 0 | 8 | base offset |
//! | 8 | 4 | batch length: bytes after this field |
//! | 12 | 4 | partition leader epoch |
//! | 16 | 1 | magic, 2 |
//! | 17 | 4 | CRC-32C of everything from the attributes on |
//! | 21 | 2 | attributes: 0–2 compression, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon |
//! | 23 | 4 | last offset delta |
//! | 27 | 8 | base timestamp, or the delete horizon when bit 6 is set |
//! | 35 | 8 | max timestamp |
//! | 43 | 8 | producer id |
//! | 51 | 2 | producer epoch |
//! | 53 | 4 | base sequence |
//! | 57 | 4 | records count |
//! | 61 | | records, compressed as a whole |
//!
//! Base offset and leader epoch lie outside the CRC, so that a broker assigns them without touching the checksum.

mod batch;
mod builder;
pub mod compression;
pub mod control;
mod edit;
mod record;
mod summary;

pub use batch::{BatchError, BatchIterator, BatchView, PartialTail, PayloadError};
pub use builder::{BatchBuilder, BatchOptions, BuildError};
pub use compression::{Compression, CompressionError};
pub use control::{ControlRecordError, ControlRecordType, EndTransactionMarker};
pub use edit::{assign_offsets, set_log_append_time, set_max_timestamp, set_producer};
pub use record::{Headers, RecordError, RecordIterator, RecordView};
pub use summary::{RecordsSummary, summarize};

/// Positions and sizes of the fields of a batch, in bytes from its start.
pub mod layout {
    pub const BASE_OFFSET: usize = 0;
    pub const BATCH_LENGTH: usize = 8;
    pub const PARTITION_LEADER_EPOCH: usize = 12;
    pub const MAGIC: usize = 16;
    pub const CRC: usize = 17;
    pub const ATTRIBUTES: usize = 21;
    pub const LAST_OFFSET_DELTA: usize = 23;
    pub const BASE_TIMESTAMP: usize = 27;
    pub const MAX_TIMESTAMP: usize = 35;
    pub const PRODUCER_ID: usize = 43;
    pub const PRODUCER_EPOCH: usize = 51;
    pub const BASE_SEQUENCE: usize = 53;
    pub const RECORDS_COUNT: usize = 57;
    /// Where the records begin; the size of a batch without records.
    pub const RECORDS: usize = 61;
    /// Base offset and batch length: what the batch length does not count.
    pub const LOG_OVERHEAD: usize = 12;
}

/// The only batch format written and read.
pub const MAGIC_V2: i8 = 2;
pub const NO_TIMESTAMP: i64 = -1;
pub const NO_PRODUCER_ID: i64 = -1;
pub const NO_PRODUCER_EPOCH: i16 = -1;
pub const NO_SEQUENCE: i32 = -1;
pub const NO_PARTITION_LEADER_EPOCH: i32 = -1;

pub(crate) const COMPRESSION_MASK: i16 = 0x07;
pub(crate) const TIMESTAMP_TYPE_BIT: i16 = 0x08;
pub(crate) const TRANSACTIONAL_BIT: i16 = 0x10;
pub(crate) const CONTROL_BIT: i16 = 0x20;
pub(crate) const DELETE_HORIZON_BIT: i16 = 0x40;

/// Who set the timestamps of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum TimestampType {
    /// The producer; each record has its own.
    #[default]
    CreateTime,
    /// The broker; every record has the batch's max timestamp.
    LogAppendTime,
}

#[cfg(test)]
mod tests;
