//! [`Writes`]: what a session has written since the last commit.
//!
//! Invariant: it counts as a whole or not at all. A single record does so by itself, so that one costs no transaction: it is
//! kept back until either a second one comes or the commit does.

use std::sync::Arc;

use types::TopicName;

use super::{Record, Transaction, WriteError, Writer};

/// Records that wait for their commit.
#[derive(Debug)]
pub(crate) struct Writes {
    writer: Arc<dyn Writer>,
    /// The only one so far.
    first: Option<(TopicName, Record)>,
    transaction: Option<Box<dyn Transaction>>,
    count: u64,
}

impl Writes {
    pub(crate) fn new(writer: Arc<dyn Writer>) -> Self {
        Self {
            writer,
            first: None,
            transaction: None,
            count: 0,
        }
    }

    /// How many records.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Whether a transaction is open, behind which readers wait.
    pub(crate) fn is_open(&self) -> bool {
        self.transaction.is_some()
    }

    /// Takes records. After an error, or when this is given up midway, there is nothing left but to abort.
    pub(crate) async fn append(
        &mut self,
        topic: &TopicName,
        mut records: Vec<Record>,
    ) -> Result<(), WriteError> {
        if records.is_empty() {
            return Ok(());
        }
        self.count += records.len() as u64;
        let transaction = match &mut self.transaction {
            Some(transaction) => transaction,
            None if self.first.is_none() && records.len() == 1 => {
                self.first = records.pop().map(|record| (topic.clone(), record));
                return Ok(());
            }
            none => none.insert(self.writer.begin().await?),
        };
        if let Some((topic, record)) = self.first.take() {
            transaction.append(&topic, vec![record]).await?;
        }
        transaction.append(topic, records).await
    }

    /// Has all of it count.
    pub(crate) async fn commit(self) -> Result<(), WriteError> {
        match (self.transaction, self.first) {
            (Some(transaction), _) => transaction.commit().await,
            (None, Some((topic, record))) => self.writer.append(&topic, record).await,
            (None, None) => Ok(()),
        }
    }

    /// Has none of it count.
    pub(crate) async fn abort(self) {
        if let Some(transaction) = self.transaction {
            transaction.abort().await;
        }
    }
}
