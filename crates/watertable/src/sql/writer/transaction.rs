//! Transactions of SQL: [`BrokerTransaction`], and the producers that they use one after the other.
//!
//! Invariant: a producer is given back only when nothing of it is open; one whose state is not known is dropped, and the next
//! that takes its id has the broker abort what it left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::admin::describe_transaction;
use client::{Cluster, TransactionalProducer};
use parking_lot::Mutex;
use sql::{Record, Transaction, WriteError};
use tokio::runtime::Handle;
use tokio::time::Instant;
use types::TopicName;

use super::{errors, transactional, with_borrowed};

/// So many producers wait for their next transaction; each has connections of its own.
const IDLE_MAX: usize = 4;
/// How long a commit waits for readers to see it. What was committed is, whether they do or not.
const VISIBLE: Duration = Duration::from_secs(5);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(2);
/// What the coordinator calls a transaction whose end is not in all of its partitions yet.
const COMMITTING: &str = "PrepareCommit";

/// The producers of all transactions.
#[derive(Debug)]
pub(super) struct Producers {
    cluster: Cluster,
    /// What their ids begin with.
    prefix: String,
    timeout: Duration,
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<(u32, TransactionalProducer)>,
    /// Of the ids that are in use, idle ones too.
    taken: BTreeSet<u32>,
}

impl Producers {
    pub(super) fn new(cluster: Cluster, prefix: String, timeout: Duration) -> Self {
        Self {
            cluster,
            prefix,
            timeout,
            pool: Mutex::default(),
        }
    }

    fn id(&self, number: u32) -> String {
        format!("{}-{number}", self.prefix)
    }

    /// A producer, and the number that its id has.
    async fn take(self: &Arc<Self>) -> Result<Place, WriteError> {
        let number = {
            let mut pool = self.pool.lock();
            if let Some((number, producer)) = pool.idle.pop() {
                return Ok(Place::of(self, number, Some(producer)));
            }
            // The lowest that is free: one that a crash left open is met again soon.
            let free = (0..).find(|number| !pool.taken.contains(number));
            let number = free.unwrap_or_default();
            pool.taken.insert(number);
            number
        };
        let mut place = Place::of(self, number, None);
        let producer = transactional(&self.cluster, self.id(number), self.timeout).await?;
        place.producer = Some(producer);
        Ok(place)
    }

    /// Waits until a committed transaction has its end in all of its partitions, which is when readers see it.
    async fn until_visible(&self, number: u32) {
        let id = self.id(number);
        let deadline = Instant::now() + VISIBLE;
        while Instant::now() < deadline {
            match describe_transaction(&self.cluster, &id).await {
                Ok(described) if described.state == COMMITTING => tokio::time::sleep(LOOK).await,
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(%error, id, "could not see whether a transaction has ended");
                    return;
                }
            }
        }
    }
}

/// A number that is in use, and its producer unless it was lost.
#[derive(Debug)]
struct Place {
    producers: Arc<Producers>,
    number: u32,
    producer: Option<TransactionalProducer>,
}

impl Place {
    fn of(
        producers: &Arc<Producers>,
        number: u32,
        producer: Option<TransactionalProducer>,
    ) -> Self {
        Self {
            producers: Arc::clone(producers),
            number,
            producer,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut pool = self.producers.pool.lock();
        match self.producer.take() {
            Some(producer) if pool.idle.len() < IDLE_MAX => pool.idle.push((self.number, producer)),
            _ => {
                pool.taken.remove(&self.number);
            }
        }
    }
}

/// A transaction that is open.
#[derive(Debug)]
pub(super) struct BrokerTransaction {
    /// `None` once it has ended.
    place: Option<Place>,
}

impl BrokerTransaction {
    pub(super) async fn begin(producers: &Arc<Producers>) -> Result<Self, WriteError> {
        let mut place = producers.take().await?;
        if let Some(producer) = &mut place.producer
            && let Err(error) = producer.begin()
        {
            place.producer = None;
            return Err(errors::of_transaction("begin a transaction", None, error));
        }
        Ok(Self { place: Some(place) })
    }

    fn producer(&mut self) -> Result<&mut TransactionalProducer, WriteError> {
        let producer = self
            .place
            .as_mut()
            .and_then(|place| place.producer.as_mut());
        producer.ok_or_else(|| WriteError::Failed {
            attempted: "write in a transaction",
            source: "it has ended".into(),
        })
    }
}

/// Aborts, and gives the producer back if that is certain.
async fn abort(mut place: Place) {
    let Some(mut producer) = place.producer.take() else {
        return;
    };
    match producer.abort().await {
        Ok(()) => place.producer = Some(producer),
        Err(error) => {
            tracing::debug!(%error, number = place.number, "could not abort a transaction");
        }
    }
}

#[async_trait]
impl Transaction for BrokerTransaction {
    async fn append(&mut self, topic: &TopicName, records: Vec<Record>) -> Result<(), WriteError> {
        let name: Arc<str> = Arc::from(topic.as_str());
        let producer = self.producer()?;
        for record in &records {
            let sent = with_borrowed(record, async |record| producer.send(&name, record).await);
            sent.await.map_err(|error| {
                errors::of_transaction("write to the topic", Some(topic), error)
            })?;
        }
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), WriteError> {
        let Some(mut place) = self.place.take() else {
            return Ok(());
        };
        let Some(mut producer) = place.producer.take() else {
            return Ok(());
        };
        match producer.commit().await {
            Ok(()) => {
                place.producers.until_visible(place.number).await;
                place.producer = Some(producer);
                Ok(())
            }
            Err(error) => {
                let is_open = errors::is_before_the_end(&error);
                let error = errors::of_commit(error);
                if is_open {
                    place.producer = Some(producer);
                    abort(place).await;
                }
                Err(error)
            }
        }
    }

    async fn abort(mut self: Box<Self>) {
        if let Some(place) = self.place.take() {
            abort(place).await;
        }
    }
}

impl Drop for BrokerTransaction {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else {
            return;
        };
        // Nobody waits for it; without a runtime the broker ends it in time.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(abort(place));
        }
    }
}
