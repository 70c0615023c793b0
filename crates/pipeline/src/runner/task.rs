//! A task as it runs: two halves, one that reads and judges, and one that commits, with one batch between them, so that the next batch
//! is made while the last one is on its way.
//!
//! Invariants: what was read and not committed is forgotten when either half fails, and read again from the positions; the half that
//! commits stops between two commits and never within one, but for one that a database gives no answer to; at most two batches are in memory beside what the reader has fetched.

use std::sync::Arc;
use std::time::Duration;

use client::MetadataError;
use client::admin::AdminError;
use connectors::postgres::SinkError;
use datafusion::error::DataFusionError;
use env::Env;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::chunk::{Chunk, DecodeError};
use super::deployed::{Deployed, DeployedError};
use super::file_reader::FileReadError;
use super::judge::{JudgeError, Judged, judge};
use super::lag::LagReporter;
use super::pace::Pace;
use super::progress::{Progress, Stage};
use super::put_away::PuttingAway;
use super::readers::{ReadError, Readers, Step};
use super::table_writer::{TableError, TableWriter};
use super::tally::{Halt, Halted, Tally};
use super::topic_output::{Encoded, TopicOutput};
use super::topic_reader::{Begun, Limits, TopicReadError};
use super::topic_writer::{Kept, TopicWriter};
use super::transaction::{TransactionWriter, WriteError};
use crate::secrets::SecretError;

/// Why a task ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// It cannot read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The query failed.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// The version cannot run here.
    #[error(transparent)]
    Deployed(#[from] DeployedError),
    /// Rows cannot be made records.
    #[error("cannot make records of rows")]
    Encode(#[source] DataFusionError),
    /// It cannot write.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A table cannot be written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The sink does not let us begin.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The table that was written is not there.
    #[error(
        "the table {table} is gone, and rows had been written to it; make it again: {ddl}; it goes on then. To have the rows written again that were in it: watertable pipeline rollback NAME --rewind, or put the table back from a copy"
    )]
    NoTableLeft {
        /// The table.
        table: String,
        /// What makes it.
        ddl: String,
    },
    /// A topic that is written is not there.
    #[error(
        "the topic {topic}, which the pipeline writes, is gone; watertable pipeline plan and apply make it again"
    )]
    NoTopic {
        /// The topic.
        topic: String,
    },
    /// The brokers cannot be asked what topics there are.
    #[error("cannot look whether the topics are there that the pipeline writes")]
    Metadata(#[from] MetadataError),
    /// How far it was written is not known.
    #[error(
        "the table watertable.offsets is gone, and rows had been written whose offsets it had; put it back, as from a copy of the database; it goes on then. To have rows written again: watertable pipeline rollback NAME --rewind"
    )]
    NoOffsetsLeft,
    /// A secret is missing.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Topics cannot be read.
    #[error(transparent)]
    Topics(#[from] TopicReadError),
    /// The brokers cannot be asked about a topic.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The cluster cannot be asked what it is called.
    #[error("cannot ask the cluster for its id")]
    Cluster(#[source] MetadataError),
    /// The broker is too old for this.
    #[error(
        "the broker gives topics no ids, and a table needs them to know a topic that was made anew; use Kafka 2.8 or later, or Watertable"
    )]
    NoTopicId,
    /// A task of another kind than its pipeline.
    #[error("the pipeline writes a topic, and its task a table")]
    NoTable,
    /// Too many records are bad.
    #[error(transparent)]
    Halted(#[from] Halted),
    /// A half of it panicked, which is a fault of this program.
    #[error("a part of the pipeline failed: {0}")]
    Panicked(String),
}

impl TaskError {
    /// Whether trying again is of no use before somebody does something.
    pub(crate) const fn holds(&self) -> bool {
        matches!(self, Self::Halted(_))
    }

    /// Whether another worker has taken over.
    pub(crate) fn is_fenced(&self) -> bool {
        match self {
            Self::Write(WriteError::Fenced { .. }) => true,
            Self::Table(error) => error.is_fenced(),
            _ => false,
        }
    }
}

/// A batch that was judged and is to be committed.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    chunks: Vec<(Judged, Option<Encoded>)>,
    /// Where reading stands where there was nothing to show.
    looked_through: Vec<Begun>,
    /// Places to be forgotten, or given up.
    forgotten: Vec<Kept>,
    /// No more come.
    is_last: bool,
}

impl Ready {
    /// What its rows take, as they were read and as they are written.
    fn bytes(&self) -> usize {
        let each = self.chunks.iter().map(|(judged, encoded)| {
            let read = judged.chunk.rows.get_array_memory_size();
            let written = encoded
                .as_ref()
                .map_or_else(|| judged.rows.get_array_memory_size(), Encoded::bytes);
            read.saturating_add(written)
        });
        each.fold(0, usize::saturating_add)
    }
}

/// A task, put together.
pub(crate) struct Parts {
    pub(crate) env: Env,
    /// Whether it ends by itself.
    pub(crate) is_bounded: bool,
    pub(crate) readers: Readers,
    pub(crate) deployed: Arc<Deployed>,
    pub(crate) runs_query: bool,
    /// Makes records of rows, where a topic is written.
    pub(crate) output: Option<TopicOutput>,
    pub(crate) writer: Writer,
    pub(crate) halt: Option<Halt>,
    pub(crate) lag: LagReporter,
    pub(crate) progress: Arc<Progress>,
    pub(crate) limits: Limits,
    pub(crate) pace: Option<Pace>,
}

/// Runs a task until all is read that a run that ends has to read, or it is told to stop: then it ends at the next commit. Whether all
/// was read, and committed.
pub(crate) async fn run(parts: Parts, stop: CancellationToken) -> Result<bool, TaskError> {
    let Parts {
        env,
        readers,
        deployed,
        runs_query,
        output,
        writer,
        halt,
        lag,
        progress,
        limits,
        pace,
        is_bounded,
    } = parts;
    let (sender, receiver) = mpsc::channel(1);
    let mut halves = JoinSet::new();
    let putting_away = readers.putting_away();
    let reading = Reading {
        env: env.clone(),
        readers,
        deployed,
        runs_query,
        output,
        progress: Arc::clone(&progress),
        limits,
        pace,
    };
    halves.spawn(reading.run(sender, stop.clone()));
    let writing = Writing {
        env,
        is_bounded,
        writer,
        halt,
        lag,
        progress,
        gone: Vec::new(),
        stop,
        putting_away,
    };
    halves.spawn(writing.run(receiver));
    // The half that reads ends first if all goes well; whichever fails ends the other one, for nobody hears it any more.
    all(halves).await
}

/// Waits until all have ended; what failed first is told, else whether all of them came to their end.
pub(crate) async fn all(mut running: JoinSet<Result<bool, TaskError>>) -> Result<bool, TaskError> {
    let mut result = Ok(true);
    while let Some(ended) = running.join_next().await {
        let ended = ended.unwrap_or_else(|error| Err(TaskError::Panicked(error.to_string())));
        result = result.and_then(|all| ended.map(|ended| all && ended));
    }
    result
}

/// The half that reads and judges.
struct Reading {
    env: Env,
    readers: Readers,
    deployed: Arc<Deployed>,
    runs_query: bool,
    output: Option<TopicOutput>,
    progress: Arc<Progress>,
    limits: Limits,
    pace: Option<Pace>,
}

/// How long to wait for records before telling where reading stands.
const WAIT: Duration = Duration::from_secs(1);

impl Reading {
    async fn run(
        mut self,
        sender: mpsc::Sender<Ready>,
        stop: CancellationToken,
    ) -> Result<bool, TaskError> {
        loop {
            let begun = self.env.clock.now();
            let now_ms = self.env.clock.wall().ms();
            let pace = self.pace.as_ref();
            let limits = pace.map_or(self.limits, |pace| pace.limits(self.limits));
            let step = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(false),
                step = self.readers.next(limits, WAIT, now_ms, &self.progress) => step?,
            };
            let now = self.env.clock.now();
            self.progress.took(Stage::Fetch, now.since(begun));
            let mut ready = Ready::default();
            match step {
                Step::Chunks(chunks) => {
                    for chunk in chunks {
                        ready.chunks.push(self.judge(chunk)?);
                    }
                }
                Step::Nothing => {}
                Step::Done => ready.is_last = true,
            }
            ready.looked_through = self.readers.looked_through();
            ready.forgotten = self.readers.take_forgotten();
            let is_last = ready.is_last;
            if let Some(pace) = &self.pace {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(false),
                    () = pace.pass(ready.bytes()) => {}
                }
            }
            // Nobody listens if the other half has failed, and then it tells why.
            if sender.send(ready).await.is_err() || is_last {
                return Ok(is_last);
            }
        }
    }

    fn judge(&self, chunk: Chunk) -> Result<(Judged, Option<Encoded>), TaskError> {
        let begun = self.env.clock.now();
        let judged = judge(chunk, &self.deployed, self.runs_query)?;
        let after_sql = self.env.clock.now();
        self.progress.took(Stage::Sql, after_sql.since(begun));
        let output = self.output.as_ref();
        let now_ms = self.env.clock.wall().ms();
        let encoded = output
            .map(|output| output.encode(&judged.rows, now_ms))
            .transpose();
        let encoded = encoded.map_err(TaskError::Encode)?;
        self.progress
            .took(Stage::Encode, self.env.clock.now().since(after_sql));
        Ok((judged, encoded))
    }
}

/// The half that commits.
struct Writing {
    env: Env,
    is_bounded: bool,
    writer: Writer,
    halt: Option<Halt>,
    lag: LagReporter,
    progress: Arc<Progress>,
    /// Files that are gone, to be forgotten with the next commit, as another one may have such a name, or to be given up.
    gone: Vec<Kept>,
    stop: CancellationToken,
    /// What puts files away.
    putting_away: Vec<PuttingAway>,
}

impl Writing {
    async fn run(mut self, mut receiver: mpsc::Receiver<Ready>) -> Result<bool, TaskError> {
        let mut held = Ready::default();
        let mut is_done = false;
        while let Some(ready) = receiver.recv().await {
            held.chunks.extend(ready.chunks);
            self.gone.extend(ready.forgotten);
            held.is_last = ready.is_last;
            is_done = ready.is_last;
            if self.waits_for_more(&held) {
                continue;
            }
            let begun = self.env.clock.now();
            let has_chunks = !held.chunks.is_empty();
            match self.commit(std::mem::take(&mut held)).await {
                Err(TaskError::Table(TableError::GivenUp)) => return Ok(false),
                committed => committed?,
            }
            if has_chunks {
                let took = self.env.clock.now().since(begun);
                self.progress.took(Stage::Commit, took);
            }
            self.lag.report(&ready.looked_through, self.now_ms());
        }
        self.forget_what_left().await?;
        let all_are_put_away = self.all_are_put_away();
        self.lag.finish().await;
        all_are_put_away.map(|()| is_done)
    }

    /// Files that went after the last commit are forgotten, too: no other comes that could say so.
    async fn forget_what_left(&mut self) -> Result<(), TaskError> {
        if !self.gone.is_empty() {
            let now_ms = self.now_ms();
            self.writer
                .commit(Vec::new(), &self.gone, now_ms, &self.stop)
                .await?;
            self.gone.clear();
        }
        Ok(())
    }

    /// A run that ends has failed if files are still there that should have gone.
    fn all_are_put_away(&self) -> Result<(), TaskError> {
        let stayed = self.putting_away.iter().flat_map(PuttingAway::problems);
        match FileReadError::of(stayed) {
            Some(problems) if self.is_bounded => Err(ReadError::from(problems).into()),
            _ => Ok(()),
        }
    }

    /// The first records of a run that ends are held until there are enough to judge them, or all.
    fn waits_for_more(&self, held: &Ready) -> bool {
        let chunks = held.chunks.iter();
        let records = chunks.map(|(judged, _)| judged.tally.rows_in).sum();
        let halt = self.halt.as_ref();
        self.is_bounded && !held.is_last && halt.is_some_and(|halt| halt.wants_more(records))
    }

    fn now_ms(&self) -> i64 {
        self.env.clock.wall().ms()
    }

    /// Commits a batch as a whole.
    async fn commit(&mut self, mut ready: Ready) -> Result<(), TaskError> {
        if let Err(halted) = self.judge(&mut ready) {
            self.keep_dead_letters(ready).await?;
            return Err(halted.into());
        }
        if ready.chunks.is_empty() && self.gone.is_empty() {
            return Ok(());
        }
        let now_ms = self.now_ms();
        let chunks = ready.chunks.iter();
        let seen: Vec<_> = chunks
            .filter_map(|(judged, _)| judged.chunk.originals.seen(judged.chunk.newest_ms))
            .collect();
        let finished: Vec<_> = ready
            .chunks
            .iter_mut()
            .filter_map(|(judged, _)| judged.chunk.finish.take())
            .collect();
        let tally = self
            .writer
            .commit(ready.chunks, &self.gone, now_ms, &self.stop)
            .await?;
        self.gone.clear();
        self.progress.committed(&tally, now_ms);
        for (putting_away, found) in finished {
            let forgotten = putting_away.put(&found).await;
            self.gone.extend(forgotten.map(|source| (source, None)));
        }
        for (partition, next, end, newest_ms) in seen {
            self.progress.partition(partition, next, end, newest_ms);
        }
        Ok(())
    }

    /// Whether too many records are bad, this batch included.
    fn judge(&mut self, ready: &mut Ready) -> Result<(), Halted> {
        let Some(halt) = &mut self.halt else {
            return Ok(());
        };
        let mut tally = Tally::default();
        for (judged, encoded) in &mut ready.chunks {
            refuse(judged, encoded.as_ref());
            tally.rows_in += judged.tally.rows_in;
            tally.dead += judged.dead_count();
        }
        halt.judge(&tally, self.env.clock.wall().ms(), ready.is_last)
    }

    /// Of a batch that is thrown away the dead letters are kept, so that people see what was wrong.
    async fn keep_dead_letters(&mut self, ready: Ready) -> Result<(), TaskError> {
        self.writer
            .keep_dead_letters(ready.chunks, self.now_ms())
            .await
    }
}

/// Where a task writes.
#[derive(Debug)]
pub(crate) enum Writer {
    Topic(Box<TopicWriter>),
    Table(Box<TableWriter>),
}

impl Writer {
    /// What writes transactions of Kafka.
    pub(crate) fn transactions(&mut self) -> &mut TransactionWriter {
        match self {
            Self::Topic(topic) => &mut topic.writer,
            Self::Table(table) => &mut table.writer,
        }
    }

    /// Writes chunks: into a topic all in one transaction, into a table each with its own.
    async fn commit(
        &mut self,
        chunks: Vec<(Judged, Option<Encoded>)>,
        gone: &[Kept],
        now_ms: i64,
        stop: &CancellationToken,
    ) -> Result<Tally, TaskError> {
        let committed = self.try_commit(chunks, gone, now_ms, stop).await;
        self.transactions().or_abort(committed).await
    }

    async fn try_commit(
        &mut self,
        chunks: Vec<(Judged, Option<Encoded>)>,
        gone: &[Kept],
        now_ms: i64,
        stop: &CancellationToken,
    ) -> Result<Tally, TaskError> {
        let mut tally = Tally::default();
        match self {
            Self::Topic(topic) => {
                topic.writer.begin()?;
                // First, for one of the chunks may be of another file with the name of one that is gone.
                for (source, position) in gone {
                    topic
                        .writer
                        .send_position(source, position.clone(), now_ms)
                        .await?;
                }
                for (judged, encoded) in chunks {
                    let encoded = encoded.unwrap_or_default();
                    tally.add(&topic.send(judged, encoded, now_ms).await?);
                }
                topic.writer.commit().await?;
            }
            Self::Table(table) => {
                let mut read = Vec::with_capacity(chunks.len());
                for (judged, _) in chunks {
                    let chunk = &judged.chunk;
                    read.push((chunk.source.clone(), chunk.position.clone()));
                    tally.add(&table.write(judged, now_ms, stop).await?);
                }
                table.keep_positions(read, now_ms).await?;
            }
        }
        Ok(tally)
    }

    /// Keeps the dead letters of chunks that are thrown away.
    async fn keep_dead_letters(
        &mut self,
        chunks: Vec<(Judged, Option<Encoded>)>,
        now_ms: i64,
    ) -> Result<(), TaskError> {
        let kept = self.try_keep_dead_letters(chunks, now_ms).await;
        self.transactions().or_abort(kept).await
    }

    async fn try_keep_dead_letters(
        &mut self,
        chunks: Vec<(Judged, Option<Encoded>)>,
        now_ms: i64,
    ) -> Result<(), TaskError> {
        match self {
            Self::Topic(topic) => {
                topic.writer.begin()?;
                for (mut judged, encoded) in chunks {
                    refuse(&mut judged, encoded.as_ref());
                    topic.send_dead_letters(&mut judged, now_ms).await?;
                }
                topic.writer.commit().await?;
            }
            Self::Table(table) => {
                for (mut judged, _) in chunks {
                    table.keep_dead_letters(&mut judged, now_ms).await?;
                }
            }
        }
        Ok(())
    }
}

fn refuse(judged: &mut Judged, encoded: Option<&Encoded>) {
    judged.refuse(
        encoded
            .into_iter()
            .flat_map(|encoded| encoded.refused.iter().cloned()),
    );
}
