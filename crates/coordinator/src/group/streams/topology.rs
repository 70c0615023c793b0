//! The topology of a streams application as its members declare it.
//!
//! After `StreamsTopology.java` and `StreamsGroupTopologyValue.json`. Equality is of everything declared, in order: a
//! member whose topology of the same epoch differs is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use types::TopicName;

/// Names a subtopology within its topology.
pub type SubtopologyId = Arc<str>;

/// What a group of members runs: subtopologies, and the topics between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsTopology {
    /// Counts changes of the topology; never negative in a group.
    pub epoch: i32,
    /// The subtopologies, by id.
    pub subtopologies: BTreeMap<SubtopologyId, Subtopology>,
}

/// A part of the topology that shares no state with the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subtopology {
    /// Topics it reads that the application does not make.
    pub source_topics: Vec<TopicName>,
    /// Patterns of such topics. Kafka 4.2 refuses them in requests, but its records have them.
    pub source_topic_regex: Vec<Arc<str>>,
    /// Topics that keep its state.
    pub state_changelog_topics: Vec<InternalTopic>,
    /// Topics it writes for other subtopologies.
    pub repartition_sink_topics: Vec<TopicName>,
    /// Topics it reads that other subtopologies write.
    pub repartition_source_topics: Vec<InternalTopic>,
    /// Topics that must have equally many partitions.
    pub copartition_groups: Vec<CopartitionGroup>,
}

/// A topic that the application makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalTopic {
    /// Its name.
    pub name: TopicName,
    /// Its number of partitions; zero where it follows from other topics.
    pub partitions: i32,
    /// Its replication factor; zero is the broker's default.
    pub replication_factor: i16,
    /// Its settings.
    pub configs: Vec<(Arc<str>, Arc<str>)>,
}

/// Topics, by their positions in the subtopology, that must have equally many partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopartitionGroup {
    /// Positions in [`Subtopology::source_topics`].
    pub source_topics: Vec<i16>,
    /// Positions in [`Subtopology::source_topic_regex`].
    pub source_topic_regex: Vec<i16>,
    /// Positions in [`Subtopology::repartition_source_topics`].
    pub repartition_source_topics: Vec<i16>,
}

impl StreamsTopology {
    /// All topics that tasks read or keep state in.
    pub(crate) fn required_topics(&self) -> BTreeSet<&TopicName> {
        self.subtopologies
            .values()
            .flat_map(|subtopology| {
                let changelogs = subtopology.state_changelog_topics.iter();
                subtopology
                    .input_topics()
                    .chain(changelogs.map(|topic| &topic.name))
            })
            .collect()
    }

    /// The subtopology that reads a topic. Where several do, which a valid topology rules out, the last by id.
    pub(crate) fn reader_of(&self, topic: &TopicName) -> Option<&SubtopologyId> {
        let mut subtopologies = self.subtopologies.iter().rev();
        subtopologies
            .find(|(_, subtopology)| subtopology.input_topics().any(|input| input == topic))
            .map(|(id, _)| id)
    }
}

impl Subtopology {
    /// The topics whose partitions make the tasks.
    pub(crate) fn input_topics(&self) -> impl Iterator<Item = &TopicName> {
        let repartition = self.repartition_source_topics.iter();
        self.source_topics
            .iter()
            .chain(repartition.map(|topic| &topic.name))
    }
}
