//! Dates, times, timestamps and intervals, in ISO style as PostgreSQL writes them.
//!
//! Arrow counts from 1970, PostgreSQL's binary formats from 2000. Values that PostgreSQL could not hold saturate.

use bytes::{BufMut, BytesMut};
use chrono::{DateTime, Offset, TimeZone};
use datafusion::arrow::array::timezone::Tz;

use super::super::frontend::Format;
use super::put_display;

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const DAY_US: i64 = 86_400_000_000;
const SECOND_US: i64 = 1_000_000;

pub(super) fn put_date(days: i32, format: Format, output: &mut BytesMut) {
    match format {
        Format::Binary => output.put_i32(days.saturating_sub(EPOCH_DAYS)),
        Format::Text => {
            let date = Civil::of(i64::from(days));
            date.put(output);
            date.put_era(output);
        }
    }
}

pub(super) fn put_time(us: i64, format: Format, output: &mut BytesMut) {
    match format {
        Format::Binary => output.put_i64(us),
        Format::Text => put_clock(us.unsigned_abs(), output),
    }
}

/// With a zone the value is a moment, which is shown as the clocks there show it.
pub(super) fn put_timestamp(us: i64, zone: Option<Tz>, format: Format, output: &mut BytesMut) {
    if format == Format::Binary {
        output.put_i64(us.saturating_sub(i64::from(EPOCH_DAYS) * DAY_US));
        return;
    }
    let offset = zone.map(|zone| offset_seconds(us, zone));
    let local = us.saturating_add(offset.map_or(0, |seconds| i64::from(seconds) * SECOND_US));
    let date = Civil::of(local.div_euclid(DAY_US));
    date.put(output);
    output.put_u8(b' ');
    put_clock(local.rem_euclid(DAY_US).unsigned_abs(), output);
    if let Some(seconds) = offset {
        put_offset(seconds, output);
    }
    date.put_era(output);
}

fn offset_seconds(us: i64, zone: Tz) -> i32 {
    DateTime::from_timestamp_micros(us).map_or(0, |moment| {
        zone.offset_from_utc_datetime(&moment.naive_utc())
            .fix()
            .local_minus_utc()
    })
}

/// `+02`, with minutes and seconds only if there are any.
fn put_offset(seconds: i32, output: &mut BytesMut) {
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    put_display(format_args!("{sign}{hours:02}"), output);
    if minutes != 0 || rest != 0 {
        put_display(format_args!(":{minutes:02}"), output);
    }
    if rest != 0 {
        put_display(format_args!(":{rest:02}"), output);
    }
}

/// `hh:mm:ss` and what is left of a second without trailing zeros.
fn put_clock(us: u64, output: &mut BytesMut) {
    let (seconds, fraction) = (us / 1_000_000, us % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    put_display(format_args!("{hours:02}:{minutes:02}:{seconds:02}"), output);
    if fraction != 0 {
        let digits = format!("{fraction:06}");
        put_display(format_args!(".{}", digits.trim_end_matches('0')), output);
    }
}

/// A day of the proleptic Gregorian calendar.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
}

impl Civil {
    /// Days are counted from 1970-01-01. The year begins in March here, so that the leap day is its last.
    fn of(days: i64) -> Self {
        const DAYS_TO_1970: i64 = 719_468;
        const ERA_DAYS: i64 = 146_097;
        let days = days + DAYS_TO_1970;
        let era = days.div_euclid(ERA_DAYS);
        let of_era = days.rem_euclid(ERA_DAYS);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: of_year - (153 * march_month + 2) / 5 + 1,
        }
    }

    fn put(&self, output: &mut BytesMut) {
        // There is no year 0: it is 1 BC.
        let year = if self.year > 0 {
            self.year
        } else {
            1 - self.year
        };
        put_display(
            format_args!("{year:04}-{:02}-{:02}", self.month, self.day),
            output,
        );
    }

    fn put_era(&self, output: &mut BytesMut) {
        if self.year <= 0 {
            output.put_slice(b" BC");
        }
    }
}

/// Each part has its own sign, and a sign is written again where it changes (`EncodeInterval`, style `postgres`).
pub(super) fn put_interval(months: i32, days: i32, us: i64, format: Format, output: &mut BytesMut) {
    if format == Format::Binary {
        output.put_i64(us);
        output.put_i32(days);
        output.put_i32(months);
        return;
    }
    let mut is_first = true;
    let mut was_negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value == 0 {
            continue;
        }
        let space = if is_first { "" } else { " " };
        let plus = if was_negative && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        put_display(format_args!("{space}{plus}{value} {unit}{plural}"), output);
        is_first = false;
        was_negative = value < 0;
    }
    if us != 0 || is_first {
        let space = if is_first { "" } else { " " };
        let sign = if us < 0 {
            "-"
        } else if was_negative {
            "+"
        } else {
            ""
        };
        put_display(format_args!("{space}{sign}"), output);
        put_clock(us.unsigned_abs(), output);
    }
}
