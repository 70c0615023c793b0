//! One line of CSV, field by field. A field that is quoted is never NULL, so whether it was is part of it, which libraries for CSV do not
//! tell.
//!
//! Only a quote that begins a field opens one; any other stands for itself, as in `6,5" pipe`. PostgreSQL's COPY opens one there, too
//! (`CopyReadAttributesCSV`), but what opens there goes on over the lines behind it, and rows are lost in a field.

use std::borrow::Cow;

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// What is in it.
    pub text: Cow<'a, str>,
    /// Whether it began with a quote.
    pub quoted: bool,
}

/// Why a line ends before it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// A quote was opened and not closed.
    #[error("a quote that is not closed")]
    OpenQuote,
    /// More follows behind the end of the line.
    #[error("more than one line")]
    SeveralLines,
}

/// The fields of a line. A line end behind the last one does not count.
pub fn fields(line: &str, delimiter: u8) -> Fields<'_> {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    Fields {
        rest: Some(line),
        delimiter,
    }
}

/// See [`fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    /// `None` behind the last field.
    rest: Option<&'a str>,
    /// An ASCII character, so that it is no part of another one.
    delimiter: u8,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, CsvError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let delimiter = self.delimiter;
        if rest.starts_with('"') {
            return Some(self.quoted(rest));
        }
        let ends = |byte: u8| byte == delimiter || matches!(byte, b'\n' | b'\r');
        let end = rest.bytes().position(ends).unwrap_or(rest.len());
        match rest.as_bytes().get(end) {
            Some(b'\n' | b'\r') => Some(Err(CsvError::SeveralLines)),
            next => {
                self.rest = next.map(|_| &rest[end + 1..]);
                let text = Cow::Borrowed(&rest[..end]);
                Some(Ok(Field {
                    text,
                    quoted: false,
                }))
            }
        }
    }
}

impl<'a> Fields<'a> {
    /// A field that begins with a quote. What stands behind the one that closes it stands for itself.
    fn quoted(&mut self, rest: &'a str) -> Result<Field<'a>, CsvError> {
        let bytes = rest.as_bytes();
        let (mut text, mut from, mut at, mut inside) = (String::new(), 1, 1, true);
        while let Some(&byte) = bytes.get(at) {
            match byte {
                // Two quotes inside are one.
                b'"' if inside && bytes.get(at + 1) == Some(&b'"') => {
                    text.push_str(&rest[from..=at]);
                    at += 1;
                    from = at + 1;
                }
                b'"' if inside => {
                    text.push_str(&rest[from..at]);
                    from = at + 1;
                    inside = false;
                }
                b'\n' | b'\r' if !inside => return Err(CsvError::SeveralLines),
                _ if byte == self.delimiter && !inside => break,
                _ => {}
            }
            at += 1;
        }
        if inside {
            return Err(CsvError::OpenQuote);
        }
        text.push_str(&rest[from..at]);
        self.rest = bytes.get(at).map(|_| &rest[at + 1..]);
        Ok(Field {
            text: Cow::Owned(text),
            quoted: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Result<Vec<String>, CsvError> {
        let fields = fields(line, b',').map(|field| {
            let field = field?;
            let quotes = if field.quoted { "'" } else { "" };
            Ok(format!("{quotes}{}{quotes}", field.text))
        });
        fields.collect()
    }

    #[test]
    fn a_quote_opens_a_field_where_it_begins_one_and_stands_for_itself_elsewhere() {
        for (line, expected) in [
            ("", &[""][..]),
            ("a", &["a"]),
            ("a,b\r\n", &["a", "b"]),
            (",", &["", ""]),
            ("\"\",b", &["''", "b"]),
            ("\"a,\"\"b\"\"\",c", &["'a,\"b\"'", "c"]),
            ("x\"y,z\"w,é", &["x\"y", "z\"w", "é"]),
            ("6,5\" pipe", &["6", "5\" pipe"]),
            (" \"a\",\"b\" c\"d,e", &[" \"a\"", "'b c\"d'", "e"]),
            ("\"two\nlines\"", &["'two\nlines'"]),
        ] {
            assert_eq!(read(line).unwrap(), expected, "{line:?}");
        }
        assert_eq!(read("a,\"b"), Err(CsvError::OpenQuote));
        assert_eq!(read("a\nb"), Err(CsvError::SeveralLines));
        assert_eq!(read("\"a\"\nb"), Err(CsvError::SeveralLines));
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_as_it_was(texts in proptest::collection::vec("[a-z,\"\n\r é]{0,6}", 1..6)) {
            let line: Vec<_> = texts.iter().map(|text| format!("\"{}\"", text.replace('"', "\"\""))).collect();
            let line = line.join(",");
            let found: Result<Vec<_>, _> = fields(&line, b',').collect();
            let found: Vec<_> = found.unwrap().into_iter().map(|field| field.text.into_owned()).collect();
            prop_assert_eq!(found, texts);
        }

        #[test]
        fn no_line_is_a_panic(line in "[a,\"\n\r é]{0,20}", delimiter in prop_oneof![Just(b','), Just(b'\t'), Just(b' ')]) {
            let most = line.len() + 1;
            prop_assert!(fields(&line, delimiter).take_while(Result::is_ok).count() <= most);
        }
    }
}
