//! InitProducerId and who is fenced by it.

use super::harness::{Harness, producer, transaction};
use crate::machine::Producer;
use crate::transaction::add_partitions::AddPartitionsError;
use crate::transaction::init_producer::InitProducerError;
use crate::transaction::state::{Transaction, TransactionState, TransactionVersion};
use crate::transaction::verify_partitions::VerifyPartitionsError;

use TransactionState::{
    CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit,
};
use TransactionVersion::{V0, V1, V2};

#[test]
fn an_unknown_id_gets_a_fresh_producer_id_at_epoch_zero() {
    let mut harness = Harness::new();
    let first = harness.init("a", None).unwrap();
    let second = harness.init("b", None).unwrap();
    assert_eq!((first.epoch.value(), second.epoch.value()), (0, 0));
    assert_ne!(first.id, second.id);
    // Whoever wants to go on from a session that was forgotten gets a new one.
    let third = harness.init("c", Some(producer(3, 9))).unwrap();
    assert_eq!(third.epoch.value(), 0);
    harness.assert_replays();
}

/// `prepareInitProducerIdTransit`, for producer 7 at epoch 5.
#[test]
fn each_state_answers_a_new_session() {
    let bumped = Ok(producer(7, 6));
    for (state, expected) in [
        (Empty, bumped),
        (CompleteCommit, bumped),
        (CompleteAbort, bumped),
        (Ongoing, Err(InitProducerError::Concurrent)),
        (PrepareCommit, Err(InitProducerError::Concurrent)),
        (PrepareAbort, Err(InitProducerError::Concurrent)),
    ] {
        for wanted in [None, Some(producer(7, 5))] {
            let mut harness = Harness::of("a", transaction(state, 5));
            assert_eq!(harness.init("a", wanted), expected, "{state:?} {wanted:?}");
            if expected.is_ok() {
                let after = harness.transaction("a");
                assert_eq!((after.state, after.started), (Empty, None));
            }
            harness.assert_replays();
        }
    }
}

#[test]
fn an_open_transaction_is_aborted_before_a_new_session_begins() {
    let mut harness = Harness::of("a", transaction(Ongoing, 5));
    assert_eq!(harness.init("a", None), Err(InitProducerError::Concurrent));
    assert_eq!(harness.state("a"), PrepareAbort);
    // Once more changes nothing.
    assert_eq!(harness.init("a", None), Err(InitProducerError::Concurrent));
    assert_eq!(harness.wishes.len(), 1);
    let wish = harness.fulfil();
    assert_eq!((wish.producer, wish.committed), (producer(7, 6), false));
    assert_eq!(wish.version, V2);
    assert_eq!(harness.state("a"), CompleteAbort);
    assert_eq!(harness.init("a", None), Ok(producer(7, 7)));
}

#[test]
fn only_who_has_the_session_goes_on_from_it() {
    let last = i16::MAX - 1;
    let with = |epoch, previous: Option<Producer>| Transaction {
        previous_id: previous.map(|previous| previous.id),
        ..transaction(Empty, epoch)
    };
    let fenced = Err(InitProducerError::Fenced);
    for (known, expected, result) in [
        (with(5, None), producer(7, 4), fenced),
        (with(5, None), producer(7, 6), fenced),
        (with(5, None), producer(8, 5), fenced),
        (with(5, None), producer(7, 5), Ok(producer(7, 6))),
        // The producer id before, which may have been given up with its last epoch only.
        (with(0, Some(producer(6, 0))), producer(6, 4), fenced),
        (with(0, Some(producer(6, 0))), producer(6, last), fenced),
    ] {
        let mut harness = Harness::of("a", known.clone());
        assert_eq!(
            harness.init("a", Some(expected)),
            result,
            "{known:?} {expected:?}"
        );
    }
}

#[test]
fn a_repeated_request_has_the_same_answer_until_somebody_else_asks() {
    let mut harness = Harness::new();
    let first = harness.init("a", None).unwrap();
    let second = harness.init("a", Some(first)).unwrap();
    assert_eq!(harness.init("a", Some(first)), Ok(second));
    let third = harness.init("a", None).unwrap();
    assert_eq!(third.epoch.value(), 2);
    for old in [first, second] {
        assert_eq!(harness.init("a", Some(old)), Err(InitProducerError::Fenced));
    }
}

#[test]
fn used_up_epochs_give_a_new_producer_id() {
    let last = i16::MAX - 1;
    for expected in [None, Some(producer(7, last))] {
        let mut harness = Harness::of("a", transaction(CompleteCommit, last));
        let next = harness.init("a", expected).unwrap();
        assert_ne!(next.id, producer(7, 0).id);
        assert_eq!(next.epoch.value(), 0);
        let after = harness.transaction("a");
        assert_eq!(after.previous_id, Some(producer(7, 0).id));
        if expected.is_some() {
            assert_eq!(harness.init("a", expected), Ok(next));
        } else {
            let retry = harness.init("a", Some(producer(7, last)));
            assert_eq!(retry, Err(InitProducerError::Fenced));
        }
        harness.assert_replays();
    }
    let mut harness = Harness::of("a", transaction(CompleteCommit, last));
    let old = harness.init("a", Some(producer(7, last - 1)));
    assert_eq!(old, Err(InitProducerError::Fenced));
}

#[test]
fn a_producer_at_its_last_epoch_goes_on_after_its_transaction_was_aborted_for_it() {
    let last = i16::MAX - 1;
    let mut harness = Harness::of("a", transaction(Ongoing, last));
    let session = producer(7, last);
    let first = harness.init("a", Some(session));
    assert_eq!(first, Err(InitProducerError::Concurrent));
    assert_eq!(harness.fulfil().producer, producer(7, i16::MAX));
    let next = harness.init("a", Some(session)).unwrap();
    assert_ne!(next.id, session.id);
    assert_eq!(next.epoch.value(), 0);
}

/// `handleAddPartitionsToTransaction` and `handleVerifyPartitionsInTransaction`, for producer 7 at epoch 5.
#[test]
fn partitions_are_added_and_verified_only_for_the_session() {
    use AddPartitionsError as Add;
    use VerifyPartitionsError as Verify;
    for (state, session, added, verified) in [
        (Empty, producer(7, 5), Ok(()), Ok(false)),
        (Ongoing, producer(7, 5), Ok(()), Ok(true)),
        (CompleteCommit, producer(7, 5), Ok(()), Ok(false)),
        (CompleteAbort, producer(7, 5), Ok(()), Ok(false)),
        (
            PrepareCommit,
            producer(7, 5),
            Err(Add::Concurrent),
            Err(Verify::Concurrent),
        ),
        (
            PrepareAbort,
            producer(7, 5),
            Err(Add::Concurrent),
            Err(Verify::Concurrent),
        ),
        // Adding is told of the end before of everything else, because the epoch is about to change.
        (
            PrepareAbort,
            producer(7, 4),
            Err(Add::Concurrent),
            Err(Verify::Fenced),
        ),
        (
            PrepareAbort,
            producer(8, 5),
            Err(Add::Concurrent),
            Err(Verify::UnknownProducer),
        ),
        (
            Ongoing,
            producer(7, 4),
            Err(Add::Fenced),
            Err(Verify::Fenced),
        ),
        (
            Ongoing,
            producer(7, 6),
            Err(Add::Fenced),
            Err(Verify::Fenced),
        ),
        (
            Ongoing,
            producer(8, 5),
            Err(Add::UnknownProducer),
            Err(Verify::UnknownProducer),
        ),
    ] {
        let mut harness = Harness::of("a", transaction(state, 5));
        assert_eq!(
            harness.verify("a", session, 0),
            verified,
            "{state:?} {session:?}"
        );
        assert_eq!(
            harness.add("a", session, V0, &[0]),
            added,
            "{state:?} {session:?}"
        );
        if added.is_ok() {
            assert_eq!(harness.state("a"), Ongoing);
            assert_eq!(harness.verify("a", session, 0), Ok(true));
            assert_eq!(harness.verify("a", session, 1), Ok(false));
        }
        assert_eq!(
            harness.add("b", session, V0, &[0]),
            Err(Add::UnknownProducer)
        );
        assert_eq!(
            harness.verify("b", session, 0),
            Err(Verify::UnknownProducer)
        );
        harness.assert_replays();
    }
}

#[test]
fn what_was_added_before_is_not_written_again() {
    let mut harness = Harness::new();
    let session = harness.init("a", None).unwrap();
    harness.add("a", session, V2, &[0, 1]).unwrap();
    let started = harness.transaction("a").started;
    let written = harness.records.len();
    harness.wait(std::time::Duration::from_secs(1));
    harness.add("a", session, V2, &[1]).unwrap();
    harness.add("a", session, V2, &[]).unwrap();
    assert_eq!(harness.records.len(), written);
    harness.add("a", session, V2, &[2]).unwrap();
    let after = harness.transaction("a");
    assert_eq!((after.partitions.len(), after.started), (3, started));
}

#[test]
fn a_transaction_that_fits_no_record_is_not_made_larger() {
    let settings = crate::transaction::settings::TransactionSettings {
        record_bytes_max: 1_000,
        ..Default::default()
    };
    let mut harness = Harness::with(settings);
    let session = harness.init("a", None).unwrap();
    let many: Vec<i32> = (0..1_000).collect();
    assert_eq!(
        harness.add("a", session, V2, &many),
        Err(AddPartitionsError::TooManyPartitions)
    );
    assert_eq!(harness.state("a"), Empty);
    harness.add("a", session, V2, &[0]).unwrap();
}

/// What the coordinator does by itself it does at the level of the cluster; only at version 2 may the producer go on from
/// the epoch that was taken from it.
#[test]
fn an_abort_over_the_producers_head_is_of_the_clusters_version() {
    let may_go_on = |version| version == V2;
    for (version, marked) in [(V2, V2), (V1, V0), (V0, V0)] {
        let mut harness = Harness::new();
        harness.configure(version);
        let session = harness.init("a", None).unwrap();
        harness.add("a", session, V0, &[0]).unwrap();
        assert_eq!(harness.init("a", None), Err(InitProducerError::Concurrent));
        let wish = harness.wishes.pop().unwrap();
        assert_eq!((wish.version, wish.committed), (marked, false));
        let fenced = producer(session.id.value(), session.epoch.value() + 1);
        assert_eq!(wish.producer, fenced);
        harness.written(&wish);
        assert_eq!(harness.state("a"), CompleteAbort);
        let expected = match may_go_on(version) {
            true => Ok(fenced),
            false => Err(InitProducerError::Fenced),
        };
        assert_eq!(harness.init("a", Some(session)), expected, "{version:?}");
        assert!(
            harness
                .records
                .iter()
                .all(|record| record.is_flexible == (version != V0))
        );
    }
}
