//! The files in `queries/`: SQL and the answers it shall have, in the format of sqllogictest.
//!
//! Each file asks the same topics (below) in a session of its own. Of EXPLAIN the lines of the physical plan are shown. To
//! write the answers anew after a change that is meant: `UPDATE_QUERIES=1 cargo test -p sql --test it queries`; then read the
//! difference.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use protocol::records::{BatchOptions, Compression, ControlRecordType, TimestampType};
use sqllogictest::{DBOutput, DefaultColumnType};
use storage::LogSettings;

use crate::system::MadeUp;
use crate::world::*;

/// An error with its hint.
#[derive(Debug, thiserror::Error)]
#[error("{0} HINT: {hint}", hint = sql::hint(.0).unwrap_or_default())]
struct Failure(DataFusionError);

/// A session for the runner.
struct Asked(Session);

#[async_trait::async_trait]
impl sqllogictest::AsyncDB for Asked {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn shutdown(&mut self) {}

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let asked = self.0.clone().batches_of(sql.to_owned());
        let asked = self.0.engine.handle().spawn(asked).await;
        let batches = asked.expect("no query panics").map_err(Failure)?;
        let Some(first) = batches.first() else {
            return Ok(DBOutput::StatementComplete(0));
        };
        let types: Vec<_> = first
            .schema()
            .fields()
            .iter()
            .map(|field| column_type(field.data_type()))
            .collect();
        if first.schema().field(0).name() == "plan_type" {
            return Ok(DBOutput::Rows {
                types: vec![DefaultColumnType::Text],
                rows: plan_lines(&batches),
            });
        }
        let rows = rows_of(&batches)
            .into_iter()
            .map(|row| row.into_iter().map(shown).collect())
            .collect();
        Ok(DBOutput::Rows { types, rows })
    }
}

/// Empty text has to be seen in a file of answers.
fn shown(cell: String) -> String {
    if cell.is_empty() {
        "(empty)".to_owned()
    } else {
        cell
    }
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => DefaultColumnType::Text,
        other if other.is_integer() => DefaultColumnType::Integer,
        other if other.is_floating() => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Any,
    }
}

fn plan_lines(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let rows = rows_of(batches);
    let plans = rows.iter().filter(|row| row[0] == "physical_plan");
    plans
        .flat_map(|row| row[1].lines())
        .map(|line| vec![line.trim().to_owned()])
        .collect()
}

#[test]
fn the_answers_are_those_of_the_files() {
    let world = World::new();
    fill(&world);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/queries");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut failures = Vec::new();
    for file in files {
        let engine = world.engine();
        let topics = [("trips", 3), ("ledger", 1), ("__consumer_offsets", 50)];
        engine.add_system(Arc::new(MadeUp::new(&topics)), Arc::default());
        let mut runner = sqllogictest::Runner::new(|| {
            let session = Session::of(Arc::clone(&engine));
            async { Ok(Asked(session)) }
        });
        let outcome = if std::env::var_os("UPDATE_QUERIES").is_some() {
            let update = runner.update_test_file(
                &file,
                " ",
                sqllogictest::default_validator,
                sqllogictest::default_normalizer,
                sqllogictest::default_column_validator,
            );
            block_on(update).map_err(|error| error.to_string())
        } else {
            runner.run_file(&file).map_err(|error| error.to_string())
        };
        failures.extend(
            outcome
                .err()
                .map(|error| format!("{}: {error}", file.display())),
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(work)
}

/// The topics that the files ask.
fn fill(world: &World) {
    fill_trips(world);
    fill_things(world);
    fill_clock(world);
    fill_ledger(world);
    fill_compacted(world);
    fill_typed(world);
    fill_stock(world);
    world.simple_topic("empty", 2);
    world.simple_topic("page-views", 1);
    world.append(
        "page-views",
        0,
        batch(&[written(NOW_MS, "u1", r#"{"path": "/"}"#)]),
    );
    world.simple_topic("Trips", 1);
    world.simple_topic("dev.trips", 1);
    world.simple_topic("__offsets", 1);
    world.append("__offsets", 0, batch(&[written(NOW_MS, "group", "7")]));
}

/// 3 partitions of 100 records of JSON a second apart, ten to a batch, each partition in another codec.
fn fill_trips(world: &World) {
    world.simple_topic("trips", 3);
    let codecs = [Compression::None, Compression::Lz4, Compression::Zstd];
    for (partition, compression) in codecs.into_iter().enumerate() {
        for start in (0..100).step_by(10) {
            let options = BatchOptions {
                compression,
                ..BatchOptions::default()
            };
            let record = |number: i64| {
                let car = ["a", "b", "c"][number as usize % 3];
                let value = format!(
                    r#"{{"car": "{car}", "km": {number}.5, "stops": {number}, "ok": {}, "at": {{"city": "Ulm"}}}}"#,
                    number % 2 == 0
                );
                written(NOW_MS + 1000 * number, car, &value)
            };
            let records: Vec<_> = (start..start + 10).map(record).collect();
            world.append("trips", partition, batch_with(options, &records));
        }
    }
}

/// Whatever a record may be.
fn fill_things(world: &World) {
    world.simple_topic("things", 1);
    let record = |key: Option<&[u8]>, value: Option<&[u8]>| Written {
        timestamp: NOW_MS,
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers: Vec::new(),
    };
    let mut with_headers = record(Some(b"h"), Some(b"with headers"));
    with_headers.headers = vec![
        (b"trace".to_vec(), Some(b"1".to_vec())),
        (b"trace".to_vec(), Some(b"\xfe\xff".to_vec())),
        (b"none".to_vec(), None),
    ];
    let mut without_time = record(Some(b"t"), Some(b"without time"));
    without_time.timestamp = -1;
    let records = [
        record(None, None),
        record(Some(b""), Some(b"")),
        record(Some(b"k"), None),
        record(Some("größe".as_bytes()), Some(b"[1, 2")),
        record(Some(b"\x00\x01"), Some(b"\x89PNG\x0d\x0a")),
        record(Some(b"k"), Some(b"\\x00")),
        with_headers,
        without_time,
        record(Some(b"big"), Some(&[b'x'; 300_000])),
    ];
    for record in records {
        world.append("things", 0, batch(&[record]));
    }
}

/// Topics with contracts, and records that fit and do not.
fn fill_typed(world: &World) {
    world.typed_topic(
        "rides",
        2,
        r#"{"format":"json","columns":[
            {"name":"id","type":"int","nullable":false},
            {"name":"ok","type":"boolean"},
            {"name":"stops","type":"smallint"},
            {"name":"metres","type":"bigint"},
            {"name":"km","type":"double"},
            {"name":"share","type":"real"},
            {"name":"price","type":"decimal(8,2)"},
            {"name":"car","type":"text"},
            {"name":"Raw","type":"bytea"},
            {"name":"day","type":"date"},
            {"name":"local","type":"timestamp"},
            {"name":"at","type":"timestamptz"},
            {"name":"more","type":"json"}]}"#,
    );
    let whole = concat!(
        r#"{"id": 1, "ok": true, "stops": 3, "metres": 12500000000, "km": 12.5, "share": 0.5, "price": 9.995, "car": "a \"b\"","#,
        r#" "Raw": "\\x00ff", "day": "2023-11-14", "local": "2023-11-14 22:13:20", "at": "2023-11-14T22:13:20.5+01:00","#,
        r#" "more": {"tags": ["x", "y"]}, "unknown": [{}]}"#
    );
    let values = [
        Some(whole),
        Some(r#"{"id": 2, "ok": null, "km": 7}"#),
        None,
        Some(r#"{"id": 4, "stops": 99999, "km": "far", "at": "yesterday"}"#),
        Some(r#"{"id": 5, "km": 1"#),
        Some(r#"{"km": 6}"#),
        Some("[1, 2]"),
    ];
    for value in values {
        world.append("rides", 0, batch(&[valued(value)]));
    }
    for start in [10, 15] {
        let record = |id: i64| {
            written(
                NOW_MS,
                "k",
                &format!(r#"{{"car": "c{}", "id": {id}, "km": {id}.5}}"#, id % 3),
            )
        };
        let records: Vec<_> = (start..start + 5).map(record).collect();
        world.append("rides", 1, batch(&records));
    }
    world.typed_topic(
        "lines",
        1,
        r#"{"format":"csv","delimiter":";","null":"NA","columns":[
            {"name":"code","type":"text"},{"name":"n","type":"int"},{"name":"note","type":"text"}]}"#,
    );
    for line in ["007;1;NA", r#""a;b";NA;"NA""#, "x;y;", "x;1"] {
        world.append("lines", 0, batch(&[valued(Some(line))]));
    }
    world.typed_topic(
        "events",
        1,
        r#"{"format":"ndjson","columns":[{"name":"n","type":"int"}]}"#,
    );
    let many: Vec<_> = (0..30_000).map(|n| format!("{{\"n\": {n}}}\n")).collect();
    let values = [
        Some("{\"n\": 1}\n{\"n\": 2}\n\n{\"n\": \"x\"}\r\n"),
        Some(""),
        None,
        Some("{\"n\": 3}"),
        Some(&many.concat()),
        Some("{\"n\": 4}\n{\"n\": 5}"),
    ];
    for value in values {
        world.append("events", 0, batch(&[valued(value)]));
    }
    world.typed_topic("newer", 1, r#"{"format":"from tomorrow"}"#);
}

fn valued(value: Option<&str>) -> Written {
    Written {
        value: value.map(Into::into),
        ..written(NOW_MS, "k", "")
    }
}

/// Keys with several records, tombstones and records without a key, in two partitions.
fn fill_stock(world: &World) {
    world.typed_topic(
        "stock",
        2,
        r#"{"format":"json","columns":[{"name":"n","type":"int"}]}"#,
    );
    let first = [
        (Some("a"), 0, Some(r#"{"n": 1}"#)),
        (Some("b"), 1, Some(r#"{"n": "many"}"#)),
        (None, 2, Some(r#"{"n": 2}"#)),
        // The newest of its key, and older than the one before.
        (Some("a"), -60, Some(r#"{"n": 3}"#)),
        (Some("b"), 4, Some(r#"{"n": 4}"#)),
        (Some("c"), 5, Some(r#"{"n": 5}"#)),
        (Some("c"), 6, None),
    ];
    let second = [
        (Some("d"), 0, Some(r#"{"n": 6}"#)),
        (Some("d"), 1, None),
        (Some("d"), 2, Some(r#"{"n": 7}"#)),
        (Some("e"), 3, Some(r#"{"n": 8}"#)),
        (Some("e"), 4, Some(r#"{"n": "none"}"#)),
        (Some(""), 5, Some("")),
    ];
    for (partition, records) in [&first[..], &second[..]].into_iter().enumerate() {
        for (key, seconds, value) in records {
            let record = Written {
                timestamp: NOW_MS + 1000 * seconds,
                key: key.map(Into::into),
                value: value.map(Into::into),
                headers: Vec::new(),
            };
            world.append("stock", partition, batch(&[record]));
        }
    }
    // Keys that text shows alike.
    world.simple_topic("twins", 1);
    for key in [&b"\\x0001"[..], b"\x00\x01", b"\x00\x01"] {
        let record = Written {
            key: Some(key.into()),
            ..written(NOW_MS, "", "v")
        };
        world.append("twins", 0, batch(&[record]));
    }
}

/// Times that go up and down, of producers and of the broker.
fn fill_clock(world: &World) {
    world.simple_topic("clock", 1);
    for minutes in [0, 10, 5, 30, 20, 25, 60, 1] {
        let at = NOW_MS + 60_000 * minutes;
        let record = written(at, "k", &format!("+{minutes} min"));
        // A batch of one, and one whose records are apart.
        world.append("clock", 0, batch(std::slice::from_ref(&record)));
        world.append(
            "clock",
            0,
            batch(&[record, written(at - 60_000, "k", "before")]),
        );
    }
    let broker = LogSettings {
        timestamp_type: storage::LogTimestampType::LogAppendTime,
        ..LogSettings::default()
    };
    world.topic("appended", 1, &broker);
    for number in 0..3 {
        let options = BatchOptions {
            timestamp_type: TimestampType::CreateTime,
            ..BatchOptions::default()
        };
        let records = [written(5, "k", &format!("{number}")), written(6, "k", "b")];
        world.append("appended", 0, batch_with(options, &records));
    }
}

/// Transactions: committed, aborted, one inside of another producer's, one that stays open.
fn fill_ledger(world: &World) {
    world.simple_topic("ledger", 1);
    let add = |batch| world.append("ledger", 0, batch);
    add(batch(&[written(NOW_MS, "k", "plain 0")]));
    add(transactional(1, 0, &["committed 1", "committed 2"]));
    add(transactional(2, 0, &["aborted 3"]));
    world.end_transaction("ledger", 0, 1, ControlRecordType::Commit);
    add(batch(&[written(NOW_MS, "k", "plain 5")]));
    add(transactional(2, 1, &["aborted 6"]));
    world.end_transaction("ledger", 0, 2, ControlRecordType::Abort);
    add(transactional(2, 2, &["committed 8"]));
    world.end_transaction("ledger", 0, 2, ControlRecordType::Commit);
    add(transactional(3, 0, &["open 10"]));
    add(batch(&[written(NOW_MS, "k", "plain 11")]));
}

/// Gaps of compaction, and what was deleted by request.
fn fill_compacted(world: &World) {
    world.topic("latest", 1, &compacted(700));
    for number in 0..60 {
        let value = format!("{number}-{}", "x".repeat(20));
        let record = written(NOW_MS + number, &format!("k{}", number % 4), &value);
        world.append("latest", 0, batch(&[record]));
    }
    world.compact();
    world.simple_topic("deleted", 1);
    for start in [0, 10, 20] {
        let record = |number: i64| written(NOW_MS + number, "k", &number.to_string());
        let records: Vec<_> = (start..start + 10).map(record).collect();
        world.append("deleted", 0, batch(&records));
    }
    world.delete_records("deleted", 0, 13);
}
