//! Settings as DescribeConfigs shows them (`ConfigHelper.scala`).

use std::sync::Arc;

use types::TopicName;

use super::broker::{broker_settings, family};
use super::client_metrics::CLIENT_METRICS_SETTINGS;
use super::definition::{Setting, SettingType, Update};
use super::group::GROUP_SETTINGS;
use super::layers::{ConfigSource, Layers, SettingTexts};
use super::lookup::Scope;
use super::topic::TOPIC_SETTINGS;
use super::value::Value;

/// What has settings (Kafka's `ConfigResource`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The broker with this number.
    Broker(i32),
    /// A topic.
    Topic(TopicName),
    /// A group.
    Group(Arc<str>),
    /// A subscription to clients' metrics.
    ClientMetrics(Arc<str>),
}

/// One setting with all that DescribeConfigs tells about it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigEntry {
    /// The setting's name.
    pub name: String,
    /// The value in force; `None` if it is null or a secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// The type of its value.
    pub kind: SettingType,
    /// Only a restart changes it.
    pub read_only: bool,
    /// A secret: its value is never told.
    pub sensitive: bool,
    /// Every place that sets it, the strongest first.
    pub synonyms: Vec<ConfigSynonym>,
    /// What it does.
    pub doc: &'static str,
}

/// A place that sets a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The name there.
    pub name: String,
    /// The text there; `None` for a secret.
    pub value: Option<String>,
    /// Which place it is.
    pub source: ConfigSource,
}

/// Every setting of a topic that has these settings of its own. One without a default is told of only where it is set:
/// Kafka has none, so its clients never meet a topic setting without a value.
pub fn describe_topic(own: &SettingTexts, broker: &Layers) -> Vec<ConfigEntry> {
    TOPIC_SETTINGS
        .iter()
        .filter(|setting| setting.default.is_some() || own.contains_key(setting.name))
        .map(|setting| above(setting, own, broker))
        .collect()
}

/// Every setting of a group that has these settings of its own. Unlike a topic's, a setting nobody set on the group is
/// always told as a default, even where the broker was told another one (`ConfigHelper.createGroupConfigEntry`).
pub fn describe_group(own: &SettingTexts, broker: &Layers) -> Vec<ConfigEntry> {
    let describe = |setting: &'static Setting| {
        let value = broker.value_above(setting, own);
        let synonym = ConfigSynonym {
            name: setting.name.to_owned(),
            value: Some(value.to_string()),
            source: if own.contains_key(setting.name) {
                ConfigSource::Group
            } else {
                ConfigSource::Default
            },
        };
        ConfigEntry {
            read_only: false,
            ..entry(setting, setting.name.to_owned(), &value, vec![synonym])
        }
    };
    GROUP_SETTINGS.iter().map(describe).collect()
}

/// Every setting of a subscription to clients' metrics with these settings of its own
/// (`ConfigHelper.createClientMetricsConfigEntry`). What nobody set has no synonyms.
pub fn describe_client_metrics(own: &SettingTexts) -> Vec<ConfigEntry> {
    let describe = |setting: &'static Setting| {
        let text = own.get(setting.name);
        let value = text
            .and_then(|text| setting.parse(text).ok())
            .unwrap_or_else(|| setting.default_value());
        let synonym = text.map(|_| ConfigSynonym {
            name: setting.name.to_owned(),
            value: Some(value.to_string()),
            source: ConfigSource::ClientMetrics,
        });
        ConfigEntry {
            read_only: false,
            ..entry(
                setting,
                setting.name.to_owned(),
                &value,
                synonym.into_iter().collect(),
            )
        }
    };
    CLIENT_METRICS_SETTINGS.iter().map(describe).collect()
}

/// Every setting of a broker, and what was set under a listener's name.
pub fn describe_broker(layers: &Layers) -> Vec<ConfigEntry> {
    let mut entries: Vec<_> = broker_settings()
        .map(|setting| {
            let value = layers.value(setting);
            let synonyms = synonyms(setting.name, setting.is_sensitive(), layers);
            entry(setting, setting.name.to_owned(), &value, synonyms)
        })
        .collect();
    let listener_settings: std::collections::BTreeSet<_> = layers
        .sources()
        .into_iter()
        .flat_map(|(texts, _)| texts.keys())
        .filter(|name| Scope::Broker.find(name).is_none())
        .collect();
    for name in listener_settings {
        if let (Ok(setting), Some((text, source))) =
            (Scope::Broker.get(name), layers.explicit(name))
        {
            let synonym = ConfigSynonym {
                name: name.clone(),
                value: (!setting.is_sensitive()).then(|| text.to_owned()),
                source,
            };
            let value = setting.parse(text).unwrap_or(Value::Null);
            entries.push(entry(setting, name.clone(), &value, vec![synonym]));
        }
    }
    entries
}

/// What was altered for all brokers.
pub fn describe_broker_defaults(layers: &Layers) -> Vec<ConfigEntry> {
    let from_default =
        |synonym: &ConfigSynonym| synonym.source == ConfigSource::DynamicDefaultBroker;
    layers
        .default_dynamic()
        .iter()
        .filter_map(|(name, text)| {
            let setting = Scope::Broker.get(name).ok()?;
            let mut places = synonyms(setting.name, setting.is_sensitive(), layers);
            places.retain(from_default);
            let value = setting.parse(text).ok()?;
            Some(entry(setting, name.clone(), &value, places))
        })
        .collect()
}

fn above(setting: &'static Setting, own: &SettingTexts, broker: &Layers) -> ConfigEntry {
    let value = broker.value_above(setting, own);
    let mut places = Vec::new();
    if own.contains_key(setting.name) {
        places.push(ConfigSynonym {
            name: setting.name.to_owned(),
            value: Some(value.to_string()),
            source: ConfigSource::Topic,
        });
    }
    if let Some(first) = setting.synonyms.first() {
        places.extend(synonyms(first, setting.is_sensitive(), broker));
    }
    ConfigEntry {
        read_only: false,
        ..entry(setting, setting.name.to_owned(), &value, places)
    }
}

fn entry(
    setting: &'static Setting,
    name: String,
    value: &Value,
    synonyms: Vec<ConfigSynonym>,
) -> ConfigEntry {
    let sensitive = setting.is_sensitive();
    let is_shown = !sensitive && *value != Value::Null;
    ConfigEntry {
        name,
        value: is_shown.then(|| value.to_string()),
        source: synonyms
            .first()
            .map_or(ConfigSource::Default, |synonym| synonym.source),
        kind: setting.kind,
        read_only: setting.update == Update::ReadOnly,
        sensitive,
        synonyms,
        doc: setting.doc,
    }
}

/// Every place that sets a broker setting or one that says the same in another unit. As in Kafka, the places before the
/// first one with the setting's very own name are left out, so a retention set in hours shows as a default of the topic.
fn synonyms(name: &'static str, sensitive: bool, layers: &Layers) -> Vec<ConfigSynonym> {
    let family = family(name);
    let shown = |text: &str| (!sensitive).then(|| text.to_owned());
    let mut places = Vec::new();
    for (texts, source) in layers.sources() {
        for &member in &family {
            if let Some(text) = texts.get(member) {
                places.push(ConfigSynonym {
                    name: member.to_owned(),
                    value: shown(text),
                    source,
                });
            }
        }
    }
    for member in family {
        if let Some(text) = Scope::Broker
            .find(member)
            .and_then(|setting| setting.default)
        {
            places.push(ConfigSynonym {
                name: member.to_owned(),
                value: shown(text),
                source: ConfigSource::Default,
            });
        }
    }
    places
        .into_iter()
        .skip_while(|place| place.name != name)
        .collect()
}
