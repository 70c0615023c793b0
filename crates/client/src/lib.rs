//! A small Kafka client: produce, consume, groups, administration. For the command line, pipelines and tests.

mod address;
mod assignor;
mod partitioner;
mod runtime;

pub use address::{AddressError, BrokerAddress, DEFAULT_PORT, parse_addresses};
pub use assignor::{
    Assignments, Assignor, MemberSubscription, PartitionCounts, TopicPartition, UnknownAssignor,
};
pub use partitioner::{murmur2, partition_for_key};
pub use runtime::now_ms;
