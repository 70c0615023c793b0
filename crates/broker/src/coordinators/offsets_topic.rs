//! What the runtime needs to know of `__consumer_offsets`: a small trait, so that its tests decide what a log does.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use coordinator::GroupSettings;
use env::BoxFuture;
use metadata::settings::BrokerValues;
use metadata::{CONSUMER_OFFSETS, InternalTopic};
use storage::PartitionLog;
use types::{LeaderEpoch, PartitionIndex, TopicName, TopicPartition};

use super::errors::CoordinatorError;
use crate::topics::{PartitionError, Topics};

/// A partition this broker leads.
#[derive(Clone, Debug)]
pub(super) struct LedShard {
    /// Its log.
    pub(super) log: Arc<dyn PartitionLog>,
    /// The epoch it is led in.
    pub(super) epoch: LeaderEpoch,
    /// Settings in force; `record_bytes_max` is the topic's `max.message.bytes`.
    pub(super) settings: GroupSettings,
}

/// `__consumer_offsets`, as far as the runtime cares.
pub(super) trait OffsetsTopic: Debug + Send + Sync {
    /// How many partitions it has; `None` while it does not exist.
    fn partitions(&self) -> Option<i32>;

    /// A partition with its log.
    ///
    /// # Errors
    /// Another broker leads it, or the log cannot be opened.
    fn lead(&self, partition: PartitionIndex) -> Result<LedShard, CoordinatorError>;

    /// Whether this broker still leads a partition in `epoch`.
    fn leads(&self, partition: PartitionIndex, epoch: LeaderEpoch) -> bool;

    /// Creates the topic unless it exists.
    fn create(&self) -> BoxFuture<'_, Result<(), CoordinatorError>>;
}

/// The topic as the broker has it.
#[derive(Debug)]
pub(super) struct ConsumerOffsets {
    topics: Arc<Topics>,
    name: TopicName,
}

impl ConsumerOffsets {
    pub(super) fn new(topics: Arc<Topics>) -> Self {
        let name = TopicName::new(CONSUMER_OFFSETS);
        Self { topics, name }
    }
}

impl OffsetsTopic for ConsumerOffsets {
    fn partitions(&self) -> Option<i32> {
        let image = self.topics.image();
        image.topic(CONSUMER_OFFSETS).map(|topic| topic.partitions)
    }

    fn lead(&self, partition: PartitionIndex) -> Result<LedShard, CoordinatorError> {
        /// Whatever epoch it is.
        const ANY_EPOCH: i32 = -1;
        let image = self.topics.image();
        let topic = image
            .topic(CONSUMER_OFFSETS)
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
        Ok(LedShard {
            log: led.log,
            epoch: led.epoch,
            settings: group_settings(&image.broker.values, topic.resolved.max_message_bytes),
        })
    }

    fn leads(&self, partition: PartitionIndex, epoch: LeaderEpoch) -> bool {
        let owner = self.topics.ownership.owner(&TopicPartition {
            topic: self.name.clone(),
            partition,
        });
        owner.leader == Some(self.topics.broker_id()) && owner.epoch == epoch
    }

    fn create(&self) -> BoxFuture<'_, Result<(), CoordinatorError>> {
        Box::pin(async {
            match self
                .topics
                .cluster
                .internal_topic(InternalTopic::ConsumerOffsets)
                .await
            {
                Ok(_created) => Ok(()),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "could not create {CONSUMER_OFFSETS}"
                    );
                    Err(CoordinatorError::NotAvailable)
                }
            }
        })
    }
}

/// The broker's settings as the state machine wants them. The table of settings keeps them from being negative.
fn group_settings(broker: &BrokerValues, max_message_bytes: i32) -> GroupSettings {
    let milliseconds = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let size = |size: i32| usize::try_from(size).unwrap_or(0);
    let retention_minutes = u64::try_from(broker.offsets_retention_minutes).unwrap_or(0);
    GroupSettings {
        session_timeout_min: milliseconds(broker.group_min_session_timeout_ms.into()),
        session_timeout_max: milliseconds(broker.group_max_session_timeout_ms.into()),
        initial_rebalance_delay: milliseconds(broker.group_initial_rebalance_delay_ms.into()),
        group_size_max: size(broker.group_max_size),
        offset_metadata_length_max: size(broker.offset_metadata_max_bytes),
        offsets_retention: Duration::from_secs(retention_minutes * 60),
        offsets_retention_check_interval: milliseconds(broker.offsets_retention_check_interval_ms),
        record_bytes_max: size(max_message_bytes),
        ..GroupSettings::default()
    }
}
