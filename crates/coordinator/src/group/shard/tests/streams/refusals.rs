//! Heartbeats that are refused, and topologies whose topics are not there or not right.

use super::*;

#[test]
fn epochs_of_heartbeats_are_checked() {
    let mut harness = Harness::with_streams_topics(&READY);
    harness.streams(join("one"));
    let mut again = join("one");
    again.rack = Some(Arc::from("rack"));
    let tasks = harness.streams(again).tasks.expect("told on joining");
    let current = &harness.streams_group().members()["one"].current;
    assert_eq!(
        (current.member_epoch, current.previous_member_epoch),
        (3, 2)
    );
    let fenced = |comparison, received| StreamsHeartbeatError::FencedEpoch {
        comparison,
        received,
        known: 3,
    };
    let foreign = active(&[("0", &[0, 1, 2])]);
    for (request, expected) in [
        (stay("one", 4), Some(fenced("greater", 4))),
        (stay("one", 1), Some(fenced("smaller", 1))),
        (own("one", 1, &tasks), Some(fenced("smaller", 1))),
        // The answer with the new epoch may have been lost; then the member has at most what it should have.
        (stay("one", 2), Some(fenced("smaller", 2))),
        (own("one", 2, &foreign), Some(fenced("smaller", 2))),
        (own("one", 2, &tasks), None),
        (own("one", 2, &TaskSet::default()), None),
        (stay("one", 3), None),
    ] {
        let result = harness.streams_result(request);
        assert_eq!(result.err(), expected);
    }
}

#[test]
fn a_heartbeat_that_no_group_could_take_is_refused() {
    use InvalidStreamsHeartbeat as Invalid;

    type Change = fn(&mut StreamsHeartbeatRequest);
    let with_subtopology = |change: fn(&mut Subtopology)| {
        let mut request = join("one");
        let topology = request.topology.as_mut().expect("joins with one");
        change(&mut topology.subtopologies[1].1);
        request
    };
    let changed = |change: Change| {
        let mut request = join("one");
        change(&mut request);
        request
    };
    let staying = |change: Change| {
        let mut request = stay("one", 1);
        change(&mut request);
        request
    };
    let cases: Vec<(StreamsHeartbeatRequest, Invalid)> = vec![
        (
            changed(|one| one.instance = Some(Arc::from("i"))),
            Invalid::StaticMember,
        ),
        (
            changed(|one| one.has_task_offsets = true),
            Invalid::TaskOffsets,
        ),
        (
            changed(|one| one.has_task_end_offsets = true),
            Invalid::TaskEndOffsets,
        ),
        (
            changed(|one| one.warmup_tasks = Some(vec![(Arc::from("0"), vec![0])])),
            Invalid::WarmupTasks,
        ),
        (
            with_subtopology(|one| one.source_topic_regex = vec![Arc::from("in.*")]),
            Invalid::SourceTopicRegex,
        ),
        (
            changed(|one| one.member = MemberId::new(" ")),
            Invalid::EmptyMember,
        ),
        (
            changed(|one| one.group = GroupId::new("")),
            Invalid::EmptyGroup,
        ),
        (
            changed(|one| one.rack = Some(Arc::from("\t"))),
            Invalid::EmptyRack,
        ),
        (
            changed(|one| one.rebalance_timeout_ms = None),
            Invalid::NoRebalanceTimeout,
        ),
        (
            changed(|one| one.active_tasks = None),
            Invalid::JoinsWithActiveTasks,
        ),
        (
            changed(|one| one.active_tasks = Some(vec![(Arc::from("0"), vec![0])])),
            Invalid::JoinsWithActiveTasks,
        ),
        (
            changed(|one| one.standby_tasks = None),
            Invalid::JoinsWithStandbyTasks,
        ),
        (
            changed(|one| one.warmup_tasks = None),
            Invalid::JoinsWithWarmupTasks,
        ),
        (
            changed(|one| one.topology = None),
            Invalid::JoinsWithoutTopology,
        ),
        (changed(|one| one.member_epoch = -2), Invalid::NoInstance),
        (
            changed(|one| one.member_epoch = -3),
            Invalid::MemberEpoch(-3),
        ),
        (
            staying(|one| one.active_tasks = Some(Vec::new())),
            Invalid::SomeTaskTypes,
        ),
        (
            staying(|one| one.topology = Some(topology())),
            Invalid::TopologyAgain,
        ),
        (
            with_subtopology(|one| one.state_changelog_topics[0].partitions = 3),
            Invalid::ChangelogPartitions {
                topic: TopicName::new("changelog"),
                partitions: 3,
            },
        ),
    ];
    let mut harness = Harness::with_streams_topics(&READY);
    for (request, expected) in cases {
        let error = harness.streams_error(request);
        assert_eq!(error, StreamsHeartbeatError::Invalid(expected));
    }
    assert!(harness.shard.groups.is_empty());
}

#[test]
fn a_heartbeat_that_contradicts_itself_is_refused() {
    let mut harness = Harness::with_streams_topics(&READY);
    let twice = |subtopologies: &mut Vec<(Arc<str>, Subtopology)>| {
        subtopologies.push(subtopologies[0].clone())
    };
    let mut subtopology_twice = join("one");
    twice(
        &mut subtopology_twice
            .topology
            .as_mut()
            .expect("joins with one")
            .subtopologies,
    );
    let mut negative_epoch = join("one");
    negative_epoch
        .topology
        .as_mut()
        .expect("joins with one")
        .epoch = -1;
    let mut tag_twice = join("one");
    let tag = (Arc::from("zone"), Arc::from("a"));
    tag_twice.client_tags = Some(vec![tag.clone(), tag]);
    for request in [subtopology_twice, negative_epoch, tag_twice] {
        let error = harness.streams_error(request);
        assert!(matches!(error, StreamsHeartbeatError::Contradiction(_)));
    }
    harness.streams(join("one"));
    let mut tasks_twice = own("one", 2, &TaskSet::default());
    let tasks = (Arc::from("0"), vec![0]);
    tasks_twice.active_tasks = Some(vec![tasks.clone(), tasks]);
    let error = harness.streams_error(tasks_twice);
    assert!(matches!(error, StreamsHeartbeatError::Contradiction(_)));
}

#[test]
fn owned_tasks_must_exist() {
    let mut harness = Harness::with_streams_topics(&READY);
    harness.streams(join("one"));
    for (subtopology, partition, expected) in [
        (
            "2",
            0,
            StreamsHeartbeatError::NoSuchSubtopology(Arc::from("2")),
        ),
        (
            "1",
            2,
            StreamsHeartbeatError::NoSuchTask {
                subtopology: Arc::from("1"),
                partition: 2,
                tasks: 2,
            },
        ),
        (
            "1",
            -1,
            StreamsHeartbeatError::NoSuchTask {
                subtopology: Arc::from("1"),
                partition: -1,
                tasks: 2,
            },
        ),
    ] {
        let owned = active(&[(subtopology, &[partition])]);
        assert_eq!(harness.streams_error(own("one", 2, &owned)), expected);
    }
}

#[test]
fn a_group_that_is_not_there_or_of_another_type_is_not_found() {
    let mut harness = Harness::with_streams_topics(&READY);
    let id = GroupId::new(GROUP);
    assert_eq!(
        harness.streams_error(stay("one", 1)),
        StreamsHeartbeatError::UnknownStreamsGroup(id.clone())
    );
    assert_eq!(
        harness.streams_error(leave("one")),
        StreamsHeartbeatError::UnknownGroup(id.clone())
    );
    assert_eq!(
        harness.described(GROUP),
        Err(DescribeStreamsError::UnknownGroup(id.clone()))
    );
    harness.stable_group(1);
    for request in [join("one"), stay("one", 1), leave("one")] {
        assert_eq!(
            harness.streams_error(request),
            StreamsHeartbeatError::NotStreamsGroup(id.clone())
        );
    }
    assert_eq!(
        harness.described(GROUP),
        Err(DescribeStreamsError::NotStreamsGroup(id))
    );
}

#[test]
fn a_full_group_takes_nobody() {
    let mut harness = Harness::with_streams_topics(&READY);
    let limited = |member: &str| {
        let mut request = join(member);
        request.settings.group_size_max = 1;
        request
    };
    harness.streams(limited("one"));
    for member in ["one", "two"] {
        assert_eq!(
            harness.streams_error(limited(member)),
            StreamsHeartbeatError::GroupFull { max: 1 }
        );
    }
}

#[test]
fn the_topology_of_the_first_member_stays() {
    let mut harness = Harness::with_streams_topics(&READY);
    let in_epoch = |member: &str, epoch: i32| {
        let mut request = join(member);
        request.topology.as_mut().expect("joins with one").epoch = epoch;
        request
    };
    harness.streams(in_epoch("one", 1));
    assert_eq!(
        harness.streams_error(in_epoch("two", 2)),
        StreamsHeartbeatError::TopologyChanged
    );
    let mut other = in_epoch("two", 1);
    let topology = other.topology.as_mut().expect("joins with one");
    topology.subtopologies.remove(0);
    assert_eq!(
        harness.streams_error(other),
        StreamsHeartbeatError::TopologyChanged
    );
    // An older one joins, and is told so at every heartbeat.
    let reply = harness.streams(in_epoch("two", 0));
    let stale = StreamsStatus::StaleTopology {
        member: 0,
        group: 1,
    };
    assert_eq!(reply.status, std::slice::from_ref(&stale));
    let reply = harness.streams(stay("two", reply.member_epoch));
    assert_eq!(reply.status, [stale]);
}

#[test]
fn missing_source_topics_are_told_until_they_are_there() {
    let mut harness = Harness::with_streams_topics(&[]);
    let reply = harness.streams(join("one"));
    let missing = TopicProblem::MissingSourceTopics(BTreeSet::from([TopicName::new("in")]));
    assert_eq!(reply.status, [StreamsStatus::Topics(missing)]);
    assert_eq!(codes(&reply), [1]);
    assert_eq!(reply.tasks, Some(TaskSet::default()));
    assert_eq!(reply.missing_topics, []);
    assert_eq!(harness.streams_group().state(), StreamsGroupState::NotReady);

    harness.set_streams_topics(&[("in", 2)]);
    let reply = harness.streams(stay("one", reply.member_epoch));
    assert_eq!(codes(&reply), [3]);
    let names: Vec<(&str, i32)> = reply
        .missing_topics
        .iter()
        .map(|topic| (topic.name.as_str(), topic.partitions))
        .collect();
    assert_eq!(names, [("changelog", 2), ("repartition", 2)]);
    assert_eq!(harness.streams_group().state(), StreamsGroupState::NotReady);

    harness.set_streams_topics(&READY);
    let reply = harness.streams(stay("one", reply.member_epoch));
    assert_eq!(reply.status, []);
    assert_eq!(reply.tasks, Some(active(&[("0", &[0, 1]), ("1", &[0, 1])])));
    assert_eq!(harness.streams_group().state(), StreamsGroupState::Stable);

    // A source that goes away takes all tasks with it; more partitions make more tasks.
    harness.set_streams_topics(&[("repartition", 2), ("changelog", 2)]);
    let all = reply.tasks.expect("checked above");
    let reply = harness.streams(own("one", reply.member_epoch, &all));
    assert_eq!(
        (codes(&reply), reply.tasks),
        (vec![1], Some(TaskSet::default()))
    );
    harness.set_streams_topics(&[("in", 3), ("repartition", 3), ("changelog", 3)]);
    let reply = harness.streams(own("one", reply.member_epoch, &TaskSet::default()));
    let reply = harness.streams(stay("one", reply.member_epoch));
    let described = harness.described(GROUP).expect("it is there");
    let topology = described.topology.expect("it has one");
    assert_eq!(
        topology.subtopologies[1].state_changelog_topics[0].partitions,
        3
    );
    assert_eq!(reply.status, []);
}

#[test]
fn internal_topics_with_other_partition_counts_are_told() {
    let mut harness =
        Harness::with_streams_topics(&[("in", 2), ("repartition", 2), ("changelog", 5)]);
    let reply = harness.streams(join("one"));
    assert_eq!(codes(&reply), [2]);
    assert_eq!(
        reply.status[0].to_string(),
        "Existing topic changelog has different number of partitions: expected 2, found 5"
    );
    assert_eq!(reply.missing_topics, []);
}

#[test]
fn a_topology_that_no_topics_could_satisfy_is_refused() {
    let mut harness = Harness::with_streams_topics(&READY);
    let mut request = join("one");
    let topology = request.topology.as_mut().expect("joins with one");
    topology.subtopologies[0].1.repartition_sink_topics.clear();
    assert_eq!(
        harness.streams_error(request),
        StreamsHeartbeatError::Topology(ConfigureError::RepartitionSourceWithoutSink)
    );
}
