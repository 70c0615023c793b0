//! The requests a shard answers, and what a call gives back.

use std::sync::Arc;

use super::classic::heartbeat::{HeartbeatError, HeartbeatRequest};
use super::classic::join::{JoinReply, JoinRequest};
use super::classic::leave::{LeaveError, LeaveRequest, LeftMember};
use super::classic::sync::{SyncError, SyncRequest, SyncedMember};
use super::consumer::describe::DescribedConsumerGroup;
use super::consumer::heartbeat::{
    ConsumerHeartbeatError, ConsumerHeartbeatReply, ConsumerHeartbeatRequest,
};
use super::consumer::pattern::{FoundTopics, TopicSearch};
use super::delete::{DeleteGroupsRequest, DeletedGroup};
use super::describe::{DescribeRequest, DescribedGroup};
use super::list::{ListRequest, ListedGroup};
use super::modern::topics::TopicsImage;
use super::offsets::commit::{CommitError, CommitRequest, CommittedTopic, TxnCommitRequest};
use super::offsets::delete::{DeleteOffsetsError, DeleteOffsetsRequest, DeletedOffset};
use super::offsets::fetch::{FetchOffsetsError, FetchOffsetsRequest, FetchedTopic};
use super::record::GroupRecord;
use super::share::shard::{ShareGroupReply, ShareGroupRequest};
use super::streams::answer::{StreamsHeartbeatError, StreamsHeartbeatReply};
use super::streams::describe::{
    DescribeStreamsError, DescribeStreamsRequest, DescribedStreamsGroup,
};
use super::streams::request::StreamsHeartbeatRequest;
use crate::machine::EndMarker;
use types::{GroupId, TopicName};

pub(crate) use crate::machine::ReplyToken;

/// Everything that can be asked of a shard.
#[derive(Clone, Debug)]
pub enum GroupRequest {
    /// JoinGroup.
    Join(JoinRequest),
    /// SyncGroup.
    Sync(SyncRequest),
    /// Heartbeat of the classic protocol.
    Heartbeat(HeartbeatRequest),
    /// LeaveGroup.
    Leave(LeaveRequest),
    /// OffsetCommit.
    Commit(CommitRequest),
    /// TxnOffsetCommit.
    TxnCommit(TxnCommitRequest),
    /// The end of a producer's transaction, whose offsets count now or never.
    EndTransaction(EndMarker),
    /// OffsetFetch of one group.
    FetchOffsets(FetchOffsetsRequest),
    /// OffsetDelete.
    DeleteOffsets(DeleteOffsetsRequest),
    /// StreamsGroupHeartbeat.
    StreamsHeartbeat(StreamsHeartbeatRequest),
    /// StreamsGroupDescribe, for the groups of this shard.
    DescribeStreams(DescribeStreamsRequest),
    /// DescribeGroups, for the groups of this shard.
    Describe(DescribeRequest),
    /// ListGroups, for this shard.
    List(ListRequest),
    /// DeleteGroups, for the groups of this shard.
    DeleteGroups(DeleteGroupsRequest),
    /// Anything about share groups.
    Share {
        /// What.
        request: ShareGroupRequest,
        /// The topics as of now, so that no heartbeat is answered from an old image.
        topics: Arc<TopicsImage>,
    },
    /// Topics were deleted: their committed offsets go too.
    TopicsDeleted(Vec<TopicName>),
    /// Topics came, went or grew: what the runtime tells a shard after it is loaded, and whenever it changes.
    TopicsChanged(Arc<TopicsImage>),
    /// What a [`GroupEffect::SearchTopics`] found.
    TopicsFound(FoundTopics),
    /// ConsumerGroupHeartbeat.
    ConsumerHeartbeat(ConsumerHeartbeatRequest),
    /// ConsumerGroupDescribe, for the groups of this shard.
    DescribeConsumerGroups(DescribeRequest),
}

/// The answer to a [`GroupRequest`], of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupReply {
    /// To [`GroupRequest::Join`]; often later than the request.
    Join(JoinReply),
    /// To [`GroupRequest::Sync`]; often later than the request.
    Sync(Result<SyncedMember, SyncError>),
    /// To [`GroupRequest::Heartbeat`].
    Heartbeat(Result<(), HeartbeatError>),
    /// To [`GroupRequest::Leave`]: one result per member asked for, in order.
    Leave(Result<Vec<LeftMember>, LeaveError>),
    /// To [`GroupRequest::Commit`]: one result per partition asked for, in order.
    Commit(Result<Vec<CommittedTopic>, CommitError>),
    /// To [`GroupRequest::TxnCommit`]: one result per partition asked for, in order.
    TxnCommit(Result<Vec<CommittedTopic>, CommitError>),
    /// To [`GroupRequest::EndTransaction`].
    EndTransaction,
    /// To [`GroupRequest::FetchOffsets`].
    FetchOffsets(Result<Vec<FetchedTopic>, FetchOffsetsError>),
    /// To [`GroupRequest::DeleteOffsets`]: one result per partition asked for, in order.
    DeleteOffsets(Result<Vec<DeletedOffset>, DeleteOffsetsError>),
    /// To [`GroupRequest::StreamsHeartbeat`].
    StreamsHeartbeat(Result<StreamsHeartbeatReply, StreamsHeartbeatError>),
    /// To [`GroupRequest::DescribeStreams`]: one entry per group asked for, in order.
    DescribeStreams(Vec<Result<DescribedStreamsGroup, DescribeStreamsError>>),
    /// To [`GroupRequest::Describe`]: one entry per group asked for, in order.
    Describe(Vec<DescribedGroup>),
    /// To [`GroupRequest::List`], in the order of group ids.
    List(Vec<ListedGroup>),
    /// To [`GroupRequest::DeleteGroups`]: one result per group asked for, in order.
    DeleteGroups(Vec<DeletedGroup>),
    /// To [`GroupRequest::Share`], of the same kind.
    Share(ShareGroupReply),
    /// To [`GroupRequest::TopicsDeleted`].
    TopicsDeleted,
    /// To [`GroupRequest::TopicsChanged`].
    TopicsChanged,
    /// To [`GroupRequest::TopicsFound`].
    TopicsFound,
    /// To [`GroupRequest::ConsumerHeartbeat`].
    ConsumerHeartbeat(Result<ConsumerHeartbeatReply, ConsumerHeartbeatError>),
    /// To [`GroupRequest::DescribeConsumerGroups`]: one entry per group asked for, in order; `None` for a group that is
    /// unknown or speaks another protocol.
    DescribeConsumerGroups(Vec<(GroupId, Option<DescribedConsumerGroup>)>),
}

/// What a group wants done outside once its records are durable.
#[derive(Clone, Debug)]
pub enum GroupEffect {
    /// Run this, and answer with [`GroupRequest::TopicsFound`]. A group that gets no answer asks again later.
    SearchTopics(TopicSearch),
}

/// What one call did.
pub(crate) type Output = crate::machine::Output<GroupRecord, GroupReply, GroupEffect>;
