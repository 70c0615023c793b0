//! Handlers of the APIs about transactions.

mod errors;

pub(crate) mod add_offsets_to_txn;
pub(crate) mod add_partitions_to_txn;
pub(crate) mod describe_transactions;
pub(crate) mod end_txn;
pub(crate) mod init_producer_id;
pub(crate) mod list_transactions;
pub(crate) mod participation;
pub(crate) mod write_txn_markers;
