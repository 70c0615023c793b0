//! OffsetCommit and OffsetFetch.

use std::sync::Arc;

use types::{InstanceId, LeaderEpoch, MemberId, Timestamp, TopicId};

use super::harness::{
    Harness, SESSION, commit_topic, group_id, join_request, partition, protocol, topic,
};
use crate::group::classic::generation::{Generation, GroupState};
use crate::group::classic::heartbeat::HeartbeatError;
use crate::group::classic::join::JoinRequest;
use crate::group::offsets::commit::{
    CommitError, CommitPartition, CommitPartitionError, CommitRequest, CommitTopic,
};
use crate::group::offsets::fetch::{FetchOffsetsRequest, FetchTopic, FetchedTopic, TopicSelection};
use crate::group::record::{CommittedOffset, GroupRecord};
use crate::group::request::{GroupReply, GroupRequest};

fn generation(value: i32) -> Option<Generation> {
    Generation::new(value)
}

fn fetch(harness: &mut Harness, topics: TopicSelection) -> Vec<FetchedTopic> {
    let request = FetchOffsetsRequest {
        group: group_id(),
        member: None,
        member_epoch: -1,
        topics,
        require_stable: true,
    };
    match harness.call(GroupRequest::FetchOffsets(request)) {
        GroupReply::FetchOffsets(topics) => topics.expect("nobody is named"),
        other => panic!("not a fetch: {other:?}"),
    }
}

fn fetch_one(harness: &mut Harness, topic_id: Option<TopicId>) -> Option<CommittedOffset> {
    let wanted = FetchTopic {
        topic: topic("flights"),
        topic_id,
        partitions: vec![partition(0)],
    };
    let topics = fetch(harness, TopicSelection::Topics(vec![wanted]));
    topics[0].partitions[0].result.clone().expect("stable")
}

#[test]
fn a_simple_commit_creates_a_group_without_members() {
    let mut harness = Harness::new();
    harness.commit(None, None, "flights", 7).expect("taken");
    assert_eq!(harness.committed("flights"), Some(7));
    assert_eq!(harness.state(), GroupState::Empty);
    assert!(harness.group().is_simple());
    assert!(matches!(
        &harness.log[..],
        [GroupRecord::OffsetCommit { .. }]
    ));
    assert_eq!(harness.restarted().committed("flights"), Some(7));
}

#[test]
fn who_may_commit_when() {
    #[derive(Clone, Copy, Debug)]
    enum Who {
        Nobody,
        Member,
        Ghost,
    }
    use GroupState::{CompletingRebalance, Empty, PreparingRebalance, Stable};
    let current = Generation::new(1).expect("not negative");
    let illegal = |current| Err(CommitError::IllegalGeneration { current });
    let cases = [
        (Stable, Who::Member, generation(1), Ok(())),
        (Stable, Who::Member, generation(0), illegal(current)),
        (Stable, Who::Member, None, illegal(current)),
        (
            Stable,
            Who::Ghost,
            generation(1),
            Err(CommitError::UnknownMember),
        ),
        (
            Stable,
            Who::Nobody,
            generation(1),
            Err(CommitError::UnknownMember),
        ),
        (Stable, Who::Nobody, None, Err(CommitError::UnknownMember)),
        (PreparingRebalance, Who::Member, generation(1), Ok(())),
        (
            PreparingRebalance,
            Who::Nobody,
            None,
            Err(CommitError::UnknownMember),
        ),
        (
            CompletingRebalance,
            Who::Member,
            generation(1),
            Err(CommitError::RebalanceInProgress),
        ),
        (
            CompletingRebalance,
            Who::Member,
            generation(0),
            illegal(current),
        ),
        (Empty, Who::Nobody, None, Ok(())),
        (Empty, Who::Ghost, None, Ok(())),
        (
            Empty,
            Who::Ghost,
            generation(2),
            Err(CommitError::UnknownMember),
        ),
    ];
    for (state, who, generation, expected) in cases {
        let mut harness = Harness::new();
        let member = match state {
            CompletingRebalance => {
                let member = harness.new_member();
                harness.rejoin(&member);
                harness.settle();
                member
            }
            _ => harness.stable_group(1)[0].clone(),
        };
        match state {
            PreparingRebalance => {
                let newcomer = harness.new_member();
                harness.rejoin(&newcomer);
            }
            Empty => {
                harness.leave(&[(Some(&member), None)]);
            }
            _ => {}
        }
        assert_eq!(harness.state(), state);
        let ghost = MemberId::new("ghost");
        let who_id = match who {
            Who::Nobody => None,
            Who::Member => Some(&member),
            Who::Ghost => Some(&ghost),
        };
        let result = harness.commit(who_id, generation, "flights", 7).map(|_| ());
        assert_eq!(result, expected, "{state} {who:?} {generation:?}");
    }
}

#[test]
fn a_commit_of_a_generation_nobody_knows_is_refused() {
    let mut harness = Harness::new();
    let result = harness.commit(Some(&MemberId::new("ghost")), generation(0), "flights", 7);
    assert_eq!(result, Err(CommitError::UnknownGroup));
    assert_eq!(harness.shard.groups.len(), 0);
}

#[test]
fn a_commit_of_a_replaced_static_member_is_fenced() {
    let mut harness = Harness::new();
    let instance = InstanceId::new("a");
    let request = JoinRequest {
        instance: Some(instance.clone()),
        ..join_request()
    };
    let token = harness.send(GroupRequest::Join(request));
    harness.settle();
    harness.joined(token);
    let result = harness.commit_request(CommitRequest {
        group: group_id(),
        member: Some(MemberId::new("old")),
        instance: Some(instance),
        generation: generation(1),
        retention_ms: None,
        takes_member_epochs: true,
        topics: vec![commit_topic("flights", 1)],
    });
    assert_eq!(result, Err(CommitError::FencedInstance));
}

#[test]
fn commits_extend_the_session() {
    let mut harness = Harness::new();
    let members = harness.stable_group(1);
    for offset in 0..5 {
        harness.advance(SESSION / 2);
        harness
            .commit(Some(&members[0]), generation(1), "flights", offset)
            .expect("taken");
    }
    assert_eq!(harness.heartbeat(&members[0]), Ok(()));
    harness.advance(SESSION);
    assert_eq!(
        harness.heartbeat(&members[0]),
        Err(HeartbeatError::UnknownMember)
    );
}

#[test]
fn everything_a_client_keeps_beside_an_offset_comes_back() {
    let mut harness = Harness::new();
    let topic_id = TopicId::new([7; 16]);
    let now = harness.now.wall;
    let committed = CommitPartition {
        partition: partition(0),
        offset: 42,
        leader_epoch: LeaderEpoch::new(3),
        metadata: Some(Arc::from("checkpoint 9")),
    };
    harness
        .commit_request(CommitRequest {
            group: group_id(),
            member: None,
            instance: None,
            generation: None,
            retention_ms: Some(1_000),
            takes_member_epochs: true,
            topics: vec![CommitTopic {
                topic: topic("flights"),
                topic_id,
                partitions: vec![committed],
            }],
        })
        .expect("taken");
    let expected = CommittedOffset {
        offset: 42,
        leader_epoch: LeaderEpoch::new(3),
        metadata: Arc::from("checkpoint 9"),
        commit_timestamp: now,
        expire_timestamp: Some(Timestamp::from_ms(now.ms() + 1_000)),
        topic_id,
    };
    assert_eq!(fetch_one(&mut harness, None), Some(expected.clone()));
    assert_eq!(fetch_one(&mut harness, topic_id), Some(expected.clone()));
    let recreated = TopicId::new([8; 16]);
    assert_eq!(
        fetch_one(&mut harness, recreated),
        None,
        "another topic of the same name"
    );
    assert_eq!(fetch_one(&mut harness.restarted(), None), Some(expected));
}

#[test]
fn metadata_is_bounded_in_utf16_units_per_partition() {
    let max = 4096;
    let cases = [
        ("x".repeat(max), None),
        ("x".repeat(max + 1), Some(max + 1)),
        // Two bytes, one unit.
        ("ä".repeat(max), None),
        // Four bytes, two units.
        ("𝄞".repeat(max / 2), None),
        ("𝄞".repeat(max / 2 + 1), Some(max + 2)),
    ];
    for (metadata, refused) in cases {
        let mut harness = Harness::new();
        let mut commit = commit_topic("flights", 1);
        commit.partitions[0].metadata = Some(Arc::from(metadata));
        commit.partitions.push(CommitPartition {
            partition: partition(1),
            offset: 2,
            leader_epoch: None,
            metadata: None,
        });
        let results = harness
            .commit_request(CommitRequest {
                group: group_id(),
                member: None,
                instance: None,
                generation: None,
                retention_ms: None,
                takes_member_epochs: true,
                topics: vec![commit],
            })
            .expect("taken");
        let expected = match refused {
            Some(length) => Err(CommitPartitionError::MetadataTooLarge { length, max }),
            None => Ok(()),
        };
        assert_eq!(results[0].partitions[0].result, expected);
        assert_eq!(
            results[0].partitions[1].result,
            Ok(()),
            "the others are committed"
        );
        assert_eq!(harness.log.len(), if refused.is_some() { 1 } else { 2 });
    }
}

#[test]
fn what_was_never_committed_is_no_offset_and_no_error() {
    let mut harness = Harness::new();
    assert_eq!(harness.committed("flights"), None, "unknown group");
    harness.commit(None, None, "flights", 7).expect("taken");
    assert_eq!(harness.committed("planes"), None, "unknown topic");
    let wanted = FetchTopic {
        topic: topic("flights"),
        topic_id: None,
        partitions: vec![partition(1), partition(0)],
    };
    let topics = fetch(&mut harness, TopicSelection::Topics(vec![wanted]));
    let offsets: Vec<Option<i64>> = topics[0]
        .partitions
        .iter()
        .map(|partition| {
            partition
                .result
                .as_ref()
                .expect("stable")
                .as_ref()
                .map(|it| it.offset)
        })
        .collect();
    assert_eq!(offsets, [None, Some(7)], "in the order asked for");
}

#[test]
fn all_offsets_of_a_group_can_be_fetched() {
    let mut harness = Harness::new();
    assert_eq!(fetch(&mut harness, TopicSelection::All), []);
    for (name, offset) in [("b", 1), ("a", 2), ("b", 3)] {
        harness.commit(None, None, name, offset).expect("taken");
    }
    let all = fetch(&mut harness, TopicSelection::All);
    let found: Vec<(&str, i64)> = all
        .iter()
        .map(|fetched| {
            let offset = fetched.partitions[0].result.as_ref().expect("stable");
            (
                fetched.topic.as_str(),
                offset.as_ref().expect("committed").offset,
            )
        })
        .collect();
    assert_eq!(found, [("a", 2), ("b", 3)]);
}

#[test]
fn commits_survive_a_group_that_comes_and_goes() {
    let mut harness = Harness::new();
    let members = harness.stable_group(1);
    harness
        .commit(Some(&members[0]), generation(1), "flights", 9)
        .expect("taken");
    harness.leave(&[(Some(&members[0]), None)]);
    let mut restarted = harness.restarted();
    assert_eq!(restarted.committed("flights"), Some(9));
    let token = restarted.send(GroupRequest::Join(JoinRequest {
        requires_known_member: false,
        protocols: vec![protocol("sticky", &["flights"])],
        ..join_request()
    }));
    restarted.settle();
    assert_eq!(restarted.joined(token).generation.value(), 3);
    assert_eq!(restarted.committed("flights"), Some(9));
}
