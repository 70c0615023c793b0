//! Bad input and databases in trouble: what a pipeline says, that nothing is lost, and that it goes on by itself once it is mended. A test
//! for each row of docs/pipelines/troubles.md.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use pipeline::control::{Run, RunState};
use pipeline::runner::Worker;
use pipeline::runner::progress::Stage;
use testkit::postgres::{Database, Server, role};

use super::desk::Desk;
use super::{create, produce};

const TO_TABLE: &str = "\
format: 1
pipeline: load
run: { continuous: true, retry: { backoff: 100ms..300ms } }
from:
  people:
    topic: { name: people }
    columns: { id: bigint not null, name: text }
sql: SELECT id, name FROM people
to:
  postgres: { connection: \"secret:pg\", table: people, mode: MODE, batch: { every: 10ms } }
";
const IDS: &str = "SELECT string_agg(id::text, ',' ORDER BY id) FROM people";

/// A topic that goes into a table.
struct Load {
    desk: Desk,
    database: Database,
    worker: Worker,
    sent: u32,
}

impl Load {
    async fn start(database: Database, mode: &str) -> Self {
        let desk = Desk::start().await;
        create(desk.cluster(), "people", 1, false).await;
        desk.database(&database);
        desk.deploy(&TO_TABLE.replace("MODE", mode)).await;
        let worker = desk.worker();
        Self {
            desk,
            database,
            worker,
            sent: 0,
        }
    }

    async fn shared() -> Self {
        Self::start(Database::new().await, "upsert, key: id").await
    }

    /// Sends another one.
    async fn send(&mut self) {
        self.sent += 1;
        let value = format!(r#"{{"id":{},"name":"n"}}"#, self.sent);
        produce(self.desk.cluster(), "people", &[(None, Some(&value))]).await;
    }

    /// Waits until these are in the table.
    async fn rows(&self, expected: &str) {
        self.found(IDS, expected).await;
    }

    async fn found(&self, sql: &str, expected: &str) {
        let mut found = Vec::new();
        let waited = tokio::time::timeout(testkit::DEADLINE, async {
            while found != [expected] {
                found = self.database.rows(sql).await;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        assert!(waited.await.is_ok(), "{found:?} is not {expected:?}");
    }

    /// Waits until it is said what is wrong.
    async fn told(&self, expected: &str) {
        let run = self.desk.told("load", expected).await;
        assert_eq!(run.state, RunState::Failed);
    }

    /// Waits until so many attempts have said what is wrong.
    async fn told_often(&self, expected: &str, attempts: usize) {
        testkit::eventually("it is said again and again", async || {
            let runs = self.desk.runs("load").await;
            let says = |run: &&Run| {
                let error = run.error.as_ref();
                run.state == RunState::Failed && error.is_some_and(|error| error.contains(expected))
            };
            runs.iter().filter(says).count() >= attempts
        })
        .await;
    }

    async fn stop(self) {
        self.desk.stop(self.worker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_reached_is_waited_for() {
    let server = Server::own(&[]).await;
    let mut load = Load::start(Database::of(server).await, "upsert, key: id").await;
    load.send().await;
    load.rows("1").await;
    load.database.server.kill();
    load.send().await;
    load.told("connect").await;
    load.database.server.start_again().await;
    load.rows("1,2").await;
    load.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_taken_away_hold_it_until_they_are_given_back() {
    let mut load = Load::shared().await;
    let role = role(&load.database).await;
    let grants = format!(
        "GRANT ALL ON SCHEMA watertable TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA watertable TO {role};
        GRANT SELECT, INSERT, UPDATE, DELETE ON people TO {role}"
    );
    load.database.run(&grants).await;
    load.desk.secret("pg", &load.database.address_of(&role));
    load.worker.stop().await;
    load.worker = load.desk.worker();
    load.send().await;
    load.rows("1").await;
    load.database
        .run(&format!("REVOKE INSERT ON people FROM {role}"))
        .await;
    load.send().await;
    load.told("permission denied for table people").await;
    load.database.run(&grants).await;
    load.rows("1,2").await;
    load.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_dropped_is_waited_for() {
    let mut load = Load::shared().await;
    load.send().await;
    load.rows("1").await;
    load.database
        .run("ALTER TABLE people DROP COLUMN name")
        .await;
    load.send().await;
    load.told("name").await;
    load.database
        .run("ALTER TABLE people ADD COLUMN name text")
        .await;
    load.rows("1,2").await;
    load.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_dropped_is_waited_for() {
    let mut load = Load::shared().await;
    load.send().await;
    load.rows("1").await;
    load.database.run("DROP TABLE people").await;
    load.send().await;
    load.told(
        "the table people is gone, and rows had been written to it; make it again: CREATE TABLE",
    )
    .await;
    load.database
        .run("CREATE TABLE people (id bigint PRIMARY KEY, name text)")
        .await;
    // What was in the table before went with it; what came since is there.
    load.rows("2").await;
    load.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_are_gone_are_waited_for_and_nothing_is_written_again() {
    let mut load = Load::start(Database::new().await, "append").await;
    load.send().await;
    load.send().await;
    load.rows("1,2").await;
    // The row of the partition.
    load.database
        .run("CREATE TABLE copy AS TABLE watertable.offsets; DELETE FROM watertable.offsets")
        .await;
    load.send().await;
    load.told_often("the row of partition 0 is gone from watertable.offsets", 3)
        .await;
    load.rows("1,2").await;
    load.database
        .run("INSERT INTO watertable.offsets TABLE copy")
        .await;
    load.rows("1,2,3").await;
    // The table that it is in; also for a worker that has just begun.
    load.worker.stop().await;
    load.database
        .run("ALTER TABLE watertable.offsets RENAME TO elsewhere")
        .await;
    load.worker = load.desk.worker();
    load.send().await;
    load.told_often("the table watertable.offsets is gone", 2)
        .await;
    load.rows("1,2,3").await;
    load.database
        .run("ALTER TABLE watertable.elsewhere RENAME TO offsets")
        .await;
    load.rows("1,2,3,4").await;
    load.stop().await;
}

/// A process that stands still, and goes on in the end.
struct Still(String);

impl Still {
    fn of(pid: &str) -> Self {
        testkit::postgres::run(std::process::Command::new("kill").args(["-STOP", pid]));
        Self(pid.to_owned())
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        let mut go_on = std::process::Command::new("kill");
        drop(go_on.args(["-CONT", &self.0]).status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stands_still_does_not_keep_a_pipeline_from_stopping() {
    let server = Server::own(&[]).await;
    let mut load = Load::start(Database::of(server).await, "append").await;
    load.send().await;
    load.rows("1").await;
    let writer = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'watertable: %' AND query LIKE 'COMMIT%'";
    let mut pids = Vec::new();
    testkit::eventually("it waits for more", async || {
        pids = load.database.rows(writer).await;
        pids.len() == 1
    })
    .await;
    let judging = || {
        let statuses = load.worker.statuses().all();
        let status = statuses.first();
        status.and_then(|status| status.stages().get(&Stage::Sql).copied())
    };
    let judged = judging();
    let still = Still::of(&pids[0]);
    let value = r#"{"id":2,"name":"n"}"#;
    produce(load.desk.cluster(), "people", &[(None, Some(value))]).await;
    testkit::eventually("the batch is on its way", async || judging() > judged).await;
    let stopped = tokio::time::timeout(testkit::DEADLINE, load.worker.stop()).await;
    assert!(stopped.is_ok(), "it does not stop");
    drop(still);
    load.worker = load.desk.worker();
    load.rows("1,2").await;
    load.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_there_twice_are_dead_letters_where_rows_are_added() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE people (id bigint PRIMARY KEY, name text)")
        .await;
    let mut load = Load::start(database, "append").await;
    load.send().await;
    load.sent = 0;
    load.send().await;
    load.send().await;
    load.rows("1,2").await;
    let messages = load.desk.dead("load", "message").await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(
        messages[0].contains("duplicate key value violates unique constraint \"people_pkey\""),
        "{messages:?}"
    );
    load.stop().await;
}

const FROM_TABLE: &str = "\
format: 1
pipeline: users
run: { every: 1s, retry: { times: 2, backoff: 100ms..300ms } }
from:
  users:
    postgres: { connection: \"secret:pg\", table: users, incremental: { cursor: updated_at } }
sql: SELECT id, name FROM users
to:
  topic: { name: users.clean, key: id }
";

/// What is done to a table that is read, what is said then, and how it is mended.
async fn source_in_trouble(breaks: &str, says: &str, mends: &str) {
    let desk = Desk::start().await;
    let database = Database::new().await;
    desk.database(&database);
    database
        .run("CREATE TABLE users (id bigint PRIMARY KEY, name text, updated_at timestamptz NOT NULL DEFAULT now());
            INSERT INTO users VALUES (1, 'a')")
        .await;
    desk.deploy(FROM_TABLE).await;
    let worker = desk.worker();
    desk.all_values("users.clean", 1).await;
    database.run(breaks).await;
    desk.told("users", says).await;
    database.run(mends).await;
    database
        .run("INSERT INTO users (id, name) VALUES (2, 'b')")
        .await;
    testkit::eventually("it goes on", async || {
        desk.values("users.clean")
            .await
            .iter()
            .any(|value| value.contains("\"b\""))
    })
    .await;
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_read_is_waited_for_with_its_columns() {
    source_in_trouble(
        "ALTER TABLE users RENAME COLUMN name TO called",
        "name",
        "ALTER TABLE users RENAME COLUMN called TO name",
    )
    .await;
    source_in_trouble(
        "ALTER TABLE users RENAME TO gone",
        "table users cannot be read: there is no such table",
        "ALTER TABLE gone RENAME TO users",
    )
    .await;
}

const FILES: &str = "\
format: 1
pipeline: items
run: continuous
from:
  items:
    files: { path: \"in/*\", format: csv, settle: 0s }
    columns: { id: bigint not null, name: text }
sql: SELECT id, name FROM items
to:
  topic: { name: items, key: id }
";

/// Files that go into a topic, the first of which is read.
async fn files() -> (Desk, Worker) {
    let desk = Desk::start().await;
    desk.write("in/a.csv", "id,name\n1,a\n");
    desk.deploy(FILES).await;
    let worker = desk.worker();
    desk.all_values("items", 1).await;
    (desk, worker)
}

/// Another file is read, and nothing is said any more.
async fn goes_on(desk: &Desk, ids: &[u32]) {
    let values = desk.all_values("items", ids.len()).await;
    let found: Vec<_> = values
        .iter()
        .map(|value| {
            serde_json::from_str::<serde_json::Value>(value).unwrap()["id"]
                .as_u64()
                .unwrap()
        })
        .collect();
    let expected: Vec<_> = ids.iter().map(|id| u64::from(*id)).collect();
    assert_eq!(found, expected);
}

async fn nothing_is_wrong(desk: &Desk) {
    testkit::eventually("nothing is said any more", async || {
        let runs = desk.runs("items").await;
        let last = runs.last().unwrap();
        last.state == RunState::Running && last.error.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_renamed_is_not_read_again() {
    let (desk, worker) = files().await;
    let (old, new) = (
        desk.folder().join("in/a.csv"),
        desk.folder().join("in/b.csv"),
    );
    std::fs::rename(&old, &new).unwrap();
    desk.write("in/c.csv", "id,name\n2,a\n");
    let run = desk
        .told(
            "items",
            "a.csv\", and is not read again; to have it read again, copy it to a new name",
        )
        .await;
    assert_eq!(run.state, RunState::Running);
    goes_on(&desk, &[1, 2]).await;
    std::fs::rename(&new, &old).unwrap();
    nothing_is_wrong(&desk).await;
    goes_on(&desk, &[1, 2]).await;
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_rewritten_is_told_and_gives_nothing_more() {
    let (desk, worker) = files().await;
    let path = desk.folder().join("in/a.csv");
    let was = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, "id,name\n7,changed\n8,x\n").unwrap();
    desk.write("in/c.csv", "id,name\n2,a\n");
    let run = desk
        .told(
            "items",
            "was read and has changed since; nothing more of it is read",
        )
        .await;
    assert_eq!(run.state, RunState::Running);
    goes_on(&desk, &[1, 2]).await;
    std::fs::write(&path, "id,name\n1,a\n").unwrap();
    std::fs::File::open(&path)
        .unwrap()
        .set_modified(was)
        .unwrap();
    nothing_is_wrong(&desk).await;
    goes_on(&desk, &[1, 2]).await;
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_half_written_gives_its_whole_rows() {
    let (desk, worker) = files().await;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(b"id,name\n2,b\n3,c\n").unwrap();
    let whole = encoder.finish().unwrap();
    // Behind its second row it ends.
    desk.write("in/b.csv.gz", &whole[..whole.len() - 10]);
    desk.told("items", "b.csv.gz\" is damaged or cut off behind byte")
        .await;
    desk.write("in/c.csv", "id,name\n4,d\n");
    testkit::eventually("the other file is read", async || {
        desk.values("items")
            .await
            .iter()
            .any(|value| value.contains("\"d\""))
    })
    .await;
    // What it lacks comes in a file of another name.
    std::fs::remove_file(desk.folder().join("in/b.csv.gz")).unwrap();
    let read = desk.values("items").await;
    let missing: Vec<_> = [(2, "b"), (3, "c")]
        .into_iter()
        .filter(|(id, _)| {
            !read
                .iter()
                .any(|value| value.contains(&format!("\"id\":{id}")))
        })
        .map(|(id, name)| format!("{id},{name}\n"))
        .collect();
    assert!(!missing.is_empty());
    desk.write("in/d.csv", format!("id,name\n{}", missing.concat()));
    goes_on(&desk, &[1, 2, 3, 4]).await;
    nothing_is_wrong(&desk).await;
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_another_encoding_is_a_dead_letter_or_a_file_that_is_told() {
    let (desk, worker) = files().await;
    desk.write("in/b.csv", b"id,name\n2,b\n3,K\xf6ln\n4,d\n");
    let utf16: Vec<u8> = "\u{feff}id,name\n9,x\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    desk.write("in/c.csv", utf16);
    desk.told(
        "items",
        "c.csv\" is UTF-16; write it as UTF-8, under another name",
    )
    .await;
    goes_on(&desk, &[1, 2, 4]).await;
    let dead = desk.dead("items", "message").await;
    assert_eq!(
        dead,
        ["byte 3 of the record is not UTF-8; write the file as UTF-8"]
    );
    let rows = desk.dead("items", "offset").await;
    assert_eq!(rows, ["2"]);
    std::fs::remove_file(desk.folder().join("in/c.csv")).unwrap();
    nothing_is_wrong(&desk).await;
    desk.write("in/d.csv", "id,name\n9,x\n");
    goes_on(&desk, &[1, 2, 4, 9]).await;
    desk.stop(worker).await;
}

/// The most memory that this process has had, in bytes.
fn memory_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_a_gibibyte_is_one_dead_letter_and_takes_no_memory() {
    const LINE: u64 = 1 << 30;
    let (desk, worker) = files().await;
    let before = memory_peak();
    let unfinished = desk.folder().join("unfinished");
    let mut file = std::fs::File::create(&unfinished).unwrap();
    file.write_all(b"id,name\n2,b\n3,").unwrap();
    // A hole reads as NULs and takes no room.
    file.set_len(LINE).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap();
    file.write_all(b"\n4,d\n").unwrap();
    drop(file);
    std::fs::rename(unfinished, desk.folder().join("in/b.csv")).unwrap();
    let mut values = Vec::new();
    let waited = tokio::time::timeout(10 * testkit::DEADLINE, async {
        while values.len() < 3 {
            values = desk.values("items").await;
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    });
    assert!(waited.await.is_ok(), "{values:?}");
    goes_on(&desk, &[1, 2, 4]).await;
    let dead = desk.dead("items", "message").await;
    assert!(
        dead.len() == 1 && dead[0].contains("bytes, more than may be"),
        "{dead:?}"
    );
    let grown = memory_peak() - before;
    assert!(grown < LINE / 2, "{grown} bytes");
    nothing_is_wrong(&desk).await;
    desk.stop(worker).await;
}
