//! [`ColumnBuilder`]: a typed column that grows.

use std::sync::Arc;

use contract::DataType;
use datafusion::arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int16Builder, Int32Builder, Int64Builder, StringViewBuilder,
    TimestampMicrosecondBuilder,
};
use datafusion::arrow::datatypes::{DataType as ArrowType, TimeUnit};

use super::cell::Cell;
use crate::columns::UTC;

/// What a column of the type is to the engine.
pub fn arrow_type(of: DataType) -> ArrowType {
    match of {
        DataType::Boolean => ArrowType::Boolean,
        DataType::SmallInt => ArrowType::Int16,
        DataType::Int => ArrowType::Int32,
        DataType::BigInt => ArrowType::Int64,
        DataType::Real => ArrowType::Float32,
        DataType::Double => ArrowType::Float64,
        DataType::Decimal { precision, scale } => {
            ArrowType::Decimal128(precision, i8::try_from(scale).unwrap_or(i8::MAX))
        }
        DataType::Text | DataType::Json => ArrowType::Utf8View,
        DataType::Bytea => ArrowType::BinaryView,
        DataType::Date => ArrowType::Date32,
        DataType::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, None),
        DataType::TimestampTz => ArrowType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
    }
}

/// A column that grows.
#[derive(Debug)]
pub(super) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    SmallInt(Int16Builder),
    Int(Int32Builder),
    BigInt(Int64Builder),
    Real(Float32Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder),
    Text(StringViewBuilder),
    Bytes(BinaryViewBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

/// Calls the same method of whichever builder it is.
macro_rules! every {
    ($of:expr, $builder:ident => $do:expr) => {
        match $of {
            ColumnBuilder::Boolean($builder) => $do,
            ColumnBuilder::SmallInt($builder) => $do,
            ColumnBuilder::Int($builder) => $do,
            ColumnBuilder::BigInt($builder) => $do,
            ColumnBuilder::Real($builder) => $do,
            ColumnBuilder::Double($builder) => $do,
            ColumnBuilder::Decimal($builder) => $do,
            ColumnBuilder::Text($builder) => $do,
            ColumnBuilder::Bytes($builder) => $do,
            ColumnBuilder::Date($builder) => $do,
            ColumnBuilder::Timestamp($builder) => $do,
        }
    };
}

impl ColumnBuilder {
    pub(super) fn new(of: DataType) -> Self {
        let arrow_type = arrow_type(of);
        match of {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::SmallInt => Self::SmallInt(Int16Builder::new()),
            DataType::Int => Self::Int(Int32Builder::new()),
            DataType::BigInt => Self::BigInt(Int64Builder::new()),
            DataType::Real => Self::Real(Float32Builder::new()),
            DataType::Double => Self::Double(Float64Builder::new()),
            DataType::Decimal { .. } => {
                Self::Decimal(Decimal128Builder::new().with_data_type(arrow_type))
            }
            DataType::Text | DataType::Json => Self::Text(StringViewBuilder::new()),
            DataType::Bytea => Self::Bytes(BinaryViewBuilder::new()),
            DataType::Date => Self::Date(Date32Builder::new()),
            DataType::Timestamp | DataType::TimestampTz => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(arrow_type))
            }
        }
    }

    /// Adds a value. What a cell of another kind than the column's would hold is NULL; readers make none.
    ///
    /// Returns about how many bytes it takes.
    pub(super) fn append(&mut self, cell: &Cell<'_>) -> usize {
        const VIEW_BYTES: usize = 16;
        match (&mut *self, cell) {
            (Self::Boolean(builder), Cell::Boolean(value)) => builder.append_value(*value),
            (Self::SmallInt(builder), Cell::Int(value)) => {
                builder.append_option(i16::try_from(*value).ok());
            }
            (Self::Int(builder), Cell::Int(value)) => {
                builder.append_option(i32::try_from(*value).ok());
            }
            (Self::BigInt(builder), Cell::Int(value)) => builder.append_value(*value),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it was read as one of 32 bits"
            )]
            (Self::Real(builder), Cell::Float(value)) => builder.append_value(*value as f32),
            (Self::Double(builder), Cell::Float(value)) => builder.append_value(*value),
            (Self::Decimal(builder), Cell::Decimal(value)) => {
                builder.append_value(*value);
                return 16;
            }
            (Self::Text(builder), Cell::Text(text)) => {
                builder.append_value(text);
                return VIEW_BYTES + text.len();
            }
            (Self::Bytes(builder), Cell::Bytes(bytes)) => {
                builder.append_value(bytes);
                return VIEW_BYTES + bytes.len();
            }
            (Self::Date(builder), Cell::Int(value)) => {
                builder.append_option(i32::try_from(*value).ok());
            }
            (Self::Timestamp(builder), Cell::Int(value)) => builder.append_value(*value),
            (of, _) => every!(of, builder => builder.append_null()),
        }
        8
    }

    /// The column so far, which is empty afterwards.
    pub(super) fn finish(&mut self) -> ArrayRef {
        every!(self, builder => Arc::new(builder.finish()))
    }
}
