//! StreamsGroupDescribe.
//!
//! After `StreamsGroup.asDescribedGroup`: a topology whose topics are right is shown with its partition counts, another
//! one as it was declared.

use std::sync::Arc;

use types::{GroupId, MemberId, TopicName};

use super::member::{Member, StreamsMemberMetadata};
use super::state::{StreamsGroup, StreamsGroupState};
use super::tasks::{AssignedTasks, TaskSet};
use super::topics::{ConfiguredSubtopology, ConfiguredTopology, CreatableTopic};
use super::topology::{InternalTopic, StreamsTopology, Subtopology, SubtopologyId};

/// StreamsGroupDescribe, for the groups of one shard.
#[derive(Clone, Debug)]
pub struct DescribeStreamsRequest {
    /// The groups.
    pub groups: Vec<GroupId>,
}

/// Why a group cannot be described: GROUP_ID_NOT_FOUND. The texts are Kafka's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescribeStreamsError {
    /// There is no such group.
    #[error("Group {0} not found.")]
    UnknownGroup(GroupId),
    /// It speaks another protocol.
    #[error("Group {0} is not a streams group.")]
    NotStreamsGroup(GroupId),
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedStreamsGroup {
    /// Its state.
    pub state: StreamsGroupState,
    /// Its epoch.
    pub group_epoch: i32,
    /// The epoch of its target assignment.
    pub target_epoch: i32,
    /// Its topology; `None` only in a group whose log lost it.
    pub topology: Option<DescribedTopology>,
    /// Its members, by id.
    pub members: Vec<DescribedStreamsMember>,
}

/// A topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedTopology {
    /// Its epoch.
    pub epoch: i32,
    /// Its subtopologies, by id.
    pub subtopologies: Vec<DescribedSubtopology>,
}

/// A subtopology; all lists in the order of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedSubtopology {
    /// Its id.
    pub id: SubtopologyId,
    /// Topics it reads that the application does not make.
    pub source_topics: Vec<TopicName>,
    /// Topics it writes for other subtopologies.
    pub repartition_sink_topics: Vec<TopicName>,
    /// Topics that keep its state.
    pub state_changelog_topics: Vec<DescribedTopic>,
    /// Topics it reads that other subtopologies write.
    pub repartition_source_topics: Vec<DescribedTopic>,
}

/// An internal topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedTopic {
    /// Its name.
    pub name: TopicName,
    /// Its number of partitions; zero if it is not decided.
    pub partitions: i32,
    /// Its replication factor; zero is the broker's default.
    pub replication_factor: i16,
    /// Its settings.
    pub configs: Vec<(Arc<str>, Arc<str>)>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedStreamsMember {
    /// Its id.
    pub member: MemberId,
    /// The epoch it is in.
    pub member_epoch: i32,
    /// What it said.
    pub metadata: StreamsMemberMetadata,
    /// What it has.
    pub assigned: AssignedTasks,
    /// What it should have.
    pub target: TaskSet,
}

pub(crate) fn describe(group: &StreamsGroup) -> DescribedStreamsGroup {
    let configured = group.configured.as_ref();
    let configured = configured.filter(|configured| configured.is_ready());
    let topology = match (configured, group.topology()) {
        (Some(configured), _) => Some(configured_topology(configured)),
        (None, Some(topology)) => Some(declared_topology(topology)),
        (None, None) => None,
    };
    DescribedStreamsGroup {
        state: group.state(),
        group_epoch: group.metadata().epoch,
        target_epoch: group.target_epoch(),
        topology,
        members: group
            .members()
            .values()
            .map(|member| described_member(group, member))
            .collect(),
    }
}

fn described_member(group: &StreamsGroup, member: &Member) -> DescribedStreamsMember {
    DescribedStreamsMember {
        member: member.id.clone(),
        member_epoch: member.current.member_epoch,
        metadata: member.metadata.clone(),
        assigned: member.current.assigned.clone(),
        target: group.targets().get(&member.id).cloned().unwrap_or_default(),
    }
}

fn configured_topology(topology: &ConfiguredTopology) -> DescribedTopology {
    let subtopologies = topology.subtopologies.iter().flatten();
    DescribedTopology {
        epoch: topology.epoch,
        subtopologies: subtopologies
            .map(|(id, subtopology)| configured_subtopology(id, subtopology))
            .collect(),
    }
}

fn configured_subtopology(
    id: &SubtopologyId,
    subtopology: &ConfiguredSubtopology,
) -> DescribedSubtopology {
    let topic = |topic: &CreatableTopic| DescribedTopic {
        name: topic.name.clone(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor.unwrap_or(0),
        configs: topic.configs.clone().into_iter().collect(),
    };
    DescribedSubtopology {
        id: id.clone(),
        source_topics: sorted(&subtopology.source_topics),
        repartition_sink_topics: sorted(&subtopology.repartition_sink_topics),
        state_changelog_topics: subtopology
            .state_changelog_topics
            .values()
            .map(topic)
            .collect(),
        repartition_source_topics: subtopology
            .repartition_source_topics
            .values()
            .map(topic)
            .collect(),
    }
}

fn declared_topology(topology: &StreamsTopology) -> DescribedTopology {
    DescribedTopology {
        epoch: topology.epoch,
        subtopologies: topology
            .subtopologies
            .iter()
            .map(|(id, subtopology)| declared_subtopology(id, subtopology))
            .collect(),
    }
}

fn declared_subtopology(id: &SubtopologyId, subtopology: &Subtopology) -> DescribedSubtopology {
    let topics = |topics: &[InternalTopic]| {
        let mut described: Vec<DescribedTopic> = topics
            .iter()
            .map(|topic| DescribedTopic {
                name: topic.name.clone(),
                partitions: topic.partitions,
                replication_factor: topic.replication_factor,
                configs: topic.configs.clone(),
            })
            .collect();
        described.sort_by(|one, other| one.name.cmp(&other.name));
        described
    };
    DescribedSubtopology {
        id: id.clone(),
        source_topics: sorted(&subtopology.source_topics),
        repartition_sink_topics: sorted(&subtopology.repartition_sink_topics),
        state_changelog_topics: topics(&subtopology.state_changelog_topics),
        repartition_source_topics: topics(&subtopology.repartition_source_topics),
    }
}

fn sorted(topics: &[TopicName]) -> Vec<TopicName> {
    let mut topics = topics.to_vec();
    topics.sort();
    topics
}
