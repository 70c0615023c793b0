//! Values as YAML, for what is written into files that people go on with.

use spec::{Row, Value};

/// Words that YAML reads as something else than text.
const NO_TEXTS: [&str; 3] = ["null", "true", "false"];

/// A text as it is, or in quotes where it would be read as something else.
pub(super) fn scalar(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let is_word = text.bytes().all(is_plain) && text.as_bytes().first().is_some_and(begins);
    if is_word && !NO_TEXTS.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    // A text of JSON is one of YAML.
    serde_json::Value::from(text).to_string()
}

/// A row on a line, as tests give and expect it.
pub(super) fn row(row: &Row) -> String {
    let members = row.iter().map(|(name, value)| {
        let value = match value {
            Value::Text(text) => scalar(text),
            // JSON is YAML.
            other => serde_json::to_string(other).unwrap_or_default(),
        };
        format!("{}: {value}", scalar(name))
    });
    let members: Vec<_> = members.collect();
    if members.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ {} }}", members.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_would_misread_stands_in_quotes() {
        for (name, text) in [
            ("trip_id", "trip_id"),
            ("DURATION", "DURATION"),
            ("null", "\"null\""),
            ("True", "\"True\""),
            ("08730", "\"08730\""),
            ("a b", "\"a b\""),
            ("a: \"b\"", "\"a: \\\"b\\\"\""),
            ("", "\"\""),
        ] {
            assert_eq!(scalar(name), text);
        }
        let text = |text: &str| text.to_owned();
        let given = vec![
            (text("a b"), Value::Text(text("O'Brien"))),
            (text("n"), Value::Null),
            (text("x"), Value::Number(1.5)),
            (text("l"), Value::List(vec![Value::Integer(1)])),
        ];
        assert_eq!(
            row(&given),
            "{ \"a b\": \"O'Brien\", n: null, x: 1.5, l: [1] }"
        );
        assert_eq!(row(&Vec::new()), "{}");
    }
}
