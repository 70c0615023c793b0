//! What is known of the producers of a partition: idempotence, epochs, open transactions.
//!
//! Invariant: the table at an offset depends only on the batches below that offset (expiry aside), so it can be rebuilt
//! from any earlier state and the batches in between. Rules: Kafka's `ProducerAppendInfo`, `ProducerStateEntry`,
//! `ProducerStateManager`.

use std::collections::HashMap;

use types::{Offset, ProducerId, Sequence};

use crate::batch_header::BatchHeader;
use crate::{AppendError, AppendOrigin};

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

    pub(crate) fn insert(&mut self, id: i64, producer: Producer, now_ms: i64) {
        let seen_ms = now_ms;
        self.entries.insert(id, Entry { producer, seen_ms });
    }

    /// Whether a data batch of a producer may be appended.
    pub(crate) fn check(
        &self,
        header: &BatchHeader,
        origin: AppendOrigin,
    ) -> Result<Fit, AppendError> {
        let Some(id) = ProducerId::new(header.producer_id) else {
            return Ok(Fit::New);
        };
        let Some(Entry { producer, .. }) = self.entries.get(&header.producer_id) else {
            // Nothing is known (any more): any sequence is accepted.
            return Ok(Fit::New);
        };
        if origin == AppendOrigin::Client
            && header.producer_epoch == producer.epoch
            && let Some(batch) = find_duplicate(producer, header)
        {
            return Ok(Fit::Duplicate(batch));
        }
        if header.producer_epoch < producer.epoch {
            return Err(AppendError::ProducerFenced {
                producer: id,
                epoch: header.producer_epoch,
                current: producer.epoch,
            });
        }
        if header.is_control() {
            return Ok(Fit::New);
        }
        if origin == AppendOrigin::Client {
            check_sequence(id, producer, header)?;
        }
        if producer.open_transaction.is_some() && !header.is_transactional() {
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
        if header.is_control() {
            return None;
        }
        let first = Sequence::new(header.base_sequence).map_or(-1, |sequence| {
            sequence
                .plus(header.last_offset_delta.unsigned_abs())
                .value()
        });
        producer.remember(ProducedBatch {
            last_sequence: first,
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

fn check_sequence(
    id: ProducerId,
    producer: &Producer,
    header: &BatchHeader,
) -> Result<(), AppendError> {
    let sequence = header.base_sequence;
    let expected = if header.producer_epoch != producer.epoch {
        0
    } else {
        match producer.batches.last().map(|batch| batch.last_sequence) {
            Some(i32::MAX) => 0,
            Some(last) => last + 1,
            // An epoch that only a marker announced: it begins at 0.
            None => 0,
        }
    };
    if sequence == expected {
        return Ok(());
    }
    Err(AppendError::OutOfOrderSequence {
        producer: id,
        sequence,
        expected,
    })
}
