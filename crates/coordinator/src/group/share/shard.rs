//! Requests about share groups, as a shard answers them.
//!
//! Every change goes through [`GroupShard::apply`]: the records are what changes the group.

use types::{GroupId, MemberId, TopicId};

use super::describe::{DescribedShareGroup, describe};
use super::heartbeat::{
    self, ShareHeartbeatError, ShareHeartbeatReply, ShareHeartbeatRequest, SharePurpose,
};
use super::offsets::{
    self, AlterShareOffsets, AlterShareOffsetsRequest, DeleteShareOffsets,
    DeleteShareOffsetsRequest, ShareOffsetsError,
};
use super::partitions::ShareStatePartitions;
use super::record::{ShareGroupPart, ShareGroupRecord};
use super::state::ShareGroup;
use crate::group::kind::Group;
use crate::group::modern::epoch::Epoch;
use crate::group::modern::partitions::TopicPartitions;
use crate::group::record::GroupRecord;
use crate::group::request::Output;
use crate::group::shard::GroupShard;
use crate::group::timers::{TimerAction, TimerKey};
use crate::time::Now;

/// A request about share groups.
#[derive(Clone, Debug)]
pub enum ShareGroupRequest {
    /// ShareGroupHeartbeat.
    Heartbeat(ShareHeartbeatRequest),
    /// ShareGroupDescribe, for the groups of this shard.
    Describe(Vec<GroupId>),
    /// The share coordinator began the state of partitions, or refused to.
    Initialized {
        /// The group.
        group: GroupId,
        /// Which partitions.
        partitions: TopicPartitions,
        /// Whether it did.
        accepted: bool,
    },
    /// Partitions of a group that have a state.
    InitializedPartitions(GroupId),
    /// Which of these partitions still wait for a state.
    StillInitializing {
        /// The group.
        group: GroupId,
        /// Which partitions.
        partitions: TopicPartitions,
    },
    /// AlterShareGroupOffsets, first step.
    AlterOffsets(AlterShareOffsetsRequest),
    /// DeleteShareGroupOffsets, first step.
    DeleteOffsets(DeleteShareOffsetsRequest),
    /// The share coordinator forgot the state of topics.
    OffsetsDeleted {
        /// The group.
        group: GroupId,
        /// Which topics.
        topics: Vec<TopicId>,
    },
    /// Groups are about to be deleted: says of each share group which states must go first.
    PrepareDelete(Vec<GroupId>),
}

/// The answer to a [`ShareGroupRequest`], of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareGroupReply {
    /// To Heartbeat.
    Heartbeat(Result<ShareHeartbeatReply, ShareHeartbeatError>),
    /// To Describe, in order; `None` where there is no such share group.
    Describe(Vec<Option<DescribedShareGroup>>),
    /// To Initialized and OffsetsDeleted.
    Noted,
    /// To InitializedPartitions.
    InitializedPartitions(TopicPartitions),
    /// To StillInitializing.
    StillInitializing(TopicPartitions),
    /// To AlterOffsets.
    AlterOffsets(Result<AlterShareOffsets, ShareOffsetsError>),
    /// To DeleteOffsets.
    DeleteOffsets(Result<DeleteShareOffsets, ShareOffsetsError>),
    /// To PrepareDelete, in order. What is no share group has no states.
    PrepareDelete(Vec<Result<TopicPartitions, ShareOffsetsError>>),
}

impl GroupShard {
    pub(in crate::group) fn handle_share(
        &mut self,
        now: Now,
        request: ShareGroupRequest,
        output: &mut Output,
    ) -> ShareGroupReply {
        match request {
            ShareGroupRequest::Heartbeat(request) => {
                ShareGroupReply::Heartbeat(self.share_heartbeat(now, &request, output))
            }
            ShareGroupRequest::Describe(groups) => {
                let described = |id: &GroupId| self.share_group(id).map(describe);
                ShareGroupReply::Describe(groups.iter().map(described).collect())
            }
            ShareGroupRequest::Initialized {
                group,
                partitions,
                accepted,
            } => {
                self.share_initialized(now, &group, &partitions, accepted, output);
                ShareGroupReply::Noted
            }
            ShareGroupRequest::InitializedPartitions(group) => {
                let states = self
                    .share_group(&group)
                    .and_then(|group| group.states.as_ref());
                let partitions = states.map(|states| states.assignable());
                ShareGroupReply::InitializedPartitions(partitions.unwrap_or_default())
            }
            ShareGroupRequest::StillInitializing { group, partitions } => {
                let states = self
                    .share_group(&group)
                    .and_then(|group| group.states.as_ref());
                let waiting = states.map(|states| states.still_initializing(&partitions));
                ShareGroupReply::StillInitializing(waiting.unwrap_or_default())
            }
            ShareGroupRequest::AlterOffsets(request) => {
                ShareGroupReply::AlterOffsets(self.alter_share_offsets(now, &request, output))
            }
            ShareGroupRequest::DeleteOffsets(request) => {
                ShareGroupReply::DeleteOffsets(self.delete_share_offsets(now, &request, output))
            }
            ShareGroupRequest::OffsetsDeleted { group, topics } => {
                self.share_offsets_deleted(now, &group, &topics, output);
                ShareGroupReply::Noted
            }
            ShareGroupRequest::PrepareDelete(groups) => {
                let mut prepared = Vec::with_capacity(groups.len());
                for group in groups {
                    prepared.push(self.prepare_share_delete(now, &group, output));
                }
                ShareGroupReply::PrepareDelete(prepared)
            }
        }
    }

    /// A member was silent for too long.
    pub(in crate::group) fn expire_share_member(
        &mut self,
        now: Now,
        group: &GroupId,
        member: &MemberId,
        output: &mut Output,
    ) {
        let Some(group) = self.share_group(group) else {
            return;
        };
        if group.members.contains_key(member) {
            let records = heartbeat::leave(group, member, &self.topics);
            self.apply_share(now, records, output);
        }
    }

    /// Loaded members have their whole session timeout.
    pub(in crate::group) fn start_share_sessions(&mut self, now: Now) {
        let deadline = now.instant.plus(self.settings.share_session_timeout);
        for group in self.groups.values().filter_map(Group::share) {
            for member in group.members.keys() {
                let action = TimerAction::ExpireShareSession {
                    group: group.id.clone(),
                    member: member.clone(),
                };
                self.timers.schedule(deadline, action);
            }
        }
    }

    /// Topics came, went or grew: states of topics that are gone are of no use.
    pub(in crate::group) fn share_topics_changed(&mut self, now: Now, output: &mut Output) {
        for group in self.groups.values_mut().filter_map(Group::share_mut) {
            group.is_settled = false;
        }
        let gone = |group: &ShareGroup| {
            let states = group.states.as_ref()?;
            let next = states.partitions.without_gone_topics(&self.topics)?;
            Some(group.record(ShareGroupPart::StatePartitions(Some(next))))
        };
        let groups = self.groups.values().filter_map(Group::share);
        let records: Vec<_> = groups.filter_map(gone).collect();
        self.apply_share(now, records, output);
    }

    /// Applies a record read from the log or made by us. False if the group is of another type.
    pub(in crate::group) fn replay_share(&mut self, now: Now, record: ShareGroupRecord) -> bool {
        let ShareGroupRecord { group: id, part } = record;
        if matches!(part, ShareGroupPart::Group(None)) {
            self.remove_group(&id);
            return true;
        }
        let is_tombstone = matches!(
            part,
            ShareGroupPart::Member(_, None)
                | ShareGroupPart::TargetEpoch(None)
                | ShareGroupPart::Target(_, None)
                | ShareGroupPart::Current(_, None)
                | ShareGroupPart::StatePartitions(None)
        );
        if is_tombstone && !self.groups.contains_key(&id) {
            return true;
        }
        if let ShareGroupPart::Member(member, None) = &part {
            let key = TimerKey::Session(id.clone(), member.clone());
            self.timers.cancel(&key);
        }
        let group = self
            .groups
            .entry(id.clone())
            .or_insert_with(|| Group::Share(ShareGroup::new(id)));
        match group {
            Group::Share(group) => {
                group.apply(part, now.wall);
                true
            }
            _ => false,
        }
    }

    fn share_group(&self, id: &GroupId) -> Option<&ShareGroup> {
        self.groups.get(id)?.share()
    }

    fn apply_share(&mut self, now: Now, records: Vec<ShareGroupRecord>, output: &mut Output) {
        let records = records.into_iter().map(GroupRecord::Share).collect();
        self.apply(now, records, output);
    }

    fn share_heartbeat(
        &mut self,
        now: Now,
        request: &ShareHeartbeatRequest,
        output: &mut Output,
    ) -> Result<ShareHeartbeatReply, ShareHeartbeatError> {
        heartbeat::validate(request)?;
        let epoch = match request.purpose {
            SharePurpose::Leave => return self.leave_share(now, request, output),
            SharePurpose::Stay(epoch) => epoch,
        };
        let new;
        let group = match self.groups.get(&request.group) {
            Some(group) => group.share().ok_or(ShareHeartbeatError::UnknownGroup)?,
            None if epoch == Epoch::ZERO => {
                new = ShareGroup::new(request.group.clone());
                &new
            }
            None => return Err(ShareHeartbeatError::UnknownGroup),
        };
        let heartbeat = heartbeat::stay(
            group,
            request,
            epoch,
            &self.settings,
            &self.topics,
            now.wall,
        )?;
        self.apply_share(now, heartbeat.records, output);
        if heartbeat.settles
            && let Some(group) = self.groups.get_mut(&request.group)
            && let Some(group) = group.share_mut()
        {
            group.is_settled = true;
        }
        let action = TimerAction::ExpireShareSession {
            group: request.group.clone(),
            member: request.member.clone(),
        };
        let deadline = now.instant.plus(request.session_timeout);
        self.timers.schedule(deadline, action);
        Ok(heartbeat.reply)
    }

    fn leave_share(
        &mut self,
        now: Now,
        request: &ShareHeartbeatRequest,
        output: &mut Output,
    ) -> Result<ShareHeartbeatReply, ShareHeartbeatError> {
        let group = self.share_group(&request.group);
        let group = group.ok_or(ShareHeartbeatError::UnknownGroup)?;
        if !group.members.contains_key(&request.member) {
            return Err(ShareHeartbeatError::UnknownMember);
        }
        let records = heartbeat::leave(group, &request.member, &self.topics);
        self.apply_share(now, records, output);
        Ok(ShareHeartbeatReply {
            epoch: None,
            assignment: None,
            initialize: None,
        })
    }

    fn share_initialized(
        &mut self,
        now: Now,
        id: &GroupId,
        partitions: &TopicPartitions,
        accepted: bool,
        output: &mut Output,
    ) {
        let Some(group) = self.share_group(id) else {
            return;
        };
        let known = group.state_partitions();
        let next = if accepted {
            known.with_initialized(partitions, &self.topics)
        } else {
            known.without_initializing(partitions)
        };
        self.set_share_states(now, id, next, output);
    }

    fn alter_share_offsets(
        &mut self,
        now: Now,
        request: &AlterShareOffsetsRequest,
        output: &mut Output,
    ) -> Result<AlterShareOffsets, ShareOffsetsError> {
        let new;
        let group = match self.groups.get(&request.group) {
            Some(group) => group.share().ok_or(ShareOffsetsError::UnknownGroup)?,
            None => {
                new = ShareGroup::new(request.group.clone());
                &new
            }
        };
        offsets::validate(group)?;
        let (next, plan) = offsets::alter(group, request, &self.topics);
        if let Some(next) = next {
            self.set_share_states(now, &request.group, next, output);
        }
        Ok(plan)
    }

    fn delete_share_offsets(
        &mut self,
        now: Now,
        request: &DeleteShareOffsetsRequest,
        output: &mut Output,
    ) -> Result<DeleteShareOffsets, ShareOffsetsError> {
        let group = self.share_group(&request.group);
        let group = group.ok_or(ShareOffsetsError::UnknownGroup)?;
        offsets::validate(group)?;
        let (next, plan) = offsets::delete(group, request, &self.topics);
        if let Some(next) = next {
            self.set_share_states(now, &request.group, next, output);
        }
        Ok(plan)
    }

    fn share_offsets_deleted(
        &mut self,
        now: Now,
        id: &GroupId,
        topics: &[TopicId],
        output: &mut Output,
    ) {
        let Some(group) = self.share_group(id) else {
            return;
        };
        let mut next = group.state_partitions();
        next.deleting.retain(|topic, _| !topics.contains(topic));
        self.set_share_states(now, id, next, output);
    }

    fn prepare_share_delete(
        &mut self,
        now: Now,
        id: &GroupId,
        output: &mut Output,
    ) -> Result<TopicPartitions, ShareOffsetsError> {
        let Some(group) = self.share_group(id) else {
            return Ok(TopicPartitions::new());
        };
        offsets::validate(group)?;
        let Some(states) = &group.states else {
            return Ok(TopicPartitions::new());
        };
        let (next, doomed) = states.partitions.deleting_all(&self.topics);
        self.set_share_states(now, id, next, output);
        Ok(doomed)
    }

    fn set_share_states(
        &mut self,
        now: Now,
        group: &GroupId,
        next: ShareStatePartitions,
        output: &mut Output,
    ) {
        let record = ShareGroupRecord {
            group: group.clone(),
            part: ShareGroupPart::StatePartitions(Some(next)),
        };
        self.apply_share(now, vec![record], output);
    }
}
