//! Reads a partition of an internal topic from its start and replays it into a fresh machine.
//!
//! Invariant: only what is below the high watermark is replayed, so nothing is promised that a crash could take back.
//! A record that does not follow its schema ends the load: serving with a hole in the history would hand out
//! what was never committed. Records of types this broker does not know are skipped, as Kafka skips them.

use std::any::Any;
use std::collections::BTreeSet;
use std::io;

use bytes::{Bytes, BytesMut};
use coordinator::{EndMarker, Now, Origin, Producer, TransactionVersion};
use protocol::records::control::{
    ControlRecordError, ControlRecordType, EndTransactionMarker, decode_key,
};
use protocol::records::{BatchError, BatchIterator, BatchView, CompressionError, RecordError};
use protocol::{FileSlice, Slice};
use storage::{Isolation, PartitionLog, ReadError, ReadPlan, SegmentFile};
use types::{Offset, ProducerEpoch, ProducerId};

use super::records::{DecodeRecordError, DecodedRecord, RecordFormat};

/// Bytes asked of the log at a time: enough that a load is a few large reads, little enough for fifty loads at once.
const READ_BYTES: usize = 1024 * 1024;
/// The most a compressed batch may unpack to; Kafka can be told to compress this topic, with batches of
/// `max.message.bytes`.
const UNPACKED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Why a partition could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError<R: std::error::Error + 'static> {
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
        source: R,
    },
    /// A control record is malformed.
    #[error("malformed control record at offset {at}")]
    Control {
        /// Where.
        at: i64,
        /// Why.
        source: ControlRecordError,
    },
    /// A transactional batch names no producer.
    #[error("the transactional batch at offset {at} has no producer")]
    NoProducer {
        /// Where.
        at: Offset,
    },
}

/// Whether a log can be read at all: one whose folder could not be read has no records either, and nothing must be
/// served from it.
pub(super) fn is_readable(log: &dyn PartitionLog) -> Result<(), ReadError> {
    let from = log.offsets().log_start;
    log.read(from, 0, Isolation::ReadUncommitted, true)
        .map(drop)
}

/// Reads everything below the high watermark.
pub(super) fn load<M: RecordFormat>(
    log: &dyn PartitionLog,
    settings: M::Settings,
    now: Now,
) -> Result<M, LoadError<M::ReplayError>> {
    let mut replay = Replay::<M> {
        machine: M::new(settings),
        now,
        unknown_types: BTreeSet::new(),
    };
    let offsets = log.offsets();
    let mut next = offsets.log_start;
    is_readable(log).map_err(|source| LoadError::Read { at: next, source })?;
    while next < offsets.high_watermark {
        let at = next;
        let plan = log
            .read(at, READ_BYTES, Isolation::ReadUncommitted, true)
            .map_err(|source| LoadError::Read { at, source })?;
        let bytes = in_memory(plan).map_err(|source| LoadError::Io { at, source })?;
        for batch in BatchIterator::new(&bytes) {
            let batch = batch.map_err(|source| LoadError::Batch { at: next, source })?;
            replay.batch(&batch, next)?;
            next = Offset::new(batch.next_offset())
                .unwrap_or(Offset::MAX)
                .max(next);
        }
        if next == at {
            return Err(LoadError::Missing { at });
        }
    }
    if !replay.unknown_types.is_empty() {
        tracing::warn!(types = ?replay.unknown_types, "skipped coordinator records of unknown types");
    }
    Ok(replay.machine)
}

struct Replay<M> {
    machine: M,
    now: Now,
    unknown_types: BTreeSet<i16>,
}

impl<M: RecordFormat> Replay<M> {
    fn batch(
        &mut self,
        batch: &BatchView<'_>,
        from: Offset,
    ) -> Result<(), LoadError<M::ReplayError>> {
        batch
            .verify_crc()
            .map_err(|source| LoadError::Batch { at: from, source })?;
        let producer = producer_of(batch);
        if batch.is_transactional() && producer.is_none() {
            return Err(LoadError::NoProducer { at: from });
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
            if batch.is_control() {
                self.control(producer, at, record.key, record.value)?;
            } else {
                let producer = producer.filter(|_| batch.is_transactional());
                self.record(producer, at, record.key, record.value)?;
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        producer: Option<Producer>,
        at: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), LoadError<M::ReplayError>> {
        let decoded = M::decode(key, value).map_err(|source| LoadError::Decode { at, source })?;
        match decoded {
            DecodedRecord::Known(record) => {
                let offset = Offset::new(at).unwrap_or_default();
                let origin = Origin { offset, producer };
                self.machine
                    .replay(self.now, origin, record)
                    .map_err(|source| LoadError::Replay { at, source })?;
            }
            DecodedRecord::UnknownType(unknown) => {
                self.unknown_types.insert(unknown);
            }
        }
        Ok(())
    }

    fn control(
        &mut self,
        producer: Option<Producer>,
        at: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), LoadError<M::ReplayError>> {
        let malformed = |source| LoadError::Control { at, source };
        let kind = decode_key(key.unwrap_or_default()).map_err(malformed)?;
        let committed = match kind {
            ControlRecordType::Commit => true,
            ControlRecordType::Abort => false,
            ControlRecordType::Other(_) => return Ok(()),
        };
        let marker = EndTransactionMarker::decode(value.unwrap_or_default()).map_err(malformed)?;
        if let Some(producer) = producer {
            let marker = EndMarker {
                producer,
                coordinator_epoch: marker.coordinator_epoch,
                committed,
                version: TransactionVersion::V0,
            };
            self.machine.replay_marker(self.now, marker);
        }
        Ok(())
    }
}

fn producer_of(batch: &BatchView<'_>) -> Option<Producer> {
    Some(Producer {
        id: ProducerId::new(batch.producer_id())?,
        epoch: ProducerEpoch::new(batch.producer_epoch())?,
    })
}

/// The bytes of a plan, copied only where they lie in a file or in several pieces.
pub(crate) fn in_memory(plan: ReadPlan) -> io::Result<Bytes> {
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
