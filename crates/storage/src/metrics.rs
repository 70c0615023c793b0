//! [`StorageMetrics`]: what a data directory counts. Plain atomics, read when somebody asks.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// The longest duration of the first class, in microseconds. Each further class reaches twice as far.
const FIRST_CLASS_MICROS: u64 = 128;
/// Classes with an end: the last one's is 4.2 s. Behind it is one without.
const CLASSES: usize = 16;

/// How often something took how long, in classes that double.
#[derive(Debug, Default)]
pub struct Durations {
    classes: [AtomicU64; CLASSES + 1],
    micros: AtomicU64,
}

/// [`Durations`] at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationCounts {
    /// All durations together.
    pub sum: Duration,
    /// How many were counted.
    pub count: u64,
    /// The longest duration of each class, and how many belong to it. The last class has no end.
    pub classes: [(Option<Duration>, u64); CLASSES + 1],
}

impl Durations {
    /// Counts one.
    pub fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(class) = self.classes.get(class_of(micros)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn get(&self) -> DurationCounts {
        let counts: [u64; CLASSES + 1] = array::from_fn(|class| {
            self.classes
                .get(class)
                .map_or(0, |count| count.load(Ordering::Relaxed))
        });
        let end =
            |class| (class < CLASSES).then(|| Duration::from_micros(FIRST_CLASS_MICROS << class));
        DurationCounts {
            sum: Duration::from_micros(self.micros.load(Ordering::Relaxed)),
            count: counts.iter().sum(),
            classes: array::from_fn(|class| (end(class), counts.get(class).copied().unwrap_or(0))),
        }
    }
}

fn class_of(micros: u64) -> usize {
    let beyond = micros.saturating_sub(1) / FIRST_CLASS_MICROS;
    let class = u64::BITS - beyond.leading_zeros();
    usize::try_from(class).unwrap_or(CLASSES).min(CLASSES)
}

/// Counters of one data directory since it was opened.
#[derive(Debug, Default)]
pub struct StorageMetrics {
    /// Group commits.
    pub commits: Counter,
    /// Logs made durable, summed over the commits.
    pub committed_logs: Counter,
    /// `fdatasync` calls on segments.
    pub file_syncs: Counter,
    /// Calls that made names in a folder durable.
    pub directory_syncs: Counter,
    /// Calls that made the whole file system durable.
    pub file_system_syncs: Counter,
    /// How long group commits took, from their first sync to their last.
    pub commit_durations: Durations,
    /// Commits that failed for at least one log, which is offline since.
    pub failed_commits: Counter,
    /// Record batches appended.
    pub appended_batches: Counter,
    /// Their bytes.
    pub appended_bytes: Counter,
    /// Records appended.
    pub appended_records: Counter,
    /// Writes to segments.
    pub segment_writes: Counter,
    /// Read plans made.
    pub reads: Counter,
    /// Bytes the plans covered.
    pub read_bytes: Counter,
    /// Reads that met a batch that is not what was written.
    pub corrupt_reads: Counter,
    /// Bytes of segments read to check checksums of what an earlier process wrote.
    pub verified_bytes: Counter,
    /// Reads of segments to find a position, that the memory could not answer.
    pub lookup_reads: Counter,
    /// Segments begun.
    pub segments_created: Counter,
    /// Segments removed by retention or deletion of records.
    pub segments_deleted: Counter,
    /// Bytes read at opening to recover what was written after the checkpoint.
    pub recovery_bytes: Counter,
    /// Partitions whose files were looked at to recover.
    pub recovered_logs: Counter,
    /// Bytes cut off the ends of logs at opening.
    pub truncated_bytes: Counter,
    /// Checkpoints written.
    pub checkpoints: Counter,
    /// Partitions that went offline, those that were deleted since included.
    pub offline_logs: Counter,
    /// Logs cleaned.
    pub cleanings: Counter,
    /// Cleanings that failed.
    pub failed_cleanings: Counter,
    /// Bytes that cleaning read.
    pub cleaner_read_bytes: Counter,
    /// Bytes that cleaning wrote.
    pub cleaner_written_bytes: Counter,
    /// Records that cleaning removed.
    pub cleaned_records: Counter,
    /// Partitions that are not cleaned any more, because something in them is corrupt.
    pub uncleanable_logs: Gauge,
    /// Partitions that wait before they are cleaned again, because something lacked the last time.
    pub waiting_logs: Gauge,
    /// The uncleaned share of the compacted log where it is largest, in percent.
    pub dirtiest_percent: Gauge,
    /// By how many milliseconds `max.compaction.lag.ms` has passed where it has passed longest.
    pub compaction_delay_ms: Gauge,
    /// How full the map of keys was in the last cleaning, in percent.
    pub cleaner_map_percent: Gauge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_belong_to_the_first_class_that_reaches_them() {
        let durations = Durations::default();
        for micros in [0, 1, 128, 129, 256, 257, 4_194_304, 4_194_305, u64::MAX / 2] {
            durations.add(Duration::from_micros(micros));
        }
        let counts = durations.get();
        assert_eq!(counts.count, 9);
        let class = |end: Option<u64>| {
            let end = end.map(Duration::from_micros);
            counts
                .classes
                .iter()
                .find(|(known, _)| *known == end)
                .unwrap()
                .1
        };
        assert_eq!(class(Some(128)), 3);
        assert_eq!(class(Some(256)), 2);
        assert_eq!(class(Some(512)), 1);
        assert_eq!(class(Some(4_194_304)), 1);
        assert_eq!(class(None), 2);
    }
}
