//! How many groups and transactions the coordinators have, for who watches the broker.
//!
//! Counted shard after shard when somebody asks; what the coordinators do meanwhile goes on between two shards.

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator::{GroupType, Transaction, TransactionState};
use metadata::InternalTopic;
use types::Timestamp;

use super::{GroupCoordinator, ShareCoordinator, TransactionCoordinator};

/// All coordinators at one moment.
#[derive(Clone, Debug, Default)]
pub struct CoordinatorFigures {
    /// Shards, by the topic they keep their state in and where they stand: `serving`, `loading`, `unloaded`, `stopped`.
    pub shards: BTreeMap<(&'static str, &'static str), usize>,
    /// Groups, by type and state.
    pub groups: BTreeMap<(&'static str, &'static str), usize>,
    /// Transactional ids, by the state of their transaction.
    pub transactions: BTreeMap<&'static str, usize>,
    /// How long the transaction is open that is open longest.
    pub oldest_transaction: Option<Duration>,
}

impl CoordinatorFigures {
    fn shards_of(&mut self, topic: InternalTopic, phases: BTreeMap<&'static str, usize>) {
        let phases = phases.into_iter();
        self.shards
            .extend(phases.map(|(phase, count)| ((topic.name(), phase), count)));
    }

    fn group(&mut self, (kind, state): (GroupType, &'static str)) {
        *self.groups.entry((kind.name(), state)).or_default() += 1;
    }

    fn transaction(&mut self, transaction: &Transaction, now: Timestamp) {
        let state = transaction.state;
        *self.transactions.entry(state.name()).or_default() += 1;
        let is_open = matches!(
            state,
            TransactionState::Ongoing
                | TransactionState::PrepareCommit
                | TransactionState::PrepareAbort
        );
        if let Some(started) = transaction.started.filter(|_| is_open) {
            // A clock that was set back makes it look younger, never older than it is.
            let ms = now.ms().saturating_sub(started.ms());
            let age = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
            self.oldest_transaction = self.oldest_transaction.max(Some(age));
        }
    }
}

/// Counts everything.
pub(crate) fn figures(
    groups: &GroupCoordinator,
    transactions: &TransactionCoordinator,
    shares: &ShareCoordinator,
    now: Timestamp,
) -> CoordinatorFigures {
    let mut figures = CoordinatorFigures::default();
    let phases = groups.look(|shard| shard.states().for_each(|group| figures.group(group)));
    figures.shards_of(InternalTopic::ConsumerOffsets, phases);
    let phases = transactions.look(|shard| {
        let all = shard.transactions();
        all.for_each(|transaction| figures.transaction(transaction, now));
    });
    figures.shards_of(InternalTopic::TransactionState, phases);
    figures.shards_of(InternalTopic::ShareGroupState, shares.look());
    figures
}
