//! ElectLeaders, key 43, versions 0 to 2.
//!
//! * v1: the type of election, and an error for the whole request (KIP-460).
//!
//! A partition that is led by its only replica has the leader it should have, whatever the type: ELECTION_NOT_NEEDED. One
//! that nobody leads cannot get a leader here. Asked about all partitions, only those are told that do not have the leader
//! they should have (`ReplicationControlManager.electLeaders`).

use std::sync::Arc;

use metadata::{ClusterImage, Topic};
use protocol::ErrorCode;
use protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};

use crate::context::Context;
use crate::handlers::refusal::Refusal;
use crate::topics::Topics;

/// `ElectionType`.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

pub(crate) async fn handle(
    _context: Context,
    request: ElectLeadersRequest,
    topics: Arc<Topics>,
) -> ElectLeadersResponse {
    let election = request.election_type;
    if matches!(&request.topic_partitions, Some(asked) if asked.is_empty()) {
        return ElectLeadersResponse::default();
    }
    if !matches!(election, PREFERRED | UNCLEAN) {
        return refuse_all(request);
    }
    let image = topics.image();
    let replica_election_results = match request.topic_partitions {
        None => image
            .topics()
            .map(|topic| all_of_topic(&topics, topic, election))
            .collect(),
        Some(asked) => asked
            .into_iter()
            .map(|asked| ReplicaElectionResult {
                partition_result: asked
                    .partitions
                    .iter()
                    .map(|&partition| {
                        let outcome = elect(&topics, &image, &asked.topic, partition, election);
                        result(partition, outcome)
                    })
                    .collect(),
                topic: asked.topic,
            })
            .collect(),
    };
    ElectLeadersResponse {
        replica_election_results,
        ..Default::default()
    }
}

/// Each partition with the error, and the whole request too (`ElectLeadersRequest.getErrorResponse`).
fn refuse_all(request: ElectLeadersRequest) -> ElectLeadersResponse {
    let refusal = Refusal::new(
        ErrorCode::InvalidRequest,
        format!("unknown election type {}", request.election_type),
    );
    let results = |asked: protocol::messages::elect_leaders_request::TopicPartitions| {
        let refused = |&partition: &i32| result(partition, refusal.clone());
        ReplicaElectionResult {
            topic: asked.topic,
            partition_result: asked.partitions.iter().map(refused).collect(),
        }
    };
    let asked = request.topic_partitions.unwrap_or_default();
    ElectLeadersResponse {
        error_code: ErrorCode::InvalidRequest.into(),
        replica_election_results: asked.into_iter().map(results).collect(),
        ..Default::default()
    }
}

fn all_of_topic(topics: &Topics, topic: &Topic, election: i8) -> ReplicaElectionResult {
    let needed = (0..topic.partitions).filter_map(|partition| {
        let refusal = elect_existing(topics, topic, partition, election);
        (refusal.code != ErrorCode::ElectionNotNeeded).then(|| result(partition, refusal))
    });
    ReplicaElectionResult {
        topic: topic.name.to_string(),
        partition_result: needed.collect(),
    }
}

fn elect(
    topics: &Topics,
    image: &ClusterImage,
    topic: &str,
    partition: i32,
    election: i8,
) -> Refusal {
    let unknown = |what: &str| Refusal::new(ErrorCode::UnknownTopicOrPartition, what);
    match image.topic(topic) {
        None => unknown("no topic has this name"),
        Some(topic) if !(0..topic.partitions).contains(&partition) => {
            unknown("the topic has no such partition")
        }
        Some(topic) => elect_existing(topics, topic, partition, election),
    }
}

fn elect_existing(topics: &Topics, topic: &Topic, partition: i32, election: i8) -> Refusal {
    match topics.owner(topic, partition) {
        Ok(owner) if owner.leader.is_some() => Refusal::new(
            ErrorCode::ElectionNotNeeded,
            "the partition has the leader it should have",
        ),
        _ if election == UNCLEAN => Refusal::new(
            ErrorCode::EligibleLeadersNotAvailable,
            "no replica can lead the partition",
        ),
        _ => Refusal::new(
            ErrorCode::PreferredLeaderNotAvailable,
            "the preferred replica cannot lead the partition",
        ),
    }
}

fn result(partition_id: i32, refusal: Refusal) -> PartitionResult {
    PartitionResult {
        partition_id,
        error_code: refusal.code.into(),
        error_message: Some(refusal.message),
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::elect_leaders_request::TopicPartitions;

    use super::*;
    use crate::handlers::fixture::Fixture;

    async fn ask(
        fixture: &Fixture,
        election_type: i8,
        asked: Option<&[(&str, &[i32])]>,
    ) -> (i16, Vec<(String, Vec<(i32, i16)>)>) {
        let topic = |(topic, partitions): &(&str, &[i32])| TopicPartitions {
            topic: (*topic).to_owned(),
            partitions: partitions.to_vec(),
        };
        let request = ElectLeadersRequest {
            election_type,
            topic_partitions: asked.map(|asked| asked.iter().map(topic).collect()),
            ..Default::default()
        };
        let response = handle(fixture.context(2), request, fixture.topics()).await;
        let results = response.replica_election_results.into_iter().map(|topic| {
            let partitions = topic.partition_result.iter();
            let partitions = partitions.map(|one| (one.partition_id, one.error_code));
            (topic.topic, partitions.collect())
        });
        (response.error_code, results.collect())
    }

    #[tokio::test]
    async fn a_partition_that_is_led_needs_no_election() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 3).await;
        fixture.ownership.orphan("events", 2);
        let not_needed = ErrorCode::ElectionNotNeeded.code();
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        for (election, unavailable) in [
            (PREFERRED, ErrorCode::PreferredLeaderNotAvailable.code()),
            (UNCLEAN, ErrorCode::EligibleLeadersNotAvailable.code()),
        ] {
            let asked: &[(&str, &[i32])] = &[("events", &[0, 2, 3]), ("missing", &[0])];
            let (code, results) = ask(&fixture, election, Some(asked)).await;
            let events = vec![(0, not_needed), (2, unavailable), (3, unknown)];
            let missing = vec![(0, unknown)];
            assert_eq!(code, 0);
            let expected = [
                ("events".to_owned(), events),
                ("missing".to_owned(), missing),
            ];
            assert_eq!(results, expected);
            // Of all partitions, only those that need an election.
            let (_, results) = ask(&fixture, election, None).await;
            assert_eq!(results, [("events".to_owned(), vec![(2, unavailable)])]);
        }
    }

    #[tokio::test]
    async fn other_elections_are_refused() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let refused = ErrorCode::InvalidRequest.code();
        let (code, results) = ask(&fixture, 7, Some(&[("events", &[0])])).await;
        assert_eq!(code, refused);
        assert_eq!(results, [("events".to_owned(), vec![(0, refused)])]);
        assert_eq!(ask(&fixture, 7, Some(&[])).await, (0, Vec::new()));
    }
}
