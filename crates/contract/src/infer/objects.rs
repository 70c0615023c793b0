//! Values that are objects of JSON, or lines of them.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::guess::{Guess, of_digits, of_text};
use super::{InferError, LeftOut, Proposal};
use crate::{COLUMNS_MAX, Cause, Column, Contract, DataType, Format, name_fault};

/// What the objects of a sample have in them.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// In the order they were first seen.
    names: Vec<String>,
    guesses: HashMap<String, Guess>,
    left_out: Vec<LeftOut>,
    several_lines: bool,
    pub(super) misfits: usize,
}

pub(super) fn look(values: &[&[u8]]) -> Objects {
    let mut objects = Objects::default();
    for value in values {
        match read(value) {
            None => objects.misfits += 1,
            Some(found) => {
                objects.several_lines |= found.len() > 1;
                found.into_iter().for_each(|members| objects.add(members));
            }
        }
    }
    objects
}

/// What is in an object. Of equal keys the first counts, as for whoever reads the topic.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Members, A::Error> {
        let (mut members, mut keys) = (Vec::new(), HashSet::new());
        while let Some((key, value)) = entries.next_entry::<String, Value>()? {
            if keys.insert(key.clone()) {
                members.push((key, value));
            }
        }
        Ok(Members(members))
    }
}

/// The object of a value, or those of its lines.
fn read(value: &[u8]) -> Option<Vec<Members>> {
    if let Some(members) = object(value) {
        return Some(vec![members]);
    }
    let lines = value
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty());
    let objects: Option<Vec<_>> = lines.map(object).collect();
    objects.filter(|objects| !objects.is_empty())
}

fn object(text: &[u8]) -> Option<Members> {
    serde_json::from_slice(text).ok()
}

impl Objects {
    fn add(&mut self, members: Members) {
        for (name, value) in members.0 {
            if !self.guesses.contains_key(&name) && !self.takes(&name) {
                continue;
            }
            let guess = self.guesses.entry(name).or_default();
            if let Some(found) = of_value(&value) {
                *guess = guess.widened(found);
            }
        }
    }

    /// Makes a column of a name that is new, if it can be one.
    fn takes(&mut self, name: &str) -> bool {
        let is_full = self.names.len() == COLUMNS_MAX;
        let cause = name_fault(name).or_else(|| {
            is_full.then_some(Cause::ColumnCount {
                count: COLUMNS_MAX + 1,
            })
        });
        match cause {
            None => {
                self.names.push(name.to_owned());
                true
            }
            Some(cause) => {
                let is_known = self.left_out.iter().any(|left| left.name == name);
                if !is_known && self.left_out.len() < COLUMNS_MAX {
                    let name = name.to_owned();
                    self.left_out.push(LeftOut { name, cause });
                }
                false
            }
        }
    }

    pub(super) fn proposal(self) -> Result<Proposal, InferError> {
        let column = |name: String| {
            let guess = self.guesses.get(&name).copied().unwrap_or_default();
            Column::new(name, guess.data_type())
        };
        let columns = self.names.into_iter().map(column).collect();
        let format = if self.several_lines {
            Format::NdJson
        } else {
            Format::Json
        };
        Ok(Proposal {
            contract: Contract::new(format, columns)?,
            left_out: self.left_out,
            misfits: self.misfits,
        })
    }
}

/// What a value is; `None` for null. Text with digits in it stays text, since whoever wrote it meant it so.
fn of_value(value: &Value) -> Option<DataType> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => DataType::Boolean,
        Value::Number(number) if number.is_f64() => DataType::Double,
        Value::Number(number) => of_digits(&number.to_string()).unwrap_or(DataType::Double),
        Value::String(text) => of_text(text),
        Value::Array(_) | Value::Object(_) => DataType::Json,
    })
}
