//! Opening never drops anything silently: each branch of recovery that takes bytes out of a log, gives them up or does not
//! believe a file says what, where and why.

use std::fs;

use storage::{LogDirectory, LogSettings, Loss, LossKind, PartitionLog};

use crate::support::*;

/// Twenty batches of one record; without a checkpoint unless one is asked for after some of them. Where each begins.
fn twenty(world: &World, settings: LogSettings, checkpoint_after: Option<i64>) -> Vec<u64> {
    let directory = world.open();
    let log = log(&directory, settings);
    let mut positions = vec![0];
    for number in 0..20 {
        write(&log, batch(&[&format!("value-{number}")]));
        positions.push(log.size_bytes());
        if checkpoint_after == Some(number + 1) {
            directory.checkpoint().unwrap();
        }
    }
    drop((log, directory));
    if checkpoint_after.is_none() {
        world.lose_checkpoint();
    }
    positions
}

fn base_of(name: &str) -> i64 {
    name[..20].parse().unwrap()
}

/// The directory, opened, and the losses of a kind; there are no others.
fn losses(world: &World, kind: LossKind) -> (LogDirectory, Vec<Loss>) {
    let directory = world.open();
    let all = directory.losses();
    assert!(!all.is_empty(), "nothing was told");
    for loss in &all {
        assert_eq!(loss.kind, kind, "{all:?}");
        assert!(!loss.cause.is_empty());
    }
    (directory, all)
}

#[test]
fn a_start_that_loses_nothing_tells_of_nothing() {
    for checkpoint_after in [None, Some(7), Some(20)] {
        for settings in [LogSettings::default(), small_segments(300)] {
            let world = World::new();
            twenty(&world, settings.clone(), checkpoint_after);
            let directory = world.open();
            write(&log(&directory, settings), batch(&["more"]));
            assert_eq!(directory.losses(), []);
        }
    }
}

#[test]
fn a_cut_end_is_told_with_its_bytes_and_offsets() {
    for checkpoint_after in [None, Some(7)] {
        let world = World::new();
        let positions = twenty(&world, LogSettings::default(), checkpoint_after);
        change(&world.segment(0), |bytes| {
            bytes[positions[12] as usize + 65] ^= 1;
        });
        let (_directory, told) = losses(&world, LossKind::Cut);
        let [loss] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!(loss.path, world.segment(0));
        assert_eq!(
            loss.bytes,
            Some((positions[12], positions[20] - positions[12]))
        );
        assert_eq!(loss.offsets, Some((at(12), None)));
        assert!(loss.cause.contains("checksum"), "{}", loss.cause);
        let kept = loss.kept.as_ref().unwrap();
        assert_eq!(
            fs::metadata(kept).unwrap().len(),
            positions[20] - positions[12]
        );
    }
}

#[test]
fn segments_that_are_set_aside_are_told_each() {
    let world = World::new();
    twenty(&world, small_segments(300), Some(1));
    let logs = segment_names(&world);
    let sizes: Vec<_> = logs
        .iter()
        .map(|name| fs::metadata(world.file(name)).unwrap().len())
        .collect();
    fs::remove_file(world.file(&logs[2])).unwrap();
    let (_directory, told) = losses(&world, LossKind::SetAside);
    assert_eq!(told.len(), logs.len() - 3);
    for ((loss, name), size) in told.iter().zip(&logs[3..]).zip(&sizes[3..]) {
        assert_eq!(loss.path, world.file(name));
        assert_eq!(loss.bytes, Some((0, *size)));
        assert_eq!(loss.offsets.unwrap().0, at(base_of(name)));
        assert_eq!(
            fs::metadata(loss.kept.as_ref().unwrap()).unwrap().len(),
            *size
        );
    }
}

#[test]
fn a_segment_that_is_missing_without_a_checkpoint_is_told() {
    let world = World::new();
    twenty(&world, small_segments(300), None);
    let logs = segment_names(&world);
    fs::remove_file(world.file(&logs[2])).unwrap();
    let (directory, told) = losses(&world, LossKind::Missing);
    assert_eq!(
        told[0].offsets,
        Some((at(base_of(&logs[2])), Some(at(base_of(&logs[3])))))
    );
    let log = log(&directory, small_segments(300));
    assert_eq!(log.offsets().log_end, at(20), "the rest is served");
}

#[test]
fn a_corrupt_closed_segment_is_told() {
    let world = World::new();
    twenty(&world, small_segments(300), None);
    let logs = segment_names(&world);
    let length = fs::metadata(world.file(&logs[2])).unwrap().len();
    change(&world.file(&logs[2]), |bytes| bytes[16] = 9);
    let (_directory, told) = losses(&world, LossKind::Corrupt);
    assert_eq!(told[0].path, world.file(&logs[2]));
    assert_eq!(told[0].bytes, Some((0, length)));
    let (base, next) = (base_of(&logs[2]), base_of(&logs[3]));
    assert_eq!(told[0].offsets, Some((at(base), Some(at(next)))));
}

/// A page of zeros, as a lost write leaves it, is no end of a closed segment: what lies behind is told of and served.
#[test]
fn zeros_in_a_closed_segment_hide_nothing_behind_them() {
    let world = World::new();
    let settings = LogSettings {
        segment_bytes: 600,
        index_interval_bytes: 60,
        ..LogSettings::default()
    };
    twenty(&world, settings.clone(), None);
    let logs = segment_names(&world);
    let mut second = 0;
    change(&world.file(&logs[0]), |bytes| {
        second = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
        bytes[second..second + 61].fill(0);
    });
    // With its index, as after a checkpoint or a roll.
    let (directory, told) = losses(&world, LossKind::Corrupt);
    assert_eq!(told[0].bytes.unwrap().0, second as u64);
    let log = log(&directory, settings);
    assert!(read(&log, 1, 1).is_err(), "its readers are told");
    assert_eq!(read(&log, 4, 1).unwrap()[0].offset, 4);
}

#[test]
fn a_misplaced_batch_is_told() {
    let world = World::new();
    twenty(&world, small_segments(300), None);
    let logs = segment_names(&world);
    let base = base_of(&logs[2]);
    change(&world.file(&logs[2]), |bytes| {
        bytes[..8].copy_from_slice(&(base + 1000).to_be_bytes());
    });
    let (_directory, told) = losses(&world, LossKind::Misplaced);
    assert_eq!(told[0].offsets, Some((at(base), Some(at(base + 1)))));
    assert!(told[0].cause.contains(&(base + 1000).to_string()));
}

#[test]
fn files_shorter_than_the_checkpoint_says_are_told() {
    let world = World::new();
    let positions = twenty(&world, LogSettings::default(), Some(20));
    change(&world.segment(0), |bytes| {
        bytes.truncate(positions[15] as usize);
    });
    let (_directory, told) = losses(&world, LossKind::Short);
    assert_eq!(
        told[0].bytes,
        Some((positions[15], positions[20] - positions[15]))
    );
    assert_eq!(told[0].offsets, Some((at(0), Some(at(20)))));
}

#[test]
fn a_closed_log_that_was_cut_is_told_at_its_first_append() {
    let world = World::new();
    let positions = {
        let directory = world.open();
        let log = log(&directory, LogSettings::default());
        write(&log, batch(&["a"]));
        let first = log.size_bytes();
        write(&log, batch(&["b"]));
        let positions = (first, log.size_bytes());
        directory.close().unwrap();
        positions
    };
    change(&world.segment(0), |bytes| {
        bytes.truncate(positions.0 as usize)
    });
    let directory = world.open();
    assert_eq!(directory.losses(), []);
    let log = log(&directory, LogSettings::default());
    write(&log, batch(&["c"]));
    let told = directory.losses();
    assert_eq!(told[0].kind, LossKind::Missing);
    assert_eq!(
        told[0].bytes,
        Some((positions.0, positions.1 - positions.0))
    );
}

#[test]
fn what_lies_behind_the_end_of_a_closed_log_is_kept_and_told_at_its_first_append() {
    let left_behind = b"left behind";
    for rounds in [1, 3] {
        let world = World::new();
        let end = {
            let directory = world.open();
            let log = log(&directory, LogSettings::default());
            write(&log, batch(&["a"]));
            let end = log.size_bytes();
            directory.close().unwrap();
            end
        };
        change(&world.segment(0), |bytes| {
            bytes.extend_from_slice(left_behind)
        });
        for _ in 1..rounds {
            // Starts without an append, and clean stops.
            let directory = world.open();
            assert_eq!(
                read_all(&log(&directory, LogSettings::default()), 0, 1000).len(),
                1
            );
            directory.close().unwrap();
        }
        let directory = world.open();
        let log = log(&directory, LogSettings::default());
        assert_eq!(directory.losses(), []);
        assert_eq!(write(&log, batch(&["b"])), 1);
        let told = directory.losses();
        assert_eq!(told[0].kind, LossKind::Cut);
        assert_eq!(told[0].bytes, Some((end, left_behind.len() as u64)));
        assert_eq!(told[0].offsets, Some((at(1), None)));
        let kept = told[0].kept.as_ref().unwrap();
        assert_eq!(fs::read(kept).unwrap(), left_behind);
        assert_eq!(values(&read_all(&log, 0, 1000)), ["a", "b"]);
        drop((log, directory));
        let length = fs::metadata(world.segment(0)).unwrap().len();
        assert_eq!(length, end * 2, "and nothing of it is in the file");
    }
}

#[test]
fn a_log_that_goes_on_at_its_start_tells_of_the_segments_it_removes() {
    let world = World::new();
    let caching = LogSettings {
        write_caching: true,
        ..LogSettings::default()
    };
    let directory = world.open();
    let first = log(&directory, caching);
    for _ in 0..5 {
        write(&first, batch(&["a"]));
    }
    directory.checkpoint().unwrap();
    let kept = first.size_bytes();
    write(&first, batch(&["b"]));
    first.delete_records(None).unwrap();
    drop((first, directory));
    change(&world.segment(0), |bytes| bytes.truncate(kept as usize));
    let (_directory, told) = losses(&world, LossKind::Removed);
    assert_eq!(told[0].bytes, Some((0, kept)));
    assert_eq!(told[0].offsets, Some((at(0), Some(at(5)))));
    assert!(
        told[0].cause.contains("up to offset 6"),
        "{}",
        told[0].cause
    );
}

#[test]
fn small_files_that_are_not_believed_are_told() {
    let cases = [
        ("checkpoint", LossKind::Checkpoint),
        ("logs/t-0/log-start-offset", LossKind::LogStart),
        ("logs/t-0/cleaner-offset", LossKind::CleanerState),
    ];
    for (name, kind) in cases {
        let world = World::new();
        twenty(&world, LogSettings::default(), Some(7));
        fs::write(world.root.join(name), "no such content").unwrap();
        let (directory, told) = losses(&world, kind);
        assert_eq!(told[0].path, world.root.join(name));
        let log = log(&directory, LogSettings::default());
        assert_eq!(read_all(&log, 0, 1 << 20).len(), 20);
    }
}

#[test]
fn a_snapshot_that_is_not_believed_is_told() {
    let world = World::new();
    let settings = small_segments(300);
    {
        let directory = world.open();
        let log = log(&directory, settings);
        for sequence in 0..10 {
            write(&log, produced(1, 0, sequence, &["value"]));
        }
    }
    let logs = segment_names(&world);
    let snapshot = logs[1].replace(".log", ".snapshot");
    change(&world.file(&snapshot), |bytes| bytes[20] ^= 1);
    // Retention took the first segment: the snapshot is asked.
    fs::remove_file(world.file(&logs[0])).unwrap();
    let start = base_of(&logs[1]);
    fs::write(world.file("log-start-offset"), format!("0\n{start}\n")).unwrap();
    let (_directory, told) = losses(&world, LossKind::Snapshot);
    assert_eq!(told[0].path, world.file(&snapshot));
}

#[test]
fn what_lies_where_a_segment_begins_is_kept_and_told() {
    let world = World::new();
    let directory = world.open();
    let settings = small_segments(100);
    let log = log(&directory, settings);
    write(&log, batch(&["first"]));
    fs::write(world.segment(1), "somebody's").unwrap();
    write(&log, batch(&["second"]));
    let told = directory.losses();
    assert_eq!(told[0].kind, LossKind::Cut);
    assert_eq!(
        fs::read(told[0].kept.as_ref().unwrap()).unwrap(),
        b"somebody's"
    );
    assert_eq!(values(&read_all(&log, 0, 1000)), ["first", "second"]);
}
