//! Producing in transactions (KIP-98, KIP-890): records of several partitions, and offsets of a consumer group, that all
//! count or none of them.
//!
//! Invariants: nothing is sent outside of an open transaction; the end is asked for only when everything sent has been
//! acknowledged (commit) or nothing is on its way any more (abort); a transaction in which anything failed can only be
//! aborted; a producer that was fenced does nothing any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest,
    TxnOffsetCommitRequest,
};
use protocol::{ErrorCode, Request};

use super::accumulator::ProducerSession;
use super::{Acks, Delivery, ProduceError, Producer, ProducerConfig, ProducerRecord};
use crate::assignor::TopicPartition;
use crate::cluster::{Cluster, Lane, Retry, Target};
use crate::connection::CallError;
use crate::group::{CommitOffset, Coordinator, CoordinatorError};
use crate::refusal::{self, Refusal};

/// The last versions of the first protocol. Later ones say that the client speaks the second, AddPartitionsToTxn's that
/// it is a broker.
const PRODUCE_V1_MAX: i16 = 11;
const END_V1_MAX: i16 = 4;
const TXN_OFFSET_COMMIT_V1_MAX: i16 = 4;
const ADD_PARTITIONS_MAX: i16 = 3;
/// The feature, and its level from which on the second protocol is spoken.
const FEATURE: &str = "transaction.version";
const V2_LEVEL: i16 = 2;

/// How transactions are spoken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionProtocol {
    /// Partitions are added by a request of their own; the epoch stays.
    V1,
    /// Partitions are added by what is sent to them; each end bumps the epoch (KIP-890).
    V2,
}

/// Who commits offsets of a group: what the consumer that read them knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupMetadata {
    /// The group.
    pub group_id: Arc<str>,
    /// The generation or member epoch; -1 outside of one.
    pub generation_id: i32,
    /// The member; empty outside of the group.
    pub member_id: String,
    /// The member's static name.
    pub group_instance_id: Option<String>,
}

impl ConsumerGroupMetadata {
    /// For who commits without being a member.
    pub fn outsider(group_id: impl Into<Arc<str>>) -> Self {
        Self {
            group_id: group_id.into(),
            generation_id: -1,
            member_id: String::new(),
            group_instance_id: None,
        }
    }
}

/// Why a step of a transaction failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TransactionError {
    /// A coordinator could not be asked.
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    /// No broker said what it can do.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A record was not written.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// A coordinator refused.
    #[error("cannot {attempted}")]
    Refused {
        /// What was asked.
        attempted: &'static str,
        /// The broker's answer.
        #[source]
        source: Refusal,
    },
    /// Another producer has taken over the transactional id: this one is of no more use.
    #[error("another producer uses transactional id '{id}' now")]
    Fenced {
        /// The transactional id.
        id: Arc<str>,
    },
    /// There is no open transaction.
    #[error("no transaction is open")]
    NotOpen,
    /// There is one already.
    #[error("a transaction is open already")]
    Open,
    /// Something in the transaction failed before.
    #[error("the transaction can only be aborted")]
    MustAbort,
}

/// A session as the sending task sees it.
#[derive(Debug, Clone)]
pub(super) struct TransactionSession {
    id: Arc<str>,
    produce_version_max: i16,
    /// `None` when nothing may be sent: its sequences have a gap.
    session: Arc<Mutex<Option<ProducerSession>>>,
}

impl TransactionSession {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn produce_version_max(&self) -> i16 {
        self.produce_version_max
    }

    pub(super) fn session(&self) -> Option<ProducerSession> {
        *self.session.lock()
    }

    pub(super) fn lose(&self) {
        *self.session.lock() = None;
    }
}

#[derive(Debug)]
enum State {
    /// Between transactions.
    Ready,
    Open(Open),
    Fenced,
}

/// What an open transaction has done.
#[derive(Debug, Default)]
struct Open {
    partitions: BTreeSet<TopicPartition>,
    groups: BTreeSet<Arc<str>>,
    /// Something failed.
    is_broken: bool,
}

impl Open {
    fn is_empty(&self) -> bool {
        self.partitions.is_empty() && self.groups.is_empty()
    }
}

/// Produces in transactions under a transactional id. At most one at a time works; a newer one takes over.
#[derive(Debug)]
pub struct TransactionalProducer {
    producer: Producer,
    cluster: Cluster,
    coordinator: Coordinator,
    protocol: TransactionProtocol,
    timeout: Duration,
    transaction: TransactionSession,
    /// The session, also while nothing may be sent.
    current: ProducerSession,
    state: State,
}

impl TransactionalProducer {
    /// Takes over a transactional id: what its last producer has left open is aborted. `timeout` is how long a
    /// transaction may stay open before the brokers abort it.
    pub async fn init(
        cluster: Cluster,
        transactional_id: impl Into<Arc<str>>,
        timeout: Duration,
        config: ProducerConfig,
    ) -> Result<Self, TransactionError> {
        Self::begin_with(cluster, transactional_id, timeout, config, None).await
    }

    /// Goes on with a transactional id after an error, unless somebody else has taken it over since: then it fails as fenced and
    /// leaves them alone (KIP-360). `session` is what [`Self::session`] gave last.
    pub async fn resume(
        cluster: Cluster,
        transactional_id: impl Into<Arc<str>>,
        timeout: Duration,
        config: ProducerConfig,
        session: (i64, i16),
    ) -> Result<Self, TransactionError> {
        let (id, epoch) = session;
        let session = Some(ProducerSession { id, epoch });
        Self::begin_with(cluster, transactional_id, timeout, config, session).await
    }

    async fn begin_with(
        cluster: Cluster,
        transactional_id: impl Into<Arc<str>>,
        timeout: Duration,
        config: ProducerConfig,
        expected: Option<ProducerSession>,
    ) -> Result<Self, TransactionError> {
        let id: Arc<str> = transactional_id.into();
        let protocol = protocol_of(&cluster).await?;
        let coordinator = Coordinator::of_transactional_id(cluster.clone(), Arc::clone(&id));
        let current = begin_session(&coordinator, timeout, expected).await?;
        let transaction = TransactionSession {
            id,
            produce_version_max: match protocol {
                TransactionProtocol::V1 => PRODUCE_V1_MAX,
                TransactionProtocol::V2 => i16::MAX,
            },
            session: Arc::new(Mutex::new(Some(current))),
        };
        let config = ProducerConfig {
            acks: Acks::All,
            idempotent: true,
            ..config
        };
        let producer =
            Producer::with_transaction(cluster.clone(), config, Some(transaction.clone()));
        Ok(Self {
            producer,
            cluster,
            coordinator,
            protocol,
            timeout,
            transaction,
            current,
            state: State::Ready,
        })
    }

    /// The protocol, which the brokers decide.
    pub fn protocol(&self) -> TransactionProtocol {
        self.protocol
    }

    /// The producer id and epoch of now.
    pub fn session(&self) -> (i64, i16) {
        (self.current.id, self.current.epoch)
    }

    /// Begins a transaction; the brokers hear of it with the first record.
    pub fn begin(&mut self) -> Result<(), TransactionError> {
        match self.state {
            State::Ready => {
                self.state = State::Open(Open::default());
                Ok(())
            }
            State::Open(_) => Err(TransactionError::Open),
            State::Fenced => Err(self.fenced()),
        }
    }

    /// Puts a record into a batch of the transaction, as [`Producer::send`] does.
    pub async fn send(
        &mut self,
        topic: &Arc<str>,
        record: ProducerRecord<'_>,
    ) -> Result<Delivery, TransactionError> {
        self.unbroken()?;
        let partition = self.producer.choose_partition(topic, &record).await?;
        let place = TopicPartition::new(Arc::clone(topic), partition);
        if !self.unbroken()?.partitions.contains(&place) {
            if self.protocol == TransactionProtocol::V1 {
                let added = self.add_partition(&place).await;
                self.note(added)?;
            }
            self.unbroken()?.partitions.insert(place);
        }
        let sent = self.producer.send_to(topic, partition, record).await;
        Ok(sent?)
    }

    /// Commits offsets of a group with the transaction.
    pub async fn send_offsets(
        &mut self,
        group: &ConsumerGroupMetadata,
        offsets: &BTreeMap<TopicPartition, CommitOffset>,
    ) -> Result<(), TransactionError> {
        let open = self.unbroken()?;
        let is_new = open.groups.insert(Arc::clone(&group.group_id));
        let sent = self.commit_offsets(group, offsets, is_new).await;
        self.note(sent)
    }

    /// Commits: waits until everything is written, then has it count. After an error that is not final the same may be
    /// tried again; the answer is the same if the first attempt had arrived.
    pub async fn commit(&mut self) -> Result<(), TransactionError> {
        self.unbroken()?;
        let flushed = self.producer.flush().await;
        self.note(flushed.map_err(TransactionError::from))?;
        self.end(true).await
    }

    /// Aborts: forgets what was not sent, and has the rest never count.
    pub async fn abort(&mut self) -> Result<(), TransactionError> {
        match &self.state {
            State::Ready => return Err(TransactionError::NotOpen),
            State::Fenced => return Err(self.fenced()),
            State::Open(_) => {}
        }
        self.producer.give_up().await;
        self.end(false).await
    }

    async fn end(&mut self, committed: bool) -> Result<(), TransactionError> {
        let State::Open(open) = &self.state else {
            return Err(TransactionError::NotOpen);
        };
        let is_broken = open.is_broken;
        if !open.is_empty() {
            let ended = self.end_transaction(committed).await;
            if let Err(TransactionError::Fenced { .. }) = ended {
                self.state = State::Fenced;
            }
            ended?;
        }
        if is_broken && self.protocol == TransactionProtocol::V1 {
            // Sequences are missing, and only a new epoch lets them begin anew.
            self.current =
                begin_session(&self.coordinator, self.timeout, Some(self.current)).await?;
        }
        *self.transaction.session.lock() = Some(self.current);
        self.state = State::Ready;
        Ok(())
    }

    async fn end_transaction(&mut self, committed: bool) -> Result<(), TransactionError> {
        let request = EndTxnRequest {
            transactional_id: self.coordinator.group_id().as_ref().to_owned(),
            producer_id: self.current.id,
            producer_epoch: self.current.epoch,
            committed,
        };
        let limit = match self.protocol {
            TransactionProtocol::V1 => END_V1_MAX,
            TransactionProtocol::V2 => i16::MAX,
        };
        let attempted = "end the transaction";
        let response = self.ask(&request, limit, attempted, |response| response.error_code);
        let response = response.await?;
        if self.protocol == TransactionProtocol::V2 && response.producer_id >= 0 {
            self.current = ProducerSession {
                id: response.producer_id,
                epoch: response.producer_epoch,
            };
        }
        Ok(())
    }

    async fn add_partition(&self, place: &TopicPartition) -> Result<(), TransactionError> {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.coordinator.group_id().as_ref().to_owned(),
            v3_and_below_producer_id: self.current.id,
            v3_and_below_producer_epoch: self.current.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: place.topic.as_ref().to_owned(),
                partitions: vec![place.partition],
            }],
            ..AddPartitionsToTxnRequest::default()
        };
        let attempted = "add a partition to the transaction";
        let response = self.ask(&request, ADD_PARTITIONS_MAX, attempted, |response| {
            let topics = response.results_by_topic_v3_and_below.iter();
            let mut results = topics.flat_map(|topic| &topic.results_by_partition);
            results
                .next()
                .map_or(0, |result| result.partition_error_code)
        });
        response.await.map(drop)
    }

    async fn commit_offsets(
        &self,
        group: &ConsumerGroupMetadata,
        offsets: &BTreeMap<TopicPartition, CommitOffset>,
        is_new: bool,
    ) -> Result<(), TransactionError> {
        let attempted = "commit offsets with the transaction";
        if is_new && self.protocol == TransactionProtocol::V1 {
            let request = AddOffsetsToTxnRequest {
                transactional_id: self.coordinator.group_id().as_ref().to_owned(),
                producer_id: self.current.id,
                producer_epoch: self.current.epoch,
                group_id: group.group_id.as_ref().to_owned(),
            };
            self.ask(&request, i16::MAX, attempted, |response| {
                response.error_code
            })
            .await?;
        }
        let request = TxnOffsetCommitRequest {
            transactional_id: self.coordinator.group_id().as_ref().to_owned(),
            group_id: group.group_id.as_ref().to_owned(),
            producer_id: self.current.id,
            producer_epoch: self.current.epoch,
            generation_id: group.generation_id,
            member_id: group.member_id.clone(),
            group_instance_id: group.group_instance_id.clone(),
            topics: offset_topics(offsets),
        };
        let limit = match self.protocol {
            TransactionProtocol::V1 => TXN_OFFSET_COMMIT_V1_MAX,
            TransactionProtocol::V2 => i16::MAX,
        };
        let coordinator = Coordinator::new(self.cluster.clone(), Arc::clone(&group.group_id));
        let response = self.ask_at(&coordinator, &request, limit, attempted, |response| {
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            let mut codes = partitions.map(|partition| partition.error_code);
            codes.find(|code| *code != 0).unwrap_or(0)
        });
        response.await.map(drop)
    }

    async fn ask<R: Request>(
        &self,
        request: &R,
        limit: i16,
        attempted: &'static str,
        error_code: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, TransactionError> {
        self.ask_at(&self.coordinator, request, limit, attempted, error_code)
            .await
    }

    async fn ask_at<R: Request>(
        &self,
        coordinator: &Coordinator,
        request: &R,
        limit: i16,
        attempted: &'static str,
        error_code: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, TransactionError> {
        let answered = ask(coordinator, request, limit, attempted, error_code).await;
        answered.map_err(|error| match error {
            TransactionError::Refused { source, .. } if is_fencing(&source) => self.fenced(),
            error => error,
        })
    }

    fn fenced(&self) -> TransactionError {
        TransactionError::Fenced {
            id: Arc::clone(self.coordinator.group_id()),
        }
    }

    /// The open transaction, if nothing in it has failed.
    fn unbroken(&mut self) -> Result<&mut Open, TransactionError> {
        let fenced = self.fenced();
        match &mut self.state {
            State::Open(open) if open.is_broken || self.producer.failure().is_some() => {
                open.is_broken = true;
                Err(match self.producer.failure() {
                    Some(error) => error.into(),
                    None => TransactionError::MustAbort,
                })
            }
            State::Open(open) => Ok(open),
            State::Ready => Err(TransactionError::NotOpen),
            State::Fenced => Err(fenced),
        }
    }

    /// Remembers what a failure means for the transaction.
    fn note<T>(&mut self, result: Result<T, TransactionError>) -> Result<T, TransactionError> {
        if let Err(error) = &result {
            match (error, &mut self.state) {
                (TransactionError::Fenced { .. }, _) => self.state = State::Fenced,
                (_, State::Open(open)) => open.is_broken = true,
                _ => {}
            }
        }
        result
    }
}

/// Whether the answer means that somebody else has the transactional id.
fn is_fencing(refusal: &Refusal) -> bool {
    use ErrorCode as E;
    let codes = [
        E::ProducerFenced,
        E::InvalidProducerEpoch,
        E::InvalidProducerIdMapping,
    ];
    codes.iter().any(|code| refusal.is(*code))
}

/// Asks until the answer is neither that the coordinator moves nor that the last transaction is being ended.
async fn ask<R: Request>(
    coordinator: &Coordinator,
    request: &R,
    limit: i16,
    attempted: &'static str,
    error_code: impl Fn(&R::Response) -> i16,
) -> Result<R::Response, TransactionError> {
    let mut retry = Retry::new(coordinator.cluster().deadline());
    loop {
        let response = coordinator.call_up_to(request, limit, &error_code).await?;
        match refusal::check(error_code(&response), None) {
            Ok(()) => return Ok(response),
            Err(source) => {
                let waits = source.is(ErrorCode::ConcurrentTransactions);
                if !waits || !retry.wait().await {
                    return Err(TransactionError::Refused { attempted, source });
                }
            }
        }
    }
}

async fn begin_session(
    coordinator: &Coordinator,
    timeout: Duration,
    expected: Option<ProducerSession>,
) -> Result<ProducerSession, TransactionError> {
    let request = InitProducerIdRequest {
        transactional_id: Some(coordinator.group_id().as_ref().to_owned()),
        transaction_timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
        producer_id: expected.map_or(-1, |session| session.id),
        producer_epoch: expected.map_or(-1, |session| session.epoch),
        ..InitProducerIdRequest::default()
    };
    let attempted = "begin a session of the transactional id";
    let response = ask(coordinator, &request, i16::MAX, attempted, |response| {
        response.error_code
    });
    let response = response.await.map_err(|error| match error {
        TransactionError::Refused { source, .. } if is_fencing(&source) => {
            TransactionError::Fenced {
                id: Arc::clone(coordinator.group_id()),
            }
        }
        error => error,
    })?;
    Ok(ProducerSession {
        id: response.producer_id,
        epoch: response.producer_epoch,
    })
}

/// The second protocol, if the cluster has agreed on it.
async fn protocol_of(cluster: &Cluster) -> Result<TransactionProtocol, TransactionError> {
    let connection = cluster.connection(Target::Any, Lane::Control).await;
    let connection = connection.map_err(CallError::from)?;
    let mut features = connection.versions().features.iter();
    let is_v2 = features.any(|feature| feature.name == FEATURE && feature.level >= V2_LEVEL);
    Ok(match is_v2 {
        true => TransactionProtocol::V2,
        false => TransactionProtocol::V1,
    })
}

fn offset_topics(
    offsets: &BTreeMap<TopicPartition, CommitOffset>,
) -> Vec<TxnOffsetCommitRequestTopic> {
    /// The committer does not say.
    const NO_LEADER_EPOCH: i32 = -1;
    let mut topics: Vec<TxnOffsetCommitRequestTopic> = Vec::new();
    for (place, offset) in offsets {
        let partition = TxnOffsetCommitRequestPartition {
            partition_index: place.partition,
            committed_offset: offset.offset,
            committed_leader_epoch: NO_LEADER_EPOCH,
            committed_metadata: Some(offset.metadata.clone()),
        };
        match topics
            .last_mut()
            .filter(|topic| *topic.name == *place.topic)
        {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(TxnOffsetCommitRequestTopic {
                name: place.topic.as_ref().to_owned(),
                partitions: vec![partition],
            }),
        }
    }
    topics
}
