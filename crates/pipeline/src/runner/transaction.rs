//! [`TransactionWriter`]: what a task makes, how far it is and its dead letters, in one transaction of Kafka.
//!
//! Invariants: of a transaction all counts or nothing; whoever takes over the transactional id has aborted what its predecessor left
//! open before it reads positions, and fences it, so that of two runners only the younger one writes; after any failure positions are
//! read again, because nobody knows whether the last transaction counted.

use std::sync::Arc;
use std::time::Duration;

use client::{Cluster, ProducerConfig, ProducerRecord, TransactionError, TransactionalProducer};
use parking_lot::Mutex;
use spec::names::internal;

use super::positions::{Owner, Positions, Source};
use crate::control::StoreError;

/// How long a transaction may stay open. One takes seconds at most, and of a runner that is gone for longer nothing is waited for.
const TRANSACTION: Duration = Duration::from_secs(60);
/// How long an abort is waited for.
const ABORT_WAIT: Duration = Duration::from_secs(5);
/// How long records are tried to be written, much less than a transaction may stay open: nobody waits for one that cannot end.
const DELIVERY: Duration = Duration::from_secs(20);
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
pub(crate) enum WriteError {
    /// A younger runner has taken over.
    #[error(
        "another worker runs this pipeline now (it took over the transactional id {id}); this one stops. Once that one is gone, this one goes on with: watertable pipeline resume NAME"
    )]
    Fenced {
        /// The transactional id.
        id: String,
    },
    /// A step of the transaction failed.
    #[error("cannot write")]
    Transaction(#[source] TransactionError),
    /// Nobody knows how far the pipeline is.
    #[error("cannot read how far the pipeline is")]
    Positions(#[from] StoreError),
}

impl From<TransactionError> for WriteError {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Fenced { id } => Self::Fenced { id: id.to_string() },
            error => Self::Transaction(error),
        }
    }
}

/// Who a task was for the coordinator last, as long as nobody changes or resumes its pipeline; cheap to clone. With it the task goes on after an error
/// only if nobody else has taken over, so that two workers do not take it from each other for ever.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session(Arc<Mutex<Option<(i64, i16)>>>);

/// Writes transactions.
#[derive(Debug)]
pub(crate) struct TransactionWriter {
    producer: TransactionalProducer,
    session: Session,
    owner: Owner,
    positions: Arc<str>,
}

impl TransactionWriter {
    /// Takes over from whoever wrote before, unless this task has done so already, and reads how far it came.
    pub(crate) async fn open(
        cluster: &Cluster,
        transactional_id: &str,
        owner: Owner,
        session: Session,
    ) -> Result<(Self, Positions), WriteError> {
        let config = ProducerConfig {
            batch_bytes: BATCH_BYTES,
            buffer_bytes: BUFFER_BYTES,
            allow_auto_topic_creation: false,
            delivery_timeout: DELIVERY,
            ..ProducerConfig::default()
        };
        let (cluster_of, id) = (cluster.clone(), transactional_id);
        let last = *session.0.lock();
        let producer = match last {
            None => TransactionalProducer::init(cluster_of, id, TRANSACTION, config).await?,
            Some(last) => {
                TransactionalProducer::resume(cluster_of, id, TRANSACTION, config, last).await?
            }
        };
        let writer = Self {
            producer,
            session,
            positions: Arc::from(internal::POSITIONS),
            owner,
        };
        writer.note_session();
        let positions = Positions::of(cluster, &writer.owner).await?;
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
        let topic = Arc::clone(&self.positions);
        let (key, value) = self.owner.record(source, position, now_ms);
        let record = OutRecord {
            key: Some(&key),
            value: value.as_deref(),
            timestamp_ms: None,
        };
        self.send(&topic, record).await
    }

    /// Commits.
    pub(crate) async fn commit(&mut self) -> Result<(), WriteError> {
        let committed = self.producer.commit().await;
        self.note_session();
        Ok(committed?)
    }

    /// Has nothing of a transaction count whose part failed: left open it would hold up all who read behind it, other pipelines that want
    /// to know where they are among them. What cannot be aborted in time the next runner aborts, or its timeout.
    pub(crate) async fn or_abort<T, E>(&mut self, result: Result<T, E>) -> Result<T, E> {
        if result.is_err() {
            let aborted = tokio::time::timeout(ABORT_WAIT, self.producer.abort()).await;
            self.note_session();
            if !matches!(aborted, Ok(Ok(()) | Err(TransactionError::NotOpen))) {
                tracing::debug!(?aborted, "a transaction is left to its timeout");
            }
        }
        result
    }

    fn note_session(&self) {
        *self.session.0.lock() = Some(self.producer.session());
    }
}
