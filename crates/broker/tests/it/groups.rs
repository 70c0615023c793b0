//! Groups in bytes: every version of the group APIs, and what survives a restart.

use bytes::Bytes;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::*;
use protocol::{ErrorCode, Uuid};
use testkit::{RawClient, Server, eventually};

use testkit::requests::topic;

fn code(code: ErrorCode) -> i16 {
    code.into()
}

/// Waits until the broker coordinates the group.
pub(crate) async fn coordinated(client: &mut RawClient, group: &str) {
    let find = FindCoordinatorRequest {
        coordinator_keys: vec![group.to_owned()],
        ..Default::default()
    };
    assert_eq!(client.call(&find, 4).await.coordinators[0].error_code, 0);
    let groups = vec![group.to_owned()];
    let describe = DescribeGroupsRequest {
        groups,
        ..Default::default()
    };
    eventually("the coordinator is loaded", async || {
        client.call(&describe, 5).await.groups[0].error_code == 0
    })
    .await;
}

fn join(group: &str, member: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: Bytes::from_static(b"\0\x01\0\0\0\0\xff\xff\xff\xff"),
        }],
        ..Default::default()
    }
}

pub(crate) fn commit(group: &str, name: &str, id: Uuid, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_leader_epoch: -1,
        committed_metadata: Some("note".to_owned()),
    };
    let topic = OffsetCommitRequestTopic {
        name: name.to_owned(),
        topic_id: id,
        partitions: vec![partition],
    };
    OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: -1,
        retention_time_ms: -1,
        topics: vec![topic],
        ..Default::default()
    }
}

pub(crate) async fn committed(
    client: &mut RawClient,
    group: &str,
    name: &str,
    id: Uuid,
    version: i16,
) -> (i64, String) {
    if version >= 8 {
        let topics = vec![OffsetFetchRequestTopics {
            name: name.to_owned(),
            topic_id: id,
            partition_indexes: vec![0],
        }];
        let groups = vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: Some(topics),
            member_epoch: -1,
            ..Default::default()
        }];
        let answer = client
            .call(
                &OffsetFetchRequest {
                    groups,
                    ..Default::default()
                },
                version,
            )
            .await;
        assert_eq!(answer.groups[0].error_code, 0);
        let partition = &answer.groups[0].topics[0].partitions[0];
        return (
            partition.committed_offset,
            partition.metadata.clone().unwrap(),
        );
    }
    let topics = vec![OffsetFetchRequestTopic {
        name: name.to_owned(),
        partition_indexes: vec![0],
    }];
    let request = OffsetFetchRequest {
        group_id: group.to_owned(),
        topics: Some(topics),
        ..Default::default()
    };
    let answer = client.call(&request, version).await;
    assert_eq!(answer.error_code, 0);
    let partition = &answer.topics[0].partitions[0];
    (
        partition.committed_offset,
        partition.metadata.clone().unwrap(),
    )
}

async fn topic_id(client: &mut RawClient, name: &str) -> Uuid {
    let topics = vec![metadata_request::MetadataRequestTopic {
        name: Some(name.to_owned()),
        ..Default::default()
    }];
    let answer = client
        .call(
            &MetadataRequest {
                topics: Some(topics),
                ..Default::default()
            },
            12,
        )
        .await;
    answer.topics[0].topic_id
}

#[tokio::test]
async fn offsets_are_committed_and_fetched_in_every_version_and_survive_a_restart() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    let id = topic_id(&mut client, "t").await;
    coordinated(&mut client, "g").await;
    for version in 2..=10 {
        let offset = 100 + i64::from(version);
        let (name, id) = if version < 10 {
            ("t", Uuid::ZERO)
        } else {
            ("", id)
        };
        let answer = client.call(&commit("g", name, id, offset), version).await;
        assert_eq!(
            answer.topics[0].partitions[0].error_code, 0,
            "version {version}"
        );
    }
    for version in 1..=10 {
        let (name, id) = if version < 10 {
            ("t", Uuid::ZERO)
        } else {
            ("", id)
        };
        assert_eq!(
            committed(&mut client, "g", name, id, version).await,
            (110, "note".to_owned()),
            "version {version}"
        );
    }
    let server = server.restart().await;
    let mut client = RawClient::connect(server.address()).await;
    coordinated(&mut client, "g").await;
    assert_eq!(
        committed(&mut client, "g", "t", Uuid::ZERO, 8).await,
        (110, "note".to_owned())
    );
    assert_eq!(
        committed(&mut client, "g", "other", Uuid::ZERO, 8).await,
        (-1, String::new())
    );
    server.stop().await;
}

#[tokio::test]
async fn commits_of_unknown_partitions_are_refused_one_by_one() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    coordinated(&mut client, "g").await;
    let mut request = commit("g", "t", Uuid::ZERO, 1);
    let mut second = request.topics[0].partitions[0].clone();
    second.partition_index = 7;
    request.topics[0].partitions.insert(0, second);
    request
        .topics
        .push(commit("g", "unknown", Uuid::ZERO, 1).topics.remove(0));
    let answer = client.call(&request, 9).await;
    let codes: Vec<_> = answer
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|p| p.error_code)
        .collect();
    let unknown = code(ErrorCode::UnknownTopicOrPartition);
    assert_eq!(codes, [unknown, 0, unknown]);
    let by_id = commit("g", "", Uuid([7; 16]), 1);
    let answer = client.call(&by_id, 10).await;
    assert_eq!(
        answer.topics[0].partitions[0].error_code,
        code(ErrorCode::UnknownTopicId)
    );
    server.stop().await;
}

/// Joins as the only member; returns its id and generation.
pub(crate) async fn joined_alone(
    client: &mut RawClient,
    group: &str,
    version: i16,
) -> (String, i32) {
    let first = client.call(&join(group, ""), version).await;
    let answer = if version >= 4 {
        assert_eq!(first.error_code, code(ErrorCode::MemberIdRequired));
        client.call(&join(group, &first.member_id), version).await
    } else {
        first
    };
    assert_eq!(answer.error_code, 0);
    assert_eq!(answer.leader, answer.member_id);
    assert_eq!(answer.members.len(), 1);
    (answer.member_id, answer.generation_id)
}

#[tokio::test]
async fn a_member_lives_through_every_version() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    for (join, sync, beat, leave) in [
        (0, 0, 0, 0),
        (1, 1, 1, 1),
        (2, 1, 2, 2),
        (3, 2, 2, 2),
        (4, 2, 2, 2),
        (5, 3, 3, 3),
        (6, 4, 4, 4),
        (7, 5, 4, 5),
        (8, 5, 4, 5),
        (9, 5, 4, 5),
    ] {
        let group = format!("g{join}");
        coordinated(&mut client, &group).await;
        let (member_id, generation_id) = joined_alone(&mut client, &group, join).await;
        let assignment = SyncGroupRequestAssignment {
            member_id: member_id.clone(),
            assignment: Bytes::from_static(b"mine"),
        };
        let request = SyncGroupRequest {
            group_id: group.clone(),
            generation_id,
            member_id: member_id.clone(),
            protocol_type: (sync >= 5).then(|| "consumer".to_owned()),
            protocol_name: (sync >= 5).then(|| "range".to_owned()),
            assignments: vec![assignment],
            ..Default::default()
        };
        let synced = client.call(&request, sync).await;
        assert_eq!(
            (synced.error_code, synced.assignment),
            (0, Bytes::from_static(b"mine")),
            "sync {sync}"
        );
        let heartbeat = HeartbeatRequest {
            group_id: group.clone(),
            generation_id,
            member_id: member_id.clone(),
            ..Default::default()
        };
        assert_eq!(
            client.call(&heartbeat, beat).await.error_code,
            0,
            "heartbeat {beat}"
        );
        let old = HeartbeatRequest {
            generation_id: generation_id + 1,
            ..heartbeat
        };
        assert_eq!(
            client.call(&old, beat).await.error_code,
            code(ErrorCode::IllegalGeneration)
        );
        let request = if leave >= 3 {
            let members = vec![MemberIdentity {
                member_id,
                ..Default::default()
            }];
            LeaveGroupRequest {
                group_id: group.clone(),
                members,
                ..Default::default()
            }
        } else {
            LeaveGroupRequest {
                group_id: group.clone(),
                member_id,
                ..Default::default()
            }
        };
        let left = client.call(&request, leave).await;
        assert_eq!(left.error_code, 0, "leave {leave}");
        assert!(left.members.iter().all(|member| member.error_code == 0));
        let delete = DeleteGroupsRequest {
            groups_names: vec![group],
        };
        assert_eq!(client.call(&delete, 2).await.results[0].error_code, 0);
    }
    server.stop().await;
}

#[tokio::test]
async fn groups_are_described_and_listed_in_every_version() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    coordinated(&mut client, "g").await;
    joined_alone(&mut client, "g", 5).await;
    for version in 0..=6 {
        let groups = vec!["g".to_owned(), "unknown".to_owned()];
        let answer = client
            .call(
                &DescribeGroupsRequest {
                    groups,
                    ..Default::default()
                },
                version,
            )
            .await;
        let [known, unknown] = &answer.groups[..] else {
            panic!("two groups")
        };
        assert_eq!(
            (
                known.error_code,
                known.group_state.as_str(),
                known.members.len()
            ),
            (0, "CompletingRebalance", 1)
        );
        assert_eq!(known.members[0].client_host, "/127.0.0.1");
        let expected = if version >= 6 {
            code(ErrorCode::GroupIdNotFound)
        } else {
            0
        };
        assert_eq!(
            (unknown.error_code, unknown.group_state.as_str()),
            (expected, "Dead"),
            "version {version}"
        );
    }
    for version in 0..=5 {
        let answer = client.call(&ListGroupsRequest::default(), version).await;
        assert_eq!(
            (answer.error_code, answer.groups.len()),
            (0, 1),
            "version {version}"
        );
        assert_eq!(answer.groups[0].group_id, "g");
    }
    let none = ListGroupsRequest {
        states_filter: vec!["Stable".to_owned()],
        ..Default::default()
    };
    assert_eq!(client.call(&none, 4).await.groups.len(), 0);
    let delete = DeleteGroupsRequest {
        groups_names: vec!["g".to_owned(), "unknown".to_owned()],
    };
    for version in 0..=2 {
        let results = client.call(&delete, version).await.results;
        let codes: Vec<_> = results.iter().map(|result| result.error_code).collect();
        assert_eq!(
            codes,
            [
                code(ErrorCode::NonEmptyGroup),
                code(ErrorCode::GroupIdNotFound)
            ]
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn offsets_are_deleted_unless_the_topic_is_unknown() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    coordinated(&mut client, "g").await;
    client.call(&commit("g", "t", Uuid::ZERO, 5), 8).await;
    let topic = |name: &str| OffsetDeleteRequestTopic {
        name: name.to_owned(),
        partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
    };
    let request = OffsetDeleteRequest {
        group_id: "g".to_owned(),
        topics: vec![topic("unknown"), topic("t")],
    };
    let answer = client.call(&request, 0).await;
    let codes: Vec<_> = answer
        .topics
        .iter()
        .map(|topic| topic.partitions[0].error_code)
        .collect();
    assert_eq!(
        (answer.error_code, codes),
        (0, vec![code(ErrorCode::UnknownTopicOrPartition), 0])
    );
    assert_eq!(committed(&mut client, "g", "t", Uuid::ZERO, 8).await.0, -1);
    let unknown = OffsetDeleteRequest {
        group_id: "unknown".to_owned(),
        topics: vec![topic("t")],
    };
    assert_eq!(
        client.call(&unknown, 0).await.error_code,
        code(ErrorCode::GroupIdNotFound)
    );
    server.stop().await;
}

#[tokio::test]
async fn coordinators_are_found_in_every_version() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    // Key types came with version 1.
    let kinds = [(0, 0), (1, 1)];
    let cases = kinds
        .into_iter()
        .flat_map(|(first, key_type)| (first..=6).map(move |version| (version, key_type)));
    for (version, key_type) in cases {
        let request = FindCoordinatorRequest {
            key: "g".to_owned(),
            key_type,
            coordinator_keys: if version >= 4 {
                vec!["g".to_owned(), "h".to_owned()]
            } else {
                Vec::new()
            },
        };
        let request = if version >= 4 {
            FindCoordinatorRequest {
                key: String::new(),
                ..request
            }
        } else {
            request
        };
        let answer = client.call(&request, version).await;
        if version < 4 {
            assert_eq!(
                (answer.error_code, answer.node_id, answer.port),
                (0, 1, i32::from(server.address().port()))
            );
        } else {
            assert_eq!(answer.coordinators.len(), 2);
            assert!(
                answer
                    .coordinators
                    .iter()
                    .all(|found| found.error_code == 0 && found.node_id == 1)
            );
        }
    }
    server.stop().await;
}

/// The records of a commit make one batch, and each repeats the names of group and topic.
#[tokio::test]
async fn a_commit_that_fits_no_batch_is_refused_as_a_whole() {
    let server = Server::start().await;
    let client = &mut RawClient::connect(server.address()).await;
    let mut create = testkit::requests::create("many", &[]);
    create.topics[0].num_partitions = 40;
    let created = client.call(&create, testkit::requests::CREATE).await;
    assert_eq!(created.topics[0].error_code, 0);
    let group = "x".repeat(30_000);
    coordinated(client, &group).await;
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 7,
        committed_leader_epoch: -1,
        ..Default::default()
    };
    let commit = |count: i32| OffsetCommitRequest {
        group_id: group.clone(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: "many".to_owned(),
            partitions: (0..count).map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    // 1.2 MB of records, where __consumer_offsets takes 1 MB.
    let refused = i16::from(ErrorCode::UnknownServerError);
    for (count, expected) in [(40, refused), (30, 0), (40, refused)] {
        let answer = client.call(&commit(count), 8).await;
        let partitions = &answer.topics[0].partitions;
        assert_eq!(partitions.len(), usize::try_from(count).unwrap());
        assert!(
            partitions
                .iter()
                .all(|partition| partition.error_code == expected)
        );
    }
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group,
            topics: None,
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = client.call(&request, 8).await;
    assert_eq!(answer.groups[0].topics[0].partitions.len(), 30);
    server.stop().await;
}
