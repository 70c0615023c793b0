//! Who shall have what: the assignment a group converges to.
//!
//! Invariant: `owners` holds a partition exactly if a member's target has it, and names the member that got it last;
//! so while a new target is applied member by member, no partition is lost on the way
//! (`ModernGroup.updateInvertedTargetAssignment`).

use std::collections::{BTreeMap, HashMap};

use types::{MemberId, PartitionIndex, TopicId};

use super::epoch::Epoch;
use super::partitions::TopicPartitions;

/// The target assignment of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TargetAssignment {
    /// The group epoch it was computed for.
    pub(crate) epoch: Epoch,
    by_member: BTreeMap<MemberId, TopicPartitions>,
    owners: HashMap<(TopicId, PartitionIndex), MemberId>,
}

impl TargetAssignment {
    /// What a member shall have; nothing if it is unknown.
    pub(crate) fn member(&self, member: &MemberId) -> &TopicPartitions {
        static NOTHING: TopicPartitions = TopicPartitions::new();
        self.by_member.get(member).unwrap_or(&NOTHING)
    }

    /// What a member shall have, if it was ever given a target.
    pub(crate) fn get(&self, member: &MemberId) -> Option<&TopicPartitions> {
        self.by_member.get(member)
    }

    /// Members that have a target, which may be empty.
    pub(crate) fn members(&self) -> impl ExactSizeIterator<Item = (&MemberId, &TopicPartitions)> {
        self.by_member.iter()
    }

    /// Who shall have a partition.
    pub(crate) fn owner(&self, topic: TopicId, partition: PartitionIndex) -> Option<&MemberId> {
        self.owners.get(&(topic, partition))
    }

    /// Sets what a member shall have.
    pub(crate) fn set(&mut self, member: MemberId, partitions: TopicPartitions) {
        self.release(&member, &partitions);
        for partition in partitions.iter() {
            self.owners.insert(partition, member.clone());
        }
        self.by_member.insert(member, partitions);
    }

    /// Forgets a member.
    pub(crate) fn remove(&mut self, member: &MemberId) {
        self.release(member, &TopicPartitions::new());
        self.by_member.remove(member);
    }

    /// Takes back what a member has and `kept` has not, unless somebody else got it meanwhile.
    fn release(&mut self, member: &MemberId, kept: &TopicPartitions) {
        let Some(before) = self.by_member.get(member) else {
            return;
        };
        for (topic, partition) in before.iter() {
            if !kept.contains(topic, partition)
                && self.owners.get(&(topic, partition)) == Some(member)
            {
                self.owners.remove(&(topic, partition));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> TopicId {
        TopicId::new([7; 16]).expect("not zero")
    }

    fn partitions(indexes: &[i32]) -> TopicPartitions {
        let index = |index: &i32| PartitionIndex::new(*index).expect("not negative");
        indexes.iter().map(|i| (topic(), index(i))).collect()
    }

    #[test]
    fn a_partition_that_moves_is_not_lost_whoever_comes_first() {
        for taker_first in [true, false] {
            let (a, b) = (MemberId::new("a"), MemberId::new("b"));
            let mut target = TargetAssignment::default();
            target.set(a.clone(), partitions(&[0, 1]));
            let mut steps = [(b.clone(), partitions(&[1])), (a.clone(), partitions(&[0]))];
            if !taker_first {
                steps.reverse();
            }
            for (member, partitions) in steps {
                target.set(member, partitions);
            }
            let owner = |index| target.owner(topic(), PartitionIndex::new(index).expect("index"));
            assert_eq!(owner(0), Some(&a));
            assert_eq!(owner(1), Some(&b));
            assert_eq!(target.members().count(), 2);

            target.remove(&b);
            assert_eq!(
                target.owner(topic(), PartitionIndex::new(1).expect("index")),
                None
            );
            assert!(target.member(&b).is_empty());
        }
    }
}
