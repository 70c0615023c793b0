//! Idempotence, epochs, transactions: in memory, after a clean stop and after a crash.

use bytes::Bytes;
use protocol::records::{BatchBuilder, BatchOptions, ControlRecordType, EndTransactionMarker};
use storage::{
    AppendContext, AppendError, FirstBatch, Isolation, LocalLog, LogSettings, PartitionLog,
    TransactionVersion, VerificationGuard,
};
use types::ProducerId;

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

/// Kafka does not ask for one outside of transactions either.
#[test]
fn a_producer_without_an_epoch_is_below_every_epoch() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    assert_eq!(outcome(&log, produced(9, -1, 0, &["a"])), Ok((0, false)));
    assert_eq!(outcome(&log, produced(9, -1, 0, &["a"])), Ok((0, true)));
    assert_eq!(outcome(&log, produced(9, -1, 1, &["a"])), Ok((1, false)));
    assert_eq!(outcome(&log, produced(9, 0, 0, &["a"])), Ok((2, false)));
    assert_eq!(
        outcome(&log, produced(9, -1, 2, &["a"])),
        Err("fenced 0".to_owned())
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

/// A batch of a transaction.
fn transactional(producer: i64, epoch: i16, sequence: i32, values: &[&str]) -> Bytes {
    let options = BatchOptions {
        producer_id: producer,
        producer_epoch: epoch,
        base_sequence: sequence,
        is_transactional: true,
        ..BatchOptions::default()
    };
    batch_with(options, NOW_MS, values)
}

/// Begins to write to the log in a transaction: what the broker does before it asks the coordinator.
fn begin(
    log: &LocalLog,
    producer: i64,
    epoch: i16,
    sequence: i32,
) -> Result<Option<VerificationGuard>, AppendError> {
    log.begin_verification(FirstBatch {
        producer: ProducerId::new(producer).unwrap(),
        epoch,
        sequence,
        has_own_epochs: false,
    })
}

/// Appends a batch of a transaction whose coordinator agrees.
fn transact(log: &LocalLog, producer: i64, sequence: i32, values: &[&str]) {
    let guard = begin(log, producer, 0, sequence).unwrap();
    let batch = transactional(producer, 0, sequence, values);
    committed(log.append(batch, client(log).with_guard(guard)).unwrap()).unwrap();
}

fn marker(producer: i64, epoch: i16, coordinator_epoch: i32, kind: ControlRecordType) -> Bytes {
    let options = BatchOptions {
        producer_id: producer,
        producer_epoch: epoch,
        ..BatchOptions::default()
    };
    let marker = EndTransactionMarker { coordinator_epoch };
    BatchBuilder::end_transaction(options, NOW_MS, kind, marker).unwrap()
}

fn end_transaction(log: &LocalLog, producer: i64, kind: ControlRecordType) {
    let batch = marker(producer, 0, 1, kind);
    let context = AppendContext::coordinator(epoch(log));
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
    transact(&log, 5, 0, &["b", "c"]);
    write(&log, batch(&["d"]));
    transact(&log, 6, 0, &["e"]);
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
        transact(&first, 5, 0, &["a"]);
        end_transaction(&first, 5, ControlRecordType::Abort);
        transact(&first, 6, 0, &["b"]);
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
    transact(&log, 5, 0, &["a"]);
    assert_eq!(
        outcome(&log, produced(5, 0, 1, &["b"])),
        Err("transaction".to_owned())
    );
}

/// What a log says to a batch, in short.
fn verdict(result: Result<storage::AppendTicket, AppendError>) -> String {
    match result {
        Ok(ticket) if ticket.outcome.duplicate => "duplicate".to_owned(),
        Ok(ticket) => {
            committed(ticket).unwrap();
            "new".to_owned()
        }
        Err(AppendError::OutOfOrderSequence { expected, .. }) => format!("order {expected}"),
        Err(AppendError::ProducerFenced { current, .. }) => format!("fenced {current}"),
        Err(AppendError::CoordinatorFenced { current, .. }) => format!("coordinator {current}"),
        Err(AppendError::InvalidTransactionState { .. }) => "transaction".to_owned(),
        Err(AppendError::UnverifiedTransaction { .. }) => "unverified".to_owned(),
        Err(other) => other.to_string(),
    }
}

#[test]
fn a_transaction_begins_in_a_partition_only_with_the_guard_of_its_verification() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let send = |sequence, guard| {
        let batch = transactional(5, 0, sequence, &["a"]);
        verdict(log.append(batch, client(&log).with_guard(guard)))
    };
    assert_eq!(send(0, None), "unverified");
    let guard = begin(&log, 5, 0, 0).unwrap();
    assert!(guard.is_some());
    assert_eq!(begin(&log, 5, 0, 0).unwrap(), guard, "a retry has the same");
    assert_eq!(send(0, guard), "new");
    // The open transaction speaks for itself.
    assert_eq!(begin(&log, 5, 0, 1).unwrap(), None);
    assert_eq!(send(1, None), "new");
    assert_eq!(send(1, None), "duplicate");
    end_transaction(&log, 5, ControlRecordType::Abort);
    assert_eq!(send(2, None), "unverified", "it came too late");
    assert_eq!(send(2, guard), "unverified", "the guard is used up");
    assert_eq!(send(1, None), "duplicate", "that one was in time");

    // The coordinator agreed, but the transaction ended before the batch came.
    let guard = begin(&log, 5, 0, 2).unwrap();
    end_transaction(&log, 5, ControlRecordType::Abort);
    assert_eq!(send(2, guard), "unverified");
    directory.configure_producers(1000, false);
    assert_eq!(send(2, None), "new", "nobody verifies");
}

#[test]
fn a_verification_of_the_next_transaction_survives_the_marker_of_the_last() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    transact(&log, 5, 0, &["a"]);
    let next = |epoch, sequence| {
        log.begin_verification(FirstBatch {
            producer: ProducerId::new(5).unwrap(),
            epoch,
            sequence,
            has_own_epochs: true,
        })
    };
    // The client may begin its next transaction in the new epoch before the marker, which has that epoch, is written.
    let guard = next(1, 0).unwrap();
    assert!(guard.is_some());
    let context =
        AppendContext::coordinator(epoch(&log)).with_transaction_version(TransactionVersion::V2);
    let commit = marker(5, 1, 1, ControlRecordType::Commit);
    assert_eq!(verdict(log.append(commit, context)), "new");
    let batch = transactional(5, 1, 0, &["b"]);
    assert_eq!(
        verdict(log.append(batch, client(&log).with_guard(guard))),
        "new"
    );
    assert!(next(0, 0).is_err(), "the old epoch is fenced");
}

#[test]
fn lower_sequences_that_were_seen_first_are_waited_for() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let guard = begin(&log, 5, 0, 3).unwrap();
    begin(&log, 5, 0, 5).unwrap();
    let send = |sequence| {
        let batch = transactional(5, 0, sequence, &["a"]);
        verdict(log.append(batch, client(&log).with_guard(guard)))
    };
    assert_eq!(send(5), "order 3");
    assert_eq!(send(3), "new");
    assert_eq!(send(4), "new");
}

#[test]
fn transactions_v2_begin_at_sequence_zero_where_their_producer_is_unknown() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let begin = |sequence, has_own_epochs| {
        log.begin_verification(FirstBatch {
            producer: ProducerId::new(5).unwrap(),
            epoch: 0,
            sequence,
            has_own_epochs,
        })
        .unwrap()
    };
    let send = |sequence, guard| {
        let batch = transactional(5, 0, sequence, &["a"]);
        verdict(log.append(batch, client(&log).with_guard(guard)))
    };
    let guard = begin(7, true);
    assert_eq!(send(7, guard), "order 0");
    let guard = begin(0, true);
    assert_eq!(send(0, guard), "new");
}

#[test]
fn markers_are_checked_against_the_producer_and_the_coordinator() {
    use TransactionVersion::{V1, V2};
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    let send = |epoch_of_marker, coordinator, version| {
        let context = AppendContext::coordinator(epoch(&log)).with_transaction_version(version);
        let batch = marker(5, epoch_of_marker, coordinator, ControlRecordType::Commit);
        verdict(log.append(batch, context))
    };
    // Nobody wrote here yet.
    assert_eq!(send(3, 4, V2), "new");
    assert_eq!(send(3, 3, V1), "coordinator 4");
    assert_eq!(send(2, 5, V1), "fenced 3");
    assert_eq!(send(2, 5, V2), "fenced 3");
    assert_eq!(send(3, 4, V2), "new", "a repeated marker");
    assert_eq!(send(3, 4, V1), "new");
    let guard = begin(&log, 5, 3, 0).unwrap();
    let batch = transactional(5, 3, 0, &["a"]);
    assert_eq!(
        verdict(log.append(batch, client(&log).with_guard(guard))),
        "new"
    );
    let open = log.offsets().last_stable;
    assert_eq!(send(3, 4, V2), "fenced 3", "the marker of the last one");
    assert_eq!(log.offsets().last_stable, open);
    assert_eq!(send(4, 4, V2), "new");
    assert_eq!(log.offsets().last_stable, log.offsets().log_end);
}

#[test]
fn a_duplicate_is_told_the_timestamp_of_the_original() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    write(&log, produced(9, 0, 0, &["a", "b"]));
    let again = append(&log, produced(9, 0, 0, &["a", "b"])).unwrap();
    let told = again.outcome.log_append_time.map(types::Timestamp::ms);
    assert_eq!(told, Some(NOW_MS + 1));
}

#[test]
fn producers_are_described() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, LogSettings::default());
    write(&log, produced(9, 2, 0, &["a", "b"]));
    transact(&log, 5, 0, &["c"]);
    transact(&log, 7, 0, &["d"]);
    end_transaction(&log, 7, ControlRecordType::Commit);
    let all: Vec<_> = log
        .producers()
        .iter()
        .map(|producer| {
            (
                producer.producer.value(),
                producer.epoch,
                producer.last_sequence,
                producer.coordinator_epoch,
                producer.transaction_start,
            )
        })
        .collect();
    assert_eq!(
        all,
        [
            (5, 0, Some(0), -1, Some(at(2))),
            (7, 0, Some(0), 1, None),
            (9, 2, Some(1), -1, None),
        ]
    );
}

#[test]
fn a_fetch_lists_the_aborted_transactions_of_what_it_returns() {
    let world = World::new();
    let directory = world.open();
    let log = log(&directory, small_segments(1000));
    for number in 0..40 {
        transact(&log, number, 0, &["a"]);
        end_transaction(&log, number, ControlRecordType::Abort);
    }
    let mut from = 0;
    let mut seen = Vec::new();
    while from < 80 {
        let plan = log
            .read(at(from), 700, Isolation::ReadCommitted, true)
            .unwrap();
        let bytes = bytes_of(&plan.slices);
        let records = records_of_any(&bytes);
        let end = from + records;
        for (producer, first) in &plan.aborted {
            assert_eq!(producer.value() * 2, first.value());
            seen.push(producer.value());
        }
        // All that overlaps, and not much more: the index is sparse.
        let expected: Vec<_> = (from / 2..(end + 1) / 2).collect();
        let listed: Vec<_> = plan.aborted.iter().map(|(id, _)| id.value()).collect();
        assert!(expected.iter().all(|id| listed.contains(id)), "{from}");
        assert!(listed.len() <= expected.len() + 10, "{from}: {listed:?}");
        from = end;
    }
    seen.dedup();
    assert!(seen.len() >= 40);
}

/// How many offsets the batches span.
fn records_of_any(bytes: &[u8]) -> i64 {
    protocol::records::BatchIterator::new(bytes)
        .map(|batch| i64::from(batch.unwrap().records_count()))
        .sum()
}

/// A loss of power took the records and left the snapshots of their producers.
#[test]
fn a_snapshot_of_records_that_are_gone_does_not_tell_of_those_that_follow() {
    for has_checkpoint in [true, false] {
        let world = World::new();
        let one_per_segment = small_segments(100);
        let open = || {
            if !has_checkpoint {
                world.lose_checkpoint();
            }
            world.open()
        };
        let directory = world.open();
        let before = log(&directory, one_per_segment.clone());
        directory.checkpoint().unwrap();
        for sequence in 0..3 {
            write(&before, produced(1, 0, sequence, &["lost"]));
        }
        drop((before, directory));
        change(&world.segment(0), Vec::clear);
        for base in [1, 2] {
            std::fs::remove_file(world.segment(base)).unwrap();
        }
        let directory = open();
        let next = log(&directory, one_per_segment.clone());
        for offset in 0..3 {
            assert_eq!(write(&next, batch(&["kept"])), offset);
        }
        drop((next, directory));
        let directory = open();
        let last = log(&directory, one_per_segment.clone());
        assert_eq!(last.offsets().log_end, at(3));
        assert_eq!(outcome(&last, produced(1, 0, 0, &["lost"])), Ok((3, false)));
    }
}
