//! OffsetDelete, key 47, version 0.

use std::sync::Arc;

use coordinator::{DeleteOffsetsRequest, DeletedOffset};
use metadata::ClusterImage;
use protocol::ErrorCode;
use protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use types::{GroupId, PartitionIndex, TopicPartition};

use super::errors;
use crate::context::Context;
use crate::coordinators::GroupCoordinator;
use crate::topics::Topics;

pub(crate) async fn handle(
    _context: Context,
    request: OffsetDeleteRequest,
    groups: Arc<GroupCoordinator>,
    topics: Arc<Topics>,
) -> OffsetDeleteResponse {
    let image = topics.image();
    let existing = request
        .topics
        .iter()
        .flat_map(|topic| existing(topic, &image));
    let delete = DeleteOffsetsRequest {
        group: GroupId::new(&request.group_id),
        partitions: existing.flatten().collect(),
    };
    match groups.delete_offsets(delete).await {
        Ok(Ok(deleted)) => respond(&request, &image, &deleted),
        Ok(Err(error)) => refused(errors::delete_offsets(&error)),
        Err(error) => refused(errors::coordinator(error)),
    }
}

/// The partitions of a topic of the request; `None` for those that do not exist.
fn existing<'a>(
    topic: &'a OffsetDeleteRequestTopic,
    image: &'a ClusterImage,
) -> impl Iterator<Item = Option<TopicPartition>> + 'a {
    let known = Topics::by_name(image, &topic.name).ok();
    topic.partitions.iter().map(move |partition| {
        let known = known.filter(|topic| partition.partition_index < topic.partitions)?;
        let partition = PartitionIndex::new(partition.partition_index)?;
        Some(TopicPartition {
            topic: known.name.clone(),
            partition,
        })
    })
}

fn respond(
    request: &OffsetDeleteRequest,
    image: &ClusterImage,
    deleted: &[DeletedOffset],
) -> OffsetDeleteResponse {
    let mut deleted = deleted.iter();
    let mut code = |exists: Option<TopicPartition>| match exists.and_then(|_| deleted.next()) {
        None => ErrorCode::UnknownTopicOrPartition,
        Some(deleted) => deleted
            .result
            .as_ref()
            .err()
            .map_or(ErrorCode::None, errors::delete_offset),
    };
    let mut topic = |topic: &OffsetDeleteRequestTopic| {
        let partitions = topic.partitions.iter().zip(existing(topic, image));
        let partitions = partitions.map(|(partition, exists)| OffsetDeleteResponsePartition {
            partition_index: partition.partition_index,
            error_code: code(exists).into(),
        });
        OffsetDeleteResponseTopic {
            name: topic.name.clone(),
            partitions: partitions.collect(),
        }
    };
    OffsetDeleteResponse {
        topics: request.topics.iter().map(&mut topic).collect(),
        ..Default::default()
    }
}

fn refused(code: ErrorCode) -> OffsetDeleteResponse {
    OffsetDeleteResponse {
        error_code: code.into(),
        ..Default::default()
    }
}
