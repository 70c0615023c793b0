//! Rules that a single setting cannot check: each value alone, then values against each other.

use super::layers::{Layers, SettingTexts};
use super::lookup::{Scope, SettingError};
use super::typed::{BrokerValues, GroupSettings, TopicSettings};
use super::value::Problem;

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
    let heartbeat = (
        "consumer.heartbeat.interval.ms",
        group.consumer_heartbeat_interval_ms.into(),
    );
    let session = (
        "consumer.session.timeout.ms",
        group.consumer_session_timeout_ms.into(),
    );
    at_least(
        heartbeat,
        (
            "group.consumer.min.heartbeat.interval.ms",
            values.group_consumer_min_heartbeat_interval_ms.into(),
        ),
    )?;
    at_most(
        heartbeat,
        (
            "group.consumer.max.heartbeat.interval.ms",
            values.group_consumer_max_heartbeat_interval_ms.into(),
        ),
    )?;
    at_least(
        session,
        (
            "group.consumer.min.session.timeout.ms",
            values.group_consumer_min_session_timeout_ms.into(),
        ),
    )?;
    at_most(
        session,
        (
            "group.consumer.max.session.timeout.ms",
            values.group_consumer_max_session_timeout_ms.into(),
        ),
    )?;
    at_most(heartbeat, session)
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
        let wide = |(name, value): (&'static str, i32)| (name, i64::from(value));
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
