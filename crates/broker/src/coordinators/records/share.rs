//! Records of share groups, types 10 to 15 of `__consumer_offsets`, all in version 0
//! (`GroupCoordinatorRecordHelpers.java`).

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use coordinator::{
    Client, Epoch, GroupRecord, ShareGroupMetadata, ShareGroupPart, ShareGroupRecord,
    ShareMemberAssignment, ShareMemberMetadata, ShareStatePartitions, ShareStateTopic,
    TopicPartitions,
};
use protocol::messages::share_group_current_member_assignment_value::TopicPartitions as CurrentPartitions;
use protocol::messages::share_group_state_partition_metadata_value::{
    TopicInfo, TopicPartitionsInfo,
};
use protocol::messages::share_group_target_assignment_member_value::TopicPartition;
use protocol::messages::{
    ShareGroupCurrentMemberAssignmentKey, ShareGroupCurrentMemberAssignmentValue,
    ShareGroupMemberMetadataKey, ShareGroupMemberMetadataValue, ShareGroupMetadataKey,
    ShareGroupMetadataValue, ShareGroupStatePartitionMetadataKey,
    ShareGroupStatePartitionMetadataValue, ShareGroupTargetAssignmentMemberKey,
    ShareGroupTargetAssignmentMemberValue, ShareGroupTargetAssignmentMetadataKey,
    ShareGroupTargetAssignmentMetadataValue,
};
use protocol::{
    CoordinatorKey, EncodeError, Message, Uuid, decode_coordinator_key, decode_versioned,
    encode_coordinator_key, encode_versioned,
};
use types::{GroupId, MemberId, PartitionIndex, TopicId, TopicName};

use super::DecodeRecordError;

const VERSION: i16 = 0;
/// The member's state as Kafka numbers it; members of share groups know no other.
const STABLE: i8 = 0;
/// The previous epoch of a member that has none.
const NO_EPOCH: i32 = -1;

pub(super) fn encode_share(
    record: &ShareGroupRecord,
) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    let group_id = record.group.as_str().to_owned();
    match &record.part {
        ShareGroupPart::Group(value) => encode(
            &ShareGroupMetadataKey { group_id },
            value.map(|value| ShareGroupMetadataValue {
                epoch: value.epoch.value(),
                metadata_hash: value.metadata_hash,
            }),
        ),
        ShareGroupPart::Member(member, value) => encode(
            &ShareGroupMemberMetadataKey {
                group_id,
                member_id: member.as_str().to_owned(),
            },
            value.as_ref().map(|value| ShareGroupMemberMetadataValue {
                rack_id: value.rack.as_deref().map(str::to_owned),
                client_id: value.client.id.as_ref().to_owned(),
                client_host: value.client.host.as_ref().to_owned(),
                subscribed_topic_names: names(&value.topics),
            }),
        ),
        ShareGroupPart::TargetEpoch(epoch) => encode(
            &ShareGroupTargetAssignmentMetadataKey { group_id },
            epoch.map(|epoch| ShareGroupTargetAssignmentMetadataValue {
                assignment_epoch: epoch.value(),
            }),
        ),
        ShareGroupPart::Target(member, value) => encode(
            &ShareGroupTargetAssignmentMemberKey {
                group_id,
                member_id: member.as_str().to_owned(),
            },
            value
                .as_ref()
                .map(|value| ShareGroupTargetAssignmentMemberValue {
                    topic_partitions: value
                        .topics()
                        .map(|(topic, partitions)| TopicPartition {
                            topic_id: Uuid(topic.bytes()),
                            partitions: numbers(partitions),
                        })
                        .collect(),
                }),
        ),
        ShareGroupPart::Current(member, value) => encode(
            &ShareGroupCurrentMemberAssignmentKey {
                group_id,
                member_id: member.as_str().to_owned(),
            },
            value
                .as_ref()
                .map(|value| ShareGroupCurrentMemberAssignmentValue {
                    member_epoch: value.epoch.value(),
                    previous_member_epoch: value.previous_epoch.map_or(NO_EPOCH, Epoch::value),
                    state: STABLE,
                    assigned_partitions: value
                        .partitions
                        .topics()
                        .map(|(topic, partitions)| CurrentPartitions {
                            topic_id: Uuid(topic.bytes()),
                            partitions: numbers(partitions),
                        })
                        .collect(),
                }),
        ),
        ShareGroupPart::StatePartitions(value) => encode(
            &ShareGroupStatePartitionMetadataKey { group_id },
            value
                .as_ref()
                .map(|value| ShareGroupStatePartitionMetadataValue {
                    initializing_topics: value.initializing.iter().map(state_topic).collect(),
                    initialized_topics: value.initialized.iter().map(state_topic).collect(),
                    deleting_topics: value
                        .deleting
                        .iter()
                        .map(|(topic, name)| TopicInfo {
                            topic_id: Uuid(topic.bytes()),
                            topic_name: name.as_str().to_owned(),
                        })
                        .collect(),
                }),
        ),
    }
}

/// Reads a record of one of the six types; `None` if it is of another.
pub(super) fn decode_share(
    kind: i16,
    key: Bytes,
    value: Option<Bytes>,
) -> Result<Option<GroupRecord>, DecodeRecordError> {
    let (group, part) = match kind {
        ShareGroupMetadataKey::TYPE => {
            let (key, value) = decode::<ShareGroupMetadataKey>(key, value)?;
            let value = match value {
                Some(value) => Some(ShareGroupMetadata {
                    epoch: epoch(value.epoch)?,
                    metadata_hash: value.metadata_hash,
                }),
                None => None,
            };
            (key.group_id, ShareGroupPart::Group(value))
        }
        ShareGroupMemberMetadataKey::TYPE => {
            let (key, value) = decode::<ShareGroupMemberMetadataKey>(key, value)?;
            let value = value.map(|value| ShareMemberMetadata {
                rack: value.rack_id.map(Arc::from),
                client: Client {
                    id: Arc::from(value.client_id),
                    host: Arc::from(value.client_host),
                },
                topics: value
                    .subscribed_topic_names
                    .iter()
                    .map(|name| TopicName::new(name))
                    .collect(),
            });
            let member = MemberId::new(&key.member_id);
            (key.group_id, ShareGroupPart::Member(member, value))
        }
        ShareGroupTargetAssignmentMetadataKey::TYPE => {
            let (key, value) = decode::<ShareGroupTargetAssignmentMetadataKey>(key, value)?;
            let value = value
                .map(|value| epoch(value.assignment_epoch))
                .transpose()?;
            (key.group_id, ShareGroupPart::TargetEpoch(value))
        }
        ShareGroupTargetAssignmentMemberKey::TYPE => {
            let (key, value) = decode::<ShareGroupTargetAssignmentMemberKey>(key, value)?;
            let value = value.map(|value| {
                let topics = value.topic_partitions.into_iter();
                partitions(topics.map(|topic| (topic.topic_id, topic.partitions)))
            });
            let member = MemberId::new(&key.member_id);
            (
                key.group_id,
                ShareGroupPart::Target(member, value.transpose()?),
            )
        }
        ShareGroupCurrentMemberAssignmentKey::TYPE => {
            let (key, value) = decode::<ShareGroupCurrentMemberAssignmentKey>(key, value)?;
            let value = match value {
                Some(value) => {
                    let topics = value.assigned_partitions.into_iter();
                    Some(ShareMemberAssignment {
                        epoch: epoch(value.member_epoch)?,
                        previous_epoch: Epoch::new(value.previous_member_epoch),
                        partitions: partitions(
                            topics.map(|topic| (topic.topic_id, topic.partitions)),
                        )?,
                    })
                }
                None => None,
            };
            let member = MemberId::new(&key.member_id);
            (key.group_id, ShareGroupPart::Current(member, value))
        }
        ShareGroupStatePartitionMetadataKey::TYPE => {
            let (key, value) = decode::<ShareGroupStatePartitionMetadataKey>(key, value)?;
            let value = value.map(state_partitions).transpose()?;
            (key.group_id, ShareGroupPart::StatePartitions(value))
        }
        _ => return Ok(None),
    };
    let group = GroupId::new(&group);
    Ok(Some(GroupRecord::Share(ShareGroupRecord { group, part })))
}

fn encode<K: CoordinatorKey>(
    key: &K,
    value: Option<K::Value>,
) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    let encode = |value: K::Value| encode_versioned(&value, VERSION);
    Ok((encode_coordinator_key(key)?, value.map(encode).transpose()?))
}

fn decode<K: CoordinatorKey>(
    key: Bytes,
    value: Option<Bytes>,
) -> Result<(K, Option<K::Value>), DecodeRecordError>
where
    K::Value: Message,
{
    let key = decode_coordinator_key(key)?;
    let value = match value {
        Some(value) => Some(decode_versioned::<K::Value>(value)?.1),
        None => None,
    };
    Ok((key, value))
}

fn names(topics: &BTreeSet<TopicName>) -> Vec<String> {
    topics.iter().map(|name| name.as_str().to_owned()).collect()
}

fn numbers(partitions: &BTreeSet<PartitionIndex>) -> Vec<i32> {
    partitions.iter().map(|index| index.value()).collect()
}

fn state_topic((topic, known): (&TopicId, &ShareStateTopic)) -> TopicPartitionsInfo {
    TopicPartitionsInfo {
        topic_id: Uuid(topic.bytes()),
        topic_name: known.name.as_str().to_owned(),
        partitions: numbers(&known.partitions),
    }
}

fn state_partitions(
    value: ShareGroupStatePartitionMetadataValue,
) -> Result<ShareStatePartitions, DecodeRecordError> {
    let known = |info: TopicPartitionsInfo| {
        let partitions: Result<_, _> = info.partitions.into_iter().map(index).collect();
        let known = ShareStateTopic {
            name: TopicName::new(&info.topic_name),
            partitions: partitions?,
        };
        Ok::<_, DecodeRecordError>((topic_id(info.topic_id)?, known))
    };
    let deleting = |info: TopicInfo| {
        Ok::<_, DecodeRecordError>((topic_id(info.topic_id)?, TopicName::new(&info.topic_name)))
    };
    let initializing: Result<_, _> = value.initializing_topics.into_iter().map(known).collect();
    let initialized: Result<_, _> = value.initialized_topics.into_iter().map(known).collect();
    let deleting: Result<_, _> = value.deleting_topics.into_iter().map(deleting).collect();
    Ok(ShareStatePartitions {
        initializing: initializing?,
        initialized: initialized?,
        deleting: deleting?,
    })
}

fn partitions(
    topics: impl Iterator<Item = (Uuid, Vec<i32>)>,
) -> Result<TopicPartitions, DecodeRecordError> {
    let mut set = TopicPartitions::new();
    for (topic, indexes) in topics {
        let topic = topic_id(topic)?;
        for partition in indexes {
            set.insert(topic, index(partition)?);
        }
    }
    Ok(set)
}

pub(super) fn topic_id(id: Uuid) -> Result<TopicId, DecodeRecordError> {
    TopicId::new(id.0).ok_or(DecodeRecordError::Impossible {
        field: "topic id",
        value: 0,
    })
}

pub(super) fn index(index: i32) -> Result<PartitionIndex, DecodeRecordError> {
    PartitionIndex::new(index).ok_or_else(|| DecodeRecordError::Impossible {
        field: "partition",
        value: index.into(),
    })
}

fn epoch(epoch: i32) -> Result<Epoch, DecodeRecordError> {
    Epoch::new(epoch).ok_or_else(|| DecodeRecordError::Impossible {
        field: "epoch",
        value: epoch.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> TopicId {
        TopicId::new([7; 16]).unwrap()
    }

    fn set() -> TopicPartitions {
        [0, 2]
            .map(|partition| (topic(), index(partition).unwrap()))
            .into_iter()
            .collect()
    }

    #[test]
    fn every_kind_of_record_comes_back() {
        let member = || MemberId::new("member");
        let known = ShareStateTopic {
            name: TopicName::new("jobs"),
            partitions: [index(3).unwrap()].into(),
        };
        let parts = [
            ShareGroupPart::Group(Some(ShareGroupMetadata {
                epoch: Epoch::new(4).unwrap(),
                metadata_hash: -9,
            })),
            ShareGroupPart::Member(
                member(),
                Some(ShareMemberMetadata {
                    rack: Some(Arc::from("north")),
                    client: Client {
                        id: Arc::from("client"),
                        host: Arc::from("/127.0.0.1"),
                    },
                    topics: [TopicName::new("jobs")].into(),
                }),
            ),
            ShareGroupPart::TargetEpoch(Epoch::new(4)),
            ShareGroupPart::Target(member(), Some(set())),
            ShareGroupPart::Current(
                member(),
                Some(ShareMemberAssignment {
                    epoch: Epoch::new(4).unwrap(),
                    previous_epoch: None,
                    partitions: set(),
                }),
            ),
            ShareGroupPart::StatePartitions(Some(ShareStatePartitions {
                initializing: [(topic(), known.clone())].into(),
                initialized: [(topic(), known)].into(),
                deleting: [(topic(), TopicName::new("old"))].into(),
            })),
            ShareGroupPart::Group(None),
            ShareGroupPart::Member(member(), None),
            ShareGroupPart::TargetEpoch(None),
            ShareGroupPart::Target(member(), None),
            ShareGroupPart::Current(member(), None),
            ShareGroupPart::StatePartitions(None),
        ];
        for part in parts {
            let record = ShareGroupRecord {
                group: GroupId::new("workers"),
                part,
            };
            let (key, value) = encode_share(&record).unwrap();
            let kind = protocol::coordinator_key_type(&key).unwrap();
            let decoded = decode_share(kind, key, value).unwrap();
            assert_eq!(decoded, Some(GroupRecord::Share(record)));
        }
    }
}
