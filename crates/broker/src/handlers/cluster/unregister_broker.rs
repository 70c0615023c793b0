//! UnregisterBroker, key 64, version 0.
//!
//! Only this broker is registered. Others are BROKER_ID_NOT_REGISTERED (`ReplicationControlManager.unregisterBroker`). Kafka
//! lets a broker that runs be unregistered and loses it until it is started again; here, where it is the whole cluster, that
//! is refused.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};

use crate::context::Context;
use crate::topics::Topics;

pub(crate) async fn handle(
    _context: Context,
    request: UnregisterBrokerRequest,
    topics: Arc<Topics>,
) -> UnregisterBrokerResponse {
    let broker = request.broker_id;
    let (error, message) = if topics.cluster.node_ids().contains(&broker) {
        (
            ErrorCode::InvalidRequest,
            format!("broker {broker} is the whole cluster and cannot be unregistered"),
        )
    } else {
        (
            ErrorCode::BrokerIdNotRegistered,
            format!("broker {broker} is not registered"),
        )
    };
    UnregisterBrokerResponse {
        error_code: error.into(),
        error_message: Some(message),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::{BROKER, Fixture};

    #[tokio::test]
    async fn no_broker_can_be_unregistered() {
        let fixture = Fixture::new().await;
        for (broker_id, expected) in [
            (BROKER.0 + 1, ErrorCode::BrokerIdNotRegistered),
            (-1, ErrorCode::BrokerIdNotRegistered),
            (BROKER.0, ErrorCode::InvalidRequest),
        ] {
            let request = UnregisterBrokerRequest { broker_id };
            let response = handle(fixture.context(0), request, fixture.topics()).await;
            assert_eq!(response.error_code, expected.code(), "broker {broker_id}");
        }
    }
}
