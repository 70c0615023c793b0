//! `watertable topic list`.

use anyhow::Result;
use serde::Serialize;

use super::matching;
use crate::output::{self, Columns};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only topics of these names; * and ? stand for any characters
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Also those in which the cluster keeps its own state
    #[arg(long)]
    internal: bool,
    /// Only the names
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    topic: &'a str,
    topic_id: Option<String>,
    partitions: usize,
    replicas: usize,
    internal: bool,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let (_, topics) = matching(&cluster, &arguments.patterns, arguments.internal).await?;
    let rows: Vec<Row<'_>> = topics
        .iter()
        .map(|topic| Row {
            topic: &topic.name,
            topic_id: (!topic.id.is_zero()).then(|| topic.id.to_string()),
            partitions: topic.partitions.len(),
            replicas: topic
                .partitions
                .first()
                .map_or(0, |first| first.replicas.len()),
            internal: topic.is_internal,
        })
        .collect();
    if session.json {
        return output::json(&rows);
    }
    if arguments.quiet {
        let names: String = rows.iter().map(|row| format!("{}\n", row.topic)).collect();
        return output::write(names.as_bytes());
    }
    let mut columns = Columns::new(&["TOPIC", "#PARTITIONS", "#REPLICAS"]);
    for row in &rows {
        columns.row([
            row.topic.to_owned(),
            row.partitions.to_string(),
            row.replicas.to_string(),
        ]);
    }
    columns.print()
}
