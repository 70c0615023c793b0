//! ConsumerGroupDescribe, key 69, versions 0 to 1.
//!
//! * v1: whether a member speaks the classic protocol.
//!
//! A group of another protocol is GROUP_ID_NOT_FOUND, like one that does not exist.

use std::sync::Arc;

use coordinator::{DescribedConsumerGroup, DescribedConsumerMember, DescribedPartitions};
use protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};
use protocol::{ErrorCode, Uuid};
use types::GroupId;

use super::{errors, wire};
use crate::context::Context;
use crate::coordinators::{CoordinatorError, GroupCoordinator};
use crate::handlers::authorized_operations;

/// Members of the classic protocol, as the wire tells them apart.
const CLASSIC: i8 = 0;
const CONSUMER: i8 = 1;

pub(crate) async fn handle(
    _context: Context,
    request: ConsumerGroupDescribeRequest,
    groups: Arc<GroupCoordinator>,
) -> ConsumerGroupDescribeResponse {
    let ids = request.group_ids.iter().map(|group| GroupId::new(group));
    let described = groups.describe_consumer_groups(ids.collect()).await;
    let group = |(id, result)| {
        let mut group = answer(&id, result);
        group.authorized_operations =
            if request.include_authorized_operations && group.error_code == 0 {
                authorized_operations::GROUP
            } else {
                authorized_operations::NOT_ASKED
            };
        group
    };
    ConsumerGroupDescribeResponse {
        groups: described.into_iter().map(group).collect(),
        ..Default::default()
    }
}

fn answer(
    id: &GroupId,
    result: Result<Option<DescribedConsumerGroup>, CoordinatorError>,
) -> DescribedGroup {
    if id.as_str().is_empty() {
        return refused(id, ErrorCode::InvalidGroupId, None);
    }
    match result {
        Ok(Some(group)) => described(&group),
        Ok(None) => {
            let message = format!("Group {id} is not a consumer group.");
            refused(id, ErrorCode::GroupIdNotFound, Some(message))
        }
        Err(error) => refused(id, errors::coordinator(error), None),
    }
}

fn described(group: &DescribedConsumerGroup) -> DescribedGroup {
    DescribedGroup {
        group_id: group.group.as_str().to_owned(),
        group_state: group.state.to_owned(),
        group_epoch: group.epoch.value(),
        assignment_epoch: group.target_epoch.value(),
        assignor_name: group.assignor.name().to_owned(),
        members: group.members.iter().map(member).collect(),
        ..Default::default()
    }
}

fn member(member: &DescribedConsumerMember) -> Member {
    let topics = member.topics.iter();
    Member {
        member_id: member.member.as_str().to_owned(),
        instance_id: member
            .instance
            .as_ref()
            .map(|instance| instance.as_str().to_owned()),
        rack_id: wire::text(member.rack.as_ref()),
        member_epoch: member.epoch,
        client_id: member.client.id.as_ref().to_owned(),
        client_host: member.client.host.as_ref().to_owned(),
        subscribed_topic_names: topics.map(|topic| topic.as_str().to_owned()).collect(),
        // Kafka's members have the empty pattern where they have none.
        subscribed_topic_regex: Some(wire::text(member.regex.as_ref()).unwrap_or_default()),
        assignment: assignment(&member.assigned),
        target_assignment: assignment(&member.target),
        member_type: if member.is_classic { CLASSIC } else { CONSUMER },
    }
}

fn assignment(partitions: &[DescribedPartitions]) -> Assignment {
    let topic = |topic: &DescribedPartitions| TopicPartitions {
        topic_id: Uuid(topic.topic_id.bytes()),
        topic_name: topic.topic.as_str().to_owned(),
        partitions: topic.partitions.iter().map(|index| index.value()).collect(),
    };
    Assignment {
        topic_partitions: partitions.iter().map(topic).collect(),
    }
}

fn refused(id: &GroupId, code: ErrorCode, message: Option<String>) -> DescribedGroup {
    DescribedGroup {
        error_code: code.into(),
        error_message: message,
        group_id: id.as_str().to_owned(),
        ..Default::default()
    }
}
