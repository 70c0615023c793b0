//! How far a task is in each of its sources, as it is kept in the topic of positions.
//!
//! Invariants: a position is written in the same transaction as what was made of the records before it, so it is the truth about
//! what was done; a topic is known by its id, so that one that was made anew under the same name is another. How keys and values are
//! written never changes but by adding members.

use std::collections::BTreeMap;

use protocol::Uuid;
use serde::{Deserialize, Serialize};

/// The topic of positions.
pub const POSITIONS: &str = "__positions";

/// Whose positions they are: the first parts of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The environment.
    pub environment: String,
    /// The pipeline.
    pub pipeline: String,
    /// The part of it.
    pub task: &'static str,
}

/// In which source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The input.
    pub input: String,
    /// The place in it: a partition, a file, a table.
    pub place: String,
}

impl Source {
    /// A partition of a topic.
    pub fn partition(input: &str, topic: Uuid, partition: i32) -> Self {
        Self {
            input: input.to_owned(),
            place: format!("topic:{topic}:{partition}"),
        }
    }

    /// A file.
    pub fn file(input: &str, path: &str) -> Self {
        Self {
            input: input.to_owned(),
            place: format!("file:{path}"),
        }
    }

    /// The path, if it is a file.
    pub fn path(&self) -> Option<&str> {
        self.place.strip_prefix("file:")
    }

    /// A table, or a query.
    pub fn table(input: &str, table: &str) -> Self {
        Self {
            input: input.to_owned(),
            place: format!("table:{table}"),
        }
    }

    /// The key of its record.
    pub fn key(&self, owner: &Owner) -> Vec<u8> {
        let Owner {
            environment,
            pipeline,
            task,
        } = owner;
        let Self { input, place } = self;
        serde_json::json!([environment, pipeline, task, input, place])
            .to_string()
            .into_bytes()
    }

    /// What a key says, if it is one of the owner's.
    pub fn of_key(key: &[u8], owner: &Owner) -> Option<Self> {
        let (environment, pipeline, task, input, place): (String, String, String, String, String) =
            serde_json::from_slice(key).ok()?;
        let is_owners = environment == owner.environment
            && pipeline == owner.pipeline
            && task == owner.task;
        is_owners.then_some(Self { input, place })
    }
}

/// The value of a record: the position, and who wrote it when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The form of this record.
    pub format: u32,
    /// The version of the pipeline.
    pub version: u32,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
    /// The position; its form is that of the source.
    pub position: serde_json::Value,
}

/// The form that is written.
const FORMAT: u32 = 1;

impl Kept {
    /// A position as it is written.
    pub fn new(position: serde_json::Value, version: u32, time_ms: i64) -> Self {
        Self {
            format: FORMAT,
            version,
            time_ms,
            position,
        }
    }

    /// The value of its record.
    pub fn value(&self) -> Vec<u8> {
        // Texts and numbers are always JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Where a task is in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPosition {
    /// The name of the topic, for people.
    pub topic: String,
    /// The offset that is read next.
    pub next: i64,
}

/// The positions of a task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Positions(pub BTreeMap<Source, serde_json::Value>);

/// A record of the topic of positions cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the position {key} was written by a later version of Watertable, or is damaged: {fault}; start the version that wrote it"
)]
pub struct PositionFault {
    /// Its key.
    pub key: String,
    /// What is wrong with it.
    pub fault: String,
}

impl Positions {
    /// Takes in a record of the topic, in the order of the log.
    ///
    /// # Errors
    /// It is one of the owner's and cannot be read: then nobody knows how far the task is.
    pub fn apply(
        &mut self,
        owner: &Owner,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), PositionFault> {
        let Some(source) = Source::of_key(key, owner) else {
            return Ok(());
        };
        let Some(value) = value else {
            self.0.remove(&source);
            return Ok(());
        };
        let fault = |fault: String| PositionFault {
            key: String::from_utf8_lossy(key).into_owned(),
            fault,
        };
        let kept: Kept = serde_json::from_slice(value).map_err(|error| fault(error.to_string()))?;
        if kept.format != FORMAT {
            return Err(fault(format!("its form is {}", kept.format)));
        }
        self.0.insert(source, kept.position);
        Ok(())
    }

    /// Where the task is in a partition; `None` if it has not begun there.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn partition(&self, source: &Source) -> Result<Option<i64>, PositionFault> {
        self.read::<PartitionPosition>(source)
            .map(|position| position.map(|position| position.next))
    }

    /// Where the task is in a source.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read<T: serde::de::DeserializeOwned>(
        &self,
        source: &Source,
    ) -> Result<Option<T>, PositionFault> {
        let Some(position) = self.0.get(source) else {
            return Ok(None);
        };
        let read = serde_json::from_value(position.clone());
        read.map(Some).map_err(|error| PositionFault {
            key: format!("{} {}", source.input, source.place),
            fault: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner {
            environment: "prod".to_owned(),
            pipeline: "trips".to_owned(),
            task: "main",
        }
    }

    #[test]
    fn the_last_record_of_a_source_is_its_position() {
        let source = Source::partition("raw", Uuid::from(7), 3);
        let mut positions = Positions::default();
        for next in [5, 9] {
            let topic = "in".to_owned();
            let position = serde_json::to_value(PartitionPosition { topic, next }).unwrap();
            let value = Kept::new(position, 1, 0).value();
            let key = source.key(&owner());
            positions.apply(&owner(), &key, Some(&value)).unwrap();
        }
        assert_eq!(positions.partition(&source), Ok(Some(9)));
        let other = Source::partition("raw", Uuid::from(8), 3);
        assert_eq!(positions.partition(&other), Ok(None));
        let key = source.key(&owner());
        positions.apply(&owner(), &key, None).unwrap();
        assert_eq!(positions, Positions::default());
    }

    #[test]
    fn what_others_wrote_is_left_alone_and_what_is_ours_has_to_be_read() {
        let source = Source::file("raw", "data/a:b.csv");
        assert_eq!(source.path(), Some("data/a:b.csv"));
        let mut positions = Positions::default();
        let other = Owner {
            task: "land",
            ..owner()
        };
        for key in [&source.key(&other)[..], b"no json", br#"["prod"]"#] {
            positions.apply(&owner(), key, Some(b"no json")).unwrap();
        }
        let key = source.key(&owner());
        for value in ["no json", r#"{"format":2,"version":1,"time_ms":0,"position":{}}"#] {
            let applied = positions.apply(&owner(), &key, Some(value.as_bytes()));
            assert!(applied.is_err(), "{value}");
        }
    }
}
