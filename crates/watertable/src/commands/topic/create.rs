//! `watertable topic create`.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use client::admin::{NewTopic, create_topics};
use protocol::ErrorCode;
use serde::Serialize;

use crate::arguments;
use crate::output::{self, counted};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Names of the topics
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// How many partitions; the broker's num.partitions if absent
    #[arg(long, short, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// How many replicas; the broker's default.replication.factor if absent
    #[arg(long, short, value_name = "COUNT", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// A setting, under Kafka's name; may be given often
    #[arg(long = "config", short, value_name = "NAME=VALUE", value_parser = arguments::setting)]
    configs: Vec<(String, String)>,
    /// Leave a topic of that name as it is
    #[arg(long)]
    if_not_exists: bool,
    /// Only check whether it could be created
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Created<'a> {
    topic: &'a str,
    status: &'static str,
    partitions: Option<i32>,
    replication_factor: Option<i16>,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let cluster = session.cluster();
    let configs: BTreeMap<String, String> = arguments.configs.into_iter().collect();
    let topics: Vec<NewTopic> = arguments
        .topics
        .iter()
        .map(|name| NewTopic {
            name: name.clone(),
            partitions: arguments.partitions,
            replication_factor: arguments.replication_factor,
            configs: configs.clone(),
        })
        .collect();
    let results = create_topics(&cluster, &topics, arguments.dry_run).await?;
    let mut rows = Vec::new();
    let mut failure = None;
    for (name, result) in &results {
        match result {
            Ok(created) => rows.push(Created {
                topic: name,
                status: if arguments.dry_run {
                    "could be created"
                } else {
                    "created"
                },
                partitions: created.partitions,
                replication_factor: created.replication_factor,
            }),
            Err(refusal)
                if arguments.if_not_exists && refusal.is(ErrorCode::TopicAlreadyExists) =>
            {
                rows.push(Created {
                    topic: name,
                    status: "exists",
                    partitions: None,
                    replication_factor: None,
                });
            }
            Err(refusal) => {
                let error = anyhow!(refusal.clone());
                failure.get_or_insert(error.context(format!("cannot create topic '{name}'")));
            }
        }
    }
    if session.json {
        output::json(&rows)?;
    } else {
        for row in &rows {
            let partitions = row.partitions.and_then(|count| usize::try_from(count).ok());
            let with = partitions.map(|count| format!(" with {}", counted(count, "partition")));
            output::line(&format!(
                "{} {}{}",
                row.topic,
                row.status,
                with.unwrap_or_default()
            ))?;
        }
    }
    failure.map_or(Ok(()), Err)
}
