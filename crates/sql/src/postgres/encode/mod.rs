//! Values of Arrow arrays in PostgreSQL's text and binary formats.
//!
//! Invariant: the bytes fit the type that the row description names, whatever Arrow type a batch has. Each batch is first
//! brought to a few canonical Arrow types ([`canonical`]); after that no value can fail to be written.

mod canonical;
mod float;
mod list;
mod numeric;
mod time;

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::arrow::record_batch::RecordBatch;

use super::backend::Column;
use super::error::PgError;
use super::frontend::Format;
use super::types::{Kind, PgType};

/// Behind this a name has a number that only makes it unique within the plan; clients do not see it.
pub(crate) const NAME_MARK: char = '\u{1}';

/// What the session's settings say about text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// Of `timestamp with time zone`.
    pub(super) zone: Tz,
}

/// The columns that a result of this schema has.
pub(super) fn columns(schema: &Schema) -> Vec<Column> {
    let fields = schema.fields().iter();
    fields
        .map(|field| Column {
            name: field
                .name()
                .split(NAME_MARK)
                .next()
                .unwrap_or_default()
                .to_owned(),
            kind: PgType::of_field(field),
        })
        .collect()
}

/// A batch whose values can be written.
#[derive(Debug)]
pub(super) struct Rows {
    columns: Vec<(ArrayRef, PgType)>,
    pub(super) count: usize,
}

impl Rows {
    /// # Errors
    /// When a value does not fit PostgreSQL's type, such as a year in nanoseconds out of the range of microseconds.
    pub(super) fn new(batch: &RecordBatch, columns: &[Column]) -> Result<Self, PgError> {
        let arrays = batch.columns().iter().zip(columns);
        let arrays = arrays.map(|(array, column)| {
            let array = canonical::canonical(array, column.kind)?;
            Ok((array, column.kind))
        });
        Ok(Self {
            columns: arrays.collect::<Result<_, PgError>>()?,
            count: batch.num_rows(),
        })
    }

    pub(super) fn is_null(&self, row: usize, column: usize) -> bool {
        is_null(self.columns[column].0.as_ref(), row)
    }

    /// Writes a value as a row has it: its length, then its bytes; NULL is the length -1.
    pub(super) fn put(
        &self,
        row: usize,
        column: usize,
        format: Format,
        style: Style,
        output: &mut BytesMut,
    ) {
        let (array, kind) = &self.columns[column];
        put_with_length(array.as_ref(), row, *kind, format, style, output);
    }

    /// Writes the text of a value that is not NULL.
    pub(super) fn put_text(&self, row: usize, column: usize, style: Style, output: &mut BytesMut) {
        let (array, kind) = &self.columns[column];
        put_value(array.as_ref(), row, *kind, Format::Text, style, output);
    }
}

/// Arrays of type Null have no mask that says so.
fn is_null(array: &dyn Array, row: usize) -> bool {
    array.is_null(row) || array.data_type() == &DataType::Null
}

fn put_with_length(
    array: &dyn Array,
    row: usize,
    kind: PgType,
    format: Format,
    style: Style,
    output: &mut BytesMut,
) {
    if is_null(array, row) {
        output.put_i32(-1);
        return;
    }
    let start = output.len();
    output.put_i32(0);
    put_value(array, row, kind, format, style, output);
    let length = i32::try_from(output.len() - start - 4).expect("values are below 2 GiB");
    output[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Writes a value that is not NULL.
fn put_value(
    array: &dyn Array,
    row: usize,
    kind: PgType,
    format: Format,
    style: Style,
    output: &mut BytesMut,
) {
    match array.data_type() {
        DataType::Boolean => put_bool(array.as_boolean().value(row), format, output),
        DataType::Int16 => put_integer(
            i64::from(array.as_primitive::<Int16Type>().value(row)),
            2,
            format,
            output,
        ),
        DataType::Int32 => put_integer(
            i64::from(array.as_primitive::<Int32Type>().value(row)),
            4,
            format,
            output,
        ),
        DataType::Int64 => {
            let bytes = if kind.kind == Kind::Oid { 4 } else { 8 };
            put_integer(
                array.as_primitive::<Int64Type>().value(row),
                bytes,
                format,
                output,
            );
        }
        DataType::Float32 => float::put_f32(
            array.as_primitive::<Float32Type>().value(row),
            format,
            output,
        ),
        DataType::Float64 => float::put_f64(
            array.as_primitive::<Float64Type>().value(row),
            format,
            output,
        ),
        DataType::Decimal128(_, scale) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            numeric::put(&value.to_string(), *scale, format, output);
        }
        DataType::Decimal256(_, scale) => {
            let value = array.as_primitive::<Decimal256Type>().value(row);
            numeric::put(&value.to_string(), *scale, format, output);
        }
        DataType::Utf8 => put_string(array.as_string::<i32>().value(row), kind, format, output),
        DataType::LargeUtf8 => {
            put_string(array.as_string::<i64>().value(row), kind, format, output)
        }
        DataType::Utf8View => put_string(array.as_string_view().value(row), kind, format, output),
        DataType::Binary => put_bytes(array.as_binary::<i32>().value(row), format, output),
        DataType::LargeBinary => put_bytes(array.as_binary::<i64>().value(row), format, output),
        DataType::BinaryView => put_bytes(array.as_binary_view().value(row), format, output),
        DataType::FixedSizeBinary(_) => {
            let value = array.as_fixed_size_binary().value(row);
            if kind.kind == Kind::Uuid {
                put_uuid(value, format, output);
            } else {
                put_bytes(value, format, output);
            }
        }
        DataType::Date32 => time::put_date(
            array.as_primitive::<Date32Type>().value(row),
            format,
            output,
        ),
        DataType::Time64(_) => time::put_time(
            array.as_primitive::<Time64MicrosecondType>().value(row),
            format,
            output,
        ),
        DataType::Timestamp(_, zone) => {
            let value = array.as_primitive::<TimestampMicrosecondType>().value(row);
            time::put_timestamp(value, zone.is_some().then_some(style.zone), format, output);
        }
        DataType::Interval(_) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            time::put_interval(
                value.months,
                value.days,
                value.nanoseconds / 1000,
                format,
                output,
            );
        }
        DataType::List(_) => list::put(
            &array.as_list::<i32>().value(row),
            kind,
            format,
            style,
            output,
        ),
        other => unreachable!("{other} is not canonical"),
    }
}

fn put_bool(value: bool, format: Format, output: &mut BytesMut) {
    output.put_u8(match format {
        Format::Text => {
            if value {
                b't'
            } else {
                b'f'
            }
        }
        Format::Binary => u8::from(value),
    });
}

fn put_integer(value: i64, bytes: usize, format: Format, output: &mut BytesMut) {
    match format {
        Format::Text => put_display(value, output),
        Format::Binary => output.put_slice(&value.to_be_bytes()[8 - bytes..]),
    }
}

fn put_display(value: impl std::fmt::Display, output: &mut BytesMut) {
    write!(output, "{value}").expect("writing to memory does not fail");
}

fn put_string(value: &str, kind: PgType, format: Format, output: &mut BytesMut) {
    match (kind.kind, format) {
        // jsonb's binary format has a version in front of the text.
        (Kind::Jsonb, Format::Binary) => output.put_u8(1),
        (Kind::Uuid, Format::Binary) => {
            let digits = value
                .bytes()
                .filter_map(|byte| char::from(byte).to_digit(16));
            let digits: Vec<u32> = digits.collect();
            output.extend(
                digits
                    .chunks_exact(2)
                    .map(|pair| (pair[0] << 4 | pair[1]) as u8),
            );
            return;
        }
        _ => {}
    }
    // PostgreSQL's text cannot have the zero byte, and clients written in C end there.
    if format == Format::Text && value.as_bytes().contains(&0) {
        output.extend(value.bytes().filter(|byte| *byte != 0));
    } else {
        output.put_slice(value.as_bytes());
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn put_hex(value: &[u8], output: &mut BytesMut) {
    output.reserve(value.len() * 2);
    for byte in value {
        output.put_u8(HEX[usize::from(byte >> 4)]);
        output.put_u8(HEX[usize::from(byte & 15)]);
    }
}

fn put_bytes(value: &[u8], format: Format, output: &mut BytesMut) {
    match format {
        Format::Text => {
            output.put_slice(b"\\x");
            put_hex(value, output);
        }
        Format::Binary => output.put_slice(value),
    }
}

fn put_uuid(value: &[u8], format: Format, output: &mut BytesMut) {
    if format == Format::Binary {
        output.put_slice(value);
        return;
    }
    for (index, byte) in value.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            output.put_u8(b'-');
        }
        put_hex(&[*byte], output);
    }
}

#[cfg(test)]
mod tests;
