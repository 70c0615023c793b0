//! Appending, reading, rolling and opening again.

use std::sync::atomic::{AtomicBool, Ordering};

use protocol::records::BatchOptions;
use storage::{Isolation, LocalLog, LogDirectory, LogSettings, PartitionLog, ReadError};

use crate::support::*;

#[test]
fn what_is_appended_is_read_back_with_dense_offsets() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, small_segments(1 << 20));
    assert_eq!(write(&log, batch(&["a", "b"])), 0);
    assert_eq!(write(&log, batch(&["c"])), 2);
    let records = read_all(&log, 0, 1 << 20);
    assert_eq!(values(&records), ["a", "b", "c"]);
    assert_eq!(records[2].offset, 2);
    let offsets = log.offsets();
    assert_eq!(offsets.high_watermark, at(3));
    assert_eq!(offsets.log_end, at(3));
}

#[test]
fn the_batch_that_contains_the_offset_comes_whole() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, small_segments(1 << 20));
    write(&log, batch(&["a", "b", "c"]));
    write(&log, batch(&["d"]));
    assert_eq!(values(&read(&log, 1, 1).unwrap()), ["a", "b", "c"]);
    assert_eq!(values(&read(&log, 3, 1).unwrap()), ["d"]);
    assert_eq!(read(&log, 4, 1).unwrap(), []);
    let plan = log
        .read(at(0), 1, Isolation::ReadUncommitted, false)
        .unwrap();
    assert_eq!(plan.length, 0);
}

#[test]
fn offsets_outside_of_the_log_are_refused() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, small_segments(1 << 20));
    write(&log, batch(&["a"]));
    assert!(matches!(
        read(&log, 2, 1),
        Err(ReadError::OffsetOutOfRange { .. })
    ));
}

/// Whether each segment has nothing but records.
fn complete(log: &LocalLog) -> Vec<bool> {
    let segments = log.segments().into_iter();
    segments.map(|segment| segment.has_only_records).collect()
}

#[test]
fn segments_know_whether_they_have_nothing_but_records() {
    let mut world = World::new();
    world.options.verify_transactions = false;
    let directory = world.open();
    let settings = small_segments(200);
    let log_of = |directory: &LogDirectory| log(directory, settings.clone());
    let log = log_of(&directory);
    for _ in 0..2 {
        write(&log, batch(&["a", "b", "c"]));
        write(&log, batch(&["d"]));
    }
    assert_eq!(complete(&log), [true, true]);
    drop(log);
    directory.close().unwrap();
    drop(directory);
    // Known from the checkpoint, then read anew.
    let directory = world.open();
    let log = log_of(&directory);
    assert_eq!(complete(&log), [true, true]);
    read_all(&log, 0, 1 << 20);
    drop((log, directory));
    world.lose_checkpoint();
    let directory = world.open();
    let log = log_of(&directory);
    assert_eq!(complete(&log), [true, true]);
    let options = BatchOptions {
        is_transactional: true,
        producer_id: 7,
        producer_epoch: 0,
        base_sequence: 0,
        ..BatchOptions::default()
    };
    write(&log, batch_with(options, NOW_MS, &["e", "f"]));
    write(&log, batch(&["g"]));
    assert_eq!(complete(&log), [true, true, false]);
}

/// What is told of a segment is of one moment, so that appends in between do not make up for what is no plain record.
#[test]
fn a_segment_with_a_transaction_is_not_taken_for_plain_while_it_grows() {
    let mut world = World::new();
    world.options.verify_transactions = false;
    let directory = world.open();
    let settings = LogSettings {
        write_caching: true,
        ..LogSettings::default()
    };
    let log = log(&directory, settings);
    let options = BatchOptions {
        is_transactional: true,
        producer_id: 7,
        producer_epoch: 0,
        base_sequence: 0,
        ..BatchOptions::default()
    };
    write(&log, batch_with(options, NOW_MS, &["a", "b"]));
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2000 {
                write(&log, batch(&["c", "d"]));
            }
            is_done.store(true, Ordering::SeqCst);
        });
        while !is_done.load(Ordering::SeqCst) {
            assert_eq!(complete(&log), [false]);
        }
    });
}

#[test]
fn a_log_that_was_never_appended_to_has_no_files() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, small_segments(1 << 20));
    assert_eq!(read(&log, 0, 100).unwrap(), []);
    assert!(!world.root.join("logs/t-0").exists());
}

#[test]
fn a_read_goes_on_over_segments_while_there_is_room() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, small_segments(200));
    let mut expected = Vec::new();
    for number in 0..40 {
        let value = format!("value-{number}");
        write(&log, batch(&[&value]));
        expected.push(value);
    }
    let segments = world
        .names()
        .iter()
        .filter(|name| name.ends_with(".log"))
        .count();
    assert!(segments > 10, "{segments} segments");
    for max_bytes in [1, 100, 1000, 1 << 20] {
        assert_eq!(values(&read_all(&log, 0, max_bytes)), expected);
    }
    assert_eq!(read(&log, 0, 1 << 20).unwrap().len(), 40);
}

#[test]
fn a_directory_that_was_closed_opens_with_all_it_had() {
    let world = World::new();
    for round in 0..3 {
        let directory = world.open();
        let log = log(&directory, small_segments(200));
        assert_eq!(read_all(&log, 0, 1000).len(), round * 5);
        for number in 0..5 {
            write(&log, batch(&[&format!("{round}-{number}")]));
        }
        directory.close().unwrap();
    }
}

#[test]
fn a_directory_that_was_not_closed_opens_with_all_it_had() {
    let world = World::new();
    for round in 0..3 {
        let directory = world.open();
        let log = log(&directory, small_segments(200));
        assert_eq!(read_all(&log, 0, 1000).len(), round * 5);
        for number in 0..5 {
            write(&log, batch(&[&format!("{round}-{number}")]));
        }
        drop(log);
        drop(directory);
    }
}

#[test]
fn reads_at_more_places_than_a_segment_remembers_all_end() {
    let world = World::new();
    let directory = world.open();
    let first = log(&directory, LogSettings::default());
    let large = "x".repeat(3000);
    for number in 0..200 {
        write(
            &first,
            batch(&[if number % 10 == 9 { "small" } else { &large }]),
        );
    }
    directory.close().unwrap();
    drop(first);
    drop(directory);
    let directory = world.open();
    let again = log(&directory, LogSettings::default());
    // Far apart, so that what was verified does not touch; the last one is the smallest.
    for from in (0..190).step_by(10).chain([199]) {
        assert_eq!(read(&again, from, 1).unwrap()[0].offset, from);
    }
}
