//! The records of `__transaction_state` (`TransactionLog.scala`): the value is written in version 1 if the cluster is at
//! `transaction.version` 1 or above, else in version 0; every version is read.
//!
//! A transaction that a client of version 2 has changed is written in version 1 at level 0 too, because version 0 has no
//! field for that; Kafka cannot write it then.
//!
//! Kafka 4.2 leaves out the previous and the next producer id, although it reads them, and so forgets over a restart what
//! it has promised to a producer whose epochs were used up. Here they are written, in the rare case that there are any.

use std::collections::BTreeSet;

use bytes::Bytes;
use coordinator::{
    Producer, Transaction, TransactionRecord, TransactionShard, TransactionState,
    TransactionVersion,
};
use protocol::messages::transaction_log_value::PartitionsSchema;
use protocol::messages::{TransactionLogKey, TransactionLogValue};
use protocol::{
    CoordinatorKey, EncodeError, coordinator_key_type, decode_coordinator_key, decode_versioned,
    encode_coordinator_key, encode_versioned,
};
use types::{
    PartitionIndex, ProducerEpoch, ProducerId, Timestamp, TopicName, TopicPartition,
    TransactionalId,
};

use super::{DecodeRecordError, DecodedRecord, NO_TIMESTAMP, RecordFormat, timestamp};

const FLEXIBLE: i16 = 1;
const NOT_FLEXIBLE: i16 = 0;
const NO_PRODUCER_ID: i64 = -1;

impl RecordFormat for TransactionShard {
    const KEPT: &'static str = "transactions";

    fn encode(record: &TransactionRecord) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        let key = encode_coordinator_key(&TransactionLogKey {
            transactional_id: record.id.as_str().to_owned(),
        })?;
        let encode = |value: &Transaction| {
            let needs_tags = value.client_version != TransactionVersion::V0
                || value.previous_id.is_some()
                || value.next_id.is_some();
            let version = match record.is_flexible || needs_tags {
                true => FLEXIBLE,
                false => NOT_FLEXIBLE,
            };
            encode_versioned(&message(value), version)
        };
        Ok((key, record.value.as_ref().map(encode).transpose()?))
    }

    fn decode(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<DecodedRecord<TransactionRecord>, DecodeRecordError> {
        let key = Bytes::copy_from_slice(key.ok_or(DecodeRecordError::NoKey)?);
        let kind = coordinator_key_type(&key)?;
        if kind != TransactionLogKey::TYPE {
            return Ok(DecodedRecord::UnknownType(kind));
        }
        let key: TransactionLogKey = decode_coordinator_key(key)?;
        let (is_flexible, value) = match value {
            Some(value) => {
                let value = Bytes::copy_from_slice(value);
                let (version, value) = decode_versioned::<TransactionLogValue>(value)?;
                (version >= FLEXIBLE, Some(transaction(value)?))
            }
            None => (true, None),
        };
        Ok(DecodedRecord::Known(TransactionRecord {
            id: TransactionalId::new(&key.transactional_id),
            value,
            is_flexible,
        }))
    }
}

fn message(value: &Transaction) -> TransactionLogValue {
    let id = |id: Option<ProducerId>| id.map_or(NO_PRODUCER_ID, ProducerId::value);
    TransactionLogValue {
        producer_id: value.producer.id.value(),
        previous_producer_id: id(value.previous_id),
        next_producer_id: id(value.next_id),
        producer_epoch: value.producer.epoch.value(),
        transaction_timeout_ms: value.timeout_ms,
        transaction_status: value.state.id(),
        transaction_partitions: match value.state {
            TransactionState::Empty => None,
            _ => Some(by_topic(&value.partitions)),
        },
        transaction_last_update_timestamp_ms: value.updated.ms(),
        transaction_start_timestamp_ms: value.started.map_or(NO_TIMESTAMP, Timestamp::ms),
        client_transaction_version: value.client_version.level(),
        ..Default::default()
    }
}

fn by_topic(partitions: &BTreeSet<TopicPartition>) -> Vec<PartitionsSchema> {
    let mut topics: Vec<PartitionsSchema> = Vec::new();
    for TopicPartition { topic, partition } in partitions {
        match topics.last_mut() {
            Some(last) if last.topic == topic.as_str() => {
                last.partition_ids.push(partition.value());
            }
            _ => topics.push(PartitionsSchema {
                topic: topic.as_str().to_owned(),
                partition_ids: vec![partition.value()],
            }),
        }
    }
    topics
}

fn transaction(value: TransactionLogValue) -> Result<Transaction, DecodeRecordError> {
    let impossible = |field, value| DecodeRecordError::Impossible { field, value };
    let id = ProducerId::new(value.producer_id)
        .ok_or_else(|| impossible("producer id", value.producer_id))?;
    let epoch = ProducerEpoch::new(value.producer_epoch)
        .ok_or_else(|| impossible("producer epoch", value.producer_epoch.into()))?;
    let state = TransactionState::from_id(value.transaction_status)
        .ok_or_else(|| impossible("state", value.transaction_status.into()))?;
    let level = value.client_transaction_version;
    let client_version = TransactionVersion::from_level(level)
        .ok_or_else(|| impossible("transaction version", level.into()))?;
    let mut partitions = BTreeSet::new();
    for topic in value.transaction_partitions.unwrap_or_default() {
        let name = TopicName::new(&topic.topic);
        for index in topic.partition_ids {
            let partition =
                PartitionIndex::new(index).ok_or_else(|| impossible("partition", index.into()))?;
            partitions.insert(TopicPartition {
                topic: name.clone(),
                partition,
            });
        }
    }
    Ok(Transaction {
        producer: Producer { id, epoch },
        previous_id: ProducerId::new(value.previous_producer_id).filter(|previous| *previous != id),
        next_id: ProducerId::new(value.next_producer_id),
        timeout_ms: value.transaction_timeout_ms,
        state,
        partitions,
        started: timestamp(value.transaction_start_timestamp_ms),
        updated: Timestamp::from_ms(value.transaction_last_update_timestamp_ms),
        client_version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(topic: &str, index: i32) -> TopicPartition {
        TopicPartition {
            topic: TopicName::new(topic),
            partition: PartitionIndex::new(index).unwrap(),
        }
    }

    fn ongoing() -> Transaction {
        Transaction {
            producer: Producer {
                id: ProducerId::new(7).unwrap(),
                epoch: ProducerEpoch::new(3).unwrap(),
            },
            previous_id: None,
            next_id: None,
            timeout_ms: 60_000,
            state: TransactionState::Ongoing,
            partitions: [partition("a", 0), partition("a", 2), partition("b", 1)].into(),
            started: Some(Timestamp::from_ms(1_000)),
            updated: Timestamp::from_ms(2_000),
            client_version: TransactionVersion::V2,
        }
    }

    fn record(value: Option<Transaction>) -> TransactionRecord {
        TransactionRecord {
            id: TransactionalId::new("transfers"),
            value,
            is_flexible: true,
        }
    }

    #[test]
    fn every_state_comes_back() {
        let other = ProducerId::new(8);
        for state in TransactionState::ALL {
            let partitions = match state {
                TransactionState::Empty => BTreeSet::new(),
                _ => ongoing().partitions,
            };
            for (previous_id, next_id) in [(None, None), (other, None), (None, other)] {
                let record = record(Some(Transaction {
                    state,
                    previous_id,
                    next_id,
                    partitions: partitions.clone(),
                    ..ongoing()
                }));
                let (key, value) = TransactionShard::encode(&record).unwrap();
                let decoded = TransactionShard::decode(Some(&key), value.as_deref()).unwrap();
                assert_eq!(decoded, DecodedRecord::Known(record));
            }
        }
        let (key, value) = TransactionShard::encode(&record(None)).unwrap();
        assert_eq!(value, None);
        let decoded = TransactionShard::decode(Some(&key), None).unwrap();
        assert_eq!(decoded, DecodedRecord::Known(record(None)));
    }

    /// Bytes as Kafka 4.2 writes them with `transaction.version` 2 (`TransactionLog.valueToBytes`).
    #[test]
    fn a_transaction_has_kafkas_bytes() {
        let (key, value) = TransactionShard::encode(&record(Some(ongoing()))).unwrap();
        assert_eq!(key, &b"\0\0\0\x09transfers"[..]);
        let mut expected = vec![0, 1];
        expected.extend(7_i64.to_be_bytes());
        expected.extend(3_i16.to_be_bytes());
        expected.extend(60_000_i32.to_be_bytes());
        expected.push(1);
        expected.extend(b"\x03\x02a\x03\0\0\0\0\0\0\0\x02\0\x02b\x02\0\0\0\x01\0");
        expected.extend(2_000_i64.to_be_bytes());
        expected.extend(1_000_i64.to_be_bytes());
        // One tagged field: number 2, the client's version.
        expected.extend(b"\x01\x02\x02\0\x02");
        assert_eq!(value.unwrap(), expected);
    }

    #[test]
    fn an_empty_transaction_has_no_partitions_and_no_beginning() {
        let empty = Transaction {
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            started: None,
            client_version: TransactionVersion::V0,
            ..ongoing()
        };
        let (_, value) = TransactionShard::encode(&record(Some(empty))).unwrap();
        let mut expected = vec![0, 1];
        expected.extend(7_i64.to_be_bytes());
        expected.extend(3_i16.to_be_bytes());
        expected.extend(60_000_i32.to_be_bytes());
        expected.extend([0, 0]);
        expected.extend(2_000_i64.to_be_bytes());
        expected.extend((-1_i64).to_be_bytes());
        expected.push(0);
        assert_eq!(value.unwrap(), expected);
    }

    /// Bytes as Kafka 4.2 writes them with `transaction.version` 0, and as every Kafka before wrote them.
    #[test]
    fn at_level_0_a_transaction_has_the_bytes_of_old() {
        let old = Transaction {
            client_version: TransactionVersion::V0,
            ..ongoing()
        };
        let old = TransactionRecord {
            is_flexible: false,
            ..record(Some(old))
        };
        let (key, value) = TransactionShard::encode(&old).unwrap();
        let mut expected = vec![0, 0];
        expected.extend(7_i64.to_be_bytes());
        expected.extend(3_i16.to_be_bytes());
        expected.extend(60_000_i32.to_be_bytes());
        expected.push(1);
        expected
            .extend(b"\0\0\0\x02\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x02\0\x01b\0\0\0\x01\0\0\0\x01");
        expected.extend(2_000_i64.to_be_bytes());
        expected.extend(1_000_i64.to_be_bytes());
        assert_eq!(value.as_deref(), Some(&expected[..]));
        let decoded = TransactionShard::decode(Some(&key), value.as_deref()).unwrap();
        assert_eq!(decoded, DecodedRecord::Known(old.clone()));
        // What has no place in it is kept all the same.
        let other = ProducerId::new(8);
        let value = old.value.unwrap();
        for value in [
            Transaction {
                client_version: TransactionVersion::V2,
                ..value.clone()
            },
            Transaction {
                previous_id: other,
                ..value.clone()
            },
            Transaction {
                next_id: other,
                ..value
            },
        ] {
            let record = TransactionRecord {
                is_flexible: false,
                ..record(Some(value))
            };
            let (key, value) = TransactionShard::encode(&record).unwrap();
            let decoded = TransactionShard::decode(Some(&key), value.as_deref()).unwrap();
            let record = TransactionRecord {
                is_flexible: true,
                ..record
            };
            assert_eq!(decoded, DecodedRecord::Known(record));
        }
    }

    #[test]
    fn what_is_no_transaction_is_told_apart() {
        let unknown = TransactionShard::decode(Some(&[0, 1, 0, 0]), None).unwrap();
        assert_eq!(unknown, DecodedRecord::UnknownType(1));
        let key = b"\0\0\0\x01t";
        TransactionShard::decode(None, None).unwrap_err();
        TransactionShard::decode(Some(&b"\0\0\0\x09t"[..]), None).unwrap_err();
        TransactionShard::decode(Some(key), Some(b"\0\x63")).unwrap_err();
        let valid = message(&ongoing());
        for damaged in [
            TransactionLogValue {
                producer_id: -1,
                ..valid.clone()
            },
            TransactionLogValue {
                producer_epoch: -1,
                ..valid.clone()
            },
            TransactionLogValue {
                transaction_status: 6,
                ..valid.clone()
            },
            TransactionLogValue {
                client_transaction_version: 3,
                ..valid
            },
        ] {
            let value = encode_versioned(&damaged, FLEXIBLE).unwrap();
            TransactionShard::decode(Some(key), Some(&value)).unwrap_err();
        }
    }

    #[test]
    fn the_coordinators_bound_of_a_record_covers_its_batch() {
        for count in [0, 1, 500] {
            let partitions =
                (0..count).map(|index| partition(&format!("topic-{}", index % 7), index));
            let value = Transaction {
                partitions: partitions.collect(),
                previous_id: ProducerId::new(i64::MAX),
                next_id: ProducerId::new(i64::MAX),
                ..ongoing()
            };
            let record = record(Some(value.clone()));
            let output = coordinator::Output {
                records: vec![record.clone()],
                ..Default::default()
            };
            let now = Timestamp::from_ms(9);
            let bytes = super::super::encode_output::<TransactionShard>(&output, now, 0).unwrap();
            assert!(
                bytes.len() <= value.encoded_bytes_max(&record.id),
                "{count}"
            );
        }
    }
}
