//! The broker's logger as configs (KIP-412): one, named `root`, whose level is what the process logs at most.
//!
//! Levels are chosen at start and cannot be altered while the broker runs; there are no others to describe.

use tracing::level_filters::LevelFilter;

/// The name of the logger above all others (`LoggingController.ROOT_LOGGER`).
pub(super) const ROOT: &str = "root";

/// The most detailed level that is logged, in Kafka's words.
pub(super) fn level() -> &'static str {
    match LevelFilter::current() {
        LevelFilter::OFF => "OFF",
        LevelFilter::ERROR => "ERROR",
        LevelFilter::WARN => "WARN",
        LevelFilter::INFO => "INFO",
        LevelFilter::DEBUG => "DEBUG",
        LevelFilter::TRACE => "TRACE",
    }
}
