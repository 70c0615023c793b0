//! Coordinator state machines: a request and a time in, records and replies out. No IO, no clock, no randomness.
//!
//! Invariant: everything that must survive a restart is in the records a call returns; replaying them into a fresh
//! [`Machine`] gives the same durable state. Who appends the records, and holds the replies back until they are
//! durable, is the runtime in `broker`.

mod group;
mod machine;
pub mod share_partition;
pub mod share_state;
mod time;
mod transaction;

pub use group::classic::generation::{Generation, GroupState};
pub use group::classic::heartbeat::{HeartbeatError, HeartbeatRequest};
pub use group::classic::join::{JoinError, JoinReply, JoinRequest, JoinedGroup, JoinedMember};
pub use group::classic::leave::{
    LeaveError, LeaveMemberError, LeaveRequest, LeavingMember, LeftMember,
};
pub use group::classic::member::{Client, MemberProtocol};
pub use group::classic::sync::{MemberAssignment, SyncError, SyncRequest, SyncedMember};
pub use group::consumer::describe::{
    DescribedConsumerGroup, DescribedConsumerMember, DescribedPartitions,
};
pub use group::consumer::heartbeat::{
    ConsumerHeartbeatError, ConsumerHeartbeatReply, ConsumerHeartbeatRequest,
};
pub use group::consumer::pattern::{FoundTopics, InvalidRegex, SubscribedRegex, TopicSearch};
pub use group::consumer::protocol::assigned_partitions;
pub use group::consumer::record::{
    ClassicMemberMetadata, ConsumerMemberMetadata, ConsumerRecord, CurrentAssignment, GroupEpoch,
    MemberState, ResolvedRegex,
};
pub use group::consumer::settings::{ConsumerGroupSettings, ConsumerGroupTimes, MigrationPolicy};
pub use group::consumer::state::ConsumerGroupState;
pub use group::delete::{DeleteGroupError, DeleteGroupsRequest, DeletedGroup};
pub use group::describe::{DescribeRequest, DescribedGroup, DescribedMember};
pub use group::list::{GroupType, ListRequest, ListedGroup};
pub use group::modern::assignor::Assignor;
pub use group::modern::epoch::Epoch;
pub use group::modern::partitions::TopicPartitions;
pub use group::modern::topics::{TopicImage, TopicsImage};
pub use group::offsets::commit::{
    CommitError, CommitPartition, CommitPartitionError, CommitRequest, CommitTopic,
    CommittedPartition, CommittedTopic, TxnCommitRequest,
};
pub use group::offsets::delete::{
    DeleteOffsetError, DeleteOffsetsError, DeleteOffsetsRequest, DeletedOffset,
};
pub use group::offsets::fetch::{
    FetchOffsetError, FetchOffsetsError, FetchOffsetsRequest, FetchTopic, FetchedPartition,
    FetchedTopic, TopicSelection,
};
pub use group::record::{CommittedOffset, GroupMetadata, GroupRecord, MemberMetadata};
pub use group::request::{GroupEffect, GroupReply, GroupRequest};
pub use group::settings::GroupSettings;
pub use group::shard::{GroupShard, ReplayError};
pub use group::share::describe::{DescribedShareGroup, DescribedShareMember};
pub use group::share::heartbeat::{
    InitializeShareStates, ShareHeartbeatError, ShareHeartbeatReply, ShareHeartbeatRequest,
    SharePurpose,
};
pub use group::share::offsets::{
    AlterShareOffsets, AlterShareOffsetsRequest, DeleteShareOffsets, DeleteShareOffsetsRequest,
    DeleteShareTopicError, ShareOffsetsError,
};
pub use group::share::partitions::{ShareStatePartitions, ShareStateTopic};
pub use group::share::record::{
    ShareGroupMetadata, ShareGroupPart, ShareGroupRecord, ShareMemberAssignment,
    ShareMemberMetadata,
};
pub use group::share::shard::{ShareGroupReply, ShareGroupRequest};
pub use group::streams::answer::{StreamsHeartbeatError, StreamsHeartbeatReply, StreamsStatus};
pub use group::streams::assignor::ProcessId;
pub use group::streams::describe::{
    DescribeStreamsError, DescribeStreamsRequest, DescribedStreamsGroup, DescribedStreamsMember,
    DescribedSubtopology, DescribedTopic, DescribedTopology,
};
pub use group::streams::endpoints::EndpointPartitions;
pub use group::streams::member::{
    StreamsCurrentAssignment, StreamsMemberMetadata, StreamsMemberState, UserEndpoint,
};
pub use group::streams::record::{StreamsGroupMetadata, StreamsRecord};
pub use group::streams::request::{
    DeclaredTopology, InvalidStreamsHeartbeat, OwnedTasks, StreamsHeartbeatRequest,
};
pub use group::streams::settings::StreamsGroupSettings;
pub use group::streams::state::StreamsGroupState;
pub use group::streams::tasks::{ActiveTasks, AssignedTasks, TaskSet, Tasks};
pub use group::streams::topics::CreatableTopic;
pub use group::streams::topics::problem::{ConfigureError, TopicProblem};
pub use group::streams::topology::{
    CopartitionGroup, InternalTopic, StreamsTopology, Subtopology, SubtopologyId,
};
pub use machine::{EndMarker, Machine, MachineOutput, Origin, Output, Producer, ReplyToken};
pub use time::Now;
pub use transaction::add_partitions::{AddPartitionsError, AddPartitionsRequest};
pub use transaction::claim::ClaimedProducer;
pub use transaction::describe::DescribedTransaction;
pub use transaction::end::{EndError, EndRequest};
pub use transaction::init_producer::{InitProducerError, InitProducerRequest};
pub use transaction::list::{ListTransactionsRequest, ListedTransaction};
pub use transaction::record::TransactionRecord;
pub use transaction::request::{
    FreshId, Markers, MarkersWritten, TransactionEffect, TransactionReply, TransactionRequest,
};
pub use transaction::settings::TransactionSettings;
pub use transaction::shard::TransactionShard;
pub use transaction::state::{Transaction, TransactionState, TransactionVersion};
pub use transaction::verify_partitions::{
    VerifiedPartition, VerifyPartitionsError, VerifyPartitionsRequest,
};
