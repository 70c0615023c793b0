//! The broker's own log: structured events on standard error, for people or for machines, with levels that can be changed
//! while it is written.

mod limit;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use broker::{LogLevel, LogLevels, ROOT_LOGGER, SetLogLevelsError};
use parking_lot::Mutex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::reload;

use self::limit::Limited;
use crate::settings::LogFormat;

/// The parts of the program that log, under the names of their crates.
const LOGGERS: [&str; 6] = [
    "broker",
    "coordinator",
    "env",
    "metadata",
    "storage",
    "watertable",
];

/// Why the log was not set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// The filter cannot be read.
    #[error(
        "invalid log filter {filter:?}: use error, warn, info, debug, trace, or module=level,…"
    )]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Something else in the process writes a log already.
    #[error("cannot set up the log")]
    SetUp(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Logs from now on what `filter` lets through.
pub(crate) fn set_up(format: LogFormat, filter: &str) -> Result<Arc<dyn LogLevels>, LogError> {
    let parsed = parse(filter)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr);
    let (set, reload) = match format {
        LogFormat::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            let log = log.with_ansi(colours).map_event_format(Limited::new);
            let log = log.with_filter_reloading();
            let handle = log.reload_handle();
            let set = tracing::subscriber::set_global_default(log.finish());
            (set, Box::new(move |filter| handle.reload(filter)) as Reload)
        }
        LogFormat::Json => {
            let log = log.json().flatten_event(true).with_current_span(false);
            let log = log.map_event_format(Limited::new).with_filter_reloading();
            let handle = log.reload_handle();
            let set = tracing::subscriber::set_global_default(log.finish());
            (set, Box::new(move |filter| handle.reload(filter)) as Reload)
        }
    };
    set.map_err(LogError::SetUp)?;
    Ok(Arc::new(Levels {
        filter: filter.to_owned(),
        changed: Mutex::default(),
        reload,
    }))
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(filter).map_err(|source| LogError::Filter {
        filter: filter.to_owned(),
        source,
    })
}

type Reload = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

/// The filter the log was set up with, and what was changed since.
struct Levels {
    filter: String,
    changed: Mutex<BTreeMap<String, LogLevel>>,
    reload: Reload,
}

impl fmt::Debug for Levels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Levels")
            .field("filter", &self.filter)
            .field("changed", &*self.changed.lock())
            .finish_non_exhaustive()
    }
}

impl LogLevels for Levels {
    fn levels(&self) -> Vec<(String, LogLevel)> {
        let changed = self.changed.lock();
        levels(&self.filter, &changed)
    }

    fn set(&self, levels: &[(String, Option<LogLevel>)]) -> Result<(), SetLogLevelsError> {
        let mut changed = self.changed.lock();
        let mut wanted = changed.clone();
        for (logger, level) in levels {
            match level {
                Some(level) => drop(wanted.insert(logger.clone(), *level)),
                None => {
                    // As the root: what the filter says of the logger must not count any more either.
                    let root = root_level(&self.filter, &wanted);
                    wanted.insert(logger.clone(), root);
                }
            }
        }
        let failed =
            |source: Box<dyn std::error::Error + Send + Sync>| SetLogLevelsError { source };
        let filter = EnvFilter::try_new(with(&self.filter, &wanted));
        let filter = filter.map_err(|error| failed(Box::new(error)))?;
        (self.reload)(filter).map_err(|error| failed(Box::new(error)))?;
        *changed = wanted;
        Ok(())
    }
}

/// The filter with the changes behind it; of two that say something of the same logger the last counts.
fn with(filter: &str, changed: &BTreeMap<String, LogLevel>) -> String {
    let mut text = filter.to_owned();
    for (logger, level) in changed {
        let level = level.name().to_ascii_lowercase();
        let directive = if logger == ROOT_LOGGER {
            level
        } else {
            format!("{logger}={level}")
        };
        if !text.is_empty() {
            text.push(',');
        }
        text += &directive;
    }
    text
}

/// The root and every logger with its level.
fn levels(filter: &str, changed: &BTreeMap<String, LogLevel>) -> Vec<(String, LogLevel)> {
    let root = root_level(filter, changed);
    let own = LOGGERS.iter().map(|logger| {
        let said = changed.get(*logger).copied();
        let level = said.or_else(|| said_of(filter, Some(logger)));
        ((*logger).to_owned(), level.unwrap_or(root))
    });
    std::iter::once((ROOT_LOGGER.to_owned(), root))
        .chain(own)
        .collect()
}

fn root_level(filter: &str, changed: &BTreeMap<String, LogLevel>) -> LogLevel {
    let said = changed.get(ROOT_LOGGER).copied();
    // Without a word about it, a filter lets errors through.
    said.or_else(|| said_of(filter, None))
        .unwrap_or(LogLevel::Error)
}

/// What a filter says of a logger, or of all.
fn said_of(filter: &str, logger: Option<&str>) -> Option<LogLevel> {
    let directives = filter.split(',').map(str::trim).rev();
    directives
        .filter_map(|directive| match (directive.split_once('='), logger) {
            (None, None) => Some(directive),
            (Some((of, level)), Some(logger)) if of == logger => Some(level),
            _ => None,
        })
        .find_map(|level| match level.to_ascii_uppercase().as_str() {
            "OFF" => Some(LogLevel::Off),
            level => LogLevel::of_name(level),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_an_error() {
        let error = parse("broker=loud").unwrap_err();
        assert!(matches!(error, LogError::Filter { .. }));
    }

    fn level(filter: &str, changed: &[(&str, LogLevel)], logger: &str) -> LogLevel {
        let changed = changed.iter();
        let changed = changed
            .map(|(logger, level)| ((*logger).to_owned(), *level))
            .collect();
        let levels = levels(filter, &changed);
        let found = levels.into_iter().find(|(name, _)| name == logger);
        found.expect("the logger is there").1
    }

    #[test]
    fn a_logger_has_the_level_that_was_said_last() {
        use LogLevel::{Debug, Error, Info, Trace, Warn};
        for (filter, changed, logger, expected) in [
            ("info", &[][..], "root", Info),
            ("info", &[], "broker", Info),
            ("info,broker=debug", &[], "broker", Debug),
            ("info,broker=debug", &[], "storage", Info),
            ("", &[], "root", Error),
            ("info", &[("root", Warn)], "broker", Warn),
            ("info,broker=debug", &[("root", Warn)], "broker", Debug),
            ("info,broker=debug", &[("broker", Trace)], "broker", Trace),
        ] {
            assert_eq!(
                level(filter, changed, logger),
                expected,
                "{filter} {changed:?}"
            );
        }
    }

    #[test]
    fn changes_stand_behind_the_filter() {
        let changed = BTreeMap::from([
            ("broker".to_owned(), LogLevel::Trace),
            (ROOT_LOGGER.to_owned(), LogLevel::Warn),
        ]);
        assert_eq!(with("info", &changed), "info,broker=trace,warn");
        assert!(parse(&with("", &changed)).is_ok());
    }
}
