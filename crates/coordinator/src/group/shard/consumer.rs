//! Requests to consumer groups, and groups that change their protocol on the way.

use types::{GroupId, MemberId};

use super::GroupShard;
use crate::group::classic::heartbeat::HeartbeatError;
use crate::group::classic::join::{JoinError, JoinReply, JoinRequest};
use crate::group::classic::rebalance::{prepare_rebalance, renew_session};
use crate::group::classic::state::ClassicGroup;
use crate::group::classic::sync::{SyncError, SyncedMember};
use crate::group::consumer::describe::{DescribedConsumerGroup, describe};
use crate::group::consumer::heartbeat::{
    self, ConsumerHeartbeatError, ConsumerHeartbeatReply, ConsumerHeartbeatRequest, Heartbeating,
};
use crate::group::consumer::leave::{self, Remaining};
use crate::group::consumer::record::{ConsumerRecord, MemberState};
use crate::group::consumer::state::ConsumerGroup;
use crate::group::consumer::update::Scope;
use crate::group::consumer::{classic_members, migrate};
use crate::group::describe::DescribeRequest;
use crate::group::kind::Group;
use crate::group::record::GroupRecord;
use crate::group::request::Output;
use crate::group::shard::ReplayError;
use crate::group::time::Now;
use crate::group::transition::Transition;

/// What a group must become before a member of the consumer protocol is in it.
enum Entry {
    /// It is a consumer group.
    Existing,
    /// There is none.
    New,
    /// There is a classic group without members, whose place it takes.
    ReplacesEmpty,
    /// A classic group becomes this one, with its members.
    Upgrades(Box<ConsumerGroup>),
}

impl GroupShard {
    /// Applies a record of a consumer group.
    pub(super) fn replay_consumer(
        &mut self,
        id: GroupId,
        record: ConsumerRecord,
    ) -> Result<(), ReplayError> {
        let ends_group = matches!(record, ConsumerRecord::Epoch(None));
        let group = self.groups.get_mut(&id);
        match group {
            Some(Group::Consumer(_)) if ends_group => self.remove_group(&id),
            Some(Group::Consumer(group)) => group.apply(record),
            // A tombstone whose group is long gone.
            None if record.is_tombstone() => {}
            Some(_) if record.is_tombstone() => {}
            Some(Group::Classic(classic)) if !classic.is_simple() => {
                return Err(ReplayError::OtherGroupType { group: id });
            }
            Some(Group::Streams(_) | Group::Share(_)) => {
                return Err(ReplayError::OtherGroupType { group: id });
            }
            // Only offsets were committed until now.
            None | Some(Group::Classic(_)) => {
                let mut group = ConsumerGroup::new(id.clone());
                group.apply(record);
                self.groups.insert(id, Group::Consumer(group));
            }
        }
        Ok(())
    }

    /// Begins to serve a loaded consumer group: its members have their whole session timeout, and time to give back what
    /// they must.
    pub(super) fn start_consumer(group: &mut ConsumerGroup, transition: &mut Transition<'_>) {
        let members: Vec<_> = group.members().cloned().collect();
        let mut scope = Scope { group, transition };
        for member in members {
            scope.renew_session(&member.id);
            if member.current.state == MemberState::UnrevokedPartitions {
                scope.watch_revocation(&member);
            }
        }
    }

    /// Runs a transition on a consumer group, and puts in its place what has become of it. `None` if there is no such
    /// group.
    pub(super) fn in_consumer<T>(
        &mut self,
        now: Now,
        id: &GroupId,
        output: &mut Output,
        run: impl FnOnce(&mut Scope<'_, '_>) -> (T, Remaining),
    ) -> Option<T> {
        let group = self.groups.get_mut(id)?.consumer_mut()?;
        let mut transition = Transition {
            now,
            settings: &self.settings,
            topics: &self.topics,
            timers: &mut self.timers,
            output,
        };
        let (result, remaining) = run(&mut Scope {
            group,
            transition: &mut transition,
        });
        match remaining {
            Remaining::Same => {}
            Remaining::Classic { group, rebalances } => {
                self.groups.insert(id.clone(), Group::Classic(*group));
                self.in_group(now, id, output, |group, transition| {
                    begin_as_classic(group, transition, rebalances);
                });
            }
        }
        Some(result)
    }

    /// ConsumerGroupHeartbeat.
    pub(super) fn consumer_heartbeat(
        &mut self,
        now: Now,
        request: &ConsumerHeartbeatRequest,
        output: &mut Output,
    ) -> Result<ConsumerHeartbeatReply, ConsumerHeartbeatError> {
        heartbeat::validate(request, &self.settings.consumer)?;
        let id = &request.group;
        let unknown = |reason| ConsumerHeartbeatError::UnknownGroup {
            group: id.clone(),
            reason,
        };
        if request.leaves() {
            let left = self.in_consumer(now, id, output, |scope| {
                match leave::leave(scope, request) {
                    Ok((reply, remaining)) => (Ok(reply), remaining),
                    Err(error) => (Err(error), Remaining::Same),
                }
            });
            return left.unwrap_or_else(|| {
                Err(unknown(match self.groups.contains_key(id) {
                    true => "is not a consumer group",
                    false => "does not exist",
                }))
            });
        }
        let (entry, heartbeating) = self.enter(request)?;
        self.prepare_entry(now, id, entry, output);
        let reply = self.in_consumer(now, id, output, |scope| {
            let reply = heartbeat::heartbeat(scope, request, heartbeating);
            (reply, Remaining::Same)
        });
        Ok(reply.expect("the group is a consumer group by now"))
    }

    /// Decides how a member gets into the group, and whether the group takes it. Changes nothing.
    fn enter(
        &self,
        request: &ConsumerHeartbeatRequest,
    ) -> Result<(Entry, Heartbeating), ConsumerHeartbeatError> {
        let id = &request.group;
        let unknown = |reason| ConsumerHeartbeatError::UnknownGroup {
            group: id.clone(),
            reason,
        };
        let settings = &self.settings.consumer;
        let new = || ConsumerGroup::new(id.clone());
        match self.groups.get(id) {
            Some(Group::Consumer(group)) => {
                let heartbeating = heartbeat::check(group, request, settings)?;
                Ok((Entry::Existing, heartbeating))
            }
            None if request.joins() => {
                Ok((Entry::New, heartbeat::check(&new(), request, settings)?))
            }
            None => Err(unknown("does not exist")),
            Some(group @ Group::Classic(_)) if request.joins() && group.is_empty() => {
                let heartbeating = heartbeat::check(&new(), request, settings)?;
                Ok((Entry::ReplacesEmpty, heartbeating))
            }
            Some(Group::Classic(classic)) if request.joins() => {
                let group = migrate::upgraded(classic, self.topics.image(), &self.settings)?;
                let heartbeating = heartbeat::check(&group, request, settings)?;
                Ok((Entry::Upgrades(Box::new(group)), heartbeating))
            }
            Some(_) => Err(unknown("is not a consumer group")),
        }
    }

    fn prepare_entry(&mut self, now: Now, id: &GroupId, entry: Entry, output: &mut Output) {
        match entry {
            Entry::Existing => {}
            Entry::New => {
                let group = ConsumerGroup::new(id.clone());
                self.groups.insert(id.clone(), Group::Consumer(group));
            }
            Entry::ReplacesEmpty => {
                let mut records = Vec::new();
                if let Some(classic) = self.groups.get(id) {
                    classic.tombstones(&mut records);
                }
                self.apply(now, records, output);
                self.prepare_entry(now, id, Entry::New, output);
            }
            Entry::Upgrades(group) => self.upgrade(now, id, &group, output),
        }
    }

    fn upgrade(&mut self, now: Now, id: &GroupId, group: &ConsumerGroup, output: &mut Output) {
        self.in_group(now, id, output, ClassicGroup::refuse_everybody);
        let mut records = Vec::new();
        if let Some(classic) = self.groups.get(id) {
            classic.tombstones(&mut records);
        }
        let creating = group.creating_records().into_iter();
        records.extend(creating.map(|record| GroupRecord::Consumer {
            group: id.clone(),
            record,
        }));
        self.apply(now, records, output);
        self.in_consumer(now, id, output, |scope| {
            let members: Vec<_> = scope.group.members().cloned().collect();
            for member in members {
                if let Some(classic) = member.classic() {
                    scope.renew_session_for(&member.id, classic.session_timeout);
                }
            }
            ((), Remaining::Same)
        });
    }

    /// ConsumerGroupDescribe: `None` for a group that is unknown or of another protocol.
    pub(super) fn describe_consumer_groups(
        &self,
        request: DescribeRequest,
    ) -> Vec<(GroupId, Option<DescribedConsumerGroup>)> {
        let default = self.settings.consumer.default_assignor();
        let described = |id: GroupId| {
            let group = self.groups.get(&id).and_then(Group::consumer);
            let described = group.map(|group| describe(group, default, self.topics.image()));
            (id, described)
        };
        request.groups.into_iter().map(described).collect()
    }

    /// JoinGroup to a consumer group that has members. Gives the request back if the group is none.
    pub(super) fn join_consumer(
        &mut self,
        now: Now,
        request: JoinRequest,
        output: &mut Output,
    ) -> Result<JoinReply, Box<JoinRequest>> {
        let id = request.group.clone();
        match self.groups.get(&id) {
            Some(Group::Consumer(group)) if group.members().len() > 0 => {}
            _ => return Err(Box::new(request)),
        }
        let member = request.member.clone();
        let reply = self.in_consumer(now, &id, output, |scope| {
            classic_members::join(scope, request)
        });
        Ok(reply.unwrap_or_else(|| JoinReply::refused(member, JoinError::UnknownMember)))
    }

    /// SyncGroup to a consumer group; `None` if the group is none.
    pub(super) fn sync_consumer(
        &mut self,
        now: Now,
        request: &crate::group::classic::sync::SyncRequest,
        output: &mut Output,
    ) -> Option<Result<SyncedMember, SyncError>> {
        self.in_consumer(now, &request.group, output, |scope| {
            (
                classic_members::sync(scope, request.clone()),
                Remaining::Same,
            )
        })
    }

    /// Heartbeat of the classic protocol to a consumer group; `None` if the group is none.
    pub(super) fn heartbeat_consumer(
        &mut self,
        now: Now,
        request: &crate::group::classic::heartbeat::HeartbeatRequest,
        output: &mut Output,
    ) -> Option<Result<(), HeartbeatError>> {
        self.in_consumer(now, &request.group, output, |scope| {
            (classic_members::heartbeat(scope, request), Remaining::Same)
        })
    }

    /// A member of a consumer group was silent for too long, or did not do in time what it had to.
    pub(super) fn expire_consumer_member(
        &mut self,
        now: Now,
        group: &GroupId,
        member: &MemberId,
        output: &mut Output,
    ) {
        self.in_consumer(now, group, output, |scope| {
            ((), leave::expire(scope, member))
        });
    }
}

/// A classic group that was a consumer group until now: its members have their whole session timeout, and join again.
fn begin_as_classic(group: &mut ClassicGroup, transition: &mut Transition<'_>, rebalances: bool) {
    for id in group.member_ids() {
        renew_session(group, transition, &id);
    }
    if rebalances {
        prepare_rebalance(group, transition);
    }
}
