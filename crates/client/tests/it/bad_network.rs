//! A network that cuts connections in the middle of requests and responses: nothing may be lost, doubled or reordered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::{
    Acks, Assignor, ClientConfig, Cluster, Consumer, ConsumerConfig, GroupConfig, GroupEvent,
    GroupMember, OffsetSpec, Producer, ProducerConfig, ProducerRecord, parse_addresses,
};
use testkit::{Server, ServerOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{place, read, unique};

/// Forwards to a server and cuts each connection after some bytes in either direction, differently each time.
struct Proxy {
    address: SocketAddr,
    cuts: Arc<AtomicU64>,
}

#[allow(
    clippy::disallowed_methods,
    reason = "the network runs beside the test"
)]
impl Proxy {
    async fn bind() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        (listener, address)
    }

    /// Connections live for between `bytes_min` and four times as many bytes.
    fn run(listener: TcpListener, server: SocketAddr, bytes_min: u64, seed: u64) -> Self {
        let address = listener.local_addr().expect("it is bound");
        let cuts = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&cuts);
        tokio::spawn(async move {
            let mut state = seed | 1;
            while let Ok((inner, _)) = listener.accept().await {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let budget = Arc::new(AtomicU64::new(bytes_min + state % (3 * bytes_min)));
                let Ok(outer) = TcpStream::connect(server).await else {
                    return;
                };
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    let (inner_read, inner_write) = inner.into_split();
                    let (outer_read, outer_write) = outer.into_split();
                    let there = pump(inner_read, outer_write, Arc::clone(&budget));
                    let back = pump(outer_read, inner_write, budget);
                    // The first that ends takes both down.
                    tokio::select! {
                        cut = there => { counted.fetch_add(u64::from(cut), Ordering::Relaxed); }
                        cut = back => { counted.fetch_add(u64::from(cut), Ordering::Relaxed); }
                    }
                });
            }
        });
        Self { address, cuts }
    }

    fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// Copies until either side ends or the budget is spent; true in the second case.
async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    budget: Arc<AtomicU64>,
) -> bool {
    let mut buffer = [0_u8; 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            return false;
        };
        // Taken before it is spent: both directions share the budget.
        let mut allowed = 0;
        let take = |left: u64| {
            allowed = count.min(usize::try_from(left).unwrap_or(usize::MAX));
            Some(left - allowed as u64)
        };
        let taken = budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.expect("the budget always has an answer");
        if to.write_all(&buffer[..allowed]).await.is_err() {
            return false;
        }
        if allowed < count {
            return true;
        }
    }
}

/// A server that is reached through a proxy only.
async fn behind_proxy(bytes_min: u64, seed: u64) -> (Server, Proxy, Cluster) {
    let (listener, address) = Proxy::bind().await;
    let options = ServerOptions {
        advertise: Some(address),
        ..ServerOptions::default()
    };
    let server = Server::start_with(options).await;
    let proxy = Proxy::run(listener, server.address(), bytes_min, seed);
    let addresses = parse_addresses(&proxy.address.to_string()).expect("an address");
    let config = ClientConfig {
        request_timeout: Duration::from_secs(5),
        ..ClientConfig::default()
    };
    (server, proxy, Cluster::new(addresses, config))
}

/// Writes numbers to the first partition, in small batches.
async fn produce_numbers(cluster: &Cluster, topic: &Arc<str>, count: u32, idempotent: bool) {
    let config = ProducerConfig {
        acks: Acks::All,
        idempotent,
        linger: Duration::from_millis(1),
        batch_bytes: 500,
        ..ProducerConfig::default()
    };
    let producer = Producer::new(cluster.clone(), config);
    for number in 0..count {
        let value = number.to_be_bytes();
        let record = ProducerRecord {
            partition: Some(0),
            value: Some(&value),
            ..ProducerRecord::default()
        };
        producer.send(topic, record).await.expect("there is room");
    }
    producer.flush().await.expect("all arrive in the end");
}

/// Responses that fit through before the cut.
fn small_fetches() -> ConsumerConfig {
    ConsumerConfig {
        partition_bytes_max: 1000,
        fetch_bytes_max: 1000,
        ..ConsumerConfig::default()
    }
}

fn numbers(records: &[crate::Read]) -> Vec<u32> {
    let numbers = records.iter().map(|record| {
        let value = record.value.as_deref().expect("not null");
        u32::from_be_bytes(value.try_into().expect("four bytes"))
    });
    numbers.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotent_producer_writes_each_record_once_and_in_order() {
    const COUNT: u32 = 2000;
    for seed in [3, 77, 1234] {
        let (server, proxy, cluster) = behind_proxy(3000, seed).await;
        let topic = unique("once");
        produce_numbers(&cluster, &topic, COUNT, true).await;
        assert!(proxy.cuts() > 0, "the network was too good");
        let mut consumer = Consumer::new(cluster.clone(), small_fetches());
        consumer.seek(place(&topic, 0), 0);
        let found = read(&mut consumer, COUNT as usize).await;
        assert_eq!(
            numbers(&found[&0]),
            (0..COUNT).collect::<Vec<_>>(),
            "seed {seed}"
        );
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_without_idempotence_loses_nothing_either() {
    const COUNT: u32 = 1500;
    let (server, proxy, cluster) = behind_proxy(2000, 99).await;
    let topic = unique("at-least-once");
    produce_numbers(&cluster, &topic, COUNT, false).await;
    assert!(proxy.cuts() > 0, "the network was too good");
    let mut consumer = Consumer::new(cluster.clone(), small_fetches());
    consumer.seek(place(&topic, 0), 0);
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < COUNT as usize {
        if let Some(batch) = consumer.poll().await.expect("reading works") {
            for record in batch.records() {
                let value = record.expect("well formed").value.expect("not null");
                seen.insert(u32::from_be_bytes(value.try_into().expect("four bytes")));
            }
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_member_sees_every_record_in_order() {
    const COUNT: u32 = 1500;
    let (server, proxy, cluster) = behind_proxy(3000, 5).await;
    let topic = unique("members-see");
    produce_numbers(&cluster, &topic, COUNT, true).await;
    let mut config = GroupConfig::new(unique("cut-off"));
    config.start = Some(OffsetSpec::Earliest);
    config.assignors = vec![Assignor::CooperativeSticky];
    config.auto_commit = Some(Duration::from_millis(20));
    config.heartbeat_interval = Duration::from_millis(50);
    config.consumer = small_fetches();
    let mut member = GroupMember::new(cluster.clone(), vec![Arc::clone(&topic)], config);
    let mut seen: BTreeMap<i64, u32> = BTreeMap::new();
    let mut last = -1;
    while seen.len() < COUNT as usize {
        if let GroupEvent::Batch(batch) = member.poll().await.expect("the group works") {
            for record in batch.records() {
                let record = record.expect("well formed");
                let value = record.value.expect("not null").try_into();
                seen.insert(
                    record.offset,
                    u32::from_be_bytes(value.expect("four bytes")),
                );
                assert!(record.offset > last, "{} after {last}", record.offset);
                last = record.offset;
            }
            member.processed(&batch.partition, batch.next_offset);
        }
    }
    assert!(proxy.cuts() > 0, "the network was too good");
    assert!(seen.values().copied().eq(0..COUNT));
    server.stop().await;
}
