//! The topics of the cluster as groups see them: names, ids and partition counts.
//!
//! Invariant: an image never changes; by name and by id lead to the same topics. The runtime hands a new one to each
//! shard whenever topics come, go or grow, so a machine never looks anything up outside itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use types::{TopicId, TopicName};

/// A topic as groups see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    /// This life of the topic.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// How many partitions it has, numbered from zero.
    pub partitions: i32,
}

/// All topics at one revision of the metadata. Shared as an `Arc`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsImage {
    revision: u64,
    by_name: BTreeMap<TopicName, TopicImage>,
    names: HashMap<TopicId, TopicName>,
}

impl TopicsImage {
    /// An image of `topics`. Revisions never decrease from one image to the next.
    pub fn new(revision: u64, topics: impl IntoIterator<Item = TopicImage>) -> Self {
        let by_name: BTreeMap<_, _> = topics
            .into_iter()
            .map(|topic| (topic.name.clone(), topic))
            .collect();
        let names = by_name
            .values()
            .map(|topic| (topic.id, topic.name.clone()))
            .collect();
        Self {
            revision,
            by_name,
            names,
        }
    }

    /// The metadata's revision (what Kafka calls the image's version).
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The topic of this name.
    pub fn by_name(&self, name: &str) -> Option<&TopicImage> {
        self.by_name.get(name)
    }

    /// The topic with this id.
    pub fn by_id(&self, id: TopicId) -> Option<&TopicImage> {
        self.by_name(self.names.get(&id)?.as_str())
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &TopicImage> {
        self.by_name.values()
    }

    /// Whether both hold the same topics, at whatever revisions.
    pub fn same_topics(&self, other: &Self) -> bool {
        self.by_name == other.by_name
    }
}

/// The topics as a shard knows them, and since when there are new ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownTopics {
    image: Arc<TopicsImage>,
    /// The revision of the last image with a topic that the one before lacked; `None` before the first image.
    newest: Option<u64>,
}

impl std::ops::Deref for KnownTopics {
    type Target = TopicsImage;

    fn deref(&self) -> &TopicsImage {
        &self.image
    }
}

impl KnownTopics {
    pub(crate) fn new(image: Arc<TopicsImage>) -> Self {
        let newest = Some(image.revision());
        Self { image, newest }
    }

    /// The topics as of now.
    pub(crate) fn image(&self) -> &Arc<TopicsImage> {
        &self.image
    }

    /// Takes up an image, and returns the one before.
    pub(crate) fn replace(&mut self, image: Arc<TopicsImage>) -> Arc<TopicsImage> {
        let has_new = self.newest.is_none()
            || image
                .topics()
                .any(|topic| self.image.by_id(topic.id).is_none());
        if has_new {
            self.newest = Some(image.revision());
        }
        std::mem::replace(&mut self.image, image)
    }

    /// Whether there may be topics that did not exist at `revision`.
    pub(crate) fn has_new_topics_since(&self, revision: u64) -> bool {
        self.newest.is_none_or(|newest| revision < newest)
    }
}
