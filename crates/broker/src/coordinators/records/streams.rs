//! Records of streams groups: six pairs of keys and values, all in version 0 (`StreamsCoordinatorRecordHelpers.java`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use coordinator::{
    ActiveTasks, AssignedTasks, Client, CopartitionGroup, GroupRecord, InternalTopic,
    StreamsCurrentAssignment, StreamsGroupMetadata, StreamsMemberMetadata, StreamsMemberState,
    StreamsRecord, StreamsTopology, Subtopology, TaskSet, Tasks, UserEndpoint,
};
use protocol::messages::streams_group_current_member_assignment_value::TaskIds as CurrentTaskIds;
use protocol::messages::streams_group_member_metadata_value::{Endpoint, KeyValue};
use protocol::messages::streams_group_metadata_value::LastAssignmentConfig;
use protocol::messages::streams_group_target_assignment_member_value::TaskIds;
use protocol::messages::streams_group_topology_value::{
    CopartitionGroup as CopartitionGroupMessage, Subtopology as SubtopologyMessage, TopicConfig,
    TopicInfo,
};
use protocol::messages::{
    StreamsGroupCurrentMemberAssignmentKey, StreamsGroupCurrentMemberAssignmentValue,
    StreamsGroupMemberMetadataKey, StreamsGroupMemberMetadataValue, StreamsGroupMetadataKey,
    StreamsGroupMetadataValue, StreamsGroupTargetAssignmentMemberKey,
    StreamsGroupTargetAssignmentMemberValue, StreamsGroupTargetAssignmentMetadataKey,
    StreamsGroupTargetAssignmentMetadataValue, StreamsGroupTopologyKey, StreamsGroupTopologyValue,
};
use protocol::{
    CoordinatorKey, EncodeError, Message, decode_coordinator_key, decode_versioned,
    encode_coordinator_key, encode_versioned,
};
use types::{GroupId, InstanceId, MemberId, TopicName};

use super::DecodeRecordError;

const VERSION: i16 = 0;

type Encoded = (Bytes, Option<Bytes>);

pub(super) fn encode_streams(
    group: &GroupId,
    record: &StreamsRecord,
) -> Result<Encoded, EncodeError> {
    let group_id = group.as_str().to_owned();
    match record {
        StreamsRecord::Group(value) => encode(
            &StreamsGroupMetadataKey { group_id },
            value.as_ref().map(group_message),
        ),
        StreamsRecord::Topology(value) => encode(
            &StreamsGroupTopologyKey { group_id },
            value.as_ref().map(topology_message),
        ),
        StreamsRecord::Member { member, value } => encode(
            &StreamsGroupMemberMetadataKey {
                group_id,
                member_id: member.as_str().to_owned(),
            },
            value.as_ref().map(member_message),
        ),
        StreamsRecord::TargetEpoch(value) => encode(
            &StreamsGroupTargetAssignmentMetadataKey { group_id },
            value.map(
                |assignment_epoch| StreamsGroupTargetAssignmentMetadataValue { assignment_epoch },
            ),
        ),
        StreamsRecord::TargetMember { member, value } => encode(
            &StreamsGroupTargetAssignmentMemberKey {
                group_id,
                member_id: member.as_str().to_owned(),
            },
            value.as_ref().map(target_message),
        ),
        StreamsRecord::CurrentMember { member, value } => encode(
            &StreamsGroupCurrentMemberAssignmentKey {
                group_id,
                member_id: member.as_str().to_owned(),
            },
            value.as_ref().map(current_message),
        ),
    }
}

fn encode<K: CoordinatorKey, V: Message>(
    key: &K,
    value: Option<V>,
) -> Result<Encoded, EncodeError> {
    let value = value.map(|value| encode_versioned(&value, VERSION));
    Ok((encode_coordinator_key(key)?, value.transpose()?))
}

fn group_message(value: &StreamsGroupMetadata) -> StreamsGroupMetadataValue {
    let config = |(key, value): (&Arc<str>, &Arc<str>)| LastAssignmentConfig {
        key: key.as_ref().to_owned(),
        value: value.as_ref().to_owned(),
    };
    StreamsGroupMetadataValue {
        epoch: value.epoch,
        metadata_hash: value.metadata_hash,
        validated_topology_epoch: value.validated_topology_epoch,
        last_assignment_configs: Some(value.last_assignment_configs.iter().map(config).collect()),
    }
}

fn topology_message(value: &StreamsTopology) -> StreamsGroupTopologyValue {
    StreamsGroupTopologyValue {
        epoch: value.epoch,
        subtopologies: value
            .subtopologies
            .iter()
            .map(|(id, subtopology)| subtopology_message(id, subtopology))
            .collect(),
    }
}

fn subtopology_message(id: &str, value: &Subtopology) -> SubtopologyMessage {
    let topic = |topic: &InternalTopic| TopicInfo {
        name: topic.name.as_str().to_owned(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        topic_configs: topic
            .configs
            .iter()
            .map(|(key, value)| TopicConfig {
                key: key.as_ref().to_owned(),
                value: value.as_ref().to_owned(),
            })
            .collect(),
    };
    let copartition_group = |group: &CopartitionGroup| CopartitionGroupMessage {
        source_topics: group.source_topics.clone(),
        source_topic_regex: group.source_topic_regex.clone(),
        repartition_source_topics: group.repartition_source_topics.clone(),
    };
    SubtopologyMessage {
        subtopology_id: id.to_owned(),
        source_topics: names(&value.source_topics),
        source_topic_regex: value
            .source_topic_regex
            .iter()
            .map(|regex| regex.as_ref().to_owned())
            .collect(),
        state_changelog_topics: value.state_changelog_topics.iter().map(topic).collect(),
        repartition_sink_topics: names(&value.repartition_sink_topics),
        repartition_source_topics: value.repartition_source_topics.iter().map(topic).collect(),
        copartition_groups: value
            .copartition_groups
            .iter()
            .map(copartition_group)
            .collect(),
    }
}

fn names(topics: &[TopicName]) -> Vec<String> {
    topics
        .iter()
        .map(|topic| topic.as_str().to_owned())
        .collect()
}

fn member_message(value: &StreamsMemberMetadata) -> StreamsGroupMemberMetadataValue {
    let tag = |(key, value): (&Arc<str>, &Arc<str>)| KeyValue {
        key: key.as_ref().to_owned(),
        value: value.as_ref().to_owned(),
    };
    StreamsGroupMemberMetadataValue {
        instance_id: value
            .instance
            .as_ref()
            .map(|instance| instance.as_str().to_owned()),
        rack_id: value.rack.as_deref().map(str::to_owned),
        client_id: value.client.id.as_ref().to_owned(),
        client_host: value.client.host.as_ref().to_owned(),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        topology_epoch: value.topology_epoch,
        process_id: value.process.as_ref().to_owned(),
        user_endpoint: value.user_endpoint.as_ref().map(|endpoint| Endpoint {
            host: endpoint.host.as_ref().to_owned(),
            port: endpoint.port,
        }),
        client_tags: value.client_tags.iter().map(tag).collect(),
    }
}

fn target_message(value: &TaskSet) -> StreamsGroupTargetAssignmentMemberValue {
    let tasks = |tasks: &Tasks| {
        let tasks = tasks.iter();
        tasks
            .map(|(subtopology, partitions)| TaskIds {
                subtopology_id: subtopology.as_ref().to_owned(),
                partitions: partitions.iter().copied().collect(),
            })
            .collect()
    };
    StreamsGroupTargetAssignmentMemberValue {
        active_tasks: tasks(&value.active),
        standby_tasks: tasks(&value.standby),
        warmup_tasks: tasks(&value.warmup),
    }
}

fn current_message(value: &StreamsCurrentAssignment) -> StreamsGroupCurrentMemberAssignmentValue {
    let tasks = |tasks: &Tasks| {
        let tasks = tasks.iter();
        tasks
            .map(|(subtopology, partitions)| CurrentTaskIds {
                subtopology_id: subtopology.as_ref().to_owned(),
                partitions: partitions.iter().copied().collect(),
                ..Default::default()
            })
            .collect()
    };
    let active = |tasks: &ActiveTasks| {
        let tasks = tasks.iter();
        tasks
            .map(|(subtopology, partitions)| CurrentTaskIds {
                subtopology_id: subtopology.as_ref().to_owned(),
                partitions: partitions.keys().copied().collect(),
                assignment_epochs: Some(partitions.values().copied().collect()),
            })
            .collect()
    };
    StreamsGroupCurrentMemberAssignmentValue {
        member_epoch: value.member_epoch,
        previous_member_epoch: value.previous_member_epoch,
        state: value.state.value(),
        active_tasks: active(&value.assigned.active),
        standby_tasks: tasks(&value.assigned.standby),
        warmup_tasks: tasks(&value.assigned.warmup),
        active_tasks_pending_revocation: active(&value.pending_revocation.active),
        standby_tasks_pending_revocation: tasks(&value.pending_revocation.standby),
        warmup_tasks_pending_revocation: tasks(&value.pending_revocation.warmup),
    }
}

/// Reads a record of a streams group; `None` if the key is of another kind.
pub(super) fn decode_streams(
    key_type: i16,
    key: Bytes,
    value: Option<Bytes>,
) -> Result<Option<GroupRecord>, DecodeRecordError> {
    let (group, record) = match key_type {
        StreamsGroupMetadataKey::TYPE => {
            let key: StreamsGroupMetadataKey = decode_coordinator_key(key)?;
            (
                key.group_id,
                StreamsRecord::Group(read(value)?.map(group_metadata)),
            )
        }
        StreamsGroupTopologyKey::TYPE => {
            let key: StreamsGroupTopologyKey = decode_coordinator_key(key)?;
            (
                key.group_id,
                StreamsRecord::Topology(read(value)?.map(topology)),
            )
        }
        StreamsGroupMemberMetadataKey::TYPE => {
            let key: StreamsGroupMemberMetadataKey = decode_coordinator_key(key)?;
            let member = MemberId::new(&key.member_id);
            let value = read(value)?.map(member_metadata);
            (key.group_id, StreamsRecord::Member { member, value })
        }
        StreamsGroupTargetAssignmentMetadataKey::TYPE => {
            let key: StreamsGroupTargetAssignmentMetadataKey = decode_coordinator_key(key)?;
            let value: Option<StreamsGroupTargetAssignmentMetadataValue> = read(value)?;
            let epoch = value.map(|value| value.assignment_epoch);
            (key.group_id, StreamsRecord::TargetEpoch(epoch))
        }
        StreamsGroupTargetAssignmentMemberKey::TYPE => {
            let key: StreamsGroupTargetAssignmentMemberKey = decode_coordinator_key(key)?;
            let member = MemberId::new(&key.member_id);
            let value = read(value)?.map(target);
            (key.group_id, StreamsRecord::TargetMember { member, value })
        }
        StreamsGroupCurrentMemberAssignmentKey::TYPE => {
            let key: StreamsGroupCurrentMemberAssignmentKey = decode_coordinator_key(key)?;
            let member = MemberId::new(&key.member_id);
            let value = read(value)?.map(current).transpose()?;
            (key.group_id, StreamsRecord::CurrentMember { member, value })
        }
        _ => return Ok(None),
    };
    let group = GroupId::new(&group);
    Ok(Some(GroupRecord::Streams { group, record }))
}

fn read<V: Message>(value: Option<Bytes>) -> Result<Option<V>, DecodeRecordError> {
    let value = value.map(decode_versioned::<V>).transpose()?;
    Ok(value.map(|(_, value)| value))
}

fn text(text: String) -> Arc<str> {
    Arc::from(text)
}

fn group_metadata(value: StreamsGroupMetadataValue) -> StreamsGroupMetadata {
    let configs = value.last_assignment_configs.into_iter().flatten();
    StreamsGroupMetadata {
        epoch: value.epoch,
        metadata_hash: value.metadata_hash,
        validated_topology_epoch: value.validated_topology_epoch,
        last_assignment_configs: configs
            .map(|config| (text(config.key), text(config.value)))
            .collect(),
    }
}

fn topology(value: StreamsGroupTopologyValue) -> StreamsTopology {
    let subtopologies = value.subtopologies.into_iter();
    StreamsTopology {
        epoch: value.epoch,
        subtopologies: subtopologies.map(subtopology).collect(),
    }
}

fn subtopology(value: SubtopologyMessage) -> (Arc<str>, Subtopology) {
    let names = |topics: Vec<String>| topics.iter().map(|topic| TopicName::new(topic)).collect();
    let topics = |topics: Vec<TopicInfo>| {
        let topics = topics.into_iter();
        topics
            .map(|topic| InternalTopic {
                name: TopicName::new(&topic.name),
                partitions: topic.partitions,
                replication_factor: topic.replication_factor,
                configs: topic
                    .topic_configs
                    .into_iter()
                    .map(|config| (text(config.key), text(config.value)))
                    .collect(),
            })
            .collect()
    };
    let copartition_group = |group: CopartitionGroupMessage| CopartitionGroup {
        source_topics: group.source_topics,
        source_topic_regex: group.source_topic_regex,
        repartition_source_topics: group.repartition_source_topics,
    };
    let copartition_groups = value.copartition_groups.into_iter();
    let subtopology = Subtopology {
        source_topics: names(value.source_topics),
        source_topic_regex: value.source_topic_regex.into_iter().map(text).collect(),
        state_changelog_topics: topics(value.state_changelog_topics),
        repartition_sink_topics: names(value.repartition_sink_topics),
        repartition_source_topics: topics(value.repartition_source_topics),
        copartition_groups: copartition_groups.map(copartition_group).collect(),
    };
    (text(value.subtopology_id), subtopology)
}

fn member_metadata(value: StreamsGroupMemberMetadataValue) -> StreamsMemberMetadata {
    let tags = value.client_tags.into_iter();
    StreamsMemberMetadata {
        instance: value.instance_id.as_deref().map(InstanceId::new),
        rack: value.rack_id.map(text),
        client: Client {
            id: text(value.client_id),
            host: text(value.client_host),
        },
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        topology_epoch: value.topology_epoch,
        process: text(value.process_id),
        user_endpoint: value.user_endpoint.map(|endpoint| UserEndpoint {
            host: text(endpoint.host),
            port: endpoint.port,
        }),
        client_tags: tags.map(|tag| (text(tag.key), text(tag.value))).collect(),
    }
}

fn target(value: StreamsGroupTargetAssignmentMemberValue) -> TaskSet {
    let tasks = |tasks: Vec<TaskIds>| {
        by_subtopology(
            tasks
                .into_iter()
                .map(|ids| (ids.subtopology_id, ids.partitions)),
        )
    };
    TaskSet {
        active: tasks(value.active_tasks),
        standby: tasks(value.standby_tasks),
        warmup: tasks(value.warmup_tasks),
    }
}

fn by_subtopology(tasks: impl Iterator<Item = (String, Vec<i32>)>) -> Tasks {
    let sets = tasks.map(|(subtopology, partitions)| {
        let partitions: BTreeSet<i32> = partitions.into_iter().collect();
        (text(subtopology), partitions)
    });
    sets.filter(|(_, partitions)| !partitions.is_empty())
        .collect()
}

fn current(
    value: StreamsGroupCurrentMemberAssignmentValue,
) -> Result<StreamsCurrentAssignment, DecodeRecordError> {
    let epoch = value.member_epoch;
    let tasks = |tasks: Vec<CurrentTaskIds>| {
        by_subtopology(
            tasks
                .into_iter()
                .map(|ids| (ids.subtopology_id, ids.partitions)),
        )
    };
    Ok(StreamsCurrentAssignment {
        member_epoch: epoch,
        previous_member_epoch: value.previous_member_epoch,
        state: StreamsMemberState::from_value(value.state),
        assigned: AssignedTasks {
            active: active(value.active_tasks, epoch)?,
            standby: tasks(value.standby_tasks),
            warmup: tasks(value.warmup_tasks),
        },
        pending_revocation: AssignedTasks {
            active: active(value.active_tasks_pending_revocation, epoch)?,
            standby: tasks(value.standby_tasks_pending_revocation),
            warmup: tasks(value.warmup_tasks_pending_revocation),
        },
    })
}

/// Records from before Kafka 4.2 have no epochs for single tasks: then it is the member's.
fn active(tasks: Vec<CurrentTaskIds>, epoch: i32) -> Result<ActiveTasks, DecodeRecordError> {
    let mut active = ActiveTasks::new();
    for ids in tasks {
        let epochs = ids.assignment_epochs.unwrap_or_default();
        if !epochs.is_empty() && epochs.len() != ids.partitions.len() {
            return Err(DecodeRecordError::Impossible {
                field: "number of assignment epochs",
                value: i64::try_from(epochs.len()).unwrap_or(i64::MAX),
            });
        }
        let epochs = epochs.into_iter().chain(std::iter::repeat(epoch));
        let partitions: BTreeMap<i32, i32> = ids.partitions.into_iter().zip(epochs).collect();
        if !partitions.is_empty() {
            active.insert(text(ids.subtopology_id), partitions);
        }
    }
    Ok(active)
}

#[cfg(test)]
mod tests {
    use coordinator::GroupShard;

    use super::*;
    use crate::coordinators::records::{DecodedRecord, RecordFormat};

    fn tasks(subtopology: &str, partitions: &[i32]) -> Tasks {
        Tasks::from([(Arc::from(subtopology), partitions.iter().copied().collect())])
    }

    fn assigned() -> AssignedTasks {
        AssignedTasks {
            active: ActiveTasks::from([(Arc::from("0"), BTreeMap::from([(0, 3), (2, 5)]))]),
            standby: tasks("1", &[1]),
            warmup: tasks("1", &[2]),
        }
    }

    fn topology() -> StreamsTopology {
        let topic = |name: &str| InternalTopic {
            name: TopicName::new(name),
            partitions: 3,
            replication_factor: 1,
            configs: vec![(Arc::from("cleanup.policy"), Arc::from("compact"))],
        };
        let subtopology = Subtopology {
            source_topics: vec![TopicName::new("in")],
            source_topic_regex: vec![Arc::from("in.*")],
            state_changelog_topics: vec![topic("changelog")],
            repartition_sink_topics: vec![TopicName::new("out")],
            repartition_source_topics: vec![topic("repartition")],
            copartition_groups: vec![CopartitionGroup {
                source_topics: vec![0],
                source_topic_regex: vec![0],
                repartition_source_topics: vec![0],
            }],
        };
        StreamsTopology {
            epoch: 4,
            subtopologies: BTreeMap::from([(Arc::from("0"), subtopology)]),
        }
    }

    fn every_kind() -> Vec<StreamsRecord> {
        let member = || MemberId::new("member");
        let metadata = StreamsGroupMetadata {
            epoch: 7,
            metadata_hash: -1,
            validated_topology_epoch: 4,
            last_assignment_configs: BTreeMap::from([(
                Arc::from("num.standby.replicas"),
                Arc::from("1"),
            )]),
        };
        let member_metadata = StreamsMemberMetadata {
            instance: Some(InstanceId::new("instance")),
            rack: Some(Arc::from("rack")),
            client: Client {
                id: Arc::from("client"),
                host: Arc::from("/127.0.0.1"),
            },
            rebalance_timeout_ms: 300_000,
            topology_epoch: 4,
            process: Arc::from("process"),
            user_endpoint: Some(UserEndpoint {
                host: Arc::from("localhost"),
                port: 8080,
            }),
            client_tags: BTreeMap::from([(Arc::from("zone"), Arc::from("a"))]),
        };
        let current = StreamsCurrentAssignment {
            member_epoch: 6,
            previous_member_epoch: 5,
            state: StreamsMemberState::UnrevokedTasks,
            assigned: assigned(),
            pending_revocation: assigned(),
        };
        let target = TaskSet {
            active: tasks("0", &[0, 1]),
            standby: tasks("1", &[1]),
            warmup: tasks("1", &[2]),
        };
        vec![
            StreamsRecord::Group(Some(metadata)),
            StreamsRecord::Group(None),
            StreamsRecord::Topology(Some(topology())),
            StreamsRecord::Topology(None),
            StreamsRecord::Member {
                member: member(),
                value: Some(member_metadata),
            },
            StreamsRecord::Member {
                member: member(),
                value: Some(StreamsMemberMetadata::default()),
            },
            StreamsRecord::Member {
                member: member(),
                value: None,
            },
            StreamsRecord::TargetEpoch(Some(6)),
            StreamsRecord::TargetEpoch(None),
            StreamsRecord::TargetMember {
                member: member(),
                value: Some(target),
            },
            StreamsRecord::TargetMember {
                member: member(),
                value: None,
            },
            StreamsRecord::CurrentMember {
                member: member(),
                value: Some(current),
            },
            StreamsRecord::CurrentMember {
                member: member(),
                value: None,
            },
        ]
    }

    #[test]
    fn every_kind_of_record_comes_back() {
        for record in every_kind() {
            let record = GroupRecord::Streams {
                group: GroupId::new("application"),
                record,
            };
            let (key, value) = GroupShard::encode(&record).unwrap();
            let decoded = GroupShard::decode(Some(&key), value.as_deref()).unwrap();
            assert_eq!(decoded, DecodedRecord::Known(record));
        }
    }

    #[test]
    fn active_tasks_without_epochs_have_the_members() {
        let ids = |epochs: Option<Vec<i32>>| {
            vec![CurrentTaskIds {
                subtopology_id: "0".to_owned(),
                partitions: vec![0, 1],
                assignment_epochs: epochs,
            }]
        };
        let with = |epochs: [i32; 2]| {
            let partitions = BTreeMap::from([(0, epochs[0]), (1, epochs[1])]);
            ActiveTasks::from([(Arc::from("0"), partitions)])
        };
        assert_eq!(active(ids(None), 9).unwrap(), with([9, 9]));
        assert_eq!(active(ids(Some(Vec::new())), 9).unwrap(), with([9, 9]));
        assert_eq!(active(ids(Some(vec![3, 4])), 9).unwrap(), with([3, 4]));
        active(ids(Some(vec![3])), 9).unwrap_err();
    }
}
