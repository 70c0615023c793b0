//! Starting and stopping the broker.

use std::net::TcpStream;

use rustix::process::Signal;

use crate::server::{Server, short_command};

#[test]
fn the_broker_says_where_it_is_and_stops_in_order_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--advertise", "broker.example:19092"]);
    let text = server.lines.concat();
    assert!(text.contains("broker.example:19092"), "{text}");
    assert!(text.contains(&data.display().to_string()), "{text}");
    TcpStream::connect(server.kafka).unwrap();
    server.signal(Signal::TERM);
    let (status, log) = server.end();
    assert!(status.success(), "{log}");
    assert!(log.contains("stopped"), "{log}");
}

#[test]
fn sigint_stops_it_too_and_the_cluster_stays_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = || {
        let server = Server::start(folder.path(), &[]);
        let line = server.lines.last().unwrap().clone();
        server.signal(Signal::INT);
        assert!(server.end().0.success());
        line
    };
    assert_eq!(cluster(), cluster());
}

#[test]
fn pages_tell_health_readiness_and_figures() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(
        server.get("/health"),
        (200, "{\"status\":\"running\"}\n".to_owned())
    );
    assert_eq!(
        server.get("/ready"),
        (200, "{\"status\":\"running\"}\n".to_owned())
    );
    let (status, page) = server.get("/metrics");
    assert_eq!(status, 200);
    for name in [
        "kafka_server_brokertopicmetrics_messagesin_total",
        "kafka_server_brokertopicmetrics_bytesin_total",
        "kafka_network_requestmetrics_requests_total{request=\"Produce\"}",
        "kafka_controller_kafkacontroller_globaltopiccount",
        "process_resident_memory_bytes",
    ] {
        assert!(
            page.lines().any(|line| line.starts_with(name)),
            "{name} is missing:\n{page}"
        );
    }
    assert!(page.ends_with("# EOF\n"));
    assert_eq!(server.get("/nothing").0, 404);
}

#[test]
fn without_http_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with_http(folder.path(), "off", &[]);
    assert_eq!(server.http, None);
}

#[test]
fn a_second_broker_on_the_same_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Server::start(folder.path(), &[]);
    let output = short_command()
        .args([
            "start",
            "--listen",
            "127.0.0.1:0",
            "--http-listen",
            "off",
            "--sql-listen",
            "off",
            "--data-dir",
        ])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains(&folder.path().display().to_string()),
        "{text}"
    );
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let properties = folder.path().join("server.properties");
    std::fs::write(&properties, "log.dirs=/tmp/kafka-logs\n").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases: [(&[&str], &str); 6] = [
        (
            &["--set", "num.partitons=3"],
            "did you mean num.partitions?",
        ),
        (
            &["--config", properties.to_str().unwrap()],
            "is a Java properties file",
        ),
        (&["--log-filter", "broker=loud"], "invalid log filter"),
        (&["--http-listen", &taken], "cannot serve HTTP on"),
        (
            &[
                "--http-listen",
                "off",
                "--listen",
                "127.0.0.1:0",
                "--sql-listen",
                &taken,
            ],
            "cannot serve SQL on",
        ),
        (&["--http-listen", "off", "--listen", &taken], &taken),
    ];
    for (arguments, expected) in cases {
        let output = short_command()
            .args(["start", "--data-dir"])
            .arg(folder.path().join("data"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        let errors: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        assert_eq!(errors.len(), 1, "{text}");
        assert!(errors[0].contains(expected), "{text}");
    }
}

#[tokio::test]
async fn logs_without_their_metadata_are_refused_and_untouched() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut client = testkit::RawClient::connect(server.kafka).await;
    testkit::requests::topic(&mut client, "t", &[]).await;
    let request = testkit::requests::produce(
        "t",
        -1,
        testkit::requests::batch(Default::default(), &["a"]),
    );
    client.call(&request, testkit::requests::PRODUCE).await;
    server.signal(Signal::TERM);
    server.end();
    let metadata = data.path().join("metadata.redb");
    for lost in [
        std::fs::remove_file(&metadata),
        std::fs::write(&metadata, b""),
    ] {
        lost.unwrap();
        let output = short_command()
            .args([
                "start",
                "--listen",
                "127.0.0.1:0",
                "--http-listen",
                "off",
                "--sql-listen",
                "off",
                "--data-dir",
            ])
            .arg(data.path())
            .output()
            .unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("metadata.redb is missing or empty"), "{said}");
        assert!(
            data.path()
                .join("logs/t-0/00000000000000000000.log")
                .exists()
        );
    }
}
