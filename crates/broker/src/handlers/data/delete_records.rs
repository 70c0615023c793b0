//! DeleteRecords, key 21, versions 0 to 2 (2: flexible). Moves the start of a log, at once for readers.
//!
//! `Partition.deleteRecordsOnLeader`, `ReplicaManager.deleteRecordsOnLocalLog`: an offset of -1 is the high watermark; one
//! above it is OFFSET_OUT_OF_RANGE; one below the log start changes nothing. Topics that are only compacted refuse
//! (POLICY_VIOLATION), internal topics too (INVALID_TOPIC_EXCEPTION). The answer has the low watermark, which with one
//! replica is the log start.

use std::sync::Arc;

use metadata::ClusterImage;
use protocol::ErrorCode;
use protocol::messages::delete_records_request::DeleteRecordsPartition;
use protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use types::Offset;

use crate::context::Context;
use crate::handlers::{blocking, errors};
use crate::topics::Topics;

/// `DeleteRecordsRequest.HIGH_WATERMARK`.
const TO_HIGH_WATERMARK: i64 = -1;
/// `DeleteRecordsResponse.INVALID_LOW_WATERMARK`.
const NO_LOW_WATERMARK: i64 = -1;

pub(crate) async fn handle(
    _context: Context,
    request: DeleteRecordsRequest,
    topics: Arc<Topics>,
) -> DeleteRecordsResponse {
    // Segments that hold nothing else are deleted.
    let env = topics.env.clone();
    blocking::run(&env, move || delete_all(&topics, request)).await
}

fn delete_all(topics: &Topics, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let image = topics.image();
    let mut response = DeleteRecordsResponse::default();
    for topic in request.topics {
        let answer = |partition: &DeleteRecordsPartition| {
            let outcome = delete(topics, &image, &topic.name, partition);
            DeleteRecordsPartitionResult {
                partition_index: partition.partition_index,
                low_watermark: outcome.map_or(NO_LOW_WATERMARK, Offset::value),
                error_code: outcome.err().unwrap_or(ErrorCode::None).into(),
            }
        };
        let partitions = topic.partitions.iter().map(answer).collect();
        response.topics.push(DeleteRecordsTopicResult {
            name: topic.name,
            partitions,
        });
    }
    response
}

fn delete(
    topics: &Topics,
    image: &ClusterImage,
    name: &str,
    partition: &DeleteRecordsPartition,
) -> Result<Offset, ErrorCode> {
    let topic = Topics::by_name(image, name).map_err(errors::partition)?;
    topics
        .owner(topic, partition.partition_index)
        .map_err(errors::partition)?;
    if topic.internal {
        return Err(ErrorCode::InvalidTopicException);
    }
    let led = topics
        .leading(topic, partition.partition_index, -1)
        .map_err(errors::partition)?;
    let policy = topic.resolved.cleanup_policy;
    if policy.compact && !policy.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let before = match partition.offset {
        TO_HIGH_WATERMARK => None,
        offset => Some(Offset::new(offset).ok_or(ErrorCode::OffsetOutOfRange)?),
    };
    led.log.delete_records(before).map_err(|error| {
        tracing::debug!(%error, topic = name, partition = partition.partition_index, "records were not deleted");
        errors::delete_records(&error)
    })
}

#[cfg(test)]
mod tests {
    use protocol::messages::delete_records_request::DeleteRecordsTopic;

    use super::*;
    use crate::handlers::fixture::Fixture;

    async fn ask(fixture: &Fixture, name: &str, partition: i32, offset: i64) -> (i16, i64) {
        let partitions = vec![DeleteRecordsPartition {
            partition_index: partition,
            offset,
        }];
        let topics = vec![DeleteRecordsTopic {
            name: name.to_owned(),
            partitions,
        }];
        let request = DeleteRecordsRequest {
            topics,
            ..Default::default()
        };
        let response = handle(fixture.context(2), request, fixture.topics()).await;
        let result = &response.topics[0].partitions[0];
        assert_eq!(result.partition_index, partition);
        (result.error_code, result.low_watermark)
    }

    fn log_start(fixture: &Fixture, name: &str) -> i64 {
        fixture.log(name, 0).offsets().log_start.value()
    }

    #[tokio::test]
    async fn the_log_start_moves_at_once() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        fixture
            .produce("events", 0, &[(1, "a"), (2, "b"), (3, "c")])
            .await;
        assert_eq!(ask(&fixture, "events", 0, 2).await, (0, 2));
        assert_eq!(log_start(&fixture, "events"), 2);
        // It never moves back.
        assert_eq!(ask(&fixture, "events", 0, 1).await, (0, 2));
        assert_eq!(ask(&fixture, "events", 0, -1).await, (0, 3));
        assert_eq!(log_start(&fixture, "events"), 3);
    }

    #[tokio::test]
    async fn offsets_that_are_not_there_are_refused() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        fixture.produce("events", 0, &[(1, "a")]).await;
        for offset in [2, i64::MAX, -2, i64::MIN] {
            assert_eq!(
                ask(&fixture, "events", 0, offset).await,
                (ErrorCode::OffsetOutOfRange.code(), -1),
                "{offset}"
            );
        }
        assert_eq!(log_start(&fixture, "events"), 0);
    }

    #[tokio::test]
    async fn topics_that_are_only_compacted_and_internal_ones_keep_their_records() {
        let fixture = Fixture::new().await;
        for (name, policy, expected) in [
            ("compacted", "compact", ErrorCode::PolicyViolation),
            ("both", "compact,delete", ErrorCode::None),
            ("kept", "", ErrorCode::None),
            (
                "__consumer_offsets",
                "delete",
                ErrorCode::InvalidTopicException,
            ),
        ] {
            fixture
                .create_topic_with(name, 1, &[("cleanup.policy", policy)])
                .await;
            assert_eq!(ask(&fixture, name, 0, 0).await.0, expected.code(), "{name}");
        }
    }

    #[tokio::test]
    async fn partitions_that_are_not_there_or_not_here_are_refused() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 2).await;
        fixture.ownership.move_away("events", 1);
        for (name, partition, expected) in [
            ("missing", 0, ErrorCode::UnknownTopicOrPartition),
            ("events", 2, ErrorCode::UnknownTopicOrPartition),
            ("events", 1, ErrorCode::NotLeaderOrFollower),
        ] {
            assert_eq!(
                ask(&fixture, name, partition, 0).await,
                (expected.code(), -1),
                "{name}-{partition}"
            );
        }
    }
}
