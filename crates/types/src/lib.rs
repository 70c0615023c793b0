//! Identifiers and small values shared by every crate.
//!
//! Invariant: each identifier has its own type and no conversion from bare integers except by name (`Offset::new`),
//! so that an offset can never be passed where an epoch is meant. Sentinels of the wire (-1, -2) have no place here:
//! they become `Option` or an enum where a request is decoded.

mod id;
mod offset;
mod producer;
mod time;

pub use id::{GroupId, InstanceId, MemberId, TopicId, TopicName, TopicPartition, TransactionalId};
pub use offset::{LeaderEpoch, Offset, PartitionIndex};
pub use producer::{ProducerEpoch, ProducerId, Sequence};
pub use time::{Instant, Timestamp};
