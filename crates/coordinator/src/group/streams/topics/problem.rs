//! Why a topology cannot run on the topics there are.
//!
//! After `TopicConfigurationException.java` and `StreamsInvalidTopologyException.java`. A [`TopicProblem`] is told to
//! members as a status, and may go away when topics change; a [`ConfigureError`] refuses the member's request.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use types::TopicName;

use super::super::topology::SubtopologyId;

/// What the topics there are lack. The texts are Kafka's, because members show them to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicProblem {
    /// MISSING_SOURCE_TOPICS.
    MissingSourceTopics(BTreeSet<TopicName>),
    /// MISSING_INTERNAL_TOPICS.
    MissingInternalTopics(BTreeSet<TopicName>),
    /// INCORRECTLY_PARTITIONED_TOPICS: an internal topic exists with another number of partitions.
    UnexpectedPartitionCount {
        /// The topic.
        topic: TopicName,
        /// How many it should have.
        expected: i32,
        /// How many it has.
        found: i32,
    },
    /// INCORRECTLY_PARTITIONED_TOPICS: copartitioned topics with different numbers of partitions.
    DifferentPartitionCounts(BTreeMap<TopicName, i32>),
    /// INCORRECTLY_PARTITIONED_TOPICS: a repartition topic's fixed number does not fit its copartitioned topics.
    FixedPartitionCount {
        /// The topic.
        topic: TopicName,
        /// Its fixed number.
        fixed: i32,
        /// The number of partitions of the others.
        needed: i32,
    },
}

/// Topic names after which a status stops to list them.
const TOPICS_SHOWN_MAX: usize = 3;

fn summary(topics: &BTreeSet<TopicName>) -> String {
    let shown: Vec<&str> = topics
        .iter()
        .take(TOPICS_SHOWN_MAX)
        .map(TopicName::as_str)
        .collect();
    let mut text = shown.join(", ");
    if topics.len() > TOPICS_SHOWN_MAX {
        let more = topics.len() - TOPICS_SHOWN_MAX;
        text.push_str(&format!(" and {more} additional topics"));
    }
    text
}

impl Display for TopicProblem {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingSourceTopics(topics) => {
                write!(formatter, "Source topics {} are missing.", summary(topics))
            }
            Self::MissingInternalTopics(topics) => {
                write!(
                    formatter,
                    "Internal topics are missing: {}",
                    summary(topics)
                )
            }
            Self::UnexpectedPartitionCount {
                topic,
                expected,
                found,
            } => write!(
                formatter,
                "Existing topic {topic} has different number of partitions: expected {expected}, found {found}"
            ),
            Self::DifferentPartitionCounts(counts) => {
                let counts: Vec<String> = counts
                    .iter()
                    .map(|(topic, count)| format!("{topic}={count}"))
                    .collect();
                write!(
                    formatter,
                    "Following topics do not have the same number of partitions: [{{{}}}]",
                    counts.join(", ")
                )
            }
            Self::FixedPartitionCount {
                topic,
                fixed,
                needed,
            } => write!(
                formatter,
                "Number of partitions [{fixed}] of repartition topic [{topic}] doesn't match number of partitions \
                 [{needed}] of the source topic."
            ),
        }
    }
}

/// Why a topology can run on no topics at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigureError {
    /// STREAMS_INVALID_TOPOLOGY.
    #[error(
        "Failed to compute number of partitions for all repartition topics, because a repartition source topic is \
         never used as a sink topic."
    )]
    RepartitionSourceWithoutSink,
    /// STREAMS_INVALID_TOPOLOGY.
    #[error(
        "Failed to compute number of partitions for all repartition topics. There may be loops in the topology that \
         cannot be resolved."
    )]
    UnresolvableLoop,
    /// STREAMS_INVALID_TOPOLOGY.
    #[error("No source topics found for subtopology {0}")]
    NoSourceTopics(SubtopologyId),
    /// UNKNOWN_SERVER_ERROR, as in Kafka: a copartition group names a topic by a position that does not exist.
    #[error("a copartition group of subtopology {0} names a topic that is not there")]
    NoSuchCopartitionedTopic(SubtopologyId),
    /// UNKNOWN_SERVER_ERROR, as in Kafka.
    #[error("topic {topic} cannot have {partitions} partitions")]
    ImpossiblePartitionCount {
        /// The topic.
        topic: TopicName,
        /// The number declared or found.
        partitions: i32,
    },
}
