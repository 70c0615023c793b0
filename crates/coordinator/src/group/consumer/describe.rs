//! ConsumerGroupDescribe (`ConsumerGroup.asDescribedGroup`).

use std::collections::BTreeSet;
use std::sync::Arc;

use types::{GroupId, InstanceId, MemberId, PartitionIndex, TopicId, TopicName};

use super::member::ConsumerMember;
use super::state::ConsumerGroup;
use crate::group::classic::member::Client;
use crate::group::modern::assignor::Assignor;
use crate::group::modern::epoch::Epoch;
use crate::group::modern::partitions::TopicPartitions;
use crate::group::modern::topics::TopicsImage;

/// One consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumerGroup {
    /// The group.
    pub group: GroupId,
    /// Its state, as Kafka's tools print it.
    pub state: &'static str,
    /// The group epoch.
    pub epoch: Epoch,
    /// The epoch of the target assignment.
    pub target_epoch: Epoch,
    /// The assignor in use.
    pub assignor: Assignor,
    /// The members, in the order of their ids.
    pub members: Vec<DescribedConsumerMember>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumerMember {
    /// The member.
    pub member: MemberId,
    /// Its static name, if it has one.
    pub instance: Option<InstanceId>,
    /// `client.rack`.
    pub rack: Option<Arc<str>>,
    /// Its epoch; −2 for a static member that has left for a while.
    pub epoch: i32,
    /// Who it said it is.
    pub client: Client,
    /// The topics it is subscribed to by name.
    pub topics: BTreeSet<TopicName>,
    /// The pattern it is subscribed to.
    pub regex: Option<Arc<str>>,
    /// What it has.
    pub assigned: Vec<DescribedPartitions>,
    /// What it shall have.
    pub target: Vec<DescribedPartitions>,
    /// Whether it speaks the classic protocol.
    pub is_classic: bool,
}

/// Partitions of one topic that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedPartitions {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The topic's name.
    pub topic: TopicName,
    /// The partitions.
    pub partitions: Vec<PartitionIndex>,
}

pub(crate) fn describe(
    group: &ConsumerGroup,
    default: Assignor,
    topics: &TopicsImage,
) -> DescribedConsumerGroup {
    let member = |member: &ConsumerMember| DescribedConsumerMember {
        member: member.id.clone(),
        instance: member.metadata.instance.clone(),
        rack: member.metadata.rack.clone(),
        epoch: member.epoch(),
        client: member.metadata.client.clone(),
        topics: member.metadata.topics.clone(),
        regex: member.metadata.regex.clone(),
        assigned: named(&member.current.assigned, topics),
        target: named(group.target().member(&member.id), topics),
        is_classic: member.uses_classic_protocol(),
    };
    DescribedConsumerGroup {
        group: group.id().clone(),
        state: group.state().name(),
        epoch: group.epoch(),
        target_epoch: group.target().epoch,
        assignor: group.preferred_assignor().unwrap_or(default),
        members: group.members().map(member).collect(),
    }
}

fn named(partitions: &TopicPartitions, topics: &TopicsImage) -> Vec<DescribedPartitions> {
    let described = |(id, partitions): (TopicId, &BTreeSet<PartitionIndex>)| {
        Some(DescribedPartitions {
            topic_id: id,
            topic: topics.by_id(id)?.name.clone(),
            partitions: partitions.iter().copied().collect(),
        })
    };
    partitions.topics().filter_map(described).collect()
}
