//! [`Schedule`]: when runs of a pipeline are due.
//!
//! Invariant: which runs there are follows from the schedule alone: nominal times are those of the pattern, or multiples of the interval
//! since 1970, whoever asks and whenever it starts. No clock: whoever asks says what time it is.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use spec::{Backoff, Catchup, Times};

/// Runs that were missed and are made up for, at most; the older ones are left out.
const MISSED_MAX: usize = 1000;
/// A run is missed if nobody began it for so long.
const LATE_MS: i64 = 60_000;

/// When runs are due.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    times: Pattern,
    catchup: Catchup,
}

#[derive(Clone, Debug)]
enum Pattern {
    Every { ms: i64 },
    Cron { cron: Box<Cron>, timezone: Tz },
}

impl Schedule {
    /// # Errors
    /// Its pattern is none, which files that were read do not have.
    pub(crate) fn new(schedule: &spec::Schedule) -> Result<Self, spec::Cause> {
        let times = match &schedule.times {
            Times::Every(span) => Pattern::Every {
                ms: i64::try_from(span.duration().as_millis())
                    .unwrap_or(i64::MAX)
                    .max(1),
            },
            Times::Cron { pattern, timezone } => Pattern::Cron {
                cron: Box::new(spec::cron(pattern)?),
                timezone: *timezone,
            },
        };
        Ok(Self {
            times,
            catchup: schedule.catchup,
        })
    }

    /// The first nominal time after a time, in milliseconds since 1970; `None` if there is none any more.
    pub(crate) fn after(&self, ms: i64) -> Option<i64> {
        match &self.times {
            Pattern::Every { ms: every } => {
                ms.div_euclid(*every).checked_add(1)?.checked_mul(*every)
            }
            Pattern::Cron { cron, timezone } => {
                let from = DateTime::<Utc>::from_timestamp_millis(ms)?.with_timezone(timezone);
                let next = cron.find_next_occurrence(&from, false).ok()?;
                Some(next.timestamp_millis())
            }
        }
    }

    /// The nominal time that is due, given the last one that ran; `None` before the first. Else what is due next.
    ///
    /// A pipeline that has never run begins with the first nominal time after `created`, but an interval begins at once: who writes
    /// `every: 5m` does not want to wait for five minutes to see whether it works.
    pub(crate) fn due(&self, last: Option<i64>, created: i64, now: i64) -> Due {
        let first = match (last, &self.times) {
            (Some(last), _) => self.after(last),
            (None, Pattern::Every { ms: every }) => Some(created.div_euclid(*every) * every),
            (None, Pattern::Cron { .. }) => self.after(created),
        };
        let Some(first) = first else {
            return Due::Never;
        };
        if first > now {
            return Due::At(first);
        }
        let missed = self.up_to(first, now);
        let latest = missed.last().copied().unwrap_or(first);
        match self.catchup {
            Catchup::All => Due::Now(missed.first().copied().unwrap_or(first)),
            Catchup::Latest => Due::Now(latest),
            Catchup::None if now - latest < LATE_MS => Due::Now(latest),
            Catchup::None => self.after(now).map_or(Due::Never, Due::At),
        }
    }

    /// The nominal times from one on that are not after `now`, the latest of them if there are many.
    fn up_to(&self, first: i64, now: i64) -> Vec<i64> {
        let mut first = first;
        if let Pattern::Every { ms } = &self.times {
            let most = i64::try_from(MISSED_MAX).unwrap_or(i64::MAX);
            let behind = (now - first) / ms;
            first += (behind - behind.min(most - 1)) * ms;
        }
        let mut times = std::collections::VecDeque::from([first]);
        // A pattern of every second that rested for a year is not counted through.
        let mut steps = 0;
        while let Some(next) = self.after(*times.back().unwrap_or(&first)) {
            steps += 1;
            if next > now || steps > 100 * MISSED_MAX {
                break;
            }
            if times.len() == MISSED_MAX {
                times.pop_front();
            }
            times.push_back(next);
        }
        times.into()
    }
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The run of this nominal time.
    Now(i64),
    /// Nothing before this nominal time.
    At(i64),
    /// Nothing any more.
    Never,
}

/// How long to wait before an attempt, the first retry being 1.
pub(crate) fn backoff(backoff: Backoff, retry: u64) -> Duration {
    let doublings = u32::try_from(retry.saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(31);
    let wait = backoff.first.duration().saturating_mul(1 << doublings);
    wait.min(backoff.most.duration())
}

#[cfg(test)]
mod tests {
    use spec::Span;

    use super::*;

    const MINUTE: i64 = 60_000;

    fn every(minutes: i64, catchup: Catchup) -> Schedule {
        let span = Span::from_ms(u64::try_from(minutes * MINUTE).unwrap());
        schedule(Times::Every(span), catchup)
    }

    fn cron(pattern: &str, timezone: Tz) -> Schedule {
        let pattern = pattern.to_owned();
        schedule(Times::Cron { pattern, timezone }, Catchup::Latest)
    }

    fn schedule(times: Times, catchup: Catchup) -> Schedule {
        let jitter = Span::from_ms(0);
        Schedule::new(&spec::Schedule {
            times,
            jitter,
            catchup,
        })
        .unwrap()
    }

    fn time(text: &str) -> i64 {
        text.parse::<DateTime<Utc>>().unwrap().timestamp_millis()
    }

    #[test]
    fn an_interval_begins_at_once_and_goes_on_at_its_multiples() {
        let schedule = every(5, Catchup::Latest);
        let created = 12 * MINUTE;
        assert_eq!(schedule.due(None, created, created), Due::Now(10 * MINUTE));
        let last = Some(10 * MINUTE);
        assert_eq!(
            schedule.due(last, created, 13 * MINUTE),
            Due::At(15 * MINUTE)
        );
        assert_eq!(
            schedule.due(last, created, 15 * MINUTE),
            Due::Now(15 * MINUTE)
        );
    }

    #[test]
    fn runs_that_were_missed_are_made_up_for_as_the_file_says() {
        let (last, now) = (Some(0), 23 * MINUTE);
        for (catchup, expected) in [
            (Catchup::All, Due::Now(5 * MINUTE)),
            (Catchup::Latest, Due::Now(20 * MINUTE)),
            (Catchup::None, Due::At(25 * MINUTE)),
        ] {
            assert_eq!(every(5, catchup).due(last, 0, now), expected, "{catchup:?}");
        }
        let just_now = every(5, Catchup::None).due(last, 0, 20 * MINUTE + 1);
        assert_eq!(just_now, Due::Now(20 * MINUTE));
        // Years are not counted through, and the older of too many are left out.
        let long = 1_000_000 * MINUTE;
        let all = every(1, Catchup::All);
        assert_eq!(all.due(last, 0, long), Due::Now(long - 999 * MINUTE));
    }

    #[test]
    fn a_pattern_is_one_of_its_time_zone_over_changes_of_the_clock() {
        let schedule = cron("30 2 * * *", Tz::Europe__Berlin);
        // On the last Sunday of March there is no half past two.
        let next = schedule.after(time("2026-03-28T12:00:00Z")).unwrap();
        assert!(next >= time("2026-03-29T01:00:00Z") && next <= time("2026-03-30T00:30:00Z"));
        let schedule = cron("0 3 * * *", Tz::UTC);
        let created = time("2026-08-01T12:00:00Z");
        let first = time("2026-08-02T03:00:00Z");
        assert_eq!(schedule.due(None, created, created), Due::At(first));
        assert_eq!(schedule.due(None, created, first + 1), Due::Now(first));
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let (first, most) = (Span::from_ms(1000), Span::from_ms(5000));
        let wait = |retry| backoff(Backoff { first, most }, retry).as_millis();
        assert_eq!(
            [1, 2, 3, 4, 1_000].map(wait),
            [1000, 2000, 4000, 5000, 5000]
        );
    }
}
