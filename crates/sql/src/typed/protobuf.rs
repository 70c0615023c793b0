//! Messages of Protobuf, read by their descriptor.
//!
//! Fields that are asked for become cells, the others are passed over. What is not written is the default of its type where
//! the schema cannot tell the two apart (proto3 without `optional`), and NULL elsewhere. In front of a message there may be
//! what clients of a schema registry write: a zero byte, the number of the schema, and which of its messages it is. No
//! message begins with a zero byte, so there is no doubt.

use std::borrow::Cow;
use std::collections::HashMap;

use contract::DataType;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::cell::Cell;
use super::convert;
use super::json_text::JsonText;
use super::misfit::{Faults, Misfit, NoRecord};
use super::protobuf_wire::{Broken, Value, Wire};
use super::rows::Wanted;

/// Messages nested deeper than this are not read.
const DEPTH_MAX: usize = 64;
const TIMESTAMP: &str = "google.protobuf.Timestamp";

/// Reads messages.
#[derive(Debug)]
pub(super) struct Messages {
    /// By their numbers, the cells of the fields that are wanted.
    cells: HashMap<u32, usize>,
    /// The field of each cell.
    fields: Vec<FieldDescriptor>,
}

impl Messages {
    pub(super) fn new(message: &MessageDescriptor, wanted: &[Wanted]) -> Self {
        // That there is a field for every column was looked at before.
        let fields: Vec<_> = wanted
            .iter()
            .filter_map(|wanted| message.get_field_by_name(&wanted.name))
            .collect();
        let cells = fields.iter().enumerate();
        Self {
            cells: cells.map(|(cell, field)| (field.number(), cell)).collect(),
            fields,
        }
    }

    /// Reads a message, each column into its cell.
    pub(super) fn read<'a>(
        &self,
        value: &'a [u8],
        wanted: &[Wanted],
        cells: &mut [Cell<'a>],
        faults: &mut Faults,
    ) -> Result<(), NoRecord> {
        let outcome = self.message(value, wanted, cells, faults);
        outcome.map_err(|Broken { at, cause }| NoRecord::NotProtobuf { at, cause })
    }

    fn message<'a>(
        &self,
        value: &'a [u8],
        wanted: &[Wanted],
        cells: &mut [Cell<'a>],
        faults: &mut Faults,
    ) -> Result<(), Broken> {
        let mut text = JsonText::for_value(value.len());
        // All that was written of a field that may be written more than once.
        let mut written: Vec<Vec<Value<'a>>> = vec![Vec::new(); self.fields.len()];
        let mut wire = Wire::unframed(value)?;
        while let Some((number, found)) = wire.next_field()? {
            if let Some(written) = self.cells.get(&number).and_then(|at| written.get_mut(*at)) {
                written.push(found);
            }
        }
        let columns = self.fields.iter().zip(wanted).zip(written).zip(cells);
        for (((field, column), written), cell) in columns {
            let found = read(field, &written, column.data_type, &mut text)?;
            *cell = found.unwrap_or_else(|misfit| {
                faults.add(&column.name, &misfit);
                Cell::Misfit
            });
        }
        Ok(())
    }
}

type Read<'a> = Result<Cell<'a>, Misfit<'a>>;

/// What was written of a field as a value of the column's type.
fn read<'a>(
    field: &FieldDescriptor,
    written: &[Value<'a>],
    column: DataType,
    text: &mut JsonText,
) -> Result<Read<'a>, Broken> {
    let kind = field.kind();
    let is_many = field.is_list() || field.is_map();
    if let Kind::Message(message) = &kind
        && !is_many
        && message.full_name() == TIMESTAMP
        && matches!(column, DataType::Timestamp | DataType::TimestampTz)
    {
        return if written.is_empty() {
            Ok(Ok(Cell::Absent))
        } else {
            timestamp(&joined(written)?, column)
        };
    }
    let is_nested = is_many || matches!(kind, Kind::Message(_));
    if !is_nested && column != DataType::Json {
        return match written.last() {
            Some(last) => Ok(scalar(&kind, *last)?.into_cell(&kind, column)),
            None if field.supports_presence() => Ok(Ok(Cell::Absent)),
            None => Ok(Scalar::default_of(&kind).into_cell(&kind, column)),
        };
    }
    if !matches!(column, DataType::Json | DataType::Text) {
        let found = if is_many {
            "a list or map"
        } else {
            "a message"
        };
        return Ok(Err(Misfit::Kind { found, of: column }));
    }
    if written.is_empty() && field.supports_presence() {
        return Ok(Ok(Cell::Absent));
    }
    text.begin();
    write_field(field, written, text, DEPTH_MAX)?;
    let nested = text.end().map(|text| Cell::Text(Cow::Owned(text)));
    Ok(nested.ok_or(Misfit::TooLarge))
}

/// A message that was written in several parts is all of them, one after the other.
fn joined<'a>(written: &[Value<'a>]) -> Result<Cow<'a, [u8]>, Broken> {
    if let [one] = written {
        return Ok(Cow::Borrowed(one.bytes()?));
    }
    let mut all = Vec::new();
    for part in written {
        all.extend_from_slice(part.bytes()?);
    }
    Ok(Cow::Owned(all))
}

fn timestamp<'a>(message: &[u8], column: DataType) -> Result<Read<'a>, Broken> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    let mut wire = Wire::new(message);
    while let Some((number, found)) = wire.next_field()? {
        match number {
            1 => seconds = found.varint()?.cast_signed(),
            2 => nanos = found.varint()?.cast_signed(),
            _ => {}
        }
    }
    let micros = seconds
        .checked_mul(1_000_000)
        .and_then(|micros| micros.checked_add(nanos.div_euclid(1000)));
    Ok(micros.map(Cell::Int).ok_or_else(|| Misfit::Range {
        text: Cow::Owned(format!("{seconds} s")),
        of: column,
    }))
}

/// A value that is no message.
#[derive(Clone, Copy, Debug)]
enum Scalar<'a> {
    Signed(i64),
    Unsigned(u64),
    Float(f32),
    Double(f64),
    Boolean(bool),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
}

/// What is written for a value of the kind.
#[expect(
    clippy::cast_possible_truncation,
    reason = "numbers of 32 bits are cut to them, as Protobuf wants it"
)]
fn scalar<'a>(kind: &Kind, value: Value<'a>) -> Result<Scalar<'a>, Broken> {
    let zigzag = |value: u64| (value >> 1).cast_signed() ^ -((value & 1).cast_signed());
    Ok(match kind {
        Kind::Double => Scalar::Double(f64::from_bits(value.fixed64()?)),
        Kind::Float => Scalar::Float(f32::from_bits(value.fixed32()?)),
        Kind::Int32 | Kind::Enum(_) => {
            Scalar::Signed((value.varint()?.cast_signed() as i32).into())
        }
        Kind::Int64 => Scalar::Signed(value.varint()?.cast_signed()),
        Kind::Uint32 => Scalar::Signed((value.varint()? as u32).into()),
        Kind::Uint64 => Scalar::Unsigned(value.varint()?),
        Kind::Sint32 => Scalar::Signed((zigzag(value.varint()?) as i32).into()),
        Kind::Sint64 => Scalar::Signed(zigzag(value.varint()?)),
        Kind::Fixed32 => Scalar::Signed(value.fixed32()?.into()),
        Kind::Fixed64 => Scalar::Unsigned(value.fixed64()?),
        Kind::Sfixed32 => Scalar::Signed(value.fixed32()?.cast_signed().into()),
        Kind::Sfixed64 => Scalar::Signed(value.fixed64()?.cast_signed()),
        Kind::Bool => Scalar::Boolean(value.varint()? != 0),
        Kind::String => Scalar::Text(value.bytes()?),
        Kind::Bytes | Kind::Message(_) => Scalar::Bytes(value.bytes()?),
    })
}

impl<'a> Scalar<'a> {
    fn default_of(kind: &Kind) -> Self {
        match kind {
            Kind::Double => Self::Double(0.0),
            Kind::Float => Self::Float(0.0),
            Kind::Enum(of) => Self::Signed(of.default_value().number().into()),
            Kind::Uint64 | Kind::Fixed64 => Self::Unsigned(0),
            Kind::Bool => Self::Boolean(false),
            Kind::String => Self::Text(&[]),
            Kind::Bytes | Kind::Message(_) => Self::Bytes(&[]),
            Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Fixed32
            | Kind::Sfixed32
            | Kind::Sfixed64 => Self::Signed(0),
        }
    }

    fn into_cell(self, kind: &Kind, column: DataType) -> Read<'a> {
        match self {
            Self::Signed(value) => match symbol(kind, value) {
                Some(symbol) if column == DataType::Text => Ok(Cell::Text(Cow::Owned(symbol))),
                _ => convert::integer(value, column),
            },
            Self::Unsigned(value) => match i64::try_from(value) {
                Ok(value) => convert::integer(value, column),
                Err(_too_large) => convert::text(Cow::Owned(value.to_string()), column),
            },
            Self::Float(value) => match column {
                DataType::Real | DataType::Double => Ok(Cell::Float(value.into())),
                _ => convert::text(Cow::Owned(value.to_string()), column),
            },
            Self::Double(value) => match column {
                DataType::Double => Ok(Cell::Float(value)),
                _ => convert::text(Cow::Owned(value.to_string()), column),
            },
            Self::Boolean(value) => match column {
                DataType::Boolean => Ok(Cell::Boolean(value)),
                _ => convert::text(Cow::Borrowed(if value { "true" } else { "false" }), column),
            },
            Self::Bytes(bytes) if column == DataType::Bytea => {
                Ok(Cell::Bytes(Cow::Borrowed(bytes)))
            }
            Self::Text(bytes) | Self::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => convert::text(Cow::Borrowed(text), column),
                Err(_no_text) => Err(Misfit::NotText),
            },
        }
    }

    fn write(self, kind: &Kind, text: &mut JsonText) {
        match self {
            Self::Signed(value) => match symbol(kind, value) {
                Some(symbol) => text.string(&symbol),
                None => text.display(value),
            },
            Self::Unsigned(value) => text.display(value),
            Self::Float(value) => text.float(value.is_finite(), value),
            Self::Double(value) => text.float(value.is_finite(), value),
            Self::Boolean(value) => text.display(value),
            Self::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(string) => text.string(string),
                Err(_no_text) => text.hexadecimal(bytes),
            },
            Self::Bytes(bytes) => text.hexadecimal(bytes),
        }
    }
}

/// The name of an enum's number; one that the schema does not know has none.
fn symbol(kind: &Kind, value: i64) -> Option<String> {
    let Kind::Enum(of) = kind else { return None };
    let number = i32::try_from(value).ok()?;
    Some(of.get_value(number)?.name().to_owned())
}

/// A field as JSON: a list, an object, or a single value.
fn write_field(
    field: &FieldDescriptor,
    written: &[Value<'_>],
    text: &mut JsonText,
    depth: usize,
) -> Result<(), Broken> {
    let kind = field.kind();
    if field.is_map() {
        return write_map(&kind, written, text, depth);
    }
    if field.is_list() {
        return write_list(&kind, written, text, depth);
    }
    match (&kind, written.last()) {
        (Kind::Message(message), _) => write_message(message, &joined(written)?, text, depth)?,
        (_, Some(last)) => scalar(&kind, *last)?.write(&kind, text),
        (_, None) => Scalar::default_of(&kind).write(&kind, text),
    }
    Ok(())
}

fn write_list(
    kind: &Kind,
    written: &[Value<'_>],
    text: &mut JsonText,
    depth: usize,
) -> Result<(), Broken> {
    let mut separator = "";
    text.raw("[");
    for value in written {
        if let Kind::Message(message) = kind {
            text.raw(std::mem::replace(&mut separator, ","));
            write_message(message, value.bytes()?, text, depth)?;
            continue;
        }
        let mut packed = value.packed(kind);
        while let Some(item) = packed.next_item()? {
            text.raw(std::mem::replace(&mut separator, ","));
            scalar(kind, item)?.write(kind, text);
        }
    }
    text.raw("]");
    Ok(())
}

fn write_map(
    kind: &Kind,
    written: &[Value<'_>],
    text: &mut JsonText,
    depth: usize,
) -> Result<(), Broken> {
    let Kind::Message(entry) = kind else {
        return Ok(());
    };
    let (of_key, of_value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
    text.raw("{");
    for (index, written) in written.iter().enumerate() {
        let (mut key, mut values) = (Scalar::default_of(&of_key.kind()), Vec::new());
        let mut wire = Wire::new(written.bytes()?);
        while let Some((number, found)) = wire.next_field()? {
            match number {
                1 => key = scalar(&of_key.kind(), found)?,
                2 => values.push(found),
                _ => {}
            }
        }
        let key = match key {
            Scalar::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Scalar::Boolean(value) => value.to_string(),
            Scalar::Signed(value) => value.to_string(),
            Scalar::Unsigned(value) => value.to_string(),
            // No keys are of these.
            Scalar::Float(_) | Scalar::Double(_) | Scalar::Bytes(_) => String::new(),
        };
        text.key(index == 0, &key);
        write_field(&of_value, &values, text, depth)?;
    }
    text.raw("}");
    Ok(())
}

/// The fields of a message that are written and known, in the order of their numbers.
fn write_message(
    message: &MessageDescriptor,
    bytes: &[u8],
    text: &mut JsonText,
    depth: usize,
) -> Result<(), Broken> {
    let depth = depth.checked_sub(1).ok_or(Broken {
        at: 0,
        cause: "nested too deeply",
    })?;
    let mut written = Vec::new();
    let mut wire = Wire::new(bytes);
    while let Some(found) = wire.next_field()? {
        written.push(found);
    }
    // Those of one field stay in their order.
    written.sort_by_key(|(number, _)| *number);
    let mut is_first = true;
    text.raw("{");
    for run in written.chunk_by(|(one, _), (other, _)| one == other) {
        let number = run.first().map_or(0, |(number, _)| *number);
        let Some(field) = message.get_field(number) else {
            continue;
        };
        let values: Vec<_> = run.iter().map(|(_, value)| *value).collect();
        text.key(std::mem::take(&mut is_first), field.name());
        write_field(&field, &values, text, depth)?;
    }
    text.raw("}");
    Ok(())
}
