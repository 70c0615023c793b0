//! Values of Parquet as values of the declared types.
//!
//! Invariant: a value becomes another type without loss, or its row is a bad one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType as ArrowType, Field, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use contract::{Column, DataType};

use super::super::error::FilesError;
use super::super::lines::KEPT_BYTES;
use super::super::records::BadRecord;

const UTC: &str = "+00:00";

/// Rows.
pub(in super::super) struct Part {
    pub(in super::super) batch: RecordBatch,
    pub(in super::super) rows: Vec<u64>,
    pub(in super::super) bad: Vec<BadRecord>,
}

/// The type of Arrow that typed columns have.
fn arrow_type(data_type: DataType) -> ArrowType {
    match data_type {
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

/// The type of a column for one of Parquet; text if there is none that has all of its values.
pub(super) fn contract_type(data_type: &ArrowType) -> DataType {
    match data_type {
        ArrowType::Boolean => DataType::Boolean,
        ArrowType::Int8 | ArrowType::Int16 | ArrowType::UInt8 => DataType::SmallInt,
        ArrowType::Int32 | ArrowType::UInt16 => DataType::Int,
        ArrowType::Int64 | ArrowType::UInt32 => DataType::BigInt,
        ArrowType::UInt64 => DataType::Decimal {
            precision: 20,
            scale: 0,
        },
        ArrowType::Float16 | ArrowType::Float32 => DataType::Real,
        ArrowType::Float64 => DataType::Double,
        ArrowType::Decimal32(precision, scale)
        | ArrowType::Decimal64(precision, scale)
        | ArrowType::Decimal128(precision, scale)
            if *scale >= 0 =>
        {
            DataType::Decimal {
                precision: *precision,
                scale: scale.unsigned_abs(),
            }
        }
        ArrowType::Date32 | ArrowType::Date64 => DataType::Date,
        ArrowType::Timestamp(_, None) => DataType::Timestamp,
        ArrowType::Timestamp(_, Some(_)) => DataType::TimestampTz,
        ArrowType::Binary
        | ArrowType::LargeBinary
        | ArrowType::BinaryView
        | ArrowType::FixedSizeBinary(_) => DataType::Bytea,
        ArrowType::Dictionary(_, values) => contract_type(values),
        _ => DataType::Text,
    }
}

/// What may become what: Arrow would also take a number for a time.
pub(super) fn can_become(from: &ArrowType, to: DataType) -> bool {
    let from = match from {
        ArrowType::Dictionary(_, values) => values,
        from => from,
    };
    let is_text = matches!(
        from,
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View
    );
    let is_bytes = matches!(
        from,
        ArrowType::Binary
            | ArrowType::LargeBinary
            | ArrowType::BinaryView
            | ArrowType::FixedSizeBinary(_)
    );
    let is_time = matches!(
        from,
        ArrowType::Date32 | ArrowType::Date64 | ArrowType::Timestamp(..)
    );
    let fits = match to {
        DataType::Text => !from.is_nested(),
        DataType::Json => is_text,
        DataType::Bytea => is_bytes,
        DataType::Boolean => is_text || *from == ArrowType::Boolean,
        DataType::Date | DataType::Timestamp | DataType::TimestampTz => is_text || is_time,
        _ => is_text || from.is_numeric(),
    };
    fits && can_cast_types(from, &arrow_type(to))
}

/// The rows whose values become the declared types, and the others.
pub(super) fn converted(
    path: &str,
    batch: &RecordBatch,
    wanted: &[Column],
    first: u64,
) -> Result<Part, FilesError> {
    let count = batch.num_rows();
    let mut faults: Vec<Option<String>> = vec![None; count];
    let mut fields = Vec::with_capacity(wanted.len());
    let mut arrays = Vec::with_capacity(wanted.len());
    for column in wanted {
        let Some(from) = batch.column_by_name(&column.name) else {
            continue;
        };
        let target = arrow_type(column.data_type);
        let unfit = |_arrow| FilesError::Uncastable {
            path: path.to_owned(),
            column: column.name.clone(),
            found: from.data_type().to_string(),
            wanted: column.data_type,
        };
        let to = cast(from, &target).map_err(unfit)?;
        let back = is_lossy(from.data_type(), &target).then(|| cast(&to, from.data_type()));
        let back = back.transpose().map_err(unfit)?;
        for (index, fault) in faults
            .iter_mut()
            .enumerate()
            .filter(|(_, fault)| fault.is_none())
        {
            *fault = misfit(column, from, &to, back.as_ref(), index);
        }
        fields.push(Field::new(&column.name, target, true));
        arrays.push(to);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let broken = |error| failure_of_arrow(error, path, first);
    let all = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options);
    let all = all.map_err(broken)?;
    let fits: BooleanArray = faults.iter().map(|fault| Some(fault.is_none())).collect();
    let bad = faults.into_iter().enumerate().filter_map(|(index, fault)| {
        Some(BadRecord {
            row: first + index as u64,
            byte: 0,
            bytes: shown(batch, index),
            message: fault?,
        })
    });
    let bad: Vec<_> = bad.collect();
    let rows = fits
        .values()
        .set_indices()
        .map(|index| first + index as u64);
    let rows = rows.collect();
    let batch = match bad.is_empty() {
        true => all,
        false => filter_record_batch(&all, &fits).map_err(broken)?,
    };
    Ok(Part { batch, rows, bad })
}

fn cast(from: &ArrayRef, to: &ArrowType) -> Result<ArrayRef, arrow::error::ArrowError> {
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    cast_with_options(from, to, &options)
}

/// Whether a value can become another one on the way, where Arrow says nothing: what is behind a point is cut off, or digits are.
fn is_lossy(from: &ArrowType, to: &ArrowType) -> bool {
    let is_float = |of: &ArrowType| of.is_floating();
    let is_decimal = |of: &ArrowType| of.is_decimal();
    from != to && from.is_numeric() && !is_float(to) && (is_float(from) || is_decimal(from))
}

/// Why a value does not fit.
fn misfit(
    column: &Column,
    from: &ArrayRef,
    to: &ArrayRef,
    back: Option<&ArrayRef>,
    index: usize,
) -> Option<String> {
    let name = &column.name;
    if from.is_null(index) {
        return (!column.nullable)
            .then(|| format!("column {name:?} is NULL, and declared not null"));
    }
    let is_same = back.is_none_or(|back| {
        !back.is_null(index) && back.slice(index, 1).to_data() == from.slice(index, 1).to_data()
    });
    if !to.is_null(index) && is_same {
        return None;
    }
    let value = text(from, index);
    Some(format!(
        "column {name:?}: {value:?} is no {}",
        column.data_type
    ))
}

fn text(array: &dyn Array, index: usize) -> String {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array, &options);
    let text = formatter.and_then(|formatter| formatter.value(index).try_to_string());
    let mut text = text.unwrap_or_default();
    let end = text.char_indices().nth(1000).map(|(end, _)| end);
    text.truncate(end.unwrap_or(text.len()));
    text
}

/// A row as people can read it.
fn shown(batch: &RecordBatch, index: usize) -> Bytes {
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(batch.columns());
    let values = fields.map(|(field, array)| {
        let value = match array.is_null(index) {
            true => serde_json::Value::Null,
            false => serde_json::Value::String(text(array, index)),
        };
        (field.name().clone(), value)
    });
    let object: serde_json::Map<_, _> = values.collect();
    let mut bytes = serde_json::Value::Object(object).to_string().into_bytes();
    bytes.truncate(KEPT_BYTES);
    bytes.into()
}

fn failure_of_arrow(error: arrow::error::ArrowError, path: &str, row: u64) -> FilesError {
    FilesError::Parquet {
        path: path.to_owned(),
        row,
        source: error.into(),
    }
}
