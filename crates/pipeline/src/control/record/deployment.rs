//! What was done to a pipeline, and what is asked of those who run it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::control::{Key, Time};

/// What was done to a pipeline. Those who run pipelines follow the log of deployments: it is the only way to ask them for
/// something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Names it. The same plan gives the same, so that one which was applied is known again.
    pub id: String,
    /// The environment.
    pub env: String,
    /// The pipeline.
    pub pipeline: String,
    /// What was done.
    pub action: Action,
    /// The version that ran before, if any did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_version: Option<u32>,
    /// The version that runs from now on; of what changes none, the one that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_version: Option<u32>,
    /// What kind of change it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// Where reading goes on: of a rollback that goes back, where it begins again; of a cut, where the old version ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub positions: Vec<Rewind>,
    /// Of a cut: the deployment that it carries out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Of a pipeline that goes on: records that were deleted before they were read are left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_deleted: bool,
    /// Who did it.
    pub author: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When.
    pub time: Time,
    /// The state that a plan was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
}

impl Deployment {
    /// The key of its record.
    pub fn key(&self) -> Key {
        Key::new([self.env.as_str(), &self.pipeline, &self.id])
    }
}

/// What is done to a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A plan is applied.
    Apply,
    /// A version that ran before runs again.
    Rollback,
    /// It stops at the next commit.
    Pause,
    /// It goes on.
    Resume,
    /// What it is doing stops at the next commit; it stays as it is otherwise.
    Cancel,
    /// It runs once, now.
    Run,
    /// It stops for good.
    Remove,
    /// Written by who runs it: the old version ended here, and the new one goes on.
    Cut,
}

impl Action {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Rollback => "rollback",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Run => "run",
            Self::Remove => "remove",
            Self::Cut => "cut",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What kind of change a new version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// There was none before.
    New,
    /// Nothing of what becomes of a record changes.
    Metadata,
    /// The new version goes on where the old one ends.
    HandOver,
    /// It reads something else, or keeps how far it has read somewhere else.
    SourceChange,
}

impl Class {
    /// The word for it, as plans print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Metadata => "METADATA",
            Self::HandOver => "HAND-OVER",
            Self::SourceChange => "SOURCE CHANGE",
        }
    }
}

/// Where a task stands in one place of an input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rewind {
    /// The task.
    pub task: String,
    /// The input.
    pub input: String,
    /// Where in the input.
    pub place: String,
    /// How far, as the source says it.
    pub position: serde_json::Value,
}
