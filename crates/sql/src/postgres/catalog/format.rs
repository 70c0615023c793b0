//! `format('%I.%I = %L', ...)`: text with values in it, as SQL writes names and literals.
//!
//! Invariant: the answer is as long as its parts; widths, which could make it longer, are refused.

use std::iter::Peekable;
use std::str::Chars;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::super::error::{PgError, state};
use super::functions::{Answer, Call, maybe};
use super::lookups;

pub(super) fn format(call: &Call<'_>) -> Answer {
    maybe(match call.text(0) {
        Some(pattern) => Some(formatted(pattern, &call.args[1..])?),
        None => None,
    })
}

fn formatted(pattern: &str, values: &[ScalarValue]) -> Result<String, PgError> {
    let mut output = String::with_capacity(pattern.len());
    let mut next = 0;
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            output.push(letter);
        } else if letters.next_if_eq(&'%').is_some() {
            output.push('%');
        } else {
            let place = place(&mut letters)?.unwrap_or(next);
            let kind = letters.next().ok_or_else(|| {
                invalid("unterminated format() type specifier")
                    .with_hint("%s, %I or %L put a value in; %% is a percent sign.")
            })?;
            let value = values
                .get(place)
                .ok_or_else(|| invalid("too few arguments for format()"))?;
            put(kind, value, &mut output)?;
            next = place + 1;
        }
    }
    Ok(output)
}

fn invalid(message: impl Into<String>) -> PgError {
    PgError::new(state::INVALID_PARAMETER_VALUE, message)
}

/// `n$` in front of the letter: which of the values it is, from 1.
fn place(letters: &mut Peekable<Chars<'_>>) -> Result<Option<usize>, PgError> {
    let mut digits = String::new();
    while let Some(digit) = letters.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    if digits.is_empty() && !matches!(letters.peek(), Some('-' | '*')) {
        return Ok(None);
    }
    if letters.next_if_eq(&'$').is_none() {
        return Err(PgError::unsupported(
            "format() with a width is not supported",
            "lpad and rpad fill text up.",
        ));
    }
    match digits.parse::<usize>() {
        Ok(number @ 1..) => Ok(Some(number - 1)),
        Ok(0) => Err(invalid(
            "format specifies argument 0, but arguments are numbered from 1",
        )),
        Err(_) => Err(invalid("number is out of range")),
    }
}

fn put(kind: char, value: &ScalarValue, output: &mut String) -> Result<(), PgError> {
    let text = text_of(value)?;
    match (kind, text) {
        ('s', text) => output.push_str(&text.unwrap_or_default()),
        ('I', Some(text)) => output.push_str(&lookups::quote_identifier(&text)),
        ('I', None) => {
            return Err(PgError::new(
                "22004",
                "null values cannot be formatted as an SQL identifier",
            ));
        }
        ('L', Some(text)) => output.push_str(&lookups::quote_literal(&text)),
        ('L', None) => output.push_str("NULL"),
        (other, _) => {
            let message = format!("unrecognized format() type specifier \"{other}\"");
            return Err(
                invalid(message).with_hint("%s, %I or %L put a value in; %% is a percent sign.")
            );
        }
    }
    Ok(())
}

fn text_of(value: &ScalarValue) -> Result<Option<String>, PgError> {
    if let ScalarValue::Boolean(Some(flag)) = value {
        return Ok(Some(if *flag { "t" } else { "f" }.to_owned()));
    }
    match value.cast_to(&DataType::Utf8)? {
        ScalarValue::Utf8(text) => Ok(text),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_where_the_pattern_says() {
        let values = [
            ScalarValue::from("a b"),
            ScalarValue::from("it's"),
            ScalarValue::Int64(Some(7)),
            ScalarValue::Utf8(None),
        ];
        for (pattern, text) in [
            ("%s %% %s", "a b % it's"),
            ("%I.%L", "\"a b\".'it''s'"),
            ("%3$s-%1$s-%s", "7-a b-it's"),
            ("%4$s%4$L", "NULL"),
        ] {
            assert_eq!(formatted(pattern, &values).unwrap(), text, "{pattern}");
        }
        for (pattern, code) in [
            ("%4$I", "22004"),
            ("%5$s", "22023"),
            ("%0$s", "22023"),
            ("%", "22023"),
            ("%d", "22023"),
            ("%1000000s", "0A000"),
            ("%99999999999999999999$s", "22023"),
        ] {
            assert_eq!(
                formatted(pattern, &values).unwrap_err().state,
                code,
                "{pattern}"
            );
        }
    }
}
