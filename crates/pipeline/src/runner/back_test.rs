//! [`back_test`]: what a new version would have done to recent records, beside what the version that runs does to them.
//!
//! Invariant: it reads, and writes nothing; of each topic at most so many records as are asked for, and not longer than
//! [`AT_MOST`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::{
    Cluster, ConsumeError, Consumer, ConsumerConfig, Isolation, MetadataError, OffsetSpec,
    OffsetsError, RecordBatch, TopicPartition, list_offsets,
};
use sql::compute::Decoder;
use tokio::time::Instant;

use super::chunk::{DecodeError, of_topic};
use super::deployed::{Deployed, DeployedError};
use super::judge::{JudgeError, judge};
use super::positions::Source;
use super::topic_reader::Records;
use crate::control::PipelineRecord;
use crate::control::SourceRecord;
use crate::control::plan::BackTest;

/// The longest that it takes; what was looked at by then is told.
const AT_MOST: Duration = Duration::from_secs(20);
/// What a batch may take while it is looked at.
const MEMORY_BYTES_MAX: usize = 128 << 20;
/// How much waits to be looked at.
const BUFFER_BYTES: usize = 16 << 20;

/// Why nothing is told.
#[derive(Debug, thiserror::Error)]
pub enum BackTestError {
    /// A version cannot be made ready.
    #[error(transparent)]
    Deployed(#[from] DeployedError),
    /// A topic cannot be found.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// Its ends cannot be looked up.
    #[error(transparent)]
    Offsets(#[from] OffsetsError),
    /// It cannot be read.
    #[error(transparent)]
    Consume(#[from] ConsumeError),
    /// Its records cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A query failed.
    #[error(transparent)]
    Judge(#[from] JudgeError),
}

/// A version as it is tested on one input.
struct Version {
    deployed: Deployed,
    input: usize,
    decoder: Decoder,
}

impl Version {
    fn new(record: &PipelineRecord, input: usize) -> Result<Self, BackTestError> {
        let deployed = Deployed::new(Arc::new(record.clone()), MEMORY_BYTES_MAX)?;
        let decoder = deployed.decoder(input, true)?;
        Ok(Self {
            deployed,
            input,
            decoder,
        })
    }

    /// How many of these records are dead letters.
    fn dead(&mut self, place: &TopicPartition, batch: &RecordBatch) -> Result<u64, BackTestError> {
        let records = Records {
            input: self.input,
            partition: place.clone(),
            source: Source::table("", ""),
            from: 0,
            to: batch.next_offset,
            batches: vec![batch.clone()],
        };
        let chunk = of_topic(records, &mut self.decoder)?;
        Ok(judge(chunk, &self.deployed, true)?.dead_count())
    }
}

/// Looks at the last records of each topic that both versions read; nothing if there are none.
///
/// # Errors
/// A topic cannot be read, or a query fails.
pub async fn back_test(
    cluster: &Cluster,
    before: &PipelineRecord,
    after: &PipelineRecord,
    records_max: u64,
) -> Result<Option<BackTest>, BackTestError> {
    let deadline = Instant::now() + AT_MOST;
    let mut test = BackTest::default();
    for (index, input) in after.resolved.iter().enumerate() {
        let SourceRecord::Topic { topic, .. } = &input.source else {
            continue;
        };
        let was = before
            .resolved
            .iter()
            .position(|was| was.name == input.name);
        let Some(was) = was.filter(|was| {
            let was = before.resolved.get(*was).map(|was| &was.source);
            matches!(was, Some(SourceRecord::Topic { topic: was, .. }) if was == topic)
        }) else {
            continue;
        };
        let mut versions = (Version::new(before, was)?, Version::new(after, index)?);
        let topic: Arc<str> = Arc::from(topic.as_str());
        of_input(
            cluster,
            &topic,
            &mut versions,
            records_max,
            deadline,
            &mut test,
        )
        .await?;
    }
    Ok((test.records > 0).then_some(test))
}

async fn of_input(
    cluster: &Cluster,
    topic: &Arc<str>,
    (before, after): &mut (Version, Version),
    records_max: u64,
    deadline: Instant,
    test: &mut BackTest,
) -> Result<(), BackTestError> {
    let Some((mut consumer, mut open)) = last_records(cluster, topic, records_max).await? else {
        return Ok(());
    };
    while !open.is_empty() {
        let Ok(polled) = tokio::time::timeout_at(deadline, consumer.poll()).await else {
            return Ok(());
        };
        if let Some(batch) = polled? {
            let place = batch.partition.clone();
            test.records += u64::from(batch.record_count());
            test.dead_before += before.dead(&place, &batch)?;
            test.dead_after += after.dead(&place, &batch)?;
        }
        open.retain(|place, end| {
            consumer
                .position(place)
                .is_none_or(|position| position < *end)
        });
    }
    Ok(())
}

/// Reads the last records of a topic, the same number of each partition; nothing if there are none. Beside it where each ends.
async fn last_records(
    cluster: &Cluster,
    topic: &Arc<str>,
    records_max: u64,
) -> Result<Option<(Consumer, BTreeMap<TopicPartition, i64>)>, BackTestError> {
    let described = match cluster.refresh_topic(topic, false).await {
        Ok(described) => described,
        // What another pipeline of the plan will write has no records yet.
        Err(MetadataError::Topic { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let places = described.partitions.iter();
    let places = places.map(|partition| TopicPartition::new(Arc::clone(topic), partition.index));
    let places: Vec<_> = places.collect();
    let offsets = async |spec: OffsetSpec| {
        let wanted = places.iter().map(|place| (place.clone(), spec));
        list_offsets(cluster, &wanted.collect(), Isolation::ReadCommitted).await
    };
    let (first, ends) = (
        offsets(OffsetSpec::Earliest).await?,
        offsets(OffsetSpec::Latest).await?,
    );
    let count = u64::try_from(places.len()).unwrap_or(1).max(1);
    let each = i64::try_from((records_max / count).max(1)).unwrap_or(i64::MAX);
    let config = ConsumerConfig {
        isolation: Isolation::ReadCommitted,
        buffer_bytes: BUFFER_BYTES,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(cluster.clone(), config);
    let mut open = BTreeMap::new();
    for place in places {
        let offset = |found: &BTreeMap<TopicPartition, client::FoundOffset>| {
            found.get(&place).and_then(|found| found.offset)
        };
        let (Some(first), Some(end)) = (offset(&first), offset(&ends)) else {
            continue;
        };
        if first < end {
            consumer.seek(place.clone(), first.max(end.saturating_sub(each)));
            open.insert(place, end);
        }
    }
    Ok((!open.is_empty()).then_some((consumer, open)))
}
