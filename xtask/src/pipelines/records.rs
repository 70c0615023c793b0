//! What lies in topics, read with `watertable consume`, and how far pipelines are in their sources.

use super::machine::Client;
use crate::process;
use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A committed record.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) key: Option<String>,
    pub(super) value: Option<String>,
}

/// The committed records of a topic, each partition in its order.
pub(super) fn of_topic(client: &Client, topic: &str) -> Result<Vec<Record>> {
    let mut command = client.watertable(&["consume", topic, "--from-beginning", "--until-end"])?;
    command.args(["--json", "--isolation", "read-committed"]);
    let lines = process::output(&mut command)?;
    let records = lines.lines().map(serde_json::from_str::<Record>);
    records
        .collect::<Result<_, _>>()
        .context("records of consume")
}

/// The offsets of the last records of all partitions, added up.
pub(super) fn ends(client: &Client, topic: &str) -> Result<i64> {
    // Behind the last record are the ends of transactions, which have offsets too.
    let mut command = client.watertable(&["consume", topic, "--offset", "-100", "--until-end"])?;
    let lines = process::output(command.args(["--format", "%p %o\n"]))?;
    let mut ends: BTreeMap<&str, i64> = BTreeMap::new();
    for line in lines.lines() {
        let (partition, offset) = line.split_once(' ').context("a partition and an offset")?;
        ends.insert(partition, offset.parse()?);
    }
    Ok(ends.values().sum())
}

/// Makes a topic.
pub(super) fn create(client: &Client, topic: &str, partitions: u32) -> Result<()> {
    let partitions = partitions.to_string();
    let create = ["topic", "create", topic, "--partitions", &partitions];
    process::output(&mut client.watertable(&create)?).map(drop)
}

/// How far a pipeline is in one of its sources.
#[derive(Debug)]
pub(super) struct Position {
    /// `topic:ID:PARTITION`, `file:PATH` or `table:NAME`.
    pub(super) place: String,
    pub(super) position: Value,
}

/// Where a pipeline is in its sources, those left out that were forgotten.
pub(super) fn positions(client: &Client, pipeline: &str) -> Result<Vec<Position>> {
    let mut last = BTreeMap::new();
    for record in of_topic(client, "__positions")? {
        let key: Vec<String> = serde_json::from_str(record.key.as_deref().unwrap_or_default())?;
        let [_, of, _, input, place] = <[String; 5]>::try_from(key)
            .ok()
            .context("a key of __positions")?;
        // What has no input is no place: what the pipeline keeps beside.
        if of == pipeline && !input.is_empty() {
            last.insert(place, record.value);
        }
    }
    let mut positions = Vec::new();
    for (place, value) in last {
        if let Some(value) = value {
            let mut value: Value = serde_json::from_str(&value)?;
            let position = value["position"].take();
            positions.push(Position { place, position });
        }
    }
    Ok(positions)
}

/// Which partitions of a topic a pipeline has not read to the end of these records.
pub(super) fn behind(client: &Client, pipeline: &str, records: &[Record]) -> Result<Vec<String>> {
    let mut next = BTreeMap::new();
    for Position { place, position } in positions(client, pipeline)? {
        let partition = place
            .rsplit(':')
            .next()
            .and_then(|partition| partition.parse::<i32>().ok());
        next.insert(
            partition.context("the place of a partition")?,
            position["next"].as_i64().unwrap_or(-1),
        );
    }
    Ok(behind_of(pipeline, records, &next))
}

/// The same, of partitions with what is read next.
pub(super) fn behind_of(
    pipeline: &str,
    records: &[Record],
    next: &BTreeMap<i32, i64>,
) -> Vec<String> {
    let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
    for record in records {
        ends.insert(record.partition, record.offset + 1);
    }
    let behind = ends
        .into_iter()
        .filter(|(partition, end)| next.get(partition) < Some(end));
    behind
        .map(|(partition, end)| {
            let next = next.get(&partition);
            format!("{pipeline} is at {next:?} of partition {partition}, which ends at {end}")
        })
        .collect()
}
