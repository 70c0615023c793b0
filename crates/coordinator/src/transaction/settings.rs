//! Broker settings that the transaction coordinator obeys.

use std::time::Duration;

use super::state::TransactionVersion;

/// Settings of one shard; the durations' defaults are Kafka's (`TransactionStateManagerConfig.java`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionSettings {
    /// The level of `transaction.version` that the cluster works at: clients begin and end their transactions by the version
    /// of their requests, what the coordinator does by itself is done at this level.
    pub version: TransactionVersion,
    /// The leader epoch of the shard's partition: markers carry it.
    pub coordinator_epoch: i32,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
    pub timeout_check_interval: Duration,
    /// `transactional.id.expiration.ms`.
    pub id_expiration: Duration,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub id_expiration_check_interval: Duration,
    /// The largest record the log takes, in bytes: a transaction with too many partitions does not fit into one.
    pub record_bytes_max: usize,
}

impl Default for TransactionSettings {
    fn default() -> Self {
        Self {
            version: TransactionVersion::V2,
            coordinator_epoch: 0,
            timeout_check_interval: Duration::from_secs(10),
            id_expiration: Duration::from_secs(7 * 24 * 60 * 60),
            id_expiration_check_interval: Duration::from_secs(60 * 60),
            record_bytes_max: 1_048_588,
        }
    }
}
