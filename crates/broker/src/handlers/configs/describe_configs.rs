//! DescribeConfigs, key 32, versions 1 to 4.
//!
//! * v1: sources and synonyms.
//! * v3: types, and documentation on request.
//!
//! Every setting of a topic, broker or group comes with its source (`ConfigHelper.scala`); of a broker without a name,
//! only what was altered for all brokers. A resource of an unknown type refuses the whole request, as in Kafka.

use std::sync::Arc;

use hashbrown::HashSet;
use metadata::ClusterImage;
use metadata::settings::{ConfigEntry, ConfigSynonym};
use protocol::ErrorCode;
use protocol::messages::describe_configs_request::DescribeConfigsResource;
use protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use super::loggers;
use super::wire::{self, ResourceType};
use crate::context::Context;
use crate::handlers::refusal::Refusal;
use crate::log_levels::LogLevel;
use crate::topics::Topics;

/// Resources of one request besides topics. Of those, unlike of topics, any number can be named, and each is answered
/// with hundreds of times the bytes of its name.
const OTHER_RESOURCES_MAX: usize = 10_000;

/// What of a setting the client wants to see.
#[derive(Clone, Copy)]
struct Detail {
    synonyms: bool,
    documentation: bool,
}

pub(crate) async fn handle(
    _context: Context,
    request: DescribeConfigsRequest,
    topics: Arc<Topics>,
) -> DescribeConfigsResponse {
    if let Err(refusal) = check(&request.resources) {
        let refuse = |resource| result(resource, Err(refusal.clone()));
        return DescribeConfigsResponse {
            results: request.resources.into_iter().map(refuse).collect(),
            ..Default::default()
        };
    }
    let detail = Detail {
        synonyms: request.include_synonyms,
        documentation: request.include_documentation,
    };
    let describe = |resource: DescribeConfigsResource| {
        let entries = entries(&topics, &resource, detail);
        result(resource, entries)
    };
    DescribeConfigsResponse {
        results: request.resources.into_iter().map(describe).collect(),
        ..Default::default()
    }
}

/// What is wrong with the request as a whole.
fn check(resources: &[DescribeConfigsResource]) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    let mut named = HashSet::with_capacity(resources.len());
    let mut others = 0;
    for resource in resources {
        match ResourceType::from_wire(resource.resource_type) {
            None => return invalid("unexpected resource type"),
            Some(ResourceType::Topic) => {}
            Some(_) => others += 1,
        }
        // No client asks twice, and Kafka would answer twice; see above for why we do not.
        if !named.insert((resource.resource_type, resource.resource_name.as_str())) {
            return invalid("each resource must appear at most once");
        }
    }
    if others > OTHER_RESOURCES_MAX {
        return invalid("too many resources in one request");
    }
    Ok(())
}

fn entries(
    topics: &Topics,
    resource: &DescribeConfigsResource,
    detail: Detail,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    let name = resource.resource_name.as_str();
    let image = topics.image();
    let entries = match ResourceType::from_wire(resource.resource_type) {
        Some(ResourceType::Topic) => topic(&image, name)?,
        Some(ResourceType::Broker) if name.is_empty() => image.describe_broker_defaults(),
        Some(ResourceType::Broker) => {
            check_broker(topics, name)?;
            image.describe_broker()
        }
        Some(ResourceType::Group) if name.is_empty() => {
            return invalid("the group name must not be empty");
        }
        Some(ResourceType::Group) => image.describe_group(name),
        Some(ResourceType::BrokerLogger) if name.is_empty() => {
            return invalid("the broker id must not be empty");
        }
        Some(ResourceType::BrokerLogger) => {
            check_broker(topics, name)?;
            return Ok(loggers::levels(topics)
                .into_iter()
                .filter(|(name, _)| is_wanted(resource, name))
                .map(|(name, level)| logger(name, level))
                .collect());
        }
        Some(ResourceType::ClientMetrics) if name.is_empty() => {
            return invalid("the name of the subscription must not be empty");
        }
        Some(ResourceType::ClientMetrics) => image.describe_client_metrics(name),
        None => return invalid("unexpected resource type"),
    };
    Ok(entries
        .into_iter()
        .filter(|entry| is_wanted(resource, &entry.name))
        .map(|entry| shown(entry, detail))
        .collect())
}

/// No keys, or an empty list of them, stand for all (`ConfigHelperUtils`).
fn is_wanted(resource: &DescribeConfigsResource, name: &str) -> bool {
    match resource.configuration_keys.as_deref() {
        None | Some([]) => true,
        Some(keys) => keys.iter().any(|key| key == name),
    }
}

fn topic(image: &ClusterImage, name: &str) -> Result<Vec<ConfigEntry>, Refusal> {
    if let Err(error) = metadata::check_topic_name(name) {
        return Err(Refusal::new(
            ErrorCode::InvalidTopicException,
            error.to_string(),
        ));
    }
    let unknown = || Refusal::new(ErrorCode::UnknownTopicOrPartition, "no topic has this name");
    let topic = image.topic(name).ok_or_else(unknown)?;
    Ok(image.describe_topic(topic))
}

/// `name` must be the number of this broker.
fn check_broker(topics: &Topics, name: &str) -> Result<(), Refusal> {
    let expected = topics.broker_id().0;
    let message = match name.parse::<i32>() {
        Ok(broker) if broker == expected => return Ok(()),
        Ok(broker) => format!("unexpected broker id {broker}, this is broker {expected}"),
        Err(_not_a_number) => format!("the broker id must be a number, not {name:?}"),
    };
    Err(Refusal::new(ErrorCode::InvalidRequest, message))
}

fn shown(entry: ConfigEntry, detail: Detail) -> DescribeConfigsResourceResult {
    let synonym = |synonym: ConfigSynonym| DescribeConfigsSynonym {
        name: synonym.name,
        value: synonym.value,
        source: wire::source(synonym.source),
    };
    DescribeConfigsResourceResult {
        name: entry.name,
        value: entry.value,
        read_only: entry.read_only,
        config_source: wire::source(entry.source),
        is_sensitive: entry.sensitive,
        synonyms: if detail.synonyms {
            entry.synonyms.into_iter().map(synonym).collect()
        } else {
            Vec::new()
        },
        config_type: wire::config_type(entry.kind),
        documentation: detail.documentation.then(|| entry.doc.to_owned()),
    }
}

fn logger(name: String, level: LogLevel) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult {
        name,
        value: Some(level.to_string()),
        read_only: false,
        config_source: wire::LOGGER_SOURCE,
        ..Default::default()
    }
}

fn result(
    resource: DescribeConfigsResource,
    configs: Result<Vec<DescribeConfigsResourceResult>, Refusal>,
) -> DescribeConfigsResult {
    let (error_code, error_message, configs) = match configs {
        // Empty rather than null, as Kafka has it.
        Ok(configs) => (ErrorCode::None, Some(String::new()), configs),
        Err(refusal) => (refusal.code, Some(refusal.message), Vec::new()),
    };
    DescribeConfigsResult {
        error_code: error_code.into(),
        error_message,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        configs,
    }
}

#[cfg(test)]
mod tests {
    use metadata::{BrokerTarget, SettingChange, SettingOperation};

    use super::*;
    use crate::handlers::fixture::{BROKER, Fixture};

    const TOPIC: i8 = 2;
    const BROKER_TYPE: i8 = 4;
    const BROKER_LOGGER: i8 = 8;
    const CLIENT_METRICS: i8 = 16;
    const GROUP: i8 = 32;

    const FROM_TOPIC: i8 = 1;
    const FROM_BROKER: i8 = 2;
    const FROM_ALL_BROKERS: i8 = 3;
    const FROM_START: i8 = 4;
    const FROM_DEFAULT: i8 = 5;

    fn resource(resource_type: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
        DescribeConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
        }
    }

    async fn ask(fixture: &Fixture, resource: DescribeConfigsResource) -> DescribeConfigsResult {
        let request = DescribeConfigsRequest {
            resources: vec![resource],
            include_synonyms: true,
            include_documentation: true,
        };
        handle(fixture.context(4), request, fixture.topics())
            .await
            .results
            .remove(0)
    }

    async fn ask_one(
        fixture: &Fixture,
        resource_type: i8,
        name: &str,
        key: &str,
    ) -> DescribeConfigsResourceResult {
        let mut result = ask(fixture, resource(resource_type, name, Some(&[key]))).await;
        assert_eq!(
            (result.error_code, result.configs.len()),
            (0, 1),
            "{result:?}"
        );
        result.configs.remove(0)
    }

    fn synonyms(config: &DescribeConfigsResourceResult) -> Vec<(&str, Option<&str>, i8)> {
        config
            .synonyms
            .iter()
            .map(|one| (one.name.as_str(), one.value.as_deref(), one.source))
            .collect()
    }

    async fn set_on_broker(fixture: &Fixture, target: BrokerTarget, name: &str, value: &str) {
        let change = SettingChange {
            name: name.to_owned(),
            operation: SettingOperation::Set(value.to_owned()),
        };
        fixture
            .topics()
            .cluster
            .alter_broker_settings(target, vec![change], false)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn every_setting_of_a_topic_comes_with_type_and_documentation() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        for keys in [None, Some(&[][..])] {
            let result = ask(&fixture, resource(TOPIC, "events", keys)).await;
            assert_eq!(
                (
                    result.error_code,
                    result.resource_type,
                    &*result.resource_name
                ),
                (0, TOPIC, "events")
            );
            let settings = metadata::settings::TOPIC_SETTINGS.iter();
            let always_told = settings.filter(|setting| setting.default.is_some());
            assert_eq!(result.configs.len(), always_told.count());
            for config in &result.configs {
                assert!(
                    config.config_type != 0 && !config.read_only && !config.is_sensitive,
                    "{config:?}"
                );
                assert!(
                    config
                        .documentation
                        .as_ref()
                        .is_some_and(|text| !text.is_empty()),
                    "{config:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_contract_is_told_of_where_there_is_one() {
        const TEXT: &str = r#"{"format":"json","columns":[{"name":"a","type":"int"}]}"#;
        let fixture = Fixture::new().await;
        fixture.create_topic("plain", 1).await;
        fixture
            .create_topic_with("typed", 1, &[(contract::SETTING, TEXT)])
            .await;
        let config = ask_one(&fixture, TOPIC, "typed", contract::SETTING).await;
        assert_eq!(
            (config.value.as_deref(), config.config_source),
            (Some(TEXT), FROM_TOPIC)
        );
        assert_eq!(
            synonyms(&config),
            [(contract::SETTING, Some(TEXT), FROM_TOPIC)]
        );
        let asked = resource(TOPIC, "plain", Some(&[contract::SETTING]));
        assert_eq!(ask(&fixture, asked).await.configs, []);
    }

    #[tokio::test]
    async fn the_source_of_a_topics_setting_moves_with_who_sets_it() {
        let fixture = Fixture::with_settings(&[("log.retention.bytes", "400")]).await;
        fixture
            .create_topic_with("own", 1, &[("retention.bytes", "100")])
            .await;
        fixture.create_topic("plain", 1).await;
        let config = ask_one(&fixture, TOPIC, "own", "retention.bytes").await;
        assert_eq!(
            (config.value.as_deref(), config.config_source),
            (Some("100"), FROM_TOPIC)
        );
        let behind = [
            ("log.retention.bytes", Some("400"), FROM_START),
            ("log.retention.bytes", Some("-1"), FROM_DEFAULT),
        ];
        assert_eq!(
            synonyms(&config)[0],
            ("retention.bytes", Some("100"), FROM_TOPIC)
        );
        assert_eq!(synonyms(&config)[1..], behind);
        let config = ask_one(&fixture, TOPIC, "plain", "retention.bytes").await;
        assert_eq!(
            (config.value.as_deref(), config.config_source),
            (Some("400"), FROM_START)
        );
        assert_eq!(synonyms(&config), behind);
        set_on_broker(&fixture, BrokerTarget::All, "log.retention.bytes", "300").await;
        let config = ask_one(&fixture, TOPIC, "plain", "retention.bytes").await;
        assert_eq!(
            (config.value.as_deref(), config.config_source),
            (Some("300"), FROM_ALL_BROKERS)
        );
        set_on_broker(
            &fixture,
            BrokerTarget::One(BROKER.0),
            "log.retention.bytes",
            "200",
        )
        .await;
        let config = ask_one(&fixture, TOPIC, "plain", "retention.bytes").await;
        assert_eq!(
            (config.value.as_deref(), config.config_source),
            (Some("200"), FROM_BROKER)
        );
        let config = ask_one(&fixture, TOPIC, "plain", "retention.ms").await;
        assert_eq!(
            (config.value.as_deref(), config.config_source),
            (Some("604800000"), FROM_DEFAULT)
        );
    }

    #[tokio::test]
    async fn brokers_tell_what_can_be_altered_and_hide_secrets() {
        let fixture = Fixture::with_settings(&[("ssl.keystore.password", "secret")]).await;
        let this = BROKER.0.to_string();
        let node = ask_one(&fixture, BROKER_TYPE, &this, "node.id").await;
        assert_eq!(
            (node.value, node.config_source, node.read_only),
            (Some(this.clone()), FROM_START, true)
        );
        let retention = ask_one(&fixture, BROKER_TYPE, &this, "log.retention.ms").await;
        assert!(!retention.read_only);
        let password = ask_one(&fixture, BROKER_TYPE, &this, "ssl.keystore.password").await;
        assert_eq!(
            (
                password.value.as_deref(),
                password.is_sensitive,
                password.config_type
            ),
            (None, true, 9)
        );
        assert!(
            synonyms(&password)
                .iter()
                .all(|(_, value, _)| value.is_none()),
            "{password:?}"
        );
    }

    #[tokio::test]
    async fn a_broker_without_a_name_stands_for_what_all_were_given() {
        let fixture = Fixture::new().await;
        set_on_broker(&fixture, BrokerTarget::All, "log.retention.ms", "5000").await;
        set_on_broker(
            &fixture,
            BrokerTarget::One(BROKER.0),
            "log.retention.bytes",
            "6000",
        )
        .await;
        let result = ask(&fixture, resource(BROKER_TYPE, "", None)).await;
        let configs: Vec<_> = result
            .configs
            .iter()
            .map(|one| (one.name.as_str(), one.value.as_deref(), one.config_source))
            .collect();
        assert_eq!(
            configs,
            [
                ("log.retention.ms", Some("5000"), FROM_ALL_BROKERS),
                // The cluster's from its first start on, because of eligible leader replicas.
                ("min.insync.replicas", Some("1"), FROM_ALL_BROKERS),
            ]
        );
    }

    #[tokio::test]
    async fn groups_and_loggers_are_described() {
        let fixture = Fixture::new().await;
        let timeout = ask_one(&fixture, GROUP, "readers", "consumer.session.timeout.ms").await;
        assert_eq!(
            (timeout.value.as_deref(), timeout.config_source),
            (Some("45000"), FROM_DEFAULT)
        );
        let level = ask_one(
            &fixture,
            BROKER_LOGGER,
            &BROKER.0.to_string(),
            crate::log_levels::ROOT_LOGGER,
        )
        .await;
        assert_eq!(
            (level.config_source, level.read_only),
            (wire::LOGGER_SOURCE, false)
        );
        assert!(level.value.is_some());
    }

    #[tokio::test]
    async fn synonyms_and_documentation_come_on_request_only() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let resources = vec![resource(TOPIC, "events", Some(&["retention.ms"]))];
        let request = DescribeConfigsRequest {
            resources,
            ..Default::default()
        };
        let response = handle(fixture.context(4), request, fixture.topics()).await;
        let config = &response.results[0].configs[0];
        assert!(
            config.synonyms.is_empty() && config.documentation.is_none(),
            "{config:?}"
        );
    }

    #[tokio::test]
    async fn each_mistake_has_kafkas_code() {
        use ErrorCode::{InvalidRequest, InvalidTopicException, UnknownTopicOrPartition};
        let fixture = Fixture::new().await;
        for (resource_type, name, expected) in [
            (TOPIC, "missing", UnknownTopicOrPartition),
            (TOPIC, "sp ace", InvalidTopicException),
            (TOPIC, "", InvalidTopicException),
            (BROKER_TYPE, "7", InvalidRequest),
            (BROKER_TYPE, "one", InvalidRequest),
            (BROKER_LOGGER, "", InvalidRequest),
            (BROKER_LOGGER, "7", InvalidRequest),
            (GROUP, "", InvalidRequest),
            (CLIENT_METRICS, "", InvalidRequest),
            (CLIENT_METRICS, "", InvalidRequest),
        ] {
            let result = ask(&fixture, resource(resource_type, name, None)).await;
            assert_eq!(
                result.error_code,
                expected.code(),
                "{resource_type} {name:?}: {result:?}"
            );
            assert!(result.configs.is_empty() && result.error_message.is_some());
        }
    }

    #[tokio::test]
    async fn answers_do_not_grow_without_bound() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let twice = vec![
            resource(TOPIC, "events", None),
            resource(TOPIC, "events", None),
        ];
        let many = (0..=OTHER_RESOURCES_MAX)
            .map(|group| resource(GROUP, &group.to_string(), None))
            .collect();
        for resources in [twice, many] {
            let count = resources.len();
            let request = DescribeConfigsRequest {
                resources,
                ..Default::default()
            };
            let results = handle(fixture.context(4), request, fixture.topics())
                .await
                .results;
            assert_eq!(results.len(), count);
            let refused = ErrorCode::InvalidRequest.code();
            assert!(
                results
                    .iter()
                    .all(|one| one.error_code == refused && one.configs.is_empty())
            );
        }
    }

    #[tokio::test]
    async fn an_unknown_type_of_resource_refuses_the_whole_request() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let resources = vec![resource(TOPIC, "events", None), resource(99, "x", None)];
        let request = DescribeConfigsRequest {
            resources,
            ..Default::default()
        };
        let response = handle(fixture.context(4), request, fixture.topics()).await;
        let codes: Vec<_> = response
            .results
            .iter()
            .map(|result| result.error_code)
            .collect();
        assert_eq!(codes, [ErrorCode::InvalidRequest.code(); 2]);
    }
}
