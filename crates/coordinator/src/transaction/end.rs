//! EndTxn: the outcome is decided (`TransactionCoordinator.endTransaction` and `endTransactionWithTV1`).
//!
//! With transactions of version 2 every end bumps the epoch, so a request of the current epoch is a new one and a request
//! of the epoch before is a retry. What version 2 answers once a transaction is over:
//!
//! ```text
//!                    abort: retry / current      commit: retry / current
//! Empty              fenced / bump               fenced / invalid state
//! CompleteAbort      the same answer / bump      invalid state / invalid state
//! CompleteCommit     invalid state / bump        the same answer / invalid state
//! ```

use types::{ProducerEpoch, Timestamp, TransactionalId};

use super::claim::ClaimedProducer;
use super::request::FreshId;
use super::state::{
    LAST_EPOCH_OF_CLIENTS, Transaction, TransactionState, TransactionVersion, is_exhausted,
    next_epoch,
};
use crate::machine::Producer;

/// EndTxn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndRequest {
    /// The transactional id, not empty.
    pub id: TransactionalId,
    /// Who asks.
    pub producer: ClaimedProducer,
    /// Whether to commit.
    pub commit: bool,
    /// What the client speaks.
    pub version: TransactionVersion,
    /// For a transaction whose end uses up the last epoch.
    pub fresh: FreshId,
}

/// Why the transaction does not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndError {
    /// To be asked again with a fresh producer id; nothing happened.
    #[error("a new producer id is needed")]
    NeedsFreshId,
    /// INVALID_PRODUCER_ID_MAPPING: the transactional id is unknown or belongs to another producer id.
    #[error("the producer id is not that of the transactional id")]
    UnknownProducer,
    /// PRODUCER_FENCED: there was a newer session.
    #[error("there is a newer session of this transactional id")]
    Fenced,
    /// CONCURRENT_TRANSACTIONS: the transaction is being ended.
    #[error("the transaction is being ended")]
    Concurrent,
    /// INVALID_TXN_STATE: there is nothing to end that way.
    #[error("the transaction cannot end that way")]
    InvalidState,
}

/// What EndTxn does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The transaction is prepared; the last epoch is remembered as given.
    Prepared {
        after: Transaction,
        last_epoch: Option<ProducerEpoch>,
    },
    /// It has ended that way before: the answer is the same.
    Repeated,
}

/// `last_epoch`: what [`super::init_producer::init_producer`] remembers.
pub(crate) fn end(
    before: Option<(&Transaction, Option<ProducerEpoch>)>,
    request: &EndRequest,
    now: Timestamp,
) -> Result<End, EndError> {
    let (before, last_epoch) = before.ok_or(EndError::UnknownProducer)?;
    if request.version.bumps_epoch() {
        end_with_bump(before, request, now)
    } else {
        end_without_bump(before, last_epoch, request, now)
    }
}

fn end_without_bump(
    before: &Transaction,
    last_epoch: Option<ProducerEpoch>,
    request: &EndRequest,
    now: Timestamp,
) -> Result<End, EndError> {
    if Some(before.producer.id) != request.producer.id {
        return Err(EndError::UnknownProducer);
    }
    if Some(before.producer.epoch) != request.producer.epoch {
        return Err(EndError::Fenced);
    }
    match before.state {
        TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
            Err(EndError::Concurrent)
        }
        TransactionState::Ongoing => Ok(End::Prepared {
            after: Transaction {
                previous_id: None,
                next_id: None,
                state: prepared(request.commit),
                updated: now,
                // Kafka's too, whatever the level of the cluster.
                client_version: TransactionVersion::V0,
                ..before.clone()
            },
            last_epoch,
        }),
        TransactionState::CompleteCommit if request.commit => Ok(End::Repeated),
        TransactionState::CompleteAbort if !request.commit => Ok(End::Repeated),
        TransactionState::CompleteCommit
        | TransactionState::CompleteAbort
        | TransactionState::Empty => Err(EndError::InvalidState),
    }
}

fn end_with_bump(
    before: &Transaction,
    request: &EndRequest,
    now: Timestamp,
) -> Result<End, EndError> {
    // First of all, because the answer to a retry is not known before.
    if before.state.is_prepared() {
        return Err(EndError::Concurrent);
    }
    let Producer { id, epoch } = before.producer;
    if epoch.value() > LAST_EPOCH_OF_CLIENTS {
        // Aborted over its head with the last epoch there is: no marker could end another transaction of it.
        return Err(EndError::Fenced);
    }
    let claimed = request.producer;
    let claimed_epoch = claimed.epoch.map(ProducerEpoch::value);
    let retries_over_new_id = before.previous_id.is_some()
        && before.previous_id == claimed.id
        && claimed_epoch == Some(LAST_EPOCH_OF_CLIENTS)
        && epoch == ProducerEpoch::ZERO;
    if claimed.id != Some(id) && !retries_over_new_id {
        return Err(EndError::UnknownProducer);
    }
    let is_current = claimed.epoch == Some(epoch);
    let is_retry = retries_over_new_id
        || claimed_epoch.is_some_and(|claimed| claimed.checked_add(1) == Some(epoch.value()));
    match before.state {
        TransactionState::Ongoing if is_current => prepare_with_bump(before, request, false, now),
        TransactionState::Empty if is_current && !request.commit => {
            prepare_with_bump(before, request, true, now)
        }
        TransactionState::Empty if is_current => Err(EndError::InvalidState),
        TransactionState::Empty | TransactionState::Ongoing => Err(EndError::Fenced),
        TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
            let committed = before.state == TransactionState::CompleteCommit;
            if is_retry && committed == request.commit {
                Ok(End::Repeated)
            } else if is_current && !is_retry && !request.commit {
                prepare_with_bump(before, request, true, now)
            } else if is_current || is_retry {
                Err(EndError::InvalidState)
            } else {
                Err(EndError::Fenced)
            }
        }
        TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
            Err(EndError::Concurrent)
        }
    }
}

/// `is_empty`: nothing was added, and the time of the end is that of the beginning.
fn prepare_with_bump(
    before: &Transaction,
    request: &EndRequest,
    is_empty: bool,
    now: Timestamp,
) -> Result<End, EndError> {
    let epoch = before.producer.epoch;
    let next_id = match is_exhausted(epoch) {
        true => Some(request.fresh.ok_or(EndError::NeedsFreshId)?),
        false => None,
    };
    Ok(End::Prepared {
        after: Transaction {
            producer: Producer {
                id: before.producer.id,
                epoch: next_epoch(epoch),
            },
            previous_id: None,
            next_id,
            state: prepared(request.commit),
            started: if is_empty { Some(now) } else { before.started },
            updated: now,
            client_version: request.version,
            ..before.clone()
        },
        last_epoch: Some(epoch),
    })
}

fn prepared(commit: bool) -> TransactionState {
    match commit {
        true => TransactionState::PrepareCommit,
        false => TransactionState::PrepareAbort,
    }
}
