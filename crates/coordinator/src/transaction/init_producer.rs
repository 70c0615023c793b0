//! InitProducerId: a session begins, and older ones of the same transactional id are fenced
//! (`TransactionCoordinator.prepareInitProducerIdTransit`).

use std::collections::BTreeSet;

use types::{ProducerEpoch, ProducerId, Timestamp, TransactionalId};

use super::claim::ClaimedProducer;
use super::request::FreshId;
use super::state::{Transaction, TransactionState, TransactionVersion, is_exhausted, next_epoch};
use crate::machine::Producer;

/// InitProducerId with a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitProducerRequest {
    /// The transactional id, not empty.
    pub id: TransactionalId,
    /// How long its transactions may stay open, in milliseconds; checked by the caller.
    pub timeout_ms: i32,
    /// The session the producer has and wants to go on from (KIP-360).
    pub expected: Option<ClaimedProducer>,
    /// For an id that is not known yet, or whose epochs are used up.
    pub fresh: FreshId,
}

/// Why no session began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitProducerError {
    /// To be asked again with a fresh producer id; nothing happened.
    #[error("a new producer id is needed")]
    NeedsFreshId,
    /// CONCURRENT_TRANSACTIONS: the last transaction is being ended.
    #[error("the last transaction has not ended yet")]
    Concurrent,
    /// PRODUCER_FENCED: there was a newer session.
    #[error("there is a newer session of this transactional id")]
    Fenced,
}

/// What InitProducerId does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Init {
    /// The session begins.
    Begins {
        after: Transaction,
        last_epoch: Option<ProducerEpoch>,
    },
    /// A transaction is open: it is to be aborted first.
    FenceFirst,
}

/// `last_epoch`: the epoch before the last bump, if that was by a producer that went on from its own session.
pub(crate) fn init_producer(
    before: Option<(&Transaction, Option<ProducerEpoch>)>,
    request: &InitProducerRequest,
    now: Timestamp,
) -> Result<Init, InitProducerError> {
    let Some((before, last_epoch)) = before else {
        let id = request.fresh.ok_or(InitProducerError::NeedsFreshId)?;
        return Ok(Init::Begins {
            after: first_session(id, request, now),
            last_epoch: None,
        });
    };
    if before.state.is_prepared() {
        return Err(InitProducerError::Concurrent);
    }
    if request
        .expected
        .is_some_and(|expected| !may_go_on_from(before, expected))
    {
        return Err(InitProducerError::Fenced);
    }
    if before.state == TransactionState::Ongoing {
        return Ok(Init::FenceFirst);
    }
    let expected_epoch = request.expected.map(|expected| expected.epoch);
    let epoch = before.producer.epoch;
    if is_exhausted(epoch) {
        // The last epoch is that of a producer whose transaction was just aborted in its own name. Kafka answers it
        // UNKNOWN_SERVER_ERROR here; nothing speaks against a new id.
        let goes_on = |expected: Option<ProducerEpoch>| {
            expected == Some(epoch) || (expected.is_some() && expected == last_epoch)
        };
        if !expected_epoch.is_none_or(goes_on) {
            return Err(InitProducerError::Fenced);
        }
        let id = request.fresh.ok_or(InitProducerError::NeedsFreshId)?;
        let producer = Producer {
            id,
            epoch: ProducerEpoch::ZERO,
        };
        return Ok(Init::Begins {
            after: session(before, producer, request, now),
            last_epoch: expected_epoch.and(Some(epoch)),
        });
    }
    let (epoch, last_epoch) = match expected_epoch {
        None => (next_epoch(epoch), None),
        Some(expected) if expected == Some(epoch) => (next_epoch(epoch), Some(epoch)),
        // A retry of a request that was answered: the same answer.
        Some(Some(expected)) if Some(expected) == last_epoch => (epoch, last_epoch),
        Some(_) => return Err(InitProducerError::Fenced),
    };
    let id = before.producer.id;
    let producer = Producer { id, epoch };
    Ok(Init::Begins {
        after: session(before, producer, request, now),
        last_epoch,
    })
}

/// Whether the producer has this session, or had it and never heard of the new producer id.
fn may_go_on_from(before: &Transaction, expected: ClaimedProducer) -> bool {
    expected.id == Some(before.producer.id)
        || (expected.id.is_some()
            && expected.id == before.previous_id
            && expected.epoch.is_some_and(is_exhausted))
}

fn first_session(id: ProducerId, request: &InitProducerRequest, now: Timestamp) -> Transaction {
    Transaction {
        producer: Producer {
            id,
            epoch: ProducerEpoch::ZERO,
        },
        previous_id: None,
        next_id: None,
        timeout_ms: request.timeout_ms,
        state: TransactionState::Empty,
        partitions: BTreeSet::new(),
        started: None,
        updated: now,
        client_version: TransactionVersion::V0,
    }
}

fn session(
    before: &Transaction,
    producer: Producer,
    request: &InitProducerRequest,
    now: Timestamp,
) -> Transaction {
    Transaction {
        producer,
        previous_id: (producer.id != before.producer.id).then_some(before.producer.id),
        next_id: None,
        timeout_ms: request.timeout_ms,
        state: TransactionState::Empty,
        partitions: BTreeSet::new(),
        started: None,
        updated: now,
        client_version: before.client_version,
    }
}
