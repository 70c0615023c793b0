//! ShareGroupHeartbeat: joining, staying and leaving; the answer carries what the member reads.
//!
//! After `GroupMetadataManager.shareGroupHeartbeat` and `shareGroupLeave`. Members of share groups never wait for each
//! other: a partition may have many readers, so a member moves to its target at once.
//!
//! Most heartbeats find nothing to do. Once one has looked at the whole group and found nothing, the group is settled
//! ([`ShareGroup::is_settled`]), and until something changes the others look at their own member only.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use types::{GroupId, MemberId, Timestamp, TopicName};

use super::assignor::{Applicant, assign};
use super::partitions::KnownStates;
use super::record::{ShareGroupMetadata, ShareGroupPart, ShareGroupRecord, ShareMemberAssignment};
use super::state::{ShareGroup, ShareMember};
use crate::group::classic::member::Client;
use crate::group::modern::epoch::Epoch;
use crate::group::modern::hash::metadata_hash;
use crate::group::modern::partitions::TopicPartitions;
use crate::group::modern::topics::TopicsImage;
use crate::group::settings::GroupSettings;

/// How long the share coordinator has to begin a partition's state before it is asked again
/// (`group.share.initialize.retry.interval.ms`, which Kafka keeps internal).
pub(crate) const INITIALIZE_RETRY: Duration = Duration::from_secs(30);

/// What the member wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharePurpose {
    /// Join or stay; epoch 0 joins (anew).
    Stay(Epoch),
    /// Leave (-1).
    Leave,
}

/// ShareGroupHeartbeat.
#[derive(Clone, Debug)]
pub struct ShareHeartbeatRequest {
    /// The group.
    pub group: GroupId,
    /// The member; it chose its id itself.
    pub member: MemberId,
    /// What it wants.
    pub purpose: SharePurpose,
    /// Where it is; `None` if unchanged.
    pub rack: Option<Arc<str>>,
    /// Who it says it is.
    pub client: Client,
    /// What it wants to read; `None` if unchanged.
    pub topics: Option<Vec<TopicName>>,
    /// How long it may be silent from now on (`share.session.timeout.ms` of the group).
    pub session_timeout: Duration,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareHeartbeatReply {
    /// The member's epoch; `None` after it has left.
    pub epoch: Option<Epoch>,
    /// What it reads from now on; `None` if unchanged.
    pub assignment: Option<TopicPartitions>,
    /// What the share coordinator must begin to keep a state of.
    pub initialize: Option<InitializeShareStates>,
}

/// Partitions whose state must begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitializeShareStates {
    /// The state epoch.
    pub epoch: Epoch,
    /// Which partitions.
    pub partitions: TopicPartitions,
}

/// Why a heartbeat is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareHeartbeatError {
    /// INVALID_REQUEST.
    #[error("the member id is empty")]
    NoMember,
    /// INVALID_REQUEST.
    #[error("the group id is empty")]
    NoGroup,
    /// INVALID_REQUEST.
    #[error("the rack id is empty")]
    EmptyRack,
    /// INVALID_REQUEST.
    #[error("a member that joins must name the topics it wants")]
    NoTopics,
    /// GROUP_ID_NOT_FOUND.
    #[error("there is no such share group")]
    UnknownGroup,
    /// UNKNOWN_MEMBER_ID.
    #[error("the group has no such member")]
    UnknownMember,
    /// FENCED_MEMBER_EPOCH.
    #[error("the member's epoch is not that of the group coordinator")]
    FencedMemberEpoch,
    /// GROUP_MAX_SIZE_REACHED.
    #[error("the group has as many members as it may")]
    GroupFull,
}

/// Checks what can be checked without the group (`throwIfShareGroupHeartbeatRequestIsInvalid`).
pub(crate) fn validate(request: &ShareHeartbeatRequest) -> Result<(), ShareHeartbeatError> {
    if request.member.as_str().is_empty() {
        return Err(ShareHeartbeatError::NoMember);
    }
    if request.group.as_str().is_empty() {
        return Err(ShareHeartbeatError::NoGroup);
    }
    if request.rack.as_ref().is_some_and(|rack| rack.is_empty()) {
        return Err(ShareHeartbeatError::EmptyRack);
    }
    let names_topics = request
        .topics
        .as_ref()
        .is_some_and(|topics| !topics.is_empty());
    if request.purpose == SharePurpose::Stay(Epoch::ZERO) && !names_topics {
        return Err(ShareHeartbeatError::NoTopics);
    }
    Ok(())
}

/// What a heartbeat does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    pub(crate) records: Vec<ShareGroupRecord>,
    pub(crate) reply: ShareHeartbeatReply,
    /// The whole group was looked at, and nothing is to be done but to bring other members to their targets.
    pub(crate) settles: bool,
}

/// A member joins or stays. `group` is the group as it is, or an empty one if there is none.
pub(crate) fn stay(
    group: &ShareGroup,
    request: &ShareHeartbeatRequest,
    epoch: Epoch,
    settings: &GroupSettings,
    topics: &TopicsImage,
    now: Timestamp,
) -> Result<Heartbeat, ShareHeartbeatError> {
    let known = group.members.get(&request.member);
    if known.is_none() && group.members.len() >= settings.share_group_size_max {
        return Err(ShareHeartbeatError::GroupFull);
    }
    let before = match known {
        Some(member) => member.clone(),
        None if epoch == Epoch::ZERO => ShareMember::new(),
        None => return Err(ShareHeartbeatError::UnknownMember),
    };
    let is_current =
        epoch == Epoch::ZERO || epoch == before.epoch || Some(epoch) == before.previous_epoch;
    if !is_current {
        return Err(ShareHeartbeatError::FencedMemberEpoch);
    }
    let member = updated(&before, request);
    if known.is_some() && member == before && group.is_settled {
        let (current, reply) = bring_to_target(group, request, epoch, false, topics);
        let settles = true;
        return Ok(Heartbeat {
            records: current.into_iter().collect(),
            reply,
            settles,
        });
    }
    Ok(look_at_all(
        group,
        request,
        epoch,
        (before, member),
        topics,
        now,
    ))
}

/// The group's part of a heartbeat, and then the member's.
fn look_at_all(
    group: &ShareGroup,
    request: &ShareHeartbeatRequest,
    epoch: Epoch,
    (before, member): (ShareMember, ShareMember),
    topics: &TopicsImage,
    now: Timestamp,
) -> Heartbeat {
    let mut records = Vec::new();
    if !group.members.contains_key(&request.member) || member != before {
        let part = ShareGroupPart::Member(request.member.clone(), Some(member.metadata()));
        records.push(group.record(part));
    }
    let has_changed = member.topics != before.topics;
    let mut after = group.clone();
    after.members.insert(request.member.clone(), member);
    let mut moves = has_changed || assignment_is_pending(group);
    // Kafka looks when it hears of a change, and once an hour; looking each time misses nothing.
    let hash = metadata_hash(&after.subscribed(), topics);
    moves |= hash != group.metadata_hash;
    if moves {
        let metadata = ShareGroupMetadata {
            epoch: group.epoch.next(),
            metadata_hash: hash,
        };
        push(
            &mut after,
            &mut records,
            ShareGroupPart::Group(Some(metadata)),
            now,
        );
    }
    if after.epoch > after.target.epoch {
        for part in new_target(&after, topics) {
            push(&mut after, &mut records, part, now);
        }
    }
    let is_unchanged = records.is_empty();
    let (current, mut reply) = bring_to_target(&after, request, epoch, moves, topics);
    records.extend(current);
    reply.initialize = initialize(&mut after, topics, now, &mut records);
    let waits = after.states.as_ref().is_some_and(KnownStates::waits);
    Heartbeat {
        records,
        reply,
        settles: is_unchanged && !waits,
    }
}

/// Brings the member to its target (`maybeReconcile`): a record if it moves, and the answer.
fn bring_to_target(
    group: &ShareGroup,
    request: &ShareHeartbeatRequest,
    epoch: Epoch,
    moves: bool,
    topics: &TopicsImage,
) -> (Option<ShareGroupRecord>, ShareHeartbeatReply) {
    let Some(member) = group.members.get(&request.member) else {
        unreachable!("a member that joins was put in before");
    };
    let moved = moved(group, request, member, moves, topics);
    let (epoch_after, partitions) = match &moved {
        Some(moved) => (moved.epoch, &moved.partitions),
        None => (member.epoch, &member.assigned),
    };
    let is_full = epoch == Epoch::ZERO || request.topics.is_some();
    let reply = ShareHeartbeatReply {
        epoch: Some(epoch_after),
        assignment: (is_full || *partitions != member.assigned).then(|| partitions.clone()),
        initialize: None,
    };
    let current = moved
        .map(|moved| group.record(ShareGroupPart::Current(request.member.clone(), Some(moved))));
    (current, reply)
}

/// Where the member moves to, unless it is there.
fn moved(
    group: &ShareGroup,
    request: &ShareHeartbeatRequest,
    member: &ShareMember,
    moves: bool,
    topics: &TopicsImage,
) -> Option<ShareMemberAssignment> {
    let target_epoch = group.target.epoch;
    let is_behind = member.epoch != target_epoch;
    if !moves && !is_behind {
        return None;
    }
    let wanted = member.topic_ids(topics);
    let mut partitions = group.target.member(&request.member).clone();
    partitions.retain_topics(|topic| wanted.contains(&topic));
    if !is_behind && partitions == member.assigned {
        return None;
    }
    Some(ShareMemberAssignment {
        epoch: target_epoch,
        previous_epoch: match is_behind {
            true => Some(member.epoch),
            false => member.previous_epoch,
        },
        partitions,
    })
}

/// A member goes (`shareGroupFenceMember`).
pub(crate) fn leave(
    group: &ShareGroup,
    member: &MemberId,
    topics: &TopicsImage,
) -> Vec<ShareGroupRecord> {
    let others = group.members.iter().filter(|(id, _)| *id != member);
    let subscribed: BTreeSet<TopicName> = others
        .flat_map(|(_, other)| other.topics.iter().cloned())
        .collect();
    let metadata = ShareGroupMetadata {
        epoch: group.epoch.next(),
        metadata_hash: metadata_hash(&subscribed, topics),
    };
    let parts = [
        ShareGroupPart::Current(member.clone(), None),
        ShareGroupPart::Target(member.clone(), None),
        ShareGroupPart::Member(member.clone(), None),
        ShareGroupPart::Group(Some(metadata)),
    ];
    parts.into_iter().map(|part| group.record(part)).collect()
}

fn updated(before: &ShareMember, request: &ShareHeartbeatRequest) -> ShareMember {
    let mut member = before.clone();
    if request.rack.is_some() {
        member.rack = request.rack.clone();
    }
    if let Some(topics) = &request.topics {
        member.topics = topics.iter().cloned().collect();
    }
    member.client = request.client.clone();
    member
}

/// Whether partitions got a state and nobody reads them yet, or the other way round (`initializedAssignmentPending`).
fn assignment_is_pending(group: &ShareGroup) -> bool {
    let Some(states) = &group.states else {
        return false;
    };
    if group.is_empty() {
        return false;
    }
    let mut assigned = TopicPartitions::new();
    for (_, partitions) in group.target.members() {
        assigned.extend(partitions);
    }
    let initialized = states.partitions.initialized.iter();
    initialized
        .filter(|(_, topic)| group.is_subscribed(&topic.name))
        .any(|(id, topic)| assigned.topic(*id) != Some(&topic.partitions))
}

/// The target for the group's epoch, as records (`updateTargetAssignment`).
fn new_target(group: &ShareGroup, topics: &TopicsImage) -> Vec<ShareGroupPart> {
    let applicants: Vec<Applicant> = group
        .members
        .iter()
        .map(|(id, member)| Applicant {
            id: id.clone(),
            topics: member.topic_ids(topics),
            before: group.target.member(id).clone(),
        })
        .collect();
    let states = group.states.as_ref();
    let mut assignable = states.map(|states| states.assignable()).unwrap_or_default();
    assignable.retain_topics(|topic| topics.by_id(topic).is_some());
    let known: BTreeSet<&MemberId> = group.target.members().map(|(id, _)| id).collect();
    let mut parts = Vec::new();
    for (id, partitions) in assign(&applicants, &assignable) {
        if !known.contains(&id) || *group.target.member(&id) != partitions {
            parts.push(ShareGroupPart::Target(id, Some(partitions)));
        }
    }
    parts.push(ShareGroupPart::TargetEpoch(Some(group.epoch)));
    parts
}

/// Subscribed partitions without a state (`maybeCreateInitializeShareGroupStateRequest`).
fn initialize(
    group: &mut ShareGroup,
    topics: &TopicsImage,
    now: Timestamp,
    records: &mut Vec<ShareGroupRecord>,
) -> Option<InitializeShareStates> {
    let known = group.states.clone().unwrap_or_default();
    let subscribed = group.subscribed();
    let partitions = known.missing(&subscribed, topics, now, INITIALIZE_RETRY);
    if partitions.is_empty() {
        return None;
    }
    let next = known.partitions.with_initializing(&partitions, topics);
    push(
        group,
        records,
        ShareGroupPart::StatePartitions(Some(next)),
        now,
    );
    Some(InitializeShareStates {
        epoch: group.epoch,
        partitions,
    })
}

fn push(
    group: &mut ShareGroup,
    records: &mut Vec<ShareGroupRecord>,
    part: ShareGroupPart,
    now: Timestamp,
) {
    records.push(group.record(part.clone()));
    group.apply(part, now);
}
