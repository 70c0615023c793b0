//! What time, restarts and questions do.

use std::time::Duration;

use super::harness::{Harness, TIMEOUT_MS, id, producer, transaction};
use crate::transaction::init_producer::InitProducerError;
use crate::transaction::list::ListTransactionsRequest;
use crate::transaction::request::{TransactionReply, TransactionRequest};
use crate::transaction::state::{Transaction, TransactionState, TransactionVersion};

use TransactionState::{
    CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit,
};
use TransactionVersion::{V0, V2};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    let mut harness = Harness::new();
    let session = harness.init("a", None).unwrap();
    let other = harness.init("b", None).unwrap();
    harness.add("a", session, V0, &[0]).unwrap();
    for _ in 0..6 {
        harness.pass(SECOND * 10);
    }
    assert_eq!(harness.state("a"), Ongoing);
    harness.pass(SECOND * 10);
    assert_eq!(harness.state("a"), PrepareAbort);
    let wish = harness.fulfil();
    let fenced = producer(session.id.value(), 1);
    assert_eq!(
        (wish.producer, wish.committed, wish.version),
        (fenced, false, V2)
    );
    assert_eq!(harness.transaction("b").producer, other);
    // A producer that has not noticed goes on from its session.
    assert_eq!(harness.init("a", Some(session)), Ok(fenced));
    harness.assert_replays();
}

const HOUR: i64 = 3_600;

#[test]
fn setting_the_wall_clock_neither_prolongs_a_transaction_nor_cuts_it_short() {
    for back in [HOUR, -HOUR] {
        let mut harness = Harness::new();
        let session = harness.init("a", None).unwrap();
        harness.add("a", session, V2, &[0]).unwrap();
        harness.pass(SECOND * 30);
        harness.set_clock_back(back);
        harness.add("a", session, V2, &[1]).unwrap();
        harness.pass(SECOND * 20);
        assert_eq!(harness.state("a"), Ongoing, "set back by {back} seconds");
        harness.pass(SECOND * 20);
        assert_eq!(harness.state("a"), PrepareAbort, "by {back} seconds");
        harness.assert_replays();
    }
}

#[test]
fn after_a_restart_a_transaction_has_what_is_left_of_its_time_and_never_more_than_all_of_it() {
    // Set back by so many seconds while the broker was away, and how long the transaction may go on then.
    for (back, left) in [(0, 30), (10, 40), (HOUR, 60), (-10, 20), (-HOUR, 0)] {
        let mut harness = Harness::new();
        let session = harness.init("a", None).unwrap();
        harness.add("a", session, V0, &[0]).unwrap();
        harness.pass(SECOND * 30);
        harness.set_clock_back(back);
        harness.restart();
        for _ in 0..left {
            assert_eq!(harness.state("a"), Ongoing, "set back by {back} seconds");
            harness.pass(SECOND);
        }
        harness.pass(SECOND * 11);
        assert_eq!(harness.state("a"), PrepareAbort, "by {back} seconds");
    }
}

#[test]
fn each_transaction_of_a_session_has_all_its_time() {
    let mut harness = Harness::new();
    let session = harness.init("a", None).unwrap();
    for _ in 0..3 {
        harness.add("a", session, V0, &[0]).unwrap();
        harness.pass(SECOND * 50);
        assert_eq!(harness.state("a"), Ongoing);
        harness.end("a", session, true, V0).unwrap();
        harness.fulfil();
    }
}

#[test]
fn a_producer_of_a_two_phase_commit_has_all_the_time() {
    let patient = Transaction {
        timeout_ms: i32::MAX,
        ..transaction(Ongoing, 5)
    };
    let mut harness = Harness::of("a", patient);
    harness.pass(Duration::from_secs(365 * 24 * 3_600));
    assert_eq!(harness.state("a"), Ongoing);
}

#[test]
fn ids_that_nobody_uses_are_forgotten_unless_something_is_open() {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);
    for (state, is_forgotten) in [
        (Empty, true),
        (CompleteCommit, true),
        (CompleteAbort, true),
        (PrepareCommit, false),
        (PrepareAbort, false),
    ] {
        let mut harness = Harness::of("a", transaction(state, 5));
        harness.pass(WEEK - SECOND);
        assert!(harness.shard.transactions.contains_key(&id("a")));
        harness.pass(Duration::from_secs(3_600));
        let known = harness.shard.transactions.contains_key(&id("a"));
        assert_eq!(known, !is_forgotten, "{state:?}");
        harness.assert_replays();
    }
}

#[test]
fn markers_are_asked_for_again_after_a_restart_and_only_the_last_who_was_asked_may_answer() {
    for (state, over) in [
        (PrepareCommit, CompleteCommit),
        (PrepareAbort, CompleteAbort),
    ] {
        let mut harness = Harness::of("a", transaction(state, 5));
        let early = harness.wishes[0].clone();
        harness.restart();
        assert_eq!(harness.wishes.len(), 1);
        assert_ne!(harness.wishes[0].asked, early.asked);
        harness.written(&early);
        assert_eq!(harness.state("a"), state);
        let wish = harness.fulfil();
        assert_eq!(wish.committed, over == CompleteCommit);
        assert_eq!(harness.state("a"), over);
        // Once more, and for somebody who is gone.
        let written = harness.records.len();
        harness.written(&wish);
        let mut stranger = wish;
        stranger.id = id("b");
        harness.written(&stranger);
        assert_eq!(harness.records.len(), written);
        harness.restart();
        assert!(harness.wishes.is_empty());
    }
}

/// Nobody waits until the end of a transaction is durable.
#[test]
fn an_end_that_the_log_has_lost_is_come_to_again() {
    for (version, commit) in [(V0, true), (V0, false), (V2, true), (V2, false)] {
        let mut harness = Harness::new();
        let session = harness.init("a", None).unwrap();
        harness.add("a", session, version, &[0, 1]).unwrap();
        let next = harness.end("a", session, commit, version).unwrap();
        let first = harness.fulfil();
        let over = harness.transaction("a");
        let lost = harness.records.pop().unwrap();
        assert_eq!(lost.value.as_ref(), Some(&over));
        harness.restart();
        let again = harness.fulfil();
        assert_eq!(
            (again.producer, again.committed, again.version),
            (first.producer, first.committed, first.version)
        );
        let found = harness.transaction("a");
        assert_eq!((found.producer, found.state), (next, over.state));
        harness.add("a", next, version, &[0]).unwrap();
    }
}

#[test]
fn a_restart_forgets_whose_retry_it_was() {
    // Kafka's log does not keep the last epoch either.
    let mut harness = Harness::new();
    let first = harness.init("a", None).unwrap();
    harness.init("a", Some(first)).unwrap();
    harness.restart();
    assert_eq!(
        harness.init("a", Some(first)),
        Err(InitProducerError::Fenced)
    );
}

#[test]
fn transactions_are_described_and_listed() {
    let mut harness = Harness::new();
    let a = harness.init("a", None).unwrap();
    let b = harness.init("b", None).unwrap();
    harness.add("b", b, V2, &[3]).unwrap();
    harness.wait(SECOND);
    let ids = vec![id("b"), id("nobody"), id("a")];
    let TransactionReply::Describe(described) = harness.call(TransactionRequest::Describe(ids))
    else {
        panic!("another answer");
    };
    let [Some(second), None, Some(first)] = &described[..] else {
        panic!("{described:?}");
    };
    assert_eq!(
        (first.producer, first.state, first.started),
        (a, Empty, None)
    );
    assert_eq!((second.producer, second.state), (b, Ongoing));
    assert_eq!(
        (second.timeout_ms, second.partitions.len()),
        (TIMEOUT_MS, 1)
    );
    let all = ListTransactionsRequest::default();
    for (request, expected) in [
        (all.clone(), vec!["a", "b"]),
        (
            ListTransactionsRequest {
                states: Some([Ongoing].into()),
                ..all.clone()
            },
            vec!["b"],
        ),
        (
            ListTransactionsRequest {
                producers: Some([a.id].into()),
                ..all.clone()
            },
            vec!["a"],
        ),
        (
            ListTransactionsRequest {
                producers: Some([].into()),
                ..all.clone()
            },
            vec![],
        ),
        // What never began is older than everything.
        (
            ListTransactionsRequest {
                longer_than_ms: Some(1_000),
                ..all.clone()
            },
            vec!["a"],
        ),
        (
            ListTransactionsRequest {
                longer_than_ms: Some(999),
                ..all
            },
            vec!["a", "b"],
        ),
    ] {
        let reply = harness.call(TransactionRequest::List(request.clone()));
        let TransactionReply::List(listed) = reply else {
            panic!("answered {reply:?}");
        };
        let ids: Vec<&str> = listed.iter().map(|listed| listed.id.as_str()).collect();
        assert_eq!(ids, expected, "{request:?}");
    }
}
