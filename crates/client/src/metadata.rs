//! What the client knows about the cluster: brokers, topics, leaders. A copy that may be stale; brokers that refuse a
//! request for that reason make the caller ask again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use protocol::messages::MetadataResponse;
use protocol::messages::metadata_response::MetadataResponseTopic;
use protocol::{ErrorCode, Uuid};

use crate::address::BrokerAddress;
use crate::refusal::{self, Refusal};

/// A broker of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its number.
    pub id: i32,
    /// Where clients reach it.
    pub address: BrokerAddress,
    /// Where it stands.
    pub rack: Option<String>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id; zero if the broker is too old to say.
    pub id: Uuid,
    /// Whether the cluster keeps its own state in it.
    pub is_internal: bool,
    /// Its partitions, sorted by number.
    pub partitions: Vec<Partition>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub index: i32,
    /// The broker that leads it, if any does now.
    pub leader: Option<i32>,
    /// How many leaders it has had; -1 if the broker does not say.
    pub leader_epoch: i32,
    /// The brokers that hold it.
    pub replicas: Vec<i32>,
    /// Those in sync.
    pub in_sync_replicas: Vec<i32>,
    /// Those whose disk is gone.
    pub offline_replicas: Vec<i32>,
}

impl Topic {
    /// A partition by number.
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        self.partitions
            .binary_search_by_key(&index, |partition| partition.index)
            .ok()
            .and_then(|position| self.partitions.get(position))
    }

    /// How many partitions it has.
    pub fn partition_count(&self) -> u32 {
        u32::try_from(self.partitions.len()).unwrap_or(u32::MAX)
    }
}

/// Brokers and topics as one broker described them.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// The cluster's name.
    pub cluster_id: Option<String>,
    /// The broker to send administrative requests to, if one is named.
    pub controller_id: Option<i32>,
    /// All brokers, by id.
    pub brokers: BTreeMap<i32, Broker>,
    /// The topics asked for, by name: what they are, or why not.
    pub topics: BTreeMap<Arc<str>, Result<Arc<Topic>, Refusal>>,
}

impl Metadata {
    pub(crate) fn read(response: MetadataResponse) -> Self {
        let brokers = response.brokers.into_iter().filter_map(|broker| {
            let port = u16::try_from(broker.port).ok()?;
            let address = BrokerAddress {
                host: broker.host,
                port,
            };
            Some((
                broker.node_id,
                Broker {
                    id: broker.node_id,
                    address,
                    rack: broker.rack,
                },
            ))
        });
        let topics = response.topics.into_iter().filter_map(|topic| {
            // Only asked by id does a topic come without a name, and this client asks by name.
            let name: Arc<str> = Arc::from(topic.name.as_deref()?);
            let described = refusal::check(topic.error_code, None)
                .map(|()| Arc::new(read_topic(Arc::clone(&name), topic)));
            Some((name, described))
        });
        Self {
            cluster_id: response.cluster_id,
            controller_id: Some(response.controller_id).filter(|id| *id >= 0),
            brokers: brokers.collect(),
            topics: topics.collect(),
        }
    }
}

fn read_topic(name: Arc<str>, topic: MetadataResponseTopic) -> Topic {
    let mut partitions: Vec<Partition> = topic
        .partitions
        .into_iter()
        .map(|partition| Partition {
            index: partition.partition_index,
            leader: Some(partition.leader_id).filter(|id| {
                *id >= 0 && partition.error_code != ErrorCode::LeaderNotAvailable.code()
            }),
            leader_epoch: partition.leader_epoch,
            replicas: partition.replica_nodes,
            in_sync_replicas: partition.isr_nodes,
            offline_replicas: partition.offline_replicas,
        })
        .collect();
    partitions.sort_by_key(|partition| partition.index);
    Topic {
        name,
        id: topic.topic_id,
        is_internal: topic.is_internal,
        partitions,
    }
}

/// The topics seen so far, with the brokers of the newest answer.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    pub(crate) brokers: BTreeMap<i32, Broker>,
    pub(crate) controller_id: Option<i32>,
    topics: HashMap<Arc<str>, Arc<Topic>>,
}

impl Cache {
    pub(crate) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.get(name).cloned()
    }

    pub(crate) fn forget(&mut self, name: &str) {
        self.topics.remove(name);
    }

    /// Takes over a newer answer. A leader epoch below the known one is an older broker's view and is left out, as long
    /// as the topic is the same one (`clients/.../Metadata.java`, `updateLatestMetadata`).
    pub(crate) fn update(&mut self, metadata: &Metadata) {
        self.brokers.clone_from(&metadata.brokers);
        self.controller_id = metadata.controller_id;
        for (name, described) in &metadata.topics {
            match described {
                Ok(topic) => {
                    let merged = match self.topics.get(name) {
                        Some(known) if known.id == topic.id => Arc::new(newer_of(known, topic)),
                        _ => Arc::clone(topic),
                    };
                    self.topics.insert(Arc::clone(name), merged);
                }
                Err(refusal) if refusal.is_retriable() && !is_absent(refusal) => {}
                Err(_gone) => {
                    self.topics.remove(name);
                }
            }
        }
    }
}

fn is_absent(refusal: &Refusal) -> bool {
    refusal.is(ErrorCode::UnknownTopicOrPartition) || refusal.is(ErrorCode::UnknownTopicId)
}

fn newer_of(known: &Topic, topic: &Topic) -> Topic {
    let mut merged = topic.clone();
    for partition in &mut merged.partitions {
        if let Some(before) = known.partition(partition.index)
            && before.leader_epoch > partition.leader_epoch
            && partition.leader_epoch >= 0
        {
            partition.clone_from(before);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(id: u128, leader: i32, leader_epoch: i32) -> Metadata {
        let partition = Partition {
            index: 0,
            leader: Some(leader),
            leader_epoch,
            replicas: vec![leader],
            in_sync_replicas: vec![leader],
            offline_replicas: Vec::new(),
        };
        let topic = Topic {
            name: Arc::from("t"),
            id: Uuid::from(id),
            is_internal: false,
            partitions: vec![partition],
        };
        Metadata {
            topics: BTreeMap::from([(Arc::from("t"), Ok(Arc::new(topic)))]),
            ..Metadata::default()
        }
    }

    fn leader(cache: &Cache) -> Option<i32> {
        cache.topic("t")?.partition(0)?.leader
    }

    #[test]
    fn an_older_leader_epoch_does_not_win_unless_the_topic_was_created_again() {
        let mut cache = Cache::default();
        cache.update(&topic(1, 5, 7));
        cache.update(&topic(1, 4, 6));
        assert_eq!(leader(&cache), Some(5));
        cache.update(&topic(1, 6, 8));
        assert_eq!(leader(&cache), Some(6));
        cache.update(&topic(2, 3, 0));
        assert_eq!(leader(&cache), Some(3));
    }

    #[test]
    fn a_topic_that_is_gone_is_forgotten_and_one_that_has_trouble_is_not() {
        let refused = |code| Metadata {
            topics: BTreeMap::from([(Arc::from("t"), Err(Refusal::new(code)))]),
            ..Metadata::default()
        };
        let mut cache = Cache::default();
        cache.update(&topic(1, 5, 7));
        cache.update(&refused(ErrorCode::LeaderNotAvailable));
        assert_eq!(leader(&cache), Some(5));
        cache.update(&refused(ErrorCode::UnknownTopicOrPartition));
        assert_eq!(leader(&cache), None);
    }
}
