//! How far a task is in each of its sources.
//!
//! Invariants: a position is written in the same transaction as what was made of the records before it, so it is the truth about
//! what was done; a topic is known by its id, so that one that was made anew under the same name is another. How places are written
//! never changes.

use std::collections::BTreeMap;

use client::Cluster;
use protocol::Uuid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::control::record::{self, Position};
use crate::control::{StoreError, Time};

/// Whose positions they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The environment.
    pub environment: String,
    /// The pipeline.
    pub pipeline: String,
    /// The part of it.
    pub task: &'static str,
    /// The version that runs.
    pub version: u32,
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
    /// No place of an input, but something else that is kept with the positions. No input has an empty name.
    pub(crate) fn kept(place: &str) -> Self {
        Self {
            input: String::new(),
            place: place.to_owned(),
        }
    }

    /// Whether it is no place of an input.
    pub(crate) fn is_kept(&self) -> bool {
        self.input.is_empty()
    }

    /// A partition of a topic.
    pub fn partition(input: &str, topic: Uuid, partition: i32) -> Self {
        Self {
            input: input.to_owned(),
            place: format!("topic:{topic}:{partition}"),
        }
    }

    /// Whether it is a partition of this topic.
    pub fn is_of_topic(&self, input: &str, topic: Uuid) -> bool {
        let rest = self.place.strip_prefix("topic:");
        let rest = rest.and_then(|rest| rest.strip_prefix(&topic.to_string()));
        self.input == input && rest.is_some_and(|rest| rest.starts_with(':'))
    }

    /// A file.
    pub fn file(input: &str, path: &str) -> Self {
        Self {
            input: input.to_owned(),
            place: format!("file:{path}"),
        }
    }

    /// The path, if it is a file of this input.
    pub fn path(&self, input: &str) -> Option<&str> {
        let path = self.place.strip_prefix("file:");
        path.filter(|_| self.input == input)
    }

    /// A table, or a query.
    pub fn table(input: &str, table: &str) -> Self {
        Self {
            input: input.to_owned(),
            place: format!("table:{table}"),
        }
    }
}

/// Where a task is in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPosition {
    /// The name of the topic, for people.
    pub topic: String,
    /// The offset that is read next.
    pub next: i64,
    /// The database that has rows of it and knows better where it goes on. Kept before the first of them is written: from then on the
    /// database has to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_to: Option<String>,
}

impl PartitionPosition {
    /// The position before an offset, as it is kept.
    pub(crate) fn kept(topic: &str, next: i64) -> serde_json::Value {
        Self::written(topic, next, None)
    }

    /// The same, with the database that it is written to.
    pub(crate) fn written(topic: &str, next: i64, to: Option<&str>) -> serde_json::Value {
        serde_json::json!(Self {
            topic: topic.to_owned(),
            next,
            written_to: to.map(str::to_owned),
        })
    }
}

impl Owner {
    /// The key and the value of a position's record; without a position it is forgotten.
    pub fn record(
        &self,
        source: &Source,
        position: Option<serde_json::Value>,
        now_ms: i64,
    ) -> (Vec<u8>, Option<Vec<u8>>) {
        let is_kept = position.is_some();
        let position = Position {
            env: self.environment.clone(),
            pipeline: self.pipeline.clone(),
            task: self.task.to_owned(),
            input: source.input.clone(),
            place: source.place.clone(),
            position: position.unwrap_or_default(),
            version: self.version,
            time: Time::from_ms(now_ms),
        };
        let key = position.key().bytes();
        (key, is_kept.then(|| record::write(&position)))
    }
}

/// The positions of a task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Positions(pub BTreeMap<Source, serde_json::Value>);

/// A position is none of its source.
#[derive(Debug, thiserror::Error)]
#[error(
    "the position of {input} at {place} cannot be read: a later version of Watertable wrote it, or it is damaged"
)]
pub struct PositionFault {
    input: String,
    place: String,
    #[source]
    fault: serde_json::Error,
}

impl Positions {
    /// Reads those of a task, whose transactional id was taken over before.
    ///
    /// # Errors
    /// The topic cannot be read, or one of them cannot be.
    pub async fn of(cluster: &Cluster, owner: &Owner) -> Result<Self, StoreError> {
        let Owner {
            environment,
            pipeline,
            task,
            ..
        } = owner;
        let read = crate::control::positions(cluster, environment, pipeline, task).await?;
        let each = read.into_iter().map(|((input, place), kept)| {
            let source = Source { input, place };
            (source, kept.position)
        });
        Ok(Self(each.collect()))
    }

    /// Where the task is in a partition; `None` if it has not begun there.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn partition(&self, source: &Source) -> Result<Option<i64>, PositionFault> {
        let position = self.read::<PartitionPosition>(source)?;
        Ok(position.map(|position| position.next))
    }

    /// Takes the position of a partition from another where that is later.
    pub(crate) fn keep_later(&mut self, other: &Self) -> Result<(), PositionFault> {
        let sources: Vec<_> = self.0.keys().cloned().collect();
        for source in sources {
            if other.partition(&source)? > self.partition(&source)?
                && let Some(later) = other.0.get(&source)
            {
                self.0.insert(source, later.clone());
            }
        }
        Ok(())
    }

    /// Where the task is in a source.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read<T: DeserializeOwned>(&self, source: &Source) -> Result<Option<T>, PositionFault> {
        let Some(position) = self.0.get(source) else {
            return Ok(None);
        };
        let read = T::deserialize(position);
        read.map(Some).map_err(|fault| PositionFault {
            input: source.input.clone(),
            place: source.place.clone(),
            fault,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_known_by_its_id() {
        let source = Source::partition("raw", Uuid::from(7), 3);
        assert!(source.is_of_topic("raw", Uuid::from(7)));
        assert!(!source.is_of_topic("raw", Uuid::from(8)));
        assert!(!source.is_of_topic("other", Uuid::from(7)));
        let position = PartitionPosition {
            topic: "in".to_owned(),
            next: 9,
            written_to: None,
        };
        let position = serde_json::json!(position);
        let positions = Positions(BTreeMap::from([(source.clone(), position)]));
        assert_eq!(positions.partition(&source).unwrap(), Some(9));
        let other = Source::partition("raw", Uuid::from(8), 3);
        assert_eq!(positions.partition(&other).unwrap(), None);
    }

    #[test]
    fn a_position_that_cannot_be_read_is_an_error_and_no_beginning() {
        let source = Source::file("raw", "data/a:b.csv");
        assert_eq!(source.path("raw"), Some("data/a:b.csv"));
        assert_eq!(source.path("other"), None);
        let position = serde_json::json!({"next": "nine"});
        let positions = Positions(BTreeMap::from([(source.clone(), position)]));
        assert!(positions.partition(&source).is_err());
    }
}
