//! Data of Avro, read by the schema they were written with.
//!
//! A datum is read where it lies: a field that is asked for becomes a cell, the others are passed over. In front of it there
//! may be the 5 bytes of a schema registry's clients, a zero byte and the number of the schema; a datum may begin with a
//! zero byte too, so one is tried after the other, and the one counts that leaves no byte over.
//!
//! Invariant: items that take no bytes are counted, and text that is longer than the datum is bounded, so that a few bytes
//! are neither endless work nor endless memory.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use contract::DataType;

use super::avro_schema::{Meaning, Schema, Shape, Type};
use super::cell::Cell;
use super::convert;
use super::json_text::JsonText;
use super::misfit::{Faults, Misfit, NoRecord};
use super::rows::Wanted;

/// A zero byte and the number of a schema.
const FRAME_BYTES: usize = 5;
/// A datum nested deeper than this is not read.
const DEPTH_MAX: usize = 64;
/// A datum may have so many items more than bytes.
const EMPTY_ITEMS_MAX: usize = 64 << 10;

/// Reads data.
#[derive(Debug)]
pub(super) struct Data {
    schema: Arc<Schema>,
    /// The cell of each field of the record, if it is wanted.
    cells: Vec<Option<usize>>,
}

impl Data {
    pub(super) fn new(schema: Arc<Schema>, wanted: &[Wanted]) -> Self {
        let fields = schema.fields().iter();
        let cells: HashMap<_, _> = wanted
            .iter()
            .enumerate()
            .map(|(cell, wanted)| (wanted.name.as_str(), cell))
            .collect();
        let cell = |name: &str| cells.get(name).copied();
        Self {
            cells: fields.map(|(name, _)| cell(name)).collect(),
            schema,
        }
    }

    /// Reads a datum, each column into its cell.
    pub(super) fn read<'a>(
        &self,
        value: &'a [u8],
        wanted: &[Wanted],
        cells: &mut [Cell<'a>],
        faults: &mut Faults,
    ) -> Result<(), NoRecord> {
        if let [0, _, _, _, _, ..] = value {
            if self
                .datum(
                    Walk::new(&self.schema, value, FRAME_BYTES),
                    wanted,
                    cells,
                    faults,
                )
                .is_ok()
            {
                return Ok(());
            }
            cells.fill(Cell::Absent);
            faults.clear();
        }
        self.datum(Walk::new(&self.schema, value, 0), wanted, cells, faults)
            .map_err(|Broken { at, cause }| NoRecord::NotAvro { at, cause })
    }

    fn datum<'a>(
        &self,
        mut walk: Walk<'a, '_>,
        wanted: &[Wanted],
        cells: &mut [Cell<'a>],
        faults: &mut Faults,
    ) -> Result<(), Broken> {
        for ((_, of), cell) in walk.schema.fields().iter().zip(&self.cells) {
            let of = walk.schema.get(*of);
            let target = cell.and_then(|at| Some((wanted.get(at)?, cells.get_mut(at)?)));
            let Some((column, cell)) = target else {
                walk.skip(of, DEPTH_MAX)?;
                continue;
            };
            *cell = walk.value(of, column.data_type)?.unwrap_or_else(|misfit| {
                faults.add(&column.name, &misfit);
                Cell::Misfit
            });
        }
        if walk.at < walk.bytes.len() {
            return Err(walk.broken("more bytes than the schema has"));
        }
        Ok(())
    }
}

/// The bytes are not what the schema says.
#[derive(Debug)]
struct Broken {
    at: usize,
    cause: &'static str,
}

/// A way through a datum.
#[derive(Debug)]
struct Walk<'a, 's> {
    schema: &'s Schema,
    bytes: &'a [u8],
    at: usize,
    items_left: usize,
    text: JsonText,
}

impl<'a, 's> Walk<'a, 's> {
    fn new(schema: &'s Schema, bytes: &'a [u8], at: usize) -> Self {
        Self {
            schema,
            bytes,
            at,
            items_left: bytes.len().saturating_add(EMPTY_ITEMS_MAX),
            text: JsonText::for_value(bytes.len()),
        }
    }

    fn broken(&self, cause: &'static str) -> Broken {
        Broken { at: self.at, cause }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let taken = self.bytes.get(self.at..self.at.saturating_add(count));
        let taken = taken.ok_or_else(|| self.broken("it ends too early"))?;
        self.at += count;
        Ok(taken)
    }

    /// Zigzag, seven bits to a byte, the lowest first.
    fn long(&mut self) -> Result<i64, Broken> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { break };
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
            }
        }
        Err(self.broken("a number that does not end"))
    }

    fn int(&mut self) -> Result<i64, Broken> {
        let value = self.long()?;
        let fits = i32::try_from(value).is_ok();
        fits.then_some(value)
            .ok_or_else(|| self.broken("an int of more than 32 bits"))
    }

    fn sized(&mut self) -> Result<&'a [u8], Broken> {
        let length = self.long()?;
        let length = usize::try_from(length);
        self.take(length.map_err(|_negative| self.broken("a length below zero"))?)
    }

    fn float(&mut self) -> Result<f32, Broken> {
        let bytes = self.take(4)?.try_into();
        let bytes = bytes.map_err(|_never| self.broken("it ends too early"))?;
        Ok(f32::from_le_bytes(bytes))
    }

    fn double(&mut self) -> Result<f64, Broken> {
        let bytes = self.take(8)?.try_into();
        let bytes = bytes.map_err(|_never| self.broken("it ends too early"))?;
        Ok(f64::from_le_bytes(bytes))
    }

    fn boolean(&mut self) -> Result<bool, Broken> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(self.broken("a boolean that is neither")),
        }
    }

    fn str(&mut self) -> Result<&'a str, Broken> {
        let bytes = self.sized()?;
        std::str::from_utf8(bytes).map_err(|_no_text| self.broken("a string that is no UTF-8"))
    }

    /// A union's type is that of the branch which is written.
    fn branch(&mut self, of: &'s Type) -> Result<&'s Type, Broken> {
        let Shape::Union(branches) = &of.shape else {
            return Ok(of);
        };
        let branch = usize::try_from(self.long()?).ok();
        let branch = branch.and_then(|branch| branches.get(branch));
        // Unions are not members of unions.
        branch
            .map(|branch| self.schema.get(*branch))
            .ok_or_else(|| self.broken("a branch that the union does not have"))
    }

    fn symbol(&mut self, symbols: &'s [String]) -> Result<&'s str, Broken> {
        let symbol = usize::try_from(self.int()?).ok();
        let symbol = symbol.and_then(|symbol| symbols.get(symbol));
        symbol
            .map(String::as_str)
            .ok_or_else(|| self.broken("a symbol that the enum does not have"))
    }

    /// Deeper by one.
    fn deeper(&self, depth: usize) -> Result<usize, Broken> {
        let deeper = depth.checked_sub(1);
        deeper.ok_or_else(|| self.broken("nested too deeply"))
    }

    /// How many items the next block of a list or map has, and of how many bytes it is where that is written; zero at the
    /// end.
    fn block(&mut self) -> Result<(usize, Option<usize>), Broken> {
        let count = self.long()?;
        let size = if count < 0 { Some(self.long()?) } else { None };
        let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        let left = self.items_left.checked_sub(count);
        self.items_left = left.ok_or_else(|| self.broken("more items than there are bytes"))?;
        let size = size.map(usize::try_from).transpose();
        Ok((
            count,
            size.map_err(|_negative| self.broken("a length below zero"))?,
        ))
    }

    /// Passes over a value.
    fn skip(&mut self, of: &'s Type, depth: usize) -> Result<(), Broken> {
        let depth = self.deeper(depth)?;
        match &self.branch(of)?.shape {
            Shape::Null | Shape::Union(_) => {}
            Shape::Boolean => {
                self.boolean()?;
            }
            Shape::Int => {
                self.int()?;
            }
            Shape::Long => {
                self.long()?;
            }
            Shape::Float => {
                self.take(4)?;
            }
            Shape::Double => {
                self.take(8)?;
            }
            Shape::Bytes => {
                self.sized()?;
            }
            Shape::Text => {
                self.str()?;
            }
            Shape::Fixed(size) => {
                self.take(*size)?;
            }
            Shape::Enum(symbols) => {
                self.symbol(symbols)?;
            }
            Shape::Record(fields) => {
                for (_, of) in fields {
                    self.skip(self.schema.get(*of), depth)?;
                }
            }
            Shape::List(item) => self.skip_blocks(*item, false, depth)?,
            Shape::Map(value) => self.skip_blocks(*value, true, depth)?,
        }
        Ok(())
    }

    fn skip_blocks(&mut self, of: usize, has_keys: bool, depth: usize) -> Result<(), Broken> {
        loop {
            let (count, size) = self.block()?;
            match size {
                _ if count == 0 => return Ok(()),
                Some(size) => {
                    self.take(size)?;
                }
                None => {
                    for _item in 0..count {
                        if has_keys {
                            self.str()?;
                        }
                        self.skip(self.schema.get(of), depth)?;
                    }
                }
            }
        }
    }

    /// A value as one of the column's type.
    fn value(
        &mut self,
        of: &'s Type,
        column: DataType,
    ) -> Result<Result<Cell<'a>, Misfit<'a>>, Broken> {
        let of = self.branch(of)?;
        if of.shape == Shape::Null {
            return Ok(Ok(Cell::Null));
        }
        let is_nested = matches!(of.shape, Shape::Record(_) | Shape::List(_) | Shape::Map(_));
        if column == DataType::Json || (is_nested && column == DataType::Text) {
            return self.nested(of);
        }
        Ok(match &of.shape {
            Shape::Null | Shape::Union(_) => Ok(Cell::Null),
            Shape::Boolean => boolean(self.boolean()?, column),
            Shape::Int => whole(self.int()?, of.meaning, column),
            Shape::Long => whole(self.long()?, of.meaning, column),
            Shape::Float => float(self.float()?, column),
            Shape::Double => double(self.double()?, column),
            Shape::Bytes => bytes(self.sized()?, of.meaning, column),
            Shape::Fixed(size) => bytes(self.take(*size)?, of.meaning, column),
            Shape::Text => convert::text(Cow::Borrowed(self.str()?), column),
            Shape::Enum(symbols) => {
                let symbol = self.symbol(symbols)?.to_owned();
                convert::text(Cow::Owned(symbol), column)
            }
            Shape::Record(_) | Shape::List(_) | Shape::Map(_) => {
                self.skip_known(of)?;
                let found = of.shape.name();
                Err(Misfit::Kind { found, of: column })
            }
        })
    }

    /// Passes over a value whose branch is known.
    fn skip_known(&mut self, of: &'s Type) -> Result<(), Broken> {
        self.skip(of, DEPTH_MAX)
    }

    /// A value as JSON.
    fn nested(&mut self, of: &'s Type) -> Result<Result<Cell<'a>, Misfit<'a>>, Broken> {
        self.text.begin();
        self.write(of, DEPTH_MAX)?;
        Ok(self
            .text
            .end()
            .map(|text| Cell::Text(Cow::Owned(text)))
            .ok_or(Misfit::TooLarge))
    }

    fn write(&mut self, of: &'s Type, depth: usize) -> Result<(), Broken> {
        let depth = self.deeper(depth)?;
        let of = self.branch(of)?;
        match &of.shape {
            Shape::Null | Shape::Union(_) => self.text.raw("null"),
            Shape::Boolean => {
                let value = self.boolean()?;
                self.text.display(value);
            }
            Shape::Int => self.write_whole(of.meaning, Self::int)?,
            Shape::Long => self.write_whole(of.meaning, Self::long)?,
            Shape::Float => {
                let value = self.float()?;
                self.text.float(value.is_finite(), value);
            }
            Shape::Double => {
                let value = self.double()?;
                self.text.float(value.is_finite(), value);
            }
            Shape::Bytes => {
                let bytes = self.sized()?;
                self.write_bytes(bytes, of.meaning);
            }
            Shape::Fixed(size) => {
                let bytes = self.take(*size)?;
                self.write_bytes(bytes, of.meaning);
            }
            Shape::Text => {
                let text = self.str()?;
                self.text.string(text);
            }
            Shape::Enum(symbols) => {
                let symbol = self.symbol(symbols)?;
                self.text.string(symbol);
            }
            Shape::Record(fields) => {
                self.text.raw("{");
                for (index, (name, of)) in fields.iter().enumerate() {
                    self.text.key(index == 0, name);
                    self.write(self.schema.get(*of), depth)?;
                }
                self.text.raw("}");
            }
            Shape::List(item) => {
                self.text.raw("[");
                self.write_blocks(*item, false, depth)?;
                self.text.raw("]");
            }
            Shape::Map(value) => {
                self.text.raw("{");
                self.write_blocks(*value, true, depth)?;
                self.text.raw("}");
            }
        }
        Ok(())
    }

    fn write_blocks(&mut self, of: usize, has_keys: bool, depth: usize) -> Result<(), Broken> {
        let mut is_first = true;
        loop {
            let (count, _size) = self.block()?;
            if count == 0 {
                return Ok(());
            }
            for _item in 0..count {
                if has_keys {
                    let key = self.str()?;
                    self.text.key(is_first, key);
                } else if !is_first {
                    self.text.raw(",");
                }
                is_first = false;
                self.write(self.schema.get(of), depth)?;
            }
        }
    }

    fn write_whole(
        &mut self,
        meaning: Meaning,
        read: fn(&mut Self) -> Result<i64, Broken>,
    ) -> Result<(), Broken> {
        let value = read(self)?;
        match meaning.time_text(value) {
            Some(time) => self.text.string(&time),
            None => self.text.display(value),
        }
        Ok(())
    }

    fn write_bytes(&mut self, bytes: &[u8], meaning: Meaning) {
        match meaning.bytes_text(bytes) {
            Some((number, true)) => self.text.raw(&number),
            Some((text, false)) => self.text.string(&text),
            None => self.text.hexadecimal(bytes),
        }
    }
}

type Read<'a> = Result<Cell<'a>, Misfit<'a>>;

fn boolean<'a>(value: bool, column: DataType) -> Read<'a> {
    match column {
        DataType::Boolean => Ok(Cell::Boolean(value)),
        _ => convert::text(Cow::Borrowed(if value { "true" } else { "false" }), column),
    }
}

fn whole<'a>(value: i64, meaning: Meaning, column: DataType) -> Read<'a> {
    let is_time = matches!(
        column,
        DataType::Date | DataType::Timestamp | DataType::TimestampTz | DataType::Text
    );
    match (is_time, meaning) {
        (false, _) | (_, Meaning::Plain) => convert::integer(value, column),
        (true, _) => meaning.time(value, column),
    }
}

fn float<'a>(value: f32, column: DataType) -> Read<'a> {
    match column {
        DataType::Real | DataType::Double => Ok(Cell::Float(value.into())),
        _ => convert::text(Cow::Owned(value.to_string()), column),
    }
}

fn double<'a>(value: f64, column: DataType) -> Read<'a> {
    match column {
        DataType::Double => Ok(Cell::Float(value)),
        _ => convert::text(Cow::Owned(value.to_string()), column),
    }
}

fn bytes<'a>(bytes: &'a [u8], meaning: Meaning, column: DataType) -> Read<'a> {
    if column == DataType::Bytea {
        return Ok(Cell::Bytes(Cow::Borrowed(bytes)));
    }
    match meaning.bytes_text(bytes) {
        Some((text, _)) => convert::text(Cow::Owned(text), column),
        None => match std::str::from_utf8(bytes) {
            Ok(text) => convert::text(Cow::Borrowed(text), column),
            Err(_no_text) => Err(Misfit::NotText),
        },
    }
}
