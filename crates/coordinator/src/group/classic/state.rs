//! What a classic group is at one moment, and the steps that keep its parts consistent.
//!
//! Invariants, kept by the methods here: `awaiting_join` counts the members with a parked JoinGroup; `supported`
//! counts per protocol the members that support it; `static_members` maps to existing members; the leader, if there
//! is one, is a member; a pending member is not a member; no member is removed while a reply is owed to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use types::{GroupId, InstanceId, MemberId, Timestamp, TopicName};

use super::generation::{Generation, GroupState};
use super::join::{JoinError, JoinReply};
use super::member::{Member, MemberProtocol};
use super::subscription::subscribed_topics;
use super::sync::SyncError;
use crate::group::record::{GroupMetadata, MemberMetadata};
use crate::group::request::{GroupReply, ReplyToken};
use crate::group::transition::Transition;

/// The protocol type of consumers; others (`connect`, ...) have subscriptions that the coordinator cannot read.
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Why a request that names a member is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberMismatch {
    Unknown,
    Fenced,
}

/// One classic group.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    pub(super) id: GroupId,
    state: GroupState,
    previous_state: Option<GroupState>,
    state_timestamp: Option<Timestamp>,
    protocol_type: Option<Arc<str>>,
    protocol: Option<Arc<str>>,
    generation: Generation,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    static_members: BTreeMap<InstanceId, MemberId>,
    /// Ids given out with MEMBER_ID_REQUIRED that have not joined yet.
    pub(super) pending_join: BTreeSet<MemberId>,
    /// Members of this generation that have not sent SyncGroup.
    pub(super) pending_sync: BTreeSet<MemberId>,
    supported: BTreeMap<Arc<str>, usize>,
    awaiting_join: usize,
    /// Topics of all members' subscriptions; `None` where they cannot be known.
    subscribed_topics: Option<BTreeSet<TopicName>>,
    /// Somebody joined during the first join phase since its timer was set.
    pub(super) new_member_added: bool,
}

impl ClassicGroup {
    /// A group without members, protocol or history.
    pub(crate) fn new(id: GroupId, now: Timestamp) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            previous_state: None,
            state_timestamp: Some(now),
            protocol_type: None,
            protocol: None,
            generation: Generation::ZERO,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_join: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            supported: BTreeMap::new(),
            awaiting_join: 0,
            subscribed_topics: None,
            new_member_added: false,
        }
    }

    /// The group a record describes: Stable if it has members, else Empty. `None` if a member, or the instance id of
    /// two members, occurs twice, or members have no chosen protocol.
    pub(crate) fn from_record(id: GroupId, value: GroupMetadata) -> Option<Self> {
        let mut group = Self {
            state: if value.members.is_empty() {
                GroupState::Empty
            } else {
                GroupState::Stable
            },
            state_timestamp: value.state_timestamp,
            protocol_type: value.protocol_type,
            protocol: value.protocol,
            generation: value.generation,
            ..Self::new(id, Timestamp::default())
        };
        let has_members = !value.members.is_empty();
        for metadata in value.members {
            let protocol = MemberProtocol {
                name: group.protocol.clone()?,
                metadata: metadata.subscription,
            };
            let member = Member {
                id: metadata.member,
                instance: metadata.instance,
                client: metadata.client,
                rebalance_timeout: metadata.rebalance_timeout,
                session_timeout: metadata.session_timeout,
                protocols: vec![protocol],
                assignment: metadata.assignment,
                parked_join: None,
                parked_sync: None,
                is_new: false,
            };
            let twice = member
                .instance
                .as_ref()
                .is_some_and(|instance| group.static_members.contains_key(instance));
            if twice || group.members.contains_key(&member.id) {
                return None;
            }
            group.insert(member);
        }
        let leader = value.leader;
        if has_members
            && leader
                .as_ref()
                .is_some_and(|leader| group.members.contains_key(leader))
        {
            group.leader = leader;
        }
        group.subscribed_topics = group.compute_subscribed_topics();
        Some(group)
    }

    /// A Stable group of consumers with these members, as a consumer group becomes when only members of the classic
    /// protocol are left. `None` if they have no protocol in common.
    pub(crate) fn stable(
        id: GroupId,
        generation: Generation,
        members: Vec<Member>,
        now: Timestamp,
    ) -> Option<Self> {
        let mut group = Self {
            state: GroupState::Stable,
            protocol_type: Some(Arc::from(CONSUMER_PROTOCOL_TYPE)),
            generation,
            ..Self::new(id, now)
        };
        for member in members {
            group.insert(member);
        }
        group.protocol = Some(group.select_protocol()?);
        group.subscribed_topics = group.compute_subscribed_topics();
        Some(group)
    }

    /// Refuses whatever waits for an answer: the group is about to become one of another protocol.
    pub(crate) fn refuse_everybody(&mut self, transition: &mut Transition<'_>) {
        for id in self.member_ids() {
            let refused = JoinReply::refused(Some(id.clone()), JoinError::Upgraded);
            self.answer_join(transition, &id, refused);
            let refused = GroupReply::Sync(Err(SyncError::RebalanceInProgress));
            self.answer_sync(transition, &id, refused);
        }
    }

    /// What must survive a restart. Meaningful in Empty and Stable; `None` while members have no chosen protocol.
    pub(crate) fn to_record(&self) -> Option<GroupMetadata> {
        let mut members = Vec::with_capacity(self.members.len());
        for member in self.members.values() {
            let protocol = self.protocol.as_ref()?;
            members.push(MemberMetadata {
                member: member.id.clone(),
                instance: member.instance.clone(),
                client: member.client.clone(),
                rebalance_timeout: member.rebalance_timeout,
                session_timeout: member.session_timeout,
                subscription: member.metadata(protocol)?.clone(),
                assignment: member.assignment.clone(),
            });
        }
        Some(GroupMetadata {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_timestamp: self.state_timestamp,
            members,
        })
    }

    pub(crate) fn id(&self) -> &GroupId {
        &self.id
    }

    pub(crate) fn state(&self) -> GroupState {
        self.state
    }

    /// When the group entered its state, if its record said so.
    pub(crate) fn state_timestamp(&self) -> Option<Timestamp> {
        self.state_timestamp
    }

    /// Whether this is the first join phase since the group was Empty, which waits for more members.
    pub(super) fn is_initial_rebalance(&self) -> bool {
        self.state == GroupState::PreparingRebalance
            && self.previous_state == Some(GroupState::Empty)
    }

    pub(super) fn transition_to(&mut self, state: GroupState, now: Timestamp) {
        use GroupState::{CompletingRebalance, Empty, PreparingRebalance, Stable};
        let legal = matches!(
            (self.state, state),
            (PreparingRebalance, Empty | CompletingRebalance)
                | (Stable | CompletingRebalance | Empty, PreparingRebalance)
                | (CompletingRebalance, Stable)
        );
        assert!(legal, "no transition from {} to {state}", self.state);
        self.previous_state = Some(self.state);
        self.state = state;
        self.state_timestamp = Some(now);
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    pub(crate) fn protocol_type(&self) -> Option<&Arc<str>> {
        self.protocol_type.as_ref()
    }

    pub(crate) fn protocol(&self) -> Option<&Arc<str>> {
        self.protocol.as_ref()
    }

    pub(crate) fn leader(&self) -> Option<&MemberId> {
        self.leader.as_ref()
    }

    pub(super) fn is_leader(&self, member: &MemberId) -> bool {
        self.leader.as_ref() == Some(member)
    }

    pub(crate) fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    /// Ids given out with MEMBER_ID_REQUIRED that have not joined yet.
    pub(crate) fn pending_members(&self) -> impl Iterator<Item = &MemberId> {
        self.pending_join.iter()
    }

    pub(crate) fn member_ids(&self) -> Vec<MemberId> {
        self.members.keys().cloned().collect()
    }

    pub(crate) fn member(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id)
    }

    /// A member, to change what no count of the group depends on.
    pub(super) fn member_mut(&mut self, id: &MemberId) -> Option<&mut Member> {
        self.members.get_mut(id)
    }

    pub(super) fn static_member(&self, instance: &InstanceId) -> Option<&MemberId> {
        self.static_members.get(instance)
    }

    pub(super) fn awaiting_join(&self) -> usize {
        self.awaiting_join
    }

    /// Whether everybody the join phase waits for has come.
    pub(super) fn all_have_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_join.is_empty()
    }

    /// The longest any member may take to join again.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        self.members
            .values()
            .map(|member| member.rebalance_timeout)
            .max()
            .unwrap_or_default()
    }

    /// Checks that `member`, known by `instance` if it is static, belongs to the group and has not been replaced.
    pub(crate) fn validate_member(
        &self,
        member: Option<&MemberId>,
        instance: Option<&InstanceId>,
    ) -> Result<MemberId, MemberMismatch> {
        if let Some(instance) = instance {
            let current = self.static_members.get(instance);
            if member != Some(current.ok_or(MemberMismatch::Unknown)?) {
                return Err(MemberMismatch::Fenced);
            }
        }
        member
            .filter(|member| self.members.contains_key(*member))
            .cloned()
            .ok_or(MemberMismatch::Unknown)
    }

    /// Whether a member with these protocols could join: a group with members fixes the type, and at least one
    /// protocol must be supported by all of them.
    pub(super) fn supports_protocols(
        &self,
        protocol_type: &str,
        protocols: &[MemberProtocol],
    ) -> bool {
        if self.state == GroupState::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let everybody = self.members.len();
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| {
                self.supported.get(&protocol.name).copied().unwrap_or(0) == everybody
            })
    }

    /// Adds a member that [`Self::supports_protocols`] accepted. The first one leads, and sets the protocol type.
    pub(super) fn add(&mut self, member: Member, protocol_type: &Arc<str>) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.clone());
        }
        self.insert(member);
    }

    fn insert(&mut self, member: Member) {
        if let Some(instance) = &member.instance {
            self.static_members
                .insert(instance.clone(), member.id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        if member.parked_join.is_some() {
            self.awaiting_join += 1;
        }
        self.pending_join.remove(&member.id);
        self.count_protocols(&member.protocols);
        let replaced = self.members.insert(member.id.clone(), member);
        assert!(replaced.is_none(), "a member is added once");
    }

    fn count_protocols(&mut self, protocols: &[MemberProtocol]) {
        for protocol in protocols {
            *self.supported.entry(protocol.name.clone()).or_default() += 1;
        }
    }

    fn discount_protocols(&mut self, protocols: &[MemberProtocol]) {
        for protocol in protocols {
            if let Some(count) = self.supported.get_mut(&protocol.name) {
                *count -= 1;
                if *count == 0 {
                    self.supported.remove(&protocol.name);
                }
            }
        }
    }

    /// Removes a member or a pending one. What is owed to it is answered with UNKNOWN_MEMBER_ID, so that a client
    /// that still lives joins again. Its session timer is the caller's business.
    pub(super) fn remove(&mut self, transition: &mut Transition<'_>, id: &MemberId) {
        self.pending_join.remove(id);
        self.pending_sync.remove(id);
        self.answer_join(
            transition,
            id,
            JoinReply::refused(None, JoinError::UnknownMember),
        );
        self.answer_sync(
            transition,
            id,
            GroupReply::Sync(Err(SyncError::UnknownMember)),
        );
        let Some(member) = self.members.remove(id) else {
            return;
        };
        self.discount_protocols(&member.protocols);
        if let Some(instance) = &member.instance {
            self.static_members.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Gives a static member a new id. The old one is fenced: what is owed to it is answered so.
    pub(super) fn replace_static_member(
        &mut self,
        transition: &mut Transition<'_>,
        old: &MemberId,
        new: &MemberId,
    ) {
        let fenced = JoinReply::refused(Some(old.clone()), JoinError::FencedInstance);
        self.answer_join(transition, old, fenced);
        self.answer_sync(
            transition,
            old,
            GroupReply::Sync(Err(SyncError::FencedInstance)),
        );
        let Some(mut member) = self.members.remove(old) else {
            return;
        };
        member.id = new.clone();
        member.is_new = false;
        if let Some(instance) = &member.instance {
            self.static_members.insert(instance.clone(), new.clone());
        }
        self.members.insert(new.clone(), member);
        if self.is_leader(old) {
            self.leader = Some(new.clone());
        }
        if self.pending_sync.remove(old) {
            self.pending_sync.insert(new.clone());
        }
    }

    /// Takes over what a member said in its JoinGroup.
    pub(super) fn update_member(
        &mut self,
        id: &MemberId,
        protocols: Vec<MemberProtocol>,
        rebalance_timeout: Duration,
        session_timeout: Duration,
    ) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        member.rebalance_timeout = rebalance_timeout;
        member.session_timeout = session_timeout;
        let before = std::mem::replace(&mut member.protocols, protocols.clone());
        self.discount_protocols(&before);
        self.count_protocols(&protocols);
    }

    /// Parks a JoinGroup until the join phase ends. One already parked by the same member is refused: Kafka forgets
    /// it, but on a connection whose answers keep their order that would block everything behind it.
    pub(super) fn park_join(
        &mut self,
        transition: &mut Transition<'_>,
        id: &MemberId,
        token: ReplyToken,
    ) {
        let superseded = JoinReply::refused(Some(id.clone()), JoinError::Superseded);
        self.answer_join(transition, id, superseded);
        if let Some(member) = self.members.get_mut(id) {
            member.parked_join = Some(token);
            self.awaiting_join += 1;
        }
    }

    /// Parks a SyncGroup until the leader's assignment comes; see [`Self::park_join`] about a second one.
    pub(super) fn park_sync(
        &mut self,
        transition: &mut Transition<'_>,
        id: &MemberId,
        token: ReplyToken,
    ) {
        self.answer_sync(transition, id, GroupReply::Sync(Err(SyncError::Superseded)));
        if let Some(member) = self.members.get_mut(id) {
            member.parked_sync = Some(token);
        }
    }

    pub(super) fn answer_join(
        &mut self,
        transition: &mut Transition<'_>,
        id: &MemberId,
        reply: JoinReply,
    ) {
        let member = self.members.get_mut(id);
        if let Some(token) = member.and_then(|member| member.parked_join.take()) {
            self.awaiting_join -= 1;
            transition.reply(token, GroupReply::Join(reply));
        }
    }

    /// Answers a parked SyncGroup; says whether there was one.
    pub(super) fn answer_sync(
        &mut self,
        transition: &mut Transition<'_>,
        id: &MemberId,
        reply: GroupReply,
    ) -> bool {
        let member = self.members.get_mut(id);
        let token = member.and_then(|member| member.parked_sync.take());
        if let Some(token) = token {
            transition.reply(token, reply);
        }
        token.is_some()
    }

    /// Makes a member that has joined the leader, if the present one has not. False if there is none.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let Some(leader) = self
            .leader
            .as_ref()
            .and_then(|leader| self.members.get(leader))
        else {
            return false;
        };
        if leader.parked_join.is_some() {
            return true;
        }
        let joined = self
            .members
            .values()
            .find(|member| member.parked_join.is_some());
        match joined {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    /// Begins the next generation with the members that are left.
    pub(super) fn begin_generation(&mut self, now: Timestamp) {
        self.generation = self.generation.next();
        self.pending_sync.clear();
        self.protocol = self.select_protocol();
        self.subscribed_topics = self.compute_subscribed_topics();
        let next = if self.members.is_empty() {
            GroupState::Empty
        } else {
            GroupState::CompletingRebalance
        };
        self.transition_to(next, now);
    }

    /// The protocol with the most votes among those that all members support; the first by name among equals, so
    /// that the choice does not depend on chance. `None` without members.
    pub(super) fn select_protocol(&self) -> Option<Arc<str>> {
        let everybody = self.members.len();
        let candidates: BTreeSet<&str> = self
            .supported
            .iter()
            .filter(|(_, count)| **count == everybody)
            .map(|(name, _)| name.as_ref())
            .collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for vote in self
            .members
            .values()
            .filter_map(|member| member.vote(&candidates))
        {
            *votes.entry(vote).or_default() += 1;
        }
        let most = votes.values().max()?;
        let (winner, _) = votes.iter().find(|(_, count)| *count == most)?;
        Some(Arc::from(*winner))
    }

    pub(crate) fn is_simple(&self) -> bool {
        self.protocol_type.is_none()
    }

    pub(crate) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// Whether the members' subscriptions could be read.
    pub(crate) fn knows_subscribed_topics(&self) -> bool {
        self.subscribed_topics.is_some()
    }

    /// Whether a member reads `topic`; yes for consumers whose subscriptions cannot be read.
    pub(crate) fn is_subscribed(&self, topic: &TopicName) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    fn compute_subscribed_topics(&self) -> Option<BTreeSet<TopicName>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let metadata = member.metadata(self.protocol.as_deref()?)?;
            topics.extend(subscribed_topics(metadata)?);
        }
        Some(topics)
    }
}

#[cfg(test)]
impl ClassicGroup {
    /// Tokens of requests that wait for an answer.
    pub(crate) fn parked_tokens(&self) -> Vec<ReplyToken> {
        let parked = |member: &Member| [member.parked_join, member.parked_sync];
        self.members.values().flat_map(parked).flatten().collect()
    }

    /// Panics unless the invariants at the top of this file hold.
    pub(crate) fn assert_consistent(&self) {
        let awaiting = self
            .members
            .values()
            .filter(|member| member.parked_join.is_some());
        assert_eq!(self.awaiting_join, awaiting.count());
        let mut supported: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for protocol in self.members.values().flat_map(|member| &member.protocols) {
            *supported.entry(protocol.name.clone()).or_default() += 1;
        }
        assert_eq!(self.supported, supported);
        for (instance, id) in &self.static_members {
            assert_eq!(self.members[id].instance.as_ref(), Some(instance));
        }
        let instances = self
            .members
            .values()
            .filter(|member| member.instance.is_some());
        assert_eq!(instances.count(), self.static_members.len());
        assert_eq!(self.leader.is_some(), !self.members.is_empty());
        assert!(
            self.leader
                .as_ref()
                .is_none_or(|leader| self.members.contains_key(leader))
        );
        assert!(
            self.pending_join
                .iter()
                .all(|id| !self.members.contains_key(id))
        );
        assert!(
            self.pending_sync
                .iter()
                .all(|id| self.members.contains_key(id))
        );
        for member in self.members.values() {
            assert!(member.parked_join.is_none() || self.state == GroupState::PreparingRebalance);
            assert!(member.parked_sync.is_none() || self.state == GroupState::CompletingRebalance);
            assert!(!member.protocols.is_empty());
        }
        assert!(self.state != GroupState::Empty || self.members.is_empty());
        let settled = matches!(
            self.state,
            GroupState::CompletingRebalance | GroupState::Stable
        );
        assert!(!settled || !self.members.is_empty());
    }
}
