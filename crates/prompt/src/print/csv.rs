//! Comma-separated values (RFC 4180) as PostgreSQL writes them: NULL is nothing at all, an empty text is `""`.

use std::io::{self, Write};

use super::Printer;
use crate::wire::{Column, Row};

#[derive(Debug)]
pub(super) struct Csv {
    /// The line of names, until it is written.
    head: Option<Vec<u8>>,
    line: Vec<u8>,
}

impl Csv {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        let mut head = Vec::new();
        let is_alone = columns.len() == 1;
        let names = columns.iter().map(|column| Some(column.name.as_bytes()));
        put_line(names, is_alone, &mut head);
        Self {
            head: Some(head),
            line: Vec::new(),
        }
    }
}

impl Printer for Csv {
    fn row(&mut self, row: Row, output: &mut dyn Write) -> io::Result<()> {
        self.settle(output)?;
        self.line.clear();
        let is_alone = row.values().count() == 1;
        put_line(row.values(), is_alone, &mut self.line);
        output.write_all(&self.line)
    }

    fn settle(&mut self, output: &mut dyn Write) -> io::Result<()> {
        match self.head.take() {
            Some(head) => output.write_all(&head),
            None => Ok(()),
        }
    }

    fn finish(&mut self, _output: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

fn put_line<'a>(
    values: impl Iterator<Item = Option<&'a [u8]>>,
    is_alone: bool,
    line: &mut Vec<u8>,
) {
    for (index, value) in values.enumerate() {
        if index > 0 {
            line.push(b',');
        }
        match value {
            Some(value) if needs_quotes(value, is_alone) => put_quoted(value, line),
            Some(value) => line.extend_from_slice(value),
            None => {}
        }
    }
    line.push(b'\n');
}

fn needs_quotes(value: &[u8], is_alone: bool) -> bool {
    let special = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    // Alone on its line \. ends the data for PostgreSQL's COPY.
    value.is_empty() || (is_alone && value == b"\\.") || value.iter().any(special)
}

fn put_quoted(value: &[u8], line: &mut Vec<u8>) {
    line.push(b'"');
    for byte in value {
        if *byte == b'"' {
            line.push(b'"');
        }
        line.push(*byte);
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::printed;

    #[test]
    fn what_separates_is_quoted_and_null_is_not_empty_text() {
        let text = printed(
            Format::Csv,
            &[("id", 23), ("a,b", 25), ("c", 25)],
            &[
                &[Some("1"), Some("plain"), None],
                &[Some("2"), Some(""), Some("say \"hi\"\nto, all")],
            ],
        );
        assert_eq!(
            text,
            "id,\"a,b\",c\n1,plain,\n2,\"\",\"say \"\"hi\"\"\nto, all\"\n"
        );
        assert_eq!(printed(Format::Csv, &[("n", 23)], &[]), "n\n");
        assert_eq!(
            printed(Format::Csv, &[("n", 25)], &[&[Some("\\.")]]),
            "n\n\"\\.\"\n"
        );
    }
}
