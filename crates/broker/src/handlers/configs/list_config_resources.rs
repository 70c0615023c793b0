//! ListConfigResources, key 74, versions 0 to 1.
//!
//! * v0: client metrics only (ListClientMetricsResources, KIP-1000).
//! * v1: the types that are asked for, or all (KIP-1142).
//!
//! Topics and brokers are listed whether somebody altered their settings or not, groups and client metrics only if
//! (`KafkaApis.handleListConfigResources`). An unknown type is UNSUPPORTED_VERSION, with nothing listed.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::list_config_resources_response::ConfigResource;
use protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};

use super::wire::ResourceType;
use crate::context::Context;
use crate::topics::Topics;

/// The last version that lists client metrics and nothing else.
const CLIENT_METRICS_UNTIL: i16 = 0;

pub(crate) async fn handle(
    context: Context,
    request: ListConfigResourcesRequest,
    topics: Arc<Topics>,
) -> ListConfigResourcesResponse {
    // The order is Kafka's.
    let supported: &[ResourceType] = if context.version <= CLIENT_METRICS_UNTIL {
        &[ResourceType::ClientMetrics]
    } else {
        &[
            ResourceType::Group,
            ResourceType::ClientMetrics,
            ResourceType::BrokerLogger,
            ResourceType::Broker,
            ResourceType::Topic,
        ]
    };
    let asked: Option<Vec<_>> = request
        .resource_types
        .iter()
        .map(|number| ResourceType::from_wire(*number).filter(|kind| supported.contains(kind)))
        .collect();
    let Some(asked) = asked else {
        return ListConfigResourcesResponse {
            error_code: ErrorCode::UnsupportedVersion.into(),
            ..Default::default()
        };
    };
    let image = topics.image();
    let mut config_resources = Vec::new();
    let is_asked = |kind: &&ResourceType| asked.is_empty() || asked.contains(kind);
    for &kind in supported.iter().filter(is_asked) {
        let names: Vec<String> = match kind {
            ResourceType::Group => image.groups_with_settings().map(str::to_owned).collect(),
            ResourceType::ClientMetrics => image.client_metrics().map(str::to_owned).collect(),
            ResourceType::BrokerLogger | ResourceType::Broker => {
                let brokers = topics.cluster.node_ids();
                brokers.iter().map(i32::to_string).collect()
            }
            ResourceType::Topic => image.topics().map(|topic| topic.name.to_string()).collect(),
        };
        let resource = |resource_name| ConfigResource {
            resource_name,
            resource_type: kind.to_wire(),
        };
        config_resources.extend(names.into_iter().map(resource));
    }
    ListConfigResourcesResponse {
        config_resources,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use metadata::{SettingChange, SettingOperation};

    use super::*;
    use crate::handlers::fixture::{BROKER, Fixture};

    async fn ask(fixture: &Fixture, version: i16, types: &[i8]) -> (i16, Vec<(i8, String)>) {
        let request = ListConfigResourcesRequest {
            resource_types: types.to_vec(),
        };
        let response = handle(fixture.context(version), request, fixture.topics()).await;
        let resources = response.config_resources.into_iter();
        let resources = resources.map(|one| (one.resource_type, one.resource_name));
        (response.error_code, resources.collect())
    }

    #[tokio::test]
    async fn resources_are_listed_by_type() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let cluster = &fixture.topics().cluster;
        let set = |name: &str, value: &str| {
            vec![SettingChange {
                name: name.to_owned(),
                operation: SettingOperation::Set(value.to_owned()),
            }]
        };
        let timeout = set("consumer.session.timeout.ms", "50000");
        cluster
            .alter_group_settings("readers", timeout, false)
            .await
            .unwrap();
        let interval = set("interval.ms", "1000");
        cluster
            .alter_client_metrics("all", interval, false)
            .await
            .unwrap();
        let this = BROKER.0.to_string();
        let group = (32, "readers".to_owned());
        let metrics = (16, "all".to_owned());
        let broker = (4, this.clone());
        let logger = (8, this);
        let topic = (2, "events".to_owned());
        let all = vec![
            group,
            metrics.clone(),
            logger,
            broker.clone(),
            topic.clone(),
        ];
        assert_eq!(ask(&fixture, 1, &[]).await, (0, all));
        assert_eq!(ask(&fixture, 1, &[2, 4]).await, (0, vec![broker, topic]));
        assert_eq!(ask(&fixture, 0, &[]).await, (0, vec![metrics]));
        let unsupported = ErrorCode::UnsupportedVersion.code();
        assert_eq!(ask(&fixture, 1, &[2, 9]).await, (unsupported, vec![]));
    }
}
