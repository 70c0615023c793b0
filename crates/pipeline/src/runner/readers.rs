//! [`Readers`]: all that a task reads, as chunks that are decoded.
//!
//! Invariant: whoever reads decides the order and nothing else: a chunk is of one place, and behind it the task is where its position says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::TopicPartition;
use sql::compute::Decoder;
use tokio::time::Instant;

use super::chunk::{self, Chunk, DecodeError};
use super::file_reader::{FileReadError, FileReader, FileStep};
use super::positions::{PartitionPosition, Positions};
use super::progress::{Progress, Stage};
use super::put_away::PuttingAway;
use super::table_reader::{TableReadError, TableReader, TableStep};
use super::topic_reader::{Begun, Limits, TopicReadError, TopicReader};
use super::topic_writer::Kept;

/// How often it is looked whether topics have more partitions.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// Of a topic.
    #[error(transparent)]
    Topic(#[from] TopicReadError),
    /// Of files.
    #[error(transparent)]
    Files(#[from] FileReadError),
    /// Of a table.
    #[error(transparent)]
    Table(#[from] TableReadError),
    /// What was read cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// What reading gave.
#[derive(Debug)]
pub(crate) enum Step {
    /// Records, of at least one place.
    Chunks(Vec<Chunk>),
    /// Nothing came.
    Nothing,
    /// All was read that was there when the run began.
    Done,
}

/// All that a task reads.
#[derive(Debug)]
pub(crate) struct Readers {
    pub(crate) topics: Option<Topics>,
    pub(crate) files: Vec<FileReader>,
    pub(crate) tables: Vec<TableReader>,
    /// Files and tables that have been read to their end, by their place here.
    pub(crate) ended: BTreeSet<usize>,
}

/// The topics of a task.
#[derive(Debug)]
pub(crate) struct Topics {
    reader: TopicReader,
    /// One for each input, by its number.
    decoders: BTreeMap<usize, Decoder>,
    /// Where a run ends; without it it does not.
    ends: Option<BTreeMap<TopicPartition, i64>>,
    looked: Instant,
    /// Whether partitions that were added end the task, so that they are claimed where it writes.
    ends_with_added: bool,
}

impl Topics {
    /// `is_bounded`: reading ends with what is there now.
    pub(crate) async fn new(
        reader: TopicReader,
        decoders: BTreeMap<usize, Decoder>,
        is_bounded: bool,
        ends_with_added: bool,
    ) -> Result<Self, TopicReadError> {
        let ends = match is_bounded {
            true => Some(reader.ends().await?),
            false => None,
        };
        Ok(Self {
            reader,
            decoders,
            ends,
            looked: Instant::now(),
            ends_with_added,
        })
    }

    async fn next(
        &mut self,
        limits: Limits,
        wait: Duration,
        progress: &Progress,
    ) -> Result<Step, ReadError> {
        if self
            .ends
            .as_ref()
            .is_some_and(|ends| self.reader.has_reached(ends))
        {
            return Ok(Step::Done);
        }
        self.look_for_partitions().await?;
        let records = self.reader.next(limits, wait).await?;
        if records.is_empty() {
            return Ok(Step::Nothing);
        }
        let begun = Instant::now();
        let mut chunks = Vec::with_capacity(records.len());
        for records in records {
            if let Some(decoder) = self.decoders.get_mut(&records.input) {
                chunks.push(chunk::of_topic(records, decoder)?);
            }
        }
        progress.took(Stage::Decode, begun.elapsed());
        Ok(Step::Chunks(chunks))
    }

    /// Partitions that were added are read from their first record, also if they are seen late.
    async fn look_for_partitions(&mut self) -> Result<(), TopicReadError> {
        if self.ends.is_none() && self.looked.elapsed() >= LOOK_EVERY {
            let added = self.reader.add_new_partitions().await?;
            if self.ends_with_added && !added.is_empty() {
                return Err(TopicReadError::Added);
            }
            self.looked = Instant::now();
        }
        Ok(())
    }
}

impl Readers {
    /// The next records; nothing if none come within `wait`.
    pub(crate) async fn next(
        &mut self,
        limits: Limits,
        wait: Duration,
        now_ms: i64,
        progress: &Progress,
    ) -> Result<Step, ReadError> {
        let step = self.next_step(limits, wait, now_ms, progress).await;
        let problems = self.files.iter().flat_map(FileReader::problems);
        progress.problems(problems.cloned().collect());
        step
    }

    async fn next_step(
        &mut self,
        limits: Limits,
        wait: Duration,
        now_ms: i64,
        progress: &Progress,
    ) -> Result<Step, ReadError> {
        let mut all_done = true;
        for (place, files) in self.files.iter_mut().enumerate() {
            if self.ended.contains(&place) {
                continue;
            }
            match files.next(limits, now_ms).await? {
                FileStep::Chunks(chunks) => return Ok(Step::Chunks(chunks)),
                FileStep::Nothing => all_done = false,
                FileStep::Done => {
                    self.ended.insert(place);
                }
            }
        }
        let files = self.files.len();
        for (place, table) in self.tables.iter_mut().enumerate() {
            if self.ended.contains(&(files + place)) {
                continue;
            }
            match table.next().await? {
                TableStep::Chunk(chunk) => return Ok(Step::Chunks(vec![*chunk])),
                TableStep::Nothing => all_done = false,
                TableStep::Done => {
                    self.ended.insert(files + place);
                }
            }
        }
        match &mut self.topics {
            Some(topics) => match topics.next(limits, wait, progress).await? {
                Step::Done if !all_done => nothing_within(wait).await,
                step => Ok(step),
            },
            None if all_done => Ok(Step::Done),
            None => nothing_within(wait).await,
        }
    }

    /// What puts files away that are read to their end.
    pub(crate) fn putting_away(&self) -> Vec<PuttingAway> {
        let files = self.files.iter();
        files.map(|files| files.putting_away().clone()).collect()
    }

    /// Places whose positions are of no use any more, or are given up.
    pub(crate) fn take_forgotten(&mut self) -> Vec<Kept> {
        self.files
            .iter_mut()
            .flat_map(FileReader::take_forgotten)
            .collect()
    }

    /// Up to where topics have been looked through.
    pub(crate) fn looked_through(&self) -> Vec<Begun> {
        let topics = self.topics.as_ref();
        topics.map_or_else(Vec::new, |topics| topics.reader.looked_through())
    }
}

/// All but what is still to come was read.
async fn nothing_within(wait: Duration) -> Result<Step, ReadError> {
    tokio::time::sleep(wait).await;
    Ok(Step::Nothing)
}

/// Where partitions begin that have no positions yet, as positions.
pub(crate) fn begun(begun: &[Begun]) -> Positions {
    let each = begun.iter().map(|begun| {
        let position = PartitionPosition::kept(&begun.partition.topic, begun.offset);
        (begun.source.clone(), position)
    });
    Positions(each.collect())
}
