//! Rows as PostgreSQL's binary COPY wants them.
//!
//! Invariant: what is encoded is what PostgreSQL can hold, so that COPY itself refuses nothing and every refusal is of a known row. What it
//! cannot hold is told before anything is sent.

use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int16Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType as ArrowType, TimeUnit};
use bytes::{BufMut, Bytes, BytesMut};
use contract::{Column, DataType};

use super::batch::{Batch, Place, Refusal};
use super::error::SinkError;
use super::numeric;

/// How much is handed on at once.
const PIECE_BYTES: usize = 128 << 10;
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: &[u8] = b"\xff\xff";
/// PostgreSQL counts from 2000-01-01, Arrow from 1970-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// 4713-01-01 BC (its Julian day 0) up to, not with, 5874898-01-01, from 2000-01-01 on.
const DAYS: Range<i64> = -2_451_545..2_145_031_949;
/// 4713-11-24 BC up to, not with, 294277-01-01, from 2000-01-01 on.
const MICROS: Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// What is sent, and what each of its rows is.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// The rows, one behind the other.
    pieces: Vec<Bytes>,
    /// Where each begins, and the last one ends: the number of a piece, and the place in it.
    starts: Vec<(usize, usize)>,
    pub(crate) places: Vec<Place>,
    pub(crate) has_deletes: bool,
}

impl Encoded {
    /// The numbers of all rows.
    pub(crate) fn all(&self) -> Range<i32> {
        0..i32::try_from(self.places.len()).unwrap_or(i32::MAX)
    }

    /// What COPY gets for some of the rows.
    pub(crate) fn copy_of(&self, rows: &Range<i32>) -> Vec<Bytes> {
        let start = |row: i32| {
            let row = usize::try_from(row).unwrap_or_default();
            self.starts.get(row).copied().unwrap_or_default()
        };
        let (from, to) = (start(rows.start), start(rows.end));
        let mut sent = vec![Bytes::from_static(SIGNATURE)];
        let pieces = self.pieces.iter().enumerate();
        for (at, piece) in pieces.skip(from.0).take_while(|(at, _)| *at <= to.0) {
            let begin = if at == from.0 { from.1 } else { 0 };
            let end = if at == to.0 { to.1 } else { piece.len() };
            sent.push(piece.slice(begin..end));
        }
        sent.push(Bytes::from_static(TRAILER));
        sent
    }
}

/// The rows of a batch for the stage: number, and with a key whether it deletes and the texts of the key; then the columns.
pub(crate) fn encode(
    batch: &Batch<'_>,
    columns: &[Column],
    key: &[usize],
) -> Result<Encoded, SinkError> {
    let places = batch.places();
    let cells = cells(batch, columns)?;
    let mut refused = Vec::new();
    let mut has_deletes = false;
    let mut pieces = Vec::new();
    let mut starts = Vec::with_capacity(places.len() + 1);
    let mut buffer = BytesMut::with_capacity(PIECE_BYTES);
    let key_fields = if key.is_empty() { 0 } else { 1 + key.len() };
    let fields = 1 + key_fields + columns.len();
    let fields =
        i16::try_from(fields).map_err(|_many| SinkError::Batch("too many columns".to_owned()))?;
    for (number, place) in places.iter().enumerate() {
        starts.push((pieces.len(), buffer.len()));
        buffer.put_i16(fields);
        let number =
            i32::try_from(number).map_err(|_many| SinkError::Batch("too many rows".to_owned()))?;
        buffer.put_i32(4);
        buffer.put_i32(number);
        match *place {
            Place::Row(row) => {
                if !key.is_empty() {
                    put_bool(&mut buffer, false);
                    key.iter().for_each(|_column| put_null(&mut buffer));
                }
                for (index, (cells, column)) in cells.iter().zip(columns).enumerate() {
                    let is_key = key.contains(&index);
                    if let Err(unfit) = put(&mut buffer, cells, row, is_key) {
                        let message = unfit.message(&column.name);
                        refused.push(Refusal::of_value(
                            *place,
                            unfit.sqlstate(),
                            &column.name,
                            message,
                        ));
                        put_null(&mut buffer);
                    }
                }
            }
            Place::Delete(at) => {
                has_deletes = true;
                put_bool(&mut buffer, true);
                let delete = batch.deletes.get(at);
                let texts = delete.map_or(&[][..], |delete| &delete.key);
                put_key(&mut buffer, *place, texts, columns, key, &mut refused)?;
                columns.iter().for_each(|_column| put_null(&mut buffer));
            }
        }
        if buffer.len() >= PIECE_BYTES {
            pieces.push(buffer.split().freeze());
        }
    }
    starts.push((pieces.len(), buffer.len()));
    pieces.push(buffer.freeze());
    if refused.is_empty() {
        Ok(Encoded {
            pieces,
            starts,
            places,
            has_deletes,
        })
    } else {
        refused.dedup_by_key(|refusal| refusal.place);
        Err(SinkError::Refused { refused })
    }
}

/// The texts of a key that is deleted.
fn put_key(
    buffer: &mut BytesMut,
    place: Place,
    texts: &[String],
    columns: &[Column],
    key: &[usize],
    refused: &mut Vec<Refusal>,
) -> Result<(), SinkError> {
    if key.is_empty() {
        return Err(SinkError::Batch("a delete needs mode: upsert".to_owned()));
    }
    if texts.len() != key.len() {
        let message = format!(
            "a key has {} values, and the table's {}",
            texts.len(),
            key.len()
        );
        refused.push(Refusal::of_value(place, "22023", "", message));
        key.iter().for_each(|_column| put_null(buffer));
        return Ok(());
    }
    for (text, at) in texts.iter().zip(key) {
        let name = columns.get(*at).map_or("", |column| &column.name);
        if text.contains('\0') {
            refused.push(Refusal::of_value(
                place,
                Unfit::ZeroByte.sqlstate(),
                name,
                Unfit::ZeroByte.message(name),
            ));
            put_null(buffer);
        } else {
            put_bytes(buffer, text.as_bytes());
        }
    }
    Ok(())
}

/// Why PostgreSQL cannot hold a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unfit {
    ZeroByte,
    Date,
    Timestamp,
    NullKey,
    TooLong,
}

impl Unfit {
    const fn sqlstate(self) -> &'static str {
        match self {
            Self::ZeroByte => "22021",
            Self::Date | Self::Timestamp => "22008",
            Self::NullKey => "23502",
            Self::TooLong => "54000",
        }
    }

    fn message(self, column: &str) -> String {
        let what = match self {
            Self::ZeroByte => "has a zero byte, which text of PostgreSQL cannot hold",
            Self::Date => "is a date out of PostgreSQL's range, 4713 BC to 5874897",
            Self::Timestamp => "is a timestamp out of PostgreSQL's range, 4713 BC to 294276",
            Self::NullKey => "is NULL, and it is in the key",
            Self::TooLong => "is longer than PostgreSQL can hold",
        };
        format!("column {column} {what}")
    }
}

/// The values of a column.
enum Cells {
    Bool(BooleanArray),
    Int2(Int16Array),
    Int4(Int32Array),
    Int8(Int64Array),
    Float4(Float32Array),
    Float8(Float64Array),
    Numeric(Decimal128Array, u32),
    Text(StringArray),
    Bytea(BinaryArray),
    Date(Date32Array),
    Timestamp(TimestampMicrosecondArray),
}

fn cells(batch: &Batch<'_>, columns: &[Column]) -> Result<Vec<Cells>, SinkError> {
    let rows = batch.rows;
    if rows.num_columns() != columns.len() {
        let (found, expected) = (rows.num_columns(), columns.len());
        return Err(SinkError::Batch(format!(
            "it has {found} columns, and the sink {expected}"
        )));
    }
    let pairs = rows.columns().iter().zip(columns);
    pairs
        .map(|(array, column)| column_cells(array, column))
        .collect()
}

fn column_cells(array: &ArrayRef, column: &Column) -> Result<Cells, SinkError> {
    let mismatch = || {
        let (found, declared) = (array.data_type(), column.data_type);
        SinkError::Batch(format!(
            "column {} is {found} and not {declared}",
            column.name
        ))
    };
    let wanted = arrow_type(column.data_type, array.data_type());
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let array = cast_with_options(array, &wanted, &options).map_err(|_says_less| mismatch())?;
    let data = array.to_data();
    Ok(match column.data_type {
        DataType::Boolean => Cells::Bool(data.into()),
        DataType::SmallInt => Cells::Int2(data.into()),
        DataType::Int => Cells::Int4(data.into()),
        DataType::BigInt => Cells::Int8(data.into()),
        DataType::Real => Cells::Float4(data.into()),
        DataType::Double => Cells::Float8(data.into()),
        DataType::Decimal { .. } => {
            let ArrowType::Decimal128(_, scale) = wanted else {
                return Err(mismatch());
            };
            let scale = u32::try_from(scale).map_err(|_negative| mismatch())?;
            Cells::Numeric(data.into(), scale)
        }
        DataType::Text | DataType::Json => Cells::Text(data.into()),
        DataType::Bytea => Cells::Bytea(data.into()),
        DataType::Date => Cells::Date(data.into()),
        DataType::Timestamp | DataType::TimestampTz => Cells::Timestamp(data.into()),
    })
}

/// How the values of a column are held here. A decimal keeps its own digits, a timestamp its own zone.
fn arrow_type(of: DataType, found: &ArrowType) -> ArrowType {
    match of {
        DataType::Boolean => ArrowType::Boolean,
        DataType::SmallInt => ArrowType::Int16,
        DataType::Int => ArrowType::Int32,
        DataType::BigInt => ArrowType::Int64,
        DataType::Real => ArrowType::Float32,
        DataType::Double => ArrowType::Float64,
        DataType::Decimal { precision, scale } => match found {
            ArrowType::Decimal128(precision, scale) if *scale >= 0 => {
                ArrowType::Decimal128(*precision, *scale)
            }
            _ => ArrowType::Decimal128(precision, i8::try_from(scale).unwrap_or_default()),
        },
        DataType::Text | DataType::Json => ArrowType::Utf8,
        DataType::Bytea => ArrowType::Binary,
        DataType::Date => ArrowType::Date32,
        DataType::Timestamp | DataType::TimestampTz => {
            let zone = match found {
                ArrowType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            ArrowType::Timestamp(TimeUnit::Microsecond, zone)
        }
    }
}

impl Cells {
    fn array(&self) -> &dyn Array {
        match self {
            Self::Bool(array) => array,
            Self::Int2(array) => array,
            Self::Int4(array) => array,
            Self::Int8(array) => array,
            Self::Float4(array) => array,
            Self::Float8(array) => array,
            Self::Numeric(array, _) => array,
            Self::Text(array) => array,
            Self::Bytea(array) => array,
            Self::Date(array) => array,
            Self::Timestamp(array) => array,
        }
    }
}

fn put(buffer: &mut BytesMut, cells: &Cells, row: usize, is_key: bool) -> Result<(), Unfit> {
    if cells.array().is_null(row) {
        if is_key {
            return Err(Unfit::NullKey);
        }
        put_null(buffer);
        return Ok(());
    }
    match cells {
        Cells::Bool(array) => put_bool(buffer, array.value(row)),
        Cells::Int2(array) => {
            buffer.put_i32(2);
            buffer.put_i16(array.value(row));
        }
        Cells::Int4(array) => {
            buffer.put_i32(4);
            buffer.put_i32(array.value(row));
        }
        Cells::Int8(array) => {
            buffer.put_i32(8);
            buffer.put_i64(array.value(row));
        }
        Cells::Float4(array) => {
            buffer.put_i32(4);
            buffer.put_f32(array.value(row));
        }
        Cells::Float8(array) => {
            buffer.put_i32(8);
            buffer.put_f64(array.value(row));
        }
        Cells::Numeric(array, scale) => numeric::put(buffer, array.value(row), *scale),
        Cells::Text(array) => {
            let text = array.value(row).as_bytes();
            if text.contains(&0) {
                return Err(Unfit::ZeroByte);
            }
            check_length(text)?;
            put_bytes(buffer, text);
        }
        Cells::Bytea(array) => {
            check_length(array.value(row))?;
            put_bytes(buffer, array.value(row));
        }
        Cells::Date(array) => {
            let days = i64::from(array.value(row)) - i64::from(EPOCH_DAYS);
            let fits = DAYS.contains(&days).then(|| i32::try_from(days).ok());
            let days = fits.flatten().ok_or(Unfit::Date)?;
            buffer.put_i32(4);
            buffer.put_i32(days);
        }
        Cells::Timestamp(array) => {
            let micros = array.value(row).checked_sub(EPOCH_MICROS);
            let micros = micros.filter(|micros| MICROS.contains(micros));
            let micros = micros.ok_or(Unfit::Timestamp)?;
            buffer.put_i32(8);
            buffer.put_i64(micros);
        }
    }
    Ok(())
}

/// PostgreSQL holds 1 GiB of a row; what is near is refused by its size rather than by COPY.
fn check_length(bytes: &[u8]) -> Result<(), Unfit> {
    const LONGEST: usize = 512 << 20;
    if bytes.len() > LONGEST {
        Err(Unfit::TooLong)
    } else {
        Ok(())
    }
}

fn put_null(buffer: &mut BytesMut) {
    buffer.put_i32(-1);
}

fn put_bool(buffer: &mut BytesMut, value: bool) {
    buffer.put_i32(1);
    buffer.put_u8(u8::from(value));
}

fn put_bytes(buffer: &mut BytesMut, bytes: &[u8]) {
    buffer.put_i32(i32::try_from(bytes.len()).unwrap_or_default());
    buffer.put_slice(bytes);
}
