//! When records become visible: group commits, write caching, `flush.messages`, `flush.ms`, subscribers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use protocol::records::{BatchBuilder, BatchOptions, ControlRecordType, EndTransactionMarker};
use storage::{AppendContext, DirectoryOptions, LogSettings, PartitionLog, VisibleSubscriber};

use crate::crash_disk::CrashDisk;
use crate::support::*;

/// A world whose commits happen when the test says so.
fn manual() -> World {
    let mut world = World::new();
    world.options = DirectoryOptions {
        own_threads: false,
        ..DirectoryOptions::default()
    };
    world
}

#[derive(Debug, Default)]
struct Listener {
    calls: Mutex<Vec<(u64, u64)>>,
}

impl VisibleSubscriber for Listener {
    fn visible(&self, token: u64, bytes: u64) {
        self.calls.lock().unwrap().push((token, bytes));
    }
}

impl Listener {
    fn take(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

#[test]
fn records_are_visible_only_after_the_commit() {
    let world = manual();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let ticket = append(&log, batch(&["a"])).unwrap();
    assert_eq!(log.offsets().log_end, at(1));
    assert_eq!(log.offsets().high_watermark, at(0));
    assert_eq!(read(&log, 0, 100).unwrap(), []);
    assert!(directory.run_once());
    assert_eq!(log.offsets().high_watermark, at(1));
    committed(ticket).unwrap();
    assert_eq!(read(&log, 0, 100).unwrap().len(), 1);
    assert!(!directory.run_once());
}

#[test]
fn one_commit_covers_many_appends_and_logs() {
    for (logs, file_syncs) in [(1, true), (8, true), (9, false), (100, false)] {
        let world = manual();
        let directory = world.open();
        let mut tickets = Vec::new();
        for number in 0..logs {
            let log = directory
                .log(&partition(number), topic_id(1), LogSettings::default())
                .unwrap();
            for _ in 0..3 {
                tickets.push(append(&log, batch(&["a"])).unwrap());
            }
        }
        assert!(directory.run_once());
        for ticket in tickets {
            committed(ticket).unwrap();
        }
        let metrics = directory.metrics();
        assert_eq!(metrics.commits.get(), 1);
        assert_eq!(metrics.file_syncs.get() > 0, file_syncs, "{logs} logs");
        assert_eq!(metrics.file_system_syncs.get() > 0, !file_syncs);
    }
}

#[test]
fn a_commit_syncs_only_what_was_written() {
    let world = manual();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    append(&log, batch(&["a"])).unwrap();
    directory.run_once();
    let before = directory.metrics().file_syncs.get();
    append(&log, batch(&["b"])).unwrap();
    directory.run_once();
    assert_eq!(directory.metrics().file_syncs.get() - before, 1);
}

#[test]
fn subscribers_hear_of_each_commit_with_its_bytes() {
    let world = manual();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let listener = Arc::new(Listener::default());
    let subscriber: Arc<dyn VisibleSubscriber> = Arc::clone(&listener) as _;
    log.subscribe(&subscriber, 7);
    log.subscribe(&subscriber, 8);
    let one = batch(&["a"]);
    let bytes = one.len() as u64;
    append(&log, one.clone()).unwrap();
    append(&log, one.clone()).unwrap();
    assert_eq!(listener.take(), []);
    directory.run_once();
    assert_eq!(listener.take(), [(7, 2 * bytes), (8, 2 * bytes)]);
    log.unsubscribe(&subscriber, 7);
    append(&log, one).unwrap();
    directory.run_once();
    assert_eq!(listener.take(), [(8, bytes)]);
    directory.delete(&partition(0), topic_id(1)).unwrap();
    assert_eq!(listener.take(), [(8, 0)], "deletion is told too");
    drop(subscriber);
}

#[test]
fn with_write_caching_records_are_visible_at_once() {
    let world = manual();
    let directory = world.open();
    let settings = LogSettings {
        write_caching: true,
        ..LogSettings::default()
    };
    let log = log(&directory, settings.clone());
    let listener = Arc::new(Listener::default());
    let subscriber: Arc<dyn VisibleSubscriber> = Arc::clone(&listener) as _;
    log.subscribe(&subscriber, 1);
    let ticket = append(&log, batch(&["a"])).unwrap();
    committed(ticket).unwrap();
    assert_eq!(log.offsets().high_watermark, at(1));
    assert_eq!(listener.take().len(), 1);
    assert!(!directory.run_once(), "nothing was synced");
    // Turned off, appends wait again.
    log.configure(LogSettings::default());
    append(&log, batch(&["b"])).unwrap();
    assert_eq!(log.offsets().high_watermark, at(1));
    // Turned on, what waits is visible.
    log.configure(settings);
    assert_eq!(log.offsets().high_watermark, at(2));
}

#[test]
fn with_write_caching_a_transaction_that_ended_is_ended_after_a_loss_of_power() {
    let folder = tempfile::tempdir().unwrap();
    let disk = CrashDisk::new(&folder.path().join("kept"));
    let mut world = World::on(Arc::new(disk.clone()));
    world.root = folder.path().join("data");
    world.options.verify_transactions = false;
    let settings = LogSettings {
        write_caching: true,
        ..LogSettings::default()
    };
    let directory = world.open();
    let current = log(&directory, settings.clone());
    let options = BatchOptions {
        producer_id: 1,
        producer_epoch: 0,
        base_sequence: 0,
        is_transactional: true,
        ..BatchOptions::default()
    };
    write(&current, batch_with(options, NOW_MS, &["a"]));
    assert_eq!(current.offsets().last_stable, at(0));
    let marker = EndTransactionMarker {
        coordinator_epoch: 1,
    };
    let kind = ControlRecordType::Commit;
    let batch = BatchBuilder::end_transaction(options, NOW_MS, kind, marker).unwrap();
    let context = AppendContext::coordinator(epoch(&current));
    let ticket = current.append(batch, context).unwrap();
    committed(ticket).unwrap();
    // The coordinator forgets the transaction now: nobody would end it again.
    disk.die_after(0);
    drop((current, directory));
    disk.revive(0);
    let directory = world.open();
    let current = log(&directory, settings);
    let offsets = current.offsets();
    assert_eq!((offsets.last_stable, offsets.log_end), (at(2), at(2)));
    assert_eq!(current.producers()[0].transaction_start, None);
}

/// A first loss of power leaves the name of the topic and takes the first segment, the next one comes before a commit.
#[test]
fn with_write_caching_a_log_that_lost_its_records_keeps_its_name_through_further_losses_of_power() {
    let folder = tempfile::tempdir().unwrap();
    let disk = CrashDisk::new(&folder.path().join("kept"));
    let mut world = World::on(Arc::new(disk.clone()));
    world.root = folder.path().join("data");
    world.options.own_threads = false;
    let settings = LogSettings {
        write_caching: true,
        ..LogSettings::default()
    };
    let directory = world.open();
    write(&log(&directory, settings.clone()), batch(&["lost"]));
    drop(directory);
    std::fs::remove_file(world.segment(0)).unwrap();
    let directory = world.open();
    directory.checkpoint().unwrap();
    write(&log(&directory, settings.clone()), batch(&["lost too"]));
    disk.die_after(0);
    drop(directory);
    disk.revive(0);
    let directory = world.open();
    let log = log(&directory, settings);
    write(&log, batch(&["a"]));
    assert_eq!(values(&read_all(&log, 0, 100)), ["a"]);
}

#[test]
fn flush_messages_makes_every_nth_record_wait_for_a_sync() {
    let world = manual();
    let directory = world.open();
    let settings = LogSettings {
        write_caching: true,
        flush_messages: 3,
        ..LogSettings::default()
    };
    let log = log(&directory, settings);
    append(&log, batch(&["a"])).unwrap();
    append(&log, batch(&["b"])).unwrap();
    assert_eq!(log.offsets().high_watermark, at(2));
    append(&log, batch(&["c"])).unwrap();
    append(&log, batch(&["d"])).unwrap();
    assert_eq!(log.offsets().high_watermark, at(2), "waits for the third");
    directory.run_once();
    assert_eq!(log.offsets().high_watermark, at(4));
    assert_eq!(directory.metrics().commits.get(), 1);
}

#[test]
fn flush_ms_syncs_after_its_time() {
    let world = manual();
    let directory = world.open();
    let settings = LogSettings {
        write_caching: true,
        flush_ms: Some(500),
        ..LogSettings::default()
    };
    let log = log(&directory, settings);
    append(&log, batch(&["a"])).unwrap();
    append(&log, batch(&["b"])).unwrap();
    assert!(!directory.run_once());
    world.clock.advance(499);
    assert!(!directory.run_once());
    world.clock.advance(1);
    while directory.run_once() {}
    assert_eq!(directory.metrics().commits.get(), 1);
    assert_eq!(
        directory.metrics().file_syncs.get(),
        2,
        "the segment and the name of its topic"
    );
}

#[test]
fn what_nobody_waits_for_is_synced_with_what_comes_next_or_a_second_later() {
    let world = manual();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let write = |may_wait| {
        let context = AppendContext::client(epoch(&log)).with_may_wait(may_wait);
        log.append(batch(&["a"]), context).unwrap()
    };
    drop(write(true));
    assert!(!directory.run_once(), "nobody asked for a sync");
    let offsets = log.offsets();
    assert_eq!((offsets.high_watermark, offsets.log_end), (at(0), at(1)));
    let next = write(false);
    assert!(directory.run_once());
    committed(next).unwrap();
    assert_eq!(log.offsets().high_watermark, at(2));
    // Nothing follows.
    drop(write(true));
    world.clock.advance(999);
    assert!(!directory.run_once());
    world.clock.advance(1);
    while directory.run_once() {}
    assert_eq!(log.offsets().high_watermark, at(3));
    assert_eq!(directory.metrics().commits.get(), 2);
    // Or the log is closed.
    drop(write(true));
    directory.close().unwrap();
    assert_eq!(directory.metrics().commits.get(), 3);
}

#[test]
fn closing_makes_cached_writes_durable() {
    let world = manual();
    let directory = world.open();
    let settings = LogSettings {
        write_caching: true,
        ..LogSettings::default()
    };
    let log = log(&directory, settings);
    append(&log, batch(&["a"])).unwrap();
    directory.close().unwrap();
    assert_eq!(directory.metrics().commits.get(), 1);
    assert!(append(&log, batch(&["b"])).is_err());
}

#[test]
fn threads_that_append_at_once_get_dense_offsets_and_all_acks() {
    let world = World::new();
    let directory = Arc::new(world.open());
    let appended = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let directory = Arc::clone(&directory);
            let appended = &appended;
            scope.spawn(move || {
                for number in 0..50 {
                    let log = directory
                        .log(&partition(number % 3), topic_id(1), small_segments(2000))
                        .unwrap();
                    write(&log, batch(&[&format!("{thread}-{number}"), "x"]));
                    appended.fetch_add(2, Ordering::SeqCst);
                }
            });
        }
    });
    let mut total = 0;
    for log in directory.partitions() {
        let records = read_all(&log, 0, 500);
        for (index, record) in records.iter().enumerate() {
            assert_eq!(record.offset, i64::try_from(index).unwrap());
        }
        total += records.len() as u64;
    }
    assert_eq!(total, appended.load(Ordering::SeqCst));
    let metrics = directory.metrics();
    assert!(metrics.commits.get() <= metrics.appended_batches.get());
}

#[test]
fn readers_stop_at_the_high_watermark_wherever_segments_end() {
    let world = manual();
    let directory = world.open();
    let log = log(&directory, small_segments(100));
    for number in 0..6 {
        append(&log, batch(&[&format!("value-{number}")])).unwrap();
        for from in 0..=number {
            let visible = read(&log, from, 1 << 20).unwrap();
            let expected = usize::try_from((number / 2 * 2 - from).max(0)).unwrap();
            assert_eq!(visible.len(), expected, "from {from} of {number}");
        }
        if number % 2 == 1 {
            directory.run_once();
        }
    }
    assert_eq!(read_all(&log, 0, 1).len(), 6);
}

#[test]
fn small_batches_that_somebody_waits_for_are_read_from_memory() {
    let world = manual();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let from_memory = |from: i64| {
        let plan = log
            .read(at(from), 1 << 20, storage::Isolation::ReadUncommitted, true)
            .unwrap();
        assert_eq!(plan.slices.len(), 1);
        matches!(plan.slices[0], protocol::Slice::Memory(_))
    };
    append(&log, batch(&["nobody waits"])).unwrap();
    let subscriber: Arc<dyn VisibleSubscriber> = Arc::new(Listener::default());
    log.subscribe(&subscriber, 1);
    append(&log, batch(&["a"])).unwrap();
    let shared = batch(&["b", "c"]);
    append(&log, shared.clone()).unwrap();
    append(&log, batch(&[&"large".repeat(2000)])).unwrap();
    directory.run_once();
    assert!(!from_memory(0));
    assert!(!from_memory(1), "the large one is not kept");
    append(&log, batch(&["d"])).unwrap();
    append(&log, shared).unwrap();
    directory.run_once();
    assert!(from_memory(5));
    assert_eq!(values(&read_all(&log, 5, 1 << 20)), ["d", "b", "c"]);
    assert_eq!(read(&log, 1, 1).unwrap()[0].value, "a");
    assert_eq!(values(&read_all(&log, 0, 100)).len(), 8);
}
