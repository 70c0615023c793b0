//! Streams groups within a shard: finds the group of a request or timer, and applies the records that come out.

use types::{GroupId, MemberId};

use super::GroupShard;
use crate::group::kind::Group;
use crate::group::record::GroupRecord;
use crate::group::request::Output;
use crate::group::shard::ReplayError;
use crate::group::streams::answer::{StreamsHeartbeatError, StreamsHeartbeatReply};
use crate::group::streams::describe::{DescribeStreamsError, DescribedStreamsGroup, describe};
use crate::group::streams::expire::{assign_delayed, expire_rebalance, expire_session};
use crate::group::streams::heartbeat::{Heartbeat, Surroundings, heartbeat, leave};
use crate::group::streams::record::StreamsRecord;
use crate::group::streams::request::{JOIN_EPOCH, LEAVE_EPOCH, StreamsHeartbeatRequest, validate};
use crate::group::streams::state::StreamsGroup;
use crate::group::time::Now;
use crate::group::timers::Timers;

impl GroupShard {
    /// StreamsGroupHeartbeat.
    pub(super) fn streams_heartbeat(
        &mut self,
        now: Now,
        request: StreamsHeartbeatRequest,
        output: &mut Output,
    ) -> Result<StreamsHeartbeatReply, StreamsHeartbeatError> {
        validate(&request)?;
        let id = request.group.clone();
        let (mut records, heartbeat) = if request.member_epoch == LEAVE_EPOCH {
            (Vec::new(), self.streams_leave(&request)?)
        } else {
            self.streams_stay(now, request)?
        };
        records.extend(of_group(&id, heartbeat.records));
        self.apply(now, records, output);
        Ok(heartbeat.reply)
    }

    fn streams_leave(
        &mut self,
        request: &StreamsHeartbeatRequest,
    ) -> Result<Heartbeat, StreamsHeartbeatError> {
        let id = &request.group;
        match self.groups.get_mut(id) {
            Some(Group::Streams(group)) => leave(group, &mut self.timers, request),
            Some(_) => Err(StreamsHeartbeatError::NotStreamsGroup(id.clone())),
            None => Err(StreamsHeartbeatError::UnknownGroup(id.clone())),
        }
    }

    /// A member joins or stays. The records are the tombstones of an empty classic group that gives way.
    fn streams_stay(
        &mut self,
        now: Now,
        request: StreamsHeartbeatRequest,
    ) -> Result<(Vec<GroupRecord>, Heartbeat), StreamsHeartbeatError> {
        let id = request.group.clone();
        let is_joining = request.member_epoch == JOIN_EPOCH;
        let settings = request.settings.clone();
        let mut surroundings = Surroundings {
            now,
            settings: &settings,
            topics: self.topics.image(),
            timers: &mut self.timers,
        };
        let mut tombstones = Vec::new();
        match self.groups.get_mut(&id) {
            Some(Group::Streams(group)) => {
                let heartbeat = heartbeat(group, false, &mut surroundings, request)?;
                return Ok((tombstones, heartbeat));
            }
            Some(group @ Group::Classic(_)) if is_joining && group.is_empty() => {
                group.tombstones(&mut tombstones);
            }
            Some(_) => return Err(StreamsHeartbeatError::NotStreamsGroup(id)),
            None if is_joining => {}
            None => return Err(StreamsHeartbeatError::UnknownStreamsGroup(id)),
        }
        let mut group = StreamsGroup::new(id);
        let heartbeat = heartbeat(&mut group, true, &mut surroundings, request)?;
        Ok((tombstones, heartbeat))
    }

    /// StreamsGroupDescribe of one group.
    pub(super) fn describe_streams(
        &self,
        id: &GroupId,
    ) -> Result<DescribedStreamsGroup, DescribeStreamsError> {
        match self.groups.get(id) {
            Some(Group::Streams(group)) => Ok(describe(group)),
            Some(_) => Err(DescribeStreamsError::NotStreamsGroup(id.clone())),
            None => Err(DescribeStreamsError::UnknownGroup(id.clone())),
        }
    }

    /// Whether the session was that of a streams group's member, who is then gone.
    pub(super) fn expire_streams_session(
        &mut self,
        now: Now,
        id: &GroupId,
        member: &MemberId,
        output: &mut Output,
    ) -> bool {
        self.in_streams_group(now, id, output, |group, timers| {
            expire_session(group, timers, member)
        })
    }

    pub(super) fn expire_streams_rebalance(
        &mut self,
        now: Now,
        id: &GroupId,
        member: &MemberId,
        epoch: i32,
        output: &mut Output,
    ) {
        self.in_streams_group(now, id, output, |group, timers| {
            expire_rebalance(group, timers, member, epoch)
        });
    }

    pub(super) fn assign_streams_group(&mut self, now: Now, id: &GroupId, output: &mut Output) {
        self.in_streams_group(now, id, output, |group, _| assign_delayed(group));
    }

    /// Runs a transition on a streams group and applies its records; says whether there is such a group.
    fn in_streams_group(
        &mut self,
        now: Now,
        id: &GroupId,
        output: &mut Output,
        run: impl FnOnce(&StreamsGroup, &mut Timers) -> Vec<StreamsRecord>,
    ) -> bool {
        let Some(Group::Streams(group)) = self.groups.get(id) else {
            return false;
        };
        let records = run(group, &mut self.timers);
        self.apply(now, of_group(id, records).collect(), output);
        true
    }

    /// Applies a record of a streams group. A group that only has committed offsets gives way; tombstones of a group
    /// that is gone, or of another kind by now, mean nothing.
    pub(super) fn replay_streams(
        &mut self,
        id: GroupId,
        record: StreamsRecord,
    ) -> Result<(), ReplayError> {
        match self.groups.get_mut(&id) {
            Some(Group::Streams(_)) if record == StreamsRecord::Group(None) => {
                self.remove_group(&id);
            }
            Some(Group::Streams(group)) => group.apply(record),
            _ if record.is_tombstone() => {}
            Some(Group::Share(_)) => return Err(ReplayError::OtherGroupType { group: id }),
            Some(Group::Classic(group)) if !group.is_simple() => {
                return Err(ReplayError::OtherGroupType { group: id });
            }
            Some(Group::Consumer(_)) => return Err(ReplayError::OtherGroupType { group: id }),
            None | Some(Group::Classic(_)) => {
                let mut group = StreamsGroup::new(id.clone());
                group.apply(record);
                self.groups.insert(id, Group::Streams(group));
            }
        }
        Ok(())
    }
}

fn of_group(id: &GroupId, records: Vec<StreamsRecord>) -> impl Iterator<Item = GroupRecord> {
    records.into_iter().map(|record| GroupRecord::Streams {
        group: id.clone(),
        record,
    })
}
