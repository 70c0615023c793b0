//! Compaction as users of a log see it: what is cleaned and when, what readers notice, what goes wrong.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use protocol::records::{BatchBuilder, BatchIterator, BatchOptions, Compression};
use storage::{
    CleanerSettings, CleanupPolicy, DeleteRecordsError, FindingKind, Isolation, LocalLog,
    LogDirectory, LogSettings, PartitionLog, ReadError, TimestampQuery,
};
use types::Timestamp;

use crate::compaction_model::*;
use crate::support::*;

/// A batch of one record with a value, or a tombstone.
pub(crate) fn record(timestamp: i64, key: &str, value: Option<&str>) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder
        .push(
            timestamp,
            Some(key.as_bytes()),
            value.map(str::as_bytes),
            &[],
        )
        .unwrap();
    builder.build().unwrap()
}

/// Writes `count` records with the keys `0..keys` in turn, about seven to a segment of 700 bytes.
pub(crate) fn overwrite(log: &LocalLog, count: usize, keys: usize) {
    for number in 0..count {
        let key = format!("k{}", number % keys);
        let value = format!("{number}-{}", "x".repeat(20));
        write(log, record(NOW_MS + number as i64, &key, Some(&value)));
    }
}

pub(crate) fn offsets_of(log: &LocalLog) -> Vec<i64> {
    survivors_of(log)
        .into_iter()
        .map(|(offset, ..)| offset)
        .collect()
}

pub(crate) fn clean_all(directory: &LogDirectory) -> u64 {
    let before = directory.metrics().cleanings.get();
    while directory.clean_once() {}
    directory.metrics().cleanings.get() - before
}

pub(crate) fn logs_of(world: &World) -> Vec<i64> {
    let names = world.names();
    let bases = names.iter().filter_map(|name| name.strip_suffix(".log"));
    bases.map(|base| base.parse().unwrap()).collect()
}

#[test]
fn compaction_keeps_the_last_record_of_each_key_at_its_offset() {
    let world = quiet(World::new());
    let directory = world.open();
    let log = log(&directory, compacted(700, 1000));
    overwrite(&log, 60, 4);
    let end = upper_bound(&world, &log);
    assert_eq!(clean_all(&directory), 1);
    let left = offsets_of(&log);
    let active: Vec<_> = (end..60).collect();
    assert_eq!(&left[..4], [end - 4, end - 3, end - 2, end - 1]);
    assert_eq!(left[4..], active, "the last segment is left alone");
    let metrics = directory.metrics();
    assert_eq!(metrics.cleaned_records.get(), end as u64 - 4);
    assert!(metrics.cleaner_read_bytes.get() > metrics.cleaner_written_bytes.get());
    // Nothing is left to clean.
    assert_eq!(clean_all(&directory), 0);
    overwrite(&log, 8, 4);
    let end = upper_bound(&world, &log);
    assert_eq!(clean_all(&directory), 1);
    let bases = logs_of(&world);
    assert!(bases[1] > 7, "segments that became small are joined");
    assert!(bases.contains(&end));
}

#[test]
fn compaction_leaves_gaps_that_readers_step_over() {
    let world = quiet(World::new());
    let directory = world.open();
    let log = log(&directory, compacted(700, 1000));
    overwrite(&log, 60, 4);
    clean_all(&directory);
    for reopened in [false, true] {
        let left = survivors_of(&log);
        for from in 0..60 {
            let next = left.iter().find(|(offset, ..)| *offset >= from).unwrap();
            let found = read(&log, from, 1).unwrap();
            assert_eq!(found[0].offset, next.0, "from {from}, again {reopened}");
            let query = TimestampQuery::AtLeast(Timestamp::from_ms(NOW_MS + from));
            let found = log
                .offset_for_timestamp(query, Isolation::ReadUncommitted)
                .unwrap();
            assert_eq!(found.unwrap().offset.value(), next.0);
        }
        let query = TimestampQuery::Largest;
        let found = log.offset_for_timestamp(query, Isolation::ReadUncommitted);
        assert_eq!(found.unwrap().unwrap().offset, at(59));
        let index = world.file(&format!("{:020}.index", 0));
        std::fs::remove_file(index).ok();
    }
    assert!(matches!(
        read(&log, 61, 1),
        Err(ReadError::OffsetOutOfRange { .. })
    ));
}

#[test]
fn compaction_keeps_tombstones_for_a_time_from_the_first_cleaning_that_saw_them() {
    let world = quiet(World::new());
    let directory = world.open();
    let log = log(&directory, compacted(600, 10_000));
    write(&log, record(NOW_MS, "gone", Some("value")));
    write(&log, record(NOW_MS, "gone", None));
    overwrite(&log, 20, 3);
    // However long it lay there uncleaned.
    world.clock.advance(1_000_000);
    clean_all(&directory);
    let tombstone = |log: &LocalLog| {
        let all = survivors_of(log);
        all.into_iter().find(|(_, key, _)| key == "gone")
    };
    assert_eq!(tombstone(&log), Some((1, "gone".to_owned(), None)));
    let plan = log
        .read(at(0), 1, Isolation::ReadUncommitted, true)
        .unwrap();
    let bytes = bytes_of(&plan.slices);
    let batch = BatchIterator::new(&bytes).next().unwrap().unwrap();
    assert!(batch.has_delete_horizon());
    assert_eq!(batch.base_timestamp(), NOW_MS + 1_010_000);
    let payload = batch.payload(1 << 20).unwrap();
    let first = batch.records(&payload).next().unwrap().unwrap();
    assert_eq!(batch.timestamp_of(first.timestamp_delta), NOW_MS);
    world.clock.advance(9_999);
    overwrite(&log, 20, 3);
    assert_eq!(clean_all(&directory), 1);
    assert!(tombstone(&log).is_some());
    world.clock.advance(1);
    overwrite(&log, 20, 3);
    assert_eq!(clean_all(&directory), 1);
    assert_eq!(tombstone(&log), None);
}

#[test]
fn compaction_copies_what_it_does_not_change_byte_by_byte() {
    for codec in Compression::ALL {
        let world = quiet(World::new());
        let directory = world.open();
        let log = log(&directory, compacted(700, 1000));
        let mut model = Model::default();
        let records: Vec<_> = (0..5).map(|key| (key, Some(30))).collect();
        model.write(&log, &world.clock, None, codec, &records);
        let end = usize::try_from(log.size_bytes()).unwrap();
        let before = std::fs::read(world.segment(0)).unwrap();
        for key in [9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9] {
            model.write(
                &log,
                &world.clock,
                None,
                Compression::None,
                &[(key, Some(39))],
            );
        }
        clean(&world, &directory, &log, &mut model);
        assert!(directory.metrics().cleaned_records.get() > 0);
        let after = std::fs::read(world.segment(0)).unwrap();
        assert_eq!(after[..end], before[..end], "{codec}");
    }
}

#[test]
fn compaction_writes_changed_batches_in_their_own_codec() {
    for codec in Compression::ALL {
        let world = quiet(World::new());
        let directory = world.open();
        let log = log(&directory, compacted(700, 1000));
        let mut model = Model::default();
        let records: Vec<_> = (0..9).map(|key| (key, Some(39))).collect();
        model.write(&log, &world.clock, None, codec, &records);
        for _ in 0..12 {
            model.write(
                &log,
                &world.clock,
                None,
                Compression::None,
                &[(4, Some(39))],
            );
        }
        clean(&world, &directory, &log, &mut model);
        let bytes = std::fs::read(world.segment(0)).unwrap();
        let batch = BatchIterator::new(&bytes).next().unwrap().unwrap();
        assert_eq!(batch.compression(), codec);
        assert_eq!((batch.records_count(), batch.last_offset_delta()), (8, 8));
    }
}

#[test]
fn a_log_is_cleaned_once_enough_of_it_is_uncleaned() {
    let world = quiet(World::new());
    let directory = world.open();
    let settings = LogSettings {
        min_cleanable_dirty_ratio: 0.5,
        ..compacted(700, 1000)
    };
    let log = log(&directory, settings);
    overwrite(&log, 100, 40);
    assert_eq!(clean_all(&directory), 1, "all of it is");
    overwrite(&log, 8, 8);
    assert_eq!(clean_all(&directory), 0, "a small part of it is");
    assert!(directory.metrics().dirtiest_percent.get() <= 50);
    overwrite(&log, 80, 8);
    assert_eq!(clean_all(&directory), 1);
    // The ratio has to be above, not at.
    log.configure(LogSettings {
        min_cleanable_dirty_ratio: 1.0,
        ..compacted(700, 1000)
    });
    overwrite(&log, 200, 8);
    assert_eq!(clean_all(&directory), 0);
}

#[test]
fn young_records_are_not_compacted_and_old_ones_must_be() {
    let world = quiet(World::new());
    let directory = world.open();
    let young = LogSettings {
        min_compaction_lag_ms: 60_000,
        ..compacted(700, 1000)
    };
    let log = log(&directory, young);
    overwrite(&log, 40, 2);
    assert_eq!(clean_all(&directory), 0);
    world.clock.advance(60_000 + 100);
    assert_eq!(clean_all(&directory), 1);
    // Old ones: whatever the ratio, and in the last segment too, which ends sooner for it.
    let old = LogSettings {
        min_cleanable_dirty_ratio: 1.0,
        max_compaction_lag_ms: 5_000,
        segment_bytes: 1 << 20,
        ..compacted(700, 1000)
    };
    log.configure(old);
    let now = || env::Clock::wall(&*world.clock).ms();
    let segments = logs_of(&world).len();
    for _ in 0..5 {
        write(&log, record(now(), "k", Some("v")));
    }
    let count = logs_of(&world).len();
    assert!(count <= segments + 1);
    clean_all(&directory);
    let count = logs_of(&world).len();
    world.clock.advance(5_001);
    write(&log, record(now(), "k", Some("v")));
    assert_eq!(
        logs_of(&world).len(),
        count + 1,
        "another segment was begun"
    );
    assert_eq!(clean_all(&directory), 1);
    let left = survivors_of(&log);
    assert_eq!(left.iter().filter(|(_, key, _)| key == "k").count(), 2);
}

#[test]
fn compacted_and_deleted_logs_are_both() {
    let world = quiet(World::new());
    let directory = world.open();
    let both = LogSettings {
        cleanup: CleanupPolicy {
            delete: true,
            compact: true,
        },
        retention_ms: Some(50_000),
        ..compacted(700, 1000)
    };
    let log = log(&directory, both);
    overwrite(&log, 60, 4);
    clean_all(&directory);
    assert_eq!(log.offsets().log_start, at(0));
    world.clock.advance(50_000 + 100);
    directory.clean_once();
    assert!(log.offsets().log_start > at(0), "the cleaner deletes, too");
    assert_eq!(log.delete_records(None).unwrap(), log.offsets().log_end);
    log.configure(compacted(700, 1000));
    assert!(matches!(
        log.delete_records(None),
        Err(DeleteRecordsError::Compacted)
    ));
    // Neither: kept for ever, until it is deleted by request.
    let neither = LogSettings {
        cleanup: CleanupPolicy {
            delete: false,
            compact: false,
        },
        retention_bytes: Some(1),
        ..compacted(700, 1000)
    };
    log.configure(neither);
    overwrite(&log, 30, 1);
    assert_eq!(clean_all(&directory), 0);
    assert_eq!(directory.run_retention(Timestamp::from_ms(i64::MAX)), 0);
    log.delete_records(None).unwrap();
}

#[test]
fn readers_go_on_reading_what_was_replaced() {
    let world = quiet(World::new());
    let directory = world.open();
    let log = log(&directory, compacted(700, 1000));
    overwrite(&log, 60, 4);
    let plan = log
        .read(at(0), 1 << 20, Isolation::ReadUncommitted, true)
        .unwrap();
    let before = survivors_of(&log);
    assert_eq!(clean_all(&directory), 1);
    // The files are gone by name only.
    directory.close().unwrap();
    let records = records_of(&bytes_of(&plan.slices));
    let offsets: Vec<_> = records.iter().map(|record| record.offset).collect();
    let expected: Vec<_> = before.iter().map(|(offset, ..)| *offset).collect();
    assert_eq!(offsets, expected);
}

#[test]
fn a_corrupt_log_is_left_alone_and_holds_no_other_up() {
    let world = quiet(World::new());
    let directory = world.open();
    let broken = log(&directory, compacted(700, 1000));
    let other = directory
        .log(&partition(1), topic_id(1), compacted(700, 1000))
        .unwrap();
    overwrite(&broken, 60, 4);
    overwrite(&other, 60, 4);
    let before = world.names();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(world.segment(0))
        .unwrap();
    file.write_all_at(b"?", 150).unwrap();
    while directory.clean_once() {}
    while directory.metrics().cleanings.get() == 0 {
        directory.clean_once();
    }
    directory.clean_once();
    let metrics = directory.metrics();
    assert_eq!(metrics.cleanings.get(), 1);
    assert_eq!(metrics.failed_cleanings.get(), 1);
    assert_eq!(metrics.uncleanable_logs.get(), 1);
    assert_eq!(
        logs_of(&world).len(),
        before.iter().filter(|name| name.ends_with(".log")).count()
    );
    assert!(survivors_of(&other).len() < 20);
    // It goes on, with all but the damaged batch.
    write(&broken, record(NOW_MS, "k", Some("v")));
    assert_eq!(broken.offsets().log_end, at(61));
}

#[test]
fn a_log_with_more_keys_than_fit_is_cleaned_in_rounds() {
    let mut world = quiet(World::new());
    // Room for 64 keys.
    world.options.cleaner.dedupe_buffer_bytes = 64 * 24;
    world.options.cleaner.load_factor = 1.0;
    let directory = world.open();
    let log = log(&directory, compacted(2000, 1000));
    overwrite(&log, 1200, 600);
    let end = upper_bound(&world, &log);
    let rounds = clean_all(&directory);
    assert!(rounds >= end as u64 / 64, "{rounds} rounds for {end} keys");
    assert!(directory.metrics().cleaner_map_percent.get() <= 100);
    let left = offsets_of(&log);
    let expected: Vec<_> = (end - 600..1200).collect();
    assert_eq!(left, expected);
}

/// Runs `work` while another thread cleans, held back to `rate` bytes in a second of the test's clock.
pub(crate) fn while_cleaning(
    world: &World,
    directory: &Arc<LogDirectory>,
    rate: u64,
    work: impl FnOnce(),
) {
    let settings = CleanerSettings {
        io_bytes_per_second: Some(rate),
        ..world.options.cleaner
    };
    directory.configure_cleaner(settings).unwrap();
    let cleaning = Arc::clone(directory);
    let thread = env::Spawner::spawn_thread(
        &*world.spawner(),
        "cleaning",
        Box::new(move || {
            cleaning.clean_once();
        }),
    )
    .unwrap();
    work();
    assert!(thread.join());
}

#[test]
fn cleaning_is_held_back_to_its_rate_and_holds_no_producer_back() {
    let world = quiet(World::new());
    let directory = Arc::new(world.open());
    let log = log(&directory, compacted(100_000, 1000));
    overwrite(&log, 3000, 10);
    let started = env::Clock::now(&*world.clock);
    while_cleaning(&world, &directory, 100_000, || {
        wait_until("the cleaning ends", || {
            // It stands still while the clock does; producing does not.
            write(&log, record(NOW_MS, "more", Some("value")));
            world.clock.advance(50);
            directory.metrics().cleanings.get() > 0
        });
    });
    let metrics = directory.metrics();
    let bytes = metrics.cleaner_read_bytes.get() + metrics.cleaner_written_bytes.get();
    let took = env::Clock::now(&*world.clock).since(started).as_millis();
    // The last transfer need not be waited for.
    let least = (bytes - (1 << 16)) * 1000 / 100_000;
    assert!(took >= u128::from(least), "{bytes} bytes in {took} ms");
}

#[test]
fn a_cleaning_ends_when_its_log_is_deleted_or_its_policy_changes() {
    for deleted in [true, false] {
        let world = quiet(World::new());
        let directory = Arc::new(world.open());
        let log = log(&directory, compacted(100_000, 1000));
        overwrite(&log, 3000, 10);
        let size = log.size_bytes();
        while_cleaning(&world, &directory, 1000, || {
            let cleaned = world.file(&format!("{:020}.log.cleaned", 0));
            let begun = || directory.metrics().checkpoints.get() > 0 || cleaned.exists();
            wait_until("the cleaning begins", begun);
            if deleted {
                directory.delete(&partition(0), topic_id(1)).unwrap();
            } else {
                log.configure(small_segments(700));
            }
        });
        assert_eq!(directory.metrics().cleanings.get(), 0);
        assert_eq!(directory.metrics().failed_cleanings.get(), 0);
        if !deleted {
            assert_eq!(log.size_bytes(), size);
            assert!(world.names().iter().all(|name| !name.ends_with(".cleaned")));
        }
    }
}

#[test]
fn threads_of_the_directory_clean_by_themselves() {
    let mut world = quiet(World::new());
    world.options.cleaner.enabled = true;
    world.options.cleaner.threads = 2;
    let directory = world.open();
    let log = log(&directory, compacted(700, 1000));
    overwrite(&log, 60, 4);
    // The first cleaning may come before all is written.
    wait_until("threads clean", || {
        world.clock.advance(1000);
        directory.metrics().cleanings.get() > 0 && offsets_of(&log).len() < 20
    });
    // Turned off: nothing is cleaned any more.
    let off = CleanerSettings {
        enabled: false,
        ..world.options.cleaner
    };
    directory.configure_cleaner(off).unwrap();
    directory.close().unwrap();
    assert!(offsets_of(&log).len() < 20);
}

#[test]
fn a_full_disk_ends_a_cleaning_and_it_is_tried_again() {
    let world = quiet(World::new());
    let directory = world.open();
    let log = log(&directory, compacted(700, 1000));
    overwrite(&log, 60, 4);
    world.faults.fail(Call::Open, ".log.cleaned", ENOSPC, 1);
    assert!(!directory.clean_once());
    assert_eq!(directory.metrics().failed_cleanings.get(), 1);
    assert!(world.names().iter().all(|name| !name.ends_with(".cleaned")));
    assert_eq!(offsets_of(&log).len(), 60);
    world.clock.advance(world.options.cleaner.backoff_ms);
    assert_eq!(clean_all(&directory), 1);
    assert!(offsets_of(&log).len() < 20);
}

#[test]
fn a_swap_that_cannot_be_finished_takes_the_log_offline_and_opening_finishes_it() {
    let world = quiet(World::new());
    let directory = world.open();
    let current = log(&directory, compacted(700, 1000));
    overwrite(&current, 60, 4);
    world.faults.fail(Call::Rename, ".index.cleaned", EIO, 1);
    assert!(!directory.clean_once());
    assert_eq!(directory.metrics().offline_logs.get(), 1);
    assert_eq!(offsets_of(&current).len(), 60, "it is read as it was");
    directory.close().unwrap();
    drop((current, directory));
    let directory = world.open();
    let log = log(&directory, compacted(700, 1000));
    let left = offsets_of(&log).len();
    assert!((20..60).contains(&left), "that one swap, {left} left");
    assert!(world.names().iter().all(|name| !name.ends_with(".swap")));
    assert_eq!(write(&log, record(NOW_MS, "k", Some("v"))), 60);
    assert_eq!(clean_all(&directory), 1);
    assert!(offsets_of(&log).len() < 20);
}

#[test]
fn a_cleaned_segment_whose_successors_are_lost_keeps_its_records() {
    for keeps_checkpoint in [true, false] {
        let world = quiet(World::new());
        let directory = world.open();
        let first = log(&directory, compacted(700, 1000));
        overwrite(&first, 60, 4);
        let end = upper_bound(&world, &first);
        clean_all(&directory);
        let cleaned: Vec<_> = offsets_of(&first)
            .into_iter()
            .filter(|offset| *offset < end)
            .collect();
        assert!(!cleaned.contains(&0), "there are gaps within the segment");
        drop(first);
        drop(directory);
        for base in logs_of(&world).into_iter().filter(|base| *base >= end) {
            std::fs::remove_file(world.segment(base)).unwrap();
        }
        if !keeps_checkpoint {
            world.lose_checkpoint();
        }
        let report = world.check().unwrap().run(None, &mut |_| ()).unwrap();
        let of_bytes = report.findings.iter().filter(|finding| {
            matches!(finding.kind, FindingKind::TornEnd | FindingKind::DamagedEnd)
        });
        assert_eq!(of_bytes.count(), 0, "{:?}", report.findings);
        let directory = world.open();
        let again = log(&directory, compacted(700, 1000));
        assert_eq!(offsets_of(&again), cleaned, "checkpoint {keeps_checkpoint}");
        // It goes on, and is read again whatever is known of it.
        write(&again, record(NOW_MS + 100, "after", Some("x")));
        let all = offsets_of(&again);
        assert_eq!(all.len(), cleaned.len() + 1);
        drop(again);
        drop(directory);
        world.lose_checkpoint();
        let directory = world.open();
        assert_eq!(offsets_of(&log(&directory, compacted(700, 1000))), all);
    }
}
