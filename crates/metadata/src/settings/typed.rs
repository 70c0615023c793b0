//! Settings as the code uses them: named fields of the right types.
//!
//! Invariant: field and table row agree in type (a test reads every default through every field), so that reading a
//! checked text cannot fail.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::layers::{Layers, SettingTexts};
use super::lookup::Scope;
use super::value::{Value, address_limits};

/// A type a field can have.
trait FromValue: Sized {
    /// `None` when the table says another type.
    fn from_value(value: Value) -> Option<Self>;
}

impl FromValue for bool {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Boolean(value) => Some(value),
            _ => None,
        }
    }
}

impl FromValue for i64 {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Integer(value) => Some(value),
            _ => None,
        }
    }
}

impl FromValue for i32 {
    fn from_value(value: Value) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromValue for i16 {
    fn from_value(value: Value) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromValue for f64 {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Double(value) => Some(value),
            _ => None,
        }
    }
}

/// A limit whose negative values mean that there is none.
impl FromValue for Option<u64> {
    fn from_value(value: Value) -> Option<Self> {
        Some(u64::try_from(i64::from_value(value)?).ok())
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Text(value) => Some(value),
            _ => None,
        }
    }
}

impl FromValue for Option<String> {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            Value::Text(value) => Some(Some(value)),
            _ => None,
        }
    }
}

impl FromValue for Vec<String> {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::new()),
            Value::List(value) => Some(value),
            _ => None,
        }
    }
}

impl FromValue for BTreeMap<IpAddr, u32> {
    fn from_value(value: Value) -> Option<Self> {
        address_limits(&String::from_value(value)?)
    }
}

/// `cleanup.policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments are dropped.
    pub delete: bool,
    /// The last record of each key is kept.
    pub compact: bool,
}

impl FromValue for CleanupPolicy {
    fn from_value(value: Value) -> Option<Self> {
        let policies = Vec::<String>::from_value(value)?;
        Some(Self {
            delete: policies.iter().any(|policy| policy == "delete"),
            compact: policies.iter().any(|policy| policy == "compact"),
        })
    }
}

/// `compression.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicCompression {
    /// As the producer compressed it.
    Producer,
    /// Not compressed.
    Uncompressed,
    /// gzip.
    Gzip,
    /// snappy.
    Snappy,
    /// lz4.
    Lz4,
    /// zstd.
    Zstd,
}

impl FromValue for TopicCompression {
    fn from_value(value: Value) -> Option<Self> {
        Some(match String::from_value(value)?.as_str() {
            "producer" => Self::Producer,
            "uncompressed" => Self::Uncompressed,
            "gzip" => Self::Gzip,
            "snappy" => Self::Snappy,
            "lz4" => Self::Lz4,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }
}

/// `message.timestamp.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's time.
    CreateTime,
    /// The broker's time at the append.
    LogAppendTime,
}

impl FromValue for TimestampType {
    fn from_value(value: Value) -> Option<Self> {
        match String::from_value(value)?.as_str() {
            "CreateTime" => Some(Self::CreateTime),
            "LogAppendTime" => Some(Self::LogAppendTime),
            _ => None,
        }
    }
}

macro_rules! typed_settings {
    ($(#[$doc:meta])* $name:ident in $scope:expr, { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $key:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $(#[doc = concat!("`", $key, "`")] $(#[$field_doc])* pub $field: $kind,)*
        }

        impl $name {
            fn read(value_of: impl Fn(&'static super::definition::Setting) -> Value) -> Self {
                $(let $field = {
                    let setting = $scope.find($key).expect("the table has every field's setting; tested");
                    <$kind as FromValue>::from_value(value_of(setting))
                        .expect("a checked value has the type of its field; tested")
                };)*
                Self { $($field,)* }
            }
        }
    };
}

typed_settings! {
    /// What is in force for one topic. Times in milliseconds, sizes in bytes.
    TopicSettings in Scope::Topic, {
        cleanup_policy: CleanupPolicy = "cleanup.policy",
        compression: TopicCompression = "compression.type",
        compression_gzip_level: i32 = "compression.gzip.level",
        compression_lz4_level: i32 = "compression.lz4.level",
        compression_zstd_level: i32 = "compression.zstd.level",
        delete_retention_ms: i64 = "delete.retention.ms",
        file_delete_delay_ms: i64 = "file.delete.delay.ms",
        flush_messages: i64 = "flush.messages",
        flush_ms: i64 = "flush.ms",
        index_interval_bytes: i32 = "index.interval.bytes",
        max_compaction_lag_ms: i64 = "max.compaction.lag.ms",
        max_message_bytes: i32 = "max.message.bytes",
        message_timestamp_after_max_ms: i64 = "message.timestamp.after.max.ms",
        message_timestamp_before_max_ms: i64 = "message.timestamp.before.max.ms",
        message_timestamp_type: TimestampType = "message.timestamp.type",
        min_cleanable_dirty_ratio: f64 = "min.cleanable.dirty.ratio",
        min_compaction_lag_ms: i64 = "min.compaction.lag.ms",
        min_insync_replicas: i32 = "min.insync.replicas",
        preallocate: bool = "preallocate",
        /// `None`: no limit.
        retention_bytes: Option<u64> = "retention.bytes",
        /// `None`: for ever.
        retention_ms: Option<u64> = "retention.ms",
        segment_bytes: i32 = "segment.bytes",
        segment_index_bytes: i32 = "segment.index.bytes",
        segment_jitter_ms: i64 = "segment.jitter.ms",
        segment_ms: i64 = "segment.ms",
        unclean_leader_election_enable: bool = "unclean.leader.election.enable",
        write_caching: bool = "write.caching",
    }
}

impl TopicSettings {
    /// What is in force for a topic with these settings of its own.
    pub fn resolve(own: &SettingTexts, broker: &Layers) -> Self {
        Self::read(|setting| broker.value_above(setting, own))
    }
}

typed_settings! {
    /// What is in force for one group.
    GroupSettings in Scope::Group, {
        consumer_heartbeat_interval_ms: i32 = "consumer.heartbeat.interval.ms",
        consumer_session_timeout_ms: i32 = "consumer.session.timeout.ms",
        share_auto_offset_reset: String = "share.auto.offset.reset",
        share_heartbeat_interval_ms: i32 = "share.heartbeat.interval.ms",
        share_isolation_level: String = "share.isolation.level",
        share_record_lock_duration_ms: i32 = "share.record.lock.duration.ms",
        share_session_timeout_ms: i32 = "share.session.timeout.ms",
        streams_heartbeat_interval_ms: i32 = "streams.heartbeat.interval.ms",
        streams_initial_rebalance_delay_ms: i32 = "streams.initial.rebalance.delay.ms",
        streams_num_standby_replicas: i32 = "streams.num.standby.replicas",
        streams_session_timeout_ms: i32 = "streams.session.timeout.ms",
    }
}

impl GroupSettings {
    /// What is in force for a group with these settings of its own.
    pub fn resolve(own: &SettingTexts, broker: &Layers) -> Self {
        Self::read(|setting| broker.value_above(setting, own))
    }
}

typed_settings! {
    /// What is in force for this broker. Times in milliseconds, sizes in bytes, unless the name says otherwise.
    BrokerValues in Scope::Broker, {
        node_id: i32 = "node.id",
        broker_rack: Option<String> = "broker.rack",
        listeners: Vec<String> = "listeners",
        advertised_listeners: Vec<String> = "advertised.listeners",
        controller_listener_names: Vec<String> = "controller.listener.names",
        listener_security_protocol_map: String = "listener.security.protocol.map",
        log_dirs: Vec<String> = "log.dirs",
        num_partitions: i32 = "num.partitions",
        default_replication_factor: i32 = "default.replication.factor",
        auto_create_topics_enable: bool = "auto.create.topics.enable",
        delete_topic_enable: bool = "delete.topic.enable",
        message_max_bytes: i32 = "message.max.bytes",
        fetch_max_bytes: i32 = "fetch.max.bytes",
        socket_request_max_bytes: i32 = "socket.request.max.bytes",
        /// `None`: no limit.
        queued_max_request_bytes: Option<u64> = "queued.max.request.bytes",
        socket_listen_backlog_size: i32 = "socket.listen.backlog.size",
        socket_send_buffer_bytes: i32 = "socket.send.buffer.bytes",
        socket_receive_buffer_bytes: i32 = "socket.receive.buffer.bytes",
        /// `None`: idle connections stay.
        connections_max_idle_ms: Option<u64> = "connections.max.idle.ms",
        max_connections: i32 = "max.connections",
        max_connections_per_ip: i32 = "max.connections.per.ip",
        max_connections_per_ip_overrides: BTreeMap<IpAddr, u32> = "max.connections.per.ip.overrides",
        max_connection_creation_rate: i32 = "max.connection.creation.rate",
        max_incremental_fetch_session_cache_slots: i32 = "max.incremental.fetch.session.cache.slots",
        max_request_partition_size_limit: i32 = "max.request.partition.size.limit",
        log_retention_check_interval_ms: i64 = "log.retention.check.interval.ms",
        log_cleaner_backoff_ms: i64 = "log.cleaner.backoff.ms",
        log_cleaner_dedupe_buffer_size: i64 = "log.cleaner.dedupe.buffer.size",
        log_cleaner_enable: bool = "log.cleaner.enable",
        log_cleaner_io_buffer_load_factor: f64 = "log.cleaner.io.buffer.load.factor",
        log_cleaner_io_buffer_size: i32 = "log.cleaner.io.buffer.size",
        log_cleaner_io_max_bytes_per_second: f64 = "log.cleaner.io.max.bytes.per.second",
        log_cleaner_threads: i32 = "log.cleaner.threads",
        offsets_topic_num_partitions: i32 = "offsets.topic.num.partitions",
        offsets_topic_replication_factor: i16 = "offsets.topic.replication.factor",
        offsets_topic_segment_bytes: i32 = "offsets.topic.segment.bytes",
        offsets_retention_minutes: i32 = "offsets.retention.minutes",
        offsets_retention_check_interval_ms: i64 = "offsets.retention.check.interval.ms",
        offsets_commit_timeout_ms: i32 = "offsets.commit.timeout.ms",
        offset_metadata_max_bytes: i32 = "offset.metadata.max.bytes",
        transaction_state_log_num_partitions: i32 = "transaction.state.log.num.partitions",
        transaction_state_log_replication_factor: i16 = "transaction.state.log.replication.factor",
        transaction_state_log_min_isr: i32 = "transaction.state.log.min.isr",
        transaction_state_log_segment_bytes: i32 = "transaction.state.log.segment.bytes",
        transaction_max_timeout_ms: i32 = "transaction.max.timeout.ms",
        transactional_id_expiration_ms: i32 = "transactional.id.expiration.ms",
        transaction_abort_timed_out_cleanup_interval_ms: i32 = "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        transaction_remove_expired_cleanup_interval_ms: i32 = "transaction.remove.expired.transaction.cleanup.interval.ms",
        transaction_partition_verification_enable: bool = "transaction.partition.verification.enable",
        add_partitions_to_txn_retry_backoff_max_ms: i32 = "add.partitions.to.txn.retry.backoff.max.ms",
        add_partitions_to_txn_retry_backoff_ms: i32 = "add.partitions.to.txn.retry.backoff.ms",
        producer_id_expiration_ms: i32 = "producer.id.expiration.ms",
        producer_id_expiration_check_interval_ms: i32 = "producer.id.expiration.check.interval.ms",
        share_coordinator_state_topic_num_partitions: i32 = "share.coordinator.state.topic.num.partitions",
        share_coordinator_state_topic_replication_factor: i16 = "share.coordinator.state.topic.replication.factor",
        share_coordinator_state_topic_min_isr: i16 = "share.coordinator.state.topic.min.isr",
        share_coordinator_state_topic_segment_bytes: i32 = "share.coordinator.state.topic.segment.bytes",
        share_coordinator_snapshot_update_records_per_snapshot: i32 = "share.coordinator.snapshot.update.records.per.snapshot",
        group_initial_rebalance_delay_ms: i32 = "group.initial.rebalance.delay.ms",
        group_min_session_timeout_ms: i32 = "group.min.session.timeout.ms",
        group_max_session_timeout_ms: i32 = "group.max.session.timeout.ms",
        group_max_size: i32 = "group.max.size",
        group_coordinator_rebalance_protocols: Vec<String> = "group.coordinator.rebalance.protocols",
        group_consumer_session_timeout_ms: i32 = "group.consumer.session.timeout.ms",
        group_consumer_min_session_timeout_ms: i32 = "group.consumer.min.session.timeout.ms",
        group_consumer_max_session_timeout_ms: i32 = "group.consumer.max.session.timeout.ms",
        group_consumer_heartbeat_interval_ms: i32 = "group.consumer.heartbeat.interval.ms",
        group_consumer_min_heartbeat_interval_ms: i32 = "group.consumer.min.heartbeat.interval.ms",
        group_consumer_max_heartbeat_interval_ms: i32 = "group.consumer.max.heartbeat.interval.ms",
        group_consumer_max_size: i32 = "group.consumer.max.size",
        group_streams_max_size: i32 = "group.streams.max.size",
        group_consumer_assignors: Vec<String> = "group.consumer.assignors",
        group_consumer_migration_policy: String = "group.consumer.migration.policy",
        group_consumer_regex_refresh_interval_ms: i32 = "group.consumer.regex.refresh.interval.ms",
        group_share_session_timeout_ms: i32 = "group.share.session.timeout.ms",
        group_share_min_session_timeout_ms: i32 = "group.share.min.session.timeout.ms",
        group_share_max_session_timeout_ms: i32 = "group.share.max.session.timeout.ms",
        group_share_heartbeat_interval_ms: i32 = "group.share.heartbeat.interval.ms",
        group_share_min_heartbeat_interval_ms: i32 = "group.share.min.heartbeat.interval.ms",
        group_share_max_heartbeat_interval_ms: i32 = "group.share.max.heartbeat.interval.ms",
        group_streams_session_timeout_ms: i32 = "group.streams.session.timeout.ms",
        group_streams_min_session_timeout_ms: i32 = "group.streams.min.session.timeout.ms",
        group_streams_max_session_timeout_ms: i32 = "group.streams.max.session.timeout.ms",
        group_streams_heartbeat_interval_ms: i32 = "group.streams.heartbeat.interval.ms",
        group_streams_min_heartbeat_interval_ms: i32 = "group.streams.min.heartbeat.interval.ms",
        group_streams_max_heartbeat_interval_ms: i32 = "group.streams.max.heartbeat.interval.ms",
        group_share_min_record_lock_duration_ms: i32 = "group.share.min.record.lock.duration.ms",
        group_share_max_record_lock_duration_ms: i32 = "group.share.max.record.lock.duration.ms",
        group_share_record_lock_duration_ms: i32 = "group.share.record.lock.duration.ms",
        group_share_delivery_count_limit: i32 = "group.share.delivery.count.limit",
        group_share_partition_max_record_locks: i32 = "group.share.partition.max.record.locks",
        group_share_max_size: i32 = "group.share.max.size",
        group_share_max_share_sessions: i32 = "group.share.max.share.sessions",
        group_streams_max_standby_replicas: i32 = "group.streams.max.standby.replicas",
        group_streams_num_standby_replicas: i32 = "group.streams.num.standby.replicas",
        group_streams_initial_rebalance_delay_ms: i32 = "group.streams.initial.rebalance.delay.ms",
        controller_quota_window_num: i32 = "controller.quota.window.num",
        controller_quota_window_size_seconds: i32 = "controller.quota.window.size.seconds",
        quota_window_num: i32 = "quota.window.num",
        quota_window_size_seconds: i32 = "quota.window.size.seconds",
    }
}

impl BrokerValues {
    /// What is in force for a broker with these settings.
    pub fn resolve(layers: &Layers) -> Self {
        Self::read(|setting| layers.value(setting))
    }
}

/// A broker's settings: the values in force and where they come from.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// The values in force.
    pub values: BrokerValues,
    /// Where they come from.
    pub layers: Layers,
    /// What is in force for a topic that sets nothing itself.
    pub topic_defaults: Arc<TopicSettings>,
}

impl BrokerSettings {
    /// Reads the layers once.
    pub fn new(layers: Layers) -> Self {
        Self {
            values: BrokerValues::resolve(&layers),
            topic_defaults: Arc::new(TopicSettings::resolve(&SettingTexts::new(), &layers)),
            layers,
        }
    }

    /// What is in force for a topic with these settings of its own; shared by all topics without any.
    pub fn topic(&self, own: &SettingTexts) -> Arc<TopicSettings> {
        if own.is_empty() {
            Arc::clone(&self.topic_defaults)
        } else {
            Arc::new(TopicSettings::resolve(own, &self.layers))
        }
    }
}

/// The values in force read like fields of the settings themselves.
impl std::ops::Deref for BrokerSettings {
    type Target = BrokerValues;

    fn deref(&self) -> &BrokerValues {
        &self.values
    }
}
