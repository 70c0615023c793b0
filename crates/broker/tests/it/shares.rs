//! Share groups in bytes: members and their records, several readers of one partition, what survives a restart, offsets.

use std::collections::BTreeSet;
use std::time::Duration;

use protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use protocol::messages::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup;
use protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use protocol::messages::share_acknowledge_request::{
    AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch,
};
use protocol::messages::share_fetch_request::{
    AcknowledgementBatch as FetchAcknowledgementBatch, FetchPartition, FetchTopic,
};
use protocol::messages::share_fetch_response::PartitionData;
use protocol::messages::*;
use protocol::records::{BatchIterator, BatchOptions};
use protocol::{ErrorCode, Uuid};
use testkit::requests::{PRODUCE, batch, produce, topic};
use testkit::{RawClient, Server, eventually};

mod delivery;

const GROUP: &str = "workers";
const TOPIC: &str = "jobs";
/// `ConfigResource.Type.GROUP`.
const GROUP_RESOURCE: i8 = 32;
const FETCH: i16 = 2;
const ACKNOWLEDGE: i16 = 2;
pub(crate) const ACCEPT: i8 = 1;
const RELEASE: i8 = 2;
const REJECT: i8 = 3;
const RENEW: i8 = 4;

fn code(code: ErrorCode) -> i16 {
    code.into()
}

/// A member of the group, on a connection of its own.
pub(crate) struct Member {
    client: RawClient,
    id: String,
    topic: Uuid,
    epoch: i32,
    session: i32,
}

impl Member {
    /// Joins and waits for the partition.
    pub(crate) async fn join(server: &Server, id: &str) -> Self {
        let mut client = RawClient::connect(server.address()).await;
        let find = FindCoordinatorRequest {
            coordinator_keys: vec![GROUP.to_owned()],
            ..Default::default()
        };
        assert_eq!(client.call(&find, 6).await.coordinators[0].error_code, 0);
        let topic = topic_id(&mut client).await;
        let mut member = Self {
            client,
            id: id.to_owned(),
            topic,
            epoch: 0,
            session: 0,
        };
        let mut assigned = false;
        for _ in 0..500 {
            let answer = member.heartbeat().await;
            if answer.error_code == code(ErrorCode::CoordinatorLoadInProgress) {
                continue;
            }
            assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
            member.epoch = answer.member_epoch;
            let topics = answer
                .assignment
                .map(|assignment| assignment.topic_partitions);
            if topics.is_some_and(|topics| !topics.is_empty()) {
                assigned = true;
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(assigned, "was never assigned anything");
        member
    }

    async fn heartbeat(&mut self) -> ShareGroupHeartbeatResponse {
        let request = ShareGroupHeartbeatRequest {
            group_id: GROUP.to_owned(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            rack_id: None,
            subscribed_topic_names: (self.epoch == 0).then(|| vec![TOPIC.to_owned()]),
        };
        self.client.call(&request, 1).await
    }

    async fn leave(&mut self) {
        self.epoch = -1;
        let answer = self.heartbeat().await;
        assert_eq!((answer.error_code, answer.member_epoch), (0, -1));
    }

    fn request(&self, wait_ms: i32, max_records: i32) -> ShareFetchRequest {
        let partition = FetchPartition {
            partition_index: 0,
            acknowledgement_batches: Vec::new(),
        };
        ShareFetchRequest {
            group_id: Some(GROUP.to_owned()),
            member_id: Some(self.id.clone()),
            share_session_epoch: self.session,
            max_wait_ms: wait_ms,
            min_bytes: 1,
            max_bytes: 1024 * 1024,
            max_records,
            batch_size: max_records,
            topics: vec![FetchTopic {
                topic_id: self.topic,
                partitions: vec![partition],
            }],
            ..Default::default()
        }
    }

    async fn send(&mut self, request: &ShareFetchRequest) -> ShareFetchResponse {
        let answer = self.client.call(request, FETCH).await;
        if answer.error_code == 0 {
            self.session += 1;
        }
        answer
    }

    /// Reads; the ranges that were acquired with their delivery counts.
    pub(crate) async fn fetch(&mut self, wait_ms: i32, max_records: i32) -> Vec<(i64, i64, i16)> {
        let request = self.request(wait_ms, max_records);
        let answer = self.send(&request).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        acquired(&answer)
    }

    pub(crate) async fn acknowledge(&mut self, first: i64, last: i64, kind: i8) -> i16 {
        let request = ShareAcknowledgeRequest {
            group_id: Some(GROUP.to_owned()),
            member_id: Some(self.id.clone()),
            share_session_epoch: self.session,
            is_renew_ack: kind == RENEW,
            topics: vec![AcknowledgeTopic {
                topic_id: self.topic,
                partitions: vec![AcknowledgePartition {
                    partition_index: 0,
                    acknowledgement_batches: vec![AcknowledgementBatch {
                        first_offset: first,
                        last_offset: last,
                        acknowledge_types: vec![kind],
                    }],
                }],
            }],
        };
        let answer = self.client.call(&request, ACKNOWLEDGE).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        self.session += 1;
        answer.responses[0].partitions[0].error_code
    }
}

fn partition(answer: &ShareFetchResponse) -> Option<&PartitionData> {
    answer
        .responses
        .first()
        .and_then(|topic| topic.partitions.first())
}

fn acquired(answer: &ShareFetchResponse) -> Vec<(i64, i64, i16)> {
    let Some(data) = partition(answer) else {
        return Vec::new();
    };
    assert_eq!(data.error_code, 0, "{:?}", data.error_message);
    let ranges = data.acquired_records.iter();
    let ranges: Vec<_> = ranges
        .map(|range| (range.first_offset, range.last_offset, range.delivery_count))
        .collect();
    let bytes = data
        .records
        .clone()
        .unwrap_or_default()
        .into_bytes()
        .unwrap_or_default();
    let mut offsets = BTreeSet::new();
    for batch in BatchIterator::new(&bytes) {
        let batch = batch.unwrap();
        offsets.extend(batch.base_offset()..=batch.last_offset());
    }
    for (first, last, _) in &ranges {
        assert!(
            (*first..=*last).all(|offset| offsets.contains(&offset)),
            "{ranges:?}: {offsets:?}"
        );
    }
    ranges
}

async fn topic_id(client: &mut RawClient) -> Uuid {
    let request = MetadataRequest {
        topics: Some(vec![metadata_request::MetadataRequestTopic {
            name: Some(TOPIC.to_owned()),
            ..Default::default()
        }]),
        ..Default::default()
    };
    client.call(&request, 12).await.topics[0].topic_id
}

pub(crate) async fn configure(client: &mut RawClient, name: &str, value: &str) {
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: GROUP_RESOURCE,
            resource_name: GROUP.to_owned(),
            configs: vec![AlterableConfig {
                name: name.to_owned(),
                config_operation: 0,
                value: Some(value.to_owned()),
            }],
        }],
        ..Default::default()
    };
    let answer = client.call(&request, 1).await;
    assert_eq!(
        answer.responses[0].error_code, 0,
        "{:?}",
        answer.responses[0].error_message
    );
}

/// Batches of so many records each.
pub(crate) async fn send(client: &mut RawClient, counts: &[usize]) {
    for count in counts {
        let values = vec!["value"; *count];
        let answer = client
            .call(
                &produce(TOPIC, -1, batch(BatchOptions::default(), &values)),
                PRODUCE,
            )
            .await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
}

/// A broker with the topic, whose group begins at the earliest record.
async fn prepared(counts: &[usize]) -> (Server, RawClient) {
    let options =
        testkit::ServerOptions::default().set("group.share.min.record.lock.duration.ms", "1000");
    let server = Server::start_with(options).await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, TOPIC, &[]).await;
    configure(&mut client, "share.auto.offset.reset", "earliest").await;
    send(&mut client, counts).await;
    (server, client)
}

async fn offsets(client: &mut RawClient) -> (i64, i64) {
    let request = DescribeShareGroupOffsetsRequest {
        groups: vec![DescribeShareGroupOffsetsRequestGroup {
            group_id: GROUP.to_owned(),
            topics: None,
        }],
    };
    let answer = client.call(&request, 1).await;
    assert_eq!(answer.groups[0].error_code, 0);
    let topics = &answer.groups[0].topics;
    topics.first().map_or((-2, -2), |topic| {
        let partition = &topic.partitions[0];
        (partition.start_offset, partition.lag)
    })
}

#[tokio::test]
async fn two_members_share_a_partition_and_accepted_records_never_come_back() {
    let (server, mut client) = prepared(&[10, 10]).await;
    let mut a = Member::join(&server, "a").await;
    let mut b = Member::join(&server, "b").await;
    assert_eq!(a.fetch(5000, 10).await, [(0, 9, 1)]);
    assert_eq!(b.fetch(5000, 10).await, [(10, 19, 1)]);
    assert_eq!(
        a.acknowledge(10, 19, ACCEPT).await,
        code(ErrorCode::InvalidRecordState)
    );
    assert_eq!(
        a.acknowledge(0, 29, ACCEPT).await,
        code(ErrorCode::InvalidRequest)
    );
    assert_eq!(a.acknowledge(0, 4, ACCEPT).await, 0);
    assert_eq!(offsets(&mut client).await, (0, 15));
    assert_eq!(a.acknowledge(5, 6, RELEASE).await, 0);
    assert_eq!(a.acknowledge(7, 9, REJECT).await, 0);
    assert_eq!(b.fetch(5000, 10).await, [(5, 6, 2)]);
    assert_eq!(
        b.acknowledge(5, 19, ACCEPT).await,
        code(ErrorCode::InvalidRecordState)
    );
    assert_eq!(b.acknowledge(5, 6, ACCEPT).await, 0);
    assert_eq!(b.acknowledge(10, 19, ACCEPT).await, 0);
    assert_eq!(b.fetch(0, 10).await, []);
    send(&mut client, &[1]).await;
    assert_eq!(offsets(&mut client).await, (10, 1));
    assert_eq!(a.fetch(5000, 10).await, [(20, 20, 1)]);
    server.stop().await;
}

#[tokio::test]
async fn a_fetch_waits_for_records_and_for_released_ones() {
    let (server, mut client) = prepared(&[]).await;
    let mut a = Member::join(&server, "a").await;
    let mut b = Member::join(&server, "b").await;
    let request = a.request(20_000, 10);
    let correlation = a.client.request(&request, FETCH).await;
    send(&mut client, &[3]).await;
    let answer = a
        .client
        .response::<ShareFetchRequest>(FETCH, correlation)
        .await;
    a.session += 1;
    assert_eq!(acquired(&answer), [(0, 2, 1)]);
    let request = b.request(20_000, 10);
    let correlation = b.client.request(&request, FETCH).await;
    assert_eq!(a.acknowledge(1, 1, RELEASE).await, 0);
    let answer = b
        .client
        .response::<ShareFetchRequest>(FETCH, correlation)
        .await;
    b.session += 1;
    assert_eq!(acquired(&answer), [(1, 1, 2)]);
    // A connection that breaks gives back what its member had.
    let request = b.request(20_000, 10);
    let correlation = b.client.request(&request, FETCH).await;
    drop(a);
    let answer = b
        .client
        .response::<ShareFetchRequest>(FETCH, correlation)
        .await;
    assert_eq!(acquired(&answer), [(0, 0, 2), (2, 2, 2)]);
    server.stop().await;
}

#[tokio::test]
async fn locks_run_out_and_can_be_renewed() {
    let (server, mut client) = prepared(&[2]).await;
    configure(&mut client, "share.record.lock.duration.ms", "1000").await;
    let mut a = Member::join(&server, "a").await;
    let mut b = Member::join(&server, "b").await;
    assert_eq!(a.fetch(5000, 10).await, [(0, 1, 1)]);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(a.acknowledge(0, 0, RENEW).await, 0);
    assert_eq!(b.fetch(20_000, 10).await, [(1, 1, 2)]);
    assert_eq!(
        a.acknowledge(1, 1, ACCEPT).await,
        code(ErrorCode::InvalidRecordState)
    );
    assert_eq!(a.acknowledge(0, 0, ACCEPT).await, 0);
    server.stop().await;
}

#[tokio::test]
async fn acknowledgements_travel_with_a_fetch_and_a_record_limit_is_strict() {
    let (server, _client) = prepared(&[10]).await;
    let mut a = Member::join(&server, "a").await;
    let mut request = a.request(5000, 4);
    request.share_acquire_mode = 1;
    let answer = a.send(&request).await;
    assert_eq!(acquired(&answer), [(0, 3, 1)]);
    let mut request = a.request(5000, 4);
    request.share_acquire_mode = 1;
    request.topics[0].partitions[0].acknowledgement_batches = vec![FetchAcknowledgementBatch {
        first_offset: 0,
        last_offset: 3,
        acknowledge_types: vec![ACCEPT, REJECT, ACCEPT, RELEASE],
    }];
    let answer = a.send(&request).await;
    assert_eq!(partition(&answer).unwrap().acknowledge_error_code, 0);
    assert_eq!(
        acquired(&answer)
            .iter()
            .map(|(first, last, _)| last - first + 1)
            .sum::<i64>(),
        4
    );
    // Renewing reads nothing, and says so by its limits.
    let mut request = a.request(0, 0);
    request.is_renew_ack = true;
    let answer = a.send(&request).await;
    assert_eq!(answer.error_code, code(ErrorCode::InvalidRequest));
    server.stop().await;
}

#[tokio::test]
async fn sessions_are_refused_as_kafka_refuses_them() {
    let (server, _client) = prepared(&[1]).await;
    let mut a = Member::join(&server, "a").await;
    let cases = [
        (1, ErrorCode::ShareSessionNotFound),
        (-1, ErrorCode::ShareSessionNotFound),
        (0, ErrorCode::None),
        (2, ErrorCode::InvalidShareSessionEpoch),
        (1, ErrorCode::None),
        (-1, ErrorCode::None),
        (-1, ErrorCode::ShareSessionNotFound),
    ];
    for (epoch, expected) in cases {
        a.session = epoch;
        let request = a.request(0, 1);
        let answer = a.client.call(&request, FETCH).await;
        assert_eq!(answer.error_code, code(expected), "epoch {epoch}");
    }
    a.session = 0;
    let mut request = a.request(0, 1);
    request.member_id = Some("x".repeat(37));
    let answer = a.client.call(&request, FETCH).await;
    assert_eq!(answer.error_code, code(ErrorCode::InvalidRequest));
    let mut request = a.request(0, 1);
    request.topics[0].topic_id = Uuid([9; 16]);
    let answer = a.client.call(&request, FETCH).await;
    assert_eq!(
        partition(&answer).unwrap().error_code,
        code(ErrorCode::UnknownTopicId)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_what_was_accepted_and_how_often_records_were_delivered() {
    let (server, _client) = prepared(&[10]).await;
    let mut a = Member::join(&server, "a").await;
    assert_eq!(a.fetch(5000, 10).await, [(0, 9, 1)]);
    assert_eq!(a.acknowledge(0, 3, ACCEPT).await, 0);
    assert_eq!(a.acknowledge(6, 7, RELEASE).await, 0);
    let server = server.restart().await;
    let mut b = Member::join(&server, "b").await;
    // 4, 5, 8 and 9 were never heard of again, 6 and 7 were delivered once.
    let mut deliveries = Vec::new();
    while deliveries.len() < 6 {
        for (first, last, count) in b.fetch(5000, 10).await {
            deliveries.extend((first..=last).map(|offset| (offset, count)));
        }
    }
    deliveries.sort_unstable();
    assert_eq!(deliveries, [(4, 1), (5, 1), (6, 2), (7, 2), (8, 1), (9, 1)]);
    server.stop().await;
}

#[tokio::test]
async fn a_group_is_described_listed_altered_and_deleted() {
    let (server, mut client) = prepared(&[10]).await;
    let mut a = Member::join(&server, "a").await;
    assert_eq!(a.fetch(5000, 10).await, [(0, 9, 1)]);
    let describe = ShareGroupDescribeRequest {
        group_ids: vec![GROUP.to_owned(), "none".to_owned()],
        include_authorized_operations: false,
    };
    let answer = client.call(&describe, 1).await;
    assert_eq!(answer.groups[0].group_state, "Stable");
    assert_eq!(answer.groups[0].assignor_name, "simple");
    assert_eq!(
        answer.groups[0].members[0].assignment.topic_partitions[0].topic_name,
        TOPIC
    );
    assert_eq!(
        answer.groups[1].error_code,
        code(ErrorCode::GroupIdNotFound)
    );
    let list = ListGroupsRequest {
        types_filter: vec!["share".to_owned()],
        ..Default::default()
    };
    let answer = client.call(&list, 5).await;
    assert_eq!(answer.groups[0].group_id, GROUP);
    assert_eq!(
        (
            &*answer.groups[0].group_type,
            &*answer.groups[0].protocol_type
        ),
        ("share", "share")
    );

    let alter = AlterShareGroupOffsetsRequest {
        group_id: GROUP.to_owned(),
        topics: vec![AlterShareGroupOffsetsRequestTopic {
            topic_name: TOPIC.to_owned(),
            partitions: [0, 5]
                .map(|partition_index| AlterShareGroupOffsetsRequestPartition {
                    partition_index,
                    start_offset: 7,
                })
                .to_vec(),
        }],
    };
    let delete = DeleteGroupsRequest {
        groups_names: vec![GROUP.to_owned()],
    };
    assert_eq!(
        client.call(&alter, 0).await.error_code,
        code(ErrorCode::NonEmptyGroup)
    );
    assert_eq!(
        client.call(&delete, 2).await.results[0].error_code,
        code(ErrorCode::NonEmptyGroup)
    );
    a.leave().await;
    let answer = client.call(&alter, 0).await;
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    let codes = answer.responses[0]
        .partitions
        .iter()
        .map(|partition| partition.error_code);
    assert_eq!(
        codes.collect::<Vec<_>>(),
        [0, code(ErrorCode::UnknownTopicOrPartition)]
    );
    assert_eq!(offsets(&mut client).await, (7, 3));
    // The session of the member that left is still there; its partition was fenced by the new state.
    drop(a);
    let mut b = Member::join(&server, "b").await;
    eventually("the group reads from the altered offset", async || {
        b.fetch(1000, 10)
            .await
            .first()
            .is_some_and(|(first, ..)| *first == 7)
    })
    .await;
    assert_eq!(b.acknowledge(7, 9, ACCEPT).await, 0);
    b.leave().await;
    drop(b);
    let forget = DeleteShareGroupOffsetsRequest {
        group_id: GROUP.to_owned(),
        topics: ["jobs", "none"]
            .map(|name| DeleteShareGroupOffsetsRequestTopic {
                topic_name: name.to_owned(),
            })
            .to_vec(),
    };
    let answer = client.call(&forget, 0).await;
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    let codes = answer.responses.iter().map(|topic| topic.error_code);
    assert_eq!(
        codes.collect::<Vec<_>>(),
        [0, code(ErrorCode::UnknownTopicOrPartition)]
    );
    assert_eq!(offsets(&mut client).await, (-2, -2));
    assert_eq!(client.call(&delete, 2).await.results[0].error_code, 0);
    assert_eq!(
        client.call(&delete, 2).await.results[0].error_code,
        code(ErrorCode::GroupIdNotFound)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_start_offset_may_lie_behind_everything_or_be_that_of_the_reset_strategy() {
    let (server, mut client) = prepared(&[10]).await;
    let find = FindCoordinatorRequest {
        coordinator_keys: vec![GROUP.to_owned()],
        ..Default::default()
    };
    assert_eq!(client.call(&find, 6).await.coordinators[0].error_code, 0);
    for (start_offset, expected) in [(i64::MAX, vec![]), (-1, vec![(0, 9, 1)])] {
        let alter = AlterShareGroupOffsetsRequest {
            group_id: GROUP.to_owned(),
            topics: vec![AlterShareGroupOffsetsRequestTopic {
                topic_name: TOPIC.to_owned(),
                partitions: vec![AlterShareGroupOffsetsRequestPartition {
                    partition_index: 0,
                    start_offset,
                }],
            }],
        };
        eventually("the start offset is altered", async || {
            let answer = client.call(&alter, 0).await;
            answer.error_code == 0 && answer.responses[0].partitions[0].error_code == 0
        })
        .await;
        let mut a = Member::join(&server, "a").await;
        // No error, and no records either if there are none so far out.
        assert_eq!(a.fetch(1000, 10).await, expected, "{start_offset}");
        a.leave().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn classic_members_cannot_join_a_share_group_even_when_it_is_empty() {
    let (server, mut client) = prepared(&[1]).await;
    let mut a = Member::join(&server, "a").await;
    let join = |member_id: &str| JoinGroupRequest {
        group_id: GROUP.to_owned(),
        member_id: member_id.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![join_group_request::JoinGroupRequestProtocol {
            name: "range".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    for is_empty in [false, true] {
        if is_empty {
            a.leave().await;
        }
        for member_id in ["", "a"] {
            let answer = client.call(&join(member_id), 9).await;
            assert_eq!(
                (answer.error_code, answer.member_id.as_str()),
                (code(ErrorCode::InconsistentGroupProtocol), ""),
                "as {member_id:?}, empty: {is_empty}"
            );
        }
    }
    // It is still a share group.
    let mut b = Member::join(&server, "b").await;
    assert_eq!(b.fetch(5000, 10).await, [(0, 0, 1)]);
    server.stop().await;
}
