//! DescribeQuorum, key 55, versions 0 to 2.
//!
//! * v1: when each voter was heard of. v2: messages for errors, directories, and where voters are (KIP-853).
//!
//! The metadata is this broker's alone: it is the only voter and the leader, in the epoch of this start, and its log ends at
//! the metadata's revision. There is no listener for controllers; voters are where clients reach the broker.

use std::sync::Arc;

use protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use protocol::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
use protocol::{ErrorCode, Uuid};

use crate::context::Context;
use crate::topics::Topics;

/// The only topic with a quorum (`Topic.CLUSTER_METADATA_TOPIC_NAME`), which has one partition.
const CLUSTER_METADATA: &str = "__cluster_metadata";
/// The first version that knows messages, directories and nodes.
const NODES_SINCE: i16 = 2;

pub(crate) async fn handle(
    context: Context,
    request: DescribeQuorumRequest,
    topics: Arc<Topics>,
) -> DescribeQuorumResponse {
    if !is_about_metadata(&request) {
        return refuse(&context, request);
    }
    let leader_id = topics.broker_id().0;
    let revision = i64::try_from(topics.image().revision.value()).unwrap_or(i64::MAX);
    let now_ms = topics.env.clock.wall().ms();
    let voter = ReplicaState {
        replica_id: leader_id,
        // Only a quorum whose voters may change knows their directories.
        replica_directory_id: Uuid::ZERO,
        log_end_offset: revision,
        last_fetch_timestamp: now_ms,
        last_caught_up_timestamp: now_ms,
    };
    let partition = PartitionData {
        leader_id,
        leader_epoch: topics.metadata_epoch(),
        high_watermark: revision,
        current_voters: vec![voter],
        ..Default::default()
    };
    DescribeQuorumResponse {
        topics: vec![TopicData {
            topic_name: CLUSTER_METADATA.to_owned(),
            partitions: vec![partition],
        }],
        nodes: if context.version >= NODES_SINCE {
            nodes(&topics)
        } else {
            Vec::new()
        },
        ..Default::default()
    }
}

fn is_about_metadata(request: &DescribeQuorumRequest) -> bool {
    let [topic] = request.topics.as_slice() else {
        return false;
    };
    let [partition] = topic.partitions.as_slice() else {
        return false;
    };
    topic.topic_name == CLUSTER_METADATA && partition.partition_index == 0
}

fn nodes(topics: &Topics) -> Vec<Node> {
    let node = |endpoint: crate::config::Endpoint<'_>| Node {
        node_id: endpoint.broker.0,
        listeners: vec![Listener {
            name: "PLAINTEXT".to_owned(),
            host: endpoint.host.to_owned(),
            port: u16::try_from(endpoint.port).unwrap_or(0),
        }],
    };
    topics.config.endpoints().map(node).collect()
}

/// `DescribeQuorumRequest.getPartitionLevelErrorResponse`.
fn refuse(context: &Context, request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    let message =
        (context.version >= NODES_SINCE).then(|| format!("only {CLUSTER_METADATA}-0 has a quorum"));
    let topics = request.topics.into_iter().map(|topic| TopicData {
        topic_name: topic.topic_name,
        partitions: topic
            .partitions
            .into_iter()
            .map(|partition| PartitionData {
                partition_index: partition.partition_index,
                error_code: ErrorCode::UnknownTopicOrPartition.into(),
                error_message: message.clone(),
                ..Default::default()
            })
            .collect(),
    });
    DescribeQuorumResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::describe_quorum_request;

    use super::*;
    use crate::handlers::fixture::{BROKER, Fixture};

    fn request(topic: &str, partition_index: i32) -> DescribeQuorumRequest {
        DescribeQuorumRequest {
            topics: vec![describe_quorum_request::TopicData {
                topic_name: topic.to_owned(),
                partitions: vec![describe_quorum_request::PartitionData { partition_index }],
            }],
        }
    }

    #[tokio::test]
    async fn this_broker_is_the_quorum() {
        let fixture = Fixture::new().await;
        for version in 0..=2 {
            let asked = request(CLUSTER_METADATA, 0);
            let response = handle(fixture.context(version), asked, fixture.topics()).await;
            let partition = &response.topics[0].partitions[0];
            assert_eq!((partition.error_code, partition.leader_id), (0, BROKER.0));
            assert_eq!(partition.leader_epoch, fixture.epoch());
            assert_eq!(partition.current_voters[0].replica_id, BROKER.0);
            assert!(partition.observers.is_empty());
            assert_eq!(response.nodes.len(), usize::from(version >= NODES_SINCE));
        }
    }

    #[tokio::test]
    async fn nothing_else_has_a_quorum() {
        let fixture = Fixture::new().await;
        for asked in [request("events", 0), request(CLUSTER_METADATA, 1)] {
            let response = handle(fixture.context(2), asked, fixture.topics()).await;
            let code = response.topics[0].partitions[0].error_code;
            assert_eq!(code, ErrorCode::UnknownTopicOrPartition.code());
        }
    }
}
