//! Adding partitions to topics (`ReplicationControlManager.createPartitions`).

use std::sync::Arc;

use super::create_topics::{AssignmentError, PARTITIONS_PER_REQUEST_MAX};
use super::{Cluster, repeated};
use crate::image::{ClusterImage, Topic};
use crate::keys;
use crate::store::{TransactError, Transaction};

/// More partitions for a topic.
#[derive(Clone, Debug)]
pub struct NewPartitions {
    /// The topic's name.
    pub topic: String,
    /// How many partitions it is to have in all.
    pub count: i32,
    /// The brokers of each new partition, if they are not left to the cluster.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// Why partitions were not added.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CreatePartitionsError {
    /// The topic is in the request more than once. INVALID_REQUEST(42).
    #[error("duplicate topic name")]
    Duplicate,
    /// UNKNOWN_TOPIC_OR_PARTITION(3).
    #[error("this server does not host this topic")]
    UnknownTopic,
    /// INVALID_PARTITIONS(37).
    #[error("topic already has {0} partition(s)")]
    Same(i32),
    /// INVALID_PARTITIONS(37).
    #[error(
        "the topic {topic} currently has {current} partition(s); {wanted} would not be an increase"
    )]
    Fewer {
        /// The topic.
        topic: String,
        /// How many it has.
        current: i32,
        /// How many were asked for.
        wanted: i32,
    },
    /// INVALID_REPLICA_ASSIGNMENT(39).
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// More than [`PARTITIONS_PER_REQUEST_MAX`]. POLICY_VIOLATION(44).
    #[error("a request cannot create more than {PARTITIONS_PER_REQUEST_MAX} partitions")]
    TooManyPartitions,
    /// UNKNOWN_SERVER_ERROR(-1); the log has the cause.
    #[error("the partitions could not be stored")]
    Store(#[from] TransactError),
}

type Outcome = Result<Arc<Topic>, CreatePartitionsError>;

impl Cluster {
    /// Adds partitions to topics, where possible with one transaction. The results stand in the order of `topics` and
    /// hold the topics as they are, or with `validate_only` would be, afterwards.
    pub async fn create_partitions(
        &self,
        topics: Vec<NewPartitions>,
        validate_only: bool,
    ) -> Vec<Outcome> {
        self.transact_each(topics.len(), validate_only, |image| {
            self.plan_partitions(image, &topics)
        })
        .await
    }

    fn plan_partitions(
        &self,
        image: &ClusterImage,
        topics: &[NewPartitions],
    ) -> (Transaction, Vec<Outcome>) {
        let twice = repeated(topics.iter().map(|new| new.topic.as_str()));
        let mut budget = PARTITIONS_PER_REQUEST_MAX;
        let mut transaction = Transaction::default();
        let mut plan = |new: &NewPartitions| {
            if twice.contains(new.topic.as_str()) {
                return Err(CreatePartitionsError::Duplicate);
            }
            let topic = image
                .topic(&new.topic)
                .ok_or(CreatePartitionsError::UnknownTopic)?;
            let additional = self.check_partitions(topic, new)?;
            budget -= i64::from(additional);
            if budget < 0 {
                return Err(CreatePartitionsError::TooManyPartitions);
            }
            let mut stored = topic.stored();
            stored.partitions = new.count;
            let key = keys::topic(&new.topic);
            transaction.expect(key.clone(), Some(topic.mod_revision));
            transaction.put(key, stored.write());
            Ok(Arc::new(image.topic_of(stored, image.revision.next())))
        };
        let outcomes = topics.iter().map(&mut plan).collect();
        (transaction, outcomes)
    }

    fn check_partitions(
        &self,
        topic: &Topic,
        new: &NewPartitions,
    ) -> Result<i32, CreatePartitionsError> {
        let current = topic.partitions;
        if new.count == current {
            return Err(CreatePartitionsError::Same(current));
        }
        if new.count < current {
            return Err(CreatePartitionsError::Fewer {
                topic: new.topic.clone(),
                current,
                wanted: new.count,
            });
        }
        let additional = new.count - current;
        if let Some(assignments) = &new.assignments {
            if i32::try_from(assignments.len()) != Ok(additional) {
                return Err(AssignmentError::WrongCount {
                    additional,
                    found: assignments.len(),
                }
                .into());
            }
            let replicas = usize::try_from(topic.replication_factor).unwrap_or_default();
            for brokers in assignments {
                self.check_assignment(brokers, Some(replicas))?;
            }
        }
        Ok(additional)
    }
}
