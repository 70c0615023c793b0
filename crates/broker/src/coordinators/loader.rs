//! Reads a partition of `__consumer_offsets` from its start and replays it into a fresh shard.
//!
//! Invariant: only what is below the high watermark is replayed, so nothing is promised that a crash could take back.
//! A record that does not follow its schema ends the load: serving groups with a hole in their history would hand out
//! offsets that were never committed. Records of types this broker does not know are skipped, as Kafka skips them.

use std::any::Any;
use std::collections::BTreeSet;
use std::io;

use bytes::{Bytes, BytesMut};
use coordinator::{GroupSettings, GroupShard, Now, ReplayError};
use protocol::records::{BatchError, BatchIterator, BatchView, CompressionError, RecordError};
use protocol::{FileSlice, Slice};
use storage::{Isolation, PartitionLog, ReadError, ReadPlan, SegmentFile};
use types::Offset;

use super::records::{DecodeRecordError, DecodedRecord, decode_record};

/// Bytes asked of the log at a time: enough that a load is a few large reads, little enough for fifty loads at once.
const READ_BYTES: usize = 1024 * 1024;
/// The most a compressed batch may unpack to; Kafka can be told to compress this topic, with batches of
/// `max.message.bytes`.
const UNPACKED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Why a partition could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// The log could not be read.
    #[error("could not read the log at offset {at}")]
    Read {
        /// Where.
        at: Offset,
        /// Why.
        source: ReadError,
    },
    /// Bytes of the log could not be brought into memory.
    #[error("could not read the log at offset {at}")]
    Io {
        /// Where.
        at: Offset,
        /// Why.
        source: io::Error,
    },
    /// The log ends before its high watermark.
    #[error("the log has nothing at offset {at}, below its high watermark")]
    Missing {
        /// Where.
        at: Offset,
    },
    /// The log holds something else than batches.
    #[error("no record batch at offset {at}")]
    Batch {
        /// Where.
        at: Offset,
        /// Why.
        source: BatchError,
    },
    /// A batch could not be unpacked.
    #[error("could not unpack the batch at offset {at}")]
    Unpack {
        /// Where.
        at: Offset,
        /// Why.
        source: CompressionError,
    },
    /// A batch holds something else than records.
    #[error("no record in the batch at offset {at}")]
    Record {
        /// Where.
        at: Offset,
        /// Why.
        source: RecordError,
    },
    /// A record does not follow its schema.
    #[error("malformed record at offset {at}")]
    Decode {
        /// Where.
        at: i64,
        /// Why.
        source: DecodeRecordError,
    },
    /// A record contradicts itself.
    #[error("impossible record at offset {at}")]
    Replay {
        /// Where.
        at: i64,
        /// Why.
        source: ReplayError,
    },
    /// Offsets committed within a transaction.
    #[error("the batch at offset {at} belongs to a transaction, which this broker cannot replay")]
    Transactional {
        /// Where.
        at: Offset,
    },
}

/// Reads everything below the high watermark.
pub(super) fn load(
    log: &dyn PartitionLog,
    settings: GroupSettings,
    now: Now,
) -> Result<GroupShard, LoadError> {
    let mut shard = GroupShard::new(settings);
    let mut unknown_types = BTreeSet::new();
    let offsets = log.offsets();
    let mut next = offsets.log_start;
    while next < offsets.high_watermark {
        let at = next;
        let plan = log
            .read(at, READ_BYTES, Isolation::ReadUncommitted, true)
            .map_err(|source| LoadError::Read { at, source })?;
        let bytes = in_memory(plan).map_err(|source| LoadError::Io { at, source })?;
        for batch in BatchIterator::new(&bytes) {
            let batch = batch.map_err(|source| LoadError::Batch { at: next, source })?;
            replay_batch(&mut shard, &batch, next, now, &mut unknown_types)?;
            next = Offset::new(batch.next_offset())
                .unwrap_or(Offset::MAX)
                .max(next);
        }
        if next == at {
            return Err(LoadError::Missing { at });
        }
    }
    if !unknown_types.is_empty() {
        tracing::warn!(types = ?unknown_types, "skipped coordinator records of unknown types");
    }
    Ok(shard)
}

fn replay_batch(
    shard: &mut GroupShard,
    batch: &BatchView<'_>,
    from: Offset,
    now: Now,
    unknown_types: &mut BTreeSet<i16>,
) -> Result<(), LoadError> {
    batch
        .verify_crc()
        .map_err(|source| LoadError::Batch { at: from, source })?;
    if batch.is_transactional() || batch.is_control() {
        return Err(LoadError::Transactional { at: from });
    }
    let unpacked = batch
        .payload(UNPACKED_BYTES_MAX)
        .map_err(|source| LoadError::Unpack { at: from, source })?;
    for record in batch.records(&unpacked) {
        let record = record.map_err(|source| LoadError::Record { at: from, source })?;
        let at = batch.offset_of(record.offset_delta);
        if at < from.value() {
            // The log start, or the last read, lies within the batch.
            continue;
        }
        let decoded = decode_record(record.key, record.value)
            .map_err(|source| LoadError::Decode { at, source })?;
        match decoded {
            DecodedRecord::Group(record) => shard
                .replay(now, record)
                .map_err(|source| LoadError::Replay { at, source })?,
            DecodedRecord::UnknownType(unknown) => {
                unknown_types.insert(unknown);
            }
        }
    }
    Ok(())
}

/// The bytes of a plan, copied only where they lie in a file or in several pieces.
fn in_memory(plan: ReadPlan) -> io::Result<Bytes> {
    let mut slices = plan.slices;
    if let [Slice::Memory(bytes)] = &mut slices[..] {
        return Ok(std::mem::take(bytes));
    }
    let mut joined = BytesMut::with_capacity(plan.length);
    for slice in slices {
        match slice {
            Slice::Memory(bytes) => joined.extend_from_slice(&bytes),
            Slice::File(range) => read_file(&range, &mut joined)?,
        }
    }
    Ok(joined.freeze())
}

fn read_file(range: &FileSlice, joined: &mut BytesMut) -> io::Result<()> {
    let file: &dyn Any = &*range.file;
    let file = file
        .downcast_ref::<SegmentFile>()
        .ok_or(io::ErrorKind::Unsupported)?;
    let start = joined.len();
    joined.resize(start + range.length, 0);
    let target = joined.get_mut(start..).unwrap_or_default();
    let count = file.disk_file().read_at(target, range.offset)?;
    if count < range.length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
