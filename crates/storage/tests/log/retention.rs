//! What leaves a log, and what stays.

use std::sync::Arc;

use storage::{CleanupPolicy, LogSettings, PartitionLog, ReadError};
use types::Timestamp;

use crate::crash_disk::CrashDisk;
use crate::support::*;

fn now(offset_ms: i64) -> Timestamp {
    Timestamp::from_ms(NOW_MS + offset_ms)
}

/// One record per segment.
fn one_per_segment() -> LogSettings {
    LogSettings {
        retention_ms: None,
        timestamp_after_max_ms: None,
        ..small_segments(100)
    }
}

/// The same, and a record is to go once it is older than a second.
fn kept_for_a_second() -> LogSettings {
    LogSettings {
        retention_ms: Some(1000),
        ..one_per_segment()
    }
}

#[test]
fn segments_go_once_their_largest_timestamp_is_old_in_order() {
    let world = World::new();
    let directory = world.open();
    let settings = kept_for_a_second();
    let log = log(&directory, settings);
    // The third is newer than the fourth: it keeps what follows.
    for timestamp in [0, 100, 900, 200] {
        write(&log, batch_at(NOW_MS + timestamp, &["a"]));
    }
    assert_eq!(directory.run_retention(now(1000)), 0);
    assert_eq!(directory.run_retention(now(1001)), 1);
    assert_eq!(log.offsets().log_start, at(1));
    assert!(matches!(
        read(&log, 0, 100),
        Err(ReadError::OffsetOutOfRange { .. })
    ));
    assert_eq!(directory.run_retention(now(1101)), 1);
    assert_eq!(directory.run_retention(now(1500)), 0);
    assert_eq!(read_all(&log, 2, 1000).len(), 2);
    // The last segment goes too.
    assert_eq!(directory.run_retention(now(1901)), 2);
    let offsets = log.offsets();
    assert_eq!((offsets.log_start, offsets.log_end), (at(4), at(4)));
    assert_eq!(directory.run_retention(now(9999)), 0);
    assert_eq!(write(&log, batch(&["b"])), 4);
    assert_eq!(log.size_bytes(), batch(&["b"]).len() as u64);
}

#[test]
fn retention_leaves_deleted_what_was_deleted_by_request() {
    let world = World::new();
    let settings = small_segments(200);
    let directory = world.open();
    let before = log(&directory, settings.clone());
    for _ in 0..5 {
        write(&before, batch(&["a", "b"]));
    }
    directory.checkpoint().unwrap();
    let oldest = world.segment(0);
    let bytes = std::fs::read(&oldest).unwrap();
    before.delete_records(Some(at(7))).unwrap();
    assert!(!oldest.exists());
    drop((before, directory));
    // A loss of power brought its name back.
    std::fs::write(&oldest, bytes).unwrap();
    for _ in 0..2 {
        let directory = world.open();
        let log = log(&directory, settings.clone());
        assert_eq!(log.offsets().log_start, at(7));
        directory.run_retention(now(0));
    }
    assert!(!oldest.exists());
}

/// Names of files may reach the disk in any order: the oldest file that went may be there again when later ones are not.
#[test]
fn an_old_segment_that_comes_back_after_retention_takes_nothing_with_it() {
    for has_checkpoint in [true, false] {
        let world = World::new();
        let directory = world.open();
        let settings = kept_for_a_second();
        let before = log(&directory, settings.clone());
        for timestamp in [0, 100, 200, 900, 900] {
            write(&before, batch_at(NOW_MS + timestamp, &["a"]));
        }
        let oldest = world.segment(0);
        let bytes = std::fs::read(&oldest).unwrap();
        assert_eq!(directory.run_retention(now(1201)), 3);
        drop((before, directory));
        std::fs::write(&oldest, bytes).unwrap();
        if !has_checkpoint {
            world.lose_checkpoint();
        }
        let directory = world.open();
        let log = log(&directory, settings);
        let offsets = log.offsets();
        assert_eq!((offsets.log_start, offsets.log_end), (at(3), at(5)));
        assert_eq!(read_all(&log, 3, 1000).len(), 2);
        assert_eq!(directory.losses(), []);
    }
}

/// A loss of power leaves of the deleted segments' files any, and takes what was not synced.
#[test]
fn producers_are_known_where_their_records_were_deleted_before_power_was_lost() {
    for (by_request, comes_back) in [(true, false), (true, true), (false, false), (false, true)] {
        let kept = tempfile::tempdir().unwrap();
        let disk = CrashDisk::new(kept.path());
        let world = World::on(Arc::new(disk.clone()));
        let settings = kept_for_a_second();
        let directory = world.open();
        let before = log(&directory, settings.clone());
        assert_eq!(write(&before, produced(1, 0, 0, &["a"])), 0);
        directory.checkpoint().unwrap();
        assert_eq!(write(&before, produced(1, 0, 1, &["b"])), 1);
        assert_eq!(write(&before, batch_at(NOW_MS + 900, &["c"])), 2);
        let oldest = world.segment(0);
        let bytes = std::fs::read(&oldest).unwrap();
        if by_request {
            before.delete_records(Some(at(2))).unwrap();
        } else {
            assert_eq!(directory.run_retention(now(1500)), 2);
        }
        disk.die_after(0);
        drop((before, directory));
        disk.revive(100);
        if comes_back {
            std::fs::write(&oldest, bytes).unwrap();
        }
        let directory = world.open();
        let again = log(&directory, settings);
        let case = format!("by request: {by_request}, comes back: {comes_back}");
        assert_eq!(again.offsets().log_start, at(2), "{case}");
        let repeated = append(&again, produced(1, 0, 1, &["b"])).unwrap();
        assert!(repeated.outcome.duplicate, "{case}");
        assert_eq!(write(&again, produced(1, 0, 2, &["d"])), 3, "{case}");
    }
}

#[test]
fn a_log_that_retention_emptied_goes_on_where_it_was_after_any_stop() {
    for closed in [true, false] {
        let world = World::new();
        let directory = world.open();
        let settings = kept_for_a_second();
        let first = log(&directory, settings.clone());
        for _ in 0..3 {
            write(
                &first,
                produced(
                    1,
                    0,
                    i32::try_from(first.offsets().log_end.value()).unwrap(),
                    &["a"],
                ),
            );
        }
        assert_eq!(directory.run_retention(now(2000)), 3);
        if closed {
            directory.close().unwrap();
        }
        drop(first);
        drop(directory);
        let directory = world.open();
        let again = log(&directory, settings);
        let offsets = again.offsets();
        assert_eq!((offsets.log_start, offsets.log_end), (at(3), at(3)));
        let duplicate = append(&again, produced(1, 0, 2, &["a"])).unwrap();
        assert!(duplicate.outcome.duplicate);
        assert_eq!(write(&again, produced(1, 0, 3, &["a"])), 3);
    }
}

#[test]
fn what_follows_an_emptied_log_and_its_checkpoint_survives_a_crash() {
    let world = World::new();
    let directory = world.open();
    // The new segment's file is longer than all that the old one held, and zeros where that ended.
    let settings = LogSettings {
        retention_ms: Some(1000),
        preallocate: true,
        ..small_segments(100_000)
    };
    let emptied = log(&directory, settings.clone());
    let old = "x".repeat(5000);
    assert_eq!(write(&emptied, batch(&[&old])), 0);
    assert_eq!(directory.run_retention(now(2000)), 1);
    directory.checkpoint().unwrap();
    assert_eq!(write(&emptied, batch(&["acked"])), 1);
    drop(emptied);
    drop(directory);
    let directory = world.open();
    let again = log(&directory, settings);
    assert_eq!(again.offsets().log_end, at(2));
    assert_eq!(read(&again, 1, 1000).unwrap()[0].value, "acked");
}

#[test]
fn segments_go_while_the_rest_is_large_enough() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, one_per_segment());
    for _ in 0..10 {
        write(&log, batch(&["a"]));
    }
    let each = batch(&["a"]).len() as u64;
    for (limit, gone, left) in [
        (each * 20, 0, 10),
        (each * 7, 3, 7),
        (each * 6 + 1, 0, 7),
        (each, 6, 1),
        (0, 1, 0),
    ] {
        log.configure(LogSettings {
            retention_bytes: Some(limit),
            ..one_per_segment()
        });
        assert_eq!(directory.run_retention(now(0)), gone, "limit {limit}");
        assert_eq!(log.size_bytes(), each * left);
    }
}

#[test]
fn other_policies_keep_everything() {
    for (delete, compact) in [(false, true), (false, false)] {
        let world = World::new();
        let directory = world.open();
        let settings = LogSettings {
            cleanup: CleanupPolicy { delete, compact },
            retention_ms: Some(1),
            retention_bytes: Some(1),
            ..one_per_segment()
        };
        let log = log(&directory, settings);
        for _ in 0..3 {
            write(&log, batch(&["a"]));
        }
        assert_eq!(directory.run_retention(now(1_000_000)), 0);
    }
}

#[test]
fn deleted_records_are_gone_at_once_and_stay_gone() {
    for closed in [true, false] {
        let world = World::new();
        let directory = world.open();
        let first = log(&directory, one_per_segment());
        for _ in 0..5 {
            write(&first, batch(&["a", "b"]));
        }
        assert_eq!(first.delete_records(Some(at(3))).unwrap(), at(3));
        assert_eq!(first.offsets().log_start, at(3));
        assert!(read(&first, 2, 100).is_err());
        // The batch that holds the offset comes whole.
        assert_eq!(read(&first, 3, 1).unwrap()[0].offset, 2);
        assert_eq!(first.delete_records(Some(at(1))).unwrap(), at(3));
        assert!(first.delete_records(Some(at(11))).is_err());
        assert!(!world.segment(0).exists());
        assert!(world.segment(2).exists());
        if closed {
            directory.close().unwrap();
        }
        drop(first);
        drop(directory);
        let directory = world.open();
        let again = log(&directory, one_per_segment());
        assert_eq!(again.offsets().log_start, at(3));
        assert_eq!(again.delete_records(None).unwrap(), at(10));
        assert_eq!(again.offsets().log_start, at(10));
        assert_eq!(read(&again, 10, 100).unwrap(), []);
        assert_eq!(write(&again, batch(&["c"])), 10);
    }
}

/// What the small file says that tells where the log begins.
fn noted_start(world: &World) -> i64 {
    let text = std::fs::read_to_string(world.file("log-start-offset")).unwrap();
    text.lines().nth(1).unwrap().parse().unwrap()
}

/// A disk without room for eight bytes is what retention is for: the oldest segment goes without a word on disk of where the
/// log begins, which a crash cannot turn into a gap, and the rest once there is room to say so.
#[test]
fn retention_makes_room_on_a_disk_that_is_too_full_for_its_note() {
    for (call, part) in [
        (Call::Open, "log-start-offset"),
        (Call::Write, "log-start-offset"),
        (Call::Sync, "log-start-offset"),
        (Call::Rename, "log-start-offset"),
    ] {
        let world = World::new();
        let directory = world.open();
        let settings = LogSettings {
            retention_ms: Some(1000),
            file_delete_delay_ms: 0,
            ..one_per_segment()
        };
        let before = log(&directory, settings.clone());
        for _ in 0..6 {
            write(&before, batch_at(NOW_MS, &["a"]));
        }
        write(&before, batch_at(NOW_MS + 5000, &["new"]));
        directory.checkpoint().unwrap();
        let oldest = world.segment(0);
        let bytes = std::fs::read(&oldest).unwrap();
        world.faults.fail(call, part, ENOSPC, usize::MAX);
        for gone in 1..=3 {
            assert_eq!(directory.run_retention(now(2000)), 1, "{call:?}");
            assert_eq!(before.offsets().log_start, at(gone));
            assert!(!world.segment(gone - 1).exists());
        }
        let trash = world.root.join("trash");
        wait_until("the room is given back", || {
            std::fs::read_dir(&trash).unwrap().count() == 0
        });
        world.faults.clear();
        assert_eq!(directory.run_retention(now(2000)), 3);
        assert_eq!(noted_start(&world), 6);
        drop((before, directory));
        // The oldest is there again after a loss of power: nothing comes of it.
        std::fs::write(&oldest, bytes).unwrap();
        let directory = world.open();
        let log = log(&directory, settings);
        assert_eq!(directory.losses(), []);
        assert_eq!(
            (log.offsets().log_start, log.offsets().log_end),
            (at(6), at(7))
        );
    }
}

#[test]
fn what_retention_could_not_note_is_noted_as_soon_as_there_is_room() {
    let world = World::new();
    let directory = world.open();
    let settings = kept_for_a_second();
    let log = log(&directory, settings);
    write(&log, batch_at(NOW_MS, &["a"]));
    write(&log, batch_at(NOW_MS + 5000, &["new"]));
    world
        .faults
        .fail(Call::Write, "log-start-offset", ENOSPC, 1);
    assert_eq!(directory.run_retention(now(2000)), 1);
    assert!(!world.file("log-start-offset").exists());
    assert_eq!(directory.run_retention(now(2000)), 0);
    assert_eq!(noted_start(&world), 1);
    drop((log, directory));
    world.lose_checkpoint();
    assert_eq!(world.open().losses(), []);
}

#[test]
fn what_has_no_room_in_the_trash_is_removed_at_once() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, one_per_segment());
    for _ in 0..3 {
        write(&log, batch(&["a"]));
    }
    world.faults.fail(Call::Rename, ".log$", ENOSPC, usize::MAX);
    log.delete_records(Some(at(2))).unwrap();
    assert_eq!(segment_names(&world), [format!("{:020}.log", 2)]);
    assert_eq!(read_all(&log, 2, 1000).len(), 1);
}

/// What retention waits for is the disk's business, not that of who appends.
#[test]
fn appends_go_on_while_retention_waits_for_the_disk() {
    let world = World::new();
    let directory = Arc::new(world.open());
    let settings = kept_for_a_second();
    let log = log(&directory, settings);
    for timestamp in [0, 0, 5000] {
        write(&log, batch_at(NOW_MS + timestamp, &["a"]));
    }
    world.faults.hold(Call::Sync, "log-start-offset", 0);
    let retaining = Arc::clone(&directory);
    let retention = Box::new(move || assert_eq!(retaining.run_retention(now(2000)), 2));
    let retention = world
        .spawner()
        .spawn_thread("retention", retention)
        .unwrap();
    wait_until("retention waits", || world.faults.is_holding());
    let appending = Arc::clone(&log);
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_done = Arc::clone(&done);
    let append = Box::new(move || {
        write(&appending, batch(&["b"]));
        is_done.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    let append = world.spawner().spawn_thread("append", append).unwrap();
    wait_until("the append is there", || {
        done.load(std::sync::atomic::Ordering::SeqCst)
    });
    assert!(world.faults.is_holding());
    world.faults.let_pass();
    assert!(retention.join() && append.join());
    assert_eq!(
        (log.offsets().log_start, log.offsets().log_end),
        (at(2), at(4))
    );
}

#[test]
fn removed_files_stay_for_their_delay() {
    let world = World::new();
    let directory = world.open();
    let settings = LogSettings {
        file_delete_delay_ms: 5000,
        ..one_per_segment()
    };
    let log = log(&directory, settings);
    for _ in 0..3 {
        write(&log, batch(&["a"]));
    }
    let plan = log
        .read(at(0), 1000, storage::Isolation::ReadUncommitted, true)
        .unwrap();
    log.delete_records(Some(at(2))).unwrap();
    let trash = world.root.join("trash");
    assert!(std::fs::read_dir(&trash).unwrap().count() >= 2);
    assert_eq!(records_of(&bytes_of(&plan.slices)).len(), 3);
    world.clock.advance(5000);
    wait_until("the files are removed", || {
        std::fs::read_dir(&trash).unwrap().count() == 0
    });
}

#[test]
fn a_batch_much_later_than_the_first_begins_a_segment() {
    let world = World::new();
    let directory = world.open();
    let settings = LogSettings {
        segment_ms: 1000,
        timestamp_after_max_ms: None,
        ..LogSettings::default()
    };
    let log = log(&directory, settings);
    for (timestamp, segments) in [
        (0, 1),
        (1000, 1),
        (500, 1),
        (1001, 2),
        (1002, 2),
        (2001, 2),
        (2002, 3),
    ] {
        write(&log, batch_at(NOW_MS + timestamp, &["a"]));
        let count = world
            .names()
            .iter()
            .filter(|name| name.ends_with(".log"))
            .count();
        assert_eq!(count, segments, "at {timestamp}");
    }
}

#[test]
fn a_log_tells_its_segments() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, one_per_segment());
    assert!(log.segments().is_empty() && !log.is_offline());
    for timestamp in [5, 3, 9] {
        write(&log, batch_at(NOW_MS + timestamp, &["a"]));
    }
    let told = |log: &dyn PartitionLog| -> Vec<_> {
        let segments = log.segments().into_iter();
        let told = segments.map(|segment| {
            let range = (segment.base.value(), segment.end.value());
            (range, segment.largest_timestamp, segment.is_active)
        });
        told.collect()
    };
    let expected = [
        ((0, 1), Some(now(5)), false),
        ((1, 2), Some(now(3)), false),
        ((2, 3), Some(now(9)), true),
    ];
    assert_eq!(told(&*log), expected);
    let bytes: u64 = log.segments().iter().map(|segment| segment.bytes).sum();
    assert_eq!(bytes, log.size_bytes());
    log.delete_records(Some(at(2))).unwrap();
    assert_eq!(told(&*log), expected[2..]);
}
