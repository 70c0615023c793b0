//! TxnOffsetCommit in every version: who may commit offsets within which transaction, and when they count.

use protocol::messages::*;

use super::super::{NOT_YET_ATTEMPTS, NOT_YET_INTERVAL};
use super::{END_V1, END_V2, Producer, Side, passing};

const COMMIT_MAX: i16 = 5;
/// The first version with members.
const MEMBERS_SINCE: i16 = 3;
/// The first that adds the group by the way.
const COMMIT_V2: i16 = 5;
const UNSTABLE: i16 = 88;

pub(super) async fn errors(side: &mut Side, name: &str) {
    strangers(side, name).await;
    members(side, name).await;
    stable(side, name).await;
}

async fn tell(side: &mut Side, step: &str, version: i16, request: &TxnOffsetCommitRequest) {
    let codes = |answer: &TxnOffsetCommitResponse| {
        let topics = answer.topics.iter();
        let mut codes: Vec<_> = topics
            .flat_map(|topic| {
                let partitions = topic.partitions.iter();
                partitions.map(|partition| (partition.partition_index, partition.error_code))
            })
            .collect();
        codes.sort_unstable();
        codes
    };
    let code = |answer: &TxnOffsetCommitResponse| {
        let first = codes(answer);
        first.first().map_or(0, |(_, code)| passing(*code))
    };
    let told = |answer: &TxnOffsetCommitResponse| format!("{:?}", codes(answer));
    let step = format!("commit in a transaction: {step}");
    side.tell(&step, version, request, code, told).await;
}

async fn strangers(side: &mut Side, name: &str) {
    let group = side.name("txn-readers");
    let missing = side.name("no-such-topic");
    let mut producer = Producer::init(side, "committer").await;
    let other = Producer::init(side, "other-committer").await;
    let mine = producer.commit(&group, name, 1);
    let by = |transactional_id: &str| TxnOffsetCommitRequest {
        transactional_id: transactional_id.to_owned(),
        ..mine.clone()
    };
    let of = |metadata: &str| {
        let mut request = mine.clone();
        request.topics[0].partitions[0].committed_metadata = Some(metadata.to_owned());
        request
    };
    let mut mixed = mine.clone();
    mixed
        .topics
        .extend(producer.commit(&group, &missing, 1).topics);
    mixed.topics[0]
        .partitions
        .push(mine.topics[0].partitions[0].clone());
    mixed.topics[0].partitions[1].partition_index = 9;
    let cases = [
        ("another's transactional id", by(&other.transactional_id)),
        ("an unknown transactional id", by(&side.name("nobody"))),
        ("an empty transactional id", by("")),
        (
            "an epoch ahead",
            producer.at(producer.epoch + 1).commit(&group, name, 1),
        ),
        (
            "an epoch there cannot be",
            producer.at(-1).commit(&group, name, 1),
        ),
        (
            "a producer id there cannot be",
            Producer {
                id: -1,
                ..producer.clone()
            }
            .commit(&group, name, 1),
        ),
        ("no group", producer.commit("", name, 1)),
        (
            "a topic that is not there",
            producer.commit(&group, &missing, 1),
        ),
        ("too much metadata", of(&"x".repeat(4097))),
        ("a negative offset", producer.commit(&group, name, -1)),
        ("what is there and what is not", mixed),
        (
            "no topics",
            TxnOffsetCommitRequest {
                topics: Vec::new(),
                ..mine.clone()
            },
        ),
        ("", mine.clone()),
    ];
    for version in 0..=COMMIT_MAX {
        for (step, request) in &cases {
            tell(side, step, version, request).await;
        }
    }
    producer.finish(side, true, END_V2).await;
}

async fn members(side: &mut Side, name: &str) {
    let group = side.name("txn-members");
    let mut producer = Producer::init(side, "member-committer").await;
    for version in MEMBERS_SINCE..=COMMIT_MAX {
        let add = producer.add_offsets(&group);
        let code = |answer: &AddOffsetsToTxnResponse| passing(answer.error_code);
        side.tell("add offsets", 3, &add, code, code).await;
        for (member, generation) in [("somebody", 4), ("", 4), ("somebody", -1), ("", -1)] {
            for unknown in [true, false] {
                let request = TxnOffsetCommitRequest {
                    generation_id: generation,
                    member_id: member.to_owned(),
                    group_id: match unknown {
                        true => side.name(&format!("txn-unknown-{version}")),
                        false => group.clone(),
                    },
                    ..producer.commit(&group, name, 1)
                };
                let step = format!("member {member:?} {generation}, the group is new {unknown}");
                tell(side, &step, version, &request).await;
            }
        }
        let instance = TxnOffsetCommitRequest {
            group_instance_id: Some("instance".to_owned()),
            ..producer.commit(&group, name, 1)
        };
        tell(side, "an instance", version, &instance).await;
        producer.finish(side, true, END_V2).await;
    }
}

/// Offsets count once their transaction commits, and hide those before them until it ends.
async fn stable(side: &mut Side, name: &str) {
    let group = side.name("txn-stable");
    for (version, end) in [(COMMIT_V2, END_V2), (4, END_V1)] {
        let mut producer = Producer::init(side, "stable-committer").await;
        for (offset, committed) in [(5, true), (6, false), (7, true)] {
            if version < COMMIT_V2 {
                let add = producer.add_offsets(&group);
                let code = |answer: &AddOffsetsToTxnResponse| passing(answer.error_code);
                side.tell("add offsets", 3, &add, code, code).await;
            }
            tell(
                side,
                "pending",
                version,
                &producer.commit(&group, name, offset),
            )
            .await;
            tell_offset(side, &group, name).await;
            producer.finish(side, committed, end).await;
            for _ in 0..NOT_YET_ATTEMPTS {
                if offset_of(side, &group, name, true).await.0 != UNSTABLE {
                    break;
                }
                tokio::time::sleep(NOT_YET_INTERVAL).await;
            }
            tell_offset(side, &group, name).await;
        }
    }
}

async fn offset_of(side: &mut Side, group: &str, name: &str, require_stable: bool) -> (i16, i64) {
    let request = OffsetFetchRequest {
        groups: vec![offset_fetch_request::OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: Some(vec![offset_fetch_request::OffsetFetchRequestTopics {
                name: name.to_owned(),
                partition_indexes: vec![0],
                ..Default::default()
            }]),
            ..Default::default()
        }],
        require_stable,
        ..Default::default()
    };
    let answer = side.ask(8, &request).await.unwrap();
    let partition = &answer.groups[0].topics[0].partitions[0];
    (partition.error_code, partition.committed_offset)
}

async fn tell_offset(side: &mut Side, group: &str, name: &str) {
    for require_stable in [true, false] {
        let told = offset_of(side, group, name, require_stable).await;
        let step = format!("fetch the offset, stable {require_stable}");
        side.note(&step, 8, &format!("{told:?}"));
    }
}
