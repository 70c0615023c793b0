//! The `uniform` assignor where everybody is subscribed to the same topics
//! (`UniformHomogeneousAssignmentBuilder.java`).
//!
//! 1. Every member has a quota: all partitions divided by the members, and one more for as many as the remainder says.
//! 2. Members keep what they have up to their quota; an extra partition goes first to those that have it already.
//! 3. What nobody has fills up the members below their quota, in order.

use types::{MemberId, PartitionIndex, TopicId};

use super::{GroupAssignment, GroupSpec};
use crate::group::modern::partitions::TopicPartitions;

struct Unfilled<'a> {
    member: &'a MemberId,
    remaining: usize,
}

pub(super) fn assign(group: &GroupSpec<'_>) -> GroupAssignment {
    let Some(subscribed) = group.members.values().next().map(|member| &member.topics) else {
        return GroupAssignment::new();
    };
    if subscribed.is_empty() {
        return GroupAssignment::new();
    }
    let mut unassigned: Vec<(TopicId, PartitionIndex)> = Vec::new();
    let mut total = 0;
    for topic in subscribed {
        let partitions = group.partitions(*topic);
        total += partitions.len();
        let free = partitions.filter(|partition| group.target.owner(*topic, *partition).is_none());
        unassigned.extend(free.map(|partition| (*topic, partition)));
    }

    let count = group.members.len();
    let quota_min = total / count;
    let mut extras = total % count;
    let mut assignment = GroupAssignment::new();
    let mut unfilled = Vec::new();
    for (position, member) in group.members.keys().enumerate() {
        let mut takes_extra = extras > 0;
        let mut quota = quota_min + usize::from(takes_extra);
        let mut kept = TopicPartitions::new();
        for (topic, partitions) in group.target.member(member).topics() {
            if !subscribed.contains(&topic) {
                continue;
            }
            let fitting = quota.min(partitions.len());
            quota -= fitting;
            let (keep, give) = split(partitions.iter().copied(), fitting);
            kept.extend_from(keep.into_iter().map(|partition| (topic, partition)));
            unassigned.extend(give.into_iter().map(|partition| (topic, partition)));
        }
        if quota > 0 && takes_extra && count - position > extras {
            // Somebody after this one may have it already.
            quota -= 1;
            takes_extra = false;
        }
        if quota > 0 {
            unfilled.push(Unfilled {
                member,
                remaining: quota,
            });
        }
        extras -= usize::from(takes_extra);
        assignment.insert(member.clone(), kept);
    }

    let mut unassigned = unassigned.into_iter();
    for Unfilled { member, remaining } in unfilled {
        if let Some(assigned) = assignment.get_mut(member) {
            assigned.extend_from(unassigned.by_ref().take(remaining));
        }
    }
    assignment
}

/// The first `count`, and the rest.
fn split(
    partitions: impl Iterator<Item = PartitionIndex>,
    count: usize,
) -> (Vec<PartitionIndex>, Vec<PartitionIndex>) {
    let mut keep: Vec<_> = partitions.collect();
    let give = keep.split_off(count);
    (keep, give)
}
