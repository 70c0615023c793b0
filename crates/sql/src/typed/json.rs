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
use super::json_familiar::Familiar;
use super::misfit::{Faults, Misfit, NUMBER, NoRecord};
use super::rows::Wanted;

/// Reads objects.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// Which cell the value of a key belongs to.
    cells: HashMap<Box<str>, usize>,
    familiar: Familiar,
}

impl Objects {
    pub(super) fn new(wanted: &[Wanted]) -> Self {
        let names = wanted.iter().enumerate();
        Self {
            cells: names
                .map(|(cell, wanted)| (wanted.name.as_str().into(), cell))
                .collect(),
            familiar: Familiar::default(),
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
        let familiar = self.familiar.read(text, &self.cells, wanted, cells, faults);
        if familiar.is_some() {
            return Ok(());
        }
        cells.fill(Cell::Absent);
        faults.clear();
        let outcome = self.parse(text, wanted, cells, faults);
        outcome.map_err(NoRecord::from)
    }

    fn parse<'a>(
        &self,
        text: &'a str,
        wanted: &[Wanted],
        cells: &mut [Cell<'a>],
        faults: &mut Faults,
    ) -> Result<(), Ended> {
        let mut jiter = Jiter::new(text.as_bytes());
        let peek = jiter.peek()?;
        if peek != Peek::Object {
            jiter.known_skip(peek)?;
            jiter.finish()?;
            return Err(Ended::NotObject(kind(peek)));
        }
        let mut key = jiter.known_object()?;
        while let Some(name) = key {
            let cell = self.cells.get(name).copied();
            let target = cell.and_then(|at| Some((wanted.get(at)?, cells.get_mut(at)?)));
            match target.filter(|(_, cell)| cell.is_absent()) {
                None => jiter.next_skip()?,
                Some((column, cell)) => {
                    *cell = match read(&mut jiter, text, column.data_type)? {
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
}

enum Ended {
    NotJson(JiterError),
    NotObject(&'static str),
}

impl From<Ended> for NoRecord {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::NotObject(found) => Self::NotObject(found),
            Ended::NotJson(error) => Self::NotJson {
                at: error.index,
                cause: error.error_type,
            },
        }
    }
}

impl From<JiterError> for Ended {
    fn from(error: JiterError) -> Self {
        Self::NotJson(error)
    }
}

/// The next value, as one of the type.
pub(super) fn read<'a>(
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
    Ok(typed(peek, raw, of))
}

/// The text of a value, without escapes if it is a string that is read as one, as a value of the type.
pub(super) fn typed(peek: Peek, raw: &str, of: DataType) -> Result<Cell<'_>, Misfit<'_>> {
    match (peek, of) {
        (Peek::Null, _) => Ok(Cell::Null),
        (_, DataType::Json) => Ok(Cell::Text(Cow::Borrowed(raw))),
        (Peek::String, _) => {
            let quoted = raw.get(1..raw.len() - 1).unwrap_or_default();
            convert::text(Cow::Borrowed(quoted), of)
        }
        (_, DataType::Text) => Ok(Cell::Text(Cow::Borrowed(raw))),
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
    }
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
        _ => NUMBER,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wanted(columns: &[(&str, DataType)]) -> Vec<Wanted> {
        let columns = columns.iter().enumerate();
        columns
            .map(|(index, (name, data_type))| Wanted {
                name: (*name).to_owned(),
                index,
                data_type: *data_type,
                nullable: true,
            })
            .collect()
    }

    type Outcome<'a> = (Result<(), String>, Vec<Cell<'a>>, Option<String>);

    fn outcome<'a>(
        wanted: &[Wanted],
        read: impl FnOnce(&mut [Cell<'a>], &mut Faults) -> Result<(), String>,
    ) -> Outcome<'a> {
        let mut cells = vec![Cell::Absent; wanted.len()];
        let mut faults = Faults::new(true);
        let result = read(&mut cells, &mut faults);
        let faults = faults.text().map(str::to_owned);
        (result, cells, faults)
    }

    /// Members in an order that often is the same, with values of all kinds, and damage now and then.
    fn objects() -> impl Strategy<Value = Vec<String>> {
        let value = prop_oneof![
            3 => "-?[0-9]{1,3}(\\.5)?",
            3 => "\"[ -~é]{0,12}\"",
            1 => Just("\"a\\u00e9\\n\"".to_owned()),
            1 => Just("null".to_owned()),
            1 => Just("true".to_owned()),
            1 => Just("[1,{\"a\":2}]".to_owned()),
            1 => Just("{\"a\":\"}\"}".to_owned()),
            1 => Just("01".to_owned()),
        ];
        let key = prop_oneof![6 => Just(true), 1 => Just(false)];
        let members = proptest::collection::vec((key, value), 5);
        let spaces = prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("\t\n")];
        let damage = prop_oneof![8 => Just(None), 1 => (0_usize..80, "[{}\",:a0]").prop_map(Some)];
        let object =
            (members, spaces, damage, any::<u8>()).prop_map(|(members, space, damage, turn)| {
                const KEYS: [&str; 5] = ["a", "b", "c", "d", "a"];
                let mut members: Vec<_> = members
                    .into_iter()
                    .zip(KEYS)
                    .filter(|((is_there, _), _)| *is_there)
                    .map(|((_, value), key)| format!("\"{key}\"{space}:{space}{value}"))
                    .collect();
                if turn < 40 && !members.is_empty() {
                    members.rotate_left(1);
                }
                let separator = format!("{space},{space}");
                let mut text = format!("{space}{{{space}{}{space}}}", members.join(&separator));
                if let Some((at, with)) = damage
                    && let Some((at, _)) = text.char_indices().nth(at)
                {
                    text.insert_str(at, &with);
                }
                text
            });
        proptest::collection::vec(object, 1..12)
    }

    proptest! {
        /// What was read before changes nothing.
        #[test]
        fn familiar_objects_are_read_as_the_parser_reads_them(objects in objects()) {
            let wanted = wanted(&[("a", DataType::Int), ("b", DataType::Text), ("c", DataType::Json)]);
            let mut reader = Objects::new(&wanted);
            let parser = Objects::new(&wanted);
            for object in &objects {
                let read = outcome(&wanted, |cells, faults| {
                    reader.read(object.as_bytes(), &wanted, cells, faults).map_err(|error| error.to_string())
                });
                let expected = outcome(&wanted, |cells, faults| {
                    parser.parse(object, &wanted, cells, faults).map_err(|error| NoRecord::from(error).to_string())
                });
                prop_assert_eq!(read, expected, "{}", object);
            }
        }
    }

    /// Otherwise the test above compares the parser with itself.
    #[test]
    fn objects_are_familiar() {
        let wanted = wanted(&[("a", DataType::Int), ("b", DataType::Text)]);
        let (names, mut familiar) = (Objects::new(&wanted).cells, Familiar::default());
        let mut is_familiar = |text: &'static str| {
            let read = outcome(&wanted, |cells, faults| {
                let read = familiar.read(text, &names, &wanted, cells, faults);
                read.ok_or_else(String::new)
            });
            read.0.is_ok().then_some(read.1)
        };
        let cells = |a: i64, b: &'static str| vec![Cell::Int(a), Cell::Text(Cow::Borrowed(b))];
        assert_eq!(is_familiar(r#"{"a":1,"b":"x"}"#), Some(cells(1, "x")));
        assert_eq!(
            is_familiar(r#"{"a":2,"c":[2],"b":"y"}"#),
            Some(cells(2, "y"))
        );
        assert_eq!(
            is_familiar(r#" { "b" : "z", "a":3 } "#),
            Some(cells(3, "z"))
        );
        assert_eq!(is_familiar(r#"{"a":4,"b":"","a":5}"#), Some(cells(4, "")));
        assert_eq!(is_familiar(r#"{"a":1{"a":1}"#), None);
        assert_eq!(is_familiar(r#"{"a":1,"b":"x"}}"#), None);
        assert_eq!(is_familiar(r#"{,"a":1}"#), None);
        assert_eq!(is_familiar("{}"), Some(vec![Cell::Absent, Cell::Absent]));
        assert_eq!(is_familiar(r#"{"a":1,}"#), None);
        assert_eq!(is_familiar(r#"{"a":1"#), None);
    }
}
