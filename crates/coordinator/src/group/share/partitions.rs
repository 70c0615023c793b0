//! Which partitions of a group have a state at the share coordinator.
//!
//! Invariant: a partition is handed to members only when its state is initialized; until the share coordinator has
//! answered, it is initializing, and it is tried again if no answer came.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use types::{PartitionIndex, Timestamp, TopicId, TopicName};

use crate::group::modern::partitions::TopicPartitions;
use crate::group::modern::topics::TopicsImage;

/// The name of a topic that is gone, as Kafka writes it.
const UNKNOWN_TOPIC_NAME: &str = "<UNKNOWN>";

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareStateTopic {
    /// Its name when it was recorded.
    pub name: TopicName,
    /// Which partitions.
    pub partitions: BTreeSet<PartitionIndex>,
}

/// ShareGroupStatePartitionMetadataValue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShareStatePartitions {
    /// The share coordinator was asked to begin their state.
    pub initializing: BTreeMap<TopicId, ShareStateTopic>,
    /// They have a state.
    pub initialized: BTreeMap<TopicId, ShareStateTopic>,
    /// The share coordinator was asked to forget their state.
    pub deleting: BTreeMap<TopicId, TopicName>,
}

/// [`ShareStatePartitions`] with what is not in the log: since when partitions are initializing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KnownStates {
    pub(crate) partitions: ShareStatePartitions,
    /// When the record was applied; all it holds counts from then (`InitMapValue.timestamp`).
    pub(crate) since: Timestamp,
}

impl KnownStates {
    /// Partitions of the subscribed topics that have no state and for which none was asked for lately
    /// (`subscribedTopicsChangeMap`).
    pub(crate) fn missing<'a>(
        &self,
        subscribed: impl IntoIterator<Item = &'a TopicName>,
        topics: &TopicsImage,
        now: Timestamp,
        retry: Duration,
    ) -> TopicPartitions {
        let retry_ms = i64::try_from(retry.as_millis()).unwrap_or(i64::MAX);
        let is_fresh = now.ms().saturating_sub(self.since.ms()) < retry_ms;
        let mut missing = TopicPartitions::new();
        for topic in subscribed
            .into_iter()
            .filter_map(|name| topics.by_name(name.as_str()))
        {
            let has = |of: &BTreeMap<TopicId, ShareStateTopic>, partition| {
                of.get(&topic.id)
                    .is_some_and(|known| known.partitions.contains(&partition))
            };
            for partition in (0..topic.partitions).filter_map(PartitionIndex::new) {
                let asked = is_fresh && has(&self.partitions.initializing, partition);
                if !asked && !has(&self.partitions.initialized, partition) {
                    missing.insert(topic.id, partition);
                }
            }
        }
        missing
    }

    /// Whether the share coordinator has not answered yet for a partition.
    pub(crate) fn waits(&self) -> bool {
        !self.partitions.initializing.is_empty()
    }

    /// Those of `partitions` that wait for a state and have none.
    pub(crate) fn still_initializing(&self, partitions: &TopicPartitions) -> TopicPartitions {
        let initialized = self.assignable();
        let waiting = flat(&self.partitions.initializing);
        partitions
            .iter()
            .filter(|(topic, index)| {
                waiting.contains(*topic, *index) && !initialized.contains(*topic, *index)
            })
            .collect()
    }

    /// Partitions that may be assigned.
    pub(crate) fn assignable(&self) -> TopicPartitions {
        flat(&self.partitions.initialized)
    }
}

impl ShareStatePartitions {
    /// With `asked` initializing (`addInitializingTopicsRecords`).
    pub(crate) fn with_initializing(&self, asked: &TopicPartitions, topics: &TopicsImage) -> Self {
        let mut next = self.clone();
        add(&mut next.initializing, asked, topics);
        next.deleting
            .retain(|topic, _| !next.initializing.contains_key(topic));
        next
    }

    /// With `done` initialized (`initializeShareGroupState`).
    pub(crate) fn with_initialized(&self, done: &TopicPartitions, topics: &TopicsImage) -> Self {
        let mut next = self.without_initializing(done);
        add(&mut next.initialized, done, topics);
        next
    }

    /// The share coordinator refused (`uninitializeShareGroupState`).
    pub(crate) fn without_initializing(&self, refused: &TopicPartitions) -> Self {
        let mut next = self.clone();
        for (topic, partition) in refused.iter() {
            if let Some(known) = next.initializing.get_mut(&topic) {
                known.partitions.remove(&partition);
            }
        }
        next.initializing
            .retain(|_, known| !known.partitions.is_empty());
        next
    }

    /// All states are to go (`shareGroupBuildPartitionDeleteRequest`). Says which; what was left of an earlier attempt
    /// is tried again as long as the topic exists.
    pub(crate) fn deleting_all(&self, topics: &TopicsImage) -> (Self, TopicPartitions) {
        let mut doomed = flat(&self.initialized);
        doomed.extend(&flat(&self.initializing));
        for topic in self.deleting.keys().filter_map(|id| topics.by_id(*id)) {
            doomed.extend_from(every_partition(topic.id, topic.partitions));
        }
        let deleting = doomed
            .topics()
            .map(|(topic, _)| (topic, name_of(topic, topics)))
            .collect();
        let next = Self {
            deleting,
            ..Self::default()
        };
        (next, doomed)
    }

    /// The states of a topic are to go; `None` if it has none (`sharePartitionsEligibleForOffsetDeletion`).
    pub(crate) fn delete_topic(
        &mut self,
        topic: TopicId,
        topics: &TopicsImage,
    ) -> Option<TopicPartitions> {
        if let Some(known) = self.initialized.remove(&topic) {
            self.deleting.insert(topic, name_of(topic, topics));
            return Some(
                known
                    .partitions
                    .into_iter()
                    .map(|index| (topic, index))
                    .collect(),
            );
        }
        let image = topics.by_id(topic)?;
        self.deleting
            .contains_key(&topic)
            .then(|| every_partition(topic, image.partitions).collect())
    }

    /// Without topics that no longer exist; `None` if all do (`maybeCleanupShareGroupState`).
    pub(crate) fn without_gone_topics(&self, topics: &TopicsImage) -> Option<Self> {
        let exists = |topic: &TopicId| topics.by_id(*topic).is_some();
        let mut next = self.clone();
        next.initializing.retain(|topic, _| exists(topic));
        next.initialized.retain(|topic, _| exists(topic));
        next.deleting.retain(|topic, _| exists(topic));
        (next != *self).then_some(next)
    }
}

fn flat(topics: &BTreeMap<TopicId, ShareStateTopic>) -> TopicPartitions {
    topics
        .iter()
        .flat_map(|(topic, known)| known.partitions.iter().map(|index| (*topic, *index)))
        .collect()
}

fn every_partition(topic: TopicId, count: i32) -> impl Iterator<Item = (TopicId, PartitionIndex)> {
    (0..count)
        .filter_map(PartitionIndex::new)
        .map(move |index| (topic, index))
}

fn add(
    to: &mut BTreeMap<TopicId, ShareStateTopic>,
    partitions: &TopicPartitions,
    topics: &TopicsImage,
) {
    for (topic, indexes) in partitions.topics() {
        let known = to.entry(topic).or_insert_with(|| ShareStateTopic {
            name: name_of(topic, topics),
            partitions: BTreeSet::new(),
        });
        known.partitions.extend(indexes);
    }
}

fn name_of(topic: TopicId, topics: &TopicsImage) -> TopicName {
    topics.by_id(topic).map_or_else(
        || TopicName::new(UNKNOWN_TOPIC_NAME),
        |topic| topic.name.clone(),
    )
}
