//! Runs that are interrupted, held or taken over: none is lost, and none is made twice.

use client::OffsetSpec;
use client::admin::delete_records;
use pipeline::control::{Request, RunState, Then};
use pipeline::runner::Worker;
use testkit::postgres::Database;

use super::desk::Desk;
use super::{consume, create, produce, wait_for};

const FILES: &str = "\
format: 1
pipeline: copy
run: RUN
from:
  raw:
    files: { path: in/*.csv, format: csv, settle: 0s }
    columns: { id: bigint not null }
sql: SELECT id FROM raw
to:
  topic: { name: clean, key: id }
";

const RESUME: Request = Request::Resume {
    skip_deleted: false,
};

/// Waits until the runs stand so.
async fn runs(desk: &Desk, expected: &[(&str, RunState, u32)]) {
    let mut seen = Vec::new();
    let waited = tokio::time::timeout(testkit::DEADLINE, async {
        loop {
            let runs = desk.runs("copy").await;
            seen = runs
                .into_iter()
                .map(|run| (run.trigger, run.state, run.attempt))
                .collect();
            let mut seen = seen.iter();
            if seen.len() == expected.len()
                && expected.iter().all(|(trigger, state, attempt)| {
                    seen.next() == Some(&((*trigger).to_owned(), *state, *attempt))
                })
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "{seen:?} is not {expected:?}");
}

const LATE: &str = "late/still_written.csv";

/// A run that waits for a file, which was changed not long enough ago; the other one was read.
async fn waiting(run: &str) -> (Desk, Worker) {
    let desk = Desk::start().await;
    desk.write("in/a.csv", "id\n1\n");
    desk.write(LATE, "id\n0\n");
    let late = "  late:
    files: { path: late/*.csv, format: csv, settle: 1h }
    columns: { id: bigint not null }
sql: SELECT id FROM raw UNION ALL SELECT id FROM late
";
    let yaml = FILES.replace("RUN", run);
    desk.deploy(&yaml.replace("sql: SELECT id FROM raw\n", late))
        .await;
    let worker = desk.worker();
    wait_for(desk.cluster(), "clean", 1).await;
    (desk, worker)
}

/// Nothing is waited for any more.
fn no_more(desk: &Desk) {
    std::fs::remove_file(desk.folder().join(LATE)).unwrap();
}

async fn is(worker: &Worker, phase: &str) {
    testkit::eventually("it stands so", async || {
        let statuses = worker.statuses().all();
        statuses
            .first()
            .is_some_and(|status| status.phase.name() == phase)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_interrupted_goes_on_with_the_pipeline_and_is_read_to_its_end() {
    use RunState::{Interrupted, Running, Succeeded};
    for (run, trigger) in [("once", "once"), ("{ every: 365d }", "schedule")] {
        let (desk, worker) = waiting(run).await;
        runs(&desk, &[(trigger, Running, 1)]).await;
        worker.stop().await;
        runs(&desk, &[(trigger, Interrupted, 1)]).await;
        let worker = desk.worker();
        runs(&desk, &[(trigger, Interrupted, 1), (trigger, Running, 1)]).await;
        desk.ask("copy", Request::Pause).await;
        runs(
            &desk,
            &[(trigger, Interrupted, 1), (trigger, Interrupted, 1)],
        )
        .await;
        desk.write("in/b.csv", "id\n2\n");
        no_more(&desk);
        desk.ask("copy", RESUME).await;
        let all = [
            (trigger, Interrupted, 1),
            (trigger, Interrupted, 1),
            (trigger, Succeeded, 1),
        ];
        runs(&desk, &all).await;
        assert_eq!(consume(desk.cluster(), "clean").await.len(), 2);
        desk.stop(worker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_asked_for_comes_behind_the_one_that_goes_on_and_survives_its_worker() {
    use RunState::{Interrupted, Running, Succeeded};
    let (desk, worker) = waiting("once").await;
    desk.ask("copy", Request::Run).await;
    worker.stop().await;
    let worker = desk.worker();
    let before = ("once", Interrupted, 1);
    runs(&desk, &[before, ("once", Running, 1)]).await;
    desk.write("in/b.csv", "id\n2\n");
    no_more(&desk);
    let all = [before, ("once", Succeeded, 1), ("manual", Succeeded, 1)];
    runs(&desk, &all).await;
    // One that is interrupted is made again, too.
    desk.write(LATE, "id\n0\n");
    desk.write("in/d.csv", "id\n4\n");
    desk.ask("copy", Request::Run).await;
    wait_for(desk.cluster(), "clean", 3).await;
    worker.stop().await;
    desk.write("in/c.csv", "id\n3\n");
    no_more(&desk);
    let worker = desk.worker();
    let all = [&all[..], &[("manual", Succeeded, 1)]].concat();
    runs(&desk, &all).await;
    assert_eq!(consume(desk.cluster(), "clean").await.len(), 4);
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_to_be_tried_again_is_when_a_worker_is_there_again() {
    let desk = Desk::start().await;
    let database = Database::new().await;
    desk.database(&database);
    desk.write("in/a.csv", "id\n1\n");
    let table = "  postgres: { connection: \"secret:pg\", table: copy, mode: append }\n";
    let run = "{ every: 365d, retry: { times: 5, backoff: 1h..1h } }";
    let yaml = FILES
        .replace("RUN", run)
        .replace("  topic: { name: clean, key: id }\n", table);
    desk.deploy(&yaml).await;
    database
        .run("ALTER TABLE copy RENAME COLUMN id TO elsewhere")
        .await;
    let worker = desk.worker();
    is(&worker, "retrying").await;
    worker.stop().await;
    runs(&desk, &[("schedule", RunState::Failed, 1)]).await;
    database
        .run("ALTER TABLE copy RENAME COLUMN elsewhere TO id")
        .await;
    let worker = desk.worker();
    let all = [
        ("schedule", RunState::Failed, 1),
        ("schedule", RunState::Succeeded, 2),
    ];
    runs(&desk, &all).await;
    assert_eq!(database.rows("SELECT id FROM copy").await, ["1"]);
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_is_held_runs_when_it_is_asked_to_and_a_run_that_halts_holds_it() {
    let desk = Desk::start().await;
    create(desk.cluster(), "raw", 1, false).await;
    let topic = "    topic: { name: raw }\n";
    let files = "    files: { path: in/*.csv, format: csv, settle: 0s }\n";
    let yaml = FILES
        .replace("RUN", "{ cron: \"0 0 1 1 *\" }")
        .replace(files, topic);
    desk.deploy(&format!(
        "{yaml}bad_records: {{ halt_above: 50% over 1h }}\n"
    ))
    .await;
    let worker = desk.worker();
    // Of the time before it was applied.
    let before = ("schedule", RunState::Succeeded, 1);
    runs(&desk, &[before]).await;
    produce(desk.cluster(), "raw", &[(None, Some("no json")); 10]).await;
    desk.ask("copy", Request::Run).await;
    is(&worker, "held").await;
    runs(&desk, &[before, ("manual", RunState::Failed, 1)]).await;
    assert_eq!(desk.runs("copy").await[1].then, Some(Then::Held));
    // There are good ones behind them now.
    let good: Vec<_> = (0..1000).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
    let good: Vec<_> = good.iter().map(|value| (None, Some(&**value))).collect();
    produce(desk.cluster(), "raw", &good).await;
    desk.ask("copy", Request::Run).await;
    is(&worker, "waiting").await;
    let all = [
        before,
        ("manual", RunState::Failed, 1),
        ("manual", RunState::Succeeded, 1),
    ];
    runs(&desk, &all).await;
    assert_eq!(consume(desk.cluster(), "clean").await.len(), 1000);
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_once_does_not_run_again_when_history_is_gone() {
    let desk = Desk::start().await;
    desk.write("in/a.csv", "id\n1\n");
    desk.deploy(&FILES.replace("RUN", "once")).await;
    let worker = desk.worker();
    runs(&desk, &[("once", RunState::Succeeded, 1)]).await;
    worker.stop().await;
    let partition = client::TopicPartition::new("__runs", 0);
    let wanted = [(partition.clone(), OffsetSpec::Latest)].into();
    let isolation = client::Isolation::ReadUncommitted;
    let ends = client::list_offsets(desk.cluster(), &wanted, isolation).await;
    let end = ends.unwrap()[&partition].offset.unwrap();
    let deleted = delete_records(desk.cluster(), &[(partition, end)].into()).await;
    deleted.expect("they are deleted");
    let worker = desk.worker();
    is(&worker, "done").await;
    assert!(desk.runs("copy").await.is_empty());
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_taken_over_goes_on_when_it_is_resumed() {
    let (desk, older) = waiting("continuous").await;
    let younger = desk.worker();
    desk.write("in/b.csv", "id\n2\n");
    let mut sent = 2;
    testkit::eventually("the older one is fenced", async || {
        // It notices with the next thing that it writes.
        sent += 1;
        desk.write(&format!("in/{sent}.csv"), format!("id\n{sent}\n"));
        let statuses = older.statuses().all();
        let error = statuses.first().and_then(|status| status.error.clone());
        error.is_some_and(|error| error.contains("watertable pipeline resume copy"))
    })
    .await;
    testkit::eventually("it is written down", async || {
        let runs = desk.runs("copy").await;
        runs.iter().any(|run| run.then == Some(Then::Held))
    })
    .await;
    younger.stop().await;
    desk.ask("copy", RESUME).await;
    is(&older, "running").await;
    sent += 1;
    desk.write("in/last.csv", format!("id\n{sent}\n"));
    let clean = wait_for(desk.cluster(), "clean", sent).await;
    assert_eq!(clean.len(), sent);
    desk.stop(older).await;
}
