//! `watertable topic describe`, with the filters of kafka-topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use client::admin::{ConfigEntry, ConfigResource, ConfigSource, describe_configs};
use client::{Cluster, Isolation, OffsetSpec, Partition, Topic, TopicPartition, list_offsets};
use serde::Serialize;

use super::matching;
use crate::output::{self, Columns, counted, or_dash};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only topics of these names; * and ? stand for any characters
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Also those in which the cluster keeps its own state
    #[arg(long)]
    internal: bool,
    /// Only partitions that lack in-sync replicas
    #[arg(long)]
    under_replicated: bool,
    /// Only partitions with fewer in-sync replicas than min.insync.replicas: they take no acks=all
    #[arg(long)]
    under_min_isr: bool,
    /// Only partitions with just min.insync.replicas: one more failure and they are below
    #[arg(long)]
    at_min_isr: bool,
    /// Only partitions without a leader
    #[arg(long)]
    unavailable: bool,
    /// Only topics with settings of their own, without their partitions
    #[arg(long)]
    overrides: bool,
    /// All settings, not only those that were set
    #[arg(long)]
    all_configs: bool,
}

#[derive(Serialize)]
struct Description {
    topic: String,
    topic_id: Option<String>,
    internal: bool,
    configs: BTreeMap<String, Option<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partitions: Vec<PartitionRow>,
}

#[derive(Serialize)]
struct PartitionRow {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: i32,
    replicas: Vec<i32>,
    in_sync_replicas: Vec<i32>,
    offline_replicas: Vec<i32>,
    log_start_offset: Option<i64>,
    log_end_offset: Option<i64>,
}

impl Arguments {
    fn filters_partitions(&self) -> bool {
        self.under_replicated || self.under_min_isr || self.at_min_isr || self.unavailable
    }

    fn shows(&self, partition: &Partition, in_sync_min: usize) -> bool {
        let in_sync = partition.in_sync_replicas.len();
        !self.filters_partitions()
            || (self.under_replicated && in_sync < partition.replicas.len())
            || (self.under_min_isr && in_sync < in_sync_min)
            || (self.at_min_isr && in_sync == in_sync_min)
            || (self.unavailable && partition.leader.is_none())
    }
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let (_, topics) = matching(&cluster, &arguments.patterns, arguments.internal).await?;
    let mut descriptions = Vec::new();
    for topic in &topics {
        let description = describe(&cluster, topic, arguments).await?;
        let has_own = description.configs.values().any(Option::is_some);
        let shown = if arguments.overrides {
            has_own
        } else {
            !arguments.filters_partitions() || !description.partitions.is_empty()
        };
        if shown {
            descriptions.push(description);
        }
    }
    if session.json {
        return output::json(&descriptions);
    }
    let texts: Vec<String> = descriptions.iter().map(text).collect();
    output::write(texts.join("\n").as_bytes())
}

async fn describe(
    cluster: &Cluster,
    topic: &Arc<Topic>,
    arguments: &Arguments,
) -> Result<Description> {
    let resource = ConfigResource::Topic(topic.name.as_ref().to_owned());
    let configs = describe_configs(cluster, &resource, None, false).await?;
    let in_sync_min = configs
        .iter()
        .find(|config| config.name == "min.insync.replicas")
        .and_then(|config| config.value.as_ref()?.parse().ok())
        .unwrap_or(1);
    let shown = topic.partitions.iter();
    let shown: Vec<&Partition> = if arguments.overrides {
        Vec::new()
    } else {
        shown
            .filter(|partition| arguments.shows(partition, in_sync_min))
            .collect()
    };
    let starts = offsets(cluster, topic, &shown, OffsetSpec::Earliest).await?;
    let ends = offsets(cluster, topic, &shown, OffsetSpec::Latest).await?;
    let is_shown =
        |config: &&ConfigEntry| arguments.all_configs || config.source == ConfigSource::Topic;
    Ok(Description {
        topic: topic.name.as_ref().to_owned(),
        topic_id: (!topic.id.is_zero()).then(|| topic.id.to_string()),
        internal: topic.is_internal,
        configs: configs
            .iter()
            .filter(is_shown)
            .map(|config| (config.name.clone(), config.value.clone()))
            .collect(),
        partitions: shown
            .iter()
            .map(|partition| PartitionRow {
                partition: partition.index,
                leader: partition.leader,
                leader_epoch: partition.leader_epoch,
                replicas: partition.replicas.clone(),
                in_sync_replicas: partition.in_sync_replicas.clone(),
                offline_replicas: partition.offline_replicas.clone(),
                log_start_offset: starts.get(&partition.index).copied(),
                log_end_offset: ends.get(&partition.index).copied(),
            })
            .collect(),
    })
}

/// Offsets of the partitions that have a leader to ask.
async fn offsets(
    cluster: &Cluster,
    topic: &Arc<Topic>,
    partitions: &[&Partition],
    spec: OffsetSpec,
) -> Result<BTreeMap<i32, i64>> {
    let led = partitions
        .iter()
        .filter(|partition| partition.leader.is_some());
    let wanted = led.map(|partition| {
        (
            TopicPartition::new(Arc::clone(&topic.name), partition.index),
            spec,
        )
    });
    let found = list_offsets(cluster, &wanted.collect(), Isolation::ReadUncommitted).await?;
    let found = found.into_iter();
    Ok(found
        .filter_map(|(place, found)| Some((place.partition, found.offset?)))
        .collect())
}

fn text(description: &Description) -> String {
    let mut text = format!("topic {}", description.topic);
    if let Some(id) = &description.topic_id {
        text += &format!("  id {id}");
    }
    if description.internal {
        text += "  internal";
    }
    text.push('\n');
    for (name, value) in &description.configs {
        text += &format!("  {name} = {}\n", or_dash(value.as_ref()));
    }
    if description.partitions.is_empty() {
        return text;
    }
    text += &format!("{}\n", counted(description.partitions.len(), "partition"));
    let mut columns = Columns::new(&[
        "#PARTITION",
        "#LEADER",
        "#EPOCH",
        "REPLICAS",
        "IN-SYNC",
        "#START",
        "#END",
    ]);
    for row in &description.partitions {
        columns.row([
            row.partition.to_string(),
            or_dash(row.leader),
            row.leader_epoch.to_string(),
            joined(&row.replicas),
            joined(&row.in_sync_replicas),
            or_dash(row.log_start_offset),
            or_dash(row.log_end_offset),
        ]);
    }
    text + &columns.text()
}

fn joined(ids: &[i32]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(",")
}
