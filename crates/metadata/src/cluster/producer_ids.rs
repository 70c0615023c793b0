//! Handing out producer ids (`ProducerIdControlManager`, `ProducerIdManager`).

use std::sync::Arc;

use types::ProducerId;

use super::Cluster;
use crate::keys::{self, DamagedValue};
use crate::store::{Revision, TransactError, Transaction};

/// Ids that one transaction reserves; those not handed out when the broker stops are never used.
pub const PRODUCER_ID_BLOCK_SIZE: i64 = 1000;

/// Producer ids that nobody else hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    next: i64,
    end: i64,
}

impl ProducerIdBlock {
    pub(super) const EMPTY: Self = Self { next: 0, end: 0 };
}

impl Iterator for ProducerIdBlock {
    type Item = ProducerId;

    fn next(&mut self) -> Option<ProducerId> {
        if self.next >= self.end {
            return None;
        }
        let id = ProducerId::new(self.next);
        self.next += 1;
        id
    }
}

/// Why there is no producer id.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProducerIdError {
    /// What is stored is no number.
    #[error("the stored producer id is damaged")]
    Damaged(#[source] Arc<DamagedValue>),
    /// 2^63 ids were handed out.
    #[error("the producer ids are used up")]
    UsedUp,
    /// UNKNOWN_SERVER_ERROR(-1); the log has the cause.
    #[error("producer ids could not be reserved")]
    Store(#[from] TransactError),
}

impl Cluster {
    /// A producer id that was never handed out before. Waits for the disk once in a thousand times.
    ///
    /// # Errors
    /// See [`ProducerIdError`].
    pub async fn new_producer_id(&self) -> Result<ProducerId, ProducerIdError> {
        let mut block = self.producer_ids.lock().await;
        if let Some(id) = block.next() {
            return Ok(id);
        }
        *block = self.allocate_producer_ids().await?;
        block.next().ok_or(ProducerIdError::UsedUp)
    }

    /// Reserves a block of producer ids.
    ///
    /// # Errors
    /// See [`ProducerIdError`].
    pub async fn allocate_producer_ids(&self) -> Result<ProducerIdBlock, ProducerIdError> {
        self.transact(|_| {
            let (first, mod_revision) = match self.first_free_producer_id() {
                Ok(found) => found,
                Err(error) => return (Transaction::default(), Err(error)),
            };
            let Some(end) = first.checked_add(PRODUCER_ID_BLOCK_SIZE) else {
                return (Transaction::default(), Err(ProducerIdError::UsedUp));
            };
            let mut transaction = Transaction::default();
            transaction.expect(keys::PRODUCER_IDS, mod_revision);
            transaction.put(keys::PRODUCER_IDS, end.to_string());
            (transaction, Ok(ProducerIdBlock { next: first, end }))
        })
        .await?
    }

    fn first_free_producer_id(&self) -> Result<(i64, Option<Revision>), ProducerIdError> {
        let key = keys::PRODUCER_IDS.as_bytes();
        let (_, entries) = self.store.range(key);
        let Some(entry) = entries.into_iter().find(|entry| entry.key == key) else {
            return Ok((0, None));
        };
        let first = keys::read_number(key, &entry.value)
            .map_err(|error| ProducerIdError::Damaged(Arc::new(error)))?;
        Ok((first, Some(entry.mod_revision)))
    }
}
