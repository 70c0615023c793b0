//! ListOffsets, key 2, versions 1 to 11.
//!
//! * v2: isolation level.
//! * v4: leader epochs, in the request and in the answer (KIP-320).
//! * v7: the record with the largest timestamp, -3 (KIP-734).
//! * v8: the first offset on local disks, -4 (KIP-405).
//! * v9: the last offset in remote storage, -5 (KIP-1005).
//! * v10: a timeout for answers from remote storage, of which there is none.
//! * v11: the first offset not yet in remote storage, -6 (KIP-1023).
//!
//! A special timestamp in a version below its own is UNSUPPORTED_VERSION (`ReplicaManager.fetchOffset`).

use std::sync::Arc;

use hashbrown::HashSet;
use metadata::ClusterImage;
use protocol::ErrorCode;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use storage::{Isolation, LogOffsets, TimestampQuery};
use types::{LeaderEpoch, Offset, Timestamp};

use crate::context::Context;
use crate::handlers::{blocking, errors};
use crate::topics::{LedPartition, Topics};

/// `ListOffsetsRequest.CONSUMER_REPLICA_ID`: whoever says something else is a replica or a debugging tool.
const CONSUMER: i32 = -1;
/// The first version whose answer has leader epochs.
const LEADER_EPOCH_SINCE: i16 = 4;

/// What a timestamp of the request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// The first offset.
    Earliest,
    /// The end of what the client may read.
    Latest,
    /// Something about remote storage, which there is none of: offset -1, without an error.
    Tiered,
    /// A record by its timestamp.
    Record(TimestampQuery),
}

/// An answer without an error. The defaults of the wire, -1, stand for what there is not.
#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    offset: Option<Offset>,
    timestamp: Option<Timestamp>,
    leader_epoch: Option<LeaderEpoch>,
}

pub(crate) async fn handle(
    context: Context,
    request: ListOffsetsRequest,
    topics: Arc<Topics>,
) -> ListOffsetsResponse {
    let mut partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
    if partitions.any(|partition| {
        matches!(
            question(partition.timestamp, context.version),
            Some(Question::Record(_))
        )
    }) {
        // To find a record by its timestamp, the log reads its indexes and a piece of a segment.
        let env = topics.env.clone();
        blocking::run(&env, move || answer_all(&context, &request, &topics)).await
    } else {
        answer_all(&context, &request, &topics)
    }
}

fn answer_all(
    context: &Context,
    request: &ListOffsetsRequest,
    topics: &Topics,
) -> ListOffsetsResponse {
    let image = topics.image();
    let duplicates = duplicates(&request.topics);
    // A partition that is named twice is answered once.
    let mut refused: HashSet<(&str, i32)> = HashSet::new();
    let mut response = ListOffsetsResponse::default();
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let name = (topic.name.as_str(), partition.partition_index);
            let answer = if !duplicates.contains(&name) {
                answer(context, request, topics, &image, &topic.name, partition)
            } else if refused.insert(name) {
                Err(ErrorCode::InvalidRequest)
            } else {
                continue;
            };
            partitions.push(partition_response(
                context.version,
                partition.partition_index,
                answer,
            ));
        }
        response.topics.push(ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions,
        });
    }
    response
}

fn duplicates(topics: &[ListOffsetsTopic]) -> HashSet<(&str, i32)> {
    let mut seen = HashSet::new();
    let named = topics.iter().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(|partition| (&*topic.name, partition.partition_index))
    });
    named.filter(|name| !seen.insert(*name)).collect()
}

fn answer(
    context: &Context,
    request: &ListOffsetsRequest,
    topics: &Topics,
    image: &ClusterImage,
    name: &str,
    partition: &ListOffsetsPartition,
) -> Result<Answer, ErrorCode> {
    let question =
        question(partition.timestamp, context.version).ok_or(ErrorCode::UnsupportedVersion)?;
    let led = Topics::by_name(image, name)
        .and_then(|topic| {
            topics.leading(
                topic,
                partition.partition_index,
                partition.current_leader_epoch,
            )
        })
        .map_err(errors::partition)?;
    let isolation = if request.isolation_level == 1 {
        Isolation::ReadCommitted
    } else {
        Isolation::ReadUncommitted
    };
    let offsets = led.log.offsets();
    match question {
        Question::Earliest => Ok(earliest(&led, offsets)),
        Question::Latest => {
            let end = match isolation {
                _ if request.replica_id != CONSUMER => offsets.log_end,
                Isolation::ReadCommitted => offsets.last_stable,
                Isolation::ReadUncommitted => offsets.high_watermark,
            };
            Ok(Answer {
                offset: Some(end),
                leader_epoch: Some(led.epoch),
                timestamp: None,
            })
        }
        Question::Tiered => Ok(Answer::default()),
        Question::Record(query) => {
            let found = led.log.offset_for_timestamp(query, isolation).map_err(|error| {
                tracing::warn!(%error, topic = name, partition = partition.partition_index, "could not look up a timestamp");
                errors::read(&error)
            })?;
            Ok(found.map_or_else(Answer::default, |record| Answer {
                offset: Some(record.offset),
                timestamp: Some(record.timestamp),
                leader_epoch: record.leader_epoch,
            }))
        }
    }
}

/// An empty log answers with the current epoch: its history begins where its leader began.
fn earliest(led: &LedPartition, offsets: LogOffsets) -> Answer {
    let epoch = if offsets.log_start == offsets.log_end {
        Some(led.epoch)
    } else {
        led.log.epoch_at(offsets.log_start)
    };
    Answer {
        offset: Some(offsets.log_start),
        leader_epoch: epoch,
        timestamp: None,
    }
}

/// What `timestamp` means in `version`; `None` if nothing.
fn question(timestamp: i64, version: i16) -> Option<Question> {
    let (question, since) = match timestamp {
        0.. => (
            Question::Record(TimestampQuery::AtLeast(Timestamp::from_ms(timestamp))),
            0,
        ),
        -1 => (Question::Latest, 1),
        -2 => (Question::Earliest, 1),
        -3 => (Question::Record(TimestampQuery::Largest), 7),
        // Everything is on local disks.
        -4 => (Question::Earliest, 8),
        -5 => (Question::Tiered, 9),
        -6 => (Question::Tiered, 11),
        _ => return None,
    };
    (version >= since).then_some(question)
}

fn partition_response(
    version: i16,
    index: i32,
    answer: Result<Answer, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let (error, answer) = match answer {
        Ok(answer) => (ErrorCode::None, answer),
        Err(error) => (error, Answer::default()),
    };
    let leader_epoch = answer
        .leader_epoch
        .filter(|_epoch| version >= LEADER_EPOCH_SINCE);
    ListOffsetsPartitionResponse {
        partition_index: index,
        error_code: error.into(),
        timestamp: answer.timestamp.map_or(-1, Timestamp::ms),
        offset: answer.offset.map_or(-1, Offset::value),
        leader_epoch: leader_epoch.map_or(-1, LeaderEpoch::value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::Fixture;

    const LATEST: i64 = -1;
    const EARLIEST: i64 = -2;
    const LARGEST_TIMESTAMP: i64 = -3;
    const EARLIEST_LOCAL: i64 = -4;
    const LATEST_TIERED: i64 = -5;
    const EARLIEST_PENDING_UPLOAD: i64 = -6;

    fn partition(index: i32, timestamp: i64) -> ListOffsetsPartition {
        ListOffsetsPartition {
            partition_index: index,
            timestamp,
            ..Default::default()
        }
    }

    fn request(partitions: Vec<ListOffsetsPartition>) -> ListOffsetsRequest {
        let topics = vec![ListOffsetsTopic {
            name: "events".to_owned(),
            partitions,
        }];
        ListOffsetsRequest {
            replica_id: CONSUMER,
            topics,
            ..Default::default()
        }
    }

    async fn ask(
        fixture: &Fixture,
        version: i16,
        request: ListOffsetsRequest,
    ) -> Vec<ListOffsetsPartitionResponse> {
        let mut response = handle(fixture.context(version), request, fixture.topics()).await;
        response.topics.swap_remove(0).partitions
    }

    /// Error, offset, timestamp and epoch of one partition.
    async fn ask_one(
        fixture: &Fixture,
        version: i16,
        asked: ListOffsetsPartition,
    ) -> (i16, i64, i64, i32) {
        let answers = ask(fixture, version, request(vec![asked])).await;
        let [answer] = answers.as_slice() else {
            panic!("one answer, not {answers:?}")
        };
        (
            answer.error_code,
            answer.offset,
            answer.timestamp,
            answer.leader_epoch,
        )
    }

    #[tokio::test]
    async fn an_empty_partition_begins_and_ends_at_zero() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let epoch = fixture.epoch();
        assert_eq!(
            ask_one(&fixture, 11, partition(0, LATEST)).await,
            (0, 0, -1, epoch)
        );
        assert_eq!(
            ask_one(&fixture, 11, partition(0, EARLIEST)).await,
            (0, 0, -1, epoch)
        );
        assert_eq!(
            ask_one(&fixture, 11, partition(0, LARGEST_TIMESTAMP)).await,
            (0, -1, -1, -1)
        );
        assert_eq!(
            ask_one(&fixture, 11, partition(0, 0)).await,
            (0, -1, -1, -1)
        );
    }

    #[tokio::test]
    async fn offsets_are_found_by_time_and_by_name() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        // Timestamps need not be in order.
        fixture
            .produce("events", 0, &[(1000, "a"), (3000, "b"), (2000, "c")])
            .await;
        fixture.produce("events", 0, &[(2500, "d")]).await;
        let epoch = fixture.epoch();
        for (timestamp, expected) in [
            (LATEST, (0, 4, -1, epoch)),
            (EARLIEST, (0, 0, -1, epoch)),
            (EARLIEST_LOCAL, (0, 0, -1, epoch)),
            (LARGEST_TIMESTAMP, (0, 1, 3000, epoch)),
            (LATEST_TIERED, (0, -1, -1, -1)),
            (EARLIEST_PENDING_UPLOAD, (0, -1, -1, -1)),
            (0, (0, 0, 1000, epoch)),
            (1001, (0, 1, 3000, epoch)),
            (3000, (0, 1, 3000, epoch)),
            (3001, (0, -1, -1, -1)),
        ] {
            assert_eq!(
                ask_one(&fixture, 11, partition(0, timestamp)).await,
                expected,
                "{timestamp}"
            );
        }
    }

    #[tokio::test]
    async fn versions_without_leader_epochs_get_none() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        for version in 1..=11 {
            let epoch = if version >= 4 { fixture.epoch() } else { -1 };
            assert_eq!(
                ask_one(&fixture, version, partition(0, LATEST)).await,
                (0, 0, -1, epoch),
                "{version}"
            );
        }
    }

    #[tokio::test]
    async fn a_special_timestamp_below_its_version_is_refused() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        for (timestamp, since) in [
            (LATEST, 1),
            (EARLIEST, 1),
            (LARGEST_TIMESTAMP, 7),
            (EARLIEST_LOCAL, 8),
            (LATEST_TIERED, 9),
            (EARLIEST_PENDING_UPLOAD, 11),
            (-7, 99),
            (i64::MIN, 99),
        ] {
            for version in 1..=11 {
                let (error, ..) = ask_one(&fixture, version, partition(0, timestamp)).await;
                let expected = if version >= since {
                    ErrorCode::None
                } else {
                    ErrorCode::UnsupportedVersion
                };
                assert_eq!(
                    error,
                    expected.code(),
                    "timestamp {timestamp} in version {version}"
                );
            }
        }
    }

    #[tokio::test]
    async fn partitions_that_are_not_there_or_not_here_are_refused() {
        // Started twice, so that there is an epoch below the current one.
        let fixture = Fixture::new().await.restart().await;
        fixture.create_topic("events", 3).await;
        fixture.ownership.move_away("events", 1);
        let known = |epoch| ListOffsetsPartition {
            current_leader_epoch: epoch,
            ..partition(0, LATEST)
        };
        let epoch = fixture.epoch();
        for (asked, expected) in [
            (partition(3, LATEST), ErrorCode::UnknownTopicOrPartition),
            (partition(-1, LATEST), ErrorCode::UnknownTopicOrPartition),
            (partition(1, LATEST), ErrorCode::NotLeaderOrFollower),
            (partition(1, 1000), ErrorCode::NotLeaderOrFollower),
            (known(epoch - 1), ErrorCode::FencedLeaderEpoch),
            (known(epoch), ErrorCode::None),
            (known(epoch + 1), ErrorCode::UnknownLeaderEpoch),
        ] {
            let (error, ..) = ask_one(&fixture, 11, asked.clone()).await;
            assert_eq!(error, expected.code(), "{asked:?}");
        }
        let mut missing = request(vec![partition(0, LATEST)]);
        missing.topics[0].name = "missing".to_owned();
        let answers = ask(&fixture, 11, missing).await;
        assert_eq!(
            answers[0].error_code,
            ErrorCode::UnknownTopicOrPartition.code()
        );
    }

    #[tokio::test]
    async fn a_partition_that_is_named_twice_is_answered_once_and_refused() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 2).await;
        let asked = vec![
            partition(0, LATEST),
            partition(1, LATEST),
            partition(0, EARLIEST),
        ];
        let answers = ask(&fixture, 11, request(asked)).await;
        let codes: Vec<_> = answers
            .iter()
            .map(|answer| (answer.partition_index, answer.error_code))
            .collect();
        assert_eq!(codes, [(0, ErrorCode::InvalidRequest.code()), (1, 0)]);
    }
}
