//! EndTxn, in both protocols.

use super::harness::{Harness, partition, producer, transaction};
use crate::transaction::end::EndError;
use crate::transaction::init_producer::InitProducerError;
use crate::transaction::state::{Transaction, TransactionState, TransactionVersion};

use EndError::{Concurrent, Fenced, InvalidState, UnknownProducer};
use TransactionState::{
    CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit,
};
use TransactionVersion::{V0, V2};

/// `endTransactionWithTV1`, for producer 7 at epoch 5: states, sessions, and what abort and commit answer.
#[test]
fn without_epoch_bumps_every_state_answers_as_kafka_does() {
    let same = Ok(producer(7, 5));
    for (state, session, aborted, committed) in [
        (Empty, producer(7, 5), Err(InvalidState), Err(InvalidState)),
        (Ongoing, producer(7, 5), same, same),
        (
            PrepareCommit,
            producer(7, 5),
            Err(Concurrent),
            Err(Concurrent),
        ),
        (
            PrepareAbort,
            producer(7, 5),
            Err(Concurrent),
            Err(Concurrent),
        ),
        (CompleteCommit, producer(7, 5), Err(InvalidState), same),
        (CompleteAbort, producer(7, 5), same, Err(InvalidState)),
        // Here who asks is looked at first.
        (PrepareCommit, producer(7, 4), Err(Fenced), Err(Fenced)),
        (
            PrepareCommit,
            producer(8, 5),
            Err(UnknownProducer),
            Err(UnknownProducer),
        ),
        (Ongoing, producer(7, 4), Err(Fenced), Err(Fenced)),
        (Ongoing, producer(7, 6), Err(Fenced), Err(Fenced)),
        (CompleteCommit, producer(7, 4), Err(Fenced), Err(Fenced)),
        (
            Ongoing,
            producer(8, 5),
            Err(UnknownProducer),
            Err(UnknownProducer),
        ),
    ] {
        for (commit, expected) in [(false, aborted), (true, committed)] {
            let mut harness = Harness::of("a", transaction(state, 5));
            let written = harness.records.len();
            let ended = harness.end("a", session, commit, V0);
            assert_eq!(ended, expected, "{state:?} {session:?} {commit}");
            assert_eq!(
                harness.records.len() > written,
                state == Ongoing && ended.is_ok()
            );
            assert_eq!(harness.end("b", session, commit, V0), Err(UnknownProducer));
            harness.assert_replays();
        }
    }
}

/// The table in `TransactionCoordinator.endTransaction`, and the states that it leaves out: producer 7 at epoch 5.
#[test]
fn with_epoch_bumps_every_state_answers_as_kafka_does() {
    let (retry, current) = (producer(7, 4), producer(7, 5));
    let (same, bumped) = (Ok(producer(7, 5)), Ok(producer(7, 6)));
    for (state, session, aborted, committed) in [
        (Empty, retry, Err(Fenced), Err(Fenced)),
        (Empty, current, bumped, Err(InvalidState)),
        (CompleteAbort, retry, same, Err(InvalidState)),
        (CompleteAbort, current, bumped, Err(InvalidState)),
        (CompleteCommit, retry, Err(InvalidState), same),
        (CompleteCommit, current, bumped, Err(InvalidState)),
        (Ongoing, current, bumped, bumped),
        (Ongoing, retry, Err(Fenced), Err(Fenced)),
        (Ongoing, producer(7, 6), Err(Fenced), Err(Fenced)),
        (CompleteCommit, producer(7, 6), Err(Fenced), Err(Fenced)),
        (CompleteCommit, producer(7, 3), Err(Fenced), Err(Fenced)),
        (
            Ongoing,
            producer(8, 5),
            Err(UnknownProducer),
            Err(UnknownProducer),
        ),
        (
            CompleteAbort,
            producer(8, 5),
            Err(UnknownProducer),
            Err(UnknownProducer),
        ),
        // Whoever asks while a transaction ends is told so first.
        (PrepareCommit, retry, Err(Concurrent), Err(Concurrent)),
        (PrepareCommit, current, Err(Concurrent), Err(Concurrent)),
        (
            PrepareAbort,
            producer(8, 5),
            Err(Concurrent),
            Err(Concurrent),
        ),
    ] {
        for (commit, expected) in [(false, aborted), (true, committed)] {
            let mut harness = Harness::of("a", transaction(state, 5));
            let written = harness.records.len();
            let ended = harness.end("a", session, commit, V2);
            assert_eq!(ended, expected, "{state:?} {session:?} {commit}");
            assert_eq!(harness.records.len() > written, ended == bumped);
            assert_eq!(harness.end("b", session, commit, V2), Err(UnknownProducer));
            harness.assert_replays();
        }
    }
}

#[test]
fn markers_carry_the_epoch_of_their_protocol() {
    for (version, epoch) in [(V0, 5), (V2, 6)] {
        for commit in [true, false] {
            let mut harness = Harness::of("a", transaction(Ongoing, 5));
            harness.end("a", producer(7, 5), commit, version).unwrap();
            let prepared = if commit { PrepareCommit } else { PrepareAbort };
            assert_eq!(harness.state("a"), prepared);
            let wish = harness.fulfil();
            assert_eq!(
                (wish.producer, wish.committed),
                (producer(7, epoch), commit)
            );
            assert_eq!(
                (wish.version, wish.partitions),
                (version, [partition(0)].into())
            );
            let over = if commit {
                CompleteCommit
            } else {
                CompleteAbort
            };
            assert_eq!(harness.state("a"), over);
            assert!(harness.transaction("a").partitions.is_empty());
            harness.assert_replays();
        }
    }
}

#[test]
fn an_abort_of_nothing_is_over_at_once() {
    for state in [Empty, CompleteCommit, CompleteAbort] {
        let mut harness = Harness::of("a", transaction(state, 5));
        let written = harness.records.len();
        assert_eq!(
            harness.end("a", producer(7, 5), false, V2),
            Ok(producer(7, 6))
        );
        assert!(harness.wishes.is_empty());
        assert_eq!(harness.state("a"), CompleteAbort);
        assert_eq!(harness.transaction("a").started, Some(harness.now.wall));
        // Readers of the log see both steps.
        assert_eq!(harness.records.len(), written + 2);
        harness.assert_replays();
    }
}

#[test]
fn the_end_at_the_last_epoch_gives_a_new_producer_id() {
    let last = i16::MAX - 1;
    for commit in [true, false] {
        for restarts in [false, true] {
            let mut harness = Harness::of("a", transaction(Ongoing, last));
            let session = producer(7, last);
            let next = harness.end("a", session, commit, V2).unwrap();
            assert_ne!(next.id, session.id);
            assert_eq!(next.epoch.value(), 0);
            if restarts {
                harness.restart();
            }
            assert_eq!(harness.fulfil().producer, producer(7, i16::MAX));
            if restarts {
                harness.restart();
            }
            assert_eq!(harness.end("a", session, commit, V2), Ok(next));
            assert_eq!(harness.end("a", session, !commit, V2), Err(InvalidState));
            harness.add("a", next, V2, &[0]).unwrap();
            assert_eq!(harness.end("a", session, commit, V2), Err(UnknownProducer));
            harness.assert_replays();
        }
    }
}

#[test]
fn a_fenced_transaction_at_the_last_epoch_keeps_its_producer_id_until_the_next_session() {
    let last = i16::MAX - 1;
    let mut harness = Harness::of("a", transaction(Ongoing, last));
    assert_eq!(harness.init("a", None), Err(InitProducerError::Concurrent));
    assert_eq!(harness.fulfil().producer, producer(7, i16::MAX));
    let next = harness.init("a", None).unwrap();
    assert_ne!(next.id, producer(7, 0).id);
}

#[test]
fn a_client_may_change_from_one_protocol_to_the_other() {
    let mut harness = Harness::new();
    let session = harness.init("a", None).unwrap();
    harness.add("a", session, V0, &[0]).unwrap();
    harness.end("a", session, true, V0).unwrap();
    harness.fulfil();
    harness.add("a", session, V0, &[0]).unwrap();
    let next = harness.end("a", session, true, V2).unwrap();
    assert_eq!(next.epoch.value(), session.epoch.value() + 1);
    harness.fulfil();
    harness.add("a", next, V2, &[0]).unwrap();
    assert_eq!(harness.end("a", next, false, V0), Ok(next));
    let wish = harness.fulfil();
    assert_eq!((wish.producer, wish.version), (next, V0));
    harness.assert_replays();
}

#[test]
fn a_retry_is_known_by_the_epoch_also_after_a_restart() {
    let mut harness = Harness::of("a", transaction(Ongoing, 5));
    let next = harness.end("a", producer(7, 5), true, V2).unwrap();
    harness.fulfil();
    harness.restart();
    assert_eq!(harness.end("a", producer(7, 5), true, V2), Ok(next));
    let stale = Transaction {
        client_version: V0,
        ..transaction(CompleteCommit, 5)
    };
    assert_eq!(harness.transaction("a").client_version, V2);
    let mut harness = Harness::of("a", stale);
    assert_eq!(
        harness.end("a", producer(7, 5), true, V0),
        Ok(producer(7, 5))
    );
}
