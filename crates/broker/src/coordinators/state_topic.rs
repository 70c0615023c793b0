//! What the runtime needs to know of the topic it keeps its state in: a small trait, so that its tests decide what a log
//! does, and the internal topics as the broker has them.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use env::BoxFuture;
use metadata::{ClusterImage, InternalTopic};
use storage::PartitionLog;
use types::{LeaderEpoch, PartitionIndex, TopicId, TopicName, TopicPartition};

use super::errors::CoordinatorError;
use crate::topics::{PartitionError, Topics};

/// A partition this broker leads.
#[derive(Clone, Debug)]
pub(super) struct LedShard<S> {
    /// The topic, which may be deleted and made again under its name.
    pub(super) topic: TopicId,
    /// Its log.
    pub(super) log: Arc<dyn PartitionLog>,
    /// The epoch it is led in.
    pub(super) epoch: LeaderEpoch,
    /// The largest batch the log takes (`max.message.bytes` of the topic), in bytes.
    pub(super) batch_bytes_max: usize,
    /// Settings in force.
    pub(super) settings: S,
}

/// An internal topic, as far as the runtime cares.
pub(super) trait StateTopic<S>: Debug + Send + Sync {
    /// Its id, and how many partitions it has; `None` while it does not exist.
    fn found(&self) -> Option<(TopicId, i32)>;

    /// A partition with its log.
    ///
    /// # Errors
    /// Another broker leads it, or the log cannot be opened.
    fn lead(&self, partition: PartitionIndex) -> Result<LedShard<S>, CoordinatorError>;

    /// Whether this broker still leads a partition as it did, of the same topic and in the same epoch.
    fn leads(&self, partition: PartitionIndex, led: &LedShard<S>) -> bool;

    /// Settings in force now, for a partition that is led.
    fn settings(&self, led: &LedShard<S>) -> S;

    /// How long a write may take to become durable before its client is told to try again
    /// (`offsets.commit.timeout.ms`, which Kafka applies to every write of a coordinator).
    fn write_timeout(&self) -> Duration;

    /// Creates the topic unless it exists.
    fn create(&self) -> BoxFuture<'_, Result<(), CoordinatorError>>;
}

/// What a machine decides by, from what the cluster is set to, the epoch its partition is led in, and the topic's
/// `max.message.bytes`.
pub(super) type ReadSettings<S> = fn(&ClusterImage, LeaderEpoch, usize) -> S;

/// The topic as the broker has it.
#[derive(Debug)]
pub(super) struct BrokerTopic<S> {
    topics: Arc<Topics>,
    kind: InternalTopic,
    name: TopicName,
    read_settings: ReadSettings<S>,
}

impl<S> BrokerTopic<S> {
    pub(super) fn new(
        topics: Arc<Topics>,
        kind: InternalTopic,
        read_settings: ReadSettings<S>,
    ) -> Self {
        let name = TopicName::new(kind.name());
        Self {
            topics,
            kind,
            name,
            read_settings,
        }
    }
}

impl<S: Debug> StateTopic<S> for BrokerTopic<S> {
    fn found(&self) -> Option<(TopicId, i32)> {
        let image = self.topics.image();
        let topic = image.topic(self.kind.name())?;
        Some((topic.id, topic.partitions))
    }

    fn lead(&self, partition: PartitionIndex) -> Result<LedShard<S>, CoordinatorError> {
        /// Whatever epoch it is.
        const ANY_EPOCH: i32 = -1;
        let image = self.topics.image();
        let topic = image
            .topic(self.kind.name())
            .ok_or(CoordinatorError::NotCoordinator)?;
        let led = self.topics.leading(topic, partition.value(), ANY_EPOCH);
        let led = led.map_err(|error| match error {
            PartitionError::Storage => CoordinatorError::NotAvailable,
            PartitionError::UnknownTopicOrPartition
            | PartitionError::UnknownTopicId
            | PartitionError::NotLeader(_)
            | PartitionError::FencedLeaderEpoch
            | PartitionError::UnknownLeaderEpoch => CoordinatorError::NotCoordinator,
        })?;
        // The table of settings keeps it from being negative.
        let batch_bytes_max = usize::try_from(topic.resolved.max_message_bytes).unwrap_or(0);
        Ok(LedShard {
            topic: topic.id,
            log: led.log,
            epoch: led.epoch,
            batch_bytes_max,
            settings: (self.read_settings)(&image, led.epoch, batch_bytes_max),
        })
    }

    fn leads(&self, partition: PartitionIndex, led: &LedShard<S>) -> bool {
        let image = self.topics.image();
        let topic = image.topic(self.kind.name());
        if topic.is_none_or(|topic| topic.id != led.topic) {
            return false;
        }
        let owner = self.topics.ownership.owner(&TopicPartition {
            topic: self.name.clone(),
            partition,
        });
        owner.leader == Some(self.topics.broker_id()) && owner.epoch == led.epoch
    }

    fn settings(&self, led: &LedShard<S>) -> S {
        (self.read_settings)(&self.topics.image(), led.epoch, led.batch_bytes_max)
    }

    fn write_timeout(&self) -> Duration {
        let image = self.topics.image();
        let timeout_ms = image.broker.values.offsets_commit_timeout_ms;
        Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
    }

    fn create(&self) -> BoxFuture<'_, Result<(), CoordinatorError>> {
        Box::pin(async {
            match self.topics.cluster.internal_topic(self.kind).await {
                Ok(_created) => Ok(()),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        topic = self.kind.name(),
                        "could not create an internal topic"
                    );
                    Err(CoordinatorError::NotAvailable)
                }
            }
        })
    }
}
