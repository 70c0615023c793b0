//! PostgreSQL to topic, by a snapshot and then a cursor with a tie-breaker. Rows of one table change from the beginning, those of the
//! other one only once its snapshot was read: of that one each version that a reader could see comes out once. Of the first one those
//! that changed while the snapshot was read may come twice, and collapse by their key.
//!
//! Invariant: the database itself notes each version in the transaction that makes it, so that what counts as put in survives its
//! kills. One writer makes them one after the other, since a cursor without lookback promises nothing about others.

use super::ledger::{Came, Ledger, Put};
use super::machine::{Client, Machine};
use super::records;
use super::{Hop, Input, Part, RETRY, Writer};
use crate::postgres;
use crate::random::Random;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;

const BUSY: &str = "busy";
const QUIET: &str = "quiet";
/// The rows that are there before the first snapshot.
const ROWS: u64 = 4000;
/// Rounds between two looks whether a snapshot is over.
const LOOK_EACH: u64 = 20;
/// Rows that a round adds, and that it changes, at most.
const ADDED: u64 = 3;
const CHANGED: u64 = 12;

/// Each version of a row has the number of its transaction, which is the cursor of all rows of it.
const TABLES: &str = "
CREATE SEQUENCE clock;
CREATE TABLE snapshot_over (of text PRIMARY KEY, at bigint);
CREATE TABLE busy (id bigserial PRIMARY KEY, version bigint NOT NULL, body text);
CREATE TABLE quiet (LIKE busy INCLUDING ALL);
CREATE TABLE versions (of text, id bigint, version bigint, body text);
CREATE INDEX ON busy (version, id);
CREATE INDEX ON quiet (version, id);
CREATE SEQUENCE quiet_ids;
ALTER TABLE quiet ALTER id SET DEFAULT nextval('quiet_ids');
CREATE FUNCTION change(of text, added int, ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE now bigint := nextval('clock');
BEGIN
  EXECUTE format('WITH a AS (INSERT INTO %1$I (version, body) SELECT $1, ''v'' || $1 FROM generate_series(1, $2) RETURNING *),
    u AS (UPDATE %1$I SET version = $1, body = body || ''.'' WHERE id = ANY ($3) RETURNING *)
    INSERT INTO versions SELECT $4, id, version, body FROM (TABLE a UNION ALL TABLE u) changed', of) USING now, added, ids, of;
END $$;";

#[derive(Debug)]
pub(super) struct Rows;

impl Hop for Rows {
    fn name(&self) -> &'static str {
        "PostgreSQL → topic"
    }

    fn has_database(&self) -> bool {
        true
    }

    fn prepare(&self, machine: &Machine) -> Result<Vec<(&'static str, String)>> {
        let database = machine.database()?;
        postgres::ask(&database, "postgres", TABLES)?;
        // Ten rows have the same cursor.
        let fill = "SELECT change(of, 10, '{}') FROM unnest('{busy,quiet}'::text[]) of, generate_series(1, $ROWS)";
        let fill = fill.replace("$ROWS", &(ROWS / 10).to_string());
        postgres::ask(&database, "postgres", &fill)?;
        let pipelines = [BUSY, QUIET].map(|table| (table, pipeline(table, &database)));
        Ok(pipelines.to_vec())
    }

    fn progress(&self, machine: &Machine) -> Result<i64> {
        let mut ends = 0;
        for table in [BUSY, QUIET] {
            ends += records::ends(&machine.client(), &format!("rows.{table}"))?;
        }
        Ok(ends)
    }

    fn writer(&self, machine: &Machine, seed: u64) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Changes {
            client: machine.client(),
            database: machine.database()?,
            random: Random::new(seed),
            rounds: 0,
            over: Vec::new(),
        }))
    }

    fn compare(&self, machine: &Machine, _input: &Input) -> Result<Vec<Part>> {
        let database = machine.database()?;
        let mut parts = Vec::new();
        for table in [BUSY, QUIET] {
            let sql = format!(
                "SELECT v.id, v.version, v.body, v.version = t.version OR (v.of = 'quiet' AND v.version <= {ROWS} / 5), v.of = 'busy' AND v.version <= COALESCE((SELECT at FROM snapshot_over o WHERE o.of = v.of), v.version) FROM versions v JOIN {table} t USING (id) WHERE v.of = '{table}'"
            );
            let put = versions(&postgres::ask(&database, "postgres", &sql)?)?;
            let out = records::of_topic(&machine.client(), &format!("rows.{table}"))?;
            let mut ledger = Ledger::of(&put, &came(&out)?);
            let latest = postgres::ask(
                &database,
                "postgres",
                &format!("SELECT max(version) FROM {table}"),
            )?;
            for records::Position { position, .. } in records::positions(&machine.client(), table)?
            {
                if position["cursor"].as_str() != Some(latest.trim()) {
                    ledger.is_behind(format!(
                        "the cursor of {table} is not {}: {position}",
                        latest.trim()
                    ));
                }
            }
            parts.push(Part::records(table, ledger));
        }
        Ok(parts)
    }
}

fn pipeline(table: &str, database: &str) -> String {
    format!(
        "format: 1\npipeline: {table}\n{RETRY}
from:
  input:
    postgres:
      connection: postgres://postgres@{database}/postgres
      table: public.{table}
      snapshot: {{ chunk_rows: 41 }}
      incremental: {{ cursor: version, tie_breaker: id }}
    columns: {{ id: bigint not null, version: bigint not null, body: text }}
sql: SELECT id, version, body FROM input
to:
  topic: {{ name: rows.{table}, key: id, partitions: 2, cleanup: compact }}
"
    )
}

/// Whoever changes rows.
struct Changes {
    client: Client,
    database: String,
    random: Random,
    rounds: u64,
    /// The tables whose snapshots are over.
    over: Vec<&'static str>,
}

impl Changes {
    /// Notes which snapshots are over; nothing if the broker does not answer now.
    fn look(&mut self) {
        for table in [BUSY, QUIET] {
            let is_known = self.over.contains(&table);
            let Ok(positions) = records::positions(&self.client, table) else {
                continue;
            };
            if is_known
                || !positions
                    .iter()
                    .any(|at| at.position["phase"] == "incremental")
            {
                continue;
            }
            let note =
                format!("INSERT INTO snapshot_over SELECT '{table}', max(version) FROM {table}");
            if postgres::ask(&self.database, "postgres", &note).is_ok() {
                self.over.push(table);
            }
        }
    }
}

impl Writer for Changes {
    /// What the database does not take while it is down is not put in.
    fn write(&mut self) -> Result<()> {
        self.rounds += 1;
        if self.rounds.is_multiple_of(LOOK_EACH) && self.over.len() < 2 {
            self.look();
        }
        let mut statements = String::new();
        for table in [BUSY, QUIET] {
            let is_left_alone = table == QUIET && !self.over.contains(&QUIET);
            let added = self.random.below(ADDED + 1);
            let ids: Vec<_> = (0..self.random.below(CHANGED + 1))
                .map(|_| (1 + self.random.below(ROWS)).to_string())
                .collect();
            if !is_left_alone {
                let ids = ids.join(",");
                statements += &format!("SELECT change('{table}', {added}, '{{{ids}}}');");
            }
        }
        drop(postgres::ask(&self.database, "postgres", &statements));
        Ok(())
    }

    fn finish(&mut self) -> Result<Input> {
        Ok(Input::default())
    }
}

fn versions(lines: &str) -> Result<BTreeMap<String, Put>> {
    let versions = lines.lines().map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        let [id, version, body, is_needed, may_repeat] = fields[..] else {
            anyhow::bail!("a version is {line}");
        };
        let put = Put {
            body: format!("{{\"id\":{id},\"version\":{version},\"body\":\"{body}\"}}"),
            place: format!("row {id}"),
            number: version.parse()?,
            is_needed: is_needed == "t",
            may_repeat: may_repeat == "t",
        };
        Ok((format!("{id}@{version}"), put))
    });
    versions.collect()
}

fn came(out: &[records::Record]) -> Result<Vec<Came>> {
    let came = out.iter().map(|record| {
        let body = record.value.clone().context("a value")?;
        let value: Value = serde_json::from_str(&body)?;
        Ok(Came {
            id: format!("{}@{}", value["id"], value["version"]),
            body,
            lies_in: record.partition.into(),
        })
    });
    came.collect()
}
