//! An array of objects, or an object per line. Numbers, booleans, JSON and arrays are what they are; all else is text.

use std::collections::HashSet;
use std::io::{self, Write};

use super::Printer;
use crate::cell::{self, Kind};
use crate::wire::{Column, Row};

/// Where an object ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Array,
    Lines,
}

#[derive(Debug)]
pub(super) struct Json {
    shape: Shape,
    /// What stands before each value: its name and a colon.
    columns: Vec<(Vec<u8>, Kind)>,
    object: Vec<u8>,
    has_begun: bool,
    rows: u64,
}

impl Json {
    pub(super) fn array(columns: Vec<Column>) -> Self {
        Self::new(Shape::Array, &columns)
    }

    pub(super) fn lines(columns: Vec<Column>) -> Self {
        Self::new(Shape::Lines, &columns)
    }

    fn new(shape: Shape, columns: &[Column]) -> Self {
        let names = unique_names(columns);
        let column = |(name, column): (String, &Column)| {
            let mut key = Vec::new();
            cell::put_string(name.as_bytes(), &mut key);
            key.push(b':');
            (key, Kind::of(column.type_oid))
        };
        Self {
            shape,
            columns: names.into_iter().zip(columns).map(column).collect(),
            object: Vec::new(),
            has_begun: false,
            rows: 0,
        }
    }

    fn put(&mut self, row: &Row) {
        self.object.clear();
        for (index, (value, (key, kind))) in row.values().zip(&self.columns).enumerate() {
            self.object.push(if index == 0 { b'{' } else { b',' });
            self.object.extend_from_slice(key);
            cell::put_json(value, *kind, &mut self.object);
        }
        if self.columns.is_empty() {
            self.object.push(b'{');
        }
        self.object.push(b'}');
    }
}

/// A name that is there already gets a number: of equal keys most readers of JSON keep one.
fn unique_names(columns: &[Column]) -> Vec<String> {
    let mut taken: HashSet<String> = columns.iter().map(|column| column.name.clone()).collect();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut names = Vec::with_capacity(columns.len());
    for Column { name, .. } in columns {
        let mut numbered = (2..).map(|number| format!("{name}_{number}"));
        names.push(if seen.insert(name) {
            name.clone()
        } else {
            numbered
                .find(|name| taken.insert(name.clone()))
                .unwrap_or_default()
        });
    }
    names
}

impl Printer for Json {
    fn row(&mut self, row: Row, output: &mut dyn Write) -> io::Result<()> {
        self.settle(output)?;
        self.put(&row);
        if self.shape == Shape::Array {
            output.write_all(if self.rows > 0 { b",\n " } else { b"" })?;
        }
        self.rows += 1;
        output.write_all(&self.object)?;
        match self.shape {
            Shape::Array => Ok(()),
            Shape::Lines => output.write_all(b"\n"),
        }
    }

    fn settle(&mut self, output: &mut dyn Write) -> io::Result<()> {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        if is_first && self.shape == Shape::Array {
            output.write_all(b"[")?;
        }
        Ok(())
    }

    fn finish(&mut self, output: &mut dyn Write) -> io::Result<()> {
        match self.shape {
            Shape::Array => output.write_all(b"]\n"),
            Shape::Lines => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::printed;

    const NAMES: [(&str, u32); 4] = [("n", 23), ("t", 25), ("n", 701), ("j", 114)];
    const ROWS: [&[Option<&str>]; 2] = [
        &[Some("1"), Some("a\"b"), Some("0.5"), Some("{\"x\":[1]}")],
        &[None, None, Some("NaN"), None],
    ];

    #[test]
    fn lines_are_objects() {
        assert_eq!(
            printed(Format::Ndjson, &NAMES, &ROWS),
            "{\"n\":1,\"t\":\"a\\\"b\",\"n_2\":0.5,\"j\":{\"x\":[1]}}\n{\"n\":null,\"t\":null,\"n_2\":\"NaN\",\"j\":null}\n"
        );
        assert_eq!(printed(Format::Ndjson, &NAMES, &[]), "");
    }

    #[test]
    fn an_array_is_one_document() {
        let text = printed(Format::Json, &NAMES, &ROWS);
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document[0]["j"]["x"][0], 1);
        assert_eq!(document[1]["n_2"], "NaN");
        assert_eq!(document.as_array().unwrap().len(), 2);
        assert_eq!(printed(Format::Json, &NAMES, &[]), "[]\n");
    }
}
