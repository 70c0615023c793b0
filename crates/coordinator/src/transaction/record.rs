//! What the coordinator writes to `__transaction_state`, as typed values (`TransactionLogKey/Value.json`).

use types::TransactionalId;

use super::state::Transaction;

/// One record of `__transaction_state`: all there is to know of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRecord {
    /// The transactional id.
    pub id: TransactionalId,
    /// `None` is a tombstone: the id is forgotten.
    pub value: Option<Transaction>,
}
