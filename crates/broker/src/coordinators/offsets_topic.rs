//! What the runtime needs to know of `__consumer_offsets`.

use std::fmt::Debug;
use std::sync::Arc;

use coordinator::GroupSettings;
use env::BoxFuture;
use storage::PartitionLog;
use types::{LeaderEpoch, PartitionIndex};

use super::errors::CoordinatorError;

/// The name of the topic that groups are kept in.
pub(crate) const CONSUMER_OFFSETS: &str = "__consumer_offsets";

/// A partition this broker leads.
#[derive(Clone, Debug)]
pub(super) struct LedShard {
    /// Its log.
    pub(super) log: Arc<dyn PartitionLog>,
    /// The epoch it is led in.
    pub(super) epoch: LeaderEpoch,
    /// Settings in force; `record_bytes_max` is the topic's `max.message.bytes`.
    pub(super) settings: GroupSettings,
}

/// `__consumer_offsets`, as far as the runtime cares.
pub(super) trait OffsetsTopic: Debug + Send + Sync {
    /// How many partitions it has; `None` while it does not exist.
    fn partitions(&self) -> Option<i32>;

    /// A partition with its log.
    ///
    /// # Errors
    /// Another broker leads it, or the log cannot be opened.
    fn lead(&self, partition: PartitionIndex) -> Result<LedShard, CoordinatorError>;

    /// Whether this broker still leads a partition in `epoch`.
    fn leads(&self, partition: PartitionIndex, epoch: LeaderEpoch) -> bool;

    /// Creates the topic unless it exists.
    fn create(&self) -> BoxFuture<'_, Result<(), CoordinatorError>>;
}
