//! `watertable txn list`.

use std::time::Duration;

use anyhow::Result;
use client::admin::{TransactionFilter, list_transactions};
use serde::Serialize;

use crate::arguments;
use crate::output::{self, Columns};
use crate::session::Session;

/// States of transactions that a coordinator can be asked for.
const STATES: [&str; 6] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
];

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only in these states: Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit,
    /// CompleteAbort
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',', value_parser = |text: &str| arguments::one_of(&STATES, text))]
    states: Vec<String>,
    /// Only of these producer ids
    #[arg(long = "producer-id", value_name = "ID", value_delimiter = ',')]
    producer_ids: Vec<i64>,
    /// Only those open for longer than this
    #[arg(long, value_name = "DURATION", value_parser = arguments::duration)]
    longer_than: Option<Duration>,
    /// Only transactional ids that match this regular expression as a whole
    #[arg(long, value_name = "REGEX")]
    pattern: Option<String>,
}

#[derive(Serialize)]
struct Row<'a> {
    transactional_id: &'a str,
    state: &'a str,
    producer_id: i64,
    coordinator: i32,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let filter = TransactionFilter {
        states: arguments.states.clone(),
        producer_ids: arguments.producer_ids.clone(),
        longer_than_ms: arguments
            .longer_than
            .map(|duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        id_pattern: arguments.pattern.clone(),
    };
    let listed = list_transactions(&session.cluster(), &filter).await?;
    let rows: Vec<Row<'_>> = listed
        .iter()
        .map(|listed| Row {
            transactional_id: &listed.transactional_id,
            state: &listed.state,
            producer_id: listed.producer_id,
            coordinator: listed.coordinator,
        })
        .collect();
    if session.json {
        return output::json(&rows);
    }
    let mut columns = Columns::new(&["TRANSACTIONAL ID", "STATE", "#PRODUCER", "#COORDINATOR"]);
    for row in &rows {
        columns.row([
            row.transactional_id.to_owned(),
            row.state.to_owned(),
            row.producer_id.to_string(),
            row.coordinator.to_string(),
        ]);
    }
    columns.print()
}
