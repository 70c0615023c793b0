//! Durations, sizes and shares as people write them.
//!
//! Invariant: what is printed is read as the same again, so a file that says `60s` and one that says `1m` are one.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::problem::Cause;
use crate::shape::Rule;

/// A length of time in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

/// The longest, ten years.
const SPAN_MAX_MS: u64 = 10 * 365 * 86_400_000;
const SPAN_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];
const SPAN_FORM: &str = "a duration: a number and its unit, as 500ms, 30s, 5m, 8h or 7d";
pub(crate) static SPAN: Rule = Rule::new(SPAN_FORM, "^[0-9]+(ms|s|m|h|d)$", |text| {
    text.parse::<Span>().map(drop)
});
const SPAN_POSITIVE_FORM: &str = "a duration above 0: a number and its unit, as 30s, 5m or 8h";
pub(crate) static SPAN_POSITIVE: Rule =
    Rule::new(SPAN_POSITIVE_FORM, "^[0-9]+(ms|s|m|h|d)$", |text| {
        let span: Span = text.parse()?;
        if span.0 > 0 {
            return Ok(());
        }
        Err(unfit(text, SPAN_POSITIVE_FORM))
    });

impl Span {
    /// So many milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// The same, for timers.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

fn unfit(text: &str, rule: &'static str) -> Cause {
    Cause::Unfit {
        found: text.chars().take(60).collect(),
        rule,
    }
}

/// A whole number and its unit.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// In the largest unit that divides it.
fn write_with_unit(
    value: u64,
    units: &[(&str, u64)],
    formatter: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let divides = |factor: &u64| value >= *factor && value.is_multiple_of(*factor);
    let largest = units.iter().find(|(_, factor)| divides(factor));
    let (unit, factor) = largest.or(units.last()).copied().unwrap_or(("", 1));
    write!(formatter, "{}{unit}", value / factor)
}

impl FromStr for Span {
    type Err = Cause;

    fn from_str(text: &str) -> Result<Self, Cause> {
        let ms = with_unit(text, &SPAN_UNITS).filter(|ms| *ms <= SPAN_MAX_MS);
        ms.map(Self).ok_or_else(|| unfit(text, SPAN_FORM))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_with_unit(self.0, &SPAN_UNITS, formatter)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

const BYTES_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];
/// What else is read: powers of ten.
const BYTES_ALSO: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)];
const BYTES_FORM: &str = "a size above 0: a number and its unit, as 512MiB or 4GiB";
pub(crate) static BYTES: Rule = Rule::new(BYTES_FORM, "^[0-9]+(B|KiB|MiB|GiB|kB|MB|GB)$", |text| {
    text.parse::<Bytes>().map(drop)
});

impl FromStr for Bytes {
    type Err = Cause;

    fn from_str(text: &str) -> Result<Self, Cause> {
        let bytes = with_unit(text, &BYTES_UNITS).or_else(|| with_unit(text, &BYTES_ALSO));
        let bytes = bytes.filter(|bytes| (1..=1 << 50).contains(bytes));
        bytes.map(Self).ok_or_else(|| unfit(text, BYTES_FORM))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_with_unit(self.0, &BYTES_UNITS, formatter)
    }
}

/// A share of rows in millionths, at most all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

/// So many millionths are a per cent.
const PER_CENT: u32 = 10_000;

impl Share {
    /// In millionths.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// `5%`, `0.25%`; at most four digits behind the point.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let is_digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || fraction.len() > 4 {
            return None;
        }
        let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 100)?;
        let fraction: u32 = format!("{fraction:0<4}").parse().ok()?;
        let millionths = whole * PER_CENT + fraction;
        (millionths <= 100 * PER_CENT).then_some(Self(millionths))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / PER_CENT, self.0 % PER_CENT);
        if fraction == 0 {
            return write!(formatter, "{whole}%");
        }
        let fraction = format!("{fraction:04}");
        write!(formatter, "{whole}.{}%", fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = Cause> + fmt::Display + PartialEq + fmt::Debug>(
        text: &str,
        written: &str,
    ) {
        let read: T = text.parse().unwrap();
        assert_eq!(read.to_string(), written, "{text}");
        assert_eq!(written.parse::<T>(), Ok(read));
    }

    #[test]
    fn units_are_read_and_written_in_the_largest_one() {
        for (text, written) in [
            ("60s", "1m"),
            ("90s", "90s"),
            ("0s", "0ms"),
            ("7d", "7d"),
            ("24h", "1d"),
        ] {
            check::<Span>(text, written);
        }
        for (text, written) in [
            ("512MiB", "512MiB"),
            ("1024KiB", "1MiB"),
            ("1MB", "1000000B"),
            ("7B", "7B"),
        ] {
            check::<Bytes>(text, written);
        }
        for (text, written) in [
            ("5%", "5%"),
            ("0.5%", "0.5%"),
            ("0.0100%", "0.01%"),
            ("100.0%", "100%"),
        ] {
            let read = Share::read(text).unwrap();
            assert_eq!(read.to_string(), written);
            assert_eq!(Share::read(written), Some(read));
        }
    }

    #[test]
    fn what_has_no_unit_or_is_too_much_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "1.5h",
            "5w",
            "99999999999999999999s",
            "4000d",
            "5é",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        for text in ["", "5", "0B", "5TiB", "5mib", "99999999999GiB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
        for text in [
            "",
            "5",
            "%",
            "101%",
            "100.1%",
            "0.00001%",
            "-1%",
            "1.%",
            ".5%",
            "99999999999%",
        ] {
            assert!(Share::read(text).is_none(), "{text}");
        }
    }
}
