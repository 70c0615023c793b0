//! Replication and leadership.

use super::super::definition::{Setting, boolean, int, long, string};

pub(super) static SETTINGS: &[Setting] = &[
    int("alter.log.dirs.replication.quota.window.num").default("11").at_least(1).doc("Windows kept for the throttling of moves between directories."),
    int("alter.log.dirs.replication.quota.window.size.seconds").default("1").at_least(1).doc("Seconds of each window for the throttling of moves between directories."),
    boolean("auto.leader.rebalance.enable").default("true").cluster().doc("Whether leadership returns to preferred replicas by itself."),
    boolean("controlled.shutdown.enable").default("true").cluster().doc("Whether a stopping broker first hands over what it leads."),
    int("default.replication.factor").default("1").honoured().doc("Replicas of a topic when its creator does not say."),
    string("inter.broker.listener.name").doc("The listener brokers use among each other."),
    long("leader.imbalance.check.interval.seconds").default("300").at_least(1).cluster().doc("Seconds between two checks whether preferred replicas lead."),
    int("min.insync.replicas").default("1").at_least(1).cluster().cluster_wide().doc("Replicas that must have a record before it is acknowledged to a producer that asks for all."),
    int("num.replica.alter.log.dirs.threads").doc("Threads that move replicas between directories."),
    int("num.replica.fetchers").default("1").at_least(1).cluster().cluster_wide().doc("Threads that copy records from each other broker."),
    int("replica.fetch.backoff.ms").default("1000").at_least(0).cluster().doc("Milliseconds before a failed fetch of a replica is tried again."),
    int("replica.fetch.max.bytes").default("1048576").at_least(0).doc("Bytes of one partition that a replica asks for at a time."),
    int("replica.fetch.min.bytes").default("1").cluster().doc("Bytes for which a replica's fetch waits."),
    int("replica.fetch.response.max.bytes").default("10485760").at_least(0).cluster().doc("The most bytes a replica's fetch asks for."),
    int("replica.fetch.wait.max.ms").default("500").cluster().doc("The longest wait of a replica's fetch, in milliseconds."),
    long("replica.high.watermark.checkpoint.interval.ms").default("5000").cluster().doc("Milliseconds between two writes of the high watermarks."),
    long("replica.lag.time.max.ms").default("30000").cluster().doc("Milliseconds after which a replica that lags behind is no longer in sync."),
    string("replica.selector.class").cluster().doc("What chooses the replica a consumer reads from."),
    int("replica.socket.receive.buffer.bytes").default("65536").cluster().doc("The receive buffer of a replica's connection, in bytes."),
    int("replica.socket.timeout.ms").default("30000").cluster().doc("Milliseconds after which a replica's request fails."),
    int("replication.quota.window.num").default("11").at_least(1).cluster().doc("Windows kept for the throttling of replication."),
    int("replication.quota.window.size.seconds").default("1").at_least(1).cluster().doc("Seconds of each window for the throttling of replication."),
    boolean("unclean.leader.election.enable").default("false").cluster().cluster_wide().doc("Whether a replica that misses records may become leader when no other can."),
    long("unclean.leader.election.interval.ms").default("300000").at_least(1).cluster().doc("Milliseconds between two searches for partitions that need an unclean election."),
];
