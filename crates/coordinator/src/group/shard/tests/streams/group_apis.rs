//! What other requests see of a streams group: commits, fetches of offsets, deletion, lists, descriptions, restarts.

use super::*;

#[test]
fn commits_need_the_members_epoch_or_that_of_the_task() {
    let mut harness = Harness::with_streams_topics(&READY);
    let epoch = harness.two_members();
    let of = |member: Option<&str>, epoch: i32, topic: &str, partition: i32| CommitRequest {
        group: GroupId::new(GROUP),
        member: member.map(MemberId::new),
        instance: None,
        generation: Generation::new(epoch),
        retention_ms: None,
        takes_member_epochs: true,
        topics: vec![CommitTopic {
            topic: TopicName::new(topic),
            topic_id: None,
            partitions: vec![CommitPartition {
                partition: types::PartitionIndex::new(partition).expect("not negative"),
                offset: 7,
                leader_epoch: None,
                metadata: None,
            }],
        }],
    };
    let kept = harness.streams_group().members()["one"]
        .current
        .assigned
        .active["0"]
        .clone();
    let (kept, since) = kept.first_key_value().expect("it has one");
    let (kept, since) = (*kept, *since);
    assert_eq!((since, epoch), (2, 3));
    let stale = |received| CommitError::StaleMemberEpoch {
        received,
        known: epoch,
    };
    for (request, expected) in [
        (of(Some("one"), epoch, "in", kept), Ok(())),
        (of(Some("one"), since, "in", kept), Ok(())),
        (
            of(Some("one"), since - 1, "in", kept),
            Err(stale(since - 1)),
        ),
        (of(Some("one"), since, "in", 1 - kept), Err(stale(since))),
        (of(Some("one"), since, "elsewhere", kept), Err(stale(since))),
        (
            of(Some("one"), epoch + 1, "in", kept),
            Err(stale(epoch + 1)),
        ),
        (
            of(Some("three"), epoch, "in", kept),
            Err(CommitError::UnknownMember),
        ),
        (of(None, -1, "in", kept), Err(CommitError::UnknownMember)),
        (
            CommitRequest {
                takes_member_epochs: false,
                ..of(Some("one"), epoch, "in", kept)
            },
            Err(CommitError::UnsupportedVersion),
        ),
    ] {
        assert_eq!(harness.commit_request(request).map(drop), expected);
    }
    harness.streams(leave("one"));
    harness.streams(leave("two"));
    let outside = of(None, -1, "in", 0);
    assert_eq!(harness.commit_request(outside).map(drop), Ok(()));
}

#[test]
fn only_a_member_in_its_epoch_or_nobody_fetches_offsets() {
    let mut harness = Harness::with_streams_topics(&READY);
    let epoch = harness.two_members();
    for (member, asked, expected) in [
        (None, -1, Ok(())),
        (Some("one"), epoch, Ok(())),
        (
            Some("one"),
            epoch - 1,
            Err(FetchOffsetsError::StaleMemberEpoch { current: epoch }),
        ),
        (Some("three"), epoch, Err(FetchOffsetsError::UnknownMember)),
        (None, epoch, Err(FetchOffsetsError::UnknownMember)),
    ] {
        let request = FetchOffsetsRequest {
            group: GroupId::new(GROUP),
            member: member.map(MemberId::new),
            member_epoch: asked,
            topics: TopicSelection::All,
            require_stable: false,
        };
        match harness.call(GroupRequest::FetchOffsets(request)) {
            GroupReply::FetchOffsets(result) => assert_eq!(result.map(drop), expected),
            other => panic!("not a fetch: {other:?}"),
        }
    }
}

#[test]
fn offsets_of_read_topics_stay_while_there_are_members() {
    let mut harness = Harness::with_streams_topics(&READY);
    let outside = CommitRequest {
        group: GroupId::new(GROUP),
        member: None,
        instance: None,
        generation: None,
        retention_ms: None,
        takes_member_epochs: true,
        topics: vec![commit_topic("in", 1), commit_topic("elsewhere", 1)],
    };
    harness.commit_request(outside).expect("a simple group");
    // A group that only has offsets becomes a streams group and keeps them.
    let mut request = join("one");
    request.settings.session_timeout = Duration::from_secs(30 * 24 * 60 * 60);
    harness.streams(request);
    harness.advance(Duration::from_secs(8 * 24 * 60 * 60));
    assert_eq!(harness.committed("in"), Some(1));
    assert_eq!(harness.committed("elsewhere"), None);
    harness.streams(leave("one"));
    harness.advance(Duration::from_secs(10 * 60));
    assert_eq!(harness.committed("in"), None);
    assert!(
        harness.shard.groups.is_empty(),
        "nothing is left of the group"
    );
    assert!(harness.restarted().shard.groups.is_empty());
}

#[test]
fn only_an_empty_group_is_deleted() {
    let mut harness = Harness::with_streams_topics(&READY);
    harness.streams(join("one"));
    let delete = || {
        GroupRequest::DeleteGroups(DeleteGroupsRequest {
            groups: vec![GroupId::new(GROUP)],
        })
    };
    let result = |reply| match reply {
        GroupReply::DeleteGroups(mut deleted) => deleted.remove(0).result,
        other => panic!("not a deletion: {other:?}"),
    };
    assert_eq!(
        result(harness.call(delete())),
        Err(DeleteGroupError::NonEmptyGroup)
    );
    harness.streams(leave("one"));
    assert_eq!(result(harness.call(delete())), Ok(()));
    assert!(harness.shard.groups.is_empty());
    assert!(harness.restarted().shard.groups.is_empty());
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut harness = Harness::with_streams_topics(&[]);
    harness.streams(join("one"));
    let listed = |harness: &mut Harness, states: &[&str], types: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let reply = harness.call(GroupRequest::List(ListRequest {
            states: owned(states),
            types: owned(types),
        }));
        match reply {
            GroupReply::List(groups) => groups,
            other => panic!("not a list: {other:?}"),
        }
    };
    let [group] = &listed(&mut harness, &[], &["Streams"])[..] else {
        panic!("one group");
    };
    assert_eq!(group.group_type, GroupType::Streams);
    assert_eq!(group.protocol_type.as_deref(), Some("streams"));
    assert_eq!(group.state, "NotReady");
    // Kafka's filter has an underscore where the state's name has none.
    for (state, count) in [
        ("not_ready", 1),
        ("NOT_READY", 1),
        ("NotReady", 0),
        ("stable", 0),
    ] {
        assert_eq!(listed(&mut harness, &[state], &[]).len(), count, "{state}");
    }
    assert_eq!(listed(&mut harness, &[], &["classic"]).len(), 0);
}

#[test]
fn classic_and_streams_groups_give_way_when_they_are_empty() {
    let mut harness = Harness::with_streams_topics(&READY);
    harness.streams(join("one"));
    assert_eq!(
        harness.join_error(join_request()),
        JoinError::InconsistentProtocol
    );
    harness.streams(leave("one"));
    let members = harness.stable_group(1);
    assert_eq!(harness.restarted().group().members().count(), 1);
    harness.leave(&[(Some(&members[0]), None)]);
    harness.settle();
    let reply = harness.streams(join("one"));
    assert_eq!(reply.member_epoch, 2);
    assert_eq!(harness.restarted().streams_group().members().len(), 1);
}

#[test]
fn a_description_shows_who_has_and_should_have_what() {
    let mut harness = Harness::with_streams_topics(&READY);
    let all = harness.streams(join("one")).tasks.expect("told");
    harness.streams(join("two"));
    let described = harness.described(GROUP).expect("it is there");
    assert_eq!(described.state, StreamsGroupState::Reconciling);
    assert_eq!((described.group_epoch, described.target_epoch), (3, 3));
    let [one, two] = &described.members[..] else {
        panic!("two members");
    };
    let has: BTreeMap<_, BTreeSet<i32>> = one
        .assigned
        .active
        .iter()
        .map(|(id, partitions)| (id.clone(), partitions.keys().copied().collect()))
        .collect();
    assert_eq!(has, all.active);
    assert_ne!(one.target.active, all.active);
    assert!(two.assigned.active.is_empty());
    assert!(!two.target.active.is_empty());
    assert_eq!(two.metadata.process.as_ref(), "process-two");
}

#[test]
fn a_restarted_shard_goes_on_where_it_was() {
    let mut harness = Harness::with_streams_topics(&READY);
    let epoch = harness.two_members();
    let mut restarted = harness.restarted();
    assert_eq!(restarted.log.len(), harness.log.len());
    // Nothing is assigned anew: the topics are as the group's hash says.
    for member in ["one", "two"] {
        let reply = restarted.streams(stay(member, epoch));
        assert_eq!((reply.member_epoch, reply.tasks), (epoch, None));
    }
    restarted.advance(Duration::from_secs(45));
    assert_eq!(restarted.streams_group().state(), StreamsGroupState::Empty);
}
