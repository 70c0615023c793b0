//! DeleteAcls, key 31, versions 1 to 3.
//!
//! * v1: pattern types. v3: users as resources.
//!
//! Without an authorizer there is nothing to delete: SECURITY_DISABLED for each filter (`AclApis.handleDeleteAcls`).

use protocol::ErrorCode;
use protocol::messages::delete_acls_request::DeleteAclsFilter;
use protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use protocol::messages::{DeleteAclsRequest, DeleteAclsResponse};

use super::{AclKinds, UNKNOWN_ELEMENTS};
use crate::context::Context;
use crate::reply::Reply;

pub(crate) async fn handle(
    _context: Context,
    request: DeleteAclsRequest,
) -> Reply<DeleteAclsResponse> {
    let kinds = |filter: &DeleteAclsFilter| AclKinds {
        resource_type: filter.resource_type_filter,
        pattern_type: filter.pattern_type_filter,
        operation: filter.operation,
        permission_type: filter.permission_type,
    };
    if request
        .filters
        .iter()
        .any(|filter| kinds(filter).has_unknown())
    {
        return Reply::Close(UNKNOWN_ELEMENTS);
    }
    let refused = |_: &DeleteAclsFilter| DeleteAclsFilterResult {
        error_code: ErrorCode::SecurityDisabled.into(),
        error_message: Some("no authorizer is configured".to_owned()),
        ..Default::default()
    };
    Reply::Send(DeleteAclsResponse {
        filter_results: request.filters.iter().map(refused).collect(),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::Fixture;

    #[tokio::test]
    async fn every_filter_is_refused_without_an_authorizer() {
        let fixture = Fixture::new().await;
        for version in 1..=3 {
            let filter = DeleteAclsFilter {
                resource_type_filter: 1,
                pattern_type_filter: 1,
                operation: 1,
                permission_type: 1,
                ..Default::default()
            };
            let request = DeleteAclsRequest {
                filters: vec![filter],
            };
            let Reply::Send(response) = handle(fixture.context(version), request.clone()).await
            else {
                panic!("an answer")
            };
            let codes: Vec<_> = response
                .filter_results
                .iter()
                .map(|one| one.error_code)
                .collect();
            assert_eq!(codes, [ErrorCode::SecurityDisabled.code()]);
            let mut unknown = request;
            unknown.filters[0].pattern_type_filter = 0;
            let reply = handle(fixture.context(version), unknown).await;
            assert!(matches!(reply, Reply::Close(_)));
        }
    }
}
