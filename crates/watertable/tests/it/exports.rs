//! Exports while the broker is killed or stopped, and while their disk is full.

use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::Signal;
use testkit::eventually;
use testkit::s3::{ACCESS_KEY, S3};

use crate::full_disk::SmallDisk;
use crate::server::Server;
use crate::sql::{answer, psql};

/// A query that has no end.
const ENDLESS: &str = "select value, repeat('x', 1000) from generate_series(1, 1000000000000)";

/// More than 16 MiB hold.
const SORTED: &str =
    "copy (select md5(value::text) as m from generate_series(1, 3000000) order by m) to stdout";

/// The text of an error with its SQLSTATE.
fn failed(server: &Server, sql: &str) -> String {
    let mut psql = psql(server.sql, sql);
    let output = psql.args(["--set", "VERBOSITY=verbose"]).output().unwrap();
    assert!(!output.status.success(), "{sql}");
    String::from_utf8(output.stderr).unwrap()
}

/// Begins a statement that the end of the server ends.
fn begin(server: &Server, sql: &str) -> Child {
    let mut psql = psql(server.sql, sql);
    psql.stdout(Stdio::null()).stderr(Stdio::null());
    psql.spawn().unwrap()
}

fn files(folder: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        // It may be gone by now.
        (name, entry.metadata().map_or(0, |file| file.len()))
    };
    entries.map(file).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_an_export_leaves_no_file_under_its_name() {
    let (data, exports) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let arguments = ["--sql-export-dir", exports.path().to_str().unwrap()];
    let server = Server::start(data.path(), &arguments);
    let mut asking = begin(&server, &format!("copy ({ENDLESS}) to 'a.csv'"));
    eventually("some of it is written", async || {
        files(exports.path()).iter().any(|(_, bytes)| *bytes > 0)
    })
    .await;
    server.signal(Signal::KILL);
    server.end();
    asking.wait().unwrap();
    let left = files(exports.path());
    assert!(
        left.iter()
            .all(|(name, _)| name.starts_with(".export-") && name.ends_with(".part")),
        "{left:?}"
    );
    let server = Server::start(data.path(), &arguments);
    assert_eq!(
        answer(server.sql, "copy (select 1 as n) to 'a.csv'"),
        "COPY 1"
    );
    let written = std::fs::read_to_string(exports.path().join("a.csv")).unwrap();
    assert_eq!(written, "n\n1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_kill_nor_a_stop_in_the_middle_of_an_export_leaves_an_object() {
    let data = tempfile::tempdir().unwrap();
    let s3 = S3::start().await;
    let endpoint = format!("sql.export.s3.endpoint={}", s3.endpoint());
    let arguments = [
        "--set",
        "sql.export.s3.prefixes=s3://bucket",
        "--set",
        &endpoint,
    ];
    let variables = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    for signal in [Signal::KILL, Signal::TERM] {
        let server = Server::start_in(data.path(), &variables, &arguments);
        let sql = format!("copy ({ENDLESS}) to 's3://bucket/a.csv'");
        let before: usize = s3.open_uploads().iter().sum();
        let mut asking = begin(&server, &sql);
        eventually("some of it is sent", async || {
            s3.open_uploads().iter().sum::<usize>() > before
        })
        .await;
        server.signal(signal);
        server.end();
        asking.wait().unwrap();
        assert_eq!(s3.names(), Vec::<String>::new());
        // What a kill leaves is for the store's own rule; a stop leaves no more.
        assert_eq!(s3.open_uploads().len(), 1, "{signal:?}");
    }
    let server = Server::start_in(data.path(), &variables, &arguments);
    let sql = "copy (select 1 as n) to 's3://bucket/a.csv'";
    assert_eq!(answer(server.sql, sql), "COPY 1");
    assert_eq!(s3.object("a.csv").unwrap(), b"n\n1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_to_a_full_disk_says_so_and_leaves_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let folder = disk.path("exports");
    std::fs::create_dir(&folder).unwrap();
    let server = Server::start(data.path(), &["--sql-export-dir", folder.to_str().unwrap()]);
    std::fs::write(disk.path("ballast"), vec![1; 15 << 20]).unwrap();
    for name in ["a.csv", "a.ndjson", "a.parquet"] {
        // Some MB in each format.
        let rows = "select value, md5(value::text) as a, md5((value + 1)::text) as b from generate_series(1, 100000)";
        let said = failed(&server, &format!("copy ({rows}) to '{name}'"));
        assert!(said.contains("53100"), "{said}");
        assert!(
            said.contains(&format!("could not write the export \"{name}\"")),
            "{said}"
        );
        assert_eq!(files(&folder), []);
    }
    assert_eq!(
        answer(server.sql, "copy (select 1 as n) to 'a.csv'"),
        "COPY 1"
    );
    assert_eq!(files(&folder), [("a.csv".to_owned(), 4)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_finds_no_room_to_spill_says_so_and_the_broker_goes_on() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let data = disk.path("data");
    let server = Server::start(&data, &["--set", "sql.memory.max.bytes=16777216"]);
    let ballast = disk.path("ballast");
    std::fs::write(&ballast, vec![1; 8 << 20]).unwrap();
    let said = failed(&server, SORTED);
    assert!(said.contains("53100"), "{said}");
    assert!(said.contains("no room"), "{said}");
    eventually("what it put aside is gone", async || {
        let spilled = std::fs::read_dir(data.join("spill")).unwrap();
        let sizes = spilled.map(|folder| files(&folder.unwrap().path()).len());
        sizes.sum::<usize>() == 0
    })
    .await;
    let table = "create table t (n bigint)";
    assert_eq!(answer(server.sql, table), "CREATE TABLE");
    assert_eq!(
        answer(server.sql, "insert into t (n) values (1)"),
        "INSERT 0 1"
    );
    assert_eq!(answer(server.sql, "select n from t"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_spills_more_than_it_may_says_which_setting_bounds_it() {
    let data = tempfile::tempdir().unwrap();
    let bounds = [
        "sql.memory.max.bytes=16777216",
        "sql.spill.max.bytes=1048576",
    ];
    let [memory, spill] = bounds;
    let server = Server::start(data.path(), &["--set", memory, "--set", spill]);
    let said = failed(&server, SORTED);
    assert!(said.contains("53400"), "{said}");
    assert!(said.contains("sql.spill.max.bytes"), "{said}");
    assert_eq!(answer(server.sql, "select 1"), "1");
}
