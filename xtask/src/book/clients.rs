//! The examples that are no pipelines: questions in psql (B7, B20), Kafka's console tools (B16), and members of a group (B17).

use super::answers::{self, Answer};
use super::data::Data;
use super::pipelines;
use super::stage::{Record, Stage, WORK_LIMIT};
use super::transactions::PARTITIONS;
use crate::kafka;
use crate::process::{self, Running};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

const STOP_LIMIT: Duration = Duration::from_secs(20);

/// B7: the questions about the cleaned trips, each with its answer.
pub(super) fn b7(stage: &mut Stage, data: &Data) -> Result<()> {
    pipelines::clean_trips(stage)?;
    ask(stage, answers::of_trips(data))
}

/// B20: a topic of three partitions is one table.
pub(super) fn b20(stage: &mut Stage, data: &Data) -> Result<()> {
    let topic = "transactions";
    create(stage, topic)?;
    let lines = fs::read(stage.data.join("transactions.txt"))?;
    let mut produce = stage.watertable(&["produce", topic, "-k", ":"])?;
    process::output_of(&mut produce, &lines)?;
    let contract = workspace::root().join("book/b20/contract.json");
    let mut set = stage.watertable(&["topic", "contract", "set", topic])?;
    process::output(set.arg(contract))?;
    ask(stage, answers::of_transactions(data))
}

fn create(stage: &Stage, topic: &str) -> Result<()> {
    let partitions = PARTITIONS.to_string();
    let create = ["topic", "create", topic, "--partitions", &partitions];
    process::output(&mut stage.watertable(&create)?).map(drop)
}

fn ask(stage: &mut Stage, answers: Vec<Answer>) -> Result<()> {
    for Answer { question, text } in answers {
        let file = workspace::root().join("book").join(question);
        let found = match stage.psql(&file.with_extension("sql")) {
            Ok(found) => found,
            Err(error) => format!("{error:#}"),
        };
        let rows = |text: &str| match text.lines().count().saturating_sub(1) {
            1 => "1 row".to_owned(),
            rows => format!("{rows} rows"),
        };
        if found == text {
            stage.check(question, rows(&found), rows(&text));
        } else {
            stage.check(question, found, text);
        }
    }
    Ok(())
}

/// B16: lines typed into Kafka's console producer come out of its console consumer.
pub(super) fn b16(stage: &mut Stage, _data: &Data) -> Result<()> {
    const TOPIC: &str = "dataengineering";
    let server = ["--bootstrap-server".to_owned(), stage.bootstrap()];
    process::output(kafka::tool("kafka-topics")?.args(&server).args([
        "--create",
        "--topic",
        TOPIC,
        "--partitions",
        "1",
        "--replication-factor",
        "1",
    ]))?;
    let lines: Vec<_> = (1..=10)
        .map(|line| format!("line {line}: it's data"))
        .collect();
    let mut producer = kafka::tool("kafka-console-producer")?;
    producer.args(&server).args(["--topic", TOPIC]);
    process::output_of(&mut producer, (lines.join("\n") + "\n").as_bytes())?;
    let mut consumer = kafka::tool("kafka-console-consumer")?;
    consumer
        .args(&server)
        .args(["--topic", TOPIC, "--from-beginning"]);
    consumer.args([
        "--timeout-ms",
        "20000",
        "--max-messages",
        &lines.len().to_string(),
    ]);
    let read = process::output(&mut consumer)?;
    let same = read.lines().eq(lines.iter().map(String::as_str));
    stage.check("lines read as they were typed, in order", same, true);
    let ours = stage.records(TOPIC)?.len();
    stage.check("records that watertable consume reads", ours, lines.len());
    Ok(())
}

/// A member of a group: a `watertable consume` that writes what it reads to a file.
struct Member {
    process: Running,
    output: PathBuf,
}

impl Member {
    fn start(stage: &Stage, name: &str) -> Result<Self> {
        let output = stage.folder.join(format!("{name}.out"));
        let errors = fs::File::create(stage.folder.join(format!("{name}.log")))?;
        let group = ["--group", "readers", "--from-beginning", "--json"];
        let process = Running::start(
            stage
                .watertable(&["consume", "users"])?
                .args(group)
                .stdin(Stdio::null())
                .stdout(fs::File::create(&output)?)
                .stderr(errors),
        )?;
        Ok(Self { process, output })
    }

    /// What it has read so far; a line that is being written is none yet.
    fn records(&self) -> Result<Vec<Record>> {
        let text = fs::read_to_string(&self.output)?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let records = whole.lines().map(serde_json::from_str::<Record>);
        Ok(records.collect::<Result<_, _>>()?)
    }

    /// Ends it as a person does; it commits what it has read and leaves the group.
    fn leave(&mut self) -> Result<()> {
        let status = self.process.terminate(STOP_LIMIT)?;
        ensure!(status.success(), "a member ended with {status}");
        Ok(())
    }
}

/// B17: of two members of a group one leaves in the middle; together they read every user once, and a second group all again.
pub(super) fn b17(stage: &mut Stage, data: &Data) -> Result<()> {
    create(stage, "users")?;
    let lines = fs::read_to_string(stage.data.join("users.txt"))?;
    let lines: Vec<&str> = lines.lines().collect();
    let (first, second) = lines.split_at(lines.len() / 2);

    let mut one = Member::start(stage, "one")?;
    let other = Member::start(stage, "other")?;
    process::wait_until("a group of two members", WORK_LIMIT, || {
        Ok(members(stage)? == 2)
    })?;
    produce(stage, first)?;
    wait_for(&[&one, &other], first.len())?;
    let shared = !one.records()?.is_empty() && !other.records()?.is_empty();
    stage.check("both members read", shared, true);
    one.leave()?;
    produce(stage, second)?;
    wait_for(&[&one, &other], lines.len())?;

    let mut other = other;
    other.leave()?;
    let mut read = one.records()?;
    read.extend(other.records()?);
    stage.check("users read", read.len(), data.users.len());
    let users: BTreeSet<_> = read
        .iter()
        .filter_map(|record| record.key.clone())
        .collect();
    stage.check("different users read", users.len(), data.users.len());
    let ordered = is_ordered(&one.records()?) && is_ordered(&other.records()?);
    stage.check("each partition in its order", ordered, true);

    let again = ["--group", "others", "--from-beginning", "--until-end"];
    let mut consume = stage.watertable(&["consume", "users", "--json"])?;
    let again = process::output(consume.args(again))?.lines().count();
    stage.check("users read by a second group", again, data.users.len());
    Ok(())
}

fn produce(stage: &Stage, lines: &[&str]) -> Result<()> {
    let mut produce = stage.watertable(&["produce", "users", "-k", ":", "--acks", "all"])?;
    process::output_of(&mut produce, (lines.join("\n") + "\n").as_bytes()).map(drop)
}

/// So many members of the group have partitions.
fn members(stage: &Stage) -> Result<usize> {
    let mut describe = stage.watertable(&["group", "describe", "readers", "--json"])?;
    let output = describe.output().context("start watertable")?;
    let Ok(groups) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else {
        return Ok(0);
    };
    let members = groups[0]["members"].as_array();
    let has_some = |member: &&serde_json::Value| {
        let partitions = member["partitions"].as_array();
        partitions.is_some_and(|partitions| !partitions.is_empty())
    };
    Ok(members.map_or(0, |members| members.iter().filter(has_some).count()))
}

fn wait_for(members: &[&Member], records: usize) -> Result<()> {
    process::wait_until(&format!("{records} users read"), WORK_LIMIT, || {
        let mut read = 0;
        for member in members {
            read += member.records()?.len();
        }
        Ok(read >= records)
    })
}

/// Whether offsets of each partition go up.
fn is_ordered(records: &[Record]) -> bool {
    (0..).take(PARTITIONS as usize).all(|partition: i32| {
        let here = records
            .iter()
            .filter(|record| record.partition == partition);
        let offsets: Vec<_> = here.map(|record| record.offset).collect();
        offsets.is_sorted_by(|one, next| one < next)
    })
}
