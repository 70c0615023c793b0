//! Topics that are created because a client asked for them (`AutoTopicCreationManager`).

use metadata::{CreateTopicError, InternalTopic, NewTopic};

use super::PARTITIONS_PER_REQUEST_MAX;
use crate::topics::Topics;

/// Creates the topics of these names with the broker's defaults, the broker's own as they must be. Returns once they are
/// there. A topic that cannot be created is logged: its client asks again and learns no more, as with Kafka.
pub(super) async fn auto_create(topics: &Topics, names: &[&str]) {
    let (internal, others): (Vec<_>, Vec<_>) = names
        .iter()
        .partition(|name| internal_topic(name).is_some());
    for topic in internal.into_iter().filter_map(internal_topic) {
        if let Err(error) = topics.cluster.internal_topic(topic).await {
            tracing::warn!(%error, topic = topic.name(), "could not create an internal topic");
        }
    }
    if others.is_empty() {
        return;
    }
    let partitions = i64::from(topics.image().broker.num_partitions);
    let total = partitions.saturating_mul(i64::try_from(others.len()).unwrap_or(i64::MAX));
    if total > PARTITIONS_PER_REQUEST_MAX {
        let topics = others.len();
        tracing::warn!(
            topics,
            partitions,
            "did not create more partitions for a client than one request may create"
        );
        return;
    }
    let new = |name: &&str| NewTopic {
        name: (*name).to_owned(),
        ..Default::default()
    };
    let outcomes = topics
        .cluster
        .create_topics(others.iter().map(new).collect(), false)
        .await;
    for (name, outcome) in others.into_iter().zip(outcomes) {
        match outcome {
            Ok(topic) => tracing::info!(
                topic = name,
                partitions = topic.partitions,
                "created for a client"
            ),
            // Somebody else was faster.
            Err(CreateTopicError::Exists(_)) => {}
            Err(error) => {
                tracing::warn!(%error, topic = name, "could not create a topic for a client")
            }
        }
    }
}

fn internal_topic(name: &str) -> Option<InternalTopic> {
    use InternalTopic::{ConsumerOffsets, ShareGroupState, TransactionState};
    [ConsumerOffsets, TransactionState, ShareGroupState]
        .into_iter()
        .find(|topic| topic.name() == name)
}
