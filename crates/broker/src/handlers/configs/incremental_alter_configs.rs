//! IncrementalAlterConfigs, key 44, versions 0 to 1 (1: flexible).
//!
//! Settings of topics, groups and brokers; of a broker without a name, for all brokers. All changes of a resource happen
//! or none does. What a request may look like is checked here as in `ConfigAdminManager.preprocess`; the rules about
//! settings lie with [`metadata::Cluster`].
//!
//! Levels of the broker's loggers take effect at once and are not kept over a restart, as in Kafka.

use std::sync::Arc;

use metadata::{SettingChange, SettingOperation};
use protocol::ErrorCode;
use protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use super::errors;
use super::loggers;
use super::resources::{Resource, broker_target, check_topic_name, each_resource_once};
use super::wire::ResourceType;
use crate::context::Context;
use crate::handlers::refusal::{self, Refusal};
use crate::topics::Topics;

/// `AlterConfigOp.OpType`.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(crate) async fn handle(
    _context: Context,
    request: IncrementalAlterConfigsRequest,
    topics: Arc<Topics>,
) -> IncrementalAlterConfigsResponse {
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
    IncrementalAlterConfigsResponse {
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
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    let changes = resource
        .configs
        .iter()
        .map(change)
        .collect::<Result<Vec<_>, _>>()?;
    let name = resource.resource_name.as_str();
    let cluster = &topics.cluster;
    let outcome = match ResourceType::from_wire(resource.resource_type) {
        Some(ResourceType::Topic) => {
            check_topic_name(name)?;
            cluster
                .alter_topic_settings(name, changes, validate_only)
                .await
        }
        Some(ResourceType::Broker) => {
            cluster
                .alter_broker_settings(broker_target(name)?, changes, validate_only)
                .await
        }
        Some(ResourceType::Group) => {
            cluster
                .alter_group_settings(name, changes, validate_only)
                .await
        }
        Some(ResourceType::BrokerLogger) => {
            check_this_broker(topics, name)?;
            check_once(&changes)?;
            return loggers::alter(topics, &changes, validate_only);
        }
        Some(ResourceType::ClientMetrics) => {
            cluster
                .alter_client_metrics(name, changes, validate_only)
                .await
        }
        None => return invalid("unknown resource type"),
    };
    outcome.map_err(|error| errors::alter_settings(&error))
}

/// Loggers are those of the broker that is asked (`RuntimeLoggerManager.validateResourceNameIsNodeId`).
fn check_this_broker(topics: &Topics, name: &str) -> Result<(), Refusal> {
    let this = topics.broker_id().0;
    if name.parse() == Ok(this) {
        return Ok(());
    }
    let message = format!("unexpected broker id {name:?}, this is broker {this}");
    Err(Refusal::new(ErrorCode::InvalidRequest, message))
}

fn check_once(changes: &[SettingChange]) -> Result<(), Refusal> {
    let mut names = hashbrown::HashSet::new();
    match changes.iter().find(|change| !names.insert(&change.name)) {
        None => Ok(()),
        Some(twice) => {
            let message = format!("setting {} is changed more than once", twice.name);
            Err(Refusal::new(ErrorCode::InvalidRequest, message))
        }
    }
}

fn change(config: &AlterableConfig) -> Result<SettingChange, Refusal> {
    let refuse = |message: String| Refusal::new(ErrorCode::InvalidRequest, message);
    let value = || {
        let null = || refuse(format!("a null value is not supported for {}", config.name));
        config.value.clone().ok_or_else(null)
    };
    let operation = match config.config_operation {
        SET => SettingOperation::Set(value()?),
        DELETE => SettingOperation::Delete,
        APPEND => SettingOperation::Append(value()?),
        SUBTRACT => SettingOperation::Subtract(value()?),
        other => {
            return Err(refuse(format!(
                "unknown operation {other} on {}",
                config.name
            )));
        }
    };
    Ok(SettingChange {
        name: config.name.clone(),
        operation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::{BROKER, Fixture};

    const TOPIC: i8 = 2;
    const BROKER_TYPE: i8 = 4;
    const GROUP: i8 = 32;

    fn config(name: &str, operation: i8, value: Option<&str>) -> AlterableConfig {
        AlterableConfig {
            name: name.to_owned(),
            config_operation: operation,
            value: value.map(str::to_owned),
        }
    }

    fn resource(
        resource_type: i8,
        name: &str,
        configs: &[AlterableConfig],
    ) -> AlterConfigsResource {
        AlterConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configs: configs.to_vec(),
        }
    }

    async fn ask(
        fixture: &Fixture,
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    ) -> Vec<i16> {
        let request = IncrementalAlterConfigsRequest {
            resources,
            validate_only,
        };
        let response = handle(fixture.context(1), request, fixture.topics()).await;
        response
            .responses
            .into_iter()
            .map(|response| response.error_code)
            .collect()
    }

    fn own(fixture: &Fixture, topic: &str, name: &str) -> Option<String> {
        fixture
            .topics()
            .image()
            .topic(topic)
            .and_then(|topic| topic.settings.get(name).cloned())
    }

    #[tokio::test]
    async fn settings_of_a_topic_are_set_deleted_and_their_items_changed() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let steps = [
            (
                config("retention.ms", SET, Some("5000")),
                "retention.ms",
                Some("5000"),
            ),
            (config("retention.ms", DELETE, None), "retention.ms", None),
            (
                config("cleanup.policy", APPEND, Some("compact")),
                "cleanup.policy",
                Some("delete,compact"),
            ),
            (
                config("cleanup.policy", APPEND, Some("compact")),
                "cleanup.policy",
                Some("delete,compact"),
            ),
            (
                config("cleanup.policy", SUBTRACT, Some("delete")),
                "cleanup.policy",
                Some("compact"),
            ),
        ];
        for (change, name, expected) in steps {
            let codes = ask(
                &fixture,
                vec![resource(TOPIC, "events", std::slice::from_ref(&change))],
                false,
            )
            .await;
            assert_eq!(codes, [0], "{change:?}");
            assert_eq!(
                own(&fixture, "events", name).as_deref(),
                expected,
                "{change:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_contract_that_is_none_is_refused_with_its_fault() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let wrong = r#"{"format":"json","columns":[{"name":"a","type":"integr"}]}"#;
        let right = wrong.replace("integr", "integer");
        let request = |text: &str| IncrementalAlterConfigsRequest {
            resources: vec![resource(
                TOPIC,
                "events",
                &[config(contract::SETTING, SET, Some(text))],
            )],
            validate_only: false,
        };
        let answer = handle(fixture.context(1), request(wrong), fixture.topics()).await;
        let answer = &answer.responses[0];
        assert_eq!(answer.error_code, ErrorCode::InvalidConfig as i16);
        assert_eq!(
            answer.error_message.as_deref(),
            Some(&*format!(
                "invalid value {wrong:?} for watertable.contract: columns[0].type: unknown type \"integr\"; did you \
                     mean integer?"
            ))
        );
        assert_eq!(own(&fixture, "events", contract::SETTING), None);
        let answer = handle(fixture.context(1), request(&right), fixture.topics()).await;
        assert_eq!(answer.responses[0].error_code, 0);
        assert_eq!(own(&fixture, "events", contract::SETTING), Some(right));
    }

    #[tokio::test]
    async fn settings_of_brokers_take_effect_and_fall_back() {
        let fixture = Fixture::new().await;
        let retention = || fixture.topics().image().broker.topic_defaults.retention_ms;
        let before = retention();
        let set = |value| [config("log.retention.ms", SET, Some(value))];
        assert_eq!(
            ask(
                &fixture,
                vec![resource(BROKER_TYPE, "", &set("7000"))],
                false
            )
            .await,
            [0]
        );
        assert_eq!(retention(), Some(7000));
        let this = BROKER.0.to_string();
        assert_eq!(
            ask(
                &fixture,
                vec![resource(BROKER_TYPE, &this, &set("8000"))],
                false
            )
            .await,
            [0]
        );
        assert_eq!(retention(), Some(8000));
        let delete = [config("log.retention.ms", DELETE, None)];
        for name in [this.as_str(), ""] {
            assert_eq!(
                ask(&fixture, vec![resource(BROKER_TYPE, name, &delete)], false).await,
                [0]
            );
        }
        assert_eq!(retention(), before);
    }

    #[tokio::test]
    async fn groups_have_settings_before_they_exist() {
        let fixture = Fixture::new().await;
        let change = [config("consumer.session.timeout.ms", SET, Some("50000"))];
        assert_eq!(
            ask(&fixture, vec![resource(GROUP, "readers", &change)], false).await,
            [0]
        );
        assert_eq!(
            fixture
                .topics()
                .image()
                .group_settings("readers")
                .consumer_session_timeout_ms,
            50_000
        );
    }

    #[tokio::test]
    async fn each_mistake_has_kafkas_code_and_changes_nothing() {
        use ErrorCode::{
            InvalidConfig, InvalidRequest, InvalidTopicException, UnknownTopicOrPartition,
        };
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let good = config("retention.bytes", SET, Some("1"));
        let other = (BROKER.0 + 1).to_string();
        let this = BROKER.0.to_string();
        for (asked, expected) in [
            (
                resource(
                    TOPIC,
                    "events",
                    &[good.clone(), config("no.such.setting", SET, Some("1"))],
                ),
                InvalidConfig,
            ),
            (
                resource(
                    TOPIC,
                    "events",
                    &[good.clone(), config("retention.ms", SET, Some("x"))],
                ),
                InvalidConfig,
            ),
            (
                resource(
                    TOPIC,
                    "events",
                    &[good.clone(), config("retention.ms", APPEND, Some("1"))],
                ),
                InvalidConfig,
            ),
            (
                resource(
                    TOPIC,
                    "events",
                    &[good.clone(), config("retention.ms", SET, None)],
                ),
                InvalidRequest,
            ),
            (
                resource(
                    TOPIC,
                    "events",
                    &[good.clone(), config("retention.ms", 9, Some("1"))],
                ),
                InvalidRequest,
            ),
            (
                resource(TOPIC, "events", &[good.clone(), good.clone()]),
                InvalidRequest,
            ),
            (
                resource(TOPIC, "missing", std::slice::from_ref(&good)),
                UnknownTopicOrPartition,
            ),
            (
                resource(TOPIC, "", std::slice::from_ref(&good)),
                InvalidRequest,
            ),
            (
                resource(TOPIC, "sp ace", std::slice::from_ref(&good)),
                InvalidTopicException,
            ),
            (
                resource(
                    BROKER_TYPE,
                    &other,
                    &[config("log.retention.ms", SET, Some("1"))],
                ),
                InvalidRequest,
            ),
            (
                resource(
                    BROKER_TYPE,
                    "one",
                    &[config("log.retention.ms", SET, Some("1"))],
                ),
                InvalidRequest,
            ),
            (
                resource(BROKER_TYPE, &this, &[config("node.id", SET, Some("5"))]),
                InvalidRequest,
            ),
            (
                resource(
                    BROKER_TYPE,
                    "",
                    &[config("log.retention.ms", SET, Some("x"))],
                ),
                InvalidRequest,
            ),
            (
                resource(
                    GROUP,
                    "",
                    &[config("consumer.session.timeout.ms", SET, Some("50000"))],
                ),
                InvalidRequest,
            ),
            (
                resource(8, &this, &[config("root", SET, Some("DEBUG"))]),
                InvalidRequest,
            ),
            (
                resource(16, "metrics", &[config("interval.ms", SET, Some("1"))]),
                InvalidRequest,
            ),
            (resource(99, "x", &[]), InvalidRequest),
        ] {
            let revision = fixture.topics().image().revision;
            let codes = ask(&fixture, vec![asked.clone()], false).await;
            assert_eq!(codes, [expected.code()], "{asked:?}");
            assert_eq!(fixture.topics().image().revision, revision, "{asked:?}");
        }
    }

    #[tokio::test]
    async fn a_resource_that_comes_twice_is_refused_both_times_and_others_go_on() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        fixture.create_topic("others", 1).await;
        let change = [config("retention.ms", SET, Some("5"))];
        let asked = ["events", "others", "events"].map(|name| resource(TOPIC, name, &change));
        let refused = ErrorCode::InvalidRequest.code();
        assert_eq!(
            ask(&fixture, asked.to_vec(), false).await,
            [refused, 0, refused]
        );
        assert_eq!(own(&fixture, "events", "retention.ms"), None);
        assert_eq!(
            own(&fixture, "others", "retention.ms").as_deref(),
            Some("5")
        );
    }

    #[tokio::test]
    async fn validation_changes_nothing() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let change = [config("retention.ms", SET, Some("5"))];
        assert_eq!(
            ask(&fixture, vec![resource(TOPIC, "events", &change)], true).await,
            [0]
        );
        assert_eq!(own(&fixture, "events", "retention.ms"), None);
    }
}
