//! OffsetFetch, key 9, versions 1 to 10.
//!
//! * v2: null topics mean all; an error of the group. v5: leader epoch. v7: stable offsets only, if asked. v8: several
//!   groups. v9: member id and epoch (KIP-848). v10: topics by id.
//!
//! A partition without a committed offset is answered with -1 and no error, also if it does not exist.

use std::sync::Arc;

use coordinator::{
    FetchOffsetsRequest, FetchTopic, FetchedPartition, FetchedTopic, TopicSelection,
};
use metadata::ClusterImage;
use protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};
use protocol::{ErrorCode, Uuid};
use types::{GroupId, MemberId, PartitionIndex, TopicName};

use super::errors;
use crate::context::Context;
use crate::coordinators::GroupCoordinator;
use crate::topics::Topics;

/// The first version in which the group has an error of its own.
const GROUP_ERROR_SINCE: i16 = 2;
/// The first version that asks for several groups.
const GROUPS_SINCE: i16 = 8;
/// The first version that names topics by id.
const TOPIC_ID_SINCE: i16 = 10;

pub(crate) async fn handle(
    context: Context,
    request: OffsetFetchRequest,
    groups: Arc<GroupCoordinator>,
    topics: Arc<Topics>,
) -> OffsetFetchResponse {
    let image = topics.image();
    let version = context.version;
    let stable = request.require_stable;
    if version >= GROUPS_SINCE {
        let mut answers = Vec::with_capacity(request.groups.len());
        for group in &request.groups {
            answers.push(fetch_group(group, stable, version, &image, &groups).await);
        }
        return OffsetFetchResponse {
            groups: answers,
            ..Default::default()
        };
    }
    let group = OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics: request
            .topics
            .map(|topics| topics.into_iter().map(by_name).collect()),
        ..Default::default()
    };
    single(
        fetch_group(&group, stable, version, &image, &groups).await,
        version,
    )
}

fn by_name(topic: OffsetFetchRequestTopic) -> OffsetFetchRequestTopics {
    OffsetFetchRequestTopics {
        name: topic.name,
        partition_indexes: topic.partition_indexes,
        ..Default::default()
    }
}

/// The form of the answer before several groups could be asked for.
fn single(group: OffsetFetchResponseGroup, version: i16) -> OffsetFetchResponse {
    let partition = |partition: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    };
    let topic = |topic: OffsetFetchResponseTopics| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    };
    OffsetFetchResponse {
        topics: group.topics.into_iter().map(topic).collect(),
        error_code: if version >= GROUP_ERROR_SINCE {
            group.error_code
        } else {
            0
        },
        ..Default::default()
    }
}

async fn fetch_group(
    request: &OffsetFetchRequestGroup,
    require_stable: bool,
    version: i16,
    image: &ClusterImage,
    groups: &GroupCoordinator,
) -> OffsetFetchResponseGroup {
    let resolved = request
        .topics
        .as_ref()
        .map(|topics| resolve(topics, version, image));
    let selection = match &resolved {
        None => TopicSelection::All,
        Some(topics) => TopicSelection::Topics(
            topics
                .iter()
                .filter_map(|topic| topic.as_ref().ok().cloned())
                .collect(),
        ),
    };
    let fetch = FetchOffsetsRequest {
        group: GroupId::new(&request.group_id),
        member: request.member_id.as_deref().map(MemberId::new),
        member_epoch: request.member_epoch,
        topics: selection,
        require_stable,
    };
    let fetched = match groups.fetch_offsets(fetch).await {
        Ok(Ok(fetched)) => fetched,
        Ok(Err(error)) => return refused(request, errors::fetch_offsets(&error), version),
        Err(error) => return refused(request, errors::coordinator(error), version),
    };
    let topics = match &resolved {
        None => fetched
            .iter()
            .filter_map(|topic| found(topic, version, image))
            .collect(),
        Some(resolved) => in_order(request, resolved, &fetched),
    };
    OffsetFetchResponseGroup {
        group_id: request.group_id.clone(),
        topics,
        error_code: 0,
    }
}

/// Each topic of the request as the coordinator knows it, or why it cannot.
fn resolve(
    topics: &[OffsetFetchRequestTopics],
    version: i16,
    image: &ClusterImage,
) -> Vec<Result<FetchTopic, ErrorCode>> {
    let resolve = |topic: &OffsetFetchRequestTopics| {
        let partitions = topic
            .partition_indexes
            .iter()
            .filter_map(|index| PartitionIndex::new(*index))
            .collect();
        if version < TOPIC_ID_SINCE {
            return Ok(FetchTopic {
                topic: TopicName::new(&topic.name),
                topic_id: None,
                partitions,
            });
        }
        let known =
            Topics::by_id(image, topic.topic_id).map_err(crate::handlers::errors::partition)?;
        Ok(FetchTopic {
            topic: known.name.clone(),
            topic_id: Some(known.id),
            partitions,
        })
    };
    topics.iter().map(resolve).collect()
}

/// A topic of an answer to "all"; by id only if there still is such a topic.
fn found(
    topic: &FetchedTopic,
    version: i16,
    image: &ClusterImage,
) -> Option<OffsetFetchResponseTopics> {
    let topic_id = if version >= TOPIC_ID_SINCE {
        Uuid(image.topic(topic.topic.as_str())?.id.bytes())
    } else {
        Uuid::ZERO
    };
    Some(OffsetFetchResponseTopics {
        name: topic.topic.as_str().to_owned(),
        topic_id,
        partitions: topic.partitions.iter().map(partition).collect(),
    })
}

/// The answers to named topics, in the order of the request.
fn in_order(
    request: &OffsetFetchRequestGroup,
    resolved: &[Result<FetchTopic, ErrorCode>],
    fetched: &[FetchedTopic],
) -> Vec<OffsetFetchResponseTopics> {
    let mut fetched = fetched.iter();
    let requested = request.topics.iter().flatten();
    let answer =
        |(requested, resolved): (&OffsetFetchRequestTopics, &Result<FetchTopic, ErrorCode>)| {
            let partitions = match resolved {
                Ok(_) => fetched.next().map_or_else(Vec::new, |topic| {
                    topic.partitions.iter().map(partition).collect()
                }),
                Err(code) => requested
                    .partition_indexes
                    .iter()
                    .map(|index| missing(*index, *code))
                    .collect(),
            };
            OffsetFetchResponseTopics {
                name: requested.name.clone(),
                topic_id: requested.topic_id,
                partitions,
            }
        };
    requested.zip(resolved).map(answer).collect()
}

fn partition(fetched: &FetchedPartition) -> OffsetFetchResponsePartitions {
    let index = fetched.partition.value();
    match &fetched.result {
        Ok(Some(committed)) => OffsetFetchResponsePartitions {
            partition_index: index,
            committed_offset: committed.offset,
            committed_leader_epoch: committed.leader_epoch.map_or(-1, types::LeaderEpoch::value),
            metadata: Some(committed.metadata.as_ref().to_owned()),
            error_code: 0,
        },
        Ok(None) => missing(index, ErrorCode::None),
        Err(error) => missing(index, errors::fetch_offset(error)),
    }
}

fn missing(index: i32, code: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code: code.into(),
    }
}

/// The answer when the coordinator has none; version 1 can say so only partition by partition.
fn refused(
    request: &OffsetFetchRequestGroup,
    code: ErrorCode,
    version: i16,
) -> OffsetFetchResponseGroup {
    let topic = |topic: &OffsetFetchRequestTopics| OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic
            .partition_indexes
            .iter()
            .map(|index| missing(*index, code))
            .collect(),
    };
    let topics = if version < GROUP_ERROR_SINCE {
        request.topics.iter().flatten().map(topic).collect()
    } else {
        Vec::new()
    };
    OffsetFetchResponseGroup {
        group_id: request.group_id.clone(),
        topics,
        error_code: code.into(),
    }
}
