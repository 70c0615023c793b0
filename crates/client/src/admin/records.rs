//! Deleting records before an offset.

use std::collections::{BTreeMap, HashMap};

use protocol::messages::DeleteRecordsRequest;
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};

use super::AdminError;
use super::topics::timeout_ms;
use crate::assignor::TopicPartition;
use crate::cluster::{Cluster, Lane, Target};
use crate::refusal::{self, Refusal};

/// Deletes everything before an offset of each partition; -1 means the high watermark. Gives the new start of each log.
pub async fn delete_records(
    cluster: &Cluster,
    before: &BTreeMap<TopicPartition, i64>,
) -> Result<BTreeMap<TopicPartition, Result<i64, Refusal>>, AdminError> {
    let mut by_leader: HashMap<i32, Vec<DeleteRecordsTopic>> = HashMap::new();
    for (partition, offset) in before {
        let leader = cluster
            .leader_of(&partition.topic, partition.partition)
            .await?;
        let entry = DeleteRecordsPartition {
            partition_index: partition.partition,
            offset: *offset,
        };
        let topics = by_leader.entry(leader).or_default();
        match topics
            .last_mut()
            .filter(|topic| *topic.name == *partition.topic)
        {
            Some(topic) => topic.partitions.push(entry),
            None => topics.push(DeleteRecordsTopic {
                name: partition.topic.as_ref().to_owned(),
                partitions: vec![entry],
            }),
        }
    }
    let mut results = BTreeMap::new();
    for (leader, topics) in by_leader {
        let request = DeleteRecordsRequest {
            topics,
            timeout_ms: timeout_ms(cluster),
        };
        // Deleting twice is deleting once.
        let response = cluster
            .call_retrying(Target::Broker(leader), Lane::Control, &request)
            .await?;
        for topic in response.topics {
            for partition in topic.partitions {
                let place = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                let result = refusal::check(partition.error_code, None);
                results.insert(place, result.map(|()| partition.low_watermark));
            }
        }
    }
    Ok(results)
}
