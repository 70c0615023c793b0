//! Drives a shard as the runtime does, and remembers what it owes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use types::{GroupId, InstanceId, Instant, MemberId, PartitionIndex, Timestamp, TopicName};

use crate::group::classic::generation::{Generation, GroupState};
use crate::group::classic::heartbeat::{HeartbeatError, HeartbeatRequest};
use crate::group::classic::join::{JoinError, JoinReply, JoinRequest, JoinedGroup};
use crate::group::classic::leave::{LeaveMemberError, LeaveRequest, LeavingMember};
use crate::group::classic::member::{Client, MemberProtocol};
use crate::group::classic::state::ClassicGroup;
use crate::group::classic::sync::{MemberAssignment, SyncError, SyncRequest, SyncedMember};
use crate::group::consumer::pattern::TopicSearch;
use crate::group::kind::Group;
use crate::group::offsets::commit::{
    CommitError, CommitPartition, CommitRequest, CommitTopic, CommittedTopic,
};
use crate::group::offsets::fetch::{FetchOffsetsRequest, FetchTopic, TopicSelection};
use crate::group::record::GroupRecord;
use crate::group::request::{GroupEffect, GroupReply, GroupRequest, Output, ReplyToken};
use crate::group::settings::GroupSettings;
use crate::group::shard::GroupShard;
use crate::group::time::Now;
use crate::machine::{EndMarker, Machine, Origin, Producer};

pub(super) const SESSION: Duration = Duration::from_secs(10);
pub(super) const REBALANCE: Duration = Duration::from_secs(60);
pub(super) const GROUP: &str = "readers";

pub(super) fn group_id() -> GroupId {
    GroupId::new(GROUP)
}

pub(super) fn topic(name: &str) -> TopicName {
    TopicName::new(name)
}

pub(super) fn partition(index: i32) -> PartitionIndex {
    PartitionIndex::new(index).expect("not negative")
}

/// A ConsumerProtocolSubscription of version 0.
pub(super) fn subscription(topics: &[&str]) -> Arc<[u8]> {
    let mut bytes = vec![0, 0];
    bytes.extend(i32::try_from(topics.len()).unwrap().to_be_bytes());
    for topic in topics {
        bytes.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1_i32).to_be_bytes());
    Arc::from(bytes)
}

pub(super) fn protocol(name: &str, topics: &[&str]) -> MemberProtocol {
    MemberProtocol {
        name: Arc::from(name),
        metadata: subscription(topics),
    }
}

/// A JoinGroup as a modern consumer sends it.
pub(super) fn join_request() -> JoinRequest {
    JoinRequest {
        group: group_id(),
        member: None,
        instance: None,
        client: Client {
            id: Arc::from("client"),
            host: Arc::from("/127.0.0.1"),
        },
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: Arc::from("consumer"),
        protocols: vec![protocol("range", &["flights"])],
        requires_known_member: true,
        supports_skip_assignment: true,
        randomness: [0; 16],
    }
}

/// What stands in the log.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all entries are records")]
enum Entry {
    Record(Option<Producer>, GroupRecord),
    Marker(EndMarker),
}

pub(super) struct Harness {
    pub(super) shard: GroupShard,
    pub(super) now: Now,
    /// Every record written, in order.
    pub(super) log: Vec<GroupRecord>,
    /// The same, with producers and markers.
    entries: Vec<Entry>,
    /// What groups want searched for and nobody has searched for yet.
    pub(super) searches: Vec<TopicSearch>,
    replies: BTreeMap<ReplyToken, GroupReply>,
    owed: BTreeSet<ReplyToken>,
    tokens: u64,
}

impl Harness {
    /// Without initial delay, so that most scenarios need no clock.
    pub(super) fn new() -> Self {
        Self::with(GroupSettings {
            initial_rebalance_delay: Duration::ZERO,
            ..GroupSettings::default()
        })
    }

    pub(super) fn with(settings: GroupSettings) -> Self {
        let mut harness = Self {
            shard: GroupShard::new(settings),
            now: Now {
                instant: Instant::default(),
                wall: Timestamp::from_ms(1_700_000_000_000),
            },
            log: Vec::new(),
            entries: Vec::new(),
            searches: Vec::new(),
            replies: BTreeMap::new(),
            owed: BTreeSet::new(),
            tokens: 0,
        };
        let output = harness.shard.start(harness.now);
        harness.take(output);
        harness
    }

    fn take(&mut self, output: Output) {
        let records = output.records.iter().cloned();
        self.entries
            .extend(records.map(|record| Entry::Record(output.producer, record)));
        self.entries
            .extend(output.markers.into_iter().map(Entry::Marker));
        self.log.extend(output.records);
        for GroupEffect::SearchTopics(search) in output.effects {
            self.searches.push(search);
        }
        for (token, reply) in output.replies {
            assert!(self.owed.remove(&token), "{token:?} is answered once");
            self.replies.insert(token, reply);
        }
        for group in self.shard.groups.values().filter_map(Group::consumer) {
            group.assert_consistent();
        }
        for group in self.shard.groups.values().filter_map(Group::classic) {
            group.assert_consistent();
        }
        let parked = self
            .shard
            .groups
            .values()
            .filter_map(Group::classic)
            .flat_map(ClassicGroup::parked_tokens);
        assert_eq!(
            parked.collect::<BTreeSet<_>>(),
            self.owed,
            "no reply is lost"
        );
    }

    /// Sends a request and leaves its reply, if any, to be taken later. Joins get randomness of their own.
    pub(super) fn send(&mut self, mut request: GroupRequest) -> ReplyToken {
        self.tokens += 1;
        if let GroupRequest::Join(join) = &mut request
            && join.randomness == [0; 16]
        {
            join.randomness[..8].copy_from_slice(&self.tokens.to_be_bytes());
        }
        let token = ReplyToken(self.tokens);
        self.owed.insert(token);
        let output = self.shard.handle(self.now, token, request);
        self.take(output);
        token
    }

    /// Tells the shard what the cluster is set to now; a restart begins with it.
    pub(super) fn configure(&mut self, settings: GroupSettings) {
        let output = self.shard.configure(self.now, settings);
        self.take(output);
    }

    pub(super) fn tick(&mut self) {
        let output = self.shard.tick(self.now);
        self.take(output);
    }

    /// Does everything that is due now.
    pub(super) fn settle(&mut self) {
        self.advance(Duration::ZERO);
    }

    /// Searches for what groups want searched for.
    fn search(&mut self) {
        for search in std::mem::take(&mut self.searches) {
            let reply = self.call(GroupRequest::TopicsFound(search.run()));
            assert_eq!(reply, GroupReply::TopicsFound);
        }
    }

    /// Lets time pass, ticking whenever something is due.
    pub(super) fn advance(&mut self, duration: Duration) {
        self.search();
        let end = self.now.instant.plus(duration);
        while let Some(due) = self.shard.next_deadline().filter(|due| *due <= end) {
            self.set_time(due.max(self.now.instant));
            self.tick();
        }
        self.set_time(end);
    }

    fn set_time(&mut self, instant: Instant) {
        let passed = instant.since(self.now.instant);
        let passed_ms = i64::try_from(passed.as_millis()).unwrap();
        self.now = Now {
            instant,
            wall: Timestamp::from_ms(self.now.wall.ms() + passed_ms),
        };
    }

    pub(super) fn reply(&mut self, token: ReplyToken) -> Option<GroupReply> {
        self.replies.remove(&token)
    }

    pub(super) fn call(&mut self, request: GroupRequest) -> GroupReply {
        let token = self.send(request);
        self.reply(token).expect("answered at once")
    }

    pub(super) fn group(&self) -> &ClassicGroup {
        self.shard.groups[GROUP].classic().expect("a classic group")
    }

    pub(super) fn state(&self) -> GroupState {
        self.group().state()
    }

    pub(super) fn join_reply(&mut self, token: ReplyToken) -> Option<JoinReply> {
        match self.reply(token)? {
            GroupReply::Join(reply) => Some(reply),
            other => panic!("not a join: {other:?}"),
        }
    }

    pub(super) fn joined(&mut self, token: ReplyToken) -> JoinedGroup {
        let reply = self.join_reply(token).expect("the join is answered");
        reply.result.expect("the join is accepted")
    }

    pub(super) fn join_now(&mut self, request: JoinRequest) -> JoinReply {
        let token = self.send(GroupRequest::Join(request));
        self.join_reply(token).expect("answered at once")
    }

    pub(super) fn join_error(&mut self, request: JoinRequest) -> JoinError {
        self.join_now(request).result.expect_err("refused")
    }

    /// An id for a new dynamic member.
    pub(super) fn new_member(&mut self) -> MemberId {
        let reply = self.join_now(join_request());
        assert_eq!(reply.result, Err(JoinError::MemberIdRequired));
        reply.member.expect("an id is given")
    }

    pub(super) fn rejoin(&mut self, member: &MemberId) -> ReplyToken {
        self.send(GroupRequest::Join(JoinRequest {
            member: Some(member.clone()),
            ..join_request()
        }))
    }

    pub(super) fn sync(
        &mut self,
        member: &MemberId,
        generation: Generation,
        assignments: &[(&MemberId, &[u8])],
    ) -> ReplyToken {
        let assigned = |(member, assignment): &(&MemberId, &[u8])| MemberAssignment {
            member: (*member).clone(),
            assignment: Arc::from(*assignment),
        };
        self.send(GroupRequest::Sync(SyncRequest {
            group: group_id(),
            member: Some(member.clone()),
            instance: None,
            generation: Some(generation),
            protocol_type: None,
            protocol: None,
            assignments: assignments.iter().map(assigned).collect(),
        }))
    }

    pub(super) fn synced(&mut self, token: ReplyToken) -> Result<SyncedMember, SyncError> {
        match self.reply(token) {
            Some(GroupReply::Sync(result)) => result,
            other => panic!("not a sync: {other:?}"),
        }
    }

    /// A Stable group of `count` dynamic members, the leader first.
    pub(super) fn stable_group(&mut self, count: usize) -> Vec<MemberId> {
        let members: Vec<MemberId> = (0..count).map(|_| self.new_member()).collect();
        let tokens: Vec<ReplyToken> = members.iter().map(|member| self.rejoin(member)).collect();
        self.settle();
        self.complete(members, &tokens)
    }

    /// Syncs members whose joins have been answered; gives them back, the leader first.
    pub(super) fn complete(
        &mut self,
        mut members: Vec<MemberId>,
        tokens: &[ReplyToken],
    ) -> Vec<MemberId> {
        let mut leader = None;
        let mut generation = Generation::ZERO;
        for (member, token) in members.iter().zip(tokens) {
            let joined = self.joined(*token);
            generation = joined.generation;
            if joined.leader.as_ref() == Some(member) {
                leader = joined.leader;
            }
        }
        let leader = leader.expect("one of them leads");
        members.sort_by_key(|member| *member != leader);
        let assignments: Vec<(&MemberId, &[u8])> = members
            .iter()
            .map(|member| (member, member.as_str().as_bytes()))
            .collect();
        let tokens: Vec<ReplyToken> = members
            .iter()
            .rev()
            .map(|member| self.sync(member, generation, &assignments))
            .collect();
        for (member, token) in members.iter().rev().zip(tokens) {
            let synced = self.synced(token).expect("assigned");
            assert_eq!(&*synced.assignment, member.as_str().as_bytes());
        }
        assert_eq!(self.state(), GroupState::Stable);
        members
    }

    pub(super) fn heartbeat(&mut self, member: &MemberId) -> Result<(), HeartbeatError> {
        let generation = self.group().generation();
        self.heartbeat_with(member, None, generation)
    }

    pub(super) fn heartbeat_with(
        &mut self,
        member: &MemberId,
        instance: Option<&InstanceId>,
        generation: Generation,
    ) -> Result<(), HeartbeatError> {
        let reply = self.call(GroupRequest::Heartbeat(HeartbeatRequest {
            group: group_id(),
            member: Some(member.clone()),
            instance: instance.cloned(),
            generation: Some(generation),
        }));
        match reply {
            GroupReply::Heartbeat(result) => result,
            other => panic!("not a heartbeat: {other:?}"),
        }
    }

    pub(super) fn leave(
        &mut self,
        members: &[(Option<&MemberId>, Option<&InstanceId>)],
    ) -> Vec<Result<(), LeaveMemberError>> {
        let leaving =
            |(member, instance): &(Option<&MemberId>, Option<&InstanceId>)| LeavingMember {
                member: member.cloned(),
                instance: instance.cloned(),
            };
        let reply = self.call(GroupRequest::Leave(LeaveRequest {
            group: group_id(),
            members: members.iter().map(leaving).collect(),
        }));
        match reply {
            GroupReply::Leave(Ok(left)) => left.into_iter().map(|left| left.result).collect(),
            other => panic!("not a leave: {other:?}"),
        }
    }

    pub(super) fn commit(
        &mut self,
        member: Option<&MemberId>,
        generation: Option<Generation>,
        name: &str,
        offset: i64,
    ) -> Result<Vec<CommittedTopic>, CommitError> {
        self.commit_request(CommitRequest {
            group: group_id(),
            member: member.cloned(),
            instance: None,
            generation,
            retention_ms: None,
            takes_member_epochs: true,
            topics: vec![commit_topic(name, offset)],
        })
    }

    pub(super) fn commit_request(
        &mut self,
        request: CommitRequest,
    ) -> Result<Vec<CommittedTopic>, CommitError> {
        match self.call(GroupRequest::Commit(request)) {
            GroupReply::Commit(result) => result,
            other => panic!("not a commit: {other:?}"),
        }
    }

    /// The offset committed for partition 0 of a topic.
    pub(super) fn committed(&mut self, name: &str) -> Option<i64> {
        let reply = self.call(GroupRequest::FetchOffsets(FetchOffsetsRequest {
            group: group_id(),
            member: None,
            member_epoch: -1,
            topics: TopicSelection::Topics(vec![FetchTopic {
                topic: topic(name),
                topic_id: None,
                partitions: vec![partition(0)],
            }]),
            require_stable: false,
        }));
        let GroupReply::FetchOffsets(Ok(topics)) = reply else {
            panic!("not a fetch: {reply:?}");
        };
        let offset = topics[0].partitions[0].result.clone().expect("stable");
        offset.map(|offset| offset.offset)
    }

    /// A fresh shard that has read the log.
    pub(super) fn restarted(&self) -> Self {
        let mut restarted = Self::with(self.shard.settings.clone());
        restarted.now = self.now;
        restarted.shard = GroupShard::new(self.shard.settings.clone());
        for entry in &self.entries {
            match entry.clone() {
                Entry::Record(producer, record) => {
                    let offset = types::Offset::ZERO;
                    let origin = Origin { offset, producer };
                    Machine::replay(&mut restarted.shard, self.now, origin, record)
                        .expect("our own records are consistent");
                }
                Entry::Marker(marker) => restarted.shard.replay_marker(self.now, marker),
            }
        }
        restarted.log.clone_from(&self.log);
        restarted.entries.clone_from(&self.entries);
        restarted.tokens = self.tokens;
        let output = restarted.shard.start(self.now);
        restarted.take(output);
        restarted
    }
}

pub(super) fn commit_topic(name: &str, offset: i64) -> CommitTopic {
    CommitTopic {
        topic: topic(name),
        topic_id: None,
        partitions: vec![CommitPartition {
            partition: partition(0),
            offset,
            leader_epoch: None,
            metadata: None,
        }],
    }
}
