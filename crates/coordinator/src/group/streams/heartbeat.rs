//! StreamsGroupHeartbeat: a member joins, stays or leaves, and learns what to run.
//!
//! After `GroupMetadataManager.streamsGroupHeartbeat` and `streamsGroupLeave`. One heartbeat takes these steps:
//! 1. the member is created or updated;
//! 2. the first member's topology becomes the group's;
//! 3. what follows from the topics there are is found out, and which internal topics are missing;
//! 4. whatever changed bumps the group's epoch, and a newer epoch gets a new target assignment;
//! 5. the member goes one step towards its target.
//!
//! Invariant: nothing durable changes here; the records that come out are applied by the caller.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::{GroupId, MemberId};

use super::assignor::sticky::NoProcess;
use super::endpoints::{EndpointPartitions, endpoint_partitions};
use super::expire::{leave_records, schedule_rebalance_timeout, schedule_session_timeout};
use super::member::{Member, StreamsCurrentAssignment, StreamsMemberMetadata, StreamsMemberState};
use super::reconcile::{Target, UnknownState, reconcile};
use super::record::{StreamsGroupMetadata, StreamsRecord};
use super::request::{
    DeclaredTopology, InvalidStreamsHeartbeat, JOIN_EPOCH, OwnedTasks, StreamsHeartbeatRequest,
};
use super::settings::StreamsGroupSettings;
use super::state::StreamsGroup;
use super::target;
use super::tasks::{TaskSet, Tasks};
use super::topics::configure::configure;
use super::topics::problem::{ConfigureError, TopicProblem};
use super::topics::{ConfiguredTopology, CreatableTopic};
use super::topology::{StreamsTopology, SubtopologyId};
use crate::group::modern::hash::metadata_hash;
use crate::group::modern::topics::TopicsImage;
use crate::group::time::Now;
use crate::group::timers::{TimerAction, TimerKey, Timers};

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

/// What a heartbeat may use besides its group.
pub(crate) struct Surroundings<'a> {
    pub(crate) now: Now,
    pub(crate) settings: &'a StreamsGroupSettings,
    pub(crate) topics: &'a TopicsImage,
    pub(crate) timers: &'a mut Timers,
}

/// What a heartbeat does.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    pub(crate) records: Vec<StreamsRecord>,
    pub(crate) reply: StreamsHeartbeatReply,
}

/// A member that leaves.
pub(crate) fn leave(
    group: &mut StreamsGroup,
    timers: &mut Timers,
    request: &StreamsHeartbeatRequest,
) -> Result<Heartbeat, StreamsHeartbeatError> {
    if request.shutdown_application {
        request_shutdown(group, &request.member);
    }
    let member = member_of(group, &request.member)?.id.clone();
    Ok(Heartbeat {
        records: leave_records(group, timers, &member),
        reply: StreamsHeartbeatReply {
            member_epoch: request.member_epoch,
            ..StreamsHeartbeatReply::default()
        },
    })
}

/// A member that joins or stays. `is_new`: nobody has heard of the group before, so `group` is only remembered by what
/// its records say.
pub(crate) fn heartbeat(
    group: &mut StreamsGroup,
    is_new: bool,
    surroundings: &mut Surroundings<'_>,
    request: StreamsHeartbeatRequest,
) -> Result<Heartbeat, StreamsHeartbeatError> {
    let is_joining = request.member_epoch == JOIN_EPOCH;
    let settings = surroundings.settings;
    if is_joining && group.members().len() >= settings.group_size_max {
        return Err(StreamsHeartbeatError::GroupFull {
            max: settings.group_size_max,
        });
    }
    let owned = owned_tasks(&request)?;
    let member = if is_joining {
        let known = group.members().get(&request.member);
        known.map_or_else(|| Member::new(request.member.clone()), Member::clone)
    } else {
        member_of(group, &request.member)?.clone()
    };
    check_epoch(&member, request.member_epoch, owned.as_ref())?;

    let mut records = Vec::new();
    let mut updated = Member {
        metadata: updated_metadata(&member.metadata, &request)?,
        ..member.clone()
    };
    let mut must_bump = updated.metadata != member.metadata;
    if must_bump {
        records.push(StreamsRecord::Member {
            member: updated.id.clone(),
            value: Some(updated.metadata.clone()),
        });
    }

    let topology = updated_topology(group, request.topology, &mut records)?;
    let mut status = Vec::new();
    if let Some(of_group) = group.topology()
        && updated.metadata.topology_epoch < of_group.epoch
    {
        status.push(StreamsStatus::StaleTopology {
            member: updated.metadata.topology_epoch,
            group: of_group.epoch,
        });
    }

    let (configured, hash) = configured_topology(group, &topology, surroundings.topics)?;
    must_bump |= hash != group.metadata().metadata_hash;
    let validated_topology_epoch = if configured.is_ready() {
        check_owned(&configured, owned.as_ref())?;
        topology.epoch
    } else {
        NOT_VALIDATED
    };
    must_bump |= validated_topology_epoch != group.metadata().validated_topology_epoch;
    let configs = settings.assignment_configs();
    must_bump |= configs != group.metadata().last_assignment_configs;

    let mut group_epoch = group.metadata().epoch;
    if must_bump {
        // The first epoch is 2: members that wait for the first assignment are in epoch 1.
        group_epoch = if group_epoch == 0 {
            2
        } else {
            group_epoch.saturating_add(1)
        };
        records.push(StreamsRecord::Group(Some(StreamsGroupMetadata {
            epoch: group_epoch,
            metadata_hash: hash,
            validated_topology_epoch,
            last_assignment_configs: configs,
        })));
    }

    delay_first_assignment(group, surroundings);
    let initial_delay = TimerKey::StreamsInitialRebalance(group.id.clone());
    let (target_epoch, target) = if group_epoch <= group.target_epoch() {
        let target = group.targets().get(&updated.id);
        (group.target_epoch(), target.cloned().unwrap_or_default())
    } else if surroundings.timers.is_scheduled(&initial_delay) {
        status.push(StreamsStatus::AssignmentDelayed);
        (group.target_epoch().max(1), TaskSet::default())
    } else {
        let replicas = settings.standby_replicas;
        let targets = assign(group, Some(&updated), &configured, replicas, group_epoch)?;
        let target = targets.of(&updated.id);
        records.extend(targets.records);
        (group_epoch, target)
    };

    let target = Target {
        epoch: target_epoch,
        tasks: &target,
    };
    reconcile_member(
        group,
        &mut updated,
        target,
        owned.as_ref(),
        surroundings.timers,
        surroundings.now,
        &mut records,
    )?;
    schedule_session_timeout(
        surroundings.timers,
        surroundings.now,
        settings,
        &group.id,
        &updated.id,
    );
    if request.shutdown_application {
        request_shutdown(group, &updated.id);
    }

    let has_new_tasks = updated.current.assigned != member.current.assigned;
    let tasks = (is_joining || has_new_tasks).then(|| assigned_tasks(&updated.current));
    if tasks.is_some() && updated.metadata.user_endpoint.is_some() {
        group.endpoint_epoch = group.endpoint_epoch.wrapping_add(1);
    }
    let partitions_by_endpoint = (group.endpoint_epoch != request.endpoint_epoch)
        .then(|| endpoint_partitions(group, &updated, &configured, surroundings.topics));
    if let Some(problem) = &configured.problem {
        status.push(StreamsStatus::Topics(problem.clone()));
    }
    if let Some(member) = &group.shutdown_requested_by {
        status.push(StreamsStatus::ShutdownApplication(member.clone()));
    }
    Ok(Heartbeat {
        records,
        reply: StreamsHeartbeatReply {
            member_epoch: updated.current.member_epoch,
            heartbeat_interval_ms: settings.heartbeat_interval_ms,
            status,
            tasks,
            // The epoch of a group that was just made is not remembered.
            endpoint_epoch: if is_new { 0 } else { group.endpoint_epoch },
            partitions_by_endpoint,
            missing_topics: configured.missing_topics.clone(),
        },
    })
}

/// The validated epoch of a topology whose topics are not there, or not right.
const NOT_VALIDATED: i32 = -1;

fn request_shutdown(group: &mut StreamsGroup, member: &MemberId) {
    let by = &mut group.shutdown_requested_by;
    by.get_or_insert_with(|| member.clone());
}

fn member_of<'a>(
    group: &'a StreamsGroup,
    member: &MemberId,
) -> Result<&'a Member, StreamsHeartbeatError> {
    let found = group.members().get(member);
    found.ok_or_else(|| StreamsHeartbeatError::UnknownMember {
        member: member.clone(),
        group: group.id.clone(),
    })
}

/// What the member says it has; `None` if it did not say.
fn owned_tasks(
    request: &StreamsHeartbeatRequest,
) -> Result<Option<TaskSet>, StreamsHeartbeatError> {
    let (Some(active), Some(standby), Some(warmup)) = (
        &request.active_tasks,
        &request.standby_tasks,
        &request.warmup_tasks,
    ) else {
        return Ok(None);
    };
    Ok(Some(TaskSet {
        active: by_subtopology(active)?,
        standby: by_subtopology(standby)?,
        warmup: by_subtopology(warmup)?,
    }))
}

fn by_subtopology(owned: &OwnedTasks) -> Result<Tasks, StreamsHeartbeatError> {
    let mut tasks = Tasks::new();
    for (subtopology, partitions) in owned {
        let partitions = partitions.iter().copied().collect();
        if tasks.insert(subtopology.clone(), partitions).is_some() {
            return Err(StreamsHeartbeatError::Contradiction(
                "a subtopology is listed twice among owned tasks",
            ));
        }
    }
    Ok(tasks)
}

/// A member may be in its epoch; or in the one before, if it has nothing it should not have: then the answer that told
/// it the new epoch was lost.
fn check_epoch(
    member: &Member,
    received: i32,
    owned: Option<&TaskSet>,
) -> Result<(), StreamsHeartbeatError> {
    let current = &member.current;
    let fenced = |comparison| StreamsHeartbeatError::FencedEpoch {
        comparison,
        received,
        known: current.member_epoch,
    };
    if received == JOIN_EPOCH || received == current.member_epoch {
        return Ok(());
    }
    if received > current.member_epoch {
        return Err(fenced("greater"));
    }
    let has_its_own = owned.is_some_and(|owned| current.assigned.contains_all(owned));
    if received == current.previous_member_epoch && has_its_own {
        Ok(())
    } else {
        Err(fenced("smaller"))
    }
}

fn updated_metadata(
    known: &StreamsMemberMetadata,
    request: &StreamsHeartbeatRequest,
) -> Result<StreamsMemberMetadata, StreamsHeartbeatError> {
    let mut updated = known.clone();
    updated.client = request.client.clone();
    if let Some(rack) = &request.rack {
        updated.rack = Some(rack.clone());
    }
    if let Some(timeout_ms) = request.rebalance_timeout_ms {
        updated.rebalance_timeout_ms = timeout_ms;
    }
    if let Some(topology) = &request.topology {
        updated.topology_epoch = topology.epoch;
    }
    if let Some(process) = &request.process {
        updated.process = process.clone();
    }
    if let Some(endpoint) = &request.user_endpoint {
        updated.user_endpoint = Some(endpoint.clone());
    }
    if let Some(tags) = &request.client_tags {
        updated.client_tags = tags.iter().cloned().collect();
        if updated.client_tags.len() != tags.len() {
            return Err(StreamsHeartbeatError::Contradiction(
                "a client tag is listed twice",
            ));
        }
    }
    Ok(updated)
}

/// The group's topology after the member told its own: the first stays.
fn updated_topology(
    group: &StreamsGroup,
    declared: Option<DeclaredTopology>,
    records: &mut Vec<StreamsRecord>,
) -> Result<Arc<StreamsTopology>, StreamsHeartbeatError> {
    let declared = declared.map(topology).transpose()?;
    match (declared, group.topology()) {
        (Some(declared), None) => {
            records.push(StreamsRecord::Topology(Some(declared.clone())));
            Ok(Arc::new(declared))
        }
        (Some(declared), Some(known)) if known.epoch <= declared.epoch && **known != declared => {
            Err(StreamsHeartbeatError::TopologyChanged)
        }
        (_, Some(known)) => Ok(Arc::clone(known)),
        (None, None) => Err(StreamsHeartbeatError::Contradiction(
            "neither the member nor the group has a topology",
        )),
    }
}

fn topology(declared: DeclaredTopology) -> Result<StreamsTopology, StreamsHeartbeatError> {
    let count = declared.subtopologies.len();
    let subtopologies: BTreeMap<_, _> = declared.subtopologies.into_iter().collect();
    if subtopologies.len() != count {
        return Err(StreamsHeartbeatError::Contradiction(
            "a subtopology is listed twice in the topology",
        ));
    }
    if declared.epoch < 0 {
        return Err(StreamsHeartbeatError::Contradiction(
            "the epoch of the topology is negative",
        ));
    }
    Ok(StreamsTopology {
        epoch: declared.epoch,
        subtopologies,
    })
}

/// The configured topology and the hash of its topics, found out again if either may have changed.
fn configured_topology(
    group: &mut StreamsGroup,
    topology: &Arc<StreamsTopology>,
    topics: &TopicsImage,
) -> Result<(Arc<ConfiguredTopology>, i64), StreamsHeartbeatError> {
    let known_hash = group.metadata().metadata_hash;
    if let Some(configured) = &group.configured
        && !group.needs_refresh
        && group.topology().is_some()
    {
        return Ok((Arc::clone(configured), known_hash));
    }
    let hash = metadata_hash(topology.required_topics(), topics);
    if let Some(configured) = &group.configured
        && hash == known_hash
        && group.configured_hash == hash
        && group.topology().is_some()
    {
        group.needs_refresh = false;
        return Ok((Arc::clone(configured), hash));
    }
    let partitions = |topic: &types::TopicName| {
        let topic = topics.by_name(topic.as_str());
        topic.map(|topic| topic.partitions)
    };
    let configured = Arc::new(configure(topology, &partitions)?);
    // Until the hash is the group's, which only a record makes it, the next heartbeat looks again; it never comes to
    // be if this heartbeat is refused, and then the topics may become again what they were.
    group.configured = Some(Arc::clone(&configured));
    group.configured_hash = hash;
    Ok((configured, hash))
}

fn check_owned(
    configured: &ConfiguredTopology,
    owned: Option<&TaskSet>,
) -> Result<(), StreamsHeartbeatError> {
    let Some((owned, subtopologies)) = owned.zip(configured.subtopologies.as_ref()) else {
        return Ok(());
    };
    let all = [&owned.active, &owned.standby, &owned.warmup];
    for (id, partitions) in all.into_iter().flatten() {
        let subtopology = subtopologies
            .get(id)
            .ok_or_else(|| StreamsHeartbeatError::NoSuchSubtopology(id.clone()))?;
        let tasks = subtopology.tasks;
        if let Some(partition) = partitions
            .iter()
            .find(|partition| !(0..tasks).contains(*partition))
        {
            return Err(StreamsHeartbeatError::NoSuchTask {
                subtopology: id.clone(),
                partition: *partition,
                tasks,
            });
        }
    }
    Ok(())
}

/// The first member of an empty group makes it wait for others, so that few tasks move.
fn delay_first_assignment(group: &StreamsGroup, surroundings: &mut Surroundings<'_>) {
    let delay = surroundings.settings.initial_rebalance_delay;
    let key = TimerKey::StreamsInitialRebalance(group.id.clone());
    if group.is_empty() && !delay.is_zero() && !surroundings.timers.is_scheduled(&key) {
        let deadline = surroundings.now.instant.plus(delay);
        let action = TimerAction::AssignStreamsGroup {
            group: group.id.clone(),
        };
        surroundings.timers.schedule(deadline, action);
    }
}

/// A new target assignment and its records.
#[derive(Debug)]
pub(crate) struct Targets {
    pub(crate) records: Vec<StreamsRecord>,
    by_member: BTreeMap<MemberId, TaskSet>,
}

impl Targets {
    fn of(&self, member: &MemberId) -> TaskSet {
        self.by_member.get(member).cloned().unwrap_or_default()
    }
}

/// Assigns all tasks anew, for the members of the group and `updated`.
pub(crate) fn assign(
    group: &StreamsGroup,
    updated: Option<&Member>,
    configured: &ConfiguredTopology,
    standby_replicas: usize,
    epoch: i32,
) -> Result<Targets, NoProcess> {
    let others = group.members().values();
    let others = others.filter(|member| updated.is_none_or(|updated| updated.id != member.id));
    let members = others.chain(updated);
    let by_member = target::assign(members, group.targets(), configured, standby_replicas)?;
    let mut records = Vec::new();
    for (member, tasks) in &by_member {
        if group.targets().get(member) != Some(tasks) {
            records.push(StreamsRecord::TargetMember {
                member: member.clone(),
                value: Some(tasks.clone()),
            });
        }
    }
    records.push(StreamsRecord::TargetEpoch(Some(epoch)));
    Ok(Targets { records, by_member })
}

fn reconcile_member(
    group: &StreamsGroup,
    member: &mut Member,
    target: Target<'_>,
    owned: Option<&TaskSet>,
    timers: &mut Timers,
    now: Now,
    records: &mut Vec<StreamsRecord>,
) -> Result<(), UnknownState> {
    if member.is_reconciled_to(target.epoch) {
        return Ok(());
    }
    let next = reconcile(member, target, group.owners(), owned)?;
    if next == member.current {
        return Ok(());
    }
    member.current = next;
    records.push(StreamsRecord::CurrentMember {
        member: member.id.clone(),
        value: Some(member.current.clone()),
    });
    if member.current.state == StreamsMemberState::UnrevokedTasks {
        schedule_rebalance_timeout(timers, now, &group.id, member);
    } else {
        timers.cancel(&TimerKey::StreamsRebalance(
            group.id.clone(),
            member.id.clone(),
        ));
    }
    Ok(())
}

fn assigned_tasks(current: &StreamsCurrentAssignment) -> TaskSet {
    let assigned = &current.assigned;
    let active = assigned.active.iter().map(|(subtopology, partitions)| {
        let partitions = partitions.keys().copied().collect();
        (subtopology.clone(), partitions)
    });
    TaskSet {
        active: active.collect(),
        standby: assigned.standby.clone(),
        warmup: assigned.warmup.clone(),
    }
}
