//! Topic settings as the log wants them.

use metadata::Topic;
use metadata::settings::{BrokerValues, TimestampType, TopicCompression, TopicSettings};
use protocol::records::Compression;
use storage::{CleanerSettings, CleanupPolicy, LogCompression, LogSettings, LogTimestampType};

/// An index entry at least every so many bytes, unless the topic says otherwise: Kafka's default of 4096 makes indexes
/// sixteen times as large for no shorter reads.
const INDEX_INTERVAL_BYTES: u32 = 64 * 1024;

/// What is in force for the logs of a topic.
pub(crate) fn log_settings(topic: &Topic) -> LogSettings {
    let settings: &TopicSettings = &topic.resolved;
    let index_interval_bytes = if topic.settings.contains_key("index.interval.bytes") {
        size(settings.index_interval_bytes)
    } else {
        INDEX_INTERVAL_BYTES
    };
    LogSettings {
        segment_bytes: size(settings.segment_bytes),
        segment_ms: count(settings.segment_ms),
        retention_ms: settings.retention_ms,
        retention_bytes: settings.retention_bytes,
        cleanup: CleanupPolicy {
            delete: settings.cleanup_policy.delete,
            compact: settings.cleanup_policy.compact,
        },
        max_message_bytes: size(settings.max_message_bytes),
        timestamp_type: match settings.message_timestamp_type {
            TimestampType::CreateTime => LogTimestampType::CreateTime,
            TimestampType::LogAppendTime => LogTimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: limit(settings.message_timestamp_before_max_ms),
        timestamp_after_max_ms: limit(settings.message_timestamp_after_max_ms),
        compression: compression(settings),
        index_interval_bytes,
        flush_messages: count(settings.flush_messages),
        flush_ms: limit(settings.flush_ms),
        write_caching: settings.write_caching,
        file_delete_delay_ms: count(settings.file_delete_delay_ms),
        preallocate: settings.preallocate,
        delete_retention_ms: count(settings.delete_retention_ms),
        min_cleanable_dirty_ratio: settings.min_cleanable_dirty_ratio,
        min_compaction_lag_ms: count(settings.min_compaction_lag_ms),
        max_compaction_lag_ms: count(settings.max_compaction_lag_ms),
    }
}

/// How the logs of a broker are cleaned.
pub(crate) fn cleaner_settings(broker: &BrokerValues) -> CleanerSettings {
    CleanerSettings {
        enabled: broker.log_cleaner_enable,
        threads: usize::try_from(broker.log_cleaner_threads).unwrap_or(0),
        dedupe_buffer_bytes: count(broker.log_cleaner_dedupe_buffer_size),
        load_factor: broker.log_cleaner_io_buffer_load_factor,
        io_buffer_bytes: size(broker.log_cleaner_io_buffer_size),
        io_bytes_per_second: rate(broker.log_cleaner_io_max_bytes_per_second),
        backoff_ms: count(broker.log_cleaner_backoff_ms),
    }
}

/// The largest value means that there is no limit.
fn rate(bytes_per_second: f64) -> Option<u64> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates: a rate that is larger or negative is none that could be kept"
    )]
    let rate = bytes_per_second.ceil() as u64;
    (rate < u64::MAX).then_some(rate.max(1))
}

fn compression(settings: &TopicSettings) -> LogCompression {
    let codec = LogCompression::Forced;
    match settings.compression {
        TopicCompression::Producer => LogCompression::Producer,
        TopicCompression::Uncompressed => codec(Compression::None, None),
        TopicCompression::Gzip => codec(
            Compression::Gzip,
            // -1 is gzip's own default.
            Some(settings.compression_gzip_level).filter(|level| *level >= 0),
        ),
        TopicCompression::Snappy => codec(Compression::Snappy, None),
        TopicCompression::Lz4 => codec(Compression::Lz4, Some(settings.compression_lz4_level)),
        TopicCompression::Zstd => codec(Compression::Zstd, Some(settings.compression_zstd_level)),
    }
}

/// A size that the table of settings keeps above zero.
fn size(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

/// A count that the table of settings keeps from being negative.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The largest value means that there is no limit.
fn limit(value: i64) -> Option<u64> {
    if value == i64::MAX {
        None
    } else {
        u64::try_from(value).ok()
    }
}
