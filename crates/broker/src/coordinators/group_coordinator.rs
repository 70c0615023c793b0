//! The group coordinator as handlers see it: finds the shard of a group, one method per request.
//!
//! Every method makes its effects before it returns its future, so requests of one connection take effect in their
//! order; the futures only wait for durability or for other members.

use std::collections::BTreeMap;
use std::sync::Arc;

use coordinator::{
    CommitError, CommitRequest, CommittedTopic, ConsumerHeartbeatError, ConsumerHeartbeatReply,
    ConsumerHeartbeatRequest, DeleteGroupsRequest, DeleteOffsetsError, DeleteOffsetsRequest,
    DeletedGroup, DeletedOffset, DescribeRequest, DescribeStreamsError, DescribeStreamsRequest,
    DescribedConsumerGroup, DescribedGroup, DescribedStreamsGroup, EndMarker, FetchOffsetsError,
    FetchOffsetsRequest, FetchedTopic, FoundTopics, GroupEffect, GroupReply, GroupRequest,
    GroupSettings, GroupShard, HeartbeatError, HeartbeatRequest, JoinReply, JoinRequest,
    LeaveError, LeaveRequest, LeftMember, ListRequest, ListedGroup, Producer, ShareGroupReply,
    ShareGroupRequest, StreamsHeartbeatError, StreamsHeartbeatReply, StreamsHeartbeatRequest,
    SyncError, SyncRequest, SyncedMember, TopicsImage, TxnCommitRequest,
};
use env::Env;
use metadata::{Cluster, InternalTopic};
use storage::{FirstBatch, VerificationGuard};
use tokio_util::sync::CancellationToken;
use types::{GroupId, PartitionIndex, TopicName, TopicPartition};

use super::coordinator::{Coordinator, receive};
use super::errors::CoordinatorError;
use super::group_topic::GroupTopic;
use super::in_flight::EffectHandler;
use super::shard::TransactionPart;
use super::state_topic::StateTopic;
use super::topic_searches::TopicSearches;
use crate::topics::Topics;

/// Committed offsets have no sequences (`RecordBatch.NO_SEQUENCE`).
const NO_SEQUENCE: i32 = -1;

/// All groups this broker coordinates.
#[derive(Debug)]
pub(crate) struct GroupCoordinator {
    env: Env,
    coordinator: Coordinator<GroupShard>,
    searches: TopicSearches,
}

/// The reply of a request that the coordinator took up, as the type its method promises: `in_time`, or `whenever` other
/// members let it come.
macro_rules! request {
    ($(#[$doc:meta])* $name:ident($request:ty) as $variant:ident $wait:ident -> $reply:ty) => {
        $(#[$doc])*
        pub(crate) fn $name(
            &self,
            request: $request,
        ) -> impl Future<Output = Result<$reply, CoordinatorError>> + Send + use<> {
            let group = request.group.clone();
            let reply = self.coordinator.call(group.as_str(), GroupRequest::$variant(request));
            let reply = self.coordinator.$wait(reply);
            async move {
                match reply.await? {
                    GroupReply::$variant(reply) => Ok(reply),
                    other => unreachable!("the machine answered {other:?}"),
                }
            }
        }
    };
}

impl GroupCoordinator {
    /// Coordinates the groups of `topics`; loads nothing before [`Self::run_timers`] runs or somebody asks.
    pub(crate) fn new(topics: Arc<Topics>) -> Self {
        let env = topics.env.clone();
        Self::with_topic(env, Arc::new(GroupTopic::new(topics)))
    }

    pub(super) fn with_topic(env: Env, topic: Arc<dyn StateTopic<GroupSettings>>) -> Self {
        let (searches, want) = TopicSearches::new();
        let effects = EffectHandler::new(move |effect| match effect {
            // One that finds no place is asked for again.
            GroupEffect::SearchTopics(search) => drop(want.try_send(search)),
        });
        Self {
            env: env.clone(),
            coordinator: Coordinator::new(env, topic, effects),
            searches,
        }
    }

    /// See [`Coordinator::look`].
    pub(super) fn look(&self, see: impl FnMut(&GroupShard)) -> BTreeMap<&'static str, usize> {
        self.coordinator.look(see)
    }

    request! {
        /// JoinGroup; waits for the join phase to end.
        join(JoinRequest) as Join whenever -> JoinReply
    }
    request! {
        /// SyncGroup; waits for the leader's assignment.
        sync(SyncRequest) as Sync whenever -> Result<SyncedMember, SyncError>
    }
    request! {
        /// Heartbeat.
        heartbeat(HeartbeatRequest) as Heartbeat in_time -> Result<(), HeartbeatError>
    }
    request! {
        /// LeaveGroup.
        leave(LeaveRequest) as Leave in_time -> Result<Vec<LeftMember>, LeaveError>
    }
    request! {
        /// OffsetCommit.
        commit(CommitRequest) as Commit in_time -> Result<Vec<CommittedTopic>, CommitError>
    }
    request! {
        /// OffsetFetch of one group.
        fetch_offsets(FetchOffsetsRequest) as FetchOffsets in_time -> Result<Vec<FetchedTopic>, FetchOffsetsError>
    }
    request! {
        /// OffsetDelete.
        delete_offsets(DeleteOffsetsRequest) as DeleteOffsets in_time -> Result<Vec<DeletedOffset>, DeleteOffsetsError>
    }

    request! {
        /// ConsumerGroupHeartbeat.
        consumer_heartbeat(ConsumerHeartbeatRequest) as ConsumerHeartbeat in_time -> Result<ConsumerHeartbeatReply, ConsumerHeartbeatError>
    }

    /// ConsumerGroupDescribe: a result for each group, in the order asked for; `None` for a group that is unknown or
    /// speaks another protocol.
    pub(crate) fn describe_consumer_groups(
        &self,
        groups: Vec<GroupId>,
    ) -> impl Future<Output = OfGroups<Option<DescribedConsumerGroup>>> + Send + use<> {
        self.ask_groups(
            groups,
            |groups| GroupRequest::DescribeConsumerGroups(DescribeRequest { groups }),
            |reply| match reply {
                GroupReply::DescribeConsumerGroups(described) => {
                    described.into_iter().map(|(_, group)| group).collect()
                }
                other => unreachable!("the machine answered {other:?}"),
            },
        )
    }

    request! {
        /// StreamsGroupHeartbeat.
        streams_heartbeat(StreamsHeartbeatRequest) as StreamsHeartbeat in_time -> Result<StreamsHeartbeatReply, StreamsHeartbeatError>
    }

    /// StreamsGroupDescribe: a result for each group, in the order asked for.
    pub(crate) fn describe_streams(
        &self,
        groups: Vec<GroupId>,
    ) -> impl Future<Output = OfGroups<StreamsDescription>> + Send + use<> {
        self.ask_groups(
            groups,
            |groups| GroupRequest::DescribeStreams(DescribeStreamsRequest { groups }),
            |reply| match reply {
                GroupReply::DescribeStreams(described) => described,
                other => unreachable!("the machine answered {other:?}"),
            },
        )
    }

    /// The partition that has to belong to a transaction which commits offsets of `group`.
    ///
    /// # Errors
    /// There is no `__consumer_offsets` yet.
    pub(crate) fn offsets_partition(
        &self,
        group: &GroupId,
    ) -> Result<TopicPartition, CoordinatorError> {
        let partition = self
            .coordinator
            .partition_of(group.as_str())
            .ok_or(CoordinatorError::NotCoordinator)?;
        let topic = TopicName::new(InternalTopic::ConsumerOffsets.name());
        Ok(TopicPartition { topic, partition })
    }

    /// Says that a producer is about to commit offsets within its transaction to a partition of `__consumer_offsets`;
    /// gives a guard if the transaction coordinator has to be asked first.
    ///
    /// # Errors
    /// The producer is fenced, or the partition cannot be served now.
    pub(crate) fn begin_txn_commit(
        &self,
        partition: PartitionIndex,
        producer: Producer,
        has_own_epochs: bool,
    ) -> Result<Option<VerificationGuard>, CoordinatorError> {
        let batch = FirstBatch {
            producer: producer.id,
            epoch: producer.epoch.value(),
            sequence: NO_SEQUENCE,
            has_own_epochs,
        };
        self.coordinator.begin_verification(partition, batch)
    }

    /// TxnOffsetCommit, after [`Self::begin_txn_commit`] and the consent of the transaction coordinator.
    pub(crate) fn txn_commit(
        &self,
        request: TxnCommitRequest,
        guard: Option<VerificationGuard>,
    ) -> impl Future<Output = Result<Result<Vec<CommittedTopic>, CommitError>, CoordinatorError>>
    + Send
    + use<> {
        let part = TransactionPart::Records {
            producer: request.producer,
            guard,
        };
        let group = request.commit.group.clone();
        let commit = GroupRequest::TxnCommit(request);
        let reply = self
            .coordinator
            .call_for(group.as_str(), commit, Some(part));
        async move {
            match receive::<GroupShard>(reply).await? {
                GroupReply::TxnCommit(reply) => Ok(reply),
                other => unreachable!("the machine answered {other:?}"),
            }
        }
    }

    /// DescribeGroups: a result for each group, in the order asked for.
    pub(crate) fn describe(
        &self,
        groups: Vec<GroupId>,
    ) -> impl Future<Output = OfGroups<DescribedGroup>> + Send + use<> {
        self.ask_groups(
            groups,
            |groups| GroupRequest::Describe(DescribeRequest { groups }),
            |reply| match reply {
                GroupReply::Describe(described) => described,
                other => unreachable!("the machine answered {other:?}"),
            },
        )
    }

    /// DeleteGroups: a result for each group, in the order asked for.
    pub(crate) fn delete_groups(
        &self,
        groups: Vec<GroupId>,
    ) -> impl Future<Output = OfGroups<DeletedGroup>> + Send + use<> {
        self.ask_groups(
            groups,
            |groups| GroupRequest::DeleteGroups(DeleteGroupsRequest { groups }),
            |reply| match reply {
                GroupReply::DeleteGroups(deleted) => deleted,
                other => unreachable!("the machine answered {other:?}"),
            },
        )
    }

    /// Asks the shards of `groups`: a result for each group, in their order.
    fn ask_groups<T: Send + 'static>(
        &self,
        groups: Vec<GroupId>,
        request: fn(Vec<GroupId>) -> GroupRequest,
        split: fn(GroupReply) -> Vec<T>,
    ) -> impl Future<Output = OfGroups<T>> + Send + use<T> {
        let replies = self
            .coordinator
            .call_by_shard(groups, GroupId::as_str, request);
        async move { replies.gather(split).await }
    }

    /// ListGroups over all shards that this broker coordinates.
    pub(crate) fn list(
        &self,
        request: ListRequest,
    ) -> impl Future<Output = Result<Vec<ListedGroup>, CoordinatorError>> + Send + use<> {
        let list = || GroupRequest::List(request.clone());
        let replies = self.coordinator.call_all(list);
        async move {
            let mut listed = Vec::new();
            for reply in replies {
                match receive::<GroupShard>(reply).await {
                    Ok(GroupReply::List(mut groups)) => listed.append(&mut groups),
                    Ok(other) => unreachable!("the machine answered {other:?}"),
                    // Somebody else lists those.
                    Err(CoordinatorError::NotCoordinator) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(listed)
        }
    }

    /// Anything about one share group.
    pub(crate) fn share(
        &self,
        group: &GroupId,
        request: ShareGroupRequest,
        topics: Arc<TopicsImage>,
    ) -> impl Future<Output = Result<ShareGroupReply, CoordinatorError>> + Send + use<> {
        let request = GroupRequest::Share { request, topics };
        let reply = self.coordinator.call(group.as_str(), request);
        async move {
            match receive::<GroupShard>(reply).await? {
                GroupReply::Share(reply) => Ok(reply),
                other => unreachable!("the machine answered {other:?}"),
            }
        }
    }

    /// Forgets the offsets committed for topics that were deleted. A shard that cannot do so now keeps them until they
    /// expire, as in Kafka.
    pub(crate) fn topics_deleted(
        &self,
        topics: Vec<TopicName>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let forget = || GroupRequest::TopicsDeleted(topics.clone());
        let replies = self.coordinator.call_all(forget);
        async move {
            for reply in replies {
                if let Err(error) = receive::<GroupShard>(reply).await {
                    tracing::warn!(%error, "kept the committed offsets of a deleted topic");
                }
            }
        }
    }

    /// The end of a producer's transaction in a partition of `__consumer_offsets`.
    pub(crate) fn end_transaction(
        &self,
        partition: PartitionIndex,
        marker: EndMarker,
    ) -> impl Future<Output = Result<(), CoordinatorError>> + Send + use<> {
        let end = GroupRequest::EndTransaction(marker);
        let part = TransactionPart::Marker(marker);
        let reply = self.coordinator.call_partition(partition, end, Some(part));
        async move {
            match receive::<GroupShard>(reply).await? {
                GroupReply::EndTransaction => Ok(()),
                other => unreachable!("the machine answered {other:?}"),
            }
        }
    }

    /// See [`Coordinator::follow_cluster`].
    pub(crate) async fn follow_cluster(
        self: Arc<Self>,
        cluster: Arc<Cluster>,
        stopping: CancellationToken,
    ) {
        self.coordinator.follow_cluster(&cluster, stopping).await;
    }

    /// The partition of `__consumer_offsets` that a group belongs to, once the topic exists.
    pub(crate) fn partition_of(&self, group: &str) -> Option<PartitionIndex> {
        self.coordinator.partition_of(group)
    }

    /// Makes sure that there is a topic to keep groups in, and that its shards are loaded or loading. FindCoordinator
    /// does so, and nothing else: until then this broker coordinates no group.
    ///
    /// # Errors
    /// The topic could not be created.
    pub(crate) async fn ensure_topic(&self) -> Result<(), CoordinatorError> {
        self.coordinator.ensure_topic().await
    }

    /// Loads what there is, and then does what is due whenever it is, until `stopping`. Then answers whoever waits for
    /// other members.
    pub(crate) async fn run_timers(self: Arc<Self>, stopping: CancellationToken) {
        self.coordinator.run_timers(stopping).await;
    }

    /// Searches for the topics of patterns, until `stopping`.
    pub(crate) async fn run_searches(self: Arc<Self>, stopping: CancellationToken) {
        let found = |found: FoundTopics| {
            let group = found.group.clone();
            let found = GroupRequest::TopicsFound(found);
            // A shard that does not take it now is loaded again, and its groups ask again.
            drop(self.coordinator.call(group.as_str(), found));
        };
        let spawner = &*self.env.spawner;
        self.searches.run(spawner, stopping, found).await;
    }

    /// Ends all shards. Replies whose records are in flight are still sent when these are durable.
    pub(crate) fn unload(&self) {
        self.coordinator.unload();
    }
}

/// A streams group, or why there is none.
pub(crate) type StreamsDescription = Result<DescribedStreamsGroup, DescribeStreamsError>;

/// Groups with what is known of each.
type OfGroups<T> = Vec<(GroupId, Result<T, CoordinatorError>)>;
