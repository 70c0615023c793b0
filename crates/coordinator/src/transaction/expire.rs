//! What time does: transactions that take too long, and transactional ids nobody uses
//! (`TransactionStateManager.timedOutTransactions` and `removeExpiredTransactionalIds`).

use std::time::Duration;

use types::{Instant, Timestamp};

use super::state::{Transaction, TransactionState};
use crate::time::Now;

/// When the transaction will have been open for as long as its producer said; `None` if it is not open, or never ends by
/// itself. To be asked when it begins, and when its shard is loaded.
///
/// Kafka compares wall clocks all the time: set back by an hour, they keep readers of what is committed waiting for an
/// hour; set forward, they abort whatever is open. Here the wall clock says only how much of its time a transaction had used
/// up when its shard was loaded, which is all of it at most, and nothing at least.
pub(crate) fn deadline(transaction: &Transaction, now: Now) -> Option<Instant> {
    /// A producer in a two-phase commit: its transactions stay.
    const NO_TIMEOUT_MS: i32 = i32::MAX;
    if transaction.state != TransactionState::Ongoing || transaction.timeout_ms == NO_TIMEOUT_MS {
        return None;
    }
    let milliseconds = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let started = transaction.started.unwrap_or(now.wall);
    let used_up = milliseconds(now.wall.ms().saturating_sub(started.ms()));
    let timeout = milliseconds(transaction.timeout_ms.into());
    Some(now.instant.plus(timeout.saturating_sub(used_up)))
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
