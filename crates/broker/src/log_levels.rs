//! The broker's own log as the admin APIs see it (KIP-412): loggers by name, each with a level that can be changed while the
//! broker runs. What loggers there are, and how a level takes effect, knows whoever set the log up.

use std::fmt;

/// The logger above all others (`LoggingController.ROOT_LOGGER`).
pub const ROOT_LOGGER: &str = "root";

/// How much a logger tells. Kafka's FATAL is ERROR here, beyond which there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Data or service is at risk.
    Error,
    /// Something to look at.
    Warn,
    /// What the broker does.
    Info,
    /// What clients do wrong, and more.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level of this name, in capitals; `None` if there is none (`LogLevelConfig.VALID_LOG_LEVELS`).
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "FATAL" | "ERROR" => Self::Error,
            "WARN" => Self::Warn,
            "INFO" => Self::Info,
            "DEBUG" => Self::Debug,
            "TRACE" => Self::Trace,
            _ => return None,
        })
    }

    /// Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "OFF",
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The new levels could not take effect.
#[derive(Debug, thiserror::Error)]
#[error("the log does not take new levels")]
pub struct SetLogLevelsError {
    /// Why.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Knows the loggers and changes their levels.
pub trait LogLevels: fmt::Debug + Send + Sync {
    /// Every logger with its level, [`ROOT_LOGGER`] among them.
    fn levels(&self) -> Vec<(String, LogLevel)>;
    /// Gives loggers levels; without one a logger has that of the root again. All take effect or none.
    ///
    /// # Errors
    /// See [`SetLogLevelsError`].
    fn set(&self, levels: &[(String, Option<LogLevel>)]) -> Result<(), SetLogLevelsError>;
}
