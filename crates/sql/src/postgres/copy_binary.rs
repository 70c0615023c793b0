//! Rows as COPY FROM STDIN reads them in the format `binary`: a signature, then of each row its number of fields, and of each
//! field its length and its bytes (`copyfromparse.c`).
//!
//! Invariant: however the client cuts what it sends, it gives the same rows or the same error; what is held is one row, and what
//! has arrived behind it in the same message. No byte is looked at twice for where its row ends.

use std::ops::Range;

use bytes::{Buf, BytesMut};

use super::copy_in::Fields;
use super::error::{PgError, state};
use super::frontend::MESSAGE_BYTES_MAX;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Flags up to here say what must be understood.
const CRITICAL_FLAGS: u32 = 0xffff_0000;
/// In place of a length: the field is NULL; in place of a number of fields: there are no more rows.
const NONE: i32 = -1;

/// What has arrived, cut into rows.
#[derive(Debug, Default)]
pub(super) struct BinaryReader {
    input: BytesMut,
    part: Part,
    /// Of the row that was read last, from 1.
    row: u64,
}

/// What the input begins with.
#[derive(Debug, Default)]
enum Part {
    #[default]
    Signature,
    /// So many bytes that nobody knows.
    Extension(usize),
    Row(Scan),
    /// The end was marked; what follows is passed over.
    Over,
}

/// How far a row was looked through.
#[derive(Debug, Default)]
struct Scan {
    at: usize,
    /// Fields that are still to come; none before their number was read.
    left: Option<usize>,
    fields: Vec<Option<Range<usize>>>,
}

impl BinaryReader {
    /// The row that was read last, from 1.
    pub(super) fn row(&self) -> u64 {
        self.row
    }

    /// Takes what a message brought.
    pub(super) fn push(&mut self, data: &[u8]) {
        if !matches!(self.part, Part::Over) {
            self.input.extend_from_slice(data);
        }
    }

    /// The next whole row.
    pub(super) fn next(&mut self, is_end: bool) -> Result<Option<Fields>, PgError> {
        loop {
            match &mut self.part {
                Part::Over => return Ok(None),
                Part::Signature => match begin(&mut self.input)? {
                    Some(extension) => self.part = Part::Extension(extension),
                    None if is_end => return Err(bad("COPY file signature not recognized")),
                    None => return Ok(None),
                },
                Part::Extension(left) => {
                    let passed = self.input.len().min(*left);
                    self.input.advance(passed);
                    *left -= passed;
                    if *left > 0 {
                        return if is_end {
                            Err(unexpected_end())
                        } else {
                            Ok(None)
                        };
                    }
                    self.part = Part::Row(Scan::default());
                }
                Part::Row(scan) => match scan.advance(&self.input) {
                    Err(error) => {
                        self.row += 1;
                        return Err(error);
                    }
                    Ok(Found::Row) => {
                        let fields = scan.cut(&mut self.input);
                        self.part = Part::Row(Scan::default());
                        self.row += 1;
                        return Ok(Some(fields));
                    }
                    Ok(Found::End) => {
                        self.input.clear();
                        self.part = Part::Over;
                    }
                    // As PostgreSQL: the end between two rows is one.
                    Ok(Found::Nothing) if is_end && self.input.is_empty() => return Ok(None),
                    Ok(Found::Nothing) if is_end => {
                        self.row += 1;
                        return Err(unexpected_end());
                    }
                    Ok(Found::Nothing) if self.input.len() > MESSAGE_BYTES_MAX => {
                        self.row += 1;
                        let message = format!("a row is longer than {MESSAGE_BYTES_MAX} bytes");
                        return Err(PgError::new(state::PROGRAM_LIMIT_EXCEEDED, message));
                    }
                    Ok(Found::Nothing) => return Ok(None),
                },
            }
        }
    }
}

enum Found {
    Row,
    End,
    Nothing,
}

/// Takes the signature, the flags, and the length of what follows them.
fn begin(input: &mut BytesMut) -> Result<Option<usize>, PgError> {
    let known = input.len().min(SIGNATURE.len());
    if input[..known] != SIGNATURE[..known] {
        return Err(bad("COPY file signature not recognized"));
    }
    if input.len() < SIGNATURE.len() + 8 {
        return Ok(None);
    }
    input.advance(SIGNATURE.len());
    if input.get_u32() & CRITICAL_FLAGS != 0 {
        return Err(bad("unrecognized critical flags in COPY file header"));
    }
    let length = usize::try_from(input.get_i32());
    length
        .map(Some)
        .map_err(|_negative| bad("invalid COPY file header (wrong length)"))
}

impl Scan {
    fn advance(&mut self, input: &[u8]) -> Result<Found, PgError> {
        let left = match self.left {
            Some(left) => left,
            None => {
                let Some(count) = input.first_chunk() else {
                    return Ok(Found::Nothing);
                };
                let count = i16::from_be_bytes(*count);
                if i32::from(count) == NONE {
                    return Ok(Found::End);
                }
                self.at = size_of::<i16>();
                usize::try_from(count).map_err(|_negative| bad("invalid number of fields"))?
            }
        };
        self.left = Some(left);
        for left in (0..left).rev() {
            let Some(length) = input.get(self.at..).and_then(<[u8]>::first_chunk) else {
                return Ok(Found::Nothing);
            };
            let length = i32::from_be_bytes(*length);
            let start = self.at + size_of::<i32>();
            let field = if length == NONE {
                self.at = start;
                None
            } else {
                let length =
                    usize::try_from(length).map_err(|_negative| bad("invalid field size"))?;
                if length > MESSAGE_BYTES_MAX {
                    let message = format!("a field is longer than {MESSAGE_BYTES_MAX} bytes");
                    return Err(PgError::new(state::PROGRAM_LIMIT_EXCEEDED, message));
                }
                if input.len() < start + length {
                    return Ok(Found::Nothing);
                }
                self.at = start + length;
                Some(start..self.at)
            };
            self.fields.push(field);
            self.left = Some(left);
        }
        Ok(Found::Row)
    }

    /// Takes the row that was found.
    fn cut(&mut self, input: &mut BytesMut) -> Fields {
        let row = input.split_to(self.at);
        let fields = std::mem::take(&mut self.fields).into_iter();
        fields
            .map(|field| field.map(|field| row[field].to_vec()))
            .collect()
    }
}

fn bad(message: &str) -> PgError {
    PgError::new(state::BAD_COPY_FILE_FORMAT, message)
}

fn unexpected_end() -> PgError {
    bad("unexpected EOF in COPY data")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rows, fields between `|`, NULL as `-`; the error in the end if there is one.
    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = BinaryReader::default();
        let mut rows = Vec::new();
        for (index, piece) in pieces.iter().chain([&&b""[..]]).enumerate() {
            reader.push(piece);
            loop {
                match reader.next(index == pieces.len()) {
                    Ok(Some(fields)) => {
                        let fields = fields.into_iter().map(|field| {
                            field.map_or_else(
                                || "-".to_owned(),
                                |field| String::from_utf8_lossy(&field).into_owned(),
                            )
                        });
                        rows.push(fields.collect::<Vec<_>>().join("|"));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        rows.push(format!("row {}: {}", reader.row(), error.message));
                        return rows;
                    }
                }
            }
        }
        rows
    }

    fn head() -> Vec<u8> {
        [SIGNATURE, &[0; 8]].concat()
    }

    fn row(fields: &[Option<&[u8]>]) -> Vec<u8> {
        let mut row = i16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
        for field in fields {
            let length = field.map_or(NONE, |field| i32::try_from(field.len()).unwrap());
            row.extend(length.to_be_bytes());
            row.extend(field.unwrap_or_default());
        }
        row
    }

    fn two_rows() -> Vec<u8> {
        let rows = [row(&[Some(b"a"), None]), row(&[Some(b""), Some(b"bc")])];
        [head(), rows.concat(), (-1_i16).to_be_bytes().to_vec()].concat()
    }

    #[test]
    fn rows_are_read_up_to_the_mark_of_the_end() {
        assert_eq!(read(&[&two_rows()]), ["a|-", "|bc"]);
        assert_eq!(
            read(&[&[two_rows(), b"more".to_vec()].concat()]),
            ["a|-", "|bc"]
        );
        assert_eq!(read(&[&head()]), Vec::<String>::new());
        let extended = [SIGNATURE, &[0, 0, 0, 0, 0, 0, 0, 2, 9, 9]].concat();
        assert_eq!(read(&[&[extended, row(&[Some(b"x")])].concat()]), ["x"]);
    }

    #[test]
    fn what_is_no_such_data_is_an_error_of_its_row() {
        let check = |input: &[u8], expected: &str| assert_eq!(read(&[input]), [expected]);
        check(b"1\tUA\n", "row 0: COPY file signature not recognized");
        check(b"", "row 0: COPY file signature not recognized");
        let flags = [SIGNATURE, &[0, 1, 0, 0, 0, 0, 0, 0]].concat();
        check(
            &flags,
            "row 0: unrecognized critical flags in COPY file header",
        );
        let cut = [head(), vec![0, 2, 0, 0]].concat();
        check(&cut, "row 1: unexpected EOF in COPY data");
        let negative = [head(), vec![0, 1, 0xff, 0xff, 0xff, 0xfe]].concat();
        check(&negative, "row 1: invalid field size");
        let huge = [head(), vec![0, 1, 0x7f, 0xff, 0xff, 0xff]].concat();
        check(&huge, "row 1: a field is longer than 16777216 bytes");
    }

    proptest! {
        #[test]
        fn where_messages_are_cut_makes_no_difference(at in 0_usize..60, other in 0_usize..60) {
            let data = two_rows();
            let (first, second) = (at.min(other).min(data.len()), at.max(other).min(data.len()));
            prop_assert_eq!(read(&[&data[..first], &data[first..second], &data[second..]]), read(&[&data]));
        }

        #[test]
        fn any_bytes_are_rows_or_an_error(input: Vec<u8>) {
            read(&[&[head(), input].concat()]);
        }
    }
}
