//! [`TopicWriter`]: what was judged, into a topic: rows, deletions, dead letters and positions in one transaction.
//!
//! Invariant: a batch counts as a whole, or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::dead_letter;
use super::judge::Judged;
use super::positions::Source;
use super::record_key::{Keeping, deletes_nothing_known};
use super::tally::Tally;
use super::topic_output::{Encoded, RowRecord};
use super::transaction::{OutRecord, TransactionWriter, WriteError};

/// Writes into a topic.
#[derive(Debug)]
pub(crate) struct TopicWriter {
    pub(crate) writer: TransactionWriter,
    topic: Arc<str>,
    dead: DeadLetters,
    /// Whether deletions are passed on.
    has_keys: bool,
    keeping: Keeping,
}

/// Where dead letters go, and whose they are.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetters {
    pub(crate) topic: Arc<str>,
    pub(crate) owner: dead_letter::Owner,
}

/// A position to be kept: where the task is in a source; nothing where it is to be forgotten.
pub(crate) type Kept = (Source, Option<serde_json::Value>);

impl TopicWriter {
    pub(crate) fn new(
        writer: TransactionWriter,
        topic: Arc<str>,
        dead: DeadLetters,
        has_keys: bool,
    ) -> Self {
        Self {
            writer,
            topic,
            dead,
            has_keys,
            keeping: Keeping::default(),
        }
    }

    /// Adds what is to be written of a chunk to the open transaction; returns what became of it.
    pub(crate) async fn send(
        &mut self,
        mut judged: Judged,
        encoded: Encoded,
        now_ms: i64,
    ) -> Result<Tally, WriteError> {
        let refused: BTreeSet<usize> = encoded.refused.iter().map(|(row, _)| *row).collect();
        judged.refuse(encoded.refused.iter().cloned());
        let deletions = self.deletions(&mut judged, &encoded);
        let mut deletions = deletions.into_iter().peekable();
        for (row, record) in judged.records.iter().enumerate() {
            while let Some((_, key)) = deletions.next_if(|(number, _)| number < record) {
                self.delete(&key).await?;
                judged.tally.rows_out += 1;
            }
            let Some(written) = encoded.get(row).filter(|_| !refused.contains(&row)) else {
                continue;
            };
            self.write(written).await?;
            judged.tally.rows_out += 1;
        }
        for (_, key) in deletions {
            self.delete(&key).await?;
            judged.tally.rows_out += 1;
        }
        self.dead
            .send(&mut self.writer, &mut judged, now_ms)
            .await?;
        let chunk = judged.chunk;
        self.writer
            .send_position(&chunk.source, Some(chunk.position), now_ms)
            .await?;
        Ok(judged.tally)
    }

    /// Adds dead letters alone, of a batch that is thrown away.
    pub(crate) async fn send_dead_letters(
        &mut self,
        judged: &mut Judged,
        now_ms: i64,
    ) -> Result<(), WriteError> {
        self.dead.send(&mut self.writer, judged, now_ms).await
    }

    /// The keys that are deleted between the rows, by their records.
    fn deletions(&mut self, judged: &mut Judged, encoded: &Encoded) -> Vec<(u32, Vec<u8>)> {
        if !self.has_keys {
            judged.leave_out_tombstones();
            return Vec::new();
        }
        let key_of = |row| encoded.get(row).and_then(|record| record.key);
        let passes = self.keeping.passes(judged, key_of);
        let deletions = judged.chunk.originals.keys_of(&judged.chunk.tombstones);
        if passes {
            return deletions;
        }
        for (record, _) in deletions {
            judged.refuse_record(record, deletes_nothing_known());
        }
        Vec::new()
    }

    async fn write(&mut self, row: RowRecord<'_>) -> Result<(), WriteError> {
        let record = OutRecord {
            key: row.key,
            value: Some(row.value),
            timestamp_ms: row.timestamp_ms,
        };
        self.writer.send(&self.topic, record).await
    }

    async fn delete(&mut self, key: &[u8]) -> Result<(), WriteError> {
        let record = OutRecord {
            key: Some(key),
            value: None,
            timestamp_ms: None,
        };
        self.writer.send(&self.topic, record).await
    }
}

impl DeadLetters {
    /// Adds the dead letters of a chunk to the open transaction.
    pub(crate) async fn send(
        &self,
        writer: &mut TransactionWriter,
        judged: &mut Judged,
        now_ms: i64,
    ) -> Result<(), WriteError> {
        for letter in judged.dead_letters() {
            let (key, value) = (
                letter.key(&self.owner),
                letter.value(&self.owner, 1, now_ms),
            );
            let record = OutRecord {
                key: Some(&key),
                value: Some(&value),
                timestamp_ms: None,
            };
            writer.send(&self.topic, record).await?;
        }
        Ok(())
    }
}
