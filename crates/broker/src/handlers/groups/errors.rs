//! Causes to wire codes for group APIs, one exhaustive `match` per operation.

use coordinator::{
    CommitError, CommitPartitionError, ConfigureError, ConsumerHeartbeatError, DeleteGroupError,
    DeleteOffsetError, DeleteOffsetsError, DescribeStreamsError, FetchOffsetError,
    FetchOffsetsError, HeartbeatError, InvalidStreamsHeartbeat, JoinError, LeaveError,
    LeaveMemberError, StreamsHeartbeatError, SyncError,
};
use protocol::ErrorCode;

use crate::coordinators::CoordinatorError;
use crate::handlers::refusal::Refusal;

/// The first version of OffsetCommit that knows GROUP_ID_NOT_FOUND.
const GROUP_ID_NOT_FOUND_SINCE: i16 = 9;

pub(crate) fn coordinator(error: CoordinatorError) -> ErrorCode {
    match error {
        CoordinatorError::LoadInProgress => ErrorCode::CoordinatorLoadInProgress,
        CoordinatorError::NotAvailable => ErrorCode::CoordinatorNotAvailable,
        CoordinatorError::NotCoordinator => ErrorCode::NotCoordinator,
        CoordinatorError::Refused => ErrorCode::UnknownServerError,
        CoordinatorError::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        CoordinatorError::NotInTransaction => ErrorCode::InvalidTxnState,
        CoordinatorError::TransactionCoordinatorFenced => ErrorCode::TransactionCoordinatorFenced,
    }
}

pub(super) fn join(error: &JoinError) -> ErrorCode {
    match error {
        JoinError::InvalidGroupId => ErrorCode::InvalidGroupId,
        JoinError::InvalidSessionTimeout { .. } => ErrorCode::InvalidSessionTimeout,
        JoinError::UnknownMember => ErrorCode::UnknownMemberId,
        JoinError::FencedInstance => ErrorCode::FencedInstanceId,
        JoinError::MemberIdRequired => ErrorCode::MemberIdRequired,
        JoinError::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
        JoinError::GroupMaxSizeReached { .. } => ErrorCode::GroupMaxSizeReached,
        JoinError::PendingMemberIsStatic | JoinError::MalformedSubscription => {
            ErrorCode::UnknownServerError
        }
        JoinError::Superseded | JoinError::Upgraded => ErrorCode::RebalanceInProgress,
    }
}

pub(super) fn sync(error: &SyncError) -> ErrorCode {
    match error {
        SyncError::InvalidGroupId => ErrorCode::InvalidGroupId,
        SyncError::UnknownMember => ErrorCode::UnknownMemberId,
        SyncError::FencedInstance => ErrorCode::FencedInstanceId,
        SyncError::IllegalGeneration { .. } => ErrorCode::IllegalGeneration,
        SyncError::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
        SyncError::RebalanceInProgress | SyncError::Superseded => ErrorCode::RebalanceInProgress,
        SyncError::RecordTooLarge { .. } => ErrorCode::UnknownServerError,
    }
}

pub(super) fn heartbeat(error: &HeartbeatError) -> ErrorCode {
    match error {
        HeartbeatError::InvalidGroupId => ErrorCode::InvalidGroupId,
        HeartbeatError::UnknownMember => ErrorCode::UnknownMemberId,
        HeartbeatError::FencedInstance => ErrorCode::FencedInstanceId,
        HeartbeatError::IllegalGeneration { .. } => ErrorCode::IllegalGeneration,
        HeartbeatError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
    }
}

pub(super) fn leave(error: &LeaveError) -> ErrorCode {
    match error {
        LeaveError::InvalidGroupId => ErrorCode::InvalidGroupId,
    }
}

pub(super) fn leave_member(error: &LeaveMemberError) -> ErrorCode {
    match error {
        LeaveMemberError::UnknownMember => ErrorCode::UnknownMemberId,
        LeaveMemberError::FencedInstance => ErrorCode::FencedInstanceId,
    }
}

pub(super) fn commit(error: &CommitError, version: i16) -> ErrorCode {
    match error {
        CommitError::UnknownGroup if version >= GROUP_ID_NOT_FOUND_SINCE => {
            ErrorCode::GroupIdNotFound
        }
        CommitError::UnknownGroup | CommitError::IllegalGeneration { .. } => {
            ErrorCode::IllegalGeneration
        }
        CommitError::UnknownMember => ErrorCode::UnknownMemberId,
        CommitError::FencedInstance => ErrorCode::FencedInstanceId,
        CommitError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        CommitError::StaleMemberEpoch { .. } => ErrorCode::StaleMemberEpoch,
        CommitError::UnsupportedVersion => ErrorCode::UnsupportedVersion,
        CommitError::TooLarge { .. } => ErrorCode::UnknownServerError,
    }
}

pub(super) fn streams_heartbeat(error: &StreamsHeartbeatError) -> Refusal {
    let code = match error {
        StreamsHeartbeatError::Invalid(InvalidStreamsHeartbeat::ChangelogPartitions { .. })
        | StreamsHeartbeatError::Topology(
            ConfigureError::RepartitionSourceWithoutSink
            | ConfigureError::UnresolvableLoop
            | ConfigureError::NoSourceTopics(_),
        ) => ErrorCode::StreamsInvalidTopology,
        StreamsHeartbeatError::Invalid(_)
        | StreamsHeartbeatError::TopologyChanged
        | StreamsHeartbeatError::NoSuchSubtopology(_)
        | StreamsHeartbeatError::NoSuchTask { .. } => ErrorCode::InvalidRequest,
        StreamsHeartbeatError::UnknownStreamsGroup(_)
        | StreamsHeartbeatError::UnknownGroup(_)
        | StreamsHeartbeatError::NotStreamsGroup(_) => ErrorCode::GroupIdNotFound,
        StreamsHeartbeatError::GroupFull { .. } => ErrorCode::GroupMaxSizeReached,
        StreamsHeartbeatError::UnknownMember { .. } => ErrorCode::UnknownMemberId,
        StreamsHeartbeatError::FencedEpoch { .. } | StreamsHeartbeatError::UnknownMemberState => {
            ErrorCode::FencedMemberEpoch
        }
        StreamsHeartbeatError::Topology(
            ConfigureError::NoSuchCopartitionedTopic(_)
            | ConfigureError::ImpossiblePartitionCount { .. },
        )
        | StreamsHeartbeatError::Contradiction(_)
        | StreamsHeartbeatError::NobodyToAssignTo => {
            tracing::warn!(%error, "could not take a streams heartbeat");
            ErrorCode::UnknownServerError
        }
    };
    Refusal::new(code, error.to_string())
}

pub(super) fn describe_streams(error: &DescribeStreamsError) -> ErrorCode {
    match error {
        DescribeStreamsError::UnknownGroup(_) | DescribeStreamsError::NotStreamsGroup(_) => {
            ErrorCode::GroupIdNotFound
        }
    }
}

pub(super) fn commit_partition(error: &CommitPartitionError) -> ErrorCode {
    match error {
        CommitPartitionError::MetadataTooLarge { .. } => ErrorCode::OffsetMetadataTooLarge,
    }
}

pub(super) fn fetch_offsets(error: &FetchOffsetsError) -> ErrorCode {
    match error {
        FetchOffsetsError::UnknownMember => ErrorCode::UnknownMemberId,
        FetchOffsetsError::StaleMemberEpoch { .. } => ErrorCode::StaleMemberEpoch,
        FetchOffsetsError::IllegalGeneration { .. } => ErrorCode::IllegalGeneration,
    }
}

pub(super) fn consumer_heartbeat(error: &ConsumerHeartbeatError) -> ErrorCode {
    match error {
        ConsumerHeartbeatError::InvalidRequest { .. } => ErrorCode::InvalidRequest,
        ConsumerHeartbeatError::UnsupportedAssignor { .. } => ErrorCode::UnsupportedAssignor,
        ConsumerHeartbeatError::InvalidRegularExpression(_) => ErrorCode::InvalidRegularExpression,
        ConsumerHeartbeatError::UnknownGroup { .. } => ErrorCode::GroupIdNotFound,
        ConsumerHeartbeatError::UnknownMember => ErrorCode::UnknownMemberId,
        ConsumerHeartbeatError::GroupMaxSizeReached { .. } => ErrorCode::GroupMaxSizeReached,
        ConsumerHeartbeatError::FencedMemberEpoch { .. } => ErrorCode::FencedMemberEpoch,
        ConsumerHeartbeatError::FencedInstance => ErrorCode::FencedInstanceId,
        ConsumerHeartbeatError::UnreleasedInstance => ErrorCode::UnreleasedInstanceId,
    }
}

pub(super) fn fetch_offset(error: &FetchOffsetError) -> ErrorCode {
    match error {
        FetchOffsetError::Unstable => ErrorCode::UnstableOffsetCommit,
    }
}

pub(super) fn delete_offsets(error: &DeleteOffsetsError) -> ErrorCode {
    match error {
        DeleteOffsetsError::InvalidGroupId => ErrorCode::InvalidGroupId,
        DeleteOffsetsError::UnknownGroup => ErrorCode::GroupIdNotFound,
        DeleteOffsetsError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
    }
}

pub(super) fn delete_offset(error: &DeleteOffsetError) -> ErrorCode {
    match error {
        DeleteOffsetError::SubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
    }
}

pub(super) fn delete_group(error: &DeleteGroupError) -> ErrorCode {
    match error {
        DeleteGroupError::UnknownGroup => ErrorCode::GroupIdNotFound,
        DeleteGroupError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
    }
}
