//! DeleteGroups, OffsetDelete, deleted topics, and how groups are listed and described.

use std::sync::Arc;

use types::{GroupId, TopicPartition};

use super::harness::{GROUP, Harness, SESSION, group_id, join_request, partition, topic};
use crate::group::classic::generation::GroupState;
use crate::group::classic::join::JoinRequest;
use crate::group::delete::{DeleteGroupError, DeleteGroupsRequest};
use crate::group::describe::{DescribeRequest, DescribedGroup};
use crate::group::list::ListRequest;
use crate::group::offsets::delete::{DeleteOffsetError, DeleteOffsetsError, DeleteOffsetsRequest};
use crate::group::record::GroupRecord;
use crate::group::request::{GroupReply, GroupRequest};

fn delete(harness: &mut Harness, groups: &[&str]) -> Vec<Result<(), DeleteGroupError>> {
    let groups = groups.iter().map(|group| GroupId::new(group)).collect();
    match harness.call(GroupRequest::DeleteGroups(DeleteGroupsRequest { groups })) {
        GroupReply::DeleteGroups(deleted) => {
            deleted.into_iter().map(|deleted| deleted.result).collect()
        }
        other => panic!("not a deletion: {other:?}"),
    }
}

fn delete_offsets(
    harness: &mut Harness,
    group: &str,
    topics: &[&str],
) -> Result<Vec<Result<(), DeleteOffsetError>>, DeleteOffsetsError> {
    let first = |name: &&str| TopicPartition {
        topic: topic(name),
        partition: partition(0),
    };
    let request = DeleteOffsetsRequest {
        group: GroupId::new(group),
        partitions: topics.iter().map(first).collect(),
    };
    match harness.call(GroupRequest::DeleteOffsets(request)) {
        GroupReply::DeleteOffsets(result) => {
            result.map(|deleted| deleted.into_iter().map(|deleted| deleted.result).collect())
        }
        other => panic!("not a deletion: {other:?}"),
    }
}

fn describe(harness: &mut Harness, group: &str) -> DescribedGroup {
    let groups = vec![GroupId::new(group)];
    match harness.call(GroupRequest::Describe(DescribeRequest { groups })) {
        GroupReply::Describe(mut described) => described.remove(0),
        other => panic!("not a description: {other:?}"),
    }
}

fn list(harness: &mut Harness, states: &[&str], types: &[&str]) -> Vec<String> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let request = ListRequest {
        states: texts(states),
        types: texts(types),
    };
    match harness.call(GroupRequest::List(request)) {
        GroupReply::List(groups) => groups
            .iter()
            .map(|group| group.group.as_str().to_owned())
            .collect(),
        other => panic!("not a list: {other:?}"),
    }
}

#[test]
fn an_empty_group_goes_with_its_offsets() {
    let mut harness = Harness::new();
    let members = harness.stable_group(1);
    let generation = Some(harness.group().generation());
    harness
        .commit(Some(&members[0]), generation, "flights", 1)
        .expect("taken");
    harness
        .commit(Some(&members[0]), generation, "planes", 1)
        .expect("taken");
    assert_eq!(
        delete(&mut harness, &[GROUP]),
        [Err(DeleteGroupError::NonEmptyGroup)]
    );
    harness.leave(&[(Some(&members[0]), None)]);
    let before = harness.log.len();
    let unknown = Err(DeleteGroupError::UnknownGroup);
    assert_eq!(
        delete(&mut harness, &["other", GROUP, GROUP]),
        [unknown.clone(), Ok(()), unknown]
    );
    let tombstones = &harness.log[before..];
    assert_eq!(tombstones.len(), 3);
    assert!(matches!(
        tombstones[2],
        GroupRecord::GroupMetadata { value: None, .. }
    ));
    assert_eq!(harness.committed("flights"), None);
    assert_eq!(harness.shard.groups.len(), 0);
    let restarted = harness.restarted();
    assert_eq!(restarted.shard.groups.len(), 0);
    assert_eq!(restarted.shard.offsets, harness.shard.offsets);
}

#[test]
fn deleting_a_group_forgets_ids_it_gave_out() {
    let mut harness = Harness::new();
    harness.new_member();
    assert_eq!(delete(&mut harness, &[GROUP]), [Ok(())]);
    harness.advance(SESSION * 2);
    assert_eq!(harness.shard.groups.len(), 0);
}

#[test]
fn offsets_of_subscribed_topics_are_kept() {
    let mut harness = Harness::new();
    let members = harness.stable_group(1);
    let generation = Some(harness.group().generation());
    for name in ["flights", "planes"] {
        harness
            .commit(Some(&members[0]), generation, name, 1)
            .expect("taken");
    }
    let results = delete_offsets(&mut harness, GROUP, &["flights", "planes", "never"]);
    let kept = Err(DeleteOffsetError::SubscribedToTopic);
    assert_eq!(results, Ok(vec![kept, Ok(()), Ok(())]));
    assert_eq!(harness.committed("flights"), Some(1));
    assert_eq!(harness.committed("planes"), None);
    harness.leave(&[(Some(&members[0]), None)]);
    assert_eq!(
        delete_offsets(&mut harness, GROUP, &["flights"]),
        Ok(vec![Ok(())])
    );
    assert_eq!(harness.committed("flights"), None);
}

#[test]
fn offsets_of_groups_that_cannot_be_judged_are_kept() {
    let mut harness = Harness::new();
    assert_eq!(
        delete_offsets(&mut harness, "", &[]),
        Err(DeleteOffsetsError::InvalidGroupId)
    );
    assert_eq!(
        delete_offsets(&mut harness, GROUP, &[]),
        Err(DeleteOffsetsError::UnknownGroup)
    );
    harness.send(GroupRequest::Join(JoinRequest {
        protocol_type: Arc::from("connect"),
        requires_known_member: false,
        ..join_request()
    }));
    assert_eq!(
        delete_offsets(&mut harness, GROUP, &["flights"]),
        Err(DeleteOffsetsError::NonEmptyGroup)
    );
}

#[test]
fn a_consumer_whose_subscription_cannot_be_read_keeps_every_offset() {
    let mut harness = Harness::new();
    let mut request = JoinRequest {
        requires_known_member: false,
        ..join_request()
    };
    request.protocols[0].metadata = Arc::from([0xff]);
    harness.send(GroupRequest::Join(request));
    harness.settle();
    let kept = Err(DeleteOffsetError::SubscribedToTopic);
    assert_eq!(
        delete_offsets(&mut harness, GROUP, &["any"]),
        Ok(vec![kept])
    );
}

#[test]
fn deleted_topics_take_their_offsets_along_in_every_group() {
    let mut harness = Harness::new();
    for name in ["flights", "planes"] {
        harness.commit(None, None, name, 1).expect("taken");
    }
    let topics = vec![topic("flights"), topic("never")];
    assert_eq!(
        harness.call(GroupRequest::TopicsDeleted(topics)),
        GroupReply::TopicsDeleted
    );
    assert_eq!(harness.committed("flights"), None);
    assert_eq!(harness.committed("planes"), Some(1));
    assert_eq!(harness.restarted().committed("flights"), None);
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut harness = Harness::new();
    harness.stable_group(1);
    let request = JoinRequest {
        group: GroupId::new("new"),
        ..join_request()
    };
    harness.send(GroupRequest::Join(request));
    let cases: [(&[&str], &[&str], &[&str]); 8] = [
        (&[], &[], &["new", GROUP]),
        (&["Stable"], &[], &[GROUP]),
        (&[" sTABLE "], &[], &[GROUP]),
        (&["Empty", "Stable"], &[], &["new", GROUP]),
        (&["NoSuchState"], &[], &[]),
        (&[], &["Classic"], &["new", GROUP]),
        (&[], &["consumer"], &[]),
        (&["Stable"], &["classic", "share"], &[GROUP]),
    ];
    for (states, types, expected) in cases {
        assert_eq!(
            list(&mut harness, states, types),
            expected,
            "{states:?} {types:?}"
        );
    }
}

#[test]
fn a_stable_group_is_described_with_metadata_and_others_without() {
    let mut harness = Harness::new();
    let unknown = describe(&mut harness, GROUP);
    assert_eq!((unknown.state, unknown.members.len()), (None, 0));
    let members = harness.stable_group(2);
    let stable = describe(&mut harness, GROUP);
    assert_eq!(stable.group, group_id());
    assert_eq!(stable.state, Some(GroupState::Stable));
    assert_eq!(stable.protocol.as_deref(), Some("range"));
    for member in &stable.members {
        assert!(members.contains(&member.member));
        assert!(!member.metadata.is_empty());
        assert_eq!(&*member.assignment, member.member.as_str().as_bytes());
        assert_eq!(&*member.client.host, "/127.0.0.1");
    }
    harness.rejoin(&members[0]);
    let rebalancing = describe(&mut harness, GROUP);
    assert_eq!(rebalancing.state, Some(GroupState::PreparingRebalance));
    assert_eq!(rebalancing.protocol, None);
    assert_eq!(rebalancing.protocol_type.as_deref(), Some("consumer"));
    assert!(
        rebalancing
            .members
            .iter()
            .all(|member| member.metadata.is_empty())
    );
}
