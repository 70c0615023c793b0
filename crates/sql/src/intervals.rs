//! [`Intervals`]: sets of 64-bit integers as ranges, which is what filters on partition, offset and time come down to.
//!
//! Invariant: the ranges are not empty, in ascending order, and neither overlap nor touch.

use std::fmt;
use std::ops::{Range, RangeInclusive};

/// A comparison of the value of a column (left) with a literal (right).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// The same with its sides exchanged.
    pub(crate) const fn flipped(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::NotEqual => Self::NotEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

/// A set of integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Intervals(Vec<RangeInclusive<i64>>);

impl Intervals {
    /// Every integer.
    pub(crate) fn all() -> Self {
        Self(vec![i64::MIN..=i64::MAX])
    }

    /// None.
    pub(crate) const fn none() -> Self {
        Self(Vec::new())
    }

    /// The integers from `first` to `last`, both inclusive; bounds beyond 64 bits are those of 64 bits.
    pub(crate) fn between(first: i128, last: i128) -> Self {
        let (low, high) = (i128::from(i64::MIN), i128::from(i64::MAX));
        if first > last || first > high || last < low {
            return Self::none();
        }
        // Both lie within 64 bits now.
        let narrow = |value: i128| i64::try_from(value.clamp(low, high)).unwrap_or_default();
        Self(vec![narrow(first)..=narrow(last)])
    }

    /// What is in any of `ranges`, in ascending order of their starts.
    pub(crate) fn of_ranges(ranges: impl Iterator<Item = Range<i64>>) -> Self {
        let ranges = ranges.filter(|range| !range.is_empty());
        Self::joined(ranges.map(|range| range.start..=range.end - 1))
    }

    /// The integers `x` for which `x * scale` compares so with `literal`. `scale` is at least 1.
    pub(crate) fn comparing(comparison: Comparison, literal: i128, scale: i128) -> Self {
        let floor = literal.div_euclid(scale);
        let is_whole = literal.rem_euclid(scale) == 0;
        let ceiling = if is_whole { floor } else { floor + 1 };
        match comparison {
            Comparison::Equal if is_whole => Self::between(floor, floor),
            Comparison::Equal => Self::none(),
            Comparison::NotEqual => Self::comparing(Comparison::Equal, literal, scale).complement(),
            Comparison::Less => Self::between(i128::MIN, ceiling - 1),
            Comparison::LessOrEqual => Self::between(i128::MIN, floor),
            Comparison::Greater => Self::between(floor + 1, i128::MAX),
            Comparison::GreaterOrEqual => Self::between(ceiling, i128::MAX),
        }
    }

    /// What is in both.
    pub(crate) fn intersect(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let (first, last) = (*a.start().max(b.start()), *a.end().min(b.end()));
            if first <= last {
                both.push(first..=last);
            }
            if a.end() < b.end() {
                left.next();
            } else {
                right.next();
            }
        }
        Self(both)
    }

    /// What is in either.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut ranges: Vec<_> = self.0.iter().chain(&other.0).cloned().collect();
        ranges.sort_unstable_by_key(|range| *range.start());
        Self::joined(ranges.into_iter())
    }

    /// Ranges in ascending order of their starts, joined where they touch.
    fn joined(ranges: impl Iterator<Item = RangeInclusive<i64>>) -> Self {
        let mut merged: Vec<RangeInclusive<i64>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if last.end().saturating_add(1) >= *range.start() => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }

    /// What is not in it.
    pub(crate) fn complement(&self) -> Self {
        let mut gaps = Vec::with_capacity(self.0.len() + 1);
        let mut from = Some(i64::MIN);
        for range in &self.0 {
            if let Some(first) = from
                && first < *range.start()
            {
                gaps.push(first..=range.start() - 1);
            }
            from = range.end().checked_add(1);
        }
        if let Some(first) = from {
            gaps.push(first..=i64::MAX);
        }
        Self(gaps)
    }

    pub(crate) fn contains(&self, value: i64) -> bool {
        let at = self.0.partition_point(|range| *range.end() < value);
        self.0.get(at).is_some_and(|range| *range.start() <= value)
    }

    /// Of how many ranges it is.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest integer in it.
    pub(crate) fn first(&self) -> Option<i64> {
        self.0.first().map(|range| *range.start())
    }

    /// The largest integer in it.
    pub(crate) fn last(&self) -> Option<i64> {
        self.0.last().map(|range| *range.end())
    }

    /// The part of it that lies in `bounds`, as half-open ranges in ascending order.
    pub(crate) fn within(&self, bounds: Range<i64>) -> Vec<Range<i64>> {
        let Range { start, end } = bounds;
        let first = self.0.partition_point(|range| *range.end() < start);
        self.0
            .get(first..)
            .unwrap_or_default()
            .iter()
            .map(|range| start.max(*range.start())..end.min(range.end().saturating_add(1)))
            .take_while(|range| range.start < end)
            .filter(|range| !range.is_empty())
            .collect()
    }
}

/// As in EXPLAIN: `..5, 7, 9..=12, 20..`.
impl fmt::Display for Intervals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, range) in self.0.iter().enumerate() {
            if number > 0 {
                formatter.write_str(", ")?;
            }
            match (*range.start(), *range.end()) {
                (i64::MIN, i64::MAX) => formatter.write_str("all")?,
                (i64::MIN, last) => write!(formatter, "..={last}")?,
                (first, i64::MAX) => write!(formatter, "{first}..")?,
                (first, last) if first == last => write!(formatter, "{first}")?,
                (first, last) => write!(formatter, "{first}..={last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::single_range_in_vec_init,
        reason = "ranges of offsets are values here"
    )]

    use proptest::prelude::*;

    use super::*;

    const COMPARISONS: [Comparison; 6] = [
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ];

    fn holds(comparison: Comparison, left: i128, right: i128) -> bool {
        match comparison {
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
            Comparison::Less => left < right,
            Comparison::LessOrEqual => left <= right,
            Comparison::Greater => left > right,
            Comparison::GreaterOrEqual => left >= right,
        }
    }

    fn small_set() -> impl Strategy<Value = Intervals> {
        let edge = prop_oneof![
            -20_i128..20,
            Just(i128::from(i64::MIN)),
            Just(i128::from(i64::MAX)),
        ];
        proptest::collection::vec((edge.clone(), edge), 0..5).prop_map(|ranges| {
            ranges.into_iter().fold(Intervals::none(), |set, (a, b)| {
                set.union(&Intervals::between(a.min(b), a.max(b)))
            })
        })
    }

    fn assert_well_formed(set: &Intervals) {
        for range in &set.0 {
            assert!(!range.is_empty());
        }
        for pair in set.0.windows(2) {
            assert!(
                pair[0].end().saturating_add(1) < *pair[1].start(),
                "{set:?}"
            );
        }
    }

    #[test]
    fn the_edges_of_64_bits_are_in_the_sets_they_belong_to() {
        let max = i128::from(i64::MAX);
        assert!(Intervals::between(max, max).contains(i64::MAX));
        assert_eq!(
            Intervals::comparing(Comparison::Greater, max, 1),
            Intervals::none()
        );
        assert_eq!(
            Intervals::comparing(Comparison::Less, max + 7, 1),
            Intervals::all()
        );
        assert_eq!(Intervals::all().complement(), Intervals::none());
        assert_eq!(Intervals::none().complement(), Intervals::all());
        let not_max = Intervals::comparing(Comparison::NotEqual, max, 1);
        assert!(!not_max.contains(i64::MAX) && not_max.contains(i64::MAX - 1));
    }

    #[test]
    fn ranges_within_bounds_are_half_open() {
        let set = Intervals::between(5, 7).union(&Intervals::between(10, i128::MAX));
        assert_eq!(set.within(0..20), [5..8, 10..20]);
        assert_eq!(set.within(6..7), [6..7]);
        assert!(set.within(8..10).is_empty());
        let (end, start) = (3, 9);
        assert!(set.within(start..end).is_empty());
        assert_eq!(set.to_string(), "5..=7, 10..");
    }

    proptest! {
        #[test]
        fn a_comparison_holds_for_exactly_the_integers_of_its_set(
            comparison in prop::sample::select(&COMPARISONS[..]),
            literal in -50_i128..50,
            scale in 1_i128..8,
            value in -60_i64..60,
        ) {
            let set = Intervals::comparing(comparison, literal, scale);
            assert_well_formed(&set);
            prop_assert_eq!(set.contains(value), holds(comparison, i128::from(value) * scale, literal));
            let flipped = holds(comparison.flipped(), literal, i128::from(value) * scale);
            prop_assert_eq!(set.contains(value), flipped);
        }

        #[test]
        fn sets_are_combined_as_their_members_say(
            left in small_set(),
            right in small_set(),
            value in prop_oneof![-25_i64..25, Just(i64::MIN), Just(i64::MAX)],
            bounds in (-25_i64..25, -25_i64..25),
        ) {
            let both = left.intersect(&right);
            let either = left.union(&right);
            let not = left.complement();
            for set in [&both, &either, &not] {
                assert_well_formed(set);
            }
            prop_assert_eq!(both.contains(value), left.contains(value) && right.contains(value));
            prop_assert_eq!(either.contains(value), left.contains(value) || right.contains(value));
            prop_assert_eq!(not.contains(value), !left.contains(value));
            let (start, end) = bounds;
            let within = left.within(start..end).iter().any(|range| range.contains(&value));
            prop_assert_eq!(within, left.contains(value) && (start..end).contains(&value));
        }
    }
}
