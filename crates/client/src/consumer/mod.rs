//! Consuming partitions that the caller chose: one fetch per broker is always on its way, so the next records travel
//! while the last ones are handled.
//!
//! Invariants: batches of a partition come in the order of their offsets, each once; at most
//! [`ConsumerConfig::buffer_bytes`] plus one response per broker are held; [`Consumer::position`] never passes a batch
//! that was not handed out. Fetches are sessionless: each names everything it wants (KIP-227 makes sessions optional).

mod batch;
mod fetch;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use protocol::ErrorCode;
use protocol::messages::fetch_response::PartitionData;
use tokio::time::Instant;

#[cfg(feature = "fuzzing")]
pub(crate) use batch::fetched;
pub use batch::{BatchReadError, DECOMPRESSED_BYTES_MAX, RecordBatch, RecordRef};

use crate::assignor::TopicPartition;
use crate::cluster::{Cluster, MetadataError};
use crate::connection::CallError;
use crate::offsets::{Isolation, OffsetSpec, OffsetsError, list_offsets};
use crate::refusal::{self, Refusal};
use crate::runtime::TaskSet;
use batch::Fetched;
use fetch::{FetchAnswer, FetchDone, FetchPlan};

/// How to consume. Defaults are those of Kafka's Java consumer.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// `isolation.level`.
    pub isolation: Isolation,
    /// `fetch.min.bytes`.
    pub fetch_bytes_min: i32,
    /// `fetch.max.wait.ms`: how long a broker waits for that.
    pub fetch_wait: Duration,
    /// `fetch.max.bytes`.
    pub fetch_bytes_max: i32,
    /// `max.partition.fetch.bytes`.
    pub partition_bytes_max: i32,
    /// How much may wait here to be handled before fetching stops.
    pub buffer_bytes: usize,
    /// `auto.offset.reset`: where to go when the position is not in the log; `None` makes that an error.
    pub reset: Option<OffsetSpec>,
    /// `client.rack`.
    pub rack: String,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            isolation: Isolation::ReadUncommitted,
            fetch_bytes_min: 1,
            fetch_wait: Duration::from_millis(500),
            fetch_bytes_max: 50 * 1024 * 1024,
            partition_bytes_max: 1024 * 1024,
            buffer_bytes: 64 * 1024 * 1024,
            reset: None,
            rack: String::new(),
        }
    }
}

/// Why consuming cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConsumeError {
    /// The topic could not be looked up.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// No broker answered for the whole of the operation's time.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The position after a reset could not be found.
    #[error(transparent)]
    Offsets(#[from] OffsetsError),
    /// The position is before the first record or after the last, and no reset was configured.
    #[error("offset {position} of {partition} is not in the log")]
    OutOfRange {
        /// Which partition.
        partition: TopicPartition,
        /// The offset that was asked for.
        position: i64,
    },
    /// The leader has what is at the position no more, or damaged. Asking again does not help.
    #[error(
        "the records of {partition} from offset {position} on are damaged or gone on the broker's disk; what lies behind them can be read from a later offset"
    )]
    Corrupt {
        /// Which partition.
        partition: TopicPartition,
        /// The first offset that cannot be read.
        position: i64,
    },
    /// The leader refused.
    #[error("cannot read {partition}")]
    Refused {
        /// Which partition.
        partition: TopicPartition,
        /// The broker's answer.
        #[source]
        source: Refusal,
    },
    /// What came cannot be read.
    #[error("cannot read what {partition} holds from offset {position} on")]
    Batch {
        /// Which partition.
        partition: TopicPartition,
        /// The first offset that could not be read.
        position: i64,
        /// What is wrong with it.
        #[source]
        source: BatchReadError,
    },
}

/// Where a partition stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// What to fetch next.
    fetch_from: i64,
    /// Everything below was handed out or has nothing to show.
    position: i64,
    /// The end of the log as last told.
    high_watermark: Option<i64>,
    /// Not before this, after an error.
    not_before: Option<Instant>,
}

/// How long a partition rests after a retriable error.
const REST: Duration = Duration::from_millis(100);

/// Reads chosen partitions.
#[derive(Debug)]
pub struct Consumer {
    cluster: Cluster,
    config: ConsumerConfig,
    places: BTreeMap<TopicPartition, Place>,
    buffered: VecDeque<Fetched>,
    buffered_bytes: usize,
    fetches: TaskSet<FetchDone>,
    /// Brokers with a fetch on its way, and those that rest after a failure.
    busy: HashSet<i32>,
    resting: HashMap<i32, Instant>,
    /// Since when no broker has answered.
    failing_since: Option<Instant>,
}

impl Consumer {
    /// A consumer without partitions.
    pub fn new(cluster: Cluster, config: ConsumerConfig) -> Self {
        Self {
            cluster: cluster.with_own_connections(),
            config,
            places: BTreeMap::new(),
            buffered: VecDeque::new(),
            buffered_bytes: 0,
            fetches: TaskSet::new(),
            busy: HashSet::new(),
            resting: HashMap::new(),
            failing_since: None,
        }
    }

    /// The cluster it reads from.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Adds a partition, or moves it: reading goes on at `offset`.
    pub fn seek(&mut self, partition: TopicPartition, offset: i64) {
        self.drop_buffered(&partition);
        let place = Place {
            fetch_from: offset,
            position: offset,
            high_watermark: None,
            not_before: None,
        };
        self.places.insert(partition, place);
    }

    /// Stops reading a partition; returns where it stood.
    pub fn remove(&mut self, partition: &TopicPartition) -> Option<i64> {
        self.drop_buffered(partition);
        self.places.remove(partition).map(|place| place.position)
    }

    /// The partitions it reads, with the offset after the last batch that was handed out (or held nothing to show).
    pub fn positions(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.places
            .iter()
            .map(|(partition, place)| (partition, place.position))
    }

    /// Where a partition stands.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.places.get(partition).map(|place| place.position)
    }

    /// The end of a partition's log as the last fetch told it.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        self.places.get(partition)?.high_watermark
    }

    fn drop_buffered(&mut self, partition: &TopicPartition) {
        self.buffered
            .retain(|fetched| fetched.partition() != partition);
        self.buffered_bytes = self.buffered.iter().map(Fetched::len).sum();
    }

    /// The next batch of records; `None` when a fetch came back with nothing to show, so that the caller can look at
    /// positions and clocks. May be cancelled at any point without losing records.
    pub async fn poll(&mut self) -> Result<Option<RecordBatch>, ConsumeError> {
        loop {
            // Before a batch is taken: this may wait for a broker, and a batch in hand would be lost with a call that is cancelled then.
            self.launch().await?;
            if let Some(batch) = self.take_buffered()? {
                return Ok(Some(batch));
            }
            if self.fetches.is_empty() {
                // Everything rests, or there is nothing to read.
                tokio::time::sleep(REST).await;
                return Ok(None);
            }
            if let Some(done) = self.fetches.next().await {
                let brought = self.arrived(done).await?;
                if !brought {
                    return Ok(None);
                }
            }
        }
    }

    fn take_buffered(&mut self) -> Result<Option<RecordBatch>, ConsumeError> {
        while let Some(fetched) = self.buffered.front_mut() {
            let before = fetched.len();
            let next = fetched.next();
            self.buffered_bytes -= before - fetched.len();
            let partition = fetched.partition().clone();
            let position = fetched.position();
            match next {
                Ok(Some(batch)) => {
                    self.move_to(&partition, position);
                    return Ok(Some(batch));
                }
                Ok(None) => {
                    self.move_to(&partition, position);
                    self.buffered_bytes -= self.buffered.pop_front().map_or(0, |rest| rest.len());
                }
                Err(source) => {
                    return Err(ConsumeError::Batch {
                        partition,
                        position,
                        source,
                    });
                }
            }
        }
        Ok(None)
    }

    fn move_to(&mut self, partition: &TopicPartition, position: i64) {
        if let Some(place) = self.places.get_mut(partition) {
            place.position = place.position.max(position);
        }
    }

    /// Starts a fetch at every broker that has none and leads a partition to read.
    async fn launch(&mut self) -> Result<(), ConsumeError> {
        if self.buffered_bytes >= self.config.buffer_bytes {
            return Ok(());
        }
        for (leader, plan) in self.plan().await? {
            self.busy.insert(leader);
            let (cluster, config) = (self.cluster.clone(), self.config.clone());
            self.fetches
                .spawn(fetch::run(cluster, config, leader, plan));
        }
        Ok(())
    }

    async fn plan(&mut self) -> Result<HashMap<i32, FetchPlan>, ConsumeError> {
        let now = Instant::now();
        let mut plans: HashMap<i32, FetchPlan> = HashMap::new();
        let mut leaderless = Vec::new();
        for (partition, place) in &self.places {
            if place.not_before.is_some_and(|at| at > now) {
                continue;
            }
            let leader = match self
                .cluster
                .leader_of(&partition.topic, partition.partition)
                .await
            {
                Ok(leader) => leader,
                Err(MetadataError::NoLeader { .. }) => {
                    self.cluster.forget_topic(&partition.topic);
                    leaderless.push(partition.clone());
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if self.busy.contains(&leader)
                || self.resting.get(&leader).is_some_and(|until| *until > now)
            {
                continue;
            }
            let topic_id = self
                .cluster
                .cached_topic(&partition.topic)
                .map(|topic| topic.id);
            plans.entry(leader).or_default().add(
                partition.clone(),
                topic_id.unwrap_or_default(),
                place.fetch_from,
            );
        }
        for partition in leaderless {
            self.rest(&partition);
        }
        Ok(plans)
    }

    fn rest(&mut self, partition: &TopicPartition) {
        if let Some(place) = self.places.get_mut(partition) {
            place.not_before = Some(Instant::now() + REST);
        }
    }

    /// Takes an answer in; says whether it brought records.
    async fn arrived(&mut self, done: FetchDone) -> Result<bool, ConsumeError> {
        self.busy.remove(&done.leader);
        let answers = match done.result {
            Ok(answers) => answers,
            Err(error) => {
                self.fetch_failed(done.leader, &done.plan, error)?;
                return Ok(false);
            }
        };
        self.failing_since = None;
        let mut brought = false;
        for FetchAnswer {
            partition,
            asked,
            data,
        } in answers
        {
            let Some(place) = self.places.get(&partition) else {
                continue;
            };
            // The partition was moved after this was asked, or its former leader answered too.
            if place.fetch_from != asked {
                continue;
            }
            brought |= self.take(partition, asked, data).await?;
        }
        Ok(brought)
    }

    async fn take(
        &mut self,
        partition: TopicPartition,
        asked: i64,
        data: PartitionData,
    ) -> Result<bool, ConsumeError> {
        if let Err(refusal) = refusal::check(data.error_code, None) {
            self.refused(&partition, asked, refusal).await?;
            return Ok(false);
        }
        let records = data.records.unwrap_or_default();
        // A response lies in memory as one piece; see `Records`.
        let bytes = records.into_bytes().unwrap_or_default();
        let aborted = (self.config.isolation == Isolation::ReadCommitted)
            .then(|| data.aborted_transactions.unwrap_or_default());
        let fetched = Fetched::new(
            partition.clone(),
            bytes,
            asked,
            data.high_watermark,
            aborted.as_deref(),
        );
        let end = fetched
            .end_position()
            .map_err(|source| ConsumeError::Batch {
                partition: partition.clone(),
                position: asked,
                source,
            })?;
        if let Some(place) = self.places.get_mut(&partition) {
            place.fetch_from = end;
            place.high_watermark = Some(data.high_watermark);
            place.not_before = None;
        }
        if fetched.is_empty() {
            return Ok(false);
        }
        self.buffered_bytes += fetched.len();
        self.buffered.push_back(fetched);
        Ok(true)
    }

    /// A partition's error: look for its leader again, go to the reset position, or give up.
    async fn refused(
        &mut self,
        partition: &TopicPartition,
        asked: i64,
        refusal: Refusal,
    ) -> Result<(), ConsumeError> {
        use ErrorCode as E;
        if refusal.is(E::OffsetOutOfRange) {
            let Some(reset) = self.config.reset else {
                return Err(ConsumeError::OutOfRange {
                    partition: partition.clone(),
                    position: asked,
                });
            };
            tracing::debug!(%partition, asked, "offset is out of range, resetting");
            let wanted = BTreeMap::from([(partition.clone(), reset)]);
            let found = list_offsets(&self.cluster, &wanted, self.config.isolation).await?;
            let offset = found.get(partition).and_then(|found| found.offset);
            // No record at or after a time: the end.
            let offset = match offset {
                Some(offset) => offset,
                None => self.end_of(partition).await?,
            };
            self.seek(partition.clone(), offset);
            return Ok(());
        }
        // Retriable by Kafka's table, where it means damage on the way; Kafka's consumer gives up too
        // (`FetchCollector.handleInitializeErrors`).
        if refusal.is(E::CorruptMessage) {
            return Err(ConsumeError::Corrupt {
                partition: partition.clone(),
                position: asked,
            });
        }
        if refusal.is_retriable() || refusal.is(E::UnknownTopicId) {
            tracing::debug!(%partition, %refusal, "fetch refused, trying again");
            self.cluster.forget_topic(&partition.topic);
            self.rest(partition);
            return Ok(());
        }
        Err(ConsumeError::Refused {
            partition: partition.clone(),
            source: refusal,
        })
    }

    async fn end_of(&self, partition: &TopicPartition) -> Result<i64, ConsumeError> {
        let wanted = BTreeMap::from([(partition.clone(), OffsetSpec::Latest)]);
        let found = list_offsets(&self.cluster, &wanted, self.config.isolation).await?;
        Ok(found
            .get(partition)
            .and_then(|found| found.offset)
            .unwrap_or_default())
    }

    fn fetch_failed(
        &mut self,
        leader: i32,
        plan: &FetchPlan,
        error: CallError,
    ) -> Result<(), ConsumeError> {
        let now = Instant::now();
        let since = *self.failing_since.get_or_insert(now);
        let too_long = now.duration_since(since) > self.cluster.config().operation_timeout;
        if !error.is_retriable() || too_long {
            return Err(error.into());
        }
        tracing::debug!(%error, leader, "fetch failed, trying again");
        self.resting.insert(leader, now + REST);
        for partition in plan.partitions() {
            self.cluster.forget_topic(&partition.topic);
        }
        Ok(())
    }
}

/// Offsets for partitions to begin at: looks up what is given as a time or a name. Where no record has the time or a
/// later one, the end.
pub async fn resolve_offsets(
    cluster: &Cluster,
    wanted: &BTreeMap<TopicPartition, OffsetSpec>,
    isolation: Isolation,
) -> Result<BTreeMap<TopicPartition, i64>, OffsetsError> {
    let found = list_offsets(cluster, wanted, isolation).await?;
    let missing: BTreeMap<_, _> = found
        .iter()
        .filter(|(_, found)| found.offset.is_none())
        .map(|(partition, _)| (partition.clone(), OffsetSpec::Latest))
        .collect();
    let ends = list_offsets(cluster, &missing, isolation).await?;
    let resolved = found.into_iter().map(|(partition, found)| {
        let end = ends.get(&partition).and_then(|end| end.offset);
        (partition, found.offset.or(end).unwrap_or_default())
    });
    Ok(resolved.collect())
}

impl Consumer {
    /// Reads all partitions of topics, beginning at `start`; returns the partitions.
    pub async fn assign_topics(
        &mut self,
        topics: &[Arc<str>],
        start: OffsetSpec,
    ) -> Result<Vec<TopicPartition>, ConsumeError> {
        let mut wanted = BTreeMap::new();
        for name in topics {
            let topic = self.cluster.topic(name).await?;
            for partition in &topic.partitions {
                wanted.insert(
                    TopicPartition::new(Arc::clone(name), partition.index),
                    start,
                );
            }
        }
        let offsets = resolve_offsets(&self.cluster, &wanted, self.config.isolation).await?;
        for (partition, offset) in offsets {
            self.seek(partition, offset);
        }
        Ok(wanted.into_keys().collect())
    }
}
