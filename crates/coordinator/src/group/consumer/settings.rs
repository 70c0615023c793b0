//! What consumer groups obey.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use types::GroupId;

use crate::group::modern::assignor::Assignor;

/// Whether groups change between the classic and the consumer protocol while they have members
/// (`group.consumer.migration.policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MigrationPolicy {
    /// A classic group becomes a consumer group when a member of the consumer protocol joins.
    pub upgrade: bool,
    /// A consumer group becomes a classic group when its last member of the consumer protocol leaves.
    pub downgrade: bool,
}

/// Settings of consumer groups; defaults are Kafka's (`GroupCoordinatorConfig.java`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupSettings {
    /// `group.consumer.session.timeout.ms`.
    pub session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `group.consumer.max.size`, in members.
    pub group_size_max: usize,
    /// `group.consumer.assignors`; the first is the default.
    pub assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`.
    pub migration: MigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`.
    pub regex_refresh_interval: Duration,
    /// What is set for single groups (`consumer.session.timeout.ms`, `consumer.heartbeat.interval.ms`).
    pub of_groups: Arc<BTreeMap<GroupId, ConsumerGroupTimes>>,
}

/// How often members of one group must show signs of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerGroupTimes {
    /// How long a member may be silent.
    pub session_timeout: Duration,
    /// How long members shall wait between two heartbeats.
    pub heartbeat_interval: Duration,
}

impl ConsumerGroupSettings {
    /// What is in force for a group.
    pub(crate) fn times(&self, group: &GroupId) -> ConsumerGroupTimes {
        self.of_groups
            .get(group)
            .copied()
            .unwrap_or(ConsumerGroupTimes {
                session_timeout: self.session_timeout,
                heartbeat_interval: self.heartbeat_interval,
            })
    }

    /// The assignor of groups whose members name none.
    pub(crate) fn default_assignor(&self) -> Assignor {
        self.assignors.first().copied().unwrap_or(Assignor::Uniform)
    }
}

impl Default for ConsumerGroupSettings {
    fn default() -> Self {
        Self {
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(5),
            group_size_max: i32::MAX as usize,
            assignors: vec![Assignor::Uniform, Assignor::Range],
            migration: MigrationPolicy {
                upgrade: true,
                downgrade: true,
            },
            regex_refresh_interval: Duration::from_secs(10 * 60),
            of_groups: Arc::default(),
        }
    }
}
