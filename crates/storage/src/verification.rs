//! What lies between "this producer wants to write here" and its first transactional batch: the question to the
//! transaction coordinator whether the partition belongs to the transaction (KIP-890).
//!
//! The log hands out a [`VerificationGuard`] before the coordinator is asked and wants it back with the batch. A
//! transaction that ends in between takes the guard away with its marker, so that an answer about an older transaction
//! lets nothing into the next one. Source: Kafka's `VerificationStateEntry`, `VerificationGuard` and
//! `UnifiedLog.maybeStartTransactionVerification`.
//!
//! Invariant: a guard is given out once per log, and opens the log for one producer until a transactional batch or
//! marker of that producer is appended. Nothing of it is written down: after a restart the coordinator is asked again.

use std::collections::HashMap;

use crate::batch_header::BatchHeader;

/// More producers than this do not wait for their first batch in one partition; beyond it the one that began longest
/// ago has to ask again. Entries are about a hundred bytes, and a broker has at most some thousand producers at work.
const WAITING_MAX: usize = 10_000;

/// Lets the first transactional batch of a producer into a log, after its transaction coordinator agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerificationGuard(u64);

/// A producer whose coordinator is being asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verification {
    guard: VerificationGuard,
    began_ms: i64,
    /// The lowest sequence seen in this epoch: higher ones wait for it, or the producer would run into a loop of
    /// OUT_OF_ORDER_SEQUENCE_NUMBER when the lower one is sent again.
    pub(crate) lowest_sequence: i32,
    epoch: i16,
    /// The producer speaks transactions v2, where each transaction has its own epoch and begins at sequence 0.
    pub(crate) has_own_epochs: bool,
}

/// All producers of a partition whose coordinators are being asked.
#[derive(Debug, Default)]
pub(crate) struct Verifications {
    waiting: HashMap<i64, Verification>,
    last_guard: u64,
}

impl Verifications {
    /// Begins to wait for `producer`, or goes on waiting, and gives its guard.
    pub(crate) fn begin(
        &mut self,
        producer: i64,
        epoch: i16,
        sequence: i32,
        has_own_epochs: bool,
        now_ms: i64,
    ) -> VerificationGuard {
        if let Some(known) = self.waiting.get_mut(&producer) {
            if epoch == known.epoch && sequence < known.lowest_sequence {
                known.lowest_sequence = sequence;
            }
            if epoch > known.epoch {
                known.epoch = epoch;
                known.lowest_sequence = sequence;
            }
            return known.guard;
        }
        if self.waiting.len() >= WAITING_MAX {
            let oldest = self.waiting.iter().min_by_key(|(_, entry)| entry.began_ms);
            if let Some(oldest) = oldest.map(|(producer, _)| *producer) {
                self.waiting.remove(&oldest);
            }
        }
        self.last_guard += 1;
        let guard = VerificationGuard(self.last_guard);
        let entry = Verification {
            guard,
            began_ms: now_ms,
            lowest_sequence: sequence,
            epoch,
            has_own_epochs,
        };
        self.waiting.insert(producer, entry);
        guard
    }

    /// The producer, if its coordinator is being asked.
    pub(crate) fn of(&self, producer: i64) -> Option<&Verification> {
        self.waiting.get(&producer)
    }

    /// Whether `guard` is the one that `producer` was given last.
    pub(crate) fn admits(&self, producer: i64, guard: Option<VerificationGuard>) -> bool {
        guard.is_some() && self.of(producer).map(|entry| entry.guard) == guard
    }

    /// A batch was appended: after a transactional one the open transaction speaks for its producer, after a marker
    /// there is none to speak for. Only when the next transaction has begun to ask already, in the epoch that a marker
    /// of transactions v2 announces, does the question stand.
    pub(crate) fn note_appended(&mut self, header: &BatchHeader) {
        if !header.is_transactional() || self.waiting.is_empty() {
            return;
        }
        let is_next = self.of(header.producer_id).is_some_and(|entry| {
            entry.has_own_epochs && header.is_control() && header.producer_epoch == entry.epoch
        });
        if !is_next {
            self.waiting.remove(&header.producer_id);
        }
    }

    /// Forgets producers that never came back.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.waiting
            .retain(|_, entry| now_ms.saturating_sub(entry.began_ms) < expiration_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_the_same_until_it_is_used_up_and_never_comes_again() {
        let mut verifications = Verifications::default();
        let first = verifications.begin(7, 0, 5, false, 0);
        assert_eq!(verifications.begin(7, 0, 3, false, 0), first);
        assert!(verifications.admits(7, Some(first)));
        assert!(!verifications.admits(8, Some(first)));
        assert!(!verifications.admits(7, None));
        assert!(!verifications.admits(8, None));
        verifications.expire(10, 10);
        assert_ne!(verifications.begin(7, 0, 3, false, 20), first);
        assert!(!verifications.admits(7, Some(first)));
    }

    #[test]
    fn the_lowest_sequence_belongs_to_the_latest_epoch() {
        let mut verifications = Verifications::default();
        let lowest = |verifications: &Verifications| verifications.of(7).unwrap().lowest_sequence;
        for (epoch, sequence, expected) in [(1, 5, 5), (1, 3, 3), (1, 9, 3), (2, 4, 4), (1, 0, 4)] {
            verifications.begin(7, epoch, sequence, false, 0);
            assert_eq!(lowest(&verifications), expected, "{epoch} {sequence}");
        }
    }

    #[test]
    fn only_so_many_producers_wait() {
        let mut verifications = Verifications::default();
        for producer in 0..10_005 {
            verifications.begin(producer, 0, 0, false, producer);
        }
        assert_eq!(verifications.waiting.len(), WAITING_MAX);
        assert!(verifications.of(4).is_none());
        assert!(verifications.of(5).is_some());
    }
}
