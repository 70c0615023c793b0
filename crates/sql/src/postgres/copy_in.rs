//! Rows as COPY FROM STDIN reads them: text, or CSV, as PostgreSQL does (`copyfromparse.c`).
//!
//! Invariant: whatever the client sends, and however it cuts it, gives the same rows or the same error; what is held is one
//! line, and what has arrived behind it in the same message.

use bytes::{Buf, BytesMut};

use super::copy::CopyFormat;
use super::error::{PgError, state};
use super::frontend::MESSAGE_BYTES_MAX;

/// Lines end in one of these.
const NEWLINE: u8 = b'\n';
const RETURN: u8 = b'\r';
/// Alone on its line it ends the data.
const END_OF_DATA: &[u8] = b"\\.";

/// The fields of a line; none is NULL.
pub(super) type Fields = Vec<Option<Vec<u8>>>;

/// What has arrived, cut into lines and fields.
#[derive(Debug)]
pub(super) struct CopyReader {
    format: CopyFormat,
    input: BytesMut,
    scan: Scan,
    /// Of the line that was read last, from 1.
    line: u64,
    is_header_due: bool,
    /// The end was marked; what follows is passed over.
    is_over: bool,
}

/// How far the beginning of the input was looked through for the end of its line.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    at: usize,
    is_escaped: bool,
    is_quoted: bool,
    /// Line ends that were in quotes.
    lines: u64,
}

impl CopyReader {
    pub(super) fn new(format: CopyFormat) -> Self {
        Self {
            is_header_due: format.header,
            format,
            input: BytesMut::new(),
            scan: Scan::default(),
            line: 0,
            is_over: false,
        }
    }

    /// The line that was read last, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Takes what a message brought.
    pub(super) fn push(&mut self, data: &[u8]) {
        if !self.is_over {
            self.input.extend_from_slice(data);
        }
    }

    /// The next whole line; at the end of the data what is left is one, too.
    pub(super) fn next(&mut self, is_end: bool) -> Result<Option<Fields>, PgError> {
        while let Some(line) = self.next_line(is_end)? {
            if line == END_OF_DATA {
                self.is_over = true;
                self.input.clear();
                break;
            }
            if std::mem::take(&mut self.is_header_due) {
                continue;
            }
            return self.fields(&line).map(Some);
        }
        Ok(None)
    }

    fn next_line(&mut self, is_end: bool) -> Result<Option<BytesMut>, PgError> {
        if self.is_over {
            return Ok(None);
        }
        let found = self.line_end();
        let is_last = found.is_none() && is_end && !self.input.is_empty();
        if found.is_none() && !is_last {
            if self.input.len() > MESSAGE_BYTES_MAX {
                self.line += 1;
                let message = format!("a line is longer than {MESSAGE_BYTES_MAX} bytes");
                return Err(PgError::new(state::PROGRAM_LIMIT_EXCEEDED, message));
            }
            return Ok(None);
        }
        self.line += 1 + self.scan.lines;
        if is_last && self.scan.is_quoted {
            return Err(bad_format("unterminated CSV quoted field"));
        }
        let mut line = self.input.split_to(found.unwrap_or(self.input.len()));
        if found.is_some() {
            self.input.advance(1);
            let is_escaped = !self.format.is_csv && is_escaped(&line);
            if line.last() == Some(&RETURN) && !is_escaped {
                line.truncate(line.len() - 1);
            }
        }
        self.scan = Scan::default();
        Ok(Some(line))
    }

    /// Where the line ends that the input begins with.
    fn line_end(&mut self) -> Option<usize> {
        let (quote, escape) = (self.format.quote, self.format.escape);
        let scan = &mut self.scan;
        while let Some(byte) = self.input.get(scan.at).copied() {
            if self.format.is_csv {
                // An escape that is the quote itself turns it off and on again.
                let escapes = scan.is_quoted && byte == escape && escape != quote;
                if byte == quote && !scan.is_escaped {
                    scan.is_quoted = !scan.is_quoted;
                }
                scan.is_escaped = escapes && !scan.is_escaped;
                if byte == NEWLINE && !scan.is_quoted {
                    return Some(scan.at);
                }
                scan.lines += u64::from(byte == NEWLINE);
            } else if scan.is_escaped {
                scan.is_escaped = false;
                scan.lines += u64::from(byte == NEWLINE);
            } else if byte == NEWLINE {
                return Some(scan.at);
            } else {
                scan.is_escaped = byte == b'\\';
            }
            scan.at += 1;
        }
        None
    }

    fn fields(&self, line: &[u8]) -> Result<Fields, PgError> {
        if self.format.is_csv {
            return self.csv_fields(line);
        }
        text_fields(line, self.format.delimiter)
            .map(|field| {
                // NULL is told from its text before escapes are.
                if field == self.format.null.as_bytes() {
                    return Ok(None);
                }
                unescaped(field).map(Some)
            })
            .collect()
    }

    fn csv_fields(&self, line: &[u8]) -> Result<Fields, PgError> {
        let CopyFormat {
            delimiter,
            quote,
            escape,
            ..
        } = self.format;
        let mut fields = Vec::new();
        let (mut field, mut was_quoted, mut is_quoted) = (Vec::new(), false, false);
        let mut bytes = line.iter().copied().peekable();
        let mut end = |field: &mut Vec<u8>, was_quoted: bool| {
            let field = std::mem::take(field);
            let is_null = !was_quoted && field == self.format.null.as_bytes();
            fields.push((!is_null).then_some(field));
        };
        while let Some(byte) = bytes.next() {
            if is_quoted {
                let follows = bytes.peek().copied();
                if byte == escape && follows.is_some_and(|next| next == quote || next == escape) {
                    field.extend(bytes.next());
                } else if byte == quote {
                    is_quoted = false;
                } else {
                    field.push(byte);
                }
            } else if byte == delimiter {
                end(&mut field, std::mem::take(&mut was_quoted));
            } else if byte == quote {
                (is_quoted, was_quoted) = (true, true);
            } else {
                field.push(byte);
            }
        }
        if is_quoted {
            return Err(bad_format("unterminated CSV quoted field"));
        }
        end(&mut field, was_quoted);
        Ok(fields)
    }
}

fn bad_format(message: &str) -> PgError {
    PgError::new(state::BAD_COPY_FILE_FORMAT, message)
}

/// Whether the last byte has a backslash in front that is not one of a pair.
fn is_escaped(line: &[u8]) -> bool {
    let before = line.split_last().map_or(&[][..], |(_, before)| before);
    let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\');
    backslashes.count() % 2 == 1
}

/// The fields of a line, escapes and all.
fn text_fields(line: &[u8], delimiter: u8) -> impl Iterator<Item = &[u8]> {
    let mut is_escaped = false;
    line.split(move |byte| {
        let separates = *byte == delimiter && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        separates
    })
}

fn unescaped(field: &[u8]) -> Result<Vec<u8>, PgError> {
    let mut output = Vec::with_capacity(field.len());
    let mut bytes = field.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            output.push(byte);
            continue;
        }
        let digit = |radix| move |byte: &u8| char::from(*byte).is_digit(radix);
        let value = |byte: u8, radix| char::from(byte).to_digit(radix).unwrap_or_default();
        output.push(match bytes.next() {
            // Alone at the end it stands for itself.
            None => b'\\',
            Some(b'b') => b'\x08',
            Some(b'f') => b'\x0c',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => b'\x0b',
            Some(b'x') if bytes.peek().is_some_and(digit(16)) => {
                let mut number = 0;
                for _ in 0..2 {
                    if let Some(next) = bytes.next_if(digit(16)) {
                        number = number * 16 + value(next, 16);
                    }
                }
                number as u8
            }
            Some(first @ b'0'..=b'7') => {
                let mut number = value(first, 8);
                for _ in 0..2 {
                    if let Some(next) = bytes.next_if(digit(8)) {
                        number = number * 8 + value(next, 8);
                    }
                }
                // As PostgreSQL: three digits may be more than a byte.
                (number & 0xff) as u8
            }
            Some(other) => other,
        });
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rows of a text, fields between `|`, NULL as `-`; the error in the end if there is one.
    fn read(format: &CopyFormat, pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = CopyReader::new(format.clone());
        let mut rows = Vec::new();
        let mut take = |reader: &mut CopyReader, is_end| loop {
            match reader.next(is_end) {
                Ok(Some(fields)) => {
                    let fields = fields.into_iter().map(|field| {
                        field.map_or_else(
                            || "-".to_owned(),
                            |field| String::from_utf8_lossy(&field).into_owned(),
                        )
                    });
                    rows.push(fields.collect::<Vec<_>>().join("|"));
                }
                Ok(None) => return,
                Err(error) => {
                    rows.push(format!("line {}: {}", reader.line(), error.message));
                    return;
                }
            }
        };
        for piece in pieces {
            reader.push(piece);
            take(&mut reader, false);
        }
        take(&mut reader, true);
        rows
    }

    #[test]
    fn text_is_read_with_its_escapes() {
        let text = CopyFormat::text();
        let check = |input: &str, expected: &[&str]| {
            assert_eq!(read(&text, &[input.as_bytes()]), expected, "{input}")
        };
        check("a\tb\n\\N\t\n", &["a|b", "-|"]);
        check("a\tb", &["a|b"]);
        check("", &[]);
        check("\n", &[""]);
        check("a\\tb\\\\N\t\\n\\x41\\101\\q\n", &["a\tb\\N|\nAAq"]);
        check("a\\\tb\tc\n", &["a\tb|c"]);
        check("a\\\nb\tc\r\nd\te\r\n", &["a\nb|c", "d|e"]);
        check("a\n\\.\nb\n", &["a"]);
        check("\\\\N\n", &["\\N"]);
        check("a\\", &["a\\"]);
    }

    #[test]
    fn csv_is_read_with_its_quotes() {
        let csv = CopyFormat::csv();
        let check = |input: &str, expected: &[&str]| {
            assert_eq!(read(&csv, &[input.as_bytes()]), expected, "{input}")
        };
        check("a,b\n,\"\"\n", &["a|b", "-|"]);
        check("\"a,\"\"b\nc\",d\r\n", &["a,\"b\nc|d"]);
        check("a\"b,c\"d\n", &["ab,cd"]);
        check("a\n\"b\nc", &["a", "line 3: unterminated CSV quoted field"]);
        check("\\.\na\n", &[]);
        check("\\N,\\n\n", &["\\N|\\n"]);
        let format = CopyFormat {
            header: true,
            delimiter: b';',
            escape: b'\\',
            null: "NA".to_owned(),
            ..CopyFormat::csv()
        };
        let rows = read(&format, &[b"x;y\n\"a\\\"b\";NA\n\"c\\\\\";\"NA\"\n"]);
        assert_eq!(rows, ["a\"b|-", "c\\|NA"]);
    }

    #[test]
    fn a_line_without_end_is_not_collected_for_ever() {
        let mut reader = CopyReader::new(CopyFormat::text());
        reader.push(&vec![b'a'; MESSAGE_BYTES_MAX + 1]);
        assert_eq!(reader.next(false).unwrap_err().state, "54000");
    }

    proptest! {
        #[test]
        fn where_messages_are_cut_makes_no_difference(
            input in proptest::collection::vec(proptest::sample::select(b"ab,\t\n\r\\\".N".to_vec()), 0..60),
            cuts in proptest::collection::vec(0_usize..60, 0..6),
            is_csv: bool,
        ) {
            let format = if is_csv { CopyFormat::csv() } else { CopyFormat::text() };
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.sort_unstable();
            let bounds: Vec<usize> = std::iter::once(0).chain(cuts).chain([input.len()]).collect();
            let pieces: Vec<&[u8]> = bounds.windows(2).map(|bound| &input[bound[0]..bound[1]]).collect();
            prop_assert_eq!(read(&format, &pieces), read(&format, &[&input]));
        }

        #[test]
        fn any_bytes_are_rows_or_an_error(input: Vec<u8>, is_csv: bool) {
            let format = if is_csv { CopyFormat::csv() } else { CopyFormat::text() };
            read(&format, &[&input]);
        }
    }
}
