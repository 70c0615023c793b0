//! Finding records by their time, against a search through all records.

use protocol::records::{
    BatchBuilder, BatchOptions, Compression, ControlRecordType, EndTransactionMarker,
};
use storage::{AppendContext, Isolation, LocalLog, LogSettings, PartitionLog, TimestampQuery};
use types::Timestamp;

use crate::support::*;

fn at_least(log: &LocalLog, timestamp: i64) -> Option<(i64, i64)> {
    find(log, TimestampQuery::AtLeast(Timestamp::from_ms(timestamp)))
}

fn find(log: &LocalLog, query: TimestampQuery) -> Option<(i64, i64)> {
    log.offset_for_timestamp(query, Isolation::ReadUncommitted)
        .unwrap()
        .map(|found| (found.offset.value(), found.timestamp.ms()))
}

/// Times that go forward, back and stand still, in several batches, codecs and segments.
fn fill(log: &LocalLog) -> Vec<i64> {
    let mut times = Vec::new();
    let mut time = 1000;
    for number in 0..60_i64 {
        time += [7, -20, 0, 40, 1][usize::try_from(number % 5).unwrap()];
        let compression = Compression::ALL[usize::try_from(number % 5).unwrap()];
        let options = BatchOptions {
            compression,
            ..BatchOptions::default()
        };
        write(log, batch_with(options, time, &["a", "b", "c"]));
        times.extend([time, time + 1, time + 2]);
    }
    times
}

fn check_all(log: &LocalLog, times: &[i64], log_start: usize) {
    let least = *times.iter().min().unwrap() - 2;
    let most = *times.iter().max().unwrap() + 2;
    for wanted in least..=most {
        let expected = (log_start..times.len())
            .find(|index| times[*index] >= wanted)
            .map(|index| (i64::try_from(index).unwrap(), times[index]));
        assert_eq!(at_least(log, wanted), expected, "at least {wanted}");
    }
    let largest = *times[log_start..].iter().max().unwrap();
    let first = (log_start..times.len())
        .find(|index| times[*index] == largest)
        .unwrap();
    let expected = (i64::try_from(first).unwrap(), largest);
    assert_eq!(find(log, TimestampQuery::Largest), Some(expected));
}

#[test]
fn the_first_record_at_or_after_a_time_is_found() {
    for segment_bytes in [350, 1500, 1 << 20] {
        let world = World::new();
        let settings = small_segments(segment_bytes);
        let directory = world.open();
        let first = log(&directory, settings.clone());
        let times = fill(&first);
        check_all(&first, &times, 0);
        directory.close().unwrap();
        drop(first);
        drop(directory);
        // From index files, then from logs without them.
        let directory = world.open();
        let second = log(&directory, settings.clone());
        check_all(&second, &times, 0);
        drop(second);
        drop(directory);
        for name in world.names() {
            if name.ends_with("index") {
                std::fs::remove_file(world.file(&name)).unwrap();
            }
        }
        std::fs::remove_file(world.root.join("checkpoint")).unwrap();
        let directory = world.open();
        let third = log(&directory, settings);
        check_all(&third, &times, 0);
    }
}

/// Each byte of each index, damaged so that its entries still rise or not: an entry is believed if a batch bears it out.
#[test]
fn a_damaged_index_hides_no_record_from_a_search_by_time() {
    let settings = LogSettings {
        index_interval_bytes: 200,
        ..LogSettings::default()
    };
    let world = World::new();
    let directory = world.open();
    let first = log(&directory, settings.clone());
    let times = fill(&first);
    directory.close().unwrap();
    drop((first, directory));
    for suffix in ["index", "timeindex"] {
        let path = world.file(&format!("{:020}.{suffix}", 0));
        let whole = std::fs::read(&path).unwrap();
        assert!(whole.len() > 100);
        for index in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 1 << [0, 4, 7][index % 3];
            std::fs::write(&path, &damaged).unwrap();
            let directory = world.open();
            let log = log(&directory, settings.clone());
            for wanted in times.iter().step_by(7) {
                let found = times.iter().position(|time| time >= wanted).unwrap();
                let expected = (i64::try_from(found).unwrap(), times[found]);
                assert_eq!(at_least(&log, *wanted), Some(expected), "{suffix} {index}");
            }
            let largest = *times.iter().max().unwrap();
            let found = times.iter().position(|time| *time == largest).unwrap();
            let expected = (i64::try_from(found).unwrap(), largest);
            let found = find(&log, TimestampQuery::Largest);
            assert_eq!(found, Some(expected), "{suffix} {index}");
            directory.close().unwrap();
            drop((log, directory));
            std::fs::write(&path, &whole).unwrap();
        }
    }
}

/// An entry of the offset index that says that its batch ends sooner than it does: what lies before it is not behind it.
#[test]
fn a_damaged_offset_does_not_hide_the_largest_time() {
    let settings = LogSettings {
        index_interval_bytes: 200,
        timestamp_after_max_ms: None,
        ..LogSettings::default()
    };
    for peak in 0..16_i64 {
        let world = World::new();
        let directory = world.open();
        let first = log(&directory, settings.clone());
        for number in 0..16_i64 {
            let time = if number == peak { 9000 } else { 1000 + number };
            write(&first, batch_at(time, &["a", "b", "c"]));
        }
        directory.close().unwrap();
        drop((first, directory));
        let path = world.file(&format!("{:020}.index", 0));
        let whole = std::fs::read(&path).unwrap();
        assert!(whole.len() / 8 > 3);
        let mut before = -1_i32;
        for entry in 0..whole.len() / 8 {
            let mut damaged = whole.clone();
            let last = &mut damaged[entry * 8..entry * 8 + 4];
            let next = i32::from_be_bytes((&*last).try_into().unwrap());
            last.copy_from_slice(&(before + 1).to_be_bytes());
            before = next;
            std::fs::write(&path, &damaged).unwrap();
            let directory = world.open();
            let log = log(&directory, settings.clone());
            let expected = Some((peak * 3 + 2, 9002));
            assert_eq!(find(&log, TimestampQuery::Largest), expected, "{entry}");
            directory.close().unwrap();
        }
    }
}

#[test]
fn deleted_records_are_not_found() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, small_segments(1500));
    let times = fill(&log);
    log.delete_records(Some(at(31))).unwrap();
    check_all(&log, &times, 31);
}

#[test]
fn an_empty_log_has_no_times() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, small_segments(1500));
    assert_eq!(at_least(&log, 0), None);
    assert_eq!(find(&log, TimestampQuery::Largest), None);
}

#[test]
fn the_answer_names_the_leader_epoch() {
    let world = World::new();
    let directory = world.open();
    write(&log(&directory, small_segments(1500)), batch_at(10, &["a"]));
    directory.close().unwrap();
    drop(directory);
    let directory = world.open();
    let log = log(&directory, small_segments(1500));
    write(&log, batch_at(20, &["b"]));
    for (time, epoch) in [(10, 1), (20, 2)] {
        let query = TimestampQuery::AtLeast(Timestamp::from_ms(time));
        let found = log
            .offset_for_timestamp(query, Isolation::ReadUncommitted)
            .unwrap()
            .unwrap();
        assert_eq!(
            found.leader_epoch.map(types::LeaderEpoch::value),
            Some(epoch)
        );
    }
}

/// As in Kafka, where the largest timestamp is then that of no timestamp.
#[test]
fn where_no_record_has_a_time_the_first_is_the_latest() {
    const NONE: i64 = -1;
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, small_segments(350));
    let batch = |compression, time: i64| {
        let options = BatchOptions {
            compression,
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::new(options);
        for value in [b"a", b"b"] {
            builder.push(time, None, Some(value), &[]).unwrap();
        }
        builder.build().unwrap()
    };
    for _ in 0..10 {
        for compression in Compression::ALL {
            write(&log, batch(compression, NONE));
        }
    }
    assert_eq!(find(&log, TimestampQuery::Largest), Some((0, NONE)));
    assert_eq!(at_least(&log, 0), None);
    let end = log.offsets().log_end.value();
    write(&log, batch(Compression::None, 5));
    assert_eq!(find(&log, TimestampQuery::Largest), Some((end, 5)));
}

/// Markers take offsets, and have the time they were written at.
#[test]
fn markers_are_found_by_their_time_like_records() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, small_segments(1 << 20));
    write(&log, batch_at(10, &["a"]));
    let options = BatchOptions {
        producer_id: 9,
        producer_epoch: 0,
        ..BatchOptions::default()
    };
    let marker = EndTransactionMarker {
        coordinator_epoch: 0,
    };
    let kind = ControlRecordType::Commit;
    let marker = BatchBuilder::end_transaction(options, 20, kind, marker).unwrap();
    let context = AppendContext::coordinator(epoch(&log));
    committed(log.append(marker, context).unwrap()).unwrap();
    write(&log, batch_at(15, &["b"]));
    assert_eq!(find(&log, TimestampQuery::Largest), Some((1, 20)));
    assert_eq!(at_least(&log, 11), Some((1, 20)));
}
