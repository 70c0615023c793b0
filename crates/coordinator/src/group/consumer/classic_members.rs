//! JoinGroup, SyncGroup, Heartbeat and LeaveGroup of members of the classic protocol in a consumer group.
//!
//! Such a member gives everything back and joins again for each step: its JoinGroup is its heartbeat, the generation it is
//! told is its epoch, and SyncGroup fetches what it has. Nobody leads, and nobody waits for others. After
//! `classicGroupJoinToConsumerGroup` and its siblings in Kafka's `GroupMetadataManager.java`.

use std::sync::Arc;

use types::{InstanceId, MemberId, TopicId};

use super::leave::{Remaining, fence};
use super::member::ConsumerMember;
use super::migrate;
use super::protocol::{Subscription, read_subscription, resolve, write_assignment};
use super::record::{ClassicMemberMetadata, ConsumerMemberMetadata, MemberState};
use super::state::ConsumerGroup;
use super::update::{Scope, reconcile, update_epoch, update_metadata, update_target};
use crate::group::classic::generation::Generation;
use crate::group::classic::heartbeat::{HeartbeatError, HeartbeatRequest};
use crate::group::classic::join::{JoinError, JoinReply, JoinRequest, JoinedGroup};
use crate::group::classic::leave::{LeaveMemberError, LeavingMember, LeftMember};
use crate::group::classic::state::MemberMismatch;
use crate::group::classic::sync::{SyncError, SyncRequest, SyncedMember};
use crate::group::timers::{TimerAction, TimerKey};

/// The protocol type of consumers.
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Who joins, and as what.
struct Joining {
    before: ConsumerMember,
    replaces: Option<MemberId>,
    subscription: Subscription,
    /// The group becomes a classic one: the member takes the place of its last member of the consumer protocol.
    downgrades: bool,
}

/// A JoinGroup. The second is what becomes of the group.
pub(crate) fn join(scope: &mut Scope<'_, '_>, request: JoinRequest) -> (JoinReply, Remaining) {
    let member = request.member.clone();
    match check(scope, &request) {
        Ok(joining) => take_in(scope, request, joining),
        Err((new, error)) => (JoinReply::refused(new.or(member), error), Remaining::Same),
    }
}

/// Decides whether the group takes the member; an error may come with an id for it.
fn check(
    scope: &Scope<'_, '_>,
    request: &JoinRequest,
) -> Result<Joining, (Option<MemberId>, JoinError)> {
    let group = &*scope.group;
    let settings = scope.transition.settings;
    let known = request.member.as_ref().and_then(|id| group.member(id));
    let max = settings.consumer.group_size_max;
    if group.members().len() >= max && known.is_none() {
        return Err((None, JoinError::GroupMaxSizeReached { max }));
    }
    let names = request.protocols.iter().map(|protocol| &protocol.name);
    if *request.protocol_type != *CONSUMER_PROTOCOL_TYPE || !group.supports_protocols(names) {
        return Err((None, JoinError::InconsistentProtocol));
    }
    let new = || {
        let uuid = TopicId::new(request.randomness);
        MemberId::new(&uuid.map(|uuid| uuid.to_string()).unwrap_or_default())
    };
    if request.member.is_none() && request.instance.is_none() && request.requires_known_member {
        return Err((Some(new()), JoinError::MemberIdRequired));
    }
    let first = request.protocols.first();
    let subscription = first.and_then(|protocol| read_subscription(&protocol.metadata));
    let subscription = subscription.ok_or((None, JoinError::MalformedSubscription))?;

    let or_new = |known: Option<&ConsumerMember>, id: MemberId| {
        known.map_or_else(|| ConsumerMember::new(id), ConsumerMember::clone)
    };
    let existing = request
        .instance
        .as_ref()
        .and_then(|instance| group.static_member(instance));
    let (before, replaces) = match (&request.instance, &request.member, existing) {
        (None, Some(id), _) => (or_new(known, id.clone()), None),
        (None, None, _) | (Some(_), None, None) => (ConsumerMember::new(new()), None),
        (Some(_), None, Some(existing)) => (existing.replaced_by(new()), Some(existing.id.clone())),
        (Some(_), Some(_), None) => return Err((None, JoinError::UnknownMember)),
        (Some(_), Some(id), Some(existing)) if *id != existing.id => {
            return Err((None, JoinError::FencedInstance));
        }
        (Some(_), Some(_), Some(existing)) => (existing.clone(), None),
    };
    let downgrades = existing.is_some_and(|existing| {
        !existing.uses_classic_protocol()
            && group.classic_members() + 1 == group.members().len()
            && group.members().len() <= settings.group_size_max
            && settings.consumer.migration.downgrade
    });
    Ok(Joining {
        before,
        replaces,
        subscription,
        downgrades,
    })
}

fn take_in(
    scope: &mut Scope<'_, '_>,
    request: JoinRequest,
    joining: Joining,
) -> (JoinReply, Remaining) {
    let Joining {
        before,
        replaces,
        subscription,
        downgrades,
    } = joining;
    if let Some(old) = replaces {
        scope.replace_member(&old, &before);
    }
    let owned = resolve(&subscription.owned, scope.transition.topics.image());
    let first = request.protocols.first().map(|first| first.name.clone());
    let session_timeout = request.session_timeout;
    let rebalance_timeout = request.rebalance_timeout;
    let rack = subscription.rack.filter(|rack| !rack.is_empty());
    let metadata = ConsumerMemberMetadata {
        instance: request.instance.or(before.metadata.instance.clone()),
        rack: rack.or(before.metadata.rack.clone()),
        client: request.client,
        topics: subscription.topics,
        regex: None,
        rebalance_timeout: Some(rebalance_timeout),
        assignor: before.metadata.assignor.clone(),
        classic: Some(ClassicMemberMetadata {
            session_timeout,
            protocols: request.protocols,
        }),
    };
    let id = &before.id;
    let update = update_metadata(scope, &before, &metadata);
    update_epoch(scope, update.has_changed());
    let mut remaining = Remaining::Same;
    let mut epoch = before.epoch();
    if !downgrades {
        update_target(scope);
    }
    if !downgrades || !update.has_changed() {
        epoch = reconcile(scope, id, Some(&owned), update.has_changed()).epoch;
    }
    if downgrades && let Some(classic) = migrate::downgrade(scope, &[]) {
        remaining = Remaining::Classic {
            group: Box::new(classic),
            rebalances: update.has_changed(),
        };
    } else {
        let key = TimerKey::MemberJoin(scope.group.id().clone(), id.clone());
        scope.transition.cancel(&key);
        scope.renew_session_for(id, session_timeout);
        let action = TimerAction::ExpireMemberSync {
            group: scope.group.id().clone(),
            member: id.clone(),
        };
        scope.transition.schedule(rebalance_timeout, action);
    }
    let joined = JoinedGroup {
        generation: Generation::new(epoch).unwrap_or(Generation::ZERO),
        protocol_type: Some(Arc::from(CONSUMER_PROTOCOL_TYPE)),
        protocol: first,
        leader: None,
        skip_assignment: false,
        members: Vec::new(),
    };
    let reply = JoinReply {
        member: Some(id.clone()),
        result: Ok(joined),
    };
    (reply, remaining)
}

/// The member a request names; it speaks the classic protocol.
fn find<'g>(
    group: &'g ConsumerGroup,
    member: Option<&MemberId>,
    instance: Option<&InstanceId>,
) -> Result<(&'g ConsumerMember, &'g ClassicMemberMetadata), MemberMismatch> {
    let found = match instance {
        None => member.and_then(|member| group.member(member)),
        Some(instance) => group.static_member(instance),
    };
    let found = found.ok_or(MemberMismatch::Unknown)?;
    if member != Some(&found.id) {
        return Err(MemberMismatch::Fenced);
    }
    let classic = found.classic().ok_or(MemberMismatch::Unknown)?;
    Ok((found, classic))
}

/// The member must join again within its rebalance timeout.
fn expect_join(scope: &mut Scope<'_, '_>, member: &ConsumerMember) {
    let group = scope.group.id().clone();
    let key = TimerKey::MemberJoin(group.clone(), member.id.clone());
    if !scope.transition.timers.is_scheduled(&key) {
        let action = TimerAction::ExpireMemberJoin {
            group,
            member: member.id.clone(),
        };
        scope
            .transition
            .schedule(member.rebalance_timeout(), action);
    }
}

/// A SyncGroup.
pub(crate) fn sync(
    scope: &mut Scope<'_, '_>,
    request: SyncRequest,
) -> Result<SyncedMember, SyncError> {
    let (member, classic) = find(
        scope.group,
        request.member.as_ref(),
        request.instance.as_ref(),
    )?;
    let current = Generation::new(member.epoch()).unwrap_or(Generation::ZERO);
    if request.generation.map(Generation::value) != Some(member.epoch()) {
        return Err(SyncError::IllegalGeneration { current });
    }
    let first = classic.protocols.first();
    let differs = |requested: &Option<Arc<str>>, known: Option<&str>| {
        requested.is_some() && requested.as_deref() != known
    };
    if differs(&request.protocol_type, Some(CONSUMER_PROTOCOL_TYPE))
        || differs(&request.protocol, first.map(|first| &*first.name))
    {
        return Err(SyncError::InconsistentProtocol);
    }
    let (member, timeout) = (member.clone(), classic.session_timeout);
    if scope.group.epoch().value() > member.epoch()
        && member.current.state != MemberState::UnrevokedPartitions
    {
        expect_join(scope, &member);
        return Err(SyncError::RebalanceInProgress);
    }
    let version = first
        .and_then(|first| read_subscription(&first.metadata))
        .map_or(0, |subscription| subscription.version);
    let key = TimerKey::MemberSync(scope.group.id().clone(), member.id.clone());
    scope.transition.cancel(&key);
    scope.renew_session_for(&member.id, timeout);
    let image = scope.transition.topics.image();
    Ok(SyncedMember {
        protocol_type: request.protocol_type,
        protocol: request.protocol,
        assignment: write_assignment(version, &member.current.assigned, image),
    })
}

/// A Heartbeat.
pub(crate) fn heartbeat(
    scope: &mut Scope<'_, '_>,
    request: &HeartbeatRequest,
) -> Result<(), HeartbeatError> {
    let (member, classic) = find(
        scope.group,
        request.member.as_ref(),
        request.instance.as_ref(),
    )?;
    if request.generation.map(Generation::value) != Some(member.epoch()) {
        return Err(HeartbeatError::IllegalGeneration {
            current: Generation::new(member.epoch()).unwrap_or(Generation::ZERO),
        });
    }
    let (member, timeout) = (member.clone(), classic.session_timeout);
    scope.renew_session_for(&member.id, timeout);
    let must_join_again = member.epoch() < scope.group.epoch().value()
        || match member.current.state {
            MemberState::UnrevokedPartitions => true,
            MemberState::UnreleasedPartitions => !scope.group.waits_for_others(&member),
            MemberState::Stable | MemberState::Unknown => false,
        };
    if must_join_again {
        expect_join(scope, &member);
        return Err(HeartbeatError::RebalanceInProgress);
    }
    Ok(())
}

/// A LeaveGroup. Members of the consumer protocol can be taken out by it too, as administrators do.
pub(crate) fn leave(
    scope: &mut Scope<'_, '_>,
    members: Vec<LeavingMember>,
) -> (Vec<LeftMember>, Remaining) {
    let mut leaving = Vec::new();
    let mut left = Vec::with_capacity(members.len());
    for requested in members {
        let result = find_leaving(scope.group, &requested).map(|member| {
            if !leaving.contains(&member) {
                leaving.push(member);
            }
        });
        left.push(LeftMember { requested, result });
    }
    (left, fence(scope, &leaving))
}

fn find_leaving(
    group: &ConsumerGroup,
    requested: &LeavingMember,
) -> Result<MemberId, LeaveMemberError> {
    let named = requested.member.as_ref();
    let found = match &requested.instance {
        None => named.and_then(|member| group.member(member)),
        Some(instance) => group.static_member(instance),
    };
    let found = found.ok_or(LeaveMemberError::UnknownMember)?;
    if named.is_some_and(|member| *member != found.id) {
        return Err(LeaveMemberError::FencedInstance);
    }
    Ok(found.id.clone())
}
