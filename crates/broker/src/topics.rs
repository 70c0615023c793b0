//! Topics as handlers see them: names and ids resolved, partitions led or not, logs opened on first use.
//!
//! Invariant: a log is handed out only for a partition that this broker leads in the caller's leader epoch. Topic ids
//! are the identity: a topic created again under an old name has other logs.

use std::sync::Arc;

use env::Env;
use hashbrown::HashMap;
use metadata::{Cluster, ClusterImage, Topic};
use parking_lot::RwLock;
use protocol::Uuid;
use storage::{LocalLog, LogDirectory, PartitionLog};
use types::{LeaderEpoch, PartitionIndex, TopicId, TopicName, TopicPartition};

use crate::config::BrokerConfig;
use crate::log_settings::log_settings;
use crate::ownership::{BrokerId, Owner, Ownership};

/// Why a partition cannot be used here and now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PartitionError {
    /// No topic has this name, or it has no such partition.
    #[error("unknown topic or partition")]
    UnknownTopicOrPartition,
    /// No topic has this id.
    #[error("unknown topic id")]
    UnknownTopicId,
    /// Another broker leads it.
    #[error("led by another broker")]
    NotLeader(Owner),
    /// The caller believes in an older leader.
    #[error("fenced leader epoch")]
    FencedLeaderEpoch,
    /// The caller knows of a newer leader than this broker does.
    #[error("unknown leader epoch")]
    UnknownLeaderEpoch,
    /// The log cannot be opened.
    #[error("storage error")]
    Storage,
}

/// A partition this broker leads.
#[derive(Clone, Debug)]
pub(crate) struct LedPartition {
    /// Its log.
    pub(crate) log: Arc<dyn PartitionLog>,
    /// The epoch it is led in.
    pub(crate) epoch: LeaderEpoch,
}

/// All topics and what they stand on.
#[derive(Debug)]
pub(crate) struct Topics {
    pub(crate) env: Env,
    pub(crate) config: Arc<BrokerConfig>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) directory: Arc<LogDirectory>,
    pub(crate) ownership: Arc<dyn Ownership>,
    /// Logs that were asked for, so that the way of a record takes one look-up.
    logs: RwLock<HashMap<(TopicId, PartitionIndex), Arc<LocalLog>>>,
}

impl Topics {
    pub(crate) fn new(
        env: Env,
        config: Arc<BrokerConfig>,
        cluster: Arc<Cluster>,
        directory: Arc<LogDirectory>,
        ownership: Arc<dyn Ownership>,
    ) -> Self {
        Self {
            env,
            config,
            cluster,
            directory,
            ownership,
            logs: RwLock::default(),
        }
    }

    /// All topics and settings as of now.
    pub(crate) fn image(&self) -> Arc<ClusterImage> {
        self.cluster.image()
    }

    /// The topic of this name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn by_name<'a>(
        image: &'a ClusterImage,
        name: &str,
    ) -> Result<&'a Arc<Topic>, PartitionError> {
        image
            .topic(name)
            .ok_or(PartitionError::UnknownTopicOrPartition)
    }

    /// The topic with this id, as the wire carries it.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn by_id(image: &ClusterImage, id: Uuid) -> Result<&Arc<Topic>, PartitionError> {
        TopicId::new(id.0)
            .and_then(|id| image.topic_by_id(id))
            .ok_or(PartitionError::UnknownTopicId)
    }

    /// This broker.
    pub(crate) fn broker_id(&self) -> BrokerId {
        self.config.broker_id
    }

    /// The leader of a partition, whether it is this broker or not.
    ///
    /// # Errors
    /// The topic has no such partition.
    pub(crate) fn owner(&self, topic: &Topic, partition: i32) -> Result<Owner, PartitionError> {
        let partition = existing(topic, partition)?;
        Ok(self.ownership.owner(&TopicPartition {
            topic: topic.name.clone(),
            partition,
        }))
    }

    /// The epoch in which this broker leads the cluster's metadata.
    pub(crate) fn metadata_epoch(&self) -> i32 {
        let partition = TopicPartition {
            topic: TopicName::new("__cluster_metadata"),
            partition: PartitionIndex::new(0).expect("zero is not negative"),
        };
        self.ownership.owner(&partition).epoch.value()
    }

    /// The log of a partition, if this broker leads it. `epoch` is the leader epoch the client knows (-1 or less: none).
    ///
    /// # Errors
    /// There is no such partition, or not here, or not in that epoch.
    pub(crate) fn leading(
        &self,
        topic: &Topic,
        partition: i32,
        epoch: i32,
    ) -> Result<LedPartition, PartitionError> {
        let index = existing(topic, partition)?;
        let name = TopicPartition {
            topic: topic.name.clone(),
            partition: index,
        };
        let owner = self.ownership.owner(&name);
        if owner.leader != Some(self.config.broker_id) {
            return Err(PartitionError::NotLeader(owner));
        }
        if let Some(known) = LeaderEpoch::new(epoch) {
            if known < owner.epoch {
                return Err(PartitionError::FencedLeaderEpoch);
            }
            if known > owner.epoch {
                return Err(PartitionError::UnknownLeaderEpoch);
            }
        }
        let log = self.log(topic, name)?;
        Ok(LedPartition {
            log,
            epoch: owner.epoch,
        })
    }

    /// [`Self::leading`] in any epoch, by the topic's name.
    ///
    /// # Errors
    /// There is no such partition, or not here.
    pub(crate) fn leading_by_name(
        &self,
        image: &ClusterImage,
        topic: &str,
        partition: i32,
    ) -> Result<LedPartition, PartitionError> {
        self.leading(Self::by_name(image, topic)?, partition, -1)
    }

    /// Tells open logs what their topic's settings are now, and forgets logs of topics that are gone.
    pub(crate) fn configure_logs(&self) {
        let image = self.image();
        let values = &image.broker.values;
        self.directory.configure_producers(
            i64::from(values.producer_id_expiration_ms),
            values.transaction_partition_verification_enable,
        );
        self.logs
            .write()
            .retain(|(id, _), log| match image.topic_by_id(*id) {
                Some(topic) => {
                    log.configure(log_settings(topic));
                    true
                }
                None => false,
            });
    }

    /// Deletes the logs of a topic that the metadata no longer knows.
    pub(crate) fn delete_logs(&self, topic: &Topic) {
        self.logs.write().retain(|(id, _), _| *id != topic.id);
        for partition in (0..topic.partitions).filter_map(PartitionIndex::new) {
            let name = TopicPartition {
                topic: topic.name.clone(),
                partition,
            };
            if let Err(error) = self.directory.delete(&name, topic.id) {
                // The next start finds the directory without a topic and deletes it then.
                tracing::error!(%error, partition = %name, "could not delete a log");
            }
        }
    }

    /// Opens all logs that are on disk, so that retention sees them. Those that no topic has are set aside: a deletion
    /// that a crash interrupted leaves them, but so would metadata that was lost, and then they are all there is.
    ///
    /// # Errors
    /// The disk's, when setting aside.
    pub(crate) fn claim_logs(&self) -> std::io::Result<()> {
        let image = self.image();
        for name in self.directory.unclaimed() {
            let has_partition = |topic: &&Arc<Topic>| name.partition.value() < topic.partitions;
            if let Some(topic) = image.topic(name.topic.as_str()).filter(has_partition)
                // Why not was logged; whoever asks for the partition is told.
                && self.log(topic, name.clone()).is_err()
            {
                tracing::error!(partition = %name, "could not take over a log that is on disk");
            }
        }
        self.directory.set_aside_unclaimed().map(drop)
    }

    fn log(
        &self,
        topic: &Topic,
        name: TopicPartition,
    ) -> Result<Arc<dyn PartitionLog>, PartitionError> {
        let key = (topic.id, name.partition);
        if let Some(log) = self.logs.read().get(&key) {
            return Ok(Arc::clone(log) as _);
        }
        let mut logs = self.logs.write();
        // The caller's image may be old: a log must not come back for a topic that was deleted meanwhile. Deletion takes
        // this lock after it has changed the metadata.
        if self.image().topic_by_id(topic.id).is_none() {
            return Err(PartitionError::UnknownTopicOrPartition);
        }
        match self.directory.log(&name, topic.id, log_settings(topic)) {
            Ok(log) => Ok(Arc::clone(logs.entry(key).or_insert(log)) as _),
            Err(error) => {
                tracing::error!(%error, partition = %name, "could not open the log");
                Err(PartitionError::Storage)
            }
        }
    }
}

fn existing(topic: &Topic, partition: i32) -> Result<PartitionIndex, PartitionError> {
    PartitionIndex::new(partition)
        .filter(|_index| partition < topic.partitions)
        .ok_or(PartitionError::UnknownTopicOrPartition)
}
