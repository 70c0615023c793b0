//! Positions in a partition and the epochs of its leaders.

use std::fmt;

/// The position of a record in its partition; dense, never re-used, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(i64);

impl Offset {
    /// The first offset of every new partition.
    pub const ZERO: Self = Self(0);
    /// No offset lies at or above this one; the end of a log never reaches it.
    pub const MAX: Self = Self(i64::MAX);

    /// An offset, if `value` is not negative.
    pub const fn new(value: i64) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The offset as the wire and the files carry it.
    pub const fn value(self) -> i64 {
        self.0
    }

    /// The offset `count` records later; saturates at [`Offset::MAX`], which no log reaches.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        let end = (self.0 as u64).saturating_add(count);
        if end > i64::MAX as u64 {
            Self::MAX
        } else {
            Self(end as i64)
        }
    }

    /// How many offsets lie between `earlier` and this one; zero if `earlier` is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        if self.0 > earlier.0 {
            (self.0 - earlier.0) as u64
        } else {
            0
        }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Counts the leaders a partition has had; rises with every start of a leader and is stored in each batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderEpoch(i32);

impl LeaderEpoch {
    /// The epoch before any leader.
    pub const ZERO: Self = Self(0);

    /// An epoch, if `value` is not negative.
    pub const fn new(value: i32) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The epoch as the wire and the files carry it.
    pub const fn value(self) -> i32 {
        self.0
    }

    /// The epoch of the next leader, unless the epochs are used up.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }
}

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The number of a partition within its topic, from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionIndex(i32);

impl PartitionIndex {
    /// A partition number, if `value` is not negative.
    pub const fn new(value: i32) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The number as the wire carries it.
    pub const fn value(self) -> i32 {
        self.0
    }
}

impl fmt::Display for PartitionIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_values_are_no_offsets_and_no_epochs() {
        assert_eq!(Offset::new(-1), None);
        assert_eq!(LeaderEpoch::new(-1), None);
        assert_eq!(PartitionIndex::new(-1), None);
    }

    #[test]
    fn offsets_saturate_instead_of_wrapping() {
        assert_eq!(Offset::MAX.plus(1), Offset::MAX);
        assert_eq!(Offset::ZERO.since(Offset::MAX), 0);
        assert_eq!(Offset::ZERO.plus(5).since(Offset::ZERO.plus(2)), 3);
    }

    #[test]
    fn the_last_epoch_has_no_next() {
        assert_eq!(LeaderEpoch::new(i32::MAX).and_then(LeaderEpoch::next), None);
    }
}
