//! Values as people and programs read them. A server sends them as PostgreSQL's text; their type says how to align them and
//! what they are in JSON.
//!
//! Invariant: a value is shown on one line, and no value can send commands to the terminal: what controls it is escaped.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What a type means for output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Bool,
    Json,
    /// With the kind of its items.
    Array(&'static Kind),
}

impl Kind {
    /// By the number of the type in `pg_type`.
    pub(crate) fn of(type_oid: u32) -> Self {
        match type_oid {
            16 => Self::Bool,
            20 | 21 | 23 | 26 | 700 | 701 | 1700 => Self::Number,
            114 | 3802 => Self::Json,
            1000 => Self::Array(&Self::Bool),
            1005 | 1007 | 1016 | 1021 | 1022 | 1028 | 1231 => Self::Array(&Self::Number),
            199 | 3807 => Self::Array(&Self::Json),
            // char, name, text, bpchar, varchar, bytea; dates and times; uuid.
            1001..=1003 | 1009 | 1014 | 1015 | 1115 | 1182 | 1183 | 1185 | 1187 | 2951 => {
                Self::Array(&Self::Text)
            }
            _ => Self::Text,
        }
    }

    pub(crate) fn is_right_aligned(self) -> bool {
        self == Self::Number
    }
}

/// A value on one line.
pub(crate) fn shown(value: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(value);
    if !text.contains(is_unshowable) {
        return text;
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            other if is_unshowable(other) => {
                write!(shown, "\\u{:04x}", u32::from(other))
                    .expect("writing to a string does not fail");
            }
            other => shown.push(other),
        }
    }
    shown.into()
}

/// Controls, and the marks that turn the direction of the text around them.
fn is_unshowable(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes a value in JSON.
pub(crate) fn put_json(value: Option<&[u8]>, kind: Kind, output: &mut Vec<u8>) {
    let Some(value) = value else {
        output.extend_from_slice(b"null");
        return;
    };
    match kind {
        Kind::Bool if value == b"t" => output.extend_from_slice(b"true"),
        Kind::Bool if value == b"f" => output.extend_from_slice(b"false"),
        // NaN and Infinity are none of JSON's numbers.
        Kind::Number if is_json(value) => output.extend_from_slice(value),
        Kind::Json if is_json(value) => {
            // Between its parts JSON may have line ends, and inside of strings it has none.
            let blank = |byte: &u8| {
                if matches!(byte, b'\n' | b'\r') {
                    b' '
                } else {
                    *byte
                }
            };
            output.extend(value.iter().map(blank));
        }
        Kind::Array(item) => match items(value) {
            Some(items) => put_items(&items, *item, output),
            None => put_string(value, output),
        },
        _ => put_string(value, output),
    }
}

fn is_json(value: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok()
}

pub(crate) fn put_string(value: &[u8], output: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(value);
    serde_json::to_writer(output, &text).expect("a string is JSON, and memory takes it");
}

fn put_items(items: &[Option<Vec<u8>>], kind: Kind, output: &mut Vec<u8>) {
    output.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            output.push(b',');
        }
        put_json(item.as_deref(), kind, output);
    }
    output.push(b']');
}

/// The items of `{a,"b c",NULL}`; `None` if it is not an array of one dimension.
fn items(text: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let inner = text.strip_prefix(b"{")?.strip_suffix(b"}")?;
    let mut items = Vec::new();
    let mut rest = inner;
    while !rest.is_empty() || !items.is_empty() {
        let (item, length) = item(rest)?;
        items.push(item);
        match rest.get(length) {
            None => break,
            Some(b',') => rest = &rest[length + 1..],
            Some(_) => return None,
        }
    }
    Some(items)
}

/// The item at the start, and its length as it is written.
fn item(text: &[u8]) -> Option<(Option<Vec<u8>>, usize)> {
    if text.first() != Some(&b'"') {
        let end = text
            .iter()
            .position(|byte| *byte == b',')
            .unwrap_or(text.len());
        let item = &text[..end];
        if item.contains(&b'{') {
            return None;
        }
        let value = (item != b"NULL").then(|| item.to_vec());
        return Some((value, end));
    }
    let (mut value, mut at) = (Vec::new(), 1);
    loop {
        match *text.get(at)? {
            b'"' => return Some((Some(value), at + 1)),
            b'\\' => {
                value.push(*text.get(at + 1)?);
                at += 2;
            }
            other => {
                value.push(other);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, type_oid: u32, expected: &str) {
        let mut output = Vec::new();
        put_json(Some(value.as_bytes()), Kind::of(type_oid), &mut output);
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }

    #[test]
    fn values_are_what_they_are_in_json() {
        check("t", 16, "true");
        check("-12", 20, "-12");
        check("1e+20", 701, "1e+20");
        check(
            "123456789012345678901234567890.10",
            1700,
            "123456789012345678901234567890.10",
        );
        check("NaN", 701, "\"NaN\"");
        check("-Infinity", 701, "\"-Infinity\"");
        check("12", 25, "\"12\"");
        check("a\"b\n\u{1}", 25, r#""a\"b\n\u0001""#);
        check(
            "{\"a\": 1.10,\n \"b\": []}",
            114,
            "{\"a\": 1.10,  \"b\": []}",
        );
        check("no json", 114, "\"no json\"");
    }

    #[test]
    fn arrays_are_lists() {
        check("{1,NULL,3}", 1007, "[1,null,3]");
        check("{}", 1007, "[]");
        check(
            r#"{a,"b, \"c\"","","NULL",NULL}"#,
            1009,
            r#"["a","b, \"c\"","","NULL",null]"#,
        );
        check("{t,f}", 1000, "[true,false]");
        // More dimensions than one stay as they are.
        check("{{1},{2}}", 1007, "\"{{1},{2}}\"");
        check("{a,\"b", 1009, "\"{a,\\\"b\"");
    }

    #[test]
    fn a_value_cannot_control_the_terminal() {
        assert_eq!(shown("größe".as_bytes()), "größe");
        assert_eq!(shown(b"a\tb\r\nc"), "a\\tb\\r\\nc");
        assert_eq!(shown(b"\x1b[2J\x07"), "\\u001b[2J\\u0007");
        assert_eq!(shown("\u{202e}abc\u{9b}".as_bytes()), "\\u202eabc\\u009b");
        assert_eq!(shown(b"\xff"), "\u{fffd}");
    }
}
