//! Round robin: all partitions of all topics in order, members in turn; a member that does not want the topic is passed
//! over (`RoundRobinAssignor.java`).

use std::sync::Arc;

use super::{
    Assignments, MemberSubscription, PartitionCounts, TopicPartition, members_by_topic,
    partitions_of,
};

pub(super) fn assign(members: &[&MemberSubscription], counts: &PartitionCounts) -> Assignments {
    let mut assignments = Assignments::new();
    let mut turn = 0;
    for topic in members_by_topic(members, counts).keys() {
        for partition in partitions_of(topic, counts) {
            // Ends, because the topic is only listed if somebody wants it.
            let member = loop {
                let member = members[turn % members.len()];
                turn += 1;
                if member.topics.contains(topic) {
                    break member;
                }
            };
            assignments
                .entry(member.member_id.clone())
                .or_default()
                .push(TopicPartition::new(Arc::clone(topic), partition));
        }
    }
    assignments
}
