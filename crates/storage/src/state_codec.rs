//! How producers and transactions are written, in checkpoints and producer snapshots.
//!
//! Big-endian. Producers: count 4, then each: id 8, epoch 2, coordinator epoch 4, last timestamp 8, first offset of the
//! open transaction or -1 8, number of batches 1, then each batch: last sequence 4, last offset 8, offset delta 4,
//! timestamp 8. Undecided transactions: count 4, each: first offset 8, segment 8, position 4, offset of the marker or -1
//! 8. Aborted transactions: count 4, each: producer 8, first offset 8, offset of the marker 8.

use bytes::BufMut;
use types::{Offset, ProducerId};

use crate::codec::{Reader, count};
use crate::local_log::Mark;
use crate::producers::{BATCHES_KEPT, ProducedBatch, Producer, Producers};
use crate::transactions::{AbortedTransaction, Transactions, Undecided};

const PRODUCER_BYTES_MIN: usize = 31;
const UNDECIDED_BYTES: usize = 28;
const ABORTED_BYTES: usize = 24;

pub(crate) fn put_producers(bytes: &mut Vec<u8>, producers: &Producers) {
    let all = producers.iter_sorted();
    bytes.put_u32(count(all.len()));
    for (id, producer) in all {
        bytes.put_i64(id);
        bytes.put_i16(producer.epoch);
        bytes.put_i32(producer.coordinator_epoch);
        bytes.put_i64(producer.last_timestamp);
        put_optional(bytes, producer.open_transaction);
        bytes.put_u8(u8::try_from(producer.batches.len()).unwrap_or_default());
        for batch in &producer.batches {
            bytes.put_i32(batch.last_sequence);
            bytes.put_i64(batch.last_offset.value());
            bytes.put_i32(batch.offset_delta);
            bytes.put_i64(batch.timestamp);
        }
    }
}

pub(crate) fn get_producers(reader: &mut Reader<'_>, now_ms: i64) -> Option<Producers> {
    let mut producers = Producers::default();
    for _ in 0..reader.count(PRODUCER_BYTES_MIN)? {
        let id = reader.i64().filter(|id| *id >= 0)?;
        let mut producer = Producer {
            epoch: reader.i16()?,
            coordinator_epoch: reader.i32()?,
            last_timestamp: reader.i64()?,
            open_transaction: get_optional(reader)?,
            batches: Vec::new(),
        };
        let batches = usize::from(reader.u8()?);
        if batches > BATCHES_KEPT {
            return None;
        }
        producer.batches = reader.items(batches, |reader| {
            Some(ProducedBatch {
                last_sequence: reader.i32()?,
                last_offset: reader.offset()?,
                offset_delta: reader.i32().filter(|delta| *delta >= 0)?,
                timestamp: reader.i64()?,
            })
        })?;
        producers.insert(id, producer, now_ms);
    }
    Some(producers)
}

pub(crate) fn put_transactions(bytes: &mut Vec<u8>, transactions: &Transactions) {
    let undecided: Vec<_> = transactions.undecided().collect();
    bytes.put_u32(count(undecided.len()));
    for (first, undecided) in undecided {
        bytes.put_i64(first.value());
        bytes.put_i64(undecided.start.segment.value());
        bytes.put_u32(undecided.start.position);
        put_optional(bytes, undecided.marker);
    }
    bytes.put_u32(count(transactions.aborted().len()));
    for aborted in transactions.aborted() {
        bytes.put_i64(aborted.producer.value());
        bytes.put_i64(aborted.first.value());
        bytes.put_i64(aborted.last.value());
    }
}

pub(crate) fn get_transactions(reader: &mut Reader<'_>) -> Option<Transactions> {
    let undecided = reader.count(UNDECIDED_BYTES)?;
    let undecided = reader.items(undecided, |reader| {
        let first = reader.offset()?;
        let start = Mark {
            offset: first,
            segment: reader.offset()?,
            position: reader.u32()?,
            total: 0,
        };
        let marker = get_optional(reader)?;
        Some((first, Undecided { start, marker }))
    })?;
    let aborted = reader.count(ABORTED_BYTES)?;
    let aborted = reader.items(aborted, |reader| {
        Some(AbortedTransaction {
            producer: ProducerId::new(reader.i64()?)?,
            first: reader.offset()?,
            last: reader.offset()?,
        })
    })?;
    Some(Transactions::from_parts(undecided, aborted))
}

fn put_optional(bytes: &mut Vec<u8>, offset: Option<Offset>) {
    bytes.put_i64(offset.map_or(-1, Offset::value));
}

/// The outer `None` is a lack of bytes, the inner one no offset.
fn get_optional(reader: &mut Reader<'_>) -> Option<Option<Offset>> {
    let value = reader.i64()?;
    match value {
        -1 => Some(None),
        value => Offset::new(value).map(Some),
    }
}
