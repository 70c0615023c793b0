//! Random histories of a streams group: whatever members do, and whenever time passes, no active task is in two
//! processes, what was replayed equals what lived, and in the end everybody has what they should.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use types::MemberId;

use super::harness::Harness;
use super::streams::{GROUP, READY, join, own, settings, stay};
use crate::group::kind::Group;
use crate::group::streams::answer::{StreamsHeartbeatError, StreamsHeartbeatReply};
use crate::group::streams::state::{StreamsGroup, StreamsGroupState};
use crate::group::streams::tasks::TaskSet;

const CLIENTS: usize = 4;
const NAMES: [&str; CLIENTS] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Step {
    Join(usize),
    Heartbeat { client: usize, tells: bool },
    GiveUp(usize),
    Leave(usize),
    Wait { seconds: u64 },
    Topics(usize),
    Standby(usize),
    Restart,
}

/// The clusters a history moves between: without anything, without internal topics, and with all in two sizes.
const CLUSTERS: [&[(&str, i32)]; 4] = [
    &[],
    &[("in", 3)],
    &READY,
    &[("in", 4), ("repartition", 4), ("changelog", 4)],
];

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        4 => client.clone().prop_map(Step::Join),
        10 => (client.clone(), any::<bool>())
            .prop_map(|(client, tells)| Step::Heartbeat { client, tells }),
        6 => client.clone().prop_map(Step::GiveUp),
        1 => client.prop_map(Step::Leave),
        4 => (0..50_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => (0..CLUSTERS.len()).prop_map(Step::Topics),
        1 => (0..3_usize).prop_map(Step::Standby),
        1 => Just(Step::Restart),
    ]
}

/// What a member believes.
#[derive(Debug, Default)]
struct Client {
    /// Its epoch; `None` while it is not in the group.
    epoch: Option<i32>,
    /// What it was told to have.
    told: TaskSet,
    /// What it has: what it was told, and what it has not given up yet.
    has: TaskSet,
}

impl Client {
    fn take(&mut self, reply: StreamsHeartbeatReply) {
        self.epoch = Some(reply.member_epoch);
        let Some(told) = reply.tasks else {
            return;
        };
        for (subtopology, partitions) in &told.active {
            let has = self.has.active.entry(subtopology.clone()).or_default();
            has.extend(partitions);
        }
        for (subtopology, partitions) in &told.standby {
            let has = self.has.standby.entry(subtopology.clone()).or_default();
            has.extend(partitions);
        }
        self.told = told;
    }
}

struct Model {
    harness: Harness,
    clients: [Client; CLIENTS],
    standby_replicas: usize,
}

impl Model {
    fn new() -> Self {
        Self {
            harness: Harness::with_streams_topics(&READY),
            clients: std::array::from_fn(|_| Client::default()),
            standby_replicas: 0,
        }
    }

    fn group(&self) -> Option<&StreamsGroup> {
        match self.harness.shard.groups.get(GROUP)? {
            Group::Streams(group) => Some(group),
            other => panic!("not a streams group: {other:?}"),
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Join(client) => {
                self.clients[client] = Client::default();
                self.heartbeat(client, join(NAMES[client]));
            }
            Step::Heartbeat { client, tells } => {
                let Some(epoch) = self.clients[client].epoch else {
                    return;
                };
                let request = if tells {
                    own(NAMES[client], epoch, &self.clients[client].has)
                } else {
                    stay(NAMES[client], epoch)
                };
                self.heartbeat(client, request);
            }
            Step::GiveUp(client) => {
                let client = &mut self.clients[client];
                client.has = client.told.clone();
            }
            Step::Leave(client) => {
                if self.clients[client].epoch.is_some() {
                    self.heartbeat(client, stay(NAMES[client], -1));
                    self.clients[client] = Client::default();
                }
            }
            Step::Wait { seconds } => self.harness.advance(Duration::from_secs(seconds)),
            Step::Topics(cluster) => {
                self.harness.set_streams_topics(CLUSTERS[cluster]);
                // What a load begins with is what the cluster then has.
                let shard = &mut self.harness.shard;
                shard.settings.topics = std::sync::Arc::clone(shard.topics.image());
            }
            Step::Standby(replicas) => self.standby_replicas = replicas,
            Step::Restart => self.restart(),
        }
        self.check();
    }

    fn heartbeat(
        &mut self,
        client: usize,
        mut request: crate::group::streams::request::StreamsHeartbeatRequest,
    ) {
        request.settings = settings();
        request.settings.standby_replicas = self.standby_replicas;
        match self.harness.streams_result(request) {
            Ok(reply) => self.clients[client].take(reply),
            Err(
                StreamsHeartbeatError::UnknownMember { .. }
                | StreamsHeartbeatError::FencedEpoch { .. }
                | StreamsHeartbeatError::UnknownStreamsGroup(_)
                | StreamsHeartbeatError::UnknownGroup(_)
                // Its tasks are of topics that are smaller now.
                | StreamsHeartbeatError::NoSuchTask { .. },
            ) => self.clients[client] = Client::default(),
            Err(other) => panic!("{other}"),
        }
    }

    fn restart(&mut self) {
        let lived = self.group().map(durable);
        self.harness = self.harness.restarted();
        assert_eq!(self.group().map(durable), lived, "replay equals live");
    }

    fn check(&self) {
        let Some(group) = self.group() else {
            return;
        };
        assert!(group.target_epoch() <= group.metadata().epoch);
        let mut owners = BTreeMap::new();
        for member in group.members().values() {
            let current = &member.current;
            assert!(current.previous_member_epoch <= current.member_epoch);
            assert!(current.member_epoch <= group.metadata().epoch);
            let all = [&current.assigned, &current.pending_revocation];
            let tasks = all.into_iter().flat_map(|tasks| &tasks.active);
            for (subtopology, partitions) in tasks {
                for (partition, since) in partitions {
                    assert!(*since <= current.member_epoch.max(group.target_epoch()));
                    let before = owners.insert((subtopology.clone(), *partition), &member.id);
                    assert_eq!(before, None, "{subtopology}-{partition} is in two members");
                    assert_eq!(
                        group.owners().active(subtopology, *partition),
                        Some(&member.metadata.process)
                    );
                }
            }
        }
        self.check_clients(group);
    }

    /// Members that the group has not removed never run the same active task.
    fn check_clients(&self, group: &StreamsGroup) {
        let mut running = BTreeSet::new();
        for (name, client) in NAMES.iter().zip(&self.clients) {
            let member = group.members().get(&MemberId::new(name));
            if member.map(|member| member.current.member_epoch) != client.epoch {
                continue;
            }
            for (subtopology, partitions) in &client.has.active {
                for partition in partitions {
                    let is_new = running.insert((subtopology.clone(), *partition));
                    assert!(is_new, "{subtopology}-{partition} runs twice");
                }
            }
        }
    }

    /// With all topics there and everybody well, the group becomes Stable and all tasks run once.
    fn settle(mut self) {
        self.run(Step::Topics(3));
        for client in 0..CLIENTS {
            self.run(Step::Join(client));
        }
        for _ in 0..10 {
            for client in 0..CLIENTS {
                self.run(Step::GiveUp(client));
                self.run(Step::Heartbeat {
                    client,
                    tells: true,
                });
                if self.clients[client].epoch.is_none() {
                    self.run(Step::Join(client));
                }
            }
        }
        self.restart();
        let group = self.group().expect("it has members");
        assert_eq!(group.state(), StreamsGroupState::Stable);
        let count = |tasks: &crate::group::streams::tasks::Tasks| -> usize {
            tasks.values().map(BTreeSet::len).sum()
        };
        let active: usize = self.clients.iter().map(|one| count(&one.has.active)).sum();
        let standby: usize = self.clients.iter().map(|one| count(&one.has.standby)).sum();
        assert_eq!(active, 8);
        assert_eq!(standby, 4 * self.standby_replicas);
    }
}

/// What must survive a restart.
fn durable(group: &StreamsGroup) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?}",
        group.metadata(),
        group.members(),
        group.topology(),
        group.target_epoch(),
        group.targets(),
        group.owners(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_histories_never_run_a_task_twice(steps in prop::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in steps {
            model.run(step);
        }
        model.settle();
    }
}

/// Topics that shrink and grow again while a heartbeat in between is refused: nothing of the smaller ones stays.
#[test]
fn a_refused_heartbeat_leaves_no_topology_of_its_own() {
    let mut model = Model::new();
    model.run(Step::Topics(3));
    model.run(Step::Join(2));
    model.run(Step::Topics(2));
    model.run(Step::Heartbeat {
        client: 2,
        tells: true,
    });
    model.settle();
}
