//! Idempotence, epochs, transactions: in memory, after a clean stop and after a crash.

use bytes::Bytes;
use protocol::records::{BatchBuilder, BatchOptions, ControlRecordType, EndTransactionMarker};
use storage::{
    AppendContext, AppendError, AppendOrigin, Isolation, LocalLog, LogSettings, PartitionLog,
};

use crate::support::*;

fn outcome(log: &LocalLog, batch: Bytes) -> Result<(i64, bool), String> {
    match append(log, batch) {
        Ok(ticket) => Ok((ticket.outcome.base_offset.value(), ticket.outcome.duplicate)),
        Err(AppendError::OutOfOrderSequence { expected, .. }) => Err(format!("order {expected}")),
        Err(AppendError::ProducerFenced { current, .. }) => Err(format!("fenced {current}")),
        Err(AppendError::InvalidTransactionState { .. }) => Err("transaction".to_owned()),
        Err(other) => Err(other.to_string()),
    }
}

#[test]
fn repeated_batches_get_the_offset_of_the_original() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    for sequence in 0..7 {
        let base = i64::from(sequence) * 2;
        let batch = produced(9, 0, sequence * 2, &["a", "b"]);
        assert_eq!(outcome(&log, batch), Ok((base, false)));
    }
    // The last five are known.
    for sequence in 2..7 {
        let base = i64::from(sequence) * 2;
        let batch = produced(9, 0, sequence * 2, &["a", "b"]);
        assert_eq!(outcome(&log, batch), Ok((base, true)));
    }
    let old = produced(9, 0, 2, &["a", "b"]);
    assert_eq!(outcome(&log, old), Err("order 14".to_owned()));
    // The same first sequence with another length is no duplicate.
    let other = produced(9, 0, 12, &["a"]);
    assert_eq!(outcome(&log, other), Err("order 14".to_owned()));
    assert_eq!(log.offsets().log_end, at(14));
}

#[test]
fn a_duplicate_waits_for_the_commit_of_the_original() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let original = append(&log, produced(9, 0, 0, &["a"])).unwrap();
    let duplicate = append(&log, produced(9, 0, 0, &["a"])).unwrap();
    assert!(duplicate.outcome.duplicate);
    committed(duplicate).unwrap();
    assert_eq!(log.offsets().high_watermark, at(1));
    committed(original).unwrap();
}

#[test]
fn sequences_and_epochs_are_checked_as_kafka_does() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    // Nothing is known: any sequence is accepted.
    assert_eq!(outcome(&log, produced(9, 3, 100, &["a"])), Ok((0, false)));
    assert_eq!(
        outcome(&log, produced(9, 3, 102, &["a"])),
        Err("order 101".to_owned())
    );
    assert_eq!(
        outcome(&log, produced(9, 2, 0, &["a"])),
        Err("fenced 3".to_owned())
    );
    assert_eq!(
        outcome(&log, produced(9, 4, 1, &["a"])),
        Err("order 0".to_owned())
    );
    assert_eq!(outcome(&log, produced(9, 4, 0, &["a"])), Ok((1, false)));
    assert_eq!(
        outcome(&log, produced(9, 3, 101, &["a"])),
        Err("fenced 4".to_owned())
    );
}

#[test]
fn sequences_wrap_to_zero() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let before = produced(9, 0, i32::MAX - 1, &["a", "b"]);
    assert_eq!(outcome(&log, before), Ok((0, false)));
    assert_eq!(outcome(&log, produced(9, 0, 0, &["c"])), Ok((2, false)));
    // A batch that wraps within itself.
    let across = produced(8, 0, i32::MAX, &["a", "b"]);
    assert_eq!(outcome(&log, across.clone()), Ok((3, false)));
    assert_eq!(outcome(&log, across), Ok((3, true)));
    assert_eq!(outcome(&log, produced(8, 0, 1, &["c"])), Ok((5, false)));
}

/// How the data directory ends between two lives.
#[derive(Clone, Copy, Debug)]
enum End {
    Closed,
    Crashed,
    CrashedAfterCheckpoint,
    CrashedWithoutCheckpoint,
}

const ENDS: [End; 4] = [
    End::Closed,
    End::Crashed,
    End::CrashedAfterCheckpoint,
    End::CrashedWithoutCheckpoint,
];

#[test]
fn producers_survive_every_kind_of_stop() {
    for end in ENDS {
        let world = World::new();
        let directory = world.open();
        let settings = small_segments(400);
        let first = log(&directory, settings.clone());
        for sequence in 0..20 {
            write(&first, produced(9, 1, sequence, &["a"]));
        }
        if matches!(end, End::CrashedAfterCheckpoint) {
            directory.checkpoint().unwrap();
        }
        for sequence in 20..25 {
            write(&first, produced(9, 1, sequence, &["a"]));
        }
        if matches!(end, End::Closed) {
            directory.close().unwrap();
        }
        drop(first);
        drop(directory);
        if matches!(end, End::CrashedWithoutCheckpoint) {
            std::fs::remove_file(world.root.join("checkpoint")).ok();
        }
        let directory = world.open();
        let log = log(&directory, settings);
        for sequence in 20..25 {
            let again = produced(9, 1, sequence, &["a"]);
            assert_eq!(
                outcome(&log, again),
                Ok((i64::from(sequence), true)),
                "{end:?}"
            );
        }
        let old = produced(9, 1, 19, &["a"]);
        assert_eq!(outcome(&log, old), Err("order 25".to_owned()), "{end:?}");
        let next = produced(9, 1, 25, &["a"]);
        assert_eq!(outcome(&log, next), Ok((25, false)), "{end:?}");
    }
}

#[test]
fn producers_whose_records_are_gone_are_known_from_the_snapshot_file() {
    let world = World::new();
    let directory = world.open();
    let settings = small_segments(300);
    let first = log(&directory, settings.clone());
    write(&first, produced(9, 1, 0, &["a"]));
    for _ in 0..20 {
        write(&first, batch(&["other"]));
    }
    first.delete_records(Some(at(15))).unwrap();
    assert!(!world.segment(0).exists());
    drop(first);
    drop(directory);
    std::fs::remove_file(world.root.join("checkpoint")).ok();
    let directory = world.open();
    let log = log(&directory, settings);
    assert_eq!(
        outcome(&log, produced(9, 1, 0, &["a"])),
        Ok((0, true)),
        "the producer is remembered"
    );
}

#[test]
fn producers_that_were_not_heard_of_are_forgotten() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    write(&log, produced(9, 1, 0, &["a"]));
    world.clock.advance(12 * 3600 * 1000);
    write(&log, produced(8, 1, 0, &["a"]));
    world.clock.advance(13 * 3600 * 1000);
    directory.run_retention(env_now(&world));
    assert_eq!(outcome(&log, produced(9, 0, 77, &["a"])), Ok((2, false)));
    assert_eq!(
        outcome(&log, produced(8, 0, 0, &["a"])),
        Err("fenced 1".to_owned())
    );
}

fn env_now(world: &World) -> types::Timestamp {
    env::Clock::wall(&*world.clock)
}

fn transactional(producer: i64, sequence: i32, values: &[&str]) -> Bytes {
    let options = BatchOptions {
        producer_id: producer,
        producer_epoch: 0,
        base_sequence: sequence,
        is_transactional: true,
        ..BatchOptions::default()
    };
    batch_with(options, NOW_MS, values)
}

fn end_transaction(log: &LocalLog, producer: i64, kind: ControlRecordType) {
    let options = BatchOptions {
        producer_id: producer,
        producer_epoch: 0,
        ..BatchOptions::default()
    };
    let marker = EndTransactionMarker {
        coordinator_epoch: 1,
    };
    let batch = BatchBuilder::end_transaction(options, NOW_MS, kind, marker).unwrap();
    let context = AppendContext {
        leader_epoch: epoch(log),
        origin: AppendOrigin::Coordinator,
    };
    committed(log.append(batch, context).unwrap()).unwrap();
}

fn read_committed(log: &LocalLog, from: i64) -> (usize, Vec<(i64, i64)>) {
    let plan = log
        .read(at(from), 1 << 20, Isolation::ReadCommitted, true)
        .unwrap();
    let aborted = plan
        .aborted
        .iter()
        .map(|(producer, first)| (producer.value(), first.value()))
        .collect();
    let bytes = bytes_of(&plan.slices);
    let batches = protocol::records::BatchIterator::new(&bytes);
    (batches.count(), aborted)
}

#[test]
fn the_last_stable_offset_waits_for_the_oldest_open_transaction() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    write(&log, batch(&["a"]));
    write(&log, transactional(5, 0, &["b", "c"]));
    write(&log, batch(&["d"]));
    write(&log, transactional(6, 0, &["e"]));
    assert_eq!(log.offsets().last_stable, at(1));
    assert_eq!(log.offsets().high_watermark, at(5));
    assert_eq!(read_committed(&log, 0), (1, vec![]));
    assert_eq!(read_committed(&log, 1), (0, vec![]));
    end_transaction(&log, 5, ControlRecordType::Abort);
    assert_eq!(log.offsets().last_stable, at(4));
    assert_eq!(read_committed(&log, 0), (3, vec![(5, 1)]));
    end_transaction(&log, 6, ControlRecordType::Commit);
    assert_eq!(log.offsets().last_stable, at(7));
    assert_eq!(read_committed(&log, 0), (6, vec![(5, 1)]));
    assert_eq!(read_committed(&log, 6), (1, vec![]));
}

#[test]
fn transactions_survive_every_kind_of_stop() {
    for end in ENDS {
        let world = World::new();
        let directory = world.open();
        let settings = small_segments(400);
        let first = log(&directory, settings.clone());
        write(&first, transactional(5, 0, &["a"]));
        end_transaction(&first, 5, ControlRecordType::Abort);
        write(&first, transactional(6, 0, &["b"]));
        if matches!(end, End::CrashedAfterCheckpoint) {
            directory.checkpoint().unwrap();
        }
        for _ in 0..10 {
            write(&first, batch(&["c"]));
        }
        if matches!(end, End::Closed) {
            directory.close().unwrap();
        }
        drop(first);
        drop(directory);
        if matches!(end, End::CrashedWithoutCheckpoint) {
            std::fs::remove_file(world.root.join("checkpoint")).ok();
        }
        let directory = world.open();
        let log = log(&directory, settings);
        assert_eq!(log.offsets().last_stable, at(2), "{end:?}");
        assert_eq!(read_committed(&log, 0), (2, vec![(5, 0)]), "{end:?}");
        end_transaction(&log, 6, ControlRecordType::Commit);
        assert_eq!(log.offsets().last_stable, at(14), "{end:?}");
    }
}

#[test]
fn other_batches_of_a_producer_with_an_open_transaction_are_refused() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    write(&log, transactional(5, 0, &["a"]));
    assert_eq!(
        outcome(&log, produced(5, 0, 1, &["b"])),
        Err("transaction".to_owned())
    );
}
