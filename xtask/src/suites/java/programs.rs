//! Programs of the Java release whose run is the test: each is compared with what must come out, not with Kafka's output.

use super::Place;
use crate::process::{self, Running};
use crate::{kafka, process as child};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A program that has not ended or done its part by then hangs.
const PROGRAM_LIMIT: Duration = Duration::from_secs(240);

const VERIFIED_RECORDS: usize = 20_000;
const COPIED_RECORDS: usize = 3_000;
const LINES: usize = 400;

type Program = fn(&Place) -> Result<()>;

pub(super) const PROGRAMS: [(&str, Program); 8] = [
    ("ClientCompatibilityTest", compatibility),
    ("VerifiableProducer, VerifiableConsumer, classic", |place| {
        verifiable(place, "classic")
    }),
    (
        "VerifiableProducer, VerifiableConsumer, consumer",
        |place| verifiable(place, "consumer"),
    ),
    ("VerifiableProducer, VerifiableShareConsumer", share),
    ("TransactionalMessageCopier, random aborts", copier),
    ("Streams word count, exactly_once_v2", |place| {
        word_count(place, "classic")
    }),
    (
        "Streams word count, exactly_once_v2, streams group",
        |place| word_count(place, "streams"),
    ),
    ("Connect standalone, file source and sink", connect),
];

/// A program with its output in a file.
struct Started {
    process: Running,
    output: PathBuf,
}

impl Started {
    fn new(place: &Place, name: &str, command: &mut Command) -> Result<Self> {
        let output = place.folder.join(format!("{name}.out"));
        let errors = fs::File::create(place.folder.join(format!("{name}.err")))?;
        let process = Running::start(
            command
                .stdin(Stdio::null())
                .stdout(fs::File::create(&output)?)
                .stderr(errors),
        )?;
        Ok(Self { process, output })
    }

    /// Waits for a clean end and returns what was printed.
    fn ended(mut self) -> Result<String> {
        let status = self.process.wait(PROGRAM_LIMIT)?;
        let text = fs::read_to_string(&self.output)?;
        ensure!(
            status.success(),
            "ended with {status}: {}",
            process::tail(&self.output.with_extension("err"), 5)
        );
        Ok(text)
    }

    fn wait_for(&mut self, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
        let waited = child::wait_until(what, PROGRAM_LIMIT, || {
            if let Some(status) = self.process.ended()? {
                bail!(
                    "ended with {status}: {}",
                    process::tail(&self.output.with_extension("err"), 5)
                );
            }
            holds()
        });
        waited.with_context(|| process::tail(&self.output.with_extension("err"), 3))
    }
}

fn create_topic(place: &Place, name: &str, partitions: u32) -> Result<()> {
    let partitions = partitions.to_string();
    let arguments = ["--create", "--topic", name, "--partitions", &partitions];
    child::output(
        kafka::tool("kafka-topics")?
            .args(["--bootstrap-server", &place.bootstrap])
            .args(arguments),
    )?;
    Ok(())
}

fn compatibility(place: &Place) -> Result<()> {
    let mut command = kafka::tool("kafka-client-compatibility")?;
    command.args([
        "--bootstrap-server",
        &place.bootstrap,
        "--topic",
        "compatibility",
    ]);
    for (name, value) in [
        ("offsets-for-times-supported", "true"),
        ("cluster-id-supported", "true"),
        ("expect-record-too-large-exception", "false"),
        ("num-cluster-nodes", "1"),
        ("create-topics-supported", "true"),
        ("describe-acls-supported", "true"),
        ("describe-configs-supported", "true"),
        ("idempotent-producer-supported", "true"),
    ] {
        command.args([&format!("--{name}"), value]);
    }
    create_topic(place, "compatibility", 1)?;
    Started::new(place, "compatibility", &mut command)?.ended()?;
    Ok(())
}

/// Partition, offset and value of records that a verifiable program names in events of this name.
fn events(text: &str, name: &str) -> Result<Vec<(i64, i64, String)>> {
    let mut found = Vec::new();
    for line in text.lines() {
        // The line that was being written when the program ended.
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if event["name"] != name {
            continue;
        }
        let number = |field: &str| {
            event[field]
                .as_i64()
                .with_context(|| format!("no {field} in {line}"))
        };
        let value = event["value"].as_str().unwrap_or_default().to_owned();
        found.push((number("partition")?, number("offset")?, value));
    }
    found.sort();
    Ok(found)
}

/// Produces and returns what was acknowledged.
fn produced(place: &Place, topic: &str, records: usize) -> Result<Vec<(i64, i64, String)>> {
    let count = records.to_string();
    let mut command = kafka::tool("kafka-verifiable-producer")?;
    command
        .args(["--bootstrap-server", &place.bootstrap, "--topic", topic])
        .args([
            "--max-messages",
            &count,
            "--throughput",
            "-1",
            "--acks",
            "-1",
        ]);
    let text = Started::new(place, &format!("{topic}-producer"), &mut command)?.ended()?;
    let sent = events(&text, "producer_send_success")?;
    ensure!(
        sent.len() == records,
        "{} of {records} were acknowledged",
        sent.len()
    );
    Ok(sent)
}

fn verifiable(place: &Place, protocol: &str) -> Result<()> {
    let topic = format!("verifiable-{protocol}");
    create_topic(place, &topic, 4)?;
    let sent = produced(place, &topic, VERIFIED_RECORDS)?;
    let count = VERIFIED_RECORDS.to_string();
    let mut command = kafka::tool("kafka-verifiable-consumer")?;
    command
        .args(["--bootstrap-server", &place.bootstrap, "--topic", &topic])
        .args(["--group-id", &topic, "--group-protocol", protocol])
        .args(["--max-messages", &count, "--verbose"]);
    let text = Started::new(place, &format!("{topic}-consumer"), &mut command)?.ended()?;
    let read = events(&text, "record_data")?;
    ensure!(
        read == sent,
        "{} records consumed, {} acknowledged, and they differ",
        read.len(),
        sent.len()
    );
    Ok(())
}

/// Two members of a share group get every record once between them.
fn share(place: &Place) -> Result<()> {
    let topic = "verifiable-share";
    create_topic(place, topic, 2)?;
    let mut members = Vec::new();
    for member in ["one", "two"] {
        let mut command = kafka::tool("org.apache.kafka.tools.VerifiableShareConsumer")?;
        command
            .args(["--bootstrap-server", &place.bootstrap, "--topic", topic])
            .args(["--group-id", "verifiable-share", "--verbose"])
            .args([
                "--acknowledgement-mode",
                "sync",
                "--offset-reset-strategy",
                "earliest",
            ]);
        members.push(Started::new(
            place,
            &format!("share-{member}"),
            &mut command,
        )?);
    }
    let sent = produced(place, topic, VERIFIED_RECORDS)?;
    let outputs: Vec<_> = members.iter().map(|member| member.output.clone()).collect();
    let read = || -> Result<Vec<_>> {
        let mut read = Vec::new();
        for output in &outputs {
            read.extend(events(&fs::read_to_string(output)?, "record_data")?);
        }
        read.sort();
        Ok(read)
    };
    members[0].wait_for("all records", || Ok(read()?.len() >= sent.len()))?;
    for member in &mut members {
        member.process.terminate(PROGRAM_LIMIT)?;
    }
    let read = read()?;
    ensure!(
        read == sent,
        "{} records consumed, {} acknowledged, and they differ",
        read.len(),
        sent.len()
    );
    Ok(())
}

/// Values of a topic's committed records, up to its end, sorted.
fn committed(place: &Place, topic: &str, format: &[&str]) -> Result<Vec<String>> {
    let text = child::output(
        kafka::tool("kafka-console-consumer")?
            .args(["--bootstrap-server", &place.bootstrap, "--topic", topic])
            .args(["--from-beginning", "--isolation-level", "read_committed"])
            .args(["--timeout-ms", "8000"])
            .args(format),
    )?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Two copiers, one per input partition, in one group, with aborts at random; then the output has each input once.
fn copier(place: &Place) -> Result<()> {
    let (input, output) = ("copier-input", "copier-output");
    create_topic(place, input, 2)?;
    create_topic(place, output, 3)?;
    let sent = produced(place, input, COPIED_RECORDS)?;
    let mut copiers = Vec::new();
    for partition in ["0", "1"] {
        let mut command = kafka::tool("org.apache.kafka.tools.TransactionalMessageCopier")?;
        command
            .args(["--broker-list", &place.bootstrap])
            .args(["--transactional-id", &format!("copier-{partition}")])
            .args(["--consumer-group", "copier", "--input-topic", input])
            .args(["--input-partition", partition, "--output-topic", output])
            .args(["--transaction-size", "100", "--enable-random-aborts"])
            .args(["--group-mode", "--use-group-metadata"]);
        copiers.push(Started::new(
            place,
            &format!("copier-{partition}"),
            &mut command,
        )?);
    }
    for copier in &mut copiers {
        let status = copier.process.wait(PROGRAM_LIMIT)?;
        ensure!(
            status.success(),
            "a copier ended with {status}: {}",
            process::tail(&copier.output, 3)
        );
    }
    let mut found = committed(place, output, &[])?;
    let mut expected: Vec<_> = sent.into_iter().map(|(_, _, value)| value).collect();
    found.sort();
    expected.sort();
    ensure!(
        found == expected,
        "{} records came out, {} went in, and they differ",
        found.len(),
        expected.len()
    );
    Ok(())
}

/// Kafka's WordCountDemo, killed in the middle and started again: every word's counts go 1, 2, 3 … without gap or repetition.
fn word_count(place: &Place, protocol: &str) -> Result<()> {
    let application = format!("word-count-{protocol}");
    // The demo's topics are fixed, so a second run reads what the first left; its application's name is its own.
    let (input, output) = ("streams-plaintext-input", "streams-wordcount-output");
    for topic in [input, output] {
        let mut command = kafka::tool("kafka-topics")?;
        command.args([
            "--bootstrap-server",
            &place.bootstrap,
            "--delete",
            "--if-exists",
        ]);
        child::output(command.args(["--topic", topic]))?;
        let created = || create_topic(place, topic, 2);
        // A deleted topic's name becomes free a little later.
        child::wait_until("topic created", PROGRAM_LIMIT, || Ok(created().is_ok()))?;
    }
    let settings = place.folder.join(format!("{application}.properties"));
    fs::write(
        &settings,
        format!(
            "bootstrap.servers={}\napplication.id={application}\nprocessing.guarantee=exactly_once_v2\n\
             group.protocol={protocol}\ncommit.interval.ms=200\nstate.dir={}\n",
            place.bootstrap,
            place.folder.join(&application).display()
        ),
    )?;
    let mut command = Command::new("java");
    command
        .args(["-Xmx512M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args([
            kafka::LOG_LEVEL_FLAG,
            "-cp",
            &kafka::resolved("java-suites")?,
        ])
        .arg("org.apache.kafka.streams.examples.wordcount.WordCountDemo")
        .arg(&settings);
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..2 {
        let mut demo = Started::new(place, &format!("{application}-{round}"), &mut command)?;
        let mut text = String::new();
        for line in 0..LINES {
            let words = [
                format!("all{}", line % 3),
                format!("word{}", line % 17),
                "streams".to_owned(),
            ];
            for word in &words {
                *expected.entry(word.clone()).or_default() += 1;
            }
            writeln!(text, "{}", words.join(" "))?;
        }
        let mut producer = kafka::tool("kafka-console-producer")?;
        producer.args(["--bootstrap-server", &place.bootstrap, "--topic", input]);
        child::output_of(&mut producer, text.as_bytes())?;
        if round == 0 {
            // In the middle of its work.
            demo.wait_for("first counts", || Ok(!counts(place, output)?.is_empty()))?;
            demo.process.kill()?;
        } else {
            let all: u64 = expected.values().sum();
            demo.wait_for("all counts", || {
                Ok(counts(place, output)?.len() as u64 >= all)
            })?;
            demo.process.terminate(PROGRAM_LIMIT)?;
        }
    }
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for (word, count) in counts(place, output)? {
        let before = last.insert(word.clone(), count).unwrap_or_default();
        ensure!(count == before + 1, "{word} went from {before} to {count}");
    }
    ensure!(last == expected, "the last counts differ from the words");
    Ok(())
}

/// Committed counts in order of their partitions, so in order per word.
fn counts(place: &Place, topic: &str) -> Result<Vec<(String, u64)>> {
    let format = [
        "--formatter-property",
        "print.key=true",
        "--formatter-property",
        "value.deserializer=org.apache.kafka.common.serialization.LongDeserializer",
    ];
    committed(place, topic, &format)?
        .iter()
        .map(|line| {
            let (word, count) = line.split_once('\t').context("key and value")?;
            Ok((word.to_owned(), count.parse()?))
        })
        .collect()
}

/// A worker with its settings.
fn worker(place: &Place, name: &str, source: &Path, sink: &Path) -> Result<Command> {
    let write = |file: &str, text: String| -> Result<PathBuf> {
        let path = place.folder.join(format!("{name}-{file}.properties"));
        fs::write(&path, text)?;
        Ok(path)
    };
    let converter = "org.apache.kafka.connect.storage.StringConverter";
    let worker = write(
        "worker",
        format!(
            "bootstrap.servers={}\nkey.converter={converter}\nvalue.converter={converter}\n\
             offset.storage.file.filename={}\noffset.flush.interval.ms=500\nlisteners=http://127.0.0.1:{}\n\
             plugin.discovery=only_scan\n",
            place.bootstrap,
            place.folder.join(format!("{name}.offsets")).display(),
            process::free_port()?
        ),
    )?;
    let source = write(
        "source",
        format!(
            "name={name}-source\nconnector.class=org.apache.kafka.connect.file.FileStreamSourceConnector\n\
             tasks.max=1\nfile={}\ntopic={name}\n",
            source.display()
        ),
    )?;
    let sink = write(
        "sink",
        format!(
            "name={name}-sink\nconnector.class=org.apache.kafka.connect.file.FileStreamSinkConnector\n\
             tasks.max=1\nfile={}\ntopics={name}\n",
            sink.display()
        ),
    )?;
    let mut command = Command::new("java");
    command
        .args(["-Xmx512M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args([
            kafka::LOG_LEVEL_FLAG,
            "-cp",
            &kafka::resolved("java-suites")?,
        ])
        .arg("org.apache.kafka.connect.cli.ConnectStandalone")
        .args([worker, source, sink]);
    Ok(command)
}

fn append(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    let mut file = fs::File::options().create(true).append(true).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

fn lines(name: &str, from: usize) -> String {
    (from..from + LINES)
        .map(|line| format!("{name} {line}\n"))
        .collect()
}

/// File to topic to file; more lines after a clean restart.
fn connect(place: &Place) -> Result<()> {
    let (source, sink) = (
        place.folder.join("connect.in"),
        place.folder.join("connect.out"),
    );
    let mut expected = String::new();
    for round in 0..2 {
        let text = lines("connect", round * LINES);
        append(&source, &text)?;
        expected.push_str(&text);
        let mut command = worker(place, "connect", &source, &sink)?;
        let mut started = Started::new(place, &format!("connect-{round}"), &mut command)?;
        started.wait_for("the sink's file", || {
            Ok(fs::read_to_string(&sink).is_ok_and(|text| text.len() >= expected.len()))
        })?;
        started.process.terminate(PROGRAM_LIMIT)?;
    }
    ensure!(fs::read_to_string(&sink)? == expected, "the files differ");
    Ok(())
}
