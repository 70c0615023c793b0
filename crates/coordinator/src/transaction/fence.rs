//! An open transaction is aborted over its producer's head: it took too long, or a newer session began
//! (`TransactionMetadata.prepareFenceProducerEpoch`, then an abort that is not from the client).

use types::{ProducerEpoch, Timestamp};

use super::state::{Transaction, TransactionState, TransactionVersion, next_epoch};
use crate::machine::Producer;

/// The transaction as it is aborted, with the epoch above that of its producer, and the epoch it had.
pub(crate) fn fence(before: &Transaction, now: Timestamp) -> (Transaction, ProducerEpoch) {
    let epoch = before.producer.epoch;
    let after = Transaction {
        producer: Producer {
            id: before.producer.id,
            epoch: next_epoch(epoch),
        },
        previous_id: None,
        next_id: None,
        state: TransactionState::PrepareAbort,
        updated: now,
        // The broker's own: the marker's epoch is above that of the records.
        client_version: TransactionVersion::V2,
        ..before.clone()
    };
    (after, epoch)
}
