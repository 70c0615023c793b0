//! Places in a log as people type them: `start`, `end`, an offset, so many before the end, a time.

use std::str::FromStr;
use std::time::SystemTime;

use client::{OffsetSpec, now_ms};

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// The first record that is still there.
    Start,
    /// After the last record.
    End,
    /// The record with the largest timestamp.
    MaxTimestamp,
    /// This offset.
    Offset(i64),
    /// So many records before the end.
    BeforeEnd(i64),
    /// The first record with this timestamp or a later one, milliseconds since 1970.
    Time(i64),
}

/// What [`Position`] understands, for help texts.
pub(crate) const POSITION_HELP: &str = "start, end, an offset, -N for N before the end, @TIME";

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "start" | "earliest" | "beginning" => return Ok(Self::Start),
            "end" | "latest" => return Ok(Self::End),
            "max-timestamp" => return Ok(Self::MaxTimestamp),
            _ => {}
        }
        if let Some(time) = text.strip_prefix('@') {
            return time_ms(time).map(Self::Time);
        }
        match text.parse::<i64>() {
            Ok(number) if text.starts_with('-') => number
                .checked_neg()
                .map(Self::BeforeEnd)
                .ok_or_else(|| no_position(text)),
            Ok(number) => Ok(Self::Offset(number)),
            Err(_no_number) => Err(no_position(text)),
        }
    }
}

fn no_position(text: &str) -> String {
    format!("'{text}' is no place in a log; there are {POSITION_HELP}")
}

impl Position {
    /// The broker's name for the place that this one is counted from.
    pub(crate) fn lookup(self) -> Option<OffsetSpec> {
        match self {
            Self::Start => Some(OffsetSpec::Earliest),
            Self::End | Self::BeforeEnd(_) => Some(OffsetSpec::Latest),
            Self::MaxTimestamp => Some(OffsetSpec::MaxTimestamp),
            Self::Time(ms) => Some(OffsetSpec::Timestamp(ms)),
            Self::Offset(_) => None,
        }
    }
}

/// A time: milliseconds since 1970, a date with or without a time of day (UTC), or `-1h` for an hour ago.
pub(crate) fn time_ms(text: &str) -> Result<i64, String> {
    if let Some(ago) = text.strip_prefix('-') {
        let ago = crate::arguments::duration(ago)?;
        return Ok(now_ms().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)));
    }
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(ms);
    }
    let with_time = if text.len() == "2026-01-31".len() {
        format!("{text}T00:00:00Z")
    } else {
        text.to_owned()
    };
    let time = humantime::parse_rfc3339_weak(&with_time).map_err(|_invalid| {
        format!("'{text}' is no time; write 2026-01-31, 2026-01-31T13:00:00Z, -1h or milliseconds since 1970")
    })?;
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A timestamp as a date and time, UTC with milliseconds; the number itself where no date is that.
pub(crate) fn display_time(ms: i64) -> String {
    /// The last moment of the year 9999, after which the form no longer fits.
    const LAST: u64 = 253_402_300_799_999;
    match u64::try_from(ms) {
        Ok(since) if since <= LAST => {
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(since);
            humantime::format_rfc3339_millis(time).to_string()
        }
        _ => ms.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_write_them() {
        let cases = [
            ("start", Position::Start),
            ("latest", Position::End),
            ("42", Position::Offset(42)),
            ("-3", Position::BeforeEnd(3)),
            ("@1700000000000", Position::Time(1_700_000_000_000)),
            ("@2023-11-14T22:13:20Z", Position::Time(1_700_000_000_000)),
            ("@2023-11-14 22:13:20", Position::Time(1_700_000_000_000)),
            ("@1970-01-02", Position::Time(86_400_000)),
            ("max-timestamp", Position::MaxTimestamp),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "middle",
            "1.5",
            "@",
            "@tomorrow",
            "@-soon",
            "@2023-13-01",
        ] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_ago_lies_in_the_past() {
        let Ok(Position::Time(ms)) = "@-1h".parse() else {
            panic!("a time");
        };
        assert!((3_599_000..=3_700_000).contains(&(now_ms() - ms)));
    }

    #[test]
    fn times_print_as_dates_and_odd_ones_as_numbers() {
        assert_eq!(display_time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(display_time(-1), "-1");
        assert_eq!(display_time(i64::MAX), i64::MAX.to_string());
    }
}
