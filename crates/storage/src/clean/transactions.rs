//! [`CleanedTransactions`]: which batches of a walk over the log belong to aborted transactions, and which markers are
//! still needed.
//!
//! Invariant: a marker may go only if the walk saw no batch of its transaction; an aborted transaction stays known to
//! readers exactly as long as one of its batches is left. Source: Kafka's `CleanedTransactionMetadata`.

use std::collections::{HashMap, HashSet};

use types::Offset;

use crate::transactions::AbortedTransaction;

/// What the marker of a control batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkerKind {
    Abort,
    Commit,
    /// None of a transaction, or of a kind that is not known.
    Other,
    /// The batch was emptied by an earlier cleaning.
    Emptied,
}

/// An aborted transaction that the walk is in.
#[derive(Debug)]
struct Ongoing {
    transaction: AbortedTransaction,
    has_batches: bool,
}

/// The transactions of a log while it is walked over from front to back.
#[derive(Debug, Default)]
pub(crate) struct CleanedTransactions {
    /// By first offset, the next one last.
    ahead: Vec<AbortedTransaction>,
    aborted: HashMap<i64, Ongoing>,
    committed: HashSet<i64>,
    /// Those whose markers were passed and of which batches were seen.
    retained: Vec<AbortedTransaction>,
}

impl CleanedTransactions {
    /// For a walk over a log with these aborted transactions.
    pub(crate) fn new(aborted: impl IntoIterator<Item = AbortedTransaction>) -> Self {
        let mut ahead: Vec<_> = aborted.into_iter().collect();
        ahead.sort_unstable_by_key(|transaction| std::cmp::Reverse(transaction.first));
        Self {
            ahead,
            ..Self::default()
        }
    }

    /// A control batch of `producer` that ends at `last`. Whether it can be done without.
    pub(crate) fn pass_marker(&mut self, producer: i64, last: Offset, kind: MarkerKind) -> bool {
        self.advance(last);
        match kind {
            MarkerKind::Abort => match self.aborted.remove(&producer) {
                Some(ongoing) if ongoing.has_batches => {
                    self.retained.push(ongoing.transaction);
                    false
                }
                _ => true,
            },
            MarkerKind::Commit => !self.committed.remove(&producer),
            MarkerKind::Other => false,
            MarkerKind::Emptied => true,
        }
    }

    /// A batch of records that ends at `last`. Whether its transaction was aborted.
    pub(crate) fn pass_batch(
        &mut self,
        producer: i64,
        is_transactional: bool,
        last: Offset,
    ) -> bool {
        self.advance(last);
        if !is_transactional {
            return false;
        }
        match self.aborted.get_mut(&producer) {
            Some(ongoing) => {
                ongoing.has_batches = true;
                true
            }
            None => {
                self.committed.insert(producer);
                false
            }
        }
    }

    /// The aborted transactions that ended since the last call and whose batches are not all gone.
    pub(crate) fn take_retained(&mut self) -> Vec<AbortedTransaction> {
        std::mem::take(&mut self.retained)
    }

    fn advance(&mut self, to: Offset) {
        while let Some(transaction) = self.ahead.pop_if(|next| next.first <= to) {
            self.aborted
                .entry(transaction.producer.value())
                .or_insert(Ongoing {
                    transaction,
                    has_batches: false,
                });
        }
    }
}

#[cfg(test)]
mod tests {
    use types::ProducerId;

    use super::*;

    fn at(value: i64) -> Offset {
        Offset::new(value).unwrap()
    }

    fn aborted(producer: i64, first: i64, last: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer: ProducerId::new(producer).unwrap(),
            first: at(first),
            last: at(last),
        }
    }

    #[test]
    fn markers_stay_while_batches_of_their_transaction_are_seen() {
        let mut walk = CleanedTransactions::new([aborted(1, 0, 5), aborted(1, 20, 25)]);
        assert!(walk.pass_batch(1, true, at(3)));
        assert!(!walk.pass_batch(2, true, at(4)));
        assert!(!walk.pass_marker(1, at(5), MarkerKind::Abort));
        assert!(!walk.pass_marker(2, at(6), MarkerKind::Commit));
        assert!(
            !walk.pass_batch(1, true, at(8)),
            "between its two aborted ones"
        );
        assert!(!walk.pass_marker(1, at(9), MarkerKind::Commit));
        assert!(
            walk.pass_marker(1, at(25), MarkerKind::Abort),
            "no batch is left of the second"
        );
        assert!(walk.pass_marker(3, at(26), MarkerKind::Commit));
        assert!(!walk.pass_marker(3, at(27), MarkerKind::Other));
        assert!(walk.pass_marker(3, at(28), MarkerKind::Emptied));
        assert_eq!(walk.take_retained(), [aborted(1, 0, 5)]);
        assert_eq!(walk.take_retained(), []);
    }

    #[test]
    fn batches_outside_of_transactions_are_not_theirs() {
        let mut walk = CleanedTransactions::new([aborted(1, 0, 5)]);
        assert!(!walk.pass_batch(1, false, at(3)));
        assert!(walk.pass_marker(1, at(5), MarkerKind::Abort));
    }
}
