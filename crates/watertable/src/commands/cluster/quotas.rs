//! `watertable cluster config` for quotas of users, client ids and addresses.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use client::admin::{
    ConfigChange, ConfigOperation, QuotaEntity, alter_client_quotas, describe_client_quotas,
};
use serde::Serialize;

use crate::output::{self, Columns, counted};
use crate::report::Failure;
use crate::session::Session;

/// Whose quotas.
#[derive(Debug, clap::Args)]
pub(super) struct Clients {
    /// Quotas of this user; with --client of both together
    #[arg(long, value_name = "NAME", conflicts_with_all = ["user_default", "ip", "ip_default"])]
    user: Option<String>,
    /// Quotas of every user without any
    #[arg(long, conflicts_with_all = ["ip", "ip_default"])]
    user_default: bool,
    /// Quotas of this client id (`--client-id` is that of the command itself)
    #[arg(long, value_name = "ID", conflicts_with_all = ["client_default", "ip", "ip_default"])]
    client: Option<String>,
    /// Quotas of every client id without any
    #[arg(long, conflicts_with_all = ["ip", "ip_default"])]
    client_default: bool,
    /// Quotas of this address
    #[arg(long, value_name = "ADDRESS", conflicts_with = "ip_default")]
    ip: Option<String>,
    /// Quotas of every address without any
    #[arg(long)]
    ip_default: bool,
    /// All quotas there are
    #[arg(long)]
    quotas: bool,
}

#[derive(Serialize)]
struct Row {
    entity: QuotaEntity,
    quotas: BTreeMap<String, f64>,
}

impl Clients {
    /// Whether clients are asked about at all.
    pub(super) fn are_meant(&self) -> bool {
        self.quotas || !self.entity().is_empty()
    }

    fn entity(&self) -> QuotaEntity {
        let part = |kind: &str, name: &Option<String>, is_default: bool| {
            (name.is_some() || is_default).then(|| (kind.to_owned(), name.clone()))
        };
        [
            part("user", &self.user, self.user_default),
            part("client-id", &self.client, self.client_default),
            part("ip", &self.ip, self.ip_default),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

pub(super) async fn run(
    session: &Session,
    clients: &Clients,
    changes: &[ConfigChange],
    dry_run: bool,
) -> Result<()> {
    let cluster = session.cluster();
    let entity = clients.entity();
    if changes.is_empty() {
        let mut found = describe_client_quotas(&cluster, &entity).await?;
        found.sort_by(|one, other| one.entity.cmp(&other.entity));
        let rows = found.into_iter().map(|quota| Row {
            entity: quota.entity,
            quotas: quota.values,
        });
        return show(session, rows.collect());
    }
    if entity.is_empty() {
        return Err(Failure::new(
            "nobody is named whose quotas could change",
            "give --user, --client, --ip, or one of them with -default",
        )
        .into());
    }
    let changes = values(changes)?;
    alter_client_quotas(&cluster, &entity, &changes, dry_run).await?;
    if session.json {
        return output::json(&serde_json::json!({
            "entity": entity,
            "changed_quotas": changes.keys().collect::<Vec<_>>(),
            "dry_run": dry_run,
        }));
    }
    let could = if dry_run {
        " (not done: --dry-run)"
    } else {
        ""
    };
    let count = counted(changes.len(), "quota");
    output::line(&format!("{}: {count} changed{could}", shown(&entity)))
}

fn values(changes: &[ConfigChange]) -> Result<BTreeMap<String, Option<f64>>> {
    let mut values = BTreeMap::new();
    for change in changes {
        let value = match &change.operation {
            ConfigOperation::Set(text) => {
                let value: f64 = text
                    .parse()
                    .with_context(|| format!("{text:?} is no number for {}", change.name))?;
                Some(value)
            }
            ConfigOperation::Delete => None,
            ConfigOperation::Append(_) | ConfigOperation::Subtract(_) => {
                return Err(Failure::new(
                    format!("{} is a quota, no list", change.name),
                    "use --set and --delete",
                )
                .into());
            }
        };
        values.insert(change.name.clone(), value);
    }
    Ok(values)
}

fn show(session: &Session, rows: Vec<Row>) -> Result<()> {
    if session.json {
        return output::json(&rows);
    }
    let mut columns = Columns::new(&["CLIENTS", "QUOTA", "#VALUE"]);
    for row in rows {
        for (quota, value) in row.quotas {
            columns.row([shown(&row.entity), quota, value.to_string()]);
        }
    }
    columns.print()
}

fn shown(entity: &QuotaEntity) -> String {
    let parts = entity.iter().map(|(kind, name)| match name {
        Some(name) => format!("{kind} '{name}'"),
        None => format!("any other {kind}"),
    });
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, operation: ConfigOperation) -> ConfigChange {
        ConfigChange {
            name: name.to_owned(),
            operation,
        }
    }

    #[test]
    fn quotas_are_numbers() {
        let set = |text: &str| change("producer_byte_rate", ConfigOperation::Set(text.to_owned()));
        let changes = [
            set("1e6"),
            change("request_percentage", ConfigOperation::Delete),
        ];
        let expected = [
            ("producer_byte_rate".to_owned(), Some(1e6)),
            ("request_percentage".to_owned(), None),
        ];
        assert_eq!(values(&changes).unwrap(), BTreeMap::from(expected));
        assert!(values(&[set("fast")]).is_err());
        let append = ConfigOperation::Append("1".to_owned());
        assert!(values(&[change("producer_byte_rate", append)]).is_err());
    }

    #[test]
    fn entities_are_named_for_people() {
        let entity = QuotaEntity::from([
            ("user".to_owned(), Some("alice".to_owned())),
            ("client-id".to_owned(), None),
        ]);
        assert_eq!(shown(&entity), "any other client-id, user 'alice'");
    }
}
