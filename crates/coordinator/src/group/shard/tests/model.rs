//! Random small histories: whatever clients do, and whenever time passes, the shard keeps its promises.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use types::{InstanceId, MemberId};

use super::harness::{Harness, SESSION, commit_topic, group_id, join_request, protocol};
use crate::group::classic::generation::{Generation, GroupState};
use crate::group::classic::heartbeat::HeartbeatRequest;
use crate::group::classic::join::{JoinRequest, JoinedGroup};
use crate::group::classic::leave::{LeaveRequest, LeavingMember};
use crate::group::classic::state::ClassicGroup;
use crate::group::classic::sync::{MemberAssignment, SyncRequest};
use crate::group::delete::DeleteGroupsRequest;
use crate::group::offsets::commit::CommitRequest;
use crate::group::record::{CommittedOffset, GroupMetadata};
use crate::group::request::{GroupReply, GroupRequest, ReplyToken};
use crate::group::settings::GroupSettings;

/// Members are named by when they were given an id, so that steps of a history can refer to them.
#[derive(Clone, Debug)]
enum Step {
    JoinNew {
        requires_known_member: bool,
        protocols: u8,
    },
    JoinStatic {
        instance: u8,
        known: bool,
    },
    JoinAgain {
        member: usize,
        protocols: u8,
    },
    Sync {
        member: usize,
        stale: bool,
    },
    Heartbeat {
        member: usize,
    },
    Leave {
        member: usize,
    },
    Commit {
        member: Option<usize>,
        topic: u8,
        offset: i64,
    },
    DeleteGroup,
    Wait {
        tenths_of_session: u32,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let member = 0..6_usize;
    prop_oneof![
        3 => (any::<bool>(), 0..4_u8).prop_map(|(requires_known_member, protocols)| {
            Step::JoinNew { requires_known_member, protocols }
        }),
        2 => (0..2_u8, any::<bool>())
            .prop_map(|(instance, known)| Step::JoinStatic { instance, known }),
        6 => (member.clone(), 0..4_u8)
            .prop_map(|(member, protocols)| Step::JoinAgain { member, protocols }),
        8 => (member.clone(), prop::bool::weighted(0.1))
            .prop_map(|(member, stale)| Step::Sync { member, stale }),
        3 => member.clone().prop_map(|member| Step::Heartbeat { member }),
        2 => member.clone().prop_map(|member| Step::Leave { member }),
        3 => (proptest::option::of(member), 0..2_u8, 0..100_i64)
            .prop_map(|(member, topic, offset)| Step::Commit { member, topic, offset }),
        1 => Just(Step::DeleteGroup),
        5 => (0..12_u32).prop_map(|tenths_of_session| Step::Wait { tenths_of_session }),
        1 => Just(Step::Restart),
    ]
}

struct Model {
    harness: Harness,
    /// Ids ever given out, and under which instance.
    members: Vec<(MemberId, Option<InstanceId>)>,
    parked: BTreeMap<ReplyToken, Option<InstanceId>>,
    /// What each generation has told its members; a lost group starts anew.
    generations: BTreeMap<Generation, JoinedGroup>,
}

fn protocols(choice: u8) -> Vec<crate::group::classic::member::MemberProtocol> {
    match choice {
        0 => vec![protocol("range", &["t0"])],
        1 => vec![protocol("range", &["t0", "t1"])],
        2 => vec![protocol("sticky", &["t0"]), protocol("range", &["t0"])],
        _ => vec![protocol("range", &["t0"]), protocol("sticky", &["t0"])],
    }
}

impl Model {
    fn new() -> Self {
        Self {
            harness: Harness::with(GroupSettings {
                initial_rebalance_delay: SESSION / 5,
                group_size_max: 4,
                offsets_retention: SESSION * 5,
                offsets_retention_check_interval: SESSION,
                ..GroupSettings::default()
            }),
            members: Vec::new(),
            parked: BTreeMap::new(),
            generations: BTreeMap::new(),
        }
    }

    fn member(&self, index: usize) -> Option<(MemberId, Option<InstanceId>)> {
        let index = index.checked_rem(self.members.len())?;
        self.members.get(index).cloned()
    }

    fn generation(&self) -> Option<Generation> {
        let group = self.harness.shard.groups.get(&group_id())?.classic()?;
        Some(group.generation())
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::JoinNew {
                requires_known_member,
                protocols: choice,
            } => {
                self.join(JoinRequest {
                    requires_known_member,
                    protocols: protocols(choice),
                    ..join_request()
                });
            }
            Step::JoinStatic { instance, known } => {
                let instance = InstanceId::new(&format!("i{instance}"));
                let current = self.members.iter().rev();
                let member = current
                    .clone()
                    .find(|(_, of)| of.as_ref() == Some(&instance))
                    .map(|(member, _)| member.clone())
                    .filter(|_| known);
                self.join(JoinRequest {
                    member,
                    instance: Some(instance),
                    ..join_request()
                });
            }
            Step::JoinAgain {
                member,
                protocols: choice,
            } => {
                if let Some((member, instance)) = self.member(member) {
                    self.join(JoinRequest {
                        member: Some(member),
                        instance,
                        protocols: protocols(choice),
                        ..join_request()
                    });
                }
            }
            Step::Sync { member, stale } => self.sync(member, stale),
            Step::Heartbeat { member } => {
                if let Some((member, instance)) = self.member(member) {
                    self.harness.call(GroupRequest::Heartbeat(HeartbeatRequest {
                        group: group_id(),
                        member: Some(member),
                        instance,
                        generation: self.generation(),
                    }));
                }
            }
            Step::Leave { member } => {
                if let Some((member, instance)) = self.member(member) {
                    let leaving = LeavingMember {
                        member: Some(member),
                        instance,
                    };
                    self.harness.call(GroupRequest::Leave(LeaveRequest {
                        group: group_id(),
                        members: vec![leaving],
                    }));
                }
            }
            Step::Commit {
                member,
                topic,
                offset,
            } => self.commit(member, topic, offset),
            Step::DeleteGroup => {
                let groups = vec![group_id()];
                self.harness
                    .call(GroupRequest::DeleteGroups(DeleteGroupsRequest { groups }));
            }
            Step::Wait { tenths_of_session } => {
                self.harness.advance(SESSION * tenths_of_session / 10);
            }
            Step::Restart => self.restart(),
        }
        self.collect();
        self.check();
    }

    fn join(&mut self, request: JoinRequest) {
        let instance = request.instance.clone();
        let token = self.harness.send(GroupRequest::Join(request));
        self.parked.insert(token, instance);
    }

    fn sync(&mut self, member: usize, stale: bool) {
        let (Some((member, instance)), Some(generation)) = (self.member(member), self.generation())
        else {
            return;
        };
        let assignments = self
            .members
            .iter()
            .map(|(member, _)| MemberAssignment {
                member: member.clone(),
                assignment: Arc::from(member.as_str().as_bytes()),
            })
            .collect();
        let token = self.harness.send(GroupRequest::Sync(SyncRequest {
            group: group_id(),
            member: Some(member),
            instance,
            generation: Generation::new(generation.value() - i32::from(stale)),
            protocol_type: None,
            protocol: None,
            assignments,
        }));
        self.parked.insert(token, None);
    }

    fn commit(&mut self, member: Option<usize>, topic: u8, offset: i64) {
        let named = member.and_then(|member| self.member(member));
        let generation = self.generation().filter(|_| named.is_some());
        let (member, instance) = named.unzip();
        let _either_way = self.harness.commit_request(CommitRequest {
            group: group_id(),
            member,
            instance: instance.flatten(),
            generation,
            retention_ms: None,
            takes_member_epochs: true,
            topics: vec![commit_topic(&format!("t{topic}"), offset)],
        });
    }

    /// The process dies: what was owed is lost with its connections, what was written is read again.
    fn restart(&mut self) {
        self.harness = self.harness.restarted();
        self.parked.clear();
        let durable = self.generation().unwrap_or_default();
        self.generations
            .retain(|generation, _| *generation <= durable);
    }

    /// Takes the replies that have come and learns the members they name.
    fn collect(&mut self) {
        let tokens: Vec<ReplyToken> = self.parked.keys().copied().collect();
        for token in tokens {
            let Some(reply) = self.harness.reply(token) else {
                continue;
            };
            let instance = self.parked.remove(&token).flatten();
            if let GroupReply::Join(reply) = reply {
                let joined = reply.result.ok();
                if let Some(member) = reply.member
                    && !self.members.iter().any(|(known, _)| *known == member)
                {
                    self.members.push((member, instance));
                }
                if let Some(joined) = joined {
                    self.check_joined(joined);
                }
            }
        }
        if !self.harness.shard.groups.contains_key(&group_id()) {
            self.generations.clear();
        }
    }

    /// Everybody who joins a generation is told the same about it.
    fn check_joined(&mut self, joined: JoinedGroup) {
        if !joined.members.is_empty() {
            let leader = joined.leader.as_ref();
            assert!(
                joined
                    .members
                    .iter()
                    .any(|member| Some(&member.member) == leader)
            );
        }
        let first = self
            .generations
            .entry(joined.generation)
            .or_insert_with(|| joined.clone());
        assert_eq!(joined.protocol, first.protocol);
        assert_eq!(joined.protocol_type, first.protocol_type);
        let newest = self.generations.keys().next_back();
        assert_eq!(newest, Some(&joined.generation), "generations only rise");
    }

    /// Beyond what the harness asserts after every call: a restart finds what was promised.
    fn check(&self) {
        let restarted = self.harness.restarted();
        let offsets = |harness: &Harness| -> Vec<(String, Vec<CommittedOffset>)> {
            let groups = harness.shard.offsets.groups();
            groups
                .flat_map(|(_, topics)| topics)
                .map(|(topic, offsets)| (topic.to_string(), offsets.values().cloned().collect()))
                .collect()
        };
        assert_eq!(offsets(&restarted), offsets(&self.harness));
        let live = &self.harness.shard.groups;
        assert!(restarted.shard.groups.keys().eq(live.keys()));
        for (id, group) in live {
            let group = group.classic().expect("a classic group");
            let durable = restarted.shard.groups[id]
                .classic()
                .and_then(ClassicGroup::to_record)
                .expect("loaded groups are settled");
            match group.state() {
                // Before its first generation a group has nothing but its name to be remembered.
                GroupState::Empty | GroupState::Stable => {
                    assert_eq!(
                        comparable(durable),
                        comparable(group.to_record().expect("settled"))
                    );
                }
                GroupState::PreparingRebalance | GroupState::CompletingRebalance => {
                    assert!(durable.generation <= group.generation());
                }
            }
        }
    }

    /// When every client has gone silent, everything owed is answered in the end and the group is Empty.
    fn drain(mut self) {
        self.harness.advance(Duration::from_secs(24 * 60 * 60));
        self.collect();
        assert!(self.parked.is_empty(), "still owed: {:?}", self.parked);
        for group in self.harness.shard.groups.values() {
            assert!(group.is_empty());
        }
        self.check();
    }
}

/// Without the time of a simple group, which no record holds.
fn comparable(mut value: GroupMetadata) -> GroupMetadata {
    if value.protocol_type.is_none() {
        value.state_timestamp = None;
    }
    value
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_histories_keep_every_promise(steps in prop::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in steps {
            model.run(step);
        }
        model.drain();
    }
}
