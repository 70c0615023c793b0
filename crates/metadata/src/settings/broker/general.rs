//! The broker itself, topics and metrics.

use super::super::definition::{Setting, boolean, class, int, list, long, string};

pub(super) static SETTINGS: &[Setting] = &[
    class("alter.config.policy.class.name")
        .default_only()
        .doc("A Java class that decides whether settings may be altered."),
    boolean("auto.create.topics.enable")
        .default("true")
        .honoured()
        .doc("Whether a topic is created when a client asks for one that does not exist."),
    int("background.threads")
        .default("10")
        .at_least(1)
        .cluster_wide()
        .doc("Kafka's threads for background work; here the runtime decides."),
    int("broker.id")
        .default("-1")
        .doc("The older name of node.id; if set, it must agree with it."),
    string("broker.rack")
        .honoured()
        .doc("The rack or zone of the broker, told to clients that prefer near replicas."),
    list("config.providers")
        .default("")
        .default_only()
        .cluster_wide()
        .doc("Java classes that resolve variables in settings."),
    class("create.topic.policy.class.name")
        .default_only()
        .doc("A Java class that decides whether a topic may be created."),
    int("delete.records.purgatory.purge.interval.requests")
        .default("1")
        .doc("Waiting deletions after which answered ones are swept out."),
    boolean("delete.topic.enable")
        .default("true")
        .honoured()
        .doc("Whether topics can be deleted."),
    int("fetch.purgatory.purge.interval.requests")
        .default("1000")
        .doc("Waiting fetches after which answered ones are swept out."),
    int("kafka.metrics.polling.interval.secs")
        .default("10")
        .at_least(1)
        .doc("Seconds between two polls of Kafka's metric reporters."),
    list("kafka.metrics.reporters")
        .default("")
        .doc("Java classes that report metrics; here metrics are served over HTTP."),
    list("metric.reporters")
        .default("org.apache.kafka.common.metrics.JmxReporter")
        .cluster_wide()
        .doc("Java classes that report metrics; here metrics are served over HTTP."),
    int("metrics.num.samples")
        .default("2")
        .at_least(1)
        .doc("Samples kept for Kafka's metrics."),
    string("metrics.recording.level")
        .default("INFO")
        .doc("How detailed Kafka's metrics are."),
    long("metrics.sample.window.ms")
        .default("30000")
        .at_least(1)
        .doc("Milliseconds of each sample of Kafka's metrics."),
    int("node.id")
        .default("1")
        .at_least(0)
        .honoured()
        .doc("The number of this broker in its cluster."),
    int("num.partitions")
        .default("1")
        .at_least(1)
        .honoured()
        .doc("Partitions of a topic when its creator does not say."),
    int("producer.purgatory.purge.interval.requests")
        .default("1000")
        .doc("Waiting produce requests after which answered ones are swept out."),
    int("telemetry.max.bytes")
        .default("1048576")
        .at_least(1)
        .doc("The most bytes of metrics a client may push at a time."),
    boolean("unstable.api.versions.enable")
        .default("false")
        .default_only()
        .doc("Whether versions of requests that are not final are served."),
    boolean("unstable.feature.versions.enable")
        .default("false")
        .default_only()
        .doc("Whether versions of features that are not final can be used."),
];
