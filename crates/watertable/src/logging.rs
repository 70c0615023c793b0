//! The broker's own log: structured events on standard error, for people or for machines.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::settings::LogFormat;

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
pub(crate) fn set_up(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter).map_err(|source| LogError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let set = match format {
        LogFormat::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            tracing::subscriber::set_global_default(log.with_ansi(colours).finish())
        }
        LogFormat::Json => {
            let log = log.json().flatten_event(true).with_current_span(false);
            tracing::subscriber::set_global_default(log.finish())
        }
    };
    set.map_err(LogError::SetUp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_an_error() {
        let error = set_up(LogFormat::Text, "broker=loud").unwrap_err();
        assert!(matches!(error, LogError::Filter { .. }));
    }
}
