//! `/metrics` of a running broker beside what docs/operations.md and docs/alerts.yml say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use protocol::messages::InitProducerIdRequest;
use protocol::records::BatchOptions;
use rustix::process::Signal;
use testkit::RawClient;
use testkit::requests::{FETCH, PRODUCE, batch, fetch, produce, topic};

use crate::server::Server;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

/// What follows `# TYPE` for each metric.
fn types(page: &str) -> BTreeMap<&str, &str> {
    let lines = page.lines();
    lines
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect()
}

/// The value of the sample that begins so.
fn value(page: &str, sample: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(sample));
    let line = line.unwrap_or_else(|| panic!("no {sample} in {page}"));
    line.trim().parse().unwrap()
}

#[tokio::test]
async fn the_table_of_metrics_is_that_of_the_page() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let (status, page) = server.get("/metrics");
    assert_eq!(status, 200);
    let text = document("operations.md");
    let (_, rest) = text.split_once("<!-- metrics -->").unwrap();
    let (table, _) = rest.split_once("<!-- /metrics -->").unwrap();
    let mut told = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.trim_matches('|').split(" | ").map(str::trim);
        let name = cells.next().unwrap().trim_matches('`');
        // A name with its labels.
        let (name, _) = name.split_once('{').unwrap_or((name, ""));
        let kind = cells.next().unwrap();
        assert!(
            cells.next().is_some_and(|meaning| !meaning.is_empty()),
            "{row}"
        );
        assert_eq!(told.insert(name, kind), None, "{name} is there twice");
    }
    assert_eq!(told, types(&page), "docs/operations.md beside /metrics");
}

/// The words of a PromQL text that are names of metrics.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| {
        ["watertable_", "kafka_", "process_", "pipeline_"]
            .iter()
            .any(|prefix| word.starts_with(prefix))
    })
}

#[tokio::test]
async fn each_alert_asks_for_what_the_page_has() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut client = RawClient::connect(server.kafka).await;
    topic(&mut client, "t", &[]).await;
    let (_, page) = server.get("/metrics");
    let mut samples = BTreeSet::new();
    for (name, kind) in types(&page) {
        match kind {
            "counter" => drop(samples.insert(format!("{name}_total"))),
            "histogram" => {
                samples.extend(["_bucket", "_count", "_sum"].map(|end| format!("{name}{end}")));
            }
            _ => drop(samples.insert(name.to_owned())),
        }
    }
    let rules = document("alerts.yml");
    let code: Vec<_> = rules
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    let mut asked = 0;
    for name in code.iter().flat_map(|line| names(line)) {
        assert!(samples.contains(name), "{name} is not on the page");
        asked += 1;
    }
    assert!(asked >= 20, "the rules ask for {asked} figures");
    // Each rule says when, how bad, what it means and what to do.
    let count = |start: &str| {
        let lines = code.iter().map(|line| line.trim_start());
        lines.filter(|line| line.starts_with(start)).count()
    };
    let alerts = count("- alert:");
    assert!(alerts >= 15, "{alerts}");
    for part in ["expr:", "labels: {severity: ", "summary:", "description:"] {
        assert_eq!(count(part), alerts, "{part}");
    }
    // And is told of in the table of alerts.
    let operations = document("operations.md");
    for line in code
        .iter()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        assert!(operations.contains(&format!("| `{line}` |")), "{line}");
    }
}

#[tokio::test]
async fn requests_errors_and_commits_are_counted() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut client = RawClient::connect(server.kafka).await;
    topic(&mut client, "t", &[]).await;
    for _ in 0..3 {
        let bytes = batch(BatchOptions::default(), &["value"]);
        client.call(&produce("t", -1, bytes.clone()), PRODUCE).await;
        let refused = client.call(&produce("nosuch", -1, bytes), PRODUCE).await;
        // UNKNOWN_TOPIC_OR_PARTITION
        assert_eq!(refused.responses[0].partition_responses[0].error_code, 3);
    }
    client.call(&fetch("t", 999, 0), FETCH).await;
    let (_, page) = server.get("/metrics");
    let count = |sample: &str| value(&page, sample) as u64;
    let requests = "kafka_network_requestmetrics_requests_total";
    assert_eq!(count(&format!("{requests}{{request=\"Produce\"}}")), 6);
    let errors = "kafka_network_requestmetrics_errors_total";
    let unknown = "request=\"Produce\",error=\"UNKNOWN_TOPIC_OR_PARTITION\"";
    assert_eq!(count(&format!("{errors}{{{unknown}}}")), 3);
    let beyond = "request=\"Fetch\",error=\"OFFSET_OUT_OF_RANGE\"";
    assert_eq!(count(&format!("{errors}{{{beyond}}}")), 1);
    let times = "kafka_network_requestmetrics_totaltimems";
    assert_eq!(count(&format!("{times}_count{{request=\"Produce\"}}")), 6);
    let all = format!("{times}_bucket{{le=\"+Inf\",request=\"Produce\"}}");
    assert_eq!(count(&all), 6);
    assert!(count("watertable_commit_seconds_count") >= 3);
    assert_eq!(count("watertable_requests_in_flight"), 0);
    assert!(count("watertable_disk_free_bytes") > 0);
    assert!(count("watertable_disk_total_bytes") >= count("watertable_disk_free_bytes"));
    assert_eq!(count("watertable_logs"), 1);
    assert!(count("watertable_log_bytes") > 0);
}

#[tokio::test]
async fn coordinators_transactions_and_what_a_start_cut_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let mut client = RawClient::connect(server.kafka).await;
    topic(&mut client, "t", &[]).await;
    let init = InitProducerIdRequest {
        transactional_id: Some("job".to_owned()),
        transaction_timeout_ms: 60_000,
        ..Default::default()
    };
    // The coordinator's topic is made, and loaded, first.
    let find = protocol::messages::FindCoordinatorRequest {
        key_type: 1,
        coordinator_keys: vec!["job".to_owned()],
        ..Default::default()
    };
    loop {
        client.call(&find, 4).await;
        let answer = client.call(&init, 4).await;
        if answer.error_code == 0 {
            break;
        }
        // COORDINATOR_NOT_AVAILABLE, COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR
        assert!([14, 15, 16].contains(&answer.error_code));
    }
    let (_, page) = server.get("/metrics");
    let ids = "watertable_transactional_ids{state=\"Empty\"}";
    assert_eq!(value(&page, ids) as u64, 1);
    let shards = "watertable_coordinator_shards{topic=\"__transaction_state\",state=\"serving\"}";
    assert_eq!(value(&page, shards) as u64, 50);
    assert_eq!(
        value(&page, "watertable_oldest_transaction_seconds") as u64,
        0
    );
    let bytes = batch(BatchOptions::default(), &["value"]);
    client.call(&produce("t", -1, bytes), PRODUCE).await;
    server.signal(Signal::KILL);
    server.end();

    let segment = folder.path().join("logs/t-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    bytes.extend(b"the torn beginning of a batch");
    std::fs::write(&segment, bytes).unwrap();
    let server = Server::start(folder.path(), &[]);
    let (_, page) = server.get("/metrics");
    let cut = "watertable_recovery_losses_total{kind=\"cut\"}";
    assert_eq!(value(&page, cut) as u64, 1);
    assert!(value(&page, "watertable_truncated_bytes_total") > 0.0);
}
