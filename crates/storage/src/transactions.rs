//! The transactions of a partition: which are open, which were aborted.
//!
//! Invariant: the last stable offset is the first offset of the oldest transaction that is open or whose marker is not
//! yet below the high watermark. Source: Kafka's `ProducerStateManager` (ongoing and unreplicated transactions) and
//! `TransactionIndex`.

use std::collections::BTreeMap;
use std::ops::Range;

use types::{Offset, ProducerId};

use crate::local_log::Mark;
use crate::producers::TransactionChange;

/// A transaction that ended in an abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AbortedTransaction {
    pub(crate) producer: ProducerId,
    pub(crate) first: Offset,
    /// The offset of the marker.
    pub(crate) last: Offset,
}

/// A transaction whose outcome readers may not rely on yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Undecided {
    /// Where its first batch lies.
    pub(crate) start: Mark,
    /// The offset of its marker, if there is one.
    pub(crate) marker: Option<Offset>,
}

/// The transactions of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transactions {
    /// By first offset.
    undecided: BTreeMap<Offset, Undecided>,
    /// In ascending order of `last`.
    aborted: Vec<AbortedTransaction>,
    /// The most offsets that one of them spans: a look-up for a range ends that far behind it. May be too large.
    span_max: u64,
}

impl Transactions {
    pub(crate) fn from_parts(
        undecided: impl IntoIterator<Item = (Offset, Undecided)>,
        aborted: Vec<AbortedTransaction>,
    ) -> Self {
        let mut all = Self {
            undecided: undecided.into_iter().collect(),
            aborted: Vec::with_capacity(aborted.len()),
            span_max: 0,
        };
        for transaction in aborted {
            all.push_aborted(transaction);
        }
        all
    }

    fn push_aborted(&mut self, transaction: AbortedTransaction) {
        let AbortedTransaction { first, last, .. } = transaction;
        self.span_max = self.span_max.max(last.since(first));
        self.aborted.push(transaction);
    }

    /// Goes on behind a gap as `snapshot` says; what was aborted before it is known from the log itself.
    pub(crate) fn resume(&mut self, snapshot: Self) {
        self.undecided = snapshot.undecided;
        let known = self.aborted.last().map(|aborted| aborted.last);
        for transaction in snapshot.aborted {
            if known.is_none_or(|known| transaction.last > known) {
                self.push_aborted(transaction);
            }
        }
    }

    /// What is left behind a place where the log does not say what happened: only what was aborted before.
    pub(crate) fn forget_undecided(&mut self) {
        self.undecided.clear();
    }

    /// All that began below `end` are decided.
    pub(crate) fn forget_undecided_below(&mut self, end: Offset) {
        self.undecided = self.undecided.split_off(&end);
    }

    /// Notes what the batch at `start` changed.
    pub(crate) fn note(&mut self, change: TransactionChange, start: Mark) {
        match change {
            TransactionChange::Began(first) => {
                let marker = None;
                self.undecided.insert(first, Undecided { start, marker });
            }
            TransactionChange::Ended {
                producer,
                first,
                last,
                aborted,
            } => {
                if let Some(undecided) = self.undecided.get_mut(&first) {
                    undecided.marker = Some(last);
                }
                if aborted {
                    self.push_aborted(AbortedTransaction {
                        producer,
                        first,
                        last,
                    });
                }
            }
        }
    }

    /// Markers below the high watermark settle their transactions.
    pub(crate) fn settle(&mut self, high_watermark: Offset) {
        self.undecided.retain(|_, undecided| {
            undecided
                .marker
                .is_none_or(|marker| marker >= high_watermark)
        });
    }

    /// Forgets what ended below the log start.
    pub(crate) fn truncate_start(&mut self, log_start: Offset) {
        self.aborted.retain(|aborted| aborted.last >= log_start);
    }

    /// Cleaning went through the markers in `range`: of the aborted transactions that ended there only those in `kept` have
    /// records left.
    pub(crate) fn keep_aborted(&mut self, range: Range<Offset>, kept: &[AbortedTransaction]) {
        self.aborted
            .retain(|aborted| !range.contains(&aborted.last) || kept.contains(aborted));
    }

    /// Below `end` the aborted transactions are those of `other`.
    pub(crate) fn replace_aborted_below(&mut self, end: Offset, other: &Self) {
        let above = self.aborted.iter().filter(|aborted| aborted.last >= end);
        let below = other.aborted.iter().filter(|aborted| aborted.last < end);
        let aborted = below.chain(above).copied().collect();
        *self = Self::from_parts(std::mem::take(&mut self.undecided), aborted);
    }

    /// Where the oldest undecided transaction begins.
    pub(crate) fn first_undecided(&self) -> Option<Mark> {
        let (_, undecided) = self.undecided.first_key_value()?;
        Some(undecided.start)
    }

    /// The first offset of the oldest transaction that has no marker.
    pub(crate) fn first_open(&self) -> Option<Offset> {
        let mut undecided = self.undecided.iter();
        let (first, _) = undecided.find(|(_, undecided)| undecided.marker.is_none())?;
        Some(*first)
    }

    /// Aborted transactions with records in `from..end`, as producer and first offset.
    pub(crate) fn aborted_in(&self, from: Offset, end: Offset) -> Vec<(ProducerId, Offset)> {
        let first = self.aborted.partition_point(|aborted| aborted.last < from);
        let behind = end.plus(self.span_max);
        self.aborted
            .get(first..)
            .unwrap_or_default()
            .iter()
            .take_while(|aborted| aborted.last < behind)
            .filter(|aborted| aborted.first < end)
            .map(|aborted| (aborted.producer, aborted.first))
            .collect()
    }

    pub(crate) fn undecided(&self) -> impl Iterator<Item = (&Offset, &Undecided)> {
        self.undecided.iter()
    }

    pub(crate) fn aborted(&self) -> &[AbortedTransaction] {
        &self.aborted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(value: i64) -> Offset {
        Offset::new(value).unwrap()
    }

    proptest! {
        #[test]
        fn every_aborted_transaction_that_overlaps_is_found(
            spans in proptest::collection::vec((1..30_i64, 1..9_i64), 0..40),
            from in 0..400_i64,
            length in 1..100_i64,
        ) {
            let mut last = 0;
            let aborted: Vec<_> = spans
                .iter()
                .map(|(span, step)| {
                    last += step;
                    AbortedTransaction {
                        producer: ProducerId::new(7).unwrap(),
                        first: at((last - span).max(0)),
                        last: at(last),
                    }
                })
                .collect();
            let transactions = Transactions::from_parts([], aborted.clone());
            let end = from + length;
            let expected: Vec<_> = aborted
                .iter()
                .filter(|aborted| aborted.last >= at(from) && aborted.first < at(end))
                .map(|aborted| (aborted.producer, aborted.first))
                .collect();
            prop_assert_eq!(transactions.aborted_in(at(from), at(end)), expected);
        }
    }
}
