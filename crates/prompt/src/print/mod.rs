//! Rows as output: [`Format`] says which, a [`Printer`] writes them.
//!
//! Invariant: but for a bounded number of rows that wait for the widths of a table, a row is written as it comes.

mod csv;
mod expanded;
mod json;
mod table;

use std::io::{self, Write};

use crate::wire::{Column, Row};

/// How rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Columns in line, as psql has them.
    #[default]
    Table,
    /// Comma-separated values with a line of names (RFC 4180).
    Csv,
    /// An array of objects.
    Json,
    /// An object per line.
    Ndjson,
    /// A line per value.
    Expanded,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Table,
        Self::Csv,
        Self::Json,
        Self::Ndjson,
        Self::Expanded,
    ];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Expanded => "expanded",
        }
    }

    /// The format of this name.
    pub fn of(name: &str) -> Option<Self> {
        let named = |format: &Self| format.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(named)
    }

    /// Whether people read it, and want to know how many rows there were.
    pub(crate) fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Expanded)
    }
}

/// How people see that there is no value. Without colours: pagers show those as letters.
const NULL: &str = "NULL";

/// Writes the rows of one result.
pub(crate) trait Printer {
    /// Takes a row.
    fn row(&mut self, row: Row, output: &mut dyn Write) -> io::Result<()>;

    /// Writes what was held back.
    fn settle(&mut self, output: &mut dyn Write) -> io::Result<()>;

    /// Writes what comes behind the last row.
    fn finish(&mut self, output: &mut dyn Write) -> io::Result<()>;
}

/// A printer for a result of these columns.
pub(crate) fn printer(format: Format, columns: Vec<Column>) -> Box<dyn Printer> {
    match format {
        Format::Table => Box::new(table::Table::new(columns)),
        Format::Csv => Box::new(csv::Csv::new(columns)),
        Format::Json => Box::new(json::Json::array(columns)),
        Format::Ndjson => Box::new(json::Json::lines(columns)),
        Format::Expanded => Box::new(expanded::Expanded::new(&columns)),
    }
}

/// "(1 row)", "(3 rows)".
fn row_count(rows: u64) -> String {
    let noun = if rows == 1 { "row" } else { "rows" };
    format!("({rows} {noun})")
}

/// Writes a letter so many times.
fn put_times(letter: u8, count: usize, output: &mut dyn Write) -> io::Result<()> {
    for _ in 0..count {
        output.write_all(&[letter])?;
    }
    Ok(())
}

fn put_blanks(count: usize, output: &mut dyn Write) -> io::Result<()> {
    put_times(b' ', count, output)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn columns(columns: &[(&str, u32)]) -> Vec<Column> {
        let column = |(name, type_oid): &(&str, u32)| Column {
            name: (*name).to_owned(),
            type_oid: *type_oid,
        };
        columns.iter().map(column).collect()
    }

    /// What a result looks like.
    pub(crate) fn printed(
        format: Format,
        names: &[(&str, u32)],
        rows: &[&[Option<&str>]],
    ) -> String {
        let mut printer = printer(format, columns(names));
        let mut output = Vec::new();
        for row in rows {
            printer.row(Row::of(row), &mut output).unwrap();
        }
        printer.settle(&mut output).unwrap();
        printer.finish(&mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn formats_have_names() {
        for format in Format::ALL {
            assert_eq!(Format::of(&format.name().to_uppercase()), Some(format));
        }
        assert_eq!(Format::of("yaml"), None);
    }
}
