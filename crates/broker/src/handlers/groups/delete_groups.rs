//! DeleteGroups, key 42, versions 0 to 2.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::delete_groups_response::DeletableGroupResult;
use protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
use types::GroupId;

use super::errors;
use crate::context::Context;
use crate::shares::Shares;

pub(crate) async fn handle(
    _context: Context,
    request: DeleteGroupsRequest,
    shares: Arc<Shares>,
) -> DeleteGroupsResponse {
    let ids = request
        .groups_names
        .iter()
        .map(|group| GroupId::new(group))
        .collect();
    let deleted = shares.delete_groups(ids).await;
    let result = |(id, result): (GroupId, Result<coordinator::DeletedGroup, _>)| {
        let code = match result {
            Ok(deleted) => deleted
                .result
                .err()
                .map_or(ErrorCode::None, |error| errors::delete_group(&error)),
            Err(code) => code,
        };
        DeletableGroupResult {
            group_id: id.as_str().to_owned(),
            error_code: code.into(),
        }
    };
    DeleteGroupsResponse {
        results: deleted.into_iter().map(result).collect(),
        ..Default::default()
    }
}
