//! AlterConfigs, key 33, versions 0 to 2 (2: flexible).
//!
//! A resource gets exactly the settings of the request and loses all others; IncrementalAlterConfigs is what clients should
//! use. Broker loggers cannot be altered this way (`ConfigAdminManager.preprocess`).

use std::sync::Arc;

use metadata::settings::SettingTexts;
use protocol::ErrorCode;
use protocol::messages::alter_configs_request::AlterConfigsResource;
use protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

use super::errors;
use super::resources::{Resource, broker_target, check_topic_name, each_resource_once};
use super::wire::ResourceType;
use crate::context::Context;
use crate::handlers::refusal::{self, Refusal};
use crate::topics::Topics;

pub(crate) async fn handle(
    _context: Context,
    request: AlterConfigsRequest,
    topics: Arc<Topics>,
) -> AlterConfigsResponse {
    let outcomes = each_resource_once(&request.resources, |resource| {
        alter(&topics, resource, request.validate_only)
    })
    .await;
    let answer = |(resource, outcome): (AlterConfigsResource, _)| {
        let (error_code, error_message) = refusal::fields(&outcome);
        AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
        }
    };
    AlterConfigsResponse {
        responses: request
            .resources
            .into_iter()
            .zip(outcomes)
            .map(answer)
            .collect(),
        ..Default::default()
    }
}

impl Resource for AlterConfigsResource {
    fn key(&self) -> (i8, &str) {
        (self.resource_type, &self.resource_name)
    }
}

async fn alter(
    topics: &Topics,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refusal> {
    let settings = settings(resource)?;
    let name = resource.resource_name.as_str();
    let cluster = &topics.cluster;
    let outcome = match ResourceType::from_wire(resource.resource_type) {
        Some(ResourceType::Topic) => {
            check_topic_name(name)?;
            cluster
                .replace_topic_settings(name, settings, validate_only)
                .await
        }
        Some(ResourceType::Broker) => {
            cluster
                .replace_broker_settings(broker_target(name)?, settings, validate_only)
                .await
        }
        Some(ResourceType::Group) => {
            cluster
                .replace_group_settings(name, settings, validate_only)
                .await
        }
        Some(ResourceType::ClientMetrics) => {
            cluster
                .replace_client_metrics(name, settings, validate_only)
                .await
        }
        Some(ResourceType::BrokerLogger) | None => {
            let message = format!("unknown resource type {}", resource.resource_type);
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
    };
    outcome.map_err(|error| errors::alter_settings(&error))
}

fn settings(resource: &AlterConfigsResource) -> Result<SettingTexts, Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    let mut settings = SettingTexts::new();
    for config in &resource.configs {
        let name = &config.name;
        let Some(value) = config.value.clone() else {
            return invalid(format!("a null value is not supported for {name}"));
        };
        if settings.insert(name.clone(), value).is_some() {
            return invalid(format!("setting {name} is changed more than once"));
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use protocol::messages::alter_configs_request::AlterableConfig;

    use super::*;
    use crate::handlers::fixture::{BROKER, Fixture};

    const TOPIC: i8 = 2;
    const BROKER_TYPE: i8 = 4;
    const GROUP: i8 = 32;

    fn resource(
        resource_type: i8,
        name: &str,
        configs: &[(&str, Option<&str>)],
    ) -> AlterConfigsResource {
        let config = |(name, value): &(&str, Option<&str>)| AlterableConfig {
            name: (*name).to_owned(),
            value: value.map(str::to_owned),
        };
        AlterConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configs: configs.iter().map(config).collect(),
        }
    }

    async fn ask(
        fixture: &Fixture,
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    ) -> Vec<i16> {
        let request = AlterConfigsRequest {
            resources,
            validate_only,
        };
        let response = handle(fixture.context(2), request, fixture.topics()).await;
        response
            .responses
            .iter()
            .map(|one| one.error_code)
            .collect()
    }

    fn own(fixture: &Fixture, topic: &str) -> Vec<String> {
        let topics = fixture.topics();
        let image = topics.image();
        let settings = &image.topic(topic).unwrap().settings;
        settings
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    #[tokio::test]
    async fn what_is_not_named_is_lost() {
        let fixture = Fixture::new().await;
        fixture
            .create_topic_with("events", 1, &[("retention.ms", "1")])
            .await;
        let wanted = vec![resource(TOPIC, "events", &[("flush.ms", Some("7"))])];
        assert_eq!(ask(&fixture, wanted.clone(), true).await, [0]);
        assert_eq!(own(&fixture, "events"), ["retention.ms=1"]);
        assert_eq!(ask(&fixture, wanted, false).await, [0]);
        assert_eq!(own(&fixture, "events"), ["flush.ms=7"]);
        assert_eq!(
            ask(&fixture, vec![resource(TOPIC, "events", &[])], false).await,
            [0]
        );
        assert!(own(&fixture, "events").is_empty());
    }

    #[tokio::test]
    async fn brokers_groups_and_subscriptions_have_settings_too() {
        let fixture = Fixture::new().await;
        let this = BROKER.0.to_string();
        let all = [
            resource(BROKER_TYPE, &this, &[("log.retention.ms", Some("5000"))]),
            resource(
                BROKER_TYPE,
                "",
                &[
                    ("min.insync.replicas", Some("1")),
                    ("log.flush.interval.messages", Some("9")),
                ],
            ),
            resource(
                GROUP,
                "readers",
                &[("consumer.session.timeout.ms", Some("50000"))],
            ),
            resource(16, "all", &[("interval.ms", Some("1000"))]),
        ];
        assert_eq!(ask(&fixture, all.to_vec(), false).await, [0; 4]);
        let topics = fixture.topics();
        let image = topics.image();
        assert_eq!(image.broker.topic_defaults.retention_ms, Some(5000));
        assert_eq!(image.broker.topic_defaults.flush_messages, 9);
        assert_eq!(
            image.group_settings("readers").consumer_session_timeout_ms,
            50_000
        );
        assert_eq!(image.client_metrics().collect::<Vec<_>>(), ["all"]);
    }

    #[tokio::test]
    async fn each_mistake_has_kafkas_code() {
        use ErrorCode::{InvalidConfig, InvalidRequest, UnknownTopicOrPartition};
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let this = BROKER.0.to_string();
        for (asked, expected) in [
            (resource(TOPIC, "missing", &[]), UnknownTopicOrPartition),
            (resource(TOPIC, "", &[]), InvalidRequest),
            (
                resource(TOPIC, "events", &[("no.such", Some("1"))]),
                InvalidConfig,
            ),
            (
                resource(TOPIC, "events", &[("retention.ms", None)]),
                InvalidRequest,
            ),
            (
                resource(
                    TOPIC,
                    "events",
                    &[("flush.ms", Some("1")), ("flush.ms", Some("2"))],
                ),
                InvalidRequest,
            ),
            (resource(BROKER_TYPE, "x", &[]), InvalidRequest),
            (resource(BROKER_TYPE, "", &[]), InvalidConfig),
            (
                resource(BROKER_TYPE, &this, &[("min.insync.replicas", Some("1"))]),
                InvalidConfig,
            ),
            (
                resource(8, &this, &[("root", Some("INFO"))]),
                InvalidRequest,
            ),
            (resource(16, "", &[]), InvalidRequest),
            (
                resource(16, "all", &[("no.such", Some("1"))]),
                InvalidRequest,
            ),
            (
                resource(16, "all", &[("interval.ms", Some("1"))]),
                InvalidRequest,
            ),
            (
                resource(16, "all", &[("interval.ms", Some("x"))]),
                InvalidConfig,
            ),
            (
                resource(16, "all", &[("match", Some("planet=earth"))]),
                InvalidConfig,
            ),
            (resource(99, "x", &[]), InvalidRequest),
        ] {
            let codes = ask(&fixture, vec![asked.clone()], false).await;
            assert_eq!(codes, [expected.code()], "{asked:?}");
        }
        let twice = vec![resource(TOPIC, "events", &[]); 2];
        assert_eq!(
            ask(&fixture, twice, false).await,
            [InvalidRequest.code(); 2]
        );
    }
}
