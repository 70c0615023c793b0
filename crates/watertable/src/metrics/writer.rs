//! [`Writer`]: figures in the text format of Prometheus (OpenMetrics 1.0).

use std::fmt;
use std::time::Duration;

use broker::DurationCounts;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Writes single figures and families of them.
pub(super) struct Writer<'a>(pub(super) DescriptorEncoder<'a>);

/// What a figure of a family is of.
pub(super) type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

impl Writer<'_> {
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    /// A counter of seconds.
    pub(super) fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    /// A gauge of a count.
    pub(super) fn count(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.gauge(name, help, float(value))
    }

    /// Figures of one name and kind, one for each set of labels.
    fn family<'l, const N: usize, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        values: impl IntoIterator<Item = (Labels<'l, N>, M)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            value.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// Counters of one name.
    pub(super) fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        let values = values.into_iter();
        let values = values.map(|(labels, value)| (labels, ConstCounter::new(value)));
        self.family(name, help, MetricType::Counter, values)
    }

    /// Counters of seconds of one name.
    pub(super) fn seconds_of<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l, N>, f64)>,
    ) -> fmt::Result {
        let values = values.into_iter();
        let values = values.map(|(labels, value)| (labels, ConstCounter::new(value)));
        self.family(name, help, MetricType::Counter, values)
    }

    /// Gauges of one name that are no counts.
    pub(super) fn gauges<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l, N>, f64)>,
    ) -> fmt::Result {
        let values = values.into_iter();
        let values = values.map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.family(name, help, MetricType::Gauge, values)
    }

    /// Gauges of counts of one name.
    pub(super) fn counts<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        let values = values.into_iter();
        self.gauges(
            name,
            help,
            values.map(|(labels, value)| (labels, float(value))),
        )
    }

    /// Durations, in seconds.
    pub(super) fn durations(
        &mut self,
        name: &str,
        help: &str,
        durations: &DurationCounts,
    ) -> fmt::Result {
        let kind = MetricType::Histogram;
        let mut encoder = self.0.encode_descriptor(name, help, None, kind)?;
        histogram(&mut encoder, durations, 1.0)
    }

    /// Durations of one name, in milliseconds.
    pub(super) fn durations_ms<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l, N>, &'l DurationCounts)>,
    ) -> fmt::Result {
        let kind = MetricType::Histogram;
        let mut encoder = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, durations) in values {
            histogram(&mut encoder.encode_family(&labels)?, durations, 1000.0)?;
        }
        Ok(())
    }
}

/// `scale`: how many units a second has.
fn histogram(
    encoder: &mut MetricEncoder<'_>,
    durations: &DurationCounts,
    scale: f64,
) -> fmt::Result {
    let end = |end: Option<Duration>| end.map_or(f64::INFINITY, |end| end.as_secs_f64() * scale);
    let classes = durations.classes.map(|(last, count)| (end(last), count));
    let sum = durations.sum.as_secs_f64() * scale;
    encoder.encode_histogram::<[(&str, &str); 0]>(sum, durations.count, &classes, None)
}

/// Beyond 2^53 it is rounded.
#[allow(
    clippy::cast_precision_loss,
    reason = "no process has 2^53 of anything counted here"
)]
fn float(value: u64) -> f64 {
    value as f64
}
