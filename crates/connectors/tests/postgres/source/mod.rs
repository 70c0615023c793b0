//! The source against a real PostgreSQL.

mod changes;
mod columns;
mod snapshot;
mod trouble;

use std::collections::BTreeMap;

use connectors::postgres::{Chunk, Kind, Phase, Position, Record, Source, SourceError};
use spec::{Connection, Incremental, Postgres, Rows, Span};

pub(super) use crate::support::server::{Database, role};

pub(super) fn table(name: &str, chunk_rows: u64) -> Postgres {
    Postgres {
        connection: Connection::Url("postgres://here".to_owned()),
        rows: Rows::Table(name.to_owned()),
        chunk_rows,
        incremental: None,
    }
}

pub(super) fn query(sql: &str, chunk_rows: u64) -> Postgres {
    Postgres {
        rows: Rows::Query(sql.to_owned()),
        ..table("", chunk_rows)
    }
}

pub(super) fn by(
    cursor: &str,
    tie_breaker: Option<&str>,
    lookback_ms: u64,
    spec: Postgres,
) -> Postgres {
    Postgres {
        incremental: Some(Incremental {
            cursor: cursor.to_owned(),
            tie_breaker: tie_breaker.map(str::to_owned),
            lookback: Span::from_ms(lookback_ms),
        }),
        ..spec
    }
}

pub(super) async fn source(database: &Database, spec: &Postgres) -> Source {
    Source::connect(&database.address(), spec, None, "prod/users")
        .await
        .unwrap()
}

/// Reads until the end of the run.
pub(super) async fn rest(source: &mut Source, position: &Position) -> (Vec<String>, Position) {
    let (mut lines, mut position) = (Vec::new(), position.clone());
    while let Some(chunk) = source.next(&position).await.unwrap() {
        lines.extend(text(&chunk.records));
        position = kept(&chunk.position);
    }
    (lines, position)
}

/// What comes back of a position that was kept.
pub(super) fn kept(position: &Position) -> Position {
    serde_json::from_str(&serde_json::to_string(position).unwrap()).unwrap()
}

pub(super) fn text(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| String::from_utf8(record.value.clone()).unwrap())
        .collect()
}

/// What a compacted topic has: of each key, the first field, the last version.
pub(super) fn compacted(lines: &[String]) -> BTreeMap<String, String> {
    lines
        .iter()
        .map(|line| (line.split(',').next().unwrap().to_owned(), line.clone()))
        .collect()
}

/// The rows of a table as its lines.
pub(super) async fn now(database: &Database, table: &str) -> BTreeMap<String, String> {
    let mut source = source(database, &self::table(table, 1000)).await;
    compacted(&rest(&mut source, &Position::default()).await.0)
}
