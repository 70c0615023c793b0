//! [`BrokerWriter`]: how SQL writes: as a client of its own broker, over the listener that all other producers use, so that
//! no check and no guarantee of the broker is passed by.
//!
//! Invariants: a record outside of a transaction goes through one idempotent producer with `acks=all`, so it is written once;
//! transactions go through transactional producers, of which there are never more than transactions at a time, and whose ids
//! are used again, so that one that a crash left open is aborted by the next that takes its id.

mod errors;
mod transaction;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::admin::{create_topics, delete_topics};
use client::{Cluster, Producer, ProducerConfig, ProducerRecord, TransactionalProducer};
use sql::{NewTopic, Record, Transaction, WriteError, Writer};
use tokio::sync::OnceCell;
use types::TopicName;

use self::transaction::{BrokerTransaction, Producers};
use crate::own_broker::{self, PATIENCE};

/// The most that a producer holds of what is not acknowledged.
const BUFFER_BYTES: usize = 4 << 20;
/// How full batches of transactions become.
const BATCH_BYTES: usize = 128 << 10;
/// How long a transaction may stay open, unless the broker wants it shorter: the most that brokers allow by default, since a
/// COPY may take its time.
const TRANSACTION: Duration = Duration::from_secs(15 * 60);

/// Writes to the topics of the broker that listens at an address of this machine.
#[derive(Debug)]
pub(crate) struct BrokerWriter {
    cluster: Cluster,
    /// For records outside of transactions, from the first on.
    producer: OnceCell<Producer>,
    producers: Arc<Producers>,
}

impl BrokerWriter {
    /// For the broker of this number that listens at `address` and takes transactions of at most so long.
    pub(crate) fn new(address: SocketAddr, node_id: i32, transaction_max: Duration) -> Self {
        let cluster = own_broker::cluster(address, "watertable-sql");
        Self {
            producers: Arc::new(Producers::new(
                cluster.clone(),
                format!("watertable-sql-{node_id}"),
                TRANSACTION.min(transaction_max),
            )),
            producer: OnceCell::new(),
            cluster,
        }
    }

    async fn producer(&self) -> &Producer {
        let start = async || {
            let config = ProducerConfig {
                // Who writes one record waits for it.
                linger: Duration::ZERO,
                ..producer_config()
            };
            Producer::new(self.cluster.clone(), config)
        };
        self.producer.get_or_init(start).await
    }
}

fn producer_config() -> ProducerConfig {
    ProducerConfig {
        batch_bytes: BATCH_BYTES,
        buffer_bytes: BUFFER_BYTES,
        delivery_timeout: PATIENCE,
        allow_auto_topic_creation: false,
        ..ProducerConfig::default()
    }
}

/// Hands a record to `send` in the form that producers want.
async fn with_borrowed<T>(record: &Record, send: impl AsyncFnOnce(ProducerRecord<'_>) -> T) -> T {
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|(key, value)| (key.as_ref(), value.as_deref()))
        .collect();
    send(ProducerRecord {
        partition: record.partition,
        timestamp_ms: record.timestamp_ms,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: &headers,
    })
    .await
}

#[async_trait]
impl Writer for BrokerWriter {
    async fn append(&self, topic: &TopicName, record: Record) -> Result<(), WriteError> {
        let producer = self.producer().await;
        let name: Arc<str> = Arc::from(topic.as_str());
        let sent = with_borrowed(&record, async |record| producer.send(&name, record).await).await;
        let delivery = sent.map_err(|error| errors::of_send(topic, error))?;
        let delivered = delivery.wait().await;
        delivered.map_err(|error| errors::of_delivery(topic, error))?;
        Ok(())
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>, WriteError> {
        let begun = BrokerTransaction::begin(&self.producers).await?;
        Ok(Box::new(begun))
    }

    async fn create_topic(&self, topic: &NewTopic) -> Result<(), WriteError> {
        let wanted = client::admin::NewTopic {
            name: topic.name.as_str().to_owned(),
            partitions: topic.partitions,
            replication_factor: None,
            configs: topic.settings.clone(),
        };
        let created = create_topics(&self.cluster, &[wanted], false).await;
        let created = created.map_err(|error| errors::of_admin("create the topic", error))?;
        match created.into_values().next() {
            Some(Err(refusal)) => Err(errors::of_creation(&topic.name, refusal)),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    async fn drop_topic(&self, name: &TopicName) -> Result<(), WriteError> {
        let deleted = delete_topics(&self.cluster, &[name.as_str().to_owned()]).await;
        let deleted = deleted.map_err(|error| errors::of_admin("delete the topic", error))?;
        match deleted.into_values().next() {
            Some(Err(refusal)) => Err(errors::of_deletion(name, refusal)),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

/// A producer of transactions.
async fn transactional(
    cluster: &Cluster,
    id: String,
    timeout: Duration,
) -> Result<TransactionalProducer, WriteError> {
    let begun = TransactionalProducer::init(cluster.clone(), id, timeout, producer_config()).await;
    begun.map_err(|error| errors::of_transaction("begin a transaction", None, error))
}
