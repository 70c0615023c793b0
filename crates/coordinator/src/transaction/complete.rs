//! Every partition has its marker: the transaction is over (`TransactionMetadata.prepareComplete`).

use std::collections::BTreeSet;

use types::{ProducerEpoch, Timestamp};

use super::state::{Transaction, TransactionState};
use crate::machine::Producer;

/// The transaction after its end; `None` if it is not being ended.
pub(crate) fn complete(before: &Transaction, now: Timestamp) -> Option<Transaction> {
    let state = match before.state {
        TransactionState::PrepareCommit => TransactionState::CompleteCommit,
        TransactionState::PrepareAbort => TransactionState::CompleteAbort,
        TransactionState::Empty
        | TransactionState::Ongoing
        | TransactionState::CompleteCommit
        | TransactionState::CompleteAbort => return None,
    };
    let producer = session_after(before);
    Some(Transaction {
        producer,
        previous_id: (producer.id != before.producer.id).then_some(before.producer.id),
        next_id: None,
        state,
        partitions: BTreeSet::new(),
        updated: now,
        ..before.clone()
    })
}

/// The session of the producer once a transaction that is being ended is over.
pub(crate) fn session_after(prepared: &Transaction) -> Producer {
    match prepared.next_id {
        Some(id) => Producer {
            id,
            epoch: ProducerEpoch::ZERO,
        },
        None => prepared.producer,
    }
}
