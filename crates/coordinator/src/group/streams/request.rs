//! StreamsGroupHeartbeat as the coordinator sees it, and what is wrong with it whatever the group.
//!
//! After `GroupCoordinatorService.throwIfStreamsGroupHeartbeatRequestIsInvalid` and
//! `throwIfStreamsGroupHeartbeatRequestIsUsingUnsupportedFeatures`, in Kafka's order. The texts are Kafka's, because
//! clients show them to people.

use std::sync::Arc;

use types::{GroupId, MemberId, TopicName};

use super::assignor::ProcessId;
use super::member::UserEndpoint;
use super::settings::StreamsGroupSettings;
use super::topology::{Subtopology, SubtopologyId};
use crate::group::classic::member::Client;

/// A sign of life of a member, and what it says of itself.
#[derive(Clone, Debug)]
pub struct StreamsHeartbeatRequest {
    /// The group; may be empty.
    pub group: GroupId,
    /// The member's id, which it made itself; may be empty.
    pub member: MemberId,
    /// The epoch the member is in: 0 joins, -1 leaves.
    pub member_epoch: i32,
    /// The epoch of endpoint information that the member has.
    pub endpoint_epoch: i32,
    /// Its static name; Kafka 4.2 takes none.
    pub instance: Option<Arc<str>>,
    /// Where it runs, if it said so.
    pub rack: Option<Arc<str>>,
    /// How long it may take to give up tasks, in milliseconds, if it said so.
    pub rebalance_timeout_ms: Option<i32>,
    /// What it runs; said on joining.
    pub topology: Option<DeclaredTopology>,
    /// Active tasks it has, if it said so.
    pub active_tasks: Option<OwnedTasks>,
    /// Standby tasks it has, if it said so.
    pub standby_tasks: Option<OwnedTasks>,
    /// Warm-up tasks it has, if it said so.
    pub warmup_tasks: Option<OwnedTasks>,
    /// The process it runs in, if it said so.
    pub process: Option<ProcessId>,
    /// Where its interactive queries are answered, if it said so.
    pub user_endpoint: Option<UserEndpoint>,
    /// Tags for rack-aware assignment, if it said so.
    pub client_tags: Option<Vec<(Arc<str>, Arc<str>)>>,
    /// Whether it told how far its tasks are; Kafka 4.2 does not take that.
    pub has_task_offsets: bool,
    /// Whether it told how far its tasks could be; Kafka 4.2 does not take that.
    pub has_task_end_offsets: bool,
    /// Whether the whole application is to stop.
    pub shutdown_application: bool,
    /// Who sent it.
    pub client: Client,
    /// What the group obeys now.
    pub settings: StreamsGroupSettings,
}

/// Tasks as a member lists them: partitions by subtopology.
pub type OwnedTasks = Vec<(SubtopologyId, Vec<i32>)>;

/// A topology as a member lists it.
#[derive(Clone, Debug, Default)]
pub struct DeclaredTopology {
    /// Its epoch.
    pub epoch: i32,
    /// Its subtopologies.
    pub subtopologies: Vec<(SubtopologyId, Subtopology)>,
}

/// The member epoch of a member that joins.
pub(crate) const JOIN_EPOCH: i32 = 0;
/// The member epoch of a member that leaves.
pub(crate) const LEAVE_EPOCH: i32 = -1;
/// The member epoch of a static member that will come back.
const LEAVE_STATIC_EPOCH: i32 = -2;

/// What is wrong with a heartbeat, whatever the group: INVALID_REQUEST, but for the last.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStreamsHeartbeat {
    /// There is an instance id.
    #[error("Static membership is not yet supported.")]
    StaticMember,
    /// There are task offsets.
    #[error("TaskOffsets are not supported yet.")]
    TaskOffsets,
    /// There are task end offsets.
    #[error("TaskEndOffsets are not supported yet.")]
    TaskEndOffsets,
    /// There are warm-up tasks.
    #[error("WarmupTasks are not supported yet.")]
    WarmupTasks,
    /// A subtopology has source topics by pattern.
    #[error("Regular expressions for source topics are not supported yet.")]
    SourceTopicRegex,
    /// The member has no id.
    #[error("MemberId can't be empty.")]
    EmptyMember,
    /// The group has no id.
    #[error("GroupId can't be empty.")]
    EmptyGroup,
    /// The rack is a blank text.
    #[error("RackId can't be empty.")]
    EmptyRack,
    /// A member joins without a rebalance timeout.
    #[error("RebalanceTimeoutMs must be provided in first request.")]
    NoRebalanceTimeout,
    /// A member joins with active tasks, or does not say that it has none.
    #[error("ActiveTasks must be empty when (re-)joining.")]
    JoinsWithActiveTasks,
    /// A member joins with standby tasks, or does not say that it has none.
    #[error("StandbyTasks must be empty when (re-)joining.")]
    JoinsWithStandbyTasks,
    /// A member joins with warm-up tasks, or does not say that it has none.
    #[error("WarmupTasks must be empty when (re-)joining.")]
    JoinsWithWarmupTasks,
    /// A member joins without a topology.
    #[error("Topology must be non-null when (re-)joining.")]
    JoinsWithoutTopology,
    /// A static member leaves without its name.
    #[error("InstanceId can't be null.")]
    NoInstance,
    /// The member epoch means nothing.
    #[error("MemberEpoch is {0}, but must be greater than or equal to -2.")]
    MemberEpoch(i32),
    /// A member told of some kinds of tasks only.
    #[error("If one task-type is non-null, all must be non-null.")]
    SomeTaskTypes,
    /// A member told its topology once more.
    #[error("Topology can only be provided when (re-)joining.")]
    TopologyAgain,
    /// A changelog has a fixed number of partitions: STREAMS_INVALID_TOPOLOGY.
    #[error(
        "Changelog topic {topic} must have an undefined partition count, but it is set to {partitions}."
    )]
    ChangelogPartitions {
        /// The topic.
        topic: TopicName,
        /// The number.
        partitions: i32,
    },
}

/// Java's `trim().isEmpty()`.
fn is_blank(text: &str) -> bool {
    text.chars().all(|character| character <= ' ')
}

/// Refuses what no group could take.
pub(crate) fn validate(request: &StreamsHeartbeatRequest) -> Result<(), InvalidStreamsHeartbeat> {
    use InvalidStreamsHeartbeat as Invalid;

    refuse_unsupported(request)?;
    let is_missing_or_not_empty =
        |tasks: &Option<OwnedTasks>| tasks.as_ref().is_none_or(|tasks| !tasks.is_empty());
    let check = |invalid: bool, error| if invalid { Err(error) } else { Ok(()) };

    check(is_blank(request.member.as_str()), Invalid::EmptyMember)?;
    check(is_blank(request.group.as_str()), Invalid::EmptyGroup)?;
    check(
        request.rack.as_deref().is_some_and(is_blank),
        Invalid::EmptyRack,
    )?;
    let epoch = request.member_epoch;
    if epoch == JOIN_EPOCH {
        check(
            request.rebalance_timeout_ms.is_none(),
            Invalid::NoRebalanceTimeout,
        )?;
        check(
            is_missing_or_not_empty(&request.active_tasks),
            Invalid::JoinsWithActiveTasks,
        )?;
        check(
            is_missing_or_not_empty(&request.standby_tasks),
            Invalid::JoinsWithStandbyTasks,
        )?;
        check(
            is_missing_or_not_empty(&request.warmup_tasks),
            Invalid::JoinsWithWarmupTasks,
        )?;
        let topology = request
            .topology
            .as_ref()
            .ok_or(Invalid::JoinsWithoutTopology)?;
        refuse_fixed_changelogs(topology)?;
    } else if epoch == LEAVE_STATIC_EPOCH {
        // A name was refused above, so a static member has none.
        return Err(Invalid::NoInstance);
    } else if epoch < LEAVE_STATIC_EPOCH {
        return Err(Invalid::MemberEpoch(epoch));
    }
    let told = [
        &request.active_tasks,
        &request.standby_tasks,
        &request.warmup_tasks,
    ];
    let told = told.iter().filter(|tasks| tasks.is_some()).count();
    check(told != 0 && told != 3, Invalid::SomeTaskTypes)?;
    check(
        epoch != JOIN_EPOCH && request.topology.is_some(),
        Invalid::TopologyAgain,
    )
}

fn refuse_unsupported(request: &StreamsHeartbeatRequest) -> Result<(), InvalidStreamsHeartbeat> {
    let warmup = request.warmup_tasks.as_ref();
    let subtopologies = request
        .topology
        .iter()
        .flat_map(|topology| &topology.subtopologies);
    let mut subtopologies = subtopologies.map(|(_, subtopology)| subtopology);
    if request.instance.is_some() {
        Err(InvalidStreamsHeartbeat::StaticMember)
    } else if request.has_task_offsets {
        Err(InvalidStreamsHeartbeat::TaskOffsets)
    } else if request.has_task_end_offsets {
        Err(InvalidStreamsHeartbeat::TaskEndOffsets)
    } else if warmup.is_some_and(|tasks| !tasks.is_empty()) {
        Err(InvalidStreamsHeartbeat::WarmupTasks)
    } else if subtopologies.any(|subtopology| !subtopology.source_topic_regex.is_empty()) {
        Err(InvalidStreamsHeartbeat::SourceTopicRegex)
    } else {
        Ok(())
    }
}

fn refuse_fixed_changelogs(topology: &DeclaredTopology) -> Result<(), InvalidStreamsHeartbeat> {
    let subtopologies = topology.subtopologies.iter();
    let mut changelogs =
        subtopologies.flat_map(|(_, subtopology)| &subtopology.state_changelog_topics);
    match changelogs.find(|topic| topic.partitions != 0) {
        Some(topic) => Err(InvalidStreamsHeartbeat::ChangelogPartitions {
            topic: topic.name.clone(),
            partitions: topic.partitions,
        }),
        None => Ok(()),
    }
}
