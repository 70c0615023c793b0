//! The records of the control topics: one object of JSON each, with `format: 1`.
//!
//! Invariants: members are added and never change their meaning, and a reader leaves out those it does not know; what cannot be
//! read that way gets another `format`, and a reader refuses one that it does not know, because it would act on half of what was
//! said. Nothing in a record is a secret: a pipeline has their names only.

mod deployment;
mod history;
mod pipeline;
mod position;

pub use deployment::{Action, Class, Deployment, Rewind};
pub use history::{CheckResult, Level, LogLine, Run, RunState, Then};
pub use pipeline::{ColumnRecord, PipelineRecord, PipelineState, ResolvedInput, SourceRecord};
pub use position::Position;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The form of records.
pub const FORMAT: u32 = 1;

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is of a later version.
    #[error(
        "has format {found}, and this version of Watertable reads format {FORMAT}: a later version wrote it; use that one"
    )]
    Later {
        /// The format that it has.
        found: u32,
    },
    /// It is none.
    #[error("is no record of this topic")]
    Malformed(#[source] serde_json::Error),
    /// It is neither the value nor the key of one.
    #[error("has a key that no record of this topic has")]
    Key,
}

/// What stands in front.
#[derive(Deserialize)]
struct Front {
    format: u32,
}

/// A record with its form.
#[derive(Serialize)]
struct WithFormat<'a, T> {
    format: u32,
    #[serde(flatten)]
    record: &'a T,
}

/// Reads the value of a record.
///
/// # Errors
/// It is of a later version, or none at all.
pub fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, RecordError> {
    let front: Front = serde_json::from_slice(value).map_err(RecordError::Malformed)?;
    if front.format != FORMAT {
        return Err(RecordError::Later {
            found: front.format,
        });
    }
    serde_json::from_slice(value).map_err(RecordError::Malformed)
}

/// The value of a record.
pub fn write<T: Serialize>(record: &T) -> Vec<u8> {
    let format = FORMAT;
    // Records are structs of texts and numbers, all of which can be written.
    serde_json::to_vec(&WithFormat { format, record }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Time;

    #[test]
    fn what_a_later_version_adds_is_left_out_and_what_it_changes_is_refused() {
        let position = Position {
            env: "dev".to_owned(),
            pipeline: "a".to_owned(),
            task: "main".to_owned(),
            input: "in".to_owned(),
            place: "0".to_owned(),
            position: serde_json::json!({"offset": 7}),
            version: 3,
            time: Time::from_ms(0),
        };
        let text = String::from_utf8(write(&position)).unwrap();
        assert_eq!(
            text,
            r#"{"format":1,"env":"dev","pipeline":"a","task":"main","input":"in","place":"0","position":{"offset":7},"version":3,"time":"1970-01-01T00:00:00.000Z"}"#
        );
        let added = text.replace("\"env\"", "\"mood\":[1],\"env\"");
        assert_eq!(read::<Position>(added.as_bytes()).unwrap(), position);
        let later = text.replace("\"format\":1", "\"format\":2");
        let error = read::<Position>(later.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("format 2"), "{error}");
        for other in ["", "{}", "[]", "{\"format\":1}"] {
            let error = read::<Position>(other.as_bytes()).unwrap_err();
            assert!(matches!(error, RecordError::Malformed(_)), "{error:?}");
        }
    }
}
