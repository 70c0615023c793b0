//! Topics, and the logs of their partitions.

use std::sync::Arc;

use metadata::Topic;
use storage::{ActiveProducer, LogOffsets, LogSegment};
use types::LeaderEpoch;

use super::View;
use crate::ownership::BrokerId;
use crate::topics::PartitionError;

/// A partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// Who leads it; `None` while nobody does.
    pub leader: Option<BrokerId>,
    /// In which epoch.
    pub leader_epoch: LeaderEpoch,
    /// Whether an error of the disk has taken its log offline here.
    pub is_offline: bool,
    /// Where its log begins and ends; `None` if the log is not here or cannot be opened.
    pub offsets: Option<LogOffsets>,
    /// The bytes of its segments, likewise.
    pub size_bytes: Option<u64>,
}

impl View {
    /// All topics, by name.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.services.topics.image().topics().cloned().collect()
    }

    /// A partition; `None` if there is none.
    pub fn partition(&self, topic: &str, index: i32) -> Option<PartitionView> {
        let topics = &self.services.topics;
        let image = topics.image();
        let topic = image.topic(topic)?;
        let owner = topics.owner(topic, index).ok()?;
        let led = topics.leading(topic, index, -1);
        let is_offline = match &led {
            Ok(led) => led.log.is_offline(),
            Err(error) => matches!(error, PartitionError::Storage),
        };
        let log = led.ok().map(|led| led.log);
        Some(PartitionView {
            leader: owner.leader,
            leader_epoch: owner.epoch,
            is_offline,
            offsets: log.as_ref().map(|log| log.offsets()),
            size_bytes: log.map(|log| log.size_bytes()),
        })
    }

    /// The segments of a partition that this broker leads, the oldest first.
    pub fn segments(&self, topic: &str, index: i32) -> Vec<LogSegment> {
        let topics = &self.services.topics;
        let led = topics.leading_by_name(&topics.image(), topic, index);
        led.map(|led| led.log.segments()).unwrap_or_default()
    }

    /// The producers that a partition which this broker leads knows, by id.
    pub fn producers(&self, topic: &str, index: i32) -> Vec<ActiveProducer> {
        let topics = &self.services.topics;
        let led = topics.leading_by_name(&topics.image(), topic, index);
        led.map(|led| led.log.producers()).unwrap_or_default()
    }
}
