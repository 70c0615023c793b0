//! The formats of COPY, and rows as COPY TO writes them: text, or CSV (RFC 4180 as PostgreSQL reads it).
//!
//! Invariant: what is written reads back as the same values, NULL included: whatever could be taken for a separator, a quote or
//! NULL is escaped or quoted.

use bytes::{BufMut, BytesMut};

use super::backend::Column;
use super::encode::{Rows, Style};

/// How rows are written.
#[derive(Clone, Debug)]
pub(super) struct CopyFormat {
    /// Neither text nor CSV; the rest is then without meaning.
    pub(super) is_binary: bool,
    pub(super) is_csv: bool,
    pub(super) delimiter: u8,
    pub(super) null: String,
    /// The first line has the names.
    pub(super) header: bool,
    pub(super) quote: u8,
    pub(super) escape: u8,
}

impl CopyFormat {
    pub(super) fn text() -> Self {
        Self {
            is_binary: false,
            is_csv: false,
            delimiter: b'\t',
            null: "\\N".to_owned(),
            header: false,
            quote: b'"',
            escape: b'"',
        }
    }

    pub(super) fn csv() -> Self {
        Self {
            is_csv: true,
            delimiter: b',',
            null: String::new(),
            ..Self::text()
        }
    }

    pub(super) fn put_header(&self, columns: &[Column], output: &mut BytesMut) {
        for (index, column) in columns.iter().enumerate() {
            self.put_delimiter(index, output);
            self.put_value(column.name.as_bytes(), columns.len(), output);
        }
        output.put_u8(b'\n');
    }

    pub(super) fn put_row(
        &self,
        rows: &Rows,
        row: usize,
        columns: usize,
        style: Style,
        output: &mut BytesMut,
    ) {
        let mut value = BytesMut::new();
        for column in 0..columns {
            self.put_delimiter(column, output);
            if rows.is_null(row, column) {
                output.put_slice(self.null.as_bytes());
                continue;
            }
            value.clear();
            rows.put_text(row, column, style, &mut value);
            self.put_value(&value, columns, output);
        }
        output.put_u8(b'\n');
    }

    fn put_delimiter(&self, column: usize, output: &mut BytesMut) {
        if column > 0 {
            output.put_u8(self.delimiter);
        }
    }

    fn put_value(&self, value: &[u8], columns: usize, output: &mut BytesMut) {
        if !self.is_csv {
            self.put_escaped(value, output);
        } else if self.needs_quotes(value, columns) {
            self.put_quoted(value, output);
        } else {
            output.put_slice(value);
        }
    }

    fn put_escaped(&self, value: &[u8], output: &mut BytesMut) {
        for byte in value {
            let escaped = match byte {
                b'\\' => b'\\',
                b'\x08' => b'b',
                b'\x0c' => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                b'\x0b' => b'v',
                other if *other == self.delimiter => *other,
                other => {
                    output.put_u8(*other);
                    continue;
                }
            };
            output.put_u8(b'\\');
            output.put_u8(escaped);
        }
    }

    fn needs_quotes(&self, value: &[u8], columns: usize) -> bool {
        let special = |byte: &u8| {
            *byte == self.delimiter || *byte == self.quote || matches!(byte, b'\n' | b'\r')
        };
        // Alone on its line \. would end the data.
        value == self.null.as_bytes()
            || (columns == 1 && value == b"\\.")
            || value.iter().any(special)
    }

    fn put_quoted(&self, value: &[u8], output: &mut BytesMut) {
        output.put_u8(self.quote);
        for byte in value {
            if *byte == self.quote || *byte == self.escape {
                output.put_u8(self.escape);
            }
            output.put_u8(*byte);
        }
        output.put_u8(self.quote);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: &CopyFormat, value: &str) -> String {
        let mut output = BytesMut::new();
        format.put_value(value.as_bytes(), 2, &mut output);
        String::from_utf8(output.to_vec()).unwrap()
    }

    #[test]
    fn text_escapes_what_separates() {
        assert_eq!(written(&CopyFormat::text(), "a\tb\nc\\d"), "a\\tb\\nc\\\\d");
        assert_eq!(written(&CopyFormat::text(), "\\N"), "\\\\N");
    }

    #[test]
    fn csv_quotes_what_separates_and_what_would_be_null() {
        let csv = CopyFormat::csv();
        assert_eq!(written(&csv, "a,b"), "\"a,b\"");
        assert_eq!(written(&csv, "a\"b"), "\"a\"\"b\"");
        assert_eq!(written(&csv, ""), "\"\"");
        assert_eq!(written(&csv, "plain text"), "plain text");
    }
}
