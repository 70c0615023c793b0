//! What StreamsGroupHeartbeat answers: what a member should know and run, or why its heartbeat is refused.

use types::{GroupId, MemberId};

use super::assignor::sticky::NoProcess;
use super::endpoints::EndpointPartitions;
use super::reconcile::UnknownState;
use super::request::InvalidStreamsHeartbeat;
use super::tasks::TaskSet;
use super::topics::CreatableTopic;
use super::topics::problem::{ConfigureError, TopicProblem};
use super::topology::SubtopologyId;

/// Why a heartbeat is refused. The texts are Kafka's, because clients show them to people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamsHeartbeatError {
    /// INVALID_REQUEST or STREAMS_INVALID_TOPOLOGY.
    #[error(transparent)]
    Invalid(#[from] InvalidStreamsHeartbeat),
    /// GROUP_ID_NOT_FOUND, to a member that does not join.
    #[error("Streams group {0} not found.")]
    UnknownStreamsGroup(GroupId),
    /// GROUP_ID_NOT_FOUND, to a member that leaves.
    #[error("Group {0} not found.")]
    UnknownGroup(GroupId),
    /// GROUP_ID_NOT_FOUND.
    #[error("Group {0} is not a streams group.")]
    NotStreamsGroup(GroupId),
    /// GROUP_MAX_SIZE_REACHED.
    #[error("The streams group has reached its maximum capacity of {max} members.")]
    GroupFull {
        /// `group.streams.max.size`.
        max: usize,
    },
    /// UNKNOWN_MEMBER_ID.
    #[error("Member {member} is not a member of group {group}.")]
    UnknownMember {
        /// The member.
        member: MemberId,
        /// The group.
        group: GroupId,
    },
    /// FENCED_MEMBER_EPOCH.
    #[error(
        "The streams group member has a {comparison} member epoch ({received}) than the one known by the group \
         coordinator ({known}). The member must abandon all its partitions and rejoin."
    )]
    FencedEpoch {
        /// `greater` or `smaller`.
        comparison: &'static str,
        /// The member's.
        received: i32,
        /// The group's.
        known: i32,
    },
    /// FENCED_MEMBER_EPOCH.
    #[error(
        "The streams group member is in a unknown state. The member must abandon all its tasks and rejoin."
    )]
    UnknownMemberState,
    /// INVALID_REQUEST.
    #[error("Topology updates are not supported yet.")]
    TopologyChanged,
    /// INVALID_REQUEST.
    #[error("Subtopology {0} does not exist in the topology.")]
    NoSuchSubtopology(SubtopologyId),
    /// INVALID_REQUEST.
    #[error(
        "Task {partition} for subtopology {subtopology} is invalid. Number of tasks for this subtopology: {tasks}"
    )]
    NoSuchTask {
        /// The subtopology.
        subtopology: SubtopologyId,
        /// The task.
        partition: i32,
        /// How many there are.
        tasks: i32,
    },
    /// STREAMS_INVALID_TOPOLOGY, or UNKNOWN_SERVER_ERROR where Kafka fails on it.
    #[error(transparent)]
    Topology(#[from] ConfigureError),
    /// UNKNOWN_SERVER_ERROR, as in Kafka: a list names the same thing twice, or an epoch is negative.
    #[error("{0}")]
    Contradiction(&'static str),
    /// UNKNOWN_SERVER_ERROR: the assignor found nobody to assign to.
    #[error("no member can run the group's tasks")]
    NobodyToAssignTo,
}

impl From<UnknownState> for StreamsHeartbeatError {
    fn from(_: UnknownState) -> Self {
        Self::UnknownMemberState
    }
}

impl From<NoProcess> for StreamsHeartbeatError {
    fn from(_: NoProcess) -> Self {
        Self::NobodyToAssignTo
    }
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamsHeartbeatReply {
    /// The epoch the member is in now; the request's for a member that leaves.
    pub member_epoch: i32,
    /// When to come again, in milliseconds; zero for a member that leaves.
    pub heartbeat_interval_ms: i32,
    /// What else the member should know.
    pub status: Vec<StreamsStatus>,
    /// What it shall run; `None` if that has not changed.
    pub tasks: Option<TaskSet>,
    /// The epoch of endpoint information.
    pub endpoint_epoch: i32,
    /// Which endpoint serves what; `None` if that has not changed.
    pub partitions_by_endpoint: Option<Vec<EndpointPartitions>>,
    /// Internal topics that somebody must create before anything runs.
    pub missing_topics: Vec<CreatableTopic>,
}

/// Something a member should know. The texts are Kafka's, because members show them to people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamsStatus {
    /// STALE_TOPOLOGY(0).
    #[error("The member's topology epoch {member} is behind the group's topology epoch {group}.")]
    StaleTopology {
        /// The member's epoch.
        member: i32,
        /// The group's epoch.
        group: i32,
    },
    /// MISSING_SOURCE_TOPICS(1), INCORRECTLY_PARTITIONED_TOPICS(2) or MISSING_INTERNAL_TOPICS(3).
    #[error("{0}")]
    Topics(TopicProblem),
    /// SHUTDOWN_APPLICATION(4).
    #[error(
        "Streams group member {0} encountered a fatal error and requested a shutdown for the entire application."
    )]
    ShutdownApplication(MemberId),
    /// ASSIGNMENT_DELAYED(5).
    #[error("Assignment delayed due to the configured initial rebalance delay.")]
    AssignmentDelayed,
}

impl StreamsStatus {
    /// The code on the wire (`StreamsGroupHeartbeatResponse.Status`).
    pub const fn code(&self) -> i8 {
        match self {
            Self::StaleTopology { .. } => 0,
            Self::Topics(TopicProblem::MissingSourceTopics(_)) => 1,
            Self::Topics(
                TopicProblem::UnexpectedPartitionCount { .. }
                | TopicProblem::DifferentPartitionCounts(_)
                | TopicProblem::FixedPartitionCount { .. },
            ) => 2,
            Self::Topics(TopicProblem::MissingInternalTopics(_)) => 3,
            Self::ShutdownApplication(_) => 4,
            Self::AssignmentDelayed => 5,
        }
    }
}
