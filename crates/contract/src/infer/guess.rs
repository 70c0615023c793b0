//! [`Guess`]: the narrowest type that all values of a column that were seen have.

use crate::DataType;

/// What the values of a column may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Guess {
    /// Nothing was seen but NULL.
    #[default]
    Nothing,
    Of(DataType),
}

impl Guess {
    /// What both are.
    pub(super) fn widened(self, other: DataType) -> Self {
        match self {
            Self::Nothing => Self::Of(other),
            Self::Of(known) => Self::Of(common(known, other)),
        }
    }

    pub(super) const fn data_type(self) -> DataType {
        match self {
            Self::Nothing => DataType::Text,
            Self::Of(data_type) => data_type,
        }
    }
}

/// The narrowest type that takes both: int, bigint, double; else text, or json where either is no scalar.
fn common(one: DataType, other: DataType) -> DataType {
    const WIDTHS: [DataType; 3] = [DataType::Int, DataType::BigInt, DataType::Double];
    let width = |of| WIDTHS.iter().position(|width| *width == of);
    match (one, other) {
        _ if one == other => one,
        (DataType::Json, _) | (_, DataType::Json) => DataType::Json,
        _ => match (width(one), width(other)) {
            (Some(one), Some(other)) => WIDTHS[one.max(other)],
            _ => DataType::Text,
        },
    }
}

/// What the text of a field may be. Digits with a zero in front (`007`, a postal code) are text and never a number: the
/// zero would be lost.
pub(super) fn of_field(text: &str) -> DataType {
    match text {
        "true" | "false" => DataType::Boolean,
        _ => of_number(text).unwrap_or_else(|| of_text(text)),
    }
}

/// Text that is a day or a time, as ISO 8601 writes them.
pub(super) fn of_text(text: &str) -> DataType {
    let Some((day, rest)) = text.split_at_checked(10).filter(|(day, _)| is_day(day)) else {
        return DataType::Text;
    };
    let _ = day;
    if rest.is_empty() {
        return DataType::Date;
    }
    let time = rest.strip_prefix(['T', ' ']).and_then(without_time);
    match time {
        Some("") => DataType::Timestamp,
        Some(zone) if is_zone(zone) => DataType::TimestampTz,
        _ => DataType::Text,
    }
}

fn of_number(text: &str) -> Option<DataType> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let bytes = digits.as_bytes();
    if !bytes.first()?.is_ascii_digit() || !bytes.last()?.is_ascii_digit() {
        return None;
    }
    if bytes[0] == b'0' && bytes.get(1).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    if bytes.iter().all(u8::is_ascii_digit) {
        return of_digits(text);
    }
    let is_float = bytes
        .iter()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
    value.filter(|_| is_float).map(|_| DataType::Double)
}

/// A number without point, if it has no more than 64 bits. What to make of one that has is the format's to say: a floating
/// point number loses digits of it.
pub(super) fn of_digits(text: &str) -> Option<DataType> {
    let value = text.parse::<i64>().ok()?;
    let is_small = i32::try_from(value).is_ok();
    Some(if is_small {
        DataType::Int
    } else {
        DataType::BigInt
    })
}

/// `2013-01-31`
fn is_day(text: &str) -> bool {
    let bytes = text.as_bytes();
    let has_dashes = bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-');
    let part = |from: usize, to: usize| number(bytes.get(from..to)?);
    let days = part(0, 4).zip(part(5, 7)).and_then(|(year, month)| {
        Some(match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        })
    });
    let day = part(8, 10);
    let is_year = part(0, 4).is_some_and(|year| year > 0);
    has_dashes
        && is_year
        && day
            .zip(days)
            .is_some_and(|(day, days)| (1..=days).contains(&day))
}

/// What follows behind `12:30:00` or `12:30:00.123`.
fn without_time(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let part = |from: usize, most: u32| {
        let part = number(bytes.get(from..from + 2)?)?;
        (part <= most).then_some(())
    };
    part(0, 23)?;
    part(3, 59)?;
    part(6, 59)?;
    if bytes.get(2) != Some(&b':') || bytes.get(5) != Some(&b':') {
        return None;
    }
    let rest = text.get(8..)?;
    let Some(fraction) = rest.strip_prefix('.') else {
        return Some(rest);
    };
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    // PostgreSQL's timestamps have microseconds; more digits would be lost.
    (1..=6)
        .contains(&digits)
        .then(|| fraction.get(digits..))
        .flatten()
}

/// `Z`, `+02:00`, `-0530`, `+02`
fn is_zone(text: &str) -> bool {
    if matches!(text, "Z" | "z") {
        return true;
    }
    let Some(offset) = text.strip_prefix(['+', '-']) else {
        return false;
    };
    let bytes = offset.as_bytes();
    let parts = match bytes {
        [_, _] => (bytes.get(0..2), Some(&b"00"[..])),
        [_, _, b':', _, _] => (bytes.get(0..2), bytes.get(3..5)),
        [_, _, _, _] => (bytes.get(0..2), bytes.get(2..4)),
        _ => return false,
    };
    let within = |part: Option<&[u8]>, most| {
        part.and_then(number)
            .is_some_and(|number: u32| number <= most)
    };
    within(parts.0, 15) && within(parts.1, 59)
}

fn number(digits: &[u8]) -> Option<u32> {
    digits
        .iter()
        .try_fold(0, |value, digit| match digit.is_ascii_digit() {
            true => Some(10 * value + u32::from(digit - b'0')),
            false => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_what_they_look_like_and_zeros_in_front_stay() {
        for (text, expected) in [
            ("0", "int"),
            ("-12", "int"),
            ("2147483648", "bigint"),
            ("9223372036854775808", "text"),
            ("007", "text"),
            ("-01", "text"),
            ("00.5", "text"),
            ("0.5", "double"),
            ("-1.5e3", "double"),
            ("1e999", "text"),
            ("1.", "text"),
            ("+1", "text"),
            ("1-2", "text"),
            ("true", "boolean"),
            ("TRUE", "text"),
            ("2013-01-31", "date"),
            ("2013-02-29", "text"),
            ("2012-02-29", "date"),
            ("0000-01-01", "text"),
            ("2013-01-31T05:00:00Z", "timestamptz"),
            ("2013-01-31 05:00:00+02", "timestamptz"),
            ("2013-01-31 05:00:00.123456-05:30", "timestamptz"),
            ("2013-01-31 05:00:00", "timestamp"),
            ("2013-01-31 05:00:00.1234567", "text"),
            ("2013-01-31 25:00:00", "text"),
            ("2013-01-31x", "text"),
            ("2013-01-3é", "text"),
            ("", "text"),
        ] {
            assert_eq!(of_field(text).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_column_is_as_wide_as_its_widest_value() {
        let widened = |types: &[DataType]| {
            let guess = types
                .iter()
                .fold(Guess::default(), |guess, next| guess.widened(*next));
            guess.data_type().to_string()
        };
        use DataType::*;
        assert_eq!(widened(&[]), "text");
        assert_eq!(widened(&[Int, BigInt]), "bigint");
        assert_eq!(widened(&[Double, Int]), "double");
        assert_eq!(widened(&[Int, Text]), "text");
        assert_eq!(widened(&[Date, Timestamp]), "text");
        assert_eq!(widened(&[Boolean, Int]), "text");
        assert_eq!(widened(&[Json, Int]), "json");
    }
}
