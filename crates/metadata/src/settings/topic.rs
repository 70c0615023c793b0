//! The settings of topics (`TopicConfig`, `LogConfig`, `ServerTopicConfigSynonyms` of Kafka 4.2), and two of ours.

use super::definition::{Allowed, Setting, boolean, double, int, list, long, string};

/// Compression types of topics and brokers (`BrokerCompressionType`).
pub(super) const COMPRESSION_TYPES: &[&str] =
    &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
/// `LogCleanup` policies.
pub(super) const CLEANUP_POLICIES: &[&str] = &["compact", "delete"];
/// Whose clock stamps records (`TimestampType`).
pub(super) const TIMESTAMP_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];

/// Every topic setting, by name.
pub static TOPIC_SETTINGS: &[Setting] = &[
    list("cleanup.policy")
        .default("delete")
        .one_of(CLEANUP_POLICIES)
        .from(&["log.cleanup.policy"])
        .honoured()
        .doc("What happens to old segments: delete drops them, compact keeps the last record of each key; both together or, when empty, neither."),
    int("compression.gzip.level")
        .default("-1")
        .allowed(Allowed::BetweenOr(1, 9, -1))
        .from(&["compression.gzip.level"])
        .honoured()
        .doc("How hard gzip tries when the broker compresses; -1 is the library's default."),
    int("compression.lz4.level")
        .default("9")
        .between(1, 17)
        .from(&["compression.lz4.level"])
        .honoured()
        .doc("How hard lz4 tries when the broker compresses."),
    string("compression.type")
        .default("producer")
        .one_of(COMPRESSION_TYPES)
        .from(&["compression.type"])
        .honoured()
        .doc("How batches are stored: as the producer sent them, or compressed again by the broker."),
    int("compression.zstd.level")
        .default("3")
        .between(-131_072, 22)
        .from(&["compression.zstd.level"])
        .honoured()
        .doc("How hard zstd tries when the broker compresses."),
    long("delete.retention.ms")
        .default("86400000")
        .at_least(0)
        .from(&["log.cleaner.delete.retention.ms"])
        .honoured()
        .doc("How long a compacted topic keeps the markers of deleted keys, in milliseconds."),
    long("file.delete.delay.ms")
        .default("60000")
        .at_least(0)
        .from(&["log.segment.delete.delay.ms"])
        .honoured()
        .doc("How long a dropped segment's file stays on disk, in milliseconds."),
    long("flush.messages")
        .default("9223372036854775807")
        .at_least(1)
        .from(&["log.flush.interval.messages"])
        .honoured()
        .doc("Records after which a partition is made durable even if no producer asked for it."),
    long("flush.ms")
        .default("9223372036854775807")
        .at_least(0)
        .from(&["log.flush.interval.ms", "log.flush.scheduler.interval.ms"])
        .honoured()
        .doc("Milliseconds after which a record is made durable even if no producer asked for it."),
    list("follower.replication.throttled.replicas")
        .default("")
        .allowed(Allowed::ThrottledReplicas)
        .doc("Replicas whose fetching is throttled while they catch up, as partition:broker, or * for all."),
    int("index.interval.bytes")
        .default("4096")
        .at_least(0)
        .from(&["log.index.interval.bytes"])
        .honoured()
        .doc("Bytes of log between two entries of the offset index."),
    list("leader.replication.throttled.replicas")
        .default("")
        .allowed(Allowed::ThrottledReplicas)
        .doc("Replicas whose serving of followers is throttled, as partition:broker, or * for all."),
    long("local.retention.bytes")
        .default("-2")
        .at_least(-2)
        .from(&["log.local.retention.bytes"])
        .doc("Bytes of a partition kept on this disk when older segments are in remote storage; -2 is retention.bytes."),
    long("local.retention.ms")
        .default("-2")
        .at_least(-2)
        .from(&["log.local.retention.ms"])
        .doc("Milliseconds for which segments stay on this disk when they are also in remote storage; -2 is retention.ms."),
    long("max.compaction.lag.ms")
        .default("9223372036854775807")
        .at_least(1)
        .from(&["log.cleaner.max.compaction.lag.ms"])
        .honoured()
        .doc("Milliseconds after which a record of a compacted topic may no longer wait for compaction."),
    int("max.message.bytes")
        .default("1048588")
        .at_least(0)
        .from(&["message.max.bytes"])
        .honoured()
        .doc("The largest record batch the topic takes, in bytes, after compression."),
    long("message.timestamp.after.max.ms")
        .default("3600000")
        .at_least(0)
        .from(&["log.message.timestamp.after.max.ms"])
        .honoured()
        .doc("How far a record's timestamp may lie in the future, in milliseconds."),
    long("message.timestamp.before.max.ms")
        .default("9223372036854775807")
        .at_least(0)
        .from(&["log.message.timestamp.before.max.ms"])
        .honoured()
        .doc("How far a record's timestamp may lie in the past, in milliseconds."),
    string("message.timestamp.type")
        .default("CreateTime")
        .one_of(TIMESTAMP_TYPES)
        .from(&["log.message.timestamp.type"])
        .honoured()
        .doc("Whose time a record carries: the producer's, or the broker's at the append."),
    double("min.cleanable.dirty.ratio")
        .default("0.5")
        .fraction(0.0, 1.0)
        .from(&["log.cleaner.min.cleanable.ratio"])
        .honoured()
        .doc("The share of a compacted log that must be uncleaned before it is compacted again."),
    long("min.compaction.lag.ms")
        .default("0")
        .at_least(0)
        .from(&["log.cleaner.min.compaction.lag.ms"])
        .honoured()
        .doc("Milliseconds for which a record of a compacted topic is certain to stay."),
    int("min.insync.replicas")
        .default("1")
        .at_least(1)
        .from(&["min.insync.replicas"])
        .cluster()
        .doc("Replicas that must have a record before it is acknowledged to a producer that asks for all."),
    boolean("preallocate")
        .default("false")
        .from(&["log.preallocate"])
        .honoured()
        .doc("Whether a new segment's file takes its full size at once."),
    boolean("remote.log.copy.disable")
        .default("false")
        .default_only()
        .doc("Whether segments are no longer copied to remote storage."),
    boolean("remote.log.delete.on.disable")
        .default("false")
        .default_only()
        .doc("Whether remote segments are deleted when remote storage is disabled for the topic."),
    boolean("remote.storage.enable")
        .default("false")
        .default_only()
        .doc("Whether old segments move to remote storage."),
    long("retention.bytes")
        .default("-1")
        .from(&["log.retention.bytes"])
        .honoured()
        .doc("Bytes a partition may hold before its oldest segments are dropped; negative is no limit."),
    long("retention.ms")
        .default("604800000")
        .at_least(-1)
        .from(&["log.retention.ms", "log.retention.minutes", "log.retention.hours"])
        .honoured()
        .doc("Milliseconds after which a record may be dropped with its segment; -1 is never."),
    int("segment.bytes")
        .default("1073741824")
        .at_least(1024 * 1024)
        .from(&["log.segment.bytes"])
        .honoured()
        .doc("The size at which a segment is closed and the next one begun, in bytes."),
    int("segment.index.bytes")
        .default("10485760")
        .at_least(4)
        .from(&["log.index.size.max.bytes"])
        .doc("The largest size of a segment's index file, in bytes."),
    long("segment.jitter.ms")
        .default("0")
        .at_least(0)
        .from(&["log.roll.jitter.ms", "log.roll.jitter.hours"])
        .doc("Up to how many milliseconds earlier than segment.ms a segment is closed, at random."),
    long("segment.ms")
        .default("604800000")
        .at_least(1)
        .from(&["log.roll.ms", "log.roll.hours"])
        .honoured()
        .doc("Milliseconds after which a segment is closed even if it is not full."),
    boolean("unclean.leader.election.enable")
        .default("false")
        .from(&["unclean.leader.election.enable"])
        .cluster()
        .doc("Whether a replica that misses records may become leader when no other can."),
    string(contract::SETTING)
        .allowed(Allowed::Contract)
        .honoured()
        .doc("The declared columns and format of the topic's values, for SQL; `watertable topic contract` writes it."),
    boolean("write.caching")
        .default("false")
        .honoured()
        .doc("Whether records count as written once they are in the page cache, without waiting for the disk."),
];
