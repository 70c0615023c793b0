//! Broker settings that the group coordinator obeys, and what else it is told of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use types::GroupId;

use super::consumer::settings::ConsumerGroupSettings;
use super::modern::topics::TopicsImage;
use super::streams::settings::StreamsGroupSettings;

/// Settings of the group coordinator; defaults are Kafka's (`GroupCoordinatorConfig.java`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// `group.min.session.timeout.ms`.
    pub session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_max: Duration,
    /// `group.initial.rebalance.delay.ms`: how long a group that leaves Empty waits for more members.
    pub initial_rebalance_delay: Duration,
    /// How long a new member may wait for its first JoinGroup answer before it is forgotten (Kafka's
    /// `classicGroupNewMemberJoinTimeoutMs`, not a public setting there).
    pub new_member_join_timeout: Duration,
    /// `group.max.size`, in members.
    pub group_size_max: usize,
    /// `group.share.max.size`, in members.
    pub share_group_size_max: usize,
    /// `group.share.session.timeout.ms`: how long members of share groups may be silent after a load.
    pub share_session_timeout: Duration,
    /// `offset.metadata.max.bytes`, in UTF-16 code units because Kafka compares `String.length()`.
    pub offset_metadata_length_max: usize,
    /// `offsets.retention.minutes`.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval: Duration,
    /// The largest GroupMetadata record the log takes (`max.message.bytes` of `__consumer_offsets`), in bytes. A
    /// group that grows beyond it cannot be stored and does not become Stable.
    pub record_bytes_max: usize,
    /// The topics of the cluster, which groups look up by name and id.
    pub topics: Arc<TopicsImage>,
    /// Consumer groups.
    pub consumer: ConsumerGroupSettings,
    /// Settings of streams groups for which an administrator set some.
    pub streams: BTreeMap<GroupId, StreamsGroupSettings>,
    /// Settings of all other streams groups.
    pub streams_default: StreamsGroupSettings,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(30 * 60),
            initial_rebalance_delay: Duration::from_secs(3),
            new_member_join_timeout: Duration::from_secs(5 * 60),
            group_size_max: i32::MAX as usize,
            share_group_size_max: 200,
            share_session_timeout: Duration::from_secs(45),
            offset_metadata_length_max: 4096,
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            offsets_retention_check_interval: Duration::from_secs(10 * 60),
            record_bytes_max: 1_048_588,
            topics: Arc::default(),
            streams: BTreeMap::new(),
            streams_default: StreamsGroupSettings::default(),
            consumer: ConsumerGroupSettings::default(),
        }
    }
}
