//! Standard output: tables for people, JSON for machines, and quiet when nobody reads any more.

use std::io::{BufWriter, Stdout, Write};

use anyhow::Result;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

/// Standard output was closed by its reader; no failure of ours.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(crate) struct OutputClosed;

/// Turns a closed output into [`OutputClosed`].
fn checked<T>(result: std::io::Result<T>) -> Result<T> {
    result.map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => OutputClosed.into(),
        _ => anyhow::Error::new(error).context("cannot write to standard output"),
    })
}

/// Buffered standard output.
#[derive(Debug)]
pub(crate) struct Output(BufWriter<Stdout>);

/// What goes to the system at once.
const BUFFER_BYTES: usize = 64 * 1024;

impl Output {
    pub(crate) fn new() -> Self {
        Self(BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout()))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        checked(self.0.write_all(bytes))
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        checked(self.0.flush())
    }
}

/// Writes at once.
pub(crate) fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    checked(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// Writes a line.
pub(crate) fn line(text: &str) -> Result<()> {
    write(format!("{text}\n").as_bytes())
}

/// Writes a JSON document.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    write(&text)
}

/// Columns without lines, so that `grep`, `awk` and eyes read them alike.
#[derive(Debug)]
pub(crate) struct Columns(Table);

impl Columns {
    /// Columns with these heads; those that begin with `#` hold numbers.
    pub(crate) fn new(heads: &[&str]) -> Self {
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(heads.iter().map(|head| head.trim_start_matches('#')));
        for (position, head) in heads.iter().enumerate() {
            if let Some(column) = table.column_mut(position) {
                let numbers = head.starts_with('#');
                column.set_padding((0, 2));
                column.set_cell_alignment(if numbers {
                    CellAlignment::Right
                } else {
                    CellAlignment::Left
                });
            }
        }
        Self(table)
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.add_row(cells);
    }

    /// The lines, without blanks at their ends.
    pub(crate) fn text(&self) -> String {
        self.0
            .lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect()
    }

    pub(crate) fn print(&self) -> Result<()> {
        write(self.text().as_bytes())
    }
}

/// A number, or a dash.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Bytes as people read them.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// "1 partition", "3 partitions".
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_end_without_blanks() {
        let mut columns = Columns::new(&["NAME", "#SIZE"]);
        columns.row(["a".to_owned(), "10".to_owned()]);
        columns.row(["longer".to_owned(), "9".to_owned()]);
        assert_eq!(columns.text(), "NAME    SIZE\na         10\nlonger     9\n");
    }

    #[test]
    fn bytes_read_well() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (1 << 40, "1.0 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
