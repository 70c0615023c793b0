//! [`Chunk`]: what is read of a file at once, and what stays open behind it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use contract::Column;

use super::columns::FileColumns;
use super::error::FilesError;
use super::found::{Found, Position};
use super::parquet::Table;
use super::records::{BadRecord, RawRecord, Records};

/// How much is read at once. A chunk may be larger by one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many records, good and bad.
    pub rows: usize,
    /// So many bytes of them.
    pub bytes: usize,
}

/// Records of a file.
#[derive(Debug)]
pub enum Rows {
    /// Records as they stand in the file.
    Raw {
        /// What they are.
        columns: Arc<FileColumns>,
        /// The records.
        records: Vec<RawRecord>,
        /// Records that cannot be taken.
        bad: Vec<BadRecord>,
    },
    /// Rows of Parquet.
    Columns {
        /// The declared columns that the file has, in their order; without declared ones, those of the file.
        batch: RecordBatch,
        /// The number of each row in the file; the first has 1.
        rows: Vec<u64>,
        /// Rows with a value that does not become its declared type.
        bad: Vec<BadRecord>,
        /// Declared columns that are not in the file: NULL in each row.
        missing: Arc<[Column]>,
        /// How many bytes the values of the rows have; those that share memory count each.
        bytes: usize,
    },
    /// There are none.
    None,
}

impl Rows {
    /// About how many bytes its records have.
    pub fn bytes(&self) -> usize {
        let of_bad = |bad: &[BadRecord]| bad.iter().map(|bad| bad.bytes.len()).sum::<usize>();
        match self {
            Self::Raw { records, bad, .. } => {
                let records = records.iter().map(|record| record.value.len());
                records.sum::<usize>() + of_bad(bad)
            }
            Self::Columns { bytes, bad, .. } => bytes + of_bad(bad),
            Self::None => 0,
        }
    }
}

/// What was read at once.
#[derive(Debug)]
pub struct Chunk {
    /// The records.
    pub rows: Rows,
    /// Where reading goes on once they are kept.
    pub position_after: Position,
}

/// A file that is being read.
pub(super) struct Open {
    pub(super) etag: String,
    pub(super) reader: Reader,
}

pub(super) enum Reader {
    Records(Records),
    Table(Table),
}

impl Open {
    /// Whether reading goes on where this ended.
    pub(super) fn is_at(&self, found: &Found, position: &Position) -> bool {
        let at = match &self.reader {
            Reader::Records(records) => &records.position,
            Reader::Table(table) => &table.position,
        };
        self.etag == found.etag
            && at.path == position.path
            && at.next_byte == position.next_byte
            && at.next_row == position.next_row
    }
}

/// Records that were taken.
#[derive(Default)]
pub(super) struct TakenRecords {
    pub(super) records: Vec<RawRecord>,
    bad: Vec<BadRecord>,
}

/// Takes records as far as the limits go, and tells whether more can be taken. What fails behind a record is left to the next call.
pub(super) fn take(
    records: &mut Records,
    limits: Limits,
) -> Result<(TakenRecords, bool), FilesError> {
    let mut taken = TakenRecords::default();
    let (mut rows, mut bytes) = (0, 0);
    while rows < limits.rows && bytes < limits.bytes && !records.position.done {
        match records.take() {
            Ok(None) => break,
            Ok(Some(Ok(record))) => {
                bytes += record.value.len();
                taken.records.push(record);
            }
            Ok(Some(Err(bad))) => {
                bytes += bad.bytes.len();
                taken.bad.push(bad);
            }
            Err(_left_to_the_next) if rows > 0 => return Ok((taken, false)),
            Err(error) => return Err(error),
        }
        rows += 1;
    }
    Ok((taken, true))
}

pub(super) fn read_records(
    records: &mut Records,
    limits: Limits,
    format: &'static str,
) -> Result<(Chunk, bool), FilesError> {
    let (taken, goes_on) = take(records, limits)?;
    let has_any = !taken.records.is_empty() || !taken.bad.is_empty();
    let rows = match &records.columns {
        Some(columns) if has_any => Rows::Raw {
            columns: Arc::clone(columns),
            records: taken.records,
            bad: taken.bad,
        },
        None if has_any => return Err(FilesError::NoColumns { format }),
        _ => Rows::None,
    };
    let position_after = records.position.clone();
    Ok((
        Chunk {
            rows,
            position_after,
        },
        goes_on,
    ))
}

pub(super) fn read_table(table: &mut Table, limits: Limits) -> Result<(Chunk, bool), FilesError> {
    let rows = match table.take(limits)? {
        None => Rows::None,
        Some(part) => Rows::Columns {
            batch: part.batch,
            rows: part.rows,
            bad: part.bad,
            bytes: part.bytes,
            missing: Arc::clone(&table.missing),
        },
    };
    let position_after = table.position.clone();
    Ok((
        Chunk {
            rows,
            position_after,
        },
        true,
    ))
}
