//! The records of `__consumer_offsets` as bytes, in Kafka's schemas and versions.
//!
//! After `GroupCoordinatorRecordHelpers.java` and `GroupCoordinatorRecordSerde.java`: GroupMetadataValue is written in
//! version 3, OffsetCommitValue in version 4, or 1 when it carries an expiry time, which 4 has no field for. Every
//! version is read.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use coordinator::{
    Client, CommittedOffset, Generation, GroupMetadata, GroupRecord, MemberMetadata,
};
use protocol::messages::group_metadata_value::MemberMetadata as MemberMetadataMessage;
use protocol::messages::{
    GroupMetadataKey, GroupMetadataValue, LegacyOffsetCommitKey, LegacyOffsetCommitValue,
    OffsetCommitKey, OffsetCommitValue,
};
use protocol::records::{BatchBuilder, BatchOptions, BuildError};
use protocol::{
    CoordinatorKey, DecodeError, EncodeError, Uuid, coordinator_key_type, decode_coordinator_key,
    decode_versioned, encode_coordinator_key, encode_versioned,
};
use types::{
    GroupId, InstanceId, LeaderEpoch, MemberId, PartitionIndex, Timestamp, TopicId, TopicName,
};

const GROUP_METADATA_VERSION: i16 = 3;
const OFFSET_COMMIT_VERSION: i16 = 4;
/// The only version with an expiry time.
const OFFSET_COMMIT_EXPIRING_VERSION: i16 = 1;

/// A record around key and value takes at most so many bytes: length, attributes, timestamp and offset deltas, three
/// more lengths (`DefaultRecord.MAX_RECORD_OVERHEAD` and the key's length).
const RECORD_OVERHEAD_BYTES: usize = 32;

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

/// Why bytes are not a record of a group.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeRecordError {
    /// A record without key means nothing in a compacted topic.
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
pub(super) enum DecodedRecord {
    /// One that a shard replays.
    Group(GroupRecord),
    /// One of a type this broker does not know; Kafka skips such records too.
    UnknownType(i16),
}

/// Whole batches with `records` in order. A batch that would grow beyond `batch_bytes_max` ends and another begins.
pub(super) fn encode_batches(
    records: &[GroupRecord],
    now: Timestamp,
    batch_bytes_max: usize,
) -> Result<Bytes, EncodeRecordError> {
    let mut finished = BytesMut::new();
    let mut batch = BatchBuilder::new(BatchOptions::default());
    for record in records {
        let (key, value) = encode_record(record)?;
        let size = key.len() + value.as_ref().map_or(0, Bytes::len) + RECORD_OVERHEAD_BYTES;
        if !batch.is_empty() && batch.size() + size > batch_bytes_max {
            let full = std::mem::replace(&mut batch, BatchBuilder::new(BatchOptions::default()));
            finished.extend_from_slice(&full.build()?);
        }
        batch.push(now.ms(), Some(&key), value.as_deref(), &[])?;
    }
    let last = batch.build()?;
    if finished.is_empty() {
        // The usual case: handed on without a copy.
        return Ok(last);
    }
    finished.extend_from_slice(&last);
    Ok(finished.freeze())
}

fn encode_record(record: &GroupRecord) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    match record {
        GroupRecord::GroupMetadata { group, value } => {
            let key = encode_coordinator_key(&GroupMetadataKey {
                group: group.as_str().to_owned(),
            })?;
            let value = value.as_ref().map(group_metadata_message);
            let encode = |value| encode_versioned(&value, GROUP_METADATA_VERSION);
            Ok((key, value.map(encode).transpose()?))
        }
        GroupRecord::OffsetCommit {
            group,
            topic,
            partition,
            value,
        } => {
            let key = encode_coordinator_key(&OffsetCommitKey {
                group: group.as_str().to_owned(),
                topic: topic.as_str().to_owned(),
                partition: partition.value(),
            })?;
            let encode = |value: &CommittedOffset| {
                let version = match value.expire_timestamp {
                    Some(_) => OFFSET_COMMIT_EXPIRING_VERSION,
                    None => OFFSET_COMMIT_VERSION,
                };
                encode_versioned(&offset_commit_message(value), version)
            };
            Ok((key, value.as_ref().map(encode).transpose()?))
        }
    }
}

fn group_metadata_message(value: &GroupMetadata) -> GroupMetadataValue {
    let member = |member: &MemberMetadata| MemberMetadataMessage {
        member_id: member.member.as_str().to_owned(),
        group_instance_id: member
            .instance
            .as_ref()
            .map(|instance| instance.as_str().to_owned()),
        client_id: member.client.id.as_ref().to_owned(),
        client_host: member.client.host.as_ref().to_owned(),
        rebalance_timeout: timeout_ms(member.rebalance_timeout),
        session_timeout: timeout_ms(member.session_timeout),
        subscription: Bytes::copy_from_slice(&member.subscription),
        assignment: Bytes::copy_from_slice(&member.assignment),
    };
    GroupMetadataValue {
        protocol_type: value
            .protocol_type
            .as_deref()
            .unwrap_or_default()
            .to_owned(),
        generation: value.generation.value(),
        protocol: value.protocol.as_deref().map(str::to_owned),
        leader: value
            .leader
            .as_ref()
            .map(|leader| leader.as_str().to_owned()),
        current_state_timestamp: value.state_timestamp.map_or(NO_TIMESTAMP, Timestamp::ms),
        members: value.members.iter().map(member).collect(),
    }
}

const NO_TIMESTAMP: i64 = -1;
const NO_LEADER_EPOCH: i32 = -1;
const NO_TIMEOUT: i32 = -1;

fn timeout_ms(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

fn offset_commit_message(value: &CommittedOffset) -> OffsetCommitValue {
    OffsetCommitValue {
        offset: value.offset,
        leader_epoch: value
            .leader_epoch
            .map_or(NO_LEADER_EPOCH, LeaderEpoch::value),
        metadata: value.metadata.as_ref().to_owned(),
        commit_timestamp: value.commit_timestamp.ms(),
        expire_timestamp: value.expire_timestamp.map_or(NO_TIMESTAMP, Timestamp::ms),
        // Version 1 has no field for it, and as in Kafka it is then forgotten.
        topic_id: value.topic_id.map_or(Uuid::ZERO, |id| Uuid(id.bytes())),
    }
}

/// Reads one record.
pub(super) fn decode_record(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<DecodedRecord, DecodeRecordError> {
    let key = Bytes::copy_from_slice(key.ok_or(DecodeRecordError::NoKey)?);
    let value = value.map(Bytes::copy_from_slice);
    let record = match coordinator_key_type(&key)? {
        GroupMetadataKey::TYPE => decode_group_metadata(key, value)?,
        OffsetCommitKey::TYPE => decode_offset_commit(key, value)?,
        LegacyOffsetCommitKey::TYPE => decode_legacy_offset_commit(key, value)?,
        unknown => return Ok(DecodedRecord::UnknownType(unknown)),
    };
    Ok(DecodedRecord::Group(record))
}

fn decode_group_metadata(
    key: Bytes,
    value: Option<Bytes>,
) -> Result<GroupRecord, DecodeRecordError> {
    let key: GroupMetadataKey = decode_coordinator_key(key)?;
    let value = match value {
        Some(value) => {
            let (_, value) = decode_versioned::<GroupMetadataValue>(value)?;
            Some(group_metadata(value)?)
        }
        None => None,
    };
    let group = GroupId::new(&key.group);
    Ok(GroupRecord::GroupMetadata { group, value })
}

fn group_metadata(value: GroupMetadataValue) -> Result<GroupMetadata, DecodeRecordError> {
    let members: Result<_, _> = value.members.into_iter().map(member_metadata).collect();
    let generation =
        Generation::new(value.generation).ok_or_else(|| DecodeRecordError::Impossible {
            field: "generation",
            value: value.generation.into(),
        })?;
    Ok(GroupMetadata {
        protocol_type: Some(value.protocol_type)
            .filter(|protocol_type| !protocol_type.is_empty())
            .map(Arc::from),
        generation,
        protocol: value.protocol.map(Arc::from),
        leader: value.leader.as_deref().map(MemberId::new),
        state_timestamp: timestamp(value.current_state_timestamp),
        members: members?,
    })
}

fn member_metadata(member: MemberMetadataMessage) -> Result<MemberMetadata, DecodeRecordError> {
    let session_timeout = timeout("session timeout", member.session_timeout)?;
    let rebalance_timeout = match member.rebalance_timeout {
        NO_TIMEOUT => session_timeout,
        given => timeout("rebalance timeout", given)?,
    };
    Ok(MemberMetadata {
        member: MemberId::new(&member.member_id),
        instance: member.group_instance_id.as_deref().map(InstanceId::new),
        client: Client {
            id: Arc::from(member.client_id),
            host: Arc::from(member.client_host),
        },
        rebalance_timeout,
        session_timeout,
        subscription: Arc::from(&member.subscription[..]),
        assignment: Arc::from(&member.assignment[..]),
    })
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

fn decode_offset_commit(
    key: Bytes,
    value: Option<Bytes>,
) -> Result<GroupRecord, DecodeRecordError> {
    let key: OffsetCommitKey = decode_coordinator_key(key)?;
    let value = match value {
        Some(value) => Some(decode_versioned::<OffsetCommitValue>(value)?.1),
        None => None,
    };
    let value = value.map(|value| CommittedOffset {
        offset: value.offset,
        leader_epoch: LeaderEpoch::new(value.leader_epoch),
        metadata: Arc::from(value.metadata),
        commit_timestamp: Timestamp::from_ms(value.commit_timestamp),
        expire_timestamp: timestamp(value.expire_timestamp),
        topic_id: TopicId::new(value.topic_id.0),
    });
    offset_commit(&key.group, &key.topic, key.partition, value)
}

fn decode_legacy_offset_commit(
    key: Bytes,
    value: Option<Bytes>,
) -> Result<GroupRecord, DecodeRecordError> {
    let key: LegacyOffsetCommitKey = decode_coordinator_key(key)?;
    let value = match value {
        Some(value) => Some(decode_versioned::<LegacyOffsetCommitValue>(value)?.1),
        None => None,
    };
    let value = value.map(|value| CommittedOffset {
        offset: value.offset,
        leader_epoch: None,
        metadata: Arc::from(value.metadata),
        commit_timestamp: Timestamp::from_ms(value.commit_timestamp),
        expire_timestamp: None,
        topic_id: None,
    });
    offset_commit(&key.group, &key.topic, key.partition, value)
}

fn offset_commit(
    group: &str,
    topic: &str,
    partition: i32,
    value: Option<CommittedOffset>,
) -> Result<GroupRecord, DecodeRecordError> {
    let partition =
        PartitionIndex::new(partition).ok_or_else(|| DecodeRecordError::Impossible {
            field: "partition",
            value: partition.into(),
        })?;
    Ok(GroupRecord::OffsetCommit {
        group: GroupId::new(group),
        topic: TopicName::new(topic),
        partition,
        value,
    })
}

#[cfg(test)]
mod tests {
    use protocol::records::BatchIterator;

    use super::*;

    fn decode_all(bytes: &Bytes) -> Vec<GroupRecord> {
        let mut records = Vec::new();
        for batch in BatchIterator::new(bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            for record in batch.records(batch.record_bytes()) {
                let record = record.unwrap();
                match decode_record(record.key, record.value).unwrap() {
                    DecodedRecord::Group(record) => records.push(record),
                    DecodedRecord::UnknownType(unknown) => panic!("type {unknown}"),
                }
            }
        }
        records
    }

    fn committed() -> CommittedOffset {
        CommittedOffset {
            offset: 42,
            leader_epoch: LeaderEpoch::new(3),
            metadata: Arc::from("text"),
            commit_timestamp: Timestamp::from_ms(1_000),
            expire_timestamp: None,
            topic_id: TopicId::new([7; 16]),
        }
    }

    fn offset_record(partition: i32, value: Option<CommittedOffset>) -> GroupRecord {
        offset_commit("readers", "flights", partition, value).unwrap()
    }

    fn group_record(members: usize) -> GroupRecord {
        let member = |index: usize| MemberMetadata {
            member: MemberId::new(&format!("member-{index}")),
            instance: (index.is_multiple_of(2))
                .then(|| InstanceId::new(&format!("instance-{index}"))),
            client: Client {
                id: Arc::from("client"),
                host: Arc::from("/127.0.0.1"),
            },
            rebalance_timeout: Duration::from_secs(300),
            session_timeout: Duration::from_secs(45),
            subscription: Arc::from([0, 1, 2]),
            assignment: Arc::from([3; 40]),
        };
        GroupRecord::GroupMetadata {
            group: GroupId::new("readers"),
            value: Some(GroupMetadata {
                protocol_type: Some(Arc::from("consumer")),
                generation: Generation::new(7).unwrap(),
                protocol: Some(Arc::from("range")),
                leader: Some(MemberId::new("member-0")),
                state_timestamp: Some(Timestamp::from_ms(1)),
                members: (0..members).map(member).collect(),
            }),
        }
    }

    #[test]
    fn every_kind_of_record_comes_back() {
        let empty = GroupMetadata {
            protocol_type: None,
            generation: Generation::ZERO,
            protocol: None,
            leader: None,
            state_timestamp: None,
            members: Vec::new(),
        };
        // An expiry time forces the version that has no topic id and no leader epoch.
        let expiring = CommittedOffset {
            leader_epoch: None,
            topic_id: None,
            expire_timestamp: Some(Timestamp::from_ms(5)),
            ..committed()
        };
        let group = GroupId::new("readers");
        let records = [
            offset_record(0, Some(committed())),
            offset_record(1, Some(expiring)),
            offset_record(2, None),
            group_record(3),
            GroupRecord::GroupMetadata {
                group: group.clone(),
                value: Some(empty),
            },
            GroupRecord::GroupMetadata { group, value: None },
        ];
        let bytes = encode_batches(&records, Timestamp::from_ms(9), usize::MAX).unwrap();
        assert_eq!(decode_all(&bytes), records);
        assert_eq!(BatchIterator::new(&bytes).count(), 1);
    }

    #[test]
    fn a_batch_that_would_grow_too_large_ends_and_another_begins() {
        let records: Vec<GroupRecord> = (0..100)
            .map(|partition| offset_record(partition, Some(committed())))
            .collect();
        let batch_bytes_max = 1_000;
        let bytes = encode_batches(&records, Timestamp::from_ms(9), batch_bytes_max).unwrap();
        assert_eq!(decode_all(&bytes), records);
        assert!(BatchIterator::new(&bytes).count() > 5);
        for batch in BatchIterator::new(&bytes) {
            assert!(batch.unwrap().total_size() <= batch_bytes_max);
        }
    }

    /// Bytes as Kafka 4.2 writes them (`GroupCoordinatorRecordHelpers.newOffsetCommitRecord`).
    #[test]
    fn an_offset_commit_has_kafkas_bytes() {
        let (key, value) = encode_record(&offset_record(5, Some(committed()))).unwrap();
        assert_eq!(key, &b"\0\x01\0\x07readers\0\x07flights\0\0\0\x05"[..]);
        let mut expected = vec![0, 4];
        expected.extend(42_i64.to_be_bytes());
        expected.extend(3_i32.to_be_bytes());
        expected.extend(b"\x05text");
        expected.extend(1_000_i64.to_be_bytes());
        expected.extend([1, 0, 16]);
        expected.extend([7; 16]);
        assert_eq!(value.unwrap(), expected);
    }

    #[test]
    fn records_from_before_kafka_0_10_are_read() {
        let key = b"\0\0\0\x07readers\0\x07flights\0\0\0\x05";
        let mut value = vec![0, 0];
        value.extend(42_i64.to_be_bytes());
        value.extend(b"\0\x04text");
        value.extend(1_000_i64.to_be_bytes());
        let expected = CommittedOffset {
            leader_epoch: None,
            topic_id: None,
            ..committed()
        };
        let decoded = decode_record(Some(key), Some(&value)).unwrap();
        assert_eq!(
            decoded,
            DecodedRecord::Group(offset_record(5, Some(expected)))
        );
    }

    #[test]
    fn what_is_no_group_record_is_told_apart() {
        let unknown = decode_record(Some(&[0, 3, 0, 0]), None).unwrap();
        assert_eq!(unknown, DecodedRecord::UnknownType(3));
        for key in [
            None,
            Some(&b""[..]),
            Some(&b"\0"[..]),
            Some(&b"\0\x02\0\x09short"[..]),
        ] {
            decode_record(key, None).unwrap_err();
        }
        let negative = b"\0\x01\0\x01g\0\x01t\xff\xff\xff\xff";
        decode_record(Some(negative), None).unwrap_err();
        decode_record(Some(b"\0\x02\0\x01g"), Some(b"\0\x63")).unwrap_err();
    }

    #[test]
    fn the_coordinators_bound_of_a_record_covers_its_batch() {
        for members in [0, 1, 50] {
            let record = group_record(members);
            let bytes =
                encode_batches(std::slice::from_ref(&record), Timestamp::from_ms(9), 0).unwrap();
            let GroupRecord::GroupMetadata {
                group,
                value: Some(value),
            } = record
            else {
                panic!("made above");
            };
            assert!(bytes.len() <= value.encoded_bytes_max(&group));
        }
    }
}
