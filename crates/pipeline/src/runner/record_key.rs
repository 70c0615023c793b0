//! [`RecordKey`]: the keys of records, made of columns of rows; and whether rows are written with the keys of the records they were made of.
//!
//! Invariant: of one column it is its text, of several an object of JSON with them, and so it is read again.

use std::collections::BTreeMap;

use contract::{Column, DataType};
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::error::DataFusionError;
use sql::compute::{Encoder, Values};

use super::dead_letter::Reason;
use super::judge::Judged;

/// How keys are made.
#[derive(Debug)]
pub(super) enum RecordKey {
    None,
    /// The text of a column.
    One(usize, Column, Encoder),
    /// An object of several.
    Several(Vec<usize>, Vec<Column>, Encoder),
}

impl RecordKey {
    /// Of these of the columns.
    ///
    /// # Errors
    /// One of them is not there, or cannot be written.
    pub(super) fn new(columns: &[Column], names: &[String]) -> Result<Self, DataFusionError> {
        let places = names
            .iter()
            .map(|name| place(columns, name))
            .collect::<Result<Vec<_>, _>>()?;
        let of_key: Vec<Column> = places
            .iter()
            .filter_map(|place| columns.get(*place).cloned())
            .collect();
        let encoder = Encoder::new(&of_key)?;
        Ok(match (places.as_slice(), of_key.as_slice()) {
            ([], _) => Self::None,
            ([one], [column]) => Self::One(*one, column.clone(), encoder),
            _ => Self::Several(places, of_key, encoder),
        })
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Makes the keys of rows; one that is none is empty, and refused.
    ///
    /// # Errors
    /// The rows are not those of the columns.
    pub(super) fn encode(
        &self,
        rows: &RecordBatch,
        keys: &mut Values,
        refused: &mut Vec<(usize, Reason)>,
    ) -> Result<(), DataFusionError> {
        let (places, columns, encoder) = match self {
            Self::None => return Ok(()),
            Self::One(place, column, encoder) => (
                std::slice::from_ref(place),
                std::slice::from_ref(column),
                encoder,
            ),
            Self::Several(places, columns, encoder) => {
                (places.as_slice(), columns.as_slice(), encoder)
            }
        };
        let of_key = rows.project(places)?;
        for (column, array) in columns.iter().zip(of_key.columns()) {
            if array.null_count() == 0 {
                continue;
            }
            let nulls = (0..array.len()).filter(|row| array.is_null(*row));
            let message = format!("{} is NULL, and it is the key", column.name);
            refused.extend(nulls.map(|row| (row, Reason::new("key", message.clone()))));
        }
        encode_rows(encoder, &of_key, keys, refused)?;
        if let Self::One(_, column, _) = self {
            *keys = texts(column, keys);
        }
        Ok(())
    }
}

/// Where a column is.
pub(super) fn place(columns: &[Column], name: &str) -> Result<usize, DataFusionError> {
    let found = columns.iter().position(|column| column.name == name);
    found.ok_or_else(|| {
        DataFusionError::Plan(format!("the result has no column {name}, which `to` names"))
    })
}

/// Writes all rows; one that cannot be written is empty.
pub(super) fn encode_rows(
    encoder: &Encoder,
    rows: &RecordBatch,
    values: &mut Values,
    refused: &mut Vec<(usize, Reason)>,
) -> Result<(), DataFusionError> {
    if encoder.encode(rows, values).is_ok() {
        return Ok(());
    }
    let mut all = Values::default();
    let mut one = Values::default();
    for row in 0..rows.num_rows() {
        match encoder.encode(&rows.slice(row, 1), &mut one) {
            Ok(()) => all.push(one.get(0).unwrap_or_default()),
            Err(error) => {
                refused.push((row, Reason::new("error", error.strip_backtrace())));
                all.push(&[]);
            }
        }
    }
    *values = all;
    Ok(())
}

/// The texts of objects with one column: of `{"a":"b"}` the `b`, of `{"a":1}` the `1`.
fn texts(column: &Column, objects: &Values) -> Values {
    let mut texts = Values::default();
    // `{"name":`, as the encoder writes it.
    let head = serde_json::to_string(&column.name).map_or(0, |name| name.len() + 2);
    for object in objects.iter() {
        let value = object.get(head..object.len().saturating_sub(1));
        let value = value.unwrap_or_default();
        match serde_json::from_slice::<String>(value) {
            Ok(text) if column.data_type != DataType::Json => texts.push(text.as_bytes()),
            _ => texts.push(value),
        }
    }
    texts
}

/// How many rows are looked at.
pub(super) const LOOKED_AT: usize = 100;

/// Whether rows are written with the keys of the records that they were made of: only then does a record that deletes its key say which
/// row goes.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    has_looked: bool,
    differs: bool,
}

impl Keeping {
    /// Whether the keys of a chunk's rows are to be looked at: of the first, and of those with deletions.
    pub(super) fn wants(&self, judged: &Judged) -> bool {
        let is_settled = self.has_looked && judged.chunk.tombstones.is_empty();
        !(self.differs || is_settled)
    }

    /// Whether deletions of this chunk may pass, as far as its rows and those before show; `key_of` tells the key that a row is written
    /// with.
    pub(super) fn passes<'a>(
        &mut self,
        judged: &Judged,
        key_of: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> bool {
        if !self.wants(judged) {
            return !self.differs;
        }
        let records: Vec<u32> = judged.records.iter().copied().take(LOOKED_AT).collect();
        let of_records: BTreeMap<u32, Vec<u8>> = judged
            .chunk
            .originals
            .keys_of(&records)
            .into_iter()
            .collect();
        for (row, record) in records.iter().enumerate() {
            if let (Some(of_record), Some(of_row)) = (of_records.get(record), key_of(row)) {
                self.has_looked = true;
                self.differs |= of_record != of_row;
            }
        }
        !self.differs
    }
}

/// Why a deletion is a dead letter.
pub(super) fn deletes_nothing_known() -> Reason {
    let message = "the record deletes the key that it has in its topic, and rows are written with keys of their own, so it does not say \
                   which row goes";
    Reason::new("key", message.to_owned())
}
