//! `watertable sql --follow`: each row once, none passed over, whatever transactions do meanwhile.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use client::{ClientConfig, Cluster, ProducerConfig, ProducerRecord, TransactionalProducer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::server::{Server, command, short_command};

const PATIENCE: Duration = Duration::from_secs(60);

/// A query that is followed.
struct Followed {
    process: Child,
    lines: Receiver<String>,
}

impl Followed {
    fn start(server: &Server, arguments: &[&str]) -> Self {
        let mut process = command()
            .args([
                "sql",
                "--server",
                &server.sql.to_string(),
                "--format",
                "ndjson",
                "--follow",
            ])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        let read = move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().spawn(read).unwrap();
        Self { process, lines }
    }

    #[track_caller]
    fn row(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("a row in time");
        serde_json::from_str(&line).unwrap()
    }

    /// Ends it with Ctrl-C; what it said.
    fn stop(self) -> String {
        kill_process(Pid::from_child(&self.process), Signal::INT).unwrap();
        let output = self.process.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said
    }
}

fn watertable(server: &Server, arguments: &[&str]) -> String {
    let output = short_command()
        .args(arguments)
        .args(["--brokers", &server.kafka.to_string()])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

async fn producer(server: &Server, id: &str) -> TransactionalProducer {
    let address = client::parse_addresses(&server.kafka.to_string()).unwrap();
    let cluster = Cluster::new(address, ClientConfig::default());
    let config = ProducerConfig::default();
    TransactionalProducer::init(cluster, id, Duration::from_secs(60), config)
        .await
        .unwrap()
}

async fn send(producer: &mut TransactionalProducer, partition: i32, value: &str) {
    let topic: Arc<str> = "trips".into();
    let record = ProducerRecord {
        partition: Some(partition),
        value: Some(value.as_bytes()),
        ..ProducerRecord::default()
    };
    let sent = producer.send(&topic, record).await.unwrap();
    sent.wait().await.unwrap();
}

/// A transaction of these values in all partitions.
async fn transaction(producer: &mut TransactionalProducer, values: &[String], commits: bool) {
    producer.begin().unwrap();
    for partition in 0..3 {
        for value in values {
            send(producer, partition, value).await;
        }
    }
    if commits {
        producer.commit().await.unwrap();
    } else {
        producer.abort().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_comes_once_in_the_order_of_its_partition() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    watertable(&server, &["topic", "create", "trips", "--partitions", "3"]);
    let (mut one, mut other) = (
        producer(&server, "one").await,
        producer(&server, "other").await,
    );
    transaction(&mut one, &["before".to_owned()], true).await;

    let query = "SELECT _partition, _offset, _value FROM trips WHERE _value <> 'passed over'";
    let followed = Followed::start(&server, &["--from", "beginning", query]);
    // One transaction stays open over several others, in one partition, and so holds back what is behind it there.
    for round in 0..12 {
        let is_long = round % 4 == 1;
        if is_long {
            other.begin().unwrap();
            send(&mut other, 1, &format!("long {round}")).await;
        }
        let values = [
            format!("{round} a"),
            "passed over".to_owned(),
            format!("{round} b"),
        ];
        transaction(&mut one, &values, round % 3 != 0).await;
        if is_long {
            send(&mut other, 1, &format!("long {round} again")).await;
        }
        if round % 4 == 3 {
            if round == 7 {
                other.abort().await.unwrap();
            } else {
                other.commit().await.unwrap();
            }
        }
    }
    transaction(&mut one, &["last".to_owned()], true).await;

    let mut by_partition: BTreeMap<i64, Vec<(i64, String)>> = BTreeMap::new();
    let mut lasts = 0;
    while lasts < 3 {
        let row = followed.row();
        let value = row["_value"].as_str().unwrap().to_owned();
        lasts += usize::from(value == "last");
        let rows = by_partition
            .entry(row["_partition"].as_i64().unwrap())
            .or_default();
        rows.push((row["_offset"].as_i64().unwrap(), value));
    }
    assert_eq!(followed.stop(), "");
    for (partition, rows) in &by_partition {
        assert!(
            rows.is_sorted_by(|one, next| one.0 < next.0),
            "{partition}: {rows:?}"
        );
        let values: Vec<&str> = rows.iter().map(|(_, value)| value.as_str()).collect();
        let mut expected = vec!["before".to_owned()];
        for round in 0..12 {
            if partition == &1 && [1, 9].contains(&round) {
                expected.push(format!("long {round}"));
            }
            if round % 3 != 0 {
                expected.extend([format!("{round} a"), format!("{round} b")]);
            }
            if partition == &1 && [1, 9].contains(&round) {
                expected.push(format!("long {round} again"));
            }
        }
        expected.push("last".to_owned());
        assert_eq!(values, expected, "partition {partition}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_now_on_means_the_next_record() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    watertable(&server, &["topic", "create", "trips", "--partitions", "3"]);
    let mut one = producer(&server, "one").await;
    transaction(&mut one, &["old".to_owned()], true).await;
    let followed = Followed::start(&server, &["SELECT _offset, _value FROM trips"]);
    // Until it has begun, nobody knows what is new.
    let mut first = None;
    for number in 0.. {
        transaction(&mut one, &[format!("new {number}")], true).await;
        if let Ok(line) = followed.lines.recv_timeout(Duration::from_millis(200)) {
            first = Some(line);
            break;
        }
        assert!(number < 200, "nothing is printed");
    }
    assert!(first.unwrap().contains("\"new "));
    transaction(&mut one, &["end".to_owned()], true).await;
    let mut ends = 0;
    while ends < 3 {
        let row = followed.row();
        assert_ne!(row["_value"], "old");
        ends += usize::from(row["_value"] == "end");
    }
    // A partition that is added is read from its start.
    watertable(&server, &["topic", "alter", "trips", "--partitions", "4"]);
    one = producer(&server, "one").await;
    one.begin().unwrap();
    send(&mut one, 3, "added").await;
    one.commit().await.unwrap();
    let row = followed.row();
    assert_eq!(
        (&row["_value"], &row["_offset"]),
        (&"added".into(), &0.into())
    );
    followed.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_and_what_was_made_anew_is_told() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    watertable(&server, &["topic", "create", "trips", "--partitions", "1"]);
    let mut one = producer(&server, "one").await;
    let send_one = async |one: &mut TransactionalProducer, value: &str| {
        one.begin().unwrap();
        send(one, 0, value).await;
        one.commit().await.unwrap();
    };
    for number in 0..5 {
        send_one(&mut one, &number.to_string()).await;
    }
    let followed = Followed::start(
        &server,
        &["--from", "beginning", "SELECT _value FROM trips"],
    );
    for number in 0..5 {
        assert_eq!(followed.row()["_value"], number.to_string());
    }
    watertable(&server, &["topic", "delete", "trips"]);
    watertable(&server, &["topic", "create", "trips", "--partitions", "1"]);
    one = producer(&server, "one").await;
    send_one(&mut one, "anew").await;
    let mut said = None;
    while said.is_none() {
        match followed.lines.recv_timeout(PATIENCE) {
            Ok(line) if line.contains("anew") => said = Some(()),
            Ok(line) => panic!("{line}"),
            Err(_) => break,
        }
    }
    // In between there was no such topic, which ends it, or there was not when it looked.
    let output = match said {
        Some(()) => followed.stop(),
        None => String::from_utf8(followed.process.wait_with_output().unwrap().stderr).unwrap(),
    };
    let is_told = output.contains("was made anew") || output.contains("does not exist");
    assert!(is_told, "{output}");
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    watertable(&server, &["topic", "create", "trips"]);
    for (query, expected) in [
        ("SELECT count(*) FROM trips", "an aggregate"),
        ("SELECT * FROM trips ORDER BY 1", "ORDER BY"),
        // One that the prompt does not know is found by the server.
        ("SELECT regr_count(_offset, _offset) FROM trips", "ERROR:"),
        ("SELECT * FROM tripz", "relation \"tripz\" does not exist"),
        ("SELECT nothing FROM trips", "nothing"),
        ("SELECT * FROM information_schema.tables", "ERROR:"),
    ] {
        let output = short_command()
            .args([
                "sql",
                "--server",
                &server.sql.to_string(),
                "--follow",
                query,
            ])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{query}: {said}");
        assert!(said.contains(expected), "{query}: {said}");
    }
}
