//! Columns in line, as psql has them.
//!
//! Invariant: rows are held only until there are enough of them to know how wide the columns are; what comes later and is wider
//! moves what stands right of it.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

use super::{NULL, Printer, put_blanks, put_times, row_count};
use crate::cell::{self, Kind};
use crate::wire::{Column, Row};

/// Held rows, at most: many screens.
const HELD_ROWS: usize = 10_000;
/// A value that is wider moves what stands right of it: one large value shall not blow up all rows.
const WIDTH_MAX: usize = 500;
/// Bytes of held rows, at most, but for the last one.
const HELD_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    kinds: Vec<Kind>,
    widths: Vec<usize>,
    held: Vec<Row>,
    held_bytes: usize,
    has_head: bool,
    rows: u64,
}

impl Table {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        let width = |column: &Column| cell::shown(column.name.as_bytes()).width().min(WIDTH_MAX);
        Self {
            kinds: columns
                .iter()
                .map(|column| Kind::of(column.type_oid))
                .collect(),
            widths: columns.iter().map(width).collect(),
            columns,
            held: Vec::new(),
            held_bytes: 0,
            has_head: false,
            rows: 0,
        }
    }

    fn widen(&mut self, row: &Row) {
        for (width, value) in self.widths.iter_mut().zip(row.values()) {
            let wanted = value.map_or(NULL.len(), |value| cell::shown(value).width());
            *width = wanted.min(WIDTH_MAX).max(*width);
        }
    }

    fn head(&mut self, output: &mut dyn Write) -> io::Result<()> {
        for (index, (column, width)) in self.columns.iter().zip(&self.widths).enumerate() {
            let name = cell::shown(column.name.as_bytes());
            let blanks = width.saturating_sub(name.width());
            output.write_all(if index > 0 { b"| " } else { b" " })?;
            put_blanks(blanks / 2, output)?;
            output.write_all(name.as_bytes())?;
            put_blanks(blanks - blanks / 2 + 1, output)?;
        }
        output.write_all(b"\n")?;
        for (index, width) in self.widths.iter().enumerate() {
            output.write_all(if index > 0 { b"+" } else { b"" })?;
            put_times(b'-', width + 2, output)?;
        }
        output.write_all(b"\n")
    }

    fn put(&self, row: &Row, output: &mut dyn Write) -> io::Result<()> {
        let last = self.columns.len().saturating_sub(1);
        let values = row.values().zip(&self.widths).zip(&self.kinds);
        for (index, ((value, width), kind)) in values.enumerate() {
            output.write_all(if index > 0 { b" | " } else { b" " })?;
            let text = value.map_or(NULL.into(), cell::shown);
            let blanks = width.saturating_sub(text.width());
            if kind.is_right_aligned() {
                put_blanks(blanks, output)?;
                output.write_all(text.as_bytes())?;
            } else {
                output.write_all(text.as_bytes())?;
                put_blanks(if index < last { blanks } else { 0 }, output)?;
            }
        }
        output.write_all(b"\n")
    }
}

impl Printer for Table {
    fn row(&mut self, row: Row, output: &mut dyn Write) -> io::Result<()> {
        self.rows += 1;
        if self.has_head {
            self.widen(&row);
            return self.put(&row, output);
        }
        self.widen(&row);
        self.held_bytes += row.size();
        self.held.push(row);
        if self.held.len() >= HELD_ROWS || self.held_bytes >= HELD_BYTES {
            self.settle(output)?;
        }
        Ok(())
    }

    fn settle(&mut self, output: &mut dyn Write) -> io::Result<()> {
        if !self.has_head {
            self.has_head = true;
            self.head(output)?;
        }
        for row in std::mem::take(&mut self.held) {
            self.put(&row, output)?;
        }
        self.held_bytes = 0;
        Ok(())
    }

    fn finish(&mut self, output: &mut dyn Write) -> io::Result<()> {
        writeln!(output, "{}\n", row_count(self.rows))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::{columns, printed};
    use super::*;

    #[test]
    fn columns_are_in_line_and_numbers_end_together() {
        let text = printed(
            Format::Table,
            &[("id", 23), ("city", 25)],
            &[
                &[Some("7"), Some("東京")],
                &[Some("120"), None],
                &[None, Some("a\nb")],
            ],
        );
        let expected = "  id  | city \n------+------\n    7 | 東京
  120 | NULL
 NULL | a\\nb
(3 rows)

";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_result_without_rows_has_its_names() {
        let text = printed(Format::Table, &[("?column?", 23)], &[]);
        assert_eq!(text, " ?column? \n----------\n(0 rows)\n\n");
    }

    #[test]
    fn what_is_held_is_bounded_in_rows_and_bytes() {
        let mut table = Table::new(columns(&[("n", 23)]));
        let mut output = Vec::new();
        for _ in 0..HELD_ROWS {
            assert!(output.is_empty());
            table.row(Row::of(&[Some("1")]), &mut output).unwrap();
        }
        assert_eq!(
            output.iter().filter(|byte| **byte == b'\n').count(),
            HELD_ROWS + 2
        );
        let mut table = Table::new(columns(&[("text", 25)]));
        let mut output = Vec::new();
        let large = "x".repeat(HELD_BYTES / 2);
        table.row(Row::of(&[Some(&large)]), &mut output).unwrap();
        assert!(output.is_empty());
        table.row(Row::of(&[Some(&large)]), &mut output).unwrap();
        assert!(output.len() > HELD_BYTES);
        // One large value does not make all rows as large.
        assert!(output.len() < 2 * HELD_BYTES);
        // What comes then is written at once, with the widths so far.
        output.clear();
        table.row(Row::of(&[Some("short")]), &mut output).unwrap();
        assert_eq!(output, b" short\n");
    }
}
