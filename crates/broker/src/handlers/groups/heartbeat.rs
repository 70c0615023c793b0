//! Heartbeat, key 12, versions 0 to 4.
//!
//! * v3: static members.
//!
//! While the coordinator loads, a heartbeat succeeds: the member is known soon enough, and an error would only make it look
//! for another coordinator (`GroupCoordinatorService.heartbeat`).

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use types::GroupId;

use super::{errors, wire};
use crate::context::Context;
use crate::coordinators::{CoordinatorError, GroupCoordinator};

pub(crate) async fn handle(
    _context: Context,
    request: HeartbeatRequest,
    groups: Arc<GroupCoordinator>,
) -> HeartbeatResponse {
    let heartbeat = coordinator::HeartbeatRequest {
        group: GroupId::new(&request.group_id),
        member: wire::member(&request.member_id),
        instance: wire::instance(request.group_instance_id.as_deref()),
        generation: wire::generation(request.generation_id),
    };
    let code = match groups.heartbeat(heartbeat).await {
        Ok(Ok(())) | Err(CoordinatorError::LoadInProgress) => ErrorCode::None,
        Ok(Err(error)) => errors::heartbeat(&error),
        Err(error) => errors::coordinator(error),
    };
    HeartbeatResponse {
        error_code: code.into(),
        ..Default::default()
    }
}
