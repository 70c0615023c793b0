//! The settings of `watertable start`: flags over environment over file over defaults, the origin of every key kept.
//!
//! Invariant: a key that nobody knows is an error, never ignored; so is a value that its setting does not take. Each
//! error says where the setting was made.

mod environment;
mod file;
mod listener;
mod origin;
mod pipeline;
mod sql;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use metadata::settings::{
    BrokerSettings, Effect, Layers, Scope, SettingError, SettingTexts, check_broker, is_removed,
};

pub(crate) use file::FileError;
pub(crate) use listener::{AddressError, HostPort};
pub(crate) use origin::{Given, Origin};
pub(crate) use pipeline::{PipelineSettings, SECRETS_DIRECTORY};
pub(crate) use sql::SqlSettings;

/// The least memory for requests that a broker is started with. A connection with half a request may hold 256 KiB as one
/// with small requests, so 64 of them fill this.
const REQUEST_MEMORY_MIN: u64 = 16 << 20;

/// What the broker writes its log as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Everything `watertable start` is told.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where clients connect.
    pub(crate) listen: SocketAddr,
    /// What clients are told, if it is not where the broker listens.
    pub(crate) advertise: Option<HostPort>,
    /// The data directory.
    pub(crate) data_directory: PathBuf,
    /// Where HTTP is served; `None` if it is off.
    pub(crate) http_listen: Option<SocketAddr>,
    /// SQL over the PostgreSQL wire protocol; `None` if it is off.
    pub(crate) sql: Option<SqlSettings>,
    /// How pipelines are run; `None`: not here.
    pub(crate) pipelines: Option<PipelineSettings>,
    /// The form of the log.
    pub(crate) log_format: LogFormat,
    /// What is logged, as `tracing_subscriber::EnvFilter` reads it.
    pub(crate) log_filter: String,
    /// Kafka's settings.
    pub(crate) broker: Arc<BrokerSettings>,
    /// What was set, with where.
    pub(crate) origins: BTreeMap<String, Origin>,
    /// Settings that are known and ignored, with why.
    pub(crate) warnings: Vec<String>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nobody knows this key.
    #[error("unknown setting {key:?} in {origin}{}", did_you_mean(*.nearest))]
    Unknown {
        /// The key.
        key: String,
        /// Where it was set.
        origin: Origin,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A value that the setting does not take.
    #[error("{error}{}", in_origin(.origin.as_ref()))]
    Value {
        /// What is wrong.
        error: Box<SettingError>,
        /// Where it was set.
        origin: Option<Origin>,
    },
    /// One of our own settings has a value that it does not take.
    #[error("invalid value {text:?} for {key}: must be {allowed} (from {origin})")]
    OwnValue {
        /// The key.
        key: &'static str,
        /// Its text.
        text: String,
        /// What it takes.
        allowed: &'static str,
        /// Where it was set.
        origin: Origin,
    },
    /// Few clients could keep all others out.
    #[error(
        "invalid value {bytes} for queued.max.request.bytes: must be negative for no limit, or at least {REQUEST_MEMORY_MIN}: \
         with less, a few dozen clients that send half a request hold all of it, and others wait until they are cut{}",
        in_origin(.origin.as_ref())
    )]
    RequestMemory {
        /// The value.
        bytes: u64,
        /// Where it was set.
        origin: Option<Origin>,
    },
    /// Two names of one setting at the same place.
    #[error("{first} and {second} set the same: {origin} says {key} twice")]
    Twice {
        /// The setting.
        key: &'static str,
        /// Where the first name was.
        first: String,
        /// Where the second name was.
        second: String,
        /// The kind of place.
        origin: &'static str,
    },
    /// An address.
    #[error("{key} cannot be used{}", in_origin(.origin.as_ref()))]
    Address {
        /// The setting.
        key: &'static str,
        /// Where it was set.
        origin: Option<Origin>,
        /// What is wrong.
        source: AddressError,
    },
    /// Kafka spreads partitions over several disks; here there is one directory.
    #[error("log.dirs has {0} directories; exactly one is supported")]
    DataDirectories(usize),
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"))
}

fn in_origin(origin: Option<&Origin>) -> String {
    origin.map_or_else(String::new, |origin| format!(" (from {origin})"))
}

/// Keys of ours that are no settings of Kafka.
const HTTP_LISTEN: &str = "http.listen";
const LOG_FORMAT: &str = "log.format";
const LOG_FILTER: &str = "log.filter";
const OWN: &[&str] = &[
    HTTP_LISTEN,
    LOG_FORMAT,
    LOG_FILTER,
    sql::LISTEN,
    sql::MEMORY_BYTES,
    sql::SPILL_BYTES,
    sql::CONNECTIONS,
    sql::PRIORITY,
    sql::EXPORT_DIRECTORY,
    sql::S3_PREFIXES,
    sql::S3_ENDPOINT,
    sql::S3_REGION,
    pipeline::WORKERS,
    pipeline::MEMORY_BYTES,
    pipeline::PRIORITY,
    pipeline::YIELD,
    SECRETS_DIRECTORY,
];

const HTTP_LISTEN_DEFAULT: &str = "127.0.0.1:8080";
/// The log without being asked: what people running a broker want to know.
const LOG_FILTER_DEFAULT: &str = "info";

/// A shorter name for a setting of Kafka.
struct Alias {
    short: &'static str,
    name: &'static str,
    /// How its text is written in Kafka's form.
    form: fn(&str) -> String,
}

const fn alias(short: &'static str, name: &'static str, form: fn(&str) -> String) -> Alias {
    Alias { short, name, form }
}

const ALIASES: &[Alias] = &[
    alias("listen", "listeners", plain_listener),
    alias("advertise", "advertised.listeners", plain_listener),
    alias("data.dir", "log.dirs", str::to_owned),
    alias("log.dir", "log.dirs", str::to_owned),
    alias("broker.id", "node.id", str::to_owned),
];

fn plain_listener(address: &str) -> String {
    format!("PLAINTEXT://{address}")
}

/// The settings from the command line, the environment and the file.
pub(crate) fn resolve(
    flags: Vec<Given>,
    environment: impl Iterator<Item = (String, String)>,
    file: Option<&std::path::Path>,
) -> Result<Settings, SettingsError> {
    let file = file.map(file::settings).transpose()?.unwrap_or_default();
    Made::in_layers(file, environment::settings(environment), flags)?.settings()
}

/// As [`resolve`], from a file's text, to what is said if that cannot be used. Addresses that are not `wanted` are left out.
#[cfg(feature = "fuzzing")]
pub(crate) fn resolve_texts(
    path: &std::path::Path,
    file: &str,
    environment: Vec<(String, String)>,
    flags: Vec<(String, String)>,
    wanted: fn(&str) -> bool,
) -> Result<Settings, String> {
    let flag = |(key, text)| Given {
        key,
        text,
        origin: Origin::Flag("--set"),
    };
    let resolve = || -> Result<Settings, SettingsError> {
        let file = file::parse(path, file)?;
        let environment = environment::settings(environment.into_iter());
        let mut made = Made::in_layers(file, environment, flags.into_iter().map(flag).collect())?;
        made.settings.retain(|name, given| {
            !name.ends_with("listeners") && ![HTTP_LISTEN, sql::LISTEN].contains(name)
                || wanted(&given.text)
        });
        made.settings()
    };
    resolve().map_err(|error| error.to_string())
}

/// What was made, by the name the setting has in the tables.
#[derive(Debug, Default)]
struct Made {
    settings: BTreeMap<&'static str, Given>,
    /// Settings of single listeners, whose names are not in the tables.
    listeners: BTreeMap<String, Given>,
    warnings: Vec<String>,
}

impl Made {
    /// The weakest layer first: a stronger one replaces it.
    fn in_layers(
        file: Vec<Given>,
        environment: Vec<Given>,
        flags: Vec<Given>,
    ) -> Result<Self, SettingsError> {
        let mut made = Self::default();
        made.layer("the file", file)?;
        made.layer("the environment", environment)?;
        made.layer("the command line", flags)?;
        Ok(made)
    }

    fn layer(&mut self, place: &'static str, layer: Vec<Given>) -> Result<(), SettingsError> {
        let mut here: BTreeMap<&'static str, Given> = BTreeMap::new();
        for mut given in layer {
            if is_removed(&given.key) {
                self.warnings.push(format!(
                    "{} (from {}) was removed in Kafka 4.0 and is ignored",
                    given.key, given.origin
                ));
                continue;
            }
            let Some(name) = table_name(&mut given) else {
                if Scope::Broker.get(&given.key).is_ok() {
                    self.listeners.insert(given.key.clone(), given);
                    continue;
                }
                return Err(SettingsError::Unknown {
                    nearest: nearest(&given.key),
                    key: given.key,
                    origin: given.origin,
                });
            };
            if let Some(first) = here.insert(name, given.clone())
                && first.text != given.text
            {
                return Err(SettingsError::Twice {
                    key: name,
                    first: format!("{}={}", first.key, first.text),
                    second: format!("{}={}", given.key, given.text),
                    origin: place,
                });
            }
        }
        self.settings.extend(here);
        Ok(())
    }

    fn settings(mut self) -> Result<Settings, SettingsError> {
        let http_listen = self.address_or_off(HTTP_LISTEN, HTTP_LISTEN_DEFAULT)?;
        let sql = self.sql()?;
        let pipelines = self.pipelines()?;
        let log_format = self.log_format()?;
        let log_filter = match self.settings.remove(LOG_FILTER) {
            Some(given) => given.text,
            None => LOG_FILTER_DEFAULT.to_owned(),
        };
        let all = self.settings.into_iter();
        let made: BTreeMap<String, Given> = all
            .map(|(name, given)| (name.to_owned(), given))
            .chain(self.listeners)
            .collect();
        let texts: SettingTexts = made
            .iter()
            .map(|(name, given)| (name.clone(), given.text.clone()))
            .collect();
        let origins: BTreeMap<_, _> = made
            .into_iter()
            .map(|(name, given)| (name, given.origin))
            .collect();
        let value_error = |error: SettingError| {
            let name = match &error {
                SettingError::Unknown { name, .. } | SettingError::Invalid { name, .. } => name,
            };
            let origin = origins.get(name).cloned();
            SettingsError::Value {
                error: Box::new(error),
                origin,
            }
        };
        for (name, origin) in &origins {
            if Scope::Broker
                .get(name)
                .is_ok_and(|setting| setting.effect == Effect::Later)
            {
                self.warnings
                    .push(format!("{name} (from {origin}) has no effect yet"));
            }
        }
        let layers = Layers::at_start(texts).map_err(value_error)?;
        check_broker(&layers).map_err(value_error)?;
        let broker = Arc::new(BrokerSettings::new(layers));
        if let Some(bytes) = broker.queued_max_request_bytes
            && bytes < REQUEST_MEMORY_MIN
        {
            let origin = origins.get("queued.max.request.bytes").cloned();
            return Err(SettingsError::RequestMemory { bytes, origin });
        }
        let address_error = |key: &'static str| {
            let origin = origins.get(key).cloned();
            move |source| SettingsError::Address {
                key,
                origin,
                source,
            }
        };
        let listening = listener::client_listener(
            &broker.listeners,
            &broker.controller_listener_names,
            &broker.listener_security_protocol_map,
        )
        .map_err(address_error("listeners"))?;
        let advertise = listener::advertised(
            &broker.advertised_listeners,
            &broker.controller_listener_names,
            &listening,
        )
        .map_err(address_error("advertised.listeners"))?;
        let [directory] = broker.log_dirs.as_slice() else {
            return Err(SettingsError::DataDirectories(broker.log_dirs.len()));
        };
        Ok(Settings {
            listen: listening.look_up().map_err(address_error("listeners"))?,
            advertise,
            data_directory: PathBuf::from(directory),
            http_listen,
            sql,
            pipelines,
            log_format,
            log_filter,
            broker,
            origins,
            warnings: self.warnings,
        })
    }

    fn address_or_off(
        &mut self,
        key: &'static str,
        default: &str,
    ) -> Result<Option<SocketAddr>, SettingsError> {
        let given = self.settings.remove(key);
        let text = given.as_ref().map_or(default, |given| &given.text);
        if text.eq_ignore_ascii_case("off") {
            return Ok(None);
        }
        let address = HostPort::parse(text).and_then(|address| address.look_up());
        address.map(Some).map_err(|source| SettingsError::Address {
            key,
            origin: given.map(|given| given.origin),
            source,
        })
    }

    fn log_format(&mut self) -> Result<LogFormat, SettingsError> {
        let Some(given) = self.settings.remove(LOG_FORMAT) else {
            return Ok(LogFormat::Text);
        };
        match given.text.to_ascii_lowercase().as_str() {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(SettingsError::OwnValue {
                key: LOG_FORMAT,
                text: given.text,
                allowed: "text or json",
                origin: given.origin,
            }),
        }
    }
}

/// The name the tables have for a key, its text brought to the form there. `None` if the tables do not have it.
fn table_name(given: &mut Given) -> Option<&'static str> {
    if let Some(alias) = ALIASES.iter().find(|alias| alias.short == given.key) {
        given.text = (alias.form)(&given.text);
        return Some(alias.name);
    }
    if let Some(own) = OWN.iter().find(|own| **own == given.key) {
        return Some(own);
    }
    Scope::Broker.find(&given.key).map(|setting| setting.name)
}

/// The key that was probably meant, ours included.
fn nearest(key: &str) -> Option<&'static str> {
    let aliases = ALIASES.iter().map(|alias| alias.short);
    let ours = aliases.chain(OWN.iter().copied());
    contract::nearest(key, ours.chain(Scope::Broker.nearest(key)))
}

#[cfg(test)]
mod tests;
