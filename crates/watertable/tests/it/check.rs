//! `watertable check` as a person or a script runs it, on what a real broker left.

use std::path::Path;
use std::process::Output;

use protocol::records::BatchOptions;
use rustix::process::Signal;
use testkit::RawClient;
use testkit::requests::{FETCH, PRODUCE, batch, fetch, produce, topic};

use crate::server::{Server, short_command};

pub(crate) fn check(data: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = short_command()
        .args(["check", "--data-dir"])
        .arg(data)
        .args(arguments)
        .output()
        .unwrap();
    (
        status.code().unwrap(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

/// Twenty records in the topic `t`.
async fn fill(data: &Path, end: Signal) {
    let server = Server::start(data, &[]);
    let mut client = RawClient::connect(server.kafka).await;
    topic(&mut client, "t", &[]).await;
    for number in 0..20 {
        let bytes = batch(BatchOptions::default(), &[&format!("value-{number}")]);
        let answer = client.call(&produce("t", -1, bytes), PRODUCE).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    server.signal(end);
    server.end();
}

fn flip(path: &Path, index: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[index] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

const SEGMENT: &str = "logs/t-0/00000000000000000000.log";

#[tokio::test]
async fn a_whole_directory_is_clean_and_a_running_broker_keeps_the_check_away() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (status, _, err) = check(&data, &[]);
    assert_eq!(status, 2);
    assert!(err.contains("there is no directory"), "{err}");
    assert!(!data.exists());
    fill(&data, Signal::TERM).await;
    let (status, out, err) = check(&data, &[]);
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    assert!(
        out.starts_with("no damage: read 1 partition, 1 segment, 20 batches"),
        "{out}"
    );
    fill_again(&data).await;
    let (status, out, _) = check(&data, &["--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status, 0, "a crash is no damage: {out}");
    assert_eq!(report["findings"][0]["kind"], "unclean-stop");
    let server = Server::start(&data, &[]);
    let (status, _, err) = check(&data, &[]);
    assert_eq!(status, 2);
    assert!(
        err.contains("a broker is running on the data directory"),
        "{err}"
    );
    assert!(err.contains("stop the broker first"), "{err}");
    drop(server);
}

async fn fill_again(data: &Path) {
    let server = Server::start(data, &[]);
    let mut client = RawClient::connect(server.kafka).await;
    let bytes = batch(BatchOptions::default(), &["more"]);
    client.call(&produce("t", -1, bytes), PRODUCE).await;
    server.signal(Signal::KILL);
    server.end();
}

#[tokio::test]
async fn a_flipped_byte_is_told_to_readers_and_found_and_repaired() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    fill(data, Signal::TERM).await;
    let segment = data.join(SEGMENT);
    let size = std::fs::metadata(&segment).unwrap().len() as usize;
    flip(&segment, size / 2);
    let original = std::fs::read(&segment).unwrap();

    // A broker serves none of it.
    let server = Server::start(data, &[]);
    let mut client = RawClient::connect(server.kafka).await;
    let mut offset = 0;
    let damaged = loop {
        let mut answer = client.call(&fetch("t", offset, 0), FETCH).await;
        let partition = answer.responses.remove(0).partitions.remove(0);
        if partition.error_code != 0 {
            // CORRUPT_MESSAGE
            assert_eq!(partition.error_code, 2);
            break offset;
        }
        let bytes = partition.records.unwrap().into_bytes().unwrap();
        let batches = protocol::records::BatchIterator::new(&bytes);
        offset += batches.count() as i64;
        assert!(offset < 20);
    };
    let told = std::process::Command::new(env!("CARGO_BIN_EXE_watertable"))
        .args([
            "consume",
            "t",
            "--partition",
            "0",
            "--from-beginning",
            "--until-end",
            "--brokers",
        ])
        .arg(server.kafka.to_string())
        .output()
        .unwrap();
    assert!(!told.status.success());
    let words = String::from_utf8(told.stderr).unwrap();
    let place = format!("from offset {damaged} on are damaged or gone");
    assert!(words.contains(&place), "{words}");
    server.signal(Signal::TERM);
    server.end();

    let (status, out, _) = check(data, &["--json"]);
    assert_eq!(status, 1);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let finding = &report["findings"][0];
    assert_eq!(report["damage"], 1, "{out}");
    assert_eq!(finding["kind"], "damaged-tail");
    assert_eq!(finding["path"], SEGMENT);
    assert_eq!(finding["first_offset"], damaged);
    let position = finding["position"].as_u64().unwrap() as usize;
    assert!(position < size / 2 && size / 2 < finding["end_position"].as_u64().unwrap() as usize);

    // Nobody is there to say yes.
    let (status, _, err) = check(data, &["--repair"]);
    assert_eq!(status, 2);
    assert!(err.contains("--repair --yes"), "{err}");
    assert_eq!(std::fs::read(&segment).unwrap(), original);

    let (status, out, err) = check(data, &["--repair", "--yes"]);
    assert_eq!(status, 0, "{out}{err}");
    assert!(
        out.contains(&format!("cut {SEGMENT} at byte {position}")),
        "{out}"
    );
    assert_eq!(std::fs::read(&segment).unwrap(), original[..position]);
    let kept = out
        .lines()
        .find(|line| line.starts_with("kept") && line.ends_with(".cut"));
    let (_, kept) = kept.unwrap().rsplit_once(" as ").unwrap();
    assert_eq!(
        std::fs::read(data.join(kept)).unwrap(),
        original[position..]
    );

    let server = Server::start(data, &[]);
    let mut client = RawClient::connect(server.kafka).await;
    let bytes = batch(BatchOptions::default(), &["next"]);
    let answer = client.call(&produce("t", -1, bytes), PRODUCE).await;
    let answer = &answer.responses[0].partition_responses[0];
    assert_eq!((answer.error_code, answer.base_offset), (0, damaged));
    drop(server);
}

#[tokio::test]
async fn damaged_metadata_is_found_without_a_word_from_its_library() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    fill(data, Signal::TERM).await;
    let file = data.join("metadata.redb");
    let whole = std::fs::read(&file).unwrap();
    let mut found = 0;
    for part in 0..16 {
        let mut bytes = whole.clone();
        let from = part * bytes.len() / 16;
        let to = (part + 1) * bytes.len() / 16;
        bytes[from..to].fill(0x5a);
        std::fs::write(&file, &bytes).unwrap();
        let (status, out, err) = check(data, &[]);
        assert_eq!(err, "");
        if status == 1 {
            assert!(
                out.contains("damage: damaged-metadata: metadata.redb"),
                "{out}"
            );
            found += 1;
        } else {
            assert_eq!(status, 0, "{out}");
        }
        assert_eq!(std::fs::read(&file).unwrap(), bytes);
    }
    assert!(found > 0);
    std::fs::remove_file(&file).unwrap();
    let (status, out, _) = check(data, &[]);
    assert_eq!(status, 1);
    assert!(out.contains("is missing or empty"), "{out}");
}
