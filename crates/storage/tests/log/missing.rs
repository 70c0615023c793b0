//! Segments whose files are gone: told at each start, foreseen by the check, never skipped unawares; and what was given up
//! in order is not taken for missing.

use std::fs;

use storage::{FindingKind, Isolation, LocalLog, LogSettings, LossKind, PartitionLog, ReadError};
use types::Timestamp;

use crate::check::{ENDS, Left, check, only, twenty};
use crate::compaction::{clean_all, logs_of, overwrite};
use crate::compaction_model::{compacted, quiet};
use crate::support::*;

/// Takes the `number`th segment away. Returns its base, that of the next one, and its bytes.
fn take_away(world: &World, number: usize) -> (i64, i64, Vec<u8>) {
    let bases = logs_of(world);
    let path = world.segment(bases[number]);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    (bases[number], bases[number + 1], bytes)
}

/// Opens the log; what is told is the one loss of these offsets.
fn opened(world: &World, lost: (i64, i64)) -> (storage::LogDirectory, std::sync::Arc<LocalLog>) {
    let directory = world.open();
    let told = directory.losses();
    let [loss] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(loss.kind, LossKind::Missing);
    assert_eq!(loss.offsets, Some((at(lost.0), Some(at(lost.1)))));
    let log = log(&directory, small_segments(300));
    (directory, log)
}

/// Whoever begins in the gap is told, and nobody else is.
fn only_readers_of_the_gap_are_told(log: &LocalLog, gap: (i64, i64)) {
    for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
        for max_bytes in [1, 700, 1 << 20] {
            for from in 0..20 {
                let plan = log.read(at(from), max_bytes, isolation, true);
                if (gap.0..gap.1).contains(&from) {
                    let Err(ReadError::Lost { first, end }) = plan else {
                        panic!("{from}: {plan:?}");
                    };
                    assert_eq!((first, end), (at(gap.0), at(gap.1)));
                    continue;
                }
                let records = records_of(&bytes_of(&plan.unwrap().slices));
                assert_eq!(records[0].offset, from);
                let last = records.last().unwrap().offset;
                assert!(from >= gap.1 || last < gap.0, "{from} to {last}");
                if max_bytes == 1 << 20 {
                    let end = if from < gap.0 { gap.0 } else { 20 };
                    assert_eq!(last + 1, end, "all that can be read is there");
                }
            }
        }
    }
}

#[test]
fn a_first_segment_that_is_gone_is_told_and_found_by_the_check() {
    for left in ENDS {
        let world = World::new();
        twenty(&world, small_segments(300), left);
        let (_, next, _) = take_away(&world, 0);
        let report = check(&world);
        let finding = only(&report);
        assert_eq!(finding.kind, FindingKind::MissingOffsets, "{left:?}");
        assert_eq!(finding.offsets, Some((at(0), Some(at(next)))));
        let (directory, log) = opened(&world, (0, next));
        assert_eq!(log.offsets().log_start, at(next));
        let error = read(&log, 0, 100).unwrap_err();
        assert!(
            matches!(error, ReadError::OffsetOutOfRange { .. }),
            "{error}"
        );
        assert_eq!(read_all(&log, next, 1000).len() as i64, 20 - next);
        // Where the log begins now is known from here on.
        directory.close().unwrap();
        drop((log, directory));
        assert_eq!(world.open().losses(), []);
    }
}

#[test]
fn all_segments_gone_are_told_and_no_offset_is_used_again() {
    let world = World::new();
    twenty(&world, small_segments(300), Left::Closed);
    for base in logs_of(&world) {
        fs::remove_file(world.segment(base)).unwrap();
    }
    assert_eq!(only(&check(&world)).kind, FindingKind::ShortLog);
    let (_directory, log) = opened(&world, (0, 20));
    let offsets = log.offsets();
    assert_eq!((offsets.log_start, offsets.log_end), (at(20), at(20)));
    assert_eq!(write(&log, batch(&["on"])), 20);
    assert_eq!(read(&log, 20, 100).unwrap()[0].value, "on");
}

#[test]
fn a_segment_that_is_gone_between_others_is_told_at_each_start_and_skipped_by_no_reader() {
    for left in [Left::Closed, Left::Crashed(Some(20)), Left::Crashed(None)] {
        let world = World::new();
        twenty(&world, small_segments(300), left);
        let (base, next, bytes) = take_away(&world, 3);
        let report = check(&world);
        assert_eq!(only(&report).kind, FindingKind::MissingOffsets, "{left:?}");
        assert_eq!(only(&report).offsets, Some((at(base), Some(at(next)))));
        let gap = (base, next);
        for is_closed in [true, false, false, true] {
            let (directory, log) = opened(&world, gap);
            only_readers_of_the_gap_are_told(&log, gap);
            match is_closed {
                true => directory.close().unwrap(),
                false => directory.checkpoint().unwrap(),
            }
        }
        // Its records are as good as ever once it is back.
        fs::write(world.segment(base), bytes).unwrap();
        let directory = world.open();
        assert_eq!(directory.losses(), []);
        let log = log(&directory, small_segments(300));
        assert_eq!(read_all(&log, 0, 1000).len(), 20);
        assert_eq!(write(&log, batch(&["on"])), 20);
    }
}

#[test]
fn a_last_segment_that_is_gone_after_a_clean_stop_is_told_and_no_offset_is_used_again() {
    let world = World::new();
    twenty(&world, small_segments(300), Left::Closed);
    let base = *logs_of(&world).last().unwrap();
    fs::remove_file(world.segment(base)).unwrap();
    let (directory, log) = opened(&world, (base, 20));
    only_readers_of_the_gap_are_told(&log, (base, 20));
    assert_eq!(write(&log, batch(&["on"])), 20);
    assert_eq!(read(&log, 20, 100).unwrap()[0].value, "on");
    directory.close().unwrap();
    drop(log);
    drop(directory);
    let (_directory, log) = opened(&world, (base, 20));
    assert_eq!(read(&log, 20, 100).unwrap()[0].value, "on");
}

#[test]
fn a_new_last_segment_without_records_that_is_gone_is_no_loss() {
    let world = World::new();
    let directory = world.open();
    let settings = small_segments(300);
    let first = log(&directory, settings.clone());
    write(&first, batch(&["a"]));
    // The next segment is begun, and the write to it refused.
    world.faults.fail(Call::Write, "1.log", ENOSPC, 1);
    append(&first, batch(&["x".repeat(200).as_str()])).unwrap_err();
    write(&first, batch(&["x".repeat(200).as_str()]));
    first.delete_records(Some(at(2))).unwrap();
    directory.run_retention(Timestamp::from_ms(NOW_MS + 1000 * 3600 * 24 * 30));
    directory.close().unwrap();
    drop((first, directory));
    assert_eq!(logs_of(&world), [2]);
    fs::remove_file(world.segment(2)).unwrap();
    let directory = world.open();
    assert_eq!(directory.losses(), []);
    let log = log(&directory, settings);
    assert_eq!(write(&log, batch(&["on"])), 2);
}

/// A file that goes while the broker runs: the rest of the log is served.
#[test]
fn a_read_that_cannot_go_on_in_the_next_segment_answers_what_it_has() {
    let world = World::new();
    twenty(&world, small_segments(300), Left::Closed);
    let bases = logs_of(&world);
    let directory = world.open();
    let log = log(&directory, small_segments(300));
    let name = format!("{:020}.log", bases[2]);
    world.faults.fail(Call::Open, &name, EIO, 1);
    let records = read(&log, 0, 1 << 20).unwrap();
    assert_eq!(records.last().unwrap().offset + 1, bases[2]);
    let (base, next, _) = take_away(&world, 3);
    let records = read(&log, 0, 1 << 20).unwrap();
    assert_eq!(records.last().unwrap().offset + 1, base);
    let error = read(&log, base, 1 << 20).unwrap_err();
    assert!(matches!(error, ReadError::Io(_)), "{error}");
    assert_eq!(read_all(&log, next, 1000).len() as i64, 20 - next);
}

#[test]
fn what_was_given_up_in_order_is_not_missing() {
    let settings = LogSettings {
        retention_bytes: Some(600),
        retention_ms: None,
        ..small_segments(300)
    };
    for left in ENDS {
        for by_request in [true, false] {
            let world = World::new();
            let directory = world.open();
            let first = log(&directory, settings.clone());
            for number in 0..20 {
                write(&first, batch(&[&format!("value-{number}")]));
                if left == Left::Crashed(Some(number + 1)) {
                    directory.checkpoint().unwrap();
                }
            }
            let start = match by_request {
                true => first.delete_records(Some(at(14))).unwrap(),
                false => {
                    assert!(directory.run_retention(Timestamp::from_ms(NOW_MS)) > 2);
                    first.offsets().log_start
                }
            };
            if left == Left::Closed {
                directory.close().unwrap();
            }
            drop((first, directory));
            if left == Left::Crashed(None) {
                world.lose_checkpoint();
            }
            crate::check::is_undamaged(&world);
            let directory = world.open();
            assert_eq!(directory.losses(), [], "{left:?} {by_request}");
            let log = log(&directory, settings.clone());
            assert_eq!(log.offsets().log_start, start);
            assert_eq!(log.offsets().log_end, at(20));
        }
    }
}

/// Where cleaning leaves gaps only the checkpoint can tell.
#[test]
fn a_cleaned_log_misses_the_segments_that_the_checkpoint_knows_and_no_others() {
    for closed in [true, false] {
        let world = quiet(World::new());
        let directory = world.open();
        let first = log(&directory, compacted(700, 1000));
        overwrite(&first, 60, 40);
        assert_eq!(clean_all(&directory), 1);
        overwrite(&first, 60, 40);
        match closed {
            true => directory.close().unwrap(),
            false => directory.checkpoint().unwrap(),
        }
        drop((first, directory));
        crate::check::is_undamaged(&world);
        assert_eq!(world.open().losses(), [], "gaps are no loss");
        world.open().close().unwrap();
        let bases = logs_of(&world);
        assert!(bases.len() > 4, "{bases:?}");
        let (base, next, _) = take_away(&world, 1);
        let report = check(&world);
        assert_eq!(only(&report).offsets, Some((at(base), Some(at(next)))));
        let directory = world.open();
        let told = directory.losses();
        assert_eq!(told[0].offsets, Some((at(base), Some(at(next)))));
        assert_eq!(told.len(), 1);
        let log = log(&directory, compacted(700, 1000));
        let error = read(&log, base, 100).unwrap_err();
        assert!(matches!(error, ReadError::Lost { .. }), "{error}");
        assert!(read(&log, next, 100).unwrap()[0].offset >= next);
        for _ in 0..3 {
            assert_eq!(clean_all(&directory), 0, "and is left as it is");
            world.clock.advance(24 * 3600 * 1000);
        }
        let failed = directory.metrics().failed_cleanings.get();
        assert_eq!(failed, 1, "which no waiting changes");
        assert!(matches!(read(&log, base, 100), Err(ReadError::Lost { .. })));
    }
}

#[test]
fn retention_and_deletion_pass_a_segment_that_is_gone() {
    for by_request in [true, false] {
        let world = World::new();
        twenty(&world, small_segments(300), Left::Crashed(None));
        let (base, next, _) = take_away(&world, 3);
        let (directory, log) = opened(&world, (base, next));
        if by_request {
            log.delete_records(Some(at(next))).unwrap();
        } else {
            log.configure(LogSettings {
                retention_bytes: Some(200),
                ..small_segments(300)
            });
            assert!(directory.run_retention(Timestamp::from_ms(NOW_MS)) > 4);
        }
        let start = log.offsets().log_start;
        assert!(start >= at(next));
        assert_eq!(
            read_all(&log, start.value(), 1000).len() as i64,
            20 - start.value()
        );
        directory.close().unwrap();
        drop((log, directory));
        crate::check::is_undamaged(&world);
        assert_eq!(world.open().losses(), []);
    }
}

/// The log went on behind a last segment that a start found gone, or shorter than it was, and the process was killed before
/// it wrote a checkpoint of its own.
#[test]
fn what_was_appended_behind_a_lost_end_is_kept_after_a_crash() {
    for is_gone in [true, false] {
        for appended in [1, 8] {
            let world = World::new();
            twenty(&world, small_segments(300), Left::Closed);
            let checkpoint = world.root.join("checkpoint");
            let known = fs::read(&checkpoint).unwrap();
            let path = world.segment(*logs_of(&world).last().unwrap());
            match is_gone {
                true => fs::remove_file(path).unwrap(),
                false => fs::write(path, []).unwrap(),
            }
            let directory = world.open();
            let first = log(&directory, small_segments(300));
            let more: Vec<_> = (0..appended).map(|number| format!("on-{number}")).collect();
            for (offset, value) in (20..).zip(&more) {
                assert_eq!(write(&first, batch(&[value])), offset);
            }
            drop((first, directory));
            fs::write(&checkpoint, &known).unwrap();
            let directory = world.open();
            let told: Vec<_> = directory.losses().iter().map(|loss| loss.kind).collect();
            let expected = match is_gone {
                true => LossKind::Missing,
                false => LossKind::Short,
            };
            assert_eq!(told, [expected]);
            let last = log(&directory, small_segments(300));
            assert_eq!(last.offsets().log_end, at(20 + appended), "{is_gone}");
            assert_eq!(values(&read_all(&last, 20, 1000)), more, "{is_gone}");
        }
    }
}

/// Nothing was appended since a start found it gone, and consumers stand behind it.
#[test]
fn the_end_of_a_log_whose_last_segment_is_gone_after_a_clean_stop_stays() {
    let world = World::new();
    twenty(&world, small_segments(300), Left::Closed);
    let base = *logs_of(&world).last().unwrap();
    fs::remove_file(world.segment(base)).unwrap();
    for _ in 0..3 {
        let (directory, log) = opened(&world, (base, 20));
        only_readers_of_the_gap_are_told(&log, (base, 20));
        wait_until("what is gone is written down", || {
            directory.metrics().checkpoints.get() > 0
        });
    }
    let (_directory, log) = opened(&world, (base, 20));
    assert_eq!(write(&log, batch(&["on"])), 20);
}

/// What a hole is known by is not taken for a segment that came back: then each start would read the whole log.
#[test]
fn an_empty_segment_between_others_has_the_log_read_once() {
    let world = World::new();
    twenty(&world, small_segments(300), Left::Crashed(None));
    let bases = logs_of(&world);
    fs::write(world.segment(bases[3]), []).unwrap();
    for number in 0..3 {
        let (directory, log) = opened(&world, (bases[3], bases[4]));
        only_readers_of_the_gap_are_told(&log, (bases[3], bases[4]));
        let read = directory.metrics().recovery_bytes.get();
        assert!(number == 0 || read == 0, "{read} bytes at start {number}");
        directory.close().unwrap();
    }
}
