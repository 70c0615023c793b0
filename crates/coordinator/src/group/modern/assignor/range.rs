//! The `range` assignor.
//!
//! Members come in a fixed order, static ones first by their instance ids. Each topic is cut into as many neighbouring
//! ranges as it has subscribers, the first ones one longer where it does not divide evenly. So members that are
//! subscribed to the same topics get the same indexes of topics with equally many partitions.

use std::collections::HashMap;

use types::{MemberId, PartitionIndex, TopicId};

use super::{GroupAssignment, GroupSpec, MemberSpec};
use crate::group::modern::partitions::TopicPartitions;

/// What is left of a topic, and how to cut it.
struct Remaining {
    partitions: std::vec::IntoIter<PartitionIndex>,
    quota: usize,
    /// How many members get one more.
    longer: usize,
}

pub(super) fn assign(group: &GroupSpec<'_>) -> GroupAssignment {
    let mut members: Vec<(&MemberId, &MemberSpec)> = group.members.iter().collect();
    // Members with an instance id first, in its order; the others keep the order of their ids.
    members.sort_by_key(|(id, member)| {
        let instance = member.instance.as_ref();
        (instance.is_none(), instance, *id)
    });

    let mut subscribers: HashMap<TopicId, usize> = HashMap::new();
    for topic in members.iter().flat_map(|(_, member)| &member.topics) {
        *subscribers.entry(*topic).or_default() += 1;
    }
    let cut = |(topic, subscribers): (TopicId, usize)| {
        let partitions: Vec<_> = group.partitions(topic).collect();
        let remaining = Remaining {
            quota: partitions.len() / subscribers,
            longer: partitions.len() % subscribers,
            partitions: partitions.into_iter(),
        };
        (topic, remaining)
    };
    let mut topics: HashMap<TopicId, Remaining> = subscribers.into_iter().map(cut).collect();

    let mut assignment = GroupAssignment::new();
    for (id, member) in members {
        let mut assigned = TopicPartitions::new();
        for topic in &member.topics {
            let Some(remaining) = topics.get_mut(topic) else {
                continue;
            };
            let is_longer = remaining.longer > 0;
            remaining.longer -= usize::from(is_longer);
            let count = remaining.quota + usize::from(is_longer);
            let range = remaining.partitions.by_ref().take(count);
            assigned.extend_from(range.map(|partition| (*topic, partition)));
        }
        assignment.insert(id.clone(), assigned);
    }
    assignment
}
