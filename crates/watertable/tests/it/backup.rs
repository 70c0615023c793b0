//! Backups by copying, as docs/operations.md says: of a stopped broker, of a frozen one under load, of one topic.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use protocol::messages::ProduceRequest;
use protocol::records::BatchOptions;
use rustix::process::Signal;
use testkit::RawClient;
use testkit::requests::{CREATE, PRODUCE, batch, create, produce, topic};

use crate::check::check;
use crate::crash::read_all;
use crate::server::Server;

/// As `cp -a`: everything below, as it is.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

async fn send(client: &mut RawClient, name: &str, acks: i16, value: &str) {
    let request = produce(name, acks, batch(BatchOptions::default(), &[value]));
    let id = client.request(&request, PRODUCE).await;
    let answer = client.response::<ProduceRequest>(PRODUCE, id).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

/// A folder with a data directory that has `count` records in each of two topics, and a broker on it.
async fn filled(count: usize) -> (tempfile::TempDir, PathBuf, Server, RawClient) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let mut client = RawClient::connect(server.kafka).await;
    for name in ["one", "two"] {
        topic(&mut client, name, &[("segment.bytes", "1048576")]).await;
        for number in 0..count {
            send(&mut client, name, -1, &format!("{name}-{number}")).await;
        }
    }
    (folder, data, server, client)
}

fn stop(server: Server) {
    server.signal(Signal::TERM);
    let (status, log) = server.end();
    assert!(status.success(), "{log}");
}

fn is_clean(data: &Path) {
    let (status, said, errors) = check(data, &[]);
    assert_eq!(status, 0, "{said}{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_stopped_broker_has_the_same_records_elsewhere() {
    let (folder, data, server, mut client) = filled(200).await;
    let mut before = Vec::new();
    for name in ["one", "two"] {
        before.push(read_all(&mut client, name).await);
    }
    stop(server);
    let elsewhere = folder.path().join("elsewhere/deeper");
    copy(&data, &elsewhere);
    fs::remove_dir_all(&data).unwrap();
    is_clean(&elsewhere);
    let server = Server::start(&elsewhere, &[]);
    let mut client = RawClient::connect(server.kafka).await;
    for (name, before) in ["one", "two"].iter().zip(&before) {
        assert_eq!(&read_all(&mut client, name).await, before, "{name}");
        send(&mut client, name, -1, "after").await;
        assert_eq!(read_all(&mut client, name).await.len(), before.len() + 1);
    }
}

/// Producers that send until they are told to end, and count what was acknowledged.
struct Load {
    acked: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    ended: tokio::sync::oneshot::Receiver<()>,
}

#[allow(clippy::disallowed_methods, reason = "the load runs beside the test")]
impl Load {
    fn start(address: std::net::SocketAddr, name: &'static str, acks: i16) -> Self {
        let (acked, is_over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, over) = (Arc::clone(&acked), Arc::clone(&is_over));
        let (end, ended) = tokio::sync::oneshot::channel();
        let task = async move {
            let mut client = RawClient::connect(address).await;
            let padding = "x".repeat(2000);
            while !over.load(Ordering::Acquire) {
                let number = count.load(Ordering::Acquire);
                send(&mut client, name, acks, &format!("{number} {padding}")).await;
                count.store(number + 1, Ordering::Release);
            }
            end.send(()).unwrap();
        };
        env::Env::system().spawner.spawn(Box::pin(task));
        Self {
            acked,
            is_over,
            ended,
        }
    }

    fn acked(&self) -> usize {
        self.acked.load(Ordering::Acquire)
    }

    async fn reach(&self, count: usize) {
        let reached = async {
            while self.acked() < count {
                tokio::task::yield_now().await;
            }
        };
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, reached)
            .await
            .expect("the load goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_frozen_broker_under_load_has_all_that_was_acknowledged_before() {
    let (folder, data, server, mut client) = filled(0).await;
    topic(&mut client, "cached", &[("write.caching", "true")]).await;
    let loads = [
        ("one", Load::start(server.kafka, "one", -1)),
        ("two", Load::start(server.kafka, "two", 1)),
        ("cached", Load::start(server.kafka, "cached", 1)),
    ];
    for round in 0..3 {
        for (_, load) in &loads {
            // Beyond a segment of 1 MiB, so that each copy meets others.
            load.reach((round + 1) * 300).await;
        }
        server.freeze();
        let acked: Vec<_> = loads.iter().map(|(_, load)| load.acked()).collect();
        let backup = folder.path().join(format!("backup-{round}"));
        copy(&data, &backup);
        server.signal(Signal::CONT);

        is_clean(&backup);
        let restored = Server::start(&backup, &[]);
        let mut client = RawClient::connect(restored.kafka).await;
        for ((name, _), acked) in loads.iter().zip(acked) {
            let records = read_all(&mut client, name).await;
            assert!(
                records.len() >= acked,
                "{name}: {} < {acked}",
                records.len()
            );
            for (number, (offset, value)) in records.iter().enumerate() {
                assert_eq!(*offset, number as i64);
                assert!(value.starts_with(&format!("{number} ")), "{name}");
            }
        }
        stop(restored);
    }
    // The frozen broker has noticed nothing.
    for (_, load) in loads {
        load.reach(load.acked() + 10).await;
        load.is_over.store(true, Ordering::Release);
        load.ended.await.unwrap();
    }
    stop(server);
    is_clean(&data);
}

/// A backup of two topics of 50 records each, and the directory it is of, in which both went on since.
async fn outdated_backup() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let (folder, data, server, _client) = filled(50).await;
    stop(server);
    let backup = folder.path().join("backup");
    copy(&data, &backup);
    let server = Server::start(&data, &[]);
    let mut client = RawClient::connect(server.kafka).await;
    for name in ["one", "two"] {
        for number in 50..80 {
            send(&mut client, name, -1, &format!("{name}-{number}")).await;
        }
    }
    stop(server);
    (folder, data, backup)
}

fn replace_folder(from: &Path, to: &Path) {
    fs::remove_dir_all(to).ok();
    copy(from, to);
}

async fn values(client: &mut RawClient, name: &str) -> Vec<String> {
    let records = read_all(client, name).await;
    records.into_iter().map(|(_, value)| value).collect()
}

fn expected(name: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{name}-{number}"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_topic_goes_back_to_its_backup_and_the_others_stay() {
    let (_folder, data, backup) = outdated_backup().await;
    replace_folder(&backup.join("logs/one-0"), &data.join("logs/one-0"));
    // What it says of the topic is true no more.
    fs::remove_file(data.join("checkpoint")).unwrap();
    is_clean(&data);
    let server = Server::start(&data, &[]);
    let mut client = RawClient::connect(server.kafka).await;
    assert_eq!(values(&mut client, "one").await, expected("one", 50));
    assert_eq!(values(&mut client, "two").await, expected("two", 80));
    send(&mut client, "one", -1, "one-50").await;
    assert_eq!(values(&mut client, "one").await, expected("one", 51));
    stop(server);
    is_clean(&data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_topic_comes_back_under_its_new_id() {
    let (_folder, data, backup) = outdated_backup().await;
    // The topic is gone, and somebody makes it anew: what is in the backup belongs to another id.
    let server = Server::start(&data, &[]);
    let mut client = RawClient::connect(server.kafka).await;
    let delete = protocol::messages::DeleteTopicsRequest {
        topics: vec![
            protocol::messages::delete_topics_request::DeleteTopicState {
                name: Some("one".to_owned()),
                ..Default::default()
            },
        ],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let answer = client.call(&delete, 6).await;
    assert_eq!(answer.responses[0].error_code, 0);
    let answer = client.call(&create("one", &[]), CREATE).await;
    assert_eq!(answer.topics[0].error_code, 0);
    // So that there is a folder, which names the new id.
    send(&mut client, "one", -1, "to be replaced").await;
    stop(server);

    let folder = data.join("logs/one-0");
    let id = fs::read(folder.join("partition.metadata")).unwrap();
    replace_folder(&backup.join("logs/one-0"), &folder);
    assert_ne!(fs::read(folder.join("partition.metadata")).unwrap(), id);
    fs::write(folder.join("partition.metadata"), id).unwrap();
    fs::remove_file(data.join("checkpoint")).unwrap();
    is_clean(&data);
    let server = Server::start(&data, &[]);
    let mut client = RawClient::connect(server.kafka).await;
    assert_eq!(values(&mut client, "one").await, expected("one", 50));
    assert_eq!(values(&mut client, "two").await, expected("two", 80));
    send(&mut client, "one", -1, "one-50").await;
    assert_eq!(values(&mut client, "one").await, expected("one", 51));
    stop(server);
    is_clean(&data);
}
