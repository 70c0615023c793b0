//! The settings of groups (`GroupConfig` of Kafka 4.2).

use super::definition::{Allowed, Setting, int, string};

/// Every group setting, by name.
pub static GROUP_SETTINGS: &[Setting] = &[
    int("consumer.heartbeat.interval.ms")
        .default("5000")
        .at_least(1)
        .from(&["group.consumer.heartbeat.interval.ms"])
        .honoured()
        .doc("Milliseconds between two heartbeats of a member of a consumer group."),
    int("consumer.session.timeout.ms")
        .default("45000")
        .at_least(1)
        .from(&["group.consumer.session.timeout.ms"])
        .honoured()
        .doc(
            "Milliseconds without a heartbeat after which a member of a consumer group is removed.",
        ),
    string("share.auto.offset.reset")
        .default("latest")
        .allowed(Allowed::ShareOffsetReset)
        .honoured()
        .doc("Where a share group begins to read a partition it has not read before."),
    int("share.heartbeat.interval.ms")
        .default("5000")
        .at_least(1)
        .from(&["group.share.heartbeat.interval.ms"])
        .honoured()
        .doc("Milliseconds between two heartbeats of a member of a share group."),
    string("share.isolation.level")
        .default("read_uncommitted")
        .one_of(&["read_committed", "read_uncommitted"])
        .honoured()
        .doc("Whether a share group sees records of transactions that are not committed."),
    int("share.record.lock.duration.ms")
        .default("30000")
        .at_least(1000)
        .from(&["group.share.record.lock.duration.ms"])
        .honoured()
        .doc("Milliseconds for which a record handed to a member of a share group is locked."),
    int("share.session.timeout.ms")
        .default("45000")
        .at_least(1)
        .from(&["group.share.session.timeout.ms"])
        .honoured()
        .doc("Milliseconds without a heartbeat after which a member of a share group is removed."),
    int("streams.heartbeat.interval.ms")
        .default("5000")
        .at_least(1)
        .from(&["group.streams.heartbeat.interval.ms"])
        .honoured()
        .doc("Milliseconds between two heartbeats of a member of a streams group."),
    int("streams.initial.rebalance.delay.ms")
        .default("3000")
        .at_least(0)
        .from(&["group.streams.initial.rebalance.delay.ms"])
        .honoured()
        .doc(
            "Milliseconds for which the first rebalance of a streams group waits for more members.",
        ),
    int("streams.num.standby.replicas")
        .default("0")
        .at_least(0)
        .from(&["group.streams.num.standby.replicas"])
        .honoured()
        .doc("Standby copies of each task of a streams group."),
    int("streams.session.timeout.ms")
        .default("45000")
        .at_least(1)
        .from(&["group.streams.session.timeout.ms"])
        .honoured()
        .doc(
            "Milliseconds without a heartbeat after which a member of a streams group is removed.",
        ),
];
