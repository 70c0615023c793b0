//! SQL over the records of a running broker, asked with psql.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::{FindCoordinatorRequest, OffsetCommitRequest};
use rustix::process::Signal;
use testkit::{RawClient, requests};

use crate::server::Server;

pub(crate) fn psql(address: SocketAddr, sql: &str) -> Command {
    let mut psql = aligned_psql(address);
    psql.args(["--no-align", "--tuples-only", "--command", sql]);
    psql
}

/// As people have it.
pub(crate) fn aligned_psql(address: SocketAddr) -> Command {
    let mut psql = Command::new("timeout");
    psql.args(["60", "psql", "--no-psqlrc"])
        .args(["--host", &address.ip().to_string()])
        .args(["--port", &address.port().to_string()])
        .args(["--username", "tester", "--dbname", "watertable"]);
    psql
}

#[track_caller]
pub(crate) fn answer(address: SocketAddr, sql: &str) -> String {
    let output = psql(address, sql).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{sql}: {errors}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

#[track_caller]
pub(crate) fn error(address: SocketAddr, sql: &str) -> String {
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

/// Commits an offset as a group without members does.
async fn commit(client: &mut RawClient, group: &str, topic: &str, offset: i64) {
    let find = FindCoordinatorRequest {
        coordinator_keys: vec![group.to_owned()],
        ..Default::default()
    };
    let commit = OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: -1,
        retention_time_ms: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: topic.to_owned(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: offset,
                committed_leader_epoch: -1,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    testkit::eventually("the offset is committed", async || {
        client.call(&find, 4).await;
        let answer = client.call(&commit, 8).await;
        answer.topics[0].partitions[0].error_code == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_sys_shows_the_broker() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut client = RawClient::connect(server.kafka).await;
    requests::topic(&mut client, "trips", &[("retention.ms", "86400000")]).await;
    produce(&mut client, "trips", &["a", "b", "c"]).await;
    commit(&mut client, "readers", "trips", 1).await;
    let broker = answer(
        server.sql,
        "select leader from sys.partitions where topic = 'trips'",
    );
    for (sql, expected) in [
        (
            "select topic, partitions, is_internal, cleanup_policy, retention_ms, size_bytes > 0 from sys.topics where topic = 'trips'",
            "trips|1|f|delete|86400000|t",
        ),
        (
            "select partition, is_offline, log_start_offset, last_stable_offset, high_watermark, log_end_offset from sys.partitions \
             where topic = 'trips'",
            "0|f|0|3|3|3",
        ),
        (
            "select base_offset, end_offset, is_active, largest_timestamp from sys.segments where topic = 'trips'",
            "0|3|t|2023-11-14 22:13:20+00",
        ),
        (
            "select group_id, type, state, members, protocol_type is null from sys.groups",
            "readers|classic|Empty|0|t",
        ),
        (
            "select o.group_id, o.topic, o.committed_offset, o.high_watermark, o.lag, t.retention_ms from sys.group_offsets o \
             join sys.topics t using (topic)",
            "readers|trips|1|3|2|86400000",
        ),
        ("select count(*) from sys.group_members", "0"),
        (
            "select count(*) from sys.producers where topic = 'trips'",
            "0",
        ),
        ("select count(*) from sys.transactions", "0"),
        (
            "select value, source, is_default from sys.settings where resource_name = 'trips' and name = 'retention.ms'",
            "86400000|DYNAMIC_TOPIC_CONFIG|f",
        ),
        (
            // The broker's own clients are there, too.
            "select client_id, client_address, requests > 2 from sys.connections where client_id not like 'watertable-%'",
            "testkit|127.0.0.1|t",
        ),
        (
            "select state, user_name, application_name, query from sys.queries",
            "active|tester|psql|select state, user_name, application_name, query from sys.queries",
        ),
        (
            "select count(*) from sys.queries q join pg_stat_activity a on a.pid = q.process_id",
            "1",
        ),
    ] {
        assert_eq!(answer(server.sql, sql), expected, "{sql}");
    }
    let values =
        "select count(*) from sys.settings where resource_type = 'broker' and resource_name = ";
    let count: i32 = answer(server.sql, &format!("{values}'{broker}'"))
        .parse()
        .unwrap();
    assert!(count > 200, "{count}");
    let described = answer(server.sql, "\\d+ sys.group_offsets");
    assert!(
        described.contains("lag|bigint") && described.contains("that the group has not settled"),
        "{described}"
    );
    let listed = answer(server.sql, "\\dt+ sys.*");
    assert!(
        listed.contains("sys|topics|table") && listed.contains("The topics, internal ones too."),
        "{listed}"
    );
    let unknown = error(server.sql, "select * from sys.nothing");
    assert!(
        unknown.contains("relation \"sys.nothing\" does not exist"),
        "{unknown}"
    );
}
