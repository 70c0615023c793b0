//! DescribeCluster, key 60, versions 0 to 2.
//!
//! * v1: the client says whether it asks brokers or controllers (KIP-919).
//! * v2: fenced brokers on request (KIP-1073); there are none here.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::describe_cluster_response::DescribeClusterBroker;
use protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};

use crate::context::Context;
use crate::handlers::authorized_operations;
use crate::topics::Topics;

/// `EndpointType` of KIP-919.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;
/// The first version whose clients know error codes for endpoint types.
const ENDPOINT_ERRORS_SINCE: i16 = 1;

pub(crate) async fn handle(
    context: Context,
    request: DescribeClusterRequest,
    topics: Arc<Topics>,
) -> DescribeClusterResponse {
    match request.endpoint_type {
        BROKERS => {}
        CONTROLLERS => {
            let message = "controllers were asked for, but this address is a broker's";
            return refuse(&context, ErrorCode::MismatchedEndpointType, message);
        }
        _ => {
            return refuse(
                &context,
                ErrorCode::UnsupportedEndpointType,
                "unknown endpoint type",
            );
        }
    }
    let broker = |endpoint: crate::config::Endpoint<'_>| DescribeClusterBroker {
        broker_id: endpoint.broker.0,
        host: endpoint.host.to_owned(),
        port: endpoint.port,
        rack: endpoint.rack.map(str::to_owned),
        is_fenced: false,
    };
    DescribeClusterResponse {
        error_code: ErrorCode::None.into(),
        endpoint_type: BROKERS,
        cluster_id: topics.image().cluster_id.to_string(),
        // A broker of Kafka names any broker that is alive: clients send controller requests to brokers.
        controller_id: topics.broker_id().0,
        brokers: topics.config.endpoints().map(broker).collect(),
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            authorized_operations::CLUSTER
        } else {
            authorized_operations::NOT_ASKED
        },
        ..Default::default()
    }
}

fn refuse(context: &Context, error: ErrorCode, message: &str) -> DescribeClusterResponse {
    let error = if context.version < ENDPOINT_ERRORS_SINCE {
        ErrorCode::InvalidRequest
    } else {
        error
    };
    DescribeClusterResponse {
        error_code: error.into(),
        error_message: Some(message.to_owned()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::{ADVERTISED_HOST, ADVERTISED_PORT, BROKER, Fixture};

    fn request(endpoint_type: i8) -> DescribeClusterRequest {
        DescribeClusterRequest {
            endpoint_type,
            ..Default::default()
        }
    }

    #[tokio::test]
    async fn the_cluster_is_this_broker_where_clients_can_reach_it() {
        let fixture = Fixture::new().await;
        let response = handle(fixture.context(2), request(BROKERS), fixture.topics()).await;
        assert_eq!(response.error_code, 0);
        assert_eq!(response.controller_id, BROKER.0);
        assert!(!response.cluster_id.is_empty());
        let [broker] = response.brokers.as_slice() else {
            panic!("one broker")
        };
        assert_eq!(
            (broker.broker_id, broker.host.as_str(), broker.port),
            (BROKER.0, ADVERTISED_HOST, ADVERTISED_PORT)
        );
        assert_eq!(response.cluster_authorized_operations, i32::MIN);
    }

    #[tokio::test]
    async fn authorized_operations_come_on_request() {
        let fixture = Fixture::new().await;
        let asked = DescribeClusterRequest {
            include_cluster_authorized_operations: true,
            ..request(BROKERS)
        };
        let response = handle(fixture.context(0), asked, fixture.topics()).await;
        assert_eq!(
            response.cluster_authorized_operations,
            authorized_operations::CLUSTER
        );
    }

    #[tokio::test]
    async fn other_endpoint_types_are_refused() {
        let fixture = Fixture::new().await;
        for (version, endpoint_type, expected) in [
            (1, CONTROLLERS, ErrorCode::MismatchedEndpointType),
            (1, 0, ErrorCode::UnsupportedEndpointType),
            (0, CONTROLLERS, ErrorCode::InvalidRequest),
            (0, 9, ErrorCode::InvalidRequest),
        ] {
            let response = handle(
                fixture.context(version),
                request(endpoint_type),
                fixture.topics(),
            )
            .await;
            assert_eq!(
                response.error_code,
                expected.code(),
                "version {version}, type {endpoint_type}"
            );
            assert!(response.brokers.is_empty());
        }
    }
}
