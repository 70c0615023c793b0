//! Offsets committed within transactions.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use types::{GroupId, InstanceId, MemberId, ProducerEpoch, ProducerId};

use super::harness::{Harness, commit_topic, group_id, join_request, partition, topic};
use crate::group::classic::generation::{Generation, GroupState};
use crate::group::classic::join::JoinRequest;
use crate::group::delete::{DeleteGroupError, DeleteGroupsRequest};
use crate::group::offsets::commit::{CommitError, CommitRequest, TxnCommitRequest};
use crate::group::offsets::delete::DeleteOffsetsRequest;
use crate::group::offsets::fetch::{
    FetchOffsetError, FetchOffsetsRequest, FetchTopic, TopicSelection,
};
use crate::group::record::GroupRecord;
use crate::group::request::{GroupReply, GroupRequest};
use crate::machine::{EndMarker, Producer};
use crate::transaction::state::TransactionVersion;

fn producer(id: i64) -> Producer {
    Producer {
        id: ProducerId::new(id).unwrap(),
        epoch: ProducerEpoch::ZERO,
    }
}

fn request(name: &str, offset: i64) -> CommitRequest {
    CommitRequest {
        takes_member_epochs: true,
        group: group_id(),
        member: None,
        instance: None,
        generation: None,
        retention_ms: None,
        topics: vec![commit_topic(name, offset)],
    }
}

fn txn_commit(harness: &mut Harness, id: i64, commit: CommitRequest) -> Result<(), CommitError> {
    let producer = producer(id);
    let request = TxnCommitRequest { producer, commit };
    match harness.call(GroupRequest::TxnCommit(request)) {
        GroupReply::TxnCommit(result) => result.map(|_| ()),
        other => panic!("not a commit: {other:?}"),
    }
}

fn end(harness: &mut Harness, id: i64, committed: bool) {
    let marker = EndMarker {
        producer: producer(id),
        coordinator_epoch: 0,
        committed,
        version: TransactionVersion::V2,
    };
    let reply = harness.call(GroupRequest::EndTransaction(marker));
    assert_eq!(reply, GroupReply::EndTransaction);
}

/// What a reader of stable offsets is told.
fn stable(harness: &mut Harness, name: &str) -> Result<Option<i64>, FetchOffsetError> {
    let reply = harness.call(GroupRequest::FetchOffsets(FetchOffsetsRequest {
        group: group_id(),
        member: None,
        member_epoch: -1,
        topics: TopicSelection::Topics(vec![FetchTopic {
            topic: topic(name),
            topic_id: None,
            partitions: vec![partition(0)],
        }]),
        require_stable: true,
    }));
    let GroupReply::FetchOffsets(Ok(topics)) = reply else {
        panic!("not a fetch: {reply:?}");
    };
    let offset = topics[0].partitions[0].result.clone()?;
    Ok(offset.map(|offset| offset.offset))
}

fn delete_group(harness: &mut Harness) -> Result<(), DeleteGroupError> {
    let groups = vec![group_id()];
    match harness.call(GroupRequest::DeleteGroups(DeleteGroupsRequest { groups })) {
        GroupReply::DeleteGroups(mut groups) => groups.remove(0).result,
        other => panic!("not a deletion: {other:?}"),
    }
}

#[test]
fn offsets_count_once_their_transaction_commits() {
    let mut harness = Harness::new();
    harness.commit(None, None, "flights", 5).expect("taken");
    txn_commit(&mut harness, 1, request("flights", 7)).expect("taken");
    txn_commit(&mut harness, 1, request("planes", 8)).expect("taken");
    for mut harness in [harness.restarted(), harness] {
        assert_eq!(harness.committed("flights"), Some(5));
        assert_eq!(harness.committed("planes"), None);
        for name in ["flights", "planes"] {
            let told = stable(&mut harness, name);
            assert_eq!(told, Err(FetchOffsetError::Unstable), "{name}");
        }
        assert_eq!(stable(&mut harness, "trains"), Ok(None));
        end(&mut harness, 1, true);
        for mut harness in [harness.restarted(), harness] {
            assert_eq!(stable(&mut harness, "flights"), Ok(Some(7)));
            assert_eq!(stable(&mut harness, "planes"), Ok(Some(8)));
        }
    }
}

#[test]
fn offsets_of_an_aborted_transaction_never_count() {
    let mut harness = Harness::new();
    harness.commit(None, None, "flights", 5).expect("taken");
    txn_commit(&mut harness, 1, request("flights", 7)).expect("taken");
    end(&mut harness, 1, false);
    // A marker for nothing does nothing.
    end(&mut harness, 1, true);
    for mut harness in [harness.restarted(), harness] {
        assert_eq!(stable(&mut harness, "flights"), Ok(Some(5)));
    }
}

#[test]
fn all_offsets_of_a_group_are_told_with_those_that_may_change() {
    let mut harness = Harness::new();
    harness.commit(None, None, "flights", 5).expect("taken");
    harness.commit(None, None, "planes", 6).expect("taken");
    txn_commit(&mut harness, 1, request("flights", 7)).expect("taken");
    txn_commit(&mut harness, 1, request("trains", 8)).expect("taken");
    let reply = harness.call(GroupRequest::FetchOffsets(FetchOffsetsRequest {
        group: group_id(),
        member: None,
        member_epoch: -1,
        topics: TopicSelection::All,
        require_stable: true,
    }));
    let GroupReply::FetchOffsets(Ok(topics)) = reply else {
        panic!("not a fetch: {reply:?}");
    };
    let told: Vec<_> = topics
        .iter()
        .map(|topic| {
            let result = topic.partitions[0].result.clone();
            let offset = result.map(|offset| offset.map(|offset| offset.offset));
            (topic.topic.as_str(), offset)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("flights", Err(FetchOffsetError::Unstable)),
            ("planes", Ok(Some(6)))
        ]
    );
}

#[test]
fn whoever_says_who_it_is_must_be_right() {
    let mut harness = Harness::new();
    // A group nobody knows.
    let stranger = CommitRequest {
        generation: Generation::new(1),
        ..request("flights", 1)
    };
    assert_eq!(
        txn_commit(&mut harness, 1, stranger),
        Err(CommitError::UnknownGroup)
    );
    let members = harness.stable_group(1);
    let current = harness.group().generation();
    let member = members.first().cloned();
    let wrong = Generation::new(9);
    let cases = [
        (None, None, None, Ok(())),
        (member.clone(), None, Some(current), Ok(())),
        (
            member.clone(),
            None,
            wrong,
            Err(CommitError::IllegalGeneration { current }),
        ),
        (
            member.clone(),
            None,
            None,
            Err(CommitError::IllegalGeneration { current }),
        ),
        (
            Some(MemberId::new("nobody")),
            None,
            Some(current),
            Err(CommitError::UnknownMember),
        ),
        (None, None, Some(current), Err(CommitError::UnknownMember)),
        (
            member,
            Some(InstanceId::new("nowhere")),
            Some(current),
            Err(CommitError::UnknownMember),
        ),
    ];
    for (member, instance, generation, expected) in cases {
        let commit = CommitRequest {
            member,
            instance,
            generation,
            ..request("flights", 1)
        };
        let told = format!("{commit:?}");
        assert_eq!(txn_commit(&mut harness, 1, commit), expected, "{told}");
    }
}

#[test]
fn the_state_of_the_group_does_not_count_within_transactions() {
    let mut harness = Harness::new();
    let member = harness.new_member();
    let joining = harness.rejoin(&member);
    harness.settle();
    let joined = harness.joined(joining);
    assert_eq!(harness.state(), GroupState::CompletingRebalance);
    let commit = CommitRequest {
        member: Some(member.clone()),
        generation: Some(joined.generation),
        ..request("flights", 1)
    };
    assert_eq!(
        harness.commit_request(commit.clone()),
        Err(CommitError::RebalanceInProgress)
    );
    assert_eq!(txn_commit(&mut harness, 1, commit), Ok(()));
}

#[test]
fn another_static_member_is_fenced() {
    let mut harness = Harness::new();
    let instance = InstanceId::new("one");
    let token = harness.send(GroupRequest::Join(JoinRequest {
        instance: Some(instance.clone()),
        ..join_request()
    }));
    harness.settle();
    let joined = harness.joined(token);
    let commit = CommitRequest {
        member: Some(MemberId::new("other")),
        instance: Some(instance),
        generation: Some(joined.generation),
        ..request("flights", 1)
    };
    assert_eq!(
        txn_commit(&mut harness, 1, commit),
        Err(CommitError::FencedInstance)
    );
}

#[test]
fn a_deletion_takes_pending_offsets_with_it() {
    for all in [true, false] {
        let mut harness = Harness::new();
        txn_commit(&mut harness, 1, request("flights", 7)).expect("taken");
        txn_commit(&mut harness, 2, request("flights", 8)).expect("taken");
        txn_commit(&mut harness, 2, request("planes", 9)).expect("taken");
        let partitions = ["flights", "planes"].map(|name| types::TopicPartition {
            topic: topic(name),
            partition: partition(0),
        });
        if all {
            assert_eq!(delete_group(&mut harness), Ok(()));
        } else {
            harness.call(GroupRequest::DeleteOffsets(DeleteOffsetsRequest {
                group: group_id(),
                partitions: partitions.to_vec(),
            }));
        }
        let tombstones = harness
            .log
            .iter()
            .filter(|record| matches!(record, GroupRecord::OffsetCommit { value: None, .. }));
        assert_eq!(tombstones.count(), 2);
        end(&mut harness, 1, true);
        end(&mut harness, 2, true);
        for mut harness in [harness.restarted(), harness] {
            assert_eq!(stable(&mut harness, "flights"), Ok(None));
            assert_eq!(stable(&mut harness, "planes"), Ok(None));
        }
    }
}

#[test]
fn offsets_of_deleted_topics_go_also_where_they_are_pending() {
    let mut harness = Harness::new();
    harness.commit(None, None, "planes", 1).expect("taken");
    txn_commit(&mut harness, 1, request("flights", 7)).expect("taken");
    txn_commit(&mut harness, 1, request("planes", 8)).expect("taken");
    harness.call(GroupRequest::TopicsDeleted(vec![topic("flights")]));
    end(&mut harness, 1, true);
    for mut harness in [harness.restarted(), harness] {
        assert_eq!(stable(&mut harness, "flights"), Ok(None));
        assert_eq!(stable(&mut harness, "planes"), Ok(Some(8)));
    }
}

#[test]
fn nothing_expires_that_a_transaction_may_replace() {
    let mut harness = Harness::new();
    harness.commit(None, None, "flights", 5).expect("taken");
    harness.commit(None, None, "planes", 6).expect("taken");
    txn_commit(&mut harness, 1, request("flights", 7)).expect("taken");
    harness.advance(Duration::from_secs(8 * 24 * 3600));
    assert_eq!(harness.committed("flights"), Some(5));
    assert_eq!(harness.committed("planes"), None);
    end(&mut harness, 1, false);
    harness.advance(Duration::from_secs(3600));
    assert_eq!(harness.committed("flights"), None);
    assert!(!harness.shard.groups.contains_key(group_id().as_str()));

    // A group that has nothing but pending offsets lives on for them.
    txn_commit(&mut harness, 1, request("flights", 7)).expect("taken");
    harness.advance(Duration::from_secs(8 * 24 * 3600));
    assert!(harness.shard.groups.contains_key(group_id().as_str()));
    end(&mut harness, 1, true);
    assert_eq!(harness.committed("flights"), Some(7));
}

#[derive(Clone, Debug)]
enum Step {
    Commit(usize),
    TxnCommit(i64, usize),
    End(i64, bool),
    Delete(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_usize).prop_map(Step::Commit),
        5 => (0..4_i64, 0..3_usize).prop_map(|(id, topic)| Step::TxnCommit(id, topic)),
        3 => (0..4_i64, any::<bool>()).prop_map(|(id, committed)| Step::End(id, committed)),
        1 => (0..3_usize).prop_map(Step::Delete),
        1 => Just(Step::Restart),
    ]
}

/// Offsets as Kafka keeps them: with the offset of their record.
#[derive(Default)]
struct Model {
    committed: BTreeMap<usize, i64>,
    pending: BTreeMap<i64, BTreeMap<usize, i64>>,
}

proptest! {
    /// Each commit is its own number, which rises with the place in the log, so values stand for record offsets.
    #[test]
    fn the_last_commit_in_the_log_counts(steps in proptest::collection::vec(step(), 0..60)) {
        const TOPICS: [&str; 3] = ["a", "b", "c"];
        let mut harness = Harness::new();
        let mut model = Model::default();
        let mut written = 0;
        for step in steps {
            written += 1;
            match step {
                Step::Commit(topic) => {
                    harness.commit(None, None, TOPICS[topic], written).unwrap();
                    model.committed.insert(topic, written);
                }
                Step::TxnCommit(id, topic) => {
                    txn_commit(&mut harness, id, request(TOPICS[topic], written)).unwrap();
                    model.pending.entry(id).or_default().insert(topic, written);
                }
                Step::End(id, committed) => {
                    end(&mut harness, id, committed);
                    let offsets = model.pending.remove(&id).unwrap_or_default();
                    for (topic, offset) in offsets.into_iter().filter(|_| committed) {
                        let known = model.committed.entry(topic).or_insert(offset);
                        *known = (*known).max(offset);
                    }
                }
                Step::Delete(index) => {
                    harness.call(GroupRequest::DeleteOffsets(DeleteOffsetsRequest {
                        group: GroupId::new("readers"),
                        partitions: vec![types::TopicPartition {
                            topic: topic(TOPICS[index]),
                            partition: partition(0),
                        }],
                    }));
                    model.committed.remove(&index);
                    for offsets in model.pending.values_mut() {
                        offsets.remove(&index);
                    }
                }
                Step::Restart => {
                    let restarted = harness.restarted();
                    prop_assert_eq!(&restarted.shard.offsets, &harness.shard.offsets);
                    harness = restarted;
                }
            }
            for (index, name) in TOPICS.iter().enumerate() {
                let pending = model.pending.values().any(|offsets| offsets.contains_key(&index));
                let expected = if pending {
                    Err(FetchOffsetError::Unstable)
                } else {
                    Ok(model.committed.get(&index).copied())
                };
                prop_assert_eq!(stable(&mut harness, name), expected);
                prop_assert_eq!(harness.committed(name), model.committed.get(&index).copied());
            }
        }
    }
}
