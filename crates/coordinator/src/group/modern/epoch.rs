//! How often a group, its target assignment or a member has changed.

use std::fmt;

/// The epoch of a group, of its target assignment, or of a member; never negative. Zero is a member that has just
/// joined, or a group nothing has happened to.
///
/// The wire's negative member epochs (−1 leaves, −2 leaves for a while) are no epochs: they become variants of the
/// request where it is decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(i32);

impl Epoch {
    /// Before anything happened.
    pub const ZERO: Self = Self(0);

    /// An epoch, if `value` is not negative.
    pub const fn new(value: i32) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The epoch as the wire and the log carry it.
    pub const fn value(self) -> i32 {
        self.0
    }

    /// The epoch after this one. Two thousand million changes are beyond any group's life; the last epoch stays.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
