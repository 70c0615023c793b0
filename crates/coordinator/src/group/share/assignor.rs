//! Who shall read what: the assignor `simple`, the only one for share groups.
//!
//! Every partition is read by about as many members as every other, every member reads about as many partitions as
//! every other, and as little as possible changes. Members that want the same topics share all partitions together;
//! otherwise each topic is shared by those who want it. Where Kafka follows the order of its hash tables, members and
//! partitions go in order of their ids here.
//!
//! Source: `SimpleAssignor`, `SimpleHomogeneousAssignmentBuilder`, `SimpleHeterogeneousAssignmentBuilder`.

use std::collections::{BTreeMap, BTreeSet};

use types::{MemberId, PartitionIndex, TopicId};

use crate::group::modern::partitions::TopicPartitions;

/// A member, as the assignor sees it.
#[derive(Clone, Debug)]
pub(crate) struct Applicant {
    pub(crate) id: MemberId,
    /// What it wants, as far as it exists.
    pub(crate) topics: BTreeSet<TopicId>,
    /// What it was to have before.
    pub(crate) before: TopicPartitions,
}

type Partition = (TopicId, PartitionIndex);

/// The new target of every member.
pub(crate) fn assign(
    members: &[Applicant],
    assignable: &TopicPartitions,
) -> BTreeMap<MemberId, TopicPartitions> {
    let same_topics = members
        .windows(2)
        .all(|pair| pair[0].topics == pair[1].topics);
    let wanted: BTreeSet<TopicId> = members
        .iter()
        .flat_map(|member| member.topics.iter().copied())
        .collect();
    let everybody: Vec<usize> = (0..members.len()).collect();
    let mut target = vec![TopicPartitions::new(); members.len()];
    if same_topics {
        let partitions = assignable
            .iter()
            .filter(|(topic, _)| wanted.contains(topic))
            .collect();
        Sharing::new(members, &everybody, partitions).share(&mut target);
    } else {
        for topic in wanted {
            let applicants: Vec<usize> = everybody
                .iter()
                .copied()
                .filter(|index| {
                    members
                        .get(*index)
                        .is_some_and(|member| member.topics.contains(&topic))
                })
                .collect();
            let partitions = assignable.iter().filter(|(of, _)| *of == topic).collect();
            Sharing::new(members, &applicants, partitions).share(&mut target);
        }
    }
    members
        .iter()
        .map(|member| member.id.clone())
        .zip(target)
        .collect()
}

/// Some partitions, shared among some members.
struct Sharing {
    partitions: Vec<Partition>,
    /// How many members read a partition.
    per_partition: usize,
    /// How many partitions each member reads, by the member's index.
    per_member: BTreeMap<usize, usize>,
    by_member: BTreeMap<usize, BTreeSet<Partition>>,
    by_partition: BTreeMap<Partition, BTreeSet<usize>>,
}

impl Sharing {
    fn new(members: &[Applicant], applicants: &[usize], partitions: Vec<Partition>) -> Self {
        let (partition_count, member_count) = (partitions.len(), applicants.len());
        let per_partition = match partition_count {
            0 => 0,
            count => member_count.div_ceil(count),
        };
        // The seats are dealt to the members as evenly as whole numbers allow.
        let seats = per_partition * partition_count;
        let dealt = |rank: usize| (seats * rank).div_ceil(member_count.max(1));
        let per_member = applicants
            .iter()
            .enumerate()
            .map(|(rank, index)| (*index, dealt(rank + 1) - dealt(rank)))
            .collect();
        let mut sharing = Self {
            by_partition: partitions
                .iter()
                .map(|partition| (*partition, BTreeSet::new()))
                .collect(),
            partitions,
            per_partition,
            per_member,
            by_member: BTreeMap::new(),
        };
        for index in applicants {
            let before = members.get(*index).map(|member| &member.before);
            for partition in before.into_iter().flat_map(TopicPartitions::iter) {
                sharing.give(*index, partition);
            }
        }
        sharing
    }

    /// Gives a partition to a member, if it is one of these.
    fn give(&mut self, member: usize, partition: Partition) {
        if let Some(readers) = self.by_partition.get_mut(&partition) {
            readers.insert(member);
            self.by_member.entry(member).or_default().insert(partition);
        }
    }

    fn take(&mut self, member: usize, partition: Partition) {
        if let Some(readers) = self.by_partition.get_mut(&partition) {
            readers.remove(&member);
        }
        if let Some(partitions) = self.by_member.get_mut(&member) {
            partitions.remove(&partition);
        }
    }

    fn count(&self, member: usize) -> usize {
        self.by_member.get(&member).map_or(0, BTreeSet::len)
    }

    fn share(mut self, target: &mut [TopicPartitions]) {
        self.relieve_members();
        self.relieve_partitions();
        self.fill();
        for (member, partitions) in self.by_member {
            if let Some(target) = target.get_mut(member) {
                target.extend_from(partitions);
            }
        }
    }

    /// Members with too much lose their first partitions.
    fn relieve_members(&mut self) {
        let mut lost = Vec::new();
        for (member, partitions) in &self.by_member {
            let desired = self.per_member.get(member).copied().unwrap_or(0);
            let surplus = partitions.len().saturating_sub(desired);
            lost.extend(
                partitions
                    .iter()
                    .take(surplus)
                    .map(|partition| (*member, *partition)),
            );
        }
        for (member, partition) in lost {
            self.take(member, partition);
        }
    }

    /// Partitions with too many readers lose their first ones.
    fn relieve_partitions(&mut self) {
        let mut lost = Vec::new();
        for (partition, readers) in &self.by_partition {
            let surplus = readers.len().saturating_sub(self.per_partition);
            lost.extend(
                readers
                    .iter()
                    .take(surplus)
                    .map(|member| (*member, *partition)),
            );
        }
        for (member, partition) in lost {
            self.take(member, partition);
        }
    }

    /// Partitions with too few readers get members that want more, in turn.
    fn fill(&mut self) {
        let unfilled = self
            .per_member
            .iter()
            .filter(|(member, desired)| self.count(**member) < **desired)
            .map(|(member, _)| *member);
        let mut unfilled: Vec<usize> = unfilled.collect();
        let mut turn = 0;
        for partition in self.partitions.clone() {
            let mut skipped = 0;
            while skipped < unfilled.len() && self.readers(partition) < self.per_partition {
                turn = if turn >= unfilled.len() { 0 } else { turn };
                let Some(member) = unfilled.get(turn).copied() else {
                    break;
                };
                let reads = |readers: &BTreeSet<usize>| readers.contains(&member);
                if self.by_partition.get(&partition).is_some_and(reads) {
                    turn += 1;
                    skipped += 1;
                    continue;
                }
                self.give(member, partition);
                skipped = 0;
                let desired = self.per_member.get(&member).copied().unwrap_or(0);
                if self.count(member) >= desired {
                    unfilled.remove(turn);
                } else {
                    turn += 1;
                }
            }
        }
    }

    fn readers(&self, partition: Partition) -> usize {
        self.by_partition.get(&partition).map_or(0, BTreeSet::len)
    }
}
