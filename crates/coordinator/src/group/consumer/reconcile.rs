//! A member's next step from what it has to what it shall have (`CurrentAssignmentBuilder.java`).
//!
//! Invariants: a member is given only partitions that nobody else has; it keeps its epoch until it has given back what
//! it shall not have; it takes the target's epoch as soon as it has, even if it must wait for others.

use types::{MemberId, PartitionIndex, TopicId};

use super::member::ConsumerMember;
use super::record::{CurrentAssignment, MemberState};
use super::state::ConsumerGroup;
use crate::group::modern::epoch::Epoch;
use crate::group::modern::partitions::TopicPartitions;
use crate::group::modern::topics::TopicsImage;

/// What decides the step besides the group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    /// What the member says it has; `None` if it did not say.
    pub(super) owned: Option<&'a TopicPartitions>,
    /// Whether its subscription has changed.
    pub(super) subscription_changed: bool,
    /// The topics of the cluster.
    pub(super) topics: &'a TopicsImage,
}

/// Whether a member whose state this broker does not know may go on: only by beginning anew.
pub(super) fn may_continue(member: &ConsumerMember, owned: Option<&TopicPartitions>) -> bool {
    member.current.state != MemberState::Unknown || owned.is_some_and(TopicPartitions::is_empty)
}

/// What the member has after the step.
pub(super) fn next_assignment(
    group: &ConsumerGroup,
    member: &ConsumerMember,
    step: Step<'_>,
) -> CurrentAssignment {
    let target_epoch = group.target().epoch;
    if !step.subscription_changed && member.is_reconciled_to(target_epoch) {
        return member.current.clone();
    }
    let reconciliation = Reconciliation {
        group,
        member,
        step,
    };
    let current = &member.current;
    match current.state {
        MemberState::Stable if current.epoch != target_epoch.value() => {
            reconciliation.advance(current.epoch)
        }
        MemberState::Stable => reconciliation.drop_unsubscribed(),
        MemberState::UnrevokedPartitions if reconciliation.still_has(&current.revoking) => {
            if step.subscription_changed {
                reconciliation.drop_unsubscribed()
            } else {
                current.clone()
            }
        }
        MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => {
            reconciliation.advance(current.epoch)
        }
        MemberState::Unknown => reconciliation.advance(target_epoch.value()),
    }
}

struct Reconciliation<'a> {
    group: &'a ConsumerGroup,
    member: &'a ConsumerMember,
    step: Step<'a>,
}

impl Reconciliation<'_> {
    /// Whether the member still has some of `partitions`; a member that does not say has them.
    fn still_has(&self, partitions: &TopicPartitions) -> bool {
        self.step
            .owned
            .is_none_or(|owned| owned.intersects(partitions))
    }

    /// Takes back the topics that the member is not subscribed to any more, without waiting for a new target.
    fn drop_unsubscribed(&self) -> CurrentAssignment {
        let subscribed = self.group.topic_ids_of(self.member, self.step.topics);
        let current = &self.member.current;
        let mut assigned = current.assigned.clone();
        assigned.retain_topics(|topic| subscribed.contains(&topic));
        if assigned == current.assigned {
            return current.clone();
        }
        let mut revoking = current.revoking.clone();
        let dropped = |(topic, _): &(TopicId, PartitionIndex)| !subscribed.contains(topic);
        revoking.extend_from(current.assigned.iter().filter(dropped));
        if self.still_has(&revoking) {
            CurrentAssignment {
                state: MemberState::UnrevokedPartitions,
                assigned,
                revoking,
                ..current.clone()
            }
        } else {
            CurrentAssignment {
                assigned,
                ..current.clone()
            }
        }
    }

    /// Towards the target: gives back first, then takes. `epoch` is the epoch to stay in while giving back.
    fn advance(&self, epoch: i32) -> CurrentAssignment {
        let subscribed = self.group.topic_ids_of(self.member, self.step.topics);
        let current = &self.member.current;
        let mut target = self.group.target_of(self.member).clone();
        target.retain_topics(|topic| subscribed.contains(&topic));

        let (kept, revoking): (TopicPartitions, TopicPartitions) =
            partition(&current.assigned, |topic, partition| {
                target.contains(topic, partition)
            });
        let (pending, _): (TopicPartitions, TopicPartitions) =
            partition(&target, |topic, partition| !kept.contains(topic, partition));
        let id: &MemberId = &self.member.id;
        let (unreleased, free) = partition(&pending, |topic, partition| {
            self.group.is_with_another(id, topic, partition)
        });

        if !revoking.is_empty() && self.still_has(&revoking) {
            return self.step_to(epoch, MemberState::UnrevokedPartitions, kept, revoking);
        }
        let mut assigned = kept;
        assigned.extend(&free);
        let state = if unreleased.is_empty() {
            MemberState::Stable
        } else {
            MemberState::UnreleasedPartitions
        };
        let target_epoch: Epoch = self.group.target().epoch;
        self.step_to(
            target_epoch.value(),
            state,
            assigned,
            TopicPartitions::new(),
        )
    }

    fn step_to(
        &self,
        epoch: i32,
        state: MemberState,
        assigned: TopicPartitions,
        revoking: TopicPartitions,
    ) -> CurrentAssignment {
        CurrentAssignment {
            epoch,
            previous_epoch: self.member.current.epoch,
            state,
            assigned,
            revoking,
        }
    }
}

/// The partitions for which `matches` says so, and the others.
fn partition(
    partitions: &TopicPartitions,
    matches: impl Fn(TopicId, PartitionIndex) -> bool,
) -> (TopicPartitions, TopicPartitions) {
    let mut matching = TopicPartitions::new();
    let mut others = TopicPartitions::new();
    for (topic, index) in partitions.iter() {
        let set = if matches(topic, index) {
            &mut matching
        } else {
            &mut others
        };
        set.insert(topic, index);
    }
    (matching, others)
}
