//! [`SourceError`]: why nothing was read.

use crate::postgres::failure::{Failure, Kind};

/// Why nothing was read. The position stays what it was, and the same again may go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// PostgreSQL, or the way to it.
    #[error(transparent)]
    Database(#[from] Failure),
    /// The table or query is not one that can be read like this.
    #[error("{what} cannot be read: {}", problems.join("; "))]
    Unfit {
        /// What is read.
        what: String,
        /// Everything that does not fit, each with what to do.
        problems: Vec<String>,
    },
    /// The position was taken of something else.
    #[error(
        "the position in {what} does not fit it: {why}; start the pipeline anew to read it from its beginning"
    )]
    Position {
        /// What is read.
        what: String,
        /// What is another one now.
        why: String,
    },
    /// So many rows have the same key that they do not fit into memory.
    #[error(
        "more than {rows} rows of {what} have the same {key}: name a tie_breaker that tells them apart, as the primary key"
    )]
    Ties {
        /// What is read.
        what: String,
        /// The columns.
        key: String,
        /// How many there are at least.
        rows: u64,
    },
}

impl SourceError {
    /// What follows from it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Database(failure) => match failure.kind() {
                // A value of the table that its own query cannot read: somebody has to look.
                Kind::Rows => Kind::Hold,
                kind => kind,
            },
            Self::Unfit { .. } | Self::Ties { .. } | Self::Position { .. } => Kind::Hold,
        }
    }
}
