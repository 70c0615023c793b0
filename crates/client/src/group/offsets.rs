//! A group's committed offsets: reading and writing them.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};

use super::coordinator::{CoordinatorError, GroupCoordinator};
use super::membership::Identity;
use crate::assignor::TopicPartition;
use crate::cluster::{Lane, Retry};
use crate::refusal::{self, Refusal};

/// The last versions that name topics; later ones need their ids.
const LAST_COMMIT_BY_NAME: i16 = 9;
const LAST_FETCH_BY_NAME: i16 = 9;
/// The first version that asks for several groups.
const FIRST_FETCH_WITH_GROUPS: i16 = 8;

/// An offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitOffset {
    /// The next record to read.
    pub offset: i64,
    /// What the committer wants to remember with it.
    pub metadata: String,
}

impl CommitOffset {
    /// An offset without metadata.
    pub fn new(offset: i64) -> Self {
        Self {
            offset,
            metadata: String::new(),
        }
    }
}

/// An offset that a group has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next record to read.
    pub offset: i64,
    /// The epoch of the last record read; -1 if not told.
    pub leader_epoch: i32,
    /// What the committer wrote with it.
    pub metadata: String,
}

/// Why offsets were not committed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// The coordinator could not be asked.
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    /// The coordinator refused an offset.
    #[error("cannot commit offset of {partition} for group '{group}'")]
    Refused {
        /// Which group.
        group: Arc<str>,
        /// Which partition.
        partition: TopicPartition,
        /// Its answer.
        #[source]
        source: Refusal,
    },
}

/// Why committed offsets could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchOffsetsError {
    /// The coordinator could not be asked.
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    /// The coordinator refused.
    #[error("cannot read the committed offsets of group '{group}'")]
    Refused {
        /// Which group.
        group: Arc<str>,
        /// Its answer.
        #[source]
        source: Refusal,
    },
}

/// Commits offsets, as a member or (without one) as somebody who sets the offsets of a group that has no members.
pub async fn commit_offsets(
    coordinator: &GroupCoordinator,
    member: Option<&Identity>,
    offsets: &BTreeMap<TopicPartition, CommitOffset>,
) -> Result<(), CommitError> {
    let request = commit_request(coordinator.group_id(), member, offsets);
    let mut retry = Retry::new(coordinator.cluster().deadline());
    loop {
        let error = match send_commit(coordinator, &request).await {
            Ok(response) => match first_refusal(coordinator.group_id(), response) {
                None => return Ok(()),
                Some(error) => error,
            },
            Err(error) => error.into(),
        };
        let moving = match &error {
            CommitError::Coordinator(error) => error.is_retriable(),
            CommitError::Refused { source, .. } => {
                // A commit with member id during a rebalance fails; only the member can tell what to do then.
                GroupCoordinator::is_moving(source) || source.is(ErrorCode::RequestTimedOut)
            }
        };
        if moving {
            coordinator.forget();
        }
        if !moving || !retry.wait().await {
            return Err(error);
        }
    }
}

fn commit_request(
    group_id: &str,
    member: Option<&Identity>,
    offsets: &BTreeMap<TopicPartition, CommitOffset>,
) -> OffsetCommitRequest {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for (partition, commit) in offsets {
        let entry = OffsetCommitRequestPartition {
            partition_index: partition.partition,
            committed_offset: commit.offset,
            committed_leader_epoch: -1,
            committed_metadata: Some(commit.metadata.clone()),
        };
        match topics
            .last_mut()
            .filter(|topic| *topic.name == *partition.topic)
        {
            Some(topic) => topic.partitions.push(entry),
            None => topics.push(OffsetCommitRequestTopic {
                name: partition.topic.as_ref().to_owned(),
                partitions: vec![entry],
                ..OffsetCommitRequestTopic::default()
            }),
        }
    }
    OffsetCommitRequest {
        group_id: group_id.to_owned(),
        generation_id_or_member_epoch: member.map_or(-1, |member| member.generation_id),
        member_id: member.map_or_else(String::new, |member| member.member_id.clone()),
        group_instance_id: member.and_then(|member| member.group_instance_id.clone()),
        topics,
        ..OffsetCommitRequest::default()
    }
}

async fn send_commit(
    coordinator: &GroupCoordinator,
    request: &OffsetCommitRequest,
) -> Result<OffsetCommitResponse, CoordinatorError> {
    let connection = coordinator.connection(Lane::Group).await?;
    let version = connection.version_of::<OffsetCommitRequest>(LAST_COMMIT_BY_NAME)?;
    let limit = coordinator.cluster().config().request_timeout;
    Ok(connection.call_version(request, version, limit).await?)
}

fn first_refusal(group: &Arc<str>, response: OffsetCommitResponse) -> Option<CommitError> {
    for topic in response.topics {
        for partition in topic.partitions {
            if let Err(source) = refusal::check(partition.error_code, None) {
                return Some(CommitError::Refused {
                    group: Arc::clone(group),
                    partition: TopicPartition::new(topic.name.as_str(), partition.partition_index),
                    source,
                });
            }
        }
    }
    None
}

/// What a group has committed, for these partitions or for all. Partitions without a committed offset are left out.
pub async fn fetch_committed_offsets(
    coordinator: &GroupCoordinator,
    partitions: Option<&[TopicPartition]>,
) -> Result<BTreeMap<TopicPartition, CommittedOffset>, FetchOffsetsError> {
    let mut retry = Retry::new(coordinator.cluster().deadline());
    loop {
        let error = match send_fetch(coordinator, partitions).await {
            Ok(response) => match read_offsets(response) {
                Ok(offsets) => return Ok(offsets),
                Err(source) => FetchOffsetsError::Refused {
                    group: Arc::clone(coordinator.group_id()),
                    source,
                },
            },
            Err(error) => error.into(),
        };
        let retriable = match &error {
            FetchOffsetsError::Coordinator(error) => error.is_retriable(),
            // Also UNSTABLE_OFFSET_COMMIT: a transaction is about to decide the offset.
            FetchOffsetsError::Refused { source, .. } => source.is_retriable(),
        };
        coordinator.forget();
        if !retriable || !retry.wait().await {
            return Err(error);
        }
    }
}

async fn send_fetch(
    coordinator: &GroupCoordinator,
    partitions: Option<&[TopicPartition]>,
) -> Result<OffsetFetchResponse, CoordinatorError> {
    let connection = coordinator.connection(Lane::Group).await?;
    let version = connection.version_of::<OffsetFetchRequest>(LAST_FETCH_BY_NAME)?;
    let group_id = coordinator.group_id().as_ref().to_owned();
    let topics = partitions.map(by_topic);
    let request = if version >= FIRST_FETCH_WITH_GROUPS {
        OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id,
                topics: topics.map(|topics| {
                    let topics = topics.into_iter();
                    topics
                        .map(|(name, partition_indexes)| OffsetFetchRequestTopics {
                            name,
                            partition_indexes,
                            ..OffsetFetchRequestTopics::default()
                        })
                        .collect()
                }),
                ..OffsetFetchRequestGroup::default()
            }],
            require_stable: true,
            ..OffsetFetchRequest::default()
        }
    } else {
        OffsetFetchRequest {
            group_id,
            topics: topics.map(|topics| {
                let topics = topics.into_iter();
                topics
                    .map(|(name, partition_indexes)| OffsetFetchRequestTopic {
                        name,
                        partition_indexes,
                    })
                    .collect()
            }),
            require_stable: version >= 7,
            ..OffsetFetchRequest::default()
        }
    };
    let limit = coordinator.cluster().config().request_timeout;
    Ok(connection.call_version(&request, version, limit).await?)
}

fn by_topic(partitions: &[TopicPartition]) -> BTreeMap<String, Vec<i32>> {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        let name = partition.topic.as_ref().to_owned();
        topics.entry(name).or_default().push(partition.partition);
    }
    topics
}

fn read_offsets(
    response: OffsetFetchResponse,
) -> Result<BTreeMap<TopicPartition, CommittedOffset>, Refusal> {
    refusal::check(response.error_code, None)?;
    let mut offsets = BTreeMap::new();
    let mut note =
        |topic: &str, partition: i32, code: i16, offset, leader_epoch, metadata: Option<String>| {
            refusal::check(code, None)?;
            if offset >= 0 {
                let committed = CommittedOffset {
                    offset,
                    leader_epoch,
                    metadata: metadata.unwrap_or_default(),
                };
                offsets.insert(TopicPartition::new(topic, partition), committed);
            }
            Ok::<(), Refusal>(())
        };
    for topic in response.topics {
        for p in topic.partitions {
            let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
            note(
                &topic.name,
                p.partition_index,
                p.error_code,
                offset,
                epoch,
                p.metadata,
            )?;
        }
    }
    for group in response.groups {
        refusal::check(group.error_code, None)?;
        for topic in group.topics {
            for p in topic.partitions {
                let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
                note(
                    &topic.name,
                    p.partition_index,
                    p.error_code,
                    offset,
                    epoch,
                    p.metadata,
                )?;
            }
        }
    }
    Ok(offsets)
}
