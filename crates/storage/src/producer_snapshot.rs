//! The `.snapshot` file of a segment: the producers at the segment's base offset.
//!
//! The front is Kafka's format, version 1 (`ProducerStateManager`, `ProducerSnapshot.json`), which knows the last batch of
//! each producer. Behind it, under the same CRC, lies what Kafka leaves out: the older batches that may be sent again,
//! and the transactions. Kafka's reader ignores what follows its own fields.
//!
//! | At | Bytes | Field |
//! |---|---|---|
//! | 0 | 2 | version, 1 |
//! | 2 | 4 | CRC-32C of everything from byte 6 on |
//! | 6 | 4 | number of producers |
//! | 10 | 46 each | id 8, epoch 2, last sequence 4, last offset 8, offset delta 4, timestamp 8, coordinator epoch 4, first offset of the open transaction or -1 8 |
//! | then | 4 | `WTPS` |
//! | | | producers and transactions as in the checkpoint (`state_codec`) |
//!
//! Invariant: a snapshot is a shortcut. One that is missing or damaged costs a walk over the log.

use std::path::Path;

use bytes::BufMut;

use crate::codec::{Reader, count};
use crate::producers::Producers;
use crate::state_codec::{get_producers, get_transactions, put_producers, put_transactions};
use crate::transactions::Transactions;
use crate::versions::{NewerVersion, refuse_newer};

const VERSION: i16 = 1;
const CRC_FIELD: usize = 2;
const ENTRIES_FIELD: usize = 6;
const KAFKA_ENTRY_BYTES: usize = 46;
const OURS: &[u8; 4] = b"WTPS";

/// The bytes of a snapshot.
pub(crate) fn encode(producers: &Producers, transactions: &Transactions) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_i16(VERSION);
    bytes.put_u32(0);
    let all = producers.iter_sorted();
    bytes.put_u32(count(all.len()));
    for (id, producer) in all {
        let last = producer.batches.last();
        bytes.put_i64(id);
        bytes.put_i16(producer.epoch);
        bytes.put_i32(last.map_or(-1, |batch| batch.last_sequence));
        bytes.put_i64(last.map_or(-1, |batch| batch.last_offset.value()));
        bytes.put_i32(last.map_or(0, |batch| batch.offset_delta));
        bytes.put_i64(producer.last_timestamp);
        bytes.put_i32(producer.coordinator_epoch);
        bytes.put_i64(producer.open_transaction.map_or(-1, types::Offset::value));
    }
    bytes.put_slice(OURS);
    put_producers(&mut bytes, producers);
    put_transactions(&mut bytes, transactions);
    correct(&mut bytes);
    bytes
}

/// Makes the checksum right.
pub(crate) fn correct(bytes: &mut [u8]) {
    let crc = crc32c::crc32c(bytes.get(ENTRIES_FIELD..).unwrap_or_default());
    if let Some(field) = bytes.get_mut(CRC_FIELD..ENTRIES_FIELD) {
        field.copy_from_slice(&crc.to_be_bytes());
    }
}

/// Refuses a snapshot that is whole and of a newer version; its checksum is where version 1 has it.
pub(crate) fn refuse_newer_snapshot(path: &Path, bytes: &[u8]) -> Result<(), NewerVersion> {
    let mut reader = Reader::new(bytes);
    let (Some(version), Some(crc)) = (reader.i16(), reader.u32()) else {
        return Ok(());
    };
    let is_whole = bytes
        .get(ENTRIES_FIELD..)
        .is_some_and(|rest| crc32c::crc32c(rest) == crc);
    match u32::try_from(version) {
        Ok(found) if is_whole => refuse_newer(path, found, VERSION.unsigned_abs().into()),
        _ => Ok(()),
    }
}

/// What a snapshot says; `None` if it is damaged or not ours. `now_ms` is when the producers count as heard of.
pub(crate) fn decode(bytes: &[u8], now_ms: i64) -> Option<(Producers, Transactions)> {
    let mut reader = Reader::new(bytes);
    if reader.i16()? != VERSION {
        return None;
    }
    let crc = reader.u32()?;
    if crc != crc32c::crc32c(bytes.get(ENTRIES_FIELD..)?) {
        return None;
    }
    let entries = reader.count(KAFKA_ENTRY_BYTES)?;
    reader.bytes(entries * KAFKA_ENTRY_BYTES)?;
    if reader.bytes(OURS.len())? != OURS {
        return None;
    }
    let producers = get_producers(&mut reader, now_ms)?;
    let transactions = get_transactions(&mut reader)?;
    reader.is_empty().then_some((producers, transactions))
}

#[cfg(test)]
mod tests {
    use types::{Offset, ProducerId};

    use super::*;
    use crate::local_log::Mark;
    use crate::producers::{ProducedBatch, Producer, TransactionChange};

    fn at(value: i64) -> Offset {
        Offset::new(value).unwrap()
    }

    fn state() -> (Producers, Transactions) {
        let mut producers = Producers::default();
        let batch = |last_sequence, last_offset| ProducedBatch {
            last_sequence,
            last_offset: at(last_offset),
            offset_delta: 1,
            timestamp: 77,
        };
        let producer = Producer {
            epoch: 3,
            coordinator_epoch: 4,
            last_timestamp: 78,
            open_transaction: Some(at(9)),
            batches: vec![batch(1, 5), batch(3, 10)],
        };
        producers.insert(42, producer, 0);
        let mut transactions = Transactions::default();
        let start = Mark {
            offset: at(9),
            segment: at(0),
            position: 700,
            total: 0,
        };
        transactions.note(TransactionChange::Began(at(9)), start);
        transactions.note(
            TransactionChange::Ended {
                producer: ProducerId::new(7).unwrap(),
                first: at(1),
                last: at(4),
                aborted: true,
            },
            start,
        );
        (producers, transactions)
    }

    #[test]
    fn the_front_is_kafkas_format() {
        let (producers, transactions) = state();
        let bytes = encode(&producers, &transactions);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.i16(), Some(1));
        assert_eq!(reader.u32(), Some(crc32c::crc32c(&bytes[6..])));
        assert_eq!(reader.u32(), Some(1));
        assert_eq!((reader.i64(), reader.i16()), (Some(42), Some(3)));
        assert_eq!((reader.i32(), reader.i64()), (Some(3), Some(10)));
        assert_eq!((reader.i32(), reader.i64()), (Some(1), Some(78)));
        assert_eq!((reader.i32(), reader.i64()), (Some(4), Some(9)));
    }

    #[test]
    fn all_that_is_known_comes_back() {
        let (producers, transactions) = state();
        let (decoded, decoded_transactions) =
            decode(&encode(&producers, &transactions), 0).unwrap();
        assert_eq!(decoded.iter_sorted(), producers.iter_sorted());
        assert_eq!(decoded_transactions, transactions);
    }

    #[test]
    fn a_snapshot_with_a_changed_byte_is_not_read() {
        let (producers, transactions) = state();
        let bytes = encode(&producers, &transactions);
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0x10;
            assert!(decode(&damaged, 0).is_none(), "byte {index}");
            assert!(decode(&bytes[..index], 0).is_none(), "{index} bytes");
        }
    }
}
