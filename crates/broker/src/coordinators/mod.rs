//! The runtime around the pure group coordinator of the `coordinator` crate.
//!
//! Each partition of `__consumer_offsets` is a shard: a state machine, the log it writes to, and the requests it owes an
//! answer. The steps of one request: the machine changes its state and gives records and replies; the records are
//! appended, all under the shard's lock, so the log has the order of the changes; the replies are parked behind that
//! append and sent when it is durable, in order. A crash between append and durability loses only what nobody was told.
//! When an append or its commit fails, memory is ahead of the log: the shard is unloaded, everybody who waits is told to
//! look for the coordinator again, and it is loaded anew from the log.
//!
//! | File | What |
//! |---|---|
//! | `group_coordinator` | finds the shard of a group, one method per request |
//! | `shard` | the life of one shard: load, serve, unload |
//! | `in_flight` | replies that wait for an append to become durable |
//! | `loader` | replay of a partition |
//! | `records` | records as bytes |
//! | `timers` | sleeping until the next deadline of any shard |
//! | `offsets_topic` | what the runtime needs of `__consumer_offsets` |

mod errors;
mod group_coordinator;
mod in_flight;
mod loader;
mod offsets_topic;
mod records;
mod shard;
mod timers;

#[cfg(test)]
mod tests;

pub(crate) use errors::CoordinatorError;
pub(crate) use group_coordinator::GroupCoordinator;
