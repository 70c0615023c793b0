//! Running a compiled query over a batch.
//!
//! A batch that fails is halved, and the halves as well, until the record is alone that is at fault. Expressions are evaluated over
//! more rows than they are about only as long as that goes well: a batch that passes gives what each of its rows gives alone.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array,
};
use datafusion::arrow::compute::{
    CastOptions, cast_with_options, concat_batches, take_record_batch,
};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::common::exec_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use spec::Severity;

use super::branch::Branch;
use super::checks::{Findings, SAMPLES_MAX, sift};
use super::compiled::{Compiled, Input};
use super::step::{Piece, bytes_of, too_large};

/// The reason of a record whose row cannot be computed.
pub const ERROR: &str = "error";
/// A longer message of the engine is cut.
const MESSAGE_CHARS_MAX: usize = 1000;

/// A row of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Which input.
    pub input: usize,
    /// Which row of its batch.
    pub row: usize,
}

/// A record that does not reach the sink, or one of whose rows does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// Where it comes from.
    pub origin: Origin,
    /// The reason of the check, or [`ERROR`].
    pub reason: String,
    /// Which check of the pipeline it failed.
    pub check: Option<usize>,
    /// What happened, for people.
    pub message: String,
    /// Which row of [`Outcome::failed`] failed, if it was one of the result.
    pub failed: Option<usize>,
}

/// How many rows failed a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub failed: u64,
    /// The first of them, up to [`SAMPLES_MAX`].
    pub samples: Vec<Origin>,
}

/// What a batch gives.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The rows for the sink.
    pub rows: RecordBatch,
    /// For each of them the row that it comes from.
    pub origins: Vec<Origin>,
    /// What goes to the dead letters, in the order of the inputs and their rows.
    pub dead: Vec<Dead>,
    /// The rows of the result that failed a check, with the columns of `rows`.
    pub failed: RecordBatch,
    /// For each check of the pipeline, of whichever severity, how many rows failed it.
    pub counts: Vec<Count>,
}

/// Why a batch gives nothing, though no record of it is at fault.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It is not what the query was compiled for.
    #[error("the query has {expected} inputs, and there are batches for {found}")]
    Inputs {
        /// How many inputs there are.
        expected: usize,
        /// How many batches were given.
        found: usize,
    },
    /// A column is missing, or is of another type.
    #[error("the batch of the input {input} has no column {column} of the type {data_type}")]
    Column {
        /// The input.
        input: String,
        /// The column.
        column: String,
        /// Its type.
        data_type: DataType,
    },
    /// It would take too much memory.
    #[error(
        "the rows of a batch of {records} records would take more than {bytes_max} bytes; give the pipeline more memory (resources: {{ memory: 1GiB }}), or read fewer records at once"
    )]
    Memory {
        /// Of how many records.
        records: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// The engine is at fault.
    #[error("the engine failed: {0}")]
    Engine(#[source] DataFusionError),
}

/// What comes of all batches together, as it grows.
struct Growing<'a> {
    compiled: &'a Compiled,
    pieces: Vec<(usize, Piece)>,
    bytes: usize,
    dead: Vec<Dead>,
    failed: Vec<RecordBatch>,
    failed_rows: usize,
    counts: Vec<Count>,
}

impl Compiled {
    /// Runs the query over a batch of each input, in their order; a batch may be empty, and have more columns than are used.
    ///
    /// # Errors
    /// Something is wrong that is no matter of any record; nothing of the batches may be committed then.
    pub fn run(&self, batches: &[RecordBatch]) -> Result<Outcome, RunError> {
        if batches.len() != self.inputs.len() {
            let (expected, found) = (self.inputs.len(), batches.len());
            return Err(RunError::Inputs { expected, found });
        }
        let mut growing = Growing {
            compiled: self,
            pieces: Vec::new(),
            bytes: 0,
            dead: Vec::new(),
            failed: Vec::new(),
            failed_rows: 0,
            counts: vec![Count::default(); self.severities.len()],
        };
        for (index, (input, batch)) in self.inputs.iter().zip(batches).enumerate() {
            let batch = input.columns_of(batch)?;
            growing.run(index, &batch, 0, batch.num_rows())?;
        }
        growing.finish().map_err(RunError::Engine)
    }

    /// As [`Self::attempt`], where a panic of the engine is an error like others. Nothing is changed by an attempt, so nothing is half
    /// done after it.
    fn survive(&self, index: usize, batch: RecordBatch, from: usize) -> Result<(Piece, Findings)> {
        let attempt = || self.attempt(index, batch, from);
        let attempt = panic::catch_unwind(AssertUnwindSafe(attempt));
        attempt.unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
    }

    /// What some rows of an input give; the first of them is the row `from` of it.
    fn attempt(&self, index: usize, batch: RecordBatch, from: usize) -> Result<(Piece, Findings)> {
        let mut findings = Findings::default();
        let first = u32::try_from(from).unwrap_or(u32::MAX);
        let rows = (first..).take(batch.num_rows()).collect();
        let mut piece = Piece { batch, rows };
        if let Some(input) = self.inputs.get(index) {
            piece = sift(&input.checks, piece, false, &mut findings)?;
        }
        let branches = self.branches.iter().filter(|branch| branch.input == index);
        let pieces = branches.map(|branch| self.follow(branch, &piece));
        let mut piece = self.together(pieces.collect::<Result<_>>()?)?;
        piece = sift(&self.checks, piece, true, &mut findings)?;
        Ok((piece, findings))
    }

    fn follow(&self, branch: &Branch, piece: &Piece) -> Result<Piece> {
        let mut piece = Piece {
            batch: piece.batch.project(&branch.columns)?,
            rows: piece.rows.clone(),
        };
        for step in &branch.steps {
            piece = step.apply(piece, self.options.memory_bytes_max)?;
        }
        self.conform(piece)
    }

    /// The columns as the contract of the result has them.
    fn conform(&self, piece: Piece) -> Result<Piece> {
        let strict = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let columns = piece.batch.columns().iter();
        let columns = columns
            .zip(self.output_schema.fields())
            .map(|(column, field)| {
                if column.data_type() == field.data_type() {
                    return Ok(Arc::clone(column));
                }
                cast_with_options(column, field.data_type(), &strict)
            });
        let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
        if self.is_json {
            for (column, field) in columns.iter().zip(self.output_schema.fields()) {
                check_finite(column, field.name())?;
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(piece.rows.len()));
        let schema = Arc::clone(&self.output_schema);
        Ok(Piece {
            batch: RecordBatch::try_new_with_options(schema, columns, &options)?,
            rows: piece.rows,
        })
    }

    /// The pieces of several branches as one, in the order of the rows that they come from: that of a batch that is cut in two.
    fn together(&self, mut pieces: Vec<Piece>) -> Result<Piece> {
        if pieces.len() == 1
            && let Some(piece) = pieces.pop()
        {
            return Ok(piece);
        }
        let batches = pieces.iter().map(|piece| &piece.batch);
        let batch = concat_batches(&self.output_schema, batches)?;
        let rows: Vec<u32> = pieces
            .iter()
            .flat_map(|piece| &piece.rows)
            .copied()
            .collect();
        let mut order: Vec<u32> = (0_u32..).take(rows.len()).collect();
        let row = |place: &u32| rows.get(*place as usize).copied();
        order.sort_by_key(row);
        let rows = order.iter().filter_map(row).collect();
        let batch = take_record_batch(&batch, &UInt32Array::from(order))?;
        Ok(Piece { batch, rows })
    }
}

impl Input {
    /// The columns that are used.
    fn columns_of(&self, batch: &RecordBatch) -> Result<RecordBatch, RunError> {
        let columns = self.schema.fields().iter().map(|field| {
            let column = batch.column_by_name(field.name());
            let column = column.filter(|column| column.data_type() == field.data_type());
            column.cloned().ok_or_else(|| RunError::Column {
                input: self.name.clone(),
                column: field.name().clone(),
                data_type: field.data_type().clone(),
            })
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let schema = Arc::clone(&self.schema);
        RecordBatch::try_new_with_options(schema, columns, &options)
            .map_err(|error| RunError::Engine(error.into()))
    }
}

fn check_finite(column: &ArrayRef, name: &str) -> Result<()> {
    let number = |value: f64| {
        exec_datafusion_err!("the column {name} is {value}, which JSON has no number for")
    };
    let found = match column.data_type() {
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>().iter().flatten();
            let mut values = values.filter(|value| !value.is_finite());
            values.next().map(f64::from)
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>().iter().flatten();
            let mut values = values.filter(|value| !value.is_finite());
            values.next()
        }
        _ => None,
    };
    found.map_or(Ok(()), |value| Err(number(value)))
}

impl Growing<'_> {
    fn run(
        &mut self,
        input: usize,
        batch: &RecordBatch,
        from: usize,
        count: usize,
    ) -> Result<(), RunError> {
        if count == 0 {
            return Ok(());
        }
        let attempt = self.compiled.survive(input, batch.slice(from, count), from);
        let error = match attempt {
            // A record alone whose rows are too many is at fault itself.
            Ok((piece, _)) if count == 1 && self.is_too_large(&piece) => {
                too_large(bytes_of(&piece.batch), self.bytes_max())
            }
            Ok((piece, findings)) => return self.add(input, piece, findings),
            Err(error) => error,
        };
        if count > 1 {
            let half = count / 2;
            self.run(input, batch, from, half)?;
            return self.run(input, batch, from + half, count - half);
        }
        let row = from;
        self.dead.push(Dead {
            origin: Origin { input, row },
            reason: ERROR.to_owned(),
            check: None,
            message: self.of_record(error)?,
            failed: None,
        });
        Ok(())
    }

    /// What is told of a record whose row cannot be computed; an error if that is not its fault.
    fn of_record(&self, error: DataFusionError) -> Result<String, RunError> {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(told) => Ok(shortened(told)),
            DataFusionError::NotImplemented(_) => Err(RunError::Engine(error)),
            root => Ok(message(root)),
        }
    }

    fn bytes_max(&self) -> usize {
        self.compiled.options.memory_bytes_max
    }

    fn is_too_large(&self, piece: &Piece) -> bool {
        bytes_of(&piece.batch) > self.bytes_max()
    }

    fn memory(&self, records: usize) -> RunError {
        RunError::Memory {
            records,
            bytes_max: self.bytes_max(),
        }
    }

    fn add(&mut self, input: usize, piece: Piece, findings: Findings) -> Result<(), RunError> {
        self.bytes = self.bytes.saturating_add(bytes_of(&piece.batch));
        if self.bytes > self.bytes_max() {
            return Err(self.memory(piece.rows.len()));
        }
        let origin = |row: u32| Origin {
            input,
            row: row as usize,
        };
        for failure in findings.dead {
            let failed = failure.is_output.then_some(self.failed_rows);
            self.failed_rows += usize::from(failure.is_output);
            let reason = self.compiled.severities.get(failure.check);
            self.dead.push(Dead {
                origin: origin(failure.row),
                reason: reason.map_or_else(String::new, |(_, reason)| reason.clone()),
                check: Some(failure.check),
                message: format!("this does not hold: {}", failure.text),
                failed,
            });
        }
        for (check, rows) in findings.counts {
            let Some(count) = self.counts.get_mut(check) else {
                continue;
            };
            count.failed += rows.len() as u64;
            let room = SAMPLES_MAX.saturating_sub(count.samples.len());
            count
                .samples
                .extend(rows.into_iter().take(room).map(origin));
        }
        self.failed.extend(findings.failed);
        if !piece.rows.is_empty() {
            self.pieces.push((input, piece));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Outcome> {
        let schema = self.compiled.output_schema();
        let origins = self.pieces.iter().flat_map(|(input, piece)| {
            piece.rows.iter().map(|row| Origin {
                input: *input,
                row: *row as usize,
            })
        });
        let origins = origins.collect();
        let rows = match self.pieces.as_slice() {
            [(_, only)] => only.batch.clone(),
            pieces => concat_batches(&schema, pieces.iter().map(|(_, piece)| &piece.batch))?,
        };
        self.dead.sort_by_key(|dead| dead.origin);
        Ok(Outcome {
            rows,
            origins,
            dead: self.dead,
            failed: concat_batches(&schema, &self.failed)?,
            counts: self.counts,
        })
    }
}

impl Compiled {
    /// The severities of the checks of the pipeline, in their order.
    pub fn severities(&self) -> impl Iterator<Item = Severity> {
        self.severities.iter().map(|(severity, _)| *severity)
    }
}

/// In the engine's words, without what it says of itself.
fn message(error: &DataFusionError) -> String {
    let text = match error {
        DataFusionError::ArrowError(error, _) => error.to_string(),
        // Without what the engine says of its own bugs: a regular expression of the record that is none is one of them.
        DataFusionError::Execution(text) | DataFusionError::Internal(text) => text.clone(),
        other => other.strip_backtrace(),
    };
    let prefixes = [
        "Cast error: ",
        "Parser error: ",
        "Compute error: ",
        "Invalid argument error: ",
        "Execution error: ",
    ];
    let begin = prefixes
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(&text);
    shortened(begin)
}

fn shortened(text: &str) -> String {
    text.chars().take(MESSAGE_CHARS_MAX).collect()
}

/// What a panic said.
fn panicked(panic: &(dyn Any + Send)) -> DataFusionError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    exec_datafusion_err!(
        "a function of the query failed: {}",
        text.unwrap_or("nobody knows why")
    )
}
