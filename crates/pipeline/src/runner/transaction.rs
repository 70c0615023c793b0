//! [`TransactionWriter`]: what a task makes, how far it is and its dead letters, in one transaction of Kafka.
//!
//! Invariants: of a transaction all counts or nothing; whoever takes over the transactional id has aborted what its predecessor left
//! open before it reads positions, and fences it, so that of two runners only the younger one writes; after any failure positions are
//! read again, because nobody knows whether the last transaction counted.

use std::sync::Arc;
use std::time::Duration;

use client::{
    Cluster, ConsumeError, Consumer, ConsumerConfig, Isolation, MetadataError, OffsetSpec,
    OffsetsError, ProducerConfig, ProducerRecord, TransactionError, TransactionalProducer,
    list_offsets,
};

use super::positions::{Kept, Owner, POSITIONS, PositionFault, Positions, Source};

/// How long a transaction may stay open. One takes seconds at most, and of a runner that is gone for longer nothing is waited for.
const TRANSACTION: Duration = Duration::from_secs(60);
/// How full batches become.
const BATCH_BYTES: usize = 256 << 10;
/// How much is on its way at most.
const BUFFER_BYTES: usize = 16 << 20;

/// A record to be written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OutRecord<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) timestamp_ms: Option<i64>,
}

/// Why a transaction did not come about, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A younger runner has taken over.
    #[error(
        "another worker runs this pipeline now (it took over the transactional id {id}); this one stops"
    )]
    Fenced {
        /// The transactional id.
        id: String,
    },
    /// A step of the transaction failed.
    #[error("cannot write")]
    Transaction(#[source] TransactionError),
    /// The topic of positions cannot be read.
    #[error("cannot read how far the pipeline is ({POSITIONS})")]
    Consume(#[from] ConsumeError),
    /// The topic of positions cannot be looked up.
    #[error("cannot find out how far the pipeline is ({POSITIONS})")]
    Metadata(#[from] MetadataError),
    /// Its end cannot be looked up.
    #[error("cannot find out how far the pipeline is ({POSITIONS})")]
    Offsets(#[from] OffsetsError),
    /// A position cannot be read.
    #[error(transparent)]
    Position(#[from] PositionFault),
}

impl From<TransactionError> for WriteError {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Fenced { id } => Self::Fenced { id: id.to_string() },
            error => Self::Transaction(error),
        }
    }
}

/// Writes transactions.
#[derive(Debug)]
pub(crate) struct TransactionWriter {
    producer: TransactionalProducer,
    owner: Owner,
    version: u32,
    positions: Arc<str>,
}

impl TransactionWriter {
    /// Takes over from whoever wrote before, and reads how far it came.
    pub(crate) async fn open(
        cluster: &Cluster,
        transactional_id: &str,
        owner: Owner,
        version: u32,
    ) -> Result<(Self, Positions), WriteError> {
        let config = ProducerConfig {
            batch_bytes: BATCH_BYTES,
            buffer_bytes: BUFFER_BYTES,
            allow_auto_topic_creation: false,
            ..ProducerConfig::default()
        };
        let producer =
            TransactionalProducer::init(cluster.clone(), transactional_id, TRANSACTION, config)
                .await?;
        let writer = Self {
            producer,
            positions: Arc::from(POSITIONS),
            owner,
            version,
        };
        let positions = read_positions(cluster, &writer.owner).await?;
        Ok((writer, positions))
    }

    /// Begins a transaction.
    pub(crate) fn begin(&mut self) -> Result<(), WriteError> {
        Ok(self.producer.begin()?)
    }

    /// Adds a record.
    pub(crate) async fn send(
        &mut self,
        topic: &Arc<str>,
        record: OutRecord<'_>,
    ) -> Result<(), WriteError> {
        let record = ProducerRecord {
            partition: None,
            timestamp_ms: record.timestamp_ms,
            key: record.key,
            value: record.value,
            headers: &[],
        };
        // What became of it is told by the commit.
        self.producer.send(topic, record).await.map(drop)?;
        Ok(())
    }

    /// Adds how far the task is in a source; `None` forgets the source.
    pub(crate) async fn send_position(
        &mut self,
        source: &Source,
        position: Option<serde_json::Value>,
        now_ms: i64,
    ) -> Result<(), WriteError> {
        let value = position.map(|position| Kept::new(position, self.version, now_ms).value());
        let topic = Arc::clone(&self.positions);
        let key = source.key(&self.owner);
        let record = OutRecord {
            key: Some(&key),
            value: value.as_deref(),
            timestamp_ms: None,
        };
        self.send(&topic, record).await
    }

    /// Commits.
    pub(crate) async fn commit(&mut self) -> Result<(), WriteError> {
        Ok(self.producer.commit().await?)
    }
}

/// Reads how far a task is. Its last transaction has ended; those of others that are open are waited for, since what lies behind
/// them is not visible yet.
async fn read_positions(cluster: &Cluster, owner: &Owner) -> Result<Positions, WriteError> {
    let topic: Arc<str> = Arc::from(POSITIONS);
    let mut consumer = Consumer::new(
        cluster.clone(),
        ConsumerConfig {
            isolation: Isolation::ReadCommitted,
            ..ConsumerConfig::default()
        },
    );
    let partitions = consumer
        .assign_topics(&[topic], OffsetSpec::Earliest)
        .await?;
    let wanted = partitions.into_iter();
    let wanted = wanted.map(|partition| (partition, OffsetSpec::Latest));
    let ends = list_offsets(cluster, &wanted.collect(), Isolation::ReadUncommitted).await?;
    let mut positions = Positions::default();
    loop {
        let is_read = ends.iter().all(|(partition, end)| {
            consumer.position(partition) >= end.offset
        });
        if is_read {
            return Ok(positions);
        }
        let Some(batch) = consumer.poll().await? else {
            continue;
        };
        for record in batch.records() {
            let record = record.map_err(|source| ConsumeError::Batch {
                partition: batch.partition.clone(),
                position: batch.next_offset,
                source,
            })?;
            if let Some(key) = record.key {
                positions.apply(owner, key, record.value)?;
            }
        }
    }
}
