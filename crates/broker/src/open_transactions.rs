//! Transactions that hang: a partition's oldest open transaction that stays the same for longer than any may last.
//!
//! The transaction coordinator aborts what takes longer than its timeout. What is open for longer still is not known to it,
//! and holds back every reader with `read_committed` for ever (KIP-664; Kafka's `PartitionsWithLateTransactionsCount`).
//! Logs do not keep when a transaction began; it counts from when it was first seen here.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use types::{Instant, Offset, TopicId, TopicPartition};

/// Beyond the longest timeout, for a coordinator that looks only from time to time and has to write markers.
const GRACE: Duration = Duration::from_secs(5 * 60);

type Name = (TopicPartition, TopicId);

/// The oldest open transaction of each partition that has one, since when it is that.
#[derive(Debug, Default)]
pub(crate) struct OpenTransactions(Mutex<HashMap<Name, (Offset, Instant)>>);

impl OpenTransactions {
    /// In how many partitions the oldest open transaction, of which `open` tells the beginning, is late.
    pub(crate) fn late(&self, open: &[(Name, Offset)], longest_ms: i32, now: Instant) -> usize {
        let longest = Duration::from_millis(u64::try_from(longest_ms).unwrap_or(0));
        let mut known = self.0.lock();
        let since = |(name, first): &(Name, Offset)| match known.get(name) {
            Some((before, since)) if before == first => *since,
            _ => now,
        };
        let next: HashMap<_, _> = open
            .iter()
            .map(|entry| (entry.0.clone(), (entry.1, since(entry))))
            .collect();
        let is_late = |(_, since): &&(Offset, Instant)| now.since(*since) > longest + GRACE;
        let late = next.values().filter(is_late).count();
        *known = next;
        late
    }
}

#[cfg(test)]
mod tests {
    use types::{PartitionIndex, TopicName};

    use super::*;

    fn open(partition: i32, first: i64) -> (Name, Offset) {
        let partition = TopicPartition {
            topic: TopicName::new("t"),
            partition: PartitionIndex::new(partition).unwrap(),
        };
        (
            (partition, TopicId::new([7; 16]).unwrap()),
            Offset::new(first).unwrap(),
        )
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn a_transaction_is_late_when_it_is_the_oldest_for_longer_than_any_may_last() {
        let minute = 60_000;
        let all = OpenTransactions::default();
        assert_eq!(all.late(&[open(0, 5), open(1, 9)], minute, at(0)), 0);
        assert_eq!(all.late(&[open(0, 5), open(1, 9)], minute, at(360)), 0);
        // One partition went on: another transaction is its oldest now.
        assert_eq!(all.late(&[open(0, 5), open(1, 10)], minute, at(361)), 1);
        assert_eq!(all.late(&[open(1, 10)], minute, at(500)), 0);
        // What ended and comes back counts anew.
        assert_eq!(all.late(&[open(0, 5), open(1, 10)], minute, at(722)), 1);
        assert_eq!(all.late(&[], minute, at(10_000)), 0);
    }
}
