//! AlterShareGroupOffsets, key 91, version 0.
//!
//! Any number may be a start offset; -1 is that of the group's reset strategy.

use std::sync::Arc;

use coordinator::AlterShareOffsetsRequest;
use hashbrown::HashMap;
use protocol::messages::alter_share_group_offsets_request::AlterShareGroupOffsetsRequestTopic;
use protocol::messages::alter_share_group_offsets_response::{
    AlterShareGroupOffsetsResponsePartition, AlterShareGroupOffsetsResponseTopic,
};
use protocol::messages::{AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse};
use protocol::{ErrorCode, Uuid};
use types::{PartitionIndex, TopicId, TopicName};

use super::wire;
use crate::context::Context;
use crate::handlers::groups::errors;
use crate::handlers::refusal::Refusal;
use crate::shares::Shares;

pub(crate) async fn handle(
    _context: Context,
    request: AlterShareGroupOffsetsRequest,
    shares: Arc<Shares>,
) -> AlterShareGroupOffsetsResponse {
    match alter(&shares, request).await {
        Ok(responses) => AlterShareGroupOffsetsResponse {
            responses,
            ..Default::default()
        },
        Err(refusal) => AlterShareGroupOffsetsResponse {
            error_code: refusal.code.into(),
            error_message: Some(refusal.message),
            ..Default::default()
        },
    }
}

async fn alter(
    shares: &Arc<Shares>,
    request: AlterShareGroupOffsetsRequest,
) -> Result<Vec<AlterShareGroupOffsetsResponseTopic>, Refusal> {
    let group = wire::group_with_offsets(shares, &request.group_id)?;
    let image = shares.topics.image();
    let mut offsets: HashMap<(TopicId, i32), i64> = HashMap::new();
    for topic in &request.topics {
        if let Some(known) = image.topic(&topic.topic_name) {
            for partition in &topic.partitions {
                offsets.insert(
                    (known.id, partition.partition_index),
                    partition.start_offset,
                );
            }
        }
    }
    let asked = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter();
        let indexes = partitions
            .map(|partition| partition.partition_index)
            .collect();
        (TopicName::new(&topic.topic_name), indexes)
    });
    let altered = shares.alter_offsets(
        AlterShareOffsetsRequest {
            group,
            topics: asked.collect(),
        },
        |topic, partition| {
            offsets
                .get(&(topic, partition.value()))
                .copied()
                .unwrap_or(-1)
        },
    );
    let altered = altered
        .await
        .map_err(|error| Refusal::new(errors::coordinator(error), error.to_string()))?;
    let (plan, codes) = altered.map_err(wire::offsets)?;
    let codes: HashMap<(TopicId, PartitionIndex), ErrorCode> = codes.into_iter().collect();
    let topics = request.topics.into_iter().zip(plan.topics);
    Ok(topics
        .map(|(topic, id)| answer(topic, id, &codes))
        .collect())
}

fn answer(
    topic: AlterShareGroupOffsetsRequestTopic,
    id: Option<TopicId>,
    codes: &HashMap<(TopicId, PartitionIndex), ErrorCode>,
) -> AlterShareGroupOffsetsResponseTopic {
    let partition = |partition_index: i32| {
        let altered = id
            .zip(PartitionIndex::new(partition_index))
            .and_then(|key| codes.get(&key).copied());
        let code = altered.unwrap_or(ErrorCode::UnknownTopicOrPartition);
        AlterShareGroupOffsetsResponsePartition {
            partition_index,
            error_code: code.into(),
            error_message: altered
                .is_none()
                .then(|| "there is no such partition".to_owned()),
        }
    };
    let partitions = topic.partitions.iter();
    AlterShareGroupOffsetsResponseTopic {
        topic_id: id.map_or(Uuid::ZERO, |id| Uuid(id.bytes())),
        partitions: partitions
            .map(|asked| partition(asked.partition_index))
            .collect(),
        topic_name: topic.topic_name,
    }
}
