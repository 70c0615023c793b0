//! When pipelines run, and how they are stopped and go on.

use client::admin::{delete_records, delete_topics};
use pipeline::control::{Request, RunState};
use testkit::postgres::Database;

use super::desk::Desk;
use super::{consume, create, produce, wait_for};

const COPY: &str = "\
format: 1
pipeline: copy
run: RUN
from:
  raw:
    topic: { name: raw }
    columns: { id: bigint not null }
sql: SELECT id FROM raw
to:
  topic: { name: clean, key: id }
";

fn copy(run: &str) -> String {
    COPY.replace("RUN", run)
}

async fn desk() -> Desk {
    let desk = Desk::start().await;
    create(desk.cluster(), "raw", 1, false).await;
    desk
}

async fn send(desk: &Desk, ids: std::ops::Range<usize>) {
    let values: Vec<_> = ids.map(|id| format!(r#"{{"id":{id}}}"#)).collect();
    let records: Vec<_> = values
        .iter()
        .map(|value| (None, Some(value.as_str())))
        .collect();
    produce(desk.cluster(), "raw", &records).await;
}

async fn ended(desk: &Desk, count: usize) -> Vec<(RunState, u64, u32)> {
    let mut ended = Vec::new();
    testkit::eventually("the runs end", async || {
        let runs = desk.runs("copy").await;
        let runs = runs.iter().filter(|run| run.ended.is_some());
        ended = runs
            .map(|run| (run.state, run.rows_in, run.attempt))
            .collect();
        ended.len() >= count
    })
    .await;
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn once_reads_what_is_there_and_again_when_it_is_asked_for() {
    let desk = desk().await;
    send(&desk, 0..5).await;
    desk.deploy(&copy("once")).await;
    let worker = desk.worker();
    assert_eq!(ended(&desk, 1).await, [(RunState::Succeeded, 5, 1)]);
    send(&desk, 5..7).await;
    desk.ask("copy", Request::Run).await;
    let runs = ended(&desk, 2).await;
    assert_eq!(
        runs,
        [(RunState::Succeeded, 5, 1), (RunState::Succeeded, 2, 1)]
    );
    worker.stop().await;
    // Another worker does not run it once more.
    let worker = desk.worker();
    send(&desk, 7..8).await;
    desk.ask("copy", Request::Run).await;
    assert_eq!(ended(&desk, 3).await[2], (RunState::Succeeded, 1, 1));
    assert_eq!(consume(desk.cluster(), "clean").await.len(), 8);
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_so_often_it_runs_again() {
    let desk = desk().await;
    desk.deploy(&copy("{ every: 1s }")).await;
    let worker = desk.worker();
    for round in 1..4 {
        send(&desk, 0..10).await;
        wait_for(desk.cluster(), "clean", round * 10).await;
    }
    let runs = ended(&desk, 3).await;
    assert!(
        runs.iter()
            .all(|(state, _, _)| *state == RunState::Succeeded),
        "{runs:?}"
    );
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_is_tried_again_until_it_goes_well() {
    let desk = desk().await;
    let database = Database::new().await;
    desk.database(&database);
    let table = "  postgres: { connection: \"secret:pg\", table: copy, mode: append }\n";
    let retry = "{ once: true, retry: { times: 1000, backoff: 100ms..100ms } }";
    send(&desk, 0..5).await;
    let yaml = copy(retry).replace("  topic: { name: clean, key: id }\n", table);
    desk.deploy(&yaml).await;
    database
        .run("ALTER TABLE copy RENAME COLUMN id TO elsewhere")
        .await;
    let worker = desk.worker();
    desk.told(
        "copy",
        "its column elsewhere is NOT NULL and has no default",
    )
    .await;
    database
        .run("ALTER TABLE copy RENAME COLUMN elsewhere TO id")
        .await;
    testkit::eventually("it goes well", async || {
        let runs = desk.runs("copy").await;
        runs.iter()
            .any(|run| run.state == RunState::Succeeded && run.attempt > 1)
    })
    .await;
    assert_eq!(
        database
            .rows("SELECT count(*), count(DISTINCT id) FROM copy")
            .await,
        ["5|5"]
    );
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_too_long_ends_at_a_commit_and_says_so() {
    let desk = desk().await;
    // One is put aside for an hour: the run waits for it.
    desk.write("in/a.csv", "id\n1\n");
    let files = "    files: { path: in/*.csv, format: csv, settle: 1h }\n";
    let yaml = copy("{ once: true, timeout: 1s, retry: { times: 0 } }")
        .replace("    topic: { name: raw }\n", files);
    desk.deploy(&yaml).await;
    let worker = desk.worker();
    let run = desk
        .told("copy", "took longer than its timeout of 1s")
        .await;
    assert_eq!(run.state, RunState::TimedOut);
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_paused_and_goes_on_and_what_it_does_is_cancelled() {
    let desk = desk().await;
    desk.deploy(&copy("continuous")).await;
    let worker = desk.worker();
    send(&desk, 0..10).await;
    wait_for(desk.cluster(), "clean", 10).await;
    desk.ask("copy", Request::Pause).await;
    testkit::eventually("it stops", async || worker.statuses().all().is_empty()).await;
    send(&desk, 10..20).await;
    assert_eq!(consume(desk.cluster(), "clean").await.len(), 10);
    let resume = Request::Resume {
        skip_deleted: false,
    };
    desk.ask("copy", resume).await;
    wait_for(desk.cluster(), "clean", 20).await;
    desk.ask("copy", Request::Cancel).await;
    testkit::eventually("it is cancelled", async || {
        desk.runs("copy")
            .await
            .iter()
            .any(|run| run.state == RunState::Cancelled)
    })
    .await;
    // One that goes on begins again.
    send(&desk, 20..30).await;
    let clean = wait_for(desk.cluster(), "clean", 30).await;
    assert_eq!(clean.len(), 30);
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_bad_records_hold_it_until_it_is_resumed() {
    let desk = desk().await;
    let yaml = format!(
        "{}bad_records: {{ halt_above: 5% over 1h }}\n",
        copy("continuous")
    );
    desk.deploy(&yaml).await;
    let worker = desk.worker();
    let bad: Vec<_> = vec![(None, Some("no json")); 1000];
    produce(desk.cluster(), "raw", &bad).await;
    let run = desk.told("copy", "halted: ").await;
    assert_eq!(run.state, RunState::Failed);
    let held = || {
        worker
            .statuses()
            .all()
            .first()
            .map(|status| status.phase.name())
    };
    testkit::eventually("it is held", async || held() == Some("held")).await;
    assert_eq!(consume(desk.cluster(), "clean").await.len(), 0);
    let dead = consume(desk.cluster(), "copy.dead").await;
    assert!(!dead.is_empty());
    // Somebody looks at them, and has it go on: they are judged again with more good ones behind them.
    desk.deploy(&yaml.replace("5% over 1h", "100% over 1h"))
        .await;
    send(&desk, 0..10).await;
    wait_for(desk.cluster(), "clean", 10).await;
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_were_deleted_unread_hold_it_until_somebody_says_so() {
    let desk = desk().await;
    desk.deploy(&copy("continuous")).await;
    let worker = desk.worker();
    send(&desk, 0..10).await;
    wait_for(desk.cluster(), "clean", 10).await;
    desk.ask("copy", Request::Pause).await;
    testkit::eventually("it stops", async || worker.statuses().all().is_empty()).await;
    send(&desk, 10..20).await;
    let partition = client::TopicPartition::new("raw", 0);
    let deleted = delete_records(desk.cluster(), &[(partition, 15)].into()).await;
    deleted.expect("they are deleted");
    desk.ask(
        "copy",
        Request::Resume {
            skip_deleted: false,
        },
    )
    .await;
    desk.told("copy", "5 records from offset 10 on were deleted before they were read; if they may be left out, go on with: watertable pipeline resume copy --skip-deleted")
        .await;
    assert_eq!(consume(desk.cluster(), "clean").await.len(), 10);
    desk.ask("copy", Request::Pause).await;
    desk.ask("copy", Request::Resume { skip_deleted: true })
        .await;
    let clean = wait_for(desk.cluster(), "clean", 15).await;
    assert_eq!(clean.len(), 15);
    testkit::eventually("it is told", async || {
        let lines = desk.logs().await;
        let told = "left out 5 records of raw-0 from offset 10 on: they were deleted";
        lines.iter().any(|line| line.message.contains(told))
    })
    .await;
    // It was said of these, and not of those that are deleted later.
    worker.stop().await;
    send(&desk, 20..30).await;
    let partition = client::TopicPartition::new("raw", 0);
    let deleted = delete_records(desk.cluster(), &[(partition, 25)].into()).await;
    deleted.expect("they are deleted");
    let worker = desk.worker();
    desk.told("copy", "5 records from offset 20 on were deleted")
        .await;
    assert_eq!(consume(desk.cluster(), "clean").await.len(), 15);
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_made_anew_is_read_from_its_beginning() {
    let desk = desk().await;
    desk.deploy(&copy("continuous")).await;
    let worker = desk.worker();
    send(&desk, 0..10).await;
    wait_for(desk.cluster(), "clean", 10).await;
    let deleted = delete_topics(desk.cluster(), &["raw".to_owned()]).await;
    deleted.expect("it is deleted");
    testkit::eventually("it is gone", async || {
        let found = desk
            .world
            .client()
            .refresh_topic(&"raw".into(), false)
            .await;
        found.is_err()
    })
    .await;
    let anew = desk.world.client();
    create(&anew, "raw", 1, false).await;
    let records = [(None, Some(r#"{"id":100}"#)), (None, Some(r#"{"id":101}"#))];
    produce(&anew, "raw", &records).await;
    let clean = wait_for(desk.cluster(), "clean", 12).await;
    let keys: Vec<_> = clean[10..]
        .iter()
        .map(|(key, _)| key.as_deref().unwrap())
        .collect();
    assert_eq!(keys, ["100", "101"]);
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_are_read_from_their_first_record() {
    let desk = desk().await;
    desk.deploy(&copy("continuous")).await;
    let worker = desk.worker();
    send(&desk, 0..10).await;
    wait_for(desk.cluster(), "clean", 10).await;
    super::add_partitions(desk.cluster(), "raw", 4).await;
    let values: Vec<_> = (10..50)
        .map(|id| (id.to_string(), format!(r#"{{"id":{id}}}"#)))
        .collect();
    let records: Vec<_> = values
        .iter()
        .map(|(key, value)| (Some(key.as_str()), Some(value.as_str())))
        .collect();
    produce(&desk.world.client(), "raw", &records).await;
    let clean = wait_for(desk.cluster(), "clean", 50).await;
    assert_eq!(clean.len(), 50);
    desk.stop(worker).await;
}

const USERS: &str = "\
format: 1
pipeline: copy
run: { every: 1s }
from:
  users:
    postgres: { connection: \"secret:pg\", table: users, incremental: { cursor: updated_at } }
sql: SELECT id, name FROM users
to:
  topic: { name: clean, key: id, cleanup: compact }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_read_once_and_then_what_changes() {
    let desk = desk().await;
    let database = Database::new().await;
    desk.database(&database);
    database
        .run("CREATE TABLE users (id bigint PRIMARY KEY, name text, updated_at timestamptz NOT NULL DEFAULT now());
            INSERT INTO users SELECT i, 'n' FROM generate_series(1, 100) i")
        .await;
    desk.deploy(USERS).await;
    let worker = desk.worker();
    wait_for(desk.cluster(), "clean", 100).await;
    database
        .run("UPDATE users SET name = 'O''Brien', updated_at = now() WHERE id = 7")
        .await;
    let clean = wait_for(desk.cluster(), "clean", 101).await;
    let last = clean
        .iter()
        .rev()
        .find(|(key, _)| key.as_deref() == Some("7"))
        .unwrap();
    assert_eq!(last.1.as_deref(), Some(r#"{"id":7,"name":"O'Brien"}"#));
    desk.stop(worker).await;
}
