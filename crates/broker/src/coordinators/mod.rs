//! The runtime around the pure state machines of the `coordinator` crate.
//!
//! Each partition of an internal topic is a shard: a state machine, the log it writes to, and the requests it owes an
//! answer. The steps of one request: the machine changes its state and gives records, replies and effects; the records
//! are appended, all under the shard's lock, so the log has the order of the changes; replies and effects are parked
//! behind that append and let go when it is durable, in order. A crash between append and durability loses only what
//! nobody was told. When an append or its commit fails, memory is ahead of the log: the shard is unloaded, everybody who
//! waits is told to look for the coordinator again, and it is loaded anew from the log.
//!
//! | File | What |
//! |---|---|
//! | `group_coordinator` | groups as handlers see them, one method per request |
//! | `share_coordinator` | states of share groups, one method per request |
//! | `transaction_coordinator` | transactions as handlers see them |
//! | `markers` | transaction markers for the partitions of a transaction |
//! | `coordinator` | finds the shard of a key; timers of all shards |
//! | `shard` | the life of one shard: load, serve, unload |
//! | `in_flight` | replies and effects that wait for an append to become durable |
//! | `loader` | replay of a partition |
//! | `figures` | how many groups and transactions there are |
//! | `group_topic` | `__consumer_offsets`, with what groups need to know of the cluster |
//! | `records` | records as bytes |
//! | `topic_searches` | searches for the topics that match patterns |
//! | `timers` | sleeping until the next deadline of any shard |
//! | `state_topic` | what the runtime needs of an internal topic |

mod coordinator;
mod errors;
mod figures;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod group_coordinator;
mod group_topic;
mod in_flight;
mod loader;
mod markers;
mod records;
mod shard;
mod share_coordinator;
mod state_topic;
mod timers;
mod topic_searches;
mod transaction_coordinator;

#[cfg(test)]
mod tests;

pub(crate) use errors::CoordinatorError;
pub use figures::CoordinatorFigures;
pub(crate) use figures::figures;
pub(crate) use group_coordinator::GroupCoordinator;
pub(crate) use group_topic::streams_group_settings;
pub(crate) use loader::in_memory;
pub(crate) use markers::{MarkerError, MarkerWriter};
pub(crate) use share_coordinator::ShareCoordinator;
pub(crate) use timers::Wakeup;
pub(crate) use transaction_coordinator::TransactionCoordinator;
