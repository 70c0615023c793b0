//! `cargo xtask clients`: the compatibility matrix. Each client's program (`clients/`, conventions in its README) runs
//! all rows against one broker and prints one JSON line per row; this module starts them, gathers the cells, and says
//! which are missing, failed or explained. A cell that no program answered is a failed cell.

mod report;

pub(crate) use report::{replace as replace_section, table};

use crate::server::{Against, Server};
use crate::{dump_log, install, kafka, process, workspace};
use anyhow::{Context, Result, bail};
use process::Running;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A program that has not ended by then hangs; its rows have limits of their own.
const PROGRAM_LIMIT: Duration = Duration::from_secs(300);

/// Programs mostly wait, so a few run at once; more would make the deadlines of rows too tight on two cores.
const PROGRAMS_AT_ONCE: usize = 3;

/// Records that a row with a codec produces.
const RECORDS_PER_ROW: u64 = 200;

/// Rows of the matrix and what the table calls them.
pub(crate) const ROWS: [(&str, &str); 34] = [
    ("topic-create", "create a topic, with settings"),
    ("topic-list", "list topics"),
    ("topic-describe", "describe a topic"),
    ("topic-delete", "delete a topic"),
    ("produce-acks-0-none", "produce, acks 0, no compression"),
    ("produce-acks-0-gzip", "produce, acks 0, gzip"),
    ("produce-acks-0-snappy", "produce, acks 0, snappy"),
    ("produce-acks-0-lz4", "produce, acks 0, lz4"),
    ("produce-acks-0-zstd", "produce, acks 0, zstd"),
    ("produce-acks-1-none", "produce, acks 1, no compression"),
    ("produce-acks-1-gzip", "produce, acks 1, gzip"),
    ("produce-acks-1-snappy", "produce, acks 1, snappy"),
    ("produce-acks-1-lz4", "produce, acks 1, lz4"),
    ("produce-acks-1-zstd", "produce, acks 1, zstd"),
    ("produce-acks-all-none", "produce, acks all, no compression"),
    ("produce-acks-all-gzip", "produce, acks all, gzip"),
    ("produce-acks-all-snappy", "produce, acks all, snappy"),
    ("produce-acks-all-lz4", "produce, acks all, lz4"),
    ("produce-acks-all-zstd", "produce, acks all, zstd"),
    ("produce-idempotent", "produce, idempotent"),
    ("consume-assign", "consume assigned partitions"),
    ("consume-group", "consume as a group"),
    ("rebalance", "three members join and leave"),
    (
        "consumer-protocol",
        "three members join and leave, group.protocol=consumer",
    ),
    ("commit-resume", "commit and resume"),
    ("seek-time", "seek to a time"),
    ("headers", "headers"),
    ("null-key-value", "null and empty keys and values"),
    (
        "large-message-refused",
        "10 MiB refused with the right error",
    ),
    ("large-message-accepted", "10 MiB accepted when allowed"),
    ("transactions", "transactions, committed and aborted"),
    ("transaction-fenced", "a newer producer fences the older"),
    ("transaction-offsets", "consumer offsets in a transaction"),
    ("share-group", "share group, with records released"),
];

/// How the program of a client is started, once it is installed.
pub(crate) type Prepare = fn() -> Result<Command>;

/// Clients of the matrix, the slowest program first.
const CLIENTS: [(&str, Prepare); 9] = [
    ("java-tools", || {
        let mut command = python_program("java-tools")?;
        command.env("KAFKA_CLASS_PATH", kafka::class_path()?);
        Ok(command)
    }),
    ("kafka-python", || python_program("kafka-python")),
    ("java", || {
        let mut command = Command::new("java");
        command
            .args([
                "-Xmx512M",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
                "-cp",
            ])
            .arg(install::java_client()?)
            .arg("Matrix");
        Ok(command)
    }),
    ("kcat", || {
        install::kcat()?;
        python_program("kcat")
    }),
    ("sarama", || {
        Ok(Command::new(install::go_program("sarama")?))
    }),
    ("kafkajs", || {
        let mut command = Command::new("node");
        command
            .arg(install::kafkajs()?.join("main.js"))
            .env("KAFKAJS_NO_PARTITIONER_WARNING", "1");
        Ok(command)
    }),
    ("franz-go", || {
        Ok(Command::new(install::go_program("franz-go")?))
    }),
    ("confluent-kafka", || python_program("confluent-kafka")),
    ("aiokafka", || python_program("aiokafka")),
];

#[derive(clap::Args, Debug)]
pub(crate) struct ClientsArguments {
    /// Run against this broker instead of starting one
    #[arg(long)]
    bootstrap: Option<String>,
    /// The broker to start
    #[arg(long, value_enum, default_value_t = Against::Watertable)]
    against: Against,
    /// Only these clients
    #[arg(long)]
    only: Vec<String>,
    /// Only these rows
    #[arg(long)]
    row: Vec<String>,
}

/// What a program says about one row.
#[derive(Deserialize, Debug, Clone)]
pub(crate) struct Cell {
    client: String,
    version: String,
    row: String,
    pub(crate) outcome: Outcome,
    pub(crate) detail: String,
}

#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Pass,
    Fail,
    /// The client itself lacks the feature.
    NotSupported,
}

/// Cells by client and row.
pub(crate) type Matrix = BTreeMap<(String, String), Cell>;

#[derive(Deserialize, Debug)]
struct ExplainedFile {
    cell: Vec<Explained>,
}

/// A failing cell with a known reason (`clients/explained.toml`).
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Explained {
    client: String,
    row: String,
    reason: String,
    against: Option<String>,
}

/// Checks that were made, for a summary.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Counts {
    pub(crate) const ONE: Self = Self {
        passed: 1,
        failed: 0,
    };
}

pub(crate) fn run(arguments: &ClientsArguments) -> Result<()> {
    let counts = run_matrix(arguments)?;
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if counts.failed > 0 {
        bail!("{} cells of the matrix failed", counts.failed);
    }
    Ok(())
}

/// The whole matrix against a broker of our own, with the report written.
pub(crate) fn run_all(against: Against) -> Result<Counts> {
    run_matrix(&ClientsArguments {
        bootstrap: None,
        against,
        only: Vec::new(),
        row: Vec::new(),
    })
}

fn run_matrix(arguments: &ClientsArguments) -> Result<Counts> {
    let programs = prepare(&arguments.only)?;
    let rows = rows(&arguments.row)?;
    let folder = workspace::target().join("xtask/run-clients");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let server = match arguments.bootstrap {
        Some(_) => None,
        None => Some(Server::start(arguments.against, folder.join("broker"))?),
    };
    let bootstrap = match (&arguments.bootstrap, &server) {
        (Some(address), _) => address.clone(),
        (None, Some(server)) => server.bootstrap(),
        (None, None) => unreachable!("a server was started"),
    };
    let matrix = run_programs(programs, &bootstrap, &rows, &folder)?;
    let explained = explained(arguments.against)?;
    let counts = judge(&matrix, &explained);
    if let Some(server) = server {
        let data_dir = server.stop()?;
        if arguments.only.is_empty() && arguments.row.is_empty() {
            report::write(arguments.against, &matrix, &explained)?;
        }
        check_codecs(&data_dir)?;
    }
    Ok(counts)
}

fn python_program(name: &str) -> Result<Command> {
    let mut command = Command::new(install::python()?);
    command
        .arg("-u")
        .arg(install::clients().join(name).join("main.py"));
    Ok(command)
}

/// Installs the chosen clients.
fn prepare(only: &[String]) -> Result<Vec<(&'static str, Command)>> {
    if let Some(unknown) = only
        .iter()
        .find(|name| !CLIENTS.iter().any(|(client, _)| client == *name))
    {
        let names: Vec<_> = CLIENTS.iter().map(|(client, _)| *client).collect();
        bail!("no client {unknown}; there are {}", names.join(", "));
    }
    CLIENTS
        .iter()
        .filter(|(client, _)| only.is_empty() || only.iter().any(|name| name == client))
        .map(|(client, prepare)| {
            Ok((
                *client,
                prepare().with_context(|| format!("prepare {client}"))?,
            ))
        })
        .collect()
}

fn rows(chosen: &[String]) -> Result<Vec<&'static str>> {
    if let Some(unknown) = chosen
        .iter()
        .find(|name| !ROWS.iter().any(|(row, _)| row == *name))
    {
        let names: Vec<_> = ROWS.iter().map(|(row, _)| *row).collect();
        bail!("no row {unknown}; there are {}", names.join(", "));
    }
    let rows = ROWS.iter().map(|(row, _)| *row);
    Ok(rows
        .filter(|row| chosen.is_empty() || chosen.iter().any(|name| name == row))
        .collect())
}

/// Runs the programs, some at a time, and gathers a cell for every client and row.
pub(crate) fn run_programs(
    programs: Vec<(&'static str, Command)>,
    bootstrap: &str,
    rows: &[&'static str],
    folder: &Path,
) -> Result<Matrix> {
    // Topics of an earlier run against the same broker must not be in the way.
    let run = format!("m{}", std::process::id());
    let queue = Mutex::new(programs.into_iter());
    let matrix = Mutex::new(Matrix::new());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..PROGRAMS_AT_ONCE)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    loop {
                        let next = queue
                            .lock()
                            .expect("no worker panics with the queue")
                            .next();
                        let Some((client, mut command)) = next else {
                            return Ok(());
                        };
                        command.args([
                            "--bootstrap",
                            bootstrap,
                            "--run",
                            &run,
                            "--rows",
                            &rows.join(","),
                        ]);
                        let cells = run_program(client, &mut command, rows, folder)?;
                        matrix
                            .lock()
                            .expect("no worker panics with the matrix")
                            .extend(
                                cells
                                    .into_iter()
                                    .map(|cell| ((cell.client.clone(), cell.row.clone()), cell)),
                            );
                    }
                })
            })
            .collect();
        for worker in workers {
            worker
                .join()
                .expect("workers return errors, they do not panic")?;
        }
        anyhow::Ok(())
    })?;
    Ok(matrix.into_inner().expect("no worker panicked"))
}

pub(crate) fn run_program(
    client: &str,
    command: &mut Command,
    rows: &[&str],
    folder: &Path,
) -> Result<Vec<Cell>> {
    let output = folder.join(format!("{client}.jsonl"));
    let errors = folder.join(format!("{client}.log"));
    let started = Instant::now();
    let mut process = Running::start(
        command
            .stdin(Stdio::null())
            .stdout(fs::File::create(&output)?)
            .stderr(fs::File::create(&errors)?),
    )?;
    let ended = process.wait(PROGRAM_LIMIT);
    let mut cells = read_cells(&output)?;
    let version = cells
        .first()
        .map_or_else(String::new, |cell| cell.version.clone());
    for row in rows {
        if cells.iter().any(|cell| cell.row == *row) {
            continue;
        }
        let detail = match &ended {
            Ok(status) => format!(
                "the program ended with {status} before this row; see {}",
                errors.display()
            ),
            Err(error) => format!("{error} (in this row or before it)"),
        };
        cells.push(Cell {
            client: client.to_owned(),
            version: version.clone(),
            row: (*row).to_owned(),
            outcome: Outcome::Fail,
            detail,
        });
    }
    let count = |outcome| cells.iter().filter(|cell| cell.outcome == outcome).count();
    println!(
        "{client} {version}: {} passed, {} failed, {} not supported, {:.0} s",
        count(Outcome::Pass),
        count(Outcome::Fail),
        count(Outcome::NotSupported),
        started.elapsed().as_secs_f64()
    );
    Ok(cells)
}

/// The lines of a program's output that are cells; anything else would be a bug of the program.
fn read_cells(output: &PathBuf) -> Result<Vec<Cell>> {
    fs::read_to_string(output)?
        .lines()
        .map(|line| {
            serde_json::from_str(line)
                .with_context(|| format!("{}: not a cell: {line}", output.display()))
        })
        .collect()
}

fn explained(against: Against) -> Result<Vec<Explained>> {
    let path = install::clients().join("explained.toml");
    let file: ExplainedFile =
        toml::from_str(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())?;
    let applies = |cell: &Explained| {
        cell.against
            .as_deref()
            .is_none_or(|name| name == against.name())
    };
    Ok(file.cell.into_iter().filter(applies).collect())
}

/// Prints every failing cell and every explanation that no longer holds; both count as failed, explained cells do not.
pub(crate) fn judge(matrix: &Matrix, explained: &[Explained]) -> Counts {
    let mut counts = Counts::default();
    for ((client, row), cell) in matrix {
        let reason = explained
            .iter()
            .find(|known| known.client == *client && known.row == *row);
        match (cell.outcome, reason) {
            (Outcome::Fail, None) => {
                println!("FAILED {client} {row}: {}", cell.detail);
                counts.failed += 1;
            }
            (Outcome::Fail, Some(known)) => println!("explained {client} {row}: {}", known.reason),
            (Outcome::Pass | Outcome::NotSupported, Some(_)) => {
                println!(
                    "FAILED {client} {row}: does not fail, but clients/explained.toml explains why it would"
                );
                counts.failed += 1;
            }
            (Outcome::Pass, None) => counts.passed += 1,
            (Outcome::NotSupported, None) => {}
        }
    }
    counts
}

/// Kafka's own reader must find the records of every row that produces with a codec, in that codec: a client that
/// quietly sent something else proves nothing.
fn check_codecs(data_dir: &Path) -> Result<()> {
    let mut logs = dump_log::logs(data_dir)?;
    logs.retain(|log| codec_of(&log.partition).is_some());
    let dumped = dump_log::dump(&logs, true)?;
    let mut records: BTreeMap<&str, u64> = BTreeMap::new();
    for log in &dumped {
        let other = log
            .codecs
            .iter()
            .find(|found| codec_of(&log.partition) != Some(found));
        if let Some(other) = other {
            bail!("{} holds {other} batches", log.partition);
        }
        let topic = log
            .partition
            .rsplit_once('-')
            .map_or("", |(topic, _)| topic);
        *records.entry(topic).or_default() += log.records;
    }
    if let Some((topic, count)) = records.iter().find(|(_, count)| **count != RECORDS_PER_ROW) {
        bail!("Kafka's reader finds {count} records of {topic}");
    }
    println!(
        "kafka-dump-log: {} logs of {} topics hold what they should, in the codec asked for",
        logs.len(),
        records.len()
    );
    Ok(())
}

/// The codec that the row of a partition asked for: its topic ends with `-produce-acks-ACKS-CODEC`.
fn codec_of(partition: &str) -> Option<&str> {
    let (topic, _) = partition.rsplit_once('-')?;
    let (_, acks_and_codec) = topic.split_once("-produce-acks-")?;
    acks_and_codec.split_once('-').map(|(_, codec)| codec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(outcome: Outcome) -> Matrix {
        let cell = Cell {
            client: "c".to_owned(),
            version: "1".to_owned(),
            row: "headers".to_owned(),
            outcome,
            detail: String::new(),
        };
        Matrix::from([(("c".to_owned(), "headers".to_owned()), cell)])
    }

    #[test]
    fn a_failing_cell_counts_unless_it_is_explained_and_an_explanation_must_still_hold() {
        let known = Explained {
            client: "c".to_owned(),
            row: "headers".to_owned(),
            reason: "known".to_owned(),
            against: None,
        };
        let cases = [
            (Outcome::Pass, false, (1, 0)),
            (Outcome::Fail, false, (0, 1)),
            (Outcome::NotSupported, false, (0, 0)),
            (Outcome::Fail, true, (0, 0)),
            (Outcome::Pass, true, (0, 1)),
            (Outcome::NotSupported, true, (0, 1)),
        ];
        for (outcome, explained, expected) in cases {
            let list = if explained {
                std::slice::from_ref(&known)
            } else {
                &[]
            };
            let counts = judge(&matrix(outcome), list);
            assert_eq!(
                (counts.passed, counts.failed),
                expected,
                "{outcome:?}, explained: {explained}"
            );
        }
    }

    #[test]
    fn the_codec_asked_for_is_in_the_name_of_a_partition() {
        assert_eq!(
            codec_of("m1-kafka-python-produce-acks-all-lz4-2"),
            Some("lz4")
        );
        assert_eq!(codec_of("m1-kafka-python-produce-idempotent-2"), None);
        assert_eq!(codec_of("__consumer_offsets-17"), None);
    }

    #[test]
    fn a_program_that_ends_early_leaves_failed_cells() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("xtask-clients-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let line = r#"{"client":"c","version":"1","row":"headers","outcome":"pass","detail":"","seconds":0.1}"#;
        let mut program = Command::new("echo");
        program.arg(line);
        let cells = run_program("c", &mut program, &["headers", "rebalance"], &folder)?;
        fs::remove_dir_all(&folder)?;
        let outcomes: Vec<_> = cells
            .iter()
            .map(|cell| (cell.row.as_str(), cell.outcome))
            .collect();
        assert_eq!(
            outcomes,
            [("headers", Outcome::Pass), ("rebalance", Outcome::Fail)]
        );
        Ok(())
    }
}
