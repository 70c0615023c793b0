//! Share groups: one life, refusals, and random histories of which the log tells the same.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use types::{GroupId, Instant, MemberId, PartitionIndex, Timestamp, TopicId, TopicName};

use super::assignor::{Applicant, assign};
use super::heartbeat::{
    self, Heartbeat, ShareHeartbeatError, ShareHeartbeatReply, ShareHeartbeatRequest, SharePurpose,
};
use super::offsets::{
    AlterShareOffsetsRequest, DeleteShareOffsetsRequest, DeleteShareTopicError, ShareOffsetsError,
};
use super::shard::{ShareGroupReply, ShareGroupRequest};
use super::state::ShareGroup;
use crate::group::classic::member::Client;
use crate::group::delete::{DeleteGroupError, DeleteGroupsRequest};
use crate::group::kind::Group;
use crate::group::list::ListRequest;
use crate::group::modern::epoch::Epoch;
use crate::group::modern::partitions::TopicPartitions;
use crate::group::modern::topics::{TopicImage, TopicsImage};
use crate::group::record::GroupRecord;
use crate::group::request::{GroupReply, GroupRequest, Output, ReplyToken};
use crate::group::settings::GroupSettings;
use crate::group::shard::GroupShard;
use crate::time::Now;

const SESSION: Duration = Duration::from_secs(45);
const GROUP: &str = "workers";

fn topic_id(byte: u8) -> TopicId {
    TopicId::new([byte; 16]).unwrap()
}

fn topics(counts: &[(&str, u8, i32)]) -> Arc<TopicsImage> {
    let topic = |&(name, byte, partitions): &(&str, u8, i32)| TopicImage {
        id: topic_id(byte),
        name: TopicName::new(name),
        partitions,
    };
    Arc::new(TopicsImage::new(1, counts.iter().map(topic)))
}

fn partitions(of: &[(u8, i32)]) -> TopicPartitions {
    let partition =
        |&(byte, index): &(u8, i32)| (topic_id(byte), PartitionIndex::new(index).unwrap());
    of.iter().map(partition).collect()
}

fn request(member: &str, purpose: SharePurpose, topics: Option<&[&str]>) -> ShareHeartbeatRequest {
    let name = |name: &&str| TopicName::new(name);
    ShareHeartbeatRequest {
        group: GroupId::new(GROUP),
        member: MemberId::new(member),
        purpose,
        rack: None,
        client: Client {
            id: Arc::from("client"),
            host: Arc::from("/127.0.0.1"),
        },
        topics: topics.map(|topics| topics.iter().map(name).collect()),
        session_timeout: SESSION,
    }
}

/// A shard, its log, and a share coordinator that does what it is asked when told to.
struct World {
    shard: GroupShard,
    log: Vec<GroupRecord>,
    seconds: u64,
    tokens: u64,
    asked: Vec<TopicPartitions>,
}

impl World {
    fn new(image: Arc<TopicsImage>) -> Self {
        let settings = GroupSettings {
            share_group_size_max: 4,
            ..GroupSettings::default()
        };
        let mut world = Self {
            shard: GroupShard::new(settings),
            log: Vec::new(),
            seconds: 0,
            tokens: 0,
            asked: Vec::new(),
        };
        let output = world.shard.start(world.now());
        world.take(output);
        world.ask(GroupRequest::TopicsChanged(image));
        world
    }

    fn now(&self) -> Now {
        Now {
            instant: Instant::from_origin(Duration::from_secs(self.seconds)),
            wall: Timestamp::from_ms(i64::try_from(self.seconds).unwrap() * 1000),
        }
    }

    fn take(&mut self, output: Output) -> Vec<GroupReply> {
        self.log.extend(output.records);
        output.replies.into_iter().map(|(_, reply)| reply).collect()
    }

    fn ask(&mut self, request: GroupRequest) -> GroupReply {
        self.tokens += 1;
        let output = self
            .shard
            .handle(self.now(), ReplyToken(self.tokens), request);
        self.take(output).remove(0)
    }

    fn share(&mut self, request: ShareGroupRequest) -> ShareGroupReply {
        let topics = Arc::clone(self.shard.topics.image());
        match self.ask(GroupRequest::Share { request, topics }) {
            GroupReply::Share(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn heartbeat(
        &mut self,
        member: &str,
        purpose: SharePurpose,
        topics: Option<&[&str]>,
    ) -> Result<ShareHeartbeatReply, ShareHeartbeatError> {
        let request = request(member, purpose, topics);
        let ShareGroupReply::Heartbeat(reply) = self.share(ShareGroupRequest::Heartbeat(request))
        else {
            panic!("another reply");
        };
        if let Ok(reply) = &reply
            && let Some(initialize) = &reply.initialize
        {
            self.asked.push(initialize.partitions.clone());
        }
        reply
    }

    fn stay(
        &mut self,
        member: &str,
        epoch: i32,
    ) -> Result<ShareHeartbeatReply, ShareHeartbeatError> {
        self.heartbeat(member, SharePurpose::Stay(Epoch::new(epoch).unwrap()), None)
    }

    fn join(
        &mut self,
        member: &str,
        topics: &[&str],
    ) -> Result<ShareHeartbeatReply, ShareHeartbeatError> {
        self.heartbeat(member, SharePurpose::Stay(Epoch::ZERO), Some(topics))
    }

    fn initialize(&mut self, accepted: bool) {
        for partitions in std::mem::take(&mut self.asked) {
            self.share(ShareGroupRequest::Initialized {
                group: GroupId::new(GROUP),
                partitions,
                accepted,
            });
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.seconds += seconds;
        let output = self.shard.tick(self.now());
        self.take(output);
    }

    fn group(&self) -> Option<&ShareGroup> {
        self.shard
            .groups
            .get(&GroupId::new(GROUP))
            .and_then(Group::share)
    }

    /// What `stay` would come to if it looked at the whole group.
    fn looked_at_all(&self, member: &str, epoch: Epoch) -> Heartbeat {
        let request = request(member, SharePurpose::Stay(epoch), None);
        let group = ShareGroup {
            is_settled: false,
            ..self.group().unwrap().clone()
        };
        let (settings, topics) = (&self.shard.settings, &self.shard.topics);
        heartbeat::stay(&group, &request, epoch, settings, topics, self.now().wall).unwrap()
    }

    /// The group as the log tells it; times of the states are those of the replay.
    fn replayed(&self) -> Option<ShareGroup> {
        let mut shard = GroupShard::new(GroupSettings::default());
        for record in &self.log {
            shard.replay(self.now(), record.clone()).unwrap();
        }
        let group = shard
            .groups
            .get(&GroupId::new(GROUP))
            .and_then(Group::share);
        group.cloned()
    }

    fn assert_log_tells_the_same(&self) {
        let timeless = |group: Option<&ShareGroup>| {
            group.cloned().map(|mut group| {
                if let Some(states) = &mut group.states {
                    states.since = Timestamp::from_ms(0);
                }
                group.is_settled = false;
                group
            })
        };
        assert_eq!(timeless(self.replayed().as_ref()), timeless(self.group()));
    }
}

#[test]
fn a_member_reads_partitions_once_they_have_a_state() {
    let mut world = World::new(topics(&[("jobs", 1, 2)]));
    let joined = world.join("a", &["jobs"]).unwrap();
    assert_eq!(joined.assignment, Some(TopicPartitions::new()));
    let initialize = joined.initialize.unwrap();
    assert_eq!(initialize.partitions, partitions(&[(1, 0), (1, 1)]));
    assert_eq!(initialize.epoch, Epoch::new(1).unwrap());
    // Asked for already.
    let again = world.stay("a", 1).unwrap();
    assert_eq!((again.assignment, again.initialize), (None, None));
    world.initialize(true);
    let assigned = world.stay("a", 1).unwrap();
    assert_eq!(assigned.assignment, Some(partitions(&[(1, 0), (1, 1)])));
    assert_eq!(assigned.epoch, Epoch::new(2));
    // The answer may have been lost.
    assert_eq!(world.stay("a", 1).unwrap().epoch, Epoch::new(2));
    let second = world.join("b", &["jobs"]).unwrap();
    assert_eq!(second.assignment, Some(partitions(&[(1, 0)])));
    let moved = world.stay("a", 2).unwrap();
    assert_eq!(moved.assignment, Some(partitions(&[(1, 1)])));
    world.assert_log_tells_the_same();
}

#[test]
fn states_that_were_refused_or_never_answered_are_asked_for_again() {
    let mut world = World::new(topics(&[("jobs", 1, 1)]));
    world.join("a", &["jobs"]).unwrap();
    world.initialize(false);
    assert!(world.stay("a", 1).unwrap().initialize.is_some());
    world.asked.clear();
    world.wait(29);
    assert!(world.stay("a", 1).unwrap().initialize.is_none());
    world.wait(2);
    assert!(world.stay("a", 1).unwrap().initialize.is_some());
}

#[test]
fn new_partitions_and_new_topics_are_found_and_gone_ones_forgotten() {
    let mut world = World::new(topics(&[("jobs", 1, 1)]));
    world.join("a", &["jobs", "later"]).unwrap();
    world.initialize(true);
    world.stay("a", 1).unwrap();
    world.ask(GroupRequest::TopicsChanged(topics(&[
        ("jobs", 1, 2),
        ("later", 2, 1),
    ])));
    world.stay("a", 2).unwrap();
    world.initialize(true);
    let epoch = world.group().unwrap().epoch.value();
    let reply = world.stay("a", epoch).unwrap();
    assert_eq!(
        reply.assignment,
        Some(partitions(&[(1, 0), (1, 1), (2, 0)]))
    );
    world.ask(GroupRequest::TopicsChanged(topics(&[("later", 2, 1)])));
    let states = world.group().unwrap().state_partitions();
    assert_eq!(
        states.initialized.keys().copied().collect::<Vec<_>>(),
        [topic_id(2)]
    );
    let reply = world.stay("a", epoch + 1).unwrap();
    assert_eq!(reply.assignment, Some(partitions(&[(2, 0)])));
    world.assert_log_tells_the_same();
}

#[test]
fn a_group_is_settled_until_something_of_it_changes() {
    let mut world = World::new(topics(&[("jobs", 1, 2)]));
    let is_settled = |world: &World| world.group().unwrap().is_settled;
    world.join("a", &["jobs"]).unwrap();
    world.join("b", &["jobs"]).unwrap();
    // The share coordinator has not answered.
    world.stay("a", 1).unwrap();
    assert!(!is_settled(&world));
    world.initialize(true);
    let settle = |world: &mut World| {
        for _ in 0..2 {
            for member in ["a", "b"] {
                let epoch = world.group().unwrap().members[&MemberId::new(member)].epoch;
                world.stay(member, epoch.value()).unwrap();
            }
        }
        assert!(is_settled(world));
    };
    settle(&mut world);
    // The answer with what it has may have been lost.
    let again = world.join("a", &["jobs"]).unwrap();
    assert_eq!(again.assignment.map(|assigned| assigned.len()), Some(1));
    assert!(is_settled(&world));
    type Change = fn(&mut World);
    let changes: [(&str, Change); 4] = [
        ("a member comes", |world| {
            world.join("c", &["jobs"]).unwrap();
        }),
        ("a member goes", |world| {
            world.heartbeat("c", SharePurpose::Leave, None).unwrap();
        }),
        ("a member wants something else", |world| {
            world.join("b", &["jobs", "later"]).unwrap();
        }),
        ("a topic grows", |world| {
            world.ask(GroupRequest::TopicsChanged(topics(&[("jobs", 1, 3)])));
        }),
    ];
    for (change, make) in changes {
        make(&mut world);
        assert!(!is_settled(&world), "{change}");
        if change == "a topic grows" {
            let epoch = world.group().unwrap().epoch.value();
            world.stay("a", epoch).unwrap();
            world.initialize(true);
        }
        settle(&mut world);
    }
}

#[test]
fn heartbeats_are_refused_as_kafka_refuses_them() {
    use ShareHeartbeatError as Error;
    let mut world = World::new(topics(&[("jobs", 1, 1)]));
    let stay = |epoch| SharePurpose::Stay(Epoch::new(epoch).unwrap());
    assert_eq!(world.stay("a", 1), Err(Error::UnknownGroup));
    assert_eq!(
        world.heartbeat("a", SharePurpose::Leave, None),
        Err(Error::UnknownGroup)
    );
    world.join("a", &["jobs"]).unwrap();
    world.initialize(true);
    world.stay("a", 1).unwrap();
    let cases: [(&str, SharePurpose, Option<&[&str]>, Error); 8] = [
        ("", stay(0), Some(&["jobs"]), Error::NoMember),
        ("b", stay(0), None, Error::NoTopics),
        ("b", stay(0), Some(&[]), Error::NoTopics),
        ("b", stay(1), None, Error::UnknownMember),
        ("b", SharePurpose::Leave, None, Error::UnknownMember),
        ("a", stay(3), None, Error::FencedMemberEpoch),
        ("a", stay(9), None, Error::FencedMemberEpoch),
        ("", SharePurpose::Leave, None, Error::NoMember),
    ];
    for (member, purpose, topics, expected) in cases {
        let reply = world.heartbeat(member, purpose, topics);
        assert_eq!(reply, Err(expected), "{member} {purpose:?} {topics:?}");
    }
    for member in ["b", "c", "d"] {
        world.join(member, &["jobs"]).unwrap();
    }
    assert_eq!(world.join("e", &["jobs"]), Err(Error::GroupFull));
    world.join("d", &["jobs"]).unwrap();
}

#[test]
fn silent_members_go_and_the_group_stays_until_it_is_deleted() {
    let mut world = World::new(topics(&[("jobs", 1, 1)]));
    world.join("a", &["jobs"]).unwrap();
    world.initialize(true);
    world.wait(44);
    world.stay("a", 1).unwrap();
    world.wait(44);
    assert!(!world.group().unwrap().is_empty());
    let delete = || DeleteGroupsRequest {
        groups: vec![GroupId::new(GROUP)],
    };
    let GroupReply::DeleteGroups(deleted) = world.ask(GroupRequest::DeleteGroups(delete())) else {
        panic!("another reply");
    };
    assert_eq!(deleted[0].result, Err(DeleteGroupError::NonEmptyGroup));
    world.wait(1);
    assert!(world.group().unwrap().is_empty());
    let GroupReply::List(listed) = world.ask(GroupRequest::List(ListRequest {
        types: vec!["Share".to_owned()],
        ..ListRequest::default()
    })) else {
        panic!("another reply");
    };
    assert_eq!(
        (listed[0].state, listed[0].protocol_type.as_deref()),
        ("Empty", Some("share"))
    );
    world.assert_log_tells_the_same();
    let prepare = ShareGroupRequest::PrepareDelete(vec![GroupId::new(GROUP), GroupId::new("none")]);
    assert_eq!(
        world.share(prepare),
        ShareGroupReply::PrepareDelete(vec![Ok(partitions(&[(1, 0)])), Ok(TopicPartitions::new())])
    );
    world.ask(GroupRequest::DeleteGroups(delete()));
    assert!(world.group().is_none());
    assert_eq!(world.replayed(), None);
}

#[test]
fn offsets_of_an_empty_group_can_be_altered_and_deleted() {
    let mut world = World::new(topics(&[("jobs", 1, 2)]));
    let group = GroupId::new(GROUP);
    let alter = |group: &GroupId| {
        ShareGroupRequest::AlterOffsets(AlterShareOffsetsRequest {
            group: group.clone(),
            topics: vec![
                (TopicName::new("jobs"), vec![0, 7]),
                (TopicName::new("none"), vec![0]),
            ],
        })
    };
    let ShareGroupReply::AlterOffsets(Ok(plan)) = world.share(alter(&group)) else {
        panic!("another reply");
    };
    assert_eq!(plan.topics, [Some(topic_id(1)), None]);
    assert_eq!(plan.initialize.partitions, partitions(&[(1, 0)]));
    world.share(ShareGroupRequest::Initialized {
        group: group.clone(),
        partitions: plan.initialize.partitions,
        accepted: true,
    });
    let delete = |group: &GroupId| {
        ShareGroupRequest::DeleteOffsets(DeleteShareOffsetsRequest {
            group: group.clone(),
            topics: vec![TopicName::new("jobs"), TopicName::new("none")],
        })
    };
    let ShareGroupReply::DeleteOffsets(Ok(plan)) = world.share(delete(&group)) else {
        panic!("another reply");
    };
    assert_eq!(plan.topics[0], Ok((topic_id(1), partitions(&[(1, 0)]))));
    assert_eq!(plan.topics[1], Err(DeleteShareTopicError::UnknownTopic));
    // Not finished: tried again with all partitions.
    let ShareGroupReply::DeleteOffsets(Ok(plan)) = world.share(delete(&group)) else {
        panic!("another reply");
    };
    assert_eq!(
        plan.topics[0],
        Ok((topic_id(1), partitions(&[(1, 0), (1, 1)])))
    );
    world.share(ShareGroupRequest::OffsetsDeleted {
        group: group.clone(),
        topics: vec![topic_id(1)],
    });
    let ShareGroupReply::DeleteOffsets(Ok(plan)) = world.share(delete(&group)) else {
        panic!("another reply");
    };
    assert_eq!(plan.topics[0], Err(DeleteShareTopicError::NoOffsets));
    world.join("a", &["jobs"]).unwrap();
    let refused = Err(ShareOffsetsError::NonEmptyGroup);
    assert_eq!(
        world.share(alter(&group)),
        ShareGroupReply::AlterOffsets(refused.map(|()| unreachable!()))
    );
    let unknown = world.share(delete(&GroupId::new("none")));
    assert_eq!(
        unknown,
        ShareGroupReply::DeleteOffsets(Err(ShareOffsetsError::UnknownGroup))
    );
    world.assert_log_tells_the_same();
}

#[derive(Clone, Debug)]
enum Step {
    Join(u8, Vec<u8>),
    Stay(u8),
    Leave(u8),
    Initialize(bool),
    Topics(Vec<i32>),
    Wait(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let wanted = proptest::collection::vec(0_u8..3, 1..3);
    prop_oneof![
        3 => (0_u8..5, wanted).prop_map(|(member, topics)| Step::Join(member, topics)),
        6 => (0_u8..5).prop_map(Step::Stay),
        1 => (0_u8..5).prop_map(Step::Leave),
        3 => any::<bool>().prop_map(Step::Initialize),
        1 => proptest::collection::vec(0_i32..4, 3).prop_map(Step::Topics),
        2 => (1_u64..50).prop_map(Step::Wait),
    ]
}

const NAMES: [&str; 3] = ["one", "two", "three"];

/// Which of the topics exist; one that comes again has another id.
#[derive(Default)]
struct Lives {
    count: [u8; 3],
    exists: [bool; 3],
}

impl Lives {
    fn image(&mut self, counts: &[i32]) -> Arc<TopicsImage> {
        let mut existing = Vec::new();
        for (index, count) in counts.iter().copied().enumerate() {
            if count > 0 && !self.exists[index] {
                self.count[index] += 1;
            }
            self.exists[index] = count > 0;
            if count > 0 {
                let byte = u8::try_from(index).unwrap() * 80 + self.count[index];
                existing.push((NAMES[index], byte, count));
            }
        }
        topics(&existing)
    }
}

proptest! {
    #[test]
    fn what_was_replayed_equals_what_lived(steps in proptest::collection::vec(any_step(), 0..60)) {
        let mut lives = Lives::default();
        let mut world = World::new(lives.image(&[1, 2, 0]));
        for step in steps {
            match step {
                Step::Join(member, wanted) => {
                    let wanted: Vec<&str> = wanted.iter().map(|index| NAMES[usize::from(*index)]).collect();
                    let _full_or_joined = world.join(&format!("m{member}"), &wanted).is_ok();
                }
                Step::Stay(member) => {
                    let id = format!("m{member}");
                    let known = world.group().and_then(|group| group.members.get(&MemberId::new(&id)).cloned());
                    if let Some(known) = known {
                        let all = world.looked_at_all(&id, known.epoch);
                        let records_before = world.log.len();
                        let reply = world.stay(&id, known.epoch.value()).unwrap();
                        // A settled group only saves the looking.
                        prop_assert_eq!(&reply, &all.reply);
                        let written: Vec<_> = all.records.into_iter().map(GroupRecord::Share).collect();
                        prop_assert_eq!(&world.log[records_before..], written);
                        let group = world.group().unwrap();
                        let member = &group.members[&MemberId::new(&id)];
                        prop_assert_eq!(reply.epoch, Some(group.target.epoch));
                        prop_assert_eq!(group.epoch, group.target.epoch);
                        let assignable = group.states.as_ref().map(|states| states.assignable()).unwrap_or_default();
                        prop_assert!(member.assigned.is_subset(&assignable));
                    }
                }
                Step::Leave(member) => {
                    let _was_there = world.heartbeat(&format!("m{member}"), SharePurpose::Leave, None).is_ok();
                }
                Step::Initialize(accepted) => world.initialize(accepted),
                Step::Topics(counts) => { world.ask(GroupRequest::TopicsChanged(lives.image(&counts))); }
                Step::Wait(seconds) => world.wait(seconds),
            }
            world.assert_log_tells_the_same();
        }
    }

    #[test]
    fn every_partition_has_readers_and_every_member_its_share(
        members in 1_usize..12,
        counts in proptest::collection::vec(1_i32..6, 1..4),
        before in proptest::collection::vec((0_usize..12, 0_u8..4, 0_i32..6), 0..30),
    ) {
        let all: TopicPartitions = counts.iter().zip(1_u8..).flat_map(|(count, byte)| {
            (0..*count).map(move |index| (topic_id(byte), PartitionIndex::new(index).unwrap()))
        }).collect();
        let wanted: BTreeSet<TopicId> = all.topics().map(|(topic, _)| topic).collect();
        let mut applicants: Vec<Applicant> = (0..members).map(|index| Applicant {
            id: MemberId::new(&format!("m{index:02}")),
            topics: wanted.clone(),
            before: TopicPartitions::new(),
        }).collect();
        for (member, byte, index) in before {
            if let Some(applicant) = applicants.get_mut(member) {
                applicant.before.insert(topic_id(byte + 1), PartitionIndex::new(index).unwrap());
            }
        }
        let target = assign(&applicants, &all);
        let sharing = members.div_ceil(all.len());
        for (topic, partition) in all.iter() {
            let readers = target.values().filter(|has| has.contains(topic, partition)).count();
            prop_assert!((1..=sharing).contains(&readers), "{readers} of {sharing}");
        }
        let sizes: Vec<usize> = target.values().map(TopicPartitions::len).collect();
        let seats = sharing * all.len();
        prop_assert!(sizes.iter().all(|size| *size <= seats.div_ceil(members)), "{sizes:?}");
        // What is settled stays as it is.
        let settled: Vec<Applicant> = applicants.iter().map(|applicant| Applicant {
            before: target[&applicant.id].clone(),
            ..applicant.clone()
        }).collect();
        prop_assert_eq!(assign(&settled, &all), target);
    }
}
