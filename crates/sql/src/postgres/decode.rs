//! Bound parameters, text or binary, as values of the plan.
//!
//! Invariant: a value is exactly of the Arrow type of its PostgreSQL type ([`PgType::arrow`]), or an error says which
//! parameter is wrong; lengths and counts inside a value are checked against its bytes.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::ScalarValue;

use super::error::{PgError, state};
use super::frontend::Format;
use super::types::{Kind, PgType};

const EPOCH_DAYS: i32 = 10_957;
const EPOCH_US: i64 = 946_684_800_000_000;

/// The value of parameter `number` (from 1).
pub(super) fn parameter(
    number: usize,
    kind: PgType,
    format: Format,
    value: Option<&Bytes>,
) -> Result<ScalarValue, PgError> {
    let decoded = match (value, format) {
        (None, _) => ScalarValue::try_from(&kind.arrow()).map_err(PgError::from),
        (Some(value), Format::Text) => match std::str::from_utf8(value) {
            Ok(text) => of_text(kind, text),
            Err(_invalid) => Err(PgError::new(
                "22021",
                "invalid byte sequence for encoding \"UTF8\"",
            )),
        },
        (Some(value), Format::Binary) => of_binary(kind, value.clone()),
    };
    decoded.map_err(|error| {
        let message = format!(
            "parameter ${number} of type {}: {}",
            kind.sql(),
            error.message
        );
        PgError::new(error.state, message)
    })
}

/// A field in binary; none is NULL.
pub(super) fn binary(kind: PgType, value: Option<Bytes>) -> Result<ScalarValue, PgError> {
    match value {
        Some(value) => of_binary(kind, value),
        None => Ok(ScalarValue::try_from(&kind.arrow())?),
    }
}

/// A value of this type that PostgreSQL writes so.
pub(super) fn of_text(kind: PgType, text: &str) -> Result<ScalarValue, PgError> {
    if kind.is_array {
        let item = PgType::scalar(kind.kind);
        let items = split_array(text)?.into_iter().map(|value| match value {
            Some(value) => of_text(item, &value),
            None => Ok(ScalarValue::try_from(&item.arrow())?),
        });
        return Ok(list(&items.collect::<Result<Vec<_>, _>>()?, item));
    }
    if kind.kind == Kind::Bytea {
        return Ok(ScalarValue::Binary(Some(bytea(text)?)));
    }
    if kind.kind == Kind::Interval {
        return interval_of_text(text);
    }
    let is_text = kind.arrow() == DataType::Utf8;
    let text = ScalarValue::from(if is_text { text } else { text.trim() });
    if is_text {
        return Ok(text);
    }
    Ok(text.cast_to(&kind.arrow())?)
}

fn list(items: &[ScalarValue], item: PgType) -> ScalarValue {
    ScalarValue::List(ScalarValue::new_list(items, &item.arrow(), true))
}

fn invalid(text: impl std::fmt::Display) -> PgError {
    PgError::new(
        state::INVALID_TEXT_REPRESENTATION,
        format!("invalid input: {text}"),
    )
}

/// `\x` and digits, or text with `\\` and `\ooo`.
pub(super) fn bytea(text: &str) -> Result<Vec<u8>, PgError> {
    if let Some(digits) = text.strip_prefix("\\x") {
        let digits = digits.bytes().filter(|byte| !byte.is_ascii_whitespace());
        let digits = digits.map(|digit| {
            char::from(digit)
                .to_digit(16)
                .ok_or_else(|| invalid("not a hexadecimal digit"))
        });
        let digits = digits.collect::<Result<Vec<_>, _>>()?;
        if digits.len() % 2 != 0 {
            return Err(invalid("an odd number of hexadecimal digits"));
        }
        return Ok(digits
            .chunks_exact(2)
            .map(|pair| (pair[0] << 4 | pair[1]) as u8)
            .collect());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'\\' {
            bytes.push(*first);
        } else if let Some(behind) = rest.strip_prefix(b"\\") {
            bytes.push(b'\\');
            rest = behind;
        } else {
            let octal = rest
                .split_at_checked(3)
                .ok_or_else(|| invalid("a lone backslash"))?;
            let digits = std::str::from_utf8(octal.0).ok();
            let value = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
            bytes.push(value.ok_or_else(|| invalid("a lone backslash"))?);
            rest = octal.1;
        }
    }
    Ok(bytes)
}

/// The items of `{1,NULL,"a b"}`.
pub(super) fn split_array(text: &str) -> Result<Vec<Option<String>>, PgError> {
    let inner = text
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let inner = inner.ok_or_else(|| invalid("an array is written {...}"))?;
    let mut items = Vec::new();
    let mut characters = inner.chars().peekable();
    if inner.trim().is_empty() {
        return Ok(items);
    }
    loop {
        while characters.next_if(|next| next.is_whitespace()).is_some() {}
        let mut item = String::new();
        let is_quoted = characters.next_if_eq(&'"').is_some();
        let mut is_closed = !is_quoted;
        while let Some(next) = characters.next_if(|next| is_quoted || *next != ',') {
            match next {
                '"' if is_quoted => {
                    is_closed = true;
                    break;
                }
                '\\' => item.push(
                    characters
                        .next()
                        .ok_or_else(|| invalid("a lone backslash"))?,
                ),
                '{' | '}' if !is_quoted => {
                    return Err(PgError::unsupported(
                        "arrays of arrays are not supported",
                        "Pass one array per dimension.",
                    ));
                }
                other => item.push(other),
            }
        }
        if !is_closed {
            return Err(invalid("a quote is not closed"));
        }
        let is_null = !is_quoted && item.trim_end().eq_ignore_ascii_case("null");
        items.push((!is_null).then(|| {
            if is_quoted {
                item
            } else {
                item.trim_end().to_owned()
            }
        }));
        while characters.next_if(|next| next.is_whitespace()).is_some() {}
        match characters.next() {
            None => return Ok(items),
            Some(',') => {}
            Some(_) => return Err(invalid("an array's items are separated by commas")),
        }
    }
}

fn wrong_length() -> PgError {
    PgError::new(
        state::INVALID_BINARY_REPRESENTATION,
        "the binary value has a wrong length",
    )
}

fn exactly<const N: usize>(value: &Bytes) -> Result<[u8; N], PgError> {
    value.as_ref().try_into().map_err(|_length| wrong_length())
}

fn of_binary(kind: PgType, value: Bytes) -> Result<ScalarValue, PgError> {
    if kind.is_array {
        return array_of_binary(kind, value);
    }
    Ok(match kind.kind {
        Kind::Bool => ScalarValue::from(exactly::<1>(&value)? != [0]),
        Kind::Int2 => ScalarValue::from(i16::from_be_bytes(exactly(&value)?)),
        Kind::Int4 => ScalarValue::from(i32::from_be_bytes(exactly(&value)?)),
        Kind::Int8 => ScalarValue::from(i64::from_be_bytes(exactly(&value)?)),
        Kind::Oid => ScalarValue::from(i64::from(u32::from_be_bytes(exactly(&value)?))),
        Kind::Float4 => ScalarValue::from(f32::from_be_bytes(exactly(&value)?)),
        Kind::Float8 => ScalarValue::from(f64::from_be_bytes(exactly(&value)?)),
        Kind::Bytea => ScalarValue::Binary(Some(value.to_vec())),
        Kind::Date => {
            let days = i32::from_be_bytes(exactly(&value)?);
            ScalarValue::Date32(Some(days.saturating_add(EPOCH_DAYS)))
        }
        Kind::Time => {
            let us = i64::from_be_bytes(exactly(&value)?);
            ScalarValue::Time64Nanosecond(Some(us.saturating_mul(1000)))
        }
        Kind::Timestamp | Kind::Timestamptz => {
            let us = i64::from_be_bytes(exactly(&value)?);
            let zone = (kind.kind == Kind::Timestamptz).then(|| Arc::from("+00:00"));
            ScalarValue::TimestampMicrosecond(Some(us.saturating_add(EPOCH_US)), zone)
        }
        Kind::Interval => interval(value)?,
        Kind::Numeric => ScalarValue::from(numeric(value)?).cast_to(&kind.arrow())?,
        Kind::Uuid => ScalarValue::from(uuid(&exactly::<16>(&value)?)),
        Kind::Jsonb => match value.split_first() {
            Some((1, text)) => of_text(kind, utf8(text)?)?,
            _ => {
                return Err(PgError::new(
                    state::INVALID_BINARY_REPRESENTATION,
                    "unknown version of jsonb",
                ));
            }
        },
        Kind::Char
        | Kind::Name
        | Kind::Text
        | Kind::Json
        | Kind::Unknown
        | Kind::Bpchar
        | Kind::Varchar => ScalarValue::from(utf8(&value)?),
    })
}

fn utf8(bytes: &[u8]) -> Result<&str, PgError> {
    std::str::from_utf8(bytes)
        .map_err(|_invalid| PgError::new("22021", "invalid byte sequence for encoding \"UTF8\""))
}

fn uuid(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn interval(mut value: Bytes) -> Result<ScalarValue, PgError> {
    if value.len() != 16 {
        return Err(wrong_length());
    }
    let (us, days, months) = (value.get_i64(), value.get_i32(), value.get_i32());
    let ns = us
        .checked_mul(1000)
        .ok_or_else(|| PgError::new(state::NUMERIC_VALUE_OUT_OF_RANGE, "interval out of range"))?;
    Ok(ScalarValue::IntervalMonthDayNano(Some(
        IntervalMonthDayNano::new(months, days, ns),
    )))
}

/// Numbers with units, then a clock: `1 year 2 mons -3 days 04:05:06.7`.
fn interval_of_text(text: &str) -> Result<ScalarValue, PgError> {
    let mut months = 0.0;
    let mut days = 0.0;
    let mut us = 0.0;
    let mut words = text.split_ascii_whitespace();
    while let Some(word) = words.next() {
        if word.contains(':') {
            us += clock_us(word)?;
            continue;
        }
        let digits = word
            .find(|letter: char| letter.is_ascii_alphabetic())
            .unwrap_or(word.len());
        let (number, unit) = word.split_at(digits);
        let number: f64 = number
            .parse()
            .map_err(|_invalid| invalid(format_args!("{word} in an interval")))?;
        let unit = if unit.is_empty() {
            words.next().unwrap_or("s")
        } else {
            unit
        };
        let unit = unit.trim_end_matches(',').to_ascii_lowercase();
        match unit.as_str() {
            "y" | "year" | "years" => months += number * 12.0,
            "mon" | "mons" | "month" | "months" => months += number,
            "w" | "week" | "weeks" => days += number * 7.0,
            "d" | "day" | "days" => days += number,
            "h" | "hour" | "hours" => us += number * 3.6e9,
            "m" | "min" | "mins" | "minute" | "minutes" => us += number * 6e7,
            "s" | "sec" | "secs" | "second" | "seconds" => us += number * 1e6,
            "ms" | "millisecond" | "milliseconds" => us += number * 1e3,
            "us" | "microsecond" | "microseconds" => us += number,
            _ => return Err(invalid(format_args!("{unit} is no unit of an interval"))),
        }
    }
    let fits = |value: f64, most: f64| value.abs() < most;
    if !(fits(months, 2e9) && fits(days, 2e9) && fits(us, 9e15)) {
        return Err(PgError::new(
            state::NUMERIC_VALUE_OUT_OF_RANGE,
            "interval out of range",
        ));
    }
    // What is left of a month is days of 30 each, what is left of a day is time.
    let days = days + months.fract() * 30.0;
    let us = us + days.fract() * 8.64e10;
    let ns = us.round() as i64 * 1000;
    let interval = IntervalMonthDayNano::new(months.trunc() as i32, days.trunc() as i32, ns);
    Ok(ScalarValue::IntervalMonthDayNano(Some(interval)))
}

/// `[+-]hh:mm[:ss[.f]]` in microseconds.
fn clock_us(text: &str) -> Result<f64, PgError> {
    let (sign, clock) = match text.strip_prefix('-') {
        Some(clock) => (-1.0, clock),
        None => (1.0, text.trim_start_matches('+')),
    };
    let parts = clock
        .split(':')
        .map(str::parse::<f64>)
        .collect::<Result<Vec<_>, _>>();
    match parts.as_deref() {
        Ok([hours, minutes]) => Ok(sign * (hours * 3.6e9 + minutes * 6e7)),
        Ok([hours, minutes, seconds]) => Ok(sign * (hours * 3.6e9 + minutes * 6e7 + seconds * 1e6)),
        _ => Err(invalid(format_args!("{text} is no time"))),
    }
}

/// Digits in base 10000 as text (`numeric_recv`).
fn numeric(mut value: Bytes) -> Result<String, PgError> {
    if value.len() < 8 {
        return Err(wrong_length());
    }
    let (count, weight) = (usize::from(value.get_u16()), value.get_i16());
    let (sign, scale) = (value.get_u16(), usize::from(value.get_u16()));
    if value.len() != count * 2 || scale > 0x3fff {
        return Err(wrong_length());
    }
    let out_of_range = || PgError::new(state::NUMERIC_VALUE_OUT_OF_RANGE, "numeric out of range");
    if !matches!(sign, 0 | 0x4000) || weight.unsigned_abs() > 20 {
        return Err(out_of_range());
    }
    let groups: Vec<u16> = (0..count).map(|_| value.get_u16()).collect();
    if groups.iter().any(|group| *group > 9999) {
        return Err(PgError::new(
            state::INVALID_BINARY_REPRESENTATION,
            "a digit of a numeric is above 9999",
        ));
    }
    let group = |position: i32| {
        let index = usize::try_from(i32::from(weight) - position).ok();
        index
            .and_then(|index| groups.get(index))
            .copied()
            .unwrap_or(0)
    };
    let mut text = String::from(if sign == 0 { "" } else { "-" });
    for position in (0..=i32::from(weight.max(0))).rev() {
        text.push_str(&format!("{:04}", group(position)));
    }
    let mut fraction = String::new();
    for position in 1..=i32::try_from(scale.div_ceil(4)).unwrap_or(0) {
        fraction.push_str(&format!("{:04}", group(-position)));
    }
    fraction.truncate(scale);
    Ok(format!("{text}.{fraction}0"))
}

/// Dimensions, whether there are NULLs, the items' type, then length and lower bound of each dimension (`array_recv`).
fn array_of_binary(kind: PgType, mut value: Bytes) -> Result<ScalarValue, PgError> {
    let item = PgType::scalar(kind.kind);
    if value.len() < 12 {
        return Err(wrong_length());
    }
    let (dimensions, _has_nulls, oid) = (value.get_i32(), value.get_i32(), value.get_u32());
    if PgType::from_oid(oid).is_none_or(|of| of.arrow() != item.arrow()) {
        return Err(PgError::new(
            state::INVALID_BINARY_REPRESENTATION,
            "the array has items of another type",
        ));
    }
    match dimensions {
        0 => return Ok(list(&[], item)),
        1 => {}
        _ => {
            return Err(PgError::unsupported(
                "arrays of arrays are not supported",
                "Pass one array per dimension.",
            ));
        }
    }
    if value.len() < 8 {
        return Err(wrong_length());
    }
    let (length, _lower) = (value.get_i32(), value.get_i32());
    let length = usize::try_from(length).map_err(|_negative| wrong_length())?;
    // Every item has at least its own length.
    if length.saturating_mul(4) > value.len() {
        return Err(wrong_length());
    }
    let mut items = Vec::with_capacity(length);
    for _ in 0..length {
        if value.len() < 4 {
            return Err(wrong_length());
        }
        items.push(match usize::try_from(value.get_i32()) {
            Err(_negative) => ScalarValue::try_from(&item.arrow())?,
            Ok(bytes) if bytes <= value.len() => of_binary(item, value.split_to(bytes))?,
            Ok(_) => return Err(wrong_length()),
        });
    }
    if !value.is_empty() {
        return Err(wrong_length());
    }
    Ok(list(&items, item))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::ArrayRef;

    use super::*;

    fn items(list: &ScalarValue) -> ArrayRef {
        match list {
            ScalarValue::List(list) => list.value(0),
            other => panic!("{other} is no list"),
        }
    }

    fn text(kind: Kind, value: &str) -> Result<ScalarValue, PgError> {
        let value = Bytes::copy_from_slice(value.as_bytes());
        parameter(1, PgType::scalar(kind), Format::Text, Some(&value))
    }

    fn binary(kind: Kind, value: &'static [u8]) -> Result<ScalarValue, PgError> {
        parameter(
            1,
            PgType::scalar(kind),
            Format::Binary,
            Some(&Bytes::from_static(value)),
        )
    }

    #[test]
    fn values_are_of_the_type_they_are_declared_with() {
        for (kind, value) in [
            (Kind::Bool, "t"),
            (Kind::Int2, "-7"),
            (Kind::Int4, " 7 "),
            (Kind::Int8, "9223372036854775807"),
            (Kind::Oid, "4294967295"),
            (Kind::Float4, "1.5"),
            (Kind::Float8, "-1e300"),
            (Kind::Numeric, "12.34"),
            (Kind::Text, " a "),
            (Kind::Bytea, "\\x00ff"),
            (Kind::Date, "2024-02-29"),
            (Kind::Time, "01:02:03.5"),
            (Kind::Timestamp, "2024-02-29 01:02:03.123456"),
            (Kind::Timestamptz, "2024-02-29 01:02:03+02"),
            (Kind::Interval, "1 day 02:03:04"),
            (Kind::Json, "{}"),
            (Kind::Uuid, "00112233-4455-6677-8899-aabbccddeeff"),
        ] {
            let decoded = text(kind, value).unwrap_or_else(|error| panic!("{kind:?}: {error}"));
            assert_eq!(
                decoded.data_type(),
                PgType::scalar(kind).arrow(),
                "{kind:?}"
            );
            assert!(!decoded.is_null(), "{kind:?}");
            let null = parameter(1, PgType::scalar(kind), Format::Text, None).unwrap();
            assert_eq!(null.data_type(), PgType::scalar(kind).arrow(), "{kind:?}");
            assert!(null.is_null());
        }
    }

    #[test]
    fn text_that_is_no_such_value_is_an_error_that_names_the_parameter() {
        for (kind, value) in [
            (Kind::Int4, "x"),
            (Kind::Int2, "40000"),
            (Kind::Bytea, "\\x0"),
            (Kind::Bytea, "\\9"),
            (Kind::Date, "2024-02-30"),
        ] {
            let error = text(kind, value).unwrap_err();
            assert!(error.message.contains("parameter $1"), "{error}");
        }
    }

    #[test]
    fn intervals() {
        for (value, months, days, ms) in [
            ("1 year 2 mons -3 days 04:05:06.5", 14, -3, 14_706_500),
            ("1 day, 0:00:01", 0, 1, 1000),
            ("-00:00:01", 0, 0, -1000),
            ("90 s", 0, 0, 90_000),
            ("1.5 days", 0, 1, 43_200_000),
            ("2weeks", 0, 14, 0),
        ] {
            let expected = IntervalMonthDayNano::new(months, days, ms * 1_000_000);
            let expected = ScalarValue::IntervalMonthDayNano(Some(expected));
            assert_eq!(text(Kind::Interval, value), Ok(expected), "{value}");
        }
        for broken in ["soon", "1 parsec", "1:x", "1e300 years", ":"] {
            assert!(text(Kind::Interval, broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn binary_numbers() {
        let decoded = binary(
            Kind::Numeric,
            &[0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 0x09, 0x29, 0x1a, 0x7c],
        )
        .unwrap();
        assert_eq!(
            decoded,
            ScalarValue::Decimal128(Some(123_456_780_000_000), 38, 10)
        );
        let decoded = binary(Kind::Numeric, &[0, 1, 0xff, 0xff, 0x40, 0, 0, 4, 0, 1]).unwrap();
        assert_eq!(decoded, ScalarValue::Decimal128(Some(-1_000_000), 38, 10));
        assert_eq!(
            binary(Kind::Date, &[0, 0, 0, 1]).unwrap(),
            ScalarValue::Date32(Some(10_958))
        );
    }

    #[test]
    fn binary_values_of_wrong_lengths_are_errors() {
        let kinds = super::super::types::TABLE.iter().map(|row| row.kind);
        for kind in kinds
            .filter(|kind| PgType::scalar(*kind).arrow() != DataType::Utf8 && *kind != Kind::Bytea)
        {
            assert!(binary(kind, b"").is_err(), "{kind:?}");
            assert!(binary(kind, b"abc").is_err(), "{kind:?}");
            assert!(
                binary(kind, b"a length that no fixed type has").is_err(),
                "{kind:?}"
            );
        }
        let numeric_claims = binary(Kind::Numeric, &[0xff, 0xff, 0, 0, 0, 0, 0, 0]);
        assert!(numeric_claims.is_err());
    }

    #[test]
    fn arrays() {
        let kind = PgType {
            kind: Kind::Text,
            is_array: true,
        };
        let value = Bytes::from_static(br#"{a, NULL ,"b, \"c\"", ""}"#);
        let decoded = parameter(1, kind, Format::Text, Some(&value)).unwrap();
        let expected = [Some("a"), None, Some("b, \"c\""), Some("")]
            .map(|item| ScalarValue::Utf8(item.map(str::to_owned)));
        let decoded = items(&decoded);
        for (row, expected) in expected.iter().enumerate() {
            assert_eq!(
                &ScalarValue::try_from_array(&decoded, row).unwrap(),
                expected
            );
        }
        for broken in ["", "{", "{a", "{\"a}", "{{1}}", "{a\\}", "{\"a\" b}"] {
            let value = Bytes::copy_from_slice(broken.as_bytes());
            assert!(
                parameter(1, kind, Format::Text, Some(&value)).is_err(),
                "{broken}"
            );
        }
        let kind = PgType {
            kind: Kind::Int4,
            is_array: true,
        };
        let one = [
            0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7,
        ];
        let decoded =
            parameter(1, kind, Format::Binary, Some(&Bytes::copy_from_slice(&one))).unwrap();
        assert_eq!(
            ScalarValue::try_from_array(&items(&decoded), 0).unwrap(),
            ScalarValue::from(7_i32)
        );
        for end in 0..one.len() {
            let cut = Bytes::copy_from_slice(&one[..end]);
            assert!(
                parameter(1, kind, Format::Binary, Some(&cut)).is_err(),
                "cut at {end}"
            );
        }
    }

    /// By numbers that are the same in every run (xorshift).
    #[test]
    fn any_bytes_are_a_value_or_an_error() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let small = [
            0, 0, 0, 1, 4, 23, 255, b'{', b'"', b'\\', b'1', b':', b'-', b'.', b'e', b' ',
        ];
        for _ in 0..2000 {
            for row in super::super::types::TABLE {
                let length = random() % 40;
                let bytes: Bytes = (0..length)
                    .map(|_| small[(random() % 16) as usize])
                    .collect();
                for (is_array, format) in [
                    (false, Format::Text),
                    (false, Format::Binary),
                    (true, Format::Text),
                    (true, Format::Binary),
                ] {
                    let kind = PgType {
                        kind: row.kind,
                        is_array,
                    };
                    if let Ok(value) = parameter(1, kind, format, Some(&bytes)) {
                        assert_eq!(value.data_type(), kind.arrow());
                    }
                }
            }
        }
    }
}
