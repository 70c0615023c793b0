//! The data directory: lock, format, boots, stale and unclaimed folders, deletion, many partitions, open files.

use storage::{
    DirectoryOptions, FORMAT_VERSION, FormatError, LogSettings, OpenError, PartitionLog, ReadError,
};

use crate::support::*;

#[test]
fn a_directory_is_used_by_one_process_at_a_time() {
    let world = World::new();
    let directory = world.open();
    let error = world.try_open().unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }));
    assert!(error.to_string().contains("in use by another process"));
    directory.close().unwrap();
    world.open();
}

#[test]
fn a_newer_format_is_refused_with_both_versions() {
    let world = World::new();
    drop(world.open());
    std::fs::write(world.root.join("watertable.format"), "format 7\n").unwrap();
    let error = world.try_open().unwrap_err();
    assert!(matches!(
        error,
        OpenError::Format(FormatError::Newer { found: 7, .. })
    ));
    let text = error.to_string();
    assert!(text.contains("format 7"), "{text}");
    assert!(text.contains(&format!("format {FORMAT_VERSION}")), "{text}");
}

#[test]
fn damaged_small_files_are_refused_and_not_overwritten() {
    for (name, text) in [
        ("watertable.format", "what\n"),
        ("watertable.format", ""),
        ("boot-count", "0\nmany\n"),
        ("boot-count", "-9\n1\n"),
    ] {
        let world = World::new();
        drop(world.open());
        std::fs::write(world.root.join(name), text).unwrap();
        let error = world.try_open().unwrap_err();
        assert!(matches!(
            error,
            OpenError::Format(FormatError::Damaged { .. })
        ));
        assert_eq!(
            std::fs::read_to_string(world.root.join(name)).unwrap(),
            text
        );
    }
}

#[test]
fn each_opening_has_its_own_leader_epoch() {
    let world = World::new();
    for boot in 1..4 {
        let opened = world.try_open().unwrap();
        assert_eq!(opened.leader_epoch.value(), boot);
        let log = log(&opened.directory, LogSettings::default());
        write(&log, batch(&["a"]));
        assert_eq!(log.offsets().leader_epoch.value(), boot);
    }
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let ends: Vec<_> = (1..=5)
        .map(|epoch| {
            log.end_offset_for_epoch(types::LeaderEpoch::new(epoch).unwrap())
                .map(|end| (end.epoch.value(), end.end.value()))
        })
        .collect();
    assert_eq!(
        ends,
        [Some((1, 1)), Some((2, 2)), Some((3, 3)), Some((4, 3)), None]
    );
    assert_eq!(log.epoch_at(at(1)).map(types::LeaderEpoch::value), Some(2));
}

#[test]
fn the_epochs_are_used_up_one_day() {
    let world = World::new();
    drop(world.open());
    std::fs::write(world.root.join("boot-count"), format!("0\n{}\n", i32::MAX)).unwrap();
    assert!(matches!(
        world.try_open().unwrap_err(),
        OpenError::Format(FormatError::EpochsUsedUp { .. })
    ));
}

#[test]
fn the_folder_of_a_deleted_topic_is_never_taken_for_a_new_one() {
    for closed in [true, false] {
        let world = World::new();
        let directory = world.open();
        write(&log(&directory, LogSettings::default()), batch(&["old"]));
        if closed {
            directory.close().unwrap();
        }
        drop(directory);
        let directory = world.open();
        let new = directory
            .log(&partition(0), topic_id(2), LogSettings::default())
            .unwrap();
        assert_eq!(new.offsets().log_end, at(0));
        assert!(!world.root.join("logs/t-0").exists());
        write(&new, batch(&["new"]));
        drop(new);
        drop(directory);
        let directory = world.open();
        let again = directory
            .log(&partition(0), topic_id(2), LogSettings::default())
            .unwrap();
        assert_eq!(values(&read_all(&again, 0, 100)), ["new"]);
    }
}

#[test]
fn a_folder_that_names_no_topic_is_not_used() {
    let world = World::new();
    let directory = world.open();
    write(&log(&directory, LogSettings::default()), batch(&["old"]));
    drop(directory);
    std::fs::write(world.file("partition.metadata"), "version: 0\n").unwrap();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    assert_eq!(log.offsets().log_end, at(0));
}

#[test]
fn the_folder_says_what_kafka_says() {
    let world = World::new();
    let directory = world.open();
    write(&log(&directory, LogSettings::default()), batch(&["a"]));
    let text = std::fs::read_to_string(world.file("partition.metadata")).unwrap();
    assert_eq!(text, format!("version: 0\ntopic_id: {}", topic_id(1)));
    assert_eq!(
        world.names(),
        ["00000000000000000000.log", "partition.metadata"]
    );
}

#[test]
fn a_deleted_log_is_gone_for_everyone_and_its_files_go_later() {
    let world = World::new();
    let directory = world.open();
    let old = log(&directory, LogSettings::default());
    write(&old, batch(&["a"]));
    let plan = old
        .read(at(0), 100, storage::Isolation::ReadUncommitted, true)
        .unwrap();
    directory.delete(&partition(0), topic_id(1)).unwrap();
    assert!(append(&old, batch(&["b"])).is_err());
    assert!(matches!(read(&old, 0, 100), Err(ReadError::Deleted)));
    assert_eq!(
        records_of(&bytes_of(&plan.slices)).len(),
        1,
        "held slices stay readable"
    );
    assert!(!world.root.join("logs/t-0").exists());
    let trash = world.root.join("trash");
    assert_eq!(std::fs::read_dir(&trash).unwrap().count(), 1);
    let new = log(&directory, LogSettings::default());
    assert_eq!(new.offsets().log_end, at(0));
    world.clock.advance(60_000);
    wait_until("the trash is removed", || {
        std::fs::read_dir(&trash).unwrap().count() == 0
    });
    directory.delete(&partition(5), topic_id(1)).unwrap();
}

#[test]
fn trash_of_an_earlier_process_is_removed() {
    let world = World::new();
    let directory = world.open();
    write(&log(&directory, LogSettings::default()), batch(&["a"]));
    directory.delete(&partition(0), topic_id(1)).unwrap();
    drop(directory);
    let trash = world.root.join("trash");
    assert_eq!(std::fs::read_dir(&trash).unwrap().count(), 1);
    let _directory = world.open();
    wait_until("the trash is removed", || {
        std::fs::read_dir(&trash).unwrap().count() == 0
    });
}

#[test]
fn folders_that_nobody_asks_for_are_set_aside_and_kept() {
    let world = World::new();
    let directory = world.open();
    for number in 0..2 {
        let log = directory
            .log(&partition(number), topic_id(1), LogSettings::default())
            .unwrap();
        write(&log, batch(&["a"]));
    }
    drop(directory);
    let directory = world.open();
    log(&directory, LogSettings::default());
    assert_eq!(directory.set_aside_unclaimed().unwrap(), [partition(1)]);
    assert_eq!(directory.set_aside_unclaimed().unwrap(), []);
    assert!(world.root.join("logs/t-0").exists());
    assert!(!world.root.join("logs/t-1").exists());
    let stray = world.root.join("stray/2-0/t-1/00000000000000000000.log");
    assert!(stray.exists());
}

#[test]
fn unclaimed_logs_stay_in_the_checkpoint() {
    let world = World::new();
    let directory = world.open();
    write(&log(&directory, LogSettings::default()), batch(&["a"]));
    directory.close().unwrap();
    drop(directory);
    world.open().close().unwrap();
    let opened = world.try_open().unwrap();
    assert!(opened.was_closed);
    let again = log(&opened.directory, LogSettings::default());
    assert_eq!(values(&read_all(&again, 0, 100)), ["a"]);
}

#[test]
fn names_that_are_no_partitions_are_left_alone() {
    let world = World::new();
    drop(world.open());
    std::fs::create_dir(world.root.join("logs/lost+found")).unwrap();
    std::fs::write(world.root.join("logs/file-0"), "x").unwrap();
    drop(world.open());
    assert!(world.root.join("logs/lost+found").exists());
    assert!(world.root.join("logs/file-0").exists());
}

#[test]
fn only_so_many_files_are_open_and_all_logs_work() {
    let mut world = World::new();
    world.options = DirectoryOptions {
        open_files_max: 4,
        ..DirectoryOptions::default()
    };
    let directory = world.open();
    for round in 0..3 {
        for number in 0..20 {
            let log = directory
                .log(&partition(number), topic_id(1), small_segments(200))
                .unwrap();
            write(&log, batch(&[&format!("{round}-{number}")]));
        }
    }
    let pid = std::process::id();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter(|path| path.starts_with(&world.root) && path.extension() == Some("log".as_ref()))
        .count();
    assert!(open <= 6, "{open} segments are open");
    for number in 0..20 {
        let log = directory
            .log(&partition(number), topic_id(1), small_segments(200))
            .unwrap();
        let expected: Vec<_> = (0..3).map(|round| format!("{round}-{number}")).collect();
        assert_eq!(values(&read_all(&log, 0, 1000)), expected);
    }
}

#[test]
fn partitions_without_records_cost_no_calls_of_the_disk() {
    let world = World::new();
    let directory = world.open();
    let opens = world.faults.opens.load(std::sync::atomic::Ordering::SeqCst);
    for number in 0..1000 {
        let log = directory
            .log(&partition(number), topic_id(1), LogSettings::default())
            .unwrap();
        assert_eq!(log.offsets().log_end, at(0));
    }
    let after = world.faults.opens.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(after, opens);
    assert_eq!(
        std::fs::read_dir(world.root.join("logs")).unwrap().count(),
        0
    );
    directory.close().unwrap();
}

#[test]
fn after_a_clean_stop_no_log_is_looked_at() {
    let world = World::new();
    let directory = world.open();
    for number in 0..50 {
        let log = directory
            .log(&partition(number), topic_id(1), LogSettings::default())
            .unwrap();
        write(&log, batch(&["a"]));
    }
    directory.close().unwrap();
    drop(directory);
    let opens = world.faults.opens.load(std::sync::atomic::Ordering::SeqCst);
    let directory = world.open();
    let after = world.faults.opens.load(std::sync::atomic::Ordering::SeqCst);
    assert!(after - opens < 10, "{} files were opened", after - opens);
    let last = directory
        .log(&partition(49), topic_id(1), LogSettings::default())
        .unwrap();
    assert_eq!(last.offsets().log_end, at(1));
}

/// What could not be read, or has another's name, is in the checkpoint of the next start as it was in that of the last.
#[test]
fn a_log_that_a_start_could_not_use_is_still_known_after_its_checkpoint() {
    for is_misnamed in [true, false] {
        let world = World::new();
        let directory = world.open();
        let first = log(&directory, small_segments(100));
        for value in ["a", "b", "c"] {
            write(&first, batch(&[value]));
        }
        directory.checkpoint().unwrap();
        write(&first, batch(&["d"]));
        drop((first, directory));
        let name = world.file("partition.metadata");
        let whole = std::fs::read(&name).unwrap();
        // A closed segment that a log younger than the checkpoint would end in.
        change(&world.segment(1), |bytes| bytes[70] ^= 1);
        if is_misnamed {
            std::fs::write(&name, "?").unwrap();
        } else {
            world.faults.fail(Call::List, "t-0", EIO, 1);
        }
        let directory = world.open();
        directory.checkpoint().unwrap();
        drop(directory);
        world.faults.clear();
        std::fs::write(&name, whole).unwrap();
        let directory = world.open();
        let again = log(&directory, small_segments(100));
        assert_eq!(again.offsets().log_end, at(4), "misnamed: {is_misnamed}");
        assert_eq!(values(&read_all(&again, 2, 1000)), ["c", "d"]);
    }
}

/// The thread that writes checkpoints is asked for one right before the stop.
#[test]
fn a_clean_stop_is_one_whatever_was_asked_for_before() {
    let mut world = World::new();
    world.options.checkpoint_bytes = 1;
    for number in 0..100 {
        let opened = world.try_open().unwrap();
        assert!(number == 0 || opened.was_closed, "stop {number}");
        let log = log(&opened.directory, LogSettings::default());
        write(&log, batch(&["a"]));
        // Whoever asked meanwhile waits for this one, and for the one of the stop if that is faster.
        opened.directory.checkpoint().unwrap();
        opened.directory.close().unwrap();
    }
}
