//! Did a broker keep its promises? A recorded history of sends and polls tells, offline.
//!
//! Clients write what they asked for and what came of it as JSON lines ([`Event`]); [`check`] pairs the lines to
//! operations, rebuilds each partition's log from the offsets that were told, and looks for what no log may do. The
//! anomalies and their names follow Jepsen's `kafka` workload (`jepsen/src/jepsen/tests/kafka.clj`).
//!
//! Pure: no clock, no network, no files. Memory is linear in the events, which are limited in number and length
//! ([`ReadError`]); a report names every kind of anomaly with its count and a bounded number of examples.

mod anomaly;
mod checks;
mod event;
mod key_log;
mod operation;
mod read;
mod report;

pub use anomaly::{Anomaly, Finding};
pub use event::{Action, Event, Kind, Step};
pub use operation::MalformedHistory;
pub use read::{EVENTS_MAX, LINE_BYTES_MAX, ReadError, read};
pub use report::Report;

/// What the history may rely on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// At the end everything was polled to the end of every partition: what was acknowledged and never seen is an anomaly.
    pub is_complete: bool,
}

/// Checks a history whose events are in the order of their times.
///
/// # Errors
/// The events are no history: see [`MalformedHistory`].
pub fn check(events: &[Event], options: Options) -> Result<Report, MalformedHistory> {
    let operations = operation::pair(events)?;
    let logs = key_log::build(&operations);
    let mut report = Report::new(events.len(), operations.list.len(), logs.records());
    checks::order::check(&operations, &logs, &mut report);
    checks::loss::check(&operations, &logs, options, &mut report);
    checks::aborted::check(&operations, &logs, &mut report);
    checks::polls::check(&operations, &logs, &mut report);
    checks::sends::check(&operations, &mut report);
    checks::real_time::check(&operations, &mut report);
    checks::cycles::check(&operations, &logs, &mut report);
    Ok(report)
}
