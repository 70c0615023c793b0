//! Columns and their values: [`Column`] says what a column is and where a row has it, [`Rows`] makes a batch of rows.

use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayBuilder, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, ListBuilder,
    RecordBatch, RecordBatchOptions, StringBuilder, TimestampMillisecondBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::error::Result;
use types::Timestamp;

use crate::columns::UTC;

/// A column of the rows `R`.
pub(crate) struct Column<R> {
    pub(super) name: &'static str,
    kind: Kind,
    is_nullable: bool,
    /// What it means.
    about: &'static str,
    value: for<'a> fn(&'a R) -> Cell<'a>,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    Bigint,
    Double,
    Flag,
    /// A moment, in milliseconds.
    Time,
    Texts,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Text(&'a str),
    /// Text that no row has as such.
    Made(String),
    Int(i32),
    Bigint(i64),
    Double(f64),
    Flag(bool),
    Time(Timestamp),
    Texts(&'a [String]),
}

impl<R> Column<R> {
    /// A column in which every row has a value.
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        about: &'static str,
        value: for<'a> fn(&'a R) -> Cell<'a>,
    ) -> Self {
        Self {
            name,
            kind,
            is_nullable: false,
            about,
            value,
        }
    }

    /// A column in which rows may have none.
    pub(super) const fn nullable(
        name: &'static str,
        kind: Kind,
        about: &'static str,
        value: for<'a> fn(&'a R) -> Cell<'a>,
    ) -> Self {
        Self {
            is_nullable: true,
            ..Self::new(name, kind, about, value)
        }
    }

    /// Its name, its type as SQL writes it, and what it means.
    pub(super) fn described(&self) -> (&'static str, &'static str, &'static str) {
        (self.name, self.kind.sql(), self.about)
    }

    fn field(&self) -> Field {
        Field::new(self.name, self.kind.arrow(), self.is_nullable)
    }
}

/// The columns of a table.
pub(super) fn schema<R>(columns: &[Column<R>]) -> SchemaRef {
    let fields: Vec<_> = columns.iter().map(Column::field).collect();
    Arc::new(Schema::new(fields))
}

impl Kind {
    pub(super) fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Int => DataType::Int32,
            Self::Bigint => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Flag => DataType::Boolean,
            Self::Time => DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())),
            Self::Texts => DataType::List(Arc::new(item())),
        }
    }

    pub(super) const fn sql(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int => "int",
            Self::Bigint => "bigint",
            Self::Double => "double precision",
            Self::Flag => "boolean",
            Self::Time => "timestamp with time zone",
            Self::Texts => "text[]",
        }
    }

    fn values(self) -> Values {
        match self {
            Self::Text => Values::Text(StringBuilder::new()),
            Self::Int => Values::Int(Int32Builder::new()),
            Self::Bigint => Values::Bigint(Int64Builder::new()),
            Self::Double => Values::Double(Float64Builder::new()),
            Self::Flag => Values::Flag(BooleanBuilder::new()),
            Self::Time => {
                Values::Time(TimestampMillisecondBuilder::new().with_data_type(self.arrow()))
            }
            Self::Texts => Values::Texts(ListBuilder::new(StringBuilder::new()).with_field(item())),
        }
    }
}

fn item() -> Field {
    Field::new_list_field(DataType::Utf8, false)
}

impl Cell<'_> {
    /// Bytes it takes in a batch, about.
    fn bytes(&self) -> usize {
        size_of::<i64>()
            + match self {
                Self::Text(text) => text.len(),
                Self::Made(text) => text.len(),
                Self::Texts(texts) => texts.iter().map(|text| size_of::<i64>() + text.len()).sum(),
                _ => 0,
            }
    }
}

/// Text that may be absent.
pub(super) fn text(text: Option<&str>) -> Cell<'_> {
    text.map_or(Cell::Null, Cell::Text)
}

/// A number that may be absent.
pub(super) fn int(number: Option<i32>) -> Cell<'static> {
    number.map_or(Cell::Null, Cell::Int)
}

/// A large number that may be absent.
pub(super) fn bigint(number: Option<i64>) -> Cell<'static> {
    number.map_or(Cell::Null, Cell::Bigint)
}

/// A measure that may be absent.
pub(super) fn double(number: Option<f64>) -> Cell<'static> {
    number.map_or(Cell::Null, Cell::Double)
}

/// A count, which is never so large that it does not fit.
pub(super) fn count(number: u64) -> Cell<'static> {
    Cell::Bigint(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A moment that may be absent.
pub(super) fn time(moment: Option<Timestamp>) -> Cell<'static> {
    moment.map_or(Cell::Null, Cell::Time)
}

/// The values of a column.
#[derive(Debug)]
enum Values {
    Text(StringBuilder),
    Int(Int32Builder),
    Bigint(Int64Builder),
    Double(Float64Builder),
    Flag(BooleanBuilder),
    Time(TimestampMillisecondBuilder),
    Texts(ListBuilder<StringBuilder>),
}

impl Values {
    fn push(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (Self::Text(values), Cell::Text(text)) => values.append_value(text),
            (Self::Text(values), Cell::Made(text)) => values.append_value(text),
            (Self::Text(values), _) => values.append_null(),
            (Self::Int(values), Cell::Int(number)) => values.append_value(*number),
            (Self::Int(values), _) => values.append_null(),
            (Self::Bigint(values), Cell::Bigint(number)) => values.append_value(*number),
            (Self::Bigint(values), _) => values.append_null(),
            (Self::Double(values), Cell::Double(number)) => values.append_value(*number),
            (Self::Double(values), _) => values.append_null(),
            (Self::Flag(values), Cell::Flag(flag)) => values.append_value(*flag),
            (Self::Flag(values), _) => values.append_null(),
            (Self::Time(values), Cell::Time(moment)) => values.append_value(moment.ms()),
            (Self::Time(values), _) => values.append_null(),
            (Self::Texts(values), Cell::Texts(texts)) => {
                values.append_value(texts.iter().map(Some));
            }
            (Self::Texts(values), _) => values.append_null(),
        }
    }

    fn builder(&mut self) -> &mut dyn ArrayBuilder {
        match self {
            Self::Text(values) => values,
            Self::Int(values) => values,
            Self::Bigint(values) => values,
            Self::Double(values) => values,
            Self::Flag(values) => values,
            Self::Time(values) => values,
            Self::Texts(values) => values,
        }
    }
}

/// Rows that become a batch.
pub(super) struct Rows<R: 'static> {
    columns: Vec<&'static Column<R>>,
    values: Vec<Values>,
    count: usize,
    bytes: usize,
}

impl<R> Rows<R> {
    /// Of these columns only.
    pub(super) fn new(columns: Vec<&'static Column<R>>) -> Self {
        Self {
            values: columns.iter().map(|column| column.kind.values()).collect(),
            columns,
            count: 0,
            bytes: 0,
        }
    }

    pub(super) fn push(&mut self, row: &R) {
        for (column, values) in self.columns.iter().zip(&mut self.values) {
            let cell = (column.value)(row);
            self.bytes += cell.bytes();
            values.push(&cell);
        }
        self.count += 1;
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bytes that they take, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The batch, after which there are none.
    pub(super) fn finish(&mut self, schema: &SchemaRef) -> Result<RecordBatch> {
        let arrays = self
            .values
            .iter_mut()
            .map(|values| values.builder().finish());
        // Without columns the number of rows is all there is.
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        let batch =
            RecordBatch::try_new_with_options(Arc::clone(schema), arrays.collect(), &options)?;
        self.count = 0;
        self.bytes = 0;
        Ok(batch)
    }
}
