//! Where a broker's settings come from: what it was started with, and what was altered since.
//!
//! Invariant: every text in the layers was accepted by its setting when it entered, and the stronger layer wins:
//! this broker's dynamic setting, the cluster's dynamic default, the setting at start, Kafka's default.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::definition::Setting;
use super::lookup::{Scope, SettingError};
use super::value::Value;

/// Names with their texts.
pub type SettingTexts = BTreeMap<String, String>;

/// What a setting's value comes from, the wire's `config_source` (`DescribeConfigsResponse.ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Altered for this broker.
    DynamicBroker,
    /// Altered for all brokers.
    DynamicDefaultBroker,
    /// Set when the broker was started.
    StaticBroker,
    /// Nobody set it.
    Default,
    /// Set on the group.
    Group,
    /// Set on the subscription to clients' metrics.
    ClientMetrics,
}

/// A broker's settings in their layers.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    start: Arc<SettingTexts>,
    default_dynamic: Arc<SettingTexts>,
    own_dynamic: Arc<SettingTexts>,
}

impl Layers {
    /// The settings a broker is started with.
    ///
    /// # Errors
    /// When a setting is unknown or does not take its value.
    pub fn at_start(settings: SettingTexts) -> Result<Self, SettingError> {
        for (name, text) in &settings {
            Scope::Broker.parse(name, text)?;
        }
        Ok(Self {
            start: Arc::new(settings),
            ..Self::default()
        })
    }

    /// The same start with other dynamic settings.
    #[must_use]
    pub(crate) fn with_dynamic(&self, default: SettingTexts, own: SettingTexts) -> Self {
        Self {
            start: Arc::clone(&self.start),
            default_dynamic: Arc::new(default),
            own_dynamic: Arc::new(own),
        }
    }

    /// What was altered for all brokers.
    pub fn default_dynamic(&self) -> &SettingTexts {
        &self.default_dynamic
    }

    /// What was altered for this broker.
    pub fn own_dynamic(&self) -> &SettingTexts {
        &self.own_dynamic
    }

    /// What the broker was started with.
    pub fn start(&self) -> &SettingTexts {
        &self.start
    }

    /// The text somebody set, with its source.
    pub fn explicit(&self, name: &str) -> Option<(&str, ConfigSource)> {
        self.sources()
            .into_iter()
            .find_map(|(texts, source)| texts.get(name).map(|text| (text.as_str(), source)))
    }

    pub(super) fn sources(&self) -> [(&SettingTexts, ConfigSource); 3] {
        [
            (&self.own_dynamic, ConfigSource::DynamicBroker),
            (&self.default_dynamic, ConfigSource::DynamicDefaultBroker),
            (&self.start, ConfigSource::StaticBroker),
        ]
    }

    /// The value in force.
    pub fn value(&self, setting: &Setting) -> Value {
        self.explicit_value(setting)
            .unwrap_or_else(|| setting.default_value())
    }

    fn explicit_value(&self, setting: &Setting) -> Option<Value> {
        let (text, _) = self.explicit(setting.name)?;
        accepted(setting, text)
    }

    /// The value in force of a topic or group setting: its own, else the first of its broker settings that somebody set,
    /// else their default.
    pub(crate) fn value_above(&self, setting: &Setting, own: &SettingTexts) -> Value {
        if let Some(value) = own
            .get(setting.name)
            .and_then(|text| accepted(setting, text))
        {
            return value;
        }
        let stand_ins = || {
            setting
                .synonyms
                .iter()
                .filter_map(|name| Scope::Broker.find(name))
        };
        let explicit = stand_ins().find_map(|broker| {
            self.explicit_value(broker)
                .map(|value| in_milliseconds(broker.name, value))
        });
        let default = || {
            stand_ins()
                .map(|broker| in_milliseconds(broker.name, broker.default_value()))
                .find(|value| *value != Value::Null)
        };
        explicit
            .or_else(default)
            .unwrap_or_else(|| setting.default_value())
    }
}

/// Reads a text that was checked when it was stored. Another release may have stored it: then it does not count, and
/// the log says so.
fn accepted(setting: &Setting, text: &str) -> Option<Value> {
    match setting.parse(text) {
        Ok(value) => Some(value),
        Err(problem) => {
            tracing::warn!(setting = setting.name, %problem, "a stored setting is not valid here and does not count");
            None
        }
    }
}

/// Brings settings in hours and minutes to the milliseconds of the topic setting they stand for. A negative time is
/// "never", whatever its unit (`AbstractKafkaConfig.logRetentionTimeMillis`).
fn in_milliseconds(name: &str, value: Value) -> Value {
    const MINUTE_MS: i64 = 60 * 1000;
    const HOUR_MS: i64 = 60 * MINUTE_MS;
    let factor = if name.ends_with(".hours") {
        HOUR_MS
    } else if name.ends_with(".minutes") {
        MINUTE_MS
    } else {
        1
    };
    match value {
        Value::Integer(count) if factor > 1 && count < 0 => Value::Integer(-1),
        // A 32 bit number of hours cannot overflow 64 bits of milliseconds.
        Value::Integer(count) => Value::Integer(count.saturating_mul(factor)),
        other => other,
    }
}
