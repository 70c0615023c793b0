//! ListTransactions (`TransactionStateManager.listTransactionStates`). The pattern of ids is the caller's: this crate
//! knows no regular expressions.

use std::collections::BTreeSet;

use types::{ProducerId, Timestamp, TransactionalId};

use super::state::{Transaction, TransactionState};

/// ListTransactions; by default everything is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListTransactionsRequest {
    /// Only those of these producers; `None` for any. An empty set lists nothing.
    pub producers: Option<BTreeSet<ProducerId>>,
    /// Only those in these states; `None` for any. An empty set lists nothing.
    pub states: Option<BTreeSet<TransactionState>>,
    /// Only those that began longer ago than this, in milliseconds; `None` for any. What never began counts as having
    /// begun before everything, as in Kafka.
    pub longer_than_ms: Option<u64>,
}

/// One transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTransaction {
    /// The transactional id.
    pub id: TransactionalId,
    /// Its producer id.
    pub producer_id: ProducerId,
    /// Where its transaction stands.
    pub state: TransactionState,
}

pub(crate) fn is_listed(
    transaction: &Transaction,
    request: &ListTransactionsRequest,
    now: Timestamp,
) -> bool {
    /// Kafka's start time of a transaction that has none.
    const NEVER_BEGAN_MS: i64 = -1;
    let producer = transaction.producer.id;
    let of_producer = |wanted: &BTreeSet<ProducerId>| wanted.contains(&producer);
    let in_state = |wanted: &BTreeSet<TransactionState>| wanted.contains(&transaction.state);
    let is_longer = |wanted_ms: u64| {
        let started_ms = transaction.started.map_or(NEVER_BEGAN_MS, Timestamp::ms);
        let open_ms = now.ms().saturating_sub(started_ms);
        u64::try_from(open_ms).is_ok_and(|open_ms| open_ms > wanted_ms)
    };
    request.producers.as_ref().is_none_or(of_producer)
        && request.states.as_ref().is_none_or(in_state)
        && request.longer_than_ms.is_none_or(is_longer)
}
