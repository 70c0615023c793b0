//! CreatePartitions, key 37, versions 0 to 3 (1 and 3 change throttling only, 2 is flexible): more partitions for topics.
//!
//! Clients above `controller_mutation_rate` get THROTTLING_QUOTA_EXCEEDED from version 3 on, older ones are only throttled
//! (KIP-599). The rules lie with [`metadata::Cluster::create_partitions`]. Every topic of the request has one result.

use std::sync::Arc;

use hashbrown::HashSet;
use metadata::{NewPartitions, Topic};
use protocol::messages::create_partitions_request::CreatePartitionsTopic;
use protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::errors;
use super::granted::Exceeding;
use crate::context::Context;
use crate::handlers::refusal;
use crate::quotas::{Mutations, Quotas};
use crate::topics::Topics;

/// The first version whose clients know THROTTLING_QUOTA_EXCEEDED.
const QUOTA_ERROR_SINCE: i16 = 3;

pub(crate) async fn handle(
    context: Context,
    request: CreatePartitionsRequest,
    topics: Arc<Topics>,
    quotas: Arc<Quotas>,
) -> CreatePartitionsResponse {
    let names: Vec<String> = request
        .topics
        .iter()
        .map(|topic| topic.name.clone())
        .collect();
    let asked: Vec<NewPartitions> = request.topics.into_iter().map(new_partitions).collect();
    let mut mutations = quotas.mutations(&context, QUOTA_ERROR_SINCE);
    let exceeding = if quotas.are_set() {
        exceeding(&topics, &asked, &mut mutations).await
    } else {
        Exceeding::nothing()
    };
    let granted = exceeding.granted(asked);
    let cluster = &topics.cluster;
    let outcomes = cluster
        .create_partitions(granted, request.validate_only)
        .await;
    let mut answered = HashSet::new();
    let result = |(name, outcome): (&String, Option<Result<_, _>>)| {
        let outcome = match outcome {
            Some(outcome) => outcome.map_err(|error| errors::create_partitions(&error)),
            None => Err(errors::quota_exceeded()),
        };
        let (error_code, error_message) = refusal::fields(&outcome);
        CreatePartitionsTopicResult {
            name: name.clone(),
            error_code,
            error_message,
        }
    };
    CreatePartitionsResponse {
        results: names
            .iter()
            .zip(exceeding.outcomes(outcomes))
            .filter(|(name, _)| answered.insert(name.as_str()))
            .map(result)
            .collect(),
        throttle_time_ms: mutations.throttle_ms(),
    }
}

async fn exceeding(
    topics: &Topics,
    asked: &[NewPartitions],
    mutations: &mut Mutations<'_>,
) -> Exceeding {
    let image = topics.image();
    let tried = topics.cluster.create_partitions(asked.to_vec(), true).await;
    let added = |after: &Arc<Topic>| {
        let before = image.topic(after.name.as_str());
        let before = before.map_or(0, |topic| topic.partitions);
        after.partitions.saturating_sub(before)
    };
    Exceeding::of(&tried, added, mutations)
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
        let response = handle(
            fixture.context(3),
            request,
            fixture.topics(),
            fixture.quotas(),
        )
        .await;
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
