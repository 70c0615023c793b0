//! Fetch, key 1, versions 4 to 18.
//!
//! * v5: log start offset. v7: sessions (KIP-227). v9: leader epoch. v10: zstd. v11: rack. v12: last fetched epoch and
//!   diverging epoch, flexible. v13: topics by id. v15: replica state (for brokers). v16: node endpoints. v17: directory id
//!   (for brokers). v18: high watermark (for brokers).
//!
//! Records are never copied: the response holds ranges of segment files. The first partition that has something returns
//! at least one batch even above the limits (KIP-74).

use std::sync::Arc;
use std::time::Duration;

use metadata::ClusterImage;
use protocol::messages::fetch_request::FetchPartition;
use protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
    PartitionData,
};
use protocol::messages::{FetchRequest, FetchResponse};
use protocol::{ErrorCode, Records, Uuid};
use storage::{EpochEnd, Isolation, PartitionLog, ReadPlan};
use types::{LeaderEpoch, Offset};

use crate::context::Context;
use crate::fetches::{
    Answer, FetchScope, Fetches, PartitionState, SessionError, SessionTopic, Waiter,
};
use crate::handlers::{blocking, errors};
use crate::quotas::{self, FetchCharge, Quotas};
use crate::topics::{PartitionError, Topics};

/// The first version with sessions.
const SESSION_SINCE: i16 = 7;
/// The first version that may be sent zstd.
const ZSTD_SINCE: i16 = 10;
/// The first version that names topics by id.
const TOPIC_ID_SINCE: i16 = 13;
/// The first version that tells where the leaders are.
const ENDPOINTS_SINCE: i16 = 16;
/// Offsets that are not known, on the wire.
const UNKNOWN: i64 = -1;

type Key = (SessionTopic, i32);

pub(crate) async fn handle(
    context: Context,
    request: FetchRequest,
    fetches: Arc<Fetches>,
    quotas: Arc<Quotas>,
) -> FetchResponse {
    if request.replica_id >= 0 || request.replica_state.replica_id >= 0 {
        // Brokers do not replicate from each other here.
        return refused(ErrorCode::InvalidRequest, 0);
    }
    let listed = listed(&request, context.version);
    let forgotten = forgotten(&request, context.version);
    let by_id = context.version >= TOPIC_ID_SINCE;
    let (id, epoch) = if context.version >= SESSION_SINCE {
        (request.session_id, request.session_epoch)
    } else {
        (0, -1)
    };
    let scope =
        match fetches
            .sessions
            .begin(id, epoch, by_id, &listed, &forgotten, context.received)
        {
            Ok(scope) => scope,
            Err(error) => return refused(session_code(error), id),
        };
    let (partitions, session) = match scope {
        FetchScope::Full { may_open } => (listed, Session::Full { may_open }),
        FetchScope::Incremental { id, partitions } => (partitions, Session::Incremental { id }),
    };
    let fetch = Arc::new(Fetch::new(
        &context,
        &request,
        Arc::clone(&fetches.topics),
        partitions,
        quotas.fetch_bytes_max(&context),
    ));
    let outcomes = fetch.run(&context, &request).await;
    if let FetchCharge::Throttled(throttle) = quotas.fetched(&context, total(&outcomes)) {
        return throttled(&session, throttle);
    }
    fetch.respond(&context, &fetches, session, by_id, outcomes)
}

/// Nothing is sent, so nothing is told: the session stays as it was (`FetchContext.getThrottledResponse`).
fn throttled(session: &Session, throttle: Duration) -> FetchResponse {
    FetchResponse {
        session_id: match session {
            Session::Incremental { id } => *id,
            Session::Full { .. } => 0,
        },
        throttle_time_ms: quotas::milliseconds(throttle),
        ..Default::default()
    }
}

/// How the response is made.
enum Session {
    Full { may_open: bool },
    Incremental { id: i32 },
}

/// One fetch: what to read and how much.
struct Fetch {
    topics: Arc<Topics>,
    partitions: Vec<(Key, PartitionState)>,
    isolation: Isolation,
    max_bytes: usize,
    allows_zstd: bool,
}

/// What was found in one partition.
enum Outcome {
    /// Records, possibly none.
    Read(ReadPlan),
    /// The consumer has records the leader does not.
    Diverging(EpochEnd, ReadPlan),
    /// An error.
    Failed(ErrorCode, Option<PartitionError>),
}

impl Outcome {
    fn length(&self) -> usize {
        match self {
            Self::Read(plan) => plan.length,
            Self::Diverging(..) | Self::Failed(..) => 0,
        }
    }

    /// Whether a consumer should hear of it at once.
    fn is_urgent(&self) -> bool {
        !matches!(self, Self::Read(_)) && !self.is_unknown()
    }

    /// Whether there is no such topic or partition, of which a consumer hears with the next answer: it learns it from the
    /// metadata too, and must not spin meanwhile (`KafkaApis.handleFetchRequest`, `erroneous`).
    fn is_unknown(&self) -> bool {
        let unknown = |error: &PartitionError| {
            matches!(
                error,
                PartitionError::UnknownTopicOrPartition | PartitionError::UnknownTopicId
            )
        };
        matches!(self, Self::Failed(_, Some(error)) if unknown(error))
    }

    /// Whether there is more than the consumer let the partition return.
    fn is_limited(&self) -> bool {
        matches!(self, Self::Read(plan) if plan.is_limited)
    }
}

impl Fetch {
    fn new(
        context: &Context,
        request: &FetchRequest,
        topics: Arc<Topics>,
        partitions: Vec<(Key, PartitionState)>,
        quota: usize,
    ) -> Self {
        let limit = usize::try_from(topics.image().broker.fetch_max_bytes).unwrap_or(0);
        Self {
            topics,
            partitions,
            isolation: if request.isolation_level == 1 {
                Isolation::ReadCommitted
            } else {
                Isolation::ReadUncommitted
            },
            max_bytes: usize::try_from(request.max_bytes)
                .unwrap_or(0)
                .min(limit)
                .min(quota),
            allows_zstd: context.version >= ZSTD_SINCE,
        }
    }

    /// Reads, and waits as long as the consumer wants while there is too little.
    async fn run(self: &Arc<Self>, context: &Context, request: &FetchRequest) -> Vec<Outcome> {
        let min_bytes = usize::try_from(request.min_bytes)
            .unwrap_or(0)
            .min(self.max_bytes);
        let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        let outcomes = self.read().await;
        if max_wait.is_zero() || self.partitions.is_empty() || is_enough(&outcomes, min_bytes) {
            return outcomes;
        }
        drop(outcomes);
        let deadline = context.received.plus(max_wait);
        let waiter = Waiter::new(self.logs(), min_bytes as u64);
        loop {
            let outcomes = self.read().await;
            if is_enough(&outcomes, min_bytes) {
                return outcomes;
            }
            let missing = min_bytes.saturating_sub(total(&outcomes));
            waiter.reset(missing as u64);
            // What became visible between the read and the reset is not counted; looking at the ends finds it.
            if self.moved_since(&outcomes) {
                continue;
            }
            if !waiter.wait(&self.topics.env, deadline).await {
                return self.read().await;
            }
        }
    }

    /// Reads all partitions as they are now; away from the tasks if that has to wait for the disk.
    async fn read(self: &Arc<Self>) -> Vec<Outcome> {
        let image = self.topics.image();
        if self.is_ready(&image) {
            return self.read_all(&image);
        }
        let fetch = Arc::clone(self);
        blocking::run(&self.topics.env, move || fetch.read_all(&image)).await
    }

    /// Whether all partitions can be read without waiting for the disk.
    fn is_ready(&self, image: &ClusterImage) -> bool {
        self.partitions.iter().all(|(key, state)| {
            let max_bytes = usize::try_from(state.max_bytes)
                .unwrap_or(0)
                .min(self.max_bytes);
            match (self.log(image, key, state), Offset::new(state.fetch_offset)) {
                (Ok(log), Some(from)) => log.is_ready(from, max_bytes),
                // An error is found without the disk.
                _ => true,
            }
        })
    }

    /// The logs that can be waited for.
    fn logs(&self) -> Vec<Arc<dyn PartitionLog>> {
        let image = self.topics.image();
        let partitions = self.partitions.iter();
        partitions
            .filter_map(|(key, state)| self.log(&image, key, state).ok())
            .collect()
    }

    /// Whether more is visible than when `outcomes` were read.
    fn moved_since(&self, outcomes: &[Outcome]) -> bool {
        let image = self.topics.image();
        self.partitions
            .iter()
            .zip(outcomes)
            .any(|((key, state), outcome)| match outcome {
                Outcome::Read(plan) => self.log(&image, key, state).is_ok_and(|log| {
                    let now = log.offsets();
                    now.high_watermark != plan.offsets.high_watermark
                        || now.last_stable != plan.offsets.last_stable
                }),
                Outcome::Diverging(..) | Outcome::Failed(..) => false,
            })
    }

    fn read_all(&self, image: &ClusterImage) -> Vec<Outcome> {
        let mut left = self.max_bytes;
        let mut has_any = false;
        let read = |(key, state): &(Key, PartitionState)| {
            let outcome = self.read_one(image, key, state, left, !has_any);
            left = left.saturating_sub(outcome.length());
            has_any |= outcome.length() > 0;
            outcome
        };
        self.partitions.iter().map(read).collect()
    }

    fn log(
        &self,
        image: &ClusterImage,
        key: &Key,
        state: &PartitionState,
    ) -> Result<Arc<dyn PartitionLog>, PartitionError> {
        let (topic, partition) = key;
        let topic = match topic {
            SessionTopic::Name(name) => Topics::by_name(image, name)?,
            SessionTopic::Id(id) => Topics::by_id(image, *id)?,
        };
        let led = self
            .topics
            .leading(topic, *partition, state.current_leader_epoch)?;
        Ok(led.log)
    }

    fn read_one(
        &self,
        image: &ClusterImage,
        key: &Key,
        state: &PartitionState,
        left: usize,
        at_least_one: bool,
    ) -> Outcome {
        let log = match self.log(image, key, state) {
            Ok(log) => log,
            Err(error) => return Outcome::Failed(errors::partition(error), Some(error)),
        };
        let Some(from) = Offset::new(state.fetch_offset) else {
            return Outcome::Failed(ErrorCode::OffsetOutOfRange, None);
        };
        if let Some(diverging) = diverging(&*log, state, from) {
            return diverging;
        }
        let max_bytes = usize::try_from(state.max_bytes).unwrap_or(0).min(left);
        match log.read(from, max_bytes, self.isolation, at_least_one) {
            Ok(plan) if plan.has_zstd && !self.allows_zstd => without_zstd(plan),
            Ok(plan) => Outcome::Read(plan),
            Err(error) => {
                let code = errors::read(&error);
                if matches!(
                    code,
                    ErrorCode::KafkaStorageError | ErrorCode::CorruptMessage
                ) {
                    tracing::error!(%error, topic = ?key.0, partition = key.1, "could not read for a fetch");
                }
                Outcome::Failed(code, None)
            }
        }
    }

    fn respond(
        &self,
        context: &Context,
        fetches: &Fetches,
        session: Session,
        by_id: bool,
        outcomes: Vec<Outcome>,
    ) -> FetchResponse {
        let has_moved = outcomes.iter().any(|outcome| {
            matches!(
                outcome,
                Outcome::Failed(_, Some(PartitionError::NotLeader(_)))
            )
        });
        let answers: Vec<_> = self
            .partitions
            .iter()
            .zip(outcomes)
            .map(|((key, _), outcome)| (key, self.answer(key, outcome)))
            .collect();
        let told: Vec<_> = answers
            .iter()
            .map(|(key, data)| ((*key).clone(), told(data)))
            .collect();
        let (session_id, sent) = match session {
            Session::Incremental { id } => (id, fetches.sessions.tell(id, &told)),
            Session::Full { may_open: true } => {
                let id = fetches
                    .sessions
                    .open(by_id, &self.partitions, context.received);
                fetches.sessions.tell(id, &told);
                (id, vec![true; told.len()])
            }
            Session::Full { may_open: false } => (0, vec![true; told.len()]),
        };
        let mut response = FetchResponse {
            session_id,
            ..Default::default()
        };
        for ((key, data), _) in answers.into_iter().zip(sent).filter(|(_, sent)| *sent) {
            push(&mut response.responses, &key.0, data);
        }
        if context.version >= ENDPOINTS_SINCE && has_moved {
            response.node_endpoints = endpoints(&self.topics);
        }
        response
    }

    fn answer(&self, key: &Key, outcome: Outcome) -> PartitionData {
        let empty = PartitionData {
            partition_index: key.1,
            high_watermark: UNKNOWN,
            last_stable_offset: UNKNOWN,
            log_start_offset: UNKNOWN,
            records: Some(Records::default()),
            ..Default::default()
        };
        match outcome {
            Outcome::Read(plan) => with_plan(empty, plan, self.isolation),
            Outcome::Diverging(end, plan) => {
                let mut data = with_plan(empty, plan, self.isolation);
                data.diverging_epoch = EpochEndOffset {
                    epoch: end.epoch.value(),
                    end_offset: end.end.value(),
                };
                data
            }
            Outcome::Failed(code, error) => {
                let mut data = PartitionData {
                    error_code: code.into(),
                    ..empty
                };
                if let Some(PartitionError::NotLeader(owner)) = error {
                    data.current_leader = LeaderIdAndEpoch {
                        leader_id: owner.leader.map_or(-1, |leader| leader.0),
                        leader_epoch: owner.epoch.value(),
                    };
                }
                data
            }
        }
    }
}

/// KIP-595, KIP-320: whether the last record the consumer has is not in the log, and where they parted.
/// What consumers get that cannot read zstd: the batches before the first such one.
fn without_zstd(plan: ReadPlan) -> Outcome {
    let had_records = plan.length > 0;
    match plan.before_zstd() {
        Ok(plan) if plan.length == 0 && had_records => {
            Outcome::Failed(ErrorCode::UnsupportedCompressionType, None)
        }
        Ok(plan) => Outcome::Read(plan),
        Err(error) => {
            tracing::error!(%error, "could not look for zstd in what a fetch asks for");
            Outcome::Failed(ErrorCode::KafkaStorageError, None)
        }
    }
}

fn diverging(log: &dyn PartitionLog, state: &PartitionState, from: Offset) -> Option<Outcome> {
    let epoch = LeaderEpoch::new(state.last_fetched_epoch)?;
    let Some(end) = log.end_offset_for_epoch(epoch) else {
        return Some(Outcome::Failed(ErrorCode::OffsetOutOfRange, None));
    };
    if end.epoch == epoch && end.end >= from {
        return None;
    }
    let plan = ReadPlan {
        offsets: log.offsets(),
        ..Default::default()
    };
    Some(Outcome::Diverging(end, plan))
}

fn with_plan(empty: PartitionData, plan: ReadPlan, isolation: Isolation) -> PartitionData {
    let aborted = |(producer, first): (types::ProducerId, Offset)| AbortedTransaction {
        producer_id: producer.value(),
        first_offset: first.value(),
    };
    PartitionData {
        high_watermark: plan.offsets.high_watermark.value(),
        last_stable_offset: plan.offsets.last_stable.value(),
        log_start_offset: plan.offsets.log_start.value(),
        aborted_transactions: match isolation {
            Isolation::ReadCommitted => Some(plan.aborted.into_iter().map(aborted).collect()),
            Isolation::ReadUncommitted => None,
        },
        records: Some(Records::from(plan.slices)),
        ..empty
    }
}

fn told(data: &PartitionData) -> Answer {
    let has_records = data
        .records
        .as_ref()
        .is_some_and(|records| !records.is_empty());
    Answer {
        high_watermark: data.high_watermark,
        log_start_offset: data.log_start_offset,
        has_news: has_records || data.error_code != 0 || data.diverging_epoch.epoch >= 0,
    }
}

fn total(outcomes: &[Outcome]) -> usize {
    outcomes.iter().map(Outcome::length).sum()
}

fn is_enough(outcomes: &[Outcome], min_bytes: usize) -> bool {
    total(outcomes) >= min_bytes
        || outcomes
            .iter()
            .any(|outcome| outcome.is_urgent() || outcome.is_limited())
        || outcomes.iter().all(Outcome::is_unknown)
}

/// Adds a partition's answer under its topic; partitions of one topic that follow each other share an entry.
fn push(responses: &mut Vec<FetchableTopicResponse>, topic: &SessionTopic, data: PartitionData) {
    let (name, id) = match topic {
        SessionTopic::Name(name) => (name.as_ref(), Uuid::ZERO),
        SessionTopic::Id(id) => ("", *id),
    };
    match responses.last_mut() {
        Some(last) if last.topic == name && last.topic_id == id => last.partitions.push(data),
        _ => responses.push(FetchableTopicResponse {
            topic: name.to_owned(),
            topic_id: id,
            partitions: vec![data],
        }),
    }
}

fn topic_key(name: &str, id: Uuid, version: i16) -> SessionTopic {
    if version >= TOPIC_ID_SINCE {
        SessionTopic::Id(id)
    } else {
        SessionTopic::Name(Arc::from(name))
    }
}

fn listed(request: &FetchRequest, version: i16) -> Vec<(Key, PartitionState)> {
    let partition = |topic: &SessionTopic, partition: &FetchPartition| {
        let state = PartitionState::new(
            partition.fetch_offset,
            partition.partition_max_bytes,
            partition.current_leader_epoch,
            partition.last_fetched_epoch,
        );
        ((topic.clone(), partition.partition), state)
    };
    let mut listed = Vec::new();
    for topic in &request.topics {
        let key = topic_key(&topic.topic, topic.topic_id, version);
        listed.extend(topic.partitions.iter().map(|entry| partition(&key, entry)));
    }
    listed
}

fn forgotten(request: &FetchRequest, version: i16) -> Vec<Key> {
    let topics = request.forgotten_topics_data.iter();
    topics
        .flat_map(|topic| {
            let key = topic_key(&topic.topic, topic.topic_id, version);
            topic
                .partitions
                .iter()
                .map(move |partition| (key.clone(), *partition))
        })
        .collect()
}

fn session_code(error: SessionError) -> ErrorCode {
    match error {
        SessionError::NotFound => ErrorCode::FetchSessionIdNotFound,
        SessionError::InvalidEpoch => ErrorCode::InvalidFetchSessionEpoch,
        SessionError::TopicIds => ErrorCode::FetchSessionTopicIdError,
    }
}

fn refused(code: ErrorCode, session_id: i32) -> FetchResponse {
    FetchResponse {
        error_code: code.into(),
        session_id,
        ..Default::default()
    }
}

fn endpoints(topics: &Topics) -> Vec<NodeEndpoint> {
    let endpoint = |endpoint: crate::config::Endpoint<'_>| NodeEndpoint {
        node_id: endpoint.broker.0,
        host: endpoint.host.to_owned(),
        port: endpoint.port,
        rack: endpoint.rack.map(str::to_owned),
    };
    topics.config.endpoints().map(endpoint).collect()
}
