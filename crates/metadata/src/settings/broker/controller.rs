//! Roles, the controller quorum and the metadata log.

use super::super::definition::{Setting, boolean, int, list, long, string};

pub(super) static SETTINGS: &[Setting] = &[
    int("broker.heartbeat.interval.ms")
        .default("2000")
        .cluster()
        .doc("Milliseconds between two heartbeats of a broker to the controller."),
    int("broker.session.timeout.ms")
        .default("9000")
        .cluster()
        .doc("Milliseconds without a heartbeat after which a broker counts as gone."),
    list("controller.listener.names").doc("Names of the listeners that serve the controller."),
    long("controller.performance.always.log.threshold.ms")
        .default("2000")
        .at_least(0)
        .doc("Controller events longer than this are always logged, in milliseconds."),
    long("controller.performance.sample.period.ms")
        .default("60000")
        .at_least(100)
        .doc("Milliseconds between two samples of controller events."),
    int("controller.quorum.append.linger.ms")
        .default("25")
        .at_least(0)
        .doc("Milliseconds for which the quorum's leader gathers writes."),
    boolean("controller.quorum.auto.join.enable")
        .default("false")
        .doc("Whether a controller joins the quorum by itself."),
    list("controller.quorum.bootstrap.servers")
        .default("")
        .doc("Addresses at which the quorum is found."),
    int("controller.quorum.election.backoff.max.ms")
        .default("1000")
        .at_least(0)
        .doc("The longest pause between two elections, in milliseconds."),
    int("controller.quorum.election.timeout.ms")
        .default("1000")
        .at_least(0)
        .doc("Milliseconds without a leader after which an election begins."),
    int("controller.quorum.fetch.timeout.ms")
        .default("2000")
        .at_least(0)
        .doc("Milliseconds without a fetch after which a voter begins an election."),
    int("controller.quorum.request.timeout.ms")
        .default("2000")
        .at_least(0)
        .doc("Milliseconds after which a request within the quorum fails."),
    int("controller.quorum.retry.backoff.ms")
        .default("20")
        .at_least(0)
        .doc("Milliseconds before a request within the quorum is tried again."),
    list("controller.quorum.voters")
        .default("")
        .doc("The voters of the quorum as id@host:port."),
    int("controller.quota.window.num")
        .default("11")
        .at_least(1)
        .doc("Windows kept for the quota of changes to topics."),
    int("controller.quota.window.size.seconds")
        .default("1")
        .at_least(1)
        .doc("Seconds of each window for the quota of changes to topics."),
    int("controller.socket.timeout.ms")
        .default("30000")
        .doc("Milliseconds after which a connection to the controller fails."),
    int("initial.broker.registration.timeout.ms")
        .default("60000")
        .cluster()
        .doc("Milliseconds for which a starting broker tries to register with the controller."),
    long("internal.metadata.delete.delay.millis")
        .default("60000")
        .doc("Milliseconds for which dropped metadata segments stay on disk."),
    int("internal.metadata.log.segment.bytes")
        .doc("The size of a metadata segment, for tests of Kafka."),
    int("internal.metadata.max.batch.size.in.bytes")
        .default("8388608")
        .doc("The largest batch of the metadata log, in bytes."),
    int("internal.metadata.max.fetch.size.in.bytes")
        .default("8388608")
        .doc("The most bytes of the metadata log one fetch carries."),
    string("metadata.log.dir")
        .doc("The directory of the metadata log; here it lies in the data directory."),
    long("metadata.log.max.record.bytes.between.snapshots")
        .default("20971520")
        .at_least(1)
        .doc("Bytes of the metadata log after which a snapshot is taken."),
    long("metadata.log.max.snapshot.interval.ms")
        .default("3600000")
        .at_least(0)
        .doc("Milliseconds after which a snapshot of the metadata is taken."),
    int("metadata.log.segment.bytes")
        .default("1073741824")
        .at_least(8388608)
        .doc("The size of a segment of the metadata log, in bytes."),
    long("metadata.log.segment.ms")
        .default("604800000")
        .doc("Milliseconds after which a segment of the metadata log is closed."),
    int("metadata.max.idle.interval.ms")
        .default("500")
        .at_least(0)
        .doc("Milliseconds between two empty records of an idle metadata log."),
    long("metadata.max.retention.bytes")
        .default("104857600")
        .doc("Bytes of the metadata log that are kept."),
    long("metadata.max.retention.ms")
        .default("604800000")
        .doc("Milliseconds for which the metadata log is kept."),
    list("process.roles")
        .one_of(&["broker", "controller"])
        .doc("Whether the node is a broker, a controller or both; here it is both."),
    long("server.max.startup.time.ms")
        .default("9223372036854775807")
        .at_least(0)
        .doc("Milliseconds after which a start that is not done is given up."),
];
