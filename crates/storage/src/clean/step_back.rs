//! [`StepBack`]: how long a log waits whose cleaning failed for a reason that may pass, such as a full disk.
//!
//! Invariant: while a log waits it is not chosen, so that it keeps the cleaner from no other; each further failure doubles
//! the wait, up to a limit, and a success ends it. (Kafka, where an error of the disk takes the whole directory offline,
//! has no such state.)

use std::time::Duration;

use types::Instant;

/// No wait is shorter, whatever is set: a thread goes on with the next log at once.
const SHORTEST: Duration = Duration::from_secs(1);
/// No wait is doubled beyond: room that was made is noticed within that time.
const LONGEST: Duration = Duration::from_secs(600);

/// What is known of the failures of a log's cleaning.
#[derive(Debug, Default)]
pub(crate) struct StepBack {
    /// The last wait and its end; `None` if the last cleaning succeeded.
    last: Option<(Duration, Instant)>,
}

impl StepBack {
    /// A cleaning failed at `now`. How long the log waits, `first` if it is the first time.
    pub(crate) fn failed(&mut self, first: Duration, now: Instant) -> Duration {
        let first = first.max(SHORTEST);
        let wait = match self.last {
            None => first,
            Some((last, _)) => last.saturating_mul(2).min(first.max(LONGEST)),
        };
        self.last = Some((wait, now.plus(wait)));
        wait
    }

    /// A cleaning succeeded.
    pub(crate) fn succeeded(&mut self) {
        self.last = None;
    }

    pub(crate) fn is_waiting(&self, now: Instant) -> bool {
        self.last.is_some_and(|(_, until)| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn each_failure_doubles_the_wait_up_to_a_limit() {
        let mut step_back = StepBack::default();
        assert!(!step_back.is_waiting(at(0)));
        let first = Duration::from_secs(15);
        let waits: Vec<_> = (0..8)
            .map(|_| step_back.failed(first, at(100)).as_secs())
            .collect();
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 600, 600]);
        assert!(step_back.is_waiting(at(699)));
        assert!(!step_back.is_waiting(at(700)));
        step_back.succeeded();
        assert!(!step_back.is_waiting(at(100)));
        assert_eq!(step_back.failed(first, at(100)), first);
    }

    #[test]
    fn a_wait_that_is_set_is_kept() {
        let hour = Duration::from_secs(3600);
        let mut step_back = StepBack::default();
        assert_eq!(step_back.failed(hour, at(0)), hour);
        assert_eq!(step_back.failed(hour, at(0)), hour);
        assert_eq!(step_back.failed(Duration::ZERO, at(0)), hour.min(LONGEST));
        let mut step_back = StepBack::default();
        assert_eq!(step_back.failed(Duration::ZERO, at(0)), SHORTEST);
    }
}
