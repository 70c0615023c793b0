//! Streams groups: what heartbeats, timers and administrators get to see. The expectations are those of Kafka's
//! `GroupMetadataManagerTest` and `StreamsGroupTest`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use types::{GroupId, MemberId, TopicId, TopicName};

use super::harness::{Harness, commit_topic, join_request};
use crate::group::classic::generation::Generation;
use crate::group::classic::join::JoinError;
use crate::group::classic::member::Client;
use crate::group::delete::{DeleteGroupError, DeleteGroupsRequest};
use crate::group::kind::Group;
use crate::group::list::{GroupType, ListRequest};
use crate::group::modern::topics::{TopicImage, TopicsImage};
use crate::group::offsets::commit::{CommitError, CommitPartition, CommitRequest, CommitTopic};
use crate::group::offsets::fetch::{FetchOffsetsError, FetchOffsetsRequest, TopicSelection};
use crate::group::request::{GroupReply, GroupRequest};
use crate::group::settings::GroupSettings;
use crate::group::streams::describe::{
    DescribeStreamsError, DescribeStreamsRequest, DescribedStreamsGroup,
};
use crate::group::streams::heartbeat::{
    StreamsHeartbeatError, StreamsHeartbeatReply, StreamsStatus,
};
use crate::group::streams::member::UserEndpoint;
use crate::group::streams::request::{
    DeclaredTopology, InvalidStreamsHeartbeat, OwnedTasks, StreamsHeartbeatRequest,
};
use crate::group::streams::settings::StreamsGroupSettings;
use crate::group::streams::state::{StreamsGroup, StreamsGroupState};
use crate::group::streams::tasks::TaskSet;
use crate::group::streams::topics::problem::{ConfigureError, TopicProblem};
use crate::group::streams::topology::{InternalTopic, Subtopology};

pub(super) const GROUP: &str = "readers";

pub(super) fn settings() -> StreamsGroupSettings {
    StreamsGroupSettings {
        initial_rebalance_delay: Duration::ZERO,
        ..StreamsGroupSettings::default()
    }
}

fn internal(name: &str, partitions: i32) -> InternalTopic {
    InternalTopic {
        name: TopicName::new(name),
        partitions,
        replication_factor: 0,
        configs: Vec::new(),
    }
}

/// `in` is counted by way of a repartition topic, as a word count does it.
pub(super) fn topology() -> DeclaredTopology {
    let first = Subtopology {
        source_topics: vec![TopicName::new("in")],
        repartition_sink_topics: vec![TopicName::new("repartition")],
        ..Subtopology::default()
    };
    let second = Subtopology {
        repartition_source_topics: vec![internal("repartition", 0)],
        state_changelog_topics: vec![internal("changelog", 0)],
        ..Subtopology::default()
    };
    DeclaredTopology {
        epoch: 0,
        subtopologies: vec![(Arc::from("0"), first), (Arc::from("1"), second)],
    }
}

/// A member that stays in `epoch` and says nothing of itself.
pub(super) fn stay(member: &str, epoch: i32) -> StreamsHeartbeatRequest {
    StreamsHeartbeatRequest {
        group: GroupId::new(GROUP),
        member: MemberId::new(member),
        member_epoch: epoch,
        endpoint_epoch: 0,
        instance: None,
        rack: None,
        rebalance_timeout_ms: None,
        topology: None,
        active_tasks: None,
        standby_tasks: None,
        warmup_tasks: None,
        process: None,
        user_endpoint: None,
        client_tags: None,
        has_task_offsets: false,
        has_task_end_offsets: false,
        shutdown_application: false,
        client: Client {
            id: Arc::from("client"),
            host: Arc::from("/127.0.0.1"),
        },
        settings: settings(),
    }
}

/// A member that joins, each in a process of its own.
pub(super) fn join(member: &str) -> StreamsHeartbeatRequest {
    StreamsHeartbeatRequest {
        rebalance_timeout_ms: Some(10_000),
        topology: Some(topology()),
        active_tasks: Some(Vec::new()),
        standby_tasks: Some(Vec::new()),
        warmup_tasks: Some(Vec::new()),
        process: Some(Arc::from(format!("process-{member}"))),
        client_tags: Some(Vec::new()),
        ..stay(member, 0)
    }
}

/// A member that tells what it has.
pub(super) fn own(member: &str, epoch: i32, tasks: &TaskSet) -> StreamsHeartbeatRequest {
    let listed = |tasks: &crate::group::streams::tasks::Tasks| -> OwnedTasks {
        let tasks = tasks.iter();
        tasks
            .map(|(subtopology, partitions)| {
                (subtopology.clone(), partitions.iter().copied().collect())
            })
            .collect()
    };
    StreamsHeartbeatRequest {
        active_tasks: Some(listed(&tasks.active)),
        standby_tasks: Some(listed(&tasks.standby)),
        warmup_tasks: Some(Vec::new()),
        ..stay(member, epoch)
    }
}

fn leave(member: &str) -> StreamsHeartbeatRequest {
    stay(member, -1)
}

pub(super) fn topics(topics: &[(&str, i32)]) -> Arc<TopicsImage> {
    let image = |(name, partitions): &(&str, i32)| {
        let mut id = [0; 16];
        for (byte, of_name) in id.iter_mut().zip(name.bytes()) {
            *byte = of_name;
        }
        TopicImage {
            id: TopicId::new(id).expect("not zero"),
            name: TopicName::new(name),
            partitions: *partitions,
        }
    };
    Arc::new(TopicsImage::new(1, topics.iter().map(image)))
}

/// All topics of [`topology`], with two tasks in each subtopology.
pub(super) const READY: [(&str, i32); 3] = [("in", 2), ("repartition", 2), ("changelog", 2)];

impl Harness {
    /// A shard in a cluster with these topics.
    pub(super) fn with_streams_topics(known: &[(&str, i32)]) -> Self {
        Self::with(GroupSettings {
            topics: topics(known),
            streams_default: settings(),
            initial_rebalance_delay: Duration::ZERO,
            ..GroupSettings::default()
        })
    }

    pub(super) fn set_streams_topics(&mut self, known: &[(&str, i32)]) {
        let reply = self.call(GroupRequest::TopicsChanged(topics(known)));
        assert_eq!(reply, GroupReply::TopicsChanged);
    }

    pub(super) fn streams_result(
        &mut self,
        request: StreamsHeartbeatRequest,
    ) -> Result<StreamsHeartbeatReply, StreamsHeartbeatError> {
        match self.call(GroupRequest::StreamsHeartbeat(request)) {
            GroupReply::StreamsHeartbeat(result) => result,
            other => panic!("not a heartbeat: {other:?}"),
        }
    }

    fn streams(&mut self, request: StreamsHeartbeatRequest) -> StreamsHeartbeatReply {
        self.streams_result(request).expect("accepted")
    }

    fn streams_error(&mut self, request: StreamsHeartbeatRequest) -> StreamsHeartbeatError {
        let records = self.log.len();
        let error = self.streams_result(request).expect_err("refused");
        assert_eq!(self.log.len(), records, "a refusal writes nothing");
        error
    }

    pub(super) fn streams_group(&self) -> &StreamsGroup {
        match self.shard.groups.get(GROUP) {
            Some(Group::Streams(group)) => group,
            other => panic!("not a streams group: {other:?}"),
        }
    }

    fn described(&mut self, group: &str) -> Result<DescribedStreamsGroup, DescribeStreamsError> {
        let groups = vec![GroupId::new(group)];
        let reply = self.call(GroupRequest::DescribeStreams(DescribeStreamsRequest {
            groups,
        }));
        match reply {
            GroupReply::DescribeStreams(mut described) => described.remove(0),
            other => panic!("not a description: {other:?}"),
        }
    }

    /// Two members that have all tasks, one task of each subtopology each; both in the epoch that comes back.
    fn two_members(&mut self) -> i32 {
        let one = self.streams(join("one"));
        let all = one.tasks.expect("told on joining");
        let two = self.streams(join("two"));
        let told = self.streams(own("one", one.member_epoch, &all));
        let kept = told.tasks.expect("something is revoked");
        self.streams(own("one", told.member_epoch, &kept));
        self.streams(stay("two", two.member_epoch));
        assert_eq!(self.streams_group().state(), StreamsGroupState::Stable);
        self.streams_group().target_epoch()
    }
}

fn active(tasks: &[(&str, &[i32])]) -> TaskSet {
    let tasks = tasks.iter();
    TaskSet {
        active: tasks
            .map(|(subtopology, partitions)| {
                (
                    Arc::from(*subtopology),
                    partitions.iter().copied().collect(),
                )
            })
            .collect(),
        ..TaskSet::default()
    }
}

fn codes(reply: &StreamsHeartbeatReply) -> Vec<i8> {
    reply.status.iter().map(StreamsStatus::code).collect()
}

#[test]
fn the_first_member_gets_all_tasks_in_epoch_two() {
    let mut harness = Harness::with_streams_topics(&READY);
    let reply = harness.streams(join("one"));
    assert_eq!(reply.member_epoch, 2);
    assert_eq!(reply.heartbeat_interval_ms, 5_000);
    assert_eq!(reply.status, []);
    assert_eq!(reply.endpoint_epoch, 0);
    assert_eq!(reply.tasks, Some(active(&[("0", &[0, 1]), ("1", &[0, 1])])));
    assert_eq!(harness.streams_group().state(), StreamsGroupState::Stable);
    // What has not changed is not told again, and writes nothing.
    let records = harness.log.len();
    let reply = harness.streams(stay("one", 2));
    assert_eq!((reply.member_epoch, reply.tasks), (2, None));
    assert_eq!(harness.log.len(), records);
}

#[test]
fn tasks_move_only_after_they_were_given_up() {
    let mut harness = Harness::with_streams_topics(&READY);
    let one = harness.streams(join("one"));
    let all = one.tasks.expect("told on joining");
    let two = harness.streams(join("two"));
    // Everything is still with the first.
    assert_eq!(two.member_epoch, 3);
    assert_eq!(two.tasks, Some(TaskSet::default()));
    let told = harness.streams(own("one", 2, &all));
    assert_eq!(told.member_epoch, 2);
    let kept = told.tasks.expect("something is revoked");
    assert!(kept.active.values().map(BTreeSet::len).sum::<usize>() == 2);
    assert_eq!(harness.streams(stay("two", 3)).tasks, None);
    assert_eq!(
        harness.streams_group().state(),
        StreamsGroupState::Reconciling
    );
    // A heartbeat that does not tell what it has changes nothing.
    assert_eq!(harness.streams(stay("one", 2)).member_epoch, 2);
    assert_eq!(harness.streams(own("one", 2, &all)).member_epoch, 2);
    let done = harness.streams(own("one", 2, &kept));
    assert_eq!((done.member_epoch, done.tasks), (3, None));
    let got = harness.streams(stay("two", 3)).tasks.expect("released");
    let union: BTreeMap<_, BTreeSet<i32>> = kept.active.iter().chain(&got.active).fold(
        BTreeMap::new(),
        |mut union, (subtopology, partitions)| {
            let of_both: &mut BTreeSet<i32> = union.entry(subtopology.clone()).or_default();
            assert!(of_both.is_disjoint(partitions));
            of_both.extend(partitions);
            union
        },
    );
    assert_eq!(union, all.active);
    assert_eq!(harness.streams_group().state(), StreamsGroupState::Stable);
}

#[test]
fn a_member_that_gives_nothing_up_is_removed_after_its_rebalance_timeout() {
    let mut harness = Harness::with_streams_topics(&READY);
    let all = harness.streams(join("one")).tasks.expect("told");
    harness.streams(join("two"));
    harness.streams(own("one", 2, &all));
    for _ in 0..9 {
        harness.advance(Duration::from_secs(1));
        harness.streams(own("one", 2, &all));
    }
    assert!(harness.streams_group().members().contains_key("one"));
    harness.advance(Duration::from_secs(1));
    assert!(!harness.streams_group().members().contains_key("one"));
    let reply = harness.streams(stay("two", 3));
    assert_eq!(reply.tasks, Some(all));
}

#[test]
fn a_silent_member_is_removed_after_its_session() {
    let mut harness = Harness::with_streams_topics(&READY);
    harness.two_members();
    harness.advance(Duration::from_secs(44));
    let epoch = harness.streams_group().target_epoch();
    harness.streams(stay("two", epoch));
    harness.advance(Duration::from_secs(1));
    let members: Vec<&str> = harness
        .streams_group()
        .members()
        .keys()
        .map(MemberId::as_str)
        .collect();
    assert_eq!(members, ["two"]);
    assert_eq!(
        harness.streams_error(stay("one", epoch)),
        StreamsHeartbeatError::UnknownMember {
            member: MemberId::new("one"),
            group: GroupId::new(GROUP),
        }
    );
    let tasks = harness.streams(stay("two", epoch)).tasks;
    assert_eq!(tasks, Some(active(&[("0", &[0, 1]), ("1", &[0, 1])])));
    harness.advance(Duration::from_secs(45));
    assert_eq!(harness.streams_group().state(), StreamsGroupState::Empty);
}

#[test]
fn the_sessions_of_a_group_have_its_own_length() {
    let mut harness = Harness::with_streams_topics(&READY);
    let mut short = join("one");
    short.settings.session_timeout = Duration::from_secs(1);
    short.settings.heartbeat_interval_ms = 100;
    assert_eq!(harness.streams(short).heartbeat_interval_ms, 100);
    harness.advance(Duration::from_secs(1));
    assert_eq!(harness.streams_group().state(), StreamsGroupState::Empty);
}

#[test]
fn a_member_that_leaves_gets_its_epoch_back_and_frees_its_tasks() {
    let mut harness = Harness::with_streams_topics(&READY);
    let epoch = harness.two_members();
    let reply = harness.streams(leave("one"));
    assert_eq!(
        reply,
        StreamsHeartbeatReply {
            member_epoch: -1,
            ..StreamsHeartbeatReply::default()
        }
    );
    let tasks = harness.streams(stay("two", epoch)).tasks;
    assert_eq!(tasks, Some(active(&[("0", &[0, 1]), ("1", &[0, 1])])));
    assert!(matches!(
        harness.streams_error(leave("one")),
        StreamsHeartbeatError::UnknownMember { .. }
    ));
}

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

#[test]
fn the_first_members_wait_for_others() {
    let mut harness = Harness::with_streams_topics(&READY);
    let delayed = |mut request: StreamsHeartbeatRequest| {
        request.settings.initial_rebalance_delay = Duration::from_secs(3);
        request
    };
    let one = harness.streams(delayed(join("one")));
    assert_eq!((one.member_epoch, codes(&one)), (1, vec![5]));
    assert_eq!(one.tasks, Some(TaskSet::default()));
    harness.advance(Duration::from_secs(2));
    let two = harness.streams(delayed(join("two")));
    assert_eq!((two.member_epoch, codes(&two)), (1, vec![5]));
    assert_eq!(
        harness.streams_group().state(),
        StreamsGroupState::Assigning
    );
    harness.advance(Duration::from_secs(1));
    assert_eq!(
        harness.streams_group().state(),
        StreamsGroupState::Reconciling
    );
    for member in ["one", "two"] {
        let reply = harness.streams(delayed(stay(member, 1)));
        assert_eq!((reply.member_epoch, codes(&reply)), (3, vec![]));
        let tasks = reply.tasks.expect("its first");
        assert_eq!(tasks.active.values().map(BTreeSet::len).sum::<usize>(), 2);
    }
    assert_eq!(harness.streams_group().state(), StreamsGroupState::Stable);
}

#[test]
fn a_group_of_which_only_one_heartbeat_came_is_assigned_at_the_next() {
    let mut harness = Harness::with_streams_topics(&READY);
    let mut request = join("one");
    request.settings.initial_rebalance_delay = Duration::from_secs(3);
    harness.streams(request);
    // Nobody has configured the topology since the group exists.
    harness.advance(Duration::from_secs(3));
    assert_eq!(harness.streams_group().target_epoch(), 0);
    let reply = harness.streams(stay("one", 1));
    assert_eq!(reply.member_epoch, 2);
    assert!(reply.tasks.is_some_and(|tasks| tasks.active.len() == 2));
}

#[test]
fn standby_replicas_are_set_while_the_group_runs() {
    let mut harness = Harness::with_streams_topics(&READY);
    let epoch = harness.two_members();
    for member in ["one", "two"] {
        let mut request = stay(member, epoch);
        request.settings.standby_replicas = 1;
        let tasks = harness.streams(request).tasks.expect("changed");
        assert_eq!(
            tasks.standby.len(),
            1,
            "only the second subtopology has state"
        );
        let own = &tasks.active["1"];
        assert!(tasks.standby["1"].is_disjoint(own));
    }
    let configs = &harness.streams_group().metadata().last_assignment_configs;
    assert_eq!(configs["num.standby.replicas"].as_ref(), "1");
}

#[test]
fn a_shutdown_reaches_everybody_and_is_forgotten_with_the_last_member() {
    let mut harness = Harness::with_streams_topics(&READY);
    let epoch = harness.two_members();
    let mut request = stay("one", epoch);
    request.shutdown_application = true;
    for reply in [
        harness.streams(request),
        harness.streams(stay("two", epoch)),
    ] {
        assert_eq!(codes(&reply), [4]);
        assert_eq!(
            reply.status[0].to_string(),
            "Streams group member one encountered a fatal error and requested a shutdown for the entire application."
        );
    }
    let mut leaving = leave("two");
    leaving.shutdown_application = true;
    harness.streams(leaving);
    // Who asked first is named.
    assert_eq!(
        harness.streams(stay("one", epoch)).status,
        [StreamsStatus::ShutdownApplication(MemberId::new("one"))]
    );
    harness.streams(leave("one"));
    assert_eq!(harness.streams(join("one")).status, []);
}

#[test]
fn endpoints_are_told_when_they_have_changed() {
    let mut harness = Harness::with_streams_topics(&READY);
    let endpoint = |port| UserEndpoint {
        host: Arc::from("localhost"),
        port,
    };
    let mut request = join("one");
    request.user_endpoint = Some(endpoint(1));
    let reply = harness.streams(request);
    // The first answer of a group is not remembered, so it has no epoch yet.
    assert_eq!(reply.endpoint_epoch, 0);
    let told = reply.partitions_by_endpoint.expect("changed");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].endpoint, endpoint(1));
    let all = vec![0, 1];
    assert_eq!(
        told[0].active,
        [
            (TopicName::new("in"), all.clone()),
            (TopicName::new("repartition"), all)
        ]
    );
    let reply = harness.streams(stay("one", 2));
    assert_eq!(reply.partitions_by_endpoint, None);
    let mut request = join("two");
    request.user_endpoint = Some(endpoint(2));
    let reply = harness.streams(request);
    assert_eq!(reply.endpoint_epoch, 1);
    let told = reply.partitions_by_endpoint.expect("changed");
    assert_eq!(
        told.iter().map(|one| one.endpoint.port).collect::<Vec<_>>(),
        [1, 2]
    );
    // The first gives tasks up, which changes what its endpoint serves.
    let reply = harness.streams(stay("one", 2));
    assert_eq!(reply.endpoint_epoch, 2);
    assert!(reply.partitions_by_endpoint.is_some());
    let mut request = stay("two", 3);
    request.endpoint_epoch = 2;
    assert_eq!(harness.streams(request).partitions_by_endpoint, None);
}

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
