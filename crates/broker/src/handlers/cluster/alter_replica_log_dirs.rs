//! AlterReplicaLogDirs, key 34, versions 1 to 2 (2: flexible).
//!
//! There is one directory. Moving a partition to where it is succeeds; other directories are LOG_DIR_NOT_FOUND. The order
//! of the checks is Kafka's: the name of the topic, the directory, the partition (`ReplicaManager.alterReplicaLogDirs`).

use std::sync::Arc;

use hashbrown::HashMap;
use metadata::ClusterImage;
use protocol::ErrorCode;
use protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};

use crate::context::Context;
use crate::topics::{PartitionError, Topics};

/// The longest name of a directory in Kafka, and what it adds to the partition's name while a partition moves
/// (`UnifiedLog.logFutureDirName`): a dot, 32 hexadecimal digits, `-future`.
const DIRECTORY_NAME_LENGTH_MAX: usize = 255;
const FUTURE_SUFFIX_LENGTH: usize = 1 + 32 + "-future".len();

pub(crate) async fn handle(
    _context: Context,
    request: AlterReplicaLogDirsRequest,
    topics: Arc<Topics>,
) -> AlterReplicaLogDirsResponse {
    // A partition that is named twice goes where the last mention says.
    let mut wanted: HashMap<(&str, i32), &str> = HashMap::new();
    for directory in &request.dirs {
        for topic in &directory.topics {
            for &partition in &topic.partitions {
                wanted.insert((&topic.name, partition), &directory.path);
            }
        }
    }
    let image = topics.image();
    let mut results: Vec<AlterReplicaLogDirTopicResult> = Vec::new();
    let mut positions: HashMap<&str, usize> = HashMap::new();
    for directory in &request.dirs {
        for topic in &directory.topics {
            for &partition_index in &topic.partitions {
                let name = topic.name.as_str();
                let Some(path) = wanted.remove(&(name, partition_index)) else {
                    continue;
                };
                let error_code = alter(&topics, &image, name, partition_index, path).into();
                let position = *positions.entry(name).or_insert_with(|| {
                    results.push(AlterReplicaLogDirTopicResult {
                        topic_name: name.to_owned(),
                        ..Default::default()
                    });
                    results.len() - 1
                });
                results[position]
                    .partitions
                    .push(AlterReplicaLogDirPartitionResult {
                        partition_index,
                        error_code,
                    });
            }
        }
    }
    AlterReplicaLogDirsResponse {
        results,
        ..Default::default()
    }
}

fn alter(
    topics: &Topics,
    image: &ClusterImage,
    name: &str,
    partition: i32,
    path: &str,
) -> ErrorCode {
    let directory_name = format!("{name}-{partition}");
    if directory_name.len() + FUTURE_SUFFIX_LENGTH > DIRECTORY_NAME_LENGTH_MAX {
        return ErrorCode::InvalidTopicException;
    }
    let own = topics.config.absolute_data_directory();
    if own.as_os_str() != path {
        return ErrorCode::LogDirNotFound;
    }
    let Some(topic) = image.topic(name) else {
        return ErrorCode::UnknownTopicOrPartition;
    };
    match topics.owner(topic, partition) {
        Ok(owner) if owner.leader == Some(topics.broker_id()) => ErrorCode::None,
        // Kafka keeps this code for clients from before there was another one.
        Ok(_) => ErrorCode::ReplicaNotAvailable,
        Err(PartitionError::Storage) => ErrorCode::KafkaStorageError,
        Err(_) => ErrorCode::UnknownTopicOrPartition,
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::alter_replica_log_dirs_request::{
        AlterReplicaLogDir, AlterReplicaLogDirTopic,
    };

    use super::*;
    use crate::handlers::fixture::Fixture;

    fn directory(path: &str, name: &str, partitions: &[i32]) -> AlterReplicaLogDir {
        AlterReplicaLogDir {
            path: path.to_owned(),
            topics: vec![AlterReplicaLogDirTopic {
                name: name.to_owned(),
                partitions: partitions.to_vec(),
            }],
        }
    }

    #[tokio::test]
    async fn a_partition_can_only_stay_where_it_is() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 2).await;
        fixture.ownership.move_away("events", 1);
        let topics = fixture.topics();
        let own = topics.config.absolute_data_directory();
        let own = own.to_str().unwrap();
        let long = "x".repeat(249);
        for (path, topic, partition, expected) in [
            (own, "events", 0, ErrorCode::None),
            (own, "events", 1, ErrorCode::ReplicaNotAvailable),
            (own, "events", 2, ErrorCode::UnknownTopicOrPartition),
            (own, "missing", 0, ErrorCode::UnknownTopicOrPartition),
            (own, long.as_str(), 0, ErrorCode::InvalidTopicException),
            ("/elsewhere", "events", 0, ErrorCode::LogDirNotFound),
            ("/elsewhere", "missing", 0, ErrorCode::LogDirNotFound),
            ("", "events", 0, ErrorCode::LogDirNotFound),
        ] {
            let request = AlterReplicaLogDirsRequest {
                dirs: vec![directory(path, topic, &[partition])],
            };
            let response = handle(fixture.context(2), request, fixture.topics()).await;
            let code = response.results[0].partitions[0].error_code;
            assert_eq!(code, expected.code(), "{topic}-{partition} to {path}");
        }
    }

    #[tokio::test]
    async fn of_two_mentions_the_last_counts_and_each_partition_is_told_once() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 2).await;
        let topics = fixture.topics();
        let own = topics.config.absolute_data_directory();
        let request = AlterReplicaLogDirsRequest {
            dirs: vec![
                directory("/elsewhere", "events", &[0, 1]),
                directory(own.to_str().unwrap(), "events", &[0]),
            ],
        };
        let response = handle(fixture.context(2), request, fixture.topics()).await;
        let [topic] = response.results.as_slice() else {
            panic!("one topic")
        };
        let codes = topic.partitions.iter();
        let codes: Vec<_> = codes
            .map(|one| (one.partition_index, one.error_code))
            .collect();
        assert_eq!(codes, [(0, 0), (1, ErrorCode::LogDirNotFound.code())]);
    }
}
