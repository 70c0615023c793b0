//! [`Follower`]: what is applied and how far it has read, kept up, for those who look: dead letters and lag.
//!
//! Invariants: it asks, and changes nothing; it works wherever the pipelines run, because positions are records; of each partition
//! at most the first unread batch is read, and no longer than [`LOOK_AT_MOST`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use client::{
    Cluster, CommittedOffset, ConsumeError, Consumer, ConsumerConfig, FetchOffsetsError,
    GroupCoordinator, Isolation, MetadataError, OffsetSpec, OffsetsError, TopicPartition,
    TopicSelection, fetch_committed_offsets, list_offsets,
};
use spec::names::{Environment, internal};
use tokio::time::{Instant, timeout_at};

use super::Key;
use super::log::Log;
use super::positions;
use super::record::{PipelineRecord, PipelineState, Position};
use super::store::{Store, StoreError};
use crate::runner::positions::{PartitionPosition, Source};
use crate::tasks::{self, From, Role, Writes};

/// How long the first unread records are waited for.
const LOOK_AT_MOST: Duration = Duration::from_secs(5);
/// How long a broker waits before it says that there are none.
const FETCH_WAIT: Duration = Duration::from_millis(100);
/// Only the first record counts: more than a batch is of no use.
const PARTITION_BYTES: i32 = 16 << 10;
const BUFFER_BYTES: usize = 4 << 20;

/// Why it is not known how pipelines stand.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// What is applied, or how far it is, cannot be read.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Topics cannot be listed.
    #[error("cannot list the topics")]
    Topics(#[from] MetadataError),
    /// Their ends cannot be looked up.
    #[error("cannot look up where topics end")]
    Offsets(#[from] OffsetsError),
    /// The offsets of a group cannot be read.
    #[error(transparent)]
    Group(#[from] FetchOffsetsError),
    /// Records cannot be read.
    #[error("cannot read the first unread records")]
    Consume(#[from] ConsumeError),
}

/// A topic of dead letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadLetterTopic {
    /// The environment of the pipelines.
    pub environment: String,
    /// Its name, with the environment's prefix.
    pub topic: String,
}

/// How far a task is behind a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The environment.
    pub environment: String,
    /// The pipeline.
    pub pipeline: String,
    /// The task.
    pub task: Role,
    /// The input.
    pub input: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset from which on nothing is committed.
    pub next: i64,
    /// Where what can be read ends.
    pub end: i64,
    /// Offsets from the first unread record to the end; 0 if there is none.
    pub records: i64,
    /// The time of that record, in milliseconds since 1970; `None` if there is none, or it could not be read in time.
    pub next_ms: Option<i64>,
}

impl Lag {
    /// How old the first unread record is, in seconds: 0 if there is none, `None` if it is not known.
    pub fn seconds(&self, now_ms: i64) -> Option<f64> {
        match (self.records, self.next_ms) {
            (0, _) => Some(0.0),
            (_, None) => None,
            (_, Some(then_ms)) => Some(seconds(now_ms.saturating_sub(then_ms).max(0))),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "no age has 2^53 milliseconds")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// What is applied and how far it has read.
#[derive(Debug)]
pub struct Follower {
    cluster: Cluster,
    store: Store,
    /// Nothing as long as the topic is not there.
    log: Option<Log>,
    positions: BTreeMap<Key, Position>,
}

impl Follower {
    /// Reads all that was committed before the call.
    ///
    /// # Errors
    /// A topic cannot be read, or was written by a later version.
    pub async fn open(cluster: &Cluster) -> Result<Self, FollowError> {
        let mut follower = Self {
            cluster: cluster.clone(),
            store: Store::open(cluster).await?,
            log: None,
            positions: BTreeMap::new(),
        };
        follower.read_positions().await?;
        Ok(follower)
    }

    /// Reads all that was committed before the call. After an error it is of no more use: open another.
    ///
    /// # Errors
    /// As [`Follower::open`].
    pub async fn catch_up(&mut self) -> Result<(), FollowError> {
        self.store.read_to_end().await?;
        self.read_positions().await
    }

    async fn read_positions(&mut self) -> Result<(), FollowError> {
        if self.log.is_none() {
            let log = Log::open(&self.cluster, &[internal::POSITIONS]).await;
            self.log = log.map_err(StoreError::from)?;
        }
        let Some(log) = &mut self.log else {
            return Ok(());
        };
        let known = &mut self.positions;
        positions::each(log, |key, position| {
            match position {
                Ok(Some(position)) => drop(known.insert(key.clone(), position)),
                Ok(None) => drop(known.remove(key)),
                // Who runs it says so; others are shown all the same.
                Err(error) => tracing::debug!(?key, %error, "left out a position"),
            }
            Ok(())
        })
        .await?;
        Ok(())
    }

    /// What is applied and was not removed.
    fn applied(&self) -> impl Iterator<Item = &Arc<PipelineRecord>> {
        let all = self.store.pipelines();
        all.filter(|record| record.state != PipelineState::Removed)
    }

    /// The topics of dead letters, each once.
    pub fn dead_letters(&self) -> BTreeSet<DeadLetterTopic> {
        let topics = self.applied().filter_map(|record| {
            let environment: Environment = record.env.parse().ok()?;
            let pipeline = record.pipeline().ok()?;
            Some(DeadLetterTopic {
                topic: environment.name(&pipeline.dead_letters()),
                environment: record.env.clone(),
            })
        });
        topics.collect()
    }

    /// How far tasks are behind the partitions that they have begun to read.
    ///
    /// # Errors
    /// The brokers cannot be asked.
    pub async fn lag(&self) -> Result<Vec<Lag>, FollowError> {
        let reads: Vec<Reading> = self.applied().flat_map(|record| readings(record)).collect();
        if reads.is_empty() {
            return Ok(Vec::new());
        }
        let metadata = self.cluster.metadata(TopicSelection::All).await?;
        let mut all = Vec::new();
        for read in reads {
            let topic: Arc<str> = Arc::from(read.topic.as_str());
            let Some(Ok(found)) = metadata.topics.get(&topic) else {
                continue;
            };
            let reported = self.reported(&read).await?;
            for partition in &found.partitions {
                let source = Source::partition(&read.input, found.id, partition.index);
                let Some(next) = self.next(&read, &source) else {
                    continue;
                };
                let place = TopicPartition::new(Arc::clone(&topic), partition.index);
                let next = reported
                    .get(&place)
                    .map_or(next, |reported| reported.offset);
                all.push((place, read.at(partition.index, next)));
            }
        }
        self.look(all).await
    }

    /// Where a task is that keeps its positions in a database: nobody here can ask that, so what it told the brokers counts.
    async fn reported(
        &self,
        read: &Reading,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, FollowError> {
        let Some(group) = &read.group_of_table else {
            return Ok(BTreeMap::new());
        };
        let coordinator = GroupCoordinator::new(self.cluster.clone(), group.as_str());
        Ok(fetch_committed_offsets(&coordinator, None).await?)
    }

    /// Where a task is in a partition, if it has begun there.
    fn next(&self, read: &Reading, source: &Source) -> Option<i64> {
        let key = Key::new([
            read.environment.as_str(),
            &read.pipeline,
            read.task.name(),
            &source.input,
            &source.place,
        ]);
        let position = &self.positions.get(&key)?.position;
        let position = serde_json::from_value::<PartitionPosition>(position.clone());
        position.ok().map(|position| position.next)
    }

    /// Looks up where partitions end, and what comes next where something is unread.
    async fn look(&self, mut all: Vec<(TopicPartition, Lag)>) -> Result<Vec<Lag>, FollowError> {
        let wanted = all.iter().map(|(place, _)| place.clone());
        let wanted = wanted.map(|place| (place, OffsetSpec::Latest)).collect();
        let ends = list_offsets(&self.cluster, &wanted, Isolation::ReadCommitted).await?;
        for (place, lag) in &mut all {
            let end = ends.get(place).and_then(|end| end.offset);
            lag.end = end.unwrap_or(lag.next).max(lag.next);
            lag.records = lag.end - lag.next;
        }
        let mut places: BTreeMap<TopicPartition, BTreeSet<i64>> = BTreeMap::new();
        for (place, lag) in all.iter().filter(|(_, lag)| lag.records > 0) {
            places.entry(place.clone()).or_default().insert(lag.next);
        }
        // Tasks that stand at different offsets of a partition are looked at one after the other.
        while !places.is_empty() {
            let round: BTreeMap<_, _> = places
                .iter_mut()
                .filter_map(|(place, from)| Some((place.clone(), from.pop_first()?)))
                .collect();
            places.retain(|_, from| !from.is_empty());
            let found = self.first_unread(&round, &ends_of(&all)).await?;
            for (place, lag) in &mut all {
                if round.get(place) != Some(&lag.next) {
                    continue;
                }
                match found.get(place) {
                    Some(First::Record { offset, time_ms }) => {
                        lag.records = lag.end.saturating_sub(*offset).max(1);
                        lag.next_ms = Some(*time_ms);
                    }
                    // What is there to its end are the marks of transactions.
                    Some(First::None) => lag.records = 0,
                    None => {}
                }
            }
        }
        Ok(all.into_iter().map(|(_, lag)| lag).collect())
    }

    /// The first record of each partition from an offset on; what does not come in time is left out.
    async fn first_unread(
        &self,
        from: &BTreeMap<TopicPartition, i64>,
        ends: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, First>, FollowError> {
        let config = ConsumerConfig {
            isolation: Isolation::ReadCommitted,
            fetch_wait: FETCH_WAIT,
            partition_bytes_max: PARTITION_BYTES,
            buffer_bytes: BUFFER_BYTES,
            // What was deleted before it was read is not unread any more.
            reset: Some(OffsetSpec::Earliest),
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::new(self.cluster.clone(), config);
        for (place, offset) in from {
            consumer.seek(place.clone(), *offset);
        }
        let deadline = Instant::now() + LOOK_AT_MOST;
        let mut found = BTreeMap::new();
        while found.len() < from.len() {
            let Ok(polled) = timeout_at(deadline, consumer.poll()).await else {
                break;
            };
            if let Some(batch) = polled? {
                let first = batch.records().next().and_then(Result::ok);
                if let Some(first) = first {
                    let record = First::Record {
                        offset: first.offset,
                        time_ms: first.timestamp_ms,
                    };
                    consumer.remove(&batch.partition);
                    found.entry(batch.partition).or_insert(record);
                }
            }
            for place in from.keys() {
                let end = ends.get(place).copied();
                if consumer.position(place).is_some_and(|at| Some(at) >= end) {
                    consumer.remove(place);
                    found.entry(place.clone()).or_insert(First::None);
                }
            }
        }
        Ok(found)
    }
}

/// What is first behind an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Record { offset: i64, time_ms: i64 },
    None,
}

fn ends_of(all: &[(TopicPartition, Lag)]) -> BTreeMap<TopicPartition, i64> {
    let ends = all.iter().map(|(place, lag)| (place.clone(), lag.end));
    ends.collect()
}

/// A topic that a task reads.
struct Reading {
    environment: String,
    pipeline: String,
    task: Role,
    input: String,
    topic: String,
    /// The group of a task that writes a table.
    group_of_table: Option<String>,
}

impl Reading {
    fn at(&self, partition: i32, next: i64) -> Lag {
        Lag {
            environment: self.environment.clone(),
            pipeline: self.pipeline.clone(),
            task: self.task,
            input: self.input.clone(),
            topic: self.topic.clone(),
            partition,
            next,
            end: next,
            records: 0,
            next_ms: None,
        }
    }
}

/// The topics that the tasks of a version read; none of one that a later version of Watertable wrote.
fn readings(record: &PipelineRecord) -> Vec<Reading> {
    let Ok(pipeline) = record.pipeline() else {
        return Vec::new();
    };
    let environment = record.env.parse::<Environment>();
    let tasks = environment.ok().map(|of| tasks::compile(&pipeline, &of));
    let tasks = tasks.and_then(Result::ok).unwrap_or_default();
    let reads = tasks.iter().flat_map(|task| {
        let reads = task.reads.iter();
        reads.filter_map(|read| match &read.from {
            From::Topic(topic) => Some(Reading {
                environment: record.env.clone(),
                pipeline: record.pipeline.clone(),
                task: task.role,
                input: pipeline.inputs.get(read.input)?.name.clone(),
                topic: topic.clone(),
                group_of_table: (task.writes == Writes::Table).then(|| task.group.clone()),
            }),
            From::Outside => None,
        })
    });
    reads.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_the_first_unread_record_is_zero_where_there_is_none_and_unknown_where_it_was_not_read()
     {
        let lag = |records, next_ms| Lag {
            records,
            next_ms,
            ..reading().at(0, 0)
        };
        assert_eq!(lag(0, None).seconds(5_000), Some(0.0));
        assert_eq!(lag(3, None).seconds(5_000), None);
        assert_eq!(lag(3, Some(3_136)).seconds(5_000), Some(1.864));
        assert_eq!(
            lag(3, Some(6_000)).seconds(5_000),
            Some(0.0),
            "a clock that is behind"
        );
    }

    fn reading() -> Reading {
        Reading {
            environment: "dev".to_owned(),
            pipeline: "a".to_owned(),
            task: Role::Main,
            input: "a".to_owned(),
            topic: "dev.a".to_owned(),
            group_of_table: None,
        }
    }
}
