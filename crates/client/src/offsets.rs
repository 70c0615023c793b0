//! Which offset a time or a name stands for: ListOffsets, asked of each partition's leader.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use protocol::messages::ListOffsetsRequest;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;

use crate::assignor::TopicPartition;
use crate::cluster::{Cluster, Lane, MetadataError, Retry, Target};
use crate::connection::CallError;
use crate::refusal::{self, Refusal};

/// What readers may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Everything below the high watermark.
    #[default]
    ReadUncommitted,
    /// Only what is not part of an open or aborted transaction (KIP-98).
    ReadCommitted,
}

impl Isolation {
    pub(crate) const fn value(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// A place in a log that is not given as an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first record that is still there.
    Earliest,
    /// The next record to be written.
    Latest,
    /// The record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// The first record with this timestamp or a later one, milliseconds since 1970.
    Timestamp(i64),
}

impl OffsetSpec {
    /// The timestamps of the wire that mean a place (`ListOffsetsRequest.java`).
    const fn value(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::Timestamp(ms) => ms,
        }
    }

    /// The version that brought it.
    const fn version_min(self) -> i16 {
        match self {
            Self::MaxTimestamp => 7,
            _ => 1,
        }
    }
}

/// An answer for one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset, if there is such a record.
    pub offset: Option<i64>,
    /// The record's timestamp; `None` for the ends of the log.
    pub timestamp_ms: Option<i64>,
    /// The leader epoch of the record; -1 if not told.
    pub leader_epoch: i32,
}

/// Why offsets could not be listed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OffsetsError {
    /// The partition could not be looked up.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A broker could not be asked.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The leader refused.
    #[error("cannot look up an offset of {partition}")]
    Refused {
        /// Which partition.
        partition: TopicPartition,
        /// The broker's answer.
        #[source]
        source: Refusal,
    },
}

impl OffsetsError {
    fn is_retriable(&self) -> bool {
        match self {
            Self::Metadata(error) => error.is_retriable(),
            Self::Call(error) => error.is_retriable(),
            Self::Refused { source, .. } => source.is_retriable(),
        }
    }
}

/// Looks offsets up, with retries until the operation's time is over.
pub async fn list_offsets(
    cluster: &Cluster,
    wanted: &BTreeMap<TopicPartition, OffsetSpec>,
    isolation: Isolation,
) -> Result<BTreeMap<TopicPartition, FoundOffset>, OffsetsError> {
    let mut retry = Retry::new(cluster.deadline());
    let mut found = BTreeMap::new();
    loop {
        let missing: BTreeMap<TopicPartition, OffsetSpec> = wanted
            .iter()
            .filter(|(partition, _)| !found.contains_key(*partition))
            .map(|(partition, spec)| (partition.clone(), *spec))
            .collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let mut failure = None;
        ask_leaders(cluster, &missing, isolation, &mut found, &mut failure).await;
        if let Some(error) = failure {
            for partition in missing.keys() {
                cluster.forget_topic(&partition.topic);
            }
            if !error.is_retriable() || !retry.wait().await {
                return Err(error);
            }
        }
    }
}

async fn ask_leaders(
    cluster: &Cluster,
    missing: &BTreeMap<TopicPartition, OffsetSpec>,
    isolation: Isolation,
    found: &mut BTreeMap<TopicPartition, FoundOffset>,
    failure: &mut Option<OffsetsError>,
) {
    let mut by_leader: HashMap<i32, Vec<(&TopicPartition, OffsetSpec)>> = HashMap::new();
    for (partition, spec) in missing {
        match cluster
            .leader_of(&partition.topic, partition.partition)
            .await
        {
            Ok(leader) => by_leader
                .entry(leader)
                .or_default()
                .push((partition, *spec)),
            Err(error) => {
                failure.get_or_insert(error.into());
            }
        }
    }
    for (leader, asked) in by_leader {
        match ask(cluster, leader, &asked, isolation).await {
            Ok(answers) => {
                for (partition, answer) in answers {
                    match read(&partition, &answer) {
                        Ok(offset) => {
                            found.insert(partition, offset);
                        }
                        Err(error) => {
                            failure.get_or_insert(error);
                        }
                    }
                }
            }
            Err(error) => {
                failure.get_or_insert(error.into());
            }
        }
    }
}

async fn ask(
    cluster: &Cluster,
    leader: i32,
    asked: &[(&TopicPartition, OffsetSpec)],
    isolation: Isolation,
) -> Result<Vec<(TopicPartition, ListOffsetsPartitionResponse)>, CallError> {
    let connection = cluster
        .connection(Target::Broker(leader), Lane::Control)
        .await?;
    let needed = asked.iter().map(|(_, spec)| spec.version_min()).max();
    let version = connection.version_of::<ListOffsetsRequest>(i16::MAX)?;
    if version < needed.unwrap_or_default() {
        return Err(CallError::Unsupported {
            address: connection.address().clone(),
            api: "ListOffsetsRequest for the largest timestamp",
        });
    }
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (partition, spec) in asked {
        let entry = ListOffsetsPartition {
            partition_index: partition.partition,
            timestamp: spec.value(),
            ..ListOffsetsPartition::default()
        };
        match topics
            .iter_mut()
            .find(|topic| *topic.name == *partition.topic)
        {
            Some(topic) => topic.partitions.push(entry),
            None => topics.push(ListOffsetsTopic {
                name: partition.topic.as_ref().to_owned(),
                partitions: vec![entry],
            }),
        }
    }
    let limit = cluster.config().request_timeout;
    let request = ListOffsetsRequest {
        replica_id: -1,
        // Version 1 does not know isolation.
        isolation_level: if version >= 2 { isolation.value() } else { 0 },
        topics,
        timeout_ms: i32::try_from(limit.as_millis()).unwrap_or(i32::MAX),
    };
    let response = connection.call_version(&request, version, limit).await?;
    let topics = response.topics.into_iter().flat_map(|topic| {
        let name: Arc<str> = Arc::from(topic.name);
        let partitions = topic.partitions.into_iter();
        partitions.map(move |partition| {
            let place = TopicPartition::new(Arc::clone(&name), partition.partition_index);
            (place, partition)
        })
    });
    Ok(topics.collect())
}

fn read(
    partition: &TopicPartition,
    answer: &ListOffsetsPartitionResponse,
) -> Result<FoundOffset, OffsetsError> {
    refusal::check(answer.error_code, None).map_err(|source| OffsetsError::Refused {
        partition: partition.clone(),
        source,
    })?;
    Ok(FoundOffset {
        offset: Some(answer.offset).filter(|offset| *offset >= 0),
        timestamp_ms: Some(answer.timestamp).filter(|ms| *ms >= 0),
        leader_epoch: answer.leader_epoch,
    })
}
