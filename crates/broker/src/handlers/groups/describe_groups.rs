//! DescribeGroups, key 15, versions 0 to 6.
//!
//! * v3: authorized operations. v4: instance ids. v6: GROUP_ID_NOT_FOUND with a message for an unknown group (KIP-1043);
//!   before, it is shown as `Dead` without an error.

use std::sync::Arc;

use coordinator::DescribedMember;
use protocol::ErrorCode;
use protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse};
use types::GroupId;

use super::{errors, wire};
use crate::context::Context;
use crate::coordinators::GroupCoordinator;
use crate::handlers::authorized_operations;

/// The first version in which an unknown group is an error.
const NOT_FOUND_SINCE: i16 = 6;
/// The state of a group that does not exist, in earlier versions.
const DEAD: &str = "Dead";

pub(crate) async fn handle(
    context: Context,
    request: DescribeGroupsRequest,
    groups: Arc<GroupCoordinator>,
) -> DescribeGroupsResponse {
    let ids = request
        .groups
        .iter()
        .map(|group| GroupId::new(group))
        .collect();
    let described = groups.describe(ids).await;
    let group = |(id, result): (GroupId, Result<coordinator::DescribedGroup, _>)| {
        let mut group = match result {
            Ok(found) => answer(found, context.version),
            Err(error) => refused(&id, errors::coordinator(error), None),
        };
        group.authorized_operations = if request.include_authorized_operations {
            authorized_operations::GROUP
        } else {
            authorized_operations::NOT_ASKED
        };
        group
    };
    DescribeGroupsResponse {
        groups: described.into_iter().map(group).collect(),
        ..Default::default()
    }
}

fn answer(group: coordinator::DescribedGroup, version: i16) -> DescribedGroup {
    let Some(state) = group.state else {
        if version >= NOT_FOUND_SINCE {
            let message = format!("Group {} not found.", group.group);
            let unknown = refused(&group.group, ErrorCode::GroupIdNotFound, Some(message));
            return DescribedGroup {
                group_state: DEAD.to_owned(),
                ..unknown
            };
        }
        let unknown = refused(&group.group, ErrorCode::None, None);
        return DescribedGroup {
            group_state: DEAD.to_owned(),
            ..unknown
        };
    };
    DescribedGroup {
        group_id: group.group.as_str().to_owned(),
        group_state: state.to_string(),
        protocol_type: wire::text(group.protocol_type.as_ref()).unwrap_or_default(),
        protocol_data: wire::text(group.protocol.as_ref()).unwrap_or_default(),
        members: group.members.iter().map(member).collect(),
        ..Default::default()
    }
}

fn member(member: &DescribedMember) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: member.member.as_str().to_owned(),
        group_instance_id: member
            .instance
            .as_ref()
            .map(|instance| instance.as_str().to_owned()),
        client_id: member.client.id.as_ref().to_owned(),
        client_host: member.client.host.as_ref().to_owned(),
        member_metadata: wire::bytes(&member.metadata),
        member_assignment: wire::bytes(&member.assignment),
    }
}

fn refused(group: &GroupId, code: ErrorCode, message: Option<String>) -> DescribedGroup {
    DescribedGroup {
        error_code: code.into(),
        error_message: message,
        group_id: group.as_str().to_owned(),
        ..Default::default()
    }
}
