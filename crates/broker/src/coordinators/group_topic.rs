//! `__consumer_offsets` as groups need it: besides the log, the topics of the cluster and what is set for groups.
//!
//! Invariant: the image of the topics is built once for all shards, and only when topics have changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator::{
    Assignor, ConsumerGroupSettings, ConsumerGroupTimes, GroupSettings, MigrationPolicy,
    StreamsGroupSettings, TopicImage, TopicsImage,
};
use env::BoxFuture;
use metadata::{ClusterImage, InternalTopic, Topic};
use parking_lot::Mutex;
use types::{GroupId, LeaderEpoch, PartitionIndex, TopicId};

use super::errors::CoordinatorError;
use super::state_topic::{BrokerTopic, LedShard, StateTopic};
use crate::topics::Topics;

/// The topic as the broker has it.
#[derive(Debug)]
pub(super) struct GroupTopic {
    topic: BrokerTopic<GroupSettings>,
    topics: Arc<Topics>,
    seen: Mutex<Seen>,
}

/// The image last built, and the metadata's revision it holds for.
#[derive(Debug, Default)]
struct Seen {
    revision: u64,
    image: Arc<TopicsImage>,
}

impl GroupTopic {
    pub(super) fn new(topics: Arc<Topics>) -> Self {
        let kind = InternalTopic::ConsumerOffsets;
        Self {
            topic: BrokerTopic::new(Arc::clone(&topics), kind, group_settings),
            topics,
            seen: Mutex::default(),
        }
    }

    fn image(&self) -> Arc<TopicsImage> {
        let cluster = self.topics.image();
        let revision = cluster.revision.value();
        let mut seen = self.seen.lock();
        if seen.revision < revision {
            let topic = |topic: &Arc<Topic>| TopicImage {
                id: topic.id,
                name: topic.name.clone(),
                partitions: topic.partitions,
            };
            let image = TopicsImage::new(revision, cluster.topics().map(topic));
            seen.revision = revision;
            if !image.same_topics(&seen.image) {
                seen.image = Arc::new(image);
            }
        }
        Arc::clone(&seen.image)
    }
}

impl StateTopic<GroupSettings> for GroupTopic {
    fn found(&self) -> Option<(TopicId, i32)> {
        self.topic.found()
    }

    fn lead(&self, partition: PartitionIndex) -> Result<LedShard<GroupSettings>, CoordinatorError> {
        let mut led = self.topic.lead(partition)?;
        led.settings.topics = self.image();
        Ok(led)
    }

    fn leads(&self, partition: PartitionIndex, led: &LedShard<GroupSettings>) -> bool {
        self.topic.leads(partition, led)
    }

    fn settings(&self, led: &LedShard<GroupSettings>) -> GroupSettings {
        let mut settings = self.topic.settings(led);
        settings.topics = self.image();
        settings
    }

    fn write_timeout(&self) -> Duration {
        self.topic.write_timeout()
    }

    fn create(&self) -> BoxFuture<'_, Result<(), CoordinatorError>> {
        self.topic.create()
    }
}

fn milliseconds(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn size(size: i32) -> usize {
    usize::try_from(size).unwrap_or(0)
}

/// The broker's settings as the state machine wants them. The table of settings keeps them from being negative.
fn group_settings(
    image: &ClusterImage,
    _epoch: LeaderEpoch,
    record_bytes_max: usize,
) -> GroupSettings {
    let broker = &image.broker.values;
    let retention_minutes = u64::try_from(broker.offsets_retention_minutes).unwrap_or(0);
    GroupSettings {
        session_timeout_min: milliseconds(broker.group_min_session_timeout_ms.into()),
        session_timeout_max: milliseconds(broker.group_max_session_timeout_ms.into()),
        initial_rebalance_delay: milliseconds(broker.group_initial_rebalance_delay_ms.into()),
        group_size_max: size(broker.group_max_size),
        share_group_size_max: size(broker.group_share_max_size),
        share_session_timeout: milliseconds(broker.group_share_session_timeout_ms.into()),
        offset_metadata_length_max: size(broker.offset_metadata_max_bytes),
        offsets_retention: Duration::from_secs(retention_minutes * 60),
        offsets_retention_check_interval: milliseconds(broker.offsets_retention_check_interval_ms),
        record_bytes_max,
        consumer: consumer_settings(image),
        streams: image
            .groups_with_settings()
            .map(|group| (GroupId::new(group), streams_group_settings(image, group)))
            .collect(),
        streams_default: streams_group_settings(image, ""),
        ..GroupSettings::default()
    }
}

/// What a streams group obeys: its own settings over the broker's.
pub(crate) fn streams_group_settings(image: &ClusterImage, group: &str) -> StreamsGroupSettings {
    let settings = image.group_settings(group);
    StreamsGroupSettings {
        session_timeout: milliseconds(settings.streams_session_timeout_ms.into()),
        heartbeat_interval_ms: settings.streams_heartbeat_interval_ms,
        standby_replicas: size(settings.streams_num_standby_replicas),
        initial_rebalance_delay: milliseconds(settings.streams_initial_rebalance_delay_ms.into()),
        group_size_max: size(image.broker.values.group_streams_max_size),
    }
}

fn consumer_settings(image: &ClusterImage) -> ConsumerGroupSettings {
    let broker = &image.broker.values;
    let names = broker.group_consumer_assignors.iter();
    let policy = broker.group_consumer_migration_policy.to_ascii_lowercase();
    let of_group = |group: &str| {
        let settings = image.group_settings(group);
        let times = ConsumerGroupTimes {
            session_timeout: milliseconds(settings.consumer_session_timeout_ms.into()),
            heartbeat_interval: milliseconds(settings.consumer_heartbeat_interval_ms.into()),
        };
        (GroupId::new(group), times)
    };
    let of_groups: BTreeMap<_, _> = image.groups_with_settings().map(of_group).collect();
    ConsumerGroupSettings {
        session_timeout: milliseconds(broker.group_consumer_session_timeout_ms.into()),
        heartbeat_interval: milliseconds(broker.group_consumer_heartbeat_interval_ms.into()),
        group_size_max: size(broker.group_consumer_max_size),
        assignors: names.filter_map(|name| Assignor::by_name(name)).collect(),
        migration: MigrationPolicy {
            upgrade: matches!(&*policy, "upgrade" | "bidirectional"),
            downgrade: matches!(&*policy, "downgrade" | "bidirectional"),
        },
        regex_refresh_interval: milliseconds(
            broker.group_consumer_regex_refresh_interval_ms.into(),
        ),
        of_groups: Arc::new(of_groups),
    }
}
