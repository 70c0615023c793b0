//! The commands against our own broker, as a person or a script uses them.

use std::io::Write;
use std::process::{Output, Stdio};

use crate::server::{Server, short_command};

struct Session {
    server: Server,
    _data: tempfile::TempDir,
}

/// What a command said.
struct Said {
    success: bool,
    out: String,
    err: String,
}

impl Session {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), &[]);
        Self {
            server,
            _data: data,
        }
    }

    fn say(&self, arguments: &[&str], input: &[u8]) -> Said {
        let mut process = short_command()
            .args(arguments)
            .args(["--brokers", &self.server.kafka.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        process.stdin.take().unwrap().write_all(input).unwrap();
        let Output {
            status,
            stdout,
            stderr,
        } = process.wait_with_output().unwrap();
        Said {
            success: status.success(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// The output of a command that must succeed.
    fn ok(&self, arguments: &[&str], input: &[u8]) -> String {
        let said = self.say(arguments, input);
        assert!(said.success, "{arguments:?}: {}", said.err);
        said.out
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        serde_json::from_str(&self.ok(&arguments, b"")).unwrap()
    }

    /// Both lines of a command that must fail.
    fn fails(&self, arguments: &[&str], input: &[u8]) -> (String, String) {
        let said = self.say(arguments, input);
        assert!(!said.success, "{arguments:?}: {}", said.out);
        let mut lines = said.err.lines().map(str::to_owned);
        (
            lines.next().unwrap_or_default(),
            lines.next().unwrap_or_default(),
        )
    }
}

#[test]
fn a_topic_lives_from_create_to_delete() {
    let session = Session::start();
    let created = session.ok(
        &[
            "topic",
            "create",
            "flights",
            "-p",
            "3",
            "-c",
            "retention.ms=5000",
        ],
        b"",
    );
    assert_eq!(created, "flights created with 3 partitions\n");
    let (error, next) = session.fails(&["topic", "create", "flights"], b"");
    assert!(
        error.starts_with("error: cannot create topic 'flights': TOPIC_ALREADY_EXISTS"),
        "{error}"
    );
    assert!(next.starts_with("next: "), "{next}");
    session.ok(&["topic", "create", "flights", "--if-not-exists"], b"");
    assert_eq!(
        session.ok(&["topic", "list", "-q", "fl*"], b""),
        "flights\n"
    );
    session.ok(
        &[
            "topic",
            "alter",
            "flights",
            "--set",
            "retention.ms=6000",
            "--partitions",
            "4",
        ],
        b"",
    );
    let described = session.json(&["topic", "describe", "flights"]);
    assert_eq!(described[0]["configs"]["retention.ms"], "6000");
    assert_eq!(described[0]["partitions"].as_array().unwrap().len(), 4);
    assert_eq!(
        session.ok(&["topic", "delete", "flights"], b""),
        "flights deleted\n"
    );
    session.ok(&["topic", "delete", "flights", "--if-exists"], b"");
    let (error, _) = session.fails(&["topic", "delete", "flights"], b"");
    assert!(error.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{error}");
}

#[test]
fn records_go_in_and_come_out() {
    let session = Session::start();
    session.ok(&["topic", "create", "flights", "-p", "3"], b"");
    session.ok(
        &["produce", "flights", "-k", ":", "-H", "source=test"],
        b"AA:1\nUA:2\nAA:3\n",
    );
    let read = session.ok(
        &["consume", "flights", "--until-end", "-f", "%k=%v %h\\n"],
        b"",
    );
    let mut lines: Vec<&str> = read.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["AA=1 source=test", "AA=3 source=test", "UA=2 source=test"]
    );
    let first = session.ok(&["consume", "flights", "-b", "-n", "1"], b"");
    assert_eq!(first.lines().count(), 1);
    // What one topic holds can be poured into another without loss.
    let lines = session.ok(&["consume", "flights", "--until-end", "--json"], b"");
    session.ok(&["topic", "create", "copy", "-p", "3"], b"");
    session.ok(&["produce", "copy", "--json-lines"], lines.as_bytes());
    let copied = session.ok(&["consume", "copy", "--until-end", "--json"], b"");
    assert_eq!(copied, lines.replace("\"flights\"", "\"copy\""));
    let offsets = session.json(&["topic", "offsets", "copy"]);
    let ends = offsets
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["end"].as_i64().unwrap());
    assert_eq!(ends.sum::<i64>(), 3);
}

/// The words of a command about contracts.
fn contract<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["topic", "contract"][..], more].concat()
}

#[test]
fn a_contract_is_proposed_set_shown_and_dropped() {
    let session = Session::start();
    session.ok(&["topic", "create", "flights", "-p", "3"], b"");
    let infer = contract(&["infer", "flights"]);
    let (error, next) = session.fails(&infer, b"");
    assert!(error.contains("no record with a value"), "{error}");
    assert!(next.contains("produce"), "{next}");
    let (error, next) = session.fails(&contract(&["show", "flights"]), b"");
    assert_eq!(error, "error: topic 'flights' has no contract");
    assert!(next.contains("contract infer flights"), "{next}");

    let records = concat!(
        r#"{"carrier": "UA", "zip": "01234", "delay": 3, "_x": 1}"#,
        "\n",
        r#"{"carrier": "AA", "delay": null, "at": "2013-01-01T10:00:00Z"}"#,
        "\nno json\n"
    );
    session.ok(&["produce", "flights"], records.as_bytes());
    let proposed = session.json(&infer);
    assert_eq!(proposed["records"], 3);
    assert_eq!(proposed["misfits"], 1);
    assert_eq!(proposed["left_out"], serde_json::json!(["_x"]));
    let text = session.ok(&infer, b"");
    assert!(
        text.contains("\n  {\"name\":\"zip\",\"type\":\"text\"}"),
        "{text}"
    );

    let set = contract(&["set", "flights", "-"]);
    let dry_run = [&set[..], &["--dry-run"][..]].concat();
    let said = session.ok(&dry_run, text.as_bytes());
    assert!(said.ends_with("(not done: --dry-run)\n"), "{said}");
    session.fails(&contract(&["show", "flights"]), b"");
    let said = session.ok(&set, text.as_bytes());
    assert_eq!(said, "flights: a contract of 4 columns, json\n");
    assert_eq!(session.ok(&contract(&["show", "flights"]), b""), text);
    let shown = session.json(&contract(&["show", "flights"]));
    assert_eq!(shown["contract"]["format"], "json");

    let wrong = text.replace("timestamptz", "timestampz");
    let (error, next) = session.fails(&set, wrong.as_bytes());
    assert!(
        error.contains("unknown type \"timestampz\"; did you mean timestamptz?"),
        "{error}"
    );
    assert!(next.contains("contract --help"), "{next}");
    assert_eq!(session.ok(&contract(&["show", "flights"]), b""), text);

    session.ok(&contract(&["drop", "flights"]), b"");
    session.fails(&contract(&["show", "flights"]), b"");
    session.fails(&contract(&["drop", "flights"]), b"");
}

#[test]
fn a_group_reads_resumes_and_is_reset() {
    let session = Session::start();
    session.ok(&["topic", "create", "numbers", "-p", "2"], b"");
    let numbers: String = (0..100).map(|number| format!("{number}\n")).collect();
    session.ok(
        &["produce", "numbers", "--batch-size", "100"],
        numbers.as_bytes(),
    );
    let read = |count: usize| {
        let read = session.ok(&["consume", "numbers", "--group", "g", "--until-end"], b"");
        assert_eq!(read.lines().count(), count);
    };
    read(100);
    read(0);
    let described = session.json(&["group", "describe", "g"]);
    assert_eq!(described[0]["lag"], 0);
    assert_eq!(described[0]["state"], "Empty");
    let reset = [
        "group",
        "reset-offsets",
        "g",
        "--topic",
        "numbers",
        "--to-earliest",
    ];
    assert!(session.ok(&reset, b"").contains("dry run"));
    read(0);
    session.ok(&[&reset[..], &["--execute"]].concat(), b"");
    read(100);
    assert_eq!(session.ok(&["group", "list", "-q"], b""), "g\n");
    assert_eq!(described[0]["type"], "classic");
    let forget = ["group", "delete-offsets", "g", "--topic", "numbers:1"];
    assert_eq!(session.ok(&forget, b""), "numbers-1 deleted\n");
    let described = session.json(&["group", "describe", "g"]);
    let partitions = described[0]["partitions"].as_array().expect("partitions");
    assert_eq!(partitions.len(), 1, "{partitions:?}");
    session.ok(&["group", "delete", "g"], b"");
    let (error, _) = session.fails(&["group", "describe", "g"], b"");
    assert!(error.contains("GROUP_ID_NOT_FOUND"), "{error}");
}

#[test]
fn the_cluster_is_described_and_healthy() {
    let session = Session::start();
    session.ok(&["topic", "create", "t"], b"");
    let info = session.json(&["cluster", "info", "--apis", "--log-dirs"]);
    assert_eq!(info["brokers"].as_array().unwrap().len(), 1);
    assert!(
        info["apis"]
            .as_array()
            .unwrap()
            .iter()
            .any(|api| api["name"] == "Produce")
    );
    assert_eq!(session.json(&["cluster", "health"])["healthy"], true);
    let config = session.json(&["cluster", "config", "log.retention.ms"]);
    assert_eq!(config[0]["name"], "log.retention.ms");
    let quota = [
        "cluster",
        "config",
        "--client",
        "app",
        "--set",
        "producer_byte_rate=1000000",
    ];
    session.ok(&quota, b"");
    let quotas = session.json(&["cluster", "config", "--client", "app"]);
    assert_eq!(quotas[0]["quotas"]["producer_byte_rate"], 1_000_000.0);
    let (error, _) = session.fails(&["cluster", "config", "no.such.setting"], b"");
    assert!(
        error.contains("there is no setting 'no.such.setting'"),
        "{error}"
    );
}

#[test]
fn the_bench_measures() {
    let session = Session::start();
    let small = ["-n", "2000", "--record-size", "100", "--partitions", "2"];
    let produced = session.json(&[&["bench", "produce"], &small[..]].concat());
    assert_eq!(produced["records"], 2000);
    assert!(produced["batch_latency"]["p99_ms"].as_f64().unwrap() > 0.0);
    let consumed = session.json(&["bench", "consume"]);
    assert_eq!(consumed["records"], 2000);
    assert_eq!(consumed["bytes"], 200_000);
    let latency = session.json(&[
        "bench",
        "latency",
        "--rate",
        "500",
        "--duration",
        "1s",
        "--warm-up",
        "200ms",
    ]);
    assert_eq!(latency["consumed"], 400);
    assert!(latency["ack"]["p50_ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn failures_are_one_sentence_and_a_next_step() {
    let session = Session::start();
    session.ok(&["topic", "create", "flights"], b"");
    let cases: [(&[&str], &str, &str); 5] = [
        (
            &["consume", "fligths", "-e"],
            "there is no topic 'fligths'",
            "did you mean 'flights'?",
        ),
        (
            &["consume", "flights", "-p", "7", "-e"],
            "has no partition 7",
            "topic describe flights",
        ),
        (
            &["produce", "flights", "-k", ":"],
            "it has no key separator ':'",
            "-k",
        ),
        (&["topic", "alter", "flights"], "nothing to change", "--set"),
        (
            &["group", "reset-offsets", "g", "--to-latest"],
            "no topics are chosen",
            "--topic",
        ),
    ];
    for (arguments, error, next) in cases {
        let (first, second) = session.fails(arguments, b"no separator\n");
        assert!(
            first.starts_with("error: ") && first.contains(error),
            "{first}"
        );
        assert!(
            second.starts_with("next: ") && second.contains(next),
            "{second}"
        );
    }
    let said = session.say(&["consume", "fligths", "-e", "--json"], b"");
    let error: serde_json::Value = serde_json::from_str(&said.err).unwrap();
    assert_eq!(error["error"], "there is no topic 'fligths'");
}

#[test]
fn a_dry_run_fails_where_the_deed_would() {
    let session = Session::start();
    session.ok(&["topic", "create", "trips", "--partitions", "2"], b"");
    session.ok(&["produce", "trips", "--partition", "0"], b"one\ntwo\n");
    let beyond = ["topic", "delete-records", "trips", "--before", "1"];
    let dry = [&beyond[..], &["--dry-run"]].concat();
    let promised = session.fails(&dry, b"");
    assert!(
        promised.0.contains("trips-1: OFFSET_OUT_OF_RANGE"),
        "{promised:?}"
    );
    assert_eq!(session.fails(&beyond, b""), promised);
    let first = [
        "topic",
        "delete-records",
        "trips",
        "--before",
        "1",
        "--partition",
        "0",
    ];
    let dry = [&first[..], &["--dry-run"]].concat();
    assert_eq!(session.ok(&dry, b""), session.ok(&first, b""));

    let (error, _) = session.fails(&["topic", "delete", "nothing", "--dry-run"], b"");
    assert!(error.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{error}");
    let (error, _) = session.fails(&["topic", "delete", "nothing"], b"");
    assert!(error.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{error}");
    let said = session.ok(&["topic", "delete", "no*"], b"");
    assert_eq!(said, "nothing to delete: no topic fits no*\n");
}

#[test]
fn an_offset_behind_the_end_is_told_and_says_where_to_look() {
    let session = Session::start();
    session.ok(&["topic", "create", "trips", "--partitions", "2"], b"");
    session.ok(&["produce", "trips", "--partition", "0"], b"one\ntwo\n");
    for more in [&[][..], &["--until-end"]] {
        let beyond = [&["consume", "trips", "--offset", "9"], more].concat();
        let (error, next) = session.fails(&beyond, b"");
        assert_eq!(error, "error: offset 9 of trips-0 is not in the log");
        assert!(next.contains("topic offsets trips"), "{next}");
    }
    // Where one partition has it, the others are told of.
    let said = session.say(&["consume", "trips", "--offset", "1", "--until-end"], b"");
    assert!(said.success, "{}", said.err);
    assert_eq!(said.out, "two\n");
    assert_eq!(said.err, "trips-1 ends at 0, nothing to read from 1\n");
    // The end itself is where the next record will be.
    let said = session.say(&["consume", "trips", "-o", "2", "-p", "0", "-e"], b"");
    assert_eq!((said.success, &*said.out, &*said.err), (true, "", ""));

    let beyond = ["topic", "delete-records", "trips", "--before", "9"];
    let said = session.say(&beyond, b"");
    assert_eq!((said.success, &*said.out), (false, ""));
    let mut lines = said.err.lines();
    let error = "error: cannot delete records of trips-0: OFFSET_OUT_OF_RANGE";
    assert_eq!(lines.next(), Some(error));
    let next = lines.next().unwrap_or_default();
    assert!(
        next.contains("topic offsets trips") && next.contains("--before end"),
        "{next}"
    );
}

#[test]
fn empty_input_is_told_and_hides_no_broker_that_is_not_there() {
    let session = Session::start();
    let said = session.say(&["produce", "trips"], b"");
    assert!(said.success, "{}", said.err);
    assert_eq!(
        said.err,
        "standard input had no records: nothing was produced\n"
    );
    let topics = session.ok(&["topic", "list"], b"");
    assert!(!topics.contains("trips"), "{topics}");
    let said = session.say(&["produce", "trips", "--json-lines", "--json"], b"\n \n");
    assert!(said.success, "{}", said.err);
    let tally: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&tally["records"], &*said.err), (&0.into(), ""));

    let Session { server, _data } = session;
    let brokers = server.kafka.to_string();
    drop(server);
    let output = short_command()
        .args(["produce", "trips", "--brokers", &brokers, "--timeout", "2s"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{error}");
    assert!(error.contains("next: start a broker there"), "{error}");
}

#[test]
fn words_that_mean_nothing_are_refused_with_those_there_are() {
    let session = Session::start();
    for (arguments, known) in [
        (["group", "list", "--state", "Nope"], "Stable, Empty"),
        (["group", "list", "--type", "classsic"], "classic, consumer"),
        (["txn", "list", "--state", "Nope"], "Empty, Ongoing"),
    ] {
        let (error, _) = session.fails(&arguments, b"");
        assert!(error.contains(known), "{error}");
    }
    session.ok(
        &[
            "group",
            "list",
            "--state",
            "stable,EMPTY",
            "--type",
            "Consumer",
        ],
        b"",
    );
}

#[test]
fn a_reader_that_has_seen_enough_ends_us_quietly() {
    let session = Session::start();
    let numbers: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    session.ok(&["produce", "numbers"], numbers.as_bytes());
    let mut process = short_command()
        .args([
            "consume",
            "numbers",
            "-b",
            "--brokers",
            &session.server.kafka.to_string(),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The pipe is closed without reading what is in it.
    drop(process.stdout.take());
    let Output { status, stderr, .. } = process.wait_with_output().unwrap();
    assert!(status.success());
    assert_eq!(String::from_utf8_lossy(&stderr), "");
}

#[test]
fn a_member_that_is_interrupted_leaves_its_group() {
    let session = Session::start();
    session.ok(&["produce", "numbers"], b"1\n2\n");
    let process = crate::server::command()
        .args(["consume", "numbers", "-b", "--group", "g"])
        .args(["--brokers", &session.server.kafka.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
    let lag_is_gone = || {
        let said = session.say(&["group", "describe", "g", "--json"], b"");
        let described: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_default();
        described[0]["state"] == "Stable"
    };
    let deadline = 600;
    let mut tries = 0;
    while !lag_is_gone() {
        tries += 1;
        assert!(tries < deadline, "the member does not join");
    }
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let out = process.wait_with_output().unwrap();
    assert!(out.status.success());
    let described = session.json(&["group", "describe", "g"]);
    // At once, not after the session timeout of 45 s.
    assert_eq!(described[0]["state"], "Empty");
}

/// Opens a transaction with one record in it, and leaves it open.
fn open_transaction(session: &Session, id: &str, topic: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let address = client::parse_addresses(&session.server.kafka.to_string()).unwrap();
        let cluster = client::Cluster::new(address, client::ClientConfig::default());
        let timeout = std::time::Duration::from_secs(60);
        let config = client::ProducerConfig::default();
        let producer = client::TransactionalProducer::init(cluster, id, timeout, config).await;
        let mut producer = producer.unwrap();
        producer.begin().unwrap();
        let record = client::ProducerRecord {
            value: Some(b"pending"),
            ..client::ProducerRecord::default()
        };
        let sent = producer.send(&topic.into(), record).await.unwrap();
        sent.wait().await.unwrap();
    });
}

#[test]
fn transactions_are_shown_and_one_that_hangs_is_aborted() {
    let session = Session::start();
    assert_eq!(session.json(&["txn", "list"]), serde_json::json!([]));
    session.ok(&["topic", "create", "flights"], b"");
    open_transaction(&session, "transfers", "flights");
    let listed = session.json(&["txn", "list", "--state", "Ongoing", "--pattern", "trans.*"]);
    assert_eq!(listed[0]["transactional_id"], "transfers");
    assert_eq!(
        session.json(&["txn", "list", "--longer-than", "1h"]),
        serde_json::json!([])
    );
    let described = session.json(&["txn", "describe", "transfers"]);
    assert_eq!(described[0]["state"], "Ongoing");
    assert_eq!(described[0]["partitions"], serde_json::json!(["flights-0"]));
    assert!(described[0]["duration_ms"].as_i64().unwrap() >= 0);
    let producers = session.json(&["txn", "describe-producers", "flights:0"]);
    assert_eq!(producers[0]["transaction_start_offset"], 0);
    // Its coordinator knows it.
    let hanging = session.json(&["txn", "find-hanging", "--older-than", "0ms"]);
    assert_eq!(hanging, serde_json::json!([]));
    let (error, next) = session.fails(&["txn", "abort", "flights:0", "--start-offset", "7"], b"");
    assert!(
        error.contains("no open transaction of flights-0"),
        "{error}"
    );
    assert!(next.contains("describe-producers flights:0"), "{next}");
    let aborted = session.ok(&["txn", "abort", "flights:0", "--start-offset", "0"], b"");
    assert!(
        aborted.starts_with("aborted the transaction of producer "),
        "{aborted}"
    );
    let producers = session.json(&["txn", "describe-producers", "flights:0"]);
    assert_eq!(
        producers[0]["transaction_start_offset"],
        serde_json::Value::Null
    );
    let (error, _) = session.fails(&["txn", "describe", "nobody"], b"");
    assert!(error.contains("TRANSACTIONAL_ID_NOT_FOUND"), "{error}");
    let text = session.ok(&["txn", "list"], b"");
    assert!(text.contains("transfers"), "{text}");
}

#[test]
fn a_transaction_whose_coordinator_was_deleted_is_found_and_ended() {
    let session = Session::start();
    session.ok(&["topic", "create", "flights"], b"");
    open_transaction(&session, "transfers", "flights");
    session.ok(&["produce", "flights"], b"behind it\n");
    session.ok(&["topic", "delete", "__transaction_state"], b"");
    // Nobody is left who would end it, and readers of what is committed wait for it.
    let committed = [
        "consume",
        "flights",
        "--isolation",
        "read-committed",
        "--until-end",
    ];
    assert_eq!(session.ok(&committed, b""), "");
    let find = ["txn", "find-hanging", "--older-than", "0ms"];
    let hanging = session.json(&find);
    assert_eq!(hanging[0]["topic"], "flights", "{hanging}");
    assert_eq!(hanging[0]["start_offset"], 0);
    // The producer that comes back has another id: it neither ends the old transaction nor is in its way.
    open_transaction(&session, "transfers", "flights");
    let still = session.json(&find);
    assert_eq!(still.as_array().map(Vec::len), Some(1), "{still}");
    assert_eq!(still[0]["producer_id"], hanging[0]["producer_id"]);

    session.ok(&["txn", "abort", "flights:0", "--start-offset", "0"], b"");
    assert_eq!(session.json(&find), serde_json::json!([]));
    assert_eq!(session.ok(&committed, b""), "behind it\n");
}
