//! `watertable group delete-offsets`: the group forgets that it read a topic.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};
use client::admin::{GroupKind, delete_offsets, delete_share_group_offsets, describe_group};
use client::{Cluster, TopicPartition};
use serde::Serialize;

use super::partitions_named;
use crate::output;
use crate::report::Failure;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The group; none of its members may read the topics
    group: String,
    /// A topic, or some of its partitions as TOPIC:0,1; may be given often
    #[arg(long = "topic", value_name = "TOPIC[:NUMBERS]", required = true)]
    topics: Vec<String>,
}

#[derive(Serialize)]
struct Deleted {
    /// A partition, or a whole topic of a share group.
    of: String,
    status: &'static str,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let description = describe_group(&cluster, &arguments.group).await?;
    let results = if description.kind == GroupKind::Share {
        of_share_group(&cluster, arguments).await?
    } else {
        let places = partitions_named(&cluster, &arguments.topics).await?;
        of_partitions(&cluster, &arguments.group, places).await?
    };
    let mut rows = Vec::new();
    let mut failure = None;
    for (of, result) in results {
        match result {
            Ok(()) => rows.push(Deleted {
                of,
                status: "deleted",
            }),
            Err(refusal) => {
                let error = anyhow!(refusal).context(format!("cannot delete the offset of {of}"));
                failure.get_or_insert(error);
            }
        }
    }
    if session.json {
        output::json(&rows)?;
    } else {
        for row in &rows {
            output::line(&format!("{} {}", row.of, row.status))?;
        }
    }
    failure.map_or(Ok(()), Err)
}

type Results = Vec<(String, Result<(), client::Refusal>)>;

async fn of_partitions(
    cluster: &Cluster,
    group: &str,
    places: BTreeSet<TopicPartition>,
) -> Result<Results> {
    let results = delete_offsets(cluster, group, places).await?;
    let named = results
        .into_iter()
        .map(|(place, result)| (place.to_string(), result));
    Ok(named.collect())
}

/// A share group forgets whole topics only.
async fn of_share_group(cluster: &Cluster, arguments: &Arguments) -> Result<Results> {
    if let Some(text) = arguments.topics.iter().find(|text| text.contains(':')) {
        return Err(Failure::new(
            format!("'{text}' names partitions, but a share group forgets whole topics only"),
            "give the topic alone",
        )
        .into());
    }
    let topics = arguments.topics.iter().cloned();
    let results = delete_share_group_offsets(cluster, &arguments.group, topics).await?;
    Ok(results.into_iter().collect())
}
