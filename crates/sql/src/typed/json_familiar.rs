//! [`Familiar`]: objects like those before, read by comparing bytes.
//!
//! The records of a topic are nearly always written by one program: the same members in the same order with the same spaces.
//! What stands between two values, such as `,"distance":`, is remembered once it was understood; where the next object has the
//! same bytes, nothing is left to understand, and the value behind them begins.
//!
//! Invariant: an object that is read here would be read by the parser, with the same values; whatever is out of the
//! ordinary is left to the parser.

use std::collections::HashMap;

use jiter::{Jiter, Peek};

use super::cell::Cell;
use super::json::{read, typed};
use super::json_scan::{plain_end, space_end, string_end};
use super::misfit::Faults;
use super::rows::Wanted;

/// So many members are remembered, and no lead that is longer.
const LEADS_MAX: usize = 1024;
const LEAD_BYTES_MAX: usize = 256;
/// Members that are left out now and then are skipped, so many in a row.
const LOOK_AHEAD: usize = 8;

/// What stands before a value: from the end of the one before, or the beginning of the object, to its first byte.
#[derive(Debug)]
struct Lead {
    bytes: Box<[u8]>,
    /// Whether it begins an object.
    is_first: bool,
    /// Where the value belongs, if anybody asked for it.
    cell: Option<usize>,
}

/// What the last objects looked like.
#[derive(Debug, Default)]
pub(super) struct Familiar {
    leads: Vec<Lead>,
}

/// Where reading an object has got to.
#[derive(Clone, Copy, Debug)]
struct Position {
    /// In its bytes.
    at: usize,
    /// Which lead is expected.
    place: usize,
    is_first: bool,
}

enum Next {
    /// The value begins where the position is.
    Value(Option<usize>),
    /// The object is over.
    End,
}

impl Familiar {
    /// Reads an object, each column into its cell. `None`: it is for the parser, and what the cells have is of no use.
    pub(super) fn read<'a>(
        &mut self,
        text: &'a str,
        names: &HashMap<Box<str>, usize>,
        wanted: &[Wanted],
        cells: &mut [Cell<'a>],
        faults: &mut Faults,
    ) -> Option<()> {
        let mut position = Position {
            at: 0,
            place: 0,
            is_first: true,
        };
        while let Next::Value(cell) = self.next(text.as_bytes(), &mut position, names)? {
            let target = cell.and_then(|at| Some((wanted.get(at)?, cells.get_mut(at)?)));
            position.at = match target.filter(|(_, cell)| cell.is_absent()) {
                None => skip(text, position.at)?,
                Some((column, cell)) => {
                    let (found, end) = value(text, position.at, column)?;
                    *cell = match found {
                        Ok(found) => found,
                        Err(misfit) => {
                            faults.add(&column.name, &misfit);
                            Cell::Misfit
                        }
                    };
                    end
                }
            };
        }
        Some(())
    }

    /// Goes on to the next value or the end.
    fn next(
        &mut self,
        bytes: &[u8],
        position: &mut Position,
        names: &HashMap<Box<str>, usize>,
    ) -> Option<Next> {
        let rest = bytes.get(position.at..)?;
        let expected = self.leads.get(position.place..).unwrap_or_default();
        let ahead = expected.iter().take(LOOK_AHEAD);
        let known = ahead
            .enumerate()
            .find(|(_, lead)| lead.is_first == position.is_first && rest.starts_with(&lead.bytes));
        if let Some((skipped, lead)) = known {
            position.at += lead.bytes.len();
            position.place += skipped + 1;
            position.is_first = false;
            return Some(Next::Value(lead.cell));
        }
        let Some(name) = lead(bytes, position)? else {
            return Some(Next::End);
        };
        let cell = names.get(name.text).copied();
        self.remember(bytes.get(position.at..name.value_at)?, position, cell);
        position.at = name.value_at;
        position.is_first = false;
        Some(Next::Value(cell))
    }

    /// Members that are left out now and then find their places between the others.
    fn remember(&mut self, bytes: &[u8], position: &mut Position, cell: Option<usize>) {
        if bytes.len() > LEAD_BYTES_MAX || self.leads.len() >= LEADS_MAX {
            return;
        }
        let lead = Lead {
            bytes: bytes.into(),
            is_first: position.is_first,
            cell,
        };
        self.leads
            .insert(position.place.min(self.leads.len()), lead);
        position.place += 1;
    }
}

struct Name<'a> {
    text: &'a str,
    value_at: usize,
}

/// What stands before the next value, understood. `Some(None)` at the end of the object, behind which is nothing.
fn lead<'a>(bytes: &'a [u8], position: &Position) -> Option<Option<Name<'a>>> {
    let mark = space_end(bytes, position.at);
    let behind_mark = space_end(bytes, mark + 1);
    let is_end =
        |at: usize| bytes.get(at) == Some(&b'}') && space_end(bytes, at + 1) == bytes.len();
    let quote = match (position.is_first, bytes.get(mark)?) {
        (true, b'{') if is_end(behind_mark) => return Some(None),
        (false, b'}') if is_end(mark) => return Some(None),
        (true, b'{') | (false, b',') => behind_mark,
        _ => return None,
    };
    if bytes.get(quote)? != &b'"' {
        return None;
    }
    let name_end = string_end(bytes, quote + 1)?;
    let text = std::str::from_utf8(bytes.get(quote + 1..name_end)?).ok()?;
    let colon = space_end(bytes, name_end + 1);
    if bytes.get(colon)? != &b':' {
        return None;
    }
    let value_at = space_end(bytes, colon + 1);
    Some(Some(Name { text, value_at }))
}

/// Behind the value that begins at `at`.
fn skip(text: &str, at: usize) -> Option<usize> {
    plain_end(text.as_bytes(), at).or_else(|| {
        let mut jiter = Jiter::new(text.as_bytes().get(at..)?);
        jiter.next_skip().ok()?;
        Some(at + jiter.current_index())
    })
}

type Found<'a> = Result<Cell<'a>, super::misfit::Misfit<'a>>;

/// The value that begins at `at`, and what is behind it.
fn value<'a>(text: &'a str, at: usize, column: &Wanted) -> Option<(Found<'a>, usize)> {
    if let Some(end) = plain_end(text.as_bytes(), at) {
        let peek = Peek::new(*text.as_bytes().get(at)?);
        return Some((typed(peek, text.get(at..end)?, column.data_type), end));
    }
    let rest = text.get(at..)?;
    let mut jiter = Jiter::new(rest.as_bytes());
    let found = read(&mut jiter, rest, column.data_type).ok()?;
    Some((found, at + jiter.current_index()))
}
