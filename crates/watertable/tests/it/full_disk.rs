//! The binary on a file system of a few MiB that fills up: records are refused, readers go on, and once there is room
//! everything goes on without a restart; nothing that was acknowledged is lost.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use client::{
    BrokerAddress, ClientConfig, Cluster, Consumer, ConsumerConfig, ProducerConfig, ProducerRecord,
    TopicPartition, TransactionalProducer,
};
use protocol::ErrorCode;
use protocol::messages::ProduceRequest;
use protocol::records::{BatchIterator, BatchOptions};
use rustix::process::Signal;
use testkit::RawClient;
use testkit::requests::{CREATE, FETCH, PRODUCE, batch, create, fetch, produce, topic};

use crate::server::{Server, short_command};

const SIZE: &str = "size=16m";
const BALLAST_BYTES: usize = 8 << 20;
/// Of a record, so that few requests fill what is left.
const VALUE_BYTES: usize = 60_000;

/// A file system in memory, unmounted at the end.
pub(crate) struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts it. Only root may: as root a failure is one of the test, otherwise there is nothing to test on, and that is
    /// said.
    pub(crate) fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        if !rustix::process::geteuid().is_root() {
            eprintln!(
                "SKIPPED: a small file system can only be mounted by root; run this test as root"
            );
            return None;
        }
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "tmpfs"])
            .arg(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "root could not mount a tmpfs, which this test needs: {said}"
        );
        Some(Self { folder })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A lazy one: a broker that a failed test left may still be ending.
        Command::new("umount")
            .arg("-l")
            .arg(self.folder.path())
            .status()
            .ok();
    }
}

fn value(number: usize) -> String {
    format!("{number:0VALUE_BYTES$}")
}

async fn produced(client: &mut RawClient, number: usize) -> i16 {
    produced_value(client, &value(number)).await
}

async fn produced_value(client: &mut RawClient, value: &str) -> i16 {
    let bytes = batch(BatchOptions::default(), &[value]);
    let id = client.request(&produce("t", -1, bytes), PRODUCE).await;
    let answer = client.response::<ProduceRequest>(PRODUCE, id).await;
    answer.responses[0].partition_responses[0].error_code
}

/// The numbers of all records.
async fn numbers(client: &mut RawClient) -> Vec<usize> {
    let mut numbers = Vec::new();
    loop {
        let from = i64::try_from(numbers.len()).unwrap();
        let mut answer = client.call(&fetch("t", from, 0), FETCH).await;
        let partition = answer.responses.remove(0).partitions.remove(0);
        assert_eq!(partition.error_code, 0);
        let bytes = partition.records.unwrap().into_bytes().unwrap();
        if bytes.is_empty() {
            assert_eq!(from, partition.high_watermark);
            return numbers;
        }
        for view in BatchIterator::new(&bytes) {
            let view = view.unwrap();
            view.verify_crc().unwrap();
            for record in view.records(view.record_bytes()) {
                let value = record.unwrap().value.unwrap();
                let text = std::str::from_utf8(value).unwrap();
                numbers.push(text.parse().unwrap());
            }
        }
    }
}

/// A transaction that many batches are sent for at once goes on when there is room, in order, and is not given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_goes_on_when_there_is_room_again() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let data = disk.path("data");
    let ballast = disk.path("ballast");
    std::fs::write(&ballast, vec![1; BALLAST_BYTES]).unwrap();
    let server = Server::start(&data, &[]);
    let mut raw = RawClient::connect(server.kafka).await;
    topic(&mut raw, "t", &[("segment.bytes", "1048576")]).await;
    let address = BrokerAddress {
        host: server.kafka.ip().to_string(),
        port: server.kafka.port(),
    };
    let cluster = Cluster::new(vec![address], ClientConfig::default());
    let config = ProducerConfig {
        batch_bytes: VALUE_BYTES,
        ..ProducerConfig::default()
    };
    let timeout = Duration::from_secs(60);
    let producer = TransactionalProducer::init(cluster.clone(), "full", timeout, config).await;
    let mut producer = producer.unwrap();
    let name: Arc<str> = Arc::from("t");
    // Once, so that many batches go at once from then on.
    producer.begin().unwrap();
    let first = value(0);
    producer.send(&name, record(&first)).await.unwrap();
    producer.commit().await.unwrap();
    producer.begin().unwrap();
    for number in 1..200 {
        // In turn large and small: when a large one finds no room, the small one behind it would.
        let value = if number % 2 == 0 {
            value(number)
        } else {
            number.to_string()
        };
        producer.send(&name, record(&value)).await.unwrap();
    }
    let makes_room = async {
        testkit::eventually("the disk is full", async || {
            server.get("/metrics").1.contains("watertable_disk_full 1")
        })
        .await;
        std::fs::remove_file(&ballast).unwrap();
    };
    let (committed, ()) = tokio::join!(producer.commit(), makes_room);
    committed.unwrap();
    let mut consumer = Consumer::new(cluster, ConsumerConfig::default());
    consumer.seek(TopicPartition::new(name, 0), 0);
    let mut found = Vec::new();
    while found.len() < 200 {
        let Some(batch) = consumer.poll().await.unwrap() else {
            continue;
        };
        for record in batch.records() {
            let text = std::str::from_utf8(record.unwrap().value.unwrap()).unwrap();
            found.push(text.parse::<usize>().unwrap());
        }
    }
    assert!(found.iter().copied().eq(0..200), "{found:?}");
}

fn record(value: &str) -> ProducerRecord<'_> {
    ProducerRecord {
        value: Some(value.as_bytes()),
        ..ProducerRecord::default()
    }
}

fn check(data: &Path) {
    let output = short_command()
        .args(["check", "--data-dir"])
        .arg(data)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_file_system_refuses_records_until_there_is_room_and_loses_none() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let data = disk.path("data");
    std::fs::write(disk.path("ballast"), vec![1; BALLAST_BYTES]).unwrap();
    let mut server = Server::start(&data, &[]);
    let mut client = RawClient::connect(server.kafka).await;
    topic(&mut client, "t", &[("segment.bytes", "1048576")]).await;
    let refused: i16 = ErrorCode::KafkaStorageError.into();
    let mut acked = Vec::new();
    let mut number = 0;
    // Twice: the second time it is full, it is killed.
    for round in 0..2 {
        loop {
            let code = produced(&mut client, number).await;
            number += 1;
            if code == refused {
                break;
            }
            assert_eq!(code, 0);
            acked.push(number - 1);
            assert!(number < 1000, "16 MiB are full by now");
        }
        for _ in 0..3 {
            let code = produced(&mut client, number).await;
            number += 1;
            assert_eq!(code, refused);
        }
        // Small records still find room between the large ones that do not, and new topics may find none.
        for attempt in 0..5 {
            if produced_value(&mut client, &number.to_string()).await == 0 {
                acked.push(number);
            }
            assert_eq!(produced(&mut client, number + 1).await, refused);
            number += 2;
            let name = format!("late-{round}-{attempt}");
            client.call(&create(&name, &[]), CREATE).await;
        }
        assert_eq!(numbers(&mut client).await, acked, "consumers go on");
        if round == 0 {
            let answer = client.call(&create("late", &[]), CREATE).await;
            let before = answer.topics[0].error_code;
            std::fs::remove_file(disk.path("ballast")).unwrap();
            // Both without a restart.
            let code = produced(&mut client, number).await;
            assert_eq!(code, 0, "there is room again");
            acked.push(number);
            number += 1;
            if before != 0 {
                let answer = client.call(&create("late", &[]), CREATE).await;
                assert_eq!(answer.topics[0].error_code, 0);
            }
        }
    }
    server.signal(Signal::KILL);
    let (_, log) = server.end();
    // Each change is told once, however many requests met it.
    let lines = |part: &str| log.lines().filter(|line| line.contains(part)).count();
    assert_eq!(lines("no space left: produce"), 2, "{log}");
    assert_eq!(lines("there is space again: produce"), 1, "{log}");
    assert!(lines("no space left for the metadata") <= 2, "{log}");
    assert!(lines("space for the metadata again") <= 1, "{log}");
    check(&data);

    // Room for the start; then what was acknowledged is there, in order, and nothing twice.
    let folders = std::fs::read_dir(disk.path("data/logs")).unwrap();
    assert!(folders.count() >= 1);
    Command::new("mount")
        .args(["-o", "remount,size=32m"])
        .arg(disk.folder.path())
        .status()
        .unwrap();
    server = Server::start(&data, &[]);
    let mut client = RawClient::connect(server.kafka).await;
    assert_eq!(numbers(&mut client).await, acked);
    assert_eq!(produced(&mut client, number).await, 0);
    server.signal(Signal::TERM);
    let (status, _) = server.end();
    assert!(status.success());
    check(&data);
}
