//! Sticky: members keep what they own as far as balance allows (KIP-54), in three steps: believe the newest claims, hand
//! the rest to the least loaded, then move single partitions from the most loaded to less loaded members.
//!
//! Invariant: the third step ends, because each move lowers the sum of the squares of the loads. Where all members want
//! the same topics, loads differ by at most one in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{
    Assignments, MemberSubscription, PartitionCounts, TopicPartition, members_by_topic,
    partitions_of,
};

pub(super) fn assign(members: &[&MemberSubscription], counts: &PartitionCounts) -> Assignments {
    let wanting = members_by_topic(members, counts);
    let mut shares = Shares::new(members);
    shares.keep_owned(members, counts);
    shares.hand_out(&wanting, counts);
    shares.balance(members, &wanting);
    shares
        .by_member
        .into_iter()
        .map(|(member, partitions)| (member.to_owned(), partitions.into_iter().collect()))
        .collect()
}

/// Leaves out what somebody else still owns: the owner gives it up in this round, the new owner gets it in the next
/// (`CooperativeStickyAssignor.adjustAssignment`).
pub(super) fn without_moved(
    mut assignments: Assignments,
    members: &[&MemberSubscription],
) -> Assignments {
    let owners = newest_claims(members);
    for (member_id, partitions) in &mut assignments {
        partitions.retain(|partition| {
            owners
                .get(partition)
                .is_none_or(|owner| owner.member_id == *member_id)
        });
    }
    assignments
}

/// Who owns what; of two claims the one with the newer generation, and of two of one generation neither (KIP-792).
fn newest_claims<'a>(
    members: &[&'a MemberSubscription],
) -> BTreeMap<&'a TopicPartition, &'a MemberSubscription> {
    let mut claims: BTreeMap<&TopicPartition, (i32, Option<&MemberSubscription>)> = BTreeMap::new();
    for member in members {
        for partition in &member.owned {
            let claim = claims
                .entry(partition)
                .or_insert((member.generation_id, Some(member)));
            let same = claim
                .1
                .is_some_and(|owner| owner.member_id == member.member_id);
            if member.generation_id > claim.0 {
                *claim = (member.generation_id, Some(member));
            } else if member.generation_id == claim.0 && !same {
                claim.1 = None;
            }
        }
    }
    claims
        .into_iter()
        .filter_map(|(partition, (_, owner))| Some((partition, owner?)))
        .collect()
}

/// Who gets what so far.
struct Shares<'a> {
    by_member: BTreeMap<&'a str, BTreeSet<TopicPartition>>,
    taken: BTreeSet<TopicPartition>,
}

impl<'a> Shares<'a> {
    fn new(members: &[&'a MemberSubscription]) -> Self {
        Self {
            by_member: members
                .iter()
                .map(|member| (member.member_id.as_str(), BTreeSet::new()))
                .collect(),
            taken: BTreeSet::new(),
        }
    }

    fn give(&mut self, member: &'a str, partition: TopicPartition) {
        self.taken.insert(partition.clone());
        self.by_member.entry(member).or_default().insert(partition);
    }

    fn load(&self, member: &str) -> usize {
        self.by_member.get(member).map_or(0, BTreeSet::len)
    }

    fn keep_owned(&mut self, members: &[&'a MemberSubscription], counts: &PartitionCounts) {
        for (partition, owner) in newest_claims(members) {
            let exists = partitions_of(&partition.topic, counts).contains(&partition.partition);
            if exists && owner.topics.contains(&partition.topic) {
                self.give(&owner.member_id, partition.clone());
            }
        }
    }

    fn hand_out(
        &mut self,
        wanting: &BTreeMap<Arc<str>, Vec<&'a MemberSubscription>>,
        counts: &PartitionCounts,
    ) {
        // Topics that few members want first: they have the least choice.
        let mut topics: Vec<_> = wanting.iter().collect();
        topics.sort_by_key(|(topic, members)| (members.len(), Arc::clone(topic)));
        for (topic, members) in topics {
            for number in partitions_of(topic, counts) {
                let partition = TopicPartition::new(Arc::clone(topic), number);
                if self.taken.contains(&partition) {
                    continue;
                }
                if let Some(member) = members
                    .iter()
                    .min_by_key(|member| self.load(&member.member_id))
                {
                    self.give(&member.member_id, partition);
                }
            }
        }
    }

    fn balance(
        &mut self,
        members: &[&'a MemberSubscription],
        wanting: &BTreeMap<Arc<str>, Vec<&'a MemberSubscription>>,
    ) {
        while let Some((partition, from, to)) = self.improvement(members, wanting) {
            if let Some(share) = self.by_member.get_mut(from) {
                share.remove(&partition);
            }
            self.by_member.entry(to).or_default().insert(partition);
        }
    }

    /// A partition whose move makes two loads more equal, looked for from the most loaded member down.
    fn improvement(
        &self,
        members: &[&'a MemberSubscription],
        wanting: &BTreeMap<Arc<str>, Vec<&'a MemberSubscription>>,
    ) -> Option<(TopicPartition, &'a str, &'a str)> {
        let mut loaded: Vec<&'a str> = members
            .iter()
            .map(|member| member.member_id.as_str())
            .collect();
        loaded.sort_by_key(|member| std::cmp::Reverse(self.load(member)));
        for from in loaded {
            let load = self.load(from);
            for partition in self.by_member.get(from)? {
                let Some(candidates) = wanting.get(&partition.topic) else {
                    continue;
                };
                let lightest = candidates
                    .iter()
                    .map(|member| member.member_id.as_str())
                    .min_by_key(|member| self.load(member))?;
                if self.load(lightest) + 1 < load {
                    return Some((partition.clone(), from, lightest));
                }
            }
        }
        None
    }
}
