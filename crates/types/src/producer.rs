//! Who produced a batch: what idempotence compares.

use std::fmt;

/// Names one producer session; unique in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId(i64);

impl ProducerId {
    /// A producer id, if `value` is not negative (-1 on the wire means "none").
    pub const fn new(value: i64) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The id as the wire and the files carry it.
    pub const fn value(self) -> i64 {
        self.0
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Fences older sessions of the same producer id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerEpoch(i16);

impl ProducerEpoch {
    /// The epoch of a fresh producer id.
    pub const ZERO: Self = Self(0);

    /// An epoch, if `value` is not negative.
    pub const fn new(value: i16) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The epoch as the wire and the files carry it.
    pub const fn value(self) -> i16 {
        self.0
    }
}

/// The number of a record within its producer's session and partition; wraps from `i32::MAX` to 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sequence(i32);

impl Sequence {
    /// The first sequence of a session.
    pub const ZERO: Self = Self(0);

    /// A sequence, if `value` is not negative.
    pub const fn new(value: i32) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The sequence as the wire and the files carry it.
    pub const fn value(self) -> i32 {
        self.0
    }

    /// The sequence `count` records later, wrapping past `i32::MAX` to 0 (Kafka's `DefaultRecordBatch.incrementSequence`).
    #[must_use]
    pub const fn plus(self, count: u32) -> Self {
        const SPACE: u64 = i32::MAX as u64 + 1;
        Self(((self.0 as u64 + count as u64) % SPACE) as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_to_zero_after_the_largest() {
        let last = Sequence::new(i32::MAX).expect("not negative");
        assert_eq!(last.plus(1), Sequence::ZERO);
        assert_eq!(last.plus(3).value(), 2);
    }
}
