//! Whether a consumer group takes commits, and tells offsets (`validateOffsetCommit` and `validateOffsetFetch` of
//! `ConsumerGroup.java`).
//!
//! A member must be at the epoch the coordinator knows: one that is behind may have lost partitions to others, whose
//! offsets it must not overwrite.

use types::MemberId;

use super::member::ConsumerMember;
use super::state::ConsumerGroup;
use crate::group::classic::generation::Generation;
use crate::group::offsets::commit::{CommitError, CommitRequest};
use crate::group::offsets::fetch::{FetchOffsetsError, FetchOffsetsRequest};

/// OffsetCommit. Only while nobody is in the group it may come from outside.
pub(crate) fn commit(group: &ConsumerGroup, request: &CommitRequest) -> Result<(), CommitError> {
    if request.generation.is_none() && group.members().len() == 0 {
        return Ok(());
    }
    let member = find(group, request.member.as_ref()).ok_or(CommitError::UnknownMember)?;
    if !member.uses_classic_protocol() && !request.takes_member_epochs {
        return Err(CommitError::UnsupportedVersion);
    }
    check_epoch(member, request)
}

/// TxnOffsetCommit, which need not name a member.
pub(crate) fn transactional_commit(
    group: &ConsumerGroup,
    request: &CommitRequest,
) -> Result<(), CommitError> {
    let names_nobody =
        request.generation.is_none() && request.member.is_none() && request.instance.is_none();
    if names_nobody || (request.generation.is_none() && group.members().len() == 0) {
        return Ok(());
    }
    let member = find(group, request.member.as_ref()).ok_or(CommitError::UnknownMember)?;
    check_epoch(member, request).map_err(|_either| CommitError::IllegalGeneration {
        current: generation(member),
    })
}

fn find<'g>(group: &'g ConsumerGroup, member: Option<&MemberId>) -> Option<&'g ConsumerMember> {
    group.member(member?)
}

fn check_epoch(member: &ConsumerMember, request: &CommitRequest) -> Result<(), CommitError> {
    if request.generation.map(Generation::value) == Some(member.epoch()) {
        return Ok(());
    }
    if member.uses_classic_protocol() {
        return Err(CommitError::IllegalGeneration {
            current: generation(member),
        });
    }
    Err(CommitError::StaleMemberEpoch {
        received: request.generation.map_or(-1, Generation::value),
        known: member.epoch(),
    })
}

fn generation(member: &ConsumerMember) -> Generation {
    Generation::new(member.epoch()).unwrap_or(Generation::ZERO)
}

/// OffsetFetch.
pub(crate) fn fetch_offsets(
    group: &ConsumerGroup,
    request: &FetchOffsetsRequest,
) -> Result<(), FetchOffsetsError> {
    if request.member.is_none() && request.member_epoch < 0 {
        return Ok(());
    }
    let member = find(group, request.member.as_ref()).ok_or(FetchOffsetsError::UnknownMember)?;
    let current = member.epoch();
    if request.member_epoch == current {
        Ok(())
    } else if member.uses_classic_protocol() {
        Err(FetchOffsetsError::IllegalGeneration { current })
    } else {
        Err(FetchOffsetsError::StaleMemberEpoch { current })
    }
}
