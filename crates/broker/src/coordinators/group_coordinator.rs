//! The group coordinator as handlers see it: finds the shard of a group, one method per request.
//!
//! Every method makes its effects before it returns its future, so requests of one connection take effect in their
//! order; the futures only wait for durability or for other members.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use coordinator::{
    CommitError, CommitRequest, CommittedTopic, DeleteGroupsRequest, DeleteOffsetsError,
    DeleteOffsetsRequest, DeletedGroup, DeletedOffset, DescribeRequest, DescribedGroup,
    FetchOffsetsRequest, FetchedTopic, GroupReply, GroupRequest, HeartbeatError, HeartbeatRequest,
    JoinReply, JoinRequest, LeaveError, LeaveRequest, LeftMember, ListRequest, ListedGroup,
    SyncError, SyncRequest, SyncedMember,
};
use env::Env;
use tokio_util::sync::CancellationToken;
use types::{GroupId, PartitionIndex, TopicName};

use super::errors::CoordinatorError;
use super::offsets_topic::{ConsumerOffsets, OffsetsTopic};
use super::shard::{Reply, Shard, Surroundings};
use super::timers::Wakeup;
use crate::topics::Topics;

/// All groups this broker coordinates.
#[derive(Debug)]
pub(crate) struct GroupCoordinator {
    surroundings: Arc<Surroundings>,
    /// One per partition of the topic, once there is a topic. The number never changes: groups are spread by it.
    shards: OnceLock<Vec<Arc<Shard>>>,
}

/// The reply of a request that the coordinator took up, as the type its method promises.
macro_rules! request {
    ($(#[$doc:meta])* $name:ident($request:ty) as $variant:ident -> $reply:ty) => {
        $(#[$doc])*
        pub(crate) fn $name(
            &self,
            request: $request,
        ) -> impl Future<Output = Result<$reply, CoordinatorError>> + Send + use<> {
            let reply = self.call(&request.group.clone(), GroupRequest::$variant(request));
            async move {
                match receive(reply).await? {
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
        Self::with_topic(env, Arc::new(ConsumerOffsets::new(topics)))
    }

    pub(super) fn with_topic(env: Env, topic: Arc<dyn OffsetsTopic>) -> Self {
        Self {
            surroundings: Arc::new(Surroundings {
                env,
                topic,
                wakeup: Wakeup::new(),
            }),
            shards: OnceLock::new(),
        }
    }

    request! {
        /// JoinGroup; waits for the join phase to end.
        join(JoinRequest) as Join -> JoinReply
    }
    request! {
        /// SyncGroup; waits for the leader's assignment.
        sync(SyncRequest) as Sync -> Result<SyncedMember, SyncError>
    }
    request! {
        /// Heartbeat.
        heartbeat(HeartbeatRequest) as Heartbeat -> Result<(), HeartbeatError>
    }
    request! {
        /// LeaveGroup.
        leave(LeaveRequest) as Leave -> Result<Vec<LeftMember>, LeaveError>
    }
    request! {
        /// OffsetCommit.
        commit(CommitRequest) as Commit -> Result<Vec<CommittedTopic>, CommitError>
    }
    request! {
        /// OffsetFetch of one group.
        fetch_offsets(FetchOffsetsRequest) as FetchOffsets -> Vec<FetchedTopic>
    }
    request! {
        /// OffsetDelete.
        delete_offsets(DeleteOffsetsRequest) as DeleteOffsets -> Result<Vec<DeletedOffset>, DeleteOffsetsError>
    }

    /// DescribeGroups: a result for each group, in the order asked for.
    pub(crate) fn describe(
        &self,
        groups: Vec<GroupId>,
    ) -> impl Future<Output = Vec<(GroupId, Result<DescribedGroup, CoordinatorError>)>> + Send + use<>
    {
        let describe = |groups| GroupRequest::Describe(DescribeRequest { groups });
        let replies = self.call_by_shard(groups, describe);
        async move {
            gather(replies, |reply| match reply {
                GroupReply::Describe(described) => described,
                other => unreachable!("the machine answered {other:?}"),
            })
            .await
        }
    }

    /// DeleteGroups: a result for each group, in the order asked for.
    pub(crate) fn delete_groups(
        &self,
        groups: Vec<GroupId>,
    ) -> impl Future<Output = Vec<(GroupId, Result<DeletedGroup, CoordinatorError>)>> + Send + use<>
    {
        let delete = |groups| GroupRequest::DeleteGroups(DeleteGroupsRequest { groups });
        let replies = self.call_by_shard(groups, delete);
        async move {
            gather(replies, |reply| match reply {
                GroupReply::DeleteGroups(deleted) => deleted,
                other => unreachable!("the machine answered {other:?}"),
            })
            .await
        }
    }

    /// ListGroups over all shards that this broker coordinates.
    pub(crate) fn list(
        &self,
        request: ListRequest,
    ) -> impl Future<Output = Result<Vec<ListedGroup>, CoordinatorError>> + Send + use<> {
        let list = |shard: &Arc<Shard>| shard.call(GroupRequest::List(request.clone()));
        let replies: Vec<_> = self.shards().iter().map(list).collect();
        async move {
            let mut listed = Vec::new();
            for reply in replies {
                match receive(reply).await {
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

    /// Forgets the offsets committed for topics that were deleted. A shard that cannot do so now keeps them until they
    /// expire, as in Kafka.
    pub(crate) fn topics_deleted(
        &self,
        topics: Vec<TopicName>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let forget = |shard: &Arc<Shard>| shard.call(GroupRequest::TopicsDeleted(topics.clone()));
        let replies: Vec<_> = self.shards().iter().map(forget).collect();
        async move {
            for reply in replies {
                if let Err(error) = receive(reply).await {
                    tracing::warn!(%error, "kept the committed offsets of a deleted topic");
                }
            }
        }
    }

    /// The partition of `__consumer_offsets` that a group belongs to, once the topic exists.
    pub(crate) fn partition_of(&self, group: &str) -> Option<PartitionIndex> {
        let count = i32::try_from(self.shards().len()).ok()?;
        PartitionIndex::new(
            java_string_hash(group)
                .checked_abs()
                .unwrap_or(0)
                .checked_rem(count)?,
        )
    }

    /// Makes sure that there is a topic to keep groups in, and that its shards are loaded or loading. FindCoordinator
    /// does so, and nothing else: until then this broker coordinates no group.
    ///
    /// # Errors
    /// The topic could not be created.
    pub(crate) async fn ensure_topic(&self) -> Result<(), CoordinatorError> {
        if self.shards().is_empty() {
            self.surroundings.topic.create().await?;
            self.tick_all();
        }
        Ok(())
    }

    /// Loads what there is, and then does what is due whenever it is, until `stopping`. Then answers whoever waits for
    /// other members.
    pub(crate) async fn run_timers(self: Arc<Self>, stopping: CancellationToken) {
        let clock = Arc::clone(&self.surroundings.env.clock);
        while !stopping.is_cancelled() {
            self.surroundings.wakeup.begin_round();
            let next = self.tick_all();
            tokio::select! {
                () = stopping.cancelled() => {}
                () = self.surroundings.wakeup.sleep(&*clock, next) => {}
            }
        }
        self.unload();
    }

    /// Ends all shards. Replies whose records are in flight are still sent when these are durable.
    pub(crate) fn unload(&self) {
        for shard in self.shards() {
            shard.stop();
        }
    }

    fn tick_all(&self) -> Option<types::Instant> {
        let now = self.surroundings.now();
        let ticks = self.shards().iter().map(|shard| shard.tick(now));
        ticks.flatten().min()
    }

    fn shards(&self) -> &[Arc<Shard>] {
        if let Some(shards) = self.shards.get() {
            return shards;
        }
        let Some(count) = self.surroundings.topic.partitions() else {
            return &[];
        };
        self.shards.get_or_init(|| {
            let shard = |index| Arc::new(Shard::new(Arc::clone(&self.surroundings), index));
            (0..count)
                .filter_map(PartitionIndex::new)
                .map(shard)
                .collect()
        })
    }

    fn shard_of(&self, group: &GroupId) -> Result<(PartitionIndex, &Arc<Shard>), CoordinatorError> {
        let index = self
            .partition_of(group.as_str())
            .ok_or(CoordinatorError::NotCoordinator)?;
        let shard = usize::try_from(index.value())
            .ok()
            .and_then(|index| self.shards().get(index))
            .ok_or(CoordinatorError::NotCoordinator)?;
        Ok((index, shard))
    }

    fn call(&self, group: &GroupId, request: GroupRequest) -> Result<Reply, CoordinatorError> {
        let (_, shard) = self.shard_of(group)?;
        shard.call(request)
    }

    /// Sends each shard one request about those of `groups` that it has.
    fn call_by_shard(
        &self,
        groups: Vec<GroupId>,
        request: impl Fn(Vec<GroupId>) -> GroupRequest,
    ) -> ShardReplies {
        let mut by_shard: BTreeMap<Option<PartitionIndex>, Vec<usize>> = BTreeMap::new();
        for (position, group) in groups.iter().enumerate() {
            let partition = self.partition_of(group.as_str());
            by_shard.entry(partition).or_default().push(position);
        }
        let mut replies = Vec::with_capacity(by_shard.len());
        for positions in by_shard.into_values() {
            let of_shard: Vec<GroupId> = positions
                .iter()
                .filter_map(|position| groups.get(*position).cloned())
                .collect();
            let first = of_shard.first().cloned();
            let reply = match first {
                Some(first) => self.call(&first, request(of_shard)),
                None => continue,
            };
            replies.push((positions, reply));
        }
        ShardReplies { groups, replies }
    }
}

/// What shards answer about groups, by the groups' positions in the request.
struct ShardReplies {
    groups: Vec<GroupId>,
    replies: Vec<(Vec<usize>, Result<Reply, CoordinatorError>)>,
}

/// Puts the answers of several shards into the order of the request.
async fn gather<T>(
    replies: ShardReplies,
    split: impl Fn(GroupReply) -> Vec<T>,
) -> Vec<(GroupId, Result<T, CoordinatorError>)> {
    let mut results: BTreeMap<usize, Result<T, CoordinatorError>> = BTreeMap::new();
    for (positions, reply) in replies.replies {
        match receive(reply).await {
            Ok(reply) => {
                results.extend(positions.into_iter().zip(split(reply).into_iter().map(Ok)));
            }
            Err(error) => {
                results.extend(positions.into_iter().map(|position| (position, Err(error))));
            }
        }
    }
    // Positions are those of `groups`, each once: the values are in its order.
    replies
        .groups
        .into_iter()
        .zip(results.into_values())
        .collect()
}

async fn receive(reply: Result<Reply, CoordinatorError>) -> Result<GroupReply, CoordinatorError> {
    // A dropped sender means that the coordinator went away with the request.
    reply?.await.unwrap_or(Err(CoordinatorError::NotAvailable))
}

/// Java's `String.hashCode`: over UTF-16 code units.
fn java_string_hash(text: &str) -> i32 {
    let add = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    text.encode_utf16().fold(0, add)
}

#[cfg(test)]
mod tests {
    use super::java_string_hash;

    #[test]
    fn hashes_are_javas() {
        // "polygenelubricants" is the well-known text whose hash has no absolute value.
        for (text, hash) in [
            ("", 0),
            ("a", 97),
            ("console-consumer-1", 35782224),
            ("polygenelubricants", i32::MIN),
            ("ä𝄞", 1991502),
        ] {
            assert_eq!(java_string_hash(text), hash, "{text}");
        }
    }
}
