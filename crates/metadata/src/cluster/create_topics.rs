//! Creating topics (`ReplicationControlManager.createTopics`, `ControllerApis.createTopics`).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use types::TopicId;

use super::{Cluster, repeated};
use crate::image::{ClusterImage, Topic};
use crate::keys::{self, StoredTopic};
use crate::names::{
    CLUSTER_METADATA, TopicNameError, check_topic_name, is_internal_topic, unified,
};
use crate::settings::{SettingError, SettingTexts, check_topic};
use crate::store::{TransactError, Transaction};

/// Partitions one request may create. Kafka stops at 10,000 records of metadata; here a topic is one record, and the
/// bound is what a cluster of Kafka is said to hold.
pub const PARTITIONS_PER_REQUEST_MAX: i64 = 200_000;

/// A topic to be.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    /// Its name, not yet checked.
    pub name: String,
    /// How many partitions; `None` for `num.partitions`. The wire's -1.
    pub partitions: Option<i32>,
    /// How many replicas; `None` for `default.replication.factor`. The wire's -1.
    pub replication_factor: Option<i16>,
    /// Who holds which partition; empty to leave it to the cluster. Excludes the two above.
    pub assignments: Vec<ReplicaAssignment>,
    /// Settings of its own. A null on the wire is an error that names them all, so it gets as far as here.
    pub settings: Vec<(String, Option<String>)>,
}

/// The brokers of one partition.
#[derive(Clone, Debug)]
pub struct ReplicaAssignment {
    /// The partition's number.
    pub partition: i32,
    /// The brokers, the preferred leader first.
    pub brokers: Vec<i32>,
}

/// What is wrong with a manual assignment. INVALID_REPLICA_ASSIGNMENT(39).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentError {
    /// A partition without brokers.
    #[error("the manual partition assignment includes an empty replica list")]
    Empty,
    /// A broker that is not there.
    #[error(
        "the manual partition assignment includes broker {0}, but no such broker is registered"
    )]
    UnknownBroker(i32),
    /// A broker twice in one partition.
    #[error("the manual partition assignment includes the broker {0} more than once")]
    BrokerTwice(i32),
    /// Partitions with different numbers of replicas.
    #[error(
        "the manual partition assignment includes a partition with {found} replica(s), others have {expected}"
    )]
    Uneven {
        /// Replicas of this partition.
        found: usize,
        /// Replicas of the partitions before, or of the topic.
        expected: usize,
    },
    /// A partition twice.
    #[error("found multiple manual partition assignments for partition {0}")]
    PartitionTwice(i32),
    /// Numbers left out.
    #[error("partitions should be a consecutive 0-based integer sequence")]
    Gap,
    /// As many assignments as new partitions.
    #[error("attempted to add {additional} partition(s), but {found} assignment(s) were specified")]
    WrongCount {
        /// New partitions.
        additional: i32,
        /// Assignments.
        found: usize,
    },
}

/// Why a topic was not created.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CreateTopicError {
    /// The name is in the request more than once. INVALID_REQUEST(42).
    #[error("duplicate topic name")]
    Duplicate,
    /// `__cluster_metadata`. INVALID_REQUEST(42).
    #[error("creation of internal topic {CLUSTER_METADATA} is prohibited")]
    Prohibited,
    /// Numbers given beside a manual assignment. INVALID_REQUEST(42).
    #[error("a manual partition assignment was specified, but {0} was set too")]
    AssignmentAndNumber(&'static str),
    /// INVALID_TOPIC_EXCEPTION(17).
    #[error(transparent)]
    Name(#[from] TopicNameError),
    /// Metrics could not tell the two names apart. INVALID_TOPIC_EXCEPTION(17).
    #[error("topic '{name}' collides with existing topic: {existing}")]
    Collision {
        /// The name.
        name: String,
        /// The name that is there.
        existing: String,
    },
    /// TOPIC_ALREADY_EXISTS(36).
    #[error("topic '{0}' already exists")]
    Exists(String),
    /// INVALID_PARTITIONS(37).
    #[error("number of partitions was set to an invalid non-positive value")]
    Partitions(i32),
    /// INVALID_REPLICATION_FACTOR(38).
    #[error("replication factor must be larger than 0, or -1 to use the default value")]
    ReplicationFactor(i16),
    /// INVALID_REPLICATION_FACTOR(38).
    #[error(
        "unable to replicate the partition {wanted} time(s): only {brokers} broker(s) are registered"
    )]
    TooFewBrokers {
        /// Replicas asked for.
        wanted: i16,
        /// Brokers there are.
        brokers: usize,
    },
    /// INVALID_REPLICA_ASSIGNMENT(39).
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// INVALID_CONFIG(40).
    #[error("null value not supported for topic configs: {}", .0.join(","))]
    NullSetting(Vec<String>),
    /// INVALID_CONFIG(40).
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// More than [`PARTITIONS_PER_REQUEST_MAX`]. POLICY_VIOLATION(44).
    #[error("a request cannot create more than {PARTITIONS_PER_REQUEST_MAX} partitions")]
    TooManyPartitions,
    /// UNKNOWN_SERVER_ERROR(-1); the log has the cause.
    #[error("the topic could not be stored")]
    Store(#[from] TransactError),
}

type Outcome = Result<Arc<Topic>, CreateTopicError>;

impl Cluster {
    /// Creates topics, all that can be created with one transaction. The results stand in the order of `topics`. With
    /// `validate_only` nothing is created and the results tell what would happen.
    ///
    /// Two names of one request that collide (`a.b`, `a_b`) are an error for the second; Kafka would create both.
    pub async fn create_topics(&self, topics: Vec<NewTopic>, validate_only: bool) -> Vec<Outcome> {
        self.transact_each(topics.len(), validate_only, |image| {
            self.plan_topics(image, &topics)
        })
        .await
    }

    fn plan_topics(
        &self,
        image: &ClusterImage,
        topics: &[NewTopic],
    ) -> (Transaction, Vec<Outcome>) {
        let twice = repeated(topics.iter().map(|topic| topic.name.as_str()));
        let mut budget = PARTITIONS_PER_REQUEST_MAX;
        let mut keys_taken: BTreeMap<String, String> = BTreeMap::new();
        let mut transaction = Transaction::default();
        let mut plan = |topic: &NewTopic| -> Result<Topic, CreateTopicError> {
            let name = &topic.name;
            if twice.contains(name.as_str()) {
                return Err(CreateTopicError::Duplicate);
            }
            let stored = self.plan_topic(image, topic)?;
            budget -= i64::from(stored.partitions);
            if budget < 0 {
                return Err(CreateTopicError::TooManyPartitions);
            }
            let key = keys::topic(name);
            if let Some(existing) = keys_taken.insert(key.clone(), name.clone()) {
                return Err(CreateTopicError::Collision {
                    name: name.clone(),
                    existing,
                });
            }
            transaction.expect(key.clone(), None);
            transaction.put(key, stored.write());
            Ok(image.topic_of(stored, image.revision.next()))
        };
        let outcomes = topics
            .iter()
            .map(|topic| plan(topic).map(Arc::new))
            .collect();
        (transaction, outcomes)
    }

    fn plan_topic(
        &self,
        image: &ClusterImage,
        new: &NewTopic,
    ) -> Result<StoredTopic, CreateTopicError> {
        let name = new.name.as_str();
        if name == CLUSTER_METADATA {
            return Err(CreateTopicError::Prohibited);
        }
        check_topic_name(name)?;
        if image.topic(name).is_some() {
            return Err(CreateTopicError::Exists(name.to_owned()));
        }
        if let Some(existing) = image.topic_colliding_with(name) {
            return Err(CreateTopicError::Collision {
                name: name.to_owned(),
                existing: existing.name.as_str().to_owned(),
            });
        }
        let settings = own_settings(&new.settings)?;
        check_topic(&settings, &image.broker.layers)?;
        let (partitions, replication_factor) = if new.assignments.is_empty() {
            self.numbers(image, new)?
        } else {
            self.assigned_numbers(new)?
        };
        Ok(StoredTopic {
            name: name.to_owned(),
            id: self.new_topic_id(),
            partitions,
            replication_factor,
            settings,
        })
    }

    fn numbers(
        &self,
        image: &ClusterImage,
        new: &NewTopic,
    ) -> Result<(i32, i16), CreateTopicError> {
        if let Some(wanted) = new.replication_factor
            && wanted <= 0
        {
            return Err(CreateTopicError::ReplicationFactor(wanted));
        }
        if let Some(wanted) = new.partitions
            && wanted <= 0
        {
            return Err(CreateTopicError::Partitions(wanted));
        }
        let default = i16::try_from(image.broker.default_replication_factor).unwrap_or(i16::MAX);
        let wanted = new.replication_factor.unwrap_or(default);
        let brokers = self.node_ids().len();
        let replicas = usize::try_from(wanted).unwrap_or_default();
        let replication_factor = if replicas <= brokers {
            wanted
        } else if is_internal_topic(&new.name) {
            let clamped = i16::try_from(brokers).unwrap_or(i16::MAX);
            tracing::info!(topic = %new.name, wanted, replication_factor = clamped, "an internal topic gets as many replicas as there are brokers");
            clamped
        } else {
            return Err(CreateTopicError::TooFewBrokers { wanted, brokers });
        };
        let partitions = new.partitions.unwrap_or(image.broker.num_partitions);
        Ok((partitions, replication_factor))
    }

    fn assigned_numbers(&self, new: &NewTopic) -> Result<(i32, i16), CreateTopicError> {
        if new.replication_factor.is_some() {
            return Err(CreateTopicError::AssignmentAndNumber("replication factor"));
        }
        if new.partitions.is_some() {
            return Err(CreateTopicError::AssignmentAndNumber(
                "number of partitions",
            ));
        }
        let mut partitions = HashSet::new();
        let mut replicas = None;
        for assignment in &new.assignments {
            if !partitions.insert(assignment.partition) {
                return Err(AssignmentError::PartitionTwice(assignment.partition).into());
            }
            self.check_assignment(&assignment.brokers, replicas)?;
            replicas = Some(assignment.brokers.len());
        }
        let count = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
        if (0..count).any(|partition| !partitions.contains(&partition)) {
            return Err(AssignmentError::Gap.into());
        }
        let replicas = i16::try_from(replicas.unwrap_or_default()).unwrap_or(i16::MAX);
        Ok((count, replicas))
    }

    /// `validateManualPartitionAssignment`.
    pub(super) fn check_assignment(
        &self,
        brokers: &[i32],
        expected: Option<usize>,
    ) -> Result<(), AssignmentError> {
        if brokers.is_empty() {
            return Err(AssignmentError::Empty);
        }
        let registered = self.node_ids();
        let mut sorted = brokers.to_vec();
        sorted.sort_unstable();
        let mut previous = None;
        for broker in sorted {
            if !registered.contains(&broker) {
                return Err(AssignmentError::UnknownBroker(broker));
            }
            if previous == Some(broker) {
                return Err(AssignmentError::BrokerTwice(broker));
            }
            previous = Some(broker);
        }
        match expected {
            Some(expected) if expected != brokers.len() => Err(AssignmentError::Uneven {
                found: brokers.len(),
                expected,
            }),
            _ => Ok(()),
        }
    }

    fn new_topic_id(&self) -> TopicId {
        loop {
            let id = TopicId::new(self.env.random.uuid());
            // As Kafka: no dash in front, which command lines would take for an option.
            if let Some(id) = id
                && !id.to_string().starts_with('-')
            {
                return id;
            }
        }
    }
}

fn own_settings(settings: &[(String, Option<String>)]) -> Result<SettingTexts, CreateTopicError> {
    let nulls: Vec<_> = settings
        .iter()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| name.clone())
        .collect();
    if !nulls.is_empty() {
        return Err(CreateTopicError::NullSetting(nulls));
    }
    let pairs = settings.iter();
    Ok(pairs
        .filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
        .collect())
}

impl ClusterImage {
    /// A topic of another name that metrics could not tell from `name`.
    pub fn topic_colliding_with(&self, name: &str) -> Option<&Arc<Topic>> {
        let unified = unified(name);
        let existing = self.topic_of_key(&unified)?;
        (existing.name.as_str() != name).then_some(existing)
    }
}
