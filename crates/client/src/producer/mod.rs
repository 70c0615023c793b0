//! Producing: records are collected into one batch per partition and sent by one task.
//!
//! Invariants: records of one partition are sent in the order in which they were given, and an idempotent producer
//! keeps that order, without gaps or duplicates, through retries (KIP-98); memory held for records that are not
//! acknowledged stays below [`ProducerConfig::buffer_bytes`], apart from one batch per waiting caller; every
//! [`Delivery`] ends, at the latest when the producer is dropped.

mod accumulator;
mod delivery;
mod sender;
mod session;
mod transactional;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::records::{BuildError, Compression};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

pub use delivery::{BatchReport, Delivered, Delivery};
pub use transactional::{
    ConsumerGroupMetadata, TransactionError, TransactionProtocol, TransactionalProducer,
};

use crate::cluster::{Cluster, MetadataError};
use crate::connection::CallError;
use crate::partitioner::partition_for_key;
use crate::refusal::Refusal;
use crate::runtime::{OwnedTask, now_ms};
use accumulator::{Accumulator, Append};
use transactional::TransactionSession;

/// When a record counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// At once, without an answer.
    None,
    /// When the leader has it.
    Leader,
    /// When all in-sync replicas have it.
    All,
}

impl Acks {
    /// The number on the wire.
    pub const fn value(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// How to produce. Defaults are those of Kafka's Java producer.
#[derive(Clone)]
pub struct ProducerConfig {
    /// `acks`.
    pub acks: Acks,
    /// `enable.idempotence`; needs [`Acks::All`] and is left off otherwise.
    pub idempotent: bool,
    /// `compression.type`.
    pub compression: Compression,
    /// Level of the codec, or its default.
    pub compression_level: Option<i32>,
    /// `linger.ms`: how long a batch waits for more records.
    pub linger: Duration,
    /// `batch.size`: where a batch is full, in bytes before compression.
    pub batch_bytes: usize,
    /// `buffer.memory`: where `send` begins to wait, in bytes.
    pub buffer_bytes: usize,
    /// `max.request.size`: the most a request holds, unless a single batch is larger.
    pub request_bytes_max: usize,
    /// `max.in.flight.requests.per.connection`; brokers remember five batches of an idempotent producer.
    pub in_flight_max: usize,
    /// `delivery.timeout.ms`: the most a record waits for its acknowledgement, retries included.
    pub delivery_timeout: Duration,
    /// Lets brokers create the topic, if they are set up so.
    pub allow_auto_topic_creation: bool,
    /// Called for every batch that was acknowledged; runs on the sending task, so it must be quick.
    pub on_batch: Option<BatchListener>,
}

/// Hears of every acknowledged batch.
pub type BatchListener = Arc<dyn Fn(&BatchReport) + Send + Sync>;

impl std::fmt::Debug for ProducerConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ProducerConfig")
            .field("acks", &self.acks)
            .field("idempotent", &self.idempotent)
            .field("compression", &self.compression)
            .field("linger", &self.linger)
            .field("batch_bytes", &self.batch_bytes)
            .finish_non_exhaustive()
    }
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: true,
            compression: Compression::None,
            compression_level: None,
            linger: Duration::from_millis(5),
            batch_bytes: 16 * 1024,
            buffer_bytes: 32 * 1024 * 1024,
            request_bytes_max: 1024 * 1024,
            in_flight_max: 5,
            delivery_timeout: Duration::from_secs(120),
            allow_auto_topic_creation: true,
            on_batch: None,
        }
    }
}

/// A record to produce; nothing of it is kept after `send` returns.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProducerRecord<'a> {
    /// Where to; chosen by key if absent.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; now if absent.
    pub timestamp_ms: Option<i64>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` deletes the key in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// Headers in order; a key may occur more than once.
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

impl ProducerRecord<'_> {
    /// Bytes it takes in a batch, about: its fields and what stands around them.
    fn size_estimate(&self) -> usize {
        /// Lengths, deltas and attributes of one record, at most (`DefaultRecord.MAX_RECORD_OVERHEAD`).
        const OVERHEAD: usize = 21;
        let length = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len);
        let headers = self.headers.iter();
        let headers = headers.map(|(key, value)| 10 + key.len() + length(*value));
        OVERHEAD + length(self.key) + length(self.value) + headers.sum::<usize>()
    }
}

/// Why a record was not delivered, or nobody knows whether it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProduceError {
    /// The topic could not be looked up.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The broker could not be asked.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The broker refused the batch.
    #[error("cannot write to partition {partition} of topic '{topic}'")]
    Refused {
        /// Which topic.
        topic: Arc<str>,
        /// Which partition.
        partition: i32,
        /// The broker's answer.
        #[source]
        source: Refusal,
    },
    /// Not acknowledged within the delivery timeout.
    #[error(
        "no acknowledgement for partition {partition} of topic '{topic}' within {} ms",
        limit.as_millis()
    )]
    Expired {
        /// Which topic.
        topic: Arc<str>,
        /// Which partition.
        partition: i32,
        /// The delivery timeout.
        limit: Duration,
        /// What the last attempt said, if there was one.
        #[source]
        source: Option<Box<ProduceError>>,
    },
    /// The records cannot be made a batch.
    #[error("cannot build a record batch")]
    Build(#[source] Arc<BuildError>),
    /// The broker gave no producer id.
    #[error("cannot get a producer id")]
    ProducerId(#[source] Refusal),
    /// The buffer stayed full.
    #[error("the producer's buffer of {bytes} bytes stayed full for {} ms", limit.as_millis())]
    BufferFull {
        /// The size of the buffer.
        bytes: usize,
        /// How long was waited.
        limit: Duration,
    },
    /// The transaction was aborted first.
    #[error("the transaction was aborted before the record was sent")]
    Aborted,
    /// The producer was dropped first.
    #[error("the producer was closed before the record was acknowledged")]
    Closed,
}

/// What callers and the sending task share.
#[derive(Debug)]
struct Shared {
    accumulator: Mutex<Accumulator>,
    /// Something to send, or the end.
    wake_sender: Notify,
    /// A batch ended.
    batch_ended: Notify,
    buffer: Arc<Semaphore>,
    /// The transactional session, which is somebody else's to begin; without one the sender begins its own.
    transaction: Option<TransactionSession>,
}

/// Sends records to topics of one cluster.
#[derive(Debug)]
pub struct Producer {
    cluster: Cluster,
    config: ProducerConfig,
    shared: Arc<Shared>,
    _sender: OwnedTask,
}

impl Producer {
    /// A producer; it connects when the first record is sent.
    pub fn new(cluster: Cluster, config: ProducerConfig) -> Self {
        Self::with_transaction(cluster, config, None)
    }

    fn with_transaction(
        cluster: Cluster,
        mut config: ProducerConfig,
        transaction: Option<TransactionSession>,
    ) -> Self {
        config.idempotent &= config.acks == Acks::All;
        config.in_flight_max = config.in_flight_max.clamp(1, 5);
        config.batch_bytes = config.batch_bytes.max(1);
        config.buffer_bytes = config.buffer_bytes.max(config.batch_bytes);
        let shared = Arc::new(Shared {
            accumulator: Mutex::new(Accumulator::new(&config, transaction.is_some())),
            wake_sender: Notify::new(),
            batch_ended: Notify::new(),
            buffer: Arc::new(Semaphore::new(config.buffer_bytes)),
            transaction,
        });
        let cluster = cluster.with_own_connections();
        let sender = sender::Sender::new(cluster.clone(), config.clone(), Arc::clone(&shared));
        Self {
            cluster,
            config,
            shared,
            _sender: OwnedTask::spawn(sender.run()),
        }
    }

    /// Puts a record into a batch; waits while the buffer is full. What becomes of it is told by the [`Delivery`],
    /// which may be dropped: [`Producer::flush`] reports failures too.
    pub async fn send(
        &self,
        topic: &Arc<str>,
        record: ProducerRecord<'_>,
    ) -> Result<Delivery, ProduceError> {
        let partition = self.choose_partition(topic, &record).await?;
        self.send_to(topic, partition, record).await
    }

    /// The partition that a record goes to.
    async fn choose_partition(
        &self,
        topic: &Arc<str>,
        record: &ProducerRecord<'_>,
    ) -> Result<i32, ProduceError> {
        let described = match self.cluster.cached_topic(topic) {
            Some(described) => described,
            None => {
                let create = self.config.allow_auto_topic_creation;
                self.cluster.refresh_topic(topic, create).await?
            }
        };
        let count = described.partition_count();
        let size = record.size_estimate();
        Ok(match (record.partition, record.key) {
            (Some(partition), _) if described.partition(partition).is_some() => partition,
            (Some(partition), _) => {
                return Err(ProduceError::Metadata(MetadataError::NoPartition {
                    topic: topic.as_ref().to_owned(),
                    partition,
                    count: described.partitions.len(),
                }));
            }
            (None, Some(key)) => partition_for_key(key, count),
            (None, None) => self.shared.accumulator.lock().sticky(topic, count, size),
        })
    }

    async fn send_to(
        &self,
        topic: &Arc<str>,
        partition: i32,
        record: ProducerRecord<'_>,
    ) -> Result<Delivery, ProduceError> {
        let size = record.size_estimate();
        let timestamp_ms = record.timestamp_ms.unwrap_or_else(now_ms);
        let mut permit = None;
        loop {
            let appended = self.shared.accumulator.lock().append(
                topic,
                partition,
                &record,
                timestamp_ms,
                size,
                &mut permit,
            )?;
            match appended {
                Append::Done { delivery, wake } => {
                    if wake {
                        self.shared.wake_sender.notify_one();
                    }
                    return Ok(delivery);
                }
                Append::NeedsBuffer { bytes } => permit = Some(self.buffer(bytes).await?),
            }
        }
    }

    async fn buffer(
        &self,
        bytes: usize,
    ) -> Result<tokio::sync::OwnedSemaphorePermit, ProduceError> {
        // A record above the whole buffer still goes through, alone.
        let wanted = bytes.min(self.config.buffer_bytes);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        if let Ok(permit) = Arc::clone(&self.shared.buffer).try_acquire_many_owned(wanted) {
            return Ok(permit);
        }
        // The batches in the buffer are what is waited for: they should leave without lingering.
        self.shared.wake_sender.notify_one();
        let limit = self.config.delivery_timeout;
        let waiting = Arc::clone(&self.shared.buffer).acquire_many_owned(wanted);
        match tokio::time::timeout(limit, waiting).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(ProduceError::Closed),
            Err(_elapsed) => Err(ProduceError::BufferFull {
                bytes: self.config.buffer_bytes,
                limit,
            }),
        }
    }

    /// Gives up everything that was not sent, and waits until nothing is on its way.
    async fn give_up(&self) {
        self.shared
            .accumulator
            .lock()
            .fail_all(&ProduceError::Aborted);
        // What was on its way when it was given up is of no interest any more, whether it arrives or not.
        self.flush().await.ok();
    }

    /// The first failure since the last flush, if any. Cheap.
    pub fn failure(&self) -> Option<ProduceError> {
        self.shared.accumulator.lock().failure()
    }

    /// Sends everything without lingering and waits until it is acknowledged. Reports the first failure since the last
    /// flush.
    pub async fn flush(&self) -> Result<(), ProduceError> {
        loop {
            let ended = self.shared.batch_ended.notified();
            {
                let mut accumulator = self.shared.accumulator.lock();
                if accumulator.is_idle() {
                    accumulator.set_flushing(false);
                    return accumulator.take_failure().map_or(Ok(()), Err);
                }
                accumulator.set_flushing(true);
            }
            self.shared.wake_sender.notify_one();
            ended.await;
        }
    }
}

/// When a batch that was opened now must have been acknowledged.
fn deadline(config: &ProducerConfig) -> Instant {
    Instant::now() + config.delivery_timeout
}
