//! What a data directory holds after it was not closed: torn ends, damaged bytes, lost files, bounded reading.

use std::fs;
use std::sync::atomic::Ordering;

use storage::{DirectoryOptions, LogDirectory, LogSettings, PartitionLog, ReadError};

use crate::support::*;

/// Three batches in one segment, not closed. Returns where each begins, and the end.
fn crashed(world: &World, checkpoint_after: Option<usize>) -> Vec<usize> {
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let mut positions = vec![0];
    for (number, values) in [["a", "b"], ["c", "d"], ["e", "f"]].iter().enumerate() {
        write(&log, batch(values));
        positions.push(usize::try_from(log.size_bytes()).unwrap());
        if checkpoint_after == Some(number + 1) {
            directory.checkpoint().unwrap();
        }
    }
    positions
}

fn reopened(world: &World) -> (LogDirectory, Vec<String>) {
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let records = read_all(&log, log.offsets().log_start.value(), 1 << 20);
    let values = records.into_iter().map(|record| record.value).collect();
    (directory, values)
}

#[test]
fn a_log_cut_at_any_byte_keeps_the_batches_before() {
    let sample = World::new();
    let positions = crashed(&sample, None);
    let bytes = fs::read(sample.segment(0)).unwrap();
    for checkpoint_after in [None, Some(1)] {
        let first = if checkpoint_after.is_some() {
            positions[1]
        } else {
            0
        };
        for length in first..=positions[3] {
            let world = World::new();
            crashed(&world, checkpoint_after);
            fs::write(world.segment(0), &bytes[..length]).unwrap();
            let (directory, values) = reopened(&world);
            let whole = positions
                .iter()
                .filter(|position| **position <= length)
                .count()
                - 1;
            assert_eq!(
                values,
                ["a", "b", "c", "d", "e", "f"][..whole * 2],
                "{length} bytes"
            );
            // Zeros cannot be told from reserved space.
            let rest = &bytes[positions[whole]..length];
            let kept = world.file(&format!("{:020}.{}.cut", 0, positions[whole]));
            if rest.iter().all(|byte| *byte == 0) {
                assert_eq!(directory.metrics().truncated_bytes.get(), 0);
                assert!(!kept.exists());
            } else {
                assert_eq!(directory.metrics().truncated_bytes.get(), rest.len() as u64);
                assert_eq!(fs::read(kept).unwrap(), rest);
            }
            // The log goes on.
            assert_eq!(
                write(&log(&directory, LogSettings::default()), batch(&["g"])),
                whole as i64 * 2
            );
        }
    }
}

#[test]
fn a_changed_bit_behind_the_checkpoint_ends_the_log_there_and_keeps_the_rest_aside() {
    let sample = World::new();
    let positions = crashed(&sample, None);
    let bytes = fs::read(sample.segment(0)).unwrap();
    for index in positions[1]..positions[2] {
        // Bytes 12 to 15, the leader epoch, are under no checksum.
        let in_epoch = (12..16).contains(&(index - positions[1]));
        let world = World::new();
        crashed(&world, Some(1));
        let mut damaged = bytes.clone();
        damaged[index] ^= 0x40;
        fs::write(world.segment(0), &damaged).unwrap();
        let (directory, values) = reopened(&world);
        if in_epoch {
            assert_eq!(values.len(), 6);
            continue;
        }
        assert_eq!(values, ["a", "b"], "byte {index}");
        let kept = world.file(&format!("{:020}.{}.cut", 0, positions[1]));
        let end = positions[3];
        assert_eq!(
            fs::read(kept).unwrap()[..end - positions[1]],
            damaged[positions[1]..end]
        );
        drop(directory);
        let (directory, again) = reopened(&world);
        assert_eq!(again, ["a", "b"], "a second opening finds nothing to cut");
        assert_eq!(directory.metrics().truncated_bytes.get(), 0);
    }
}

#[test]
fn a_changed_bit_before_the_checkpoint_is_an_error_for_its_readers_only() {
    let world = World::new();
    let positions = crashed(&world, Some(3));
    let mut bytes = fs::read(world.segment(0)).unwrap();
    bytes[positions[1] + 70] ^= 1;
    fs::write(world.segment(0), &bytes).unwrap();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    assert_eq!(
        values(&read(&log, 0, 1 << 20).unwrap()),
        ["a", "b"],
        "ends before"
    );
    match read(&log, 2, 1 << 20) {
        Err(ReadError::Corrupt { position, .. }) => assert_eq!(position, positions[1] as u64),
        other => panic!("{other:?}"),
    }
    assert!(matches!(read(&log, 3, 1), Err(ReadError::Corrupt { .. })));
    assert_eq!(
        values(&read(&log, 4, 1 << 20).unwrap()),
        ["e", "f"],
        "goes on behind"
    );
    write(&log, batch(&["g"]));
    assert_eq!(values(&read(&log, 4, 1 << 20).unwrap()), ["e", "f", "g"]);
}

#[test]
fn behind_a_broken_chain_of_lengths_the_index_finds_what_follows() {
    let world = World::new();
    let directory = world.open();
    let first = log(
        &directory,
        LogSettings {
            index_interval_bytes: 300,
            ..LogSettings::default()
        },
    );
    let mut positions = Vec::new();
    for number in 0..50 {
        positions.push(usize::try_from(first.size_bytes()).unwrap());
        write(&first, batch(&[&format!("value-{number}")]));
    }
    directory.close().unwrap();
    drop(first);
    drop(directory);
    let mut bytes = fs::read(world.segment(0)).unwrap();
    bytes[positions[20] + 8..positions[20] + 12].copy_from_slice(&[0x7f, 0, 0, 0]);
    fs::write(world.segment(0), &bytes).unwrap();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let mut served = 0;
    for offset in 0..50 {
        match read(&log, offset, 1) {
            Ok(records) => {
                assert_eq!(records[0].offset, offset);
                served += 1;
            }
            Err(ReadError::Corrupt { .. }) => assert!((17..26).contains(&offset), "{offset}"),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(served > 40);
}

#[test]
fn an_index_that_a_loss_of_power_left_half_written_hides_no_record() {
    let settings = LogSettings {
        index_interval_bytes: 0,
        ..LogSettings::default()
    };
    let sample = World::new();
    let directory = sample.open();
    let first = log(&directory, settings.clone());
    for number in 0..12 {
        write(&first, batch(&[&format!("value-{number:-<60}")]));
    }
    directory.close().unwrap();
    drop((first, directory));
    let name = format!("{:020}.index", 0);
    let whole = fs::read(sample.file(&name)).unwrap();
    // The last byte of a position did not reach the disk, and what lies behind it did.
    for entry in 1..whole.len() / 8 {
        let mut torn = whole.clone();
        torn[entry * 8 + 7] = 0;
        fs::write(sample.file(&name), &torn).unwrap();
        let directory = sample.open();
        let log = log(&directory, settings.clone());
        for offset in 0..12 {
            for max_bytes in (1..800).step_by(40) {
                let records = read(&log, offset, max_bytes).unwrap();
                assert_eq!(
                    records[0].offset, offset,
                    "entry {entry}, {max_bytes} bytes"
                );
            }
        }
    }
}

/// Puts zeros, and then `garbage`, behind the end of the log.
fn leave_behind(world: &World, end: usize, zeros: usize, garbage: &[u8]) {
    let file = fs::File::options()
        .write(true)
        .open(world.segment(0))
        .unwrap();
    file.set_len(end as u64).unwrap();
    file.set_len((end + zeros) as u64).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, garbage, (end + zeros) as u64).unwrap();
}

#[test]
fn reserved_space_behind_the_end_is_nothing() {
    for checkpoint_after in [None, Some(2), Some(3)] {
        for zeros in [1, 60, 61, 5000, 1 << 20] {
            let world = World::new();
            let positions = crashed(&world, checkpoint_after);
            leave_behind(&world, positions[3], zeros, b"");
            let (directory, values) = reopened(&world);
            assert_eq!(values.len(), 6);
            let log = log(&directory, LogSettings::default());
            assert_eq!(write(&log, batch(&["g"])), 6);
            assert_eq!(directory.metrics().truncated_bytes.get(), 0);
            assert!(!world.names().iter().any(|name| name.ends_with("cut")));
        }
    }
}

#[test]
fn bytes_behind_zeros_are_kept_aside() {
    for (checkpoint_after, closed_between) in [
        (None, false),
        (Some(2), false),
        (Some(3), false),
        (Some(3), true),
    ] {
        let world = World::new();
        let positions = crashed(&world, checkpoint_after);
        leave_behind(&world, positions[3], 999, b"x");
        if closed_between {
            let (directory, _) = reopened(&world);
            directory.close().unwrap();
        }
        let (directory, values) = reopened(&world);
        assert_eq!(values.len(), 6);
        let log = log(&directory, LogSettings::default());
        assert_eq!(write(&log, batch(&["g"])), 6);
        assert_eq!(directory.metrics().truncated_bytes.get(), 1000);
        let kept = world.file(&format!("{:020}.{}.cut", 0, positions[3]));
        assert_eq!(fs::read(kept).unwrap()[999], b'x');
    }
}

#[test]
fn a_segment_behind_a_torn_one_is_set_aside() {
    let world = World::new();
    let directory = world.open();
    let settings = small_segments(300);
    let first = log(&directory, settings.clone());
    write(&first, batch(&["first"]));
    directory.checkpoint().unwrap();
    for number in 0..20 {
        write(&first, batch(&[&format!("value-{number}")]));
    }
    drop(first);
    drop(directory);
    let mut logs: Vec<_> = world.names();
    logs.retain(|name| name.ends_with(".log"));
    assert!(logs.len() > 5);
    let torn = world.file(&logs[2]);
    let length = fs::metadata(&torn).unwrap().len();
    fs::File::options()
        .write(true)
        .open(&torn)
        .unwrap()
        .set_len(length - 1)
        .unwrap();
    let directory = world.open();
    let log = log(&directory, settings);
    let records = read_all(&log, 0, 1 << 20);
    let end = log.offsets().log_end.value();
    assert_eq!(records.len() as i64, end);
    assert!(end < 10);
    for name in &logs[3..] {
        assert!(!world.file(name).exists());
        assert!(world.file(&format!("{name}.cut")).exists(), "{name}");
    }
    assert_eq!(write(&log, batch(&["next"])), end);
}

#[test]
fn a_segment_that_is_lost_ends_the_log_before_it() {
    let world = World::new();
    let directory = world.open();
    let settings = small_segments(300);
    let first = log(&directory, settings.clone());
    write(&first, batch(&["first"]));
    directory.checkpoint().unwrap();
    for number in 0..20 {
        write(&first, batch(&[&format!("value-{number}")]));
    }
    drop(first);
    drop(directory);
    let mut logs: Vec<_> = world.names();
    logs.retain(|name| name.ends_with(".log"));
    let lost: i64 = logs[2][..20].parse().unwrap();
    fs::remove_file(world.file(&logs[2])).unwrap();
    let directory = world.open();
    let log = log(&directory, settings);
    assert_eq!(log.offsets().log_end, at(lost));
    assert_eq!(read_all(&log, 0, 1000).len() as i64, lost);
}

/// A loss of power took what the last segment of the checkpoint got since, and left the segment behind it.
#[test]
fn a_segment_whose_predecessor_was_lost_does_not_come_back_behind_what_is_written_next() {
    let world = World::new();
    let settings = small_segments(200);
    let before = {
        let directory = world.open();
        let log = log(&directory, settings.clone());
        write(&log, batch(&["a"]));
        directory.checkpoint().unwrap();
        let before = log.size_bytes();
        write(&log, batch(&["lost"]));
        assert_eq!(write(&log, batch(&["stale"])), 2);
        before
    };
    assert_eq!(segment_names(&world).len(), 2);
    change(&world.segment(0), |bytes| bytes.truncate(before as usize));
    let directory = world.open();
    {
        let log = log(&directory, settings.clone());
        assert_eq!(log.offsets().log_end, at(1));
        assert_eq!(write(&log, batch(&["next"])), 1);
    }
    drop(directory);
    let directory = world.open();
    let log = log(&directory, settings);
    assert_eq!(values(&read_all(&log, 0, 1000)), ["a", "next"]);
}

#[test]
fn a_corrupt_closed_segment_without_a_checkpoint_does_not_take_later_ones_with_it() {
    let world = World::new();
    let directory = world.open();
    let settings = small_segments(300);
    let first = log(&directory, settings.clone());
    for number in 0..20 {
        write(&first, batch(&[&format!("value-{number}")]));
    }
    drop(first);
    drop(directory);
    fs::remove_file(world.root.join("checkpoint")).ok();
    let mut logs: Vec<_> = world.names();
    logs.retain(|name| name.ends_with(".log"));
    let path = world.file(&logs[2]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[16] = 9;
    fs::write(&path, &bytes).unwrap();
    let base: i64 = logs[2][..20].parse().unwrap();
    let next: i64 = logs[3][..20].parse().unwrap();
    let directory = world.open();
    let log = log(&directory, settings);
    assert_eq!(log.offsets().log_end, at(20));
    assert!(matches!(
        read(&log, base, 1),
        Err(ReadError::Corrupt { .. })
    ));
    assert_eq!(read(&log, base - 1, 1).unwrap()[0].offset, base - 1);
    assert_eq!(read_all(&log, next, 1000).len() as i64, 20 - next);
}

#[test]
fn a_damaged_checkpoint_costs_reading_and_nothing_else() {
    let sample = World::new();
    crashed(&sample, Some(2));
    let bytes = fs::read(sample.root.join("checkpoint")).unwrap();
    for index in (0..bytes.len()).step_by(7) {
        let world = World::new();
        crashed(&world, Some(2));
        let mut damaged = bytes.clone();
        damaged[index] ^= 1;
        fs::write(world.root.join("checkpoint"), &damaged).unwrap();
        let (_directory, values) = reopened(&world);
        assert_eq!(values.len(), 6, "byte {index}");
    }
}

#[test]
fn files_shorter_than_the_checkpoint_says_are_read_whole() {
    let world = World::new();
    let positions = crashed(&world, Some(3));
    let file = fs::File::options()
        .write(true)
        .open(world.segment(0))
        .unwrap();
    file.set_len(positions[2] as u64).unwrap();
    let (directory, values) = reopened(&world);
    assert_eq!(values, ["a", "b", "c", "d"]);
    assert_eq!(
        write(&log(&directory, LogSettings::default()), batch(&["x"])),
        4
    );
}

#[test]
fn a_checkpoint_of_another_life_of_the_topic_is_not_used() {
    let world = World::new();
    let directory = world.open();
    let old = log(&directory, LogSettings::default());
    for _ in 0..5 {
        write(&old, batch(&["old"]));
    }
    directory.checkpoint().unwrap();
    directory.delete(&partition(0), topic_id(1)).unwrap();
    let new = directory
        .log(&partition(0), topic_id(2), LogSettings::default())
        .unwrap();
    write(
        &new,
        batch(&[
            "new", "longer", "than", "all", "of", "the", "old", "ones", "were",
        ]),
    );
    write(
        &new,
        batch(&[
            "new", "longer", "than", "all", "of", "the", "old", "ones", "were",
        ]),
    );
    drop((old, new));
    drop(directory);
    let directory = world.open();
    let log = directory
        .log(&partition(0), topic_id(2), LogSettings::default())
        .unwrap();
    assert_eq!(read_all(&log, 0, 1000).len(), 18);
}

#[test]
fn a_new_life_of_a_topic_that_looks_like_the_old_one_is_told_from_it() {
    let world = World::new();
    let directory = world.open();
    write(&log(&directory, LogSettings::default()), batch(&["old"]));
    directory.checkpoint().unwrap();
    directory.delete(&partition(0), topic_id(1)).unwrap();
    let new = directory
        .log(&partition(0), topic_id(2), LogSettings::default())
        .unwrap();
    write(&new, batch(&["new"]));
    drop(new);
    drop(directory);
    let directory = world.open();
    let log = directory
        .log(&partition(0), topic_id(2), LogSettings::default())
        .unwrap();
    assert_eq!(values(&read_all(&log, 0, 1000)), ["new"]);
    assert_eq!(write(&log, batch(&["next"])), 1);
}

#[test]
fn a_log_that_is_asked_for_while_a_checkpoint_is_written_is_not_read_again() {
    let world = World::new();
    let settings = LogSettings::default();
    let directory = world.open();
    let log = |directory: &LogDirectory, number| {
        let log = directory.log(&partition(number), topic_id(1), settings.clone());
        log.unwrap()
    };
    write(&log(&directory, 0), batch(&["a"]));
    let large = "x".repeat(100_000);
    for _ in 0..10 {
        write(&log(&directory, 1), batch(&[&large]));
    }
    drop(directory);
    let directory = world.open();
    wait_until("the checkpoint after a crash is written", || {
        directory.metrics().checkpoints.get() > 0
    });
    let busy = log(&directory, 0);
    world.faults.hold(Call::Sync, &partition(0).to_string(), 0);
    append(&busy, batch(&[&large])).unwrap();
    let ticket = append(&busy, batch(&[&large])).unwrap();
    wait_until("the commit waits for the disk", || {
        world.faults.is_holding()
    });
    let opens = || world.faults.opens.load(Ordering::SeqCst);
    let opened = opens();
    std::thread::scope(|scope| {
        let checkpoint = scope.spawn(|| directory.checkpoint());
        // The index of the log that is in use is saved first.
        wait_until("the checkpoint is begun", || opens() > opened);
        log(&directory, 1);
        world.faults.let_pass();
        checkpoint.join().unwrap().unwrap();
    });
    committed(ticket).unwrap();
    drop((busy, directory));
    let before = world.faults.bytes_read.load(Ordering::SeqCst);
    let directory = world.open();
    let read = world.faults.bytes_read.load(Ordering::SeqCst) - before;
    assert!(read < 100_000, "{read} bytes were read");
    assert_eq!(log(&directory, 1).offsets().log_end, at(10));
}

#[test]
fn after_a_crash_only_what_follows_the_checkpoint_is_read() {
    let mut world = World::new();
    world.options = DirectoryOptions {
        checkpoint_bytes: 1 << 20,
        ..DirectoryOptions::default()
    };
    let directory = world.open();
    let settings = small_segments(3 << 20);
    let value = "x".repeat(10_000);
    for _ in 0..10 {
        for number in 0..10 {
            let log = directory
                .log(&partition(number), topic_id(1), settings.clone())
                .unwrap();
            for _ in 0..10 {
                write(&log, batch(&[&value]));
            }
        }
        let checkpoints = directory.metrics().checkpoints.get();
        assert!(checkpoints <= 20);
    }
    wait_until("checkpoints are written", || {
        directory.metrics().checkpoints.get() >= 2
    });
    let written = directory.metrics().appended_bytes.get();
    directory.checkpoint().unwrap();
    let tail = 20;
    let log = directory
        .log(&partition(3), topic_id(1), settings.clone())
        .unwrap();
    for _ in 0..tail {
        write(&log, batch(&[&value]));
    }
    drop(log);
    drop(directory);
    let before = world.faults.bytes_read.load(Ordering::SeqCst);
    let directory = world.open();
    let read = world.faults.bytes_read.load(Ordering::SeqCst) - before;
    let behind = tail * 10_100;
    assert!(
        read < behind + 600_000,
        "{read} bytes were read of {written}, {behind} lie behind the checkpoint"
    );
    // None, if a checkpoint that was asked for earlier ran late and covers the tail too.
    assert!(directory.metrics().recovered_logs.get() <= 1);
    for number in 0..10 {
        let log = directory
            .log(&partition(number), topic_id(1), settings.clone())
            .unwrap();
        let expected = if number == 3 { 100 + tail } else { 100 };
        assert_eq!(log.offsets().log_end.value() as u64, expected);
    }
}

#[test]
fn a_directory_that_crashes_again_and_again_loses_nothing() {
    let world = World::new();
    let mut expected = Vec::new();
    for round in 0..12 {
        let directory = world.open();
        let log = log(&directory, small_segments(700));
        let found = read_all(&log, 0, 300);
        assert_eq!(values(&found), expected);
        for number in 0..7 {
            let value = format!("{round}-{number}");
            write(&log, batch(&[&value]));
            expected.push(value);
            if number == round % 9 {
                directory.checkpoint().unwrap();
            }
        }
        if round % 4 == 3 {
            directory.close().unwrap();
        }
    }
}

#[test]
fn retention_after_the_checkpoint_is_not_undone() {
    let world = World::new();
    let directory = world.open();
    let settings = small_segments(100);
    let first = log(&directory, settings.clone());
    for _ in 0..6 {
        write(&first, batch(&["a"]));
    }
    directory.checkpoint().unwrap();
    first.delete_records(Some(at(4))).unwrap();
    drop(first);
    drop(directory);
    fs::remove_file(world.file("log-start-offset")).unwrap();
    let directory = world.open();
    let log = log(&directory, settings);
    assert_eq!(log.offsets().log_start, at(4));
    assert_eq!(read_all(&log, 4, 1000).len(), 2);
}

#[test]
fn checksums_are_compared_once_and_not_for_what_was_appended() {
    let world = World::new();
    let directory = world.open();
    let first = log(&directory, LogSettings::default());
    for _ in 0..10 {
        write(&first, batch(&["a"]));
    }
    let reads = world.faults.reads.load(Ordering::SeqCst);
    first
        .read(at(0), 1 << 20, storage::Isolation::ReadUncommitted, true)
        .unwrap();
    assert_eq!(
        world.faults.reads.load(Ordering::SeqCst),
        reads,
        "a hot read reads nothing"
    );
    assert_eq!(directory.metrics().verified_bytes.get(), 0);
    directory.close().unwrap();
    drop(first);
    drop(directory);
    let directory = world.open();
    let again = log(&directory, LogSettings::default());
    read(&again, 0, 1 << 20).unwrap();
    let verified = directory.metrics().verified_bytes.get();
    assert_eq!(verified, again.size_bytes());
    read(&again, 0, 1 << 20).unwrap();
    assert_eq!(directory.metrics().verified_bytes.get(), verified);
}

#[test]
fn a_read_is_ready_when_its_place_is_known_and_its_bytes_were_checked() {
    let world = World::new();
    let directory = world.open();
    let first = log(&directory, small_segments(2000));
    for _ in 0..100 {
        write(&first, batch(&["a"]));
    }
    assert!(first.is_ready(at(99), 100), "just appended");
    assert!(first.is_ready(at(0), 1 << 20), "appended by this process");
    assert!(first.is_ready(at(1000), 100), "an error needs no disk");
    directory.close().unwrap();
    drop(first);
    drop(directory);
    let directory = world.open();
    let again = log(&directory, small_segments(2000));
    for from in [0, 50, 99] {
        assert!(!again.is_ready(at(from), 1 << 20), "from {from}");
        read_all(&again, from, 1 << 20);
        assert!(again.is_ready(at(from), 1 << 20), "from {from}");
    }
}

#[test]
fn a_last_segment_that_was_cut_while_closed_is_left_and_a_new_one_goes_on() {
    let world = World::new();
    let directory = world.open();
    let first = log(&directory, LogSettings::default());
    for _ in 0..10 {
        write(&first, batch(&["a"]));
    }
    directory.close().unwrap();
    drop(first);
    drop(directory);
    let path = world.root.join("logs/t-0/00000000000000000000.log");
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let directory = world.open();
    let again = log(&directory, LogSettings::default());
    assert_eq!(
        write(&again, batch(&["b"])),
        10,
        "offsets are never used again"
    );
    assert_eq!(read(&again, 10, 1000).unwrap()[0].value, "b");
    assert_eq!(read(&again, 0, 1).unwrap()[0].value, "a");
}

/// A log that no checkpoint knows, of several segments, not closed. Returns the bases of the segments.
fn crashed_young(world: &World) -> Vec<i64> {
    let directory = world.open();
    let log = log(&directory, small_segments(300));
    for number in 0..20 {
        write(&log, batch(&[&format!("value-{number}")]));
    }
    let mut names = world.names();
    names.retain(|name| name.ends_with(".log"));
    names
        .iter()
        .map(|name| name[..20].parse().unwrap())
        .collect()
}

#[test]
fn a_log_younger_than_the_checkpoint_ends_where_a_closed_segment_is_torn() {
    let world = World::new();
    let bases = crashed_young(&world);
    let torn = world.segment(bases[1]);
    let length = fs::metadata(&torn).unwrap().len();
    let file = fs::File::options().write(true).open(&torn).unwrap();
    file.set_len(length - 10).unwrap();
    let (directory, values) = reopened(&world);
    let whole = usize::try_from(bases[2] - 1).unwrap();
    assert_eq!(
        values.len(),
        whole,
        "nothing behind the torn batch was ever acknowledged"
    );
    let log = log(&directory, LogSettings::default());
    assert_eq!(write(&log, batch(&["next"])), bases[2] - 1);
    let all = read_all(&log, 0, 1 << 20);
    assert_eq!(all.len(), whole + 1, "readers come to the end");
}

#[test]
fn what_a_refused_write_left_in_a_closed_segment_takes_no_later_segment_away() {
    for is_checkpointed in [false, true] {
        let world = World::new();
        let bases = crashed_young(&world);
        if is_checkpointed {
            let directory = world.open();
            log(&directory, small_segments(300));
            directory.checkpoint().unwrap();
            drop(directory);
        }
        let closed = world.segment(bases[bases.len() - 2]);
        let mut bytes = fs::read(&closed).unwrap();
        bytes.extend_from_slice(&bytes.clone()[..70]);
        fs::write(&closed, &bytes).unwrap();
        let (_directory, values) = reopened(&world);
        assert_eq!(values.len(), 20);
    }
}

#[test]
fn a_log_that_went_offline_keeps_its_place_in_the_checkpoint() {
    let mut world = World::new();
    world.options.own_threads = false;
    let directory = world.open();
    let settings = small_segments(300);
    let first = log(&directory, settings.clone());
    let mut last = 0;
    for number in 0..20 {
        last = append(&first, batch(&[&format!("value-{number}")]))
            .unwrap()
            .outcome
            .base_offset
            .value();
        directory.run_once();
    }
    directory.checkpoint().unwrap();
    world.faults.fail(Call::Sync, ".log", EIO, 1);
    let lost = append(&first, batch(&["lost"])).unwrap();
    directory.run_once();
    assert!(committed(lost).is_err());
    directory.checkpoint().unwrap();
    drop(first);
    directory.close().unwrap();
    drop(directory);
    // What lies before the checkpoint is not read again, so a damaged place in it ends nothing.
    let mut names = world.names();
    names.retain(|name| name.ends_with(".log"));
    let damaged = world.file(&names[1]);
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[16] = 9;
    fs::write(&damaged, &bytes).unwrap();
    let directory = world.open();
    let log = log(&directory, settings);
    assert!(log.offsets().log_end > at(last));
}
