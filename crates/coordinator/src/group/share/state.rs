//! A share group and its members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use types::{GroupId, MemberId, Timestamp, TopicId, TopicName};

use super::partitions::{KnownStates, ShareStatePartitions};
use super::record::{
    ShareGroupMetadata, ShareGroupPart, ShareGroupRecord, ShareMemberAssignment,
    ShareMemberMetadata,
};
use crate::group::classic::member::Client;
use crate::group::modern::epoch::Epoch;
use crate::group::modern::partitions::TopicPartitions;
use crate::group::modern::target::TargetAssignment;
use crate::group::modern::topics::TopicsImage;

/// What listings call the protocol of all share groups.
pub(crate) const PROTOCOL_TYPE: &str = "share";

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShareMember {
    pub(crate) epoch: Epoch,
    /// Answered too, because the answer with the new epoch may have been lost.
    pub(crate) previous_epoch: Option<Epoch>,
    pub(crate) rack: Option<Arc<str>>,
    pub(crate) client: Client,
    pub(crate) topics: BTreeSet<TopicName>,
    pub(crate) assigned: TopicPartitions,
}

impl ShareMember {
    /// A member that has just come.
    pub(crate) fn new() -> Self {
        Self {
            epoch: Epoch::ZERO,
            previous_epoch: None,
            rack: None,
            client: Client {
                id: Arc::from(""),
                host: Arc::from(""),
            },
            topics: BTreeSet::new(),
            assigned: TopicPartitions::new(),
        }
    }

    pub(crate) fn metadata(&self) -> ShareMemberMetadata {
        ShareMemberMetadata {
            rack: self.rack.clone(),
            client: self.client.clone(),
            topics: self.topics.clone(),
        }
    }

    /// Ids of the topics it wants that exist.
    pub(crate) fn topic_ids(&self, topics: &TopicsImage) -> BTreeSet<TopicId> {
        let id = |name: &TopicName| topics.by_name(name.as_str()).map(|topic| topic.id);
        self.topics.iter().filter_map(id).collect()
    }
}

/// A share group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShareGroup {
    pub(crate) id: GroupId,
    pub(crate) epoch: Epoch,
    pub(crate) metadata_hash: i64,
    pub(crate) members: BTreeMap<MemberId, ShareMember>,
    pub(crate) target: TargetAssignment,
    /// `None` until a partition was asked for.
    pub(crate) states: Option<KnownStates>,
    /// Somebody looked at all of it since something changed, and found nothing to do. Not in the log.
    pub(crate) is_settled: bool,
}

impl ShareGroup {
    pub(crate) fn new(id: GroupId) -> Self {
        Self {
            id,
            epoch: Epoch::ZERO,
            metadata_hash: 0,
            members: BTreeMap::new(),
            target: TargetAssignment::default(),
            states: None,
            is_settled: false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The state, as Kafka's tools print it.
    pub(crate) fn state_name(&self) -> &'static str {
        if self.is_empty() { "Empty" } else { "Stable" }
    }

    /// What members want to read.
    pub(crate) fn subscribed(&self) -> BTreeSet<TopicName> {
        let members = self.members.values();
        members
            .flat_map(|member| member.topics.iter().cloned())
            .collect()
    }

    pub(crate) fn is_subscribed(&self, topic: &TopicName) -> bool {
        self.members
            .values()
            .any(|member| member.topics.contains(topic))
    }

    pub(crate) fn state_partitions(&self) -> ShareStatePartitions {
        let states = self.states.as_ref();
        states
            .map(|states| states.partitions.clone())
            .unwrap_or_default()
    }

    /// The record of a part of this group.
    pub(crate) fn record(&self, part: ShareGroupPart) -> ShareGroupRecord {
        ShareGroupRecord {
            group: self.id.clone(),
            part,
        }
    }

    /// Applies a record. A tombstone of what is not there is nothing.
    pub(crate) fn apply(&mut self, part: ShareGroupPart, now: Timestamp) {
        // What a member has concerns nobody else.
        self.is_settled &= matches!(part, ShareGroupPart::Current(..));
        match part {
            ShareGroupPart::Group(Some(ShareGroupMetadata {
                epoch,
                metadata_hash,
            })) => {
                self.epoch = epoch;
                self.metadata_hash = metadata_hash;
            }
            // The shard forgets the whole group.
            ShareGroupPart::Group(None) => {}
            ShareGroupPart::Member(id, Some(metadata)) => {
                let member = self.members.entry(id).or_insert_with(ShareMember::new);
                member.rack = metadata.rack;
                member.client = metadata.client;
                member.topics = metadata.topics;
            }
            ShareGroupPart::Member(id, None) => {
                self.members.remove(&id);
            }
            ShareGroupPart::TargetEpoch(epoch) => self.target.epoch = epoch.unwrap_or_default(),
            ShareGroupPart::Target(id, Some(partitions)) => self.target.set(id, partitions),
            ShareGroupPart::Target(id, None) => self.target.remove(&id),
            ShareGroupPart::Current(id, Some(assignment)) => {
                let member = self.members.entry(id).or_insert_with(ShareMember::new);
                let ShareMemberAssignment {
                    epoch,
                    previous_epoch,
                    partitions,
                } = assignment;
                member.epoch = epoch;
                member.previous_epoch = previous_epoch;
                member.assigned = partitions;
            }
            ShareGroupPart::Current(id, None) => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.epoch = Epoch::ZERO;
                    member.previous_epoch = None;
                    member.assigned = TopicPartitions::new();
                }
            }
            ShareGroupPart::StatePartitions(Some(partitions)) => {
                self.states = Some(KnownStates {
                    partitions,
                    since: now,
                });
            }
            ShareGroupPart::StatePartitions(None) => self.states = None,
        }
    }

    /// The tombstones of everything the group has in the log, the one that ends it last
    /// (`ShareGroup.createGroupTombstoneRecords`).
    pub(crate) fn tombstones(&self) -> Vec<ShareGroupRecord> {
        let mut parts = Vec::new();
        let members = || self.members.keys().cloned();
        parts.extend(members().map(|member| ShareGroupPart::Current(member, None)));
        parts.extend(members().map(|member| ShareGroupPart::Target(member, None)));
        parts.push(ShareGroupPart::TargetEpoch(None));
        parts.extend(members().map(|member| ShareGroupPart::Member(member, None)));
        parts.push(ShareGroupPart::StatePartitions(None));
        parts.push(ShareGroupPart::Group(None));
        parts.into_iter().map(|part| self.record(part)).collect()
    }
}
