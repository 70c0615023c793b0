//! The offline check: what it finds, that it foresees what the next start does, and that it changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use storage::{
    CheckError, CheckReport, Finding, FindingKind, LogSettings, PartitionLog, RepairAction,
    Severity,
};

use crate::compaction::{clean_all, overwrite};
use crate::compaction_model::{compacted, quiet};
use crate::support::*;

pub(crate) fn check(world: &World) -> CheckReport {
    let check = world.check().unwrap();
    let mut read = 0;
    let report = check.run(None, &mut |bytes| read += bytes).unwrap();
    assert_eq!(read, report.bytes, "all that is read is told of");
    report
}

/// Whatever a crash left half done is no damage.
pub(crate) fn is_undamaged(world: &World) {
    assert_eq!(damage(&check(world)), []);
}

/// Kinds and paths of what is damaged.
fn damage(report: &CheckReport) -> Vec<(FindingKind, String)> {
    let damaged = report
        .findings
        .iter()
        .filter(|finding| finding.kind.severity() == Severity::Damage);
    damaged
        .map(|finding| (finding.kind, finding.path.display().to_string()))
        .collect()
}

pub(crate) fn only(report: &CheckReport) -> &Finding {
    assert_eq!(report.damage, 1, "{:?}", report.findings);
    let is_damage = |finding: &&Finding| finding.kind.severity() == Severity::Damage;
    report.findings.iter().find(is_damage).unwrap()
}

/// Everything below a folder: paths and content.
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
                files.insert(path, Vec::new());
            } else {
                let bytes = fs::read(&path).unwrap();
                files.insert(path, bytes);
            }
        }
    }
    files
}

/// Twenty records in batches of one, in one segment or in small ones; the ways in which a broker can leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Closed,
    /// With a checkpoint after so many records, or without any.
    Crashed(Option<i64>),
}

pub(crate) const ENDS: [Left; 4] = [
    Left::Closed,
    Left::Crashed(None),
    Left::Crashed(Some(7)),
    Left::Crashed(Some(20)),
];

/// Returns where each batch begins in the segment, and its end; for one segment.
pub(crate) fn twenty(world: &World, settings: LogSettings, left: Left) -> Vec<u64> {
    let directory = world.open();
    let log = log(&directory, settings);
    let mut positions = vec![0];
    for number in 0..20 {
        let value = format!("value-{number}");
        write(&log, batch_at(NOW_MS + number, &[&value]));
        positions.push(log.size_bytes());
        if left == Left::Crashed(Some(number + 1)) {
            directory.checkpoint().unwrap();
        }
    }
    drop(log);
    if left == Left::Closed {
        directory.close().unwrap();
    }
    drop(directory);
    if left == Left::Crashed(None) {
        world.lose_checkpoint();
    }
    positions
}

#[test]
fn what_a_broker_leaves_is_not_damaged() {
    for left in ENDS {
        for settings in [LogSettings::default(), small_segments(300)] {
            let world = World::new();
            twenty(&world, settings, left);
            let report = check(&world);
            assert_eq!(damage(&report), [], "{left:?}");
            let kinds: Vec<_> = report.findings.iter().map(|one| one.kind).collect();
            if left == Left::Closed {
                assert_eq!(kinds, []);
            } else {
                assert_eq!(kinds, [FindingKind::UncleanStop]);
            }
            assert_eq!((report.partitions, report.batches), (1, 20));
            assert_eq!(report.repairs, []);
        }
    }
}

#[test]
fn the_gaps_that_cleaning_leaves_are_not_damage() {
    for closed in [true, false] {
        let world = quiet(World::new());
        let directory = world.open();
        let log = log(&directory, compacted(700, 1000));
        overwrite(&log, 60, 4);
        assert_eq!(clean_all(&directory), 1);
        if closed {
            directory.close().unwrap();
        }
        drop((log, directory));
        let report = check(&world);
        assert_eq!(damage(&report), []);
        assert!(report.batches < 30);
    }
}

#[test]
fn a_directory_is_left_as_it_is() {
    for left in ENDS {
        for lock in [true, false] {
            let world = World::new();
            twenty(&world, small_segments(300), left);
            let logs = segment_names(&world);
            for name in [&logs[1], &logs[logs.len() - 1]] {
                change(&world.file(name), |bytes| bytes[30] ^= 1);
            }
            fs::write(world.file("log-start-offset"), "x").unwrap();
            if !lock {
                fs::remove_file(world.root.join("lock")).unwrap();
            }
            let before = tree(&world.root);
            let report = check(&world);
            assert!(report.damage >= 3, "{left:?}");
            assert!(!report.repairs.is_empty());
            assert_eq!(tree(&world.root), before, "{left:?}");
        }
    }
}

#[test]
fn a_running_broker_keeps_the_check_away() {
    let world = World::new();
    let directory = world.open();
    let error = world.check().unwrap_err();
    assert!(matches!(error, CheckError::Locked { .. }));
    assert!(error.to_string().contains("a broker is running"), "{error}");
    drop(directory);
    let held = world.check().unwrap();
    assert!(
        world.try_open().is_err(),
        "and the check keeps a broker away"
    );
    drop(held);
    world.try_open().unwrap();
}

#[test]
fn what_is_no_data_directory_is_not_checked() {
    let world = World::new();
    assert!(matches!(
        world.check().unwrap_err(),
        CheckError::Missing { .. }
    ));
    fs::create_dir(&world.root).unwrap();
    assert!(matches!(
        world.check().unwrap_err(),
        CheckError::NotOurs { .. }
    ));
    fs::write(world.root.join("watertable.format"), "format 99\n").unwrap();
    assert!(matches!(world.check().unwrap_err(), CheckError::Format(_)));
}

#[test]
fn a_damaged_batch_of_a_closed_segment_is_told_with_its_place() {
    for left in [Left::Closed, Left::Crashed(Some(20)), Left::Crashed(None)] {
        let world = World::new();
        twenty(&world, small_segments(300), left);
        let logs = segment_names(&world);
        let base: i64 = logs[2][..20].parse().unwrap();
        let mut whole = 0;
        change(&world.file(&logs[2]), |bytes| {
            whole = bytes.len() as u64;
            bytes[70] ^= 1;
        });
        let report = check(&world);
        let finding = only(&report);
        assert_eq!(finding.kind, FindingKind::DamagedBatch, "{left:?}");
        assert!(finding.path.ends_with(&logs[2]) && finding.path.is_relative());
        let (from, to) = finding.bytes.unwrap();
        assert!(from == 0 && to > 61 && to < whole);
        assert_eq!(finding.offsets, Some((at(base), Some(at(base + 1)))));
        assert!(finding.detail.contains("checksum"), "{}", finding.detail);
        assert_eq!(report.batches, 19);
        assert_eq!(report.repairs, [], "nothing is cut out of the middle");
    }
}

/// Bytes all over the last segment changed, for every way to leave: the change is found, and what the next start does is
/// foreseen.
#[test]
fn a_changed_byte_of_the_last_segment_is_found_and_the_cut_foreseen() {
    for left in ENDS {
        let sample = World::new();
        let positions = twenty(&sample, LogSettings::default(), left);
        let size = *positions.last().unwrap();
        for index in (0..size).step_by(23) {
            let world = World::new();
            twenty(&world, LogSettings::default(), left);
            let batch = positions.partition_point(|start| *start <= index) - 1;
            let within = index - positions[batch];
            change(&world.segment(0), |bytes| bytes[index as usize] ^= 0x40);
            let report = check(&world);
            if (12..16).contains(&within) {
                // The leader epoch is under no checksum, and any is possible.
                assert_eq!(damage(&report), []);
                continue;
            }
            let finding = only(&report);
            let strict_from = match left {
                Left::Closed => u64::MAX,
                Left::Crashed(None) => 0,
                Left::Crashed(Some(records)) => positions[records as usize],
            };
            let start = positions[batch];
            assert_eq!(finding.bytes.unwrap().0, start, "{left:?} {index}");
            assert_eq!(finding.offsets.unwrap().0, at(batch as i64));
            let is_cut = start >= strict_from;
            let expected = match (is_cut, batch) {
                (true, 19) => FindingKind::TornEnd,
                (true, _) => FindingKind::DamagedEnd,
                (false, _) => FindingKind::DamagedTail,
            };
            assert_eq!(finding.kind, expected, "{left:?} {index}");

            let directory = world.open();
            let log = log(&directory, LogSettings::default());
            let end = if is_cut { batch as i64 } else { 20 };
            assert_eq!(log.offsets().log_end, at(end), "{left:?} {index}");
            let cut = if is_cut { size - start } else { 0 };
            assert_eq!(directory.metrics().truncated_bytes.get(), cut);
        }
    }
}

#[test]
fn a_repair_cuts_where_it_says_and_keeps_every_byte() {
    for left in ENDS {
        for batch in [0, 5, 12, 19] {
            let world = World::new();
            let positions = twenty(&world, LogSettings::default(), left);
            let from = positions[batch];
            change(&world.segment(0), |bytes| bytes[from as usize + 65] ^= 1);
            let original = fs::read(world.segment(0)).unwrap();
            let report = check(&world);
            let [
                RepairAction::Cut {
                    from: cut_from,
                    to,
                    first,
                    whole_batches,
                    whole_records,
                    end,
                    ..
                },
            ] = report.repairs.as_slice()
            else {
                panic!("{:?}", report.repairs);
            };
            assert_eq!((*cut_from, *to), (from, original.len() as u64));
            assert_eq!(*first, at(batch as i64));
            assert_eq!(*whole_batches, 19 - batch as u64);
            assert_eq!(*whole_records, 19 - batch as u64);
            assert_eq!(*end, (batch < 19).then_some(at(20)));

            let checked = world.check().unwrap();
            let (folder, repaired) = checked.repair(&report.repairs).unwrap();
            drop(checked);
            let kept = repaired
                .iter()
                .find(|one| one.kept.display().to_string().ends_with(".cut"))
                .unwrap();
            assert!(kept.kept.starts_with(&folder));
            let kept = fs::read(world.root.join(&kept.kept)).unwrap();
            assert_eq!(kept, original[from as usize..]);
            assert_eq!(
                fs::read(world.segment(0)).unwrap(),
                original[..from as usize]
            );
            assert_eq!(damage(&check(&world)), [], "{left:?} {batch}");

            let directory = world.open();
            let log = log(&directory, LogSettings::default());
            assert_eq!(log.offsets().log_end, at(batch as i64));
            assert_eq!(read_all(&log, 0, 1 << 20).len(), batch);
            assert_eq!(write(&log, super::support::batch(&["on"])), batch as i64);
            assert_eq!(directory.metrics().truncated_bytes.get(), 0, "{left:?}");
        }
    }
}

#[test]
fn a_repair_of_one_log_costs_the_others_no_reading() {
    let world = World::new();
    let directory = world.open();
    for number in 0..2 {
        let log = directory
            .log(&partition(number), topic_id(1), LogSettings::default())
            .unwrap();
        for _ in 0..20 {
            write(&log, batch(&["value"]));
        }
    }
    directory.close().unwrap();
    drop(directory);
    change(&world.segment(0), |bytes| bytes[70] ^= 1);
    let report = check(&world);
    world.check().unwrap().repair(&report.repairs).unwrap();
    let opened = world.try_open().unwrap();
    assert!(!opened.was_closed, "the checkpoint does not hide the cut");
    assert_eq!(opened.directory.metrics().recovered_logs.get(), 1);
    let other = opened
        .directory
        .log(&partition(1), topic_id(1), LogSettings::default())
        .unwrap();
    assert_eq!(other.offsets().log_end, at(20));
}

/// The checkpoint forgets a log whose end was cut; it is not taken for one that is younger, of which all behind damage goes.
#[test]
fn a_repair_of_the_end_leaves_a_damaged_closed_segment_to_its_readers() {
    for left in ENDS {
        let world = World::new();
        twenty(&world, small_segments(300), left);
        let logs = segment_names(&world);
        change(&world.file(&logs[1]), |bytes| bytes[70] ^= 1);
        let last = logs.last().unwrap();
        change(&world.file(last), |bytes| bytes[70] ^= 1);
        let end: i64 = last[..20].parse().unwrap();
        let report = check(&world);
        world.check().unwrap().repair(&report.repairs).unwrap();
        assert_eq!(only(&check(&world)).kind, FindingKind::DamagedBatch);
        let directory = world.open();
        let log = log(&directory, small_segments(300));
        assert_eq!(log.offsets().log_end, at(end), "{left:?}");
        assert_eq!(directory.metrics().truncated_bytes.get(), 0, "{left:?}");
    }
}

/// A log that is younger than the checkpoint is read strictly from its beginning.
#[test]
fn the_cut_of_a_log_that_no_checkpoint_knows_is_foreseen() {
    let world = World::new();
    let directory = world.open();
    directory.checkpoint().unwrap();
    let young = log(&directory, small_segments(300));
    for number in 0..20 {
        write(&young, batch(&[&format!("value-{number}")]));
    }
    drop((young, directory));
    let logs = segment_names(&world);
    change(&world.file(&logs[1]), |bytes| bytes[70] ^= 1);
    let base: i64 = logs[1][..20].parse().unwrap();
    let report = check(&world);
    let is_behind = |finding: &&Finding| finding.kind == FindingKind::BehindCut;
    let behind = report.findings.iter().filter(is_behind).count();
    assert_eq!(behind, logs.len() - 2, "{:?}", report.findings);
    let directory = world.open();
    assert_eq!(
        log(&directory, small_segments(300)).offsets().log_end,
        at(base)
    );
}

#[test]
fn a_repair_that_fails_half_way_loses_nothing_and_can_be_repeated() {
    for (call, part) in [
        (Call::CreateDirectories, "set-aside"),
        (Call::SyncDirectory, "set-aside"),
        (Call::Open, ".cut"),
        (Call::Write, ".cut"),
        (Call::Sync, ".cut"),
        (Call::Write, "checkpoint.tmp"),
        (Call::SetLength, ".log"),
        (Call::Sync, "0.log"),
        (Call::Rename, ".index"),
    ] {
        let world = World::new();
        let settings = LogSettings {
            index_interval_bytes: 100,
            ..LogSettings::default()
        };
        let positions = twenty(&world, settings, Left::Closed);
        change(&world.segment(0), |bytes| {
            bytes[positions[5] as usize + 65] ^= 1;
        });
        let original = fs::read(world.segment(0)).unwrap();
        let report = check(&world);
        world.faults.fail(call, part, ENOSPC, 1);
        let held = world.check().unwrap();
        held.repair(&report.repairs).unwrap_err();
        world.faults.clear();
        // The bytes are where they were, or kept.
        let is_whole = fs::read(world.segment(0)).unwrap() == original;
        let is_kept = tree(&world.root)
            .values()
            .any(|bytes| *bytes == original[positions[5] as usize..]);
        assert!(is_whole || is_kept, "{call:?} {part}");
        drop(held);
        let report = check(&world);
        world.check().unwrap().repair(&report.repairs).unwrap();
        assert_eq!(damage(&check(&world)), [], "{call:?} {part}");
        let directory = world.open();
        let log = log(&directory, LogSettings::default());
        assert_eq!(log.offsets().log_end, at(5), "{call:?} {part}");
    }
}

#[test]
fn offsets_that_are_missing_between_segments_are_told() {
    for left in ENDS {
        let world = World::new();
        twenty(&world, small_segments(300), left);
        let logs = segment_names(&world);
        let base: i64 = logs[3][..20].parse().unwrap();
        let next: i64 = logs[4][..20].parse().unwrap();
        fs::remove_file(world.file(&logs[3])).unwrap();
        let report = check(&world);
        let missing = report
            .findings
            .iter()
            .find(|finding| finding.kind == FindingKind::MissingOffsets)
            .unwrap();
        assert_eq!(missing.offsets, Some((at(base), Some(at(next)))));
        assert!(missing.path.ends_with(&logs[4]));
    }
}

#[test]
fn batches_that_are_missing_within_a_segment_are_one_finding() {
    let world = World::new();
    let positions = twenty(&world, LogSettings::default(), Left::Closed);
    change(&world.segment(0), |bytes| {
        bytes.drain(positions[4] as usize..positions[9] as usize);
    });
    // That the file is shorter than the checkpoint says is the other finding.
    let report = check(&world);
    let kinds: Vec<_> = damage(&report).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [FindingKind::ShortLog, FindingKind::DamagedTail]);
    let finding = &report.findings[1];
    assert_eq!(finding.offsets, Some((at(4), Some(at(9)))));
    assert!(
        finding.detail.contains("11 whole batches follow"),
        "{}",
        finding.detail
    );
}

#[test]
fn behind_damaged_lengths_the_next_whole_batch_is_found() {
    let world = World::new();
    twenty(&world, small_segments(600), Left::Closed);
    let logs = segment_names(&world);
    let mut lengths = Vec::new();
    change(&world.file(&logs[0]), |bytes| {
        lengths.push(bytes.len());
        // Length and magic of the second batch, and what would follow it.
        let second = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
        bytes[second + 8..second + 40].fill(0xff);
    });
    let report = check(&world);
    let finding = only(&report);
    assert_eq!(finding.kind, FindingKind::DamagedBatch);
    assert_eq!(finding.offsets, Some((at(1), Some(at(2)))));
    assert_eq!(report.batches, 19);
}

/// A stale segment between good ones is told, and speaks against none of them.
#[test]
fn a_segment_that_repeats_offsets_is_told() {
    for left in [Left::Closed, Left::Crashed(None)] {
        let world = World::new();
        twenty(&world, small_segments(300), left);
        let logs = segment_names(&world);
        let (base, next): (i64, i64) = (
            logs[2][..20].parse().unwrap(),
            logs[3][..20].parse().unwrap(),
        );
        assert!(next > base + 1);
        fs::copy(world.file(&logs[2]), world.segment(base + 1)).unwrap();
        let report = check(&world);
        let finding = only(&report);
        assert_eq!(finding.kind, FindingKind::OverlappingSegment);
        assert_eq!(finding.offsets, Some((at(base + 1), Some(at(next)))));
        assert_eq!(report.batches, 20);
    }
}

#[test]
fn a_segment_shorter_than_the_checkpoint_says_is_told() {
    for left in [Left::Closed, Left::Crashed(Some(20))] {
        let world = World::new();
        let positions = twenty(&world, LogSettings::default(), left);
        change(&world.segment(0), |bytes| {
            bytes.truncate(positions[15] as usize);
        });
        let report = check(&world);
        let finding = only(&report);
        assert_eq!(finding.kind, FindingKind::ShortLog, "{left:?}");
        assert_eq!(finding.bytes, Some((positions[15], positions[20])));
    }
}

#[test]
fn a_folder_that_is_lost_is_told_unless_its_topic_was_deleted() {
    let world = World::new();
    twenty(&world, LogSettings::default(), Left::Closed);
    fs::remove_dir_all(world.root.join("logs/t-0")).unwrap();
    let report = check(&world);
    let finding = only(&report);
    assert_eq!(finding.kind, FindingKind::LostFolder);
    assert_eq!(finding.offsets, Some((at(0), Some(at(20)))));
    let deleted = world.check().unwrap().run(Some(&|_| None), &mut |_| {});
    assert_eq!(deleted.unwrap().damage, 0);
}

#[test]
fn a_folder_of_no_topic_is_a_note() {
    let world = World::new();
    twenty(&world, LogSettings::default(), Left::Closed);
    let known = topic_id(1).to_string();
    let run = |id: Option<String>| {
        let check = world.check().unwrap();
        check.run(Some(&move |_| id.clone()), &mut |_| {}).unwrap()
    };
    assert_eq!(run(Some(known)).findings, []);
    for id in [None, Some(topic_id(2).to_string())] {
        let report = run(id);
        assert_eq!(report.findings[0].kind, FindingKind::UnclaimedFolder);
        assert_eq!(report.damage, 0);
    }
}

#[test]
fn damaged_small_files_are_told_and_set_aside() {
    let cases = [
        ("checkpoint", FindingKind::DamagedCheckpoint, true),
        ("boot-count", FindingKind::DamagedBootCount, false),
        ("watertable.format", FindingKind::DamagedFormat, false),
        (
            "logs/t-0/log-start-offset",
            FindingKind::DamagedLogStart,
            true,
        ),
        (
            "logs/t-0/cleaner-offset",
            FindingKind::DamagedCleanerState,
            true,
        ),
        (
            "logs/t-0/partition.metadata",
            FindingKind::NamelessFolder,
            false,
        ),
    ];
    for (name, kind, is_set_aside) in cases {
        let world = World::new();
        twenty(&world, small_segments(300), Left::Closed);
        let path = world.root.join(name);
        fs::write(&path, "no such content").unwrap();
        let report = check(&world);
        assert_eq!(only(&report).kind, kind, "{name}");
        assert_eq!(only(&report).path, Path::new(name));
        if !is_set_aside {
            assert_eq!(report.repairs, [], "{name}");
            continue;
        }
        let (_, repaired) = world.check().unwrap().repair(&report.repairs).unwrap();
        assert_eq!(repaired.len(), 1);
        let kept = fs::read(world.root.join(&repaired[0].kept)).unwrap();
        assert_eq!(kept, b"no such content");
        assert!(!path.exists());
        assert_eq!(damage(&check(&world)), [], "{name}");
        let directory = world.open();
        let log = log(&directory, small_segments(300));
        assert_eq!(read_all(&log, 0, 1 << 20).len(), 20, "{name}");
    }
}

#[test]
fn a_damaged_snapshot_is_told() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, small_segments(300));
    for sequence in 0..10 {
        write(&log, produced(1, 0, sequence, &["value"]));
    }
    directory.close().unwrap();
    let snapshot = world
        .names()
        .into_iter()
        .find(|name| name.ends_with(".snapshot"))
        .unwrap();
    assert_eq!(damage(&check_closed(&world, directory)), []);
    change(&world.file(&snapshot), |bytes| bytes[20] ^= 1);
    assert_eq!(only(&check(&world)).kind, FindingKind::DamagedSnapshot);
}

fn check_closed(world: &World, directory: storage::LogDirectory) -> CheckReport {
    drop(directory);
    check(world)
}

/// An index that names other places than the log has costs lookups, and a repair gives it to the broker to make anew.
#[test]
fn every_changed_entry_of_an_index_is_found() {
    for suffix in ["index", "timeindex"] {
        let settings = LogSettings {
            index_interval_bytes: 100,
            ..LogSettings::default()
        };
        let sample = World::new();
        twenty(&sample, settings.clone(), Left::Closed);
        let name = format!("{:020}.{suffix}", 0);
        let length = fs::read(sample.file(&name)).unwrap().len();
        assert!(length > 50);
        for index in 0..length {
            let world = World::new();
            twenty(&world, settings.clone(), Left::Closed);
            change(&world.file(&name), |bytes| bytes[index] ^= 1);
            let report = check(&world);
            let [finding] = report.findings.as_slice() else {
                // Behind the end of the log the broker leaves it out, and so does the check.
                assert_eq!(report.findings, [], "{suffix} {index}");
                let is_end = if suffix == "index" {
                    index % 8 >= 4
                } else {
                    index % 12 >= 8
                };
                assert!(is_end, "{suffix} {index}");
                continue;
            };
            assert!(
                matches!(
                    finding.kind,
                    FindingKind::WrongIndex | FindingKind::DamagedIndex
                ),
                "{suffix} {index}"
            );
            world.check().unwrap().repair(&report.repairs).unwrap();
            assert!(!world.file(&name).exists());
            assert_eq!(check(&world).findings, []);
        }
    }
}

#[test]
fn a_disk_that_does_not_read_one_segment_leaves_the_others_to_be_checked() {
    let world = World::new();
    let directory = world.open();
    for number in 0..2 {
        let log = directory
            .log(&partition(number), topic_id(1), LogSettings::default())
            .unwrap();
        write(&log, batch(&["value"]));
    }
    directory.close().unwrap();
    drop(directory);
    world
        .faults
        .fail(Call::Read, "t-0/00000000000000000000.log", EIO, 100);
    let report = check(&world);
    let finding = only(&report);
    assert_eq!(finding.kind, FindingKind::Unreadable);
    assert_eq!(finding.bytes, Some((0, 0)));
    assert_eq!((report.partitions, report.batches), (2, 1));
    assert_eq!(report.repairs, []);
}

#[test]
fn what_a_recovery_cut_off_and_what_lies_behind_the_end_are_notes() {
    let world = World::new();
    let positions = twenty(&world, LogSettings::default(), Left::Closed);
    change(&world.segment(0), |bytes| {
        bytes.extend_from_slice(b"left behind")
    });
    let report = check(&world);
    assert_eq!(report.damage, 0);
    let finding = &report.findings[0];
    assert_eq!(finding.kind, FindingKind::BytesBehindEnd);
    assert_eq!(finding.bytes, Some((positions[20], positions[20] + 11)));
    change(&world.segment(0), |bytes| bytes.truncate(bytes.len() - 11));
    fs::write(world.file("00000000000000000000.77.cut"), "cut").unwrap();
    fs::write(world.file("notes.txt"), "mine").unwrap();
    let kinds: Vec<_> = check(&world).findings.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [FindingKind::EarlierCut, FindingKind::UnknownFile]);
}

/// Whoever is asked for a repair knows what it costs.
#[test]
fn the_records_behind_a_damaged_batch_that_a_repair_would_cut_are_counted() {
    for left in [Left::Closed, Left::Crashed(None)] {
        let world = World::new();
        let directory = world.open();
        let log = log(&directory, LogSettings::default());
        for _ in 0..10 {
            write(&log, batch(&["a", "b", "c"]));
        }
        if left == Left::Closed {
            directory.close().unwrap();
        }
        drop((log, directory));
        if left != Left::Closed {
            world.lose_checkpoint();
        }
        change(&world.segment(0), |bytes| bytes[70] ^= 1);
        let report = check(&world);
        let detail = &only(&report).detail;
        assert!(
            detail.contains("9 whole batches follow with 27 records, offsets 3 to 29"),
            "{detail}"
        );
        assert!(
            detail.contains("--repair would cut these 27 records"),
            "{detail}"
        );
        let [RepairAction::Cut { whole_records, .. }] = report.repairs.as_slice() else {
            panic!("{:?}", report.repairs);
        };
        assert_eq!(*whole_records, 27);
    }
}

/// Each byte of the file that names the topic: two others name it still.
#[test]
fn a_damaged_partition_metadata_is_damage() {
    for left in [
        Left::Closed,
        Left::Crashed(Some(20)),
        Left::Crashed(Some(7)),
    ] {
        let sample = World::new();
        twenty(&sample, small_segments(300), left);
        let length = fs::read(sample.file("partition.metadata")).unwrap().len();
        for index in 0..length {
            let world = World::new();
            twenty(&world, small_segments(300), left);
            change(&world.file("partition.metadata"), |bytes| bytes[index] ^= 1);
            let known = topic_id(1).to_string();
            let held = world.check().unwrap();
            let report = held
                .run(Some(&move |_| Some(known.clone())), &mut |_| {})
                .unwrap();
            assert_eq!(
                only(&report).kind,
                FindingKind::MisnamedFolder,
                "{left:?} {index}"
            );
            let id = topic_id(1).to_string();
            assert!(
                only(&report).detail.contains(&id),
                "{}",
                only(&report).detail
            );
        }
    }
    // Without a checkpoint an id that is none is damage.
    let world = World::new();
    twenty(&world, small_segments(300), Left::Crashed(None));
    fs::write(world.file("partition.metadata"), "version: 0\ntopic_id: !!").unwrap();
    assert_eq!(only(&check(&world)).kind, FindingKind::NamelessFolder);
}

#[test]
fn a_number_of_starts_below_that_of_the_checkpoint_is_damage() {
    let world = World::new();
    for _ in 0..3 {
        world.open().close().unwrap();
    }
    twenty(&world, small_segments(300), Left::Closed);
    let count = world.root.join("boot-count");
    for (starts, is_damage) in [("3", true), ("4", false), ("5", false)] {
        fs::write(&count, format!("0\n{starts}\n")).unwrap();
        let report = check(&world);
        if !is_damage {
            assert_eq!(damage(&report), []);
            continue;
        }
        let finding = only(&report);
        assert_eq!(finding.kind, FindingKind::BootCountBehind);
        assert!(
            finding.detail.contains("counts 3 starts, and start 4"),
            "{}",
            finding.detail
        );
        assert!(world.try_open().is_err(), "and a start is refused");
    }
}

#[test]
fn findings_beyond_what_is_kept_are_counted() {
    let world = World::new();
    twenty(&world, LogSettings::default(), Left::Closed);
    for number in 0..10_050 {
        fs::write(world.file(&format!("other-{number}")), "").unwrap();
    }
    let report = check(&world);
    assert_eq!(report.findings.len(), 10_000);
    assert_eq!((report.left_out, report.notes), (50, 10_050));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever a segment's bytes become, the check ends, tells of it if records are lost, and a start afterwards keeps what
    /// it says.
    #[test]
    fn whatever_the_bytes_are_the_check_ends(
        at_byte in 0..2000_usize,
        rubbish in proptest::collection::vec(any::<u8>(), 1..300),
        closed in any::<bool>(),
        small in any::<bool>(),
    ) {
        let world = World::new();
        let settings = if small { small_segments(300) } else { LogSettings::default() };
        let left = if closed { Left::Closed } else { Left::Crashed(None) };
        twenty(&world, settings.clone(), left);
        let logs = segment_names(&world);
        let name = &logs[at_byte % logs.len()];
        change(&world.file(name), |bytes| {
            let from = at_byte % bytes.len();
            let to = (from + rubbish.len()).min(bytes.len());
            bytes.splice(from..to, rubbish.iter().copied());
        });
        let report = check(&world);
        prop_assert!(report.damage + report.notes > 0);
        if !report.repairs.is_empty() {
            world.check().unwrap().repair(&report.repairs).unwrap();
            let again = check(&world);
            prop_assert_eq!(&again.repairs, &[]);
        }
        let directory = world.open();
        let log = log(&directory, settings);
        prop_assert_eq!(directory.metrics().offline_logs.get(), 0);
        prop_assert_eq!(directory.metrics().truncated_bytes.get(), 0);
        prop_assert!(log.offsets().log_end <= at(20));
    }
}
