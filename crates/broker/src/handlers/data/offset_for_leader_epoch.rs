//! OffsetForLeaderEpoch, key 23, versions 2 to 4: where the records of a leader epoch end, by which consumers find out
//! that a log was cut behind their back (KIP-320).
//!
//! * v2: the client's current leader epoch, which fences.
//! * v3: the replica id. All answers are the leader's, whoever asks.
//!
//! `LeaderEpochFileCache.endOffsetFor`: the current epoch ends at the log end; one above it is unknown (-1, -1); one
//! below ends where the next known one begins.

use std::sync::Arc;

use metadata::ClusterImage;
use protocol::ErrorCode;
use protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use storage::EpochEnd;
use types::LeaderEpoch;

use crate::context::Context;
use crate::handlers::errors;
use crate::topics::Topics;

pub(crate) async fn handle(
    _context: Context,
    request: OffsetForLeaderEpochRequest,
    topics: Arc<Topics>,
) -> OffsetForLeaderEpochResponse {
    let image = topics.image();
    let mut response = OffsetForLeaderEpochResponse::default();
    for topic in request.topics {
        let answer = |partition: &OffsetForLeaderPartition| {
            let end = epoch_end(&topics, &image, &topic.topic, partition);
            partition_response(partition.partition, end)
        };
        let partitions = topic.partitions.iter().map(answer).collect();
        response.topics.push(OffsetForLeaderTopicResult {
            topic: topic.topic,
            partitions,
        });
    }
    response
}

fn epoch_end(
    topics: &Topics,
    image: &ClusterImage,
    name: &str,
    partition: &OffsetForLeaderPartition,
) -> Result<Option<EpochEnd>, ErrorCode> {
    let led = Topics::by_name(image, name)
        .and_then(|topic| {
            topics.leading(topic, partition.partition, partition.current_leader_epoch)
        })
        .map_err(errors::partition)?;
    Ok(LeaderEpoch::new(partition.leader_epoch)
        .and_then(|epoch| led.log.end_offset_for_epoch(epoch)))
}

fn partition_response(partition: i32, end: Result<Option<EpochEnd>, ErrorCode>) -> EpochEndOffset {
    let (error, end) = match end {
        Ok(end) => (ErrorCode::None, end),
        Err(error) => (error, None),
    };
    EpochEndOffset {
        error_code: error.into(),
        partition,
        leader_epoch: end.map_or(-1, |end| end.epoch.value()),
        end_offset: end.map_or(-1, |end| end.end.value()),
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderTopic;

    use super::*;
    use crate::handlers::fixture::Fixture;

    async fn ask(
        fixture: &Fixture,
        name: &str,
        partition: OffsetForLeaderPartition,
    ) -> (i16, i32, i64) {
        let topics = vec![OffsetForLeaderTopic {
            topic: name.to_owned(),
            partitions: vec![partition],
        }];
        let request = OffsetForLeaderEpochRequest {
            topics,
            ..Default::default()
        };
        let response = handle(fixture.context(4), request, fixture.topics()).await;
        let end = &response.topics[0].partitions[0];
        (end.error_code, end.leader_epoch, end.end_offset)
    }

    fn partition(index: i32, leader_epoch: i32) -> OffsetForLeaderPartition {
        OffsetForLeaderPartition {
            partition: index,
            current_leader_epoch: -1,
            leader_epoch,
        }
    }

    #[tokio::test]
    async fn the_current_epoch_ends_at_the_log_end_and_later_ones_are_unknown() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let epoch = fixture.epoch();
        assert_eq!(
            ask(&fixture, "events", partition(0, epoch)).await,
            (0, epoch, 0)
        );
        fixture.produce("events", 0, &[(1, "a"), (2, "b")]).await;
        assert_eq!(
            ask(&fixture, "events", partition(0, epoch)).await,
            (0, epoch, 2)
        );
        assert_eq!(
            ask(&fixture, "events", partition(0, epoch + 1)).await,
            (0, -1, -1)
        );
        assert_eq!(ask(&fixture, "events", partition(0, -1)).await, (0, -1, -1));
    }

    #[tokio::test]
    async fn an_epoch_ends_where_the_next_one_begins() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        fixture.produce("events", 0, &[(1, "a"), (2, "b")]).await;
        let first = fixture.epoch();
        let fixture = fixture.restart().await;
        // Nothing was written in the second epoch, but it began.
        assert_eq!(
            ask(&fixture, "events", partition(0, first)).await,
            (0, first, 2)
        );
        fixture.produce("events", 0, &[(3, "c")]).await;
        assert_eq!(
            ask(&fixture, "events", partition(0, first)).await,
            (0, first, 2)
        );
        assert_eq!(
            ask(&fixture, "events", partition(0, first + 1)).await,
            (0, first + 1, 3)
        );
    }

    #[tokio::test]
    async fn partitions_that_are_not_there_or_not_here_are_refused() {
        // Started twice, so that there is an epoch below the current one.
        let fixture = Fixture::new().await.restart().await;
        fixture.create_topic("events", 2).await;
        fixture.ownership.move_away("events", 1);
        let epoch = fixture.epoch();
        let known = |epoch| OffsetForLeaderPartition {
            current_leader_epoch: epoch,
            ..partition(0, 0)
        };
        for (name, asked, expected) in [
            (
                "missing",
                partition(0, epoch),
                ErrorCode::UnknownTopicOrPartition,
            ),
            (
                "events",
                partition(2, epoch),
                ErrorCode::UnknownTopicOrPartition,
            ),
            (
                "events",
                partition(1, epoch),
                ErrorCode::NotLeaderOrFollower,
            ),
            ("events", known(epoch - 1), ErrorCode::FencedLeaderEpoch),
            ("events", known(epoch + 1), ErrorCode::UnknownLeaderEpoch),
        ] {
            assert_eq!(
                ask(&fixture, name, asked.clone()).await,
                (expected.code(), -1, -1),
                "{name} {asked:?}"
            );
        }
    }
}
