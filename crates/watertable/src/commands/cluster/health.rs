//! `watertable cluster health`: one answer for people and scripts.

use anyhow::Result;
use client::admin::describe_log_dirs;
use client::{Cluster, TopicSelection};
use serde::Serialize;

use crate::output;
use crate::report::Failure;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Also count replicas out of sync as ill; a cluster works without them
    #[arg(long)]
    strict: bool,
}

#[derive(Default, Serialize)]
struct Health {
    healthy: bool,
    brokers: usize,
    controller: Option<i32>,
    partitions: usize,
    leaderless_partitions: Vec<String>,
    under_replicated_partitions: Vec<String>,
    failed_log_dirs: Vec<String>,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let mut health = look(&cluster).await?;
    let strictly = arguments.strict && !health.under_replicated_partitions.is_empty();
    health.healthy = health.brokers > 0
        && health.leaderless_partitions.is_empty()
        && health.failed_log_dirs.is_empty()
        && !strictly;
    if session.json {
        output::json(&health)?;
    } else {
        output::write(text(&health).as_bytes())?;
    }
    if health.healthy {
        return Ok(());
    }
    let next_step = if health.failed_log_dirs.is_empty() {
        "start the brokers that hold these partitions; `watertable topic describe` shows which"
    } else {
        "look into the brokers' logs: a disk does not work"
    };
    Err(Failure::new("the cluster is not healthy", next_step).into())
}

async fn look(cluster: &Cluster) -> Result<Health> {
    let metadata = cluster.metadata(TopicSelection::All).await?;
    let mut health = Health {
        brokers: metadata.brokers.len(),
        controller: metadata.controller_id,
        ..Health::default()
    };
    for topic in metadata
        .topics
        .values()
        .filter_map(|topic| topic.as_ref().ok())
    {
        for partition in &topic.partitions {
            health.partitions += 1;
            let name = format!("{}-{}", topic.name, partition.index);
            if partition.in_sync_replicas.len() < partition.replicas.len() {
                health.under_replicated_partitions.push(name.clone());
            }
            if partition.leader.is_none() {
                health.leaderless_partitions.push(name);
            }
        }
    }
    for (broker, dirs) in describe_log_dirs(cluster).await? {
        let failed = dirs?.into_iter().filter_map(|dir| {
            let error = dir.error?;
            Some(format!("broker {broker}: {}: {error}", dir.path))
        });
        health.failed_log_dirs.extend(failed);
    }
    Ok(health)
}

fn text(health: &Health) -> String {
    /// More names than this are counted, not listed.
    const LISTED: usize = 10;
    let list = |what: &str, names: &[String]| {
        if names.is_empty() {
            return format!("{what}: none\n");
        }
        let mut listed = names
            .iter()
            .take(LISTED)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        if names.len() > LISTED {
            listed += &format!(" and {} more", names.len() - LISTED);
        }
        format!("{what}: {} ({listed})\n", names.len())
    };
    let mut text = format!(
        "{}\nbrokers: {}, controller: {}\npartitions: {}\n",
        if health.healthy {
            "healthy"
        } else {
            "NOT HEALTHY"
        },
        health.brokers,
        output::or_dash(health.controller),
        health.partitions,
    );
    text += &list("without leader", &health.leaderless_partitions);
    text += &list("under-replicated", &health.under_replicated_partitions);
    text += &list("failed folders", &health.failed_log_dirs);
    text
}
