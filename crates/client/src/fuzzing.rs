//! What a broker sends a consumer, for the targets of the `fuzzing` crate.

use bytes::Bytes;

use crate::assignor::TopicPartition;
use crate::consumer::fetched;

/// The offsets of the records that a consumer at `position` shows of a fetch. `aborted`: producers and first offsets of
/// aborted transactions, for read_committed. Ends where something cannot be read.
pub fn fetched_offsets(bytes: Bytes, position: i64, aborted: Option<&[(i64, i64)]>) -> Vec<i64> {
    fetched(TopicPartition::new("topic", 0), bytes, position, aborted)
}
