//! A disk that fails: what is refused, what goes offline, what works again.

use storage::{
    AppendError, DeleteRecordsError, DirectoryOptions, LogSettings, PartitionLog, ReadError,
};

use crate::support::*;

fn manual() -> World {
    let mut world = World::new();
    world.options = DirectoryOptions {
        own_threads: false,
        ..DirectoryOptions::default()
    };
    world
}

#[test]
fn a_failed_sync_takes_the_log_offline_for_good() {
    let world = manual();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let first = append(&log, batch(&["a"])).unwrap();
    directory.run_once();
    committed(first).unwrap();
    let second = append(&log, batch(&["b"])).unwrap();
    let duplicate_waits = append(&log, produced(1, 0, 0, &["c"])).unwrap();
    world.faults.fail(Call::Sync, ".log", EIO, 1);
    directory.run_once();
    assert!(committed(second).is_err());
    assert!(committed(duplicate_waits).is_err());
    assert_eq!(log.offsets().high_watermark, at(1));
    // The disk works again, but nobody tries.
    assert!(matches!(
        append(&log, batch(&["d"])),
        Err(AppendError::Offline)
    ));
    assert!(!directory.run_once());
    assert_eq!(log.offsets().high_watermark, at(1));
    assert_eq!(
        values(&read_all(&log, 0, 100)),
        ["a"],
        "what is durable is served"
    );
    assert!(matches!(
        log.delete_records(None),
        Err(DeleteRecordsError::Offline)
    ));
    assert_eq!(directory.metrics().offline_logs.get(), 1);
    assert_eq!(directory.metrics().failed_commits.get(), 1);
}

/// Logs with a record each that waits for its commit.
fn waiting(
    directory: &storage::LogDirectory,
    numbers: std::ops::Range<i32>,
) -> Vec<storage::AppendTicket> {
    let tickets = numbers.map(|number| {
        let log = directory
            .log(&partition(number), topic_id(1), LogSettings::default())
            .unwrap();
        append(&log, batch(&["a"])).unwrap()
    });
    tickets.collect()
}

#[test]
fn a_failed_sync_takes_its_own_log_offline_and_no_other() {
    for logs in [2, 20] {
        let world = manual();
        let directory = world.open();
        let tickets = waiting(&directory, 0..logs);
        world.faults.fail(Call::Sync, "t-1/", EIO, 1);
        world.faults.fail(Call::SyncFileSystem, "", EIO, 1);
        directory.run_once();
        for (number, ticket) in tickets.into_iter().enumerate() {
            assert_eq!(
                committed(ticket).is_err(),
                number == 1,
                "{number} of {logs}"
            );
        }
        assert_eq!(directory.metrics().offline_logs.get(), 1);
        world.faults.clear();
        for number in 0..logs {
            let log = directory
                .log(&partition(number), topic_id(1), LogSettings::default())
                .unwrap();
            let outcome = append(&log, batch(&["b"]));
            assert_eq!(outcome.is_err(), number == 1, "{number} of {logs}");
        }
    }
}

#[test]
fn a_failed_sync_of_the_file_system_that_is_no_files_fails_every_log_of_its_round() {
    let world = manual();
    let directory = world.open();
    let outside = directory
        .log(&partition(99), topic_id(1), LogSettings::default())
        .unwrap();
    append(&outside, batch(&["a"])).unwrap();
    directory.run_once();
    let tickets = waiting(&directory, 0..20);
    world.faults.fail(Call::SyncFileSystem, "", EIO, 1);
    directory.run_once();
    for ticket in tickets {
        assert!(committed(ticket).is_err());
    }
    world.faults.clear();
    assert!(append(&outside, batch(&["b"])).is_ok());
}

#[test]
fn names_of_folders_that_could_not_be_synced_once_are_durable_for_no_later_log() {
    let world = manual();
    let directory = world.open();
    let known = directory
        .log(&partition(9), topic_id(1), LogSettings::default())
        .unwrap();
    let first = append(&known, batch(&["a"])).unwrap();
    directory.run_once();
    committed(first).unwrap();
    let tickets = waiting(&directory, 0..3);
    // Not the folder of one of the logs, but the one that all of them are in.
    world.faults.fail(Call::SyncDirectory, "logs$", EIO, 1);
    directory.run_once();
    for ticket in tickets {
        assert!(committed(ticket).is_err());
    }
    let later = waiting(&directory, 3..4);
    let again = append(&known, batch(&["b"])).unwrap();
    directory.run_once();
    committed(again).unwrap();
    for ticket in later {
        assert!(committed(ticket).is_err(), "the sync is not repeated");
    }
}

#[test]
fn a_folder_whose_name_cannot_be_synced_fails_the_commit() {
    let world = manual();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let ticket = append(&log, batch(&["a"])).unwrap();
    world.faults.fail(Call::SyncDirectory, "t-0", EIO, 1);
    directory.run_once();
    assert!(committed(ticket).is_err());
}

#[test]
fn a_log_that_is_deleted_while_it_waits_for_its_sync_fails_nobody() {
    for logs in [1, 3] {
        let world = manual();
        let directory = world.open();
        let mut tickets = Vec::new();
        for number in 0..logs {
            let log = directory
                .log(&partition(number), topic_id(1), LogSettings::default())
                .unwrap();
            tickets.push(append(&log, batch(&["a"])).unwrap());
        }
        directory.delete(&partition(0), topic_id(1)).unwrap();
        directory.run_once();
        for ticket in tickets {
            committed(ticket).unwrap();
        }
        assert_eq!(directory.metrics().failed_commits.get(), 0);
    }
}

#[test]
fn a_full_disk_refuses_and_works_again_with_nothing_left_behind() {
    for partial in [0, 1, 30, 61, 70, 1000] {
        let world = World::new();
        let directory = world.open();
        let first = log(&directory, LogSettings::default());
        write(&first, batch(&["a"]));
        let size = first.size_bytes();
        world
            .faults
            .fail_after(Call::Write, ".log", ENOSPC, 2, partial);
        for _ in 0..2 {
            let refused = append(&first, batch(&["refused", "refused"]));
            assert!(matches!(refused, Err(AppendError::Full)));
            assert_eq!(first.size_bytes(), size);
            assert_eq!(first.offsets().log_end, at(1));
        }
        let length = std::fs::metadata(world.segment(0)).unwrap().len();
        assert_eq!(length, size, "what was half written is cut off");
        write(&first, batch(&["b"]));
        assert_eq!(values(&read_all(&first, 0, 1000)), ["a", "b"]);
        drop(first);
        drop(directory);
        let directory = world.open();
        let again = log(&directory, LogSettings::default());
        assert_eq!(values(&read_all(&again, 0, 1000)), ["a", "b"]);
        assert_eq!(directory.metrics().truncated_bytes.get(), 0);
    }
}

#[test]
fn a_disk_that_cannot_reserve_space_is_written_all_the_same() {
    let world = World::new();
    let directory = world.open();
    let settings = LogSettings {
        preallocate: true,
        segment_bytes: 1 << 20,
        ..LogSettings::default()
    };
    let log = log(&directory, settings);
    world.faults.fail(Call::Allocate, ".log", ENOSPC, 3);
    for _ in 0..5 {
        write(&log, batch(&["a"]));
    }
    assert_eq!(read_all(&log, 0, 1000).len(), 5);
    let length = || std::fs::metadata(world.segment(0)).unwrap().len();
    assert_eq!(length(), 1 << 20, "reserved once there is room");
    directory.close().unwrap();
    assert_eq!(length(), log.size_bytes(), "and trimmed at the end");
}

#[test]
fn a_segment_that_cannot_be_begun_is_begun_later() {
    for (call, part) in [
        (Call::CreateDirectories, "t-0"),
        (Call::Open, "partition.metadata"),
        (Call::Write, "partition.metadata"),
        (Call::Open, ".log"),
    ] {
        let world = World::new();
        let directory = world.open();
        let log = log(&directory, small_segments(100));
        world.faults.fail(call, part, ENOSPC, 2);
        for _ in 0..2 {
            let refused = append(&log, batch(&["refused"]));
            assert!(matches!(refused, Err(AppendError::Full)));
        }
        write(&log, batch(&["first"]));
        world.faults.fail(Call::Open, "00001.log", ENOSPC, 2);
        for _ in 0..2 {
            let refused = append(&log, batch(&["refused"]));
            assert!(matches!(refused, Err(AppendError::Full)));
        }
        write(&log, batch(&["second"]));
        assert_eq!(values(&read_all(&log, 0, 1000)), ["first", "second"]);
    }
}

#[test]
fn a_write_error_takes_the_log_offline() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    write(&log, batch(&["a"]));
    world.faults.fail(Call::Write, ".log", EIO, 1);
    assert!(matches!(
        append(&log, batch(&["b"])),
        Err(AppendError::Io(_))
    ));
    assert!(matches!(
        append(&log, batch(&["b"])),
        Err(AppendError::Offline)
    ));
    assert_eq!(values(&read_all(&log, 0, 1000)), ["a"]);
}

#[test]
fn a_lack_of_open_files_is_waited_out() {
    const EMFILE: i32 = 24;
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    world.faults.fail(Call::Open, ".log", EMFILE, 2);
    for _ in 0..2 {
        assert!(matches!(
            append(&log, batch(&["a"])),
            Err(AppendError::Io(_))
        ));
    }
    assert_eq!(write(&log, batch(&["a"])), 0);
}

#[test]
fn a_full_disk_that_cannot_even_cut_takes_the_log_offline() {
    let world = World::new();
    let directory = world.open();
    let first = log(&directory, LogSettings::default());
    write(&first, batch(&["a"]));
    world.faults.fail_after(Call::Write, ".log", ENOSPC, 1, 30);
    world.faults.fail(Call::SetLength, ".log", EIO, 1);
    assert!(matches!(
        append(&first, batch(&["b"])),
        Err(AppendError::Io(_))
    ));
    assert!(matches!(
        append(&first, batch(&["b"])),
        Err(AppendError::Offline)
    ));
    drop(first);
    drop(directory);
    let directory = world.open();
    let again = log(&directory, LogSettings::default());
    assert_eq!(values(&read_all(&again, 0, 1000)), ["a"]);
}

#[test]
fn a_read_error_is_told_and_passes() {
    let world = World::new();
    let directory = world.open();
    write(&log(&directory, LogSettings::default()), batch(&["a"]));
    directory.close().unwrap();
    drop(directory);
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    world.faults.fail(Call::Read, ".log", EIO, 1);
    assert!(matches!(read(&log, 0, 100), Err(ReadError::Io(_))));
    assert_eq!(read(&log, 0, 100).unwrap().len(), 1);
}

#[test]
fn a_log_start_that_cannot_be_stored_does_not_move() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    write(&log, batch(&["a", "b"]));
    for call in [Call::Write, Call::Sync, Call::Rename, Call::SyncDirectory] {
        let part = if call == Call::SyncDirectory {
            "t-0"
        } else {
            "log-start-offset"
        };
        world.faults.fail(call, part, EIO, 1);
        assert!(matches!(
            log.delete_records(Some(at(1))),
            Err(DeleteRecordsError::Io(_))
        ));
        assert_eq!(log.offsets().log_start, at(0));
    }
    assert_eq!(log.delete_records(Some(at(1))).unwrap(), at(1));
}

#[test]
fn a_folder_that_cannot_be_read_makes_one_partition_unavailable() {
    let world = World::new();
    let directory = world.open();
    for number in 0..2 {
        let log = directory
            .log(&partition(number), topic_id(1), LogSettings::default())
            .unwrap();
        write(&log, batch(&["a"]));
    }
    drop(directory);
    world.faults.fail(Call::Read, "t-0/", EIO, 100);
    let directory = world.open();
    let bad = directory
        .log(&partition(0), topic_id(1), LogSettings::default())
        .unwrap();
    let good = directory
        .log(&partition(1), topic_id(1), LogSettings::default())
        .unwrap();
    assert!(matches!(read(&bad, 0, 100), Err(ReadError::Io(_))));
    assert!(matches!(
        append(&bad, batch(&["b"])),
        Err(AppendError::Offline)
    ));
    assert_eq!(read(&good, 0, 100).unwrap().len(), 1);
    directory.close().unwrap();
    drop((bad, good, directory));
    world.faults.clear();
    let directory = world.open();
    let again = directory
        .log(&partition(0), topic_id(1), LogSettings::default())
        .unwrap();
    assert_eq!(values(&read_all(&again, 0, 100)), ["a"]);
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_older_one() {
    let world = World::new();
    let directory = world.open();
    let first = log(&directory, LogSettings::default());
    write(&first, batch(&["a"]));
    directory.checkpoint().unwrap();
    write(&first, batch(&["b"]));
    for call in [Call::Open, Call::Write, Call::Sync, Call::Rename] {
        world.faults.fail(call, "checkpoint", ENOSPC, 1);
        assert!(directory.checkpoint().is_err());
    }
    world.faults.fail(Call::Rename, "checkpoint", ENOSPC, 1);
    assert!(directory.close().is_err());
    drop(first);
    drop(directory);
    let opened = world.try_open().unwrap();
    assert!(!opened.was_closed);
    let again = log(&opened.directory, LogSettings::default());
    assert_eq!(values(&read_all(&again, 0, 1000)), ["a", "b"]);
}

#[test]
fn an_index_that_cannot_be_written_is_rebuilt() {
    let world = World::new();
    let directory = world.open();
    let first = log(&directory, small_segments(1000));
    world.faults.fail(Call::Open, "index", ENOSPC, 1000);
    for number in 0..50 {
        write(&first, batch(&[&format!("value-{number}")]));
    }
    drop(first);
    drop(directory);
    world.faults.clear();
    assert!(!world.names().iter().any(|name| name.ends_with("index")));
    let directory = world.open();
    let again = log(&directory, small_segments(1000));
    for from in 0..50 {
        assert_eq!(read(&again, from, 1).unwrap()[0].offset, from);
    }
}

#[test]
fn a_disk_that_fails_at_the_first_start_is_told() {
    for call in [
        Call::CreateDirectories,
        Call::Open,
        Call::Write,
        Call::Sync,
        Call::Rename,
        Call::SyncDirectory,
        Call::List,
    ] {
        let world = World::new();
        world.faults.fail(call, "", EIO, 1);
        assert!(world.try_open().is_err(), "{call:?}");
        world.faults.clear();
        let opened = world.try_open().unwrap();
        assert!(!opened.was_closed);
    }
}
