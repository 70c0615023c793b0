//! SyncGroup, key 14, versions 0 to 5.
//!
//! * v3: static members. v5: protocol type and name are sent, must be there, and are checked.

use std::sync::Arc;

use coordinator::{MemberAssignment, SyncRequest};
use protocol::ErrorCode;
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use types::{GroupId, MemberId};

use super::{errors, wire};
use crate::context::Context;
use crate::coordinators::GroupCoordinator;

/// The first version that must say which protocol it syncs (`SyncGroupRequest.areMandatoryProtocolTypeAndNamePresent`).
const PROTOCOL_SINCE: i16 = 5;

pub(crate) async fn handle(
    context: Context,
    request: SyncGroupRequest,
    groups: Arc<GroupCoordinator>,
) -> SyncGroupResponse {
    let has_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if context.version >= PROTOCOL_SINCE && !has_protocol {
        return refused(ErrorCode::InconsistentGroupProtocol);
    }
    match groups.sync(sync(request)).await {
        Ok(Ok(synced)) => SyncGroupResponse {
            protocol_type: wire::text(synced.protocol_type.as_ref()),
            protocol_name: wire::text(synced.protocol.as_ref()),
            assignment: wire::bytes(&synced.assignment),
            ..Default::default()
        },
        Ok(Err(error)) => refused(errors::sync(&error)),
        Err(error) => refused(errors::coordinator(error)),
    }
}

fn sync(request: SyncGroupRequest) -> SyncRequest {
    let assignment = |assignment: SyncGroupRequestAssignment| MemberAssignment {
        member: MemberId::new(&assignment.member_id),
        assignment: Arc::from(&*assignment.assignment),
    };
    SyncRequest {
        group: GroupId::new(&request.group_id),
        member: wire::member(&request.member_id),
        instance: wire::instance(request.group_instance_id.as_deref()),
        generation: wire::generation(request.generation_id),
        protocol_type: request.protocol_type.map(Arc::from),
        protocol: request.protocol_name.map(Arc::from),
        assignments: request.assignments.into_iter().map(assignment).collect(),
    }
}

fn refused(code: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse {
        error_code: code.into(),
        ..Default::default()
    }
}
