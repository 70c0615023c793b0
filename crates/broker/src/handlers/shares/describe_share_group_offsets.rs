//! DescribeShareGroupOffsets, key 90, versions 0 and 1.
//!
//! * v1: lag.
//!
//! What is not known is no error but an offset of -1, as with OffsetFetch.

use std::sync::Arc;

use metadata::Topic;
use protocol::messages::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup as Asked;
use protocol::messages::describe_share_group_offsets_response::{
    DescribeShareGroupOffsetsResponseGroup, DescribeShareGroupOffsetsResponsePartition,
    DescribeShareGroupOffsetsResponseTopic,
};
use protocol::messages::{DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse};
use protocol::{ErrorCode, Uuid};
use types::GroupId;

use super::wire;
use crate::context::Context;
use crate::handlers::errors as partition_errors;
use crate::handlers::groups::errors;
use crate::shares::Shares;

const UNKNOWN: i64 = -1;

pub(crate) async fn handle(
    _context: Context,
    request: DescribeShareGroupOffsetsRequest,
    shares: Arc<Shares>,
) -> DescribeShareGroupOffsetsResponse {
    let mut groups = Vec::with_capacity(request.groups.len());
    for asked in request.groups {
        let group_id = asked.group_id.clone();
        let topics = describe(&shares, asked).await;
        let code = topics.as_ref().err().copied().unwrap_or(ErrorCode::None);
        groups.push(DescribeShareGroupOffsetsResponseGroup {
            group_id,
            topics: topics.unwrap_or_default(),
            error_code: code.into(),
            error_message: None,
        });
    }
    DescribeShareGroupOffsetsResponse {
        groups,
        ..Default::default()
    }
}

async fn describe(
    shares: &Shares,
    asked: Asked,
) -> Result<Vec<DescribeShareGroupOffsetsResponseTopic>, ErrorCode> {
    if !shares.is_enabled() {
        return Err(wire::disabled().code);
    }
    let group = GroupId::new(&asked.group_id);
    let image = shares.topics.image();
    let mut topics = Vec::new();
    let Some(asked) = asked.topics else {
        let partitions = shares.initialized_partitions(&group).await;
        let partitions = partitions.map_err(errors::coordinator)?;
        for (id, indexes) in partitions.topics() {
            if let Some(topic) = image.topic_by_id(id) {
                let indexes: Vec<i32> = indexes.iter().map(|index| index.value()).collect();
                topics.push(known_topic(shares, &group, topic, &indexes).await);
            }
        }
        return Ok(topics);
    };
    for topic in asked {
        topics.push(match image.topic(&topic.topic_name) {
            Some(known) => known_topic(shares, &group, known, &topic.partitions).await,
            None => DescribeShareGroupOffsetsResponseTopic {
                topic_name: topic.topic_name,
                topic_id: Uuid::ZERO,
                partitions: topic
                    .partitions
                    .iter()
                    .map(|index| unknown(*index))
                    .collect(),
            },
        });
    }
    Ok(topics)
}

async fn known_topic(
    shares: &Shares,
    group: &GroupId,
    topic: &Arc<Topic>,
    indexes: &[i32],
) -> DescribeShareGroupOffsetsResponseTopic {
    let mut partitions = Vec::with_capacity(indexes.len());
    for index in indexes {
        partitions.push(partition(shares, group, topic, *index).await);
    }
    DescribeShareGroupOffsetsResponseTopic {
        topic_name: topic.name.as_str().to_owned(),
        topic_id: Uuid(topic.id.bytes()),
        partitions,
    }
}

async fn partition(
    shares: &Shares,
    group: &GroupId,
    topic: &Arc<Topic>,
    index: i32,
) -> DescribeShareGroupOffsetsResponsePartition {
    match shares.standing(group, topic, index).await {
        Ok(None) => unknown(index),
        Ok(Some(standing)) => DescribeShareGroupOffsetsResponsePartition {
            partition_index: index,
            start_offset: standing.start_offset,
            leader_epoch: standing.leader_epoch,
            lag: standing.progress.map_or(UNKNOWN, |progress| progress.lag),
            ..Default::default()
        },
        Err(error) => DescribeShareGroupOffsetsResponsePartition {
            partition_index: index,
            error_code: partition_errors::partition(error).into(),
            ..Default::default()
        },
    }
}

fn unknown(partition_index: i32) -> DescribeShareGroupOffsetsResponsePartition {
    DescribeShareGroupOffsetsResponsePartition {
        partition_index,
        start_offset: UNKNOWN,
        lag: UNKNOWN,
        ..Default::default()
    }
}
