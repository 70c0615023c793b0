//! Finding settings by name, and saying what was probably meant.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use super::broker::broker_settings;
use super::client_metrics::CLIENT_METRICS_SETTINGS;
use super::definition::Setting;
use super::group::GROUP_SETTINGS;
use super::topic::TOPIC_SETTINGS;
use super::value::{Problem, Value};

/// Whose setting it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A topic's.
    Topic,
    /// A broker's.
    Broker,
    /// A group's.
    Group,
    /// A subscription's to clients' metrics.
    ClientMetrics,
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::Group => "group",
            Self::ClientMetrics => "client metrics",
        })
    }
}

/// Why a setting is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingError {
    /// Nothing has this name.
    #[error("unknown {scope} setting {name:?}{}", Nearest(*.nearest))]
    Unknown {
        /// Where it was looked up.
        scope: Scope,
        /// The name.
        name: String,
        /// The known name that is nearest, if one is near.
        nearest: Option<&'static str>,
    },
    /// The value is none the setting takes.
    #[error("invalid value {value:?} for {name}: {problem}")]
    Invalid {
        /// The setting.
        name: String,
        /// The value; hidden if it is a password.
        value: String,
        /// What is wrong with it.
        problem: Problem,
    },
}

struct Nearest(Option<&'static str>);

impl fmt::Display for Nearest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(nearest) => write!(formatter, "; did you mean {nearest}?"),
            None => Ok(()),
        }
    }
}

type Index = HashMap<&'static str, &'static Setting>;

static TOPIC_INDEX: LazyLock<Index> = LazyLock::new(|| index(TOPIC_SETTINGS.iter()));
static GROUP_INDEX: LazyLock<Index> = LazyLock::new(|| index(GROUP_SETTINGS.iter()));
static CLIENT_METRICS_INDEX: LazyLock<Index> =
    LazyLock::new(|| index(CLIENT_METRICS_SETTINGS.iter()));
static BROKER_INDEX: LazyLock<Index> = LazyLock::new(|| index(broker_settings()));

fn index(settings: impl Iterator<Item = &'static Setting>) -> Index {
    settings.map(|setting| (setting.name, setting)).collect()
}

impl Scope {
    fn index(self) -> &'static Index {
        match self {
            Self::Topic => &TOPIC_INDEX,
            Self::Broker => &BROKER_INDEX,
            Self::Group => &GROUP_INDEX,
            Self::ClientMetrics => &CLIENT_METRICS_INDEX,
        }
    }

    /// Every setting of the scope, in no order.
    pub fn settings(self) -> impl Iterator<Item = &'static Setting> {
        self.index().values().copied()
    }

    /// The setting of this very name.
    pub fn find(self, name: &str) -> Option<&'static Setting> {
        self.index().get(name).copied()
    }

    /// The setting that says what values `name` takes. For brokers also names with a listener in front
    /// (`listener.name.external.ssl.client.auth`, `listener.name.external.plain.sasl.jaas.config`).
    ///
    /// # Errors
    /// [`SettingError::Unknown`].
    pub fn get(self, name: &str) -> Result<&'static Setting, SettingError> {
        if let Some(setting) = self.find(name) {
            return Ok(setting);
        }
        if self == Self::Broker
            && let Some(setting) = listener_setting(name)
        {
            return Ok(setting);
        }
        Err(SettingError::Unknown {
            scope: self,
            name: shown(name),
            nearest: self.nearest(name),
        })
    }

    /// Reads a value of the setting `name`.
    ///
    /// # Errors
    /// When there is no such setting, or it does not take the value.
    pub fn parse(self, name: &str, text: &str) -> Result<Value, SettingError> {
        let setting = self.get(name)?;
        setting
            .parse(text)
            .map_err(|problem| SettingError::Invalid {
                name: shown(name),
                value: if setting.is_sensitive() {
                    "[hidden]".to_owned()
                } else {
                    shown(text)
                },
                problem,
            })
    }

    /// The known name nearest to `name`, if one is near.
    pub fn nearest(self, name: &str) -> Option<&'static str> {
        let wanted = name.to_ascii_lowercase().replace(['_', '-'], ".");
        contract::nearest(&wanted, self.index().keys().copied())
    }
}

/// How much of a name or value an error repeats.
const NAME_LENGTH_SHOWN: usize = 200;

fn shown(text: &str) -> String {
    match text.char_indices().nth(NAME_LENGTH_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `listener.name.<listener>[.<mechanism>].<setting>` (KIP-103, KIP-226).
fn listener_setting(name: &str) -> Option<&'static Setting> {
    let rest = name.strip_prefix("listener.name.")?;
    let (_listener, base) = rest.split_once('.')?;
    let find = |base| {
        Scope::Broker
            .find(base)
            .filter(|setting| has_listener_form(setting))
    };
    find(base).or_else(|| {
        let (_mechanism, base) = base.split_once('.')?;
        find(base)
    })
}

/// Settings that a single listener may have differently.
fn has_listener_form(setting: &Setting) -> bool {
    [
        "ssl.",
        "sasl.",
        "max.connections",
        "max.connection.creation.rate",
        "connections.max.reauth.ms",
    ]
    .iter()
    .any(|start| setting.name.starts_with(start))
}
