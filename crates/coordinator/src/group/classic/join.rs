//! JoinGroup: entering a group, or coming back to it.
//!
//! After `classicGroupJoinToClassicGroup` and what it calls in Kafka's `GroupMetadataManager.java`. A JoinGroup is
//! answered at once only when it is refused, or when the member already has what the present generation can give it;
//! else it is parked until the join phase ends ([`super::rebalance`]).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use types::{GroupId, InstanceId, MemberId};

use super::generation::{Generation, GroupState};
use super::join_static::join_replacing;
use super::member::{Client, Member, MemberProtocol};
use super::rebalance::prepare_or_complete;
use super::state::{ClassicGroup, MemberMismatch};
use crate::group::request::{GroupReply, ReplyToken};
use crate::group::settings::GroupSettings;
use crate::group::timers::{TimerAction, TimerKey};
use crate::group::transition::Transition;

/// The longest text Kafka's strings carry, in bytes.
const TEXT_BYTES_MAX: usize = i16::MAX as usize;
/// A separator and a UUID: what a member id has after the name, in bytes.
const MEMBER_ID_SUFFIX_BYTES: usize = 37;

/// JoinGroup.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// The group.
    pub group: GroupId,
    /// The member's id; `None` (empty on the wire) for one that has none yet.
    pub member: Option<MemberId>,
    /// `group.instance.id` of a static member.
    pub instance: Option<InstanceId>,
    /// Who asks.
    pub client: Client,
    /// How long the member may be silent.
    pub session_timeout: Duration,
    /// How long it may take to join again in a rebalance; the session timeout in version 0, which lacks the field.
    pub rebalance_timeout: Duration,
    /// `consumer`, `connect`, ...
    pub protocol_type: Arc<str>,
    /// In order of preference. Of several with one name the first counts.
    pub protocols: Vec<MemberProtocol>,
    /// Whether a new dynamic member must come back with the id it is given (KIP-394): true from version 4.
    pub requires_known_member: bool,
    /// Whether a leader can be told not to assign (KIP-814): true from version 9.
    pub supports_skip_assignment: bool,
    /// 16 random bytes, for the id of a new member.
    pub randomness: [u8; 16],
}

/// The answer to JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinReply {
    /// The member id to put into the response, also into a refusal; `None` is the empty one.
    pub member: Option<MemberId>,
    /// The generation joined, or why not.
    pub result: Result<JoinedGroup, JoinError>,
}

/// What a member learns of the generation it joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedGroup {
    /// The generation.
    pub generation: Generation,
    /// The group's protocol type.
    pub protocol_type: Option<Arc<str>>,
    /// The chosen protocol.
    pub protocol: Option<Arc<str>>,
    /// The leader.
    pub leader: Option<MemberId>,
    /// The leader may keep the assignment it has (version 9).
    pub skip_assignment: bool,
    /// Everybody, for the leader; empty for the others.
    pub members: Vec<JoinedMember>,
}

/// What the leader learns of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// The member.
    pub member: MemberId,
    /// Its static name, if it has one.
    pub instance: Option<InstanceId>,
    /// Its metadata for the chosen protocol.
    pub metadata: Arc<[u8]>,
}

/// Why a JoinGroup is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// INVALID_GROUP_ID.
    #[error("the group id is empty")]
    InvalidGroupId,
    /// INVALID_SESSION_TIMEOUT.
    #[error("session timeout of {requested:?} is not between {min:?} and {max:?}")]
    InvalidSessionTimeout {
        /// What the client asked for.
        requested: Duration,
        /// `group.min.session.timeout.ms`.
        min: Duration,
        /// `group.max.session.timeout.ms`.
        max: Duration,
    },
    /// UNKNOWN_MEMBER_ID: no such group or member, or it has been removed.
    #[error("the group has no such member")]
    UnknownMember,
    /// FENCED_INSTANCE_ID.
    #[error("another member has taken over the group instance id")]
    FencedInstance,
    /// MEMBER_ID_REQUIRED: come again with the id of [`JoinReply::member`].
    #[error("a new member must join again with the id it is given")]
    MemberIdRequired,
    /// INCONSISTENT_GROUP_PROTOCOL.
    #[error("no protocol of the member is supported by the whole group")]
    InconsistentProtocol,
    /// GROUP_MAX_SIZE_REACHED.
    #[error("the group has reached its largest size of {max} members")]
    GroupMaxSizeReached {
        /// `group.max.size`.
        max: usize,
    },
    /// UNKNOWN_SERVER_ERROR, as in Kafka: an id given out to a dynamic member comes back with an instance id.
    #[error("a pending dynamic member joined as a static member")]
    PendingMemberIsStatic,
    /// UNKNOWN_SERVER_ERROR, as in Kafka: a consumer group must know what its member reads.
    #[error("the subscription of the member cannot be read")]
    MalformedSubscription,
    /// REBALANCE_IN_PROGRESS: the group has become a consumer group.
    #[error("the group has changed its protocol")]
    Upgraded,
    /// REBALANCE_IN_PROGRESS: the same member has joined again meanwhile. Kafka never answers such a request.
    #[error("a later join of the same member has taken this one's place")]
    Superseded,
}

impl From<MemberMismatch> for JoinError {
    fn from(mismatch: MemberMismatch) -> Self {
        match mismatch {
            MemberMismatch::Unknown => Self::UnknownMember,
            MemberMismatch::Fenced => Self::FencedInstance,
        }
    }
}

impl JoinReply {
    pub(crate) fn refused(member: Option<MemberId>, error: JoinError) -> Self {
        Self {
            member,
            result: Err(error),
        }
    }

    /// The present generation as `member` sees it.
    pub(super) fn joined(group: &ClassicGroup, member: &MemberId) -> Self {
        let joined = JoinedGroup {
            generation: group.generation(),
            protocol_type: group.protocol_type().cloned(),
            protocol: group.protocol().cloned(),
            leader: group.leader().cloned(),
            skip_assignment: false,
            members: if group.is_leader(member) {
                joined_members(group)
            } else {
                Vec::new()
            },
        };
        Self {
            member: Some(member.clone()),
            result: Ok(joined),
        }
    }
}

fn joined_members(group: &ClassicGroup) -> Vec<JoinedMember> {
    let Some(protocol) = group.protocol() else {
        return Vec::new();
    };
    let joined = |member: &Member| {
        Some(JoinedMember {
            member: member.id.clone(),
            instance: member.instance.clone(),
            metadata: member.metadata(protocol)?.clone(),
        })
    };
    group.members().filter_map(joined).collect()
}

/// Checks what does not depend on the group (`GroupCoordinatorService.joinGroup`).
pub(crate) fn validate(request: &JoinRequest, settings: &GroupSettings) -> Result<(), JoinError> {
    if request.group.as_str().is_empty() {
        return Err(JoinError::InvalidGroupId);
    }
    let allowed = settings.session_timeout_min..=settings.session_timeout_max;
    if !allowed.contains(&request.session_timeout) {
        return Err(JoinError::InvalidSessionTimeout {
            requested: request.session_timeout,
            min: settings.session_timeout_min,
            max: settings.session_timeout_max,
        });
    }
    Ok(())
}

/// Joins a group that exists; one that does not is created before, if the request has no member id.
pub(crate) fn join(
    group: &mut ClassicGroup,
    transition: &mut Transition<'_>,
    mut request: JoinRequest,
    token: ReplyToken,
) {
    keep_first_of_each_name(&mut request.protocols);
    let member = request.member.take();
    if !has_room(group, transition.settings, member.as_ref()) {
        if let Some(member) = &member {
            group.remove(transition, member);
            transition.cancel(&TimerKey::Session(group.id.clone(), member.clone()));
        }
        let max = transition.settings.group_size_max;
        return refuse(
            transition,
            token,
            None,
            JoinError::GroupMaxSizeReached { max },
        );
    }
    if !group.supports_protocols(&request.protocol_type, &request.protocols) {
        return refuse(transition, token, member, JoinError::InconsistentProtocol);
    }
    match member {
        None => join_new(group, transition, request, token),
        Some(member) => join_again(group, transition, request, member, token),
    }
}

/// Kafka's decoder keeps protocols in a collection keyed by name, which refuses the second of a name.
fn keep_first_of_each_name(protocols: &mut Vec<MemberProtocol>) {
    let mut names = HashSet::with_capacity(protocols.len());
    protocols.retain(|protocol| names.insert(protocol.name.clone()));
}

/// Whether the group can take the member (`acceptJoiningMember`). During the join phase those who have joined are
/// counted, not those who might: so a group that shrank its largest size drops whoever comes last.
fn has_room(group: &ClassicGroup, settings: &GroupSettings, member: Option<&MemberId>) -> bool {
    let known = member.and_then(|member| group.member(member));
    match group.state() {
        GroupState::Empty => true,
        GroupState::PreparingRebalance => {
            known.is_some_and(|member| member.parked_join.is_some())
                || group.awaiting_join() < settings.group_size_max
        }
        GroupState::CompletingRebalance | GroupState::Stable => {
            known.is_some() || group.members().len() < settings.group_size_max
        }
    }
}

fn refuse(
    transition: &mut Transition<'_>,
    token: ReplyToken,
    member: Option<MemberId>,
    error: JoinError,
) {
    transition.reply(token, GroupReply::Join(JoinReply::refused(member, error)));
}

fn join_new(
    group: &mut ClassicGroup,
    transition: &mut Transition<'_>,
    request: JoinRequest,
    token: ReplyToken,
) {
    let id = new_member_id(&request);
    if let Some(instance) = &request.instance {
        match group.static_member(instance).cloned() {
            Some(old) => join_replacing(group, transition, request, old, id, token),
            None => add_member(group, transition, request, id, token),
        }
    } else if request.requires_known_member {
        group.pending_join.insert(id.clone());
        let expiry = TimerAction::ExpireSession {
            group: group.id.clone(),
            member: id.clone(),
        };
        transition.schedule(request.session_timeout, expiry);
        refuse(transition, token, Some(id), JoinError::MemberIdRequired);
    } else {
        add_member(group, transition, request, id, token);
    }
}

/// `<client id or instance id>-<random UUID>`, Kafka's form. A name so long that the id would fit no message is cut.
fn new_member_id(request: &JoinRequest) -> MemberId {
    let name = match &request.instance {
        Some(instance) => instance.as_str(),
        None => &request.client.id,
    };
    let name = &name[..name.floor_char_boundary(TEXT_BYTES_MAX - MEMBER_ID_SUFFIX_BYTES)];
    let mut bits = u128::from_be_bytes(request.randomness);
    // Version 4, variant 2 (RFC 9562, section 5.4), as java.util.UUID.randomUUID sets them.
    bits = bits & !(0xf << 76) | 4 << 76;
    bits = bits & !(0x3 << 62) | 2 << 62;
    let hex = format!("{bits:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    let uuid = parts.join("-");
    MemberId::new(&format!("{name}-{uuid}"))
}

fn add_member(
    group: &mut ClassicGroup,
    transition: &mut Transition<'_>,
    request: JoinRequest,
    id: MemberId,
    token: ReplyToken,
) {
    if group.is_initial_rebalance() {
        group.new_member_added = true;
    }
    let member = Member {
        id: id.clone(),
        instance: request.instance,
        client: request.client,
        rebalance_timeout: request.rebalance_timeout,
        session_timeout: request.session_timeout,
        protocols: request.protocols,
        assignment: Arc::from([]),
        parked_join: Some(token),
        parked_sync: None,
        is_new: true,
    };
    group.add(member, &request.protocol_type);
    // A new member cannot heartbeat before it is answered, and a client that gave up and tries again would pile up
    // dead members; so its first wait is bounded by a timeout of its own.
    let expiry = TimerAction::ExpireSession {
        group: group.id.clone(),
        member: id,
    };
    transition.schedule(transition.settings.new_member_join_timeout, expiry);
    prepare_or_complete(group, transition);
}

fn join_again(
    group: &mut ClassicGroup,
    transition: &mut Transition<'_>,
    request: JoinRequest,
    id: MemberId,
    token: ReplyToken,
) {
    if group.pending_join.contains(&id) {
        if request.instance.is_some() {
            let error = JoinError::PendingMemberIsStatic;
            return refuse(transition, token, Some(id), error);
        }
        return add_member(group, transition, request, id, token);
    }
    if let Err(mismatch) = group.validate_member(Some(&id), request.instance.as_ref()) {
        return refuse(transition, token, Some(id), mismatch.into());
    }
    let unchanged = group
        .member(&id)
        .is_some_and(|member| member.protocols == request.protocols);
    let answer_now = match group.state() {
        // A validated member belongs to a group that is not Empty.
        GroupState::Empty | GroupState::PreparingRebalance => false,
        // The member probably missed the answer to its first JoinGroup.
        GroupState::CompletingRebalance => unchanged,
        // A leader joins again to have partitions assigned anew, for example when a topic has grown.
        GroupState::Stable => unchanged && !group.is_leader(&id),
    };
    if answer_now {
        let joined = JoinReply::joined(group, &id);
        return transition.reply(token, GroupReply::Join(joined));
    }
    group.update_member(
        &id,
        request.protocols,
        request.rebalance_timeout,
        request.session_timeout,
    );
    group.park_join(transition, &id, token);
    prepare_or_complete(group, transition);
}
