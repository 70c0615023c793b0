//! Pipelines that run in a broker's process, from outside: what commands, SQL and metrics show of them.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use env::Clock as _;
use testkit::RawClient;

use crate::server::{Server, short_command};
use crate::sql::answer;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const TRIPS: &str = r#"format: 1
pipeline: trips
run: continuous
from:
  raw:
    topic: { name: raw }
    columns: { id: bigint not null, km: double }
sql: SELECT id, km FROM raw
to:
  topic: { name: trips, key: [id] }
checks:
  - accepted_range: { column: km, min: 0, name: no_negative_km }
  - not_null: { column: km, severity: warn }
"#;

/// Runs `watertable pipeline` against a server.
fn pipeline(server: &Server, arguments: &[&str]) -> Output {
    let mut command = short_command();
    command.arg("pipeline").args(arguments);
    command
        .args(["--brokers", &server.kafka.to_string()])
        .output()
        .unwrap()
}

/// What it says, and that it ended well.
#[track_caller]
fn say(server: &Server, arguments: &[&str]) -> String {
    let output = pipeline(server, arguments);
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}{errors}");
    said
}

fn apply(server: &Server, folder: &Path) {
    let plan = folder.join("plan.json");
    let (folder, plan) = (folder.to_str().unwrap(), plan.to_str().unwrap());
    say(server, &["plan", folder, "--env", "prod", "-o", plan]);
    say(server, &["apply", plan, "-m", "a test"]);
}

/// Asks until the answer is right.
#[track_caller]
pub(crate) fn until<T: std::fmt::Debug>(
    mut ask: impl FnMut() -> T,
    is_right: impl Fn(&T) -> bool,
) -> T {
    let clock = env::SystemClock::new();
    loop {
        let found = ask();
        if is_right(&found) {
            return found;
        }
        assert!(clock.now().since_origin() < PATIENCE, "{found:?}");
        std::thread::yield_now();
    }
}

#[track_caller]
fn until_sql(server: &Server, sql: &str, expected: &str) {
    until(|| answer(server.sql, sql), |found| found == expected);
}

async fn produce(server: &Server, topic: &str, values: &[&str]) {
    let mut client = RawClient::connect(server.kafka).await;
    let batch = testkit::requests::batch(Default::default(), values);
    let request = testkit::requests::produce(topic, -1, batch);
    client.call(&request, testkit::requests::PRODUCE).await;
}

/// A broker with a pipeline over a topic of four records, of which one is no JSON and one fails a check.
async fn with_trips(data: &Path, folder: &Path) -> Server {
    let server = Server::start(data, &[]);
    let mut client = RawClient::connect(server.kafka).await;
    testkit::requests::topic(&mut client, "raw", &[]).await;
    let values = [
        r#"{"id":1,"km":3}"#,
        "nonsense",
        r#"{"id":2,"km":-1}"#,
        r#"{"id":3}"#,
    ];
    produce(&server, "raw", &values).await;
    std::fs::write(folder.join("trips.yaml"), TRIPS).unwrap();
    apply(&server, folder);
    until_sql(&server, "SELECT count(*) FROM trips", "2");
    until_sql(&server, "SELECT count(*) FROM \"trips.dead\"", "2");
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_sys_show_pipelines_and_have_no_rows_while_there_are_none() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(data.path(), &[]);
    for table in [
        "pipelines",
        "deployments",
        "runs",
        "check_results",
        "pipeline_logs",
        "positions",
        "dead_letters",
        "lag",
    ] {
        let sql = format!("SELECT count(*) FROM sys.{table}");
        assert_eq!(answer(server.sql, &sql), "0", "{table}");
        let columns = format!(
            "SELECT count(*) > 5 FROM information_schema.columns WHERE table_schema = 'sys' AND table_name = '{table}'"
        );
        assert_eq!(answer(server.sql, &columns), "t", "{table}");
        assert!(
            answer(server.sql, &format!("\\d sys.{table}")).contains("pipeline"),
            "{table}"
        );
    }
    drop(server);
    let data = tempfile::tempdir().unwrap();
    let server = with_trips(data.path(), folder.path()).await;
    for (sql, expected) in [
        (
            "SELECT environment, pipeline, version, state FROM sys.pipelines",
            "prod|trips|1|running",
        ),
        (
            "SELECT action, to_version, class, message FROM sys.deployments WHERE pipeline = 'trips'",
            "apply|1|new|a test",
        ),
        (
            "SELECT pipeline, trigger_kind, state FROM sys.runs",
            "trips|continuous|running",
        ),
        (
            "SELECT environment, pipeline, reason, check_name, topic, partition, \"offset\", value, dead_topic FROM sys.dead_letters ORDER BY \"offset\"",
            "prod|trips|decode||raw|0|1|nonsense|trips.dead\nprod|trips|no_negative_km|no_negative_km|raw|0|2|{\"id\":2,\"km\":-1}|trips.dead",
        ),
        (
            "SELECT count(*) FROM sys.dead_letters WHERE reason = 'decode' AND time > '2020-01-01'",
            "1",
        ),
        (
            "SELECT task, input, version FROM sys.positions",
            "main|raw|1",
        ),
    ] {
        assert_eq!(answer(server.sql, sql), expected, "{sql}");
    }
    let lag = "SELECT environment, pipeline, task, input, topic, partition, next_offset, end_offset, lag_records, next_record_time, lag_seconds FROM sys.lag";
    until_sql(&server, lag, "prod|trips|main|raw|raw|0|4|4|0||0");
    // What is not read while it does not run.
    say(&server, &["pause", "trips", "--env", "prod"]);
    until_sql(&server, "SELECT state FROM sys.runs", "succeeded");
    until_sql(
        &server,
        "SELECT count(*), sum(rows_failed) FROM sys.check_results",
        "2|2",
    );
    produce(
        &server,
        "raw",
        &[r#"{"id":4,"km":3}"#, r#"{"id":5,"km":3}"#],
    )
    .await;
    let lag = "SELECT next_offset, end_offset, lag_records, next_record_time IS NULL, lag_seconds >= 0 FROM sys.lag";
    until_sql(&server, lag, "4|6|2|f|t");
    until_sql(&server, "SELECT state FROM sys.pipelines", "paused");
    say(&server, &["remove", "trips", "--env", "prod"]);
    until_sql(&server, "SELECT count(*) FROM sys.lag", "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_marks_of_transactions_are_no_lag() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = with_trips(data.path(), folder.path()).await;
    // What it reads was written in a transaction, whose mark is behind the last record.
    let chained = "format: 1\npipeline: chained\nrun: continuous\nfrom:\n  t: { topic: { name: trips } }\nsql: SELECT id FROM t\nto:\n  topic: { name: chained }\n";
    std::fs::write(folder.path().join("chained.yaml"), chained).unwrap();
    apply(&server, folder.path());
    until_sql(&server, "SELECT count(*) FROM chained", "2");
    let lag = "SELECT end_offset - next_offset, lag_records, lag_seconds FROM sys.lag WHERE pipeline = 'chained'";
    until_sql(&server, lag, "1|0|0");
    say(&server, &["pause", "chained", "--env", "prod"]);
    until_sql(
        &server,
        "SELECT state FROM sys.runs WHERE pipeline = 'chained'",
        "succeeded",
    );
    produce(&server, "raw", &[r#"{"id":7,"km":3}"#]).await;
    let lag = "SELECT lag_records > 0, lag_seconds >= 0 FROM sys.lag WHERE pipeline = 'chained'";
    until_sql(&server, lag, "t|t");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_of_records_dead_letters_checks_and_lag() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = with_trips(data.path(), folder.path()).await;
    let labels = r#"environment="prod",pipeline="trips""#;
    let expected = [
        format!("pipeline_records_total{{{labels},direction=\"in\"}} 4"),
        format!("pipeline_records_total{{{labels},direction=\"out\"}} 2"),
        format!("pipeline_dead_letters_total{{{labels},reason=\"decode\"}} 1"),
        format!("pipeline_dead_letters_total{{{labels},reason=\"no_negative_km\"}} 1"),
        format!(
            "pipeline_check_failures_total{{{labels},check=\"no_negative_km\",severity=\"error\"}} 1"
        ),
        format!(
            "pipeline_check_failures_total{{{labels},check=\"not_null(km)\",severity=\"warn\"}} 1"
        ),
        format!("pipeline_sink_errors_total{{{labels}}} 0"),
        format!("pipeline_version_info{{{labels},version=\"1\"}} 1"),
        format!("pipeline_phase{{{labels},phase=\"running\"}} 1"),
        format!("pipeline_phase{{{labels},phase=\"held\"}} 0"),
        format!("pipeline_lag_records{{{labels}}} 0"),
        format!("pipeline_lag_seconds{{{labels}}} 0"),
        format!("pipeline_last_success_timestamp{{{labels}}} "),
        format!("pipeline_stage_seconds_total{{{labels},stage=\"commit\"}} "),
        format!("pipeline_batches_total{{{labels}}} "),
    ];
    until(
        || {
            let (_, page) = server.get("/metrics");
            let lines: Vec<_> = page
                .lines()
                .filter(|line| line.starts_with("pipeline_"))
                .collect();
            let missing = expected
                .iter()
                .filter(|expected| !lines.iter().any(|line| line.starts_with(expected.as_str())));
            let missing: Vec<_> = missing.cloned().collect();
            (missing, lines.join("\n"))
        },
        |(missing, _)| missing.is_empty(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_checks_and_logs_are_shown() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = with_trips(data.path(), folder.path()).await;
    let of = ["--env", "prod"];
    let with = |arguments: &[&'static str]| [arguments, &of].concat();
    let listed = say(&server, &with(&["dead", "list", "trips"]));
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 3, "{listed}");
    assert!(
        lines[1].contains("decode") && lines[1].contains("raw/0/1"),
        "{listed}"
    );
    assert!(lines[1].ends_with("nonsense"), "{listed}");
    let checked = say(
        &server,
        &with(&[
            "dead",
            "list",
            "trips",
            "--reason",
            "no_negative_km",
            "--json",
        ]),
    );
    let checked: serde_json::Value = serde_json::from_str(&checked).unwrap();
    assert_eq!(checked["offset"], 2);
    assert_eq!(
        say(&server, &with(&["dead", "list", "trips", "-n", "1"]))
            .lines()
            .count(),
        2
    );
    let shown = say(&server, &with(&["dead", "show", "trips", "raw/0/2"]));
    assert!(
        shown.contains("no_negative_km") && shown.contains("\n\n{\"id\":2,\"km\":-1}\n"),
        "{shown}"
    );
    let absent = pipeline(&server, &with(&["dead", "show", "trips", "raw/0/9"]));
    assert!(!absent.status.success());
    assert!(String::from_utf8_lossy(&absent.stderr).contains("dead list trips"));
    // Results of checks are told when a run ends.
    say(&server, &with(&["pause", "trips"]));
    let results = until(
        || say(&server, &with(&["checks", "results", "trips"])),
        |said| said.lines().count() == 3,
    );
    assert!(
        results.contains("no_negative_km") && results.contains("warn"),
        "{results}"
    );
    let said = until(
        || say(&server, &with(&["logs", "trips"])),
        |said| said.contains("succeeded: 4 read, 2 written, 2 dead letters"),
    );
    assert!(said.contains("INFO  v1"), "{said}");
    let run = answer(server.sql, "SELECT run_id FROM sys.runs");
    let of_run = [
        "logs", "trips", "--run", &run, "-n", "1", "--json", "--env", "prod",
    ];
    let line: serde_json::Value = serde_json::from_str(&say(&server, &of_run)).unwrap();
    assert_eq!(line["run"], run.as_str());
    let of_nobody = pipeline(&server, &with(&["logs", "nobody"]));
    let said = String::from_utf8_lossy(&of_nobody.stderr);
    assert_eq!(of_nobody.status.code(), Some(1), "{said}");
    assert!(said.contains("no pipeline nobody runs in prod"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_says_why_in_status_and_logs() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(data.path(), &[]);
    let mut client = RawClient::connect(server.kafka).await;
    testkit::requests::topic(&mut client, "raw", &[]).await;
    produce(&server, "raw", &["a", "b", "c"]).await;
    let halts = TRIPS.replace(
        "run: continuous",
        "run: once\nbad_records: { halt_above: 50% over run }",
    );
    std::fs::write(folder.path().join("trips.yaml"), halts).unwrap();
    apply(&server, folder.path());
    until_sql(&server, "SELECT state FROM sys.runs", "failed");
    let of = ["--env", "prod"];
    let status = until(
        || say(&server, &[&["status"], &of[..]].concat()),
        |said| said.contains("failed"),
    );
    assert!(
        status.contains("held") && status.contains("halted: 3 of 3 records"),
        "{status}"
    );
    let logs = until(
        || say(&server, &[&["logs", "trips"], &of[..]].concat()),
        |said| said.contains("halted"),
    );
    assert!(logs.contains("ERROR v1"), "{logs}");
    let (_, page) = server.get("/metrics");
    let held = r#"pipeline_phase{environment="prod",pipeline="trips",phase="held"} 1"#;
    assert!(page.contains(held), "{page}");
    say(&server, &[&["pause", "trips"], &of[..]].concat());
    let status = say(&server, &[&["status"], &of[..]].concat());
    assert!(
        status.contains("paused") && !status.contains("held"),
        "{status}"
    );
}
