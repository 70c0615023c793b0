//! A line per value, as `\x` of psql has it: for rows that are wider than the screen.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

use super::{NULL, Printer, put_blanks, row_count};
use crate::cell;
use crate::wire::{Column, Row};

/// The line above a record is at least so wide.
const RULE_WIDTH: usize = 40;

#[derive(Debug)]
pub(super) struct Expanded {
    names: Vec<String>,
    width: usize,
    rows: u64,
}

impl Expanded {
    pub(super) fn new(columns: &[Column]) -> Self {
        let names = columns
            .iter()
            .map(|column| cell::shown(column.name.as_bytes()).into_owned());
        let names: Vec<String> = names.collect();
        Self {
            width: names
                .iter()
                .map(|name| name.width())
                .max()
                .unwrap_or_default(),
            names,
            rows: 0,
        }
    }
}

impl Printer for Expanded {
    fn row(&mut self, row: Row, output: &mut dyn Write) -> io::Result<()> {
        self.rows += 1;
        let head = format!("-[ RECORD {} ]", self.rows);
        writeln!(output, "{head:-<RULE_WIDTH$}")?;
        for (name, value) in self.names.iter().zip(row.values()) {
            output.write_all(name.as_bytes())?;
            put_blanks(self.width - name.width(), output)?;
            let text = value.map_or(NULL.into(), cell::shown);
            writeln!(output, " | {text}")?;
        }
        Ok(())
    }

    fn settle(&mut self, _output: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, output: &mut dyn Write) -> io::Result<()> {
        if self.rows == 0 {
            writeln!(output, "{}", row_count(0))?;
        }
        output.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::printed;

    #[test]
    fn every_value_has_a_line() {
        let names = [("_offset", 20), ("größe", 25)];
        let text = printed(Format::Expanded, &names, &[&[Some("1"), None]]);
        let expected = "\
-[ RECORD 1 ]---------------------------
_offset | 1
größe   | NULL

";
        assert_eq!(text, expected);
        assert_eq!(printed(Format::Expanded, &names, &[]), "(0 rows)\n\n");
    }
}
