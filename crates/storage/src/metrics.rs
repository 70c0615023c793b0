//! [`StorageMetrics`]: what a data directory counts. Plain atomics, read when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Partitions that went offline.
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
