//! [`Encoder`]: rows become values of records: an object of JSON each. INSERT writes its values with it too.
//!
//! Invariant: what is written here is read back by the same contract as the same values, NULL included.

use std::io::Write as _;

use chrono::{DateTime, Datelike, Timelike};
use contract::{Column, DataType as Declared};
use datafusion::arrow::array::types::{
    Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Decimal128Array, PrimitiveArray,
    RecordBatch, StringViewArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};
use datafusion::error::{DataFusionError, Result};

use crate::columns::hexadecimal;
use crate::typed::arrow_type;
use crate::write::RowError;

/// Writes rows with columns of a contract.
#[derive(Clone, Debug)]
pub struct Encoder {
    columns: Vec<Column>,
    objects: Objects,
}

/// Values one behind the other, so that all of a batch take one piece of memory.
#[derive(Clone, Debug, Default)]
pub struct Values {
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Values {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// That of a row.
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let end = *self.ends.get(row)?;
        let before = row.checked_sub(1).and_then(|before| self.ends.get(before));
        self.bytes.get(before.copied().unwrap_or_default()..end)
    }

    /// All of them, in the order of the rows.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|row| self.get(row))
    }

    /// How many bytes all of them take.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Adds one.
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl Encoder {
    /// Writes rows that have these columns, in this order.
    ///
    /// # Errors
    /// A name cannot be written, which no name of a contract is.
    pub fn new(columns: &[Column]) -> Result<Self> {
        Ok(Self {
            objects: Objects::new(columns)?,
            columns: columns.to_vec(),
        })
    }

    /// Writes the rows into `values`, in whose place they are then.
    ///
    /// # Errors
    /// A column has values that it cannot have by its contract: numbers that are none, or what is no JSON.
    pub fn encode(&self, rows: &RecordBatch, values: &mut Values) -> Result<()> {
        values.clear();
        let arrays = rows.columns().iter().zip(&self.columns);
        let arrays = arrays.map(|(array, column)| Ok(cast(array, &arrow_type(column.data_type))?));
        let arrays: Vec<ArrayRef> = arrays.collect::<Result<_>>()?;
        let cells = self.objects.cells(&self.columns, &arrays)?;
        for row in 0..rows.num_rows() {
            write_object(&self.objects, &cells, row, &mut values.bytes)?;
            values.ends.push(values.bytes.len());
        }
        Ok(())
    }
}

/// What stands between the values of an object: `{"a":` and `,"b":`.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    heads: Vec<Vec<u8>>,
}

impl Objects {
    pub(crate) fn new(columns: &[Column]) -> Result<Self> {
        let heads = columns.iter().enumerate().map(|(index, column)| {
            let mut head = vec![if index == 0 { b'{' } else { b',' }];
            quote(&mut head, &column.name)?;
            head.push(b':');
            Ok(head)
        });
        Ok(Self {
            heads: heads.collect::<Result<_>>()?,
        })
    }

    fn cells<'a>(&self, columns: &'a [Column], arrays: &'a [ArrayRef]) -> Result<Vec<Cells<'a>>> {
        let each = columns.iter().zip(arrays);
        each.map(|(column, array)| Cells::new(column, array))
            .collect()
    }
}

/// The values of rows, of arrays that have the types of the columns.
pub(crate) fn objects_of(
    columns: &[Column],
    arrays: &[ArrayRef],
    rows: usize,
) -> Result<Vec<Vec<u8>>> {
    let objects = Objects::new(columns)?;
    let cells = objects.cells(columns, arrays)?;
    let value = |row| {
        let mut output = Vec::new();
        write_object(&objects, &cells, row, &mut output)?;
        Ok(output)
    };
    (0..rows).map(value).collect()
}

fn write_object(
    objects: &Objects,
    cells: &[Cells<'_>],
    row: usize,
    output: &mut Vec<u8>,
) -> Result<()> {
    for (head, cells) in objects.heads.iter().zip(cells) {
        output.extend_from_slice(head);
        cells.write(row, output)?;
    }
    output.push(b'}');
    Ok(())
}

/// A column, seen as what it is.
struct Cells<'a> {
    name: &'a str,
    array: &'a dyn Array,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Boolean(&'a BooleanArray),
    SmallInt(&'a PrimitiveArray<Int16Type>),
    Int(&'a PrimitiveArray<Int32Type>),
    BigInt(&'a PrimitiveArray<Int64Type>),
    Real(&'a PrimitiveArray<Float32Type>),
    Double(&'a PrimitiveArray<Float64Type>),
    Decimal(&'a Decimal128Array),
    Text(&'a StringViewArray),
    Json(&'a StringViewArray),
    Bytes(&'a BinaryViewArray),
    Date(ArrayFormatter<'a>),
    /// With what stands behind it.
    Moment(
        &'a PrimitiveArray<TimestampMicrosecondType>,
        &'static str,
        ArrayFormatter<'a>,
    ),
}

impl<'a> Cells<'a> {
    fn new(column: &'a Column, array: &'a ArrayRef) -> Result<Self> {
        let array = array.as_ref();
        let kind = match column.data_type {
            Declared::Boolean => Kind::Boolean(array.as_boolean()),
            Declared::SmallInt => Kind::SmallInt(array.as_primitive()),
            Declared::Int => Kind::Int(array.as_primitive()),
            Declared::BigInt => Kind::BigInt(array.as_primitive()),
            Declared::Real => Kind::Real(array.as_primitive()),
            Declared::Double => Kind::Double(array.as_primitive()),
            Declared::Decimal { .. } => Kind::Decimal(array.as_primitive::<Decimal128Type>()),
            Declared::Text => Kind::Text(array.as_string_view()),
            Declared::Json => Kind::Json(array.as_string_view()),
            Declared::Bytea => Kind::Bytes(array.as_binary_view()),
            Declared::Date => Kind::Date(formatter(array)?),
            Declared::Timestamp => Kind::Moment(array.as_primitive(), "", formatter(array)?),
            Declared::TimestampTz => Kind::Moment(array.as_primitive(), "Z", formatter(array)?),
        };
        let name = column.name.as_str();
        Ok(Self { name, array, kind })
    }

    fn write(&self, row: usize, output: &mut Vec<u8>) -> Result<()> {
        if self.array.is_null(row) {
            output.extend_from_slice(b"null");
            return Ok(());
        }
        match &self.kind {
            Kind::Boolean(array) => {
                output.extend_from_slice(if array.value(row) { b"true" } else { b"false" })
            }
            Kind::SmallInt(array) => number(output, array.value(row).into())?,
            Kind::Int(array) => number(output, array.value(row).into())?,
            Kind::BigInt(array) => number(output, array.value(row))?,
            Kind::Real(array) => {
                let value = array.value(row);
                self.check_finite(value.is_finite(), value)?;
                write(output, format_args!("{value}"))?;
            }
            Kind::Double(array) => {
                let value = array.value(row);
                self.check_finite(value.is_finite(), value)?;
                write(output, format_args!("{value}"))?;
            }
            Kind::Decimal(array) => output.extend(array.value_as_string(row).as_bytes()),
            Kind::Text(array) => quote(output, array.value(row))?,
            Kind::Json(array) => output.extend(checked_json(self.name, array.value(row))?.bytes()),
            Kind::Bytes(array) => quote(output, &hexadecimal(array.value(row)))?,
            Kind::Date(formatter) => quote(output, &formatter.value(row).try_to_string()?)?,
            Kind::Moment(array, zone, formatter) => {
                let familiar = write_moment(output, array.value(row), zone);
                if familiar.is_none() {
                    quote(output, &formatter.value(row).try_to_string()?)?;
                }
            }
        }
        Ok(())
    }

    /// JSON has no words for the others.
    fn check_finite(&self, is_finite: bool, value: impl ToString) -> Result<(), RowError> {
        if is_finite {
            return Ok(());
        }
        Err(RowError::NoNumber {
            column: self.name.to_owned(),
            text: value.to_string(),
        })
    }
}

fn write(output: &mut Vec<u8>, text: std::fmt::Arguments<'_>) -> Result<()> {
    output.write_fmt(text).map_err(DataFusionError::IoError)
}

fn number(output: &mut Vec<u8>, value: i64) -> Result<()> {
    serde_json::to_writer(output, &value).map_err(external)
}

fn external(error: serde_json::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn quote(output: &mut Vec<u8>, text: &str) -> Result<()> {
    serde_json::to_writer(output, text).map_err(external)
}

/// Line ends between the parts of JSON mean nothing, and a line of NDJSON has none.
pub(crate) fn checked_json(column: &str, text: &str) -> Result<String, RowError> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(_json) => Ok(text.trim().replace(['\n', '\r'], " ")),
        Err(_no_json) => Err(RowError::NoJson {
            column: column.to_owned(),
        }),
    }
}

/// Writes dates and times as ISO 8601 has them.
pub(crate) fn formatter(array: &dyn Array) -> Result<ArrayFormatter<'_>> {
    let options = FormatOptions::new()
        .with_display_error(false)
        .with_duration_format(DurationFormat::ISO8601)
        .with_date_format(Some("%Y-%m-%d"))
        .with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.fZ"));
    Ok(ArrayFormatter::try_new(array, &options)?)
}

/// What [`formatter`] writes for a moment, in quotes, of years with four digits; `None` and nothing for others.
fn write_moment(output: &mut Vec<u8>, micros: i64, zone: &str) -> Option<()> {
    let moment = DateTime::from_timestamp_micros(micros)?;
    let year = u32::try_from(moment.year()).ok()?;
    if year > 9999 {
        return None;
    }
    let micros = moment.nanosecond() / 1000;
    let mut text = *b"\"0000-00-00T00:00:00.000000";
    for (from, digits, number) in [
        (1, 4, year),
        (6, 2, moment.month()),
        (9, 2, moment.day()),
        (12, 2, moment.hour()),
        (15, 2, moment.minute()),
        (18, 2, moment.second()),
        (21, 6, micros),
    ] {
        digits_of(text.get_mut(from..from + digits)?, number);
    }
    let length = match micros {
        0 => 20,
        _ if micros.is_multiple_of(1000) => 24,
        _ => 27,
    };
    output.extend_from_slice(text.get(..length)?);
    output.extend_from_slice(zone.as_bytes());
    output.push(b'"');
    Some(())
}

fn digits_of(places: &mut [u8], mut number: u32) {
    for place in places.iter_mut().rev() {
        *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use contract::{Contract, DataType, Format};
    use datafusion::arrow::array::{ArrayRef, TimestampMicrosecondArray};
    use proptest::prelude::*;

    use super::super::{Decoder, Metadata, Raw};
    use super::*;

    fn text_of(micros: i64, zone: Option<&str>) -> String {
        let array = TimestampMicrosecondArray::from(vec![micros]).with_timezone_opt(zone);
        let formatter = formatter(&array).unwrap();
        serde_json::to_string(&formatter.value(0).to_string()).unwrap()
    }

    proptest! {
        #[test]
        fn moments_are_written_as_the_formatter_writes_them(
            micros in prop_oneof![-70_000_000_000_000_000_i64..260_000_000_000_000_000, (-1_000_000_000_i64..4_000_000_000).prop_map(|seconds| seconds * 1_000_000), (-1_000_i64..1_000).prop_map(|millis| millis * 1000)],
        ) {
            for (zone, suffix) in [(None, ""), (Some("+00:00"), "Z")] {
                let mut output = Vec::new();
                if write_moment(&mut output, micros, suffix).is_some() {
                    prop_assert_eq!(String::from_utf8(output).unwrap(), text_of(micros, zone));
                } else {
                    prop_assert!(output.is_empty());
                }
            }
        }

        /// An object is read back by the contract that it was written with.
        #[test]
        fn values_are_read_back_as_they_were(
            numbers in prop::collection::vec(prop::option::of(any::<i64>()), 0..20),
            texts in prop::collection::vec(prop::option::of(".{0,9}"), 20),
            floats in prop::collection::vec(prop::option::of(prop::num::f64::NORMAL), 20),
            moments in prop::collection::vec(prop::option::of(0_i64..4_000_000_000_000_000), 20),
        ) {
            let columns = vec![
                Column::new("number", DataType::BigInt),
                Column::new("text \"of\"", DataType::Text),
                Column::new("float", DataType::Double),
                Column::new("moment", DataType::TimestampTz),
            ];
            let rows = numbers.len();
            let texts = texts.into_iter().take(rows).map(|text| text.map(|text| text.replace('\0', "")));
            let arrays: Vec<ArrayRef> = vec![
                Arc::new(datafusion::arrow::array::Int64Array::from(numbers)),
                Arc::new(StringViewArray::from_iter(texts)),
                Arc::new(floats.into_iter().take(rows).collect::<PrimitiveArray<Float64Type>>()),
                Arc::new(moments.into_iter().take(rows).collect::<TimestampMicrosecondArray>().with_timezone("+00:00")),
            ];
            let batch = RecordBatch::try_new(super::super::input_schema(Metadata::None, &columns), arrays).unwrap();
            let mut values = Values::default();
            Encoder::new(&columns).unwrap().encode(&batch, &mut values).unwrap();
            prop_assert_eq!(values.len(), rows);
            let contract = Contract::new(Format::Json, columns).unwrap();
            let mut decoder = Decoder::new(Metadata::None, Some(&contract), |_| true).unwrap();
            for value in values.iter() {
                decoder.push(&Raw::of_value(value));
            }
            let decoded = decoder.finish().unwrap();
            prop_assert_eq!(decoded.misfits, vec![]);
            prop_assert_eq!(decoded.rows, batch);
        }
    }
}
