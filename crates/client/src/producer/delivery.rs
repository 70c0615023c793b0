//! What became of a batch, told to everybody who has a record in it.
//!
//! Invariant: an outcome is set exactly once; if the batch is dropped before, it is set to [`ProduceError::Closed`].

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::ProduceError;

/// Where a record ended up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The partition.
    pub partition: i32,
    /// The offset; `None` without acknowledgement (acks=0), or when a retry found the record already there.
    pub offset: Option<i64>,
    /// When the acknowledgement arrived.
    pub acked_at: Instant,
}

/// A batch that was acknowledged.
#[derive(Clone, Debug)]
pub struct BatchReport {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset of the first record, if the broker told.
    pub base_offset: Option<i64>,
    /// How many records.
    pub records: u32,
    /// How many bytes went over the wire for it.
    pub bytes: usize,
    /// When the first record came into the batch.
    pub opened_at: Instant,
    /// When the acknowledgement arrived.
    pub acked_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct BatchDelivered {
    partition: i32,
    base_offset: Option<i64>,
    acked_at: Instant,
}

#[derive(Debug, Default)]
struct Outcome {
    result: OnceLock<Result<BatchDelivered, ProduceError>>,
    done: Notify,
}

/// The batch's side: ends every delivery of the batch.
#[derive(Debug, Default)]
pub(super) struct Completion(Arc<Outcome>);

impl Completion {
    /// The delivery of the record at `position` in the batch.
    pub(super) fn delivery(&self, position: u32) -> Delivery {
        Delivery {
            outcome: Arc::clone(&self.0),
            position,
        }
    }

    pub(super) fn succeed(&self, partition: i32, base_offset: Option<i64>, acked_at: Instant) {
        self.set(Ok(BatchDelivered {
            partition,
            base_offset,
            acked_at,
        }));
    }

    pub(super) fn fail(&self, error: ProduceError) {
        self.set(Err(error));
    }

    fn set(&self, result: Result<BatchDelivered, ProduceError>) {
        // Only the first outcome counts; the drop after it sets nothing.
        if self.0.result.set(result).is_ok() {
            self.0.done.notify_waiters();
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.set(Err(ProduceError::Closed));
    }
}

/// A record on its way.
#[derive(Debug)]
pub struct Delivery {
    outcome: Arc<Outcome>,
    position: u32,
}

impl Delivery {
    /// Waits until the record is acknowledged or given up.
    pub async fn wait(&self) -> Result<Delivered, ProduceError> {
        loop {
            let done = self.outcome.done.notified();
            if let Some(result) = self.outcome.result.get() {
                let batch = result.clone()?;
                return Ok(Delivered {
                    partition: batch.partition,
                    offset: batch
                        .base_offset
                        .map(|base| base + i64::from(self.position)),
                    acked_at: batch.acked_at,
                });
            }
            done.await;
        }
    }
}
