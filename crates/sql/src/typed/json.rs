//! Objects of JSON, read in one pass over their bytes.
//!
//! A value of a column that is asked for is read as `jsonb_to_record` of PostgreSQL reads it: text is taken as the input of the
//! column's type, and a column of text takes everything. The rest is passed over, and checked on the way, so that what is
//! no JSON is none for every query. Of equal keys the first counts, as with the operators on `_value`.

use std::borrow::Cow;
use std::collections::HashMap;

use contract::DataType;
use jiter::{Jiter, JiterError, Peek};

use super::cell::Cell;
use super::convert;
use super::misfit::{Faults, Misfit, NoRecord};
use super::rows::Wanted;

/// So many keys are remembered, and none that is longer.
const ORDER_MAX: usize = 1024;
const KEY_BYTES_MAX: usize = 256;

/// Reads objects.
#[derive(Debug, Default)]
pub(super) struct Objects {
    cells: HashMap<Box<str>, usize>,
    /// The keys of the last objects in their order, and the cells they belong to: the next object nearly always has the same,
    /// so that a comparison finds the cell.
    order: Vec<(Box<str>, Option<usize>)>,
}

impl Objects {
    pub(super) fn new(wanted: &[Wanted]) -> Self {
        let names = wanted.iter().enumerate();
        Self {
            cells: names
                .map(|(cell, wanted)| (wanted.name.as_str().into(), cell))
                .collect(),
            order: Vec::new(),
        }
    }

    /// Reads an object, each column into its cell.
    pub(super) fn read<'a>(
        &mut self,
        value: &'a [u8],
        wanted: &[Wanted],
        cells: &mut [Cell<'a>],
        faults: &mut Faults,
    ) -> Result<(), NoRecord> {
        let text = std::str::from_utf8(value);
        let text = text.map_err(|error| NoRecord::NotText(error.valid_up_to()))?;
        let mut jiter = Jiter::new(value);
        let outcome = self.members(&mut jiter, text, wanted, cells, faults);
        outcome.map_err(|error| match error {
            Ended::NotObject(found) => NoRecord::NotObject(found),
            Ended::NotJson(error) => NoRecord::NotJson {
                at: error.index,
                cause: error.error_type,
            },
        })
    }

    fn members<'a>(
        &mut self,
        jiter: &mut Jiter<'a>,
        text: &'a str,
        wanted: &[Wanted],
        cells: &mut [Cell<'a>],
        faults: &mut Faults,
    ) -> Result<(), Ended> {
        let peek = jiter.peek()?;
        if peek != Peek::Object {
            jiter.known_skip(peek)?;
            jiter.finish()?;
            return Err(Ended::NotObject(kind(peek)));
        }
        let mut position = 0;
        let mut key = jiter.known_object()?;
        while let Some(name) = key {
            let cell = self.cell(position, name);
            position += 1;
            let target = cell.and_then(|at| Some((wanted.get(at)?, cells.get_mut(at)?)));
            match target.filter(|(_, cell)| cell.is_absent()) {
                None => jiter.next_skip()?,
                Some((column, cell)) => {
                    *cell = match read(jiter, text, column.data_type)? {
                        Ok(found) => found,
                        Err(misfit) => {
                            faults.add(&column.name, &misfit);
                            Cell::Misfit
                        }
                    };
                }
            }
            key = jiter.next_key()?;
        }
        jiter.finish()?;
        Ok(())
    }

    /// Which cell a key belongs to.
    fn cell(&mut self, position: usize, name: &str) -> Option<usize> {
        if let Some((known, cell)) = self.order.get(position)
            && **known == *name
        {
            return *cell;
        }
        let cell = self.cells.get(name).copied();
        if name.len() <= KEY_BYTES_MAX {
            let entry = (name.into(), cell);
            let remembered = self.order.len();
            match self.order.get_mut(position) {
                Some(known) => *known = entry,
                None if position == remembered && position < ORDER_MAX => self.order.push(entry),
                None => {}
            }
        }
        cell
    }
}

enum Ended {
    NotJson(JiterError),
    NotObject(&'static str),
}

impl From<JiterError> for Ended {
    fn from(error: JiterError) -> Self {
        Self::NotJson(error)
    }
}

/// The next value, as one of the type.
fn read<'a>(
    jiter: &mut Jiter<'a>,
    text: &'a str,
    of: DataType,
) -> Result<Result<Cell<'a>, Misfit<'a>>, JiterError> {
    let peek = jiter.peek()?;
    let start = jiter.current_index();
    if peek == Peek::String && of != DataType::Json {
        let string = string(jiter, text, start)?;
        return Ok(convert::text(string, of));
    }
    match peek {
        Peek::Null => jiter.known_null()?,
        Peek::True | Peek::False => drop(jiter.known_bool(peek)?),
        _ if peek.is_num() => drop(jiter.known_number_bytes(peek)?),
        _ => jiter.known_skip(peek)?,
    }
    // Its bounds are ASCII characters.
    let raw = text.get(start..jiter.current_index()).unwrap_or_default();
    Ok(match (peek, of) {
        (Peek::Null, _) => Ok(Cell::Null),
        (_, DataType::Json | DataType::Text) => Ok(Cell::Text(Cow::Borrowed(raw))),
        (Peek::True | Peek::False, DataType::Boolean) => Ok(Cell::Boolean(peek == Peek::True)),
        (
            _,
            DataType::SmallInt
            | DataType::Int
            | DataType::BigInt
            | DataType::Real
            | DataType::Double
            | DataType::Decimal { .. },
        ) if peek.is_num() => convert::number(Cow::Borrowed(raw), of),
        _ => Err(Misfit::Kind {
            found: kind(peek),
            of,
        }),
    })
}

/// The string that begins at `start`: a part of the text, or its own if there is an escape in it.
fn string<'a>(
    jiter: &mut Jiter<'a>,
    text: &'a str,
    start: usize,
) -> Result<Cow<'a, str>, JiterError> {
    let rest = text.get(start + 1..).unwrap_or_default();
    let string = jiter.known_str()?;
    let part = rest
        .get(..string.len())
        .filter(|part| part.as_ptr() == string.as_ptr());
    Ok(match part {
        Some(part) => Cow::Borrowed(part),
        None => Cow::Owned(string.to_owned()),
    })
}

fn kind(peek: Peek) -> &'static str {
    match peek {
        Peek::Null => "null",
        Peek::True | Peek::False => "a boolean",
        Peek::String => "text",
        Peek::Array => "a list",
        Peek::Object => "an object",
        _ => "a number",
    }
}
