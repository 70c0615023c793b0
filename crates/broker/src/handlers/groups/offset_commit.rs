//! OffsetCommit, key 8, versions 2 to 10.
//!
//! * v2 to v4: retention time. v6: leader epoch. v7: static members. v9: GROUP_ID_NOT_FOUND. v10: topics by id.
//!
//! Partitions that do not exist are refused one by one; the others are committed together.

use std::sync::Arc;

use coordinator::{CommitPartition, CommitRequest, CommitTopic, CommittedTopic};
use metadata::{ClusterImage, Topic};
use protocol::ErrorCode;
use protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use types::{GroupId, LeaderEpoch, PartitionIndex};

use super::{errors, wire};
use crate::context::Context;
use crate::coordinators::GroupCoordinator;
use crate::topics::{PartitionError, Topics};

/// The first version that names topics by id.
const TOPIC_ID_SINCE: i16 = 10;

/// The first version whose clients know the errors of member epochs.
const MEMBER_EPOCHS_SINCE: i16 = 9;

pub(crate) async fn handle(
    context: Context,
    request: OffsetCommitRequest,
    groups: Arc<GroupCoordinator>,
    topics: Arc<Topics>,
) -> OffsetCommitResponse {
    let image = topics.image();
    let plan: Vec<_> = request
        .topics
        .iter()
        .map(|topic| plan(topic, &image, context.version))
        .collect();
    let commit = CommitRequest {
        group: GroupId::new(&request.group_id),
        member: wire::member(&request.member_id),
        instance: wire::instance(request.group_instance_id.as_deref()),
        generation: wire::generation(request.generation_id_or_member_epoch),
        retention_ms: Some(request.retention_time_ms).filter(|retention| *retention >= 0),
        takes_member_epochs: context.version >= MEMBER_EPOCHS_SINCE,
        topics: plan
            .iter()
            .filter_map(|planned| planned.commit.clone())
            .collect(),
    };
    let outcome = if commit.topics.is_empty() {
        Ok(Vec::new())
    } else {
        match groups.commit(commit).await {
            Ok(Ok(committed)) => Ok(codes(&committed)),
            Ok(Err(error)) => Err(errors::commit(&error, context.version)),
            Err(error) => Err(errors::coordinator(error)),
        }
    };
    respond(&request.topics, &plan, outcome)
}

/// What becomes of one topic of the request.
struct Planned {
    /// Its partitions that exist.
    commit: Option<CommitTopic>,
    /// For each partition of the request, in order, why it is not committed.
    refused: Vec<Option<ErrorCode>>,
}

fn plan(requested: &OffsetCommitRequestTopic, image: &ClusterImage, version: i16) -> Planned {
    let topic = if version >= TOPIC_ID_SINCE {
        Topics::by_id(image, requested.topic_id)
    } else {
        Topics::by_name(image, &requested.name)
    };
    let refusal = |partition: &OffsetCommitRequestPartition| match topic {
        Err(error) => Some(crate::handlers::errors::partition(error)),
        Ok(topic) if (0..topic.partitions).contains(&partition.partition_index) => None,
        Ok(_) => Some(crate::handlers::errors::partition(
            PartitionError::UnknownTopicOrPartition,
        )),
    };
    let refused: Vec<_> = requested.partitions.iter().map(refusal).collect();
    let existing = requested
        .partitions
        .iter()
        .zip(&refused)
        .filter(|(_, refused)| refused.is_none());
    let partitions: Vec<_> = existing
        .filter_map(|(partition, _)| commit_partition(partition))
        .collect();
    let commit = topic
        .ok()
        .filter(|_| !partitions.is_empty())
        .map(|topic| commit_topic(topic, partitions, version));
    Planned { commit, refused }
}

fn commit_topic(topic: &Topic, partitions: Vec<CommitPartition>, version: i16) -> CommitTopic {
    CommitTopic {
        topic: topic.name.clone(),
        topic_id: (version >= TOPIC_ID_SINCE).then_some(topic.id),
        partitions,
    }
}

fn commit_partition(partition: &OffsetCommitRequestPartition) -> Option<CommitPartition> {
    Some(CommitPartition {
        partition: PartitionIndex::new(partition.partition_index)?,
        offset: partition.committed_offset,
        leader_epoch: LeaderEpoch::new(partition.committed_leader_epoch),
        metadata: partition.committed_metadata.as_deref().map(Arc::from),
    })
}

/// The result of each partition, in the order they were handed over.
fn codes(committed: &[CommittedTopic]) -> Vec<ErrorCode> {
    let partitions = committed.iter().flat_map(|topic| &topic.partitions);
    let code = |result: &Result<(), _>| {
        result
            .as_ref()
            .err()
            .map_or(ErrorCode::None, errors::commit_partition)
    };
    partitions
        .map(|partition| code(&partition.result))
        .collect()
}

fn respond(
    requested: &[OffsetCommitRequestTopic],
    plan: &[Planned],
    outcome: Result<Vec<ErrorCode>, ErrorCode>,
) -> OffsetCommitResponse {
    let (results, for_all) = match outcome {
        Ok(results) => (results, ErrorCode::UnknownServerError),
        Err(code) => (Vec::new(), code),
    };
    let mut results = results.into_iter();
    let mut topic = |(requested, planned): (&OffsetCommitRequestTopic, &Planned)| {
        let partitions = requested.partitions.iter().zip(&planned.refused);
        let partition =
            |(partition, refused): (&OffsetCommitRequestPartition, &Option<ErrorCode>)| {
                let code = refused.unwrap_or_else(|| results.next().unwrap_or(for_all));
                OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: code.into(),
                }
            };
        OffsetCommitResponseTopic {
            name: requested.name.clone(),
            topic_id: requested.topic_id,
            partitions: partitions.map(partition).collect(),
        }
    };
    let topics = requested.iter().zip(plan).map(&mut topic).collect();
    OffsetCommitResponse {
        topics,
        ..Default::default()
    }
}
