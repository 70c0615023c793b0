//! Transactions: which partitions a transactional producer has written to, and how its transaction ends.
//!
//! One file per transition. Each is a pure function from a transaction and a request to the transaction after it;
//! [`shard`] stores the result and writes the record. Where Kafka keeps a pending state while a record is on its way to
//! the log, this machine is already in the next state and its replies wait for the record instead. What is left of the
//! pending state is what lasts longer than an append: from Prepare to Complete the markers are on their way, and
//! everybody is told to come back (`CONCURRENT_TRANSACTIONS`).

pub(crate) mod add_partitions;
pub(crate) mod claim;
pub(crate) mod complete;
pub(crate) mod describe;
pub(crate) mod end;
pub(crate) mod expire;
pub(crate) mod fence;
pub(crate) mod init_producer;
pub(crate) mod list;
pub(crate) mod record;
pub(crate) mod request;
pub(crate) mod settings;
pub(crate) mod shard;
pub(crate) mod state;
pub(crate) mod verify_partitions;
