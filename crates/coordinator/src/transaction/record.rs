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
    /// Whether it may be written with tagged fields (from `transaction.version` 1 on): an older Kafka could not read them.
    pub is_flexible: bool,
}
