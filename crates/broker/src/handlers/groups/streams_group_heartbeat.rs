//! StreamsGroupHeartbeat, key 88, version 0.
//!
//! Topics of the topology must have names that topics can have, and must not be the broker's own
//! (`KafkaApis.handleStreamsGroupHeartbeat`). Internal topics that the group lacks are created here, after the answer's
//! content is decided: the member is told that they are missing, and finds them at a later heartbeat.

use std::collections::BTreeSet;
use std::sync::Arc;

use coordinator::{
    Client, CopartitionGroup, DeclaredTopology, EndpointPartitions, InternalTopic, OwnedTasks,
    StreamsHeartbeatReply, StreamsHeartbeatRequest, StreamsStatus, Subtopology, Tasks,
    TopicProblem, UserEndpoint,
};
use protocol::ErrorCode;
use protocol::messages::streams_group_heartbeat_request::{
    CopartitionGroup as CopartitionGroupMessage, Subtopology as SubtopologyMessage,
    TaskIds as OwnedTaskIds, TopicInfo, Topology,
};
use protocol::messages::streams_group_heartbeat_response::{
    Endpoint, EndpointToPartitions, Status, TaskIds, TopicPartition,
};
use protocol::messages::{StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};
use types::{GroupId, MemberId, TopicName};

use super::errors;
use crate::context::Context;
use crate::coordinators::{GroupCoordinator, streams_group_settings};
use crate::handlers::refusal::Refusal;
use crate::internal_topics::InternalTopics;
use crate::topics::Topics;

/// A rebalance timeout that was not told.
const NO_TIMEOUT: i32 = -1;

pub(crate) async fn handle(
    context: Context,
    request: StreamsGroupHeartbeatRequest,
    groups: Arc<GroupCoordinator>,
    topics: Arc<Topics>,
    internal_topics: Arc<InternalTopics>,
) -> StreamsGroupHeartbeatResponse {
    if let Some(refusal) = request.topology.as_ref().and_then(prohibited_topics) {
        return refused(&refusal);
    }
    let settings = streams_group_settings(&topics.image(), &request.group_id);
    let retry_after_ms = 2 * u64::try_from(settings.heartbeat_interval_ms).unwrap_or(0);
    let member_id = request.member_id.clone();
    let heartbeat = heartbeat(&context, request, settings);
    match groups.streams_heartbeat(heartbeat).await {
        Ok(Ok(reply)) => {
            let missing = &reply.missing_topics;
            let failures = internal_topics
                .create(&topics, missing, retry_after_ms)
                .await;
            respond(member_id, reply, &failures)
        }
        Ok(Err(error)) => refused(&errors::streams_heartbeat(&error)),
        Err(error) => StreamsGroupHeartbeatResponse {
            error_code: errors::coordinator(error).into(),
            ..Default::default()
        },
    }
}

fn refused(refusal: &Refusal) -> StreamsGroupHeartbeatResponse {
    // What failed inside is nobody else's business.
    let is_told = refusal.code != ErrorCode::UnknownServerError;
    StreamsGroupHeartbeatResponse {
        error_code: refusal.code.into(),
        error_message: is_told.then(|| refusal.message.clone()),
        ..Default::default()
    }
}

/// Why the topics of a topology cannot be anybody's.
fn prohibited_topics(topology: &Topology) -> Option<Refusal> {
    let mut seen = BTreeSet::new();
    let required = topology.subtopologies.iter().flat_map(|subtopology| {
        let sinks = subtopology.repartition_sink_topics.iter();
        let sources = subtopology.repartition_source_topics.iter();
        let changelogs = subtopology.state_changelog_topics.iter();
        let internal = sources.chain(changelogs).map(|topic| &topic.name);
        subtopology
            .source_topics
            .iter()
            .chain(sinks)
            .chain(internal)
    });
    let required: Vec<&str> = required
        .map(String::as_str)
        .filter(|topic| seen.insert(*topic))
        .collect();
    let joined = |wanted: &dyn Fn(&str) -> bool| {
        let topics: Vec<&str> = required
            .iter()
            .copied()
            .filter(|topic| wanted(topic))
            .collect();
        (!topics.is_empty()).then(|| topics.join(","))
    };
    let message = joined(&metadata::is_internal_topic)
        .map(|topics| {
            format!(
                "Use of Kafka internal topics {topics} in a Kafka Streams topology is prohibited."
            )
        })
        .or_else(|| {
            let is_invalid = |topic: &str| metadata::check_topic_name(topic).is_err();
            let topics = joined(&is_invalid)?;
            Some(format!("Topic names {topics} are not valid topic names."))
        })?;
    Some(Refusal::new(ErrorCode::StreamsInvalidTopology, message))
}

fn heartbeat(
    context: &Context,
    request: StreamsGroupHeartbeatRequest,
    settings: coordinator::StreamsGroupSettings,
) -> StreamsHeartbeatRequest {
    let tags = request.client_tags.map(|tags| {
        let tags = tags.into_iter();
        tags.map(|tag| (Arc::from(tag.key), Arc::from(tag.value)))
            .collect()
    });
    StreamsHeartbeatRequest {
        group: GroupId::new(&request.group_id),
        member: MemberId::new(&request.member_id),
        member_epoch: request.member_epoch,
        endpoint_epoch: request.endpoint_information_epoch,
        instance: request.instance_id.map(Arc::from),
        rack: request.rack_id.map(Arc::from),
        rebalance_timeout_ms: Some(request.rebalance_timeout_ms)
            .filter(|timeout_ms| *timeout_ms != NO_TIMEOUT),
        topology: request.topology.map(topology),
        active_tasks: request.active_tasks.map(owned_tasks),
        standby_tasks: request.standby_tasks.map(owned_tasks),
        warmup_tasks: request.warmup_tasks.map(owned_tasks),
        process: request.process_id.map(Arc::from),
        user_endpoint: request.user_endpoint.map(|endpoint| UserEndpoint {
            host: Arc::from(endpoint.host),
            port: endpoint.port,
        }),
        client_tags: tags,
        has_task_offsets: request.task_offsets.is_some(),
        has_task_end_offsets: request.task_end_offsets.is_some(),
        shutdown_application: request.shutdown_application,
        client: Client {
            id: Arc::from(context.client_id()),
            host: Arc::from(context.client_host()),
        },
        settings,
    }
}

fn topology(topology: Topology) -> DeclaredTopology {
    let subtopologies = topology.subtopologies.into_iter();
    DeclaredTopology {
        epoch: topology.epoch,
        subtopologies: subtopologies.map(subtopology).collect(),
    }
}

fn subtopology(message: SubtopologyMessage) -> (Arc<str>, Subtopology) {
    let names = |topics: Vec<String>| topics.iter().map(|topic| TopicName::new(topic)).collect();
    let internal = |topic: TopicInfo| InternalTopic {
        name: TopicName::new(&topic.name),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        configs: topic
            .topic_configs
            .into_iter()
            .map(|config| (Arc::from(config.key), Arc::from(config.value)))
            .collect(),
    };
    let copartition_group = |group: CopartitionGroupMessage| CopartitionGroup {
        source_topics: group.source_topics,
        source_topic_regex: group.source_topic_regex,
        repartition_source_topics: group.repartition_source_topics,
    };
    let regex = message.source_topic_regex.into_iter();
    let changelogs = message.state_changelog_topics.into_iter();
    let sources = message.repartition_source_topics.into_iter();
    let copartition_groups = message.copartition_groups.into_iter();
    let subtopology = Subtopology {
        source_topics: names(message.source_topics),
        source_topic_regex: regex.map(Arc::from).collect(),
        state_changelog_topics: changelogs.map(internal).collect(),
        repartition_sink_topics: names(message.repartition_sink_topics),
        repartition_source_topics: sources.map(internal).collect(),
        copartition_groups: copartition_groups.map(copartition_group).collect(),
    };
    (Arc::from(message.subtopology_id), subtopology)
}

fn owned_tasks(tasks: Vec<OwnedTaskIds>) -> OwnedTasks {
    let tasks = tasks.into_iter();
    tasks
        .map(|ids| (Arc::from(ids.subtopology_id), ids.partitions))
        .collect()
}

fn respond(
    member_id: String,
    reply: StreamsHeartbeatReply,
    failures: &[(TopicName, String)],
) -> StreamsGroupHeartbeatResponse {
    let status = reply
        .status
        .iter()
        .map(|status| status_message(status, failures));
    let (active, standby, warmup) = match &reply.tasks {
        Some(tasks) => (
            Some(task_ids(&tasks.active)),
            Some(task_ids(&tasks.standby)),
            Some(task_ids(&tasks.warmup)),
        ),
        None => (None, None, None),
    };
    StreamsGroupHeartbeatResponse {
        error_code: ErrorCode::None.into(),
        member_id,
        member_epoch: reply.member_epoch,
        heartbeat_interval_ms: reply.heartbeat_interval_ms,
        status: Some(status.collect()),
        active_tasks: active,
        standby_tasks: standby,
        warmup_tasks: warmup,
        endpoint_information_epoch: reply.endpoint_epoch,
        partitions_by_user_endpoint: reply
            .partitions_by_endpoint
            .map(|endpoints| endpoints.into_iter().map(endpoint).collect()),
        ..Default::default()
    }
}

/// Failures that a status names at most.
const FAILURES_SHOWN_MAX: usize = 3;

fn status_message(status: &StreamsStatus, failures: &[(TopicName, String)]) -> Status {
    let mut detail = status.to_string();
    let is_missing = matches!(
        status,
        StreamsStatus::Topics(TopicProblem::MissingInternalTopics(_))
    );
    if is_missing && !failures.is_empty() {
        let shown: Vec<String> = failures
            .iter()
            .take(FAILURES_SHOWN_MAX)
            .map(|(topic, failure)| format!("{topic} ({failure})"))
            .collect();
        let more = failures.len().saturating_sub(FAILURES_SHOWN_MAX);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        detail.push_str(&format!("; Creation failed: {}{more}.", shown.join(", ")));
    }
    Status {
        status_code: status.code(),
        status_detail: detail,
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

fn endpoint(endpoint: EndpointPartitions) -> EndpointToPartitions {
    let partitions = |partitions: Vec<(TopicName, Vec<i32>)>| {
        let partitions = partitions.into_iter();
        partitions
            .map(|(topic, partitions)| TopicPartition {
                topic: topic.as_str().to_owned(),
                partitions,
            })
            .collect()
    };
    EndpointToPartitions {
        user_endpoint: Endpoint {
            host: endpoint.endpoint.host.as_ref().to_owned(),
            port: endpoint.endpoint.port,
        },
        active_partitions: partitions(endpoint.active),
        standby_partitions: partitions(endpoint.standby),
    }
}
