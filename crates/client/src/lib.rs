//! A small Kafka client: produce, consume, groups, administration. For the command line, pipelines and tests.
//!
//! It speaks to any broker whose versions overlap with ours, Apache Kafka included; everything about versions is
//! settled per connection. Nothing here knows our own broker.

mod address;
mod assignor;
mod cluster;
mod config;
mod connection;
mod metadata;
mod partitioner;
mod refusal;
mod runtime;

pub use address::{AddressError, BrokerAddress, DEFAULT_PORT, parse_addresses};
pub use assignor::{
    Assignments, Assignor, MemberSubscription, PartitionCounts, TopicPartition, UnknownAssignor,
};
pub use cluster::{Cluster, Lane, MetadataError, Target, TopicSelection};
pub use config::ClientConfig;
pub use connection::{
    ApiRange, ApiVersions, CallError, ConnectError, Connection, FinalizedFeature, StreamError,
};
pub use metadata::{Broker, Metadata, Partition, Topic};
pub use partitioner::{murmur2, partition_for_key};
pub use refusal::Refusal;
pub use runtime::now_ms;
