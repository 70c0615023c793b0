//! How the partitions of the subscribed topics are shared among members: what an assignor is given, and which there are.
//!
//! Invariant: an assignor gives every partition of every subscribed topic to exactly one member that is subscribed to
//! the topic, and is a function of its input alone. Where Kafka goes through a hash map, members and topics come here in
//! the order of their ids, so results equal Kafka's up to that order.
//!
//! After `assignor/*.java` and `api/assignor/*.java` of Kafka's group coordinator. Racks are not considered, as in Kafka
//! since 4.0.

mod balancer;
mod heterogeneous;
mod homogeneous;
mod range;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use types::{InstanceId, MemberId, PartitionIndex, TopicId};

use super::partitions::TopicPartitions;
use super::target::TargetAssignment;
use super::topics::TopicsImage;

/// An assignor of consumer groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assignor {
    /// The same number of partitions for everybody, moving as few as possible (`UniformAssignor.java`).
    Uniform,
    /// Neighbouring partitions of each topic to each member, the same indexes in topics of the same size
    /// (`RangeAssignor.java`).
    Range,
}

impl Assignor {
    /// The assignor of this name, as `group.consumer.assignors` and clients write it.
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Uniform, Self::Range]
            .into_iter()
            .find(|assignor| assignor.name() == name)
    }

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// What each member shall have. Members without an entry get nothing.
    pub(crate) fn assign(self, group: &GroupSpec<'_>) -> GroupAssignment {
        if group.members.is_empty() {
            return GroupAssignment::new();
        }
        match (self, group.same_topics) {
            (Self::Uniform, true) => homogeneous::assign(group),
            (Self::Uniform, false) => heterogeneous::assign(group),
            (Self::Range, _) => range::assign(group),
        }
    }
}

impl fmt::Display for Assignor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What each member shall have.
pub(crate) type GroupAssignment = BTreeMap<MemberId, TopicPartitions>;

/// A member as an assignor sees it.
#[derive(Clone, Debug)]
pub(crate) struct MemberSpec {
    /// Its static name, if it has one.
    pub(crate) instance: Option<InstanceId>,
    /// The topics it is subscribed to; all of them exist.
    pub(crate) topics: BTreeSet<TopicId>,
}

/// A group as an assignor sees it.
#[derive(Debug)]
pub(crate) struct GroupSpec<'a> {
    /// The members.
    pub(crate) members: BTreeMap<MemberId, MemberSpec>,
    /// Whether everybody is subscribed to the same topics.
    pub(crate) same_topics: bool,
    /// What everybody shall have until now.
    pub(crate) target: &'a TargetAssignment,
    /// The topics of the cluster.
    pub(crate) topics: &'a TopicsImage,
}

impl GroupSpec<'_> {
    /// The partitions of a topic; none if it is unknown.
    fn partitions(&self, topic: TopicId) -> impl ExactSizeIterator<Item = PartitionIndex> + use<> {
        let count = self.topics.by_id(topic).map_or(0, |topic| topic.partitions);
        let index =
            |index| PartitionIndex::new(index).expect("a range from zero has no negative index");
        (0..count.max(0)).map(index)
    }
}

#[cfg(test)]
mod tests;
