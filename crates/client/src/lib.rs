//! A small Kafka client: produce, consume, groups, administration. For the command line, pipelines and tests.
//!
//! It speaks to any broker whose versions overlap with ours, Apache Kafka included; everything about versions is
//! settled per connection. Nothing here knows our own broker.

mod address;
pub mod admin;
mod assignor;
mod causes;
mod cluster;
mod config;
mod connection;
mod consumer;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod group;
mod metadata;
mod offsets;
mod partitioner;
mod producer;
mod refusal;
mod runtime;

pub use address::{AddressError, BrokerAddress, DEFAULT_PORT, parse_addresses};
pub use assignor::{
    Assignments, Assignor, MemberSubscription, PartitionCounts, TopicPartition, UnknownAssignor,
};
pub use causes::{call_error, metadata_error};
pub use cluster::{Cluster, Lane, MetadataError, Target, TopicSelection};
pub use config::ClientConfig;
pub use connection::{
    ApiRange, ApiVersions, CallError, ConnectError, Connection, FinalizedFeature, StreamError,
};
pub use consumer::{
    BatchReadError, ConsumeError, Consumer, ConsumerConfig, DECOMPRESSED_BYTES_MAX, RecordBatch,
    RecordRef, resolve_offsets,
};
pub use group::{
    CommitError, CommitOffset, CommittedOffset, Coordinator, CoordinatorError, CoordinatorKind,
    FetchOffsetsError, GroupConfig, GroupCoordinator, GroupError, GroupEvent, GroupMember,
    SubscriptionError, commit_offsets, decode_assignment, decode_subscription,
    fetch_committed_offsets,
};
pub use metadata::{Broker, Metadata, Partition, Topic};
pub use offsets::{FoundOffset, Isolation, OffsetSpec, OffsetsError, list_offsets};
pub use partitioner::{murmur2, partition_for_key};
pub use producer::{
    Acks, BatchListener, BatchReport, ConsumerGroupMetadata, Delivered, Delivery, ProduceError,
    Producer, ProducerConfig, ProducerRecord, TransactionError, TransactionProtocol,
    TransactionalProducer,
};
pub use protocol::records::Compression;
pub use refusal::Refusal;
pub use runtime::now_ms;
