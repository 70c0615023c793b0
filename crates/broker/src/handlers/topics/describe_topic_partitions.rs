//! DescribeTopicPartitions, key 75, version 0 (KIP-966): topics in the order of their names, a page at a time.
//!
//! A page has at most `max.request.partition.size.limit` partitions, or as many as the client asks for if those are
//! fewer. Where the next page begins, the answer's cursor says. A cursor that names no requested topic, or a negative
//! partition, is INVALID_REQUEST (`DescribeTopicPartitionsRequestHandler`).

use std::collections::BTreeSet;
use std::sync::Arc;

use metadata::{ClusterImage, Topic};
use protocol::messages::describe_topic_partitions_request::TopicRequest;
use protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use protocol::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use protocol::{ErrorCode, Uuid};

use super::partition_view::{self, PartitionView};
use crate::context::Context;
use crate::handlers::authorized_operations;
use crate::topics::Topics;

/// No broker leads the partition (`MetadataResponse.NO_LEADER_ID`).
const NO_LEADER: i32 = -1;

/// Where the page begins.
struct Start<'a> {
    topic: &'a str,
    partition: i32,
}

pub(crate) async fn handle(
    _context: Context,
    request: DescribeTopicPartitionsRequest,
    topics: Arc<Topics>,
) -> DescribeTopicPartitionsResponse {
    let image = topics.image();
    let start = request.cursor.as_ref().map_or(
        Start {
            topic: "",
            partition: 0,
        },
        |cursor| Start {
            topic: &cursor.topic_name,
            partition: cursor.partition_index,
        },
    );
    let all = request.topics.is_empty();
    let names: BTreeSet<&str> = if all {
        image
            .topics()
            .map(|topic| topic.name.as_str())
            .filter(|name| *name >= start.topic)
            .collect()
    } else {
        request
            .topics
            .iter()
            .map(|topic| topic.name.as_str())
            .filter(|name| *name >= start.topic)
            .collect()
    };
    let names_cursor = all || request.cursor.is_none() || names.contains(start.topic);
    if !names_cursor || start.partition < 0 {
        return refuse(&request.topics);
    }
    let limit = image.broker.max_request_partition_size_limit;
    let limit = request.response_partition_limit.min(limit).max(1);
    page(&topics, &image, names, &start, limit)
}

fn page(
    topics: &Topics,
    image: &ClusterImage,
    names: BTreeSet<&str>,
    start: &Start<'_>,
    limit: i32,
) -> DescribeTopicPartitionsResponse {
    let mut response = DescribeTopicPartitionsResponse::default();
    let mut remaining = limit;
    for name in names {
        if remaining == 0 {
            response.next_cursor = Some(Cursor {
                topic_name: name.to_owned(),
                partition_index: 0,
            });
            break;
        }
        let Some(topic) = image.topic(name) else {
            response.topics.push(missing(name));
            continue;
        };
        let first = if name == start.topic {
            start.partition
        } else {
            0
        };
        let end = first.saturating_add(remaining).min(topic.partitions);
        let described = found(topics, topic, first..end);
        remaining -= i32::try_from(described.partitions.len()).unwrap_or(remaining);
        response.topics.push(described);
        if end < topic.partitions {
            response.next_cursor = Some(Cursor {
                topic_name: name.to_owned(),
                partition_index: end,
            });
            break;
        }
    }
    response
}

fn found(
    topics: &Topics,
    topic: &Topic,
    range: std::ops::Range<i32>,
) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::None.into(),
        name: Some(topic.name.as_str().to_owned()),
        topic_id: Uuid(topic.id.bytes()),
        is_internal: topic.internal,
        partitions: partition_view::partitions(topics, topic, range)
            .map(partition)
            .collect(),
        topic_authorized_operations: authorized_operations::TOPIC,
    }
}

/// A partition without a leader has no error here, unlike in Metadata.
fn partition(view: PartitionView) -> DescribeTopicPartitionsResponsePartition {
    DescribeTopicPartitionsResponsePartition {
        error_code: ErrorCode::None.into(),
        partition_index: view.index,
        leader_id: view.leader.map_or(NO_LEADER, |leader| leader.0),
        leader_epoch: view.leader_epoch,
        isr_nodes: view.replicas.clone(),
        replica_nodes: view.replicas,
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        offline_replicas: Vec::new(),
    }
}

fn missing(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let error = match metadata::check_topic_name(name) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_invalid) => ErrorCode::InvalidTopicException,
    };
    DescribeTopicPartitionsResponseTopic {
        error_code: error.into(),
        name: Some(name.to_owned()),
        is_internal: metadata::is_internal_topic(name),
        topic_authorized_operations: authorized_operations::TOPIC,
        ..Default::default()
    }
}

fn refuse(asked: &[TopicRequest]) -> DescribeTopicPartitionsResponse {
    let topic = |asked: &TopicRequest| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::InvalidRequest.into(),
        name: Some(asked.name.clone()),
        ..Default::default()
    };
    DescribeTopicPartitionsResponse {
        topics: asked.iter().map(topic).collect(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::describe_topic_partitions_request;

    use super::*;
    use crate::handlers::fixture::{BROKER, Fixture};

    type Page<'a> = (Vec<(&'a str, Vec<i32>)>, Option<(&'a str, i32)>);

    fn request(
        names: &[&str],
        limit: i32,
        cursor: Option<(&str, i32)>,
    ) -> DescribeTopicPartitionsRequest {
        let cursor = cursor.map(
            |(topic, partition)| describe_topic_partitions_request::Cursor {
                topic_name: topic.to_owned(),
                partition_index: partition,
            },
        );
        let topic = |name: &&str| TopicRequest {
            name: (*name).to_owned(),
        };
        DescribeTopicPartitionsRequest {
            topics: names.iter().map(topic).collect(),
            response_partition_limit: limit,
            cursor,
        }
    }

    async fn ask(
        fixture: &Fixture,
        request: DescribeTopicPartitionsRequest,
    ) -> DescribeTopicPartitionsResponse {
        handle(fixture.context(0), request, fixture.topics()).await
    }

    /// Topics with the numbers of their partitions, and where the next page begins.
    fn shape(response: &DescribeTopicPartitionsResponse) -> Page<'_> {
        let topics = response.topics.iter().map(|topic| {
            let indexes = topic
                .partitions
                .iter()
                .map(|partition| partition.partition_index)
                .collect();
            (topic.name.as_deref().unwrap(), indexes)
        });
        let cursor = response.next_cursor.as_ref();
        (
            topics.collect(),
            cursor.map(|cursor| (cursor.topic_name.as_str(), cursor.partition_index)),
        )
    }

    #[tokio::test]
    async fn all_topics_come_page_by_page() {
        let fixture = Fixture::new().await;
        fixture.create_topic("b", 3).await;
        fixture.create_topic("a", 2).await;
        fixture.create_topic("c", 1).await;
        let whole = ask(&fixture, request(&[], 2000, None)).await;
        assert_eq!(
            shape(&whole),
            (
                vec![("a", vec![0, 1]), ("b", vec![0, 1, 2]), ("c", vec![0])],
                None
            )
        );
        let first = ask(&fixture, request(&[], 2, None)).await;
        assert_eq!(shape(&first), (vec![("a", vec![0, 1])], Some(("b", 0))));
        let second = ask(&fixture, request(&[], 2, Some(("b", 0)))).await;
        assert_eq!(shape(&second), (vec![("b", vec![0, 1])], Some(("b", 2))));
        let third = ask(&fixture, request(&[], 2, Some(("b", 2)))).await;
        assert_eq!(shape(&third), (vec![("b", vec![2]), ("c", vec![0])], None));
        // A limit below one is one.
        let least = ask(&fixture, request(&[], 0, None)).await;
        assert_eq!(shape(&least), (vec![("a", vec![0])], Some(("a", 1))));
    }

    #[tokio::test]
    async fn the_broker_limits_pages_too() {
        let fixture = Fixture::with_settings(&[("max.request.partition.size.limit", "2")]).await;
        fixture.create_topic("a", 3).await;
        let response = ask(&fixture, request(&[], 2000, None)).await;
        assert_eq!(shape(&response), (vec![("a", vec![0, 1])], Some(("a", 2))));
    }

    #[tokio::test]
    async fn named_topics_come_in_order_and_missing_ones_with_their_error() {
        let fixture = Fixture::new().await;
        let id = fixture.create_topic("b", 1).await;
        let response = ask(&fixture, request(&["c", "b", "a b"], 2000, None)).await;
        assert_eq!(
            shape(&response),
            (vec![("a b", vec![]), ("b", vec![0]), ("c", vec![])], None)
        );
        let codes: Vec<_> = response
            .topics
            .iter()
            .map(|topic| topic.error_code)
            .collect();
        let expected = [
            ErrorCode::InvalidTopicException,
            ErrorCode::None,
            ErrorCode::UnknownTopicOrPartition,
        ];
        assert_eq!(codes, expected.map(ErrorCode::code));
        let topic = &response.topics[1];
        assert_eq!(
            (topic.topic_id, topic.topic_authorized_operations),
            (id, authorized_operations::TOPIC)
        );
        let expected = DescribeTopicPartitionsResponsePartition {
            error_code: 0,
            partition_index: 0,
            leader_id: BROKER.0,
            leader_epoch: fixture.epoch(),
            replica_nodes: vec![BROKER.0],
            isr_nodes: vec![BROKER.0],
            eligible_leader_replicas: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            offline_replicas: Vec::new(),
        };
        assert_eq!(topic.partitions, [expected]);
    }

    #[tokio::test]
    async fn a_partition_without_leader_has_no_error() {
        let fixture = Fixture::new().await;
        fixture.create_topic("a", 1).await;
        fixture.ownership.orphan("a", 0);
        let response = ask(&fixture, request(&["a"], 2000, None)).await;
        let partition = &response.topics[0].partitions[0];
        assert_eq!((partition.error_code, partition.leader_id), (0, NO_LEADER));
    }

    #[tokio::test]
    async fn a_cursor_outside_of_the_request_is_refused() {
        let fixture = Fixture::new().await;
        fixture.create_topic("a", 1).await;
        fixture.create_topic("b", 1).await;
        for cursor in [("a", -1), ("b", 0), ("0", 0)] {
            let response = ask(&fixture, request(&["a"], 2000, Some(cursor))).await;
            let codes: Vec<_> = response
                .topics
                .iter()
                .map(|topic| topic.error_code)
                .collect();
            assert_eq!(codes, [ErrorCode::InvalidRequest.code()], "{cursor:?}");
        }
        // Past the end of the topic: nothing, and no error.
        let response = ask(&fixture, request(&["a"], 2000, Some(("a", 5)))).await;
        assert_eq!(shape(&response), (vec![("a", vec![])], None));
        // All topics: the cursor's need not exist any more.
        let response = ask(&fixture, request(&[], 2000, Some(("aa", 3)))).await;
        assert_eq!(shape(&response), (vec![("b", vec![0])], None));
    }
}
