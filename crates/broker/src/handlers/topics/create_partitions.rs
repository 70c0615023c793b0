//! CreatePartitions, key 37, versions 0 to 3 (1 and 3 change throttling only, 2 is flexible): more partitions for topics.
//!
//! The rules lie with [`metadata::Cluster::create_partitions`]. Every topic of the request has one result.

use std::sync::Arc;

use hashbrown::HashSet;
use metadata::NewPartitions;
use protocol::messages::create_partitions_request::CreatePartitionsTopic;
use protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::errors;
use crate::context::Context;
use crate::handlers::refusal;
use crate::topics::Topics;

pub(crate) async fn handle(
    _context: Context,
    request: CreatePartitionsRequest,
    topics: Arc<Topics>,
) -> CreatePartitionsResponse {
    let names: Vec<String> = request
        .topics
        .iter()
        .map(|topic| topic.name.clone())
        .collect();
    let asked = request.topics.into_iter().map(new_partitions).collect();
    let outcomes = topics
        .cluster
        .create_partitions(asked, request.validate_only)
        .await;
    let mut answered = HashSet::new();
    let mut response = CreatePartitionsResponse::default();
    for (name, outcome) in names.iter().zip(outcomes) {
        if answered.insert(name.as_str()) {
            let outcome = outcome.map_err(|error| errors::create_partitions(&error));
            let (error_code, error_message) = refusal::fields(&outcome);
            response.results.push(CreatePartitionsTopicResult {
                name: name.clone(),
                error_code,
                error_message,
            });
        }
    }
    response
}

fn new_partitions(topic: CreatePartitionsTopic) -> NewPartitions {
    let brokers = |assignments: Vec<_>| {
        assignments
            .into_iter()
            .map(|assignment: protocol::messages::create_partitions_request::CreatePartitionsAssignment| {
                assignment.broker_ids
            })
            .collect()
    };
    NewPartitions {
        topic: topic.name,
        count: topic.count,
        assignments: topic.assignments.map(brokers),
    }
}

#[cfg(test)]
mod tests {
    use protocol::ErrorCode;
    use protocol::messages::create_partitions_request::CreatePartitionsAssignment;

    use super::*;
    use crate::handlers::fixture::{BROKER, Fixture};

    fn topic(name: &str, count: i32, assignments: Option<&[&[i32]]>) -> CreatePartitionsTopic {
        let assignment = |brokers: &&[i32]| CreatePartitionsAssignment {
            broker_ids: brokers.to_vec(),
        };
        CreatePartitionsTopic {
            name: name.to_owned(),
            count,
            assignments: assignments
                .map(|assignments| assignments.iter().map(assignment).collect()),
        }
    }

    async fn ask(
        fixture: &Fixture,
        topics: Vec<CreatePartitionsTopic>,
        validate_only: bool,
    ) -> Vec<(String, i16)> {
        let request = CreatePartitionsRequest {
            topics,
            validate_only,
            ..Default::default()
        };
        let response = handle(fixture.context(3), request, fixture.topics()).await;
        response
            .results
            .into_iter()
            .map(|result| (result.name, result.error_code))
            .collect()
    }

    fn partitions(fixture: &Fixture, name: &str) -> i32 {
        fixture
            .topics()
            .image()
            .topic(name)
            .map_or(0, |topic| topic.partitions)
    }

    #[tokio::test]
    async fn a_topic_grows() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let results = ask(&fixture, vec![topic("events", 3, None)], false).await;
        assert_eq!(results, [("events".to_owned(), 0)]);
        assert_eq!(partitions(&fixture, "events"), 3);
        let assignments: &[&[i32]] = &[&[BROKER.0]];
        let results = ask(&fixture, vec![topic("events", 4, Some(assignments))], false).await;
        assert_eq!(results, [("events".to_owned(), 0)]);
        assert_eq!(partitions(&fixture, "events"), 4);
    }

    #[tokio::test]
    async fn each_mistake_has_kafkas_code() {
        use ErrorCode::{
            InvalidPartitions, InvalidReplicaAssignment, PolicyViolation, UnknownTopicOrPartition,
        };
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 2).await;
        let here: &[i32] = &[BROKER.0];
        for (asked, expected) in [
            (topic("missing", 2, None), UnknownTopicOrPartition),
            (topic("events", 2, None), InvalidPartitions),
            (topic("events", 1, None), InvalidPartitions),
            (topic("events", -1, None), InvalidPartitions),
            (topic("events", i32::MAX, None), PolicyViolation),
            (topic("events", 3, Some(&[])), InvalidReplicaAssignment),
            (
                topic("events", 3, Some(&[here, here])),
                InvalidReplicaAssignment,
            ),
            (topic("events", 3, Some(&[&[]])), InvalidReplicaAssignment),
            (
                topic("events", 3, Some(&[&[BROKER.0 + 1]])),
                InvalidReplicaAssignment,
            ),
        ] {
            let results = ask(&fixture, vec![asked.clone()], false).await;
            assert_eq!(
                results,
                [(asked.name.clone(), expected.code())],
                "{asked:?}"
            );
            assert_eq!(partitions(&fixture, "events"), 2);
        }
    }

    #[tokio::test]
    async fn a_topic_that_comes_twice_is_answered_once() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let results = ask(
            &fixture,
            vec![topic("events", 2, None), topic("events", 3, None)],
            false,
        )
        .await;
        assert_eq!(
            results,
            [("events".to_owned(), ErrorCode::InvalidRequest.code())]
        );
        assert_eq!(partitions(&fixture, "events"), 1);
    }

    #[tokio::test]
    async fn validation_changes_nothing() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let results = ask(
            &fixture,
            vec![topic("events", 2, None), topic("missing", 2, None)],
            true,
        )
        .await;
        assert_eq!(results[0].1, 0);
        assert_eq!(results[1].1, ErrorCode::UnknownTopicOrPartition.code());
        assert_eq!(partitions(&fixture, "events"), 1);
    }
}
