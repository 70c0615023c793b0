//! LeaveGroup, key 13, versions 0 to 5.
//!
//! * v3: several members, by member id or instance id (KIP-345). Before, the one member's error is the request's.

use std::sync::Arc;

use coordinator::{LeaveRequest, LeavingMember, LeftMember};
use protocol::ErrorCode;
use protocol::messages::leave_group_response::MemberResponse;
use protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use types::GroupId;

use super::{errors, wire};
use crate::context::Context;
use crate::coordinators::GroupCoordinator;

/// The first version in which several members leave at once.
const MEMBERS_SINCE: i16 = 3;

pub(crate) async fn handle(
    context: Context,
    request: LeaveGroupRequest,
    groups: Arc<GroupCoordinator>,
) -> LeaveGroupResponse {
    let version = context.version;
    match groups.leave(leave(request, version)).await {
        Ok(Ok(left)) => answer(&left, version),
        Ok(Err(error)) => refused(errors::leave(&error)),
        Err(error) => refused(errors::coordinator(error)),
    }
}

fn leave(request: LeaveGroupRequest, version: i16) -> LeaveRequest {
    let members = if version >= MEMBERS_SINCE {
        let members = request.members.iter();
        let leaving = members.map(|member| LeavingMember {
            member: wire::member(&member.member_id),
            instance: wire::instance(member.group_instance_id.as_deref()),
        });
        leaving.collect()
    } else {
        vec![LeavingMember {
            member: wire::member(&request.member_id),
            instance: None,
        }]
    };
    LeaveRequest {
        group: GroupId::new(&request.group_id),
        members,
    }
}

fn answer(left: &[LeftMember], version: i16) -> LeaveGroupResponse {
    let code = |member: &LeftMember| match &member.result {
        Ok(()) => ErrorCode::None,
        Err(error) => errors::leave_member(error),
    };
    if version < MEMBERS_SINCE {
        return refused(left.first().map_or(ErrorCode::None, code));
    }
    let member = |member: &LeftMember| MemberResponse {
        member_id: wire::member_text(member.requested.member.as_ref()),
        group_instance_id: member
            .requested
            .instance
            .as_ref()
            .map(|instance| instance.as_str().to_owned()),
        error_code: code(member).into(),
    };
    LeaveGroupResponse {
        members: left.iter().map(member).collect(),
        ..Default::default()
    }
}

fn refused(code: ErrorCode) -> LeaveGroupResponse {
    LeaveGroupResponse {
        error_code: code.into(),
        ..Default::default()
    }
}
