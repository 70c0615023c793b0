//! CreateDelegationToken, key 38, versions 1 to 3.
//!
//! * v3: a token for another owner; the answer names who asked.
//!
//! Delegation tokens are for clients that authenticated. On a PLAINTEXT listener nobody did:
//! DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, with the owner it would have been for (`KafkaApis.handleCreateTokenRequest`).

use protocol::ErrorCode;
use protocol::messages::{CreateDelegationTokenRequest, CreateDelegationTokenResponse};

use super::{ANONYMOUS_NAME, ANONYMOUS_TYPE, NO_TIMESTAMP};
use crate::context::Context;

/// The first version that names who asked.
const REQUESTER_SINCE: i16 = 3;

pub(crate) async fn handle(
    context: Context,
    request: CreateDelegationTokenRequest,
) -> CreateDelegationTokenResponse {
    let named = request.owner_principal_name.filter(|name| !name.is_empty());
    let (principal_type, principal_name) = match named {
        Some(name) => (request.owner_principal_type.unwrap_or_default(), name),
        None => (ANONYMOUS_TYPE.to_owned(), ANONYMOUS_NAME.to_owned()),
    };
    let mut response = CreateDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.into(),
        principal_type,
        principal_name,
        issue_timestamp_ms: NO_TIMESTAMP,
        expiry_timestamp_ms: NO_TIMESTAMP,
        max_timestamp_ms: NO_TIMESTAMP,
        ..Default::default()
    };
    if context.version >= REQUESTER_SINCE {
        response.token_requester_principal_type = ANONYMOUS_TYPE.to_owned();
        response.token_requester_principal_name = ANONYMOUS_NAME.to_owned();
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::Fixture;

    #[tokio::test]
    async fn nobody_gets_a_token_on_a_plain_listener() {
        let fixture = Fixture::new().await;
        for version in 1..=3 {
            let response = handle(fixture.context(version), Default::default()).await;
            let expected = ErrorCode::DelegationTokenRequestNotAllowed.code();
            assert_eq!(response.error_code, expected);
            assert_eq!(response.principal_name, "ANONYMOUS");
            assert!(response.token_id.is_empty() && response.hmac.is_empty());
        }
        let request = CreateDelegationTokenRequest {
            owner_principal_type: Some("User".to_owned()),
            owner_principal_name: Some("alice".to_owned()),
            ..Default::default()
        };
        let response = handle(fixture.context(3), request).await;
        assert_eq!(response.principal_name, "alice");
        assert_eq!(response.token_requester_principal_name, "ANONYMOUS");
    }
}
