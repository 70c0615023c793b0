//! DescribeDelegationToken, key 41, versions 1 to 3.
//!
//! * v3: who asked for a token.
//!
//! Delegation tokens are for clients that authenticated. On a PLAINTEXT listener nobody did:
//! DELEGATION_TOKEN_REQUEST_NOT_ALLOWED (`KafkaApis.handleDescribeTokensRequest`).

use protocol::ErrorCode;
use protocol::messages::{DescribeDelegationTokenRequest, DescribeDelegationTokenResponse};

use crate::context::Context;

pub(crate) async fn handle(
    _context: Context,
    _request: DescribeDelegationTokenRequest,
) -> DescribeDelegationTokenResponse {
    DescribeDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.into(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::Fixture;

    #[tokio::test]
    async fn nobody_sees_tokens_on_a_plain_listener() {
        let fixture = Fixture::new().await;
        for version in 1..=3 {
            let response = handle(fixture.context(version), Default::default()).await;
            let expected = ErrorCode::DelegationTokenRequestNotAllowed.code();
            assert_eq!(response.error_code, expected);
            assert!(response.tokens.is_empty());
        }
    }
}
