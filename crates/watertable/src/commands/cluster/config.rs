//! `watertable cluster config`: settings of brokers and groups, shown with their source, or changed while they run, and
//! quotas of clients.

use anyhow::Result;
use client::admin::{ConfigEntry, ConfigResource, alter_configs, describe_configs};
use client::{Cluster, TopicSelection};
use serde::Serialize;

use super::quotas;
use crate::commands::topic::alter::Changes;
use crate::output::{self, Columns, counted};
use crate::report::Failure;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only these settings; without names those that differ from their defaults
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Of this broker [default: the first one to show, all brokers to change]
    #[arg(long, value_name = "ID")]
    broker: Option<i32>,
    /// Of this group
    #[arg(long, value_name = "GROUP", conflicts_with = "broker")]
    group: Option<String>,
    #[command(flatten)]
    clients: quotas::Clients,
    /// All settings, also those at their defaults
    #[arg(long)]
    all: bool,
    /// Explain each setting
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    changes: Changes,
    /// Only check whether it could be changed
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Row {
    name: String,
    value: Option<String>,
    source: &'static str,
    read_only: bool,
    sensitive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    documentation: Option<String>,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let Arguments {
        names,
        broker,
        group,
        clients,
        all,
        explain,
        changes,
        dry_run,
    } = arguments;
    let cluster = session.cluster();
    let changes = changes.into_list();
    if clients.are_meant() {
        return quotas::run(session, &clients, &changes, dry_run).await;
    }
    if !changes.is_empty() {
        let resource = match group {
            Some(group) => ConfigResource::Group(group),
            None => broker.map_or(ConfigResource::AllBrokers, ConfigResource::Broker),
        };
        alter_configs(&cluster, &resource, &changes, dry_run).await?;
        let changed: Vec<&String> = changes.iter().map(|change| &change.name).collect();
        if session.json {
            return output::json(&serde_json::json!({
                "resource": resource.to_string(),
                "changed_settings": changed,
                "dry_run": dry_run,
            }));
        }
        let could = if dry_run {
            " (not done: --dry-run)"
        } else {
            ""
        };
        let count = counted(changed.len(), "setting");
        return output::line(&format!("{resource}: {count} changed{could}"));
    }
    let resource = match (group, broker) {
        (Some(group), _) => ConfigResource::Group(group),
        (None, Some(broker)) => ConfigResource::Broker(broker),
        (None, None) => ConfigResource::Broker(first_broker(&cluster).await?),
    };
    let wanted = (!names.is_empty()).then_some(names.as_slice());
    let entries = describe_configs(&cluster, &resource, wanted, explain).await?;
    check_names(&names, &entries)?;
    let mut rows: Vec<Row> = entries
        .into_iter()
        .filter(|entry| {
            all || !names.is_empty() || entry.source != client::admin::ConfigSource::Default
        })
        .map(|entry| Row {
            name: entry.name,
            value: entry.value,
            source: entry.source.name(),
            read_only: entry.is_read_only,
            sensitive: entry.is_sensitive,
            documentation: entry.documentation.filter(|_| explain),
        })
        .collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    if session.json {
        return output::json(&rows);
    }
    print(&rows, explain)
}

async fn first_broker(cluster: &Cluster) -> Result<i32> {
    let metadata = cluster.metadata(TopicSelection::None).await?;
    let first = metadata.brokers.into_keys().next();
    first.ok_or_else(|| Failure::new("the cluster lists no broker", "try again in a moment").into())
}

/// A setting that was asked for by name and did not come is none.
fn check_names(names: &[String], entries: &[ConfigEntry]) -> Result<()> {
    for name in names {
        if !entries.iter().any(|entry| entry.name == *name) {
            return Err(Failure::new(
                format!("there is no setting '{name}'"),
                "`watertable cluster config --all` shows all",
            )
            .into());
        }
    }
    Ok(())
}

fn print(rows: &[Row], explain: bool) -> Result<()> {
    let mut columns = Columns::new(&["SETTING", "VALUE", "SOURCE", ""]);
    for row in rows {
        let value = match (&row.value, row.sensitive) {
            (_, true) => "(hidden)".to_owned(),
            (Some(value), false) => value.clone(),
            (None, false) => "-".to_owned(),
        };
        let note = if row.read_only { "read only" } else { "" };
        columns.row([
            row.name.clone(),
            value,
            row.source.to_owned(),
            note.to_owned(),
        ]);
        if let Some(documentation) = row.documentation.as_ref().filter(|_| explain) {
            columns.row([format!("  {documentation}")]);
        }
    }
    columns.print()
}
