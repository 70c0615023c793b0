//! Metadata, key 3, versions 0 to 13: brokers, topics and who leads their partitions.
//!
//! * v0: an empty list of topics means all. From v1 on it means none, and null means all.
//! * v1: racks, the controller, internal topics.
//! * v2: the cluster's id.
//! * v4: the client says whether missing topics may be created. Before, they are.
//! * v5: offline replicas. v7: leader epochs.
//! * v8: authorized operations on request; those of the cluster only up to v10.
//! * v10: topic ids in the answer. v12: topics may be asked for by id.
//! * v13: an error code for the whole answer.
//!
//! A topic that is created for a client is answered with UNKNOWN_TOPIC_OR_PARTITION this first time, as Kafka does
//! (`AutoTopicCreationManager`); the client asks again and finds it.

use std::sync::Arc;

use hashbrown::HashSet;
use metadata::{ClusterImage, Topic};
use protocol::messages::metadata_request::MetadataRequestTopic;
use protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use protocol::messages::{MetadataRequest, MetadataResponse};
use protocol::{ErrorCode, Uuid};

use super::auto_create::auto_create;
use super::partition_view::{self, PartitionView};
use crate::context::Context;
use crate::handlers::authorized_operations;
use crate::topics::Topics;

/// Below it an empty list means all topics.
const NULL_IS_ALL_SINCE: i16 = 1;
/// The first version in which a topic may be asked for by id.
const TOPIC_ID_SINCE: i16 = 12;
/// The versions with operations on the cluster.
const CLUSTER_OPERATIONS: std::ops::RangeInclusive<i16> = 8..=10;
/// No broker leads the partition (`MetadataResponse.NO_LEADER_ID`).
const NO_LEADER: i32 = -1;

pub(crate) async fn handle(
    context: Context,
    request: MetadataRequest,
    topics: Arc<Topics>,
) -> MetadataResponse {
    if let Some(asked) = &request.topics
        && context.version < TOPIC_ID_SINCE
        && asked
            .iter()
            .any(|topic| topic.name.is_none() || !topic.topic_id.is_zero())
    {
        return refuse(&request);
    }
    let image = topics.image();
    let asked = match request.topics.as_deref() {
        None => None,
        Some([]) if context.version < NULL_IS_ALL_SINCE => None,
        Some(asked) => Some(asked),
    };
    let mut answers = match asked {
        None => image.topics().map(|topic| found(&topics, topic)).collect(),
        Some(asked) if asked.iter().any(|topic| !topic.topic_id.is_zero()) => {
            by_id(&topics, &image, asked)
        }
        Some(asked) => by_name(&topics, &image, asked, request.allow_auto_topic_creation).await,
    };
    if request.include_topic_authorized_operations {
        // An unknown id has no topic that anything could be allowed on.
        for answer in answers.iter_mut().filter(|answer| answer.name.is_some()) {
            answer.topic_authorized_operations = authorized_operations::TOPIC;
        }
    }
    let cluster_operations = request.include_cluster_authorized_operations
        && CLUSTER_OPERATIONS.contains(&context.version);
    MetadataResponse {
        brokers: brokers(&topics),
        cluster_id: Some(image.cluster_id.to_string()),
        controller_id: topics.broker_id().0,
        topics: answers,
        cluster_authorized_operations: if cluster_operations {
            authorized_operations::CLUSTER
        } else {
            authorized_operations::NOT_ASKED
        },
        ..Default::default()
    }
}

fn brokers(topics: &Topics) -> Vec<MetadataResponseBroker> {
    let broker = |endpoint: crate::config::Endpoint<'_>| MetadataResponseBroker {
        node_id: endpoint.broker.0,
        host: endpoint.host.to_owned(),
        port: endpoint.port,
        rack: endpoint.rack.map(str::to_owned),
    };
    topics.config.endpoints().map(broker).collect()
}

/// Once one topic is asked for by id, all are: names beside ids are not looked at.
fn by_id(
    topics: &Topics,
    image: &ClusterImage,
    asked: &[MetadataRequestTopic],
) -> Vec<MetadataResponseTopic> {
    let mut seen = HashSet::new();
    asked
        .iter()
        .map(|topic| topic.topic_id)
        .filter(|id| !id.is_zero() && seen.insert(*id))
        .map(|id| match Topics::by_id(image, id) {
            Ok(topic) => found(topics, topic),
            Err(_unknown) => missing(None, id, ErrorCode::UnknownTopicId),
        })
        .collect()
}

async fn by_name(
    topics: &Topics,
    image: &ClusterImage,
    asked: &[MetadataRequestTopic],
    may_create: bool,
) -> Vec<MetadataResponseTopic> {
    let may_create = may_create && image.broker.auto_create_topics_enable;
    let mut seen = HashSet::new();
    let names = asked
        .iter()
        .filter_map(|topic| topic.name.as_deref())
        .filter(|name| seen.insert(*name));
    let mut answers = Vec::with_capacity(asked.len());
    let mut wanted = Vec::new();
    for name in names {
        if let Some(topic) = image.topic(name) {
            answers.push(found(topics, topic));
        } else if metadata::check_topic_name(name).is_err() {
            answers.push(missing(
                Some(name),
                Uuid::ZERO,
                ErrorCode::InvalidTopicException,
            ));
        } else {
            answers.push(missing(
                Some(name),
                Uuid::ZERO,
                ErrorCode::UnknownTopicOrPartition,
            ));
            wanted.push(name);
        }
    }
    if may_create && !wanted.is_empty() {
        auto_create(topics, &wanted).await;
    }
    answers
}

fn found(topics: &Topics, topic: &Topic) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: ErrorCode::None.into(),
        name: Some(topic.name.as_str().to_owned()),
        topic_id: Uuid(topic.id.bytes()),
        is_internal: topic.internal,
        partitions: partition_view::partitions(topics, topic, 0..topic.partitions)
            .map(partition)
            .collect(),
        ..Default::default()
    }
}

fn partition(view: PartitionView) -> MetadataResponsePartition {
    let error = if view.leader.is_some() {
        ErrorCode::None
    } else {
        ErrorCode::LeaderNotAvailable
    };
    MetadataResponsePartition {
        error_code: error.into(),
        partition_index: view.index,
        leader_id: view.leader.map_or(NO_LEADER, |leader| leader.0),
        leader_epoch: view.leader_epoch,
        isr_nodes: view.replicas.clone(),
        replica_nodes: view.replicas,
        offline_replicas: Vec::new(),
    }
}

fn missing(name: Option<&str>, id: Uuid, error: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: error.into(),
        name: name.map(str::to_owned),
        topic_id: id,
        is_internal: name.is_some_and(metadata::is_internal_topic),
        ..Default::default()
    }
}

/// `MetadataRequest.getErrorResponse`: INVALID_REQUEST for each topic, with empty names where there are none.
fn refuse(request: &MetadataRequest) -> MetadataResponse {
    let topic = |asked: &MetadataRequestTopic| MetadataResponseTopic {
        error_code: ErrorCode::InvalidRequest.into(),
        name: Some(asked.name.clone().unwrap_or_default()),
        topic_id: asked.topic_id,
        ..Default::default()
    };
    MetadataResponse {
        topics: request.topics.iter().flatten().map(topic).collect(),
        error_code: ErrorCode::InvalidRequest.into(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::{ADVERTISED_HOST, ADVERTISED_PORT, BROKER, Fixture};

    fn named(names: &[&str]) -> MetadataRequest {
        let topic = |name: &&str| MetadataRequestTopic {
            name: Some((*name).to_owned()),
            topic_id: Uuid::ZERO,
        };
        let topics = Some(names.iter().map(topic).collect());
        MetadataRequest {
            topics,
            allow_auto_topic_creation: false,
            ..Default::default()
        }
    }

    fn creating(names: &[&str]) -> MetadataRequest {
        MetadataRequest {
            allow_auto_topic_creation: true,
            ..named(names)
        }
    }

    fn by_ids(ids: &[Uuid]) -> MetadataRequest {
        let topic = |id: &Uuid| MetadataRequestTopic {
            name: None,
            topic_id: *id,
        };
        MetadataRequest {
            topics: Some(ids.iter().map(topic).collect()),
            ..Default::default()
        }
    }

    async fn ask(fixture: &Fixture, version: i16, request: MetadataRequest) -> MetadataResponse {
        handle(fixture.context(version), request, fixture.topics()).await
    }

    fn names(response: &MetadataResponse) -> Vec<&str> {
        response
            .topics
            .iter()
            .filter_map(|topic| topic.name.as_deref())
            .collect()
    }

    #[tokio::test]
    async fn the_broker_is_where_clients_can_reach_it_and_the_controller() {
        let fixture = Fixture::new().await;
        let response = ask(&fixture, 13, named(&[])).await;
        let [broker] = response.brokers.as_slice() else {
            panic!("one broker")
        };
        assert_eq!(
            (broker.node_id, broker.host.as_str(), broker.port),
            (BROKER.0, ADVERTISED_HOST, ADVERTISED_PORT)
        );
        assert_eq!(response.controller_id, BROKER.0);
        assert_eq!(
            response.cluster_id.as_deref(),
            Some(&*fixture.topics().image().cluster_id)
        );
    }

    #[tokio::test]
    async fn null_is_all_and_empty_is_none_except_in_version_zero() {
        let fixture = Fixture::new().await;
        fixture.create_topic("a", 1).await;
        fixture.create_topic("b", 1).await;
        for version in 0..=13 {
            let empty = ask(&fixture, version, named(&[])).await;
            let expected: &[&str] = if version == 0 { &["a", "b"] } else { &[] };
            assert_eq!(names(&empty), expected, "version {version}");
            if version > 0 {
                let all = ask(
                    &fixture,
                    version,
                    MetadataRequest {
                        topics: None,
                        ..Default::default()
                    },
                )
                .await;
                assert_eq!(names(&all), ["a", "b"], "version {version}");
            }
        }
    }

    #[tokio::test]
    async fn a_topic_shows_its_partitions_with_leader_epoch_and_replicas() {
        let fixture = Fixture::new().await;
        let id = fixture.create_topic("events", 2).await;
        let response = ask(&fixture, 13, named(&["events"])).await;
        let [topic] = response.topics.as_slice() else {
            panic!("one topic")
        };
        assert_eq!(
            (topic.error_code, topic.topic_id, topic.is_internal),
            (0, id, false)
        );
        assert_eq!(topic.topic_authorized_operations, i32::MIN);
        let expected = |index| MetadataResponsePartition {
            error_code: 0,
            partition_index: index,
            leader_id: BROKER.0,
            leader_epoch: fixture.epoch(),
            replica_nodes: vec![BROKER.0],
            isr_nodes: vec![BROKER.0],
            offline_replicas: Vec::new(),
        };
        assert_eq!(topic.partitions, [expected(0), expected(1)]);
    }

    #[tokio::test]
    async fn a_partition_whose_leader_is_not_there_says_so() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 3).await;
        fixture.ownership.orphan("events", 1);
        // A broker that clients cannot be told the address of.
        fixture.ownership.move_away("events", 2);
        let response = ask(&fixture, 13, named(&["events"])).await;
        let leaders: Vec<_> = response.topics[0]
            .partitions
            .iter()
            .map(|partition| (partition.leader_id, partition.error_code))
            .collect();
        let unavailable = (NO_LEADER, ErrorCode::LeaderNotAvailable.code());
        assert_eq!(leaders, [(BROKER.0, 0), unavailable, unavailable]);
    }

    #[tokio::test]
    async fn unknown_and_illegal_names_are_told_apart() {
        let fixture = Fixture::new().await;
        let response = ask(
            &fixture,
            13,
            named(&["missing", "sp ace", "", "missing", "__consumer_offsets"]),
        )
        .await;
        let answers: Vec<_> = response
            .topics
            .iter()
            .map(|topic| (topic.name.as_deref(), topic.error_code, topic.is_internal))
            .collect();
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        let illegal = ErrorCode::InvalidTopicException.code();
        let expected = [
            (Some("missing"), unknown, false),
            (Some("sp ace"), illegal, false),
            (Some(""), illegal, false),
            (Some("__consumer_offsets"), unknown, true),
        ];
        assert_eq!(answers, expected);
    }

    #[tokio::test]
    async fn a_topic_that_may_be_created_is_there_at_the_second_request() {
        let fixture = Fixture::with_settings(&[("num.partitions", "3")]).await;
        let first = ask(&fixture, 13, creating(&["events", "sp ace"])).await;
        let codes: Vec<_> = first.topics.iter().map(|topic| topic.error_code).collect();
        assert_eq!(
            codes,
            [
                ErrorCode::UnknownTopicOrPartition.code(),
                ErrorCode::InvalidTopicException.code()
            ]
        );
        let second = ask(&fixture, 13, creating(&["events"])).await;
        assert_eq!(
            (
                second.topics[0].error_code,
                second.topics[0].partitions.len()
            ),
            (0, 3)
        );
        assert_eq!(fixture.topics().image().topics().len(), 1);
    }

    #[tokio::test]
    async fn one_request_does_not_create_ever_so_many_topics() {
        let fixture = Fixture::with_settings(&[("num.partitions", "5001")]).await;
        let response = ask(&fixture, 13, creating(&["a", "b"])).await;
        assert_eq!(names(&response), ["a", "b"]);
        assert_eq!(fixture.topics().image().topics().len(), 0);
    }

    #[tokio::test]
    async fn an_internal_topic_is_created_as_the_broker_needs_it() {
        let fixture = Fixture::with_settings(&[("offsets.topic.num.partitions", "7")]).await;
        ask(&fixture, 13, creating(&["__consumer_offsets"])).await;
        let image = fixture.topics().image();
        let topic = image.topic("__consumer_offsets").unwrap();
        assert_eq!(
            (
                topic.partitions,
                topic.internal,
                topic.resolved.cleanup_policy.compact
            ),
            (7, true, true)
        );
        let response = ask(&fixture, 13, named(&["__consumer_offsets"])).await;
        assert!(response.topics[0].is_internal);
    }

    #[tokio::test]
    async fn topics_are_not_created_unless_client_and_broker_agree() {
        let fixture = Fixture::new().await;
        ask(&fixture, 13, named(&["events"])).await;
        ask(
            &fixture,
            13,
            MetadataRequest {
                topics: None,
                ..creating(&[])
            },
        )
        .await;
        assert_eq!(fixture.topics().image().topics().len(), 0);
        let fixture = Fixture::with_settings(&[("auto.create.topics.enable", "false")]).await;
        ask(&fixture, 13, creating(&["events"])).await;
        assert_eq!(fixture.topics().image().topics().len(), 0);
    }

    #[tokio::test]
    async fn topics_are_found_by_id() {
        let fixture = Fixture::new().await;
        let id = fixture.create_topic("events", 1).await;
        let unknown = Uuid([9; 16]);
        let mut request = by_ids(&[id, unknown, id]);
        request.topics.as_mut().unwrap().push(MetadataRequestTopic {
            name: Some("others".to_owned()),
            topic_id: Uuid::ZERO,
        });
        request.include_topic_authorized_operations = true;
        let response = ask(&fixture, 12, request).await;
        let answers: Vec<_> = response
            .topics
            .iter()
            .map(|topic| (topic.name.as_deref(), topic.topic_id, topic.error_code))
            .collect();
        assert_eq!(
            answers,
            [
                (Some("events"), id, 0),
                (None, unknown, ErrorCode::UnknownTopicId.code())
            ]
        );
        assert_eq!(
            response.topics[0].topic_authorized_operations,
            authorized_operations::TOPIC
        );
        assert_eq!(response.topics[1].topic_authorized_operations, i32::MIN);
    }

    #[tokio::test]
    async fn versions_before_ids_refuse_them_and_null_names() {
        let fixture = Fixture::new().await;
        let id = fixture.create_topic("events", 1).await;
        for version in [10, 11] {
            let response = ask(&fixture, version, by_ids(&[id])).await;
            let [topic] = response.topics.as_slice() else {
                panic!("one topic")
            };
            assert_eq!(
                (topic.error_code, topic.name.as_deref()),
                (ErrorCode::InvalidRequest.code(), Some(""))
            );
        }
    }

    #[tokio::test]
    async fn operations_on_the_cluster_are_told_by_the_versions_that_have_them() {
        let fixture = Fixture::new().await;
        for (version, expected) in [
            (8, authorized_operations::CLUSTER),
            (10, authorized_operations::CLUSTER),
            (11, i32::MIN),
        ] {
            let request = MetadataRequest {
                include_cluster_authorized_operations: true,
                ..named(&[])
            };
            assert_eq!(
                ask(&fixture, version, request)
                    .await
                    .cluster_authorized_operations,
                expected,
                "{version}"
            );
        }
        assert_eq!(
            ask(&fixture, 8, named(&[]))
                .await
                .cluster_authorized_operations,
            i32::MIN
        );
    }
}
