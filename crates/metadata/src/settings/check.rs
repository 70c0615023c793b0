//! Rules that a single setting cannot check: each value alone, then values against each other.

use std::collections::HashSet;

use super::client_metrics::{INTERVAL_MS_MAX, INTERVAL_MS_MIN, MATCHED};
use super::layers::{Layers, SettingTexts};
use super::lookup::{Scope, SettingError};
use super::typed::{BrokerValues, GroupSettings, TopicSettings};
use super::value::{Problem, Value};

/// Checks all settings a topic would have (`LogConfig.validate`).
///
/// # Errors
/// The first setting that is unknown, has a value it does not take, or contradicts another one.
pub fn check_topic(own: &SettingTexts, broker: &Layers) -> Result<(), SettingError> {
    for (name, text) in own {
        Scope::Topic.parse(name, text)?;
    }
    let settings = TopicSettings::resolve(own, broker);
    at_most(
        ("min.compaction.lag.ms", settings.min_compaction_lag_ms),
        ("max.compaction.lag.ms", settings.max_compaction_lag_ms),
    )
}

/// Checks all settings a group would have (`GroupConfigManager.validate`, `GroupConfig.validateValues`).
///
/// # Errors
/// As [`check_topic`].
pub fn check_group(own: &SettingTexts, broker: &Layers) -> Result<(), SettingError> {
    for (name, text) in own {
        Scope::Group.parse(name, text)?;
    }
    let group = GroupSettings::resolve(own, broker);
    let values = BrokerValues::resolve(broker);
    for (value, least, most) in group_bounds(&group, &values) {
        if let Some(least) = least {
            at_least(value, least)?;
        }
        at_most(value, most)?;
    }
    for (heartbeat, session) in [
        (
            (
                "consumer.heartbeat.interval.ms",
                group.consumer_heartbeat_interval_ms,
            ),
            (
                "consumer.session.timeout.ms",
                group.consumer_session_timeout_ms,
            ),
        ),
        (
            (
                "share.heartbeat.interval.ms",
                group.share_heartbeat_interval_ms,
            ),
            ("share.session.timeout.ms", group.share_session_timeout_ms),
        ),
        (
            (
                "streams.heartbeat.interval.ms",
                group.streams_heartbeat_interval_ms,
            ),
            (
                "streams.session.timeout.ms",
                group.streams_session_timeout_ms,
            ),
        ),
    ] {
        less_than(wide(heartbeat), wide(session))?;
    }
    Ok(())
}

/// A group's setting with the broker's limits to it.
type Bounds = (Named, Option<Named>, Named);

fn group_bounds(group: &GroupSettings, broker: &BrokerValues) -> [Bounds; 8] {
    let bounds = |value, least, most| (wide(value), Some(wide(least)), wide(most));
    [
        bounds(
            (
                "consumer.heartbeat.interval.ms",
                group.consumer_heartbeat_interval_ms,
            ),
            (
                "group.consumer.min.heartbeat.interval.ms",
                broker.group_consumer_min_heartbeat_interval_ms,
            ),
            (
                "group.consumer.max.heartbeat.interval.ms",
                broker.group_consumer_max_heartbeat_interval_ms,
            ),
        ),
        bounds(
            (
                "consumer.session.timeout.ms",
                group.consumer_session_timeout_ms,
            ),
            (
                "group.consumer.min.session.timeout.ms",
                broker.group_consumer_min_session_timeout_ms,
            ),
            (
                "group.consumer.max.session.timeout.ms",
                broker.group_consumer_max_session_timeout_ms,
            ),
        ),
        bounds(
            (
                "share.heartbeat.interval.ms",
                group.share_heartbeat_interval_ms,
            ),
            (
                "group.share.min.heartbeat.interval.ms",
                broker.group_share_min_heartbeat_interval_ms,
            ),
            (
                "group.share.max.heartbeat.interval.ms",
                broker.group_share_max_heartbeat_interval_ms,
            ),
        ),
        bounds(
            ("share.session.timeout.ms", group.share_session_timeout_ms),
            (
                "group.share.min.session.timeout.ms",
                broker.group_share_min_session_timeout_ms,
            ),
            (
                "group.share.max.session.timeout.ms",
                broker.group_share_max_session_timeout_ms,
            ),
        ),
        bounds(
            (
                "share.record.lock.duration.ms",
                group.share_record_lock_duration_ms,
            ),
            (
                "group.share.min.record.lock.duration.ms",
                broker.group_share_min_record_lock_duration_ms,
            ),
            (
                "group.share.max.record.lock.duration.ms",
                broker.group_share_max_record_lock_duration_ms,
            ),
        ),
        bounds(
            (
                "streams.heartbeat.interval.ms",
                group.streams_heartbeat_interval_ms,
            ),
            (
                "group.streams.min.heartbeat.interval.ms",
                broker.group_streams_min_heartbeat_interval_ms,
            ),
            (
                "group.streams.max.heartbeat.interval.ms",
                broker.group_streams_max_heartbeat_interval_ms,
            ),
        ),
        bounds(
            (
                "streams.session.timeout.ms",
                group.streams_session_timeout_ms,
            ),
            (
                "group.streams.min.session.timeout.ms",
                broker.group_streams_min_session_timeout_ms,
            ),
            (
                "group.streams.max.session.timeout.ms",
                broker.group_streams_max_session_timeout_ms,
            ),
        ),
        (
            wide((
                "streams.num.standby.replicas",
                group.streams_num_standby_replicas,
            )),
            None,
            wide((
                "group.streams.max.standby.replicas",
                broker.group_streams_max_standby_replicas,
            )),
        ),
    ]
}

/// What is wrong with the settings of a subscription to clients' metrics.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ClientMetricsError {
    /// There is no such setting. INVALID_REQUEST(42).
    #[error(transparent)]
    Unknown(SettingError),
    /// INVALID_REQUEST(42).
    #[error("interval.ms must be between {INTERVAL_MS_MIN} and {INTERVAL_MS_MAX}, not {0}")]
    Interval(i64),
    /// It is not of its type. INVALID_CONFIG(40).
    #[error(transparent)]
    Value(SettingError),
    /// INVALID_CONFIG(40).
    #[error("invalid match {item:?}: it takes NAME=PATTERN with one of the names {}", MATCHED.join(", "))]
    Match {
        /// The item.
        item: String,
    },
    /// A list names something twice. INVALID_CONFIG(40).
    #[error("{0} has an item twice")]
    Duplicate(&'static str),
}

/// Checks all settings a subscription to clients' metrics would have (`ClientMetricsConfigs.validate`). The pattern of a
/// match is only looked at, not compiled: nothing matches clients without telemetry.
///
/// # Errors
/// The first that is wrong.
pub fn check_client_metrics(own: &SettingTexts) -> Result<(), ClientMetricsError> {
    for name in own.keys() {
        Scope::ClientMetrics
            .get(name)
            .map_err(ClientMetricsError::Unknown)?;
    }
    for (name, text) in own {
        let setting = Scope::ClientMetrics.get(name);
        let setting = setting.map_err(ClientMetricsError::Unknown)?;
        let value = Scope::ClientMetrics.parse(name, text);
        let value = value.map_err(ClientMetricsError::Value)?;
        match value {
            Value::Integer(interval)
                if !(INTERVAL_MS_MIN..=INTERVAL_MS_MAX).contains(&interval) =>
            {
                return Err(ClientMetricsError::Interval(interval));
            }
            Value::List(items) => {
                let mut seen = HashSet::new();
                if !items.iter().all(|item| seen.insert(item)) {
                    return Err(ClientMetricsError::Duplicate(setting.name));
                }
                if setting.name == "match"
                    && let Some(item) = items.iter().find(|item| !is_match(item))
                {
                    let item = item.clone();
                    return Err(ClientMetricsError::Match { item });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// `NAME=PATTERN`, with one equals sign.
fn is_match(item: &str) -> bool {
    // As Java's split: what is empty at the end does not count.
    let trimmed = item.trim_end_matches('=');
    let parts: Vec<_> = trimmed.split('=').collect();
    matches!(parts.as_slice(), [name, _] if MATCHED.contains(&name.trim()))
}

/// Checks all settings a broker would have (`KafkaConfig.validateValues`, `GroupCoordinatorConfig`).
///
/// # Errors
/// As [`check_topic`].
pub fn check_broker(layers: &Layers) -> Result<(), SettingError> {
    for (texts, _) in layers.sources() {
        for (name, text) in texts {
            Scope::Broker.parse(name, text)?;
        }
    }
    let values = BrokerValues::resolve(layers);
    at_most(
        (
            "group.min.session.timeout.ms",
            values.group_min_session_timeout_ms.into(),
        ),
        (
            "group.max.session.timeout.ms",
            values.group_max_session_timeout_ms.into(),
        ),
    )?;
    for (least, value, most) in [
        (
            (
                "group.consumer.min.session.timeout.ms",
                values.group_consumer_min_session_timeout_ms,
            ),
            (
                "group.consumer.session.timeout.ms",
                values.group_consumer_session_timeout_ms,
            ),
            (
                "group.consumer.max.session.timeout.ms",
                values.group_consumer_max_session_timeout_ms,
            ),
        ),
        (
            (
                "group.consumer.min.heartbeat.interval.ms",
                values.group_consumer_min_heartbeat_interval_ms,
            ),
            (
                "group.consumer.heartbeat.interval.ms",
                values.group_consumer_heartbeat_interval_ms,
            ),
            (
                "group.consumer.max.heartbeat.interval.ms",
                values.group_consumer_max_heartbeat_interval_ms,
            ),
        ),
    ] {
        at_least(wide(value), wide(least))?;
        at_most(wide(value), wide(most))?;
    }
    at_most(
        (
            "group.consumer.heartbeat.interval.ms",
            values.group_consumer_heartbeat_interval_ms.into(),
        ),
        (
            "group.consumer.session.timeout.ms",
            values.group_consumer_session_timeout_ms.into(),
        ),
    )?;
    check_retention(layers)?;
    check_topic(&SettingTexts::new(), layers)
}

/// `log.retention.ms` and its sisters: -1, or more than zero.
fn check_retention(layers: &Layers) -> Result<(), SettingError> {
    for name in [
        "log.retention.ms",
        "log.retention.minutes",
        "log.retention.hours",
    ] {
        if let Some((text, _)) = layers.explicit(name)
            && text.trim() == "0"
        {
            return Err(SettingError::Invalid {
                name: name.to_owned(),
                value: text.to_owned(),
                problem: Problem::Type("-1 for ever, or at least 1"),
            });
        }
    }
    Ok(())
}

type Named = (&'static str, i64);

fn wide((name, value): (&'static str, i32)) -> Named {
    (name, i64::from(value))
}

fn less_than(value: Named, other: Named) -> Result<(), SettingError> {
    if value.1 < other.1 {
        return Ok(());
    }
    Err(conflict(value, "less than", other))
}

fn at_most(value: Named, other: Named) -> Result<(), SettingError> {
    if value.1 <= other.1 {
        return Ok(());
    }
    Err(conflict(value, "at most", other))
}

fn at_least(value: Named, other: Named) -> Result<(), SettingError> {
    if value.1 >= other.1 {
        return Ok(());
    }
    Err(conflict(value, "at least", other))
}

fn conflict(value: Named, relation: &'static str, other: Named) -> SettingError {
    SettingError::Invalid {
        name: value.0.to_owned(),
        value: value.1.to_string(),
        problem: Problem::Conflict {
            relation,
            other: other.0,
            other_value: other.1.to_string(),
        },
    }
}
