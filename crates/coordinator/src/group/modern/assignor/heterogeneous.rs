//! The `uniform` assignor where members are subscribed to different topics
//! (`UniformHeterogeneousAssignmentBuilder.java`).
//!
//! 1. Members keep what they have of the topics they are subscribed to.
//! 2. Partitions nobody has go to the least loaded subscriber, topic by topic, the scarcest topics first.
//! 3. Each topic is balanced among its subscribers, again and again until nothing moves or a limit is reached.

use std::collections::HashMap;

use types::{MemberId, PartitionIndex, TopicId};

use super::balancer::{Balancer, MemberNumber};
use super::{GroupAssignment, GroupSpec};
use crate::group::modern::partitions::TopicPartitions;

/// How often all topics are gone through (Kafka's `MAX_ITERATION_COUNT`).
const ROUNDS_MAX: usize = 16;

struct TopicState {
    id: TopicId,
    subscribers: Vec<MemberNumber>,
    /// Who shall have each partition.
    owners: Vec<Option<MemberNumber>>,
}

struct Assignment<'a> {
    members: Vec<&'a MemberId>,
    topics: Vec<TopicState>,
    /// How many partitions each member has.
    sizes: Vec<usize>,
    balancer: Balancer,
}

pub(super) fn assign(group: &GroupSpec<'_>) -> GroupAssignment {
    let mut assignment = Assignment::new(group);
    if assignment.topics.is_empty() {
        return GroupAssignment::new();
    }
    assignment.keep(group);
    assignment.assign_unassigned();
    assignment.balance();
    assignment.finish()
}

impl<'a> Assignment<'a> {
    fn new(group: &'a GroupSpec<'_>) -> Self {
        let mut subscribers: HashMap<TopicId, Vec<MemberNumber>> = HashMap::new();
        for (number, member) in group.members.values().enumerate() {
            for topic in &member.topics {
                subscribers.entry(*topic).or_default().push(number);
            }
        }
        let topic = |(id, subscribers)| TopicState {
            id,
            subscribers,
            owners: vec![None; group.partitions(id).len()],
        };
        let mut topics: Vec<TopicState> = subscribers.into_iter().map(topic).collect();
        // Most partitions per subscriber first, then fewest subscribers, then by id. Fractions are compared crosswise.
        topics.sort_by(|left, right| {
            let partitions = |topic: &TopicState| topic.owners.len() as u128;
            let subscribers = |topic: &TopicState| topic.subscribers.len() as u128;
            let of_left = partitions(left) * subscribers(right);
            let of_right = partitions(right) * subscribers(left);
            of_right
                .cmp(&of_left)
                .then(left.subscribers.len().cmp(&right.subscribers.len()))
                .then(left.id.cmp(&right.id))
        });
        Self {
            members: group.members.keys().collect(),
            sizes: vec![0; group.members.len()],
            topics,
            balancer: Balancer::default(),
        }
    }

    fn keep(&mut self, group: &GroupSpec<'_>) {
        for topic in &mut self.topics {
            for number in &topic.subscribers {
                let member = self.members.get(*number);
                let kept = member.and_then(|member| group.target.member(member).topic(topic.id));
                for partition in kept.into_iter().flatten() {
                    if let Some(owner) = slot(&mut topic.owners, *partition) {
                        // Members of an old target that shared a partition: the last one has it.
                        if let Some(before) = owner.replace(*number) {
                            self.sizes[before] -= 1;
                        }
                        self.sizes[*number] += 1;
                    }
                }
            }
        }
    }

    fn assign_unassigned(&mut self) {
        for topic in &mut self.topics {
            if topic.owners.iter().all(Option::is_some) {
                continue;
            }
            self.balancer.initialize(&topic.subscribers, &self.sizes);
            for owner in topic.owners.iter_mut().filter(|owner| owner.is_none()) {
                let Some(member) = self.balancer.next_least_loaded(&self.sizes) else {
                    continue;
                };
                *owner = Some(member);
                self.sizes[member] += 1;
            }
        }
    }

    fn balance(&mut self) {
        let movable: Vec<usize> = (0..self.topics.len())
            .filter(|index| self.topics[*index].subscribers.len() >= 2)
            .collect();
        // The topic in which something moved last: when it comes round again, nothing more will move.
        let mut last_moved = None;
        for _round in 0..ROUNDS_MAX {
            for index in &movable {
                if last_moved == Some(*index) {
                    return;
                }
                let moved = self.balance_topic(*index);
                if moved > 0 || last_moved.is_none() {
                    last_moved = Some(*index);
                }
            }
        }
    }

    /// Moves partitions of one topic from the most to the least loaded of its subscribers; returns how many.
    fn balance_topic(&mut self, index: usize) -> usize {
        let Self {
            topics,
            sizes,
            balancer,
            ..
        } = self;
        let topic = &mut topics[index];
        if balancer.initialize(&topic.subscribers, sizes) <= 1 {
            return 0;
        }
        // What each member has now, in order: it gives up its last.
        let mut owned: HashMap<MemberNumber, Vec<usize>> = HashMap::new();
        for (partition, owner) in topic.owners.iter().enumerate() {
            if let Some(owner) = owner {
                owned.entry(*owner).or_default().push(partition);
            }
        }
        let mut moved = 0;
        while !balancer.is_balanced() {
            let Some((giver, partition)) = next_to_move(balancer, &mut owned, sizes) else {
                break;
            };
            let Some(taker) = balancer.next_least_loaded(sizes) else {
                break;
            };
            if balancer.is_balanced() {
                break;
            }
            topic.owners[partition] = Some(taker);
            sizes[giver] -= 1;
            sizes[taker] += 1;
            moved += 1;
        }
        moved
    }

    fn finish(self) -> GroupAssignment {
        let mut assigned = vec![TopicPartitions::new(); self.members.len()];
        for topic in &self.topics {
            for (index, owner) in topic.owners.iter().enumerate() {
                let partition = i32::try_from(index).ok().and_then(PartitionIndex::new);
                if let (Some(owner), Some(partition)) = (owner, partition) {
                    assigned[*owner].insert(topic.id, partition);
                }
            }
        }
        let members = self.members.into_iter().cloned();
        members.zip(assigned).collect()
    }
}

/// The most loaded member that has a partition to give up, and that partition.
fn next_to_move(
    balancer: &mut Balancer,
    owned: &mut HashMap<MemberNumber, Vec<usize>>,
    sizes: &[usize],
) -> Option<(MemberNumber, usize)> {
    loop {
        let member = balancer.next_most_loaded(sizes)?;
        match owned.get_mut(&member).and_then(Vec::pop) {
            Some(partition) => return Some((member, partition)),
            None => balancer.exclude_most_loaded(),
        }
    }
}

fn slot(
    owners: &mut [Option<MemberNumber>],
    partition: PartitionIndex,
) -> Option<&mut Option<MemberNumber>> {
    owners.get_mut(usize::try_from(partition.value()).ok()?)
}
