//! The client against a real server: ours in this process, or the one that `WATERTABLE_TEST_BROKERS` names, such as
//! Apache Kafka (`cargo xtask kafka start`).

mod admin;
mod bad_network;
mod failures;
mod groups;
mod produce_consume;
mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;

use client::admin::{NewTopic, create_topics};
use client::{
    ClientConfig, Cluster, Consumer, ConsumerConfig, OffsetSpec, TopicPartition, parse_addresses,
};
use testkit::{Server, eventually};

/// A server to test against.
struct Target {
    cluster: Cluster,
    server: Option<Server>,
}

impl Target {
    async fn start() -> Self {
        let (addresses, server) = match std::env::var("WATERTABLE_TEST_BROKERS") {
            Ok(brokers) => (parse_addresses(&brokers).expect("addresses"), None),
            Err(_) => {
                let server = Server::start().await;
                let address = server.address().to_string();
                (parse_addresses(&address).expect("an address"), Some(server))
            }
        };
        let cluster = Cluster::new(addresses, ClientConfig::default());
        Self { cluster, server }
    }

    async fn stop(self) {
        if let Some(server) = self.server {
            server.stop().await;
        }
    }

    /// A new topic with a name of its own.
    async fn topic(&self, prefix: &str, partitions: i32) -> Arc<str> {
        self.topic_with(prefix, partitions, &[]).await
    }

    async fn topic_with(
        &self,
        prefix: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Arc<str> {
        let name = unique(prefix);
        let configs = configs.iter();
        let topic = NewTopic {
            name: name.as_ref().to_owned(),
            partitions: Some(partitions),
            replication_factor: Some(1),
            configs: configs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let results = create_topics(&self.cluster, &[topic], false).await;
        for (name, result) in results.expect("the broker answers") {
            result.unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        }
        eventually("the topic gets its leaders", async || {
            let topic = self.cluster.refresh_topic(&name, false).await;
            topic.is_ok_and(|topic| {
                topic.partition_count() == partitions.cast_unsigned()
                    && topic.partitions.iter().all(|p| p.leader.is_some())
            })
        })
        .await;
        name
    }
}

/// A name nobody else has: the server may be shared and live on.
fn unique(prefix: &str) -> Arc<str> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Arc::from(format!(
        "{prefix}-{}-{}-{number}",
        client::now_ms(),
        std::process::id()
    ))
}

type OwnedHeaders = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// A record with everything it came with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Read {
    offset: i64,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
}

/// Everything in a topic, by partition, once it has `count` records.
async fn read_all(cluster: &Cluster, topic: &Arc<str>, count: usize) -> BTreeMap<i32, Vec<Read>> {
    let mut consumer = Consumer::new(cluster.clone(), ConsumerConfig::default());
    let topics = [Arc::clone(topic)];
    let assigned = consumer.assign_topics(&topics, OffsetSpec::Earliest).await;
    assigned.expect("the topic exists");
    read(&mut consumer, count).await
}

async fn read(consumer: &mut Consumer, count: usize) -> BTreeMap<i32, Vec<Read>> {
    let mut found: BTreeMap<i32, Vec<Read>> = BTreeMap::new();
    let mut total = 0;
    let reading = async {
        while total < count {
            let Some(batch) = consumer.poll().await.expect("reading works") else {
                continue;
            };
            for record in batch.records() {
                let record = record.expect("the batch is well formed");
                let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                let headers = record.headers;
                found
                    .entry(batch.partition.partition)
                    .or_default()
                    .push(Read {
                        offset: record.offset,
                        timestamp_ms: record.timestamp_ms,
                        key: own(record.key),
                        value: own(record.value),
                        headers: headers
                            .map(|(name, value)| (name.to_vec(), own(value)))
                            .collect(),
                    });
                total += 1;
            }
        }
    };
    let done = tokio::time::timeout(testkit::DEADLINE, reading).await;
    assert!(done.is_ok(), "only {total} of {count} records came");
    found
}

fn place(topic: &Arc<str>, partition: i32) -> TopicPartition {
    TopicPartition::new(Arc::clone(topic), partition)
}
