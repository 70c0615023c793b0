//! The records of coordinators as bytes, in Kafka's schemas and versions.
//!
//! | File | What |
//! |---|---|
//! | `group` | which file knows a record of `__consumer_offsets` |
//! | `classic` | GroupMetadata |
//! | `consumer` | everything of consumer groups |
//! | `offsets` | OffsetCommit |
//! | `transaction` | `__transaction_state` |
//! | `streams` | everything of streams groups |
//! | `share` | share groups |
//! | `share_state` | ShareSnapshot and ShareUpdate of `__share_group_state` |

mod classic;
mod consumer;
mod group;
mod offsets;
mod share;
mod share_state;
mod streams;
mod transaction;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use coordinator::{EndMarker, Machine, MachineOutput, Producer};
use protocol::records::{
    BatchBuilder, BatchOptions, BuildError, ControlRecordType, EndTransactionMarker,
};
use protocol::{DecodeError, EncodeError};
use types::Timestamp;

/// A record around key and value takes at most so many bytes: length, attributes, timestamp and offset deltas, three
/// more lengths (`DefaultRecord.MAX_RECORD_OVERHEAD` and the key's length).
const RECORD_OVERHEAD_BYTES: usize = 32;

/// A machine whose records have a form in the log.
pub(super) trait RecordFormat: Machine {
    /// What it keeps, for messages: "groups".
    const KEPT: &'static str;

    /// Key and value; no value is a tombstone.
    fn encode(record: &Self::Record) -> Result<(Bytes, Option<Bytes>), EncodeError>;

    /// Reads one record.
    fn decode(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<DecodedRecord<Self::Record>, DecodeRecordError>;
}

/// Why records could not be written as bytes.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncodeRecordError {
    /// A field fits no message.
    #[error("could not encode a coordinator record")]
    Message(#[from] EncodeError),
    /// The batch could not be built.
    #[error("could not build a batch of coordinator records")]
    Batch(#[from] BuildError),
}

/// Why bytes are not a record of a coordinator.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeRecordError {
    /// A record without key means nothing here.
    #[error("the record has no key")]
    NoKey,
    /// The bytes do not follow the schema.
    #[error("the record does not follow its schema")]
    Message(#[from] DecodeError),
    /// A field has a value that Kafka never writes.
    #[error("the record's {field} is {value}")]
    Impossible {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: i64,
    },
}

/// A record that was read.
#[derive(Debug, PartialEq)]
pub(super) enum DecodedRecord<Record> {
    /// One that a machine replays.
    Known(Record),
    /// One of a type this broker does not know; Kafka skips such records too.
    UnknownType(i16),
}

/// Whole batches with everything `output` appends, in order. A batch of records that would grow beyond
/// `batch_bytes_max` ends and another begins; each marker is a batch of its own.
pub(super) fn encode_output<M: RecordFormat>(
    output: &MachineOutput<M>,
    now: Timestamp,
    batch_bytes_max: usize,
) -> Result<Bytes, EncodeRecordError> {
    let mut batches = Vec::new();
    encode_records::<M>(output, now, batch_bytes_max, &mut batches)?;
    for marker in &output.markers {
        batches.push(encode_marker(marker, now)?);
    }
    if batches.len() == 1 {
        // The usual case: handed on without a copy.
        return Ok(batches.swap_remove(0));
    }
    let mut joined = BytesMut::with_capacity(batches.iter().map(Bytes::len).sum());
    for batch in batches {
        joined.extend_from_slice(&batch);
    }
    Ok(joined.freeze())
}

fn encode_records<M: RecordFormat>(
    output: &MachineOutput<M>,
    now: Timestamp,
    batch_bytes_max: usize,
    batches: &mut Vec<Bytes>,
) -> Result<(), EncodeRecordError> {
    let options = output
        .producer
        .map_or_else(BatchOptions::default, |producer| BatchOptions {
            is_transactional: true,
            ..options_of(producer)
        });
    let mut batch = BatchBuilder::new(options);
    for record in &output.records {
        let (key, value) = M::encode(record)?;
        let size = key.len() + value.as_ref().map_or(0, Bytes::len) + RECORD_OVERHEAD_BYTES;
        if !batch.is_empty() && batch.size() + size > batch_bytes_max {
            let full = std::mem::replace(&mut batch, BatchBuilder::new(options));
            batches.push(full.build()?);
        }
        batch.push(now.ms(), Some(&key), value.as_deref(), &[])?;
    }
    if !batch.is_empty() {
        batches.push(batch.build()?);
    }
    Ok(())
}

/// A control batch with the marker (`MemoryRecords.withEndTransactionMarker`).
pub(super) fn encode_marker(marker: &EndMarker, now: Timestamp) -> Result<Bytes, BuildError> {
    let kind = match marker.committed {
        true => ControlRecordType::Commit,
        false => ControlRecordType::Abort,
    };
    let coordinator_epoch = marker.coordinator_epoch;
    BatchBuilder::end_transaction(
        options_of(marker.producer),
        now.ms(),
        kind,
        EndTransactionMarker { coordinator_epoch },
    )
}

fn options_of(producer: Producer) -> BatchOptions {
    BatchOptions {
        producer_id: producer.id.value(),
        producer_epoch: producer.epoch.value(),
        ..BatchOptions::default()
    }
}

const NO_TIMESTAMP: i64 = -1;

fn timeout_ms(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

fn timeout(field: &'static str, timeout_ms: i32) -> Result<Duration, DecodeRecordError> {
    match u64::try_from(timeout_ms) {
        Ok(timeout_ms) => Ok(Duration::from_millis(timeout_ms)),
        Err(_negative) => Err(DecodeRecordError::Impossible {
            field,
            value: timeout_ms.into(),
        }),
    }
}

fn timestamp(ms: i64) -> Option<Timestamp> {
    (ms != NO_TIMESTAMP).then_some(Timestamp::from_ms(ms))
}
