//! Topics with their logs, to be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use metadata::Topic;
use storage::PartitionLog;
use types::{PartitionIndex, TopicId, TopicName};

use super::View;
use crate::topics::{PartitionError, Topics};

/// A topic as of now.
#[derive(Clone, Debug)]
pub struct TopicView {
    /// Its name.
    pub name: TopicName,
    /// Its identity.
    pub id: TopicId,
    /// The settings that were made for this topic.
    pub settings: BTreeMap<String, String>,
    /// Its partitions in ascending order.
    pub logs: Vec<TopicLog>,
}

/// A partition of a topic.
#[derive(Clone, Debug)]
pub struct TopicLog {
    /// Its number.
    pub partition: PartitionIndex,
    /// Its log. Only to be read: appending is the handlers' business.
    pub log: Arc<dyn PartitionLog>,
}

/// Why the log of a partition cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// Another broker leads it.
    #[error("partition {partition} is led by another broker")]
    NotLeader {
        /// The partition.
        partition: PartitionIndex,
    },
    /// It cannot be opened; the broker's log says why.
    #[error(
        "partition {partition} is offline: its log cannot be used; the log of the broker says why"
    )]
    Offline {
        /// The partition.
        partition: PartitionIndex,
    },
}

impl View {
    /// The names of all topics, internal ones too.
    pub fn topic_names(&self) -> Vec<TopicName> {
        let image = self.services.topics.image();
        image.topics().map(|topic| topic.name.clone()).collect()
    }

    /// The topic of this name; `None` if there is none. Opens logs that were not used yet, so it may wait for the disk.
    ///
    /// # Errors
    /// A log of it cannot be had.
    pub fn topic(&self, name: &str) -> Result<Option<TopicView>, ViewError> {
        let image = self.services.topics.image();
        let Some(topic) = image.topic(name) else {
            return Ok(None);
        };
        let partitions = (0..topic.partitions).filter_map(PartitionIndex::new);
        let logs = partitions.map(|partition| log(&self.services.topics, topic, partition));
        match logs.collect::<Result<Option<Vec<_>>, _>>()? {
            Some(logs) => Ok(Some(TopicView {
                name: topic.name.clone(),
                id: topic.id,
                settings: topic.settings.clone().into_iter().collect(),
                logs,
            })),
            None => Ok(None),
        }
    }
}

/// `None` if the topic was deleted meanwhile.
fn log(
    topics: &Topics,
    topic: &Topic,
    partition: PartitionIndex,
) -> Result<Option<TopicLog>, ViewError> {
    const NO_EPOCH: i32 = -1;
    match topics.leading(topic, partition.value(), NO_EPOCH) {
        Ok(led) => Ok(Some(TopicLog {
            partition,
            log: led.log,
        })),
        Err(PartitionError::UnknownTopicOrPartition | PartitionError::UnknownTopicId) => Ok(None),
        Err(PartitionError::Storage) => Err(ViewError::Offline { partition }),
        Err(
            PartitionError::NotLeader(_)
            | PartitionError::FencedLeaderEpoch
            | PartitionError::UnknownLeaderEpoch,
        ) => Err(ViewError::NotLeader { partition }),
    }
}
