//! The broker's own topics: how they are created when they are first needed (`AutoTopicCreationManager`,
//! `GroupCoordinatorService.groupMetadataTopicConfigs`, `TransactionStateManager`, `ShareCoordinatorService`).

use std::sync::Arc;

use super::Cluster;
use super::create_topics::{CreateTopicError, NewTopic};
use crate::image::{ClusterImage, Topic};
use crate::names::{CONSUMER_OFFSETS, SHARE_GROUP_STATE, TRANSACTION_STATE};

/// One of the broker's own topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InternalTopic {
    /// Committed offsets and groups.
    ConsumerOffsets,
    /// Transactions.
    TransactionState,
    /// Share groups.
    ShareGroupState,
}

impl InternalTopic {
    /// The topic's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConsumerOffsets => CONSUMER_OFFSETS,
            Self::TransactionState => TRANSACTION_STATE,
            Self::ShareGroupState => SHARE_GROUP_STATE,
        }
    }

    /// How many partitions it has, or will have once it is created.
    pub fn partitions(self, image: &ClusterImage) -> i32 {
        match image.topic(self.name()) {
            Some(topic) => topic.partitions,
            None => self.numbers(image).0,
        }
    }

    /// Partitions, replicas, bytes of a segment.
    fn numbers(self, image: &ClusterImage) -> (i32, i16, i32) {
        let broker = &image.broker.values;
        match self {
            Self::ConsumerOffsets => (
                broker.offsets_topic_num_partitions,
                broker.offsets_topic_replication_factor,
                broker.offsets_topic_segment_bytes,
            ),
            Self::TransactionState => (
                broker.transaction_state_log_num_partitions,
                broker.transaction_state_log_replication_factor,
                broker.transaction_state_log_segment_bytes,
            ),
            Self::ShareGroupState => (
                broker.share_coordinator_state_topic_num_partitions,
                broker.share_coordinator_state_topic_replication_factor,
                broker.share_coordinator_state_topic_segment_bytes,
            ),
        }
    }

    /// How many replicas must have a record; the topic keeps it for when there are so many brokers.
    fn min_isr(self, image: &ClusterImage) -> Option<i32> {
        let broker = &image.broker.values;
        match self {
            Self::ConsumerOffsets => None,
            Self::TransactionState => Some(broker.transaction_state_log_min_isr),
            Self::ShareGroupState => Some(broker.share_coordinator_state_topic_min_isr.into()),
        }
    }

    fn new_topic(self, image: &ClusterImage) -> NewTopic {
        let (partitions, replication_factor, segment_bytes) = self.numbers(image);
        // segment.bytes has a higher minimum than the broker's settings for these topics have.
        const SEGMENT_BYTES_MIN: i32 = 1024 * 1024;
        let segment_bytes = segment_bytes.max(SEGMENT_BYTES_MIN).to_string();
        let own: &[(&str, &str)] = match self {
            Self::ConsumerOffsets => &[
                ("cleanup.policy", "compact"),
                ("compression.type", "producer"),
            ],
            Self::TransactionState => &[
                ("cleanup.policy", "compact"),
                ("compression.type", "uncompressed"),
                ("unclean.leader.election.enable", "false"),
            ],
            Self::ShareGroupState => &[
                ("cleanup.policy", "delete"),
                ("compression.type", "producer"),
                ("retention.ms", "-1"),
            ],
        };
        let min_isr = self.min_isr(image).map(|min_isr| min_isr.to_string());
        let min_isr = min_isr
            .as_deref()
            .map(|min_isr| ("min.insync.replicas", min_isr));
        NewTopic {
            name: self.name().to_owned(),
            partitions: Some(partitions),
            replication_factor: Some(replication_factor),
            assignments: Vec::new(),
            settings: own
                .iter()
                .copied()
                .chain([("segment.bytes", segment_bytes.as_str())])
                .chain(min_isr)
                .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
                .collect(),
        }
    }
}

impl Cluster {
    /// The internal topic, created if it is not there yet.
    ///
    /// # Errors
    /// See [`CreateTopicError`]; never that it exists.
    pub async fn internal_topic(
        &self,
        topic: InternalTopic,
    ) -> Result<Arc<Topic>, CreateTopicError> {
        let image = self.image();
        if let Some(topic) = image.topic(topic.name()) {
            return Ok(Arc::clone(topic));
        }
        let mut outcomes = self
            .create_topics(vec![topic.new_topic(&image)], false)
            .await;
        match outcomes.pop() {
            Some(Err(CreateTopicError::Exists(_))) | None => self
                .image()
                .topic(topic.name())
                .cloned()
                // Created by somebody else and deleted again, all within this call.
                .ok_or(CreateTopicError::Exists(topic.name().to_owned())),
            Some(outcome) => outcome,
        }
    }
}
