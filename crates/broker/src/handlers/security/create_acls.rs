//! CreateAcls, key 30, versions 1 to 3.
//!
//! * v1: pattern types. v3: users as resources.
//!
//! Without an authorizer nobody would look at an ACL: SECURITY_DISABLED for each (`AclApis.handleCreateAcls`).

use protocol::ErrorCode;
use protocol::messages::create_acls_request::AclCreation;
use protocol::messages::create_acls_response::AclCreationResult;
use protocol::messages::{CreateAclsRequest, CreateAclsResponse};

use super::{AclKinds, UNKNOWN_ELEMENTS};
use crate::context::Context;
use crate::reply::Reply;

pub(crate) async fn handle(
    _context: Context,
    request: CreateAclsRequest,
) -> Reply<CreateAclsResponse> {
    let kinds = |creation: &AclCreation| AclKinds {
        resource_type: creation.resource_type,
        pattern_type: creation.resource_pattern_type,
        operation: creation.operation,
        permission_type: creation.permission_type,
    };
    if request
        .creations
        .iter()
        .any(|creation| kinds(creation).has_unknown())
    {
        return Reply::Close(UNKNOWN_ELEMENTS);
    }
    let refused = |_: &AclCreation| AclCreationResult {
        error_code: ErrorCode::SecurityDisabled.into(),
        error_message: Some("no authorizer is configured".to_owned()),
    };
    Reply::Send(CreateAclsResponse {
        results: request.creations.iter().map(refused).collect(),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::Fixture;

    #[tokio::test]
    async fn every_acl_is_refused_without_an_authorizer() {
        let fixture = Fixture::new().await;
        for version in 1..=3 {
            let creation = AclCreation {
                resource_type: 2,
                resource_pattern_type: 3,
                operation: 2,
                permission_type: 3,
                ..Default::default()
            };
            let request = CreateAclsRequest {
                creations: vec![creation.clone(), creation],
            };
            let Reply::Send(response) = handle(fixture.context(version), request.clone()).await
            else {
                panic!("an answer")
            };
            let codes: Vec<_> = response.results.iter().map(|one| one.error_code).collect();
            assert_eq!(codes, [ErrorCode::SecurityDisabled.code(); 2]);
            let mut unknown = request;
            unknown.creations[1].resource_type = 0;
            let reply = handle(fixture.context(version), unknown).await;
            assert!(matches!(reply, Reply::Close(_)));
        }
    }
}
