//! Who leads what.
//!
//! Handlers never assume that this broker leads a partition: they ask here, and answer NOT_LEADER_OR_FOLLOWER or
//! COORDINATOR_NOT_AVAILABLE when it does not. On a single node the answer is always "this broker, in the epoch of this
//! start"; tests put a fake here, and the multi-node engine its own.

use std::fmt::Debug;

use types::{LeaderEpoch, TopicPartition};

/// The number of a broker in its cluster (`node.id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BrokerId(pub i32);

/// Who leads a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The leader; `None` while there is none.
    pub leader: Option<BrokerId>,
    /// The leader's epoch.
    pub epoch: LeaderEpoch,
}

/// Knows who leads each partition.
pub trait Ownership: Debug + Send + Sync {
    /// The leader of `partition`.
    fn owner(&self, partition: &TopicPartition) -> Owner;
}

/// This broker leads everything.
#[derive(Clone, Copy, Debug)]
pub struct SingleNode {
    /// This broker.
    pub broker: BrokerId,
    /// How often the data directory was opened.
    pub epoch: LeaderEpoch,
}

impl Ownership for SingleNode {
    fn owner(&self, _partition: &TopicPartition) -> Owner {
        Owner {
            leader: Some(self.broker),
            epoch: self.epoch,
        }
    }
}
