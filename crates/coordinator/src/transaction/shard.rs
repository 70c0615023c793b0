//! All transactional ids of one partition of `__transaction_state`.
//!
//! Invariants: a transaction changes only through [`TransactionShard::store`], which also writes the record; a transaction
//! in a Prepare state has its markers asked for exactly once since the shard was loaded, and only who was asked then may say
//! that they are written: a marker that comes later would end the next transaction of a client that bumps no epochs.

use std::collections::BTreeMap;
use std::convert::Infallible;

use types::{Instant, ProducerEpoch, TransactionalId};

use super::add_partitions::{AddPartitionsError, AddPartitionsRequest, add_partitions};
use super::complete::{complete, session_after};
use super::describe::{DescribedTransaction, describe};
use super::end::{End, EndError, EndRequest, end};
use super::expire::{deadline, is_expired};
use super::fence::fence;
use super::init_producer::{Init, InitProducerError, InitProducerRequest, init_producer};
use super::list::{ListTransactionsRequest, ListedTransaction, is_listed};
use super::record::TransactionRecord;
use super::request::{
    Markers, MarkersWritten, Output, TransactionEffect, TransactionReply, TransactionRequest,
};
use super::settings::TransactionSettings;
use super::state::{Transaction, TransactionState, TransactionVersion};
use super::verify_partitions::verify_partitions;
use crate::machine::{EndMarker, Machine, MachineOutput, Origin, Producer, ReplyToken};
use crate::time::Now;

/// All transactional ids of one partition of `__transaction_state`.
#[derive(Debug)]
pub struct TransactionShard {
    settings: TransactionSettings,
    transactions: BTreeMap<TransactionalId, Known>,
    next_timeout_check: Option<Instant>,
    next_expiration_check: Option<Instant>,
}

/// A transaction and what the log does not keep of it.
#[derive(Clone, Debug)]
struct Known {
    transaction: Transaction,
    /// The epoch before the last bump, as long as a retry from it is to be answered.
    last_epoch: Option<ProducerEpoch>,
    /// When its markers were asked for, while it is being ended.
    asked: Option<Instant>,
    /// Until when it may stay open, while it is.
    deadline: Option<Instant>,
}

impl Machine for TransactionShard {
    type Settings = TransactionSettings;
    type Request = TransactionRequest;
    type Reply = TransactionReply;
    type Record = TransactionRecord;
    type Effect = TransactionEffect;
    type ReplayError = Infallible;

    fn new(settings: TransactionSettings) -> Self {
        Self {
            settings,
            transactions: BTreeMap::new(),
            next_timeout_check: None,
            next_expiration_check: None,
        }
    }

    fn replay(
        &mut self,
        _now: Now,
        _origin: Origin,
        record: TransactionRecord,
    ) -> Result<(), Infallible> {
        match record.value {
            Some(transaction) => {
                let known = Known {
                    transaction,
                    last_epoch: None,
                    asked: None,
                    deadline: None,
                };
                self.transactions.insert(record.id, known);
            }
            None => {
                self.transactions.remove(&record.id);
            }
        }
        Ok(())
    }

    fn replay_marker(&mut self, _now: Now, _marker: EndMarker) {
        // Nobody writes transactions to this topic.
    }

    fn configure(&mut self, _now: Now, settings: TransactionSettings) -> MachineOutput<Self> {
        // Checks that are due keep their deadlines.
        self.settings = settings;
        Output::default()
    }

    fn start(&mut self, now: Now) -> MachineOutput<Self> {
        let mut output = Output::default();
        for (id, known) in &mut self.transactions {
            known.deadline = deadline(&known.transaction, now);
            if known.transaction.state.is_prepared() {
                known.asked = Some(now.instant);
                let effect = write_markers(now, id, &known.transaction, &self.settings);
                output.effects.push(effect);
            }
        }
        let settings = &self.settings;
        self.next_timeout_check = Some(now.instant.plus(settings.timeout_check_interval));
        self.next_expiration_check = Some(now.instant.plus(settings.id_expiration_check_interval));
        output
    }

    fn next_deadline(&self) -> Option<Instant> {
        let checks = [self.next_timeout_check, self.next_expiration_check];
        checks.into_iter().flatten().min()
    }

    fn handle(
        &mut self,
        now: Now,
        token: ReplyToken,
        request: TransactionRequest,
    ) -> MachineOutput<Self> {
        let mut output = Output::default();
        let reply = match request {
            TransactionRequest::InitProducer(request) => {
                TransactionReply::InitProducer(self.init_producer(now, request, &mut output))
            }
            TransactionRequest::AddPartitions(request) => {
                TransactionReply::AddPartitions(self.add_partitions(now, request, &mut output))
            }
            TransactionRequest::VerifyPartitions(request) => {
                let transaction = self.transaction(&request.id);
                TransactionReply::VerifyPartitions(verify_partitions(transaction, request))
            }
            TransactionRequest::End(request) => {
                TransactionReply::End(self.end(now, request, &mut output))
            }
            TransactionRequest::MarkersWritten(written) => {
                self.markers_written(now, written, &mut output);
                TransactionReply::MarkersWritten
            }
            TransactionRequest::Describe(ids) => TransactionReply::Describe(self.describe(&ids)),
            TransactionRequest::List(request) => TransactionReply::List(self.list(now, &request)),
        };
        output.replies.push((token, reply));
        output
    }

    fn tick(&mut self, now: Now) -> MachineOutput<Self> {
        let mut output = Output::default();
        let is_due = |check: Option<Instant>| check.is_some_and(|check| check <= now.instant);
        if is_due(self.next_timeout_check) {
            self.abort_timed_out(now, &mut output);
            self.next_timeout_check = Some(now.instant.plus(self.settings.timeout_check_interval));
        }
        if is_due(self.next_expiration_check) {
            self.forget_expired(now, &mut output);
            self.next_expiration_check =
                Some(now.instant.plus(self.settings.id_expiration_check_interval));
        }
        output
    }
}

impl TransactionShard {
    fn transaction(&self, id: &TransactionalId) -> Option<&Transaction> {
        self.transactions.get(id).map(|known| &known.transaction)
    }

    fn known(&self, id: &TransactionalId) -> Option<(&Transaction, Option<ProducerEpoch>)> {
        let known = self.transactions.get(id)?;
        Some((&known.transaction, known.last_epoch))
    }

    fn init_producer(
        &mut self,
        now: Now,
        request: InitProducerRequest,
        output: &mut Output,
    ) -> Result<Producer, InitProducerError> {
        match init_producer(self.known(&request.id), &request, now.wall)? {
            Init::Begins { after, last_epoch } => {
                let producer = after.producer;
                self.store(now, request.id, after, last_epoch, output);
                Ok(producer)
            }
            Init::FenceFirst => {
                self.fence(now, request.id, output);
                Err(InitProducerError::Concurrent)
            }
        }
    }

    fn add_partitions(
        &mut self,
        now: Now,
        request: AddPartitionsRequest,
        output: &mut Output,
    ) -> Result<(), AddPartitionsError> {
        let id = request.id.clone();
        let (before, last_epoch) = self.known(&id).ok_or(AddPartitionsError::UnknownProducer)?;
        if let Some(after) = add_partitions(Some(before), request, now.wall)? {
            if after.encoded_bytes_max(&id) > self.settings.record_bytes_max {
                return Err(AddPartitionsError::TooManyPartitions);
            }
            self.store(now, id, after, last_epoch, output);
        }
        Ok(())
    }

    fn end(
        &mut self,
        now: Now,
        request: EndRequest,
        output: &mut Output,
    ) -> Result<Producer, EndError> {
        let known = self.known(&request.id);
        match (end(known, &request, now.wall)?, known) {
            (End::Prepared { after, last_epoch }, _) => {
                let producer = session_after(&after);
                self.prepare(now, request.id, after, last_epoch, output);
                Ok(producer)
            }
            (End::Repeated, Some((transaction, _))) => Ok(transaction.producer),
            (End::Repeated, None) => Err(EndError::UnknownProducer),
        }
    }

    fn fence(&mut self, now: Now, id: TransactionalId, output: &mut Output) {
        if let Some(before) = self.transaction(&id) {
            let (after, last_epoch) = fence(before, self.settings.version, now.wall);
            self.prepare(now, id, after, last_epoch, output);
        }
    }

    /// Stores a transaction whose outcome is decided, and has its markers written. Without partitions there is nothing
    /// to write, and it is over at once.
    fn prepare(
        &mut self,
        now: Now,
        id: TransactionalId,
        prepared: Transaction,
        last_epoch: Option<ProducerEpoch>,
        output: &mut Output,
    ) {
        let over = match prepared.partitions.is_empty() {
            true => complete(&prepared, now.wall),
            false => {
                let effect = write_markers(now, &id, &prepared, &self.settings);
                output.effects.push(effect);
                None
            }
        };
        self.store(now, id.clone(), prepared, last_epoch, output);
        if let Some(over) = over {
            self.store(now, id, over, last_epoch, output);
        } else if let Some(known) = self.transactions.get_mut(&id) {
            known.asked = Some(now.instant);
        }
    }

    fn markers_written(&mut self, now: Now, written: MarkersWritten, output: &mut Output) {
        let Some(known) = self.transactions.get(&written.id) else {
            return;
        };
        if known.asked != Some(written.asked) {
            return;
        }
        if let Some(after) = complete(&known.transaction, now.wall) {
            let last_epoch = known.last_epoch;
            self.store(now, written.id, after, last_epoch, output);
            // That it was prepared is durable, and so are the markers: after a crash it would be completed once more.
            output.may_wait = true;
        }
    }

    fn describe(&self, ids: &[TransactionalId]) -> Vec<Option<DescribedTransaction>> {
        let described = |id| self.transaction(id).map(describe);
        ids.iter().map(described).collect()
    }

    /// All transactions, in the order of their ids.
    pub fn transactions(&self) -> impl Iterator<Item = &Transaction> {
        self.transactions.values().map(|known| &known.transaction)
    }

    fn list(&self, now: Now, request: &ListTransactionsRequest) -> Vec<ListedTransaction> {
        self.transactions
            .iter()
            .filter(|(_, known)| is_listed(&known.transaction, request, now.wall))
            .map(|(id, known)| ListedTransaction {
                id: id.clone(),
                producer_id: known.transaction.producer.id,
                state: known.transaction.state,
            })
            .collect()
    }

    fn abort_timed_out(&mut self, now: Now, output: &mut Output) {
        let is_timed_out = |known: &Known| known.deadline.is_some_and(|end| end < now.instant);
        for id in self.ids_where(is_timed_out) {
            self.fence(now, id, output);
        }
    }

    fn forget_expired(&mut self, now: Now, output: &mut Output) {
        let expiration = self.settings.id_expiration;
        let is_expired = |known: &Known| is_expired(&known.transaction, expiration, now.wall);
        for id in self.ids_where(is_expired) {
            self.transactions.remove(&id);
            output.records.push(self.record(id, None));
        }
    }

    fn ids_where(&self, is_wanted: impl Fn(&Known) -> bool) -> Vec<TransactionalId> {
        let wanted = self
            .transactions
            .iter()
            .filter(|(_, known)| is_wanted(known));
        wanted.map(|(id, _)| id.clone()).collect()
    }

    fn record(&self, id: TransactionalId, value: Option<Transaction>) -> TransactionRecord {
        TransactionRecord {
            id,
            value,
            is_flexible: self.settings.version != TransactionVersion::V0,
        }
    }

    /// The only way a transaction changes.
    fn store(
        &mut self,
        now: Now,
        id: TransactionalId,
        transaction: Transaction,
        last_epoch: Option<ProducerEpoch>,
        output: &mut Output,
    ) {
        let record = self.record(id.clone(), Some(transaction.clone()));
        output.records.push(record);
        // A transaction that grows keeps its time; every other step begins one, or ends one.
        let before = self.transactions.get(&id).and_then(|known| known.deadline);
        let deadline = deadline(&transaction, now).map(|fresh| before.unwrap_or(fresh));
        let known = Known {
            transaction,
            last_epoch,
            asked: None,
            deadline,
        };
        self.transactions.insert(id, known);
    }
}

fn write_markers(
    now: Now,
    id: &TransactionalId,
    prepared: &Transaction,
    settings: &TransactionSettings,
) -> TransactionEffect {
    TransactionEffect::WriteMarkers(Markers {
        id: id.clone(),
        asked: now.instant,
        producer: prepared.producer,
        committed: prepared.state == TransactionState::PrepareCommit,
        coordinator_epoch: settings.coordinator_epoch,
        version: prepared.client_version,
        partitions: prepared.partitions.clone(),
    })
}

#[cfg(test)]
mod tests;
