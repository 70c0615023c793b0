//! Compaction of logs with rare contents, and beside retention: batches that nobody can read, transactions whose markers are
//! gone, segments that are given up while they are cleaned.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use protocol::records::{BatchBuilder, BatchOptions, BatchView, Compression};
use storage::{
    CleanupPolicy, Isolation, LocalLog, LogDirectory, LogSettings, PartitionLog, ReadError,
};
use types::Timestamp;

use crate::compaction::*;
use crate::compaction_model::*;
use crate::support::*;

const HEADER_BYTES: usize = 61;
const CRC_FIELD: usize = 17;
const CRC_START: usize = 21;

fn now_ms(world: &World) -> i64 {
    env::Clock::wall(&*world.clock).ms()
}

/// A batch with a right checksum whose records are `payload`, said to be compressed with `codec`.
fn batch_of(codec: Compression, records: usize, payload: &[u8]) -> Bytes {
    let options = BatchOptions {
        compression: codec,
        ..BatchOptions::default()
    };
    let mut builder = BatchBuilder::new(options);
    for number in 0..records {
        let key = format!("hidden{number}");
        builder
            .push(NOW_MS, Some(key.as_bytes()), Some(b"value"), &[])
            .unwrap();
    }
    let mut bytes = BytesMut::from(&builder.build().unwrap()[..HEADER_BYTES]);
    bytes.extend_from_slice(payload);
    let length = i32::try_from(bytes.len() - 12).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[CRC_START..]);
    bytes[CRC_FIELD..CRC_START].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

/// The offset and key of a record, and whether it has a value.
type Known = (i64, String, bool);

/// The records that can be read, and the batches that cannot, without the fields that the broker sets.
fn readable(log: &LocalLog) -> (Vec<Known>, Vec<Vec<u8>>) {
    let mut records = Vec::new();
    let mut others = Vec::new();
    walk(log, Isolation::ReadUncommitted, |batch, _| {
        let found = batch.payload(1 << 24).ok().and_then(|payload| {
            let all: Result<Vec<_>, _> = batch
                .records(&payload)
                .map(|record| {
                    let record = record?;
                    let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                    let offset = batch.offset_of(record.offset_delta);
                    Ok::<_, protocol::records::PayloadError>((offset, key, record.value.is_some()))
                })
                .collect();
            all.ok()
        });
        match found {
            Some(found) => records.extend(found),
            None => others.push(batch.bytes()[CRC_FIELD..].to_vec()),
        }
    });
    (records, others)
}

#[test]
fn a_batch_that_cannot_be_read_stays_and_the_log_is_cleaned_around_it() {
    let garbage = b"these bytes were never compressed".as_slice();
    for (codec, payload) in [
        (Compression::Lz4, garbage),
        (Compression::Zstd, garbage),
        (Compression::Gzip, garbage),
        (Compression::Snappy, garbage),
    ] {
        let world = quiet(World::new());
        let directory = world.open();
        // A topic that was not compacted when it was written: nobody looked into the batch.
        let log = log(&directory, small_segments(700));
        write(&log, record(NOW_MS, "early", Some("value")));
        write(&log, record(NOW_MS, "early", None));
        write(&log, record(NOW_MS, "late", Some("value")));
        let hidden = batch_of(codec, 3, payload);
        let hidden_at = write(&log, hidden.clone());
        write(&log, record(NOW_MS, "late", None));
        log.configure(compacted(700, 1000));
        for _ in 0..4 {
            overwrite(&log, 40, 4);
            assert_eq!(clean_all(&directory), 1, "{codec}");
            world.clock.advance(1001);
        }
        let metrics = directory.metrics();
        assert_eq!(metrics.failed_cleanings.get(), 0, "{codec}");
        let (records, others) = readable(&log);
        assert_eq!(others, [&hidden[CRC_FIELD..]], "{codec}");
        let values = |key: &str| records.iter().filter(|(_, known, _)| known == key).count();
        assert_eq!(values("early"), 0, "a tombstone before it goes as ever");
        let late: Vec<_> = records.iter().filter(|(_, key, _)| key == "late").collect();
        // It may hide a value in the batch from those who can read it.
        assert_eq!(late, [&(hidden_at + 3, "late".to_owned(), false)]);
        assert!(records.len() < 20, "{codec}: {} records", records.len());
    }
}

#[test]
fn a_transaction_that_ended_is_ended_even_if_only_an_old_snapshot_tells_of_it() {
    for commit in [true, false] {
        let mut world = quiet(World::new());
        world.options.producer_expiration_ms = 60_000;
        let directory = world.open();
        let current = log(&directory, compacted(700, 1000));
        let mut model = Model::default();
        let unique = |model: &mut Model, keys: std::ops::Range<u8>| {
            for key in keys {
                let records = [(key, Some(39))];
                model.write(&current, &world.clock, None, Compression::None, &records);
            }
        };
        let transaction = Some((1, true));
        let codec = Compression::None;
        model.write(&current, &world.clock, transaction, codec, &[(0, Some(1))]);
        // The snapshot of the second segment knows the transaction as open.
        unique(&mut model, 1..7);
        assert_eq!(logs_of(&world).len(), 2);
        model.end(&current, &world.clock, 1, commit);
        unique(&mut model, 7..14);
        model.write(&current, &world.clock, None, codec, &[(0, Some(1))]);
        unique(&mut model, 14..20);
        // The producer is forgotten, its last batch and then the marker go.
        world.clock.advance(11 * 60_000);
        let now = Timestamp::from_ms(now_ms(&world));
        directory.run_retention(now);
        for round in 0..4 {
            unique(&mut model, 100 + round * 10..108 + round * 10);
            while directory.clean_once() {}
            world.clock.advance(1001);
        }
        check(&current, &model);
        let mut markers = 0;
        walk(&current, Isolation::ReadUncommitted, |batch, _| {
            markers += usize::from(batch.is_control());
        });
        assert_eq!(markers, 0, "the test is about a marker that is gone");
        assert!(world.names().iter().any(|name| name.ends_with(".snapshot")));
        drop((current, directory));
        std::fs::remove_file(world.root.join("checkpoint")).unwrap();
        let directory = world.open();
        let current = log(&directory, compacted(700, 1000));
        check(&current, &model);
        let offsets = current.offsets();
        assert_eq!(
            offsets.last_stable, offsets.high_watermark,
            "commit {commit}"
        );
        let open = |producer: &storage::ActiveProducer| producer.transaction_start.is_some();
        assert!(!current.producers().iter().any(open));
    }
}

#[test]
fn a_transaction_that_is_open_stays_so_if_only_a_snapshot_tells_of_it() {
    let world = quiet(World::new());
    let directory = world.open();
    let both = both_policies(None);
    let current = log(&directory, both.clone());
    let mut model = Model::default();
    let filler = |model: &mut Model, count: u8| {
        for _ in 0..count {
            let records = [(9, Some(39))];
            model.write(&current, &world.clock, None, Compression::None, &records);
        }
    };
    filler(&mut model, 30);
    while directory.clean_once() {}
    assert!(directory.metrics().cleaned_records.get() > 0);
    let began = model.log_end;
    let transaction = Some((1, true));
    let records = [(0, Some(1))];
    model.write(
        &current,
        &world.clock,
        transaction,
        Compression::None,
        &records,
    );
    filler(&mut model, 30);
    while directory.clean_once() {}
    current.configure(both_policies(Some(1500)));
    directory.run_retention(Timestamp::from_ms(NOW_MS));
    assert!(current.offsets().log_start.value() > began);
    drop((current, directory));
    std::fs::remove_file(world.root.join("checkpoint")).unwrap();
    let directory = world.open();
    let current = log(&directory, both);
    let offsets = current.offsets();
    assert_eq!(
        offsets.last_stable, offsets.log_start,
        "readers wait for it"
    );
    let producers = current.producers();
    assert_eq!(producers[0].transaction_start, Some(at(began)));
    model.end(&current, &world.clock, 1, true);
    assert_eq!(current.offsets().last_stable, current.offsets().log_end);
}

fn both_policies(retention_bytes: Option<u64>) -> LogSettings {
    LogSettings {
        cleanup: CleanupPolicy {
            delete: true,
            compact: true,
        },
        retention_bytes,
        ..compacted(700, 1000)
    }
}

/// Cleans on another thread, which is held at the call that follows `before` others; there `work` runs. False if the
/// cleaning ended before.
fn held_at(
    world: &World,
    directory: &Arc<LogDirectory>,
    (call, part, before): (Call, &str, usize),
    work: impl FnOnce(),
) -> bool {
    let has_ended = Arc::new(AtomicBool::new(false));
    world.faults.hold(call, part, before);
    let cleaning = Arc::clone(directory);
    let ended = Arc::clone(&has_ended);
    let run = Box::new(move || {
        cleaning.clean_once();
        ended.store(true, Ordering::SeqCst);
    });
    let thread = env::Spawner::spawn_thread(&*world.spawner(), "cleaning", run).unwrap();
    wait_until("the cleaning is held or ends", || {
        world.faults.is_holding() || has_ended.load(Ordering::SeqCst)
    });
    let is_held = world.faults.is_holding();
    if is_held {
        work();
    }
    world.faults.let_pass();
    assert!(thread.join());
    is_held
}

/// Retention takes segments while the cleaning of their log is at each of its reads or writes.
#[allow(clippy::print_stdout, reason = "the count of what was tried")]
fn retention_beside_cleaning(call: Call, part: &str) {
    let mut ends = [0, 0];
    for percent in [10, 60] {
        let mut before = 0;
        loop {
            let world = quiet(World::new());
            let directory = Arc::new(world.open());
            let current = log(&directory, both_policies(None));
            overwrite(&current, 60, 60);
            assert_eq!(clean_all(&directory), 1);
            overwrite(&current, 60, 4);
            let cleanings = directory.metrics().cleanings.get();
            let newest = offsets_of(&current).split_off(offsets_of(&current).len() - 4);
            let mut start = at(0);
            let held = held_at(&world, &directory, (call, part, before), || {
                let keep = current.size_bytes() * percent / 100;
                current.configure(both_policies(Some(keep)));
                let gone = directory.run_retention(Timestamp::from_ms(NOW_MS));
                assert!(gone > 0 || percent > 10);
                current.configure(both_policies(None));
                start = current.offsets().log_start;
            });
            let case = format!("{call:?} {part} {before}, {percent} % are kept");
            let metrics = directory.metrics();
            let cleaned = metrics.cleanings.get() > cleanings;
            ends[usize::from(cleaned)] += 1;
            for again in [false, true] {
                assert_eq!(metrics.offline_logs.get(), 0, "{case}");
                assert_eq!(metrics.uncleanable_logs.get(), 0, "{case}");
                assert_eq!(current.offsets().log_start, start, "{case}");
                let left = offsets_of(&current);
                assert_eq!(left[left.len() - 4..], newest, "{case}");
                assert!(left[0] >= start.value(), "{case}");
                if start > at(0) {
                    let below = read(&current, start.value() - 1, 1);
                    let is_below = matches!(below, Err(ReadError::OffsetOutOfRange { .. }));
                    assert!(is_below, "{case}");
                }
                if !again {
                    // What was given up does not keep the rest from being cleaned.
                    world.clock.advance(3600 * 1000);
                    while directory.clean_once() {}
                    let names = world.names();
                    let unfinished = |name: &&String| name.ends_with(".cleaned");
                    assert_eq!(names.iter().find(unfinished), None, "{case}");
                }
            }
            let left = offsets_of(&current);
            drop(current);
            drop(directory);
            let directory = world.open();
            let current = log(&directory, both_policies(None));
            assert_eq!(offsets_of(&current), left, "{case}");
            assert_eq!(directory.metrics().truncated_bytes.get(), 0, "{case}");
            if !held {
                break;
            }
            before += 1;
        }
        assert!(before > 3, "{call:?} {part}: only {before}");
    }
    println!(
        "{call:?} {part}: {} cleanings ended early, {} did not",
        ends[0], ends[1]
    );
    assert!(ends[0] > 0 && ends[1] > 0);
}

#[test]
fn retention_takes_segments_at_each_read_of_their_cleaning() {
    retention_beside_cleaning(Call::Read, ".log");
}

#[test]
fn retention_takes_segments_at_each_write_of_their_cleaning() {
    retention_beside_cleaning(Call::Write, ".log.cleaned");
}

#[test]
fn a_marker_that_cannot_be_read_ends_the_cleaning_of_its_log() {
    let world = quiet(World::new());
    let directory = world.open();
    let current = log(&directory, compacted(700, 1000));
    let mut model = Model::default();
    let transaction = Some((1, true));
    let codec = Compression::None;
    model.write(&current, &world.clock, transaction, codec, &[(0, Some(1))]);
    let position = current.size_bytes();
    model.end(&current, &world.clock, 1, false);
    overwrite(&current, 60, 4);
    let path = world.segment(0);
    let mut bytes = std::fs::read(&path).unwrap();
    let start = usize::try_from(position).unwrap();
    let size = BatchView::parse(&bytes[start..]).unwrap().total_size();
    let marker = &mut bytes[start..start + size];
    // Its one record says that it is longer than it is; the checksum is right.
    marker[HEADER_BYTES] = 0x7e;
    let crc = crc32c::crc32c(&marker[CRC_START..]);
    marker[CRC_FIELD..CRC_START].copy_from_slice(&crc.to_be_bytes());
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(marker, position).unwrap();
    while directory.clean_once() {}
    directory.clean_once();
    // Whether later batches of its producer were aborted depends on it.
    assert_eq!(directory.metrics().uncleanable_logs.get(), 1);
    assert_eq!(directory.metrics().cleanings.get(), 0);
}
