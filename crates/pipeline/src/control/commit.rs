//! [`Writer`]: changes of what runs, each of them whole or not at all.
//!
//! Invariants: who opens a writer of an environment fences the one before, and reads the state after that; so what it commits is
//! built on all that was committed before, and of two at once one wins. Versions and the deployment that made them are one
//! transaction.

use std::sync::Arc;
use std::time::Duration;

use client::{
    Cluster, ProduceError, ProducerConfig, ProducerRecord, TransactionError, TransactionalProducer,
};
use protocol::ErrorCode;
use spec::names::{CONTROL, Environment, internal};

use super::Key;
use super::record::{self, Deployment, PipelineRecord};
use super::state::State;
use super::store::{Store, StoreError};
use super::topics::{self, RECORD_BYTES_MAX, TopicsError};

/// How long the brokers let a change stay open whose writer is gone.
const OPEN_AT_MOST: Duration = Duration::from_secs(60);

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// There is nowhere to write it.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// What is there is not known.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else changes the environment at the same time.
    #[error(
        "somebody else has begun to change the environment, and nothing of this was done; make a new plan when they are done"
    )]
    Fenced,
    /// It could not be written.
    #[error("cannot write the change; nothing of it was done")]
    Write(#[source] TransactionError),
    /// It was written, and whether it counts is not known.
    #[error(
        "whether the change counts is not known; do the same again: what was done is not done twice"
    )]
    Unknown(#[source] TransactionError),
}

/// Records that are written together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// What runs from now on.
    pub pipelines: Vec<PipelineRecord>,
    /// What was done.
    pub deployments: Vec<Deployment>,
}

/// A record as it is written.
struct Written {
    topic: &'static str,
    key: Key,
    value: Vec<u8>,
}

impl Change {
    fn records(&self) -> impl Iterator<Item = Written> {
        let pipelines = self.pipelines.iter().flat_map(|record| {
            let value = record::write(record);
            [record.version_key(), record.current_key()].map(|key| Written {
                topic: internal::PIPELINES,
                key,
                value: value.clone(),
            })
        });
        let deployments = self.deployments.iter().map(|record| Written {
            topic: internal::DEPLOYMENTS,
            key: record.key(),
            value: record::write(record),
        });
        pipelines.chain(deployments)
    }
}

/// Who changes what runs in an environment.
#[derive(Debug)]
pub struct Writer {
    producer: TransactionalProducer,
    store: Store,
}

impl Writer {
    /// Takes over: whoever had begun a change of the environment cannot end it any more. Creates the control topics.
    ///
    /// # Errors
    /// The brokers do not let us, or what is there cannot be read.
    pub async fn open(cluster: &Cluster, environment: &Environment) -> Result<Self, CommitError> {
        topics::create(cluster).await?;
        let config = ProducerConfig {
            request_bytes_max: RECORD_BYTES_MAX,
            ..ProducerConfig::default()
        };
        let id = environment.name(CONTROL);
        let producer = TransactionalProducer::init(cluster.clone(), id, OPEN_AT_MOST, config);
        let producer = producer.await.map_err(failed)?;
        let store = Store::open(cluster).await?;
        Ok(Self { producer, store })
    }

    /// What is there: nobody else changes it unnoticed.
    pub fn state(&self) -> &State {
        self.store.state()
    }

    /// A text that no other writer has, to make names from.
    pub(crate) fn unique(&self) -> String {
        let (id, epoch) = self.producer.session();
        format!("{id}.{epoch}")
    }

    /// Makes a change. `written` is called after each record, before the change counts.
    ///
    /// # Errors
    /// Nothing was done, or, of [`CommitError::Unknown`], that is not known.
    pub async fn commit(
        mut self,
        change: &Change,
        mut written: impl AsyncFnMut(),
    ) -> Result<(), CommitError> {
        self.producer.begin().map_err(failed)?;
        for record in change.records() {
            let (topic, key) = (Arc::from(record.topic), record.key.bytes());
            let sent = ProducerRecord {
                partition: Some(0),
                key: Some(&key),
                value: Some(&record.value),
                ..ProducerRecord::default()
            };
            // What becomes of it is told by the commit.
            let sent = self.producer.send(&topic, sent).await;
            drop(sent.map_err(failed)?);
            written().await;
        }
        match self.producer.commit().await.map_err(failed) {
            // The records are written before brokers hear that they count.
            Err(CommitError::Write(error)) if !is_of_a_record(&error) => {
                Err(CommitError::Unknown(error))
            }
            done => done,
        }
    }
}

fn is_of_a_record(error: &TransactionError) -> bool {
    matches!(
        error,
        TransactionError::Produce(_) | TransactionError::MustAbort
    )
}

fn failed(error: TransactionError) -> CommitError {
    let is_fenced = match &error {
        TransactionError::Fenced { .. } => true,
        // The brokers tell a producer of an older epoch, of the transaction's coordinator and of the partition.
        TransactionError::Produce(ProduceError::Refused { source, .. }) => {
            source.is(ErrorCode::InvalidProducerEpoch) || source.is(ErrorCode::ProducerFenced)
        }
        _ => false,
    };
    if is_fenced {
        CommitError::Fenced
    } else {
        CommitError::Write(error)
    }
}
