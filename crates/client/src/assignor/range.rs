//! Range: each topic by itself, neighbouring partitions to each member (`RangeAssignor.java`). The first members take
//! one more where the division leaves a rest. Racks (KIP-881) are not looked at.

use std::sync::Arc;

use super::{
    Assignments, MemberSubscription, PartitionCounts, TopicPartition, members_by_topic,
    partitions_of,
};

pub(super) fn assign(members: &[&MemberSubscription], counts: &PartitionCounts) -> Assignments {
    let mut assignments = Assignments::new();
    for (topic, wanting) in members_by_topic(members, counts) {
        let mut partitions = partitions_of(&topic, counts);
        let each = partitions.len() / wanting.len();
        let rest = partitions.len() % wanting.len();
        for (position, member) in wanting.iter().enumerate() {
            let share = each + usize::from(position < rest);
            assignments
                .entry(member.member_id.clone())
                .or_default()
                .extend(
                    partitions
                        .by_ref()
                        .take(share)
                        .map(|partition| TopicPartition::new(Arc::clone(&topic), partition)),
                );
        }
    }
    assignments
}
