//! Offsets that groups keep: committed ones are forgotten here; a share group's start offsets are read, set and forgotten.
//! (Committed offsets are read and set by `offsets`, which consumers use too.)

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::messages::{
    AlterShareGroupOffsetsRequest, DeleteShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequest, OffsetDeleteRequest,
    alter_share_group_offsets_request as alter, delete_share_group_offsets_request as delete_share,
    describe_share_group_offsets_request as describe, offset_delete_request as delete,
};

use super::super::AdminError;
use crate::assignor::TopicPartition;
use crate::cluster::Cluster;
use crate::group::GroupCoordinator;
use crate::refusal::{self, Refusal};

/// Where a share group stands in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareOffset {
    /// The first record that the group may still deliver.
    pub start_offset: i64,
    /// Records that it has still to deliver, if the broker knows.
    pub lag: Option<i64>,
}

/// What the broker answers for a start offset or a lag that is not known.
const UNKNOWN: i64 = -1;

/// Forgets committed offsets of a group, of topics that its members do not read (kafka-consumer-groups
/// `--delete-offsets`).
///
/// # Errors
/// The group as a whole was refused; a refusal of one partition stands in the map.
pub async fn delete_offsets(
    cluster: &Cluster,
    group_id: &str,
    partitions: impl IntoIterator<Item = TopicPartition>,
) -> Result<BTreeMap<TopicPartition, Result<(), Refusal>>, AdminError> {
    let coordinator = GroupCoordinator::new(cluster.clone(), group_id);
    let topics = by_topic(partitions.into_iter().map(|place| (place, ())));
    let topics = topics.into_iter().map(|(name, partitions)| {
        let partition =
            |(partition_index, ())| delete::OffsetDeleteRequestPartition { partition_index };
        delete::OffsetDeleteRequestTopic {
            name: name.as_ref().to_owned(),
            partitions: partitions.into_iter().map(partition).collect(),
        }
    });
    let request = OffsetDeleteRequest {
        group_id: group_id.to_owned(),
        topics: topics.collect(),
    };
    let response = coordinator
        .call(&request, |response| response.error_code)
        .await?;
    let attempted = || format!("delete committed offsets of group '{group_id}'");
    check(response.error_code, None, attempted)?;
    let mut results = BTreeMap::new();
    for topic in response.topics {
        let name: Arc<str> = topic.name.into();
        for partition in topic.partitions {
            let place = TopicPartition::new(Arc::clone(&name), partition.partition_index);
            results.insert(place, refusal::check(partition.error_code, None));
        }
    }
    Ok(results)
}

/// Where a share group stands, for every partition it has a start offset of.
///
/// # Errors
/// The group or one of its partitions was refused.
pub async fn share_group_offsets(
    cluster: &Cluster,
    group_id: &str,
) -> Result<BTreeMap<TopicPartition, ShareOffset>, AdminError> {
    let coordinator = GroupCoordinator::new(cluster.clone(), group_id);
    let request = DescribeShareGroupOffsetsRequest {
        groups: vec![describe::DescribeShareGroupOffsetsRequestGroup {
            group_id: group_id.to_owned(),
            topics: None,
        }],
    };
    let response = coordinator
        .call(&request, |response| {
            response.groups.first().map_or(0, |group| group.error_code)
        })
        .await?;
    let group = response.groups.into_iter().next();
    let group = group.ok_or_else(|| AdminError::Missing {
        subject: format!("group '{group_id}'"),
    })?;
    let attempted = || format!("read the start offsets of share group '{group_id}'");
    check(group.error_code, group.error_message.as_deref(), attempted)?;
    let mut offsets = BTreeMap::new();
    for topic in group.topics {
        let name: Arc<str> = topic.topic_name.into();
        for partition in topic.partitions {
            let message = partition.error_message.as_deref();
            check(partition.error_code, message, attempted)?;
            if partition.start_offset == UNKNOWN {
                continue;
            }
            let place = TopicPartition::new(Arc::clone(&name), partition.partition_index);
            let offset = ShareOffset {
                start_offset: partition.start_offset,
                lag: (partition.lag != UNKNOWN).then_some(partition.lag),
            };
            offsets.insert(place, offset);
        }
    }
    Ok(offsets)
}

/// Moves the start offsets of a share group without members.
///
/// # Errors
/// The group as a whole was refused; a refusal of one partition stands in the map.
pub async fn alter_share_group_offsets(
    cluster: &Cluster,
    group_id: &str,
    offsets: &BTreeMap<TopicPartition, i64>,
) -> Result<BTreeMap<TopicPartition, Result<(), Refusal>>, AdminError> {
    let coordinator = GroupCoordinator::new(cluster.clone(), group_id);
    let topics = by_topic(
        offsets
            .iter()
            .map(|(place, offset)| (place.clone(), *offset)),
    );
    let topics = topics.into_iter().map(|(name, partitions)| {
        let partition =
            |(partition_index, start_offset)| alter::AlterShareGroupOffsetsRequestPartition {
                partition_index,
                start_offset,
            };
        alter::AlterShareGroupOffsetsRequestTopic {
            topic_name: name.as_ref().to_owned(),
            partitions: partitions.into_iter().map(partition).collect(),
        }
    });
    let request = AlterShareGroupOffsetsRequest {
        group_id: group_id.to_owned(),
        topics: topics.collect(),
    };
    let response = coordinator
        .call(&request, |response| response.error_code)
        .await?;
    let attempted = || format!("move the start offsets of share group '{group_id}'");
    check(
        response.error_code,
        response.error_message.as_deref(),
        attempted,
    )?;
    let mut results = BTreeMap::new();
    for topic in response.responses {
        let name: Arc<str> = topic.topic_name.into();
        for partition in topic.partitions {
            let place = TopicPartition::new(Arc::clone(&name), partition.partition_index);
            let message = partition.error_message.as_deref();
            results.insert(place, refusal::check(partition.error_code, message));
        }
    }
    Ok(results)
}

/// Forgets where a share group without members stands in whole topics.
///
/// # Errors
/// The group as a whole was refused; a refusal of one topic stands in the map.
pub async fn delete_share_group_offsets(
    cluster: &Cluster,
    group_id: &str,
    topics: impl IntoIterator<Item = String>,
) -> Result<BTreeMap<String, Result<(), Refusal>>, AdminError> {
    let coordinator = GroupCoordinator::new(cluster.clone(), group_id);
    let topic = |topic_name| delete_share::DeleteShareGroupOffsetsRequestTopic { topic_name };
    let request = DeleteShareGroupOffsetsRequest {
        group_id: group_id.to_owned(),
        topics: topics.into_iter().map(topic).collect(),
    };
    let response = coordinator
        .call(&request, |response| response.error_code)
        .await?;
    let attempted = || format!("delete the start offsets of share group '{group_id}'");
    check(
        response.error_code,
        response.error_message.as_deref(),
        attempted,
    )?;
    let results = response.responses.into_iter().map(|topic| {
        let result = refusal::check(topic.error_code, topic.error_message.as_deref());
        (topic.topic_name, result)
    });
    Ok(results.collect())
}

fn by_topic<T>(
    places: impl Iterator<Item = (TopicPartition, T)>,
) -> BTreeMap<Arc<str>, Vec<(i32, T)>> {
    let mut topics: BTreeMap<Arc<str>, Vec<(i32, T)>> = BTreeMap::new();
    for (place, value) in places {
        let partitions = topics.entry(Arc::clone(&place.topic)).or_default();
        partitions.push((place.partition, value));
    }
    topics
}

fn check(
    error_code: i16,
    message: Option<&str>,
    attempted: impl FnOnce() -> String,
) -> Result<(), AdminError> {
    refusal::check(error_code, message).map_err(|source| AdminError::Refused {
        attempted: attempted(),
        source,
    })
}
