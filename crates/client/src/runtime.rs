//! What the client takes from its surroundings: tasks, clocks, randomness.
//!
//! The client runs outside of brokers too (command line, tests against Apache Kafka), so it uses tokio and the system
//! directly, but only here.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::task::JoinHandle;

/// Starts a task on the caller's tokio runtime.
#[allow(
    clippy::disallowed_methods,
    reason = "the client is used outside of the broker, where there is no env::Spawner"
)]
pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::task::spawn(future)
}

/// A task that ends with the value that owns it.
#[derive(Debug)]
pub(crate) struct OwnedTask(JoinHandle<()>);

impl OwnedTask {
    pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(spawn(future))
    }
}

impl Drop for OwnedTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tasks whose results are collected as they come; those that still run end with the set.
#[derive(Debug)]
pub(crate) struct TaskSet<T>(tokio::task::JoinSet<T>);

impl<T: Send + 'static> TaskSet<T> {
    pub(crate) fn new() -> Self {
        Self(tokio::task::JoinSet::new())
    }

    pub(crate) fn spawn(&mut self, future: impl Future<Output = T> + Send + 'static) {
        self.0.spawn(future);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next result; `None` if nothing runs.
    pub(crate) async fn next(&mut self) -> Option<T> {
        loop {
            match self.0.join_next().await? {
                Ok(result) => return Some(result),
                // Nobody cancels tasks of a set that still exists.
                Err(error) if error.is_cancelled() => {}
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
    }
}

/// Milliseconds since 1970-01-01 UTC; zero if the clock stands before that.
#[allow(
    clippy::disallowed_methods,
    reason = "the client is used outside of the broker, where there is no env::Clock"
)]
pub fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}

/// Spreads load and retries; nothing secret depends on it (xorshift64*, seeded by the process' hash keys).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Self::seeded(RandomState::new().build_hasher().finish())
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit` (which is at least one).
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        let limit = u64::from(limit.max(1));
        // The upper half of the product is uniform enough for choosing partitions; it is below `limit`, so it fits.
        u32::try_from(((self.next_u64() >> 32) * limit) >> 32).unwrap_or_default()
    }
}

/// How long to wait between attempts: doubling from `first` to `longest`, ±20 % so that clients do not move in step.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
    random: Random,
}

impl Backoff {
    /// Kafka's `retry.backoff.ms` and `retry.backoff.max.ms`.
    pub(crate) fn new() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(1),
            attempts: 0,
            random: Random::new(),
        }
    }

    /// The wait before the next attempt.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let doubled = self
            .first
            .saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX));
        self.attempts = self.attempts.saturating_add(1).min(16);
        let percent = 80 + self.random.below(41);
        doubled.min(self.longest).saturating_mul(percent) / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..40).map(|_| backoff.next_wait().as_millis()).collect();
        assert!((80..=120).contains(&waits[0]), "{waits:?}");
        assert!((160..=240).contains(&waits[1]), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= 1200), "{waits:?}");
    }

    #[test]
    fn random_numbers_stay_below_their_limit_and_reach_every_value() {
        let mut random = Random::seeded(42);
        let mut seen = [false; 5];
        for _ in 0..1000 {
            seen[usize::try_from(random.below(5)).expect("fits")] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.below(1), 0);
        assert_eq!(random.below(0), 0);
    }
}
