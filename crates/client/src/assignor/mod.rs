//! How the leader of a classic group shares the partitions: range, round robin, sticky (KIP-54) and cooperative sticky
//! (KIP-429).
//!
//! Invariants, checked by properties in the tests: every partition of a topic that somebody subscribes to goes to
//! exactly one member that subscribes to it, except that a cooperative round leaves out the partitions that change
//! their owner; an assignor's result does not depend on the order in which members are listed.

mod range;
mod round_robin;
mod sticky;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A partition of a topic, as assignors and consumers name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The number of the partition.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition by topic and number.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

/// `topic-partition`, as Kafka prints partitions.
impl fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.partition)
    }
}

/// What the leader knows about a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSubscription {
    /// The id the coordinator gave to it.
    pub member_id: String,
    /// `group.instance.id` of a static member (KIP-345).
    pub group_instance_id: Option<String>,
    /// The topics it wants.
    pub topics: Vec<Arc<str>>,
    /// What it owned in `generation_id`, for the sticky assignors.
    pub owned: Vec<TopicPartition>,
    /// The generation in which it owned that; -1 if it does not say.
    pub generation_id: i32,
}

/// Partition counts of the topics that exist.
pub type PartitionCounts = BTreeMap<Arc<str>, u32>;

/// Partitions by member id, each list sorted.
pub type Assignments = BTreeMap<String, Vec<TopicPartition>>;

/// A way to share the partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Assignor {
    /// Neighbouring partitions of each topic to each member; Kafka's default.
    Range,
    /// All partitions in turn.
    RoundRobin,
    /// Balanced, and as little moved as possible; everybody stops during a rebalance.
    Sticky,
    /// Like sticky, but members keep what does not move during a rebalance.
    CooperativeSticky,
}

impl Assignor {
    /// All of them, in the order in which they are tried by name.
    pub const ALL: [Self; 4] = [
        Self::Range,
        Self::RoundRobin,
        Self::Sticky,
        Self::CooperativeSticky,
    ];

    /// The name on the wire (`AbstractPartitionAssignor.name`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Whether members keep their partitions while the group rebalances (KIP-429).
    pub const fn is_cooperative(self) -> bool {
        matches!(self, Self::CooperativeSticky)
    }

    /// Shares the partitions of the subscribed topics. Topics without an entry in `counts` are left out.
    pub fn assign(self, members: &[MemberSubscription], counts: &PartitionCounts) -> Assignments {
        let mut members: Vec<&MemberSubscription> = members.iter().collect();
        members.sort_by_key(|member| order_of(member));
        let mut assignments = match self {
            Self::Range => range::assign(&members, counts),
            Self::RoundRobin => round_robin::assign(&members, counts),
            Self::Sticky => sticky::assign(&members, counts),
            Self::CooperativeSticky => {
                sticky::without_moved(sticky::assign(&members, counts), &members)
            }
        };
        for member in &members {
            assignments.entry(member.member_id.clone()).or_default();
        }
        for partitions in assignments.values_mut() {
            partitions.sort();
        }
        assignments
    }
}

impl fmt::Display for Assignor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// No assignor has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no assignor is called '{name}'; there are range, roundrobin, sticky and cooperative-sticky"
)]
pub struct UnknownAssignor {
    /// What was asked for.
    pub name: String,
}

impl FromStr for Assignor {
    type Err = UnknownAssignor;

    fn from_str(name: &str) -> Result<Self, UnknownAssignor> {
        Self::ALL
            .into_iter()
            .find(|assignor| assignor.name() == name)
            .ok_or_else(|| UnknownAssignor {
                name: name.to_owned(),
            })
    }
}

/// Static members first, by instance id, then the others by member id (`AbstractPartitionAssignor.MemberInfo`).
fn order_of(member: &MemberSubscription) -> (bool, &str) {
    match &member.group_instance_id {
        Some(instance) => (false, instance),
        None => (true, &member.member_id),
    }
}

/// The members that want each topic, in the order given; only topics that exist.
fn members_by_topic<'a>(
    members: &[&'a MemberSubscription],
    counts: &PartitionCounts,
) -> BTreeMap<Arc<str>, Vec<&'a MemberSubscription>> {
    let mut by_topic: BTreeMap<Arc<str>, Vec<&MemberSubscription>> = BTreeMap::new();
    for member in members {
        for topic in &member.topics {
            if counts.contains_key(topic) {
                let wanting = by_topic.entry(Arc::clone(topic)).or_default();
                // A topic listed twice is wanted once.
                if wanting
                    .last()
                    .is_none_or(|last| last.member_id != member.member_id)
                {
                    wanting.push(member);
                }
            }
        }
    }
    by_topic
}

/// The numbers of the partitions of a topic.
fn partitions_of(topic: &str, counts: &PartitionCounts) -> std::ops::Range<i32> {
    let count = counts.get(topic).copied().unwrap_or_default();
    0..i32::try_from(count).unwrap_or(i32::MAX)
}
