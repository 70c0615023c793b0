//! The control topics: what they are created with.
//!
//! Invariant: a topic that is there stays as it is, so creating them again changes nothing, and what somebody has set stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::Cluster;
use client::MetadataError;
use client::admin::{AdminError, NewTopic, create_topics};
use contract::{Column, Contract, DataType, Format};
use protocol::ErrorCode;
use spec::names::internal;

use client::Refusal;

/// The longest record: a pipeline's file with its query, as JSON.
pub(crate) const RECORD_BYTES_MAX: usize = 8 << 20;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Why the control topics are not there.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// The brokers cannot be asked.
    #[error("cannot create the topics of the pipelines")]
    Admin(#[from] AdminError),
    /// A broker refuses one.
    #[error("cannot create the topic '{topic}'")]
    Refused {
        /// Which.
        topic: String,
        /// The broker's answer.
        #[source]
        source: Refusal,
    },
    /// One was created, and no broker leads it.
    #[error("the topic '{topic}' was created and cannot be used")]
    Leaderless {
        /// Which.
        topic: String,
        /// What the brokers say.
        #[source]
        source: MetadataError,
    },
}

/// A topic and what it is created with.
struct Definition {
    name: &'static str,
    settings: Vec<(&'static str, String)>,
    columns: Vec<Column>,
}

/// Creates those of the control topics that are not there, and waits until all can be used.
///
/// # Errors
/// One cannot be created.
pub async fn create(cluster: &Cluster) -> Result<(), TopicsError> {
    let topics: Vec<NewTopic> = definitions().into_iter().map(new_topic).collect();
    for (topic, created) in create_topics(cluster, &topics, false).await? {
        match created {
            Ok(_) => tracing::info!(topic, "created"),
            Err(refusal) if refusal.is(ErrorCode::TopicAlreadyExists) => {}
            Err(source) => return Err(TopicsError::Refused { topic, source }),
        }
    }
    for topic in topics {
        let name = Arc::from(topic.name.as_str());
        let found = cluster.refresh_topic(&name, false).await;
        found.map_err(|source| TopicsError::Leaderless {
            topic: topic.name,
            source,
        })?;
    }
    Ok(())
}

fn new_topic(definition: Definition) -> NewTopic {
    let settings = definition.settings.into_iter();
    let mut configs: BTreeMap<_, _> = settings
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    if let Ok(contract) = Contract::new(Format::Json, definition.columns) {
        configs.insert(contract::SETTING.to_owned(), contract.to_string());
    }
    NewTopic {
        name: definition.name.to_owned(),
        partitions: Some(1),
        replication_factor: None,
        configs,
    }
}

fn definitions() -> [Definition; 6] {
    let compacted = || vec![("cleanup.policy", "compact".to_owned())];
    let kept = |days: u64| ("retention.ms", (days * DAY_MS).to_string());
    let long = ("max.message.bytes", RECORD_BYTES_MAX.to_string());
    // Positions are written again and again: short segments let compaction keep up, and starting to read them quick.
    let short = ("segment.bytes", (16 << 20).to_string());
    [
        Definition {
            name: internal::PIPELINES,
            settings: [compacted(), vec![long]].concat(),
            columns: pipelines(),
        },
        Definition {
            name: internal::DEPLOYMENTS,
            settings: vec![
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", "-1".to_owned()),
                ("retention.bytes", "-1".to_owned()),
            ],
            columns: deployments(),
        },
        Definition {
            name: internal::POSITIONS,
            settings: [compacted(), vec![short.clone()]].concat(),
            columns: positions(),
        },
        Definition {
            name: internal::RUNS,
            settings: vec![
                ("cleanup.policy", "compact,delete".to_owned()),
                kept(30),
                short,
            ],
            columns: runs(),
        },
        Definition {
            name: internal::CHECK_RESULTS,
            settings: vec![("cleanup.policy", "delete".to_owned()), kept(7)],
            columns: check_results(),
        },
        Definition {
            name: internal::LOGS,
            settings: vec![("cleanup.policy", "delete".to_owned()), kept(7)],
            columns: logs(),
        },
    ]
}

use DataType::{BigInt, Int, Json, Text, TimestampTz};

fn columns<const N: usize>(columns: [(&str, DataType); N]) -> Vec<Column> {
    let column = |(name, data_type)| Column::new(name, data_type);
    columns.into_iter().map(column).collect()
}

fn pipelines() -> Vec<Column> {
    columns([
        ("env", Text),
        ("pipeline", Text),
        ("version", Int),
        ("state", Text),
        ("fingerprint", Text),
        ("spec", Text),
        ("resolved", Json),
        ("output", Json),
        ("query", Text),
        ("deployment", Text),
        ("author", Text),
        ("git_commit", Text),
        ("message", Text),
        ("time", TimestampTz),
    ])
}

fn deployments() -> Vec<Column> {
    columns([
        ("id", Text),
        ("env", Text),
        ("pipeline", Text),
        ("action", Text),
        ("from_version", Int),
        ("to_version", Int),
        ("class", Text),
        ("positions", Json),
        ("of", Text),
        ("author", Text),
        ("message", Text),
        ("time", TimestampTz),
        ("base", Text),
    ])
}

fn positions() -> Vec<Column> {
    columns([
        ("env", Text),
        ("pipeline", Text),
        ("task", Text),
        ("input", Text),
        ("place", Text),
        ("position", Json),
        ("version", Int),
        ("time", TimestampTz),
    ])
}

fn runs() -> Vec<Column> {
    columns([
        ("env", Text),
        ("pipeline", Text),
        ("run", Text),
        ("version", Int),
        ("trigger", Text),
        ("nominal", TimestampTz),
        ("state", Text),
        ("started", TimestampTz),
        ("ended", TimestampTz),
        ("attempt", Int),
        ("rows_in", BigInt),
        ("rows_out", BigInt),
        ("dead", BigInt),
        ("dropped", BigInt),
        ("warned", BigInt),
        ("error", Text),
        ("then", Text),
        ("deployment", Text),
    ])
}

fn check_results() -> Vec<Column> {
    columns([
        ("env", Text),
        ("pipeline", Text),
        ("run", Text),
        ("version", Int),
        ("check", Text),
        ("severity", Text),
        ("rows", BigInt),
        ("failed", BigInt),
        ("time", TimestampTz),
    ])
}

fn logs() -> Vec<Column> {
    columns([
        ("env", Text),
        ("pipeline", Text),
        ("version", Int),
        ("run", Text),
        ("task", Text),
        ("level", Text),
        ("message", Text),
        ("time", TimestampTz),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_topic_has_a_contract() {
        for definition in definitions() {
            let topic = new_topic(definition);
            let contract = topic.configs.get(contract::SETTING).unwrap();
            Contract::parse(contract).unwrap();
            assert_eq!(topic.partitions, Some(1));
        }
    }
}
