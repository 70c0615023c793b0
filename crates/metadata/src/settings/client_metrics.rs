//! The settings of a subscription to clients' metrics (KIP-714, `ClientMetricsConfigs` of Kafka 4.2).

use super::definition::{Setting, int, list};

/// The shortest and the longest `interval.ms`.
pub(super) const INTERVAL_MS_MIN: i64 = 100;
pub(super) const INTERVAL_MS_MAX: i64 = 3_600_000;

/// What of a client a subscription can ask for.
pub(super) const MATCHED: &[&str] = &[
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// Every setting of a subscription, by name. They are kept and told; nobody pushes metrics, since telemetry is not offered
/// without something that takes it.
pub static CLIENT_METRICS_SETTINGS: &[Setting] = &[
    int("interval.ms")
        .default("300000")
        .doc("Milliseconds between two pushes of a client's metrics."),
    list("match")
        .default("")
        .doc("Which clients are meant: NAME=PATTERN pairs that must all match."),
    list("metrics")
        .default("")
        .doc("What the names of the metrics begin with; * is all."),
];
