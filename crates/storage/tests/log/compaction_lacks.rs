//! Compaction where something lacks: room on the disk, descriptors. Nothing goes offline, nobody else waits, nothing piles up.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use storage::{CleanupPolicy, LocalLog, LogDirectory, LogSettings, PartitionLog};
use types::Timestamp;

use crate::compaction::*;
use crate::compaction_model::*;
use crate::crash_disk::CrashDisk;
use crate::support::*;

/// The steps of a swap between the one that makes it count and its end.
const STEPS: [(Call, &str); 6] = [
    (Call::RemoveFile, "t-0/00000000000000000000.index"),
    (Call::RemoveFile, "t-0/00000000000000000000.timeindex"),
    (Call::RemoveFile, ".log"),
    (Call::Rename, ".index.cleaned"),
    (Call::Rename, ".timeindex.cleaned"),
    (Call::Rename, ".swap"),
];

/// A log of two cleaned segments, which the next cleaning joins, and of uncleaned ones.
fn joining(world: &World, directory: &LogDirectory) -> (Arc<LocalLog>, Vec<Survivor>) {
    let log = log(directory, compacted(700, 1_000_000));
    for keys in [3, 3] {
        overwrite(&log, 30, keys);
        assert_eq!(clean_all(directory), 1);
    }
    overwrite(&log, 30, 5);
    world.clock.advance(1);
    let before = survivors_of(&log);
    (log, before)
}

/// The last value of each key.
fn table(survivors: &[Survivor]) -> Table {
    let valued = survivors
        .iter()
        .filter_map(|(_, key, value)| Some((key.clone(), value.clone()?)));
    valued.collect()
}

fn wait_out(world: &World) {
    // Longer than any wait.
    world.clock.advance(3600 * 1000);
}

#[test]
fn replaced_segments_are_let_go_with_their_own_swap() {
    let mut world = quiet(World::new());
    world.options.open_files_max = 4;
    let directory = world.open();
    let log = log(&directory, compacted(700, 1000));
    overwrite(&log, 400, 4);
    let segments = logs_of(&world).len();
    assert!(segments > 40);
    let open = &world.faults.open_most;
    open.store(
        world.faults.open_now.load(Ordering::SeqCst),
        Ordering::SeqCst,
    );
    assert_eq!(clean_all(&directory), 1);
    let most = open.load(Ordering::SeqCst);
    assert!(
        most < 16,
        "{most} files were open at once for {segments} segments"
    );
    let trash = std::fs::read_dir(world.root.join("trash")).unwrap().count();
    assert_eq!(trash, 0, "what nobody can open any more takes no room");
}

#[test]
fn a_swap_that_lacks_room_or_descriptors_is_finished_later() {
    for (call, part) in STEPS {
        for error in [ENOSPC, EMFILE] {
            for times in [1, 2, 3] {
                let world = quiet(World::new());
                let directory = world.open();
                let (log, before) = joining(&world, &directory);
                world.faults.fail(call, part, error, times);
                assert!(!directory.clean_once());
                let case = format!("{call:?} {part} {error} {times}");
                assert_eq!(directory.metrics().offline_logs.get(), 0, "{case}");
                assert_eq!(directory.metrics().uncleanable_logs.get(), 0, "{case}");
                assert_eq!(table(&survivors_of(&log)), table(&before), "{case}");
                let next = log.offsets().log_end.value();
                assert_eq!(write(&log, record(NOW_MS, "more", Some("value"))), next);
                for _ in 0..times {
                    wait_out(&world);
                    directory.clean_once();
                }
                assert_eq!(directory.metrics().offline_logs.get(), 0, "{case}");
                assert!(directory.metrics().cleanings.get() >= 3, "{case}");
                let names = world.names();
                let left = |name: &&String| name.ends_with(".swap") || name.ends_with(".cleaned");
                assert_eq!(names.iter().find(left), None, "{case}");
                let after = survivors_of(&log);
                assert!(after.len() < before.len(), "{case}");
                drop((log, directory));
                let directory = world.open();
                let log = crate::support::log(&directory, compacted(700, 1_000_000));
                assert_eq!(survivors_of(&log), after, "{case}");
            }
        }
    }
}

#[test]
fn a_swap_that_is_not_finished_survives_what_comes_meanwhile() {
    for (call, part) in STEPS {
        for stop in ["close", "crash", "crash without a checkpoint"] {
            let world = quiet(World::new());
            let directory = world.open();
            let (current, before) = joining(&world, &directory);
            let mut expected = table(&before);
            world.faults.fail(call, part, ENOSPC, 1000);
            directory.clean_once();
            // New segments, a checkpoint, and nobody may give segments up.
            for number in 0..20 {
                let key = format!("new{number}");
                write(&current, record(NOW_MS, &key, Some("a long enough value")));
                expected.insert(key, "a long enough value".to_owned());
            }
            directory.checkpoint().unwrap();
            assert_eq!(table(&survivors_of(&current)), expected);
            assert_eq!(directory.metrics().offline_logs.get(), 0);
            if stop == "close" {
                directory.close().unwrap();
            }
            let end = current.offsets().log_end;
            drop((current, directory));
            if stop == "crash without a checkpoint" {
                std::fs::remove_file(world.root.join("checkpoint")).unwrap();
            }
            world.faults.clear();
            let directory = world.open();
            let current = log(&directory, compacted(700, 1_000_000));
            let case = format!("{call:?} {part} {stop}");
            assert_eq!(current.offsets().log_end, end, "{case}");
            assert_eq!(table(&survivors_of(&current)), expected, "{case}");
            assert_eq!(directory.metrics().truncated_bytes.get(), 0, "{case}");
            let swap = world
                .names()
                .into_iter()
                .find(|name| name.ends_with(".swap"));
            assert_eq!(swap, None, "{case}");
            while directory.clean_once() {}
            assert_eq!(table(&survivors_of(&current)), expected, "{case}");
        }
    }
}

#[test]
fn nothing_is_given_up_while_a_swap_is_not_finished() {
    let world = quiet(World::new());
    let directory = world.open();
    let (log, before) = joining(&world, &directory);
    let (call, part) = STEPS[2];
    world.faults.fail(call, part, ENOSPC, 1000);
    directory.clean_once();
    let both = LogSettings {
        cleanup: CleanupPolicy {
            delete: true,
            compact: true,
        },
        retention_bytes: Some(1000),
        ..compacted(700, 1_000_000)
    };
    log.configure(both);
    assert_eq!(directory.run_retention(Timestamp::from_ms(NOW_MS)), 0);
    assert!(log.delete_records(Some(at(70))).is_err());
    assert_eq!(table(&survivors_of(&log)), table(&before));
    world.faults.clear();
    assert!(directory.run_retention(Timestamp::from_ms(NOW_MS)) > 0);
    assert_eq!(log.delete_records(Some(at(88))).unwrap(), at(88));
    let left: Vec<_> = offsets_of(&log);
    assert_eq!(left, [88, 89]);
}

/// A disk that is full for a while, from each step of a cleaning on.
fn full_from_each_step(share: usize) {
    let mut changes = 0;
    loop {
        let folder = tempfile::tempdir().unwrap();
        let disk = CrashDisk::new(&folder.path().join("kept"));
        let mut world = World::on(Arc::new(disk.clone()));
        world.root = folder.path().join("data");
        let world = quiet(world);
        let directory = world.open();
        let (current, before) = joining(&world, &directory);
        let mut expected = table(&before);
        disk.fail_after(changes, ENOSPC);
        while directory.clean_once() {}
        let was_full = disk.is_dead();
        assert_eq!(
            table(&survivors_of(&current)),
            expected,
            "after {changes} changes"
        );
        disk.make_room();
        // Where a sync failed it may be offline, elsewhere it goes on.
        let is_online = directory.metrics().offline_logs.get() == 0;
        assert!(
            is_online || disk.has_refused_sync_of("t-0"),
            "after {changes} changes"
        );
        if is_online {
            wait_out(&world);
            while directory.clean_once() {}
            let cleanings = directory.metrics().cleanings.get();
            assert!(cleanings >= 3, "after {changes} changes");
            write(&current, record(NOW_MS, "more", Some("value")));
            expected.insert("more".to_owned(), "value".to_owned());
            assert_eq!(
                table(&survivors_of(&current)),
                expected,
                "after {changes} changes"
            );
        }
        drop((current, directory));
        disk.revive(share);
        let directory = world.open();
        let current = log(&directory, compacted(700, 1_000_000));
        assert_eq!(
            table(&survivors_of(&current)),
            expected,
            "after {changes} changes"
        );
        while directory.clean_once() {}
        assert_eq!(
            table(&survivors_of(&current)),
            expected,
            "after {changes} changes"
        );
        if !was_full {
            assert!(changes > 20, "a cleaning has more steps than {changes}");
            return;
        }
        changes += 1;
    }
}

#[test]
fn compaction_goes_on_after_a_disk_was_full_at_any_step() {
    full_from_each_step(100);
}

#[test]
fn compaction_survives_a_loss_of_power_after_a_disk_was_full_at_any_step() {
    full_from_each_step(0);
}

#[test]
fn a_log_that_cannot_be_cleaned_steps_back_behind_the_others() {
    let world = quiet(World::new());
    let directory = world.open();
    let full = log(&directory, compacted(700, 1000));
    let other = directory
        .log(&partition(1), topic_id(1), compacted(700, 1000))
        .unwrap();
    overwrite(&full, 90, 4);
    overwrite(&other, 60, 40);
    clean_all(&directory);
    // Its share of uncleaned records is larger.
    overwrite(&full, 90, 4);
    overwrite(&other, 30, 4);
    let before = directory.metrics().cleanings.get();
    world.faults.fail(
        Call::Open,
        "t-0/00000000000000000000.log.cleaned",
        ENOSPC,
        1000,
    );
    directory.clean_once();
    directory.clean_once();
    let metrics = directory.metrics();
    assert_eq!(metrics.cleanings.get(), before + 1, "the other is cleaned");
    assert_eq!(metrics.failed_cleanings.get(), 1);
    // It is not tried again and again, and waits longer each time.
    let backoff = world.options.cleaner.backoff_ms;
    for (failures, wait) in [(1, backoff), (2, 2 * backoff), (3, 4 * backoff)] {
        directory.clean_once();
        assert_eq!(metrics.failed_cleanings.get(), failures);
        assert_eq!(metrics.waiting_logs.get(), 1);
        world.clock.advance(wait - 1);
        directory.clean_once();
        assert_eq!(metrics.failed_cleanings.get(), failures);
        world.clock.advance(1);
        directory.clean_once();
        assert_eq!(metrics.failed_cleanings.get(), failures + 1);
    }
    world.faults.clear();
    wait_out(&world);
    assert_eq!(clean_all(&directory), 1);
    assert_eq!(metrics.waiting_logs.get(), 0);
    assert!(survivors_of(&full).len() < 20);
}

#[test]
fn a_log_that_gets_no_checkpoint_steps_back_behind_the_others() {
    let world = quiet(World::new());
    let directory = world.open();
    let first = log(&directory, compacted(700, 1000));
    let other = directory
        .log(&partition(1), topic_id(1), compacted(700, 1000))
        .unwrap();
    overwrite(&other, 60, 30);
    clean_all(&directory);
    overwrite(&other, 30, 4);
    directory.checkpoint().unwrap();
    overwrite(&first, 60, 4);
    let before = directory.metrics().cleanings.get();
    world.faults.fail(Call::Open, "checkpoint", ENOSPC, 1000);
    directory.clean_once();
    directory.clean_once();
    assert_eq!(directory.metrics().cleanings.get(), before + 1);
    assert_eq!(offsets_of(&first).len(), 60);
    world.faults.clear();
    wait_out(&world);
    assert_eq!(clean_all(&directory), 1);
    assert!(offsets_of(&first).len() < 20);
}

#[test]
fn a_thread_goes_on_with_other_logs_at_once_after_a_failure() {
    let mut world = quiet(World::new());
    world.options.cleaner.enabled = false;
    let directory = world.open();
    let failing: Vec<_> = (0..5)
        .map(|number| {
            let partition = partition(number);
            let log = directory
                .log(&partition, topic_id(1), compacted(700, 1000))
                .unwrap();
            overwrite(&log, 90, 4);
            log
        })
        .collect();
    world.faults.fail(Call::Open, ".log.cleaned", ENOSPC, 4);
    let on = storage::CleanerSettings {
        enabled: true,
        ..world.options.cleaner
    };
    directory.configure_cleaner(on).unwrap();
    // The clock stands still: nobody rests between them.
    wait_until("the last is cleaned", || {
        directory.metrics().cleanings.get() == 1
    });
    assert_eq!(directory.metrics().failed_cleanings.get(), 4);
    directory.close().unwrap();
    drop(failing);
}
