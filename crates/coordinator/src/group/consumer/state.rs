//! What a consumer group is at one moment, and what each record makes of it.
//!
//! Invariants, kept by [`ConsumerGroup::apply`]: the counts are those of the members; `owners` names for each partition
//! that a member has or must give back the member that took it last; `static_members` maps to the member that bears the
//! instance id now. In a group that was not loaded from a half-cleaned log, no two members own one partition.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use types::{GroupId, InstanceId, Instant, MemberId, PartitionIndex, TopicId, TopicName};

use super::counts::Counts;
use super::member::ConsumerMember;
use super::record::{ConsumerRecord, GroupEpoch, MemberState, ResolvedRegex};
use crate::group::modern::assignor::Assignor;
use crate::group::modern::epoch::Epoch;
use crate::group::modern::hash::metadata_hash;
use crate::group::modern::partitions::TopicPartitions;
use crate::group::modern::target::TargetAssignment;
use crate::group::modern::topics::TopicsImage;

/// The state of a consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerGroupState {
    /// No members.
    Empty,
    /// The target assignment is to be computed.
    Assigning,
    /// Members are on their way to their targets.
    Reconciling,
    /// Everybody has what it shall have.
    Stable,
}

impl ConsumerGroupState {
    /// The name as Kafka's tools print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// Until when what the group knows of its topics counts as fresh.
#[derive(Clone, Copy, Debug)]
struct Freshness {
    deadline: Instant,
    epoch: Epoch,
}

/// One consumer group.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerGroup {
    id: GroupId,
    epoch: Epoch,
    metadata_hash: i64,
    members: BTreeMap<MemberId, ConsumerMember>,
    static_members: BTreeMap<InstanceId, MemberId>,
    target: TargetAssignment,
    owners: HashMap<(TopicId, PartitionIndex), MemberId>,
    /// Subscriptions by name.
    by_name: Counts<TopicName>,
    /// Patterns whose topics match.
    by_regex: Counts<TopicName>,
    /// Members by pattern.
    regexes: Counts<Arc<str>>,
    resolved: BTreeMap<Arc<str>, ResolvedRegex>,
    assignors: Counts<Arc<str>>,
    /// Members of the classic protocol by protocol they support.
    classic_protocols: Counts<Arc<str>>,
    classic_members: usize,
    /// Kafka before 4.1 wrote a record that is to be taken away.
    has_partition_metadata: bool,
    /// Not durable: after a load everything is looked at anew.
    freshness: Option<Freshness>,
    /// When the search for the topics of the patterns began that has not ended. Not durable: a load begins another.
    searching_since: Option<Instant>,
}

impl ConsumerGroup {
    pub(crate) fn new(id: GroupId) -> Self {
        Self {
            id,
            epoch: Epoch::ZERO,
            metadata_hash: 0,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            target: TargetAssignment::default(),
            owners: HashMap::new(),
            by_name: Counts::default(),
            by_regex: Counts::default(),
            regexes: Counts::default(),
            resolved: BTreeMap::new(),
            assignors: Counts::default(),
            classic_protocols: Counts::default(),
            classic_members: 0,
            has_partition_metadata: false,
            freshness: None,
            searching_since: None,
        }
    }

    /// Makes of the group what a record says. The tombstone that ends the group is the shard's business.
    pub(crate) fn apply(&mut self, record: ConsumerRecord) {
        match record {
            ConsumerRecord::Epoch(Some(value)) => {
                self.epoch = value.epoch;
                self.metadata_hash = value.metadata_hash;
            }
            ConsumerRecord::Epoch(None) => {}
            ConsumerRecord::PartitionMetadata { present } => self.has_partition_metadata = present,
            ConsumerRecord::Member {
                member,
                value: Some(metadata),
            } => {
                let mut member = self.member_or_new(member);
                member.metadata = metadata;
                self.put(member);
            }
            ConsumerRecord::Member {
                member,
                value: None,
            } => self.take(&member),
            ConsumerRecord::TargetEpoch(epoch) => self.target.epoch = epoch.unwrap_or(Epoch::ZERO),
            ConsumerRecord::Target {
                member,
                value: Some(partitions),
            } => self.target.set(member, partitions),
            ConsumerRecord::Target {
                member,
                value: None,
            } => self.target.remove(&member),
            ConsumerRecord::Current {
                member,
                value: Some(current),
            } => {
                let mut member = self.member_or_new(member);
                member.current = current;
                self.put(member);
            }
            ConsumerRecord::Current {
                member,
                value: None,
            } => {
                // Its partitions are free at once; the member goes with the tombstone of its metadata.
                if let Some(mut member) = self.members.get(&member).cloned() {
                    member.current = ConsumerMember::new(member.id.clone()).current;
                    self.put(member);
                }
            }
            ConsumerRecord::RegularExpression { regex, value } => self.resolve(regex, value),
        }
    }

    fn member_or_new(&self, id: MemberId) -> ConsumerMember {
        let known = self.members.get(&id).cloned();
        known.unwrap_or_else(|| ConsumerMember::new(id))
    }

    fn put(&mut self, member: ConsumerMember) {
        self.take(&member.id);
        let metadata = &member.metadata;
        metadata
            .topics
            .iter()
            .for_each(|topic| self.by_name.add(topic.clone()));
        if let Some(regex) = &metadata.regex {
            self.regexes.add(regex.clone());
        }
        if let Some(assignor) = &metadata.assignor {
            self.assignors.add(assignor.clone());
        }
        if let Some(instance) = &metadata.instance {
            self.static_members
                .insert(instance.clone(), member.id.clone());
        }
        if let Some(classic) = &metadata.classic {
            self.classic_members += 1;
            for protocol in &classic.protocols {
                self.classic_protocols.add(protocol.name.clone());
            }
        }
        for partition in member.owned() {
            self.owners.insert(partition, member.id.clone());
        }
        self.members.insert(member.id.clone(), member);
    }

    fn take(&mut self, id: &MemberId) {
        let Some(member) = self.members.remove(id) else {
            return;
        };
        for partition in member.owned() {
            if self.owners.get(&partition) == Some(id) {
                self.owners.remove(&partition);
            }
        }
        let metadata = member.metadata;
        for topic in metadata.topics {
            self.by_name.subtract(topic);
        }
        if let Some(regex) = metadata.regex {
            self.regexes.subtract(regex);
        }
        if let Some(assignor) = metadata.assignor {
            self.assignors.subtract(assignor);
        }
        if let Some(instance) = metadata.instance
            && self.static_members.get(&instance) == Some(id)
        {
            self.static_members.remove(&instance);
        }
        if let Some(classic) = metadata.classic {
            self.classic_members -= 1;
            for protocol in classic.protocols {
                self.classic_protocols.subtract(protocol.name);
            }
        }
    }

    fn resolve(&mut self, regex: Arc<str>, value: Option<ResolvedRegex>) {
        if let Some(before) = self.resolved.remove(&regex) {
            for topic in before.topics {
                self.by_regex.subtract(topic);
            }
        }
        if let Some(value) = value {
            for topic in &value.topics {
                self.by_regex.add(topic.clone());
            }
            self.resolved.insert(regex, value);
        }
    }

    pub(crate) fn id(&self) -> &GroupId {
        &self.id
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn target(&self) -> &TargetAssignment {
        &self.target
    }

    pub(crate) fn state(&self) -> ConsumerGroupState {
        if self.members.is_empty() {
            ConsumerGroupState::Empty
        } else if self.epoch > self.target.epoch {
            ConsumerGroupState::Assigning
        } else if self
            .members
            .values()
            .all(|member| member.is_reconciled_to(self.target.epoch))
        {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    pub(crate) fn members(&self) -> impl ExactSizeIterator<Item = &ConsumerMember> {
        self.members.values()
    }

    pub(crate) fn member_ids(&self) -> Vec<MemberId> {
        self.members.keys().cloned().collect()
    }

    pub(crate) fn member(&self, id: &MemberId) -> Option<&ConsumerMember> {
        self.members.get(id)
    }

    /// The member that bears an instance id now.
    pub(crate) fn static_member(&self, instance: &InstanceId) -> Option<&ConsumerMember> {
        self.members.get(self.static_members.get(instance)?)
    }

    /// Whether somebody else than `member` has the partition, so that it cannot have it yet.
    pub(crate) fn is_with_another(
        &self,
        member: &MemberId,
        topic: TopicId,
        partition: PartitionIndex,
    ) -> bool {
        self.owners
            .get(&(topic, partition))
            .is_some_and(|owner| owner != member)
    }

    /// Whether a member reads `topic`.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.by_name.get(topic) > 0 || self.by_regex.get(topic) > 0
    }

    /// The topics somebody is subscribed to, in order.
    pub(crate) fn subscribed_topics(&self) -> BTreeSet<&TopicName> {
        let by_name = self.by_name.iter().map(|(topic, _)| topic);
        by_name
            .chain(self.by_regex.iter().map(|(topic, _)| topic))
            .collect()
    }

    /// The topics of one member.
    pub(crate) fn topics_of<'a>(
        &'a self,
        member: &'a ConsumerMember,
    ) -> impl Iterator<Item = &'a TopicName> {
        member.subscribed(|regex| self.resolved.get(regex).map(|resolved| &resolved.topics))
    }

    /// The ids of those topics of a member that exist.
    pub(crate) fn topic_ids_of(
        &self,
        member: &ConsumerMember,
        topics: &TopicsImage,
    ) -> BTreeSet<TopicId> {
        let id = |name: &TopicName| topics.by_name(name.as_str()).map(|topic| topic.id);
        self.topics_of(member).filter_map(id).collect()
    }

    /// Whether everybody is subscribed to the same topics (`ConsumerGroup.subscriptionType`).
    pub(crate) fn has_same_topics(&self) -> bool {
        let everybody = self.members.len();
        let Some((_, of_first_regex)) = self.regexes.iter().next() else {
            return self.by_regex.is_empty()
                && self.by_name.iter().all(|(_, count)| count == everybody);
        };
        of_first_regex == everybody
            && self.by_name.is_empty()
            && self.by_regex.iter().all(|(_, count)| count == 1)
    }

    pub(crate) fn metadata_hash(&self) -> i64 {
        self.metadata_hash
    }

    pub(crate) fn compute_metadata_hash(&self, topics: &TopicsImage) -> i64 {
        metadata_hash(self.subscribed_topics(), topics)
    }

    /// The next epoch, with the topics as they are.
    pub(crate) fn next_epoch(&self, metadata_hash: i64) -> GroupEpoch {
        GroupEpoch {
            epoch: self.epoch.next(),
            metadata_hash,
        }
    }

    pub(crate) fn is_metadata_fresh(&self, now: Instant) -> bool {
        self.freshness
            .is_some_and(|fresh| now < fresh.deadline && self.epoch >= fresh.epoch)
    }

    pub(crate) fn set_metadata_fresh_until(&mut self, deadline: Instant) {
        let epoch = self.epoch;
        self.freshness = Some(Freshness { deadline, epoch });
    }

    /// The next heartbeat looks at the group's topics anew.
    pub(crate) fn request_metadata_refresh(&mut self) {
        self.freshness = None;
    }

    /// How many members are subscribed to a pattern.
    pub(crate) fn subscribers_of(&self, regex: &str) -> usize {
        self.regexes.get(regex)
    }

    /// The patterns somebody is subscribed to.
    pub(crate) fn regexes(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.regexes.iter().map(|(regex, _)| regex)
    }

    pub(crate) fn searching_since(&self) -> Option<Instant> {
        self.searching_since
    }

    pub(crate) fn begin_search(&mut self, now: Instant) {
        self.searching_since = Some(now);
    }

    pub(crate) fn end_search(&mut self) {
        self.searching_since = None;
    }

    pub(crate) fn resolved(&self, regex: &str) -> Option<&ResolvedRegex> {
        self.resolved.get(regex)
    }

    pub(crate) fn resolved_regexes(
        &self,
    ) -> impl ExactSizeIterator<Item = (&Arc<str>, &ResolvedRegex)> {
        self.resolved.iter()
    }

    /// Whether there are as many topics by pattern as patterns; if not, some are unknown or of nobody.
    pub(crate) fn are_regexes_resolved(&self) -> bool {
        self.regexes.len() == self.resolved.len()
    }

    pub(crate) fn has_partition_metadata(&self) -> bool {
        self.has_partition_metadata
    }

    /// The assignor most members want; the default if nobody wants one. Of equals the last by name, as nothing better
    /// decides; one that is gone from the settings counts as none.
    pub(crate) fn preferred_assignor(&self) -> Option<Assignor> {
        let counts = self.assignors.iter();
        let (name, _) = counts.max_by_key(|(_, count)| *count)?;
        Assignor::by_name(name)
    }

    pub(crate) fn classic_members(&self) -> usize {
        self.classic_members
    }

    /// Whether somebody with these protocols of the classic protocol could join.
    pub(crate) fn supports_protocols<'a>(
        &self,
        mut protocols: impl Iterator<Item = &'a Arc<str>>,
    ) -> bool {
        protocols.any(|name| self.classic_protocols.get(name) == self.classic_members)
    }

    /// Whether a member waits for a partition that somebody else still has.
    pub(crate) fn waits_for_others(&self, member: &ConsumerMember) -> bool {
        member.current.state == MemberState::UnreleasedPartitions
            && self
                .target
                .member(&member.id)
                .iter()
                .any(|(topic, partition)| {
                    !member.current.assigned.contains(topic, partition)
                        && self.owners.contains_key(&(topic, partition))
                })
    }

    /// The tombstones of everything the group has in the log; the one that ends it comes last.
    pub(crate) fn tombstones(&self) -> Vec<ConsumerRecord> {
        let mut records = Vec::with_capacity(3 * self.members.len() + self.resolved.len() + 3);
        let members = || self.members.keys().cloned();
        records.extend(members().map(|member| ConsumerRecord::Current {
            member,
            value: None,
        }));
        records.extend(members().map(|member| ConsumerRecord::Target {
            member,
            value: None,
        }));
        records.push(ConsumerRecord::TargetEpoch(None));
        records.extend(members().map(|member| ConsumerRecord::Member {
            member,
            value: None,
        }));
        let regexes = self.resolved.keys().cloned();
        records
            .extend(regexes.map(|regex| ConsumerRecord::RegularExpression { regex, value: None }));
        records.push(ConsumerRecord::PartitionMetadata { present: false });
        records.push(ConsumerRecord::Epoch(None));
        records
    }

    /// Records that make this group out of nothing (`createConsumerGroupRecords`).
    pub(crate) fn creating_records(&self) -> Vec<ConsumerRecord> {
        let mut records = Vec::with_capacity(3 * self.members.len() + 2);
        let members = || self.members.values();
        records.extend(members().map(|member| ConsumerRecord::Member {
            member: member.id.clone(),
            value: Some(member.metadata.clone()),
        }));
        records.push(ConsumerRecord::Epoch(Some(GroupEpoch {
            epoch: self.epoch,
            metadata_hash: self.metadata_hash,
        })));
        records.extend(members().map(|member| ConsumerRecord::Target {
            member: member.id.clone(),
            value: Some(self.target.member(&member.id).clone()),
        }));
        records.push(ConsumerRecord::TargetEpoch(Some(self.target.epoch)));
        records.extend(members().map(|member| ConsumerRecord::Current {
            member: member.id.clone(),
            value: Some(member.current.clone()),
        }));
        records
    }

    /// What a member shall have; of a static member that comes under a new id, what its instance shall have.
    pub(crate) fn target_of(&self, member: &ConsumerMember) -> &TopicPartitions {
        self.target.member(&member.id)
    }
}

#[cfg(test)]
impl ConsumerGroup {
    /// What must survive a restart.
    pub(crate) fn durable(&self) -> (Vec<ConsumerRecord>, Vec<(Arc<str>, ResolvedRegex)>) {
        let resolved = self.resolved.iter();
        let resolved = resolved.map(|(regex, value)| (regex.clone(), value.clone()));
        (self.creating_records(), resolved.collect())
    }

    /// Panics unless the invariants at the top of this file hold.
    pub(crate) fn assert_consistent(&self) {
        let mut owned = HashMap::new();
        for member in self.members.values() {
            for partition in member.owned() {
                let before = owned.insert(partition, member.id.clone());
                assert_eq!(before, None, "{partition:?} belongs to two members");
            }
            assert!(!member.current.revoking.intersects(&member.current.assigned));
        }
        assert_eq!(owned, self.owners);
        let mut rebuilt = Self::new(self.id.clone());
        for record in self.creating_records() {
            rebuilt.apply(record);
        }
        assert_eq!(rebuilt.by_name, self.by_name);
        assert_eq!(rebuilt.regexes, self.regexes);
        assert_eq!(rebuilt.assignors, self.assignors);
        assert_eq!(rebuilt.classic_protocols, self.classic_protocols);
        assert_eq!(rebuilt.classic_members, self.classic_members);
        assert_eq!(rebuilt.static_members, self.static_members);
        for regex in self.resolved.keys() {
            assert!(
                self.regexes.get(regex) > 0,
                "nobody is subscribed to {regex}"
            );
        }
    }
}
