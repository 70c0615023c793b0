//! Versions that go back: once, from where the database says, and also if another version comes first.

use client::admin::delete_records;
use pipeline::control::{Action, Request, Store};
use pipeline::runner::Worker;
use testkit::postgres::Database;

use super::desk::Desk;
use super::{ENV, create, produce};

const COPY: &str = "\
format: 1
pipeline: copy
run: { continuous: true, retry: { backoff: 100ms..300ms } }
from:
  raw:
    topic: { name: raw }
    columns: { id: bigint not null }
sql: SELECT id, 'v1' AS by FROM raw
to:
  topic: { name: clean, key: id }
";
const BACK: Request = Request::Rollback {
    to: Some(1),
    rewind: true,
    duplicates_ok: false,
};
const RESUME: Request = Request::Resume {
    skip_deleted: false,
};

fn version(number: u32) -> String {
    COPY.replace("v1", &format!("v{number}"))
}

async fn desk() -> Desk {
    let desk = Desk::start().await;
    create(desk.cluster(), "raw", 1, false).await;
    desk
}

async fn send(desk: &Desk, ids: std::ops::Range<u32>) {
    let values: Vec<_> = ids.map(|id| format!(r#"{{"id":{id}}}"#)).collect();
    let records: Vec<_> = values.iter().map(|value| (None, Some(&**value))).collect();
    produce(desk.cluster(), "raw", &records).await;
}

/// How many rows each version has written.
fn by_version(values: &[String]) -> [usize; 3] {
    ["v1", "v2", "v3"].map(|version| {
        let by = values.iter().filter(|value| value.contains(version));
        by.count()
    })
}

/// Waits until each version has written so many rows, and no more.
async fn written(desk: &Desk, expected: [usize; 3]) {
    let values = desk.all_values("clean", expected.iter().sum()).await;
    assert_eq!(by_version(&values), expected);
}

/// Waits until a version runs: the one before has ended.
async fn runs(worker: &Worker, version: u32) {
    testkit::eventually("the new version runs", async || {
        let statuses = worker.statuses().all();
        statuses
            .first()
            .is_some_and(|status| status.version == version)
    })
    .await;
}

/// Where the last cut says that each place ended.
async fn ended(desk: &Desk, from: u32) -> Vec<i64> {
    let store = Store::open(desk.cluster()).await.unwrap();
    let deployments = store.state().deployments(ENV, "copy");
    let cuts = deployments.rev().filter(|cut| cut.action == Action::Cut);
    let mut cuts = cuts.filter(|cut| cut.from_version == Some(from));
    let positions = cuts.next().map(|cut| cut.positions.clone());
    let positions = positions.unwrap_or_default().into_iter();
    positions
        .map(|rewind| rewind.position["next"].as_i64().unwrap())
        .collect()
}

/// The first version has written ten records, and the second one five behind them.
async fn two_versions() -> (Desk, Worker) {
    let desk = desk().await;
    send(&desk, 0..10).await;
    desk.deploy(&version(1)).await;
    let worker = desk.worker();
    written(&desk, [10, 0, 0]).await;
    desk.deploy(&version(2)).await;
    runs(&worker, 2).await;
    send(&desk, 10..15).await;
    written(&desk, [10, 5, 0]).await;
    (desk, worker)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_workers_that_hear_of_it_one_goes_back_once() {
    let (desk, worker) = two_versions().await;
    let other = desk.worker();
    desk.ask("copy", BACK).await;
    written(&desk, [15, 5, 0]).await;
    // Whoever comes later goes on where the other one is.
    let third = desk.worker();
    send(&desk, 15..16).await;
    written(&desk, [16, 5, 0]).await;
    worker.stop().await;
    other.stop().await;
    send(&desk, 16..17).await;
    written(&desk, [17, 5, 0]).await;
    desk.stop(third).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_applied_before_it_went_back_goes_back_too() {
    let (desk, worker) = two_versions().await;
    desk.ask("copy", Request::Pause).await;
    testkit::eventually("it stops", async || worker.statuses().all().is_empty()).await;
    desk.ask("copy", BACK).await;
    let plan = desk.plan(&version(3)).await.unwrap();
    let says = &plan.pipelines[0].begins;
    assert_eq!(
        says,
        &["where v1 ended: it is to go back there, and has not yet"]
    );
    desk.apply(&plan).await;
    desk.ask("copy", RESUME).await;
    written(&desk, [10, 5, 5]).await;
    assert_eq!(ended(&desk, 2).await, [15]);
    // v1 did not run again: it stood where it was to begin.
    assert_eq!(ended(&desk, 1).await, [10]);
    desk.stop(worker).await;
}

/// The same into a table.
fn to_table(yaml: &str) -> String {
    let table = "  postgres: { connection: \"secret:pg\", table: copy, mode: upsert, key: id, batch: { every: 10ms } }\n";
    yaml.replace("  topic: { name: clean, key: id }\n", table)
}

async fn rows(database: &Database, expected: &str) {
    let mut found = Vec::new();
    let waited = tokio::time::timeout(testkit::DEADLINE, async {
        while found != [expected] {
            found = database
                .rows("SELECT string_agg(by || n, ',' ORDER BY by) FROM (SELECT by, count(*) AS n FROM copy GROUP BY by) by")
                .await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "{found:?} is not {expected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_version_ended_that_wrote_a_table_is_what_the_database_says() {
    let desk = desk().await;
    let database = Database::new().await;
    desk.database(&database);
    send(&desk, 0..10).await;
    desk.deploy(&to_table(&version(1))).await;
    let worker = desk.worker();
    rows(&database, "v110").await;
    desk.deploy(&to_table(&version(2))).await;
    runs(&worker, 2).await;
    send(&desk, 10..15).await;
    rows(&database, "v110,v25").await;
    desk.ask("copy", BACK).await;
    rows(&database, "v115").await;
    assert_eq!(ended(&desk, 2).await, [15]);
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_in_a_table_may_be_deleted_before_a_worker_begins_again() {
    let desk = desk().await;
    let database = Database::new().await;
    desk.database(&database);
    send(&desk, 0..10).await;
    desk.deploy(&to_table(&version(1))).await;
    let worker = desk.worker();
    rows(&database, "v110").await;
    worker.stop().await;
    let partition = client::TopicPartition::new("raw", 0);
    let delete = async |before| {
        let deleted = delete_records(desk.cluster(), &[(partition.clone(), before)].into()).await;
        deleted.expect("they are deleted");
    };
    delete(10).await;
    let worker = desk.worker();
    send(&desk, 10..15).await;
    rows(&database, "v115").await;
    worker.stop().await;
    // Those that are in no table are missed, and left out if somebody says so.
    send(&desk, 15..20).await;
    delete(18).await;
    let worker = desk.worker();
    desk.told("copy", "3 records from offset 15 on were deleted")
        .await;
    let resume = Request::Resume { skip_deleted: true };
    desk.ask("copy", resume).await;
    rows(&database, "v117").await;
    desk.stop(worker).await;
}
