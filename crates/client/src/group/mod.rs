//! Classic consumer groups (`clients/.../consumer/internals/{AbstractCoordinator,ConsumerCoordinator}.java`): who is in,
//! who reads what, and how far the group has read.

mod coordinator;
mod heartbeat;
mod membership;
mod offsets;
mod subscription;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use protocol::ErrorCode;
use tokio::time::Instant;

pub use coordinator::{Coordinator, CoordinatorError, CoordinatorKind, GroupCoordinator};
pub use offsets::{
    CommitError, CommitOffset, CommittedOffset, FetchOffsetsError, commit_offsets,
    fetch_committed_offsets,
};
pub use subscription::{SubscriptionError, decode_assignment, decode_subscription};

use crate::assignor::{Assignor, TopicPartition};
use crate::cluster::{Cluster, MetadataError};
use crate::connection::CallError;
use crate::consumer::{ConsumeError, Consumer, ConsumerConfig, RecordBatch, resolve_offsets};
use crate::offsets::{OffsetSpec, OffsetsError};
use crate::refusal::Refusal;
use heartbeat::{Heart, Pulse};
use membership::{Joined, Membership};

/// How to take part in a group. Defaults are those of Kafka's Java consumer.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `group.id`.
    pub group_id: Arc<str>,
    /// `group.instance.id`, for static membership.
    pub group_instance_id: Option<String>,
    /// `partition.assignment.strategy`, most wanted first. All must be eager, or all cooperative.
    pub assignors: Vec<Assignor>,
    /// `session.timeout.ms`: how long the group waits for a member that is silent.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`: how long a member may take to join again.
    pub rebalance_timeout: Duration,
    /// `auto.commit.interval.ms`; `None` leaves committing to the caller.
    pub auto_commit: Option<Duration>,
    /// `auto.offset.reset`: where to begin without a committed offset; `None` makes that an error.
    pub start: Option<OffsetSpec>,
    /// How to fetch.
    pub consumer: ConsumerConfig,
}

impl GroupConfig {
    /// The defaults, for a group.
    pub fn new(group_id: impl Into<Arc<str>>) -> Self {
        Self {
            group_id: group_id.into(),
            group_instance_id: None,
            assignors: vec![Assignor::Range],
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            rebalance_timeout: Duration::from_secs(300),
            auto_commit: Some(Duration::from_secs(5)),
            start: Some(OffsetSpec::Latest),
            consumer: ConsumerConfig::default(),
        }
    }
}

/// Why a member cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GroupError {
    /// The group's coordinator could not be found or reached.
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    /// The coordinator did not take the member.
    #[error("cannot join group '{group}'")]
    Join {
        /// Which group.
        group: Arc<str>,
        /// Its answer.
        #[source]
        source: Refusal,
    },
    /// Another process took over this member's `group.instance.id`.
    #[error("another member of group '{group}' uses the same group.instance.id")]
    Fenced {
        /// Which group.
        group: Arc<str>,
    },
    /// What another member said of itself, or the leader of us, cannot be read.
    #[error("cannot read what a member of group '{group}' sent")]
    Subscription {
        /// Which group.
        group: Arc<str>,
        /// What is wrong.
        #[source]
        source: SubscriptionError,
    },
    /// The coordinator chose an assignor that was not offered.
    #[error("group '{group}' uses the assignor '{assignor}', which this member did not offer")]
    Assignor {
        /// Which group.
        group: Arc<str>,
        /// Its assignor.
        assignor: String,
    },
    /// A partition has no committed offset, and no start was configured.
    #[error("group '{group}' has no committed offset for {partition}")]
    NoOffset {
        /// Which group.
        group: Arc<str>,
        /// Which partition.
        partition: TopicPartition,
    },
    /// Topics could not be looked up.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// Committed offsets could not be read.
    #[error(transparent)]
    FetchOffsets(#[from] FetchOffsetsError),
    /// Offsets could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Where to begin could not be found.
    #[error(transparent)]
    Offsets(#[from] OffsetsError),
    /// Reading failed.
    #[error(transparent)]
    Consume(#[from] ConsumeError),
    /// A request failed for good.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// What a poll brought.
#[derive(Debug)]
pub enum GroupEvent {
    /// Records of one batch.
    Batch(RecordBatch),
    /// Nothing now.
    Idle,
    /// The group shared its partitions anew; these are ours now.
    Assigned(Vec<TopicPartition>),
}

/// How often the leader looks whether its topics have grown.
const TOPICS_CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// A member of a group, reading what the group gives it.
///
/// Offsets are committed only up to what [`GroupMember::processed`] was told: at-least-once. Call
/// [`GroupMember::leave`] at the end, or the group waits for the session timeout.
#[derive(Debug)]
pub struct GroupMember {
    cluster: Cluster,
    config: GroupConfig,
    topics: Vec<Arc<str>>,
    membership: Membership,
    heart: Option<Heart>,
    consumer: Consumer,
    processed: BTreeMap<TopicPartition, i64>,
    committed: BTreeMap<TopicPartition, i64>,
    next_commit: Option<Instant>,
    next_topics_check: Instant,
}

impl GroupMember {
    /// A member that wants `topics`; it joins with the first poll.
    pub fn new(cluster: Cluster, topics: Vec<Arc<str>>, config: GroupConfig) -> Self {
        let cluster = cluster.with_own_connections();
        let membership = Membership::new(cluster.clone(), config.clone(), topics.clone());
        let consumer = Consumer::new(cluster.clone(), config.consumer.clone());
        Self {
            cluster,
            config,
            topics,
            membership,
            heart: None,
            consumer,
            processed: BTreeMap::new(),
            committed: BTreeMap::new(),
            next_commit: None,
            next_topics_check: Instant::now() + TOPICS_CHECK_INTERVAL,
        }
    }

    /// The id the coordinator gave to this member; empty before it joined.
    pub fn member_id(&self) -> &str {
        self.membership.member_id()
    }

    /// The partitions this member reads now, and where it stands in each.
    pub fn positions(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.consumer.positions()
    }

    /// The records below `next_offset` are done with and may be committed.
    pub fn processed(&mut self, partition: &TopicPartition, next_offset: i64) {
        if let Some(known) = self.processed.get_mut(partition) {
            *known = (*known).max(next_offset);
        }
    }

    /// The next event. Joins, takes part in rebalances and commits as time passes. Cancelling it at any point loses
    /// no records; a join that was cancelled is taken up again.
    pub async fn poll(&mut self) -> Result<GroupEvent, GroupError> {
        let pulse = self.heart.as_ref().map(Heart::pulse);
        match pulse {
            None => return self.join().await,
            Some(Pulse::Steady) => {}
            Some(Pulse::Rebalance) => {
                self.prepare_rebalance().await?;
                return self.join().await;
            }
            Some(Pulse::Lost) => {
                self.lose_everything();
                return self.join().await;
            }
            Some(Pulse::Fenced) => {
                let group = Arc::clone(&self.config.group_id);
                return Err(GroupError::Fenced { group });
            }
        }
        self.commit_if_due().await?;
        self.check_topics().await?;
        let Some(heart) = &mut self.heart else {
            return Ok(GroupEvent::Idle);
        };
        tokio::select! {
            biased;
            () = heart.changed() => Ok(GroupEvent::Idle),
            polled = self.consumer.poll() => Ok(match polled? {
                Some(batch) => GroupEvent::Batch(batch),
                None => GroupEvent::Idle,
            }),
        }
    }

    async fn join(&mut self) -> Result<GroupEvent, GroupError> {
        self.heart = None;
        let owned: Vec<TopicPartition> =
            self.consumer.positions().map(|(p, _)| p.clone()).collect();
        let joined = self.membership.join(&owned).await?;
        self.take_assignment(&joined).await?;
        let partitions = self.consumer.positions().map(|(p, _)| p.clone()).collect();
        self.heart = Some(Heart::start(
            self.cluster.clone(),
            &self.config,
            self.membership.identity(),
            self.membership.coordinator().clone(),
        ));
        self.next_commit = self.config.auto_commit.map(|every| Instant::now() + every);
        let given: BTreeSet<&TopicPartition> = joined.partitions.iter().collect();
        // What this member had to give up in a cooperative round is free for its new owner after one more join.
        if joined.assignor.is_cooperative()
            && owned.iter().any(|had| !given.contains(had))
            && let Some(heart) = &self.heart
        {
            heart.ask_for_rebalance();
        }
        Ok(GroupEvent::Assigned(partitions))
    }

    async fn take_assignment(&mut self, joined: &Joined) -> Result<(), GroupError> {
        let given: BTreeSet<TopicPartition> = joined.partitions.iter().cloned().collect();
        let had: Vec<TopicPartition> = self.consumer.positions().map(|(p, _)| p.clone()).collect();
        for partition in had.iter().filter(|partition| !given.contains(*partition)) {
            self.forget(partition);
        }
        let added: Vec<TopicPartition> = given
            .into_iter()
            .filter(|partition| self.consumer.position(partition).is_none())
            .collect();
        if added.is_empty() {
            return Ok(());
        }
        let coordinator = self.membership.coordinator();
        let committed = fetch_committed_offsets(coordinator, Some(&added)).await?;
        let mut starts = BTreeMap::new();
        for partition in added {
            match committed.get(&partition) {
                Some(committed) => self.begin(partition, committed.offset),
                None => {
                    let start = self.config.start.ok_or_else(|| GroupError::NoOffset {
                        group: Arc::clone(&self.config.group_id),
                        partition: partition.clone(),
                    })?;
                    starts.insert(partition, start);
                }
            }
        }
        let isolation = self.config.consumer.isolation;
        for (partition, offset) in resolve_offsets(&self.cluster, &starts, isolation).await? {
            self.begin(partition, offset);
        }
        Ok(())
    }

    fn begin(&mut self, partition: TopicPartition, offset: i64) {
        self.processed.insert(partition.clone(), offset);
        self.committed.insert(partition.clone(), offset);
        self.consumer.seek(partition, offset);
    }

    fn forget(&mut self, partition: &TopicPartition) {
        self.consumer.remove(partition);
        self.processed.remove(partition);
        self.committed.remove(partition);
    }

    fn lose_everything(&mut self) {
        self.membership.forget_member();
        let had: Vec<TopicPartition> = self.consumer.positions().map(|(p, _)| p.clone()).collect();
        for partition in &had {
            self.forget(partition);
        }
    }

    /// Commits what is done; an eager member then lets everything go before it joins again.
    async fn prepare_rebalance(&mut self) -> Result<(), GroupError> {
        if self.config.auto_commit.is_some() {
            match self.commit().await {
                Err(error) if !is_lost(&error) => return Err(error),
                // Out of the group already: what was done will be done again by somebody.
                _ => {}
            }
        }
        let cooperative = self.config.assignors.iter().all(|a| a.is_cooperative());
        if !cooperative {
            let had: Vec<TopicPartition> =
                self.consumer.positions().map(|(p, _)| p.clone()).collect();
            for partition in &had {
                self.forget(partition);
            }
        }
        Ok(())
    }

    async fn commit_if_due(&mut self) -> Result<(), GroupError> {
        let Some(at) = self.next_commit.filter(|at| *at <= Instant::now()) else {
            return Ok(());
        };
        let every = self.config.auto_commit.unwrap_or(Duration::MAX);
        self.next_commit = Some(at + every);
        match self.commit().await {
            // A rebalance has begun; the heartbeat tells the same and the commit is made on the way.
            Err(error) if is_lost(&error) => Ok(()),
            result => result,
        }
    }

    /// Commits everything that was processed and not committed yet.
    pub async fn commit(&mut self) -> Result<(), GroupError> {
        let new: BTreeMap<TopicPartition, CommitOffset> = self
            .processed
            .iter()
            .filter(|(partition, offset)| self.committed.get(*partition) != Some(*offset))
            .map(|(partition, offset)| (partition.clone(), CommitOffset::new(*offset)))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let identity = self.membership.identity();
        commit_offsets(self.membership.coordinator(), Some(&identity), &new).await?;
        for (partition, offset) in new {
            self.committed.insert(partition, offset.offset);
        }
        Ok(())
    }

    /// The leader notices new partitions, because nobody tells the group of them.
    async fn check_topics(&mut self) -> Result<(), GroupError> {
        if !self.membership.is_leader() || self.next_topics_check > Instant::now() {
            return Ok(());
        }
        self.next_topics_check = Instant::now() + TOPICS_CHECK_INTERVAL;
        let counts = self.membership.partition_counts().await?;
        if self.membership.has_other_counts(&counts)
            && let Some(heart) = &self.heart
        {
            tracing::debug!(group = %self.config.group_id, topics = ?self.topics, "topics have changed");
            heart.ask_for_rebalance();
        }
        Ok(())
    }

    /// Commits what was processed and leaves the group, so that the others take over at once.
    pub async fn leave(mut self) -> Result<(), GroupError> {
        let steady = self
            .heart
            .take()
            .is_some_and(|heart| heart.pulse() != Pulse::Lost);
        let committed = if steady && self.config.auto_commit.is_some() {
            self.commit().await
        } else {
            Ok(())
        };
        self.membership.leave().await?;
        committed
    }
}

/// Whether a commit failed because the member is no longer, or not yet again, part of the group.
fn is_lost(error: &GroupError) -> bool {
    use ErrorCode as E;
    let GroupError::Commit(CommitError::Refused { source, .. }) = error else {
        return false;
    };
    [
        E::RebalanceInProgress,
        E::IllegalGeneration,
        E::UnknownMemberId,
    ]
    .iter()
    .any(|code| source.is(*code))
}
