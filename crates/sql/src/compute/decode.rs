//! [`Decoder`]: records become rows.
//!
//! Invariants: a record is a row or, if its contract says that its lines are, as many as it has lines; or else it is told why it is
//! none, and no row has any part of it. No value is a panic.

use std::sync::Arc;

use contract::{Contract, Format};
use datafusion::arrow::array::{
    ArrayRef, Int32Builder, Int64Builder, RecordBatch, RecordBatchOptions, StringViewBuilder,
    TimestampMillisecondBuilder,
};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use protocol::records::{Headers, NO_TIMESTAMP};

use super::types::{Metadata, input_schema};
use crate::columns::{Form, UTC};
use crate::open_batch::lines;
use crate::rows::{Cells, HeaderLists};
use crate::typed::{Compiled, ContractFault, Selection, TypedRows};

/// A record, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// Its topic, or its file.
    pub source: &'a str,
    /// Its partition; nothing where there are none.
    pub partition: i32,
    /// Its offset, or its row in the file, which counts from 0.
    pub offset: i64,
    /// Milliseconds since 1970; -1 if it has none.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value: what is decoded.
    pub value: Option<&'a [u8]>,
    /// Its headers; `None` is none at all.
    pub headers: Option<Headers<'a>>,
}

impl<'a> Raw<'a> {
    /// A record that has a value and nothing else.
    pub const fn of_value(value: &'a [u8]) -> Self {
        Self {
            source: "",
            partition: 0,
            offset: 0,
            timestamp_ms: NO_TIMESTAMP,
            key: None,
            value: Some(value),
            headers: None,
        }
    }
}

/// What became of the records since the last time.
#[derive(Debug)]
pub struct Decoded {
    /// The rows, with the columns that are wanted in the order of [`input_schema`].
    pub rows: RecordBatch,
    /// For each row which record it is of, counted from 0 in the order that they were given.
    pub records: Vec<u32>,
    /// The records that are no rows, and why.
    pub misfits: Vec<(u32, String)>,
}

/// Makes rows of records.
#[derive(Debug)]
pub struct Decoder {
    schema: SchemaRef,
    columns: Vec<Source>,
    typed: Option<TypedRows>,
    /// Looks at the lines of a record before any of them is a row.
    lines: Option<TypedRows>,
    /// A column that cannot be NULL: a tombstone is no row then.
    not_null: Option<String>,
    records: Vec<u32>,
    misfits: Vec<(u32, String)>,
    count: u32,
    bytes: usize,
}

/// Where a column comes from, with what it has so far.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are a few of them for each input, and each is asked for each record"
)]
enum Source {
    Topic(StringViewBuilder),
    Partition(Int32Builder),
    Offset(Int64Builder),
    Timestamp(TimestampMillisecondBuilder),
    Key(Cells),
    Value(Cells),
    Headers(HeaderLists),
    /// In this place among the typed ones.
    Typed(usize),
}

impl Source {
    fn of(name: &str, place: &mut usize) -> Self {
        match name {
            "_topic" | "_file" => Self::Topic(StringViewBuilder::new().with_deduplicate_strings()),
            "_partition" => Self::Partition(Int32Builder::new()),
            "_offset" | "_row" => Self::Offset(Int64Builder::new()),
            "_timestamp" => Self::Timestamp(TimestampMillisecondBuilder::new()),
            "_key" => Self::Key(Cells::new(Form::Text)),
            "_value" => Self::Value(Cells::new(Form::Text)),
            "_headers" => Self::Headers(HeaderLists::new(Form::Text)),
            _ => {
                *place += 1;
                Self::Typed(*place - 1)
            }
        }
    }

    /// Returns about how many bytes it takes.
    fn push(&mut self, raw: &Raw<'_>) -> usize {
        match self {
            Self::Topic(topics) => topics.append_value(raw.source),
            Self::Partition(partitions) => partitions.append_value(raw.partition),
            Self::Offset(offsets) => offsets.append_value(raw.offset),
            Self::Timestamp(times) => {
                let time = raw.timestamp_ms;
                times.append_option((time != NO_TIMESTAMP).then_some(time));
            }
            Self::Key(keys) => return keys.push(raw.key),
            Self::Value(values) => return values.push(raw.value),
            Self::Headers(lists) => return lists.push(raw.headers.into_iter().flatten()),
            Self::Typed(_) => return 0,
        }
        16
    }

    fn finish(&mut self, typed: Option<&mut TypedRows>) -> Result<Option<ArrayRef>, ArrowError> {
        Ok(Some(match self {
            Self::Topic(topics) => Arc::new(topics.finish()),
            Self::Partition(partitions) => Arc::new(partitions.finish()),
            Self::Offset(offsets) => Arc::new(offsets.finish()),
            Self::Timestamp(times) => Arc::new(times.finish().with_timezone(UTC)),
            Self::Key(cells) | Self::Value(cells) => cells.finish(),
            Self::Headers(lists) => lists.finish(Form::Text)?,
            Self::Typed(place) => return Ok(typed.and_then(|typed| typed.finish(*place))),
        }))
    }
}

impl Decoder {
    /// Makes rows with the columns of these names, of records with values of the contract; without one there are no columns but
    /// those of `metadata`. Whether a record fits is a matter of all columns of the contract, not of the wanted ones alone.
    ///
    /// # Errors
    /// Values cannot be read by the contract.
    pub fn new(
        metadata: Metadata,
        contract: Option<&Contract>,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Self, ContractFault> {
        let declared = contract.map_or(&[][..], Contract::columns);
        let schema = input_schema(metadata, declared);
        let fields = schema.fields().iter();
        let fields: Vec<_> = fields
            .filter(|field| wanted(field.name()))
            .cloned()
            .collect();
        let mut place = 0;
        let columns = fields
            .iter()
            .map(|field| Source::of(field.name(), &mut place))
            .collect();
        let places = declared.iter().enumerate();
        let places = places.filter(|(_, column)| wanted(&column.name));
        let places = places.map(|(place, _)| place).collect();
        let contract = contract.cloned().map(Compiled::new).transpose()?;
        let contract = contract.map(Arc::new);
        let select = |columns| {
            contract.as_ref().map(|contract| Selection {
                contract: Arc::clone(contract),
                columns,
                errors: true,
                is_strict: true,
            })
        };
        let has_lines = contract
            .as_ref()
            .is_some_and(|contract| *contract.contract().format() == Format::NdJson);
        let looks = has_lines.then(|| select(Vec::new())).flatten();
        let not_null = declared.iter().find(|column| !column.nullable);
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            columns,
            typed: select(places).as_ref().map(TypedRows::new),
            lines: looks.as_ref().map(TypedRows::new),
            not_null: not_null.map(|column| column.name.clone()),
            records: Vec::new(),
            misfits: Vec::new(),
            count: 0,
            bytes: 0,
        })
    }

    /// The columns of the rows.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// How many rows there are so far.
    pub fn rows(&self) -> usize {
        self.records.len()
    }

    /// About how many bytes the rows so far take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a record. If it does not fit it is told by [`Decoder::finish`].
    pub fn push(&mut self, raw: &Raw<'_>) {
        if let Err(message) = self.try_push(raw) {
            self.bytes += message.len();
            self.misfits.push((self.count, message));
        }
        self.count += 1;
    }

    fn try_push(&mut self, raw: &Raw<'_>) -> Result<(), String> {
        let Some(value) = raw.value else {
            return match &self.not_null {
                Some(column) => Err(format!(
                    "a record without a value, but {column} is not nullable"
                )),
                None => self.push_row(raw),
            };
        };
        let Some(look) = &mut self.lines else {
            return self.push_row(raw);
        };
        // Whoever has no line is told what a value without one lacks.
        if lines(value, 0).next().is_none() {
            return self.push_row(raw);
        }
        for (number, (_, line)) in lines(value, 0).enumerate() {
            let fits = look.push(Some(line));
            let _emptied = look.finish_errors();
            fits.map_err(|fault| format!("line {}: {}", number + 1, fault.reason()))?;
        }
        for (_, line) in lines(value, 0) {
            let value = Some(line);
            self.push_row(&Raw { value, ..*raw })?;
        }
        Ok(())
    }

    fn push_row(&mut self, raw: &Raw<'_>) -> Result<(), String> {
        if let Some(typed) = &mut self.typed {
            let pushed = typed.push(raw.value);
            self.bytes += pushed.map_err(|fault| fault.reason().to_owned())?;
        }
        for column in &mut self.columns {
            self.bytes += column.push(raw);
        }
        self.records.push(self.count);
        Ok(())
    }

    /// What became of the records so far; there are none afterwards.
    ///
    /// # Errors
    /// Columns do not make rows, which is a fault of this module.
    pub fn finish(&mut self) -> Result<Decoded, ArrowError> {
        let records = std::mem::take(&mut self.records);
        self.count = 0;
        self.bytes = 0;
        let mut arrays = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            arrays.extend(column.finish(self.typed.as_mut())?);
        }
        if let Some(typed) = &mut self.typed {
            let _nothing = typed.finish_errors();
        }
        let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
        let schema = Arc::clone(&self.schema);
        Ok(Decoded {
            rows: RecordBatch::try_new_with_options(schema, arrays, &options)?,
            records,
            misfits: std::mem::take(&mut self.misfits),
        })
    }
}
