//! What time does: transactions that take too long, and transactional ids nobody uses
//! (`TransactionStateManager.timedOutTransactions` and `removeExpiredTransactionalIds`).

use std::time::Duration;

use types::Timestamp;

use super::state::{Transaction, TransactionState};

/// Whether the transaction has been open for longer than its producer said.
pub(crate) fn is_timed_out(transaction: &Transaction, now: Timestamp) -> bool {
    /// A producer in a two-phase commit: its transactions stay.
    const NO_TIMEOUT_MS: i32 = i32::MAX;
    let Some(started) = transaction.started else {
        return false;
    };
    transaction.state == TransactionState::Ongoing
        && transaction.timeout_ms != NO_TIMEOUT_MS
        && started.ms().saturating_add(transaction.timeout_ms.into()) < now.ms()
}

/// Whether nothing happened for `expiration`, and nothing is open.
pub(crate) fn is_expired(transaction: &Transaction, expiration: Duration, now: Timestamp) -> bool {
    let expiration_ms = i64::try_from(expiration.as_millis()).unwrap_or(i64::MAX);
    let at_rest = match transaction.state {
        TransactionState::Empty
        | TransactionState::CompleteCommit
        | TransactionState::CompleteAbort => true,
        TransactionState::Ongoing
        | TransactionState::PrepareCommit
        | TransactionState::PrepareAbort => false,
    };
    at_rest && transaction.updated.ms() <= now.ms().saturating_sub(expiration_ms)
}
