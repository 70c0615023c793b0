//! `watertable group delete`.

use anyhow::{Result, anyhow};
use client::admin::delete_groups;
use protocol::ErrorCode;
use serde::Serialize;

use crate::output;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The groups
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// A group that is not there is no failure
    #[arg(long)]
    if_exists: bool,
}

#[derive(Serialize)]
struct Deleted<'a> {
    group: &'a str,
    status: &'static str,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let results = delete_groups(&cluster, &arguments.groups).await?;
    let mut rows = Vec::new();
    let mut failure = None;
    for (group, result) in &results {
        let status = match result {
            Ok(()) => "deleted",
            Err(refusal) if arguments.if_exists && refusal.is(ErrorCode::GroupIdNotFound) => {
                "does not exist"
            }
            Err(refusal) => {
                let error = anyhow!(refusal.clone());
                failure.get_or_insert(error.context(format!("cannot delete group '{group}'")));
                continue;
            }
        };
        rows.push(Deleted { group, status });
    }
    if session.json {
        output::json(&rows)?;
    } else {
        for row in &rows {
            output::line(&format!("{} {}", row.group, row.status))?;
        }
    }
    failure.map_or(Ok(()), Err)
}
