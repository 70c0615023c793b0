//! Arrow's many types brought to the few that are written.
//!
//! Invariant: what comes out is of a type that `put_value` knows, and means the same as what came in; a value that cannot is an
//! error, never NULL.

use std::sync::Arc;

use arrow_json::writer::{EncoderOptions, make_encoder};
use datafusion::arrow::array::{Array, ArrayRef, StringBuilder};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};

use super::super::error::{PgError, state};
use super::super::types::{Kind, PgType};
use crate::export::texts_of_union;

/// The array in its canonical type, for values that are sent as `kind`.
pub(super) fn canonical(array: &ArrayRef, kind: PgType) -> Result<ArrayRef, PgError> {
    let data_type = array.data_type();
    if is_nested_json(data_type, kind) {
        return json(array);
    }
    if let DataType::Dictionary(_, value) = data_type {
        return canonical(&strictly(array, value)?, kind);
    }
    if let DataType::RunEndEncoded(_, value) = data_type {
        return canonical(&strictly(array, value.data_type())?, kind);
    }
    let target = target(data_type);
    if &target == data_type {
        return Ok(Arc::clone(array));
    }
    strictly(array, &target)
}

fn strictly(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, PgError> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    Ok(cast_with_options(array, target, &options)?)
}

fn target(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Interval(_) | DataType::Duration(_) => {
            DataType::Interval(IntervalUnit::MonthDayNano)
        }
        DataType::Dictionary(_, value) => target(value),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => {
            let item = Field::new(item.name(), target(item.data_type()), true);
            DataType::List(Arc::new(item))
        }
        other => other.clone(),
    }
}

/// Whether the values are trees that are sent as JSON.
fn is_nested_json(data_type: &DataType, kind: PgType) -> bool {
    let is_text = matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    kind.kind == Kind::Json && !kind.is_array && !is_text && data_type != &DataType::Null
}

fn json(array: &ArrayRef) -> Result<ArrayRef, PgError> {
    if let DataType::Union(..) = array.data_type() {
        return json_of_union(array);
    }
    let field: FieldRef = Arc::new(Field::new("value", array.data_type().clone(), true));
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(&field, array.as_ref(), &options)?;
    let mut texts = StringBuilder::new();
    let mut text = Vec::new();
    for row in 0..array.len() {
        if encoder.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        encoder.encode(row, &mut text);
        texts.append_value(String::from_utf8_lossy(&text));
    }
    Ok(Arc::new(texts.finish()))
}

/// The unions in which the JSON functions answer.
fn json_of_union(array: &ArrayRef) -> Result<ArrayRef, PgError> {
    match texts_of_union(array) {
        Some(texts) => Ok(Arc::new(texts)),
        None => Err(PgError::new(
            state::FEATURE_NOT_SUPPORTED,
            format!("values of type {} cannot be sent", array.data_type()),
        )),
    }
}
