//! SQL over the records of a running broker, asked with psql.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use testkit::{RawClient, requests};

use crate::server::Server;

fn psql(address: SocketAddr, sql: &str) -> Command {
    let mut psql = Command::new("timeout");
    psql.args(["60", "psql", "--no-psqlrc", "--no-align", "--tuples-only"])
        .args(["--host", &address.ip().to_string()])
        .args(["--port", &address.port().to_string()])
        .args(["--username", "tester", "--dbname", "watertable"])
        .args(["--command", sql]);
    psql
}

#[track_caller]
fn answer(address: SocketAddr, sql: &str) -> String {
    let output = psql(address, sql).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{sql}: {errors}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

#[track_caller]
fn error(address: SocketAddr, sql: &str) -> String {
    let output = psql(address, sql).output().unwrap();
    assert!(!output.status.success(), "{sql}");
    String::from_utf8(output.stderr).unwrap()
}

async fn produce(client: &mut RawClient, topic: &str, values: &[&str]) {
    let batch = requests::batch(Default::default(), values);
    let request = requests::produce(topic, -1, batch);
    client.call(&request, requests::PRODUCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_tables_while_they_are_written_and_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut client = RawClient::connect(server.kafka).await;
    requests::topic(&mut client, "trips", &[]).await;
    produce(&mut client, "trips", &[r#"{"km": 3}"#, r#"{"km": 40}"#]).await;
    let sum =
        "select _partition, max(_offset), sum((_value->'km')::int) from trips group by _partition";
    assert_eq!(answer(server.sql, sum), "0|1|43");
    produce(&mut client, "trips", &[r#"{"km": 57}"#]).await;
    assert_eq!(answer(server.sql, sum), "0|2|100");
    let unknown = error(server.sql, "select * from tripz");
    assert!(
        unknown.contains("relation \"tripz\" does not exist"),
        "{unknown}"
    );
    assert!(
        unknown.contains("HINT:  Perhaps you meant trips."),
        "{unknown}"
    );

    server.signal(Signal::KILL);
    server.end();
    // What a query of the killed broker put aside.
    std::fs::write(data.path().join("spill/left"), "x").unwrap();
    let server = Server::start(data.path(), &[]);
    assert!(!data.path().join("spill/left").exists());
    assert_eq!(answer(server.sql, sum), "0|2|100");
}

#[test]
fn a_stop_ends_statements_and_tells_their_clients() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let endless = "copy (select value from generate_series(1, 1000000000000)) to stdout";
    let mut asking = psql(server.sql, endless)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rows = asking.stdout.take().unwrap();
    let mut first = [0; 2];
    rows.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"1\n");
    server.signal(Signal::TERM);
    std::io::copy(&mut rows, &mut std::io::sink()).unwrap();
    let output = asking.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("terminating connection"), "{said}");
    assert!(server.end().0.success());
}
