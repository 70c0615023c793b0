//! Topic to topic, twice: four partitions that are written all the time become three, whose transactions become two. Bad records
//! are dead letters, each once.

use super::ledger::{Came, Ledger, Put};
use super::machine::Machine;
use super::produce::{Producer, SEPARATOR};
use super::records::{self, Record};
use super::{Hop, Input, Part, RETRY, Writer};
use crate::random::Random;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

const IN: &str = "kills.in";
const MID: &str = "kills.mid";
const OUT: &str = "kills.out";
const FIRST: &str = "first_hop";
const SECOND: &str = "second_hop";
const PARTITIONS: u32 = 4;
const KEYS: u64 = 50;
/// Lines a round.
const LINES: u64 = 12;

#[derive(Debug)]
pub(super) struct Topics;

impl Hop for Topics {
    fn name(&self) -> &'static str {
        "topic → topic"
    }

    fn prepare(&self, machine: &Machine) -> Result<Vec<(&'static str, String)>> {
        records::create(&machine.client(), IN, PARTITIONS)?;
        let first = pipeline(FIRST, IN, "n * 2", MID, 3);
        let second = pipeline(SECOND, MID, "n + 1", OUT, 2);
        Ok(vec![(FIRST, first), (SECOND, second)])
    }

    fn progress(&self, machine: &Machine) -> Result<i64> {
        records::ends(&machine.client(), OUT)
    }

    fn writer(&self, machine: &Machine, seed: u64) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Lines {
            producer: Producer::new(&machine.client(), IN)?,
            random: Random::new(seed),
            next: 0,
        }))
    }

    fn compare(&self, machine: &Machine, _input: &Input) -> Result<Vec<Part>> {
        let (put, mid) = (
            records::of_topic(&machine.client(), IN)?,
            records::of_topic(&machine.client(), MID)?,
        );
        let out = records::of_topic(&machine.client(), OUT)?;
        let dead = records::of_topic(&machine.client(), &format!("{FIRST}.dead"))?;
        let mut first = Ledger::of(&good(&put, |n| n * 2)?, &came(&mid)?);
        let mut second = Ledger::of(&good(&mid, |n| n + 1)?, &came(&out)?);
        for behind in records::behind(&machine.client(), FIRST, &put)? {
            first.is_behind(behind);
        }
        for behind in records::behind(&machine.client(), SECOND, &mid)? {
            second.is_behind(behind);
        }
        Ok(vec![
            Part::records("first hop", first),
            Part::records("second hop", second),
            Part::dead(
                "first hop",
                Ledger::of(&bad(FIRST, IN, &put, false), &dead_letters(&dead)?),
            ),
        ])
    }
}

fn pipeline(name: &str, from: &str, n: &str, to: &str, partitions: u32) -> String {
    format!(
        "format: 1\npipeline: {name}\n{RETRY}
from:
  input:
    topic: {{ name: {from} }}
    columns: {{ id: bigint not null, k: text, n: bigint }}
sql: SELECT id, k, {n} AS n FROM input
checks:
  - accepted_range: {{ column: n, min: 0 }}
to:
  topic: {{ name: {to}, key: k, partitions: {partitions} }}
"
    )
}

/// Records as they are put in: mostly good ones, some that a check refuses, some that are nothing.
pub(super) struct Lines {
    pub(super) producer: Producer,
    pub(super) random: Random,
    pub(super) next: u64,
}

impl Writer for Lines {
    fn write(&mut self) -> Result<()> {
        let mut lines = String::new();
        for _ in 0..LINES {
            self.next += 1;
            let (id, key) = (self.next, self.random.below(KEYS));
            let n = i64::try_from(self.random.below(1000))?;
            let n = if self.random.below(30) == 0 {
                -1 - n
            } else {
                n
            };
            if self.random.below(60) == 0 {
                writeln!(lines, "{key}{SEPARATOR}no JSON, {id}")?;
            } else {
                writeln!(
                    lines,
                    "{key}{SEPARATOR}{{\"id\":{id},\"k\":\"{key}\",\"n\":{n}}}"
                )?;
            }
        }
        self.producer.write(&lines)
    }

    fn finish(&mut self) -> Result<Input> {
        self.producer.finish()?;
        Ok(Input::default())
    }
}

/// The number of a record that passes.
fn number(record: &Record) -> Option<(u64, i64)> {
    let value: Value = serde_json::from_str(record.value.as_deref()?).ok()?;
    let (id, n) = (value["id"].as_u64()?, value["n"].as_i64()?);
    (n >= 0).then_some((id, n))
}

fn good(records: &[Record], then: impl Fn(i64) -> i64) -> Result<BTreeMap<String, Put>> {
    let mut put = BTreeMap::new();
    for record in records {
        let Some((id, n)) = number(record) else {
            continue;
        };
        let key = record.key.as_deref().context("a key")?;
        let expected = Put {
            body: format!("{{\"id\":{id},\"k\":\"{key}\",\"n\":{}}}", then(n)),
            place: format!("partition {}", record.partition),
            number: record.offset,
            is_needed: true,
            may_repeat: false,
        };
        put.insert(id.to_string(), expected);
    }
    Ok(put)
}

fn came(records: &[Record]) -> Result<Vec<Came>> {
    let came = records.iter().map(|record| {
        let body = record.value.clone().context("a value")?;
        let value: Value = serde_json::from_str(&body)?;
        Ok(Came {
            id: value["id"].to_string(),
            body,
            lies_in: record.partition.into(),
        })
    });
    came.collect()
}

/// The dead letters that have to be there for these records, by their keys.
pub(super) fn bad(
    pipeline: &str,
    topic: &str,
    records: &[Record],
    may_repeat: bool,
) -> BTreeMap<String, Put> {
    let bad = records
        .iter()
        .filter(|record| record.value.is_some() && number(record).is_none());
    let bad = bad.map(|record| {
        let Record {
            partition, offset, ..
        } = record;
        let is_json = record
            .value
            .as_deref()
            .is_some_and(|value| value.starts_with('{'));
        let reason = if is_json {
            "accepted_range(n)"
        } else {
            "decode"
        };
        let put = Put {
            body: reason.to_owned(),
            place: format!("partition {partition}"),
            number: *offset,
            is_needed: true,
            may_repeat,
        };
        (
            format!("[\"{pipeline}\",\"{topic}\",{partition},{offset}]"),
            put,
        )
    });
    bad.collect()
}

pub(super) fn dead_letters(records: &[Record]) -> Result<Vec<Came>> {
    let letters = records.iter().map(|record| {
        let value: Value = serde_json::from_str(record.value.as_deref().context("a value")?)?;
        Ok(Came {
            id: record.key.clone().context("a key")?,
            body: value["reason"].as_str().unwrap_or_default().to_owned(),
            lies_in: record.partition.into(),
        })
    });
    letters.collect()
}
