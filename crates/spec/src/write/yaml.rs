//! YAML as people write it: blocks, short things in one line, SQL as lines of text.

use std::fmt::Write;

use crate::tree::{Scalar, resolve};
use crate::value::Value;

/// Lists and maps that fit are written in one line.
const LINE_CHARS_MAX: usize = 100;

pub(super) fn document(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Map(members) => map(members, 0, &mut text),
        other => text = in_line(other) + "\n",
    }
    text
}

fn map(members: &[(String, Value)], indent: usize, text: &mut String) {
    for (key, value) in members {
        push(text, indent);
        text.push_str(&scalar(key));
        text.push(':');
        below(value, indent, text);
    }
}

/// What is behind a key.
fn below(value: &Value, indent: usize, text: &mut String) {
    if let Value::Text(written) = value
        && let Some(lines) = block(written)
    {
        text.push_str(" |-\n");
        for line in lines {
            if !line.is_empty() {
                push(text, indent + 2);
                text.push_str(line);
            }
            text.push('\n');
        }
        return;
    }
    let line = in_line(value);
    // The top of a file has a key on each line.
    let may_be_short = indent > 0 || !matches!(value, Value::Map(_));
    if may_be_short && line.chars().count() + indent <= LINE_CHARS_MAX {
        text.push(' ');
        text.push_str(&line);
        text.push('\n');
        return;
    }
    match value {
        Value::Map(members) if !members.is_empty() => {
            text.push('\n');
            map(members, indent + 2, text);
        }
        Value::List(items) if !items.is_empty() => {
            text.push('\n');
            for item in items {
                push(text, indent + 2);
                text.push('-');
                item_below(item, indent + 2, text);
            }
        }
        _ => {
            text.push(' ');
            text.push_str(&line);
            text.push('\n');
        }
    }
}

/// What is behind the dash of an item: a map that is too long for a line begins in it.
fn item_below(item: &Value, indent: usize, text: &mut String) {
    let line = in_line(item);
    match item {
        Value::Map(members)
            if !members.is_empty() && line.chars().count() + indent > LINE_CHARS_MAX =>
        {
            let mut inner = String::new();
            map(members, indent + 2, &mut inner);
            text.push(' ');
            text.push_str(inner.trim_start_matches(' '));
        }
        _ => {
            text.push(' ');
            text.push_str(&line);
            text.push('\n');
        }
    }
}

fn push(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

/// The lines of a text that can stand as they are.
fn block(text: &str) -> Option<Vec<&str>> {
    let lines: Vec<_> = text.split('\n').collect();
    let is_plain = |line: &&str| {
        line.chars().all(is_printable) && !line.ends_with([' ', '\t']) && !line.starts_with('\t')
    };
    let begins = lines
        .first()
        .is_some_and(|line| !line.is_empty() && !line.starts_with(' '));
    let ends = lines.last().is_some_and(|line| !line.is_empty());
    (lines.len() > 1 && begins && ends && lines.iter().all(is_plain)).then_some(lines)
}

/// What every reader of YAML takes for a character of a line.
fn is_printable(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

fn in_line(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Number(value) => format!("{value:?}"),
        Value::Text(text) => scalar(text),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(in_line).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(members) if members.is_empty() => "{}".to_owned(),
        Value::Map(members) => {
            let member =
                |(key, value): &(String, Value)| format!("{}: {}", scalar(key), in_line(value));
            let members: Vec<_> = members.iter().map(member).collect();
            format!("{{ {} }}", members.join(", "))
        }
    }
}

/// A text as it is where nothing in it means anything to YAML, else in quotes.
fn scalar(text: &str) -> String {
    let is_word =
        |character: char| character.is_ascii_alphanumeric() || "_./$%()+-".contains(character);
    let begins =
        text.starts_with(|character: char| character.is_ascii_alphanumeric() || character == '_');
    let inside = text
        .chars()
        .all(|character| is_word(character) || character == ' ');
    let plain = begins && inside && !text.ends_with(' ') && resolve(text) == Scalar::Text;
    // What YAML 1.1 takes for something else is quoted for its readers.
    let is_old = ["y", "n", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str());
    if plain && !is_old {
        return text.to_owned();
    }
    quoted(text)
}

fn quoted(text: &str) -> String {
    let mut written = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\t' => written.push_str("\\t"),
            '\r' => written.push_str("\\r"),
            plain if is_printable(plain) => written.push(plain),
            other => {
                // Writing into a string cannot fail.
                let _written = write!(written, "\\U{:08X}", u32::from(other));
            }
        }
    }
    written.push('"');
    written
}
