//! [`Batch`]: what is written at once, in its order.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;

use crate::postgres::failure::Failure;

/// A row or a delete of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The row with this number, from zero.
    Row(usize),
    /// The delete with this number, from zero.
    Delete(usize),
}

/// A row that is deleted, by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// How many rows of the batch come before it. Of several with the same number the first in the list is the first.
    pub after_rows: usize,
    /// The texts of the key's columns, in the order of the key.
    pub key: Vec<String>,
}

/// Rows and deletes in one order.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Rows with the sink's columns, in their order.
    pub rows: &'a RecordBatch,
    /// Deletes, by how many rows come before them; only with `mode: upsert`.
    pub deletes: &'a [Delete],
    /// What is not written: what was refused before, and is kept elsewhere by now.
    pub left_out: &'a BTreeSet<Place>,
}

impl Batch<'_> {
    /// Everything that is written, in its order.
    pub(crate) fn places(&self) -> Vec<Place> {
        let mut deletes = self.deletes.iter().enumerate().peekable();
        let mut places = Vec::with_capacity(self.rows.num_rows() + self.deletes.len());
        for row in 0..=self.rows.num_rows() {
            while let Some((at, _)) = deletes.next_if(|(_, delete)| delete.after_rows <= row) {
                places.push(Place::Delete(at));
            }
            if row < self.rows.num_rows() {
                places.push(Place::Row(row));
            }
        }
        places.extend(deletes.map(|(at, _)| Place::Delete(at)));
        places.retain(|place| !self.left_out.contains(place));
        places
    }
}

/// What the table does not take, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub place: Place,
    /// PostgreSQL's code, or the one it would have.
    pub sqlstate: String,
    /// What it said.
    pub message: String,
    /// More of it, which may have values of the row.
    pub detail: Option<String>,
    /// The constraint, if it is one.
    pub constraint: Option<String>,
    /// The column, if it is about one.
    pub column: Option<String>,
}

impl Refusal {
    /// What PostgreSQL would say of a value that it cannot hold.
    pub(crate) fn of_value(place: Place, sqlstate: &str, column: &str, message: String) -> Self {
        Self {
            place,
            sqlstate: sqlstate.to_owned(),
            message,
            detail: None,
            constraint: None,
            column: Some(column.to_owned()),
        }
    }

    /// Its code and constraint: what may stand in a log, since it has nothing of the row.
    pub fn code(&self) -> String {
        match &self.constraint {
            Some(constraint) => format!("SQLSTATE {} of constraint {constraint}", self.sqlstate),
            None => format!("SQLSTATE {}", self.sqlstate),
        }
    }

    pub(crate) fn new(place: Place, failure: &Failure) -> Self {
        Self {
            place,
            sqlstate: failure.sqlstate.clone().unwrap_or_default(),
            message: failure.message.clone(),
            detail: failure.detail.clone(),
            constraint: failure.constraint.clone(),
            column: failure.column.clone(),
        }
    }
}

/// In one line for a dead letter: message, detail, constraint and code.
impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)?;
        if let Some(detail) = &self.detail {
            write!(formatter, ": {detail}")?;
        }
        write!(formatter, " (SQLSTATE {}", self.sqlstate)?;
        if let Some(constraint) = &self.constraint {
            write!(formatter, ", constraint {constraint}")?;
        }
        formatter.write_str(")")
    }
}
