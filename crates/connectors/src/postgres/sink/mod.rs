//! [`Sink`]: rows and the offset behind them, written in one transaction.
//!
//! A task claims the partitions it reads and is told where each is ([`Sink::claim`]); from there on it writes batches ([`Sink::write`]). A
//! batch says from which offset to which it goes, and is in the table if and only if the row of the partition in `watertable.offsets` is at
//! its end. So a task that was killed, or whose commit got no answer, asks the database where to go on; and one that was replaced while
//! it slept can write nothing, since its epoch is not the one of the partition.
//!
//! Rows that the table refuses come back with PostgreSQL's reasons before anything is written ([`SinkError::Refused`]); the caller keeps them
//! elsewhere and writes the batch again without them ([`Batch::left_out`]). So a dead letter is durable before the rows around it. A row
//! that another one of its key replaces in the same batch need not come before the table, and then is not refused by it.
//!
//! Invariants: nothing of a batch is in the table when writing it gives an error, except that a commit without an answer may have
//! happened, which the next write of the same batch finds. With `delivery: at_least_once` there is no such row: whoever writes a batch again
//! writes its rows again.

mod batch;
mod encode;
mod error;
mod numeric;
mod offsets;
mod plan;
mod prepare;
mod probe;
mod transaction;

use std::collections::{BTreeMap, BTreeSet};

use contract::Column;
use spec::{Create, Delivery, Mode, PostgresSink};
use types::TopicId;

pub use batch::{Batch, Delete, Place, Refusal};
pub use error::SinkError;
pub use prepare::{Change, ChangeKind, Changes};
pub use transaction::Written;

use self::encode::Encoded;
use self::plan::BEGIN;
use self::transaction::Writer;
use super::connection::Address;
use super::failure::Failure;
use super::name::TableName;
use super::session::Session;

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskName {
    /// The id of the cluster that the topics are in.
    pub cluster_id: String,
    /// Environment, pipeline and sink; after a rebuild its version, too.
    pub task: String,
}

/// A partition of one life of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkPartition {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: i32,
}

impl SinkPartition {
    /// The id as PostgreSQL reads a uuid.
    fn topic_text(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.topic_id.bytes()))
    }
}

/// A table that is written.
#[derive(Debug)]
pub struct Sink {
    address: Address,
    task: TaskName,
    table: TableName,
    columns: Vec<Column>,
    key: Vec<String>,
    create: Create,
    delivery: Delivery,
    /// Our epoch of each claimed partition; 0 with `at_least_once`, where there are none.
    epochs: BTreeMap<SinkPartition, i64>,
    writer: Option<Writer>,
    doing: String,
}

impl Sink {
    /// A sink of these columns, which are those of the batches in their order. It connects, and looks at nothing yet.
    ///
    /// # Errors
    /// The address is none, or nobody answers there.
    pub async fn connect(
        connection: &str,
        spec: &PostgresSink,
        columns: &[Column],
        task: TaskName,
    ) -> Result<Self, SinkError> {
        let doing = format!("writing to {}", spec.table);
        let address = Address::parse(connection)
            .map_err(|error| Failure::trust(&doing, error.to_string()))?;
        let key = match &spec.mode {
            Mode::Upsert { key } => key.clone(),
            Mode::Append => Vec::new(),
        };
        let address = address.of(&format!("watertable: {}", task.task));
        drop(Session::open(&address).await?);
        Ok(Self {
            address,
            task,
            table: TableName::new(&spec.table),
            columns: columns.to_vec(),
            key,
            create: spec.create,
            delivery: spec.delivery,
            epochs: BTreeMap::new(),
            writer: None,
            doing,
        })
    }

    /// What [`Self::prepare`] would create; nothing is changed. Columns that the table does not have are in it, as columns to add.
    ///
    /// # Errors
    /// The table does not fit, or PostgreSQL says no.
    pub async fn describe(&self) -> Result<Changes, SinkError> {
        let session = Session::open(&self.address).await?;
        prepare::describe(self, &session).await
    }

    /// Creates what is missing, in one transaction, and looks whether all that is needed is there and allowed.
    ///
    /// Columns are added to a table that exists only with `add_columns`, which stands for somebody who saw them in [`Self::describe`].
    ///
    /// # Errors
    /// The table does not fit, rights are missing (the error has what to run), or PostgreSQL says no.
    pub async fn prepare(&mut self, add_columns: bool) -> Result<Changes, SinkError> {
        self.writer = None;
        let session = Session::open(&self.address).await?;
        let changes = prepare::prepare(self, &session, add_columns).await?;
        self.writer = Some(prepare::writer(self, session).await?);
        Ok(changes)
    }

    /// Makes this the owner of these partitions and tells where each goes on; one that the database does not know goes on at the given
    /// offset, unless it is among the `written`: those were written once, and without their row nobody knows how far. Whoever owned them
    /// before can write them no more.
    ///
    /// With `at_least_once` nobody knows, and each goes on at the given offset.
    ///
    /// # Errors
    /// PostgreSQL says no, or the row of a partition that was written is gone. Nothing is claimed, or it is and the next claim raises the
    /// epochs again.
    pub async fn claim(
        &mut self,
        first: &BTreeMap<SinkPartition, i64>,
        written: &BTreeSet<SinkPartition>,
    ) -> Result<BTreeMap<SinkPartition, i64>, SinkError> {
        if self.delivery == Delivery::AtLeastOnce {
            self.epochs
                .extend(first.keys().map(|partition| (*partition, 0)));
            return Ok(first.clone());
        }
        let doing = "claiming partitions in watertable.offsets";
        let writer = self.take_writer().await?;
        let session = &writer.session;
        session.execute(doing, BEGIN).await?;
        let mut claimed = BTreeMap::new();
        // In their order, as everybody, so that nobody waits for each other.
        for (partition, first) in first {
            let first = (!written.contains(partition)).then_some(*first);
            let stored = offsets::claim(session, doing, &self.task, *partition, first).await?;
            let stored = stored.ok_or_else(|| self.no_offsets(*partition))?;
            claimed.insert(*partition, stored);
        }
        session.execute(doing, "COMMIT").await?;
        self.writer = Some(writer);
        self.epochs.extend(
            claimed
                .iter()
                .map(|(partition, stored)| (*partition, stored.epoch)),
        );
        Ok(claimed
            .into_iter()
            .map(|(partition, stored)| (partition, stored.next))
            .collect())
    }

    /// Goes back, or ahead: partitions that are claimed go on at these offsets. For somebody who wants rows written again.
    ///
    /// # Errors
    /// PostgreSQL says no, or another owner has a partition by now. Some of them may be moved: the same again moves all.
    pub async fn rewind(
        &mut self,
        offsets: &BTreeMap<SinkPartition, i64>,
    ) -> Result<(), SinkError> {
        if self.delivery == Delivery::AtLeastOnce {
            return Ok(());
        }
        let doing = "moving partitions in watertable.offsets";
        let writer = self.take_writer().await?;
        for (partition, next) in offsets {
            let partition = *partition;
            let Some(epoch) = self.epochs.get(&partition).copied() else {
                return Err(SinkError::Batch("its partition is not claimed".to_owned()));
            };
            let put = offsets::put(
                &writer.session,
                doing,
                &self.task,
                partition,
                (*next, epoch),
            );
            if !put.await? {
                let found = offsets::read(&writer.session, doing, &self.task, partition).await?;
                let found = found.map_or(0, |stored| stored.epoch);
                let ours = epoch;
                return Err(SinkError::Fenced {
                    partition,
                    ours,
                    found,
                });
            }
        }
        self.writer = Some(writer);
        Ok(())
    }

    /// Forgets partitions; others claim them.
    pub fn release(&mut self, partitions: impl IntoIterator<Item = SinkPartition>) {
        for partition in partitions {
            self.epochs.remove(&partition);
        }
    }

    /// Writes the rows of a partition from one offset up to another, not with it, and moves the partition there.
    ///
    /// A batch that is in the table already, since its commit got no answer, is not written again; then nothing is said to be written.
    ///
    /// # Errors
    /// See [`SinkError`], and [`SinkError::kind`] for what follows. After [`SinkError::Moved`] go on from the offset that was found, after
    /// [`SinkError::Refused`] write the same batch without what was refused, after [`SinkError::Fenced`] end.
    pub async fn write(
        &mut self,
        partition: SinkPartition,
        from: i64,
        to: i64,
        batch: &Batch<'_>,
    ) -> Result<Written, SinkError> {
        let Some(epoch) = self.epochs.get(&partition).copied() else {
            return Err(SinkError::Batch("its partition is not claimed".to_owned()));
        };
        let writer = self.take_writer().await?;
        let encoded = match encode::encode(batch, &self.columns, &writer.key) {
            Ok(encoded) => encoded,
            Err(error) => {
                // Nothing was sent.
                self.writer = Some(writer);
                return Err(error);
            }
        };
        let step = Step {
            partition,
            from,
            to,
            epoch,
        };
        match self.transaction(&writer, step, &encoded).await {
            Ok(Outcome::Written(written)) => {
                self.writer = Some(writer);
                Ok(written)
            }
            Ok(Outcome::NotThere) => {
                writer.session.execute(&self.doing, "ROLLBACK").await?;
                let found =
                    offsets::read(&writer.session, &self.doing, &self.task, partition).await?;
                self.writer = Some(writer);
                self.settle(step, found)
            }
            Ok(Outcome::Unknown(failure)) => {
                drop(writer);
                self.resolve(step, failure).await
            }
            Ok(Outcome::Refused(failure)) => {
                writer.session.execute(&self.doing, "ROLLBACK").await?;
                let refused = probe::probe(&writer, &self.doing, &encoded, &failure).await?;
                self.writer = Some(writer);
                if refused.is_empty() {
                    // By itself each row is taken, this time: another transaction was in the way, or the rows only fail together.
                    return Err(failure.into());
                }
                Err(SinkError::Refused { refused })
            }
            // The session goes, and with it the transaction and everything that was prepared for a table that may be another one now.
            Err(failure) => Err(failure.into()),
        }
    }

    /// The transaction of a batch, up to its commit.
    async fn transaction(
        &self,
        writer: &Writer,
        step: Step,
        batch: &Encoded,
    ) -> Result<Outcome, Failure> {
        let (session, doing) = (&writer.session, self.doing.as_str());
        writer.begin(doing, batch).await?;
        if let Some(advance) = &writer.advance {
            let at = (step.from, step.to, step.epoch);
            // First, so that one that may not write does no work, and a new owner waits for the end of what is under way.
            if !offsets::advance(session, doing, advance, &self.task, step.partition, at).await? {
                return Ok(Outcome::NotThere);
            }
        }
        let mut written = Written::default();
        if !batch.places.is_empty() {
            let rows = batch.all();
            let applied = async {
                writer.copy(doing, batch, &rows).await?;
                writer.apply(doing, rows, batch.has_deletes).await
            };
            written = match applied.await {
                Err(failure) if failure.may_be_of_rows() => return Ok(Outcome::Refused(failure)),
                applied => applied?,
            };
        }
        match session.execute(doing, "COMMIT").await {
            Ok(()) => Ok(Outcome::Written(written)),
            Err(failure) if failure.ended_session => Ok(Outcome::Unknown(failure)),
            Err(failure) if failure.may_be_of_rows() => Ok(Outcome::Refused(failure)),
            Err(failure) => Err(failure),
        }
    }

    /// What a partition that is not where the batch begins means.
    fn settle(&mut self, step: Step, found: Option<offsets::Stored>) -> Result<Written, SinkError> {
        let partition = step.partition;
        let found = found.ok_or_else(|| self.no_offsets(partition))?;
        if found.epoch != step.epoch {
            self.epochs.remove(&partition);
            return Err(SinkError::Fenced {
                partition,
                ours: step.epoch,
                found: found.epoch,
            });
        }
        if found.next == step.to {
            // Nobody else could move it there: this batch was committed, and the answer was lost.
            return Ok(Written::default());
        }
        Err(SinkError::Moved {
            partition,
            from: step.from,
            found: found.next,
        })
    }

    fn no_offsets(&self, partition: SinkPartition) -> SinkError {
        let row = offsets::put_back(&self.task, partition);
        SinkError::NoOffsets { partition, row }
    }

    /// Whether a commit happened whose answer did not come. If that cannot be found out now, the next write of the batch finds it out.
    async fn resolve(&mut self, step: Step, failure: Failure) -> Result<Written, SinkError> {
        if self.delivery == Delivery::AtLeastOnce {
            return Err(failure.into());
        }
        let writer = self.take_writer().await?;
        let found = offsets::read(&writer.session, &self.doing, &self.task, step.partition).await?;
        self.writer = Some(writer);
        match found {
            Some(found) if found.next == step.from && found.epoch == step.epoch => {
                Err(failure.into())
            }
            found => self.settle(step, found),
        }
    }

    /// The session that writes, or a new one. It is put back when all went well.
    async fn take_writer(&mut self) -> Result<Writer, SinkError> {
        match self
            .writer
            .take()
            .filter(|writer| !writer.session.is_closed())
        {
            Some(writer) => Ok(writer),
            None => {
                let session = Session::open(&self.address).await?;
                prepare::writer(self, session).await
            }
        }
    }
}

/// Where a batch goes.
#[derive(Clone, Copy)]
struct Step {
    partition: SinkPartition,
    from: i64,
    to: i64,
    epoch: i64,
}

/// How a transaction ended.
enum Outcome {
    Written(Written),
    /// The partition is not where the batch begins, or is not ours.
    NotThere,
    /// The commit got no answer.
    Unknown(Failure),
    /// It may be rows that are not liked.
    Refused(Failure),
}
