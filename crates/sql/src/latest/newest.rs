//! [`Newest`]: the offsets of the newest records, partition by partition, and which of a piece of a scan are among them.
//!
//! Invariant: what offsets take in memory was reserved before.

use std::collections::BTreeMap;
use std::ops::Range;

use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;

use crate::pieces::Piece;

const OFFSET_BYTES: usize = size_of::<i64>();
/// What a partition has room for at first.
const OFFSETS_MIN: usize = 64;

/// Offsets that are still being found, in no order.
#[derive(Debug)]
pub(super) struct Finding {
    offsets: BTreeMap<i32, Vec<i64>>,
    memory: MemoryReservation,
}

impl Finding {
    pub(super) fn new(memory: MemoryReservation) -> Self {
        Self {
            offsets: BTreeMap::new(),
            memory,
        }
    }

    pub(super) fn add(&mut self, partition: i32, offset: i64) -> Result<()> {
        let offsets = self.offsets.entry(partition).or_default();
        if offsets.len() == offsets.capacity() {
            let more = offsets.capacity().max(OFFSETS_MIN);
            self.memory.try_grow(more * OFFSET_BYTES)?;
            offsets.reserve_exact(more);
        }
        offsets.push(offset);
        Ok(())
    }

    /// They are all there. Takes a while if they are many.
    pub(super) fn done(mut self) -> Newest {
        for offsets in self.offsets.values_mut() {
            offsets.sort_unstable();
        }
        Newest {
            offsets: self.offsets,
            _memory: self.memory,
        }
    }
}

/// The offsets of the newest records.
#[derive(Debug)]
pub(super) struct Newest {
    /// In ascending order.
    offsets: BTreeMap<i32, Vec<i64>>,
    /// What they take.
    _memory: MemoryReservation,
}

impl Newest {
    /// The next of `piece`, which is of this partition, at most `ranges_max` ranges of them; what is left of it begins behind
    /// these. `None` if there are no more.
    pub(super) fn take(
        &self,
        partition: i32,
        piece: &mut Piece,
        ranges_max: usize,
    ) -> Option<Piece> {
        let offsets = self.offsets.get(&partition).map_or(&[][..], Vec::as_slice);
        let mut found: Vec<Range<i64>> = Vec::new();
        let mut passed = 0;
        'ranges: for range in &mut piece.ranges {
            let first = offsets.partition_point(|offset| *offset < range.start);
            for offset in offsets[first..].iter().copied() {
                if offset >= range.end {
                    break;
                }
                if let Some(last) = found.last_mut()
                    && last.end == offset
                {
                    last.end = offset + 1;
                } else if found.len() < ranges_max {
                    found.push(offset..offset + 1);
                } else {
                    range.start = offset;
                    break 'ranges;
                }
            }
            passed += 1;
        }
        piece.ranges.drain(..passed);
        (!found.is_empty()).then_some(Piece {
            partition: piece.partition,
            ranges: found,
            is_complete: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};
    use proptest::prelude::*;

    use super::*;

    fn finding(bytes_max: usize) -> Finding {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(bytes_max));
        Finding::new(MemoryConsumer::new("test").register(&pool))
    }

    #[test]
    fn offsets_that_do_not_fit_are_an_error() {
        let mut finding = finding(1024);
        let added = (0..1000).find(|offset| finding.add(0, *offset).is_err());
        assert_eq!(added, Some(128));
    }

    proptest! {
        #[test]
        fn a_piece_gives_the_newest_of_its_offsets_once_and_in_order(
            newest in proptest::collection::btree_set((0_i32..3, 0_i64..80), 0..60),
            lengths in proptest::collection::vec((0_i64..5, 1_i64..20), 1..8),
            partition in 0_i32..3,
            ranges_max in 1_usize..6,
        ) {
            let mut finding = finding(1 << 20);
            for (partition, offset) in newest.iter().rev() {
                finding.add(*partition, *offset).unwrap();
            }
            let found = finding.done();
            let mut at = 0;
            let ranges: Vec<_> = lengths
                .iter()
                .map(|(gap, length)| {
                    let start = at + gap;
                    at = start + length;
                    start..at
                })
                .collect();
            let expected: Vec<i64> = ranges
                .iter()
                .cloned()
                .flatten()
                .filter(|offset| newest.contains(&(partition, *offset)))
                .collect();
            let mut piece = Piece { partition: 7, ranges, is_complete: false };
            let mut taken: Vec<i64> = Vec::new();
            while let Some(next) = found.take(partition, &mut piece, ranges_max) {
                prop_assert_eq!(next.partition, 7);
                prop_assert!(next.ranges.len() <= ranges_max);
                taken.extend(next.ranges.into_iter().flatten());
            }
            prop_assert_eq!(taken, expected);
            prop_assert!(piece.ranges.is_empty());
        }
    }
}
