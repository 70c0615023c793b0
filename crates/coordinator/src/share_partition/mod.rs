//! One partition of a topic as one share group sees it: which records are handed out, to whom, and how often.
//!
//! The machine knows offsets only, never the bytes of records. Its invariants: a record is acquired by at most one
//! member at a time; a record is handed out until it is accepted, rejected or has been delivered
//! [`ShareLimits::delivery_count_max`] times; nothing below [`SharePartition::start_offset`] is handed out; a change a
//! member asked for becomes final only when [`SharePartition::complete`] says that it was persisted.
//!
//! | File | What |
//! |---|---|
//! | `record_state` | the four states of a record and their transitions |
//! | `in_flight` | state of one batch of records, as a whole or for each offset |
//! | `partition` | offsets, limits, what to fetch next, movement of the log start |
//! | `acquire` | handing records out |
//! | `acknowledge` | what members say about records they have; release of a member's records |
//! | `locks` | records whose lock ran out |
//! | `writes` | changes on their way to the share coordinator, movement of the start offset |
//! | `aborted` | records of aborted transactions, which `read_committed` groups do not get |
//!
//! Source: KIP-932, KIP-1206, KIP-1222; `core/src/main/java/kafka/server/share/SharePartition.java` and
//! `server/src/main/java/org/apache/kafka/server/share/fetch/*`.

mod aborted;
mod acknowledge;
mod acquire;
mod in_flight;
mod locks;
mod partition;
mod record_state;
mod writes;

#[cfg(test)]
mod tests;

pub use aborted::AbortedTransaction;
pub use acknowledge::{AcknowledgeError, AcknowledgeType, AcknowledgementBatch};
pub use acquire::{AcquireMode, AcquireRequest, Acquired, AcquiredRecords, FetchedBatch};
pub use partition::{InvalidShareState, ShareLimits, SharePartition};
pub use record_state::RecordState;
pub use writes::{StateBatch, StateWrite, WriteId};
