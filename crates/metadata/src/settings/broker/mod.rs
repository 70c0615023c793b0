//! The settings of brokers (`AbstractKafkaConfig.CONFIG_DEF` of Kafka 4.2), one file per subject.

mod controller;
mod general;
mod group;
mod log;
mod network;
mod remote;
mod replication;
mod security;

use super::definition::Setting;

static TABLES: &[&[Setting]] = &[
    general::SETTINGS,
    log::SETTINGS,
    network::SETTINGS,
    group::SETTINGS,
    security::SETTINGS,
    replication::SETTINGS,
    controller::SETTINGS,
    remote::SETTINGS,
];

/// Every broker setting.
pub fn broker_settings() -> impl Iterator<Item = &'static Setting> {
    TABLES.iter().copied().flatten()
}

/// Names that Kafka 4.0 removed: known, so that an old settings file gets a warning instead of an error. A name that
/// ends with a dot stands for all that begin with it.
static REMOVED: &[&str] = &[
    "zookeeper.",
    "inter.broker.protocol.version",
    "log.message.format.version",
    "log.message.timestamp.difference.max.ms",
    "message.format.version",
    "message.timestamp.difference.max.ms",
    "message.downconversion.enable",
    "log.message.downconversion.enable",
    "offsets.commit.required.acks",
    "delegation.token.master.key",
    "password.encoder.",
    "control.plane.listener.name",
    "broker.id.generation.enable",
    "reserved.broker.max.id",
    "remote.log.storage.manager.thread.pool.size",
];

/// True for a setting that Kafka 4.0 removed: worth a warning, then ignored.
pub fn is_removed(name: &str) -> bool {
    REMOVED.iter().any(|removed| {
        if removed.ends_with('.') {
            name.starts_with(removed)
        } else {
            name == *removed
        }
    })
}

/// Settings that say the same in other units, the strongest first (`DynamicBrokerConfig.brokerConfigSynonyms`).
static FAMILIES: &[&[&str]] = &[
    &["log.roll.ms", "log.roll.hours"],
    &["log.roll.jitter.ms", "log.roll.jitter.hours"],
    &[
        "log.retention.ms",
        "log.retention.minutes",
        "log.retention.hours",
    ],
];

/// The settings to look at, in order, for what `name` says. `log.flush.interval.ms` reads another one as its default,
/// which the other does not do in return.
pub(super) fn family(name: &'static str) -> Vec<&'static str> {
    if name == "log.flush.interval.ms" {
        return vec![name, "log.flush.scheduler.interval.ms"];
    }
    match FAMILIES.iter().find(|family| family.contains(&name)) {
        Some(family) => family.to_vec(),
        None => vec![name],
    }
}
