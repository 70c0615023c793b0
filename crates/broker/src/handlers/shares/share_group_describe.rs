//! ShareGroupDescribe, key 77, version 1.

use std::sync::Arc;

use coordinator::{DescribedShareGroup, DescribedShareMember};
use metadata::ClusterImage;
use protocol::messages::share_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use protocol::messages::{ShareGroupDescribeRequest, ShareGroupDescribeResponse};
use protocol::{ErrorCode, Uuid};
use types::GroupId;

use super::wire;
use crate::context::Context;
use crate::handlers::authorized_operations;
use crate::handlers::groups::errors;
use crate::shares::Shares;
use crate::view::SHARE_ASSIGNOR;

pub(crate) async fn handle(
    _context: Context,
    request: ShareGroupDescribeRequest,
    shares: Arc<Shares>,
) -> ShareGroupDescribeResponse {
    let mut groups = Vec::with_capacity(request.group_ids.len());
    for id in request.group_ids {
        let described = describe(&shares, &id).await;
        let mut group = described.unwrap_or_else(|(code, message)| DescribedGroup {
            group_id: id,
            error_code: code.into(),
            error_message: message,
            authorized_operations: authorized_operations::NOT_ASKED,
            ..Default::default()
        });
        if request.include_authorized_operations && group.error_code == 0 {
            group.authorized_operations = authorized_operations::GROUP;
        }
        groups.push(group);
    }
    ShareGroupDescribeResponse {
        groups,
        ..Default::default()
    }
}

async fn describe(
    shares: &Shares,
    id: &str,
) -> Result<DescribedGroup, (ErrorCode, Option<String>)> {
    if !shares.is_enabled() {
        return Err((wire::disabled().code, None));
    }
    if id.is_empty() {
        return Err((ErrorCode::InvalidGroupId, None));
    }
    let group = shares.describe(&GroupId::new(id)).await;
    let group = group.map_err(|error| (errors::coordinator(error), None))?;
    let unknown = || {
        (
            ErrorCode::GroupIdNotFound,
            Some(format!("Group {id} not found.")),
        )
    };
    Ok(message(group.ok_or_else(unknown)?, &shares.topics.image()))
}

fn message(group: DescribedShareGroup, image: &ClusterImage) -> DescribedGroup {
    DescribedGroup {
        group_id: group.group.as_str().to_owned(),
        group_state: group.state.to_owned(),
        group_epoch: group.epoch.value(),
        assignment_epoch: group.target_epoch.value(),
        assignor_name: SHARE_ASSIGNOR.to_owned(),
        members: group
            .members
            .into_iter()
            .map(|each| member(each, image))
            .collect(),
        authorized_operations: authorized_operations::NOT_ASKED,
        ..Default::default()
    }
}

fn member(member: DescribedShareMember, image: &ClusterImage) -> Member {
    // Topics that are gone have no name to tell.
    let named = member.assigned.topics().filter_map(|(id, partitions)| {
        let topic = image.topic_by_id(id)?;
        Some(TopicPartitions {
            topic_id: Uuid(id.bytes()),
            topic_name: topic.name.as_str().to_owned(),
            partitions: partitions.iter().map(|index| index.value()).collect(),
        })
    });
    let names = member.topics.iter();
    Member {
        member_id: member.member.as_str().to_owned(),
        rack_id: member.rack.as_deref().map(str::to_owned),
        member_epoch: member.epoch.value(),
        client_id: member.client.id.as_ref().to_owned(),
        client_host: member.client.host.as_ref().to_owned(),
        subscribed_topic_names: names.map(|name| name.as_str().to_owned()).collect(),
        assignment: Assignment {
            topic_partitions: named.collect(),
        },
    }
}
