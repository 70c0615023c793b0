//! The batches that a log appended last: where they lie, and for small ones that somebody waits for their bytes, so that
//! a fetch at the end of a log neither looks for its place in the file nor sends from it.
//!
//! Invariant: what is kept equals what was written at that position; all logs together keep at most a budget of bytes,
//! each at most [`TAIL_BATCHES_MAX`] batches. Keeping copies, not slices: a slice would hold its whole receive buffer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use crate::segment::Segment;

/// Batches remembered per log.
const TAIL_BATCHES_MAX: usize = 64;
/// Larger batches are not copied: sending them from the file costs less than the copy (docs/performance.md, S1).
pub(crate) const KEPT_BATCH_BYTES_MAX: usize = 4096;
/// More than this is sent from the file.
pub(crate) const MEMORY_READ_BYTES_MAX: u32 = 64 * 1024;

/// The batches that were appended last to one segment, in order.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    batches: VecDeque<TailBatch>,
}

#[derive(Debug)]
struct TailBatch {
    /// Base offset relative to the segment's.
    base: u32,
    position: u32,
    kept: Option<Kept>,
}

/// The bytes of a batch, counted while they are kept.
#[derive(Debug)]
pub(crate) struct Kept {
    bytes: Bytes,
    used: Arc<AtomicUsize>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

impl Tail {
    pub(crate) fn push(&mut self, base: u32, position: u32, kept: Option<Kept>) {
        if self.batches.len() == TAIL_BATCHES_MAX {
            self.batches.pop_front();
        }
        self.batches.push_back(TailBatch {
            base,
            position,
            kept,
        });
    }

    /// Where the batch begins that contains the relative offset.
    pub(crate) fn position_of(&self, offset: u32) -> Option<u32> {
        let count = self.batches.partition_point(|batch| batch.base <= offset);
        let batch = self.batches.get(count.checked_sub(1)?)?;
        Some(batch.position)
    }

    /// Where the last batch begins that begins in `(after, limit]`.
    pub(crate) fn boundary(&self, after: u32, limit: u32) -> Option<u32> {
        let count = self
            .batches
            .partition_point(|batch| batch.position <= limit);
        let batch = self.batches.get(count.checked_sub(1)?)?;
        (batch.position > after).then_some(batch.position)
    }

    /// The bytes of `start..stop`, if all of them are kept.
    pub(crate) fn bytes(&self, start: u32, stop: u32) -> Option<Bytes> {
        let first = self.batches.partition_point(|batch| batch.position < start);
        let mut parts = self.batches.iter().skip(first).map(|batch| {
            let kept = batch.kept.as_ref()?;
            Some((batch.position, &kept.bytes))
        });
        let (position, bytes) = parts.next()??;
        let end = |position: u32, bytes: &Bytes| u64::from(position) + bytes.len() as u64;
        if position != start {
            return None;
        }
        if end(position, bytes) == u64::from(stop) {
            return Some(bytes.clone());
        }
        let mut all = BytesMut::with_capacity((stop - start) as usize);
        all.extend_from_slice(bytes);
        for part in parts {
            let (position, bytes) = part?;
            if end(position, bytes) > u64::from(stop) {
                return None;
            }
            all.extend_from_slice(bytes);
            if end(position, bytes) == u64::from(stop) {
                return Some(all.freeze());
            }
        }
        None
    }

    /// Gives the bytes back, not the places.
    pub(crate) fn forget_bytes(&mut self) {
        for batch in &mut self.batches {
            batch.kept = None;
        }
    }
}

/// How many bytes all tails keep together.
#[derive(Debug)]
pub(crate) struct TailBudget {
    limit: usize,
    used: Arc<AtomicUsize>,
    /// Segments that keep bytes, those that began longest ago first.
    keepers: Mutex<VecDeque<Weak<Segment>>>,
}

impl TailBudget {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: Arc::default(),
            keepers: Mutex::default(),
        }
    }

    /// Counts `bytes` for `segment`, at the expense of other segments if need be.
    pub(crate) fn keep(&self, segment: &Arc<Segment>, bytes: Bytes) -> Option<Kept> {
        let used = self.used.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        let kept = Kept {
            bytes,
            used: Arc::clone(&self.used),
        };
        let is_new = segment.begin_keeping();
        if !is_new && used <= self.limit {
            return Some(kept);
        }
        let mut keepers = self.keepers.lock();
        if is_new {
            keepers.push_back(Arc::downgrade(segment));
        }
        while self.used.load(Ordering::Relaxed) > self.limit {
            let Some(oldest) = keepers.pop_front() else {
                // Others are about to count theirs.
                return None;
            };
            if let Some(oldest) = oldest.upgrade() {
                oldest.stop_keeping();
            }
        }
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use protocol::records::{BatchBuilder, BatchOptions};
    use types::Offset;

    use super::*;
    use crate::batch_header::BatchHeader;

    fn kept(budget: &TailBudget, segment: &Arc<Segment>, length: usize) -> Option<Kept> {
        budget.keep(segment, Bytes::from(vec![1; length]))
    }

    fn tail(count: u32, bytes: Option<usize>) -> (TailBudget, Tail) {
        let budget = TailBudget::new(1 << 20);
        let segment = Segment::create(Offset::ZERO, 0);
        let mut tail = Tail::default();
        for number in 0..count {
            let kept = bytes.and_then(|bytes| kept(&budget, &segment, bytes));
            tail.push(number * 3, number * 50, kept);
        }
        (budget, tail)
    }

    #[test]
    fn recent_batches_are_found_by_any_of_their_offsets() {
        assert_eq!(Tail::default().position_of(0), None);
        let (_budget, tail) = tail(100, None);
        assert_eq!(tail.position_of(107), None, "too long ago");
        assert_eq!(tail.position_of(108), Some(36 * 50));
        assert_eq!(tail.position_of(110), Some(36 * 50));
        assert_eq!(tail.position_of(500), Some(99 * 50));
        assert_eq!(tail.boundary(36 * 50, 36 * 50 + 49), None);
        assert_eq!(tail.boundary(36 * 50, 37 * 50), Some(37 * 50));
        assert_eq!(tail.boundary(0, 10), None);
    }

    #[test]
    fn bytes_come_back_for_runs_of_whole_batches() {
        let (_budget, mut tail) = tail(10, Some(50));
        assert_eq!(tail.bytes(0, 50).map(|bytes| bytes.len()), Some(50));
        assert_eq!(tail.bytes(100, 500).map(|bytes| bytes.len()), Some(400));
        for (start, stop) in [(10, 50), (0, 40), (0, 60), (450, 550), (500, 550)] {
            assert_eq!(tail.bytes(start, stop), None, "{start}..{stop}");
        }
        tail.push(30, 500, None);
        assert_eq!(tail.bytes(450, 600), None);
        tail.forget_bytes();
        assert_eq!(tail.bytes(0, 50), None);
        assert_eq!(tail.position_of(3), Some(50));
    }

    #[test]
    fn all_that_is_kept_is_counted_and_given_back() {
        let (budget, tail) = tail(100, Some(50));
        let used = || budget.used.load(Ordering::Relaxed);
        assert_eq!(used(), TAIL_BATCHES_MAX * 50);
        drop(tail);
        assert_eq!(used(), 0);
    }

    #[test]
    fn beyond_the_budget_the_oldest_keeper_gives_way() {
        let budget = TailBudget::new(200);
        let segments: Vec<_> = (0..3).map(|_| Segment::create(Offset::ZERO, 0)).collect();
        let batch = BatchBuilder::new(BatchOptions::default()).build().unwrap();
        let header = BatchHeader::parse(&batch).unwrap();
        for segment in &segments {
            let kept = kept(&budget, segment, 90).unwrap();
            segment.add(&header, Some(kept), 1000, 0);
        }
        assert!(segments[0].recent_bytes(0, 90).is_none());
        assert!(segments[2].recent_bytes(0, 90).is_some());
        assert!(budget.used.load(Ordering::Relaxed) <= 200);
    }
}
