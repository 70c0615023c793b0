//! The task that sends batches: it asks the accumulator what may leave, groups it by leader, and decides what becomes of
//! each batch when the answer arrives.
//!
//! Everything that waits (connecting, metadata, producer ids, responses) runs as a future of its own and comes back as
//! an [`Event`]; the loop itself never waits for a broker, so one that hangs holds up nobody else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::produce_response::PartitionProduceResponse;
use protocol::messages::{ProduceRequest, ProduceResponse};
use protocol::{ErrorCode, Records, Uuid};
use tokio::time::Instant;

use super::accumulator::{Built, Drained, ProducerSession};
use super::session::new_session;
use super::{Acks, BatchReport, ProduceError, ProducerConfig, Shared, deadline};
use crate::cluster::{Cluster, Lane, MetadataError, Target};
use crate::connection::{CallError, ConnectError, Connection};
use crate::metadata::Topic;
use crate::refusal::{self, Refusal};
use crate::runtime::Backoff;

/// The last version without topic ids.
const LAST_VERSION_BY_NAME: i16 = 12;

/// How often to look when something waits for a broker or a leader.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

enum Event {
    Connected {
        broker: i32,
        result: Result<Arc<Connection>, ConnectError>,
    },
    Described {
        topic: Arc<str>,
        result: Result<Arc<Topic>, MetadataError>,
    },
    Session(Result<ProducerSession, ProduceError>),
    Answered {
        broker: i32,
        batches: Vec<Sent>,
        result: Result<ProduceResponse, CallError>,
    },
    /// With acks=0: the requests have left.
    Written {
        broker: i32,
        batches: Vec<Sent>,
        result: Result<(), CallError>,
    },
}

/// A batch on its way, with the id its topic had when it was sent.
struct Sent {
    batch: Built,
    topic_id: Uuid,
}

/// What is known of a broker.
#[derive(Default)]
struct Leader {
    connection: Option<Arc<Connection>>,
    connecting: bool,
    in_flight: usize,
    not_before: Option<Instant>,
    backoff: Option<Backoff>,
}

/// The sending task.
pub(super) struct Sender {
    cluster: Cluster,
    config: ProducerConfig,
    shared: Arc<Shared>,
    leaders: HashMap<i32, Leader>,
    describing: HashSet<Arc<str>>,
    not_described_before: HashMap<Arc<str>, Instant>,
    session: Option<ProducerSession>,
    asking_session: bool,
    events: FuturesUnordered<BoxFuture<'static, Event>>,
}

impl Sender {
    pub(super) fn new(cluster: Cluster, config: ProducerConfig, shared: Arc<Shared>) -> Self {
        Self {
            cluster,
            config,
            shared,
            leaders: HashMap::new(),
            describing: HashSet::new(),
            not_described_before: HashMap::new(),
            session: None,
            asking_session: false,
            events: FuturesUnordered::new(),
        }
    }

    /// Runs until the task is aborted with its producer.
    pub(super) async fn run(mut self) {
        loop {
            let next_look = self.send_what_is_ready().await;
            let timer = async {
                match next_look {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.shared.wake_sender.notified() => {}
                Some(event) = self.events.next(), if !self.events.is_empty() => self.on(event),
                () = timer => {}
            }
        }
    }

    /// Sends what may be sent; returns when to look again even if nothing happens.
    async fn send_what_is_ready(&mut self) -> Option<Instant> {
        if let Some(transaction) = &self.shared.transaction {
            self.session = transaction.session();
        }
        self.ask_for_what_is_missing();
        let mut plan = Plan::new(&self.cluster, &self.leaders, &self.config);
        let Drained {
            batches,
            next_look,
            lost_sequence,
        } = self.shared.accumulator.lock().drain(
            self.session,
            self.config.idempotent,
            |topic, partition, size| plan.admit(topic, partition, size),
        );
        let unreachable = plan.wanted;
        if lost_sequence {
            self.lose_session();
        }
        let mut by_leader: HashMap<i32, Vec<Built>> = HashMap::new();
        for (broker, batch) in batches {
            by_leader.entry(broker).or_default().push(batch);
        }
        let sent_all = by_leader.is_empty();
        for (broker, batches) in by_leader {
            self.send(broker, batches).await;
        }
        for broker in unreachable {
            self.connect(broker);
        }
        let idle = self.shared.accumulator.lock().is_idle();
        if idle {
            self.shared.batch_ended.notify_waiters();
            return None;
        }
        // After a request more may fit at once.
        let soon = Instant::now() + if sent_all { LOOK_AGAIN } else { Duration::ZERO };
        Some(next_look.map_or(soon, |at| at.min(soon)))
    }

    fn ask_for_what_is_missing(&mut self) {
        let topics = self.shared.accumulator.lock().topics_with_work();
        if topics.is_empty() {
            return;
        }
        let now = Instant::now();
        for topic in topics {
            let known = self.cluster.cached_topic(&topic).is_some_and(|described| {
                described
                    .partitions
                    .iter()
                    .all(|partition| partition.leader.is_some())
            });
            let waits = self
                .not_described_before
                .get(&topic)
                .is_some_and(|at| *at > now);
            if !known && !waits && self.describing.insert(Arc::clone(&topic)) {
                let (cluster, create) =
                    (self.cluster.clone(), self.config.allow_auto_topic_creation);
                self.events.push(Box::pin(async move {
                    let result = cluster.refresh_topic(&topic, create).await;
                    Event::Described { topic, result }
                }));
            }
        }
        let begins_sessions = self.config.idempotent && self.shared.transaction.is_none();
        if begins_sessions && self.session.is_none() && !self.asking_session {
            self.asking_session = true;
            let asking = new_session(self.cluster.clone(), deadline(&self.config));
            self.events
                .push(Box::pin(async move { Event::Session(asking.await) }));
        }
    }

    fn connect(&mut self, broker: i32) {
        let leader = self.leaders.entry(broker).or_default();
        let waits = leader.not_before.is_some_and(|at| at > Instant::now());
        if leader.connecting || waits {
            return;
        }
        leader.connecting = true;
        let cluster = self.cluster.clone();
        self.events.push(Box::pin(async move {
            let result = cluster
                .connection(Target::Broker(broker), Lane::Produce)
                .await;
            Event::Connected { broker, result }
        }));
    }

    async fn send(&mut self, broker: i32, batches: Vec<Built>) {
        // The plan only names brokers with a connection.
        let connection = self
            .leaders
            .get(&broker)
            .and_then(|leader| leader.connection.clone());
        let Some(connection) = connection else {
            return self.put_back(batches);
        };
        let sent: Vec<Sent> = batches
            .into_iter()
            .map(|batch| {
                let described = self.cluster.cached_topic(&batch.topic);
                let topic_id = described.map_or(Uuid::ZERO, |topic| topic.id);
                Sent { batch, topic_id }
            })
            .collect();
        let ids_known = sent.iter().all(|sent| !sent.topic_id.is_zero());
        let limit = if ids_known {
            i16::MAX
        } else {
            LAST_VERSION_BY_NAME
        };
        let limit = match &self.shared.transaction {
            Some(transaction) => limit.min(transaction.produce_version_max()),
            None => limit,
        };
        let version = match connection.version_of::<ProduceRequest>(limit) {
            Ok(version) => version,
            Err(error) => return self.fail_all(sent, &ProduceError::Call(error)),
        };
        let request = self.request(&sent);
        self.leaders.entry(broker).or_default().in_flight += 1;
        if self.config.acks == Acks::None {
            let started = connection.start_unanswered(&request, version);
            self.events.push(Box::pin(async move {
                let result = match started {
                    Ok(written) => {
                        connection
                            .finish_unanswered::<ProduceRequest>(written)
                            .await
                    }
                    Err(error) => Err(error),
                };
                Event::Written {
                    broker,
                    batches: sent,
                    result,
                }
            }));
            return;
        }
        let timeout = self.cluster.config().request_timeout;
        // Started here, one after another, so that requests leave in this order.
        let started = connection.start(&request, version, timeout).await;
        self.events.push(Box::pin(async move {
            let result = match started {
                Ok(started) => connection.finish(started).await,
                Err(error) => Err(error),
            };
            Event::Answered {
                broker,
                batches: sent,
                result,
            }
        }));
    }

    fn request(&self, sent: &[Sent]) -> ProduceRequest {
        let mut topics: Vec<TopicProduceData> = Vec::new();
        for Sent { batch, topic_id } in sent {
            let data = PartitionProduceData {
                index: batch.partition,
                records: Some(Records::from(batch.bytes.clone())),
            };
            match topics.iter_mut().find(|topic| *topic.name == *batch.topic) {
                Some(topic) => topic.partition_data.push(data),
                None => topics.push(TopicProduceData {
                    name: batch.topic.as_ref().to_owned(),
                    topic_id: *topic_id,
                    partition_data: vec![data],
                }),
            }
        }
        let timeout_ms = self.cluster.config().request_timeout.as_millis();
        ProduceRequest {
            transactional_id: self
                .shared
                .transaction
                .as_ref()
                .map(|transaction| transaction.id().to_owned()),
            acks: self.config.acks.value(),
            timeout_ms: i32::try_from(timeout_ms).unwrap_or(i32::MAX),
            topic_data: topics,
        }
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Connected { broker, result } => self.connected(broker, result),
            Event::Described { topic, result } => self.described(&topic, result),
            Event::Session(result) => self.got_session(result),
            Event::Answered {
                broker,
                batches,
                result,
            } => {
                self.returned(broker);
                match result {
                    Ok(response) => self.answered(batches, response),
                    Err(error) => self.unanswered(broker, batches, &error),
                }
            }
            Event::Written {
                broker,
                batches,
                result,
            } => {
                self.returned(broker);
                match result {
                    Ok(()) => self.unacknowledged(batches),
                    Err(error) => self.unanswered(broker, batches, &error),
                }
            }
        }
    }

    fn connected(&mut self, broker: i32, result: Result<Arc<Connection>, ConnectError>) {
        let leader = self.leaders.entry(broker).or_default();
        leader.connecting = false;
        match result {
            Ok(connection) => {
                leader.connection = Some(connection);
                leader.backoff = None;
            }
            Err(error) => {
                tracing::debug!(%error, broker, "no connection for producing");
                let backoff = leader.backoff.get_or_insert_with(Backoff::new);
                leader.not_before = Some(Instant::now() + backoff.next_wait());
                leader.connection = None;
                // Perhaps another broker leads by now.
                for topic in self.shared.accumulator.lock().topics_with_work() {
                    self.cluster.forget_topic(&topic);
                }
            }
        }
    }

    fn described(&mut self, topic: &Arc<str>, result: Result<Arc<Topic>, MetadataError>) {
        self.describing.remove(topic);
        self.not_described_before
            .insert(Arc::clone(topic), Instant::now() + LOOK_AGAIN);
        // Retriable errors were retried for the operation's time; batches then wait for their own deadline.
        if let Err(error) = result
            && !error.is_retriable()
        {
            let error = ProduceError::Metadata(error);
            self.shared.accumulator.lock().fail_topic(topic, &error);
        }
    }

    fn got_session(&mut self, result: Result<ProducerSession, ProduceError>) {
        self.asking_session = false;
        match result {
            Ok(session) => self.session = Some(session),
            Err(error) => {
                let mut accumulator = self.shared.accumulator.lock();
                for topic in accumulator.topics_with_work() {
                    accumulator.fail_topic(&topic, &error);
                }
            }
        }
    }

    fn returned(&mut self, broker: i32) {
        if let Some(leader) = self.leaders.get_mut(&broker) {
            leader.in_flight = leader.in_flight.saturating_sub(1);
        }
    }

    fn unanswered(&mut self, broker: i32, batches: Vec<Sent>, error: &CallError) {
        if let Some(leader) = self.leaders.get_mut(&broker) {
            leader.connection = None;
        }
        for sent in batches {
            self.cluster.forget_topic(&sent.batch.topic);
            let retriable = error.is_retriable();
            self.failed(sent.batch, ProduceError::Call(error.clone()), retriable);
        }
    }

    fn answered(&mut self, batches: Vec<Sent>, response: ProduceResponse) {
        let now = Instant::now();
        let mut answers = index(response);
        for sent in batches {
            let by_id = answers.remove(&(String::new(), sent.topic_id, sent.batch.partition));
            let answer = by_id.or_else(|| {
                let name = sent.batch.topic.as_ref().to_owned();
                answers.remove(&(name, Uuid::ZERO, sent.batch.partition))
            });
            match answer {
                Some(answer) => self.acknowledged(sent.batch, &answer, now),
                // A broker that leaves out a partition has said nothing about it.
                None => {
                    let refusal = Refusal::new(ErrorCode::UnknownServerError);
                    self.refused(sent.batch, refusal);
                }
            }
        }
    }

    fn acknowledged(&mut self, batch: Built, answer: &PartitionProduceResponse, now: Instant) {
        let message = answer.error_message.as_deref();
        match refusal::check(answer.error_code, message) {
            Ok(()) => {
                let base_offset = Some(answer.base_offset).filter(|offset| *offset >= 0);
                self.succeeded(&batch, base_offset, now);
            }
            // An earlier attempt had arrived.
            Err(refusal) if refusal.is(ErrorCode::DuplicateSequenceNumber) => {
                self.succeeded(&batch, None, now);
            }
            Err(refusal) => self.refused(batch, refusal),
        }
    }

    fn succeeded(&mut self, batch: &Built, base_offset: Option<i64>, now: Instant) {
        batch.completion.succeed(batch.partition, base_offset, now);
        if let Some(listener) = &self.config.on_batch {
            listener(&BatchReport {
                topic: Arc::clone(&batch.topic),
                partition: batch.partition,
                base_offset,
                records: batch.records,
                bytes: batch.bytes.len(),
                opened_at: batch.opened_at,
                acked_at: now,
            });
        }
        self.shared.accumulator.lock().succeeded(batch);
        self.shared.batch_ended.notify_waiters();
    }

    fn unacknowledged(&mut self, sent: Vec<Sent>) {
        let now = Instant::now();
        for Sent { batch, .. } in sent {
            self.succeeded(&batch, None, now);
        }
    }

    fn refused(&mut self, mut batch: Built, refusal: Refusal) {
        use ErrorCode as E;
        let out_of_sequence =
            refusal.is(E::OutOfOrderSequenceNumber) || refusal.is(E::UnknownProducerId);
        let stale_metadata = [
            E::NotLeaderOrFollower,
            E::FencedLeaderEpoch,
            E::UnknownLeaderEpoch,
            E::UnknownTopicOrPartition,
            E::UnknownTopicId,
            E::LeaderNotAvailable,
            E::KafkaStorageError,
        ];
        if stale_metadata.iter().any(|code| refusal.is(*code)) {
            self.cluster.forget_topic(&batch.topic);
        }
        let mut retriable = refusal.is_retriable();
        if out_of_sequence && batch.session.is_some() {
            // One that only came before its turn comes again behind the earlier one (`TransactionManager.canRetry`).
            let behind = self.shared.accumulator.lock().is_behind_a_retry(&batch);
            // Within a transaction nothing may be sent under another session: it can only be aborted.
            let renews = !behind && self.shared.transaction.is_none();
            retriable = behind || renews;
            if renews {
                // The broker has not written it and will not under these sequences: it goes again under a new session.
                tracing::debug!(topic = %batch.topic, partition = batch.partition, %refusal, "new producer session");
                self.end_session(&batch);
                batch.session = None;
            }
        }
        let error = ProduceError::Refused {
            topic: Arc::clone(&batch.topic),
            partition: batch.partition,
            source: refusal,
        };
        self.failed(batch, error, retriable);
    }

    /// The batch's session is of no more use, unless it was replaced already.
    fn end_session(&mut self, batch: &Built) {
        if batch.session.is_some() && self.session == batch.session {
            self.lose_session();
        }
    }

    /// The sequences of the session have a gap from now on.
    fn lose_session(&mut self) {
        self.session = None;
        if let Some(transaction) = &self.shared.transaction {
            transaction.lose();
        }
    }

    fn failed(&mut self, batch: Built, error: ProduceError, retriable: bool) {
        let now = Instant::now();
        let mut error = error;
        if retriable && now < batch.deadline {
            let at = now + LOOK_AGAIN;
            self.shared.accumulator.lock().retry(batch, at);
            return;
        }
        if retriable {
            error = ProduceError::Expired {
                topic: Arc::clone(&batch.topic),
                partition: batch.partition,
                limit: self.config.delivery_timeout,
                source: Some(Box::new(error)),
            };
        }
        // Its sequences are missing from now on, so those after it would be refused.
        self.end_session(&batch);
        let mut accumulator = self.shared.accumulator.lock();
        accumulator.gave_up(&batch, error.clone());
        if self.shared.transaction.is_some() {
            // It can only be aborted, so whoever waits for the rest need not wait for its time to be over.
            accumulator.fail_all(&error);
        }
        drop(accumulator);
        self.shared.batch_ended.notify_waiters();
    }

    fn fail_all(&mut self, sent: Vec<Sent>, error: &ProduceError) {
        for Sent { batch, .. } in sent {
            self.failed(batch, error.clone(), false);
        }
    }

    fn put_back(&mut self, batches: Vec<Built>) {
        let now = Instant::now();
        let mut accumulator = self.shared.accumulator.lock();
        for batch in batches {
            accumulator.retry(batch, now);
        }
    }
}

type AnswerKey = (String, Uuid, i32);

/// The answer for each partition, by name (up to version 12) or id.
fn index(response: ProduceResponse) -> HashMap<AnswerKey, PartitionProduceResponse> {
    let mut answers = HashMap::new();
    for topic in response.responses {
        for partition in topic.partition_responses {
            let key = (topic.name.clone(), topic.topic_id, partition.index);
            answers.insert(key, partition);
        }
    }
    answers
}

/// Decides during a drain which broker takes the next batch.
struct Plan<'a> {
    cluster: &'a Cluster,
    leaders: &'a HashMap<i32, Leader>,
    config: &'a ProducerConfig,
    bytes: HashMap<i32, usize>,
    /// Brokers that are needed and not connected.
    wanted: HashSet<i32>,
}

impl<'a> Plan<'a> {
    fn new(
        cluster: &'a Cluster,
        leaders: &'a HashMap<i32, Leader>,
        config: &'a ProducerConfig,
    ) -> Self {
        Self {
            cluster,
            leaders,
            config,
            bytes: HashMap::new(),
            wanted: HashSet::new(),
        }
    }

    fn admit(&mut self, topic: &Arc<str>, partition: i32, size: usize) -> Option<i32> {
        let described = self.cluster.cached_topic(topic)?;
        let broker = described.partition(partition)?.leader?;
        let leader = self.leaders.get(&broker);
        let connected = leader.is_some_and(|leader| {
            let connection = leader.connection.as_ref();
            connection.is_some_and(|connection| !connection.is_closed())
        });
        if !connected {
            self.wanted.insert(broker);
            return None;
        }
        if leader.is_some_and(|leader| leader.in_flight >= self.config.in_flight_max) {
            return None;
        }
        let bytes = self.bytes.entry(broker).or_default();
        if *bytes > 0 && *bytes + size > self.config.request_bytes_max {
            return None;
        }
        *bytes += size;
        Some(broker)
    }
}
