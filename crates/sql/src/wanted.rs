//! [`Wanted`]: which of the offsets that pass by in ascending order a stream is to show.

use std::collections::VecDeque;
use std::ops::Range;

/// Ranges of offsets, of which those that were passed are forgotten.
#[derive(Debug)]
pub(crate) struct Wanted(VecDeque<Range<i64>>);

impl Wanted {
    /// `ranges` are not empty and in ascending order.
    pub(crate) fn new(ranges: Vec<Range<i64>>) -> Self {
        Self(ranges.into())
    }

    /// What is still wanted.
    pub(crate) fn into_ranges(self) -> Vec<Range<i64>> {
        self.0.into()
    }

    /// The first offset that is still wanted; `None` once all were passed.
    pub(crate) fn next(&self) -> Option<i64> {
        self.0.front().map(|range| range.start)
    }

    /// How many offsets are still wanted.
    pub(crate) fn remaining(&self) -> u64 {
        self.0
            .iter()
            .map(|range| range.end.saturating_sub(range.start).max(0).unsigned_abs())
            .fold(0, u64::saturating_add)
    }

    /// Forgets what lies below `offset`.
    pub(crate) fn pass(&mut self, offset: i64) {
        while let Some(range) = self.0.front_mut() {
            if range.end > offset {
                range.start = range.start.max(offset);
                return;
            }
            self.0.pop_front();
        }
    }

    /// Whether `offset` is wanted, and those below it no more.
    pub(crate) fn take(&mut self, offset: i64) -> bool {
        self.pass(offset);
        self.next() == Some(offset)
    }

    /// The next run of wanted offsets up to `last`, at most `count` of them, which are wanted no more afterwards.
    pub(crate) fn take_run(&mut self, last: i64, count: u64) -> Option<Range<i64>> {
        let range = self.0.front()?;
        let end = range
            .end
            .min(last.saturating_add(1))
            .min(range.start.saturating_add_unsigned(count));
        let run = range.start..end;
        if run.is_empty() {
            return None;
        }
        self.pass(end);
        Some(run)
    }

    /// Whether any of the offsets up to `last` is wanted.
    pub(crate) fn reaches(&self, last: i64) -> bool {
        self.next().is_some_and(|next| next <= last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_wanted_once_and_in_order() {
        let mut wanted = Wanted::new(vec![3..5, 8..10, 20..21]);
        assert_eq!(wanted.next(), Some(3));
        assert_eq!(wanted.remaining(), 5);
        assert!(!wanted.reaches(2));
        assert!(wanted.reaches(3));
        assert!(!wanted.take(1));
        assert!(wanted.take(3));
        assert!(!wanted.take(6));
        assert_eq!(wanted.next(), Some(8));
        assert_eq!(wanted.take_run(100, 1), Some(8..9));
        assert_eq!(wanted.take_run(8, 7), None);
        assert_eq!(wanted.take_run(9, 7), Some(9..10));
        wanted.pass(20);
        assert!(wanted.take(20));
        wanted.pass(21);
        assert_eq!(wanted.next(), None);
        assert!(!wanted.take(22));
    }
}
