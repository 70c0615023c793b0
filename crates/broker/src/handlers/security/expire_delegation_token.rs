//! ExpireDelegationToken, key 40, versions 1 to 2.
//!
//! Delegation tokens are for clients that authenticated. On a PLAINTEXT listener nobody did:
//! DELEGATION_TOKEN_REQUEST_NOT_ALLOWED (`KafkaApis.handleExpireTokenRequest`).

use protocol::ErrorCode;
use protocol::messages::{ExpireDelegationTokenRequest, ExpireDelegationTokenResponse};

use super::NO_TIMESTAMP;
use crate::context::Context;

pub(crate) async fn handle(
    _context: Context,
    _request: ExpireDelegationTokenRequest,
) -> ExpireDelegationTokenResponse {
    ExpireDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.into(),
        expiry_timestamp_ms: NO_TIMESTAMP,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::Fixture;

    #[tokio::test]
    async fn nobody_ends_a_token_on_a_plain_listener() {
        let fixture = Fixture::new().await;
        for version in 1..=2 {
            let response = handle(fixture.context(version), Default::default()).await;
            let expected = ErrorCode::DelegationTokenRequestNotAllowed.code();
            assert_eq!(
                (response.error_code, response.expiry_timestamp_ms),
                (expected, -1)
            );
        }
    }
}
