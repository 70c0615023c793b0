//! One incremental fetch session (KIP-227): what its consumer reads and what it was told last.
//!
//! Invariant: a partition is answered in an incremental fetch only if something about it differs from what the session
//! was told (`FetchSession.CachedPartition.maybeUpdateResponseData`), and answered partitions move behind the others, so
//! that a small response limit cannot starve any.

use std::sync::Arc;

use hashbrown::HashSet;
use indexmap::IndexMap;
use protocol::Uuid;
use types::Instant;

/// How a session names its topics; one way for its whole life.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SessionTopic {
    /// Up to version 12. Shared, because a request may name one topic for each of many partitions.
    Name(Arc<str>),
    /// From version 13.
    Id(Uuid),
}

/// A partition in a session.
pub(super) type Key = (SessionTopic, i32);

/// What a session knows of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionState {
    /// From where to read; -1 and others below zero are answered with an error.
    pub(crate) fetch_offset: i64,
    /// At most this many bytes, except for the first batch.
    pub(crate) max_bytes: i32,
    /// The leader epoch the consumer knows, or -1.
    pub(crate) current_leader_epoch: i32,
    /// The epoch of the last record the consumer has, or -1.
    pub(crate) last_fetched_epoch: i32,
    /// What was told last.
    told: Told,
}

/// What the consumer was told of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    high_watermark: i64,
    log_start_offset: i64,
}

/// Nothing was told: differs from every real answer.
const NOTHING: Told = Told {
    high_watermark: -1,
    log_start_offset: -1,
};

impl PartitionState {
    pub(crate) fn new(
        fetch_offset: i64,
        max_bytes: i32,
        current_leader_epoch: i32,
        last_fetched_epoch: i32,
    ) -> Self {
        Self {
            fetch_offset,
            max_bytes,
            current_leader_epoch,
            last_fetched_epoch,
            told: NOTHING,
        }
    }

    /// Takes over what a request says, keeping what was told.
    fn update(&mut self, requested: &Self) {
        let told = self.told;
        *self = requested.clone();
        self.told = told;
    }
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    /// The epoch its next request must carry.
    pub(super) next_epoch: i32,
    /// Whether topics are named by id.
    pub(super) by_id: bool,
    /// When it was used last.
    pub(super) used: Instant,
    partitions: IndexMap<Key, PartitionState>,
}

impl Session {
    pub(super) fn new(by_id: bool, partitions: &[(Key, PartitionState)], now: Instant) -> Self {
        let partitions = partitions.iter().cloned().collect();
        Self {
            next_epoch: 1,
            by_id,
            used: now,
            partitions,
        }
    }

    pub(super) fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// Applies an incremental request: changes, additions, removals. Returns all partitions of the session in order.
    pub(super) fn apply(
        &mut self,
        changed: &[(Key, PartitionState)],
        forgotten: &[Key],
    ) -> Vec<(Key, PartitionState)> {
        for (key, requested) in changed {
            match self.partitions.get_mut(key) {
                Some(state) => state.update(requested),
                None => drop(self.partitions.insert(key.clone(), requested.clone())),
            }
        }
        if !forgotten.is_empty() {
            let forgotten: HashSet<_> = forgotten.iter().collect();
            self.partitions.retain(|key, _| !forgotten.contains(key));
        }
        self.partitions
            .iter()
            .map(|(key, state)| (key.clone(), state.clone()))
            .collect()
    }

    /// Which of these answers tell the consumer something new; remembers that they were told. Those with news move behind
    /// the others, in one pass.
    pub(super) fn tell(&mut self, answers: &[(Key, Answer)]) -> Vec<bool> {
        let mut moved = HashSet::new();
        let tell = |(key, answer): &(Key, Answer)| {
            let Some((index, _, state)) = self.partitions.get_full_mut(key) else {
                return true;
            };
            let now = Told {
                high_watermark: answer.high_watermark,
                log_start_offset: answer.log_start_offset,
            };
            let differs = state.told != now;
            state.told = now;
            if answer.has_news {
                moved.insert(index);
            }
            differs || answer.has_news
        };
        let told = answers.iter().map(tell).collect();
        self.move_behind(&moved);
        told
    }

    fn move_behind(&mut self, moved: &HashSet<usize>) {
        if moved.is_empty() || moved.len() == self.partitions.len() {
            return;
        }
        let all = std::mem::take(&mut self.partitions);
        let (last, first): (Vec<_>, Vec<_>) = all
            .into_iter()
            .enumerate()
            .partition(|(index, _)| moved.contains(index));
        self.partitions = first
            .into_iter()
            .chain(last)
            .map(|(_, entry)| entry)
            .collect();
    }

    /// Whether nothing is left to read.
    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }
}

/// What an answer for a partition says, as far as sessions care.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// The high watermark.
    pub(crate) high_watermark: i64,
    /// The log start offset.
    pub(crate) log_start_offset: i64,
    /// It has records, an error or a diverging epoch.
    pub(crate) has_news: bool,
}

/// The epoch after `epoch`: from the largest back to 1, since 0 opens a session (`FetchMetadata.nextEpoch`).
pub(super) fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).filter(|next| *next > 0).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> Key {
        (SessionTopic::Name("t".into()), partition)
    }

    fn state(offset: i64) -> PartitionState {
        PartitionState::new(offset, 1000, -1, -1)
    }

    fn order(session: &mut Session) -> Vec<i32> {
        session
            .apply(&[], &[])
            .into_iter()
            .map(|((_, partition), _)| partition)
            .collect()
    }

    /// Tells one answer for partition 0.
    fn tell(
        session: &mut Session,
        high_watermark: i64,
        log_start_offset: i64,
        has_news: bool,
    ) -> bool {
        session.tell(&[(
            key(0),
            Answer {
                high_watermark,
                log_start_offset,
                has_news,
            },
        )])[0]
    }

    #[test]
    fn only_news_is_told_twice() {
        let mut session = Session::new(false, &[(key(0), state(0))], Instant::default());
        assert!(tell(&mut session, 5, 0, false));
        assert!(!tell(&mut session, 5, 0, false));
        assert!(tell(&mut session, 6, 0, false));
        assert!(tell(&mut session, 6, 1, false));
        assert!(tell(&mut session, 6, 1, true));
    }

    #[test]
    fn a_new_fetch_offset_does_not_repeat_what_was_told() {
        let mut session = Session::new(false, &[(key(0), state(0))], Instant::default());
        tell(&mut session, 5, 0, false);
        session.apply(&[(key(0), state(5))], &[]);
        assert!(!tell(&mut session, 5, 0, false));
    }

    #[test]
    fn answered_partitions_go_behind_the_others() {
        let all = [(key(0), state(0)), (key(1), state(0)), (key(2), state(0))];
        let mut session = Session::new(false, &all, Instant::default());
        tell(&mut session, 1, 0, true);
        assert_eq!(order(&mut session), [1, 2, 0]);
    }

    #[test]
    fn forgotten_partitions_are_gone() {
        let all = [(key(0), state(0)), (key(1), state(0))];
        let mut session = Session::new(false, &all, Instant::default());
        session.apply(&[(key(2), state(0))], &[key(0)]);
        assert_eq!(order(&mut session), [1, 2]);
    }

    #[test]
    fn epochs_wrap_to_one() {
        assert_eq!(next_epoch(i32::MAX), 1);
        assert_eq!(next_epoch(1), 2);
    }
}
