//! What a plan is made from, beside what runs.

use std::collections::{BTreeMap, BTreeSet};

use contract::Contract;
use spec::names::Environment;
use spec::{Connection, Input, Pipeline, Rows, Source};

use crate::control::record::{ColumnRecord, ResolvedInput, SourceRecord};

/// A pipeline as its file wants it, with what the engine and the cluster know of it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The name of its file, for messages.
    pub file: String,
    /// What the file says.
    pub pipeline: Pipeline,
    /// The inputs whose start the file says in so many words.
    pub says_start: BTreeSet<String>,
    /// The query as it is compared: the plan that the engine makes of it. Two texts that do the same are equal.
    pub query: String,
    /// Its inputs, in their order.
    pub inputs: Vec<ResolvedInput>,
    /// What the query gives.
    pub output: Vec<ColumnRecord>,
    /// What is created outside of the cluster, as a schema in a database.
    pub outside: Vec<String>,
}

/// What the cluster has.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// All topics, by name.
    pub topics: BTreeMap<String, TopicFacts>,
    /// The consumer groups that have read a topic, by its name.
    pub groups: BTreeMap<String, BTreeSet<String>>,
}

/// What is known of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicFacts {
    /// Its id: one that is created again has another.
    pub id: Option<String>,
    /// How many partitions it has.
    pub partitions: u32,
    /// Its `cleanup.policy`, if it was looked at.
    pub cleanup: Option<String>,
    /// Its contract, if it has one.
    pub contract: Option<Contract>,
}

impl ResolvedInput {
    /// An input with its columns. `topic_id` is that of its topic, if it is one and is there.
    pub fn of(
        input: &Input,
        environment: &Environment,
        topic_id: Option<String>,
        contract: Option<&Contract>,
        columns: Vec<ColumnRecord>,
    ) -> Self {
        let source = match &input.source {
            Source::Topic(topic) => SourceRecord::Topic {
                topic: environment.name(&topic.name),
                topic_id,
            },
            Source::Files(files) => SourceRecord::Files {
                path: files.path.clone(),
            },
            Source::Postgres(postgres) => SourceRecord::Postgres {
                connection: connection(&postgres.connection),
                table: match &postgres.rows {
                    Rows::Table(table) => table.clone(),
                    Rows::Query(query) => query.clone(),
                },
            },
        };
        Self {
            name: input.name.clone(),
            source,
            columns,
            contract: contract.map(Contract::to_string),
        }
    }
}

/// How a database is reached, without what is secret.
pub(super) fn connection(connection: &Connection) -> String {
    match connection {
        Connection::Secret(name) => name.to_string(),
        Connection::Url(url) => url.clone(),
    }
}
