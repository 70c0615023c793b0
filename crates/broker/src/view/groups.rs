//! Groups of all four types, and their members.

use std::sync::Arc;

use coordinator::{
    Client, DescribedConsumerGroup, DescribedConsumerMember, DescribedGroup, DescribedMember,
    DescribedPartitions, DescribedShareGroup, DescribedShareMember, DescribedStreamsGroup,
    DescribedStreamsMember, GroupType, ListRequest, ListedGroup, assigned_partitions,
};
use metadata::{ClusterImage, InternalTopic};
use types::{GroupId, InstanceId, MemberId, PartitionIndex, TopicName, TopicPartition};

use super::{Unanswered, View};
use crate::coordinators::CoordinatorError;

/// The only assignor of share groups.
pub(crate) const SHARE_ASSIGNOR: &str = "simple";
/// The protocol type of classic groups whose assignments are partitions.
const CONSUMER: &str = "consumer";

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// The group.
    pub group: GroupId,
    /// The protocol it speaks.
    pub kind: GroupType,
    /// Its state, as Kafka's tools print it.
    pub state: &'static str,
    /// `consumer`, `connect`, ...; `None` if nobody ever joined.
    pub protocol_type: Option<Arc<str>>,
    /// The partition of `__consumer_offsets` that it belongs to.
    pub coordinator: Option<PartitionIndex>,
}

/// What more there is to know of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupDescription {
    /// The assignor in use.
    pub protocol: Option<Arc<str>>,
    /// Counts its changes; classic groups have none.
    pub epoch: Option<i32>,
    /// Its members, by id.
    pub members: Vec<MemberView>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// The member.
    pub member: MemberId,
    /// Its static name, if it has one.
    pub instance: Option<InstanceId>,
    /// `client.id`; may be empty.
    pub client_id: Arc<str>,
    /// Where it came from, as Kafka prints it (`/127.0.0.1`).
    pub client_host: Arc<str>,
    /// `client.rack`.
    pub rack: Option<Arc<str>>,
    /// Its epoch; classic members have none.
    pub epoch: Option<i32>,
    /// What it has: partitions, or of a streams group active tasks.
    pub assignment: Vec<String>,
}

pub(super) fn unanswered(reason: CoordinatorError) -> Unanswered {
    Unanswered {
        topic: InternalTopic::ConsumerOffsets.name(),
        reason,
    }
}

impl View {
    /// All groups.
    ///
    /// # Errors
    /// A part of the coordinator does not answer.
    pub async fn groups(&self) -> Result<Vec<GroupView>, Unanswered> {
        let groups = &self.services.groups;
        let listed = groups.list(ListRequest::default()).await;
        let view = |listed: ListedGroup| GroupView {
            coordinator: groups.partition_of(listed.group.as_str()),
            group: listed.group,
            kind: listed.group_type,
            state: listed.state,
            protocol_type: listed.protocol_type,
        };
        Ok(listed.map_err(unanswered)?.into_iter().map(view).collect())
    }

    /// A group with its members; `None` if it is gone, or of another type by now.
    ///
    /// # Errors
    /// The coordinator does not answer.
    pub async fn describe_group(
        &self,
        group: &GroupView,
    ) -> Result<Option<GroupDescription>, Unanswered> {
        let coordinator = &self.services.groups;
        let id = vec![group.group.clone()];
        Ok(match group.kind {
            GroupType::Classic => only(coordinator.describe(id).await)?.and_then(classic),
            GroupType::Consumer => {
                let described = coordinator.describe_consumer_groups(id).await;
                only(described)?.flatten().map(modern)
            }
            GroupType::Streams => {
                let described = coordinator.describe_streams(id).await;
                only(described)?.and_then(Result::ok).map(streams)
            }
            GroupType::Share => {
                let described = self.services.shares.describe(&group.group).await;
                let image = self.services.topics.image();
                let described = described.map_err(unanswered)?;
                described.map(|group| share(group, &image))
            }
        })
    }
}

/// The answer about the one group that was asked about.
fn only<T>(
    mut described: Vec<(GroupId, Result<T, CoordinatorError>)>,
) -> Result<Option<T>, Unanswered> {
    let only = described.pop().map(|(_, described)| described);
    only.transpose().map_err(unanswered)
}

fn classic(group: DescribedGroup) -> Option<GroupDescription> {
    // Nobody knows it.
    group.state?;
    let is_consumer = group.protocol_type.as_deref() == Some(CONSUMER);
    let member = |member: DescribedMember| {
        // What members of other protocols are assigned, only they can read.
        let assigned = is_consumer.then(|| assigned_partitions(&member.assignment));
        let assigned = assigned.flatten().unwrap_or_default();
        let client = member.client;
        MemberView {
            member: member.member,
            instance: member.instance,
            client_id: client.id,
            client_host: client.host,
            rack: None,
            epoch: None,
            assignment: assigned.iter().map(ToString::to_string).collect(),
        }
    };
    Some(GroupDescription {
        protocol: group.protocol,
        epoch: None,
        members: group.members.into_iter().map(member).collect(),
    })
}

fn modern(group: DescribedConsumerGroup) -> GroupDescription {
    let member = |member: DescribedConsumerMember| {
        let assigned = member.assigned.iter();
        MemberView {
            assignment: assigned.flat_map(named).collect(),
            member: member.member,
            instance: member.instance,
            client_id: member.client.id,
            client_host: member.client.host,
            rack: member.rack,
            epoch: Some(member.epoch),
        }
    };
    GroupDescription {
        protocol: Some(Arc::from(group.assignor.name())),
        epoch: Some(group.epoch.value()),
        members: group.members.into_iter().map(member).collect(),
    }
}

fn named(partitions: &DescribedPartitions) -> impl Iterator<Item = String> {
    let indexes = partitions.partitions.iter();
    indexes.map(|index| partition_name(&partitions.topic, *index))
}

fn partition_name(topic: &TopicName, partition: PartitionIndex) -> String {
    let topic = topic.clone();
    TopicPartition { topic, partition }.to_string()
}

fn share(group: DescribedShareGroup, image: &ClusterImage) -> GroupDescription {
    let member = |member: DescribedShareMember| {
        // Topics that are gone have no name to tell.
        let assigned = member.assigned.iter().filter_map(|(id, partition)| {
            let topic = image.topic_by_id(id)?;
            Some(partition_name(&topic.name, partition))
        });
        MemberView {
            assignment: assigned.collect(),
            member: member.member,
            instance: None,
            client_id: member.client.id,
            client_host: member.client.host,
            rack: member.rack,
            epoch: Some(member.epoch.value()),
        }
    };
    GroupDescription {
        protocol: Some(Arc::from(SHARE_ASSIGNOR)),
        epoch: Some(group.epoch.value()),
        members: group.members.into_iter().map(member).collect(),
    }
}

fn streams(group: DescribedStreamsGroup) -> GroupDescription {
    let member = |member: DescribedStreamsMember| {
        // Kafka's `TaskId`: subtopology and partition.
        let active = member.assigned.active.iter();
        let tasks = active.flat_map(|(subtopology, partitions)| {
            let name = move |partition| format!("{subtopology}_{partition}");
            partitions.keys().map(name)
        });
        let Client { id, host } = member.metadata.client;
        MemberView {
            assignment: tasks.collect(),
            member: member.member,
            instance: member.metadata.instance,
            client_id: id,
            client_host: host,
            rack: member.metadata.rack,
            epoch: Some(member.member_epoch),
        }
    };
    GroupDescription {
        protocol: None,
        epoch: Some(group.group_epoch),
        members: group.members.into_iter().map(member).collect(),
    }
}
