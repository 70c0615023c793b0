//! What happened: runs, what checks have found, and what those who run pipelines say.

use serde::{Deserialize, Serialize};

use crate::control::{Key, Time};

/// One execution of a scheduled pipeline, or one uninterrupted life of a continuous one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The environment.
    pub env: String,
    /// The pipeline.
    pub pipeline: String,
    /// Names it.
    pub run: String,
    /// The version that ran.
    pub version: u32,
    /// What started it: `schedule`, `continuous`, `once`, `manual`.
    pub trigger: String,
    /// The time it was due, of one that has a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nominal: Option<Time>,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started: Time,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Time>,
    /// Counted from 1.
    pub attempt: u32,
    /// Records that were read.
    #[serde(default)]
    pub rows_in: u64,
    /// Rows that were written.
    #[serde(default)]
    pub rows_out: u64,
    /// Records that became dead letters.
    #[serde(default)]
    pub dead: u64,
    /// Rows that a check left out.
    #[serde(default)]
    pub dropped: u64,
    /// Rows that a check let pass and counted.
    #[serde(default)]
    pub warned: u64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What becomes of the pipeline after it failed; nothing if it goes on as its file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Then>,
    /// What had the version run as it did: the deployment that its record named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
}

/// What becomes of a pipeline after a run that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// It is tried again in a while.
    Retrying,
    /// It waits until somebody does something.
    Held,
}

impl Run {
    /// The key of its record.
    pub fn key(&self) -> Key {
        Key::new([self.env.as_str(), &self.pipeline, &self.run])
    }
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It goes on.
    Running,
    /// All was done.
    Succeeded,
    /// It ended with an error.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// It took too long.
    TimedOut,
    /// It was to stop before it had read all that it was to read, and goes on when the pipeline does.
    Interrupted,
}

impl RunState {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What a check has found in a run or a part of one. It has no values of rows: those are in the dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The environment.
    pub env: String,
    /// The pipeline.
    pub pipeline: String,
    /// The run.
    pub run: String,
    /// The version that ran.
    pub version: u32,
    /// The check, by the reason that its rows are told.
    pub check: String,
    /// `error`, `warn` or `drop`.
    pub severity: String,
    /// Rows that were looked at.
    pub rows: u64,
    /// Rows that failed.
    pub failed: u64,
    /// When.
    pub time: Time,
}

impl CheckResult {
    /// The key of its record.
    pub fn key(&self) -> Key {
        Key::new([self.env.as_str(), &self.pipeline, &self.run, &self.check])
    }
}

/// What somebody who runs a pipeline says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The environment.
    pub env: String,
    /// The pipeline.
    pub pipeline: String,
    /// The version, if one ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The run, if one went on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// How much it matters.
    pub level: Level,
    /// What is said.
    pub message: String,
    /// When.
    pub time: Time,
}

impl LogLine {
    /// The key of its record.
    pub fn key(&self) -> Key {
        Key::new([self.env.as_str(), &self.pipeline])
    }
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For those who look for a cause.
    Debug,
    /// What happens.
    Info,
    /// What somebody should look at.
    Warn,
    /// What failed.
    Error,
}
