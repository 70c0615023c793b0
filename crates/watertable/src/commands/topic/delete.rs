//! `watertable topic delete`.

use anyhow::{Result, anyhow};
use client::admin::{ByName, delete_topics};
use client::{Cluster, Refusal, TopicSelection};
use protocol::ErrorCode;
use serde::Serialize;

use super::matching;
use crate::output;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The topics; * and ? stand for any characters
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<String>,
    /// A topic that is not there is no failure
    #[arg(long)]
    if_exists: bool,
    /// Only show which topics would be deleted
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Deleted<'a> {
    topic: &'a str,
    status: &'static str,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let (patterns, mut names): (Vec<String>, Vec<String>) = arguments
        .patterns
        .iter()
        .cloned()
        .partition(|pattern| pattern.contains(['*', '?']));
    // Names are given to the broker as they are; only patterns need the list.
    if !patterns.is_empty() {
        let (_, topics) = matching(&cluster, &patterns, false).await?;
        names.extend(topics.iter().map(|topic| topic.name.as_ref().to_owned()));
        names.sort();
        names.dedup();
    }
    let mut rows = Vec::new();
    let mut failure = None;
    let results = if arguments.dry_run {
        would_delete(&cluster, names).await?
    } else if names.is_empty() {
        ByName::new()
    } else {
        delete_topics(&cluster, &names).await?
    };
    for (name, result) in &results {
        let status = match result {
            Ok(()) if arguments.dry_run => "would be deleted",
            Ok(()) => "deleted",
            Err(refusal)
                if arguments.if_exists && refusal.is(ErrorCode::UnknownTopicOrPartition) =>
            {
                "does not exist"
            }
            Err(refusal) => {
                let error = anyhow!(refusal.clone());
                failure.get_or_insert(error.context(format!("cannot delete topic '{name}'")));
                continue;
            }
        };
        rows.push(Deleted {
            topic: name,
            status,
        });
    }
    if session.json {
        output::json(&rows)?;
    } else if results.is_empty() {
        let patterns = arguments.patterns.join(", ");
        output::line(&format!("nothing to delete: no topic fits {patterns}"))?;
    } else {
        for row in &rows {
            output::line(&format!("{} {}", row.topic, row.status))?;
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Which of the topics are there.
async fn would_delete(cluster: &Cluster, names: Vec<String>) -> Result<ByName<()>> {
    let metadata = cluster.metadata(TopicSelection::All).await?;
    let judge = |name: String| {
        let outcome = match metadata.topics.get(name.as_str()) {
            Some(_) => Ok(()),
            None => Err(Refusal::new(ErrorCode::UnknownTopicOrPartition)),
        };
        (name, outcome)
    };
    Ok(names.into_iter().map(judge).collect())
}
