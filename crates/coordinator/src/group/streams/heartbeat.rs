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

use types::MemberId;

use super::answer::{StreamsHeartbeatError, StreamsHeartbeatReply, StreamsStatus};
use super::endpoints::endpoint_partitions;
use super::expire::{leave_records, schedule_rebalance_timeout, schedule_session_timeout};
use super::group_topology::{check_owned, configured_topology, updated_topology};
use super::member::{Member, StreamsCurrentAssignment, StreamsMemberMetadata, StreamsMemberState};
use super::reconcile::{Target, UnknownState, reconcile};
use super::record::{StreamsGroupMetadata, StreamsRecord};
use super::request::{JOIN_EPOCH, OwnedTasks, StreamsHeartbeatRequest};
use super::settings::StreamsGroupSettings;
use super::state::StreamsGroup;
use super::target;
use super::tasks::{TaskSet, Tasks};
use crate::group::modern::topics::TopicsImage;
use crate::group::time::Now;
use crate::group::timers::{TimerAction, TimerKey, Timers};

/// The validated epoch of a topology whose topics are not there, or not right.
const NOT_VALIDATED: i32 = -1;

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
    if !group.members().contains_key(&request.member) {
        return Err(unknown_member(group, &request.member));
    }
    Ok(Heartbeat {
        records: leave_records(group, timers, &request.member),
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
    let member = match group.members().get(&request.member) {
        Some(known) => known.clone(),
        None if is_joining => Member::new(request.member.clone()),
        None => return Err(unknown_member(group, &request.member)),
    };
    check_epoch(&member, request.member_epoch, owned.as_ref())?;

    let mut records = Vec::new();
    let mut updated = Member {
        metadata: updated_metadata(&member.metadata, &request)?,
        ..member.clone()
    };
    let is_updated = updated.metadata != member.metadata;
    if is_updated {
        records.push(StreamsRecord::Member {
            member: updated.id.clone(),
            value: Some(updated.metadata.clone()),
        });
    }

    let topology = updated_topology(group, request.topology, &mut records)?;
    let mut status: Vec<_> = stale_topology(group, &updated).into_iter().collect();

    let (configured, hash) = configured_topology(group, &topology, surroundings.topics)?;
    let is_ready = configured.is_ready();
    if is_ready {
        check_owned(&configured, owned.as_ref())?;
    }
    let mut metadata = StreamsGroupMetadata {
        epoch: group.metadata().epoch,
        metadata_hash: hash,
        validated_topology_epoch: if is_ready {
            topology.epoch
        } else {
            NOT_VALIDATED
        },
        last_assignment_configs: settings.assignment_configs(),
    };
    if is_updated || metadata != *group.metadata() {
        metadata.epoch = next_epoch(metadata.epoch);
        records.push(StreamsRecord::Group(Some(metadata.clone())));
    }
    let group_epoch = metadata.epoch;

    delay_first_assignment(group, surroundings);
    let (target_epoch, target) = if group_epoch <= group.target_epoch() {
        let target = group.targets().get(&updated.id);
        (group.target_epoch(), target.cloned().unwrap_or_default())
    } else if first_assignment_is_delayed(group, surroundings.timers) {
        status.push(StreamsStatus::AssignmentDelayed);
        (group.target_epoch().max(1), TaskSet::default())
    } else {
        let replicas = settings.standby_replicas;
        let targets = target::assign(group, Some(&updated), &configured, replicas, group_epoch)?;
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

fn request_shutdown(group: &mut StreamsGroup, member: &MemberId) {
    let by = &mut group.shutdown_requested_by;
    by.get_or_insert_with(|| member.clone());
}

fn unknown_member(group: &StreamsGroup, member: &MemberId) -> StreamsHeartbeatError {
    StreamsHeartbeatError::UnknownMember {
        member: member.clone(),
        group: group.id.clone(),
    }
}

/// The first epoch is 2: members that wait for the first assignment are in epoch 1.
fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        0 => 2,
        known => known.saturating_add(1),
    }
}

/// What a member is told whose topology is older than the group's.
fn stale_topology(group: &StreamsGroup, member: &Member) -> Option<StreamsStatus> {
    let of_group = group.topology()?.epoch;
    let of_member = member.metadata.topology_epoch;
    (of_member < of_group).then_some(StreamsStatus::StaleTopology {
        member: of_member,
        group: of_group,
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

fn first_assignment_is_delayed(group: &StreamsGroup, timers: &Timers) -> bool {
    timers.is_scheduled(&TimerKey::StreamsInitialRebalance(group.id.clone()))
}

/// The first member of an empty group makes it wait for others, so that few tasks move.
fn delay_first_assignment(group: &StreamsGroup, surroundings: &mut Surroundings<'_>) {
    let delay = surroundings.settings.initial_rebalance_delay;
    let is_delayed = first_assignment_is_delayed(group, surroundings.timers);
    if group.is_empty() && !delay.is_zero() && !is_delayed {
        let deadline = surroundings.now.instant.plus(delay);
        let action = TimerAction::AssignStreamsGroup {
            group: group.id.clone(),
        };
        surroundings.timers.schedule(deadline, action);
    }
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
