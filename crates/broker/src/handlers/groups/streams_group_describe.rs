//! StreamsGroupDescribe, key 89, version 0.

use std::sync::Arc;

use coordinator::{
    AssignedTasks, DescribedStreamsGroup, DescribedStreamsMember, DescribedSubtopology,
    DescribedTopic, DescribedTopology, TaskSet, Tasks,
};
use protocol::ErrorCode;
use protocol::messages::streams_group_describe_response::{
    Assignment, DescribedGroup, Endpoint, KeyValue, Member, Subtopology, TaskIds, TopicInfo,
    Topology,
};
use protocol::messages::{StreamsGroupDescribeRequest, StreamsGroupDescribeResponse};
use types::{GroupId, TopicName};

use super::errors;
use crate::context::Context;
use crate::coordinators::GroupCoordinator;
use crate::handlers::authorized_operations;

pub(crate) async fn handle(
    _context: Context,
    request: StreamsGroupDescribeRequest,
    groups: Arc<GroupCoordinator>,
) -> StreamsGroupDescribeResponse {
    let ids: Vec<GroupId> = request
        .group_ids
        .iter()
        .map(|id| GroupId::new(id))
        .collect();
    let mut described = Vec::with_capacity(ids.len());
    for (id, result) in groups.describe_streams(ids).await {
        let group = match result {
            _ if id.as_str().is_empty() => refused(&id, ErrorCode::InvalidGroupId, None),
            Ok(Ok(group)) => group_message(&id, group, request.include_authorized_operations),
            Ok(Err(error)) => refused(
                &id,
                errors::describe_streams(&error),
                Some(error.to_string()),
            ),
            Err(error) => refused(&id, errors::coordinator(error), None),
        };
        described.push(group);
    }
    StreamsGroupDescribeResponse {
        groups: described,
        ..Default::default()
    }
}

fn refused(id: &GroupId, code: ErrorCode, message: Option<String>) -> DescribedGroup {
    DescribedGroup {
        group_id: id.as_str().to_owned(),
        error_code: code.into(),
        error_message: message,
        ..Default::default()
    }
}

fn group_message(
    id: &GroupId,
    group: DescribedStreamsGroup,
    with_operations: bool,
) -> DescribedGroup {
    DescribedGroup {
        group_id: id.as_str().to_owned(),
        group_state: group.state.name().to_owned(),
        group_epoch: group.group_epoch,
        assignment_epoch: group.target_epoch,
        topology: group.topology.map(topology),
        members: group.members.into_iter().map(member).collect(),
        authorized_operations: if with_operations {
            authorized_operations::GROUP
        } else {
            authorized_operations::NOT_ASKED
        },
        ..Default::default()
    }
}

fn topology(topology: DescribedTopology) -> Topology {
    let subtopologies = topology.subtopologies.into_iter();
    Topology {
        epoch: topology.epoch,
        subtopologies: Some(subtopologies.map(subtopology).collect()),
    }
}

fn subtopology(described: DescribedSubtopology) -> Subtopology {
    let names = |topics: Vec<TopicName>| {
        let topics = topics.iter();
        topics.map(|topic| topic.as_str().to_owned()).collect()
    };
    let topics = |topics: Vec<DescribedTopic>| topics.into_iter().map(topic).collect();
    Subtopology {
        subtopology_id: described.id.as_ref().to_owned(),
        source_topics: names(described.source_topics),
        repartition_sink_topics: names(described.repartition_sink_topics),
        state_changelog_topics: topics(described.state_changelog_topics),
        repartition_source_topics: topics(described.repartition_source_topics),
    }
}

fn topic(described: DescribedTopic) -> TopicInfo {
    TopicInfo {
        name: described.name.as_str().to_owned(),
        partitions: described.partitions,
        replication_factor: described.replication_factor,
        topic_configs: key_values(described.configs.iter().map(|(key, value)| (key, value))),
    }
}

fn key_values<'a>(pairs: impl Iterator<Item = (&'a Arc<str>, &'a Arc<str>)>) -> Vec<KeyValue> {
    pairs
        .map(|(key, value)| KeyValue {
            key: key.as_ref().to_owned(),
            value: value.as_ref().to_owned(),
        })
        .collect()
}

fn member(member: DescribedStreamsMember) -> Member {
    let metadata = member.metadata;
    Member {
        member_id: member.member.as_str().to_owned(),
        member_epoch: member.member_epoch,
        instance_id: metadata
            .instance
            .as_ref()
            .map(|instance| instance.as_str().to_owned()),
        rack_id: metadata.rack.as_deref().map(str::to_owned),
        client_id: metadata.client.id.as_ref().to_owned(),
        client_host: metadata.client.host.as_ref().to_owned(),
        topology_epoch: metadata.topology_epoch,
        process_id: metadata.process.as_ref().to_owned(),
        user_endpoint: metadata.user_endpoint.map(|endpoint| Endpoint {
            host: endpoint.host.as_ref().to_owned(),
            port: endpoint.port,
        }),
        client_tags: key_values(metadata.client_tags.iter()),
        assignment: current(&member.assigned),
        target_assignment: target(&member.target),
        ..Default::default()
    }
}

fn current(assigned: &AssignedTasks) -> Assignment {
    let active = assigned.active.iter();
    Assignment {
        active_tasks: active
            .map(|(subtopology, partitions)| TaskIds {
                subtopology_id: subtopology.as_ref().to_owned(),
                partitions: partitions.keys().copied().collect(),
            })
            .collect(),
        standby_tasks: task_ids(&assigned.standby),
        warmup_tasks: task_ids(&assigned.warmup),
    }
}

fn target(target: &TaskSet) -> Assignment {
    Assignment {
        active_tasks: task_ids(&target.active),
        standby_tasks: task_ids(&target.standby),
        warmup_tasks: task_ids(&target.warmup),
    }
}

fn task_ids(tasks: &Tasks) -> Vec<TaskIds> {
    let tasks = tasks.iter();
    tasks
        .map(|(subtopology, partitions)| TaskIds {
            subtopology_id: subtopology.as_ref().to_owned(),
            partitions: partitions.iter().copied().collect(),
        })
        .collect()
}
