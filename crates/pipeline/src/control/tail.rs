//! [`Tail`]: topics of history, record by record, to their end and on.

use client::Cluster;
use serde::de::DeserializeOwned;
use spec::names::internal;

use super::log::Log;
use super::record::{self, CheckResult, LogLine, RecordError};
use super::store::StoreError;

/// What is kept in a topic of history.
pub trait History: DeserializeOwned {
    /// Its topic.
    const TOPIC: &'static str;
}

impl History for LogLine {
    const TOPIC: &'static str = internal::LOGS;
}

impl History for CheckResult {
    const TOPIC: &'static str = internal::CHECK_RESULTS;
}

/// A topic of history that is read.
#[derive(Debug)]
pub struct Tail {
    log: Log,
}

impl Tail {
    /// From its beginning; nothing if it is not there.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn open<T: History>(cluster: &Cluster) -> Result<Option<Self>, StoreError> {
        let log = Log::open(cluster, &[T::TOPIC]).await?;
        Ok(log.map(|log| Self { log }))
    }

    /// Hands over all that was written before the call. What cannot be read is left out: it is for people.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub async fn read_to_end<T: History>(
        &mut self,
        mut each: impl FnMut(T),
    ) -> Result<(), StoreError> {
        self.log
            .read_to_end(|batch| hand_over(batch, &mut each))
            .await
    }

    /// Hands over what comes next; perhaps nothing, if nothing came for a while.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub async fn next<T: History>(&mut self, mut each: impl FnMut(T)) -> Result<(), StoreError> {
        match self.log.next().await? {
            Some(batch) => hand_over(&batch, &mut each),
            None => Ok(()),
        }
    }
}

fn hand_over<T: History>(
    batch: &client::RecordBatch,
    each: &mut impl FnMut(T),
) -> Result<(), StoreError> {
    for record in batch.records() {
        let record = record.map_err(|source| StoreError::Batch {
            topic: T::TOPIC.to_owned(),
            source,
        })?;
        let read = record.value.map(record::read::<T>);
        match read {
            Some(Ok(read)) => each(read),
            // One of a later version would be shown in part.
            Some(Err(source @ RecordError::Later { .. })) => {
                return Err(StoreError::Record {
                    topic: T::TOPIC.to_owned(),
                    offset: record.offset,
                    source,
                });
            }
            Some(Err(_)) | None => {}
        }
    }
    Ok(())
}

/// Records of a topic of dead letters, as it is read.
#[derive(Debug)]
pub struct DeadLetters {
    log: Log,
}

/// A dead letter with its place in its topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// What it says, as JSON.
    pub value: serde_json::Value,
}

impl DeadLetters {
    /// A topic from its beginning; nothing if it is not there.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn open(cluster: &Cluster, topic: &str) -> Result<Option<Self>, StoreError> {
        let log = Log::open(cluster, &[topic]).await?;
        Ok(log.map(|log| Self { log }))
    }

    /// Hands over all that was committed before the call. What is no JSON is left out.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub async fn read_to_end(&mut self, mut each: impl FnMut(Letter)) -> Result<(), StoreError> {
        let handed = self.log.read_to_end(|batch| {
            for record in batch.records() {
                let record = record.map_err(|source| StoreError::Batch {
                    topic: batch.partition.topic.as_ref().to_owned(),
                    source,
                })?;
                let value = record.value.map(serde_json::from_slice);
                if let Some(Ok(value)) = value {
                    each(Letter {
                        partition: batch.partition.partition,
                        offset: record.offset,
                        value,
                    });
                }
            }
            Ok(())
        });
        handed.await
    }
}
