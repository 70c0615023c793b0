//! What the share coordinator is asked: the APIs 83 to 87, each for one partition.

use types::{LeaderEpoch, TopicId};

use super::state::SharePartitionKey;
use crate::share_partition::StateBatch;

/// A request. `partition_exists` says whether the cluster has such a topic and partition: the machine does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareStateRequest {
    /// InitializeShareGroupState.
    Initialize(InitializeShareState),
    /// ReadShareGroupState: a leader of the partition begins.
    Read(ReadShareState),
    /// ReadShareGroupStateSummary.
    ReadSummary {
        /// Of which partition.
        key: SharePartitionKey,
        /// Whether the cluster has it.
        partition_exists: bool,
    },
    /// WriteShareGroupState.
    Write(WriteShareState),
    /// DeleteShareGroupState.
    Delete {
        /// Of which partition.
        key: SharePartitionKey,
        /// Whether the cluster has it.
        partition_exists: bool,
    },
    /// Topics were deleted: their states are of no use.
    TopicsDeleted(Vec<TopicId>),
}

/// A state begins, or begins anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitializeShareState {
    /// Of which partition.
    pub key: SharePartitionKey,
    /// Whether the cluster has it.
    pub partition_exists: bool,
    /// The group's epoch; -1 is never fenced.
    pub state_epoch: i32,
    /// Where it begins; -1 leaves it to the group's reset strategy.
    pub start_offset: i64,
}

/// A leader of the partition asks for the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadShareState {
    /// Of which partition.
    pub key: SharePartitionKey,
    /// Whether the cluster has it.
    pub partition_exists: bool,
    /// Its leader epoch.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// A leader of the partition tells what changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteShareState {
    /// Of which partition.
    pub key: SharePartitionKey,
    /// Whether the cluster has it.
    pub partition_exists: bool,
    /// The state epoch it read; -1 is never fenced.
    pub state_epoch: i32,
    /// Its leader epoch.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Offsets below are done; -1 if unchanged.
    pub start_offset: i64,
    /// Records at or above the start offset that are done; -1 if unknown.
    pub delivery_complete_count: i32,
    /// States that changed.
    pub batches: Vec<StateBatch>,
}

/// What is known of a partition without the states of its records. -1 where nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareStateSummary {
    /// Counts the times the state was begun anew.
    pub state_epoch: i32,
    /// The leader epoch of the last reader.
    pub leader_epoch: i32,
    /// Offsets below are done; -1 if nothing was handed out yet.
    pub start_offset: i64,
    /// Records at or above the start offset that are done; -1 if unknown.
    pub delivery_complete_count: i32,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareStateReply {
    /// To Initialize, Write and Delete.
    Done(Result<(), ShareStateError>),
    /// To Read: state epoch, start offset (-1 if nothing was handed out yet) and states.
    State(Result<(i32, i64, Vec<StateBatch>), ShareStateError>),
    /// To ReadSummary.
    Summary(Result<ShareStateSummary, ShareStateError>),
    /// To TopicsDeleted.
    TopicsDeleted,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareStateError {
    /// INVALID_REQUEST: nobody has initialised the partition.
    #[error("the state of this partition was never initialized")]
    Uninitialized,
    /// FENCED_LEADER_EPOCH.
    #[error("the partition has a newer leader")]
    FencedLeaderEpoch,
    /// FENCED_STATE_EPOCH.
    #[error("the state has begun anew since")]
    FencedStateEpoch,
    /// UNKNOWN_TOPIC_OR_PARTITION.
    #[error("there is no such partition")]
    UnknownTopicOrPartition,
}
