//! An open transaction is aborted over its producer's head: it took too long, or a newer session began
//! (`TransactionMetadata.prepareFenceProducerEpoch`, then an abort that is not from the client).

use types::{ProducerEpoch, Timestamp};

use super::state::{Transaction, TransactionState, TransactionVersion, next_epoch};
use crate::machine::Producer;

/// The transaction as it is aborted, with the epoch above that of its producer, and the epoch it had if its producer may
/// go on from that. With the cluster at version 2 it may (the abort is one like any other, which bumps the epoch); before,
/// it has lost its session.
pub(crate) fn fence(
    before: &Transaction,
    version: TransactionVersion,
    now: Timestamp,
) -> (Transaction, Option<ProducerEpoch>) {
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
        // By which rule the partitions judge the marker, whose epoch is above that of the records in any case.
        client_version: match version.bumps_epoch() {
            true => version,
            false => TransactionVersion::V0,
        },
        ..before.clone()
    };
    (after, version.bumps_epoch().then_some(epoch))
}
