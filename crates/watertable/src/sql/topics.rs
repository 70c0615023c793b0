//! The broker's topics as the engine wants them.

use broker::{View, ViewError};
use sql::{Partition, Topic, TopicError, Topics};
use types::TopicName;

/// The topics of a broker.
#[derive(Debug)]
pub(super) struct BrokerTopics(pub(super) View);

impl Topics for BrokerTopics {
    fn names(&self) -> Vec<TopicName> {
        self.0.topic_names()
    }

    fn topic(&self, name: &str) -> Result<Option<Topic>, TopicError> {
        let found = self.0.topic(name).map_err(|error| error_of(name, error))?;
        Ok(found.map(|topic| Topic {
            name: topic.name,
            id: topic.id,
            settings: topic.settings,
            partitions: topic
                .logs
                .into_iter()
                .map(|log| Partition {
                    index: log.partition,
                    log: log.log,
                })
                .collect(),
        }))
    }
}

fn error_of(topic: &str, error: ViewError) -> TopicError {
    let topic = TopicName::new(topic);
    match error {
        ViewError::NotLeader { partition } => TopicError::NotLeader { topic, partition },
        ViewError::Offline { partition } => TopicError::Log {
            topic,
            partition,
            source: Box::new(error),
        },
    }
}
