//! A version of a pipeline.

use contract::{Column, DataType};
use serde::{Deserialize, Serialize};
use spec::{File, Pipeline, Problem, Surroundings};

use crate::control::{Key, Time};

/// A version of a pipeline, with what was known of its inputs when it was planned. Everything that runs it is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelineRecord {
    /// The environment.
    pub env: String,
    /// The name.
    pub pipeline: String,
    /// Counted from 1, never used again.
    pub version: u32,
    /// Whether it runs.
    pub state: PipelineState,
    /// What tells versions that do the same from those that do not.
    pub fingerprint: String,
    /// The file, as canonical JSON.
    pub spec: String,
    /// What it reads, in the order of its inputs.
    pub resolved: Vec<ResolvedInput>,
    /// What its query gives.
    pub output: Vec<ColumnRecord>,
    /// The query as it is compared.
    #[serde(default)]
    pub query: String,
    /// The deployment that made it what it is now.
    pub deployment: String,
    /// Who applied it.
    pub author: String,
    /// The commit of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it became what it is now.
    pub time: Time,
}

impl PipelineRecord {
    /// The key of what runs.
    pub fn current_key(&self) -> Key {
        Key::current(&self.env, &self.pipeline)
    }

    /// The key under which the version is kept.
    pub fn version_key(&self) -> Key {
        Key::version(&self.env, &self.pipeline, self.version)
    }

    /// What the file said.
    ///
    /// # Errors
    /// A later version of the format wrote it.
    pub fn pipeline(&self) -> Result<Pipeline, Vec<Problem>> {
        let name = format!("{}@{}", self.pipeline, self.version);
        let file = File::read(&name, self.spec.as_bytes(), &Surroundings::NONE)?;
        Ok(file.pipeline)
    }

    /// The columns of the output, if their types are known here.
    pub fn output_columns(&self) -> Option<Vec<Column>> {
        columns(&self.output)
    }
}

/// Whether a pipeline runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PipelineState {
    /// It does.
    Running,
    /// It is held until somebody resumes it.
    Paused,
    /// It does not any more; its versions are kept.
    Removed,
}

impl PipelineState {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Removed => "removed",
        }
    }
}

/// An input, as it was found when the version was planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedInput {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(flatten)]
    pub source: SourceRecord,
    /// Its columns.
    pub columns: Vec<ColumnRecord>,
    /// How its bytes are read, as the text of a contract, where a topic has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
}

impl ResolvedInput {
    /// The columns, if their types are known here.
    pub fn columns(&self) -> Option<Vec<Column>> {
        columns(&self.columns)
    }
}

/// What tells an input from another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SourceRecord {
    /// A topic.
    Topic {
        /// Its name, with the environment's prefix.
        topic: String,
        /// Its id, if it was there: one that is created again has another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topic_id: Option<String>,
    },
    /// Files.
    Files {
        /// Where, with its patterns.
        path: String,
    },
    /// A database.
    Postgres {
        /// Its URL without a password, or the name of the secret that has it.
        connection: String,
        /// The table, or the query.
        table: String,
    },
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ColumnRecord {
    /// Its name.
    pub name: String,
    /// The name of its type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether it has to be there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_null: bool,
}

impl From<&Column> for ColumnRecord {
    fn from(column: &Column) -> Self {
        Self {
            name: column.name.clone(),
            data_type: column.data_type.to_string(),
            not_null: !column.nullable,
        }
    }
}

fn columns(records: &[ColumnRecord]) -> Option<Vec<Column>> {
    let column = |record: &ColumnRecord| {
        let data_type: DataType = record.data_type.parse().ok()?;
        let column = Column::new(record.name.clone(), data_type);
        Some(if record.not_null {
            column.not_null()
        } else {
            column
        })
    };
    records.iter().map(column).collect()
}
