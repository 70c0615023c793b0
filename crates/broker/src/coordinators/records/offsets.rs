//! OffsetCommit: written in version 4, or 1 when it carries an expiry time, which 4 has no field for; every version is
//! read (`GroupCoordinatorRecordHelpers.java`).

use std::sync::Arc;

use bytes::Bytes;
use coordinator::{CommittedOffset, GroupRecord};
use protocol::messages::{
    LegacyOffsetCommitKey, LegacyOffsetCommitValue, OffsetCommitKey, OffsetCommitValue,
};
use protocol::{
    EncodeError, Uuid, decode_coordinator_key, decode_versioned, encode_coordinator_key,
    encode_versioned,
};
use types::{GroupId, LeaderEpoch, PartitionIndex, Timestamp, TopicId, TopicName};

use super::{DecodeRecordError, NO_TIMESTAMP, timestamp};

const OFFSET_COMMIT_VERSION: i16 = 4;
/// The only version with an expiry time.
const OFFSET_COMMIT_EXPIRING_VERSION: i16 = 1;
const NO_LEADER_EPOCH: i32 = -1;

pub(super) fn encode_offset_commit(
    group: &GroupId,
    topic: &TopicName,
    partition: PartitionIndex,
    value: Option<&CommittedOffset>,
) -> Result<(Bytes, Option<Bytes>), EncodeError> {
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
    Ok((key, value.map(encode).transpose()?))
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

pub(super) fn decode_offset_commit(
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

pub(super) fn decode_legacy_offset_commit(
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

pub(super) fn offset_commit(
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
