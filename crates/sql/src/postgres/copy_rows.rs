//! Lines of COPY FROM as records: their fields are values of the columns' types, as PostgreSQL writes them.
//!
//! Invariant: an error says which line, and of a value which column, is wrong; no record of a batch with an error is given out.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, RecordBatch, new_null_array};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::ScalarValue;

use super::copy_in::Fields;
use super::decode;
use super::error::{PgError, state};
use super::types::PgType;
use crate::write::{HEADERS, InsertTarget, Record, array_of_json, records};
use types::TopicName;

/// So many lines, or so many bytes of them, are made records at a time.
const ROWS: usize = 512;
const BYTES: usize = 1 << 20;
/// So much of a value is shown in an error.
const SHOWN: usize = 100;

/// Lines that wait to be made records.
#[derive(Debug)]
pub(super) struct CopyRows {
    target: InsertTarget,
    is_typed: bool,
    /// Fields are values in PostgreSQL's binary format, not text.
    is_binary: bool,
    /// Where in a line each is.
    columns: Vec<(String, PgType)>,
    values: Vec<Vec<ScalarValue>>,
    lines: Vec<u64>,
    bytes: usize,
    count: u64,
}

impl CopyRows {
    pub(super) fn new(target: InsertTarget, columns: Vec<String>, is_typed: bool) -> Self {
        let kind = |name: String| {
            let field = target.columns().field_with_name(&name);
            let kind = match field {
                // They are read as JSON, from text.
                Ok(field) if name != HEADERS => PgType::of_field(field),
                _ => PgType::TEXT,
            };
            (name, kind)
        };
        let columns: Vec<_> = columns.into_iter().map(kind).collect();
        Self {
            values: vec![Vec::new(); columns.len()],
            target,
            is_typed,
            is_binary: false,
            columns,
            lines: Vec::new(),
            bytes: 0,
            count: 0,
        }
    }

    pub(super) fn binary(target: InsertTarget, columns: Vec<String>, is_typed: bool) -> Self {
        Self {
            is_binary: true,
            ..Self::new(target, columns, is_typed)
        }
    }

    pub(super) fn topic(&self) -> &TopicName {
        &self.target.topic
    }

    /// Lines so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn is_full(&self) -> bool {
        self.lines.len() >= ROWS || self.bytes >= BYTES
    }

    /// The error, and that it is of this line.
    pub(super) fn at_line(&self, line: u64, error: PgError) -> PgError {
        error.with_context(format!("COPY {}, line {line}", self.target.topic))
    }

    /// Takes the fields of a line.
    pub(super) fn push(&mut self, line: u64, fields: Fields) -> Result<(), PgError> {
        if fields.len() != self.columns.len() {
            let message = match self.columns.get(fields.len()) {
                Some((missing, _)) => format!("missing data for column \"{missing}\""),
                None => "extra data after last expected column".to_owned(),
            };
            return Err(self.at_line(line, PgError::new(state::BAD_COPY_FILE_FORMAT, message)));
        }
        for (index, field) in fields.into_iter().enumerate() {
            let (name, kind) = &self.columns[index];
            self.bytes += field.as_ref().map_or(0, Vec::len);
            let value = if self.is_binary {
                let field = field.map(Bytes::from);
                let value = decode::binary(*kind, field);
                value.map_err(|error| {
                    let topic = &self.target.topic;
                    error.with_context(format!("COPY {topic}, line {line}, column {name}"))
                })
            } else {
                self.text_value(index, line, field.as_deref())
            };
            self.values[index].push(value?);
        }
        self.lines.push(line);
        self.count += 1;
        Ok(())
    }

    fn text_value(
        &self,
        index: usize,
        line: u64,
        field: Option<&[u8]>,
    ) -> Result<ScalarValue, PgError> {
        let (name, kind) = &self.columns[index];
        value(*kind, field).map_err(|error| {
            let text = String::from_utf8_lossy(field.unwrap_or_default());
            let text: String = text.chars().take(SHOWN).collect();
            let topic = &self.target.topic;
            error.with_context(format!(
                "COPY {topic}, line {line}, column {name}: \"{text}\""
            ))
        })
    }

    /// The records of the lines that wait.
    pub(super) fn take(&mut self) -> Result<Vec<Record>, PgError> {
        let lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let batch = self.batch(lines.len())?;
        records(&self.target, self.is_typed, &batch).map_err(|error| {
            // One line after the other, to find the wrong one.
            for (row, line) in lines.iter().enumerate() {
                if let Err(error) = records(&self.target, self.is_typed, &batch.slice(row, 1)) {
                    return self.at_line(*line, error.into());
                }
            }
            error.into()
        })
    }

    fn batch(&mut self, rows: usize) -> Result<RecordBatch, PgError> {
        let mut given = std::collections::HashMap::new();
        for ((name, _), values) in self.columns.iter().zip(&mut self.values) {
            let values = ScalarValue::iter_to_array(std::mem::take(values))?;
            let values = if name == HEADERS {
                array_of_json(&values)?
            } else {
                values
            };
            given.insert(name.as_str(), values);
        }
        let fields = self.target.columns().fields().iter();
        let arrays = fields.map(|field| {
            let given = given.remove(field.name().as_str());
            let array = given.unwrap_or_else(|| new_null_array(field.data_type(), rows));
            let field = Field::new(field.name(), array.data_type().clone(), true);
            (field, array)
        });
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = arrays.unzip();
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
    }
}

fn value(kind: PgType, field: Option<&[u8]>) -> Result<ScalarValue, PgError> {
    let Some(bytes) = field else {
        return Ok(ScalarValue::try_from(&kind.arrow())?);
    };
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'));
    let Some(text) = text else {
        let message = "invalid byte sequence for encoding \"UTF8\"";
        return Err(PgError::new(state::CHARACTER_NOT_IN_REPERTOIRE, message));
    };
    decode::of_text(kind, text).map_err(|error| {
        if error.state != state::INVALID_TEXT_REPRESENTATION {
            return error;
        }
        let shown: String = text.chars().take(SHOWN).collect();
        let message = format!("invalid input syntax for type {}: \"{shown}\"", kind.sql());
        PgError::new(state::INVALID_TEXT_REPRESENTATION, message)
    })
}
