//! Random histories of consumer groups: no partition is with two members at once, epochs never go back, what was written
//! makes the same group again, and when everybody goes on heartbeating, the group becomes stable with everything assigned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use types::{InstanceId, MemberId, PartitionIndex, TopicId, TopicName};

use super::consumers::{joining, settings, staying, topic_id};
use super::harness::{GROUP, Harness};
use crate::group::consumer::heartbeat::ConsumerHeartbeatRequest;
use crate::group::consumer::pattern::SubscribedRegex;
use crate::group::consumer::state::{ConsumerGroup, ConsumerGroupState};
use crate::group::kind::Group;
use crate::group::modern::partitions::TopicPartitions;
use crate::group::modern::topics::{TopicImage, TopicsImage};
use crate::group::settings::GroupSettings;

const NAMES: [&str; 3] = ["t0", "t1", "t2"];
/// Heartbeats of everybody within which a quiet group settles: each member gives back, then takes.
const ROUNDS_TO_SETTLE: usize = 12;

#[derive(Clone, Debug)]
enum Step {
    /// A member joins, or joins again; its topics are the bits, 8 is a pattern for all.
    Join {
        member: usize,
        topics: u8,
        is_static: bool,
    },
    /// A member heartbeats; it first does what it was told, or says nothing of what it has.
    Stay {
        member: usize,
        obeys: bool,
        says: bool,
    },
    Resubscribe {
        member: usize,
        topics: u8,
    },
    Leave {
        member: usize,
        for_a_while: bool,
    },
    Advance {
        seconds: u64,
    },
    Topics {
        counts: [i32; 3],
    },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let member = 0..5_usize;
    let step = prop_oneof![
        3 => (member.clone(), 1..9_u8, any::<bool>())
            .prop_map(|(member, topics, is_static)| Step::Join { member, topics, is_static }),
        8 => (member.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(member, obeys, says)| Step::Stay { member, obeys, says }),
        1 => (member.clone(), 1..9_u8)
            .prop_map(|(member, topics)| Step::Resubscribe { member, topics }),
        1 => (member, any::<bool>())
            .prop_map(|(member, for_a_while)| Step::Leave { member, for_a_while }),
        2 => (0..30_u64).prop_map(|seconds| Step::Advance { seconds }),
        1 => prop::array::uniform3(0..5_i32).prop_map(|counts| Step::Topics { counts }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

/// A member as it sees itself.
#[derive(Clone, Debug, Default)]
struct Client {
    epoch: i32,
    is_static: bool,
    owned: TopicPartitions,
    told: TopicPartitions,
}

/// A topic grows, goes, and comes again under another id.
#[derive(Clone, Copy, Debug)]
struct ModelTopic {
    life: u8,
    /// `None` while it does not exist.
    partitions: Option<i32>,
}

impl ModelTopic {
    /// Zero deletes.
    fn change(&mut self, count: i32) {
        if count == 0 {
            self.partitions = None;
            self.life += 1;
        } else {
            self.partitions = self.partitions.max(Some(count));
        }
    }
}

struct Model {
    harness: Harness,
    clients: BTreeMap<usize, Client>,
    topics: [ModelTopic; 3],
    revision: u64,
    group_epoch: i32,
}

impl Model {
    fn new() -> Self {
        let topics = [(NAMES[0], 2), (NAMES[1], 3), (NAMES[2], 1)];
        Self {
            harness: Harness::with(settings(&topics)),
            clients: BTreeMap::new(),
            topics: [2, 3, 1].map(|partitions| ModelTopic {
                life: 0,
                partitions: Some(partitions),
            }),
            revision: 1,
            group_epoch: 0,
        }
    }

    fn name(member: usize) -> String {
        format!("m{member}")
    }

    fn request(member: usize, client: &Client) -> ConsumerHeartbeatRequest {
        let instance = client
            .is_static
            .then(|| InstanceId::new(&format!("i{member}")));
        ConsumerHeartbeatRequest {
            instance,
            ..staying(&Self::name(member), client.epoch)
        }
    }

    fn subscribe(request: &mut ConsumerHeartbeatRequest, topics: u8) {
        if topics == 8 {
            request.topics = Some(BTreeSet::new());
            request.regex = Some(SubscribedRegex::new("t.*"));
        } else {
            let names = NAMES.iter().enumerate();
            let names = names.filter(|(bit, _)| topics & (1 << bit) != 0);
            request.topics = Some(names.map(|(_, name)| TopicName::new(name)).collect());
            request.regex = Some(SubscribedRegex::new(""));
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Join {
                member,
                topics,
                is_static,
            } => {
                let known = self.clients.get(&member);
                let client = Client {
                    is_static: known.map_or(is_static, |known| known.is_static),
                    ..Client::default()
                };
                let mut request = ConsumerHeartbeatRequest {
                    instance: Self::request(member, &client).instance,
                    ..joining(&Self::name(member), &[])
                };
                Self::subscribe(&mut request, topics);
                self.send(member, client, request);
            }
            Step::Stay {
                member,
                obeys,
                says,
            } => {
                let Some(mut client) = self.clients.get(&member).cloned() else {
                    return;
                };
                if obeys {
                    client.owned = client.told.clone();
                }
                let request = ConsumerHeartbeatRequest {
                    owned: says.then(|| client.owned.clone()),
                    ..Self::request(member, &client)
                };
                self.send(member, client, request);
            }
            Step::Resubscribe { member, topics } => {
                if let Some(client) = self.clients.get(&member).cloned() {
                    let mut request = Self::request(member, &client);
                    Self::subscribe(&mut request, topics);
                    self.send(member, client, request);
                }
            }
            Step::Leave {
                member,
                for_a_while,
            } => {
                if let Some(client) = self.clients.remove(&member) {
                    let epoch = if for_a_while && client.is_static {
                        -2
                    } else {
                        -1
                    };
                    let mut request = Self::request(member, &client);
                    request.epoch = epoch;
                    // It may have been removed before.
                    let _either_way = self.harness.consume(request);
                }
            }
            Step::Advance { seconds } => self.harness.advance(Duration::from_secs(seconds)),
            Step::Topics { counts } => {
                self.revision += 1;
                for (topic, count) in self.topics.iter_mut().zip(counts) {
                    topic.change(count);
                }
                let topics = self.topics.iter().zip(NAMES).zip(1..);
                let image = topics.filter_map(|((topic, name), number)| {
                    let partitions = topic.partitions?;
                    let id = topic_id(number + 10 * topic.life);
                    let name = TopicName::new(name);
                    Some(TopicImage {
                        id,
                        name,
                        partitions,
                    })
                });
                let image = Arc::new(TopicsImage::new(self.revision, image));
                let settings = GroupSettings {
                    topics: image,
                    ..self.harness.shard.settings.clone()
                };
                self.harness.configure(settings);
            }
            Step::Restart => {
                let restarted = self.harness.restarted();
                self.harness = restarted;
            }
        }
        self.check();
    }

    fn send(&mut self, member: usize, mut client: Client, request: ConsumerHeartbeatRequest) {
        match self.harness.consume(request) {
            Ok(reply) => {
                assert!(reply.epoch >= client.epoch, "member epochs never go back");
                client.epoch = reply.epoch;
                if let Some(assignment) = reply.assignment {
                    client.told = assignment;
                }
                self.clients.insert(member, client);
            }
            // It must give everything up and join again.
            Err(_) => {
                self.clients.remove(&member);
            }
        }
    }

    fn group(&self) -> Option<&ConsumerGroup> {
        self.harness
            .shard
            .groups
            .get(GROUP)
            .and_then(Group::consumer)
    }

    /// Beyond what the harness asserts after every call.
    fn check(&mut self) {
        let Some(group) = self.group() else {
            self.group_epoch = 0;
            return;
        };
        let epoch = group.epoch().value();
        assert!(epoch >= self.group_epoch, "group epochs never go back");
        assert!(group.target().epoch <= group.epoch());
        let mut owners: BTreeMap<(TopicId, PartitionIndex), usize> = BTreeMap::new();
        for (number, client) in &self.clients {
            let id = MemberId::new(&Self::name(*number));
            let Some(member) = group.member(&id).filter(|member| !member.is_away()) else {
                continue;
            };
            assert!(member.epoch() <= epoch);
            for partition in client.owned.iter() {
                let before = owners.insert(partition, *number);
                assert_eq!(before, None, "{partition:?} is with two members");
            }
        }
        let restarted = self.harness.restarted();
        assert_eq!(restarted.consumer_group().durable(), group.durable());
        self.group_epoch = epoch;
    }

    /// Everybody goes on heartbeating and does what it is told.
    fn settle(&mut self) {
        // Those that nobody plays any more go.
        self.clients.retain(|number, _| {
            let id = MemberId::new(&Self::name(*number));
            let group = self.harness.shard.groups.get(GROUP);
            let group = group.and_then(Group::consumer);
            group.is_some_and(|group| group.member(&id).is_some())
        });
        for _ in 0..ROUNDS_TO_SETTLE {
            for member in self.clients.keys().copied().collect::<Vec<_>>() {
                self.run(Step::Stay {
                    member,
                    obeys: true,
                    says: true,
                });
            }
            self.harness.advance(Duration::from_secs(11));
        }
        if self.clients.is_empty() {
            return;
        }
        let group = self.group().expect("members are in it");
        assert_eq!(group.state(), ConsumerGroupState::Stable);
        assert_eq!(group.members().len(), self.clients.len());
        let topics = self.harness.shard.topics.image();
        let wanted: BTreeSet<_> = group
            .members()
            .flat_map(|member| group.topic_ids_of(member, topics))
            .flat_map(|id| {
                let count = topics.by_id(id).map_or(0, |topic| topic.partitions);
                (0..count).map(move |index| (id, PartitionIndex::new(index).unwrap()))
            })
            .collect();
        let owned: BTreeSet<_> = self
            .clients
            .values()
            .flat_map(|client| client.owned.iter())
            .collect();
        assert_eq!(owned, wanted, "everything is with somebody");
    }
}

proptest! {
    #[test]
    fn random_histories_keep_what_consumers_rely_on(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.run(step);
        }
        model.settle();
    }
}
