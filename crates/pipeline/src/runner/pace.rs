//! [`Pace`]: how fast pipelines go while others wait for the same broker.
//!
//! Invariants: as long as nobody else produces there is no bound; what was let through is never taken back, so a batch that is larger than
//! its share makes the next one wait for longer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::topic_reader::Limits;

/// How long after their last request others are still there.
const OTHERS_STAY: Duration = Duration::from_secs(2);
/// How many batches a second's bytes are, at least: others would wait for a larger one of them.
const BATCHES_PER_SECOND: u64 = 50;
/// With less a batch is hardly anything but its transaction.
const BATCH_BYTES_MIN: usize = 64 << 10;
/// No batch makes others of the same worker wait for longer.
const SHARE_MAX: Duration = Duration::from_secs(10);

/// What is known of others: how often they have produced so far.
pub type Others = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How fast pipelines go beside others; cheap to clone, all clones go at this pace together.
#[derive(Clone)]
pub struct Pace {
    others: Others,
    state: Arc<Mutex<State>>,
}

/// What was let through, and when others were there.
#[derive(Debug)]
struct State {
    bytes_per_second: u64,
    produced: u64,
    /// When others were seen last.
    seen: Option<Instant>,
    /// When all that was let through is paid for.
    paid: Instant,
}

impl State {
    fn new(bytes_per_second: u64, produced: u64, now: Instant) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            produced,
            seen: None,
            paid: now,
        }
    }

    /// Others have produced so often by now; whether they do at the moment.
    fn is_bound(&mut self, produced: u64, now: Instant) -> bool {
        if produced != self.produced {
            self.produced = produced;
            self.seen = Some(now);
        }
        self.seen
            .is_some_and(|seen| now.duration_since(seen) < OTHERS_STAY)
    }

    /// The most bytes of a batch beside others.
    fn batch_bytes(&self) -> usize {
        let bytes = self.bytes_per_second / BATCHES_PER_SECOND;
        usize::try_from(bytes)
            .unwrap_or(usize::MAX)
            .max(BATCH_BYTES_MIN)
    }

    /// When a batch of so many bytes may pass beside others.
    fn pass(&mut self, bytes: usize, now: Instant) -> Instant {
        let micros = u64::try_from(bytes)
            .unwrap_or(u64::MAX)
            .saturating_mul(1_000_000);
        let share = Duration::from_micros(micros / self.bytes_per_second);
        self.paid = self.paid.max(now) + share.min(SHARE_MAX);
        self.paid
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Pace").field(&self.state.lock()).finish()
    }
}

impl Pace {
    /// So many bytes of rows each second, read and written, while others produce.
    pub fn new(bytes_per_second: u64, others: Others) -> Self {
        let state = State::new(bytes_per_second, others(), Instant::now());
        Self {
            others,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// What the next batch may have.
    pub(crate) fn limits(&self, limits: Limits) -> Limits {
        let produced = (self.others)();
        let mut state = self.state.lock();
        if !state.is_bound(produced, Instant::now()) {
            return limits;
        }
        Limits {
            bytes: limits.bytes.min(state.batch_bytes()),
            ..limits
        }
    }

    /// Lets a batch through: returns when its share of the time is over.
    pub(crate) async fn pass(&self, bytes: usize) {
        let until = {
            let (produced, now) = ((self.others)(), Instant::now());
            let mut state = self.state.lock();
            state
                .is_bound(produced, now)
                .then(|| state.pass(bytes, now))
        };
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_others_all_go_at_one_pace_and_alone_as_fast_as_they_can() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut state = State::new(4 << 20, 7, begun);
        assert!(!state.is_bound(7, at(1)));
        assert!(state.is_bound(8, at(2)));
        assert_eq!(state.batch_bytes(), (4 << 20) / 50);
        // Of two that come at once the second one waits for both.
        assert_eq!(state.pass(2 << 20, at(2)), at(502));
        assert_eq!(state.pass(2 << 20, at(2)), at(1002));
        assert!(state.is_bound(8, at(2001)));
        assert!(!state.is_bound(8, at(2002)));
        // What was not used is not kept.
        assert!(state.is_bound(9, at(9000)));
        assert_eq!(state.pass(4 << 20, at(9000)), at(10_000));
    }

    #[test]
    fn nothing_is_too_large_or_too_slow_to_pass() {
        let begun = Instant::now();
        let mut state = State::new(0, 0, begun);
        assert_eq!(state.batch_bytes(), BATCH_BYTES_MIN);
        assert_eq!(state.pass(usize::MAX, begun), begun + SHARE_MAX);
    }
}
