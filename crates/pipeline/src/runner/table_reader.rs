//! [`TableReader`]: the rows of a table or a query of PostgreSQL: all of it first, and then what has changed.
//!
//! Invariant: a run reads up to what was there when it began; a pipeline that goes on makes one run after the other.

use std::time::Duration;

use connectors::postgres::{Position, Record, Source as Table, SourceError};
use contract::Contract;
use sql::compute::{Decoded, Decoder, Raw};
use tokio::time::Instant;

use super::chunk::{Chunk, DecodeError, Originals};
use super::dead_letter::{Original, Place};
use super::positions::Source;

/// How often it is looked whether anything has changed, by a pipeline that goes on.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a table cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableReadError {
    /// The database.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Rows cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The columns of the table.
    #[error("the columns of the table")]
    Columns(#[from] sql::ContractFault),
}

/// Reads a table or a query.
#[derive(Debug)]
pub(crate) struct TableReader {
    input: usize,
    source: Source,
    /// What it is called, for dead letters.
    name: String,
    table: Table,
    contract: Contract,
    decoder: Decoder,
    position: Position,
    /// The one that was handed out last, to be committed.
    handed: Position,
    /// Reading ends with this run.
    is_bounded: bool,
    /// The run that goes on is not begun before.
    not_before: Option<Instant>,
}

/// What reading a table gave.
#[derive(Debug)]
pub(crate) enum TableStep {
    /// Rows.
    Chunk(Box<Chunk>),
    /// Nothing has changed.
    Nothing,
    /// All was read that was there when the run began.
    Done,
}

impl TableReader {
    /// `wanted`: the columns that the query uses; all without one.
    pub(crate) fn open(
        input: usize,
        source: Source,
        name: String,
        table: Table,
        position: Option<Position>,
        wanted: impl Fn(&str) -> bool,
        is_bounded: bool,
    ) -> Result<Self, TableReadError> {
        let contract = table.contract()?;
        let decoder = Decoder::new(sql::compute::Metadata::None, Some(&contract), wanted)?;
        let handed = position.unwrap_or_default();
        Ok(Self {
            input,
            source,
            name,
            table,
            contract,
            decoder,
            position: handed.next_run(),
            handed,
            is_bounded,
            not_before: None,
        })
    }

    /// The next rows.
    pub(crate) async fn next(&mut self) -> Result<TableStep, TableReadError> {
        if self.not_before.is_some_and(|time| Instant::now() < time) {
            return Ok(TableStep::Nothing);
        }
        loop {
            let Some(read) = self.table.next(&self.position).await? else {
                if self.is_bounded {
                    return Ok(TableStep::Done);
                }
                self.position = self.position.next_run();
                self.not_before = Some(Instant::now() + LOOK_EVERY);
                return Ok(TableStep::Nothing);
            };
            // Somebody may have added columns in between: then lines have other fields.
            let contract = self.table.contract()?;
            if contract != self.contract {
                return Err(SourceError::Unfit {
                    what: self.name.clone(),
                    problems: vec![
                        "its columns have changed while it was read; it is begun again".to_owned(),
                    ],
                }
                .into());
            }
            self.position = read.position;
            if !read.records.is_empty() || is_worth_a_commit(&self.handed, &self.position) {
                self.handed = self.position.clone();
                return Ok(TableStep::Chunk(Box::new(self.decode(read.records)?)));
            }
        }
    }

    fn decode(&mut self, records: Vec<Record>) -> Result<Chunk, DecodeError> {
        for record in &records {
            self.decoder.push(&Raw::of_value(&record.value));
        }
        let Decoded {
            rows,
            records: numbers,
            misfits,
        } = self.decoder.finish()?;
        Ok(Chunk {
            input: self.input,
            count: records.len(),
            rows,
            records: numbers,
            misfits,
            tombstones: Vec::new(),
            source: self.source.clone(),
            position: serde_json::json!(self.position),
            originals: Originals::Table {
                table: self.name.clone(),
                records,
            },
            newest_ms: None,
            finish: None,
        })
    }
}

/// Whether a position without rows is to be kept: the end of a run that found nothing is not, unless it is the one that found the end of
/// the snapshot, or got further for another reason.
fn is_worth_a_commit(kept: &Position, now: &Position) -> bool {
    let is_further =
        now.phase != kept.phase || now.cursor != kept.cursor || now.after != kept.after;
    now.finished && is_further
}

/// A row of a table as it was read.
pub(crate) fn original(table: &str, records: &[Record], number: u32) -> Option<(Place, Original)> {
    let record = records.get(usize::try_from(number).ok()?)?;
    let place = Place::Row {
        table: table.to_owned(),
        row: record.place.clone(),
    };
    let original = Original {
        value: Some(record.value.clone()),
        ..Original::default()
    };
    Some((place, original))
}

#[cfg(test)]
mod tests {
    use connectors::postgres::Phase;

    use super::*;

    #[test]
    fn the_end_of_a_snapshot_is_kept_though_no_row_follows() {
        let snapshot = Position {
            after: Some(vec![Some("4000".to_owned())]),
            cursor_column: Some("version".to_owned()),
            until: Some("800".to_owned()),
            rows: 4000,
            ..Position::default()
        };
        // Behind the last row of the snapshot there is none, and nothing has changed since.
        let end = Position {
            phase: Phase::Incremental,
            finished: true,
            after: None,
            until: None,
            cursor: Some("800".to_owned()),
            ..snapshot.clone()
        };
        assert!(is_worth_a_commit(&snapshot, &end));
        // The next run finds nothing either, and is not kept.
        let next = Position {
            run: 1,
            ..end.clone()
        };
        assert!(!is_worth_a_commit(&end, &next));
        let more = Position {
            cursor: Some("801".to_owned()),
            ..next
        };
        assert!(is_worth_a_commit(&end, &more));
    }
}
