//! `sys.settings`.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result;
use metadata::settings::{ConfigEntry, ConfigSource, Resource, SettingType};

use super::cells::{Cell, Column, Kind, text};
use super::table::SystemTable;
use super::wish::Wish;
use super::{Source, parts};
use crate::system::System;

/// A setting of something.
pub(super) struct Row {
    resource: Resource,
    entry: ConfigEntry,
}

/// The table.
pub(super) struct Settings;

#[async_trait]
impl SystemTable for Settings {
    const NAME: &'static str = "settings";
    const ABOUT: &'static str = "The settings of the broker and of every topic, and of groups and subscriptions to clients' metrics that have some of their own.";
    const NAMING: &'static [&'static str] = &["resource_type", "resource_name"];
    const COLUMNS: &'static [Column<Row>] = &[
        Column::new(
            "resource_type",
            Kind::Text,
            "What it is a setting of: `broker`, `topic`, `group` or `client-metrics`.",
            |row| Cell::Text(kind(&row.resource)),
        ),
        Column::new(
            "resource_name",
            Kind::Text,
            "The topic, the group, the subscription, or the broker's id.",
            |row| Cell::Made(name(&row.resource)),
        ),
        Column::new("name", Kind::Text, "The setting's name.", |row| {
            Cell::Text(&row.entry.name)
        }),
        Column::nullable(
            "value",
            Kind::Text,
            "The value in force; NULL if it has none or is a secret.",
            |row| text(row.entry.value.as_deref()),
        ),
        Column::new(
            "source",
            Kind::Text,
            "Where the value comes from, as Kafka names it: `DEFAULT_CONFIG`, `STATIC_BROKER_CONFIG`, \
             `DYNAMIC_TOPIC_CONFIG`, ...",
            |row| Cell::Text(origin(row.entry.source)),
        ),
        Column::new(
            "is_default",
            Kind::Flag,
            "Whether nobody has set it.",
            |row| Cell::Flag(row.entry.source == ConfigSource::Default),
        ),
        Column::new(
            "is_read_only",
            Kind::Flag,
            "Whether only a restart changes it.",
            |row| Cell::Flag(row.entry.read_only),
        ),
        Column::new(
            "is_sensitive",
            Kind::Flag,
            "Whether it is a secret.",
            |row| Cell::Flag(row.entry.sensitive),
        ),
        Column::new(
            "type",
            Kind::Text,
            "The type of its value: `INT`, `LIST`, ...",
            |row| Cell::Text(type_name(row.entry.kind)),
        ),
        Column::new("documentation", Kind::Text, "What it does.", |row| {
            Cell::Text(row.entry.doc)
        }),
    ];
    type Row = Row;
    type Part = Resource;

    async fn parts(source: &Arc<Source>, wish: &Wish) -> Result<Vec<Resource>> {
        let (system, wish) = (Arc::clone(&source.system), wish.clone());
        let list = move || {
            let mut resources = system.resources();
            resources.retain(|resource| {
                wish.allows("resource_type", kind(resource))
                    && wish.allows("resource_name", &name(resource))
            });
            resources
        };
        source.asking.run(list).await
    }

    async fn rows(
        source: &Arc<Source>,
        parts: &mut VecDeque<Resource>,
        _wish: &Wish,
        enough: usize,
    ) -> Result<Vec<Row>> {
        parts::ask(source, parts, enough, rows).await
    }
}

fn rows(system: &dyn System, resource: Resource) -> Vec<Row> {
    let entries = system.settings(&resource).into_iter();
    let row = |entry| Row {
        resource: resource.clone(),
        entry,
    };
    entries.map(row).collect()
}

/// As `kafka-configs.sh` calls it, in the singular.
const fn kind(resource: &Resource) -> &'static str {
    match resource {
        Resource::Broker(_) => "broker",
        Resource::Topic(_) => "topic",
        Resource::Group(_) => "group",
        Resource::ClientMetrics(_) => "client-metrics",
    }
}

fn name(resource: &Resource) -> String {
    match resource {
        Resource::Broker(id) => id.to_string(),
        Resource::Topic(name) => name.to_string(),
        Resource::Group(name) | Resource::ClientMetrics(name) => name.to_string(),
    }
}

/// `ConfigEntry.ConfigSource`.
const fn origin(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "DYNAMIC_TOPIC_CONFIG",
        ConfigSource::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
        ConfigSource::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        ConfigSource::StaticBroker => "STATIC_BROKER_CONFIG",
        ConfigSource::Default => "DEFAULT_CONFIG",
        ConfigSource::Group => "DYNAMIC_GROUP_CONFIG",
        ConfigSource::ClientMetrics => "DYNAMIC_CLIENT_METRICS_CONFIG",
    }
}

/// `ConfigEntry.ConfigType`.
const fn type_name(kind: SettingType) -> &'static str {
    match kind {
        SettingType::Boolean => "BOOLEAN",
        SettingType::String => "STRING",
        SettingType::Int => "INT",
        SettingType::Short => "SHORT",
        SettingType::Long => "LONG",
        SettingType::Double => "DOUBLE",
        SettingType::List => "LIST",
        SettingType::Class => "CLASS",
        SettingType::Password => "PASSWORD",
    }
}
