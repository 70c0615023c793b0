//! [`WriteError`]: why the broker did not take what was written.

use types::TopicName;

/// The broker's reasons, in its own words.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why something was not written, made or dropped.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is no such topic.
    #[error("relation \"{topic}\" does not exist")]
    NoTopic {
        /// The name.
        topic: TopicName,
    },
    /// There is one already.
    #[error("relation \"{topic}\" already exists")]
    TopicExists {
        /// The name.
        topic: TopicName,
    },
    /// The broker does not make such a topic: its name, its settings or its partitions are wrong.
    #[error("cannot create topic \"{topic}\"")]
    Definition {
        /// The name.
        topic: TopicName,
        /// What is wrong.
        #[source]
        source: Cause,
    },
    /// A record is larger than its topic takes.
    #[error("a record is larger than topic \"{topic}\" takes")]
    TooLarge {
        /// The topic.
        topic: TopicName,
        /// What the broker says.
        #[source]
        source: Cause,
    },
    /// The broker does not take a record for what is in it.
    #[error("topic \"{topic}\" does not take a record")]
    Record {
        /// The topic.
        topic: TopicName,
        /// What is wrong.
        #[source]
        source: Cause,
    },
    /// The broker does not allow it.
    #[error("permission denied for topic \"{topic}\"")]
    Denied {
        /// The topic.
        topic: TopicName,
        /// What the broker says.
        #[source]
        source: Cause,
    },
    /// The broker ended the transaction: it was open for too long.
    #[error("the transaction was ended by the broker")]
    Expired {
        /// What the broker says.
        #[source]
        source: Cause,
    },
    /// The broker cannot do it now. Nothing of the statement counts.
    #[error("could not {attempted}")]
    Failed {
        /// What was attempted.
        attempted: &'static str,
        /// What happened.
        #[source]
        source: Cause,
    },
    /// The broker was not heard of again after it was asked.
    #[error("could not find out whether what was written counts")]
    Unknown {
        /// What happened.
        #[source]
        source: Cause,
    },
}

impl WriteError {
    /// What to do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoTopic { .. } => Some("\\dt lists the topics; CREATE TABLE makes one."),
            Self::TopicExists { .. } => Some("Choose another name, or CREATE TABLE IF NOT EXISTS."),
            Self::Definition { .. } => Some(
                "Settings are written WITH (partitions = 3, \"cleanup.policy\" = 'compact'), by the names of Kafka's topic settings.",
            ),
            Self::TooLarge { .. } => {
                Some("The setting max.message.bytes of the topic says how large they may be.")
            }
            Self::Expired { .. } => {
                Some("Write in smaller transactions, and end them soon: readers wait for them.")
            }
            Self::Failed { .. } => Some("Nothing was written; the same can be tried again."),
            Self::Unknown { .. } => {
                Some("Look whether the records are there before writing them again.")
            }
            Self::Record { .. } | Self::Denied { .. } => None,
        }
    }
}
