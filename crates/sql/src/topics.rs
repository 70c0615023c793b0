//! [`Topics`]: what this crate needs to know of the broker.
//!
//! The binary's composition root implements it over the broker's metadata and logs, so that neither crate depends on the
//! other. A topic's id is its identity: one that was created again under an old name is another topic.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use storage::PartitionLog;
use types::{PartitionIndex, TopicId, TopicName};

/// The topics of a broker as of now. Called from threads that may block on the disk.
pub trait Topics: Debug + Send + Sync {
    /// The names of all topics, internal ones too, in no order.
    fn names(&self) -> Vec<TopicName>;

    /// The topic of this name; `None` if there is none.
    ///
    /// # Errors
    /// There is one, but a log of it cannot be had.
    fn topic(&self, name: &str) -> Result<Option<Topic>, TopicError>;
}

/// A topic and where its records are.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// Its identity.
    pub id: TopicId,
    /// Its partitions in ascending order.
    pub partitions: Vec<Partition>,
    /// The settings that were made for this topic, by Kafka's names.
    pub settings: BTreeMap<String, String>,
}

/// A partition of a topic.
#[derive(Clone, Debug)]
pub struct Partition {
    /// Its number.
    pub index: PartitionIndex,
    /// Its records.
    pub log: Arc<dyn PartitionLog>,
}

/// Why the records of a topic cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// The log of a partition could not be opened.
    #[error("could not open the log of topic \"{topic}\", partition {partition}")]
    Log {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionIndex,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another broker leads it.
    #[error("topic \"{topic}\", partition {partition}, is led by another broker")]
    NotLeader {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionIndex,
    },
}

/// Whether a topic belongs to the broker itself: found by its name, but not listed.
pub(crate) fn is_internal(name: &str) -> bool {
    name.starts_with("__")
}
