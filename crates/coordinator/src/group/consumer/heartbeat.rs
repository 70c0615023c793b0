//! ConsumerGroupHeartbeat: everything a member of the consumer protocol says and is told.
//!
//! Invariant: a heartbeat that is refused changes nothing. So what may refuse it is checked first, also where a group of
//! another protocol would have to be converted. After `throwIfConsumerGroupHeartbeatRequestIsInvalid` in Kafka's
//! `GroupCoordinatorService.java` and `consumerGroupHeartbeat` in its `GroupMetadataManager.java`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use types::{GroupId, InstanceId, MemberId, TopicId, TopicName};

use super::member::ConsumerMember;
use super::pattern::{InvalidRegex, SubscribedRegex};
use super::reconcile::may_continue;
use super::record::ConsumerMemberMetadata;
use super::settings::ConsumerGroupSettings;
use super::state::ConsumerGroup;
use super::update::{Scope, reconcile, update_epoch, update_metadata, update_target};
use crate::group::classic::member::Client;
use crate::group::modern::assignor::Assignor;
use crate::group::modern::partitions::TopicPartitions;

/// A member leaves.
const LEAVE_EPOCH: i32 = -1;
/// A static member leaves for a while.
const LEAVE_STATIC_EPOCH: i32 = -2;

/// ConsumerGroupHeartbeat.
#[derive(Clone, Debug)]
pub struct ConsumerHeartbeatRequest {
    /// The group.
    pub group: GroupId,
    /// The member; may be empty in version 0, where the coordinator makes an id.
    pub member: MemberId,
    /// The member's epoch as it stands on the wire: 0 joins, −1 leaves, −2 leaves for a while.
    pub epoch: i32,
    /// `group.instance.id` of a static member.
    pub instance: Option<InstanceId>,
    /// `client.rack`, if it has changed.
    pub rack: Option<Arc<str>>,
    /// How long the member may take to give partitions back; `None` (−1) if it has not changed.
    pub rebalance_timeout: Option<Duration>,
    /// The topics it is subscribed to by name, if they have changed.
    pub topics: Option<BTreeSet<TopicName>>,
    /// The pattern it is subscribed to, if it has changed; the empty one is none.
    pub regex: Option<SubscribedRegex>,
    /// The assignor it wants, if that has changed.
    pub assignor: Option<Arc<str>>,
    /// What it has, if it says so.
    pub owned: Option<TopicPartitions>,
    /// Who asks.
    pub client: Client,
    /// Whether the member must make its id itself: true from version 1.
    pub requires_member_id: bool,
    /// 16 random bytes, for the id of a member that has none.
    pub randomness: [u8; 16],
}

/// What a member is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerHeartbeatReply {
    /// Its id.
    pub member: MemberId,
    /// Its epoch.
    pub epoch: i32,
    /// How long to wait until the next heartbeat; zero for one that leaves.
    pub heartbeat_interval: Duration,
    /// What it shall have, if that is news to it.
    pub assignment: Option<TopicPartitions>,
}

/// Why a heartbeat is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerHeartbeatError {
    /// INVALID_REQUEST.
    #[error("{reason}")]
    InvalidRequest {
        /// What is wrong.
        reason: &'static str,
    },
    /// UNSUPPORTED_ASSIGNOR.
    #[error("the assignor {name} is not supported; supported are: {supported}")]
    UnsupportedAssignor {
        /// What the member wants.
        name: Arc<str>,
        /// `group.consumer.assignors`.
        supported: String,
    },
    /// INVALID_REGULAR_EXPRESSION.
    #[error(transparent)]
    InvalidRegularExpression(#[from] InvalidRegex),
    /// GROUP_ID_NOT_FOUND: there is no such group, or it has another protocol and keeps it.
    #[error("group {group} {reason}")]
    UnknownGroup {
        /// The group.
        group: GroupId,
        /// Why it is not found.
        reason: &'static str,
    },
    /// UNKNOWN_MEMBER_ID.
    #[error("the group has no such member")]
    UnknownMember,
    /// GROUP_MAX_SIZE_REACHED.
    #[error("the group has reached its largest size of {max} members")]
    GroupMaxSizeReached {
        /// `group.consumer.max.size`.
        max: usize,
    },
    /// FENCED_MEMBER_EPOCH: the member must give everything up and join again.
    #[error(
        "the member's epoch is {current}, not {received}; it must give up its partitions and join again"
    )]
    FencedMemberEpoch {
        /// The epoch the coordinator knows.
        current: i32,
        /// The epoch the member believes in.
        received: i32,
    },
    /// FENCED_INSTANCE_ID.
    #[error("another member has taken over the group instance id")]
    FencedInstance,
    /// UNRELEASED_INSTANCE_ID.
    #[error("the group instance id is still in use by another member")]
    UnreleasedInstance,
}

impl ConsumerHeartbeatRequest {
    /// Whether the member joins, for the first time or again.
    pub(crate) fn joins(&self) -> bool {
        self.epoch == 0
    }

    /// Whether the member leaves, for good or for a while.
    pub(crate) fn leaves(&self) -> bool {
        self.leaves_for_a_while() || self.epoch == LEAVE_EPOCH
    }

    pub(crate) fn leaves_for_a_while(&self) -> bool {
        self.epoch == LEAVE_STATIC_EPOCH
    }

    /// Whether the member says everything, and so is to be told everything.
    fn is_full(&self) -> bool {
        self.rebalance_timeout.is_some()
            && (self.topics.is_some() || self.regex.is_some())
            && self.owned.is_some()
    }

    /// What the member says of itself, on top of what it said before.
    fn metadata(&self, before: &ConsumerMemberMetadata) -> ConsumerMemberMetadata {
        let regex = match &self.regex {
            Some(regex) => Some(regex.text().clone()).filter(|_| !regex.is_none()),
            None => before.regex.clone(),
        };
        ConsumerMemberMetadata {
            instance: self.instance.clone().or_else(|| before.instance.clone()),
            rack: self.rack.clone().or_else(|| before.rack.clone()),
            client: self.client.clone(),
            topics: self.topics.clone().unwrap_or_else(|| before.topics.clone()),
            regex,
            rebalance_timeout: self.rebalance_timeout.or(before.rebalance_timeout),
            assignor: self.assignor.clone().or_else(|| before.assignor.clone()),
            classic: None,
        }
    }
}

/// Checks what does not depend on the group.
pub(crate) fn validate(
    request: &ConsumerHeartbeatRequest,
    settings: &ConsumerGroupSettings,
) -> Result<(), ConsumerHeartbeatError> {
    let invalid = |reason| Err(ConsumerHeartbeatError::InvalidRequest { reason });
    let is_blank = |text: &str| text.trim().is_empty();
    if (request.requires_member_id || request.epoch > 0 || request.epoch == LEAVE_EPOCH)
        && is_blank(request.member.as_str())
    {
        return invalid("MemberId can't be empty.");
    }
    if is_blank(request.group.as_str()) {
        return invalid("GroupId can't be empty.");
    }
    if request
        .instance
        .as_ref()
        .is_some_and(|instance| is_blank(instance.as_str()))
    {
        return invalid("InstanceId can't be empty.");
    }
    if request.rack.as_deref().is_some_and(is_blank) {
        return invalid("RackId can't be empty.");
    }
    if request.joins() {
        if request.rebalance_timeout.is_none() {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        if !request
            .owned
            .as_ref()
            .is_some_and(TopicPartitions::is_empty)
        {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        if request.topics.is_none() && request.regex.is_none() {
            return invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            );
        }
    } else if request.leaves_for_a_while() {
        if request.instance.is_none() {
            return invalid("InstanceId can't be null.");
        }
    } else if request.epoch < LEAVE_STATIC_EPOCH {
        return invalid("MemberEpoch is invalid.");
    }
    match &request.assignor {
        Some(name) if !is_supported(name, settings) => {
            let names: Vec<_> = settings
                .assignors
                .iter()
                .map(|known| known.name())
                .collect();
            Err(ConsumerHeartbeatError::UnsupportedAssignor {
                name: name.clone(),
                supported: names.join(", "),
            })
        }
        _ => Ok(()),
    }
}

fn is_supported(name: &str, settings: &ConsumerGroupSettings) -> bool {
    Assignor::by_name(name).is_some_and(|assignor| settings.assignors.contains(&assignor))
}

/// Who the heartbeat is of.
#[derive(Debug)]
pub(crate) struct Heartbeating {
    /// The member as it is before the heartbeat; an empty one if it is new.
    before: ConsumerMember,
    /// The member of the same instance whose place it takes.
    replaces: Option<MemberId>,
}

/// Decides whether the group takes the heartbeat. Changes nothing.
pub(crate) fn check(
    group: &ConsumerGroup,
    request: &ConsumerHeartbeatRequest,
    settings: &ConsumerGroupSettings,
) -> Result<Heartbeating, ConsumerHeartbeatError> {
    let max = settings.group_size_max;
    if group.members().len() >= max && group.member(&request.member).is_none() {
        return Err(ConsumerHeartbeatError::GroupMaxSizeReached { max });
    }
    let heartbeating = match &request.instance {
        None => find_dynamic(group, request)?,
        Some(instance) => find_static(group, request, instance)?,
    };
    if let Some(regex) = request.regex.as_ref().filter(|regex| !regex.is_none()) {
        let text = regex.text();
        let is_new = heartbeating.before.metadata.regex.as_ref() != Some(text);
        if is_new && group.subscribers_of(text) == 0 {
            regex.check()?;
        }
    }
    if !may_continue(&heartbeating.before, request.owned.as_ref()) {
        return Err(fenced(&heartbeating.before, request));
    }
    Ok(heartbeating)
}

fn find_dynamic(
    group: &ConsumerGroup,
    request: &ConsumerHeartbeatRequest,
) -> Result<Heartbeating, ConsumerHeartbeatError> {
    let before = match group.member(&request.member) {
        Some(member) => {
            check_epoch(member, request)?;
            member.clone()
        }
        None if request.joins() => ConsumerMember::new(member_id(request)),
        None => return Err(ConsumerHeartbeatError::UnknownMember),
    };
    Ok(Heartbeating {
        before,
        replaces: None,
    })
}

fn find_static(
    group: &ConsumerGroup,
    request: &ConsumerHeartbeatRequest,
    instance: &InstanceId,
) -> Result<Heartbeating, ConsumerHeartbeatError> {
    let existing = group.static_member(instance);
    if !request.joins() {
        let existing = existing.ok_or(ConsumerHeartbeatError::UnknownMember)?;
        if existing.id != request.member {
            return Err(ConsumerHeartbeatError::FencedInstance);
        }
        check_epoch(existing, request)?;
        return Ok(Heartbeating {
            before: existing.clone(),
            replaces: None,
        });
    }
    let Some(existing) = existing else {
        return find_dynamic(group, request);
    };
    if !existing.uses_classic_protocol() && !existing.is_away() {
        return Err(ConsumerHeartbeatError::UnreleasedInstance);
    }
    Ok(Heartbeating {
        before: existing.replaced_by(member_id(request)),
        replaces: Some(existing.id.clone()),
    })
}

fn check_epoch(
    member: &ConsumerMember,
    request: &ConsumerHeartbeatRequest,
) -> Result<(), ConsumerHeartbeatError> {
    let current = &member.current;
    let owns_only_assigned = || {
        let owned = request.owned.as_ref();
        owned.is_some_and(|owned| owned.is_subset(&current.assigned))
    };
    // The answer that told the member of its present epoch may have been lost.
    let missed_an_answer = request.epoch < current.epoch
        && request.epoch == current.previous_epoch
        && owns_only_assigned();
    if request.joins() || request.epoch == current.epoch || missed_an_answer {
        Ok(())
    } else {
        Err(fenced(member, request))
    }
}

fn fenced(member: &ConsumerMember, request: &ConsumerHeartbeatRequest) -> ConsumerHeartbeatError {
    ConsumerHeartbeatError::FencedMemberEpoch {
        current: member.epoch(),
        received: request.epoch,
    }
}

/// The member's id, or one of our making, in the form of Kafka's `Uuid.toString`.
fn member_id(request: &ConsumerHeartbeatRequest) -> MemberId {
    if !request.member.as_str().is_empty() {
        return request.member.clone();
    }
    let uuid = TopicId::new(request.randomness);
    MemberId::new(&uuid.map(|uuid| uuid.to_string()).unwrap_or_default())
}

/// Takes up a heartbeat that [`check`] has let through.
pub(crate) fn heartbeat(
    scope: &mut Scope<'_, '_>,
    request: &ConsumerHeartbeatRequest,
    heartbeating: Heartbeating,
) -> ConsumerHeartbeatReply {
    let Heartbeating { before, replaces } = heartbeating;
    if let Some(old) = replaces {
        scope.replace_member(&old, &before);
    }
    let metadata = request.metadata(&before.metadata);
    let update = update_metadata(scope, &before, &metadata);
    let is_first = scope.group.epoch().value() == 0;
    update_epoch(scope, is_first || update.begins_epoch());
    update_target(scope);
    let id = &before.id;
    let current = reconcile(scope, id, request.owned.as_ref(), update.has_changed());
    scope.renew_session(id);

    let is_news =
        request.joins() || request.is_full() || current.assigned != before.current.assigned;
    let times = scope.transition.settings.consumer.times(scope.group.id());
    ConsumerHeartbeatReply {
        member: id.clone(),
        epoch: current.epoch,
        heartbeat_interval: times.heartbeat_interval,
        assignment: is_news.then_some(current.assigned),
    }
}
