//! `watertable txn describe`.

use anyhow::Result;
use client::admin::{TransactionDescription, describe_transaction};
use client::now_ms;
use serde::Serialize;

use crate::output::{self, Columns, or_dash};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The transactional ids
    #[arg(required = true, value_name = "TRANSACTIONAL_ID")]
    ids: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    transactional_id: String,
    state: String,
    producer_id: i64,
    producer_epoch: i16,
    timeout_ms: i32,
    started_ms: Option<i64>,
    /// How long it is open.
    duration_ms: Option<i64>,
    coordinator: i32,
    partitions: Vec<String>,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let mut rows = Vec::new();
    for id in &arguments.ids {
        rows.push(row(describe_transaction(&cluster, id).await?));
    }
    if session.json {
        return output::json(&rows);
    }
    let mut columns = Columns::new(&[
        "TRANSACTIONAL ID",
        "STATE",
        "#PRODUCER",
        "#EPOCH",
        "#TIMEOUT MS",
        "#OPEN MS",
        "#COORDINATOR",
        "PARTITIONS",
    ]);
    for row in &rows {
        columns.row([
            row.transactional_id.clone(),
            row.state.clone(),
            row.producer_id.to_string(),
            row.producer_epoch.to_string(),
            row.timeout_ms.to_string(),
            or_dash(row.duration_ms),
            row.coordinator.to_string(),
            row.partitions.join(","),
        ]);
    }
    columns.print()
}

fn row(described: TransactionDescription) -> Row {
    let is_open = described.state == "Ongoing" || described.state.starts_with("Prepare");
    Row {
        duration_ms: described
            .started_ms
            .filter(|_| is_open)
            .map(|started_ms| now_ms().saturating_sub(started_ms)),
        partitions: described
            .partitions
            .iter()
            .map(ToString::to_string)
            .collect(),
        transactional_id: described.transactional_id,
        state: described.state,
        producer_id: described.producer_id,
        producer_epoch: described.producer_epoch,
        timeout_ms: described.timeout_ms,
        started_ms: described.started_ms,
        coordinator: described.coordinator,
    }
}
