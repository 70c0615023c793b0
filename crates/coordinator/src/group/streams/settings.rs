//! Settings of streams groups: the broker's, and what an administrator set for one group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Settings that one streams group obeys; defaults are Kafka's (`GroupCoordinatorConfig.java`, `GroupConfig.java`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsGroupSettings {
    /// `streams.session.timeout.ms`, else `group.streams.session.timeout.ms`.
    pub session_timeout: Duration,
    /// `streams.heartbeat.interval.ms`, else `group.streams.heartbeat.interval.ms`; in milliseconds.
    pub heartbeat_interval_ms: i32,
    /// `streams.num.standby.replicas`, else `group.streams.num.standby.replicas`.
    pub standby_replicas: usize,
    /// `streams.initial.rebalance.delay.ms`, else `group.streams.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay: Duration,
    /// `group.streams.max.size`, in members.
    pub group_size_max: usize,
}

impl Default for StreamsGroupSettings {
    fn default() -> Self {
        Self {
            session_timeout: Duration::from_secs(45),
            heartbeat_interval_ms: 5_000,
            standby_replicas: 0,
            initial_rebalance_delay: Duration::from_secs(3),
            group_size_max: i32::MAX as usize,
        }
    }
}

/// The assignor's setting as records have it.
const STANDBY_REPLICAS: &str = "num.standby.replicas";

/// What a group's record remembers of [`StreamsGroupSettings::standby_replicas`].
pub(crate) fn standby_replicas(configs: &BTreeMap<Arc<str>, Arc<str>>) -> usize {
    let replicas = configs.get(STANDBY_REPLICAS);
    replicas
        .and_then(|replicas| replicas.parse().ok())
        .unwrap_or(0)
}

impl StreamsGroupSettings {
    /// What the assignor obeys, as the group's record remembers it.
    pub(crate) fn assignment_configs(&self) -> BTreeMap<Arc<str>, Arc<str>> {
        BTreeMap::from([(
            Arc::from(STANDBY_REPLICAS),
            Arc::from(self.standby_replicas.to_string()),
        )])
    }
}
