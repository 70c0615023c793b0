//! [`Store`]: the state of all environments, read from the control topics and kept up with them.
//!
//! A record that cannot be read is left out and told in the log, so that one that somebody wrote by hand does not stop everything;
//! one of a later version of Watertable is an error, because this one would act on half of what it says.

use std::sync::Arc;
use std::time::Duration;

use client::{Cluster, RecordBatch};
use spec::names::internal;

use super::log::{Log, LogError};
use super::record::{PipelineRecord, RecordError};
use super::state::{Event, State};

/// How often is looked whether the topics are there: whoever applies the first plan does not want to wait.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Why the state is not known.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A topic cannot be read.
    #[error("cannot read what runs")]
    Log(#[from] LogError),
    /// Records in it cannot be.
    #[error("cannot read the records of '{topic}'")]
    Batch {
        /// Which topic.
        topic: String,
        /// What is wrong with them.
        #[source]
        source: client::BatchReadError,
    },
    /// A record is of a later version.
    #[error("the record at offset {offset} of '{topic}'")]
    Record {
        /// Which topic.
        topic: String,
        /// Where in it.
        offset: i64,
        /// What is wrong with it.
        #[source]
        source: RecordError,
    },
}

/// The state of all environments.
#[derive(Debug)]
pub struct Store {
    cluster: Cluster,
    /// Nothing as long as the topics are not there.
    log: Option<Log>,
    state: State,
}

impl Store {
    /// Reads all that was committed before the call. Where there are no control topics yet, nothing runs.
    ///
    /// # Errors
    /// A topic cannot be read, or was written by a later version.
    pub async fn open(cluster: &Cluster) -> Result<Self, StoreError> {
        let mut store = Self {
            cluster: cluster.clone(),
            log: None,
            state: State::default(),
        };
        store.read_to_end().await?;
        Ok(store)
    }

    /// What is known.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What there is of all pipelines, by environment and name.
    pub fn pipelines(&self) -> impl Iterator<Item = &Arc<PipelineRecord>> {
        self.state.pipelines()
    }

    /// A version of a pipeline.
    pub fn version(
        &self,
        environment: &str,
        pipeline: &str,
        version: u32,
    ) -> Option<&Arc<PipelineRecord>> {
        self.state.version(environment, pipeline, version)
    }

    /// Reads all that was committed before the call.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn read_to_end(&mut self) -> Result<(), StoreError> {
        if self.log.is_none() {
            self.log = Log::open(&self.cluster, &TOPICS).await?;
        }
        let Self { log, state, .. } = self;
        match log {
            None => Ok(()),
            Some(log) => log.read_to_end(|batch| apply(state, batch).map(drop)).await,
        }
    }

    /// Waits until something has changed, and tells what. May be cancelled at any point: nothing is lost.
    ///
    /// # Errors
    /// As [`Store::open`]. The store is of no more use then: open another.
    pub async fn changed(&mut self) -> Result<Vec<Event>, StoreError> {
        loop {
            let Some(log) = &mut self.log else {
                tokio::time::sleep(LOOK_EVERY).await;
                self.log = Log::open(&self.cluster, &TOPICS).await?;
                continue;
            };
            let Some(batch) = log.next().await? else {
                continue;
            };
            let events = apply(&mut self.state, &batch)?;
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }
}

const TOPICS: [&str; 2] = [internal::PIPELINES, internal::DEPLOYMENTS];

fn apply(state: &mut State, batch: &RecordBatch) -> Result<Vec<Event>, StoreError> {
    let topic = &batch.partition.topic;
    let mut events = Vec::new();
    for record in batch.records() {
        let record = record.map_err(|source| StoreError::Batch {
            topic: topic.as_ref().to_owned(),
            source,
        })?;
        let applied = if **topic == *internal::PIPELINES {
            state.apply_pipeline(record.key.unwrap_or_default(), record.value)
        } else {
            state.apply_deployment(record.value)
        };
        match applied {
            Ok(event) => events.extend(event),
            Err(source @ RecordError::Later { .. }) => {
                return Err(StoreError::Record {
                    topic: topic.as_ref().to_owned(),
                    offset: record.offset,
                    source,
                });
            }
            Err(error) => {
                tracing::warn!(%topic, offset = record.offset, %error, "left out a record");
            }
        }
    }
    Ok(events)
}
