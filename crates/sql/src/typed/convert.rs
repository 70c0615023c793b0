//! Text and numbers as values of a column, as PostgreSQL's input functions read them.

use std::borrow::Cow;

use contract::DataType;
use datafusion::arrow::compute::kernels::cast_utils::{Parser, string_to_datetime};
use datafusion::arrow::datatypes::Date32Type;

use super::cell::Cell;
use super::decimal::{self, NoDecimal};
use super::json_text;
use super::misfit::Misfit;

type Read<'a> = Result<Cell<'a>, Misfit<'a>>;

/// A text as a value of the type.
pub(super) fn text(text: Cow<'_, str>, of: DataType) -> Read<'_> {
    let read = match of {
        DataType::Text => return plain(text),
        DataType::Json => {
            if json_text::is_json(&text) {
                return Ok(Cell::Text(text));
            }
            None
        }
        DataType::Boolean => boolean(&text).map(Cell::Boolean),
        DataType::Bytea => bytes(&text).map(|bytes| Cell::Bytes(Cow::Owned(bytes))),
        DataType::Date => date(&text).map(Cell::Int),
        DataType::Timestamp if has_zone(&text) => return Err(Misfit::Zone { text }),
        DataType::Timestamp | DataType::TimestampTz => microseconds(&text).map(Cell::Int),
        DataType::SmallInt
        | DataType::Int
        | DataType::BigInt
        | DataType::Real
        | DataType::Double
        | DataType::Decimal { .. } => return number(text, of),
    };
    read.ok_or(Misfit::Not { text, of })
}

/// The text of a number as a value of a numeric type.
pub(super) fn number(text: Cow<'_, str>, of: DataType) -> Read<'_> {
    let trimmed = text.trim_ascii();
    let read = match of {
        DataType::SmallInt | DataType::Int | DataType::BigInt => match whole(trimmed, of) {
            Ok(value) => Some(Cell::Int(value)),
            Err(Whole::TooLarge) => return Err(Misfit::Range { text, of }),
            Err(Whole::NoNumber) => None,
        },
        DataType::Real => match trimmed.parse::<f32>() {
            Ok(value) if is_too_large(value.is_infinite(), trimmed) => {
                return Err(Misfit::Range { text, of });
            }
            value => value.ok().map(|value| Cell::Float(value.into())),
        },
        DataType::Double => match trimmed.parse::<f64>() {
            Ok(value) if is_too_large(value.is_infinite(), trimmed) => {
                return Err(Misfit::Range { text, of });
            }
            value => value.ok().map(Cell::Float),
        },
        DataType::Decimal { precision, scale } => match decimal::parse(trimmed, precision, scale) {
            Ok(value) => Some(Cell::Decimal(value)),
            Err(NoDecimal::TooLarge) => return Err(Misfit::Range { text, of }),
            Err(NoDecimal::NoNumber) => None,
        },
        _ => None,
    };
    read.ok_or(Misfit::Not { text, of })
}

/// A whole number as a value of one of the types for them, or of those that have room for more.
pub(super) fn integer<'a>(value: i64, of: DataType) -> Read<'a> {
    let fits = match of {
        DataType::SmallInt => i16::try_from(value).is_ok(),
        DataType::Int => i32::try_from(value).is_ok(),
        DataType::BigInt => true,
        // Of 64 bits, one that has more digits than the type keeps is rounded.
        #[expect(
            clippy::cast_precision_loss,
            reason = "as PostgreSQL casts bigint to double"
        )]
        DataType::Double => return Ok(Cell::Float(value as f64)),
        DataType::Text => return Ok(Cell::Text(Cow::Owned(value.to_string()))),
        _ => return number(Cow::Owned(value.to_string()), of),
    };
    if fits {
        Ok(Cell::Int(value))
    } else {
        let text = Cow::Owned(value.to_string());
        Err(Misfit::Range { text, of })
    }
}

/// Text that PostgreSQL's text can hold.
pub(super) fn plain(text: Cow<'_, str>) -> Read<'_> {
    if text.as_bytes().contains(&0) {
        Err(Misfit::ZeroByte)
    } else {
        Ok(Cell::Text(text))
    }
}

enum Whole {
    NoNumber,
    TooLarge,
}

fn whole(text: &str, of: DataType) -> Result<i64, Whole> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let value = text.parse::<i64>().map_err(|error| match error.kind() {
        NegOverflow | PosOverflow => Whole::TooLarge,
        _ => Whole::NoNumber,
    })?;
    let fits = match of {
        DataType::SmallInt => i16::try_from(value).is_ok(),
        DataType::Int => i32::try_from(value).is_ok(),
        _ => true,
    };
    fits.then_some(value).ok_or(Whole::TooLarge)
}

/// A number that became infinite though it does not say so.
fn is_too_large(is_infinite: bool, text: &str) -> bool {
    is_infinite && text.bytes().any(|byte| byte.is_ascii_digit())
}

fn boolean(text: &str) -> Option<bool> {
    const TRUE: [&str; 5] = ["true", "t", "yes", "on", "1"];
    const FALSE: [&str; 5] = ["false", "f", "no", "off", "0"];
    let text = text.trim_ascii();
    let is_one_of = |words: [&str; 5]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_one_of(TRUE) {
        Some(true)
    } else {
        is_one_of(FALSE).then_some(false)
    }
}

/// `\x` and hexadecimal digits, as bytes are shown.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(16 * digit(*high)? + digit(*low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

/// Days since 1970.
fn date(text: &str) -> Option<i64> {
    const LONGEST: usize = "2013-01-31".len();
    let text = text.trim_ascii();
    if text.len() > LONGEST {
        return None;
    }
    Date32Type::parse(text).map(i64::from)
}

/// Whether there is more than a day and a time of day.
fn has_zone(text: &str) -> bool {
    const DAY: usize = "2013-01-31".len();
    let behind = text.get(DAY..).unwrap_or_default();
    let is_zone = |byte: u8| matches!(byte, b'+' | b'-' | b'Z' | b'z');
    behind.trim_ascii().bytes().any(is_zone)
}

/// Microseconds since 1970; a time without a zone is in UTC.
fn microseconds(text: &str) -> Option<i64> {
    let moment = string_to_datetime(&chrono::Utc, text.trim_ascii());
    moment.ok().map(|moment| moment.timestamp_micros())
}
