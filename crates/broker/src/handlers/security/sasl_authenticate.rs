//! SaslAuthenticate, key 36, versions 0 to 2.
//!
//! * v1: the life of the session.
//!
//! A client of a PLAINTEXT listener is through with authentication before its first request: ILLEGAL_SASL_STATE
//! (`KafkaApis.handleSaslAuthenticateRequest`).

use protocol::ErrorCode;
use protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};

use crate::context::Context;

pub(crate) async fn handle(
    _context: Context,
    _request: SaslAuthenticateRequest,
) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse {
        error_code: ErrorCode::IllegalSaslState.into(),
        error_message: Some("there is nothing to authenticate any more".to_owned()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::Fixture;

    #[tokio::test]
    async fn nobody_authenticates_on_a_plain_listener() {
        let fixture = Fixture::new().await;
        for version in 0..=2 {
            let response = handle(fixture.context(version), Default::default()).await;
            assert_eq!(response.error_code, ErrorCode::IllegalSaslState.code());
            assert!(response.error_message.is_some() && response.auth_bytes.is_empty());
        }
    }
}
