//! [`Log`]: control topics read from their beginning, to their end, and on.
//!
//! Invariant: what was committed before somebody asked for the end is read, also if other transactions were open then: the end is
//! that of all records, not of those that can be read already. A reader that stopped at the first open transaction would miss what
//! was committed behind it, because one topic has the records of many writers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::{
    Cluster, ConsumeError, Consumer, ConsumerConfig, Isolation, MetadataError, OffsetSpec,
    OffsetsError, RecordBatch, TopicPartition, list_offsets,
};
use protocol::ErrorCode;
use tokio::time::Instant;

/// How much waits to be looked at.
const BUFFER_BYTES: usize = 8 << 20;
/// How long a broker waits for something new.
const FETCH_WAIT: Duration = Duration::from_millis(500);

/// Why a control topic cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The brokers do not know it, or cannot be asked.
    #[error("{0}")]
    Metadata(#[from] MetadataError),
    /// Its ends cannot be looked up.
    #[error("{0}")]
    Offsets(#[from] OffsetsError),
    /// It cannot be read.
    #[error("{0}")]
    Consume(#[from] ConsumeError),
    /// Somebody has deleted it.
    #[error(
        "the topic '{topic}' is gone, and what was said in it with it; bring it back from a backup, or delete the other topics of the pipelines too and plan anew"
    )]
    Gone {
        /// Which.
        topic: String,
    },
    /// Somebody has begun a transaction and not ended it.
    #[error(
        "a transaction in {partition} has been open since offset {offset}, and what is behind it cannot be read yet; `watertable txn list` shows whose it is"
    )]
    Open {
        /// Where.
        partition: TopicPartition,
        /// From where on.
        offset: i64,
    },
}

/// Topics that are read.
#[derive(Debug)]
pub(crate) struct Log {
    consumer: Consumer,
    places: Vec<TopicPartition>,
}

impl Log {
    /// Topics from their beginning; nothing if none of them is there.
    pub(crate) async fn open(cluster: &Cluster, topics: &[&str]) -> Result<Option<Self>, LogError> {
        Self::open_as(cluster, topics, Isolation::ReadCommitted).await
    }

    /// The same, past transactions that are open: for records that are written in none.
    pub(crate) async fn open_past_transactions(
        cluster: &Cluster,
        topics: &[&str],
    ) -> Result<Option<Self>, LogError> {
        Self::open_as(cluster, topics, Isolation::ReadUncommitted).await
    }

    async fn open_as(
        cluster: &Cluster,
        topics: &[&str],
        isolation: Isolation,
    ) -> Result<Option<Self>, LogError> {
        let topics: Vec<Arc<str>> = topics.iter().map(|name| Arc::from(*name)).collect();
        let absent = absent(cluster, &topics).await?;
        if absent.len() == topics.len() {
            return Ok(None);
        }
        // They may be on their way. If they are not, what is left of them is not all that was said.
        if let Some(topic) = self::absent(cluster, &absent).await?.first() {
            let topic = topic.as_ref().to_owned();
            return Err(LogError::Gone { topic });
        }
        let config = ConsumerConfig {
            isolation,
            fetch_wait: FETCH_WAIT,
            buffer_bytes: BUFFER_BYTES,
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::new(cluster.clone(), config);
        let places = consumer
            .assign_topics(&topics, OffsetSpec::Earliest)
            .await?;
        Ok(Some(Self { consumer, places }))
    }

    /// Reads all that was committed before the call.
    pub(crate) async fn read_to_end<E: From<LogError>>(
        &mut self,
        mut each: impl FnMut(&RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let limit = self.consumer.cluster().config().operation_timeout;
        let wanted = self.places.iter().cloned();
        let wanted: BTreeMap<_, _> = wanted.map(|place| (place, OffsetSpec::Latest)).collect();
        let ends = list_offsets(self.consumer.cluster(), &wanted, Isolation::ReadUncommitted);
        let ends = ends.await.map_err(LogError::from)?;
        let mut deadline = Instant::now() + limit;
        loop {
            let behind = self.behind(|place| ends.get(place).and_then(|end| end.offset));
            let Some((partition, offset)) = behind else {
                return Ok(());
            };
            let polled = tokio::time::timeout_at(deadline, self.consumer.poll()).await;
            match polled.map(|polled| polled.map_err(LogError::from)) {
                Ok(Ok(Some(batch))) => each(&batch)?,
                Ok(Ok(None)) if Instant::now() < deadline => {}
                Ok(Err(error)) => return Err(error.into()),
                Ok(Ok(None)) | Err(_) => return Err(LogError::Open { partition, offset }.into()),
            }
            let now = self.behind(|place| ends.get(place).and_then(|end| end.offset));
            if now != Some((partition, offset)) {
                deadline = Instant::now() + limit;
            }
        }
    }

    /// The first place that is not read to its end, and how far it is.
    fn behind(
        &self,
        end: impl Fn(&TopicPartition) -> Option<i64>,
    ) -> Option<(TopicPartition, i64)> {
        self.places.iter().find_map(|place| {
            let position = self.consumer.position(place)?;
            (position < end(place)?).then(|| (place.clone(), position))
        })
    }

    /// The next records; nothing if none came for a while. May be cancelled at any point.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, LogError> {
        Ok(self.consumer.poll().await?)
    }
}

/// Those of the topics that are not there.
async fn absent(cluster: &Cluster, topics: &[Arc<str>]) -> Result<Vec<Arc<str>>, LogError> {
    let mut absent = Vec::new();
    for topic in topics {
        match cluster.refresh_topic(topic, false).await {
            Ok(_) => {}
            Err(error) if is_absent(&error) => absent.push(Arc::clone(topic)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(absent)
}

fn is_absent(error: &MetadataError) -> bool {
    matches!(error, MetadataError::Topic { source, .. } if source.is(ErrorCode::UnknownTopicOrPartition))
}
