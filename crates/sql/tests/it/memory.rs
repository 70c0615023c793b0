//! Memory is bounded: large values, records that inflate, queries that want it all.

use protocol::records::{BatchOptions, Compression};
use storage::LogSettings;

use crate::world::*;

const MIB: usize = 1 << 20;

#[test]
fn a_large_value_is_read_if_it_fits_and_refused_if_not() {
    let world = World::new();
    let settings = LogSettings {
        max_message_bytes: 64 << 20,
        ..LogSettings::default()
    };
    world.topic("t", 1, &settings);
    let value = vec![b'x'; 20 * MIB];
    let record = Written {
        timestamp: NOW_MS,
        value: Some(value),
        ..Written::default()
    };
    world.append("t", 0, batch(&[record]));
    world.append("t", 0, batch(&[written(NOW_MS, "k", "small")]));
    let session = world.session();
    assert_eq!(
        session.ask("SELECT _offset, length(_value) FROM t ORDER BY 1"),
        ["0|20971520", "1|5"]
    );
    let small = Session::of(world.engine_with(|options| options.memory_bytes_max = 8 * MIB));
    let refusal = small.refusal("SELECT length(_value) FROM t");
    assert!(
        refusal.contains("topic \"t\", partition 0, offset 0"),
        "{refusal}"
    );
    assert!(refusal.contains("Resources exhausted"), "{refusal}");
    // The session goes on, and so does what does not need it.
    assert_eq!(
        small.ask("SELECT _value FROM t WHERE _offset = 1"),
        ["small"]
    );
    assert_eq!(small.ask("SELECT count(*) FROM t"), ["2"]);
}

#[test]
fn records_that_inflate_beyond_the_memory_are_refused_before_they_do() {
    let world = World::new();
    let settings = LogSettings {
        max_message_bytes: 64 << 20,
        ..LogSettings::default()
    };
    world.topic("t", 1, &settings);
    let record = Written {
        timestamp: NOW_MS,
        value: Some(vec![0; 40 * MIB]),
        ..Written::default()
    };
    let options = BatchOptions {
        compression: Compression::Zstd,
        ..BatchOptions::default()
    };
    world.append("t", 0, batch_with(options, &[record]));
    assert!(world.log("t", 0).size_bytes() < 100_000);
    let session = Session::of(world.engine_with(|options| options.memory_bytes_max = 8 * MIB));
    let refusal = session.refusal("SELECT _value FROM t");
    assert!(refusal.contains("Resources exhausted"), "{refusal}");
    // Its header is enough to count it.
    assert_eq!(session.ask("SELECT count(*) FROM t"), ["1"]);
    let plenty = world.session();
    // Zeros are no text of PostgreSQL's, so they are shown in hexadecimal digits.
    assert_eq!(plenty.ask("SELECT length(_value) FROM t"), ["83886082"]);
    assert_eq!(
        plenty.ask("SELECT length(_value) FROM \"t@bytes\"").len(),
        1
    );
}

/// 200,000 rows of about 350 bytes.
fn many_rows(world: &World, partitions: i32) {
    world.simple_topic("t", partitions);
    for number in 0..100 {
        let record = |place: i64| {
            let key = format!("{:05}", (number * 2000 + place) * 7919 % 100_000);
            written(NOW_MS, &key, &"v".repeat(300))
        };
        let records: Vec<_> = (0..2000).map(record).collect();
        world.append(
            "t",
            usize::try_from(number % i64::from(partitions)).unwrap(),
            batch(&records),
        );
    }
}

#[test]
fn a_sort_that_does_not_fit_spills_if_it_may() {
    let world = World::new();
    many_rows(&world, 1);
    let sql = "SELECT _key, _value FROM t ORDER BY _key, _value, _offset";
    let folder = tempfile::tempdir().unwrap();
    let spilling = Session::of(world.engine_with(|options| {
        options.threads = 1.try_into().unwrap();
        options.memory_bytes_max = 32 * MIB;
        options.batch_rows = 1024.try_into().unwrap();
        options.spill_directory = Some(folder.path().join("spill"));
    }));
    let batches = spilling.batches(sql).unwrap();
    let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    assert_eq!(rows, 200_000);
    drop(batches);
    // The same without a place to spill to.
    let tight = Session::of(world.engine_with(|options| {
        options.threads = 1.try_into().unwrap();
        options.memory_bytes_max = 32 * MIB;
        options.batch_rows = 1024.try_into().unwrap();
    }));
    let refusal = tight.refusal(sql);
    assert!(refusal.contains("Resources exhausted"), "{refusal}");
    assert_eq!(tight.ask("SELECT count(*) FROM t"), ["200000"]);
}

#[test]
fn memory_is_back_after_queries() {
    let world = World::new();
    many_rows(&world, 2);
    let session = world.session();
    session.ask("SELECT count(DISTINCT _key) FROM t");
    session.memory_comes_back();
    session.refusal("SELECT _value::int FROM t");
    session.memory_comes_back();
}
