//! Topic to PostgreSQL: one table that rows are added to, and one whose rows are replaced and, by records without a value, deleted.
//! The database is killed too.

use super::ledger::{Came, Ledger, Put};
use super::machine::Machine;
use super::produce::{NOTHING, Producer, SEPARATOR};
use super::records::{self, Record};
use super::topics::{bad, dead_letters};
use super::{Hop, Input, Part, RETRY, Writer};
use crate::postgres;
use crate::random::Random;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

const IN: &str = "rows.in";
const ADD: &str = "rows_added";
const KEEP: &str = "rows_kept";
const PARTITIONS: u32 = 3;
const KEYS: u64 = 150;
/// Lines a round.
const LINES: u64 = 8;

const TABLES: &str = "
CREATE TABLE added (id bigint, k bigint, n bigint, place bigserial);
CREATE TABLE kept (k bigint PRIMARY KEY, id bigint, n bigint);";

#[derive(Debug)]
pub(super) struct Table;

impl Hop for Table {
    fn name(&self) -> &'static str {
        "topic → PostgreSQL"
    }

    fn has_database(&self) -> bool {
        true
    }

    fn prepare(&self, machine: &Machine) -> Result<Vec<(&'static str, String)>> {
        records::create(&machine.client(), IN, PARTITIONS)?;
        let database = machine.database()?;
        postgres::ask(&database, "postgres", TABLES)?;
        let append = pipeline(ADD, &database, "added", "mode: append");
        let upsert = pipeline(KEEP, &database, "kept", "mode: upsert, key: k");
        Ok(vec![(ADD, append), (KEEP, upsert)])
    }

    fn progress(&self, machine: &Machine) -> Result<i64> {
        let count = "SELECT count(*) FROM added";
        let count = postgres::ask(&machine.database()?, "postgres", count)?;
        Ok(count.trim().parse()?)
    }

    fn writer(&self, machine: &Machine, seed: u64) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Changes {
            producer: Producer::new(&machine.client(), IN)?,
            random: Random::new(seed),
            next: 0,
        }))
    }

    fn compare(&self, machine: &Machine, _input: &Input) -> Result<Vec<Part>> {
        let put = records::of_topic(&machine.client(), IN)?;
        let database = machine.database()?;
        let added = postgres::ask(
            &database,
            "postgres",
            "SELECT id, id, k, n FROM added ORDER BY place",
        )?;
        let kept = postgres::ask(&database, "postgres", "SELECT k, id, k, n FROM kept")?;
        let mut add = Ledger::of(&all(&put), &rows(&added)?);
        let mut keep = Ledger::of(&last(&put), &rows(&kept)?);
        for (ledger, pipeline) in [(&mut add, ADD), (&mut keep, KEEP)] {
            let next = offsets(&database, pipeline)?;
            for behind in records::behind_of(pipeline, &put, &next) {
                ledger.is_behind(behind);
            }
        }
        let mut parts = vec![
            Part::records("rows added", add),
            Part::records("rows kept", keep),
        ];
        for pipeline in [ADD, KEEP] {
            let dead = records::of_topic(&machine.client(), &format!("{pipeline}.dead"))?;
            // They are written before the rows: a crash in between may repeat one.
            let ledger = Ledger::of(&bad(pipeline, IN, &put, true), &dead_letters(&dead)?);
            parts.push(Part::dead(pipeline, ledger));
        }
        Ok(parts)
    }
}

fn pipeline(name: &str, database: &str, table: &str, mode: &str) -> String {
    format!(
        "format: 1\npipeline: {name}\n{RETRY}
from:
  input:
    topic: {{ name: {IN} }}
    columns: {{ id: bigint not null, k: bigint not null, n: bigint }}
sql: SELECT id, k, n FROM input
checks:
  - accepted_range: {{ column: n, min: 0 }}
to:
  postgres:
    connection: postgres://postgres@{database}/postgres
    table: public.{table}
    {}
    create: never
    batch: {{ rows: 100, every: 20ms }}
",
        mode.replace(", ", "\n    ")
    )
}

/// Rows, some of them bad, and deletions.
struct Changes {
    producer: Producer,
    random: Random,
    next: u64,
}

impl Writer for Changes {
    fn write(&mut self) -> Result<()> {
        let mut lines = String::new();
        for _ in 0..LINES {
            self.next += 1;
            let (id, key) = (self.next, self.random.below(KEYS));
            let n = i64::try_from(self.random.below(1000))?;
            match self.random.below(60) {
                0 => writeln!(lines, "{key}{SEPARATOR}no JSON, {id}")?,
                1 => writeln!(
                    lines,
                    "{key}{SEPARATOR}{{\"id\":{id},\"k\":{key},\"n\":{}}}",
                    -1 - n
                )?,
                2..6 => writeln!(lines, "{key}{SEPARATOR}{NOTHING}")?,
                _ => writeln!(
                    lines,
                    "{key}{SEPARATOR}{{\"id\":{id},\"k\":{key},\"n\":{n}}}"
                )?,
            }
        }
        self.producer.write(&lines)
    }

    fn finish(&mut self) -> Result<Input> {
        self.producer.finish()?;
        Ok(Input::default())
    }
}

/// A record that passes as a row, and its id.
fn row(record: &Record) -> Option<(String, String)> {
    let value: Value = serde_json::from_str(record.value.as_deref()?).ok()?;
    let (id, k, n) = (
        value["id"].as_u64()?,
        value["k"].as_u64()?,
        value["n"].as_i64()?,
    );
    (n >= 0).then(|| (id.to_string(), format!("{id},{k},{n}")))
}

fn put(record: &Record, body: String) -> Put {
    Put {
        body,
        place: format!("partition {}", record.partition),
        number: record.offset,
        is_needed: true,
        may_repeat: false,
    }
}

fn all(records: &[Record]) -> BTreeMap<String, Put> {
    let rows = records.iter().filter_map(|record| {
        let (id, row) = row(record)?;
        Some((id, put(record, row)))
    });
    rows.collect()
}

/// What is left by key, in the order of the partition that has it.
fn last(records: &[Record]) -> BTreeMap<String, Put> {
    let mut left = BTreeMap::new();
    for record in records {
        let key = record.key.clone().unwrap_or_default();
        if record.value.is_none() {
            left.remove(&key);
        } else if let Some((_, row)) = row(record) {
            // Rows have no order in the table.
            let place = format!("key {key}");
            left.insert(
                key,
                Put {
                    place,
                    ..put(record, row)
                },
            );
        }
    }
    left
}

/// Lines of an id and a row.
fn rows(lines: &str) -> Result<Vec<Came>> {
    let rows = lines.lines().map(|line| {
        let (id, body) = line.split_once(',').context("an id and a row")?;
        Ok(Came {
            id: id.to_owned(),
            body: body.to_owned(),
            lies_in: 0,
        })
    });
    rows.collect()
}

/// What the database says is read next; nothing before a worker was there.
fn offsets(database: &str, pipeline: &str) -> Result<BTreeMap<i32, i64>> {
    let is_there = "SELECT to_regclass('watertable.offsets') IS NOT NULL";
    if postgres::ask(database, "postgres", is_there)?.trim() != "t" {
        return Ok(BTreeMap::new());
    }
    let sql =
        format!("SELECT partition, next FROM watertable.offsets WHERE task LIKE '%{pipeline}%'");
    let lines = postgres::ask(database, "postgres", &sql)?;
    let offsets = lines.lines().map(|line| {
        let (partition, next) = line.split_once(',').context("a partition and an offset")?;
        Ok((partition.parse()?, next.parse()?))
    });
    offsets.collect()
}
