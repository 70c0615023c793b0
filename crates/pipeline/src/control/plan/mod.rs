//! [`Plan`]: what changes when the files of a folder are what runs in an environment.
//!
//! [`diff`] makes one from three things: what runs ([`State`]), what the files want ([`Wanted`]), and what the cluster has
//! ([`Facts`]). Invariants: it is a pure function of them; a plan says everything that applying it does, and applying does nothing
//! that it does not say; what cannot be done is told before anything is done, all of it at once. A plan has no secrets.
//!
//! [`State`]: super::State

mod classify;
mod diff;
mod fingerprint;
pub mod inputs;
mod prepare;
mod problem;
mod rules;
mod text;
mod topics;
mod wanted;

pub use diff::{Options, diff};
pub use fingerprint::{SEMANTICS_EPOCH, fingerprint};
pub use prepare::{Refused, prepare, topics_of};
pub use problem::{PlanFault, PlanProblem};
pub use wanted::{Facts, TopicFacts, Wanted};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::record::{Class, PipelineRecord};
use super::state::hex;

/// What changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The form of plans.
    pub format: u32,
    /// The environment.
    pub environment: String,
    /// What the plan was made from: it is applied to nothing else.
    pub base: String,
    /// What changes, by the name of the pipeline.
    pub pipelines: Vec<PipelinePlan>,
    /// The pipelines that stay as they are.
    pub unchanged: Vec<String>,
    /// The pipelines that run and have no file: they stay as they are, too.
    pub without_file: Vec<String>,
}

/// The form of plans.
pub const PLAN_FORMAT: u32 = 1;

/// What changes of one pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelinePlan {
    /// Its name.
    pub pipeline: String,
    /// What happens to it.
    pub change: ChangeKind,
    /// What kind of change it is; none of one that is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// The version that runs, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_version: Option<u32>,
    /// What is different, in a few words each.
    pub says: Vec<String>,
    /// Columns of what it writes that are others than before.
    pub output: Vec<String>,
    /// Whether readers of what it writes may find something missing.
    pub breaks_readers: bool,
    /// Where reading begins in what was not read before.
    pub begins: Vec<String>,
    /// Topics that are created or changed for it.
    pub topics: Vec<TopicPlan>,
    /// What is created outside of the cluster.
    pub outside: Vec<String>,
    /// Who reads what it writes.
    pub readers: Vec<Reader>,
    /// What the change would have done to recent records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_test: Option<BackTest>,
    /// What runs afterwards. Who applies it, when, and under which deployment is not in it yet.
    pub record: PipelineRecord,
}

/// What happens to a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It runs for the first time, or again after it was removed.
    New,
    /// It runs in a new version.
    Changed,
    /// The same, and nothing but its checks is different.
    Checks,
    /// It does not run any more.
    Removed,
}

/// A topic that is created or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPlan {
    /// Its name.
    pub name: String,
    /// How many partitions it is created with; nothing if it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<u32>,
    /// Settings that it gets.
    pub settings: Vec<(String, String)>,
    /// What is said of it.
    pub says: String,
}

/// Who reads a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reader {
    /// A pipeline of the environment.
    Pipeline(String),
    /// A consumer group.
    Group(String),
}

/// What a change would have done to recent records, if it had been there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackTest {
    /// How many records were looked at.
    pub records: u64,
    /// How many of them are dead letters of the version that runs.
    pub dead_before: u64,
    /// How many of them would be dead letters of the new one.
    pub dead_after: u64,
}

impl Plan {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.pipelines.is_empty()
    }

    /// Names the plan: the same plan gives the same name.
    pub fn id(&self) -> String {
        hex(&Sha256::digest(self.to_json()))
    }

    /// The text of its file.
    pub fn to_json(&self) -> String {
        // It has texts and numbers, all of which can be written.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}
