//! From a chunk to what is to be written of it: the query with its checks, dead letters, order.
//!
//! Invariants: a row that failed is in the dead letters with its record, once for each record and for the first reason; output is in
//! the order of the records it was made of, whatever the query did with the order of its rows.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use spec::Severity;
use sql::compute::{Metadata, input_schema};

use super::chunk::Chunk;
use super::dead_letter::{DeadLetter, Reason};
use super::deployed::Deployed;
use super::tally::Tally;
use crate::engine::{Outcome, RunError};

/// The reason of records that do not fit the columns of their input.
const DECODE: &str = "decode";

/// What is to be written of a chunk.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) chunk: Chunk,
    /// The rows of the result, in the order of their records.
    pub(crate) rows: RecordBatch,
    /// Of which record each of them is.
    pub(crate) records: Vec<u32>,
    /// Why records are dead letters.
    dead: BTreeMap<u32, Reason>,
    /// Those of them that are kept already.
    kept: BTreeSet<u32>,
    pub(crate) tally: Tally,
}

/// Why a chunk could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The query failed, and not because of a record.
    #[error(transparent)]
    Query(#[from] RunError),
    /// Rows cannot be ordered.
    #[error("cannot order rows")]
    Rows(#[from] ArrowError),
}

/// Runs the query over a chunk, unless its rows are the result.
pub(crate) fn judge(
    mut chunk: Chunk,
    deployed: &Deployed,
    runs_query: bool,
) -> Result<Judged, JudgeError> {
    let mut tally = Tally {
        rows_in: u64::try_from(chunk.count).unwrap_or(u64::MAX),
        ..Tally::default()
    };
    let mut dead: BTreeMap<u32, Reason> = std::mem::take(&mut chunk.misfits)
        .into_iter()
        .map(|(record, message)| (record, decode(message)))
        .collect();
    let rows = chunk.rows.clone();
    let record_of = |row: usize| chunk.records.get(row).copied().unwrap_or_default();
    let (rows, records) = if rows.num_rows() == 0 {
        // Nothing but misfits, or the end of a file: such a batch may have no columns.
        (
            RecordBatch::new_empty(schema_of_result(deployed, chunk.input, runs_query)),
            Vec::new(),
        )
    } else if runs_query {
        let outcome = deployed
            .compiled
            .run(&beside_empty(deployed, chunk.input, rows))?;
        count(&outcome, deployed, &mut tally);
        for letter in outcome.dead {
            let check = letter
                .check
                .and_then(|check| deployed.pipeline.checks.get(check));
            dead.entry(record_of(letter.origin.row)).or_insert(Reason {
                reason: letter.reason,
                check: check.map(|check| check.reason.clone()),
                message: letter.message,
            });
        }
        let origins = outcome.origins.iter();
        let records = origins.map(|origin| record_of(origin.row)).collect();
        (outcome.rows, records)
    } else {
        (
            in_columns(&rows, deployed, chunk.input)?,
            chunk.records.clone(),
        )
    };
    let (rows, records) = in_order(rows, records)?;
    Ok(Judged {
        chunk,
        rows,
        records,
        dead,
        kept: BTreeSet::new(),
        tally,
    })
}

fn decode(message: String) -> Reason {
    Reason::new(DECODE, message)
}

fn schema_of_result(deployed: &Deployed, input: usize, runs_query: bool) -> SchemaRef {
    if runs_query {
        return deployed.compiled.output_schema();
    }
    input_schema(Metadata::None, deployed.input_columns(input))
}

/// The columns of an input in their order: a file may have them in another one.
fn in_columns(
    rows: &RecordBatch,
    deployed: &Deployed,
    input: usize,
) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema();
    let columns = deployed.input_columns(input).iter();
    let places = columns.map(|column| schema.index_of(&column.name));
    rows.project(&places.collect::<Result<Vec<_>, _>>()?)
}

/// The batches of all inputs: those of the others have no rows.
fn beside_empty(deployed: &Deployed, input: usize, rows: RecordBatch) -> Vec<RecordBatch> {
    let used = deployed.compiled.input_columns_used().into_iter();
    let mut batches: Vec<_> = used.map(RecordBatch::new_empty).collect();
    if let Some(batch) = batches.get_mut(input) {
        *batch = rows;
    }
    batches
}

fn count(outcome: &Outcome, deployed: &Deployed, tally: &mut Tally) {
    let checks = deployed.pipeline.checks.iter();
    for (index, (check, count)) in checks.zip(&outcome.counts).enumerate() {
        match check.severity {
            Severity::Drop => tally.dropped += count.failed,
            Severity::Warn => tally.warned += count.failed,
            Severity::Error => {}
        }
        if count.failed > 0 {
            *tally.failed.entry(index).or_default() += count.failed;
        }
    }
}

fn in_order(rows: RecordBatch, records: Vec<u32>) -> Result<(RecordBatch, Vec<u32>), ArrowError> {
    if records.is_sorted() {
        return Ok((rows, records));
    }
    let mut order: Vec<u32> = (0..).take(records.len()).collect();
    let record = |row: &u32| usize::try_from(*row).ok().and_then(|row| records.get(row));
    order.sort_by_key(record);
    let sorted = order.iter().filter_map(record).copied().collect();
    Ok((take_record_batch(&rows, &UInt32Array::from(order))?, sorted))
}

impl Judged {
    /// Makes dead letters of rows that cannot be written.
    pub(crate) fn refuse(&mut self, refused: impl IntoIterator<Item = (usize, Reason)>) {
        for (row, reason) in refused {
            if let Some(record) = self.records.get(row) {
                self.dead.entry(*record).or_insert(reason);
            }
        }
    }

    /// Makes a record that is no row a dead letter.
    pub(crate) fn refuse_record(&mut self, record: u32, reason: Reason) {
        self.dead.entry(record).or_insert(reason);
    }

    /// Counts deletions that are not passed on.
    pub(crate) fn leave_out_tombstones(&mut self) {
        self.tally.tombstones = u64::try_from(self.chunk.tombstones.len()).unwrap_or(u64::MAX);
    }

    /// How many records are dead letters so far.
    pub(crate) fn dead_count(&self) -> u64 {
        u64::try_from(self.dead.len()).unwrap_or(u64::MAX)
    }

    /// The dead letters, which are counted, but for those that are kept.
    pub(crate) fn dead_letters(&mut self) -> Vec<DeadLetter> {
        let numbers = self
            .dead
            .keys()
            .filter(|number| !self.kept.contains(number));
        let numbers: BTreeSet<u32> = numbers.copied().collect();
        let originals = self.chunk.originals.of(&numbers);
        let letters: Vec<_> = originals
            .into_iter()
            .filter_map(|(number, place, original)| {
                let reason = self.dead.get(&number)?.clone();
                Some(DeadLetter {
                    place,
                    reason,
                    original,
                })
            })
            .collect();
        self.tally.dead = self.dead_count();
        self.tally.reasons.clear();
        for reason in self.dead.values() {
            self.tally.count_reason(&reason.reason, 1);
        }
        letters
    }

    /// The dead letters so far are kept; others may follow.
    pub(crate) fn keep(&mut self) {
        self.kept.extend(self.dead.keys());
    }
}
