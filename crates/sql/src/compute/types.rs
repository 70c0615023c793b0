//! The columns of an input, and which declared type a column of a result has.

use std::collections::HashMap;
use std::sync::Arc;

use contract::{Column, DataType};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};

use crate::columns::{Column as TopicColumn, Form};
pub use crate::typed::arrow_type;

/// What of a field says that its text is JSON: to Arrow it is a text like any other.
const TYPE_KEY: &str = "watertable.type";
const JSON: &str = "json";

/// The columns that say where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// Those of a topic: `_topic`, `_partition`, `_offset`, `_timestamp`, `_key`, `_value`, `_headers`.
    Topic,
    /// Those of files: `_file`, and `_row`, which counts from 0.
    File,
    /// None.
    None,
}

impl Metadata {
    /// The columns, in their order.
    pub fn fields(self) -> Vec<Field> {
        match self {
            Self::Topic => {
                let columns = TopicColumn::METADATA.into_iter();
                columns
                    .filter_map(|column| column.field(Form::Text))
                    .collect()
            }
            Self::File => vec![
                Field::new("_file", ArrowType::Utf8View, false),
                Field::new("_row", ArrowType::Int64, false),
            ],
            Self::None => Vec::new(),
        }
    }
}

/// The columns of an input: those that say where rows come from, and behind them the declared ones.
pub fn input_schema(metadata: Metadata, columns: &[Column]) -> SchemaRef {
    let mut fields = metadata.fields();
    fields.extend(columns.iter().map(field_of));
    Arc::new(Schema::new(fields))
}

fn field_of(column: &Column) -> Field {
    let field = Field::new(&column.name, arrow_type(column.data_type), column.nullable);
    match column.data_type {
        DataType::Json => {
            field.with_metadata(HashMap::from([(TYPE_KEY.to_owned(), JSON.to_owned())]))
        }
        _ => field,
    }
}

/// The type that a column of a result is declared with; `None` if no column of a contract can have its values.
pub fn declared_type(field: &Field) -> Option<DataType> {
    let is_json = || {
        field
            .metadata()
            .get(TYPE_KEY)
            .is_some_and(|name| name == JSON)
    };
    match field.data_type() {
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View if is_json() => {
            Some(DataType::Json)
        }
        ArrowType::Dictionary(_, values) => of_arrow(values),
        other => of_arrow(other),
    }
}

fn of_arrow(of: &ArrowType) -> Option<DataType> {
    Some(match of {
        ArrowType::Boolean => DataType::Boolean,
        ArrowType::Int8 | ArrowType::UInt8 | ArrowType::Int16 => DataType::SmallInt,
        ArrowType::UInt16 | ArrowType::Int32 => DataType::Int,
        ArrowType::UInt32 | ArrowType::Int64 | ArrowType::UInt64 => DataType::BigInt,
        ArrowType::Float16 | ArrowType::Float32 => DataType::Real,
        ArrowType::Float64 => DataType::Double,
        ArrowType::Decimal32(precision, scale)
        | ArrowType::Decimal64(precision, scale)
        | ArrowType::Decimal128(precision, scale) => DataType::Decimal {
            precision: *precision,
            scale: u8::try_from(*scale).ok()?,
        },
        ArrowType::Null | ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => {
            DataType::Text
        }
        ArrowType::Binary
        | ArrowType::LargeBinary
        | ArrowType::BinaryView
        | ArrowType::FixedSizeBinary(_) => DataType::Bytea,
        ArrowType::Date32 | ArrowType::Date64 => DataType::Date,
        ArrowType::Timestamp(_, None) => DataType::Timestamp,
        ArrowType::Timestamp(_, Some(_)) => DataType::TimestampTz,
        _ => return None,
    })
}
