//! What is known of the producers of a partition: idempotence, epochs, open transactions.
//!
//! Invariant: the table at an offset depends only on the batches below that offset (expiry aside), so it can be rebuilt
//! from any earlier state and the batches in between. Rules: Kafka's `ProducerAppendInfo`, `ProducerStateEntry`,
//! `ProducerStateManager`.

use std::collections::HashMap;

use types::{Offset, ProducerId, Sequence};

use crate::batch_header::BatchHeader;
use crate::verification::Verifications;
use crate::{
    ActiveProducer, AppendContext, AppendError, AppendOrigin, CoordinatorIntent, FirstBatch,
    TransactionVersion, VerificationGuard,
};

/// Batches remembered per producer (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`): what a client may have in flight.
pub(crate) const BATCHES_KEPT: usize = 5;

/// A batch that a producer may send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducedBatch {
    pub(crate) last_sequence: i32,
    pub(crate) last_offset: Offset,
    /// Last offset less first offset; sequences span the same.
    pub(crate) offset_delta: i32,
    /// The largest timestamp of its records.
    pub(crate) timestamp: i64,
}

impl ProducedBatch {
    pub(crate) fn first_sequence(&self) -> i32 {
        // Sequences wrap from i32::MAX to 0.
        let first = i64::from(self.last_sequence) - i64::from(self.offset_delta);
        let first = if first < 0 { first + (1 << 31) } else { first };
        i32::try_from(first).unwrap_or(i32::MAX)
    }

    pub(crate) fn base_offset(&self) -> Offset {
        let base = self.last_offset.value() - i64::from(self.offset_delta);
        Offset::new(base).unwrap_or_default()
    }
}

/// One producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) epoch: i16,
    pub(crate) coordinator_epoch: i32,
    pub(crate) last_timestamp: i64,
    /// Where its open transaction began in this partition.
    pub(crate) open_transaction: Option<Offset>,
    /// The last batches, oldest first, at most [`BATCHES_KEPT`].
    pub(crate) batches: Vec<ProducedBatch>,
}

impl Producer {
    fn new(epoch: i16) -> Self {
        Self {
            epoch,
            coordinator_epoch: -1,
            last_timestamp: -1,
            open_transaction: None,
            batches: Vec::new(),
        }
    }

    /// Whether its transaction in `epoch` is open in this partition.
    fn is_in_transaction(&self, epoch: i16) -> bool {
        self.open_transaction.is_some() && self.epoch == epoch
    }

    fn move_to_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }

    fn remember(&mut self, batch: ProducedBatch) {
        if self.batches.len() == BATCHES_KEPT {
            self.batches.remove(0);
        }
        self.batches.push(batch);
    }
}

/// How a batch fits what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is new.
    New,
    /// It is there already.
    Duplicate(ProducedBatch),
}

/// How a batch changed the transactions of the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionChange {
    /// A transaction began at this offset.
    Began(Offset),
    /// The transaction that began at `first` ended with the marker at `last`.
    Ended {
        producer: ProducerId,
        first: Offset,
        last: Offset,
        aborted: bool,
    },
}

/// The marker that a control batch carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) aborted: bool,
    pub(crate) coordinator_epoch: i32,
}

/// By what a batch is judged besides its producer.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    origin: AppendOrigin,
    version: TransactionVersion,
    guard: Option<VerificationGuard>,
    verifications: &'a Verifications,
    /// `transaction.partition.verification.enable`.
    verify: bool,
}

impl<'a> Rules<'a> {
    pub(crate) fn new(
        context: &AppendContext,
        verifications: &'a Verifications,
        verify: bool,
    ) -> Self {
        Self {
            origin: context.origin,
            version: context.transaction_version,
            guard: context.guard,
            verifications,
            verify,
        }
    }

    /// Whether a transaction of `producer` may begin in the partition.
    fn admit(&self, producer: i64) -> bool {
        !self.verify || self.verifications.admits(producer, self.guard)
    }
}

#[derive(Clone, Debug)]
struct Entry {
    producer: Producer,
    /// When it was last heard of, by the wall clock of this process; expiry goes by it, since the timestamps of
    /// records may be of any age.
    seen_ms: i64,
}

/// The producers of a partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    entries: HashMap<i64, Entry>,
}

impl Producers {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The producers in ascending order of their ids.
    pub(crate) fn iter_sorted(&self) -> Vec<(i64, &Producer)> {
        let mut all: Vec<_> = self
            .entries
            .iter()
            .map(|(id, entry)| (*id, &entry.producer))
            .collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// What administrators are shown, in ascending order of ids.
    pub(crate) fn describe(&self) -> Vec<ActiveProducer> {
        let describe = |(id, producer): (i64, &Producer)| {
            Some(ActiveProducer {
                producer: ProducerId::new(id)?,
                epoch: producer.epoch,
                last_sequence: producer.batches.last().map(|batch| batch.last_sequence),
                last_timestamp: producer.last_timestamp,
                coordinator_epoch: producer.coordinator_epoch,
                transaction_start: producer.open_transaction,
            })
        };
        self.iter_sorted()
            .into_iter()
            .filter_map(describe)
            .collect()
    }

    pub(crate) fn insert(&mut self, id: i64, producer: Producer, now_ms: i64) {
        let seen_ms = now_ms;
        self.entries.insert(id, Entry { producer, seen_ms });
    }

    pub(crate) fn get(&self, id: i64) -> Option<&Producer> {
        self.entries.get(&id).map(|entry| &entry.producer)
    }

    /// Transactions that began below `end` are no longer open.
    pub(crate) fn end_below(&mut self, end: Offset) {
        for entry in self.entries.values_mut() {
            entry
                .producer
                .open_transaction
                .take_if(|first| *first < end);
        }
    }

    /// Takes over what `other` knows of a producer.
    pub(crate) fn adopt(&mut self, id: i64, other: &Self) {
        if let (None, Some(entry)) = (self.entries.get(&id), other.entries.get(&id)) {
            self.entries.insert(id, entry.clone());
        }
    }

    /// Begins to ask for a producer's transaction; `None` if its transaction is open here, so that nobody has to be
    /// asked (`UnifiedLog.maybeStartTransactionVerification`).
    pub(crate) fn begin_verification(
        &self,
        verifications: &mut Verifications,
        batch: FirstBatch,
        now_ms: i64,
    ) -> Result<Option<VerificationGuard>, AppendError> {
        let id = batch.producer.value();
        if let Some(producer) = self.get(id) {
            check_epoch(batch.producer, producer, batch.epoch)?;
            if producer.is_in_transaction(batch.epoch) {
                return Ok(None);
            }
        }
        let guard = verifications.begin(
            id,
            batch.epoch,
            batch.sequence,
            batch.has_own_epochs,
            now_ms,
        );
        Ok(Some(guard))
    }

    /// Whether a coordinator may append for a producer: what [`Producers::check`] will say of the batches.
    pub(crate) fn check_intent(
        &self,
        intent: CoordinatorIntent,
        rules: &Rules<'_>,
    ) -> Result<(), AppendError> {
        match intent {
            CoordinatorIntent::Records { producer, epoch } => {
                self.check_transactional(producer, epoch, rules)
            }
            CoordinatorIntent::Marker {
                producer,
                epoch,
                coordinator_epoch,
            } => match self.get(producer.value()) {
                Some(known) => {
                    check_marker(producer, known, epoch, coordinator_epoch, rules.version)
                }
                None => Ok(()),
            },
        }
    }

    /// Whether a batch of a transaction may be appended, as far as its epoch and its verification go.
    fn check_transactional(
        &self,
        id: ProducerId,
        epoch: i16,
        rules: &Rules<'_>,
    ) -> Result<(), AppendError> {
        let producer = self.get(id.value());
        if let Some(producer) = producer {
            check_epoch(id, producer, epoch)?;
        }
        let is_open = producer.is_some_and(|producer| producer.is_in_transaction(epoch));
        if !is_open && !rules.admit(id.value()) {
            return Err(AppendError::UnverifiedTransaction { producer: id });
        }
        Ok(())
    }

    /// Whether a batch of a producer may be appended.
    pub(crate) fn check(
        &self,
        header: &BatchHeader,
        marker: Option<Marker>,
        rules: &Rules<'_>,
    ) -> Result<Fit, AppendError> {
        let Some(id) = ProducerId::new(header.producer_id) else {
            return Ok(Fit::New);
        };
        let producer = self.get(header.producer_id);
        if header.is_control() {
            if let (Some(producer), Some(marker)) = (producer, marker) {
                let coordinator_epoch = marker.coordinator_epoch;
                let epoch = header.producer_epoch;
                check_marker(id, producer, epoch, coordinator_epoch, rules.version)?;
            }
            return Ok(Fit::New);
        }
        if let Some(producer) = producer {
            if rules.origin == AppendOrigin::Client
                && header.producer_epoch == producer.epoch
                && let Some(batch) = find_duplicate(producer, header)
            {
                return Ok(Fit::Duplicate(batch));
            }
            check_epoch(id, producer, header.producer_epoch)?;
        }
        if header.is_transactional() {
            self.check_transactional(id, header.producer_epoch, rules)?;
        }
        if rules.origin == AppendOrigin::Client {
            check_sequence(id, producer, header, rules.verifications)?;
        }
        if !header.is_transactional()
            && producer.is_some_and(|producer| producer.open_transaction.is_some())
        {
            return Err(AppendError::InvalidTransactionState { producer: id });
        }
        Ok(Fit::New)
    }

    /// Takes a batch with its final offsets into account, when it was appended and when it is replayed.
    pub(crate) fn apply(
        &mut self,
        header: &BatchHeader,
        marker: Option<Marker>,
        now_ms: i64,
    ) -> Option<TransactionChange> {
        let id = ProducerId::new(header.producer_id)?;
        if header.is_control() && marker.is_none() {
            // The cleaner took the marker out of its batch, after all that it ended.
            return None;
        }
        let entry = self
            .entries
            .entry(header.producer_id)
            .or_insert_with(|| Entry {
                producer: Producer::new(header.producer_epoch),
                seen_ms: now_ms,
            });
        entry.seen_ms = now_ms;
        let producer = &mut entry.producer;
        producer.move_to_epoch(header.producer_epoch);
        producer.last_timestamp = header.max_timestamp;
        if let Some(marker) = marker {
            producer.coordinator_epoch = marker.coordinator_epoch;
            let first = producer.open_transaction.take()?;
            return Some(TransactionChange::Ended {
                producer: id,
                first,
                last: header.last(),
                aborted: marker.aborted,
            });
        }
        // Offsets that a group coordinator commits within a transaction have no sequence.
        let last_sequence = Sequence::new(header.base_sequence).map_or(-1, |sequence| {
            sequence
                .plus(header.last_offset_delta.unsigned_abs())
                .value()
        });
        producer.remember(ProducedBatch {
            last_sequence,
            last_offset: header.last(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        if header.is_transactional() && producer.open_transaction.is_none() {
            producer.open_transaction = Some(header.base());
            return Some(TransactionChange::Began(header.base()));
        }
        None
    }

    /// Forgets producers that were not heard of for `expiration_ms`, unless a transaction is open.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.entries.retain(|_, entry| {
            entry.producer.open_transaction.is_some()
                || now_ms.saturating_sub(entry.seen_ms) < expiration_ms
        });
    }
}

fn find_duplicate(producer: &Producer, header: &BatchHeader) -> Option<ProducedBatch> {
    let first = Sequence::new(header.base_sequence)?;
    let last = first.plus(header.last_offset_delta.unsigned_abs()).value();
    producer
        .batches
        .iter()
        .find(|batch| batch.first_sequence() == first.value() && batch.last_sequence == last)
        .copied()
}

/// An older epoch than one that was seen was fenced off.
fn check_epoch(id: ProducerId, producer: &Producer, epoch: i16) -> Result<(), AppendError> {
    if epoch >= producer.epoch {
        return Ok(());
    }
    Err(AppendError::ProducerFenced {
        producer: id,
        epoch,
        current: producer.epoch,
    })
}

/// The epochs of a marker. In transactions v2 the coordinator raises the producer's epoch before it writes the marker,
/// so that a marker which does not lie above what was seen belongs to an older transaction (KIP-1228), unless it
/// repeats the one that ended the last transaction (KAFKA-19999).
fn check_marker(
    id: ProducerId,
    producer: &Producer,
    epoch: i16,
    coordinator_epoch: i32,
    version: TransactionVersion,
) -> Result<(), AppendError> {
    let is_repeated = epoch == producer.epoch && producer.open_transaction.is_none();
    let is_late = match version {
        TransactionVersion::V1 => epoch < producer.epoch,
        TransactionVersion::V2 => epoch <= producer.epoch && !is_repeated,
    };
    if is_late {
        return Err(AppendError::ProducerFenced {
            producer: id,
            epoch,
            current: producer.epoch,
        });
    }
    if coordinator_epoch < producer.coordinator_epoch {
        return Err(AppendError::CoordinatorFenced {
            producer: id,
            epoch: coordinator_epoch,
            current: producer.coordinator_epoch,
        });
    }
    Ok(())
}

/// Whether the sequence follows (`ProducerAppendInfo.checkSequence`).
fn check_sequence(
    id: ProducerId,
    producer: Option<&Producer>,
    header: &BatchHeader,
    verifications: &Verifications,
) -> Result<(), AppendError> {
    let sequence = header.base_sequence;
    let out_of_order = |expected| AppendError::OutOfOrderSequence {
        producer: id,
        sequence,
        expected,
    };
    if let Some(verification) = verifications.of(header.producer_id) {
        let is_unknown = producer.is_none_or(|producer| producer.batches.is_empty());
        if verification.has_own_epochs && is_unknown && sequence != 0 {
            return Err(out_of_order(0));
        }
        if sequence > verification.lowest_sequence {
            return Err(out_of_order(verification.lowest_sequence));
        }
    }
    let Some(producer) = producer else {
        // Nothing is known (any more): any sequence is accepted.
        return Ok(());
    };
    let last = producer.batches.last().map(|batch| batch.last_sequence);
    let expected = match last {
        Some(i32::MAX) => 0,
        Some(last) if header.producer_epoch == producer.epoch => last + 1,
        // A new epoch, or one that only a marker announced: it begins at 0.
        _ => 0,
    };
    if sequence == expected {
        return Ok(());
    }
    Err(out_of_order(expected))
}
