//! Where a share group begins to read a partition it has not read before (`ShareGroupAutoOffsetResetStrategy.java`).

use std::time::Duration;

use storage::{Isolation, PartitionLog, ReadError, TimestampQuery};
use types::{Offset, Timestamp};

const SECONDS_PER_DAY: f64 = 86_400.0;
const SECONDS_PER_HOUR: f64 = 3_600.0;
const SECONDS_PER_MINUTE: f64 = 60.0;

/// `share.auto.offset.reset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reset {
    Earliest,
    Latest,
    /// From so long ago on.
    ByDuration(Duration),
}

impl Reset {
    /// The strategy of this text. The table of settings has checked it; what it lets through and is not understood here
    /// would be `latest`, the default.
    pub(super) fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((_by_duration, duration)) => {
                iso_duration(duration).map_or(Self::Latest, Self::ByDuration)
            }
            None if text.eq_ignore_ascii_case("earliest") => Self::Earliest,
            None => Self::Latest,
        }
    }

    /// The offset it means now. May read from the disk.
    pub(super) fn offset(
        self,
        log: &dyn PartitionLog,
        now: Timestamp,
    ) -> Result<Offset, ReadError> {
        let offsets = log.offsets();
        let ago = match self {
            Self::Earliest => return Ok(offsets.log_start),
            Self::Latest => return Ok(offsets.high_watermark),
            Self::ByDuration(ago) => i64::try_from(ago.as_millis()).unwrap_or(i64::MAX),
        };
        let since = Timestamp::from_ms(now.ms().saturating_sub(ago));
        let found =
            log.offset_for_timestamp(TimestampQuery::AtLeast(since), Isolation::ReadUncommitted)?;
        // Nothing that young: what comes next is.
        Ok(found.map_or(offsets.high_watermark, |found| found.offset))
    }
}

/// `PnDTnHnMn.nS` as `java.time.Duration.parse` reads it.
fn iso_duration(text: &str) -> Option<Duration> {
    let text = text.to_ascii_uppercase();
    let rest = text.strip_prefix('P')?;
    let (days, time) = rest.split_once('T').unwrap_or((rest, ""));
    let mut seconds = 0.0;
    let units = [
        (days, &[('D', SECONDS_PER_DAY)][..]),
        (
            time,
            &[
                ('H', SECONDS_PER_HOUR),
                ('M', SECONDS_PER_MINUTE),
                ('S', 1.0),
            ],
        ),
    ];
    for (mut part, units) in units {
        for (unit, length) in units {
            if let Some((number, after)) = part.split_once(*unit) {
                seconds += number.parse::<f64>().ok()? * length;
                part = after;
            }
        }
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_read_as_kafka_reads_them() {
        for (text, expected) in [
            ("latest", Reset::Latest),
            ("EARLIEST", Reset::Earliest),
            (
                "by_duration:PT1H30M",
                Reset::ByDuration(Duration::from_secs(5400)),
            ),
            (
                "by_duration:P1DT0.5S",
                Reset::ByDuration(Duration::from_millis(86_400_500)),
            ),
        ] {
            assert_eq!(Reset::parse(text), expected, "{text}");
        }
    }
}
