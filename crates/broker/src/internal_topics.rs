//! Topics that streams applications need and the broker creates for them.
//!
//! After `AutoTopicCreationManager.createStreamsInternalTopics`: a topic is created by one request at a time; one that
//! cannot be created is tried again only after a while, and until then heartbeats say why. Invariant: no more than
//! [`FAILURES_MAX`] failures are remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coordinator::CreatableTopic;
use metadata::{CreateTopicError, NewTopic};
use parking_lot::Mutex;
use types::{Instant, TopicName};

use crate::topics::Topics;

/// Failures that are remembered at most, as in Kafka (`topicErrorCacheCapacity`).
const FAILURES_MAX: usize = 1_000;

/// What is being created, and what could not be.
#[derive(Debug, Default)]
pub(crate) struct InternalTopics {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: BTreeSet<TopicName>,
    failures: BTreeMap<TopicName, Failure>,
}

#[derive(Debug)]
struct Failure {
    message: String,
    until: Instant,
}

impl InternalTopics {
    /// Creates topics that nobody creates already and that may be tried now. Returns which of `asked` cannot be created
    /// and why.
    pub(crate) async fn create(
        &self,
        topics: &Topics,
        asked: &[CreatableTopic],
        retry_after_ms: u64,
    ) -> Vec<(TopicName, String)> {
        if asked.is_empty() {
            return Vec::new();
        }
        let clock = &topics.env.clock;
        let started = self.begin(asked, clock.now());
        if !started.is_empty() {
            let claim = Claim {
                state: &self.state,
                topics: &started,
            };
            let new = started.iter().map(new_topic).collect();
            let outcomes = topics.cluster.create_topics(new, false).await;
            drop(claim);
            let until = clock.now().plus(Duration::from_millis(retry_after_ms));
            for (topic, outcome) in started.iter().zip(outcomes) {
                match outcome {
                    // Somebody else was faster.
                    Ok(_) | Err(CreateTopicError::Exists(_)) => {
                        tracing::info!(topic = %topic.name, partitions = topic.partitions, "created for a streams group");
                    }
                    Err(error) => {
                        tracing::warn!(%error, topic = %topic.name, "could not create a topic for a streams group");
                        self.remember(&topic.name, error.to_string(), until, clock.now());
                    }
                }
            }
        }
        self.failures(asked, clock.now())
    }

    fn begin(&self, asked: &[CreatableTopic], now: Instant) -> Vec<CreatableTopic> {
        let mut state = self.state.lock();
        let State {
            in_flight,
            failures,
        } = &mut *state;
        asked
            .iter()
            .filter(|topic| {
                let failure = failures.get(&topic.name);
                failure.is_none_or(|failure| failure.until <= now)
                    && in_flight.insert(topic.name.clone())
            })
            .cloned()
            .collect()
    }

    fn remember(&self, topic: &TopicName, message: String, until: Instant, now: Instant) {
        let failures = &mut self.state.lock().failures;
        failures.retain(|_, failure| failure.until > now);
        while failures.len() >= FAILURES_MAX {
            let oldest = failures.iter().min_by_key(|(_, failure)| failure.until);
            let Some(oldest) = oldest.map(|(topic, _)| topic.clone()) else {
                break;
            };
            failures.remove(&oldest);
        }
        failures.insert(topic.clone(), Failure { message, until });
    }

    fn failures(&self, asked: &[CreatableTopic], now: Instant) -> Vec<(TopicName, String)> {
        let failures = &self.state.lock().failures;
        asked
            .iter()
            .filter_map(|topic| {
                let failure = failures.get(&topic.name)?;
                (failure.until > now).then(|| (topic.name.clone(), failure.message.clone()))
            })
            .collect()
    }
}

/// Topics that this request creates; given back also if the request is given up.
struct Claim<'a> {
    state: &'a Mutex<State>,
    topics: &'a [CreatableTopic],
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let in_flight = &mut self.state.lock().in_flight;
        for topic in self.topics {
            in_flight.remove(&topic.name);
        }
    }
}

/// What Kafka Streams asks for unless told otherwise: the broker's default.
const DEFAULT_REPLICATION_FACTOR: i16 = -1;

fn new_topic(topic: &CreatableTopic) -> NewTopic {
    let settings = topic.configs.iter();
    NewTopic {
        name: topic.name.as_str().to_owned(),
        partitions: Some(topic.partitions),
        replication_factor: topic
            .replication_factor
            .filter(|factor| *factor != DEFAULT_REPLICATION_FACTOR),
        settings: settings
            .map(|(name, value)| (name.as_ref().to_owned(), Some(value.as_ref().to_owned())))
            .collect(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{CreatableTopic, new_topic};

    #[test]
    fn the_default_number_of_replicas_may_be_asked_for_in_two_ways() {
        for (asked, expected) in [(None, None), (Some(-1), None), (Some(1), Some(1))] {
            let topic = CreatableTopic {
                name: types::TopicName::new("changelog"),
                partitions: 2,
                replication_factor: asked,
                configs: BTreeMap::new(),
            };
            assert_eq!(new_topic(&topic).replication_factor, expected);
        }
    }
}
