//! [`Throttle`]: how fast the cleaner may read and write.
//!
//! Each transfer books the time it may take at the allowed rate; who is ahead of the clock waits. Invariant: over any span
//! of time no more than the rate allows is transferred, but for what one transfer and [`WAIT_MIN`] are worth.

use std::time::Duration;

use parking_lot::Mutex;
use types::Instant;

/// Shorter waits are added up first.
const WAIT_MIN: Duration = Duration::from_millis(10);

/// A limit on bytes per second that several threads share.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// Until when what was transferred so far takes at the allowed rate.
    booked: Mutex<Option<Instant>>,
}

impl Throttle {
    /// Books `bytes` that were just transferred. Until when to wait before the next transfer, if at all.
    pub(crate) fn book(
        &self,
        bytes: u64,
        bytes_per_second: Option<u64>,
        now: Instant,
    ) -> Option<Instant> {
        let mut booked = self.booked.lock();
        let Some(rate) = bytes_per_second else {
            *booked = None;
            return None;
        };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
        let span = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        // Time that passed unused is not saved up.
        let from = booked.unwrap_or(now).max(now);
        let until = from.plus(span);
        *booked = Some(until);
        (until.since(now) >= WAIT_MIN).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(ms))
    }

    #[test]
    fn who_transfers_more_than_the_rate_waits() {
        let throttle = Throttle::default();
        assert_eq!(throttle.book(500, Some(1000), at(0)), Some(at(500)));
        assert_eq!(throttle.book(500, Some(1000), at(500)), Some(at(1000)));
        assert_eq!(throttle.book(1, Some(1000), at(1000)), None, "too little");
        assert_eq!(throttle.book(9, Some(1000), at(1000)), Some(at(1010)));
        assert_eq!(throttle.book(100, Some(1000), at(9000)), Some(at(9100)));
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let throttle = Throttle::default();
        throttle.book(1 << 40, Some(1), at(0));
        assert_eq!(throttle.book(1 << 40, None, at(0)), None);
        assert_eq!(throttle.book(10, Some(1000), at(0)), Some(at(10)));
    }
}
