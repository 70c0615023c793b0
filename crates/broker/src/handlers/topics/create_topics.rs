//! CreateTopics, key 19, versions 2 to 7.
//!
//! * v4: -1 partitions or replicas stand for the broker's defaults (every version accepts them, as in Kafka).
//! * v6: THROTTLING_QUOTA_EXCEEDED for clients above `controller_mutation_rate`; older ones are only throttled (KIP-599).
//! * v5: partitions, replicas and every config of the new topic come back.
//! * v7: and its id.
//!
//! The rules lie with [`metadata::Cluster::create_topics`]. A name that comes twice in a request is answered once, with
//! INVALID_REQUEST. With `validateOnly` the id that comes back is one that no topic has, as in Kafka.

use std::sync::Arc;

use hashbrown::HashSet;
use metadata::settings::ConfigEntry;
use metadata::{ClusterImage, CreateTopicError, NewTopic, ReplicaAssignment, Topic};
use protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use protocol::{ErrorCode, Uuid};

use super::PARTITIONS_PER_REQUEST_MAX;
use super::errors::{self, quota_exceeded};
use super::granted::Exceeding;
use crate::context::Context;
use crate::handlers::configs::wire;
use crate::handlers::refusal::Refusal;
use crate::quotas::{Mutations, Quotas};
use crate::topics::Topics;

/// The first version whose clients know THROTTLING_QUOTA_EXCEEDED.
const QUOTA_ERROR_SINCE: i16 = 6;
/// The broker's default number of partitions or replicas.
const DEFAULT: i32 = -1;

pub(crate) async fn handle(
    context: Context,
    request: CreateTopicsRequest,
    topics: Arc<Topics>,
    quotas: Arc<Quotas>,
) -> CreateTopicsResponse {
    let names: Vec<String> = request
        .topics
        .iter()
        .map(|topic| topic.name.clone())
        .collect();
    let default = topics.image().broker.num_partitions;
    if partitions_total(&request.topics, default) > PARTITIONS_PER_REQUEST_MAX {
        return refuse_all(&names);
    }
    let asked: Vec<NewTopic> = request.topics.into_iter().map(new_topic).collect();
    let mut mutations = quotas.mutations(&context, QUOTA_ERROR_SINCE);
    let exceeding = if quotas.are_set() {
        exceeding(&topics, &asked, &mut mutations).await
    } else {
        Exceeding::nothing()
    };
    let granted = exceeding.granted(asked);
    let cluster = &topics.cluster;
    let outcomes = cluster.create_topics(granted, request.validate_only).await;
    let image = topics.image();
    let mut answered = HashSet::new();
    let results = names
        .iter()
        .zip(exceeding.outcomes(outcomes))
        .filter(|(name, _)| answered.insert(name.as_str()))
        .map(|(name, outcome)| match outcome {
            Some(outcome) => result(&image, name, &outcome),
            None => refused(name, &quota_exceeded()),
        })
        .collect();
    CreateTopicsResponse {
        topics: results,
        throttle_time_ms: mutations.throttle_ms(),
    }
}

async fn exceeding(
    topics: &Topics,
    asked: &[NewTopic],
    mutations: &mut Mutations<'_>,
) -> Exceeding {
    let tried = topics.cluster.create_topics(asked.to_vec(), true).await;
    Exceeding::of(&tried, |topic| topic.partitions, mutations)
}

/// `ReplicationControlManager.validateTotalNumberOfPartitions`.
fn partitions_total(asked: &[CreatableTopic], default: i32) -> i64 {
    asked
        .iter()
        .map(|topic| match topic.num_partitions {
            _ if !topic.assignments.is_empty() => {
                i64::try_from(topic.assignments.len()).unwrap_or(i64::MAX)
            }
            DEFAULT => i64::from(default),
            partitions => i64::from(partitions.max(0)),
        })
        .fold(0, i64::saturating_add)
}

fn refuse_all(names: &[String]) -> CreateTopicsResponse {
    let message = format!("more than {PARTITIONS_PER_REQUEST_MAX} partitions in one request");
    let refusal = Refusal::new(ErrorCode::PolicyViolation, message);
    let refuse = |name: &String| refused(name, &refusal);
    CreateTopicsResponse {
        topics: names.iter().map(refuse).collect(),
        ..Default::default()
    }
}

fn new_topic(topic: CreatableTopic) -> NewTopic {
    let assignment = |assignment: CreatableReplicaAssignment| ReplicaAssignment {
        partition: assignment.partition_index,
        brokers: assignment.broker_ids,
    };
    let setting = |config: CreatableTopicConfig| (config.name, config.value);
    NewTopic {
        name: topic.name,
        partitions: (topic.num_partitions != DEFAULT).then_some(topic.num_partitions),
        replication_factor: (i32::from(topic.replication_factor) != DEFAULT)
            .then_some(topic.replication_factor),
        assignments: topic.assignments.into_iter().map(assignment).collect(),
        settings: topic.configs.into_iter().map(setting).collect(),
    }
}

fn result(
    image: &ClusterImage,
    name: &str,
    outcome: &Result<Arc<Topic>, CreateTopicError>,
) -> CreatableTopicResult {
    let topic = match outcome {
        Ok(topic) => topic,
        Err(error) => return refused(name, &errors::create_topic(error)),
    };
    let mut entries = image.describe_topic(topic);
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    CreatableTopicResult {
        name: name.to_owned(),
        topic_id: Uuid(topic.id.bytes()),
        error_code: ErrorCode::None.into(),
        error_message: None,
        num_partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        configs: Some(entries.into_iter().map(config).collect()),
        ..Default::default()
    }
}

fn refused(name: &str, refusal: &Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name: name.to_owned(),
        error_code: refusal.code.into(),
        error_message: Some(refusal.message.clone()),
        ..Default::default()
    }
}

fn config(entry: ConfigEntry) -> CreatableTopicConfigs {
    CreatableTopicConfigs {
        name: entry.name,
        value: entry.value,
        read_only: entry.read_only,
        config_source: wire::source(entry.source),
        is_sensitive: entry.sensitive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::{BROKER, Fixture};

    fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
        CreatableTopic {
            name: name.to_owned(),
            num_partitions,
            replication_factor,
            ..Default::default()
        }
    }

    fn configured(name: &str, config: &str, value: Option<&str>) -> CreatableTopic {
        let config = CreatableTopicConfig {
            name: config.to_owned(),
            value: value.map(str::to_owned),
        };
        CreatableTopic {
            configs: vec![config],
            ..topic(name, 1, 1)
        }
    }

    fn assigned(name: &str, assignments: &[(i32, &[i32])]) -> CreatableTopic {
        let assignment = |(partition, brokers): &(i32, &[i32])| CreatableReplicaAssignment {
            partition_index: *partition,
            broker_ids: brokers.to_vec(),
        };
        CreatableTopic {
            assignments: assignments.iter().map(assignment).collect(),
            ..topic(name, -1, -1)
        }
    }

    async fn ask(
        fixture: &Fixture,
        topics: Vec<CreatableTopic>,
        validate_only: bool,
    ) -> Vec<CreatableTopicResult> {
        let request = CreateTopicsRequest {
            topics,
            validate_only,
            ..Default::default()
        };
        handle(
            fixture.context(7),
            request,
            fixture.topics(),
            fixture.quotas(),
        )
        .await
        .topics
    }

    #[tokio::test]
    async fn a_new_topic_comes_back_with_id_numbers_and_every_config() {
        let fixture = Fixture::new().await;
        let results = ask(
            &fixture,
            vec![configured("events", "retention.ms", Some("1000"))],
            false,
        )
        .await;
        let [result] = results.as_slice() else {
            panic!("one result")
        };
        assert_eq!(
            (
                result.error_code,
                result.num_partitions,
                result.replication_factor
            ),
            (0, 1, 1)
        );
        assert_eq!(result.error_message, None);
        let image = fixture.topics().image();
        assert_eq!(
            Some(result.topic_id),
            image.topic("events").map(|topic| Uuid(topic.id.bytes()))
        );
        let configs = result.configs.as_deref().unwrap_or_default();
        assert!(configs.is_sorted_by_key(|config| &config.name));
        let retention = configs
            .iter()
            .find(|config| config.name == "retention.ms")
            .unwrap();
        assert_eq!(
            (retention.value.as_deref(), retention.config_source),
            (Some("1000"), 1)
        );
        let policy = configs
            .iter()
            .find(|config| config.name == "cleanup.policy")
            .unwrap();
        assert_eq!(
            (policy.value.as_deref(), policy.config_source),
            (Some("delete"), 5)
        );
    }

    #[tokio::test]
    async fn minus_one_stands_for_the_defaults() {
        let fixture = Fixture::with_settings(&[("num.partitions", "4")]).await;
        let results = ask(&fixture, vec![topic("events", -1, -1)], false).await;
        assert_eq!(
            (results[0].num_partitions, results[0].replication_factor),
            (4, 1)
        );
    }

    #[tokio::test]
    async fn an_assignment_by_hand_gives_the_number_of_partitions() {
        let fixture = Fixture::new().await;
        let broker = [BROKER.0];
        let results = ask(
            &fixture,
            vec![assigned("events", &[(1, &broker), (0, &broker)])],
            false,
        )
        .await;
        assert_eq!(
            (
                results[0].error_code,
                results[0].num_partitions,
                results[0].replication_factor
            ),
            (0, 2, 1)
        );
    }

    #[tokio::test]
    async fn each_mistake_has_kafkas_code() {
        use ErrorCode::{
            InvalidConfig, InvalidPartitions, InvalidReplicaAssignment, InvalidReplicationFactor,
            InvalidRequest, InvalidTopicException, PolicyViolation, TopicAlreadyExists,
        };
        let fixture = Fixture::new().await;
        fixture.create_topic("taken", 1).await;
        fixture.create_topic("with.dot", 1).await;
        let broker = [BROKER.0];
        for (asked, expected) in [
            (topic("", 1, 1), InvalidTopicException),
            (topic("..", 1, 1), InvalidTopicException),
            (topic("sp ace", 1, 1), InvalidTopicException),
            (topic(&"x".repeat(250), 1, 1), InvalidTopicException),
            (topic("with_dot", 1, 1), InvalidTopicException),
            (topic("__cluster_metadata", 1, 1), InvalidRequest),
            (topic("taken", 1, 1), TopicAlreadyExists),
            (topic("new", 0, 1), InvalidPartitions),
            (topic("new", -2, 1), InvalidPartitions),
            (topic("new", i32::MAX, 1), PolicyViolation),
            (topic("new", 1, 0), InvalidReplicationFactor),
            (topic("new", 1, -2), InvalidReplicationFactor),
            (topic("new", 1, 2), InvalidReplicationFactor),
            (
                configured("new", "no.such.setting", Some("1")),
                InvalidConfig,
            ),
            (
                configured("new", "retention.ms", Some("soon")),
                InvalidConfig,
            ),
            (
                configured("new", "segment.bytes", Some("1048575")),
                InvalidConfig,
            ),
            (configured("new", "retention.ms", None), InvalidConfig),
            (
                CreatableTopic {
                    num_partitions: 1,
                    ..assigned("new", &[(0, &broker)])
                },
                InvalidRequest,
            ),
            (
                CreatableTopic {
                    replication_factor: 1,
                    ..assigned("new", &[(0, &broker)])
                },
                InvalidRequest,
            ),
            (assigned("new", &[(0, &[])]), InvalidReplicaAssignment),
            (
                assigned("new", &[(0, &[BROKER.0 + 1])]),
                InvalidReplicaAssignment,
            ),
            (
                assigned("new", &[(0, &[BROKER.0, BROKER.0])]),
                InvalidReplicaAssignment,
            ),
            (
                assigned("new", &[(0, &broker), (2, &broker)]),
                InvalidReplicaAssignment,
            ),
            (
                assigned("new", &[(0, &broker), (0, &broker)]),
                InvalidReplicaAssignment,
            ),
        ] {
            let name = asked.name.clone();
            let results = ask(&fixture, vec![asked.clone()], false).await;
            let [result] = results.as_slice() else {
                panic!("one result")
            };
            assert_eq!(result.error_code, expected.code(), "{asked:?}: {result:?}");
            assert_eq!(
                (
                    result.name.as_str(),
                    result.num_partitions,
                    result.replication_factor
                ),
                (&*name, -1, -1)
            );
            assert!(result.error_message.is_some());
            assert!(fixture.topics().image().topic("new").is_none());
        }
    }

    #[tokio::test]
    async fn too_many_partitions_refuse_the_whole_request() {
        let fixture = Fixture::new().await;
        let asked = vec![topic("one", 1, 1), topic("many", 10_000, 1)];
        let codes: Vec<_> = ask(&fixture, asked, false)
            .await
            .iter()
            .map(|one| one.error_code)
            .collect();
        assert_eq!(codes, [ErrorCode::PolicyViolation.code(); 2]);
        assert_eq!(fixture.topics().image().topics().len(), 0);
        let results = ask(&fixture, vec![topic("many", 10_000, 1)], false).await;
        assert_eq!(
            (results[0].error_code, results[0].num_partitions),
            (0, 10_000)
        );
    }

    #[tokio::test]
    async fn a_name_that_comes_twice_is_answered_once_and_not_created() {
        let fixture = Fixture::new().await;
        let asked = vec![
            topic("twice", 1, 1),
            topic("once", 1, 1),
            topic("twice", 2, 1),
        ];
        let mut results = ask(&fixture, asked, false).await;
        results.sort_by(|one, other| one.name.cmp(&other.name));
        let codes: Vec<_> = results
            .iter()
            .map(|result| (result.name.as_str(), result.error_code))
            .collect();
        assert_eq!(
            codes,
            [("once", 0), ("twice", ErrorCode::InvalidRequest.code())]
        );
        assert!(fixture.topics().image().topic("twice").is_none());
    }

    #[tokio::test]
    async fn validation_creates_nothing() {
        let fixture = Fixture::new().await;
        let results = ask(
            &fixture,
            vec![topic("events", 3, 1), topic("bad", 0, 1)],
            true,
        )
        .await;
        assert_eq!(results[0].error_code, 0);
        assert_eq!(results[0].num_partitions, 3);
        assert_eq!(results[1].error_code, ErrorCode::InvalidPartitions.code());
        assert!(fixture.topics().image().topic("events").is_none());
    }
}
