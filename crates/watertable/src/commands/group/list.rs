//! `watertable group list`.

use anyhow::Result;
use client::admin::list_groups;
use serde::Serialize;

use crate::arguments;
use crate::output::{self, Columns};
use crate::session::Session;

/// States of groups of any type.
const STATES: [&str; 8] = [
    "Stable",
    "Empty",
    "PreparingRebalance",
    "CompletingRebalance",
    "Assigning",
    "Reconciling",
    "NotReady",
    "Dead",
];
const TYPES: [&str; 4] = ["classic", "consumer", "share", "streams"];

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only groups in these states: Stable, Empty, PreparingRebalance, CompletingRebalance,
    /// Assigning, Reconciling, NotReady, Dead
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',', value_parser = |text: &str| arguments::one_of(&STATES, text))]
    states: Vec<String>,
    /// Only groups of these types: classic, consumer, share, streams
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = |text: &str| arguments::one_of(&TYPES, text))]
    types: Vec<String>,
    /// Only the names
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    group: &'a str,
    state: &'a str,
    #[serde(rename = "type")]
    group_type: &'a str,
    protocol_type: &'a str,
    coordinator: i32,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let groups = list_groups(&cluster, &arguments.states, &arguments.types).await?;
    let rows: Vec<Row<'_>> = groups
        .iter()
        .map(|group| Row {
            group: &group.group_id,
            state: &group.state,
            group_type: &group.group_type,
            protocol_type: &group.protocol_type,
            coordinator: group.coordinator,
        })
        .collect();
    if session.json {
        return output::json(&rows);
    }
    if arguments.quiet {
        let names: String = rows.iter().map(|row| format!("{}\n", row.group)).collect();
        return output::write(names.as_bytes());
    }
    let mut columns = Columns::new(&["GROUP", "STATE", "TYPE", "PROTOCOL", "#COORDINATOR"]);
    for row in &rows {
        columns.row([
            row.group.to_owned(),
            row.state.to_owned(),
            row.group_type.to_lowercase(),
            row.protocol_type.to_owned(),
            row.coordinator.to_string(),
        ]);
    }
    columns.print()
}
