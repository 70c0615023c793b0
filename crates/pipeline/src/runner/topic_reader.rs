//! [`TopicReader`]: the records of topics, partition by partition, from where the task is.
//!
//! Invariants: what is of open or aborted transactions is never read; a partition that is read for the first time begins where the file
//! says, one that was added later at its first record, so that none is passed by; where records are gone that were not read, it is an
//! error and never a jump.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use client::{
    Cluster, ConsumeError, Consumer, ConsumerConfig, Isolation, MetadataError, OffsetSpec,
    OffsetsError, RecordBatch, TopicPartition, list_offsets, resolve_offsets,
};
use protocol::Uuid;
use spec::Start;
use tokio::time::{Instant, timeout};

use super::positions::{PartitionPosition, PositionFault, Positions, Source};

/// How long a broker waits for records before it answers that there are none.
const FETCH_WAIT: Duration = Duration::from_millis(500);
/// How long to wait for more after the first records came: a commit takes longer than this.
const LINGER: Duration = Duration::from_millis(2);
/// How much a partition may give at a time.
const PARTITION_BYTES: i32 = 4 << 20;
/// How much may wait to be worked on.
const BUFFER_BYTES: usize = 16 << 20;

/// How much is taken at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Records.
    pub(crate) rows: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// How long to gather after the first came, even if nothing more is there; without it, as long as more is there.
    pub(crate) gather: Option<Duration>,
}

/// A topic that is read.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    /// Which input of the query it is, and its name.
    pub(crate) input: usize,
    pub(crate) input_name: String,
    /// The topic.
    pub(crate) name: Arc<str>,
    /// Where it begins.
    pub(crate) start: Start,
}

/// Why topics cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TopicReadError {
    /// A topic cannot be looked up.
    #[error("cannot look up the topic {topic}")]
    Metadata {
        /// Which.
        topic: Arc<str>,
        /// Why.
        #[source]
        source: MetadataError,
    },
    /// Where to begin cannot be told.
    #[error("cannot look up where to begin")]
    Offsets(#[from] OffsetsError),
    /// A position cannot be read.
    #[error(transparent)]
    Position(#[from] PositionFault),
    /// Records cannot be read.
    #[error("cannot read")]
    Consume(#[source] ConsumeError),
    /// Records are gone that were not read.
    #[error(
        "{partition} begins at offset {first} now, and {missing} records from offset {position} on were deleted before they were read; if they may be left out, go on with: watertable pipeline resume NAME --skip-deleted"
    )]
    Deleted {
        /// Where.
        partition: TopicPartition,
        /// What was to be read.
        position: i64,
        /// What is there.
        first: i64,
        /// How many.
        missing: i64,
    },
    /// A topic is another one than before.
    #[error("the topic {topic} was deleted and made anew while it was read; it is begun again")]
    Remade {
        /// Which.
        topic: Arc<str>,
    },
    /// There are more partitions, which are to be claimed first.
    #[error("a topic has more partitions; they are taken in")]
    Added,
    /// The log ends before what was read: it was replaced or restored.
    #[error(
        "{partition} ends at offset {end} now, and offset {position} is to be read: it was restored or made anew; records would be read twice or never. Roll the pipeline back with --rewind, or name another topic"
    )]
    Ahead {
        /// Where.
        partition: TopicPartition,
        /// What was to be read.
        position: i64,
        /// Where it ends.
        end: i64,
    },
}

/// A partition that is read.
#[derive(Clone, Debug)]
struct Part {
    input: usize,
    topic_id: Uuid,
    source: Source,
}

/// Where reading stands in a partition.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) source: Source,
    pub(crate) partition: TopicPartition,
    pub(crate) offset: i64,
}

/// Records that were deleted before they were read, and are left out because somebody said so.
#[derive(Clone, Debug)]
pub(crate) struct LeftOut {
    pub(crate) source: Source,
    partition: TopicPartition,
    from: i64,
    /// The first that is there.
    to: i64,
}

impl LeftOut {
    /// Where the task is behind them.
    pub(crate) fn position(&self) -> serde_json::Value {
        PartitionPosition::kept(&self.partition.topic, self.to)
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            from,
            to,
            ..
        } = self;
        let missing = to - from;
        write!(
            formatter,
            "left out {missing} records of {partition} from offset {from} on: they were deleted before they were read"
        )
    }
}

/// Records of a partition.
#[derive(Debug)]
pub(crate) struct Records {
    /// Which input they are of.
    pub(crate) input: usize,
    pub(crate) partition: TopicPartition,
    /// Whose position it is.
    pub(crate) source: Source,
    /// Where reading stood before them, and after.
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) batches: Vec<RecordBatch>,
}

/// Reads topics.
#[derive(Debug)]
pub(crate) struct TopicReader {
    cluster: Cluster,
    topics: Vec<Topic>,
    consumer: Consumer,
    parts: BTreeMap<TopicPartition, Part>,
    /// Whether records that are gone are left out, because somebody said so.
    skips_deleted: bool,
    /// Those that were left out.
    left_out: BTreeMap<TopicPartition, LeftOut>,
    /// Whether somebody else knows better how far the task is, and is asked before it reads: whether records are there is looked up then.
    is_told_later: bool,
    /// Up to where the reader was handed out, by partition.
    handed: BTreeMap<TopicPartition, i64>,
}

impl TopicReader {
    /// Goes on where the positions say. Beside it where it begins in partitions that have none: that is to be kept before
    /// anything is read of them, or a start behind the last record would move with each attempt.
    pub(crate) async fn open(
        cluster: Cluster,
        topics: Vec<Topic>,
        positions: &Positions,
        skips_deleted: bool,
        is_told_later: bool,
    ) -> Result<(Self, Vec<Begun>), TopicReadError> {
        let config = ConsumerConfig {
            isolation: Isolation::ReadCommitted,
            fetch_wait: FETCH_WAIT,
            partition_bytes_max: PARTITION_BYTES,
            buffer_bytes: BUFFER_BYTES,
            ..ConsumerConfig::default()
        };
        let consumer = Consumer::new(cluster.clone(), config);
        let mut reader = Self {
            cluster,
            topics,
            consumer,
            parts: BTreeMap::new(),
            skips_deleted,
            left_out: BTreeMap::new(),
            is_told_later,
            handed: BTreeMap::new(),
        };
        let begun = reader.add_partitions(positions).await?;
        Ok((reader, begun))
    }

    /// Takes in partitions that were added since; they are read from their first record.
    pub(crate) async fn add_new_partitions(&mut self) -> Result<Vec<Begun>, TopicReadError> {
        // Those that are read already have a position, if only the one that they began with.
        let known = self.parts.values();
        let known = known.map(|part| (part.source.clone(), serde_json::Value::Null));
        let known = Positions(known.collect());
        self.add_partitions(&known).await
    }

    async fn add_partitions(
        &mut self,
        positions: &Positions,
    ) -> Result<Vec<Begun>, TopicReadError> {
        let mut begun = Vec::new();
        for topic in self.topics.clone() {
            let (id, partitions) = self.describe(&topic.name).await?;
            let mut wanted = BTreeMap::new();
            let mut known = BTreeMap::new();
            let is_ours = |source: &Source| source.is_of_topic(&topic.input_name, id);
            let is_begun = positions.0.keys().any(is_ours);
            for index in partitions {
                let partition = TopicPartition::new(Arc::clone(&topic.name), index);
                let source = Source::partition(&topic.input_name, id, index);
                if let Some(part) = self.parts.get(&partition) {
                    if part.source != source {
                        let topic = Arc::clone(&topic.name);
                        return Err(TopicReadError::Remade { topic });
                    }
                    continue;
                }
                let part = Part {
                    input: topic.input,
                    topic_id: id,
                    source: source.clone(),
                };
                self.parts.insert(partition.clone(), part);
                match positions.partition(&source)? {
                    Some(next) => {
                        known.insert(partition, next);
                    }
                    // What came with a partition that was added is all new.
                    None if is_begun || topic.start == Start::Earliest => {
                        wanted.insert(partition, OffsetSpec::Earliest);
                    }
                    None => {
                        wanted.insert(partition, OffsetSpec::Latest);
                    }
                }
            }
            if self.is_told_later {
                for (partition, next) in known {
                    self.seek(partition, next);
                }
            } else {
                self.go_to(known).await?;
            }
            let first = resolve_offsets(&self.cluster, &wanted, Isolation::ReadCommitted).await?;
            for (partition, offset) in first {
                if let Some(part) = self.parts.get(&partition) {
                    begun.push(Begun {
                        source: part.source.clone(),
                        partition: partition.clone(),
                        offset,
                    });
                }
                self.seek(partition, offset);
            }
        }
        Ok(begun)
    }

    fn seek(&mut self, partition: TopicPartition, offset: i64) {
        self.handed.insert(partition.clone(), offset);
        self.consumer.seek(partition, offset);
    }

    async fn describe(&self, topic: &Arc<str>) -> Result<(Uuid, Vec<i32>), TopicReadError> {
        let fault = |source| TopicReadError::Metadata {
            topic: Arc::clone(topic),
            source,
        };
        let described = self.cluster.refresh_topic(topic, false).await;
        let described = described.map_err(fault)?;
        let partitions = described.partitions.iter();
        let partitions = partitions.map(|partition| partition.index).collect();
        Ok((described.id, partitions))
    }

    /// Whether the records are there that are to be read; where somebody said that those which are gone may be left out, from where on.
    async fn check(
        &self,
        known: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, i64>, TopicReadError> {
        let mut there = known.clone();
        let all = |spec| {
            known
                .keys()
                .map(|partition| (partition.clone(), spec))
                .collect()
        };
        let isolation = Isolation::ReadUncommitted;
        let first = list_offsets(&self.cluster, &all(OffsetSpec::Earliest), isolation).await?;
        let last = list_offsets(&self.cluster, &all(OffsetSpec::Latest), isolation).await?;
        for (partition, position) in known {
            let offset = |found: &BTreeMap<_, client::FoundOffset>| {
                found.get(partition).and_then(|found| found.offset)
            };
            let (position, partition) = (*position, partition.clone());
            if let Some(first) = offset(&first).filter(|first| *first > position) {
                let missing = first - position;
                if self.skips_deleted {
                    there.insert(partition, first);
                    continue;
                }
                return Err(TopicReadError::Deleted {
                    partition,
                    position,
                    first,
                    missing,
                });
            }
            if let Some(end) = offset(&last).filter(|end| *end < position) {
                return Err(TopicReadError::Ahead {
                    partition,
                    position,
                    end,
                });
            }
        }
        Ok(there)
    }

    /// What is there, up to the limits; nothing if nothing came within `wait`.
    pub(crate) async fn next(
        &mut self,
        limits: Limits,
        wait: Duration,
    ) -> Result<Vec<Records>, TopicReadError> {
        let mut gathered: BTreeMap<TopicPartition, Vec<RecordBatch>> = BTreeMap::new();
        let (mut rows, mut bytes) = (0, 0);
        let mut until = Instant::now() + wait;
        while rows < limits.rows && bytes < limits.bytes {
            let rest = until.saturating_duration_since(Instant::now());
            let wait = match (rows, limits.gather) {
                (0, _) | (_, Some(_)) => rest,
                (_, None) => LINGER,
            };
            match timeout(wait, self.consumer.poll()).await {
                Ok(Ok(Some(batch))) => {
                    if let Some(gather) = limits.gather.filter(|_| rows == 0) {
                        until = Instant::now() + gather;
                    }
                    rows += usize::try_from(batch.record_count()).unwrap_or(usize::MAX);
                    bytes += batch.payload_bytes();
                    let partition = batch.partition.clone();
                    gathered.entry(partition).or_default().push(batch);
                }
                Ok(Ok(None))
                    if (rows == 0 || limits.gather.is_some()) && Instant::now() < until => {}
                Ok(Ok(None)) | Err(_) => break,
                Ok(Err(error)) => return Err(self.explain(error).await),
            }
        }
        Ok(self.records(gathered))
    }

    fn records(&mut self, gathered: BTreeMap<TopicPartition, Vec<RecordBatch>>) -> Vec<Records> {
        let mut records = Vec::with_capacity(gathered.len());
        for (partition, batches) in gathered {
            let (Some(part), Some(last)) = (self.parts.get(&partition), batches.last()) else {
                continue;
            };
            let to = last.next_offset;
            let from = self.handed.insert(partition.clone(), to);
            records.push(Records {
                input: part.input,
                source: part.source.clone(),
                from: from.unwrap_or(to),
                to,
                partition,
                batches,
            });
        }
        records
    }

    /// The partitions, each with its place, the id of its topic and where it is read next.
    pub(crate) fn places(&self) -> Vec<(TopicPartition, Source, Uuid, i64)> {
        let place = |(partition, part): (&TopicPartition, &Part)| {
            let next = self.handed.get(partition)?;
            Some((partition.clone(), part.source.clone(), part.topic_id, *next))
        };
        self.parts.iter().filter_map(place).collect()
    }

    /// Where it is, as positions.
    pub(crate) fn kept(&self) -> Vec<(Source, serde_json::Value)> {
        self.kept_at(&self.handed)
    }

    /// These offsets, as positions.
    pub(crate) fn kept_at(
        &self,
        offsets: &BTreeMap<TopicPartition, i64>,
    ) -> Vec<(Source, serde_json::Value)> {
        let kept = |(partition, part): (&TopicPartition, &Part)| {
            let next = *offsets.get(partition)?;
            let position = PartitionPosition::kept(&partition.topic, next);
            Some((part.source.clone(), position))
        };
        self.parts.iter().filter_map(kept).collect()
    }

    /// Goes on elsewhere, where somebody else knows better how far the task is.
    pub(crate) async fn go_to(
        &mut self,
        offsets: BTreeMap<TopicPartition, i64>,
    ) -> Result<(), TopicReadError> {
        for (partition, to) in self.check(&offsets).await? {
            let from = offsets.get(&partition).copied().unwrap_or(to);
            if let Some(part) = self.parts.get(&partition).filter(|_| from < to) {
                let left_out = LeftOut {
                    source: part.source.clone(),
                    partition: partition.clone(),
                    from,
                    to,
                };
                self.left_out.insert(partition.clone(), left_out);
            }
            self.seek(partition, to);
        }
        Ok(())
    }

    /// Nothing more is left out from now on; what was.
    pub(crate) fn end_leaving_out(&mut self) -> Vec<LeftOut> {
        self.skips_deleted = false;
        std::mem::take(&mut self.left_out).into_values().collect()
    }

    /// The partitions of which records were left out, and from where on they are read.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.left_out
            .iter()
            .map(|(partition, left_out)| (partition, left_out.to))
    }

    /// What an error of reading means for positions.
    async fn explain(&self, error: ConsumeError) -> TopicReadError {
        if let ConsumeError::OutOfRange {
            partition,
            position,
        } = &error
        {
            let known = BTreeMap::from([(partition.clone(), *position)]);
            if let Err(explained) = self.check(&known).await {
                return explained;
            }
        }
        TopicReadError::Consume(error)
    }

    /// The ends of all partitions: what a run that ends has to read.
    pub(crate) async fn ends(&self) -> Result<BTreeMap<TopicPartition, i64>, TopicReadError> {
        let wanted = self.parts.keys().cloned();
        let wanted = wanted.map(|partition| (partition, OffsetSpec::Latest));
        let found =
            list_offsets(&self.cluster, &wanted.collect(), Isolation::ReadCommitted).await?;
        let ends = found.into_iter();
        Ok(ends
            .filter_map(|(partition, found)| Some((partition, found.offset?)))
            .collect())
    }

    /// Whether everything before these ends was handed out, or has nothing to show.
    pub(crate) fn has_reached(&self, ends: &BTreeMap<TopicPartition, i64>) -> bool {
        ends.iter().all(|(partition, end)| {
            let position = self.consumer.position(partition);
            position.is_some_and(|position| position >= *end)
        })
    }

    /// Up to where each partition has been looked through, what has nothing to show included.
    pub(crate) fn looked_through(&self) -> Vec<Begun> {
        let positions = self.consumer.positions();
        let place = |(partition, offset): (&TopicPartition, i64)| {
            Some(Begun {
                source: self.parts.get(partition)?.source.clone(),
                partition: partition.clone(),
                offset,
            })
        };
        positions.filter_map(place).collect()
    }
}
