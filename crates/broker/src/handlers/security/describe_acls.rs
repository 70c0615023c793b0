//! DescribeAcls, key 29, versions 1 to 3.
//!
//! * v1: pattern types. v3: users as resources.
//!
//! Without an authorizer there are no ACLs: SECURITY_DISABLED (`AclApis.handleDescribeAcls`).

use protocol::ErrorCode;
use protocol::messages::{DescribeAclsRequest, DescribeAclsResponse};

use super::{AclKinds, UNKNOWN_ELEMENTS};
use crate::context::Context;
use crate::reply::Reply;

pub(crate) async fn handle(
    _context: Context,
    request: DescribeAclsRequest,
) -> Reply<DescribeAclsResponse> {
    let kinds = AclKinds {
        resource_type: request.resource_type_filter,
        pattern_type: request.pattern_type_filter,
        operation: request.operation,
        permission_type: request.permission_type,
    };
    if kinds.has_unknown() {
        return Reply::Close(UNKNOWN_ELEMENTS);
    }
    Reply::Send(DescribeAclsResponse {
        error_code: ErrorCode::SecurityDisabled.into(),
        error_message: Some("no authorizer is configured".to_owned()),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::Fixture;

    #[tokio::test]
    async fn there_are_no_acls_without_an_authorizer() {
        let fixture = Fixture::new().await;
        for version in 1..=3 {
            let request = DescribeAclsRequest {
                resource_type_filter: 1,
                pattern_type_filter: 1,
                operation: 1,
                permission_type: 1,
                ..Default::default()
            };
            let Reply::Send(response) = handle(fixture.context(version), request.clone()).await
            else {
                panic!("an answer")
            };
            assert_eq!(response.error_code, ErrorCode::SecurityDisabled.code());
            let unknown = DescribeAclsRequest {
                operation: 0,
                ..request
            };
            let reply = handle(fixture.context(version), unknown).await;
            assert!(matches!(reply, Reply::Close(_)));
        }
    }
}
