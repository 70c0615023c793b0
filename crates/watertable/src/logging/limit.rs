//! A bound on what the log takes: clients that are refused a thousand times a second, or that read a damaged batch again and
//! again, must not fill the disk with lines about it.
//!
//! Invariant: each place in the code writes at most [`LINES`] lines in each [`WINDOW`]. How many were left out is told before
//! its next line. What a start takes out of logs is exempt: each of these lines is the only one about its records.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use env::{Clock, SystemClock};
use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use types::Instant;

/// Lines of one place in a window.
const LINES: u64 = 100;
const WINDOW: Duration = Duration::from_secs(10);
/// Where losses are told.
const EXEMPT: &str = "storage::losses";

/// A format that leaves out what would be too much.
pub(super) struct Limited<F> {
    format: F,
    clock: SystemClock,
    places: Mutex<HashMap<Identifier, Place>>,
}

impl<F> Limited<F> {
    pub(super) fn new(format: F) -> Self {
        Self {
            format,
            clock: SystemClock::new(),
            places: Mutex::default(),
        }
    }
}

impl<S, N, F> FormatEvent<S, N> for Limited<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        if metadata.target() != EXEMPT {
            let now = self.clock.now();
            let mut places = self.places.lock();
            let place = places.entry(metadata.callsite());
            let admitted = place.or_insert_with(|| Place::new(now)).admit(now);
            drop(places);
            match admitted {
                None => return Ok(()),
                Some(0) => {}
                Some(left_out) => {
                    let from =
                        format_args!("{}:{}", metadata.target(), metadata.line().unwrap_or(0));
                    tracing::warn!(left_out, %from, "lines like the next one were left out");
                }
            }
        }
        self.format.format_event(context, writer, event)
    }
}

/// What one place in the code has written.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// When the window began.
    began: Instant,
    /// Lines that were wanted in it.
    lines: u64,
}

impl Place {
    fn new(now: Instant) -> Self {
        Self {
            began: now,
            lines: 0,
        }
    }

    /// How many lines were left out before this one; `None` if it is left out too.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let mut left_out = 0;
        if now.since(self.began) >= WINDOW {
            left_out = self.lines.saturating_sub(LINES);
            *self = Self::new(now);
        }
        self.lines += 1;
        (self.lines <= LINES).then_some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(ms))
    }

    #[test]
    fn a_place_that_writes_little_writes_all() {
        let mut place = Place::new(at(0));
        for ms in 0..10_000 {
            assert_eq!(place.admit(at(ms * 200)), Some(0));
        }
    }

    #[test]
    fn beyond_its_lines_a_place_is_silent_until_the_next_window_and_then_tells_how_many_were_left_out()
     {
        let mut place = Place::new(at(0));
        for line in 0..250 {
            let expected = (line < LINES).then_some(0);
            assert_eq!(place.admit(at(line)), expected);
        }
        assert_eq!(place.admit(at(10_000)), Some(150));
        assert_eq!(place.admit(at(10_001)), Some(0));
    }
}
