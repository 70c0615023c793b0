//! Values as people type them on the command line: sizes, durations, settings, separators.

use std::time::Duration;

/// A duration such as `500ms`, `30s`, `1h 30m`; a bare number is milliseconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(ms) = text.parse() {
        return Ok(Duration::from_millis(ms));
    }
    humantime::parse_duration(text)
        .map_err(|_invalid| format!("'{text}' is no duration; write it as 500ms, 30s or 1h30m"))
}

/// A size in bytes, such as `16384`, `16KiB` or `1MiB` (`k`, `m`, `g` mean the same).
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let shift = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(no_size(text)),
    };
    digits
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| no_size(text))
}

fn no_size(text: &str) -> String {
    format!("'{text}' is no size; write it as 16384, 16KiB or 1MiB")
}

/// One of a few words, in any case; gives it as it is spelled.
pub(crate) fn one_of(words: &'static [&'static str], text: &str) -> Result<String, String> {
    let word = words.iter().find(|word| word.eq_ignore_ascii_case(text));
    word.map(|word| (*word).to_owned())
        .ok_or_else(|| format!("there is no '{text}'; there are {}", words.join(", ")))
}

/// `name=value`.
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err(format!("'{text}' is no setting; write it as name=value")),
    }
}

/// Bytes between two fields, as [`unescaped`] reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Separator(pub(crate) Vec<u8>);

/// A separator, which must not be empty.
pub(crate) fn separator(text: &str) -> Result<Separator, String> {
    let bytes = unescaped(text)?;
    if bytes.is_empty() {
        return Err("a separator needs at least one character".into());
    }
    Ok(Separator(bytes))
}

/// Text with `\t`, `\n`, `\r`, `\0`, `\\` and `\xHH`.
pub(crate) fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let (byte, after) = escape(&rest[at..])?;
        bytes.push(byte);
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// The byte that an escape at the start of `text` stands for, and what follows.
pub(crate) fn escape(text: &str) -> Result<(u8, &str), String> {
    let mut characters = text.chars();
    characters.next();
    let byte = match characters.next() {
        Some('n') => b'\n',
        Some('t') => b'\t',
        Some('r') => b'\r',
        Some('0') => 0,
        Some('\\') => b'\\',
        Some('x') => {
            let rest = characters.as_str();
            let parsed = rest
                .get(..2)
                .and_then(|hex| u8::from_str_radix(hex, 16).ok());
            let byte = parsed.ok_or("after \\x two hexadecimal digits are needed")?;
            return Ok((byte, &rest[2..]));
        }
        Some(other) => {
            return Err(format!(
                "\\{other} is no escape; there are \\n \\t \\r \\0 \\\\ \\xHH"
            ));
        }
        None => return Err("a lone \\ at the end; write \\\\ for a backslash".into()),
    };
    Ok((byte, characters.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_as_people_write_them() {
        for (text, expected) in [
            ("0", 0),
            ("16384", 16384),
            ("16KiB", 16384),
            ("1m", 1 << 20),
            ("2 GB", 0),
        ] {
            match size(text) {
                Ok(found) => assert_eq!(found, expected, "{text}"),
                Err(_) => assert_eq!(text, "2 GB"),
            }
        }
        for text in [
            "",
            "x",
            "1x",
            "-1",
            "99999999999999999999",
            "18446744073709551615g",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(duration("250"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(duration("soon").is_err());
    }

    #[test]
    fn escapes_become_bytes() {
        let cases: [(&str, &[u8]); 5] = [
            ("a\\tb", b"a\tb"),
            ("\\x00\\xff", b"\x00\xff"),
            ("\\\\n", b"\\n"),
            ("ü", "ü".as_bytes()),
            ("", b""),
        ];
        for (text, expected) in cases {
            assert_eq!(unescaped(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["\\", "\\q", "\\x1", "\\xzz", "\\xü"] {
            assert!(unescaped(text).is_err(), "{text}");
        }
    }

    #[test]
    fn settings_need_a_name() {
        assert_eq!(setting("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(setting("a="), Ok(("a".into(), String::new())));
        assert!(setting("=b").is_err());
        assert!(setting("ab").is_err());
    }
}
