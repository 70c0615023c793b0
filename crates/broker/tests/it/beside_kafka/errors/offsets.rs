//! Offsets committed by those who may not, or of what is not there, in every version of OffsetCommit and OffsetFetch.

use bytes::Bytes;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::*;

use super::{Side, topic};

/// From v10 on topics have ids, which `errors` of topics looks at.
const COMMIT_VERSIONS: std::ops::RangeInclusive<i16> = 2..=9;
/// Kafka's `offset.metadata.max.bytes`.
const METADATA_MAX: usize = 4096;

pub(super) async fn errors(side: &mut Side) {
    let name = topic(side, "commits").await;
    without_members(side, &name).await;
    with_a_member(side, &name).await;
    too_many_bytes(side).await;
}

/// Each record repeats the name of the group, so that a small request can make more bytes than a batch may have.
async fn too_many_bytes(side: &mut Side) {
    const PARTITIONS: i32 = 40;
    let name = side.name("commits-many");
    let mut create = testkit::requests::create(&name, &[]);
    create.topics[0].num_partitions = PARTITIONS;
    let created = side.ask(testkit::requests::CREATE, &create).await.unwrap();
    side.note(
        "create",
        testkit::requests::CREATE,
        &created.topics[0].error_code.to_string(),
    );
    super::await_leader(side, &name).await;
    let group = format!("{}-{}", side.name("large"), "x".repeat(30_000));
    for count in [PARTITIONS, 30, PARTITIONS] {
        let mut request = commit(&group, &name, -1, "");
        let one = request.topics[0].partitions.remove(0);
        let partition = |partition_index| OffsetCommitRequestPartition {
            partition_index,
            ..one.clone()
        };
        request.topics[0].partitions = (0..count).map(partition).collect();
        tell(side, &format!("{count} records of 30 kB"), &request).await;
    }
}

fn commit(group: &str, name: &str, generation: i32, member: &str) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: generation,
        member_id: member.to_owned(),
        retention_time_ms: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: name.to_owned(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset: 7,
                committed_leader_epoch: -1,
                committed_metadata: Some("note".to_owned()),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Sends it in every version.
async fn tell(side: &mut Side, step: &str, request: &OffsetCommitRequest) {
    let code = |answer: &OffsetCommitResponse| {
        answer
            .topics
            .first()
            .map_or(0, |topic| topic.partitions[0].error_code)
    };
    let told = |answer: &OffsetCommitResponse| {
        let codes: Vec<_> = answer
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|partition| partition.error_code)
            .collect();
        format!("{codes:?}")
    };
    for version in COMMIT_VERSIONS {
        side.tell(&format!("commit: {step}"), version, request, code, told)
            .await;
    }
}

async fn without_members(side: &mut Side, name: &str) {
    let group = side.name("commits-simple");
    let missing = side.name("no-such-topic");
    let plain = || commit(&group, name, -1, "");
    let with = |change: &dyn Fn(&mut OffsetCommitRequestPartition)| {
        let mut request = plain();
        change(&mut request.topics[0].partitions[0]);
        request
    };
    let noted =
        |size: usize| with(&|partition| partition.committed_metadata = Some("x".repeat(size)));
    for (step, request) in [
        (
            "a generation in an unknown group",
            commit(&group, name, 0, "nobody"),
        ),
        (
            "a member without generation in an unknown group",
            commit(&group, name, -1, "nobody"),
        ),
        ("no group id", commit("", name, -1, "")),
        ("an unknown topic", commit(&group, &missing, -1, "")),
        (
            "an unknown partition",
            with(&|partition| partition.partition_index = 1),
        ),
        ("metadata as large as allowed", noted(METADATA_MAX)),
        ("metadata too large", noted(METADATA_MAX + 1)),
        (
            "a negative offset",
            with(&|partition| partition.committed_offset = -1),
        ),
        ("no members", plain()),
        (
            "a generation in a group without members",
            commit(&group, name, 0, "nobody"),
        ),
        (
            "a member in a group without members",
            commit(&group, name, -1, "nobody"),
        ),
    ] {
        tell(side, step, &request).await;
    }
    delete_offsets(side, "of a group without members", &group, name).await;
    delete_offsets(side, "of an unknown topic", &group, &missing).await;
    let unknown = side.name("commits-unknown");
    delete_offsets(side, "of an unknown group", &unknown, name).await;
}

async fn with_a_member(side: &mut Side, name: &str) {
    let group = side.name("commits-member");
    // The subscription names the topic, so its offsets belong to the group's members.
    let mut metadata = vec![0, 1, 0, 0, 0, 1];
    let length = u16::try_from(name.len()).unwrap();
    metadata.extend_from_slice(&length.to_be_bytes());
    metadata.extend_from_slice(name.as_bytes());
    metadata.extend_from_slice(&[0xff; 4]);
    metadata.extend_from_slice(&[0; 4]);
    let mut join = JoinGroupRequest {
        group_id: group.clone(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: metadata.into(),
        }],
        ..Default::default()
    };
    for _ in 0..2 {
        let code = |answer: &JoinGroupResponse| answer.error_code;
        let answer = side.tell("join to commit", 7, &join, code, code).await;
        join.member_id = answer.unwrap_or_default().member_id;
    }
    let member = join.member_id;
    tell(
        side,
        "before the group has synced",
        &commit(&group, name, 1, &member),
    )
    .await;
    let sync = SyncGroupRequest {
        group_id: group.clone(),
        generation_id: 1,
        member_id: member.clone(),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: member.clone(),
            assignment: Bytes::from_static(b"\0\0\0\0\0\0\0\0\0\0"),
        }],
        ..Default::default()
    };
    let code = |answer: &SyncGroupResponse| answer.error_code;
    side.tell("sync to commit", 5, &sync, code, code).await;
    for (step, generation, member) in [
        ("a member", 1, &*member),
        ("an older generation", 0, &member),
        ("a later generation", 2, &member),
        ("an unknown member", 1, "nobody"),
        ("an outsider", -1, ""),
        ("an outsider with a generation", 1, ""),
        ("a member without generation", -1, &member),
    ] {
        tell(side, step, &commit(&group, name, generation, member)).await;
    }
    for instance in ["nobody", ""] {
        let mut request = commit(&group, name, 1, &member);
        request.group_instance_id = Some(instance.to_owned());
        let code = |answer: &OffsetCommitResponse| answer.topics[0].partitions[0].error_code;
        for version in 7..=9 {
            side.tell("commit: an unknown instance", version, &request, code, code)
                .await;
        }
    }
    delete_offsets(side, "of a subscribed topic", &group, name).await;
}

async fn delete_offsets(side: &mut Side, step: &str, group: &str, name: &str) {
    let request = OffsetDeleteRequest {
        group_id: group.to_owned(),
        topics: vec![OffsetDeleteRequestTopic {
            name: name.to_owned(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
        }],
    };
    let told = |answer: &OffsetDeleteResponse| {
        let codes: Vec<_> = answer
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|partition| partition.error_code)
            .collect();
        format!("error {}, partitions {codes:?}", answer.error_code)
    };
    let step = format!("delete offsets {step}");
    side.tell(&step, 0, &request, |answer| answer.error_code, told)
        .await;
}
