//! Whether a streams group takes offsets, or tells them.
//!
//! After `StreamsGroup.validateOffsetCommit`, `createAssignmentEpochValidator` and `validateOffsetFetch`. A member may
//! commit in its epoch; or in an earlier one, for tasks that were its own already then.

use types::{MemberId, PartitionIndex, TopicName};

use super::member::Member;
use super::state::StreamsGroup;
use crate::group::offsets::commit::{CommitError, CommitRequest};
use crate::group::offsets::fetch::{FetchOffsetsError, FetchOffsetsRequest};

impl StreamsGroup {
    /// Decides whether the group takes a commit. Commits do not extend sessions here, so no member is named.
    pub(crate) fn validate_commit(
        &self,
        request: &CommitRequest,
    ) -> Result<Option<MemberId>, CommitError> {
        if request.generation.is_none() && self.is_empty() {
            return Ok(None);
        }
        let member = self.committer(request)?;
        if !request.takes_member_epochs {
            return Err(CommitError::UnsupportedVersion);
        }
        self.validate_epoch(member, request)?;
        Ok(None)
    }

    /// Decides whether the group takes a commit within a transaction. Who names nothing is not checked: old clients do
    /// not.
    pub(crate) fn validate_transactional_commit(
        &self,
        request: &CommitRequest,
    ) -> Result<(), CommitError> {
        let names_member = request.member.is_some() || request.instance.is_some();
        if request.generation.is_none() && (self.is_empty() || !names_member) {
            return Ok(());
        }
        self.validate_epoch(self.committer(request)?, request)
    }

    /// Decides whether a member may fetch committed offsets: nobody, as administrators ask, or a member in its epoch.
    pub(crate) fn validate_fetch_offsets(
        &self,
        request: &FetchOffsetsRequest,
    ) -> Result<(), FetchOffsetsError> {
        if request.member.is_none() && request.member_epoch < 0 {
            return Ok(());
        }
        let member = request.member.as_ref();
        let member = member.and_then(|member| self.members().get(member));
        let member = member.ok_or(FetchOffsetsError::UnknownMember)?;
        let current = member.current.member_epoch;
        if request.member_epoch == current {
            Ok(())
        } else {
            Err(FetchOffsetsError::StaleMemberEpoch { current })
        }
    }

    fn committer(&self, request: &CommitRequest) -> Result<&Member, CommitError> {
        let member = request.member.as_ref();
        let member = member.and_then(|member| self.members().get(member));
        member.ok_or(CommitError::UnknownMember)
    }

    fn validate_epoch(&self, member: &Member, request: &CommitRequest) -> Result<(), CommitError> {
        let known = member.current.member_epoch;
        // Below zero is a commit from outside, which comes from no task.
        let received = request.generation.map_or(-1, |epoch| epoch.value());
        if received == known {
            return Ok(());
        }
        let stale = CommitError::StaleMemberEpoch { received, known };
        if received > known {
            return Err(stale);
        }
        let partitions = request.topics.iter().flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|partition| (&topic.topic, partition.partition))
        });
        for (topic, partition) in partitions {
            if self
                .assigned_since(member, topic, partition)
                .is_none_or(|epoch| received < epoch)
            {
                return Err(stale);
            }
        }
        Ok(())
    }

    /// The epoch in which a member got the active task that reads a partition.
    fn assigned_since(
        &self,
        member: &Member,
        topic: &TopicName,
        partition: PartitionIndex,
    ) -> Option<i32> {
        let subtopology = self.topology()?.reader_of(topic)?;
        let partition = partition.value();
        let current = &member.current;
        let assigned = current.assigned.active_epoch(subtopology, partition);
        assigned.or_else(|| {
            let pending = &current.pending_revocation;
            pending.active_epoch(subtopology, partition)
        })
    }
}
