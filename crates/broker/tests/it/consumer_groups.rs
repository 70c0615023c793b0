//! Consumer groups (KIP-848) in bytes: what members are told, what administrators see, and what survives a restart.

use protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use protocol::messages::*;
use protocol::{ErrorCode, Uuid};
use testkit::requests::topic;
use testkit::{RawClient, Server, eventually};

fn code(code: ErrorCode) -> i16 {
    code.into()
}

pub(crate) fn joining(group: &str, member: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: member.to_owned(),
        member_epoch: 0,
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec!["flights".to_owned()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    }
}

fn staying(group: &str, member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: member.to_owned(),
        member_epoch: epoch,
        rebalance_timeout_ms: -1,
        ..Default::default()
    }
}

/// Heartbeats once the coordinator is loaded.
pub(crate) async fn heartbeat(
    client: &mut RawClient,
    request: &ConsumerGroupHeartbeatRequest,
    version: i16,
) -> ConsumerGroupHeartbeatResponse {
    let mut answer = ConsumerGroupHeartbeatResponse::default();
    eventually("the coordinator is loaded", async || {
        answer = client.call(request, version).await;
        answer.error_code != code(ErrorCode::CoordinatorLoadInProgress)
    })
    .await;
    answer
}

pub(crate) async fn coordinated(client: &mut RawClient, group: &str) {
    let find = FindCoordinatorRequest {
        coordinator_keys: vec![group.to_owned()],
        ..Default::default()
    };
    assert_eq!(client.call(&find, 4).await.coordinators[0].error_code, 0);
}

fn indexes(answer: &ConsumerGroupHeartbeatResponse) -> Vec<i32> {
    let assignment = answer.assignment.as_ref().expect("told");
    let topics = &assignment.topic_partitions;
    topics
        .iter()
        .flat_map(|topic| topic.partitions.clone())
        .collect()
}

async fn describe(
    client: &mut RawClient,
    group: &str,
) -> consumer_group_describe_response::DescribedGroup {
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec![group.to_owned()],
        include_authorized_operations: false,
    };
    client.call(&request, 1).await.groups.remove(0)
}

async fn commit(
    client: &mut RawClient,
    group: &str,
    member: &str,
    epoch: i32,
    version: i16,
) -> i16 {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: 5,
        committed_leader_epoch: -1,
        committed_metadata: None,
    };
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        member_id: member.to_owned(),
        generation_id_or_member_epoch: epoch,
        topics: vec![OffsetCommitRequestTopic {
            name: "flights".to_owned(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    client.call(&request, version).await.topics[0].partitions[0].error_code
}

async fn fetch(client: &mut RawClient, group: &str, member: &str, epoch: i32) -> i16 {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            member_id: Some(member.to_owned()),
            member_epoch: epoch,
            topics: None,
        }],
        ..Default::default()
    };
    client.call(&request, 9).await.groups[0].error_code
}

#[tokio::test]
async fn members_share_a_topic_commit_at_their_epoch_and_survive_a_restart() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "flights", &[]).await;
    coordinated(&mut client, "readers").await;

    let answer = heartbeat(&mut client, &joining("readers", "a"), 1).await;
    assert_eq!((answer.error_code, answer.member_epoch), (0, 1));
    assert_eq!(answer.heartbeat_interval_ms, 5_000);
    let partitions = indexes(&answer);
    assert!(!partitions.is_empty());
    let assignment = answer.assignment.unwrap();
    let id: Uuid = assignment.topic_partitions[0].topic_id;

    for (member, epoch, version, expected) in [
        ("a", 1, 9, ErrorCode::None),
        ("a", 0, 9, ErrorCode::StaleMemberEpoch),
        ("a", 1, 8, ErrorCode::UnsupportedVersion),
        ("b", 1, 9, ErrorCode::UnknownMemberId),
        ("", -1, 9, ErrorCode::UnknownMemberId),
    ] {
        let refused = commit(&mut client, "readers", member, epoch, version).await;
        assert_eq!(refused, code(expected), "{member} {epoch} {version}");
    }
    for (member, epoch, expected) in [
        ("a", 1, ErrorCode::None),
        ("a", 2, ErrorCode::StaleMemberEpoch),
        ("b", 1, ErrorCode::UnknownMemberId),
    ] {
        let refused = fetch(&mut client, "readers", member, epoch).await;
        assert_eq!(refused, code(expected), "{member} {epoch}");
    }

    let group = describe(&mut client, "readers").await;
    assert_eq!(
        (group.error_code, group.group_state.as_str()),
        (0, "Stable")
    );
    assert_eq!((group.group_epoch, group.assignment_epoch), (1, 1));
    assert_eq!(group.assignor_name, "uniform");
    assert_eq!(group.members[0].member_type, 1);
    assert_eq!(
        group.members[0].assignment.topic_partitions[0].topic_name,
        "flights"
    );

    let list = ListGroupsRequest {
        types_filter: vec!["Consumer".to_owned()],
        ..Default::default()
    };
    let listed = client.call(&list, 5).await.groups;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].group_type, "consumer");
    let old = DescribeGroupsRequest {
        groups: vec!["readers".to_owned()],
        ..Default::default()
    };
    let described = client.call(&old, 5).await.groups.remove(0);
    assert_eq!(
        (described.error_code, described.group_state.as_str()),
        (0, "Dead")
    );
    let described = client.call(&old, 6).await.groups.remove(0);
    assert_eq!(described.error_code, code(ErrorCode::GroupIdNotFound));
    let delete = DeleteGroupsRequest {
        groups_names: vec!["readers".to_owned()],
    };
    let deleted = client.call(&delete, 2).await.results[0].error_code;
    assert_eq!(deleted, code(ErrorCode::NonEmptyGroup));

    let server = server.restart().await;
    let mut client = RawClient::connect(server.address()).await;
    coordinated(&mut client, "readers").await;
    let mut full = staying("readers", "a", 1);
    full.rebalance_timeout_ms = 60_000;
    full.subscribed_topic_names = Some(vec!["flights".to_owned()]);
    full.topic_partitions = Some(vec![TopicPartitions {
        topic_id: id,
        partitions: partitions.clone(),
    }]);
    let answer = heartbeat(&mut client, &full, 1).await;
    assert_eq!((answer.error_code, answer.member_epoch), (0, 1));
    assert_eq!(indexes(&answer), partitions);
    let answer = heartbeat(&mut client, &staying("readers", "a", -1), 1).await;
    assert_eq!((answer.error_code, answer.member_epoch), (0, -1));
    assert_eq!(describe(&mut client, "readers").await.group_state, "Empty");
    assert_eq!(client.call(&delete, 2).await.results[0].error_code, 0);
    let gone = describe(&mut client, "readers").await;
    assert_eq!(gone.error_code, code(ErrorCode::GroupIdNotFound));
    server.stop().await;
}

#[tokio::test]
async fn topics_that_are_created_and_grow_reach_the_members() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    coordinated(&mut client, "readers").await;
    let answer = heartbeat(&mut client, &joining("readers", "a"), 1).await;
    assert_eq!((answer.error_code, indexes(&answer)), (0, Vec::new()));
    topic(&mut client, "flights", &[]).await;
    let mut epoch = answer.member_epoch;
    eventually("the new topic is assigned", async || {
        let answer = client.call(&staying("readers", "a", epoch), 1).await;
        assert_eq!(answer.error_code, 0);
        epoch = answer.member_epoch;
        answer.assignment.is_some()
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn version_0_gives_out_member_ids_and_errors_are_kafkas() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "flights", &[]).await;
    coordinated(&mut client, "readers").await;
    let answer = heartbeat(&mut client, &joining("readers", ""), 0).await;
    assert_eq!(answer.error_code, 0);
    assert_eq!(answer.member_id.as_ref().map(String::len), Some(22));
    let answer = heartbeat(&mut client, &joining("readers", ""), 1).await;
    assert_eq!(answer.error_code, code(ErrorCode::InvalidRequest));
    assert_eq!(
        answer.error_message.as_deref(),
        Some("MemberId can't be empty.")
    );
    let mut bad_assignor = joining("readers", "b");
    bad_assignor.server_assignor = Some("sticky".to_owned());
    let mut bad_regex = joining("readers", "b");
    bad_regex.subscribed_topic_regex = Some("(".to_owned());
    for (request, expected) in [
        (bad_assignor, ErrorCode::UnsupportedAssignor),
        (bad_regex, ErrorCode::InvalidRegularExpression),
        (staying("readers", "b", 1), ErrorCode::UnknownMemberId),
        (staying("readers", "b", -3), ErrorCode::InvalidRequest),
        (staying("nobody", "b", 1), ErrorCode::GroupIdNotFound),
    ] {
        let answer = heartbeat(&mut client, &request, 1).await;
        assert_eq!(answer.error_code, code(expected));
    }
    let empty = describe(&mut client, "").await;
    assert_eq!(empty.error_code, code(ErrorCode::InvalidGroupId));
    server.stop().await;
}

#[tokio::test]
async fn a_pattern_finds_its_topics_and_a_boundless_one_is_refused() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "flights", &[]).await;
    topic(&mut client, "trains", &[]).await;
    coordinated(&mut client, "readers").await;
    let subscribing = |member: &str, pattern: &str| ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some(pattern.to_owned()),
        ..joining("readers", member)
    };
    let hostile = [
        "a".repeat(30_000),
        "(?:[a-z]{1000}){1000}".to_owned(),
        r"\pL".repeat(10_000),
        "(".repeat(8000),
    ];
    for pattern in &hostile {
        let answer = heartbeat(&mut client, &subscribing("b", pattern), 1).await;
        assert_eq!(answer.error_code, code(ErrorCode::InvalidRegularExpression));
    }
    let answer = heartbeat(&mut client, &subscribing("a", r"\Qfl\E.*"), 1).await;
    assert_eq!((answer.error_code, answer.member_epoch), (0, 1));
    eventually("the topics are found", async || {
        let answer = client.call(&staying("readers", "a", 1), 1).await;
        assert_eq!(answer.error_code, 0);
        answer.member_epoch == 2 && indexes(&answer) == [0]
    })
    .await;
    let group = describe(&mut client, "readers").await;
    assert_eq!(group.members.len(), 1, "who was refused is no member");
    server.stop().await;
}

#[tokio::test]
async fn a_classic_group_is_none_of_the_consumer_groups() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "flights", &[]).await;
    coordinated(&mut client, "simple").await;
    eventually("the coordinator is loaded", async || {
        commit(&mut client, "simple", "", -1, 8).await == 0
    })
    .await;
    let described = describe(&mut client, "simple").await;
    assert_eq!(described.error_code, code(ErrorCode::GroupIdNotFound));
    for (group_type, expected) in [("consumer", 0), ("classic", 1)] {
        let list = ListGroupsRequest {
            types_filter: vec![group_type.to_owned()],
            ..Default::default()
        };
        let listed = client.call(&list, 5).await.groups;
        assert_eq!(listed.len(), expected, "{group_type}");
    }
    server.stop().await;
}

#[tokio::test]
async fn offsets_in_a_transaction_need_the_epoch_of_the_member() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "flights", &[]).await;
    coordinated(&mut client, "readers").await;
    let answer = heartbeat(&mut client, &joining("readers", "a"), 1).await;
    assert_eq!((answer.error_code, answer.member_epoch), (0, 1));

    let find = FindCoordinatorRequest {
        key_type: 1,
        coordinator_keys: vec!["moves".to_owned()],
        ..Default::default()
    };
    let init = InitProducerIdRequest {
        transactional_id: Some("moves".to_owned()),
        transaction_timeout_ms: 60_000,
        ..Default::default()
    };
    let mut producer = InitProducerIdResponse::default();
    eventually("the producer has an id", async || {
        client.call(&find, 4).await;
        producer = client.call(&init, 5).await;
        producer.error_code == 0
    })
    .await;
    for (member, epoch, expected) in [
        ("a", 0, ErrorCode::IllegalGeneration),
        ("b", 1, ErrorCode::UnknownMemberId),
        ("a", 1, ErrorCode::None),
    ] {
        let commit = TxnOffsetCommitRequest {
            transactional_id: "moves".to_owned(),
            group_id: "readers".to_owned(),
            producer_id: producer.producer_id,
            producer_epoch: producer.producer_epoch,
            generation_id: epoch,
            member_id: member.to_owned(),
            topics: vec![TxnOffsetCommitRequestTopic {
                name: "flights".to_owned(),
                partitions: vec![TxnOffsetCommitRequestPartition {
                    committed_offset: 5,
                    committed_leader_epoch: -1,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        let answer = client.call(&commit, 5).await;
        let told = answer.topics[0].partitions[0].error_code;
        assert_eq!(told, code(expected), "{member} {epoch}");
    }
    server.stop().await;
}
