//! The transactions of a partition: which are open, which were aborted.
//!
//! Invariant: the last stable offset is the first offset of the oldest transaction that is open or whose marker is not
//! yet below the high watermark. Source: Kafka's `ProducerStateManager` (ongoing and unreplicated transactions) and
//! `TransactionIndex`.

use std::collections::BTreeMap;

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
}

impl Transactions {
    pub(crate) fn from_parts(
        undecided: impl IntoIterator<Item = (Offset, Undecided)>,
        aborted: Vec<AbortedTransaction>,
    ) -> Self {
        Self {
            undecided: undecided.into_iter().collect(),
            aborted,
        }
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
                    self.aborted.push(AbortedTransaction {
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

    /// Where the oldest undecided transaction begins.
    pub(crate) fn first_undecided(&self) -> Option<Mark> {
        let (_, undecided) = self.undecided.first_key_value()?;
        Some(undecided.start)
    }

    /// Aborted transactions with records in `from..end`, as producer and first offset.
    pub(crate) fn aborted_in(&self, from: Offset, end: Offset) -> Vec<(ProducerId, Offset)> {
        let first = self.aborted.partition_point(|aborted| aborted.last < from);
        self.aborted
            .get(first..)
            .unwrap_or_default()
            .iter()
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
