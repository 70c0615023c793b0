//! One fetch request to one broker: from positions to the data of each partition.

use std::collections::HashMap;
use std::sync::Arc;

use protocol::messages::FetchRequest;
use protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use protocol::messages::fetch_response::PartitionData;
use protocol::{ErrorCode, Uuid};

use super::ConsumerConfig;
use crate::assignor::TopicPartition;
use crate::cluster::{Cluster, Lane, Target};
use crate::connection::CallError;

/// The last version without topic ids (KIP-516).
const LAST_VERSION_BY_NAME: i16 = 12;

/// What to ask one broker for.
#[derive(Debug, Default)]
pub(super) struct FetchPlan {
    wanted: Vec<(TopicPartition, Uuid, i64)>,
}

impl FetchPlan {
    pub(super) fn add(&mut self, partition: TopicPartition, topic_id: Uuid, offset: i64) {
        self.wanted.push((partition, topic_id, offset));
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.wanted.iter().map(|(partition, _, _)| partition)
    }

    fn request(&self, config: &ConsumerConfig) -> FetchRequest {
        let mut topics: Vec<FetchTopic> = Vec::new();
        for (partition, topic_id, offset) in &self.wanted {
            let entry = FetchPartition {
                partition: partition.partition,
                fetch_offset: *offset,
                partition_max_bytes: config.partition_bytes_max,
                ..FetchPartition::default()
            };
            // Partitions come sorted by topic.
            match topics
                .last_mut()
                .filter(|topic| *topic.topic == *partition.topic)
            {
                Some(topic) => topic.partitions.push(entry),
                None => topics.push(FetchTopic {
                    topic: partition.topic.as_ref().to_owned(),
                    topic_id: *topic_id,
                    partitions: vec![entry],
                }),
            }
        }
        FetchRequest {
            max_wait_ms: i32::try_from(config.fetch_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: config.fetch_bytes_min,
            max_bytes: config.fetch_bytes_max,
            isolation_level: config.isolation.value(),
            topics,
            rack_id: config.rack.clone(),
            ..FetchRequest::default()
        }
    }
}

/// What a broker said about one partition.
#[derive(Debug)]
pub(super) struct FetchAnswer {
    pub(super) partition: TopicPartition,
    /// The offset that was asked for.
    pub(super) asked: i64,
    pub(super) data: PartitionData,
}

/// A fetch that came back.
#[derive(Debug)]
pub(super) struct FetchDone {
    pub(super) leader: i32,
    pub(super) plan: FetchPlan,
    pub(super) result: Result<Vec<FetchAnswer>, CallError>,
}

pub(super) async fn run(
    cluster: Cluster,
    config: ConsumerConfig,
    leader: i32,
    plan: FetchPlan,
) -> FetchDone {
    let result = fetch(&cluster, &config, leader, &plan).await;
    FetchDone {
        leader,
        plan,
        result,
    }
}

async fn fetch(
    cluster: &Cluster,
    config: &ConsumerConfig,
    leader: i32,
    plan: &FetchPlan,
) -> Result<Vec<FetchAnswer>, CallError> {
    let connection = cluster
        .connection(Target::Broker(leader), Lane::Fetch)
        .await?;
    let ids_known = plan.wanted.iter().all(|(_, id, _)| !id.is_zero());
    let limit = if ids_known {
        i16::MAX
    } else {
        LAST_VERSION_BY_NAME
    };
    let version = connection.version_of::<FetchRequest>(limit)?;
    let by_id = version > LAST_VERSION_BY_NAME;
    // The broker may hold the request back for as long as it was allowed to.
    let limit = cluster.config().request_timeout + config.fetch_wait;
    let response = connection
        .call_version(&plan.request(config), version, limit)
        .await?;
    let mut asked: HashMap<AnswerKey, (&TopicPartition, i64)> = HashMap::new();
    for (partition, id, offset) in &plan.wanted {
        let key = key_of(by_id, *id, &partition.topic, partition.partition);
        asked.insert(key, (partition, *offset));
    }
    let whole = response.error_code;
    let mut answers = Vec::new();
    for topic in response.responses {
        for data in topic.partitions {
            let key = key_of(by_id, topic.topic_id, &topic.topic, data.partition_index);
            if let Some((partition, offset)) = asked.remove(&key) {
                answers.push(FetchAnswer {
                    partition: partition.clone(),
                    asked: offset,
                    data,
                });
            }
        }
    }
    if whole != ErrorCode::None.code() {
        // The whole request was refused; every partition hears of it.
        for (partition, offset) in asked.into_values() {
            answers.push(FetchAnswer {
                partition: partition.clone(),
                asked: offset,
                data: PartitionData {
                    partition_index: partition.partition,
                    error_code: whole,
                    ..PartitionData::default()
                },
            });
        }
    }
    Ok(answers)
}

/// A partition as the response names it: by topic id, or by name.
type AnswerKey = (Option<Uuid>, Arc<str>, i32);

fn key_of(by_id: bool, id: Uuid, name: &str, partition: i32) -> AnswerKey {
    if by_id {
        (Some(id), Arc::from(""), partition)
    } else {
        (None, Arc::from(name), partition)
    }
}
