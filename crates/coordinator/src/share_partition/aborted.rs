//! Records of aborted transactions: a `read_committed` group never gets them, so they are archived as they are met.
//!
//! Invariant: records that were archived here and lie at the start are in flight no more, so that a transaction may be
//! larger than what may be in flight. Nobody is told: a partition that is loaded again meets them again in the log. Kafka
//! leaves them in flight until somebody acknowledges a record, which stalls such a group for good.

use std::collections::BTreeSet;

use types::ProducerId;

use super::acquire::{Acquired, AcquiredRecords, FetchedBatch};
use super::partition::SharePartition;
use super::record_state::RecordState;

/// A transaction that was aborted, as reading with `read_committed` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose.
    pub producer: ProducerId,
    /// Where its first record lies.
    pub first_offset: i64,
}

impl SharePartition {
    /// Archives records of aborted transactions among those just acquired, and takes them off the answer
    /// (`filterAbortedTransactionalAcquiredRecords`).
    pub(super) fn without_aborted(
        &mut self,
        acquired: Acquired,
        fetched: &[FetchedBatch],
        aborted: &[AbortedTransaction],
    ) -> Acquired {
        if aborted.is_empty() || acquired.ranges.is_empty() {
            return acquired;
        }
        let mut ranges = acquired.ranges;
        let mut archived_count = 0;
        for batch in aborted_batches(fetched, aborted) {
            let end = batch.last_offset.saturating_add(1);
            // Only what this call acquired: what another member has was filtered when it got it.
            let cut = ranges.iter().filter_map(|range| {
                let first = range.first.max(batch.base_offset);
                let last = range.last.min(batch.last_offset);
                (first <= last).then_some((first, last))
            });
            let cut: Vec<_> = cut.collect();
            for (first, last) in cut {
                let archived = self.archive(first, last + 1, RecordState::Acquired);
                self.delivery_complete += archived;
                archived_count += archived;
            }
            ranges = ranges
                .into_iter()
                .flat_map(|range| without(range, batch.base_offset, end))
                .collect();
        }
        let count = ranges
            .iter()
            .map(|range| range.last - range.first + 1)
            .sum();
        Acquired {
            ranges,
            count,
            archived: archived_count,
        }
    }
}

/// What is left of a range on both sides of a hole.
fn without(
    range: AcquiredRecords,
    hole: i64,
    hole_end: i64,
) -> impl Iterator<Item = AcquiredRecords> {
    let before = AcquiredRecords {
        last: range.last.min(hole - 1),
        ..range
    };
    let after = AcquiredRecords {
        first: range.first.max(hole_end),
        ..range
    };
    [before, after]
        .into_iter()
        .filter(|part| part.first <= part.last)
}

/// Batches of aborted transactions (`fetchAbortedTransactionRecordBatches`).
fn aborted_batches(fetched: &[FetchedBatch], aborted: &[AbortedTransaction]) -> Vec<FetchedBatch> {
    let mut upcoming: Vec<&AbortedTransaction> = aborted.iter().collect();
    upcoming.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
    let mut open = BTreeSet::new();
    let mut found = Vec::new();
    for batch in fetched {
        let Some(producer) = batch.producer else {
            continue;
        };
        while let Some(transaction) =
            upcoming.pop_if(|transaction| transaction.first_offset <= batch.last_offset)
        {
            open.insert(transaction.producer);
        }
        if batch.abort_marker {
            open.remove(&producer);
        } else if batch.transactional && open.contains(&producer) {
            found.push(*batch);
        }
    }
    found
}
