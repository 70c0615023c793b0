//! [`System`]: what the broker tells of itself, for the schema `sys`.
//!
//! The binary's composition root implements it over the broker. Every method tells of one thing, as of now, so
//! that a query over all of them is never more than a batch of rows ahead of its reader.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use metadata::settings::{ConfigEntry, Resource};
use storage::{ActiveProducer, LogOffsets, LogSegment};
use types::{
    GroupId, InstanceId, LeaderEpoch, MemberId, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    Timestamp, TopicId, TopicName, TopicPartition, TransactionalId,
};

/// The broker as of now. What is not `async` is called from threads that may block on the disk.
#[async_trait]
pub trait System: Debug + Send + Sync {
    /// All topics, internal ones too.
    fn topics(&self) -> Vec<Topic>;

    /// A partition; `None` if there is none.
    fn partition(&self, topic: &TopicName, partition: i32) -> Option<Partition>;

    /// The segments of a partition that is here, the oldest first.
    fn segments(&self, topic: &TopicName, partition: i32) -> Vec<LogSegment>;

    /// The producers that a partition knows that is here.
    fn producers(&self, topic: &TopicName, partition: i32) -> Vec<ActiveProducer>;

    /// What has settings.
    fn resources(&self) -> Vec<Resource>;

    /// The settings of a resource; none if it is gone. Secrets have no value.
    fn settings(&self, resource: &Resource) -> Vec<ConfigEntry>;

    /// The connections of Kafka's protocol that are open.
    fn connections(&self) -> Vec<Connection>;

    /// All groups.
    ///
    /// # Errors
    /// A coordinator does not answer.
    async fn groups(&self) -> Result<Vec<Group>, Unanswered>;

    /// What more there is to know of a group; `None` if it is gone.
    ///
    /// # Errors
    /// A coordinator does not answer.
    async fn describe_group(&self, group: &Group) -> Result<Option<GroupDescription>, Unanswered>;

    /// Where a group stands in each partition that it has an offset of.
    ///
    /// # Errors
    /// A coordinator does not answer.
    async fn group_offsets(&self, group: &Group) -> Result<Vec<GroupOffset>, Unanswered>;

    /// All transactional ids.
    ///
    /// # Errors
    /// A coordinator does not answer.
    async fn transactions(&self) -> Result<Vec<TransactionalId>, Unanswered>;

    /// What a transactional id is doing; `None` if it is gone.
    ///
    /// # Errors
    /// A coordinator does not answer.
    async fn describe_transaction(
        &self,
        id: TransactionalId,
    ) -> Result<Option<Transaction>, Unanswered>;

    /// The topics of dead letters of the pipelines that are applied, each once.
    ///
    /// # Errors
    /// What is applied cannot be read.
    async fn dead_letters(&self) -> Result<Vec<DeadLetters>, Unanswered> {
        Ok(Vec::new())
    }

    /// How far the pipelines that are applied are behind.
    ///
    /// # Errors
    /// What is applied, how far it is, or where topics end cannot be read.
    async fn lag(&self) -> Result<Vec<Lag>, Unanswered> {
        Ok(Vec::new())
    }
}

/// A topic of dead letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadLetters {
    /// The environment of the pipelines.
    pub environment: String,
    /// The topic.
    pub topic: String,
}

/// How far a pipeline is behind a partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Lag {
    /// The environment.
    pub environment: String,
    /// The pipeline.
    pub pipeline: String,
    /// Its task.
    pub task: &'static str,
    /// The input.
    pub input: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset from which on nothing is committed.
    pub next_offset: i64,
    /// Where what can be read ends.
    pub end_offset: i64,
    /// Offsets from the first unread record to the end.
    pub records: i64,
    /// The time of that record.
    pub next_time: Option<Timestamp>,
    /// How long ago that was, in seconds; `None` if it is not known.
    pub seconds: Option<f64>,
}

/// A coordinator does not answer; the source says why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unanswered(pub Box<dyn std::error::Error + Send + Sync>);

impl Unanswered {
    /// What to do.
    pub fn hint(&self) -> String {
        "A coordinator that was just started reads its topic first; ask again in a moment. If it stays so, the broker's log \
         says why."
            .to_owned()
    }
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// Its identity.
    pub id: TopicId,
    /// How many partitions it has, numbered from zero.
    pub partitions: i32,
    /// Replicas of each partition.
    pub replication_factor: i16,
    /// One of the broker's own topics.
    pub is_internal: bool,
    /// `cleanup.policy` that is in force.
    pub cleanup_policy: String,
    /// `retention.ms` that is in force; `None` if nothing is deleted by age.
    pub retention_ms: Option<i64>,
    /// `retention.bytes` that is in force; `None` if nothing is deleted by size.
    pub retention_bytes: Option<i64>,
}

/// A partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The broker that leads it; `None` while nobody does.
    pub leader: Option<i32>,
    /// In which epoch.
    pub leader_epoch: LeaderEpoch,
    /// Whether an error of the disk has taken its log offline.
    pub is_offline: bool,
    /// Where its log begins and ends; `None` if the log is not here or cannot be opened.
    pub offsets: Option<LogOffsets>,
    /// The bytes of its segments, likewise.
    pub size_bytes: Option<u64>,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Counts connections; the broker's log names them by it.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// `client.id`, once the client has told.
    pub client_id: Option<Arc<str>>,
    /// The client's library and its version, if it has told.
    pub software: Option<(Arc<str>, Arc<str>)>,
    /// Requests that were begun.
    pub requests: u64,
    /// Bytes that were read.
    pub received_bytes: u64,
    /// Bytes that were sent.
    pub sent_bytes: u64,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The group.
    pub group: GroupId,
    /// The protocol it speaks.
    pub kind: GroupType,
    /// Its state, as Kafka's tools print it.
    pub state: &'static str,
    /// `consumer`, `connect`, ...; `None` if nobody ever joined.
    pub protocol_type: Option<Arc<str>>,
    /// The partition of `__consumer_offsets` that it belongs to.
    pub coordinator: Option<PartitionIndex>,
}

/// The protocol that a group speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupType {
    /// JoinGroup and SyncGroup, or only commits.
    Classic,
    /// KIP-848.
    Consumer,
    /// KIP-932.
    Share,
    /// KIP-1071.
    Streams,
}

impl GroupType {
    /// The name as Kafka's tools print it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
            Self::Share => "share",
            Self::Streams => "streams",
        }
    }
}

/// What more there is to know of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupDescription {
    /// The assignor in use.
    pub protocol: Option<Arc<str>>,
    /// Counts its changes; classic groups have none.
    pub epoch: Option<i32>,
    /// Its members, by id.
    pub members: Vec<Member>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The member.
    pub member: MemberId,
    /// Its static name, if it has one.
    pub instance: Option<InstanceId>,
    /// `client.id`; may be empty.
    pub client_id: Arc<str>,
    /// Where it came from, as Kafka prints it (`/127.0.0.1`).
    pub client_host: Arc<str>,
    /// `client.rack`.
    pub rack: Option<Arc<str>>,
    /// Its epoch; classic members have none.
    pub epoch: Option<i32>,
    /// What it has: partitions, or of a streams group active tasks.
    pub assignment: Vec<String>,
}

/// Where a group stands in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffset {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset it reads next; of a share group the one below which everything is settled.
    pub offset: i64,
    /// The leader epoch of the last record read, if the client said.
    pub leader_epoch: Option<LeaderEpoch>,
    /// What the client keeps beside the offset.
    pub metadata: Option<Arc<str>>,
    /// When it was committed.
    pub committed: Option<Timestamp>,
    /// The end of what readers may see; `None` if there is no such partition here.
    pub high_watermark: Option<Offset>,
    /// Records up to there that the group has not settled.
    pub lag: Option<i64>,
}

/// A transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The transactional id.
    pub id: TransactionalId,
    /// Where its transaction stands, as Kafka's tools print it.
    pub state: &'static str,
    /// Its producer.
    pub producer: ProducerId,
    /// The producer's session.
    pub epoch: ProducerEpoch,
    /// How long a transaction may stay open, in milliseconds.
    pub timeout_ms: i32,
    /// When its transaction began; `None` if none has.
    pub started: Option<Timestamp>,
    /// The partitions of its transaction.
    pub partitions: Vec<TopicPartition>,
    /// The partition of `__transaction_state` that it belongs to.
    pub coordinator: Option<PartitionIndex>,
}
