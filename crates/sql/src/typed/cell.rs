//! [`Cell`]: a value of a record on its way into a column.

use std::borrow::Cow;

/// A value. Which kind it is follows from the type of its column.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Cell<'a> {
    /// Nothing was found yet.
    #[default]
    Absent,
    Null,
    /// What was found does not fit.
    Misfit,
    Boolean(bool),
    /// Of smallint, int and bigint; days since 1970 of date, microseconds since 1970 of timestamps.
    Int(i64),
    /// Of real, too.
    Float(f64),
    /// Without its point.
    Decimal(i128),
    /// Of json, too.
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

impl Cell<'_> {
    pub(super) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// The memory of cells for those of the next record.
pub(super) fn emptied<'a>(mut cells: Vec<Cell<'_>>) -> Vec<Cell<'a>> {
    cells.clear();
    // Nothing is mapped; the memory stays where it is, since both have the same layout.
    cells.into_iter().map(|_none| Cell::Absent).collect()
}
