//! AlterPartitionReassignments, key 45, versions 0 to 1.
//!
//! * v1: whether the number of replicas may change (KIP-860).
//!
//! The only broker has every replica, so the only assignment that can be is the one there is, and it is accepted without
//! an effect. Other brokers, none at all and the same one twice are INVALID_REPLICA_ASSIGNMENT; nothing ever moves, so there
//! is nothing to cancel: NO_REASSIGNMENT_IN_PROGRESS (`ReplicationControlManager.alterPartitionReassignment`).

use std::sync::Arc;

use metadata::ClusterImage;
use protocol::ErrorCode;
use protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};

use crate::context::Context;
use crate::handlers::refusal::{self, Refusal};
use crate::topics::Topics;

pub(crate) async fn handle(
    _context: Context,
    request: AlterPartitionReassignmentsRequest,
    topics: Arc<Topics>,
) -> AlterPartitionReassignmentsResponse {
    let image = topics.image();
    let brokers = topics.cluster.node_ids();
    let responses = request.topics.into_iter().map(|topic| {
        let answer = |partition: &ReassignablePartition| {
            let outcome = check(&image, &brokers, &topic, partition);
            let (error_code, error_message) = refusal::fields(&outcome);
            ReassignablePartitionResponse {
                partition_index: partition.partition_index,
                error_code,
                error_message,
            }
        };
        ReassignableTopicResponse {
            partitions: topic.partitions.iter().map(answer).collect(),
            name: topic.name,
        }
    });
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        error_message: None,
        responses: responses.collect(),
        ..Default::default()
    }
}

fn check(
    image: &ClusterImage,
    brokers: &[i32],
    topic: &ReassignableTopic,
    partition: &ReassignablePartition,
) -> Result<(), Refusal> {
    let unknown = |what: &str| Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, what));
    let invalid = |why: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why));
    let Some(known) = image.topic(&topic.name) else {
        return unknown("no topic has this name");
    };
    if !(0..known.partitions).contains(&partition.partition_index) {
        return unknown("the topic has no such partition");
    }
    let Some(replicas) = &partition.replicas else {
        let message = "no reassignment of the partition is in progress";
        return Err(Refusal::new(ErrorCode::NoReassignmentInProgress, message));
    };
    if replicas.is_empty() {
        return invalid("the assignment has no replicas".to_owned());
    }
    if let Some(stranger) = replicas.iter().find(|replica| !brokers.contains(replica)) {
        return invalid(format!("no broker {stranger} is in the cluster"));
    }
    // All are this broker: more than one of them is one twice.
    if replicas.len() > brokers.len() {
        return invalid("the assignment names a broker more than once".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::{BROKER, Fixture};

    #[tokio::test]
    async fn only_the_assignment_there_is_can_be() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let this = BROKER.0;
        for (topic, partition_index, replicas, expected) in [
            ("events", 0, Some(vec![this]), ErrorCode::None),
            (
                "events",
                0,
                Some(vec![this + 1]),
                ErrorCode::InvalidReplicaAssignment,
            ),
            (
                "events",
                0,
                Some(vec![this, this]),
                ErrorCode::InvalidReplicaAssignment,
            ),
            (
                "events",
                0,
                Some(vec![]),
                ErrorCode::InvalidReplicaAssignment,
            ),
            ("events", 0, None, ErrorCode::NoReassignmentInProgress),
            (
                "events",
                1,
                Some(vec![this]),
                ErrorCode::UnknownTopicOrPartition,
            ),
            ("missing", 0, None, ErrorCode::UnknownTopicOrPartition),
        ] {
            let partition = ReassignablePartition {
                partition_index,
                replicas: replicas.clone(),
            };
            let request = AlterPartitionReassignmentsRequest {
                topics: vec![ReassignableTopic {
                    name: topic.to_owned(),
                    partitions: vec![partition],
                }],
                ..Default::default()
            };
            let response = handle(fixture.context(1), request, fixture.topics()).await;
            assert_eq!(response.error_code, 0);
            assert_eq!(
                response.responses[0].partitions[0].error_code,
                expected.code(),
                "{topic}-{partition_index} to {replicas:?}"
            );
        }
    }
}
