//! Consumer groups: scenarios, and each error in the order of its check.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use types::{GroupId, InstanceId, MemberId, TopicId, TopicName};

use super::harness::{GROUP, Harness, group_id, partition, topic};
use crate::group::classic::member::Client;
use crate::group::consumer::heartbeat::{
    ConsumerHeartbeatError, ConsumerHeartbeatReply, ConsumerHeartbeatRequest,
};
use crate::group::consumer::pattern::SubscribedRegex;
use crate::group::consumer::settings::ConsumerGroupSettings;
use crate::group::consumer::state::{ConsumerGroup, ConsumerGroupState};
use crate::group::kind::Group;
use crate::group::modern::assignor::Assignor;
use crate::group::modern::partitions::TopicPartitions;
use crate::group::modern::topics::{TopicImage, TopicsImage};
use crate::group::request::{GroupReply, GroupRequest};
use crate::group::settings::GroupSettings;

const INTERVAL: Duration = Duration::from_secs(5);

pub(super) fn topic_id(byte: u8) -> TopicId {
    TopicId::new([byte; 16]).expect("not zero")
}

/// Topics by name and partition count; their ids are their positions from 1.
pub(super) fn image(revision: u64, topics: &[(&str, i32)]) -> Arc<TopicsImage> {
    let image = |(index, (name, partitions)): (usize, &(&str, i32))| TopicImage {
        id: topic_id(u8::try_from(index + 1).unwrap()),
        name: TopicName::new(name),
        partitions: *partitions,
    };
    Arc::new(TopicsImage::new(
        revision,
        topics.iter().enumerate().map(image),
    ))
}

pub(super) fn partitions(topic: u8, indexes: &[i32]) -> TopicPartitions {
    let index = |index: &i32| (topic_id(topic), partition(*index));
    indexes.iter().map(index).collect()
}

/// A first heartbeat.
pub(super) fn joining(member: &str, topics: &[&str]) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest {
        group: group_id(),
        member: MemberId::new(member),
        epoch: 0,
        instance: None,
        rack: None,
        rebalance_timeout: Some(Duration::from_secs(60)),
        topics: Some(topics.iter().map(|name| TopicName::new(name)).collect()),
        regex: None,
        assignor: None,
        owned: Some(TopicPartitions::new()),
        client: Client {
            id: Arc::from("client"),
            host: Arc::from("/127.0.0.1"),
        },
        requires_member_id: true,
        randomness: [3; 16],
    }
}

/// A heartbeat that says nothing new.
pub(super) fn staying(member: &str, epoch: i32) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest {
        epoch,
        rebalance_timeout: None,
        topics: None,
        owned: None,
        ..joining(member, &[])
    }
}

fn owning(member: &str, epoch: i32, owned: TopicPartitions) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest {
        owned: Some(owned),
        ..staying(member, epoch)
    }
}

fn leaving(member: &str, epoch: i32) -> ConsumerHeartbeatRequest {
    staying(member, epoch)
}

fn with_instance(instance: &str, request: ConsumerHeartbeatRequest) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest {
        instance: Some(InstanceId::new(instance)),
        ..request
    }
}

pub(super) fn settings(topics: &[(&str, i32)]) -> GroupSettings {
    GroupSettings {
        topics: image(1, topics),
        initial_rebalance_delay: Duration::ZERO,
        ..GroupSettings::default()
    }
}

impl Harness {
    pub(super) fn with_topics(topics: &[(&str, i32)]) -> Self {
        Self::with(settings(topics))
    }

    pub(super) fn consume(
        &mut self,
        request: ConsumerHeartbeatRequest,
    ) -> Result<ConsumerHeartbeatReply, ConsumerHeartbeatError> {
        match self.call(GroupRequest::ConsumerHeartbeat(request)) {
            GroupReply::ConsumerHeartbeat(reply) => reply,
            other => panic!("not a heartbeat: {other:?}"),
        }
    }

    fn consumes(
        &mut self,
        request: ConsumerHeartbeatRequest,
        epoch: i32,
        assignment: Option<TopicPartitions>,
    ) {
        let reply = self.consume(request).expect("taken");
        assert_eq!((reply.epoch, reply.assignment), (epoch, assignment));
    }

    pub(super) fn consumer_group(&self) -> &ConsumerGroup {
        self.shard.groups[GROUP]
            .consumer()
            .expect("a consumer group")
    }

    fn set_topics(&mut self, image: Arc<TopicsImage>) {
        let settings = GroupSettings {
            topics: image,
            ..self.shard.settings.clone()
        };
        self.configure(settings);
    }
}

#[test]
fn a_member_gets_everything_and_gives_half_to_the_next() {
    let mut harness = Harness::with_topics(&[("flights", 4)]);
    let reply = harness.consume(joining("a", &["flights"])).expect("taken");
    assert_eq!(reply.member, MemberId::new("a"));
    assert_eq!(reply.heartbeat_interval, INTERVAL);
    assert_eq!(
        (reply.epoch, reply.assignment),
        (1, Some(partitions(1, &[0, 1, 2, 3])))
    );
    harness.consumes(staying("a", 1), 1, None);
    assert_eq!(harness.consumer_group().state(), ConsumerGroupState::Stable);

    // The second finds nothing free.
    harness.consumes(joining("b", &["flights"]), 2, Some(TopicPartitions::new()));
    assert_eq!(
        harness.consumer_group().state(),
        ConsumerGroupState::Reconciling
    );
    // The first is told to give back, stays in its epoch until it has, and then advances.
    harness.consumes(staying("a", 1), 1, Some(partitions(1, &[0, 1])));
    harness.consumes(staying("b", 2), 2, None);
    harness.consumes(owning("a", 1, partitions(1, &[0, 1, 2, 3])), 1, None);
    harness.consumes(owning("a", 1, partitions(1, &[0, 1])), 2, None);
    harness.consumes(staying("b", 2), 2, Some(partitions(1, &[2, 3])));
    assert_eq!(harness.consumer_group().state(), ConsumerGroupState::Stable);

    harness.consumes(leaving("a", -1), -1, None);
    harness.consumes(staying("b", 2), 3, Some(partitions(1, &[0, 1, 2, 3])));
    harness.consumes(leaving("b", -1), -1, None);
    assert_eq!(harness.consumer_group().state(), ConsumerGroupState::Empty);
}

#[test]
fn a_member_that_missed_an_answer_may_come_with_its_former_epoch() {
    let mut harness = Harness::with_topics(&[("flights", 2)]);
    harness.consume(joining("a", &["flights"])).expect("taken");
    harness.consume(joining("b", &["flights"])).expect("taken");
    harness.consumes(staying("a", 1), 1, Some(partitions(1, &[0])));
    harness.consumes(owning("a", 1, partitions(1, &[0])), 2, None);
    harness.consumes(owning("a", 1, partitions(1, &[0])), 2, None);
    for request in [
        owning("a", 1, partitions(1, &[0, 1])),
        staying("a", 1),
        staying("a", 3),
        owning("b", 1, TopicPartitions::new()),
    ] {
        let error = harness.consume(request).expect_err("fenced");
        assert!(
            matches!(error, ConsumerHeartbeatError::FencedMemberEpoch { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn silent_members_and_those_that_give_nothing_back_are_removed() {
    let mut harness = Harness::with_topics(&[("flights", 2)]);
    harness.consume(joining("a", &["flights"])).expect("taken");
    harness.consume(joining("b", &["flights"])).expect("taken");
    harness.consumes(staying("a", 1), 1, Some(partitions(1, &[0])));
    // "a" lives, but keeps what it must give back for longer than its rebalance timeout.
    for _ in 0..6 {
        harness.advance(Duration::from_secs(9));
        harness.consumes(staying("a", 1), 1, None);
        harness.consumes(staying("b", 2), 2, None);
    }
    harness.advance(Duration::from_secs(7));
    let error = harness.consume(staying("a", 1)).expect_err("removed");
    assert_eq!(error, ConsumerHeartbeatError::UnknownMember);
    harness.consumes(staying("b", 2), 3, Some(partitions(1, &[0, 1])));
    harness.advance(Duration::from_secs(46));
    assert_eq!(harness.consumer_group().state(), ConsumerGroupState::Empty);
}

#[test]
fn static_members_keep_their_partitions_while_they_are_away() {
    let mut harness = Harness::with_topics(&[("flights", 2)]);
    let a = |request| with_instance("i", request);
    harness.consumes(
        a(joining("a", &["flights"])),
        1,
        Some(partitions(1, &[0, 1])),
    );
    let error = harness
        .consume(a(joining("other", &["flights"])))
        .expect_err("in use");
    assert_eq!(error, ConsumerHeartbeatError::UnreleasedInstance);
    let error = harness.consume(a(staying("other", 1))).expect_err("fenced");
    assert_eq!(error, ConsumerHeartbeatError::FencedInstance);

    harness.consumes(a(leaving("a", -2)), -2, None);
    let error = harness
        .consume(a(staying("a", 1)))
        .expect_err("it has left");
    assert!(matches!(
        error,
        ConsumerHeartbeatError::FencedMemberEpoch { .. }
    ));
    // Another member of the group gets nothing of it.
    harness.consumes(joining("b", &["flights"]), 2, Some(TopicPartitions::new()));
    harness.consumes(leaving("b", -1), -1, None);

    harness.consumes(
        a(joining("a2", &["flights"])),
        3,
        Some(partitions(1, &[0, 1])),
    );
    assert_eq!(harness.consumer_group().members().len(), 1);
    // Who does not come back within its session is gone.
    harness.consumes(a(leaving("a2", -2)), -2, None);
    harness.advance(Duration::from_secs(46));
    assert_eq!(harness.consumer_group().members().len(), 0);
}

#[test]
fn topics_that_come_grow_and_go_change_assignments() {
    let mut harness = Harness::with_topics(&[]);
    harness.consumes(joining("a", &["flights"]), 1, Some(TopicPartitions::new()));
    harness.set_topics(image(2, &[("flights", 1)]));
    harness.consumes(staying("a", 1), 2, Some(partitions(1, &[0])));
    harness.set_topics(image(3, &[("flights", 3), ("other", 1)]));
    harness.consumes(staying("a", 2), 3, Some(partitions(1, &[0, 1, 2])));
    harness.set_topics(image(4, &[("flights", 3)]));
    harness.consumes(staying("a", 3), 3, None);
    harness.set_topics(image(5, &[]));
    harness.consumes(staying("a", 3), 3, Some(TopicPartitions::new()));
    harness.consumes(owning("a", 3, TopicPartitions::new()), 4, None);
}

/// Joins with a pattern.
fn subscribing(member: &str, regex: &str) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest {
        topics: None,
        regex: Some(SubscribedRegex::new(regex)),
        ..joining(member, &[])
    }
}

#[test]
fn topics_of_patterns_are_searched_for_outside_of_the_shard() {
    let mut harness = Harness::with_topics(&[("flights", 1), ("trains", 1)]);
    harness.consumes(subscribing("a", "fl.*"), 1, Some(TopicPartitions::new()));
    harness.consumes(staying("a", 1), 1, None);
    assert!(!harness.consumer_group().is_subscribed("flights"));
    assert_eq!(harness.searches.len(), 1, "one search of a group at a time");

    // Whoever searches has dropped it.
    harness.searches.clear();
    for _ in 0..2 {
        harness.advance(Duration::from_secs(25));
        harness.consumes(staying("a", 1), 1, None);
        assert_eq!(harness.searches.len(), 0);
    }
    harness.advance(Duration::from_secs(25));
    harness.consumes(staying("a", 1), 1, None);
    assert_eq!(harness.searches.len(), 1, "it is asked for again");

    // What is found for a pattern that nobody has any more is of no interest.
    let other = ConsumerHeartbeatRequest {
        regex: Some(SubscribedRegex::new("tr.*")),
        ..staying("a", 1)
    };
    harness.consumes(other, 1, None);
    harness.settle();
    assert!(!harness.consumer_group().is_subscribed("flights"));
    harness.consumes(staying("a", 1), 1, None);
    harness.settle();
    harness.consumes(staying("a", 1), 2, Some(partitions(2, &[0])));
}

#[test]
fn a_pattern_subscribes_to_the_topics_that_match() {
    let mut harness = Harness::with_topics(&[("flights", 1), ("trains", 1)]);
    harness.consumes(subscribing("a", "fl.*"), 1, Some(TopicPartitions::new()));
    harness.settle();
    harness.consumes(staying("a", 1), 2, Some(partitions(1, &[0])));
    // New topics are looked for, but not all the time.
    harness.set_topics(image(2, &[("flights", 1), ("trains", 1), ("flowers", 2)]));
    harness.consumes(staying("a", 2), 2, None);
    harness.advance(Duration::from_secs(11));
    harness.consumes(staying("a", 2), 2, None);
    harness.settle();
    let mut both = partitions(1, &[0]);
    both.extend(&partitions(3, &[0, 1]));
    harness.consumes(staying("a", 2), 3, Some(both));
    let restarted = harness.restarted();
    assert!(restarted.consumer_group().is_subscribed("flowers"));

    let unsubscribed = ConsumerHeartbeatRequest {
        regex: Some(SubscribedRegex::new("")),
        topics: Some(BTreeSet::from([topic("trains")])),
        ..staying("a", 3)
    };
    harness.consumes(unsubscribed, 3, Some(TopicPartitions::new()));
    assert!(!harness.consumer_group().is_subscribed("flights"));
    harness.consumes(
        owning("a", 3, TopicPartitions::new()),
        4,
        Some(partitions(2, &[0])),
    );
}

#[test]
fn requests_that_cannot_be_are_refused_in_kafkas_order() {
    use ConsumerHeartbeatError as Error;
    let mut harness = Harness::with(GroupSettings {
        consumer: ConsumerGroupSettings {
            group_size_max: 1,
            assignors: vec![Assignor::Range],
            ..ConsumerGroupSettings::default()
        },
        ..settings(&[("flights", 1)])
    });
    let base = || joining("a", &["flights"]);
    type Change = fn(&mut ConsumerHeartbeatRequest);
    let invalid: [(&str, Change); 10] = [
        ("member id", |request| request.member = MemberId::new(" ")),
        ("group id", |request| request.group = GroupId::new("")),
        ("instance id", |request| {
            request.instance = Some(InstanceId::new(""))
        }),
        ("rack", |request| request.rack = Some(Arc::from(" "))),
        ("timeout", |request| request.rebalance_timeout = None),
        ("owned unknown", |request| request.owned = None),
        ("owned", |request| request.owned = Some(partitions(1, &[0]))),
        ("subscription", |request| request.topics = None),
        ("static leave", |request| request.epoch = -2),
        ("epoch", |request| request.epoch = -3),
    ];
    for (what, change) in invalid {
        let mut request = base();
        change(&mut request);
        let error = harness.consume(request).expect_err(what);
        assert!(
            matches!(error, Error::InvalidRequest { .. }),
            "{what}: {error:?}"
        );
    }
    let mut uniform = base();
    uniform.assignor = Some(Arc::from("uniform"));
    let error = harness.consume(uniform).expect_err("not supported");
    assert!(matches!(error, Error::UnsupportedAssignor { .. }));
    let mut broken = base();
    broken.regex = Some(SubscribedRegex::new("("));
    let error = harness.consume(broken).expect_err("no pattern");
    assert!(matches!(error, Error::InvalidRegularExpression(_)));
    for request in [staying("a", 1), leaving("a", -1)] {
        let error = harness.consume(request).expect_err("no group");
        assert!(matches!(error, Error::UnknownGroup { .. }));
    }
    assert_eq!(harness.log, [], "what is refused writes nothing");
    assert!(harness.shard.groups.is_empty());

    harness.consume(base()).expect("taken");
    let error = harness
        .consume(joining("b", &["flights"]))
        .expect_err("full");
    assert_eq!(error, Error::GroupMaxSizeReached { max: 1 });
    let error = harness.consume(staying("a", 7)).expect_err("ahead");
    assert_eq!(
        error,
        Error::FencedMemberEpoch {
            current: 1,
            received: 7
        }
    );
    for request in [leaving("b", -1), with_instance("i", leaving("a", -2))] {
        let error = harness.consume(request).expect_err("unknown");
        assert_eq!(error, Error::UnknownMember);
    }
}

#[test]
fn what_was_written_makes_the_group_again() {
    let mut harness = Harness::with_topics(&[("flights", 5)]);
    harness.consume(joining("a", &["flights"])).expect("taken");
    harness
        .consume(with_instance("i", joining("b", &["flights"])))
        .expect("taken");
    harness.consume(staying("a", 1)).expect("taken");
    harness
        .consume(with_instance("i", leaving("b", -2)))
        .expect("taken");
    let restarted = harness.restarted();
    assert_eq!(
        restarted.consumer_group().durable(),
        harness.consumer_group().durable()
    );
    harness.consume(leaving("a", -1)).expect("taken");
    harness.advance(Duration::from_secs(60));
    let restarted = harness.restarted();
    assert_eq!(
        restarted.consumer_group().state(),
        ConsumerGroupState::Empty
    );
    // Nothing is committed, so the empty group goes at the next look.
    harness.advance(Duration::from_secs(11 * 60));
    assert!(harness.shard.groups.is_empty());
    assert!(harness.restarted().shard.groups.is_empty());
}

#[test]
fn an_empty_group_of_the_one_protocol_gives_way_to_the_other() {
    let mut harness = Harness::with_topics(&[("flights", 1)]);
    harness
        .commit(None, None, "flights", 7)
        .expect("a simple group");
    harness.consume(joining("a", &["flights"])).expect("taken");
    assert_eq!(harness.committed("flights"), Some(7));
    harness.consume(leaving("a", -1)).expect("taken");
    let member = harness.new_member();
    assert!(
        matches!(harness.shard.groups[GROUP], Group::Classic(_)),
        "{member:?}"
    );
    assert_eq!(harness.committed("flights"), Some(7));
    let restarted = harness.restarted();
    assert!(matches!(restarted.shard.groups[GROUP], Group::Classic(_)));
}
