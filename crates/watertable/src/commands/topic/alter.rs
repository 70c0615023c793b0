//! `watertable topic alter`: settings and the number of partitions.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use client::admin::{
    ConfigChange, ConfigOperation, ConfigResource, alter_configs, create_partitions,
};

use super::existing;
use crate::arguments;
use crate::output::{self, counted};
use crate::report::Failure;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The topic
    topic: String,
    /// How many partitions it shall have; keys then land on other partitions than before
    #[arg(long, short, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    #[command(flatten)]
    changes: Changes,
    /// Only check whether it could be done
    #[arg(long)]
    dry_run: bool,
}

/// Changes of settings.
#[derive(Debug, clap::Args)]
pub(crate) struct Changes {
    /// Give a setting a value; may be given often
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = arguments::setting)]
    set: Vec<(String, String)>,
    /// Let a setting's default count again; may be given often
    #[arg(long, short, value_name = "NAME")]
    delete: Vec<String>,
    /// Add to a setting that is a list; may be given often
    #[arg(long, value_name = "NAME=VALUE", value_parser = arguments::setting)]
    append: Vec<(String, String)>,
    /// Take out of a setting that is a list; may be given often
    #[arg(long, value_name = "NAME=VALUE", value_parser = arguments::setting)]
    subtract: Vec<(String, String)>,
}

impl Changes {
    pub(crate) fn into_list(self) -> Vec<ConfigChange> {
        let set = self
            .set
            .into_iter()
            .map(|(name, value)| (name, ConfigOperation::Set(value)));
        let delete = self
            .delete
            .into_iter()
            .map(|name| (name, ConfigOperation::Delete));
        let append = self.append.into_iter();
        let append = append.map(|(name, value)| (name, ConfigOperation::Append(value)));
        let subtract = self.subtract.into_iter();
        let subtract = subtract.map(|(name, value)| (name, ConfigOperation::Subtract(value)));
        set.chain(delete)
            .chain(append)
            .chain(subtract)
            .map(|(name, operation)| ConfigChange { name, operation })
            .collect()
    }
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let Arguments {
        topic,
        partitions,
        changes,
        dry_run,
    } = arguments;
    let changes = changes.into_list();
    if changes.is_empty() && partitions.is_none() {
        return Err(Failure::new(
            "nothing to change",
            "give --set, --delete, --append, --subtract or --partitions",
        )
        .into());
    }
    let cluster = session.cluster();
    existing(&cluster, &topic).await?;
    let mut done = Vec::new();
    if let Some(count) = partitions {
        let totals = BTreeMap::from([(topic.clone(), count)]);
        let results = create_partitions(&cluster, &totals, dry_run).await?;
        let result = results
            .into_values()
            .next()
            .context("the broker's answer is empty")?;
        result
            .map_err(|refusal| anyhow!(refusal))
            .with_context(|| format!("cannot give topic '{topic}' {count} partitions"))?;
        let count = usize::try_from(count).unwrap_or_default();
        done.push(counted(count, "partition"));
    }
    if !changes.is_empty() {
        let resource = ConfigResource::Topic(topic.clone());
        alter_configs(&cluster, &resource, &changes, dry_run).await?;
        done.push(format!("{} changed", counted(changes.len(), "setting")));
    }
    if session.json {
        return output::json(&serde_json::json!({
            "topic": topic,
            "partitions": partitions,
            "changed_settings": changes.iter().map(|change| &change.name).collect::<Vec<_>>(),
            "dry_run": dry_run,
        }));
    }
    let could = if dry_run {
        " (not done: --dry-run)"
    } else {
        ""
    };
    output::line(&format!("{topic}: {}{could}", done.join(", ")))
}
