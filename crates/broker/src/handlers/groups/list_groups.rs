//! ListGroups, key 16, versions 0 to 5.
//!
//! * v4: filter by state, and states in the answer (KIP-518). v5: the same for types (KIP-848).

use std::sync::Arc;

use coordinator::ListRequest;
use protocol::messages::list_groups_response::ListedGroup;
use protocol::messages::{ListGroupsRequest, ListGroupsResponse};

use super::{errors, wire};
use crate::context::Context;
use crate::coordinators::GroupCoordinator;

pub(crate) async fn handle(
    _context: Context,
    request: ListGroupsRequest,
    groups: Arc<GroupCoordinator>,
) -> ListGroupsResponse {
    let list = ListRequest {
        states: request.states_filter,
        types: request.types_filter,
    };
    match groups.list(list).await {
        Ok(listed) => ListGroupsResponse {
            groups: listed.iter().map(group).collect(),
            ..Default::default()
        },
        Err(error) => ListGroupsResponse {
            error_code: errors::coordinator(error).into(),
            ..Default::default()
        },
    }
}

fn group(group: &coordinator::ListedGroup) -> ListedGroup {
    ListedGroup {
        group_id: group.group.as_str().to_owned(),
        protocol_type: wire::text(group.protocol_type.as_ref()).unwrap_or_default(),
        group_state: group.state.to_owned(),
        group_type: group.group_type.to_string(),
    }
}
