//! The broker's loggers as configs (KIP-412, `RuntimeLoggerManager`). A broker whose log is not its own shows the root
//! logger and cannot change it.

use metadata::SettingOperation;
use protocol::ErrorCode;
use tracing::level_filters::LevelFilter;

use crate::handlers::refusal::Refusal;
use crate::log_levels::{LogLevel, ROOT_LOGGER};
use crate::topics::Topics;

/// Every logger with its level.
pub(super) fn levels(topics: &Topics) -> Vec<(String, LogLevel)> {
    match &topics.config.log_levels {
        Some(log) => log.levels(),
        None => vec![(ROOT_LOGGER.to_owned(), process_level())],
    }
}

/// The most detailed level that is logged at all.
fn process_level() -> LogLevel {
    match LevelFilter::current() {
        LevelFilter::OFF => LogLevel::Off,
        LevelFilter::ERROR => LogLevel::Error,
        LevelFilter::WARN => LogLevel::Warn,
        LevelFilter::INFO => LogLevel::Info,
        LevelFilter::DEBUG => LogLevel::Debug,
        LevelFilter::TRACE => LogLevel::Trace,
    }
}

/// Changes levels: all, or none.
pub(super) fn alter(
    topics: &Topics,
    changes: &[metadata::SettingChange],
    validate_only: bool,
) -> Result<(), Refusal> {
    let known = levels(topics);
    let mut wanted = Vec::new();
    for change in changes {
        let name = &change.name;
        let level = match &change.operation {
            SettingOperation::Set(level) => {
                check_exists(&known, name)?;
                let level = LogLevel::of_name(level).ok_or_else(|| {
                    let levels = "DEBUG, ERROR, FATAL, INFO, TRACE or WARN";
                    let message = format!("{level:?} is no level for {name}: use {levels}");
                    Refusal::new(ErrorCode::InvalidConfig, message)
                })?;
                Some(level)
            }
            SettingOperation::Delete => {
                check_exists(&known, name)?;
                if name == ROOT_LOGGER {
                    let message = "the level of the root logger cannot be removed";
                    return Err(Refusal::new(ErrorCode::InvalidRequest, message));
                }
                None
            }
            SettingOperation::Append(_) | SettingOperation::Subtract(_) => {
                let message = "a logger has one level, no list";
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
        };
        wanted.push((name.clone(), level));
    }
    let Some(log) = &topics.config.log_levels else {
        let message = "the log of this broker was set up by somebody else";
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    };
    if validate_only {
        return Ok(());
    }
    log.set(&wanted).map_err(|error| {
        tracing::error!(%error, source = %error.source, "could not change log levels");
        Refusal::new(ErrorCode::UnknownServerError, error.to_string())
    })
}

fn check_exists(known: &[(String, LogLevel)], name: &str) -> Result<(), Refusal> {
    if known.iter().any(|(known, _)| known == name) {
        return Ok(());
    }
    let message = format!("there is no logger {name:?}");
    Err(Refusal::new(ErrorCode::InvalidConfig, message))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use metadata::SettingChange;
    use parking_lot::Mutex;

    use super::*;
    use crate::handlers::fixture::Fixture;
    use crate::log_levels::{LogLevels, SetLogLevelsError};

    #[derive(Debug)]
    struct FakeLog(Mutex<BTreeMap<String, LogLevel>>);

    impl LogLevels for FakeLog {
        fn levels(&self) -> Vec<(String, LogLevel)> {
            self.0.lock().clone().into_iter().collect()
        }

        fn set(&self, levels: &[(String, Option<LogLevel>)]) -> Result<(), SetLogLevelsError> {
            let mut log = self.0.lock();
            for (name, level) in levels {
                log.insert(name.clone(), level.unwrap_or(LogLevel::Info));
            }
            Ok(())
        }
    }

    fn change(name: &str, operation: SettingOperation) -> SettingChange {
        SettingChange {
            name: name.to_owned(),
            operation,
        }
    }

    fn set(name: &str, level: &str) -> SettingChange {
        change(name, SettingOperation::Set(level.to_owned()))
    }

    #[tokio::test]
    async fn levels_are_set_removed_and_checked() {
        let names = ["broker", ROOT_LOGGER];
        let levels = names.map(|name| (name.to_owned(), LogLevel::Info));
        let log = Arc::new(FakeLog(Mutex::new(BTreeMap::from(levels))));
        let fixture = Fixture::with_log(log).await;
        let topics = fixture.topics();
        let level = |name: &str| {
            let levels = super::levels(&topics);
            let found = levels.into_iter().find(|(logger, _)| logger == name);
            found.map(|(_, level)| level)
        };
        alter(&topics, &[set("broker", "DEBUG")], true).unwrap();
        assert_eq!(level("broker"), Some(LogLevel::Info), "only validated");
        alter(
            &topics,
            &[set("broker", "DEBUG"), set(ROOT_LOGGER, "FATAL")],
            false,
        )
        .unwrap();
        assert_eq!(level("broker"), Some(LogLevel::Debug));
        assert_eq!(level(ROOT_LOGGER), Some(LogLevel::Error));
        alter(
            &topics,
            &[change("broker", SettingOperation::Delete)],
            false,
        )
        .unwrap();
        assert_eq!(level("broker"), Some(LogLevel::Info));
        for (wrong, expected) in [
            (set("nobody", "INFO"), ErrorCode::InvalidConfig),
            (set("broker", "LOUD"), ErrorCode::InvalidConfig),
            (set("broker", "debug"), ErrorCode::InvalidConfig),
            (
                change("nobody", SettingOperation::Delete),
                ErrorCode::InvalidConfig,
            ),
            (
                change(ROOT_LOGGER, SettingOperation::Delete),
                ErrorCode::InvalidRequest,
            ),
            (
                change("broker", SettingOperation::Append("INFO".to_owned())),
                ErrorCode::InvalidRequest,
            ),
        ] {
            let changes = [set("broker", "TRACE"), wrong.clone()];
            let refusal = alter(&topics, &changes, false).unwrap_err();
            assert_eq!(refusal.code, expected, "{wrong:?}");
            assert_eq!(level("broker"), Some(LogLevel::Info), "all or none");
        }
    }

    #[tokio::test]
    async fn a_log_that_is_not_the_brokers_shows_its_root_and_stays() {
        let fixture = Fixture::new().await;
        let topics = fixture.topics();
        assert_eq!(levels(&topics).len(), 1);
        let refusal = alter(&topics, &[set(ROOT_LOGGER, "INFO")], false).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::InvalidRequest);
    }
}
