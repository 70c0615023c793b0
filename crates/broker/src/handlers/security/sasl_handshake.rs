//! SaslHandshake, key 17, versions 0 to 1.
//!
//! A PLAINTEXT listener has nothing to negotiate: ILLEGAL_SASL_STATE, and no mechanism is offered
//! (`KafkaApis.handleSaslHandshakeRequest`).

use protocol::ErrorCode;
use protocol::messages::{SaslHandshakeRequest, SaslHandshakeResponse};

use crate::context::Context;

pub(crate) async fn handle(
    _context: Context,
    _request: SaslHandshakeRequest,
) -> SaslHandshakeResponse {
    SaslHandshakeResponse {
        error_code: ErrorCode::IllegalSaslState.into(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::Fixture;

    #[tokio::test]
    async fn nothing_is_negotiated_on_a_plain_listener() {
        let fixture = Fixture::new().await;
        for version in 0..=1 {
            let request = SaslHandshakeRequest {
                mechanism: "PLAIN".to_owned(),
            };
            let response = handle(fixture.context(version), request).await;
            assert_eq!(response.error_code, ErrorCode::IllegalSaslState.code());
            assert!(response.mechanisms.is_empty());
        }
    }
}
