//! Values of Parquet as values of the declared types.
//!
//! Invariant: a value becomes another type without loss, or its row is a bad one. What counts as none: a float is rounded to a shorter
//! one, a number with digits behind its point to the nearest float that shows the same digits, and a time is cut to microseconds.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options, filter_record_batch};
use arrow::datatypes::{
    DECIMAL256_MAX_PRECISION, DataType as ArrowType, Field, Float32Type, Float64Type, Schema,
    TimeUnit,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use contract::{Column, DataType};

use super::super::error::FilesError;
use super::super::lines::KEPT_BYTES;
use super::super::records::BadRecord;

const UTC: &str = "+00:00";
/// The most bytes that are shown of a value.
const TEXT_MAX: usize = 1000;
/// So many digits behind the point are looked at when a text becomes a decimal.
const DECIMAL_SCALE_COMPARED: i8 = 38;

/// Rows.
pub(in super::super) struct Part {
    pub(in super::super) batch: RecordBatch,
    pub(in super::super) rows: Vec<u64>,
    pub(in super::super) bad: Vec<BadRecord>,
    /// How many bytes the values of all of them have.
    pub(in super::super) bytes: usize,
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
        let from = &in_utc(from);
        let target = arrow_type(column.data_type);
        let unfit = |_arrow| FilesError::Uncastable {
            path: path.to_owned(),
            column: column.name.clone(),
            found: from.data_type().to_string(),
            wanted: column.data_type,
        };
        let to = cast(from, &target).map_err(unfit)?;
        let alike = alike(from, &to).map_err(unfit)?;
        for (index, fault) in faults
            .iter_mut()
            .enumerate()
            .filter(|(_, fault)| fault.is_none())
        {
            *fault = misfit(column, from, &to, alike.as_ref(), index);
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
        let message = fault?;
        let (bytes, is_cut) = shown(batch, index);
        Some(BadRecord {
            row: first + index as u64,
            byte: 0,
            bytes,
            is_cut,
            message,
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
    Ok(Part {
        batch,
        rows,
        bad,
        bytes: 0,
    })
}

fn cast(from: &ArrayRef, to: &ArrowType) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    cast_with_options(from, to, &options)
}

/// Times with a zone are those of UTC, whatever zone they are shown in.
fn in_utc(from: &ArrayRef) -> ArrayRef {
    match from.data_type() {
        ArrowType::Timestamp(unit, Some(_zone)) => {
            let in_utc = ArrowType::Timestamp(*unit, Some(UTC.into()));
            cast(from, &in_utc).unwrap_or_else(|_as_it_is| Arc::clone(from))
        }
        _ => Arc::clone(from),
    }
}

/// Where Arrow says nothing when a value becomes another one, as digits and times of day are cut off: both as they can be compared.
/// Without a first one there is nothing that could be lost.
fn alike(from: &ArrayRef, to: &ArrayRef) -> Result<Option<(ArrayRef, ArrayRef)>, ArrowError> {
    let (was, is) = (from.data_type(), to.data_type());
    let is_exact = |of: &ArrowType| of.is_integer() || of.is_decimal();
    let as_both = |data_type| Ok(Some((cast(from, &data_type)?, cast(to, &data_type)?)));
    match (was, is) {
        _ if was == is => Ok(None),
        (ArrowType::Float64, ArrowType::Float32) => Ok(None),
        _ if was.is_integer() && is_exact(is) => Ok(None),
        _ if was.is_numeric() && is.is_numeric() => Ok(Some((Arc::clone(from), cast(to, was)?))),
        (_, ArrowType::Date32) => as_both(ArrowType::Timestamp(TimeUnit::Microsecond, None)),
        _ if is.is_decimal() => as_both(ArrowType::Decimal256(
            DECIMAL256_MAX_PRECISION,
            DECIMAL_SCALE_COMPARED,
        )),
        _ => Ok(None),
    }
}

/// Why a value does not fit.
fn misfit(
    column: &Column,
    from: &ArrayRef,
    to: &ArrayRef,
    alike: Option<&(ArrayRef, ArrayRef)>,
    index: usize,
) -> Option<String> {
    let name = &column.name;
    if from.is_null(index) {
        return (!column.nullable)
            .then(|| format!("column {name:?} is NULL, and declared not null"));
    }
    let is_same = alike.is_none_or(|(was, is)| {
        was.is_null(index) || was.slice(index, 1).to_data() == is.slice(index, 1).to_data()
    });
    if !to.is_null(index) && is_same && !became_infinite(from, to, index) {
        return None;
    }
    let (value, wanted) = (text(from, index), column.data_type);
    Some(match to.is_null(index) {
        true => format!("column {name:?}: {value:?} is no {wanted}"),
        false => format!("column {name:?}: {value:?} is no {wanted} without loss"),
    })
}

/// Whether a float is too large for a shorter one.
fn became_infinite(from: &ArrayRef, to: &ArrayRef, index: usize) -> bool {
    let (Some(from), Some(to)) = (
        from.as_primitive_opt::<Float64Type>(),
        to.as_primitive_opt::<Float32Type>(),
    ) else {
        return false;
    };
    from.value(index).is_finite() && !to.value(index).is_finite()
}

fn text(array: &dyn Array, index: usize) -> String {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array, &options);
    let text = formatter.and_then(|formatter| formatter.value(index).try_to_string());
    let mut text = text.unwrap_or_default();
    text.truncate(text.floor_char_boundary(TEXT_MAX));
    text
}

/// A row as people can read it, and whether it is only its beginning.
fn shown(batch: &RecordBatch, index: usize) -> (Bytes, bool) {
    let mut is_cut = false;
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(batch.columns());
    let values = fields.map(|(field, array)| {
        let value = match array.is_null(index) {
            true => serde_json::Value::Null,
            false => {
                let text = text(array, index);
                is_cut |= text.len() >= TEXT_MAX;
                serde_json::Value::String(text)
            }
        };
        (field.name().clone(), value)
    });
    let object: serde_json::Map<_, _> = values.collect();
    let mut text = serde_json::Value::Object(object).to_string();
    is_cut |= text.len() > KEPT_BYTES;
    text.truncate(text.floor_char_boundary(KEPT_BYTES));
    (text.into(), is_cut)
}

fn failure_of_arrow(error: ArrowError, path: &str, row: u64) -> FilesError {
    FilesError::Parquet {
        path: path.to_owned(),
        row,
        source: error.into(),
    }
}
