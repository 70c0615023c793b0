//! ConsumerGroupHeartbeat, key 68, versions 0 to 1.
//!
//! * v1: the member makes its id itself (KIP-1082), and may subscribe by pattern (KIP-848).

use std::sync::Arc;
use std::time::Duration;

use coordinator::{
    Client, ConsumerHeartbeatError, ConsumerHeartbeatReply, ConsumerHeartbeatRequest,
    SubscribedRegex, TopicPartitions,
};
use protocol::messages::consumer_group_heartbeat_response::{
    Assignment, TopicPartitions as AssignedTopic,
};
use protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use protocol::{ErrorCode, Uuid};
use types::{GroupId, InstanceId, MemberId, PartitionIndex, TopicId, TopicName};

use super::errors;
use crate::context::Context;
use crate::coordinators::GroupCoordinator;
use crate::topics::Topics;

/// The first version in which the member makes its id itself.
const MEMBER_ID_SINCE: i16 = 1;
/// "As before" on the wire.
const UNCHANGED_TIMEOUT: i32 = -1;

pub(crate) async fn handle(
    context: Context,
    request: ConsumerGroupHeartbeatRequest,
    groups: Arc<GroupCoordinator>,
    topics: Arc<Topics>,
) -> ConsumerGroupHeartbeatResponse {
    let randomness = topics.env.random.uuid();
    let heartbeat = heartbeat(&context, request, randomness);
    match groups.consumer_heartbeat(heartbeat).await {
        Ok(Ok(reply)) => answer(reply),
        Ok(Err(error)) => refused(errors::consumer_heartbeat(&error), Some(message(&error))),
        Err(error) => refused(errors::coordinator(error), None),
    }
}

fn heartbeat(
    context: &Context,
    request: ConsumerGroupHeartbeatRequest,
    randomness: [u8; 16],
) -> ConsumerHeartbeatRequest {
    let rebalance_timeout = match request.rebalance_timeout_ms {
        UNCHANGED_TIMEOUT => None,
        given => Some(Duration::from_millis(u64::try_from(given).unwrap_or(0))),
    };
    let topics = request.subscribed_topic_names;
    let owned = request.topic_partitions.map(|owned| {
        let mut set = TopicPartitions::new();
        for topic in owned {
            // What cannot exist is nobody's.
            let Some(id) = TopicId::new(topic.topic_id.0) else {
                continue;
            };
            let indexes = topic.partitions.into_iter().filter_map(PartitionIndex::new);
            set.extend_from(indexes.map(|index| (id, index)));
        }
        set
    });
    ConsumerHeartbeatRequest {
        group: GroupId::new(&request.group_id),
        member: MemberId::new(&request.member_id),
        epoch: request.member_epoch,
        instance: request.instance_id.as_deref().map(InstanceId::new),
        rack: request.rack_id.map(Arc::from),
        rebalance_timeout,
        topics: topics.map(|names| names.iter().map(|name| TopicName::new(name)).collect()),
        regex: request
            .subscribed_topic_regex
            .map(|text| SubscribedRegex::new(&text)),
        assignor: request.server_assignor.map(Arc::from),
        owned,
        client: Client {
            id: Arc::from(context.client_id()),
            host: Arc::from(context.client_host()),
        },
        requires_member_id: context.version >= MEMBER_ID_SINCE,
        randomness,
    }
}

fn answer(reply: ConsumerHeartbeatReply) -> ConsumerGroupHeartbeatResponse {
    let interval_ms = reply.heartbeat_interval.as_millis();
    ConsumerGroupHeartbeatResponse {
        member_id: Some(reply.member.as_str().to_owned()),
        member_epoch: reply.epoch,
        heartbeat_interval_ms: i32::try_from(interval_ms).unwrap_or(i32::MAX),
        assignment: reply.assignment.as_ref().map(assignment),
        ..Default::default()
    }
}

fn assignment(partitions: &TopicPartitions) -> Assignment {
    let topics = partitions.topics().map(|(id, partitions)| AssignedTopic {
        topic_id: Uuid(id.bytes()),
        partitions: partitions.iter().map(|index| index.value()).collect(),
    });
    Assignment {
        topic_partitions: topics.collect(),
    }
}

fn refused(code: ErrorCode, message: Option<String>) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error_code: code.into(),
        error_message: message,
        ..Default::default()
    }
}

/// A sentence for people, as Kafka sends one.
fn message(error: &ConsumerHeartbeatError) -> String {
    let mut text = error.to_string();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}
