//! What a streams group remembers.
//!
//! After `StreamsGroup.java`. What must survive a restart changes only by [`StreamsGroup::apply`], live and on loading
//! alike. The rest (the configured topology, who asked for a shutdown, the epoch of endpoint information) is found out
//! again or forgotten, as in Kafka.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use types::{GroupId, MemberId, TopicName};

use super::assignor::ProcessId;
use super::member::Member;
use super::record::{StreamsGroupMetadata, StreamsRecord};
use super::tasks::{AssignedTasks, TaskSet, Tasks};
use super::topics::ConfiguredTopology;
use super::topology::{StreamsTopology, SubtopologyId};

/// The state of a streams group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamsGroupState {
    /// It has no members.
    Empty,
    /// The topics of its topology are not there, or not right.
    NotReady,
    /// The target assignment is older than the group.
    Assigning,
    /// Members are on their way to their targets.
    Reconciling,
    /// All members have their targets.
    Stable,
}

impl StreamsGroupState {
    /// The name as Kafka's tools print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::NotReady => "NotReady",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }

    /// The name that a filter of ListGroups has, in lower case.
    pub const fn filter_name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotReady => "not_ready",
            Self::Assigning => "assigning",
            Self::Reconciling => "reconciling",
            Self::Stable => "stable",
        }
    }
}

impl fmt::Display for StreamsGroupState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Which processes have which tasks, whether assigned or not yet given up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TaskOwners {
    active: BTreeMap<SubtopologyId, BTreeMap<i32, ProcessId>>,
    standby: Followers,
    warmup: Followers,
}

type Followers = BTreeMap<SubtopologyId, BTreeMap<i32, BTreeSet<ProcessId>>>;

impl TaskOwners {
    /// The process that runs a task.
    pub(crate) fn active(&self, subtopology: &SubtopologyId, partition: i32) -> Option<&ProcessId> {
        self.active.get(subtopology)?.get(&partition)
    }

    /// Whether a process has a standby or warm-up of a task.
    pub(crate) fn follows(
        &self,
        subtopology: &SubtopologyId,
        partition: i32,
        process: &ProcessId,
    ) -> bool {
        let has = |followers: &Followers| {
            let partitions = followers.get(subtopology);
            let processes = partitions.and_then(|partitions| partitions.get(&partition));
            processes.is_some_and(|processes| processes.contains(process))
        };
        has(&self.standby) || has(&self.warmup)
    }

    fn add(&mut self, tasks: &AssignedTasks, process: &ProcessId) {
        for (subtopology, partitions) in &tasks.active {
            let owners = self.active.entry(subtopology.clone()).or_default();
            owners.extend(
                partitions
                    .keys()
                    .map(|partition| (*partition, process.clone())),
            );
        }
        add_followers(&mut self.standby, &tasks.standby, process);
        add_followers(&mut self.warmup, &tasks.warmup, process);
    }

    fn remove(&mut self, tasks: &AssignedTasks, process: &ProcessId) {
        for (subtopology, partitions) in &tasks.active {
            let Some(owners) = self.active.get_mut(subtopology) else {
                continue;
            };
            for partition in partitions.keys() {
                // Somebody else may have it by now.
                if owners.get(partition) == Some(process) {
                    owners.remove(partition);
                }
            }
            if owners.is_empty() {
                self.active.remove(subtopology);
            }
        }
        remove_followers(&mut self.standby, &tasks.standby, process);
        remove_followers(&mut self.warmup, &tasks.warmup, process);
    }
}

fn add_followers(followers: &mut Followers, tasks: &Tasks, process: &ProcessId) {
    for (subtopology, partitions) in tasks {
        let by_partition = followers.entry(subtopology.clone()).or_default();
        for partition in partitions {
            let processes = by_partition.entry(*partition).or_default();
            processes.insert(process.clone());
        }
    }
}

fn remove_followers(followers: &mut Followers, tasks: &Tasks, process: &ProcessId) {
    for (subtopology, partitions) in tasks {
        let Some(by_partition) = followers.get_mut(subtopology) else {
            continue;
        };
        for partition in partitions {
            if let Some(processes) = by_partition.get_mut(partition) {
                processes.remove(process);
                if processes.is_empty() {
                    by_partition.remove(partition);
                }
            }
        }
        if by_partition.is_empty() {
            followers.remove(subtopology);
        }
    }
}

/// A streams group.
#[derive(Clone, Debug)]
pub(crate) struct StreamsGroup {
    pub(crate) id: GroupId,
    metadata: StreamsGroupMetadata,
    members: BTreeMap<MemberId, Member>,
    topology: Option<Arc<StreamsTopology>>,
    target_epoch: i32,
    targets: BTreeMap<MemberId, TaskSet>,
    owners: TaskOwners,
    /// What follows for the topology from the topics there are, once somebody found out.
    pub(crate) configured: Option<Arc<ConfiguredTopology>>,
    /// The hash of the topics that `configured` is of.
    pub(crate) configured_hash: i64,
    /// Topics may have changed since `configured` was made.
    pub(crate) needs_refresh: bool,
    /// The member that asked for the shutdown of the whole application.
    pub(crate) shutdown_requested_by: Option<MemberId>,
    /// Counts changes of what members' endpoints serve.
    pub(crate) endpoint_epoch: i32,
}

/// The target epoch of a group whose target assignment was deleted.
const NO_TARGET_EPOCH: i32 = -1;

impl StreamsGroup {
    /// A group without anything.
    pub(crate) fn new(id: GroupId) -> Self {
        Self {
            id,
            metadata: StreamsGroupMetadata::default(),
            members: BTreeMap::new(),
            topology: None,
            target_epoch: 0,
            targets: BTreeMap::new(),
            owners: TaskOwners::default(),
            configured: None,
            configured_hash: 0,
            needs_refresh: true,
            shutdown_requested_by: None,
            endpoint_epoch: 0,
        }
    }

    pub(crate) fn state(&self) -> StreamsGroupState {
        let validated = self.metadata.validated_topology_epoch;
        if self.members.is_empty() {
            StreamsGroupState::Empty
        } else if self
            .topology
            .as_ref()
            .is_none_or(|topology| topology.epoch != validated)
        {
            StreamsGroupState::NotReady
        } else if self.metadata.epoch > self.target_epoch {
            StreamsGroupState::Assigning
        } else if self
            .members
            .values()
            .all(|member| member.is_reconciled_to(self.target_epoch))
        {
            StreamsGroupState::Stable
        } else {
            StreamsGroupState::Reconciling
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn metadata(&self) -> &StreamsGroupMetadata {
        &self.metadata
    }

    pub(crate) fn members(&self) -> &BTreeMap<MemberId, Member> {
        &self.members
    }

    pub(crate) fn topology(&self) -> Option<&Arc<StreamsTopology>> {
        self.topology.as_ref()
    }

    pub(crate) fn target_epoch(&self) -> i32 {
        self.target_epoch
    }

    pub(crate) fn targets(&self) -> &BTreeMap<MemberId, TaskSet> {
        &self.targets
    }

    pub(crate) fn owners(&self) -> &TaskOwners {
        &self.owners
    }

    /// Whether a member reads the topic, so that its offsets are kept.
    pub(crate) fn is_subscribed(&self, topic: &TopicName) -> bool {
        let topology = self.topology.as_ref().filter(|_| !self.is_empty());
        topology.is_some_and(|topology| topology.reader_of(topic).is_some())
    }

    /// Applies one of the group's records. `Group(None)` is for whoever holds the group: it is then gone.
    pub(crate) fn apply(&mut self, record: StreamsRecord) {
        match record {
            StreamsRecord::Group(value) => self.metadata = value.unwrap_or_default(),
            StreamsRecord::Topology(value) => self.topology = value.map(Arc::new),
            StreamsRecord::Member {
                member,
                value: Some(value),
            } => {
                let mut updated = self.member_or_new(&member);
                updated.metadata = value;
                self.put_member(updated);
            }
            StreamsRecord::Member {
                member,
                value: None,
            } => self.remove_member(&member),
            StreamsRecord::TargetEpoch(epoch) => {
                self.target_epoch = epoch.unwrap_or(NO_TARGET_EPOCH);
            }
            StreamsRecord::TargetMember {
                member,
                value: Some(value),
            } => {
                self.targets.insert(member, value);
            }
            StreamsRecord::TargetMember {
                member,
                value: None,
            } => {
                self.targets.remove(&member);
            }
            StreamsRecord::CurrentMember {
                member,
                value: Some(value),
            } => {
                let mut updated = self.member_or_new(&member);
                updated.current = value;
                self.put_member(updated);
            }
            StreamsRecord::CurrentMember {
                member,
                value: None,
            } => self.forget_assignment(&member),
        }
        if self.members.is_empty() {
            self.shutdown_requested_by = None;
        }
    }

    fn member_or_new(&self, id: &MemberId) -> Member {
        let member = self.members.get(id).cloned();
        member.unwrap_or_else(|| Member::new(id.clone()))
    }

    fn put_member(&mut self, member: Member) {
        self.disown(&member.id);
        let process = &member.metadata.process;
        self.owners.add(&member.current.assigned, process);
        self.owners.add(&member.current.pending_revocation, process);
        self.members.insert(member.id.clone(), member);
    }

    fn remove_member(&mut self, id: &MemberId) {
        self.disown(id);
        self.members.remove(id);
    }

    /// The first of a leaving member's tombstones: nobody may wait for its tasks any more.
    fn forget_assignment(&mut self, id: &MemberId) {
        self.disown(id);
        if let Some(member) = self.members.get_mut(id) {
            member.current.member_epoch = LEFT_EPOCH;
            member.current.previous_member_epoch = LEFT_EPOCH;
            member.current.assigned = AssignedTasks::default();
            member.current.pending_revocation = AssignedTasks::default();
        }
    }

    fn disown(&mut self, id: &MemberId) {
        if let Some(member) = self.members.get(id) {
            let process = &member.metadata.process;
            self.owners.remove(&member.current.assigned, process);
            self.owners
                .remove(&member.current.pending_revocation, process);
        }
    }

    /// The tombstones of everything the group has written. That of the group comes before that of its topology, as in
    /// Kafka: whoever applies them forgets both with the first.
    pub(crate) fn tombstones(&self) -> Vec<StreamsRecord> {
        let members = || self.members.keys().cloned();
        let mut records: Vec<StreamsRecord> = Vec::new();
        records.extend(members().map(|member| StreamsRecord::CurrentMember {
            member,
            value: None,
        }));
        records.extend(members().map(|member| StreamsRecord::TargetMember {
            member,
            value: None,
        }));
        records.push(StreamsRecord::TargetEpoch(None));
        records.extend(members().map(|member| StreamsRecord::Member {
            member,
            value: None,
        }));
        records.push(StreamsRecord::Group(None));
        records.push(StreamsRecord::Topology(None));
        records
    }
}

/// The epoch of a member that has left.
const LEFT_EPOCH: i32 = -1;
