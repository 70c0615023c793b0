//! [`LogSettings`]: the topic settings that a log obeys, typed; parsing and inheritance lie with the caller.
//!
//! Defaults are Kafka's (`org.apache.kafka.storage.internals.log.LogConfig`), except `index_interval_bytes`, which is
//! 64 KiB unless a topic sets it: one entry per fetch-sized run is what lookups need.

use std::time::Duration;

use protocol::records::Compression;

/// What a log obeys. Changing it with [`crate::LocalLog::configure`] takes effect from the next operation.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    /// `segment.bytes`: a segment grows to at most this.
    pub segment_bytes: u32,
    /// `segment.ms`: a batch this much later than the first one of the segment begins a new one.
    pub segment_ms: u64,
    /// `retention.ms`; `None` keeps for ever.
    pub retention_ms: Option<u64>,
    /// `retention.bytes` of this partition; `None` keeps all.
    pub retention_bytes: Option<u64>,
    /// `cleanup.policy`.
    pub cleanup: CleanupPolicy,
    /// `max.message.bytes`: the largest batch as sent, in bytes.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`.
    pub timestamp_type: LogTimestampType,
    /// `message.timestamp.before.max.ms`; `None` allows any age.
    pub timestamp_before_max_ms: Option<u64>,
    /// `message.timestamp.after.max.ms`; `None` allows any future.
    pub timestamp_after_max_ms: Option<u64>,
    /// `compression.type` with its level.
    pub compression: LogCompression,
    /// `index.interval.bytes`: an index entry at least every so many bytes.
    pub index_interval_bytes: u32,
    /// `flush.messages`: at most so many records wait for a sync on a topic with write caching.
    pub flush_messages: u64,
    /// `flush.ms`: a record waits at most so long for a sync on a topic with write caching; `None` for ever.
    pub flush_ms: Option<u64>,
    /// `write.caching`: records count as committed once they are in the page cache.
    pub write_caching: bool,
    /// `file.delete.delay.ms`: how long removed files stay.
    pub file_delete_delay_ms: u64,
    /// `preallocate`: reserve whole segments at once.
    pub preallocate: bool,
    /// `delete.retention.ms`: how long tombstones and transaction markers stay after the first cleaning that saw them.
    pub delete_retention_ms: u64,
    /// `min.cleanable.dirty.ratio`: the log is cleaned once the share of it that never was is above this.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`: a record younger than this is not compacted away.
    pub min_compaction_lag_ms: u64,
    /// `max.compaction.lag.ms`: a record older than this makes the log due for cleaning.
    pub max_compaction_lag_ms: u64,
}

impl Default for LogSettings {
    fn default() -> Self {
        const WEEK_MS: u64 = 7 * 24 * 3600 * 1000;
        Self {
            segment_bytes: 1 << 30,
            segment_ms: WEEK_MS,
            retention_ms: Some(WEEK_MS),
            retention_bytes: None,
            cleanup: CleanupPolicy {
                delete: true,
                compact: false,
            },
            max_message_bytes: 1_048_588,
            timestamp_type: LogTimestampType::CreateTime,
            timestamp_before_max_ms: None,
            timestamp_after_max_ms: Some(3_600_000),
            compression: LogCompression::Producer,
            index_interval_bytes: 64 * 1024,
            flush_messages: i64::MAX.unsigned_abs(),
            flush_ms: None,
            write_caching: false,
            file_delete_delay_ms: 60_000,
            preallocate: false,
            delete_retention_ms: 24 * 3600 * 1000,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX.unsigned_abs(),
        }
    }
}

impl LogSettings {
    /// How old the first batch of the last segment may be before another one begins: with compaction not older than a
    /// record may wait for it (Kafka's `LogConfig.maxSegmentMs`).
    pub(crate) fn segment_age_max_ms(&self) -> u64 {
        if self.cleanup.compact && self.max_compaction_lag_ms > 0 {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }

    /// How long removed files stay.
    pub(crate) fn file_delete_delay(&self) -> Duration {
        Duration::from_millis(self.file_delete_delay_ms)
    }
}

/// `cleanup.policy`; neither keeps everything until it is deleted by request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments go.
    pub delete: bool,
    /// Only the last record of each key stays; records need keys.
    pub compact: bool,
}

/// `message.timestamp.type`: who gives records their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTimestampType {
    /// The producer.
    CreateTime,
    /// The broker, when it appends.
    LogAppendTime,
}

/// `compression.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogCompression {
    /// As the producer sent them.
    Producer,
    /// Every batch is brought to this codec, at this level where it has levels.
    Forced(Compression, Option<i32>),
}
