//! How much a second, over a window that slides in steps (`Rate`, `SampledStat` and `WindowedSum` of Kafka's metrics).
//!
//! Invariant: with samples of `sample` each, the rate counts what happened within the last `samples` of them and the one
//! that is being filled. A client that just began is measured as if it had been quiet for the rest of the window.

use std::time::Duration;

use types::Instant;

/// The window of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// How many samples are kept (`quota.window.num`).
    pub(crate) samples: u32,
    /// How long each is (`quota.window.size.seconds`).
    pub(crate) sample: Duration,
}

impl Window {
    /// All samples together.
    pub(crate) fn length(self) -> Duration {
        self.sample * self.samples
    }
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    begun: Instant,
    last: Instant,
    sum: f64,
}

/// What was counted, in samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rate {
    samples: Vec<Sample>,
    current: usize,
}

impl Rate {
    /// Counts `value`; a negative one takes back what was counted.
    pub(crate) fn record(&mut self, window: Window, value: f64, now: Instant) {
        let fresh = Sample {
            begun: now,
            last: now,
            sum: 0.0,
        };
        if self.samples.is_empty() {
            self.samples.push(fresh);
            self.current = 0;
        }
        if now.since(self.samples[self.current].begun) >= window.sample {
            // One more than the window has, for the sample that began before it and ends within.
            let places = window.samples as usize + 1;
            self.current = (self.current + 1) % places.max(1);
            if self.current < self.samples.len() {
                self.samples[self.current] = fresh;
            } else {
                self.current = self.samples.len();
                self.samples.push(fresh);
            }
        }
        let sample = &mut self.samples[self.current];
        sample.sum += value;
        sample.last = now;
    }

    /// The rate a second.
    pub(crate) fn measure(&mut self, window: Window, now: Instant) -> f64 {
        let length = self.window_length(window, now);
        let sum: f64 = self.samples.iter().map(|sample| sample.sum).sum();
        sum / length.as_secs_f64()
    }

    /// How long nothing more may be counted until the rate is down to `bound` again; zero if it is not above it
    /// (`QuotaUtils.throttleTime`).
    pub(crate) fn throttle(&mut self, window: Window, bound: f64, now: Instant) -> Duration {
        let rate = self.measure(window, now);
        if rate <= bound || bound <= 0.0 {
            return Duration::ZERO;
        }
        let length = self.window_length(window, now).as_secs_f64();
        Duration::try_from_secs_f64((rate - bound) / bound * length)
            .unwrap_or(super::THROTTLE_MAX)
            .min(super::THROTTLE_MAX)
    }

    /// The time the rate is over: since the oldest sample, and at least all samples but one.
    fn window_length(&mut self, window: Window, now: Instant) -> Duration {
        let expired = window.length();
        for sample in &mut self.samples {
            if now.since(sample.last) >= expired {
                *sample = Sample {
                    begun: now,
                    last: now,
                    sum: 0.0,
                };
            }
        }
        let oldest = self.samples.iter().map(|sample| sample.begun).min();
        let elapsed = oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        let full = elapsed.as_millis() / window.sample.as_millis().max(1);
        let least = u128::from(window.samples.saturating_sub(1));
        let missing = u32::try_from(least.saturating_sub(full)).unwrap_or(u32::MAX);
        (elapsed + window.sample * missing).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        samples: 11,
        sample: Duration::from_secs(1),
    };

    fn at(ms: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(100_000 + ms))
    }

    #[test]
    fn a_rate_is_over_the_window_even_if_the_client_just_began() {
        let mut rate = Rate::default();
        rate.record(WINDOW, 1000.0, at(0));
        // Ten full samples are the least.
        assert_eq!(rate.measure(WINDOW, at(0)), 100.0);
        assert_eq!(rate.throttle(WINDOW, 100.0, at(0)), Duration::ZERO);
        assert_eq!(rate.throttle(WINDOW, 50.0, at(0)), Duration::from_secs(10));
    }

    #[test]
    fn what_was_counted_long_ago_does_not_count() {
        let mut rate = Rate::default();
        rate.record(WINDOW, 1000.0, at(0));
        assert!(rate.measure(WINDOW, at(10_999)) > 0.0);
        assert_eq!(rate.measure(WINDOW, at(11_000)), 0.0);
    }

    #[test]
    fn what_is_taken_back_was_never_there() {
        let mut rate = Rate::default();
        rate.record(WINDOW, 10.0, at(0));
        let before = rate.measure(WINDOW, at(500));
        rate.record(WINDOW, 990.0, at(500));
        rate.record(WINDOW, -990.0, at(500));
        assert_eq!(rate.measure(WINDOW, at(500)), before);
    }

    /// A client that waits as long as it is told never exceeds its bound by more than what it does at once.
    #[test]
    fn obeying_keeps_the_rate_at_the_bound() {
        const BOUND: f64 = 1000.0;
        const CHUNK: f64 = 700.0;
        let mut rate = Rate::default();
        let (mut now_ms, mut sent) = (0, 0.0);
        while now_ms < 120_000 {
            let now = at(now_ms);
            rate.record(WINDOW, CHUNK, now);
            sent += CHUNK;
            let wait = rate.throttle(WINDOW, BOUND, now);
            now_ms += u64::try_from(wait.as_millis())
                .expect("a short time")
                .max(5);
        }
        let mean = sent / (now_ms as f64 / 1000.0);
        // What a new client saves up is a window's worth, spread over the two minutes.
        assert!((0.9 * BOUND..1.15 * BOUND).contains(&mean), "{mean}");
    }

    /// The samples against a list of everything that was ever counted.
    #[test]
    fn the_sum_is_that_of_a_model() {
        let mut rate = Rate::default();
        let mut all: Vec<(u64, f64)> = Vec::new();
        let mut random = 12345_u64;
        let mut now_ms = 0;
        for _ in 0..5000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            now_ms += (random >> 33) % 900;
            let value = ((random >> 40) % 100) as f64;
            rate.record(WINDOW, value, at(now_ms));
            all.push((now_ms, value));
            let length = rate.window_length(WINDOW, at(now_ms));
            let found = rate.measure(WINDOW, at(now_ms)) * length.as_secs_f64();
            let since = |age: u64| -> f64 {
                let young = |(when, _): &&(u64, f64)| now_ms - when < age;
                all.iter().filter(young).map(|(_, value)| value).sum()
            };
            // Whole samples come and go: never less than ten seconds' worth, never more than what thirteen held.
            assert!(found + 1e-6 >= since(9_000), "{found} at {now_ms}");
            assert!(found <= since(24_000) + 1e-6, "{found} at {now_ms}");
        }
    }
}
