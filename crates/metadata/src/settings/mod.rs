//! Settings of brokers, topics and groups under Kafka's names: the tables, reading values, layers, typed access and how
//! they are described.

mod broker;
mod check;
mod client_metrics;
mod definition;
mod describe;
mod group;
mod layers;
mod lookup;
mod topic;
mod typed;
mod value;

pub use broker::{broker_settings, is_removed};
pub use check::{ClientMetricsError, check_broker, check_client_metrics, check_group, check_topic};
pub use client_metrics::CLIENT_METRICS_SETTINGS;
pub use definition::{Allowed, Effect, Setting, SettingType, Update};
pub use describe::{
    ConfigEntry, ConfigSynonym, Resource, describe_broker, describe_broker_defaults,
    describe_client_metrics, describe_group, describe_topic,
};
pub use group::GROUP_SETTINGS;
pub use layers::{ConfigSource, Layers, SettingTexts};
pub use lookup::{Scope, SettingError};
pub use topic::TOPIC_SETTINGS;
pub use typed::{
    BrokerSettings, BrokerValues, CleanupPolicy, GroupSettings, TimestampType, TopicCompression,
    TopicSettings,
};
pub use value::{Problem, VALUE_LENGTH_MAX, Value};
