//! How far a task has read.

use serde::{Deserialize, Serialize};

use crate::control::{Key, Time};

/// How far a task has read one place of an input: a partition, a file, a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The environment.
    pub env: String,
    /// The pipeline.
    pub pipeline: String,
    /// Its task.
    pub task: String,
    /// The input of the pipeline.
    pub input: String,
    /// Where in the input.
    pub place: String,
    /// How far, as the source says it.
    pub position: serde_json::Value,
    /// The version of the pipeline that read so far.
    pub version: u32,
    /// When.
    pub time: Time,
}

impl Position {
    /// The key of its record.
    pub fn key(&self) -> Key {
        Key::new([
            self.env.as_str(),
            &self.pipeline,
            &self.task,
            &self.input,
            &self.place,
        ])
    }
}
