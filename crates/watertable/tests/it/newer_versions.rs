//! An older binary on a directory of a newer one: it refuses, says so, and changes nothing.

use std::path::Path;

use rustix::process::Signal;
use testkit::RawClient;
use testkit::requests::topic;

use crate::server::{Server, short_command};

async fn made(data: &Path) {
    let server = Server::start(data, &[]);
    let mut client = RawClient::connect(server.kafka).await;
    topic(&mut client, "t", &[]).await;
    server.signal(Signal::TERM);
    server.end();
}

fn refused(data: &Path, arguments: &[&str]) -> String {
    let output = short_command()
        .args(arguments)
        .arg("--data-dir")
        .arg(data)
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn an_older_binary_refuses_a_newer_directory_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    made(&data).await;
    let files = [
        ("watertable.format", &b"format 2\n"[..], "format 2"),
        ("boot-count", b"1\n5\nmore\n", "version 1"),
    ];
    for (name, newer, said) in files {
        let path = data.join(name);
        let ours = std::fs::read(&path).unwrap();
        std::fs::write(&path, newer).unwrap();
        let start = [
            "start",
            "--listen",
            "127.0.0.1:0",
            "--http-listen",
            "off",
            "--sql-listen",
            "off",
        ];
        for arguments in [&start[..], &["check"]] {
            let errors = refused(&data, arguments);
            assert!(errors.contains(name), "{errors}");
            assert!(errors.contains(said), "{errors}");
            assert!(errors.contains("newer version"), "{errors}");
            assert_eq!(std::fs::read(&path).unwrap(), newer);
        }
        std::fs::write(&path, ours).unwrap();
    }
    // With its own files it starts.
    let server = Server::start(&data, &[]);
    server.signal(Signal::TERM);
    let (status, log) = server.end();
    assert!(status.success(), "{log}");
}
