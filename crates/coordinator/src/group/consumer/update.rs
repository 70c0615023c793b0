//! What a member's new subscription does to its group: a new epoch, a new target, a step towards it. The same for members
//! of both protocols.
//!
//! After `consumerGroupHeartbeat`, `classicGroupJoinToConsumerGroup`, `updateSubscriptionMetadata`,
//! `updateTargetAssignment` and `maybeReconcile` in Kafka's `GroupMetadataManager.java`.

use std::time::Duration;

use types::MemberId;

use super::member::ConsumerMember;
use super::reconcile::{Step, next_assignment};
use super::record::{ConsumerMemberMetadata, ConsumerRecord, CurrentAssignment, MemberState};
use super::regex;
use super::state::ConsumerGroup;
use crate::group::modern::assignor::{GroupSpec, MemberSpec};
use crate::group::modern::partitions::TopicPartitions;
use crate::group::record::GroupRecord;
use crate::group::timers::{TimerAction, TimerKey};
use crate::group::transition::Transition;

/// For how long what a group knows of its topics counts as fresh: changes are told, so this is only a net below
/// (`METADATA_REFRESH_INTERVAL_MS`).
const METADATA_FRESH: Duration = Duration::from_millis(i32::MAX as u64);

/// A consumer group, and what a transition may use besides.
#[derive(Debug)]
pub(crate) struct Scope<'s, 't> {
    pub(crate) group: &'s mut ConsumerGroup,
    pub(crate) transition: &'s mut Transition<'t>,
}

impl Scope<'_, '_> {
    /// Changes the group as a record says, and writes the record.
    pub(super) fn record(&mut self, record: ConsumerRecord) {
        self.group.apply(record.clone());
        self.transition.record(GroupRecord::Consumer {
            group: self.group.id().clone(),
            record,
        });
    }

    /// Raises the group epoch.
    pub(super) fn begin_epoch(&mut self, metadata_hash: i64) {
        let next = self.group.next_epoch(metadata_hash);
        self.record(ConsumerRecord::Epoch(Some(next)));
    }

    /// The group's topics have just been looked at.
    pub(super) fn keep_metadata_fresh(&mut self) {
        let deadline = self.transition.now.instant.plus(METADATA_FRESH);
        self.group.set_metadata_fresh_until(deadline);
    }

    /// Notes a sign of life of a member of the consumer protocol.
    pub(crate) fn renew_session(&mut self, member: &MemberId) {
        let times = self.transition.settings.consumer.times(self.group.id());
        self.renew_session_for(member, times.session_timeout);
    }

    pub(crate) fn renew_session_for(&mut self, member: &MemberId, timeout: Duration) {
        let action = TimerAction::ExpireSession {
            group: self.group.id().clone(),
            member: member.clone(),
        };
        self.transition.schedule(timeout, action);
    }

    /// The member must give partitions back within its rebalance timeout, or is done with that.
    pub(crate) fn watch_revocation(&mut self, member: &ConsumerMember) {
        let group = self.group.id().clone();
        if member.current.state == MemberState::UnrevokedPartitions {
            let action = TimerAction::ExpireRevocation {
                group,
                member: member.id.clone(),
                epoch: member.epoch(),
            };
            self.transition.schedule(member.rebalance_timeout(), action);
        } else {
            let key = TimerKey::Revocation(group, member.id.clone());
            self.transition.cancel(&key);
        }
    }

    /// Takes a member out of the log (`removeMember`).
    pub(super) fn remove_member(&mut self, id: &MemberId) {
        self.record(ConsumerRecord::Current {
            member: id.clone(),
            value: None,
        });
        self.record(ConsumerRecord::Target {
            member: id.clone(),
            value: None,
        });
        self.record(ConsumerRecord::Member {
            member: id.clone(),
            value: None,
        });
    }

    /// Puts `new` into the place of the member of the same instance (`replaceMember`).
    pub(super) fn replace_member(&mut self, old: &MemberId, new: &ConsumerMember) {
        let target = self.group.target().member(old).clone();
        self.remove_member(old);
        self.cancel_timers(old);
        self.record(ConsumerRecord::Member {
            member: new.id.clone(),
            value: Some(new.metadata.clone()),
        });
        self.record(ConsumerRecord::Target {
            member: new.id.clone(),
            value: Some(target),
        });
        self.record(ConsumerRecord::Current {
            member: new.id.clone(),
            value: Some(new.current.clone()),
        });
    }

    pub(crate) fn cancel_timers(&mut self, member: &MemberId) {
        let group = self.group.id();
        for key in TimerKey::of_consumer(group, member) {
            self.transition.cancel(&key);
        }
    }
}

/// What came of a member's subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RegexUpdate {
    Unchanged,
    /// The pattern has changed; its topics are not known yet.
    Updated,
    /// The pattern has changed, and its topics are known.
    UpdatedAndResolved,
}

/// What a member's subscription changed, before a target is computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct SubscriptionUpdate {
    names_changed: bool,
    regex: RegexUpdate,
}

impl SubscriptionUpdate {
    pub(super) fn has_changed(self) -> bool {
        self.names_changed || self.regex != RegexUpdate::Unchanged
    }

    /// Whether a heartbeat of the consumer protocol begins an epoch: a pattern whose topics are not known yet waits for
    /// them.
    pub(super) fn begins_epoch(self) -> bool {
        self.names_changed || self.regex == RegexUpdate::UpdatedAndResolved
    }
}

/// Writes what the member says of itself, if it is new. `before` is the member as it was, or an empty one.
pub(super) fn update_metadata(
    scope: &mut Scope<'_, '_>,
    before: &ConsumerMember,
    metadata: &ConsumerMemberMetadata,
) -> SubscriptionUpdate {
    let is_known = scope.group.member(&before.id).is_some();
    let group = &*scope.group;
    let regex_update = match (&before.metadata.regex, &metadata.regex) {
        (old, new) if old == new => RegexUpdate::Unchanged,
        (_, Some(new)) if group.subscribers_of(new) > 0 && group.resolved(new).is_some() => {
            RegexUpdate::UpdatedAndResolved
        }
        (_, Some(_)) => RegexUpdate::Updated,
        (_, None) => RegexUpdate::UpdatedAndResolved,
    };
    let is_new_regex = regex_update == RegexUpdate::Updated
        && metadata
            .regex
            .as_deref()
            .is_some_and(|new| group.subscribers_of(new) == 0);
    let names_changed = before.metadata.topics != metadata.topics;
    if !is_known || *metadata != before.metadata {
        scope.record(ConsumerRecord::Member {
            member: before.id.clone(),
            value: Some(metadata.clone()),
        });
    }
    if regex_update != RegexUpdate::Unchanged {
        regex::forget_unused(scope);
    }
    regex::schedule_refresh(scope, is_new_regex);
    SubscriptionUpdate {
        names_changed,
        regex: regex_update,
    }
}

/// Begins an epoch if `begin`, or if the group's topics are not what they were.
pub(super) fn update_epoch(scope: &mut Scope<'_, '_>, begin: bool) {
    if !begin && scope.group.is_metadata_fresh(scope.transition.now.instant) {
        return;
    }
    let hash = scope
        .group
        .compute_metadata_hash(scope.transition.topics.image());
    if begin || hash != scope.group.metadata_hash() {
        scope.begin_epoch(hash);
    }
    scope.keep_metadata_fresh();
    if scope.group.has_partition_metadata() {
        scope.record(ConsumerRecord::PartitionMetadata { present: false });
    }
}

/// Computes a new target if the group's epoch is ahead of it.
pub(super) fn update_target(scope: &mut Scope<'_, '_>) {
    let group = &*scope.group;
    if group.epoch() <= group.target().epoch {
        return;
    }
    let image = scope.transition.topics.image();
    let spec = |member: &ConsumerMember| {
        let spec = MemberSpec {
            instance: member.metadata.instance.clone(),
            topics: group.topic_ids_of(member, image),
        };
        (member.id.clone(), spec)
    };
    let spec = GroupSpec {
        members: group.members().map(spec).collect(),
        same_topics: group.has_same_topics(),
        target: group.target(),
        topics: image,
    };
    let settings = &scope.transition.settings.consumer;
    let preferred = group.preferred_assignor();
    let assignor = preferred
        .filter(|preferred| settings.assignors.contains(preferred))
        .unwrap_or_else(|| settings.default_assignor());
    let mut assignment = assignor.assign(&spec);

    let mut changed = Vec::new();
    for member in group.members() {
        let partitions = assignment.remove(&member.id).unwrap_or_default();
        if group.target().get(&member.id) != Some(&partitions) {
            changed.push(ConsumerRecord::Target {
                member: member.id.clone(),
                value: Some(partitions),
            });
        }
    }
    let epoch = group.epoch();
    for record in changed {
        scope.record(record);
    }
    scope.record(ConsumerRecord::TargetEpoch(Some(epoch)));
}

/// Brings the member one step nearer to its target, and returns what it has then.
pub(super) fn reconcile(
    scope: &mut Scope<'_, '_>,
    id: &MemberId,
    owned: Option<&TopicPartitions>,
    subscription_changed: bool,
) -> CurrentAssignment {
    let member = scope
        .group
        .member(id)
        .expect("the member's metadata was recorded before")
        .clone();
    let step = Step {
        owned,
        subscription_changed,
        topics: scope.transition.topics.image(),
    };
    let next = next_assignment(scope.group, &member, step);
    if next != member.current {
        scope.record(ConsumerRecord::Current {
            member: id.clone(),
            value: Some(next.clone()),
        });
        let member = ConsumerMember {
            current: next.clone(),
            ..member
        };
        if !member.uses_classic_protocol() {
            scope.watch_revocation(&member);
        }
    }
    next
}
