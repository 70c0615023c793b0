//! Deleting topics (`ReplicationControlManager.deleteTopics`, `ControllerApis.deleteTopics`).

use std::sync::Arc;

use types::TopicId;

use super::{Cluster, repeated};
use crate::image::{ClusterImage, Topic};
use crate::keys;
use crate::store::{TransactError, Transaction};

/// Names a topic either way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicRef {
    /// By name: whichever life it is in.
    Name(String),
    /// By id: this life only.
    Id(TopicId),
}

/// Why a topic was not deleted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DeleteTopicError {
    /// `delete.topic.enable` is false. TOPIC_DELETION_DISABLED(73).
    #[error("topic deletion is disabled")]
    Disabled,
    /// The topic is in the request more than once. INVALID_REQUEST(42).
    #[error("duplicate topic")]
    Duplicate,
    /// UNKNOWN_TOPIC_OR_PARTITION(3).
    #[error("this server does not host this topic")]
    UnknownName(String),
    /// UNKNOWN_TOPIC_ID(100).
    #[error("this server does not host this topic id")]
    UnknownId(TopicId),
    /// UNKNOWN_SERVER_ERROR(-1); the log has the cause.
    #[error("the deletion could not be stored")]
    Store(#[from] TransactError),
}

type Outcome = Result<Arc<Topic>, DeleteTopicError>;

impl Cluster {
    /// Deletes topics, all that can be deleted with one transaction. The results stand in the order of `topics`.
    pub async fn delete_topics(&self, topics: Vec<TopicRef>) -> Vec<Outcome> {
        self.transact_each(topics.len(), false, |image| {
            self.plan_deletion(image, &topics)
        })
        .await
    }

    fn plan_deletion(
        &self,
        image: &ClusterImage,
        topics: &[TopicRef],
    ) -> (Transaction, Vec<Outcome>) {
        let find = |topic: &TopicRef| match topic {
            TopicRef::Name(name) => image
                .topic(name)
                .ok_or_else(|| DeleteTopicError::UnknownName(name.clone())),
            TopicRef::Id(id) => image
                .topic_by_id(*id)
                .ok_or(DeleteTopicError::UnknownId(*id)),
        };
        let ids = topics.iter().filter_map(|topic| Some(find(topic).ok()?.id));
        let twice = repeated(ids);
        let mut transaction = Transaction::default();
        let mut plan = |topic: &TopicRef| {
            if !image.broker.delete_topic_enable {
                return Err(DeleteTopicError::Disabled);
            }
            let topic = find(topic)?;
            if twice.contains(&topic.id) {
                return Err(DeleteTopicError::Duplicate);
            }
            let key = keys::topic(topic.name.as_str());
            transaction.expect(key.clone(), Some(topic.mod_revision));
            transaction.delete(key);
            Ok(Arc::clone(topic))
        };
        let outcomes = topics.iter().map(&mut plan).collect();
        (transaction, outcomes)
    }
}
