//! [`TableWriter`]: what was judged, into a table of PostgreSQL: rows, deletions and the offset in one transaction of the database.
//!
//! Invariants: where a partition goes on is what the database says, never what the broker says, but for `delivery: at_least_once`, where
//! the database keeps nothing and the broker is told behind the rows; dead letters are durable before the rows around them are, so that
//! a crash can repeat one and never lose one; that a partition was written is kept before the first row is, and behind the claim of it,
//! so that a row of offsets that is gone is known from one that never was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::TopicPartition;
use connectors::postgres::{Batch, Delete, Kind, Place, Refusal, Sink, SinkError, SinkPartition};
use contract::Column;
use datafusion::error::DataFusionError;
use spec::{Connection, Delivery, Mode, PostgresSink};
use sql::compute::Values;
use tokio_util::sync::CancellationToken;

use super::chunk::Originals;
use super::dead_letter::Reason;
use super::judge::Judged;
use super::positions::{PartitionPosition, Source};
use super::record_key::{Keeping, LOOKED_AT, RecordKey, deletes_nothing_known};
use super::tally::Tally;
use super::topic_writer::DeadLetters;
use super::transaction::{TransactionWriter, WriteError};

/// How often rows of one batch may be refused before it is given up: each time at least one is left out.
const ATTEMPTS_MAX: usize = 100;

/// How long a write that is under way may go on once the task is told to stop. A database that stands still answers later, or never.
const GRACE: Duration = Duration::from_secs(5);

/// Why a table was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    /// Dead letters were not.
    #[error(transparent)]
    DeadLetters(#[from] WriteError),
    /// The table.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A partition that was not claimed.
    #[error("a partition was added while the table was written; it is claimed now")]
    Unclaimed,
    /// It was told to stop while the database gave no answer. What became of the batch, the next one who writes finds out.
    #[error("it was told to stop, and PostgreSQL gave no answer")]
    GivenUp,
    /// Rows are refused again and again.
    #[error(
        "the table refuses other rows of a batch each time; look at its triggers and at who else writes it"
    )]
    Refuses,
}

impl TableError {
    /// Whether another worker has taken over.
    pub(crate) fn is_fenced(&self) -> bool {
        match self {
            Self::Sink(error) => error.kind() == Kind::Fenced,
            Self::DeadLetters(WriteError::Fenced { .. }) => true,
            _ => false,
        }
    }
}

/// Writes into a table.
#[derive(Debug)]
pub(crate) struct TableWriter {
    sink: Sink,
    /// For dead letters.
    pub(crate) writer: TransactionWriter,
    dead: DeadLetters,
    partitions: BTreeMap<TopicPartition, SinkPartition>,
    /// Those of which it is kept that they were written.
    written: BTreeSet<SinkPartition>,
    /// Where to.
    database: String,
    /// The columns of the key; none if rows are only added.
    key: Vec<String>,
    /// The same as keys of records are.
    record_key: RecordKey,
    keeping: Keeping,
    /// Whether the database keeps no offsets.
    keeps_positions: bool,
}

impl TableWriter {
    pub(crate) fn new(
        sink: Sink,
        writer: TransactionWriter,
        dead: DeadLetters,
        partitions: BTreeMap<TopicPartition, SinkPartition>,
        written: BTreeSet<SinkPartition>,
        spec: &PostgresSink,
        columns: &[Column],
    ) -> Result<Self, DataFusionError> {
        let key = match &spec.mode {
            Mode::Upsert { key } => key.clone(),
            Mode::Append => Vec::new(),
        };
        Ok(Self {
            record_key: RecordKey::new(columns, &key)?,
            keeping: Keeping::default(),
            key,
            sink,
            writer,
            dead,
            partitions,
            written,
            database: database(&spec.connection),
            keeps_positions: spec.delivery == Delivery::AtLeastOnce,
        })
    }

    /// Writes what came of a chunk, unless it is told to stop and that takes too long; returns what became of it.
    pub(crate) async fn write(
        &mut self,
        mut judged: Judged,
        now_ms: i64,
        stop: &CancellationToken,
    ) -> Result<Tally, TableError> {
        let Originals::Topic {
            partition,
            from,
            to,
            ..
        } = &judged.chunk.originals
        else {
            return Err(TableError::Unclaimed);
        };
        let (from, to) = (*from, *to);
        let place = partition.clone();
        let partition = self.partitions.get(&place).copied();
        let partition = partition.ok_or(TableError::Unclaimed)?;
        let position = PartitionPosition::written(&place.topic, from, Some(&self.database));
        let written = (judged.chunk.source.clone(), position);
        self.keep_written(partition, written, now_ms).await?;
        let (deletes, records_of_deletes) = self.deletes(&mut judged);
        let mut left_out = BTreeSet::new();
        let mut kept = u64::MAX;
        for _ in 0..ATTEMPTS_MAX {
            if judged.dead_count() != kept {
                kept = judged.dead_count();
                self.keep_dead_letters(&mut judged, now_ms).await?;
            }
            let batch = Batch {
                rows: &judged.rows,
                deletes: &deletes,
                left_out: &left_out,
            };
            let written = tokio::select! {
                biased;
                written = self.sink.write(partition, from, to, &batch) => written,
                () = given_up(stop) => return Err(TableError::GivenUp),
            };
            match written {
                Ok(_written) => {
                    let all = judged.rows.num_rows() + deletes.len() - left_out.len();
                    judged.tally.rows_out = u64::try_from(all).unwrap_or(u64::MAX);
                    judged.tally.dead = judged.dead_count();
                    return Ok(judged.tally);
                }
                Err(SinkError::Refused { refused }) => {
                    for refusal in refused {
                        left_out.insert(refusal.place);
                        refuse(&mut judged, &records_of_deletes, &refusal);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(TableError::Refuses)
    }

    /// Keeps how far the task is behind rows that were written, where the database does not: a crash in between writes them again.
    pub(crate) async fn keep_positions(
        &mut self,
        read: Vec<(Source, serde_json::Value)>,
        now_ms: i64,
    ) -> Result<(), TableError> {
        if !self.keeps_positions || read.is_empty() {
            return Ok(());
        }
        self.writer.begin()?;
        for (source, position) in read {
            self.writer
                .send_position(&source, Some(position), now_ms)
                .await?;
        }
        self.writer.commit().await?;
        Ok(())
    }

    /// Keeps that a partition is written from now on, once.
    async fn keep_written(
        &mut self,
        partition: SinkPartition,
        (source, position): (Source, serde_json::Value),
        now_ms: i64,
    ) -> Result<(), TableError> {
        if self.keeps_positions || self.written.contains(&partition) {
            return Ok(());
        }
        self.writer.begin()?;
        self.writer
            .send_position(&source, Some(position), now_ms)
            .await?;
        self.writer.commit().await?;
        self.written.insert(partition);
        Ok(())
    }

    pub(crate) async fn keep_dead_letters(
        &mut self,
        judged: &mut Judged,
        now_ms: i64,
    ) -> Result<(), TableError> {
        if judged.dead_count() == 0 {
            return Ok(());
        }
        self.writer.begin()?;
        self.dead.send(&mut self.writer, judged, now_ms).await?;
        self.writer.commit().await?;
        judged.keep();
        Ok(())
    }

    /// The deletions among the rows, and the records that they are.
    fn deletes(&mut self, judged: &mut Judged) -> (Vec<Delete>, Vec<u32>) {
        if self.key.is_empty() {
            judged.leave_out_tombstones();
            return (Vec::new(), Vec::new());
        }
        let mut keys = Values::default();
        // A row whose key cannot be written is refused where it is.
        if self.keeping.wants(judged) {
            let rows = judged.rows.slice(0, judged.rows.num_rows().min(LOOKED_AT));
            let _encoded = self.record_key.encode(&rows, &mut keys, &mut Vec::new());
        }
        let passes = self.keeping.passes(judged, |row| keys.get(row));
        let tombstones = std::mem::take(&mut judged.chunk.tombstones);
        let (mut deletes, mut records) = (Vec::new(), Vec::new());
        for (record, key) in judged.chunk.originals.keys_of(&tombstones) {
            if !passes {
                judged.refuse_record(record, deletes_nothing_known());
                continue;
            }
            match texts_of_key(&key, &self.key) {
                Ok(key) => {
                    let after_rows = judged.records.partition_point(|of| *of < record);
                    deletes.push(Delete { after_rows, key });
                    records.push(record);
                }
                Err(message) => judged.refuse_record(record, Reason::new("key", message)),
            }
        }
        (deletes, records)
    }
}

/// Ends a while after it was told to.
async fn given_up(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

/// What a database is called where it is kept that it was written. It has no password.
pub(crate) fn database(connection: &Connection) -> String {
    match connection {
        Connection::Secret(name) => name.to_string(),
        Connection::Url(url) => url.clone(),
    }
}

fn refuse(judged: &mut Judged, records_of_deletes: &[u32], refusal: &Refusal) {
    let reason = Reason::new("refused", refusal.to_string());
    match refusal.place {
        Place::Row(row) => judged.refuse([(row, reason)]),
        Place::Delete(delete) => {
            if let Some(record) = records_of_deletes.get(delete) {
                judged.refuse_record(*record, reason);
            }
        }
    }
}

/// The key of a deletion as the texts of its columns: of one column the key itself, of several the members of an object.
fn texts_of_key(key: &[u8], columns: &[String]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(key);
    let text = text.map_err(|_bytes| "the key of the deletion is no text".to_owned())?;
    if columns.len() == 1 {
        return Ok(vec![text.to_owned()]);
    }
    let fault = || {
        let names = columns.join(", ");
        format!("the key of the deletion is no object of JSON with {names}")
    };
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|_error| fault())?;
    let text = |column: &String| match members.get(column)? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    };
    columns
        .iter()
        .map(|column| text(column).ok_or_else(fault))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_key_of_a_deletion_is_read_as_keys_are_written() {
        let one = texts_of_key(b"it's 5", &columns(&["id"]));
        assert_eq!(one, Ok(columns(&["it's 5"])));
        let several = texts_of_key(br#"{"b":"x","a":5}"#, &columns(&["a", "b"]));
        assert_eq!(several, Ok(columns(&["5", "x"])));
        for wrong in [&b"5"[..], br#"{"a":5}"#, br#"{"a":5,"b":null}"#, b"\xff"] {
            let read = texts_of_key(wrong, &columns(&["a", "b"]));
            assert!(read.is_err(), "{wrong:?}");
        }
    }
}
