//! How a pipeline is written: as JSON for what is stored and compared, as YAML for people.
//!
//! Invariant: both are files of the format, and reading one gives the pipeline that was written. Keys are in the order of the tables
//! and what is the default is left out, so one pipeline has one text.

mod yaml;

use crate::pipeline::{self, Pipeline};
use crate::value::Value;

/// Keys that change nothing of what runs, or whose meaning is compared in another form.
const NOT_COMPARED: [&str; 4] = ["description", "owner", "sql", "tests"];

impl Pipeline {
    /// One line of JSON.
    pub fn to_json(&self) -> String {
        json(&pipeline::write(self))
    }

    /// The same without what changes nothing of what runs, and without the SQL: two of the same text differ at most in their
    /// queries, which are compared by their plans.
    pub fn to_compared_json(&self) -> String {
        let Value::Map(mut members) = pipeline::write(self) else {
            return String::new();
        };
        members.retain(|(key, _)| !NOT_COMPARED.contains(&key.as_str()));
        json(&Value::Map(members))
    }

    /// A file.
    pub fn to_yaml(&self) -> String {
        yaml::document(&pipeline::write(self))
    }
}

/// Values have texts for keys and numbers that are finite, which is all that JSON could refuse.
fn json(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
