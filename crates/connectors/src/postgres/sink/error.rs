//! [`SinkError`]: why nothing was written.

use crate::postgres::failure::{Failure, Kind};

use super::SinkPartition;
use super::batch::Refusal;

/// Why nothing was written. Nothing of the batch is in the table, with each of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// PostgreSQL, or the way to it.
    #[error(transparent)]
    Database(#[from] Failure),
    /// Rights are missing.
    #[error("{failure}; somebody who may has to run:\n{}", ddl.join("\n"))]
    Rights {
        /// What is not allowed.
        failure: Failure,
        /// What somebody with the rights runs.
        ddl: Vec<String>,
    },
    /// The table is not one that these columns can be written to.
    #[error("the table {table} does not fit: {}", problems.join("; "))]
    Table {
        /// The table.
        table: String,
        /// Everything that does not fit, each with what to do.
        problems: Vec<String>,
    },
    /// Rows that the table does not take. After they are kept elsewhere, the batch is written without them.
    #[error("{} of the batch are refused, the first of them with {}", refused.len(), refused.first().map_or(String::new(), Refusal::code))]
    Refused {
        /// All that were found, at least one, by their place.
        refused: Vec<Refusal>,
    },
    /// Another owner took the partition. This one may not write any more.
    #[error("partition {} is written by another worker now (epoch {found}, ours was {ours})", partition.partition)]
    Fenced {
        /// Which.
        partition: SinkPartition,
        /// Our epoch.
        ours: i64,
        /// The one in the database.
        found: i64,
    },
    /// The database is at another offset, and nobody else moved it: a batch that we took for lost was committed, somebody wrote to the
    /// table of offsets, or the database was put back to an earlier state. Its offset is where to go on.
    #[error("partition {} is at offset {found} in the database, and the batch begins at {from}", partition.partition)]
    Moved {
        /// Which.
        partition: SinkPartition,
        /// Where the batch begins.
        from: i64,
        /// Where the database is.
        found: i64,
    },
    /// Somebody deleted the row of a partition that was written.
    #[error(
        "the row of partition {} is gone from watertable.offsets, so nobody can say which rows are in the table; put it back, with the offset behind the last record that is in it for NEXT: {row}; it goes on then. To have rows written again: watertable pipeline rollback NAME --rewind",
        partition.partition
    )]
    NoOffsets {
        /// Which.
        partition: SinkPartition,
        /// What puts it back.
        row: String,
    },
    /// The batch is not what was agreed.
    #[error("the batch cannot be written: {0}")]
    Batch(String),
}

impl SinkError {
    /// What follows from it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Database(failure) => match failure.kind() {
                // Not in rows that were written, but in what we asked: what refuses may be a trigger of the catalogue, or a setting.
                Kind::Rows => Kind::Hold,
                kind => kind,
            },
            Self::Rights { .. } | Self::Table { .. } | Self::NoOffsets { .. } => Kind::Hold,
            Self::Refused { .. } => Kind::Rows,
            Self::Fenced { .. } => Kind::Fenced,
            Self::Moved { .. } => Kind::Moved,
            Self::Batch(_) => Kind::Defect,
        }
    }
}
