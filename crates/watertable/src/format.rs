//! Format strings of `consume`: what to print of a record, as kcat and rpk know them.
//!
//! A format is parsed once into pieces; printing a record copies bytes and never fails, whatever the record holds.

use std::str::FromStr;

use client::RecordRef;

use crate::arguments::escape;
use crate::moment::display_time;

/// What a format understands, for help texts.
pub(crate) const FORMAT_HELP: &str = "\
%t topic  %p partition  %o offset  %k key  %v value (or %s)  %h headers as name=value,…
%T timestamp in ms  %d timestamp as a date  %K %V lengths of key and value, -1 if null (or %S)  %% a percent sign
\\n \\t \\r \\0 \\\\ \\xHH as usual";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    Value,
    Headers,
    TimestampMs,
    Date,
    KeyLength,
    ValueLength,
}

/// A parsed format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format(Vec<Piece>);

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['%', '\\']) {
            literal.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at..];
            if rest.starts_with('\\') {
                let (byte, after) = escape(rest)?;
                literal.push(byte);
                rest = after;
                continue;
            }
            let mut characters = rest.chars();
            characters.next();
            let piece = match characters.next() {
                Some('%') => {
                    literal.push(b'%');
                    None
                }
                Some('t') => Some(Piece::Topic),
                Some('p') => Some(Piece::Partition),
                Some('o') => Some(Piece::Offset),
                Some('k') => Some(Piece::Key),
                Some('v' | 's') => Some(Piece::Value),
                Some('h') => Some(Piece::Headers),
                Some('T') => Some(Piece::TimestampMs),
                Some('d') => Some(Piece::Date),
                Some('K') => Some(Piece::KeyLength),
                Some('V' | 'S') => Some(Piece::ValueLength),
                Some(other) => {
                    return Err(format!("%{other} means nothing; there are:\n{FORMAT_HELP}"));
                }
                None => return Err("a lone % at the end; write %% for a percent sign".into()),
            };
            if let Some(piece) = piece {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(piece);
            }
            rest = characters.as_str();
        }
        literal.extend_from_slice(rest.as_bytes());
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces))
    }
}

impl Format {
    /// The value, with the key and `separator` before it if there is one, and a line end.
    pub(crate) fn lines(separator: Option<Vec<u8>>) -> Self {
        let mut pieces = Vec::new();
        if let Some(separator) = separator {
            pieces.extend([Piece::Key, Piece::Literal(separator)]);
        }
        pieces.extend([Piece::Value, Piece::Literal(b"\n".to_vec())]);
        Self(pieces)
    }

    /// Appends a record to `out`.
    pub(crate) fn print(
        &self,
        topic: &str,
        partition: i32,
        record: &RecordRef<'_>,
        out: &mut Vec<u8>,
    ) {
        for piece in &self.0 {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Topic => out.extend_from_slice(topic.as_bytes()),
                Piece::Partition => number(out, i64::from(partition)),
                Piece::Offset => number(out, record.offset),
                Piece::Key => out.extend_from_slice(record.key.unwrap_or_default()),
                Piece::Value => out.extend_from_slice(record.value.unwrap_or_default()),
                Piece::Headers => headers(out, record),
                Piece::TimestampMs => number(out, record.timestamp_ms),
                Piece::Date => out.extend_from_slice(display_time(record.timestamp_ms).as_bytes()),
                Piece::KeyLength => number(out, length(record.key)),
                Piece::ValueLength => number(out, length(record.value)),
            }
        }
    }
}

fn length(field: Option<&[u8]>) -> i64 {
    field.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}

fn number(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(number.to_string().as_bytes());
}

fn headers(out: &mut Vec<u8>, record: &RecordRef<'_>) {
    for (position, (name, value)) in record.headers.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use protocol::records::{BatchBuilder, BatchOptions, BatchView};

    use super::*;

    type Fields<'a> = (
        Option<&'a [u8]>,
        Option<&'a [u8]>,
        &'a [(&'a [u8], Option<&'a [u8]>)],
    );

    fn printed(format: &str, (key, value, headers): Fields<'_>) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder
            .push(1_700_000_000_123, key, value, headers)
            .expect("fits");
        let bytes = builder.build().expect("fits");
        let batch = BatchView::parse(&bytes).expect("well formed");
        let payload = batch.payload(1 << 20).expect("not compressed");
        let record = batch
            .records(&payload)
            .next()
            .expect("one")
            .expect("well formed");
        let record = RecordRef {
            offset: 42,
            timestamp_ms: 1_700_000_000_123,
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        let mut out = Vec::new();
        let format: Format = format.parse().expect(format);
        format.print("flights", 3, &record, &mut out);
        out
    }

    #[test]
    fn every_piece_prints_its_part() {
        let full: Fields<'_> = (
            Some(b"AA"),
            Some(b"v\xff"),
            &[(b"a", Some(b"1")), (b"a", None)],
        );
        let null: Fields<'_> = (None, None, &[]);
        let cases: [(&str, Fields<'_>, &[u8]); 7] = [
            ("%t/%p@%o\\n", full, b"flights/3@42\n"),
            ("%k=%v", full, b"AA=v\xff"),
            ("%s %S %K", full, b"v\xff 2 2"),
            ("[%k][%v] %K %V", null, b"[][] -1 -1"),
            ("%h", full, b"a=1,a="),
            ("%T %d", full, b"1700000000123 2023-11-14T22:13:20.123Z"),
            ("100%%\\t\\x41", full, b"100%\tA"),
        ];
        for (format, record, expected) in cases {
            assert_eq!(printed(format, record), expected, "{format}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for format in ["%", "%q", "a\\", "\\q", "%t%"] {
            assert!(format.parse::<Format>().is_err(), "{format}");
        }
    }

    #[test]
    fn lines_are_values_with_keys_if_wanted() {
        assert_eq!(Format::lines(None), "%v\\n".parse().expect("a format"));
        let keyed = Format::lines(Some(b"\t".to_vec()));
        assert_eq!(keyed, "%k\\t%v\\n".parse().expect("a format"));
    }
}
