//! The records of consumer groups: all of version 0; ConsumerGroupPartitionMetadata, which Kafka wrote before 4.1, is read
//! and only ever written as a tombstone (`GroupCoordinatorRecordHelpers.java`).

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use coordinator::{
    ClassicMemberMetadata, Client, ConsumerMemberMetadata, ConsumerRecord, CurrentAssignment,
    Epoch, GroupEpoch, GroupRecord, MemberProtocol, MemberState, ResolvedRegex, TopicPartitions,
};
use protocol::messages::consumer_group_current_member_assignment_value::TopicPartitions as CurrentTopic;
use protocol::messages::consumer_group_member_metadata_value::{
    ClassicMemberMetadata as ClassicMessage, ClassicProtocol,
};
use protocol::messages::consumer_group_target_assignment_member_value::TopicPartition;
use protocol::messages::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue, ConsumerGroupPartitionMetadataKey,
    ConsumerGroupPartitionMetadataValue, ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue,
};
use protocol::{
    CoordinatorKey, EncodeError, Message, Uuid, decode_coordinator_key, decode_versioned,
    encode_coordinator_key, encode_versioned,
};
use types::{GroupId, InstanceId, MemberId, PartitionIndex, Timestamp, TopicId, TopicName};

use super::{DecodeRecordError, timeout, timeout_ms};

const VERSION: i16 = 0;
const NO_TIMEOUT: i32 = -1;

type Encoded = Result<(Bytes, Option<Bytes>), EncodeError>;

pub(super) fn encode_consumer(group: &GroupId, record: &ConsumerRecord) -> Encoded {
    let group_id = group.as_str().to_owned();
    let member_id = |member: &MemberId| member.as_str().to_owned();
    match record {
        ConsumerRecord::Epoch(value) => encode(
            &ConsumerGroupMetadataKey { group_id },
            value.map(|value| ConsumerGroupMetadataValue {
                epoch: value.epoch.value(),
                metadata_hash: value.metadata_hash,
            }),
        ),
        ConsumerRecord::PartitionMetadata { present } => encode(
            &ConsumerGroupPartitionMetadataKey { group_id },
            present.then(ConsumerGroupPartitionMetadataValue::default),
        ),
        ConsumerRecord::Member { member, value } => encode(
            &ConsumerGroupMemberMetadataKey {
                group_id,
                member_id: member_id(member),
            },
            value.as_ref().map(member_message),
        ),
        ConsumerRecord::TargetEpoch(value) => encode(
            &ConsumerGroupTargetAssignmentMetadataKey { group_id },
            value.map(|epoch| ConsumerGroupTargetAssignmentMetadataValue {
                assignment_epoch: epoch.value(),
            }),
        ),
        ConsumerRecord::Target { member, value } => encode(
            &ConsumerGroupTargetAssignmentMemberKey {
                group_id,
                member_id: member_id(member),
            },
            value.as_ref().map(target_message),
        ),
        ConsumerRecord::Current { member, value } => encode(
            &ConsumerGroupCurrentMemberAssignmentKey {
                group_id,
                member_id: member_id(member),
            },
            value.as_ref().map(current_message),
        ),
        ConsumerRecord::RegularExpression { regex, value } => encode(
            &ConsumerGroupRegularExpressionKey {
                group_id,
                regular_expression: regex.as_ref().to_owned(),
            },
            value.as_ref().map(regex_message),
        ),
    }
}

fn encode<K: CoordinatorKey, V: Message>(key: &K, value: Option<V>) -> Encoded {
    let key = encode_coordinator_key(key)?;
    let value = value.map(|value| encode_versioned(&value, VERSION));
    Ok((key, value.transpose()?))
}

fn member_message(value: &ConsumerMemberMetadata) -> ConsumerGroupMemberMetadataValue {
    let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let protocol = |protocol: &MemberProtocol| ClassicProtocol {
        name: protocol.name.as_ref().to_owned(),
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    };
    let classic = |classic: &ClassicMemberMetadata| ClassicMessage {
        session_timeout_ms: timeout_ms(classic.session_timeout),
        supported_protocols: classic.protocols.iter().map(protocol).collect(),
    };
    let topic = |topic: &TopicName| topic.as_str().to_owned();
    ConsumerGroupMemberMetadataValue {
        instance_id: value
            .instance
            .as_ref()
            .map(|instance| instance.as_str().to_owned()),
        rack_id: text(&value.rack),
        client_id: value.client.id.as_ref().to_owned(),
        client_host: value.client.host.as_ref().to_owned(),
        subscribed_topic_names: value.topics.iter().map(topic).collect(),
        // Kafka's members have the empty pattern where they have none.
        subscribed_topic_regex: Some(text(&value.regex).unwrap_or_default()),
        rebalance_timeout_ms: value.rebalance_timeout.map_or(NO_TIMEOUT, timeout_ms),
        server_assignor: text(&value.assignor),
        classic_member_metadata: value.classic.as_ref().map(classic),
    }
}

fn target_message(value: &TopicPartitions) -> ConsumerGroupTargetAssignmentMemberValue {
    let topic = |(id, partitions): (TopicId, &BTreeSet<PartitionIndex>)| TopicPartition {
        topic_id: Uuid(id.bytes()),
        partitions: indexes(partitions),
    };
    ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions: value.topics().map(topic).collect(),
    }
}

fn current_message(value: &CurrentAssignment) -> ConsumerGroupCurrentMemberAssignmentValue {
    let topic = |(id, partitions): (TopicId, &BTreeSet<PartitionIndex>)| CurrentTopic {
        topic_id: Uuid(id.bytes()),
        partitions: indexes(partitions),
    };
    ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: value.epoch,
        previous_member_epoch: value.previous_epoch,
        state: value.state.value(),
        assigned_partitions: value.assigned.topics().map(topic).collect(),
        partitions_pending_revocation: value.revoking.topics().map(topic).collect(),
    }
}

fn indexes(partitions: &BTreeSet<PartitionIndex>) -> Vec<i32> {
    partitions.iter().map(|index| index.value()).collect()
}

fn regex_message(value: &ResolvedRegex) -> ConsumerGroupRegularExpressionValue {
    let topic = |topic: &TopicName| topic.as_str().to_owned();
    ConsumerGroupRegularExpressionValue {
        topics: value.topics.iter().map(topic).collect(),
        version: i64::try_from(value.version).unwrap_or(i64::MAX),
        timestamp: value.timestamp.ms(),
    }
}

/// Reads a record whose key has one of the types of consumer groups; `None` for any other type.
pub(super) fn decode_consumer(
    key_type: i16,
    key: Bytes,
    value: Option<Bytes>,
) -> Result<Option<GroupRecord>, DecodeRecordError> {
    let (group, record) = match key_type {
        ConsumerGroupMetadataKey::TYPE => {
            let key: ConsumerGroupMetadataKey = decode_coordinator_key(key)?;
            let value = message(value)?.map(group_epoch).transpose()?;
            (key.group_id, ConsumerRecord::Epoch(value))
        }
        ConsumerGroupPartitionMetadataKey::TYPE => {
            let key: ConsumerGroupPartitionMetadataKey = decode_coordinator_key(key)?;
            let value: Option<ConsumerGroupPartitionMetadataValue> = message(value)?;
            let present = value.is_some();
            (key.group_id, ConsumerRecord::PartitionMetadata { present })
        }
        ConsumerGroupMemberMetadataKey::TYPE => {
            let key: ConsumerGroupMemberMetadataKey = decode_coordinator_key(key)?;
            let value = message(value)?.map(member_metadata).transpose()?;
            let member = MemberId::new(&key.member_id);
            (key.group_id, ConsumerRecord::Member { member, value })
        }
        ConsumerGroupTargetAssignmentMetadataKey::TYPE => {
            let key: ConsumerGroupTargetAssignmentMetadataKey = decode_coordinator_key(key)?;
            let value: Option<ConsumerGroupTargetAssignmentMetadataValue> = message(value)?;
            let epoch = value.map(|value| epoch("assignment epoch", value.assignment_epoch));
            (
                key.group_id,
                ConsumerRecord::TargetEpoch(epoch.transpose()?),
            )
        }
        ConsumerGroupTargetAssignmentMemberKey::TYPE => {
            let key: ConsumerGroupTargetAssignmentMemberKey = decode_coordinator_key(key)?;
            let value: Option<ConsumerGroupTargetAssignmentMemberValue> = message(value)?;
            let target = |value: ConsumerGroupTargetAssignmentMemberValue| {
                let topics = value.topic_partitions.iter();
                partitions(topics.map(|topic| (topic.topic_id, &topic.partitions)))
            };
            let value = value.map(target).transpose()?;
            let member = MemberId::new(&key.member_id);
            (key.group_id, ConsumerRecord::Target { member, value })
        }
        ConsumerGroupCurrentMemberAssignmentKey::TYPE => {
            let key: ConsumerGroupCurrentMemberAssignmentKey = decode_coordinator_key(key)?;
            let value = message(value)?.map(current_assignment).transpose()?;
            let member = MemberId::new(&key.member_id);
            (key.group_id, ConsumerRecord::Current { member, value })
        }
        ConsumerGroupRegularExpressionKey::TYPE => {
            let key: ConsumerGroupRegularExpressionKey = decode_coordinator_key(key)?;
            let value = message(value)?.map(resolved_regex);
            let regex = Arc::from(key.regular_expression);
            (
                key.group_id,
                ConsumerRecord::RegularExpression { regex, value },
            )
        }
        _ => return Ok(None),
    };
    let group = GroupId::new(&group);
    Ok(Some(GroupRecord::Consumer { group, record }))
}

fn message<V: Message>(value: Option<Bytes>) -> Result<Option<V>, DecodeRecordError> {
    let decode = |value| decode_versioned::<V>(value).map(|(_, value)| value);
    Ok(value.map(decode).transpose()?)
}

fn epoch(field: &'static str, value: i32) -> Result<Epoch, DecodeRecordError> {
    Epoch::new(value).ok_or(DecodeRecordError::Impossible {
        field,
        value: value.into(),
    })
}

fn group_epoch(value: ConsumerGroupMetadataValue) -> Result<GroupEpoch, DecodeRecordError> {
    Ok(GroupEpoch {
        epoch: epoch("epoch", value.epoch)?,
        metadata_hash: value.metadata_hash,
    })
}

fn member_metadata(
    value: ConsumerGroupMemberMetadataValue,
) -> Result<ConsumerMemberMetadata, DecodeRecordError> {
    let protocol = |protocol: ClassicProtocol| MemberProtocol {
        name: Arc::from(protocol.name),
        metadata: Arc::from(&*protocol.metadata),
    };
    let classic = |classic: ClassicMessage| {
        Ok::<_, DecodeRecordError>(ClassicMemberMetadata {
            session_timeout: timeout("session timeout", classic.session_timeout_ms)?,
            protocols: classic
                .supported_protocols
                .into_iter()
                .map(protocol)
                .collect(),
        })
    };
    let rebalance_timeout = match value.rebalance_timeout_ms {
        NO_TIMEOUT => None,
        given => Some(timeout("rebalance timeout", given)?),
    };
    Ok(ConsumerMemberMetadata {
        instance: value.instance_id.as_deref().map(InstanceId::new),
        rack: value.rack_id.map(Arc::from),
        client: Client {
            id: Arc::from(value.client_id),
            host: Arc::from(value.client_host),
        },
        topics: topic_names(&value.subscribed_topic_names),
        regex: value
            .subscribed_topic_regex
            .filter(|regex| !regex.is_empty())
            .map(Arc::from),
        rebalance_timeout,
        assignor: value.server_assignor.map(Arc::from),
        classic: value.classic_member_metadata.map(classic).transpose()?,
    })
}

fn current_assignment(
    value: ConsumerGroupCurrentMemberAssignmentValue,
) -> Result<CurrentAssignment, DecodeRecordError> {
    let set = |topics: &[CurrentTopic]| {
        partitions(
            topics
                .iter()
                .map(|topic| (topic.topic_id, &topic.partitions)),
        )
    };
    Ok(CurrentAssignment {
        epoch: value.member_epoch,
        previous_epoch: value.previous_member_epoch,
        state: MemberState::from_value(value.state),
        assigned: set(&value.assigned_partitions)?,
        revoking: set(&value.partitions_pending_revocation)?,
    })
}

fn resolved_regex(value: ConsumerGroupRegularExpressionValue) -> ResolvedRegex {
    ResolvedRegex {
        topics: topic_names(&value.topics),
        version: u64::try_from(value.version).unwrap_or(0),
        timestamp: Timestamp::from_ms(value.timestamp),
    }
}

fn topic_names(names: &[String]) -> BTreeSet<TopicName> {
    names.iter().map(|name| TopicName::new(name)).collect()
}

fn partitions<'a>(
    topics: impl Iterator<Item = (Uuid, &'a Vec<i32>)>,
) -> Result<TopicPartitions, DecodeRecordError> {
    let mut set = TopicPartitions::new();
    for (id, indexes) in topics {
        let id = TopicId::new(id.0).ok_or(DecodeRecordError::Impossible {
            field: "topic id",
            value: 0,
        })?;
        for index in indexes {
            let index = PartitionIndex::new(*index).ok_or(DecodeRecordError::Impossible {
                field: "partition",
                value: i64::from(*index),
            })?;
            set.insert(id, index);
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coordinator::GroupShard;

    use super::super::{DecodedRecord, RecordFormat};
    use super::*;

    fn some_partitions() -> TopicPartitions {
        let id = |byte| TopicId::new([byte; 16]).unwrap();
        let index = |index| PartitionIndex::new(index).unwrap();
        [(id(1), index(0)), (id(1), index(5)), (id(9), index(2))]
            .into_iter()
            .collect()
    }

    fn member(classic: Option<ClassicMemberMetadata>) -> ConsumerMemberMetadata {
        ConsumerMemberMetadata {
            instance: classic.is_some().then(|| InstanceId::new("instance")),
            rack: Some(Arc::from("rack")),
            client: Client {
                id: Arc::from("client"),
                host: Arc::from("/127.0.0.1"),
            },
            topics: topic_names(&["a".to_owned(), "b".to_owned()]),
            regex: classic.is_none().then(|| Arc::from("fl.*")),
            rebalance_timeout: classic.is_none().then_some(Duration::from_secs(300)),
            assignor: Some(Arc::from("uniform")),
            classic,
        }
    }

    fn records() -> Vec<ConsumerRecord> {
        let id = || MemberId::new("member");
        let classic = ClassicMemberMetadata {
            session_timeout: Duration::from_secs(45),
            protocols: vec![MemberProtocol {
                name: Arc::from("range"),
                metadata: Arc::from([0, 3, 9]),
            }],
        };
        let resolved = ResolvedRegex {
            topics: topic_names(&["flights".to_owned()]),
            version: 77,
            timestamp: Timestamp::from_ms(1_000),
        };
        let current = CurrentAssignment {
            epoch: 5,
            previous_epoch: 4,
            state: MemberState::UnrevokedPartitions,
            assigned: some_partitions(),
            revoking: TopicPartitions::new(),
        };
        let epoch = GroupEpoch {
            epoch: Epoch::new(7).unwrap(),
            metadata_hash: -12,
        };
        vec![
            ConsumerRecord::Epoch(Some(epoch)),
            ConsumerRecord::Epoch(None),
            ConsumerRecord::PartitionMetadata { present: true },
            ConsumerRecord::PartitionMetadata { present: false },
            ConsumerRecord::Member {
                member: id(),
                value: Some(member(None)),
            },
            ConsumerRecord::Member {
                member: id(),
                value: Some(member(Some(classic))),
            },
            ConsumerRecord::Member {
                member: id(),
                value: None,
            },
            ConsumerRecord::TargetEpoch(Epoch::new(7)),
            ConsumerRecord::TargetEpoch(None),
            ConsumerRecord::Target {
                member: id(),
                value: Some(some_partitions()),
            },
            ConsumerRecord::Target {
                member: id(),
                value: None,
            },
            ConsumerRecord::Current {
                member: id(),
                value: Some(current.clone()),
            },
            ConsumerRecord::Current {
                member: id(),
                value: Some(CurrentAssignment {
                    epoch: -2,
                    state: MemberState::Stable,
                    ..current
                }),
            },
            ConsumerRecord::Current {
                member: id(),
                value: None,
            },
            ConsumerRecord::RegularExpression {
                regex: Arc::from("fl.*"),
                value: Some(resolved),
            },
            ConsumerRecord::RegularExpression {
                regex: Arc::from("fl.*"),
                value: None,
            },
        ]
    }

    #[test]
    fn every_kind_of_record_comes_back() {
        for record in records() {
            let record = GroupRecord::Consumer {
                group: GroupId::new("readers"),
                record,
            };
            let (key, value) = GroupShard::encode(&record).unwrap();
            let decoded = GroupShard::decode(Some(&key), value.as_deref()).unwrap();
            assert_eq!(decoded, DecodedRecord::Known(record));
        }
    }

    /// Bytes as Kafka 4.2 writes them (`GroupCoordinatorRecordHelpers.newConsumerGroupEpochRecord`).
    #[test]
    fn a_group_epoch_has_kafkas_bytes() {
        let record = GroupRecord::Consumer {
            group: GroupId::new("g"),
            record: ConsumerRecord::Epoch(Some(GroupEpoch {
                epoch: Epoch::new(7).unwrap(),
                metadata_hash: 1,
            })),
        };
        let (key, value) = GroupShard::encode(&record).unwrap();
        assert_eq!(key, &b"\0\x03\0\x01g"[..]);
        let mut expected = vec![0, 0];
        expected.extend(7_i32.to_be_bytes());
        expected.extend([1, 0, 8]);
        expected.extend(1_i64.to_be_bytes());
        assert_eq!(value.unwrap(), expected);
    }

    #[test]
    fn impossible_values_are_refused() {
        let key = b"\0\x03\0\x01g";
        GroupShard::decode(Some(key), Some(b"\0\0\xff\xff\xff\xff\0")).unwrap_err();
        GroupShard::decode(Some(key), Some(b"\0\0\0")).unwrap_err();
        GroupShard::decode(Some(b"\0\x03\0\x02g"), None).unwrap_err();
    }
}
