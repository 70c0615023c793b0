//! All groups of one partition of `__consumer_offsets`.
//!
//! The shard routes requests and due timers to the transitions and applies records. Invariants: every token handed to
//! [`GroupShard::handle`] is answered exactly once, by that call or by a later one, as long as the shard lives; what
//! a call returns as records is already applied. Committed offsets and the removal of groups change only through
//! [`GroupShard::replay`]'s path; members change in place, and the record written is a picture of the result.
//!
//! A shard is loaded by [`GroupShard::replay`] for each record of the partition, then [`GroupShard::start`]; only then
//! may requests come.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::{GroupId, Instant};

use crate::machine::{EndMarker, Machine, MachineOutput, Origin, Producer};

use super::classic::expire::{expire_session, expire_sync};
use super::classic::heartbeat::{HeartbeatError, HeartbeatRequest, heartbeat};
use super::classic::join::{self, JoinError, JoinReply, JoinRequest};
use super::classic::leave::{LeaveError, LeaveRequest, LeftMember, leave, leave_unknown_group};
use super::classic::rebalance::{
    complete_join, extend_initial_join, prepare_rebalance, renew_session,
};
use super::classic::state::ClassicGroup;
use super::classic::sync::{SyncError, SyncRequest, sync};
use super::consumer::classic_members;
use super::consumer::leave::{Remaining, expire_revocation};
use super::consumer::regex;
use super::delete::{self, DeleteGroupsRequest, DeletedGroup};
use super::describe::describe;
use super::kind::Group;
use super::list::{GroupType, list};
use super::modern::topics::{KnownTopics, TopicsImage};
use super::offsets;
use super::offsets::commit::{CommitError, CommitRequest, CommittedTopic, TxnCommitRequest};
use super::offsets::delete::{DeleteOffsetsError, DeleteOffsetsRequest, DeletedOffset};
use super::offsets::expire::expire;
use super::offsets::fetch::{FetchOffsetsError, FetchOffsetsRequest, FetchedTopic};
use super::offsets::store::OffsetStore;
use super::record::GroupRecord;
use super::request::{GroupEffect, GroupReply, GroupRequest, Output, ReplyToken};
use super::settings::GroupSettings;
use super::streams::expire::schedule_all;
use super::time::Now;
use super::timers::{TimerAction, Timers};
use super::transition::Transition;

mod consumer;

/// All groups of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct GroupShard {
    pub(super) settings: GroupSettings,
    pub(super) groups: BTreeMap<GroupId, Group>,
    offsets: OffsetStore,
    pub(super) timers: Timers,
    pub(super) topics: KnownTopics,
}

/// Why a record cannot be applied; the shard is as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Two members share an id or instance id, or members have no chosen protocol.
    #[error("the metadata record of group {group} contradicts itself")]
    InconsistentGroup {
        /// The group.
        group: GroupId,
    },
    /// The record is of another kind of group than those before it.
    #[error("the records of group {group} are of different group types")]
    OtherGroupType {
        /// The group.
        group: GroupId,
    },
}

impl Machine for GroupShard {
    type Settings = GroupSettings;
    type Request = GroupRequest;
    type Reply = GroupReply;
    type Record = GroupRecord;
    type Effect = GroupEffect;
    type ReplayError = ReplayError;

    fn new(settings: GroupSettings) -> Self {
        Self::new(settings)
    }

    fn replay(&mut self, now: Now, origin: Origin, record: GroupRecord) -> Result<(), ReplayError> {
        self.replay_of(now, origin.producer, record)
    }

    fn replay_marker(&mut self, _now: Now, marker: EndMarker) {
        self.offsets
            .end_transaction(marker.producer.id, marker.committed);
    }

    fn start(&mut self, now: Now) -> MachineOutput<Self> {
        self.start(now)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.next_deadline()
    }

    fn handle(
        &mut self,
        now: Now,
        token: ReplyToken,
        request: GroupRequest,
    ) -> MachineOutput<Self> {
        self.handle(now, token, request)
    }

    fn tick(&mut self, now: Now) -> MachineOutput<Self> {
        self.tick(now)
    }

    fn configure(&mut self, now: Now, settings: GroupSettings) -> MachineOutput<Self> {
        self.configure(now, settings)
    }
}

impl GroupShard {
    /// Type and state of each group, as Kafka's tools print them.
    pub fn states(&self) -> impl Iterator<Item = (GroupType, &'static str)> {
        let states = self.groups.values();
        states.map(|group| (group.group_type(), group.state_name()))
    }

    /// A shard without groups.
    pub fn new(settings: GroupSettings) -> Self {
        let topics = KnownTopics::new(Arc::clone(&settings.topics));
        Self {
            settings,
            groups: BTreeMap::new(),
            offsets: OffsetStore::default(),
            timers: Timers::default(),
            topics,
        }
    }

    /// Applies a record read from the log, in the order of the log. `now` stands in where a record has no time.
    ///
    /// # Errors
    /// If the record contradicts itself; it is then left out.
    pub fn replay(&mut self, now: Now, record: GroupRecord) -> Result<(), ReplayError> {
        self.replay_of(now, None, record)
    }

    /// As [`Self::replay`], for a record that may belong to a producer's transaction.
    fn replay_of(
        &mut self,
        now: Now,
        producer: Option<Producer>,
        record: GroupRecord,
    ) -> Result<(), ReplayError> {
        match record {
            GroupRecord::GroupMetadata { group, value: None } => {
                // Of a classic group whose place another has taken meanwhile nothing is left to remove.
                if self.groups.get(&group).and_then(Group::classic).is_some() {
                    self.remove_group(&group);
                }
            }
            GroupRecord::Consumer { group, record } => self.replay_consumer(group, record)?,
            GroupRecord::GroupMetadata {
                group: id,
                value: Some(value),
            } => {
                let group = ClassicGroup::from_record(id.clone(), value);
                let group =
                    group.ok_or_else(|| ReplayError::InconsistentGroup { group: id.clone() })?;
                self.groups.insert(id, Group::Classic(group));
            }
            GroupRecord::OffsetCommit {
                group,
                topic,
                partition,
                value: Some(value),
            } => {
                // A group that only commits has no metadata record.
                self.groups
                    .entry(group.clone())
                    .or_insert_with(|| Group::simple(group.clone(), now.wall));
                match producer {
                    None => self.offsets.put(group, topic, partition, value),
                    Some(producer) => {
                        self.offsets
                            .put_pending(producer.id, group, topic, partition, value);
                    }
                }
            }
            GroupRecord::OffsetCommit {
                group,
                topic,
                partition,
                value: None,
            } => self.offsets.remove(&group, &topic, partition),
            GroupRecord::Streams { group, record } => self.replay_streams(group, record)?,
            GroupRecord::Share(record) => {
                let group = record.group.clone();
                if !self.replay_share(now, record) {
                    return Err(ReplayError::OtherGroupType { group });
                }
            }
        }
        Ok(())
    }

    /// Begins to serve after the last record was replayed: the loaded members have their whole session timeout, and a
    /// group beyond the largest size rebalances so that its surplus members can commit and go
    /// (`GroupMetadataManager.onLoaded`).
    pub fn start(&mut self, now: Now) -> Output {
        let mut output = Output::default();
        let mut transition = Transition {
            now,
            settings: &self.settings,
            topics: &self.topics,
            timers: &mut self.timers,
            output: &mut output,
        };
        for group in self.groups.values_mut() {
            match group {
                Group::Classic(group) => start_classic(group, &mut transition),
                Group::Consumer(group) => Self::start_consumer(group, &mut transition),
                // See below.
                Group::Streams(_) | Group::Share(_) => {}
            }
        }
        for group in self.groups.values().filter_map(Group::streams) {
            let settings = &self.settings;
            let own = settings.streams.get(&group.id);
            let settings = own.unwrap_or(&settings.streams_default);
            schedule_all(group, transition.timers, now, settings);
        }
        let interval = self.settings.offsets_retention_check_interval;
        transition.schedule(interval, TimerAction::ExpireOffsets);
        self.start_share_sessions(now);
        output
    }

    /// When [`Self::tick`] has something to do; may be now or earlier.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// Takes up a request. Its reply is in this output or in that of a later call.
    pub fn handle(&mut self, now: Now, token: ReplyToken, request: GroupRequest) -> Output {
        let mut output = Output::default();
        let reply = match request {
            GroupRequest::Join(request) => {
                self.join(now, token, request, &mut output);
                None
            }
            GroupRequest::Sync(request) => {
                self.sync(now, token, request, &mut output);
                None
            }
            GroupRequest::Heartbeat(request) => Some(GroupReply::Heartbeat(self.heartbeat(
                now,
                &request,
                &mut output,
            ))),
            GroupRequest::Leave(request) => {
                Some(GroupReply::Leave(self.leave(now, request, &mut output)))
            }
            GroupRequest::Commit(request) => {
                Some(GroupReply::Commit(self.commit(now, request, &mut output)))
            }
            GroupRequest::TxnCommit(request) => Some(GroupReply::TxnCommit(self.txn_commit(
                now,
                request,
                &mut output,
            ))),
            GroupRequest::EndTransaction(marker) => {
                self.offsets
                    .end_transaction(marker.producer.id, marker.committed);
                output.markers.push(marker);
                Some(GroupReply::EndTransaction)
            }
            GroupRequest::FetchOffsets(request) => {
                Some(GroupReply::FetchOffsets(self.fetch_offsets(request)))
            }
            GroupRequest::DeleteOffsets(request) => Some(GroupReply::DeleteOffsets(
                self.delete_offsets(now, request, &mut output),
            )),
            GroupRequest::StreamsHeartbeat(request) => Some(GroupReply::StreamsHeartbeat(
                self.streams_heartbeat(now, request, &mut output),
            )),
            GroupRequest::DescribeStreams(request) => {
                let groups = request.groups.iter();
                let described = groups.map(|group| self.describe_streams(group));
                Some(GroupReply::DescribeStreams(described.collect()))
            }
            GroupRequest::Describe(request) => {
                let described = |id: GroupId| {
                    let group = self.groups.get(&id);
                    describe(id, group)
                };
                let groups = request.groups.into_iter().map(described).collect();
                Some(GroupReply::Describe(groups))
            }
            GroupRequest::List(request) => {
                Some(GroupReply::List(list(self.groups.iter(), &request)))
            }
            GroupRequest::DeleteGroups(request) => Some(GroupReply::DeleteGroups(
                self.delete_groups(now, request, &mut output),
            )),
            GroupRequest::TopicsDeleted(topics) => {
                let records = offsets::delete::delete_topics(&self.offsets, &topics);
                self.apply(now, records, &mut output);
                Some(GroupReply::TopicsDeleted)
            }
            GroupRequest::Share { request, topics } => {
                if topics.revision() > self.topics.image().revision() {
                    self.set_topics(now, topics, &mut output);
                }
                let reply = self.handle_share(now, request, &mut output);
                Some(GroupReply::Share(reply))
            }
            GroupRequest::TopicsChanged(topics) => {
                self.set_topics(now, topics, &mut output);
                Some(GroupReply::TopicsChanged)
            }
            GroupRequest::TopicsFound(found) => {
                let group = found.group.clone();
                self.in_consumer(now, &group, &mut output, |scope| {
                    regex::resolve(scope, found);
                    ((), Remaining::Same)
                });
                Some(GroupReply::TopicsFound)
            }
            GroupRequest::ConsumerHeartbeat(request) => Some(GroupReply::ConsumerHeartbeat(
                self.consumer_heartbeat(now, &request, &mut output),
            )),
            GroupRequest::DescribeConsumerGroups(request) => Some(
                GroupReply::DescribeConsumerGroups(self.describe_consumer_groups(request)),
            ),
        };
        if let Some(reply) = reply {
            output.replies.push((token, reply));
        }
        output
    }

    /// Does what is due at `now`.
    pub fn tick(&mut self, now: Now) -> Output {
        let mut output = Output::default();
        let limit = self.timers.scheduled_so_far();
        while let Some(action) = self.timers.pop_due(now.instant, limit) {
            self.run(now, action, &mut output);
        }
        output
    }

    fn run(&mut self, now: Now, action: TimerAction, output: &mut Output) {
        match action {
            TimerAction::ExpireSession { group, member } => {
                if self.expire_streams_session(now, &group, &member, output) {
                    return;
                }
                self.in_group(now, &group, output, |group, transition| {
                    expire_session(group, transition, &member);
                });
                self.expire_consumer_member(now, &group, &member, output);
            }
            TimerAction::ExpireMemberJoin { group, member }
            | TimerAction::ExpireMemberSync { group, member } => {
                self.expire_consumer_member(now, &group, &member, output);
            }
            TimerAction::ExpireRevocation {
                group,
                member,
                epoch,
            } => {
                self.in_consumer(now, &group, output, |scope| {
                    ((), expire_revocation(scope, &member, epoch))
                });
            }
            TimerAction::ExpireShareSession { group, member } => {
                self.expire_share_member(now, &group, &member, output);
            }
            TimerAction::CompleteJoin { group } => {
                self.in_group(now, &group, output, complete_join);
            }
            TimerAction::ExtendInitialJoin {
                group,
                delay,
                remaining,
            } => {
                self.in_group(now, &group, output, |group, transition| {
                    extend_initial_join(group, transition, delay, remaining);
                });
            }
            TimerAction::ExpireSync { group, generation } => {
                self.in_group(now, &group, output, |group, transition| {
                    expire_sync(group, transition, generation);
                });
            }
            TimerAction::ExpireStreamsRebalance {
                group,
                member,
                epoch,
            } => self.expire_streams_rebalance(now, &group, &member, epoch, output),
            TimerAction::AssignStreamsGroup { group } => {
                self.assign_streams_group(now, &group, output);
            }
            TimerAction::ExpireOffsets => self.expire_offsets(now, output),
        }
    }

    /// Runs a transition on a classic group; `None` if there is no such group.
    fn in_group<T>(
        &mut self,
        now: Now,
        id: &GroupId,
        output: &mut Output,
        run: impl FnOnce(&mut ClassicGroup, &mut Transition<'_>) -> T,
    ) -> Option<T> {
        let group = self.groups.get_mut(id)?.classic_mut()?;
        let mut transition = Transition {
            now,
            settings: &self.settings,
            topics: &self.topics,
            timers: &mut self.timers,
            output,
        };
        Some(run(group, &mut transition))
    }

    /// Takes up settings and topics that have changed. Timers that run keep their deadlines.
    pub fn configure(&mut self, now: Now, settings: GroupSettings) -> Output {
        let mut output = Output::default();
        let topics = Arc::clone(&settings.topics);
        self.settings = settings;
        if topics.revision() > self.topics.image().revision() {
            self.set_topics(now, topics, &mut output);
        }
        output
    }

    /// Takes up an image of the topics. Groups whose topics have changed look at them anew with their next heartbeat.
    fn set_topics(&mut self, now: Now, topics: Arc<TopicsImage>, output: &mut Output) {
        let before = self.topics.replace(topics);
        let image = self.topics.image();
        for group in self.groups.values_mut().filter_map(Group::streams_mut) {
            group.needs_refresh = true;
        }
        for group in self.groups.values_mut().filter_map(Group::consumer_mut) {
            let changed = group
                .subscribed_topics()
                .into_iter()
                .any(|topic| before.by_name(topic.as_str()) != image.by_name(topic.as_str()));
            if changed {
                group.request_metadata_refresh();
            }
        }
        self.share_topics_changed(now, output);
    }

    fn fetch_offsets(
        &self,
        request: FetchOffsetsRequest,
    ) -> Result<Vec<FetchedTopic>, FetchOffsetsError> {
        if let Some(group) = self.groups.get(&request.group) {
            group.validate_fetch_offsets(&request)?;
        }
        Ok(offsets::fetch::fetch(&self.offsets, request))
    }

    fn join(&mut self, now: Now, token: ReplyToken, request: JoinRequest, output: &mut Output) {
        if let Err(error) = join::validate(&request, &self.settings) {
            let reply = JoinReply::refused(request.member, error);
            return output.replies.push((token, GroupReply::Join(reply)));
        }
        let id = request.group.clone();
        let request = match self.join_consumer(now, request, output) {
            Ok(reply) => return output.replies.push((token, GroupReply::Join(reply))),
            Err(request) => *request,
        };
        // A consumer or streams group without members gives way to a classic one. A share group does not: its progress is
        // kept elsewhere, by its epochs.
        let is_new = match self.groups.get(&id) {
            Some(Group::Classic(_)) => false,
            Some(Group::Share(_)) => {
                let reply = JoinReply::refused(None, JoinError::InconsistentProtocol);
                return output.replies.push((token, GroupReply::Join(reply)));
            }
            Some(group) if !group.is_empty() => {
                let reply = JoinReply::refused(None, JoinError::InconsistentProtocol);
                return output.replies.push((token, GroupReply::Join(reply)));
            }
            _ => true,
        };
        if is_new {
            if request.member.is_some() {
                let reply = JoinReply::refused(request.member, JoinError::UnknownMember);
                return output.replies.push((token, GroupReply::Join(reply)));
            }
            let mut records = Vec::new();
            if let Some(group) = self.groups.get(&id) {
                group.tombstones(&mut records);
            }
            self.apply(now, records, output);
            self.groups
                .insert(id.clone(), Group::simple(id.clone(), now.wall));
        }
        let records_before = output.records.len();
        let created = self
            .groups
            .get(&id)
            .and_then(Group::classic)
            .and_then(ClassicGroup::to_record);
        self.in_group(now, &id, output, |group, transition| {
            join::join(group, transition, request, token);
        });
        if is_new && output.records.len() == records_before {
            // The group exists from its first JoinGroup on, also for readers of the log (`isNewGroup`).
            output.records.push(GroupRecord::GroupMetadata {
                group: id,
                value: created,
            });
        }
    }

    fn sync(&mut self, now: Now, token: ReplyToken, request: SyncRequest, output: &mut Output) {
        let id = request.group.clone();
        if let Some(reply) = self.sync_consumer(now, &request, output) {
            return output.replies.push((token, GroupReply::Sync(reply)));
        }
        let error = if id.as_str().is_empty() {
            SyncError::InvalidGroupId
        } else if self.groups.get(&id).and_then(Group::classic).is_some() {
            self.in_group(now, &id, output, |group, transition| {
                sync(group, transition, request, token);
            });
            return;
        } else {
            SyncError::UnknownMember
        };
        output.replies.push((token, GroupReply::Sync(Err(error))));
    }

    fn heartbeat(
        &mut self,
        now: Now,
        request: &HeartbeatRequest,
        output: &mut Output,
    ) -> Result<(), HeartbeatError> {
        if request.group.as_str().is_empty() {
            return Err(HeartbeatError::InvalidGroupId);
        }
        if let Some(reply) = self.heartbeat_consumer(now, request, output) {
            return reply;
        }
        self.in_group(now, &request.group, output, |group, transition| {
            heartbeat(group, transition, request)
        })
        .unwrap_or(Err(HeartbeatError::UnknownMember))
    }

    fn leave(
        &mut self,
        now: Now,
        request: LeaveRequest,
        output: &mut Output,
    ) -> Result<Vec<LeftMember>, LeaveError> {
        let LeaveRequest { group: id, members } = request;
        if id.as_str().is_empty() {
            return Err(LeaveError::InvalidGroupId);
        }
        if self.groups.get(&id).and_then(Group::consumer).is_some() {
            let left = self.in_consumer(now, &id, output, |scope| {
                classic_members::leave(scope, members)
            });
            return Ok(left.unwrap_or_default());
        }
        if self.groups.get(&id).and_then(Group::classic).is_none() {
            return Ok(leave_unknown_group(members));
        }
        let left = self.in_group(now, &id, output, |group, transition| {
            leave(group, transition, members)
        });
        Ok(left.unwrap_or_default())
    }

    fn commit(
        &mut self,
        now: Now,
        request: CommitRequest,
        output: &mut Output,
    ) -> Result<Vec<CommittedTopic>, CommitError> {
        let group = self.groups.get(&request.group);
        let member = offsets::commit::validate(group, &request)?;
        offsets::commit::check_size(&request, &self.settings)?;
        if let Some(member) = member {
            self.in_group(now, &request.group, output, |group, transition| {
                renew_session(group, transition, &member);
            });
        }
        let (records, topics) = offsets::commit::commit(request, now.wall, &self.settings);
        self.apply(now, records, output);
        Ok(topics)
    }

    fn txn_commit(
        &mut self,
        now: Now,
        request: TxnCommitRequest,
        output: &mut Output,
    ) -> Result<Vec<CommittedTopic>, CommitError> {
        let TxnCommitRequest { producer, commit } = request;
        let group = self.groups.get(&commit.group);
        offsets::commit::validate_transactional(group, &commit)?;
        offsets::commit::check_size(&commit, &self.settings)?;
        let (records, topics) = offsets::commit::commit(commit, now.wall, &self.settings);
        for record in records {
            self.replay_of(now, Some(producer), record.clone())
                .expect("offsets cannot contradict themselves");
            output.records.push(record);
        }
        output.producer = Some(producer);
        Ok(topics)
    }

    fn delete_offsets(
        &mut self,
        now: Now,
        request: DeleteOffsetsRequest,
        output: &mut Output,
    ) -> Result<Vec<DeletedOffset>, DeleteOffsetsError> {
        let group = offsets::delete::validate(self.groups.get(&request.group), &request)?;
        let (records, results) = offsets::delete::delete(group, &self.offsets, request);
        self.apply(now, records, output);
        Ok(results)
    }

    fn delete_groups(
        &mut self,
        now: Now,
        request: DeleteGroupsRequest,
        output: &mut Output,
    ) -> Vec<DeletedGroup> {
        let mut results = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            let records = delete::delete(&group, self.groups.get(&group), &self.offsets);
            let result = records.map(|records| self.apply(now, records, output));
            results.push(DeletedGroup { group, result });
        }
        results
    }

    /// Forgets expired offsets, and groups of which nothing is left (`GroupCoordinatorShard.cleanupGroupMetadata`).
    fn expire_offsets(&mut self, now: Now, output: &mut Output) {
        let mut records = Vec::new();
        for (id, group) in &self.groups {
            let mut expired = expire(id, group, &self.offsets, now.wall, &self.settings);
            records.append(&mut expired.records);
            if expired.nothing_left && group.is_empty() && group.goes_without_offsets() {
                group.tombstones(&mut records);
            }
        }
        self.apply(now, records, output);
        let next = now
            .instant
            .plus(self.settings.offsets_retention_check_interval);
        self.timers.schedule(next, TimerAction::ExpireOffsets);
    }

    /// Applies records of our own making as a replay would, and hands them out.
    pub(super) fn apply(&mut self, now: Now, records: Vec<GroupRecord>, output: &mut Output) {
        for record in records {
            self.replay(now, record.clone())
                .expect("offsets and tombstones cannot contradict themselves");
            output.records.push(record);
        }
    }

    pub(super) fn remove_group(&mut self, id: &GroupId) {
        let Some(group) = self.groups.remove(id) else {
            return;
        };
        group.cancel_timers(&mut self.timers);
    }
}

mod streams;
fn start_classic(group: &mut ClassicGroup, transition: &mut Transition<'_>) {
    for id in group.member_ids() {
        renew_session(group, transition, &id);
    }
    if group.members().len() > transition.settings.group_size_max {
        prepare_rebalance(group, transition);
    }
}

#[cfg(test)]
mod tests;
