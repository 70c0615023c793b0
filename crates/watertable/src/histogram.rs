//! Counts durations in buckets, for percentiles over millions of values in little memory.
//!
//! Invariant: a reported percentile is at most one part in 64 above the true one: each power of two of microseconds is
//! cut into 64 equal buckets, and a bucket reports its upper end.

use std::time::Duration;

const SUB_BUCKET_BITS: u32 = 6;
const SUB_BUCKETS: u64 = 1 << SUB_BUCKET_BITS;

/// A histogram of durations from one microsecond up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_us: u64,
    sum_us: u128,
}

impl Histogram {
    pub(crate) fn record(&mut self, duration: Duration, times: u64) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = bucket_of(us);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += times;
        self.total += times;
        self.max_us = self.max_us.max(us);
        self.sum_us += u128::from(us) * u128::from(times);
    }

    pub(crate) fn count(&self) -> u64 {
        self.total
    }

    pub(crate) fn max(&self) -> Duration {
        Duration::from_micros(self.max_us)
    }

    pub(crate) fn mean(&self) -> Duration {
        let mean = self.sum_us / u128::from(self.total.max(1));
        Duration::from_micros(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The duration that `per_mille` of a thousand values do not exceed.
    pub(crate) fn percentile(&self, per_mille: u64) -> Duration {
        let rank = (self.total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(upper_end(bucket).min(self.max_us));
            }
        }
        Duration::ZERO
    }
}

/// Below 64 µs each microsecond has its bucket; above, the highest bit chooses the group and the next six the bucket.
fn bucket_of(us: u64) -> usize {
    let bucket = if us < SUB_BUCKETS {
        us
    } else {
        let shift = us.ilog2() - SUB_BUCKET_BITS;
        u64::from(shift) * SUB_BUCKETS + (us >> shift)
    };
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * SUB_BUCKETS {
        return bucket;
    }
    let shift = bucket / SUB_BUCKETS - 1;
    let base = bucket - shift * SUB_BUCKETS;
    (base << shift) | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_everything_without_gap_or_overlap() {
        let mut last = None;
        for us in (0..5000_u64).chain([u64::MAX / 3, u64::MAX]) {
            let bucket = bucket_of(us);
            assert!(upper_end(bucket) >= us, "{us}");
            if let Some((before, last_bucket)) = last
                && us == before + 1
            {
                assert!(bucket == last_bucket || bucket == last_bucket + 1, "{us}");
            }
            let error = upper_end(bucket) - us;
            assert!(
                error <= us / SUB_BUCKETS,
                "{us} is reported as {}",
                us + error
            );
            last = Some((us, bucket));
        }
    }

    #[test]
    fn percentiles_of_known_values_come_out() {
        let mut histogram = Histogram::default();
        for ms in 1..=1000 {
            histogram.record(Duration::from_millis(ms), 1);
        }
        for (per_mille, expected) in [(500, 500), (990, 990), (999, 999), (1000, 1000)] {
            let found = histogram.percentile(per_mille).as_millis();
            assert!(
                (expected..=expected + expected / 60).contains(&found),
                "{per_mille}: {found}"
            );
        }
        assert_eq!(histogram.max(), Duration::from_secs(1));
        assert_eq!(histogram.mean(), Duration::from_micros(500_500));
        assert_eq!(Histogram::default().percentile(500), Duration::ZERO);
    }
}
