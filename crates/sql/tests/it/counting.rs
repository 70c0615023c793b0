//! What a query costs: bytes that are read follow what is asked for.

use protocol::records::{BatchOptions, Compression, ControlRecordType};
use storage::LogSettings;

use crate::world::*;

/// 200 batches of 50 records of about 200 bytes a minute apart, and how many bytes they take.
fn filled(compression: Compression) -> (std::sync::Arc<World>, usize) {
    let world = World::new();
    let settings = LogSettings {
        index_interval_bytes: 4096,
        ..LogSettings::default()
    };
    world.topic("t", 1, &settings);
    for number in 0..200 {
        let record = |place: i64| {
            let text: String = (0..200_i64)
                .map(|at| {
                    char::from(
                        b'a' + u8::try_from((number * 7 + place * 3 + at * at) % 26).unwrap(),
                    )
                })
                .collect();
            written(NOW_MS + 60_000 * number, "key", &text)
        };
        let records: Vec<_> = (0..50).map(record).collect();
        let options = BatchOptions {
            compression,
            ..BatchOptions::default()
        };
        world.append("t", 0, batch_with(options, &records));
    }
    let bytes = usize::try_from(world.log("t", 0).size_bytes()).unwrap();
    (world, bytes)
}

const COUNTING: [&str; 3] = [
    "SELECT count(*) FROM t",
    "SELECT max(_offset) FROM t",
    "SELECT count(*) FROM t WHERE _offset BETWEEN 75 AND 7777",
];

/// Segments know that they hold nothing but records.
#[test]
fn counting_reads_nothing() {
    let (world, _) = filled(Compression::Lz4);
    let session = world.session();
    for (sql, answer) in COUNTING.into_iter().zip(["10000", "9999", "7703"]) {
        assert_eq!(session.ask(sql), [answer]);
        let plan = session.ask(&format!("EXPLAIN FORMAT INDENT {sql}"));
        assert!(plan.join("\n").contains("PlaceholderRowExec"), "{plan:?}");
    }
    assert_eq!(
        session.ask("SELECT min(_offset), max(_offset), min(_partition), count(*) FROM t"),
        ["0|9999|0|10000"]
    );
    for sql in [
        "SELECT sum(_offset) FROM t",
        "SELECT _offset, _partition FROM t",
    ] {
        let figures = session.figures(sql);
        assert_eq!(figures["bytes_read"], 0, "{sql}: {figures:?}");
    }
    assert_eq!(session.ask("SELECT sum(_offset) FROM t"), ["49995000"]);
    assert_eq!(session.ask("SELECT _offset FROM t LIMIT 3").len(), 3);
}

/// Who was in a transaction may have been aborted, which only the log knows.
#[test]
fn counting_beside_transactions_reads_headers_and_no_records() {
    let (world, _) = filled(Compression::Lz4);
    world.append("t", 0, transactional(1, 0, &["a", "b", "c"]));
    world.end_transaction("t", 0, 1, ControlRecordType::Abort);
    let session = world.session();
    for (sql, answer) in COUNTING.into_iter().zip(["10000", "9999", "7703"]) {
        assert_eq!(session.ask(sql), [answer]);
        let figures = session.figures(sql);
        assert_eq!(figures["batches_read"], 0, "{sql}: {figures:?}");
        assert!(figures["batches_by_header"] >= 150, "{sql}: {figures:?}");
    }
}

#[test]
fn reading_all_reads_all() {
    let (world, bytes) = filled(Compression::Lz4);
    let all = world.session().figures("SELECT _value FROM t");
    assert_eq!(all["batches_read"], 200);
    assert!(all["bytes_read"] >= bytes, "{all:?} of {bytes}");
}

#[test]
fn a_range_of_offsets_reads_its_part_of_the_log() {
    let (world, bytes) = filled(Compression::None);
    let session = world.session();
    let one = session.figures("SELECT _value FROM t WHERE _offset = 5000");
    assert_eq!(one["batches_read"], 1);
    assert!(one["bytes_read"] <= 128 << 10, "{one:?} of {bytes}");
    let tenth = session.figures("SELECT _value FROM t WHERE _offset >= 9000");
    assert_eq!(tenth["batches_read"], 20);
    assert!(tenth["bytes_read"] < bytes / 8, "{tenth:?} of {bytes}");
}

#[test]
fn a_lower_bound_in_time_reads_the_end_of_the_log() {
    let (world, bytes) = filled(Compression::None);
    let session = world.session();
    let from = NOW_MS + 60_000 * 180;
    let sql = format!("SELECT _value FROM t WHERE _timestamp >= to_timestamp_millis({from})");
    assert_eq!(
        session.ask(&format!("SELECT count(*) FROM ({sql})")),
        ["1000"]
    );
    let figures = session.figures(&sql);
    assert_eq!(figures["batches_read"], 20);
    assert!(figures["bytes_read"] < bytes / 8, "{figures:?} of {bytes}");
}

#[test]
fn a_limit_ends_the_reading() {
    let (world, bytes) = filled(Compression::None);
    let session = world.session();
    let figures = session.figures("SELECT _value FROM t LIMIT 10");
    assert_eq!(figures["batches_read"], 1);
    assert!(figures["bytes_read"] <= 128 << 10, "{figures:?} of {bytes}");
    assert_eq!(
        session.ask("SELECT count(*) FROM (SELECT _value FROM t LIMIT 77)"),
        ["77"]
    );
}

#[test]
fn a_large_partition_is_read_by_several_streams() {
    let world = World::new();
    world.simple_topic("t", 1);
    let records: Vec<_> = (0..20_000)
        .map(|number| written(NOW_MS, "k", &number.to_string()))
        .collect();
    for _ in 0..10 {
        world.append("t", 0, batch(&records));
    }
    let session = world.session();
    let plan = session
        .ask("EXPLAIN FORMAT INDENT SELECT _value FROM t")
        .join("\n");
    assert!(
        plan.contains("partitions=[0: 0..100000, 0: 100000..200000]"),
        "{plan}"
    );
    assert_eq!(
        session.ask("SELECT count(*), count(DISTINCT _offset), sum(_value::bigint) FROM t"),
        ["200000|200000|1999900000"]
    );
}

#[test]
fn a_range_of_times_reads_its_part_once_somebody_has_read_what_follows() {
    let world = World::new();
    let settings = LogSettings {
        write_caching: true,
        ..LogSettings::default()
    };
    world.topic("t", 1, &settings);
    for number in 0..300 {
        let at = NOW_MS + 60_000 * number;
        let records: Vec<_> = (0..80)
            .map(|_| written(at, "k", &"v".repeat(1000)))
            .collect();
        world.append("t", 0, batch(&records));
    }
    let bytes = usize::try_from(world.log("t", 0).size_bytes()).unwrap();
    let session = world.session();
    let (from, to) = (NOW_MS + 60_000 * 50, NOW_MS + 60_000 * 60);
    let sql = format!(
        "SELECT _value FROM t WHERE _timestamp >= to_timestamp_millis({from}) AND _timestamp < to_timestamp_millis({to})"
    );
    let count = format!("SELECT count(*) FROM ({sql})");
    let first = session.figures(&sql);
    assert!(first["bytes_read"] > bytes / 2, "{first:?} of {bytes}");
    assert_eq!(session.ask(&count), ["800"]);
    let second = session.figures(&sql);
    assert!(second["bytes_read"] < bytes / 8, "{second:?} of {bytes}");
    assert_eq!(session.ask(&count), ["800"]);
    // A record that comes late, with an early time, is found all the same.
    world.append("t", 0, batch(&[written(from, "k", "late")]));
    assert_eq!(session.ask(&count), ["801"]);
}
