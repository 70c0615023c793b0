//! Tokens that come at a rate and are saved up to a burst (`TokenBucket` of Kafka's metrics, KIP-599).
//!
//! Invariant: there are never more tokens than the burst. There may be fewer than none: whoever had one could take many, and
//! waits until all are paid back.

use std::time::Duration;

use types::Instant;

use super::rate::Window;

/// Tokens of one client.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    tokens: f64,
    filled: Instant,
}

impl TokenBucket {
    /// Full.
    pub(crate) fn new(window: Window, rate: f64, now: Instant) -> Self {
        Self {
            tokens: burst(window, rate),
            filled: now,
        }
    }

    /// Takes tokens, also those that are not there.
    pub(crate) fn take(&mut self, window: Window, rate: f64, tokens: f64, now: Instant) {
        self.fill(window, rate, now);
        self.tokens = (self.tokens - tokens).min(burst(window, rate));
    }

    /// How long until no token is owed; zero if none is.
    pub(crate) fn throttle(&mut self, window: Window, rate: f64, now: Instant) -> Duration {
        self.fill(window, rate, now);
        if self.tokens >= 0.0 || rate <= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(-self.tokens / rate)
            .unwrap_or(super::THROTTLE_MAX)
            .min(super::THROTTLE_MAX)
    }

    fn fill(&mut self, window: Window, rate: f64, now: Instant) {
        let elapsed = now.since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + rate * elapsed).min(burst(window, rate));
        self.filled = now;
    }
}

fn burst(window: Window, rate: f64) -> f64 {
    window.length().as_secs_f64() * rate
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        samples: 11,
        sample: Duration::from_secs(1),
    };

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn a_burst_can_be_taken_at_once_and_more_is_paid_back() {
        let mut bucket = TokenBucket::new(WINDOW, 2.0, at(0));
        bucket.take(WINDOW, 2.0, 22.0, at(0));
        assert_eq!(bucket.throttle(WINDOW, 2.0, at(0)), Duration::ZERO);
        bucket.take(WINDOW, 2.0, 10.0, at(0));
        assert_eq!(bucket.throttle(WINDOW, 2.0, at(0)), Duration::from_secs(5));
        assert_eq!(bucket.throttle(WINDOW, 2.0, at(4)), Duration::from_secs(1));
        assert_eq!(bucket.throttle(WINDOW, 2.0, at(5)), Duration::ZERO);
    }

    #[test]
    fn no_more_than_a_burst_is_saved() {
        let mut bucket = TokenBucket::new(WINDOW, 1.0, at(0));
        bucket.take(WINDOW, 1.0, 12.0, at(1000));
        assert_eq!(
            bucket.throttle(WINDOW, 1.0, at(1000)),
            Duration::from_secs(1)
        );
    }
}
