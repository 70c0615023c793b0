//! One rule at a time.

use types::ProducerId;

use super::*;
use AcknowledgeType::{Accept, Gap, Reject, Release, Renew};

#[test]
fn a_fetched_batch_is_handed_out_whole_and_the_next_read_is_behind_it() {
    let mut partition = empty_partition(LIMITS);
    let log = [fetched(0, 9), fetched(10, 19)];
    let got = acquire(
        &mut partition,
        at(0),
        "a",
        AcquireMode::BatchOptimized,
        5,
        &log,
    );
    assert_eq!(got, [range(0, 9, 1)]);
    assert_eq!(partition.next_fetch_offset(), 10);
    let got = acquire(
        &mut partition,
        at(0),
        "b",
        AcquireMode::BatchOptimized,
        500,
        &log,
    );
    assert_eq!(got, [range(10, 19, 1)]);
    assert_eq!(partition.next_fetch_offset(), 20);
}

#[test]
fn a_record_limit_is_strict_and_the_rest_stays_available() {
    let mut partition = empty_partition(LIMITS);
    let log = [fetched(0, 9)];
    let mode = AcquireMode::RecordLimit;
    assert_eq!(
        acquire(&mut partition, at(0), "a", mode, 4, &log),
        [range(0, 3, 1)]
    );
    assert_eq!(partition.next_fetch_offset(), 4);
    assert_eq!(
        acquire(&mut partition, at(0), "b", mode, 4, &log),
        [range(4, 7, 1)]
    );
    assert_eq!(
        acquire(&mut partition, at(0), "a", mode, 4, &log),
        [range(8, 9, 1)]
    );
    assert_eq!(partition.next_fetch_offset(), 10);
}

#[test]
fn large_acquisitions_are_split_at_record_batches() {
    let mut partition = empty_partition(LIMITS);
    let log: Vec<_> = (0..10)
        .map(|index| fetched(index * 10, index * 10 + 9))
        .collect();
    let request = AcquireRequest {
        member: &member("a"),
        mode: AcquireMode::BatchOptimized,
        batch_size: 35,
        records_max: 500,
        fetch_offset: 0,
        lock_duration: LOCK,
    };
    let acquired = partition.acquire(at(0), &request, &log, &[]);
    assert_eq!(
        acquired.ranges,
        [range(0, 39, 1), range(40, 79, 1), range(80, 99, 1)]
    );
    assert_eq!(acquired.count, 100);
}

#[test]
fn accepted_records_move_the_start_offset_in_order_only() {
    let mut partition = handed_out(&[fetched(0, 9)], 10);
    acknowledge(&mut partition, at(1), "a", &[say(5, 9, Accept)]).unwrap();
    assert_eq!(
        (
            partition.start_offset(),
            partition.delivery_complete_count()
        ),
        (0, 5)
    );
    acknowledge(&mut partition, at(1), "a", &[say(0, 2, Accept)]).unwrap();
    assert_eq!(
        (
            partition.start_offset(),
            partition.delivery_complete_count()
        ),
        (3, 5)
    );
    acknowledge(&mut partition, at(1), "a", &[say(3, 4, Reject)]).unwrap();
    assert_eq!(
        (
            partition.start_offset(),
            partition.delivery_complete_count()
        ),
        (10, 0)
    );
    assert_eq!(partition.next_fetch_offset(), 10);
    assert_eq!(partition.in_flight(), 0);
}

#[test]
fn nothing_is_final_before_it_is_persisted() {
    let mut partition = handed_out(&[fetched(0, 9)], 10);
    let write = partition.acknowledge(at(1), &member("a"), &[say(0, 9, Accept)], LOCK);
    let write = write.unwrap().unwrap();
    assert_eq!(partition.start_offset(), 0);
    assert_eq!(write.start_offset, 0);
    assert_eq!(write.delivery_complete_count, 10);
    // A second time: the first is not decided yet.
    let again = partition.acknowledge(at(1), &member("a"), &[say(0, 9, Accept)], LOCK);
    assert_eq!(again, Err(AcknowledgeError::InvalidRecordState));
    partition.complete(at(2), write.id, false);
    assert_eq!(
        (
            partition.start_offset(),
            partition.delivery_complete_count()
        ),
        (0, 0)
    );
    // The records are still the member's.
    acknowledge(&mut partition, at(3), "a", &[say(0, 9, Accept)]).unwrap();
    assert_eq!(partition.start_offset(), 10);
}

#[test]
fn a_failed_write_after_the_lock_ran_out_frees_the_records() {
    let log = [fetched(0, 9)];
    let mut partition = handed_out(&log, 10);
    let write = partition.acknowledge(at(1), &member("a"), &[say(0, 9, Accept)], LOCK);
    assert_eq!(partition.tick(at(31)), None);
    assert!(partition.complete(at(32), write.unwrap().unwrap().id, false));
    assert_eq!(partition.next_fetch_offset(), 0);
    let got = acquire(
        &mut partition,
        at(32),
        "b",
        AcquireMode::BatchOptimized,
        10,
        &log,
    );
    assert_eq!(got, [range(0, 9, 2)]);
}

#[test]
fn acknowledgements_are_refused_as_kafka_refuses_them() {
    let foreign = Err(AcknowledgeError::InvalidRecordState);
    let beyond = Err(AcknowledgeError::InvalidRequest);
    let cases = [
        ("nobody's", "b", vec![say(0, 9, Accept)], foreign),
        ("part of nobody's", "b", vec![say(3, 4, Accept)], foreign),
        ("behind the end", "a", vec![say(20, 29, Accept)], beyond),
        ("over the end", "a", vec![say(5, 14, Accept)], beyond),
        (
            "second batch wrong",
            "a",
            vec![say(0, 4, Accept), say(0, 4, Accept)],
            foreign,
        ),
        ("own", "a", vec![say(0, 9, Accept)], Ok(())),
        (
            "each on its own",
            "a",
            vec![AcknowledgementBatch {
                first: 0,
                last: 9,
                types: vec![
                    Accept, Gap, Reject, Accept, Accept, Accept, Accept, Accept, Accept, Accept,
                ],
            }],
            Ok(()),
        ),
    ];
    for (name, who, batches, expected) in cases {
        let mut partition = handed_out(&[fetched(0, 9)], 10);
        assert_eq!(
            acknowledge(&mut partition, at(1), who, &batches),
            expected,
            "{name}"
        );
        let start_offset = if expected.is_ok() { 10 } else { 0 };
        assert_eq!(partition.start_offset(), start_offset, "{name}");
        assert_eq!(partition.delivery_complete_count(), 0, "{name}");
    }
}

#[test]
fn an_acknowledgement_of_what_is_long_done_is_nothing() {
    let mut partition = handed_out(&[fetched(0, 9), fetched(10, 19)], 20);
    acknowledge(&mut partition, at(0), "a", &[say(0, 19, Accept)]).unwrap();
    let late = partition.acknowledge(at(1), &member("b"), &[say(0, 9, Accept)], LOCK);
    assert_eq!(late, Ok(None));
}

#[test]
fn records_come_back_when_released_when_their_lock_runs_out_and_when_their_member_goes() {
    let mut partition = empty_partition(LIMITS);
    let log = [fetched(0, 2)];
    let mode = AcquireMode::BatchOptimized;
    assert_eq!(
        acquire(&mut partition, at(0), "a", mode, 9, &log),
        [range(0, 2, 1)]
    );
    acknowledge(&mut partition, at(1), "a", &[say(0, 2, Release)]).unwrap();
    assert_eq!(
        acquire(&mut partition, at(2), "b", mode, 9, &log),
        [range(0, 2, 2)]
    );
    assert_eq!(partition.next_deadline(), Some(at(30)));
    assert_eq!(partition.tick(at(30)), None);
    assert_eq!(partition.next_deadline(), Some(at(32)));
    let write = partition.tick(at(32)).unwrap();
    assert_eq!(write.batches.len(), 1);
    assert!(partition.complete(at(32), write.id, true));
    assert_eq!(
        acquire(&mut partition, at(33), "c", mode, 1, &log),
        [range(0, 2, 3)]
    );
    let write = partition.release(&member("c")).unwrap();
    // On its way: nobody may have them.
    assert_eq!(acquire(&mut partition, at(34), "a", mode, 9, &log), []);
    partition.complete(at(34), write.id, true);
    assert_eq!(partition.next_fetch_offset(), 0);
}

#[test]
fn a_renewed_lock_runs_out_later_and_writes_nothing() {
    let mut partition = handed_out(&[fetched(0, 2)], 9);
    let renewed = partition.acknowledge(at(20), &member("a"), &[say(0, 2, Renew)], LOCK);
    assert_eq!(renewed, Ok(None));
    assert_eq!(partition.tick(at(31)), None);
    assert!(partition.tick(at(50)).is_some());
    let late = partition.acknowledge(at(51), &member("a"), &[say(0, 2, Renew)], LOCK);
    assert_eq!(late, Err(AcknowledgeError::InvalidRecordState));
}

#[test]
fn after_the_last_delivery_a_record_is_archived_and_near_it_records_travel_in_small_batches() {
    let mut partition = empty_partition(LIMITS);
    let log = [fetched(0, 7)];
    let mode = AcquireMode::BatchOptimized;
    let mut sizes = Vec::new();
    for round in 0_u64..200 {
        let now = at(round * 100);
        if let Some(write) = partition.tick(now) {
            partition.complete(now, write.id, true);
        }
        if partition.next_fetch_offset() > 7 {
            break;
        }
        let got = acquire(&mut partition, now, "a", mode, 500, &log);
        sizes.push(
            got.iter()
                .map(|range| range.last - range.first + 1)
                .sum::<i64>(),
        );
    }
    // Twice whole, then halves from the third delivery on, quarters, and the last one alone.
    assert_eq!(&sizes[..4], [8, 8, 8, 4]);
    assert!(sizes.contains(&1));
    assert_eq!(sizes.iter().sum::<i64>(), 8 * 5);
    assert_eq!(partition.start_offset(), 8);
}

#[test]
fn no_more_than_the_limit_is_in_flight_but_what_came_back_is_handed_out() {
    let limits = ShareLimits {
        in_flight_max: 20,
        ..LIMITS
    };
    let mut partition = empty_partition(limits);
    let log: Vec<_> = (0..5)
        .map(|index| fetched(index * 10, index * 10 + 9))
        .collect();
    let mode = AcquireMode::BatchOptimized;
    assert_eq!(
        acquire(&mut partition, at(0), "a", mode, 500, &log),
        [range(0, 19, 1)]
    );
    assert!(!partition.can_acquire());
    assert_eq!(acquire(&mut partition, at(0), "a", mode, 500, &log), []);
    acknowledge(&mut partition, at(0), "a", &[say(15, 15, Release)]).unwrap();
    assert!(partition.can_acquire());
    assert_eq!(
        acquire(&mut partition, at(0), "b", mode, 500, &log),
        [range(15, 15, 2)]
    );
    acknowledge(&mut partition, at(0), "a", &[say(0, 9, Accept)]).unwrap();
    assert!(partition.can_acquire());
    assert_eq!(
        acquire(&mut partition, at(0), "b", mode, 500, &log),
        [range(20, 29, 1)]
    );
}

#[test]
fn when_the_log_start_moves_what_was_available_below_is_archived() {
    let mut partition = handed_out(&[fetched(0, 9), fetched(10, 19)], 20);
    acknowledge(
        &mut partition,
        at(1),
        "a",
        &[say(0, 3, Release), say(6, 7, Accept)],
    )
    .unwrap();
    partition.log_start_moved(5);
    assert_eq!(
        (
            partition.start_offset(),
            partition.delivery_complete_count()
        ),
        (5, 2)
    );
    assert_eq!(partition.next_fetch_offset(), 20);
    let write = partition.tick(at(40)).unwrap();
    partition.complete(at(40), write.id, true);
    assert_eq!(partition.next_fetch_offset(), 5);
    partition.log_start_moved(100);
    assert_eq!(
        (partition.start_offset(), partition.end_offset()),
        (100, 100)
    );
    assert_eq!(partition.next_fetch_offset(), 100);
}

#[test]
fn compacted_records_that_came_back_are_archived() {
    let mut partition = handed_out(&[fetched(0, 9), fetched(10, 19)], 20);
    acknowledge(&mut partition, at(1), "a", &[say(0, 19, Release)]).unwrap();
    assert_eq!(partition.next_fetch_offset(), 0);
    let request = AcquireRequest {
        member: &member("b"),
        mode: AcquireMode::BatchOptimized,
        batch_size: 500,
        records_max: 500,
        fetch_offset: 0,
        lock_duration: LOCK,
    };
    let acquired = partition.acquire(at(2), &request, &[fetched(10, 19)], &[]);
    assert_eq!(acquired.ranges, [range(10, 19, 2)]);
    assert_eq!(acquired.archived, 10);
    assert_eq!(
        (
            partition.start_offset(),
            partition.delivery_complete_count()
        ),
        (10, 0)
    );
}

#[test]
fn what_fills_the_flight_and_is_archived_is_in_flight_no_more() {
    let limits = ShareLimits {
        in_flight_max: 20,
        ..LIMITS
    };
    let name = member("a");
    let request = |fetch_offset| AcquireRequest {
        member: &name,
        mode: AcquireMode::BatchOptimized,
        batch_size: 500,
        records_max: 500,
        fetch_offset,
        lock_duration: LOCK,
    };
    // An aborted transaction of five times as many records.
    let producer = ProducerId::new(7);
    let in_transaction = |base, last| FetchedBatch {
        producer,
        transactional: true,
        ..fetched(base, last)
    };
    let mut log: Vec<_> = (0..10)
        .map(|index| in_transaction(index * 10, index * 10 + 9))
        .collect();
    log.push(FetchedBatch {
        abort_marker: true,
        ..in_transaction(100, 100)
    });
    let aborted = [AbortedTransaction {
        producer: producer.unwrap(),
        first_offset: 0,
    }];
    let mut partition = empty_partition(limits);
    let mut got = Vec::new();
    while got.is_empty() {
        assert!(partition.can_acquire(), "stalls at {partition:?}");
        let from = partition.next_fetch_offset();
        let read: Vec<_> = log
            .iter()
            .copied()
            .filter(|batch| batch.last_offset >= from)
            .collect();
        got = partition
            .acquire(at(0), &request(from), &read, &aborted)
            .ranges;
    }
    assert_eq!(got, [range(100, 100, 1)]);
    assert_eq!(partition.start_offset(), 100);

    // Records that came back and that compaction took meanwhile.
    let mut partition = empty_partition(limits);
    let log = [fetched(0, 9), fetched(10, 19)];
    let mode = AcquireMode::BatchOptimized;
    acquire(&mut partition, at(0), "a", mode, 500, &log);
    acknowledge(&mut partition, at(1), "a", &[say(0, 19, Release)]).unwrap();
    let behind = [fetched(30, 39)];
    let acquired = partition.acquire(at(2), &request(0), &behind, &[]);
    assert_eq!((acquired.ranges, acquired.archived), (vec![], 20));
    assert!(partition.can_acquire());
    assert_eq!(
        acquire(&mut partition, at(3), "a", mode, 500, &behind),
        [range(30, 39, 1)]
    );
}

#[test]
fn a_rebuilt_partition_looks_at_the_gaps_first() {
    let batch = |first, last, state| StateBatch {
        first,
        last,
        state,
        delivery_count: 1,
    };
    let batches = [
        batch(5, 9, RecordState::Acknowledged),
        batch(15, 19, RecordState::Available),
    ];
    let mut partition = SharePartition::new(LIMITS, 3, 0, &batches).unwrap();
    assert_eq!(partition.start_offset(), 0);
    let log: Vec<_> = (0..5)
        .map(|index| fetched(index * 5, index * 5 + 4))
        .collect();
    let mode = AcquireMode::BatchOptimized;
    assert_eq!(partition.next_fetch_offset(), 0);
    let got = acquire(&mut partition, at(0), "a", mode, 7, &log);
    assert_eq!(got, [range(0, 4, 1), range(10, 14, 1)]);
    let got = acquire(&mut partition, at(0), "a", mode, 500, &log);
    assert_eq!(got, [range(15, 19, 2), range(20, 24, 1)]);
    acknowledge(&mut partition, at(0), "a", &[say(0, 4, Accept)]).unwrap();
    assert_eq!(partition.start_offset(), 10);
}

#[test]
fn gaps_that_were_looked_at_are_not_looked_at_again_when_records_before_them_come_back() {
    let done = StateBatch {
        first: 10,
        last: 19,
        state: RecordState::Acknowledged,
        delivery_count: 1,
    };
    let limits = ShareLimits {
        in_flight_max: 20,
        ..LIMITS
    };
    let mut partition = SharePartition::new(limits, 1, 0, &[done]).unwrap();
    let log = [fetched(0, 9), fetched(10, 19), fetched(20, 29)];
    let mode = AcquireMode::RecordLimit;
    let take = |partition: &mut SharePartition, name, records_max| {
        acquire(partition, at(0), name, mode, records_max, &log)
    };
    assert_eq!(take(&mut partition, "a", 4), [range(0, 3, 1)]);
    assert_eq!(take(&mut partition, "b", 6), [range(4, 9, 1)]);
    acknowledge(&mut partition, at(1), "a", &[say(0, 3, Release)]).unwrap();
    assert_eq!(take(&mut partition, "a", 4), [range(0, 3, 2)]);
    acknowledge(&mut partition, at(2), "a", &[say(0, 3, Accept)]).unwrap();
    acknowledge(&mut partition, at(2), "b", &[say(4, 9, Accept)]).unwrap();
    assert_eq!((partition.start_offset(), partition.in_flight()), (20, 0));
    assert_eq!(take(&mut partition, "a", 10), [range(20, 29, 1)]);
}

#[test]
fn a_start_offset_may_be_any_number() {
    for (stored, start_offset) in [(i64::MIN, 0), (-7, 0), (0, 0), (5, 5)] {
        let mut partition = SharePartition::new(LIMITS, 1, stored, &[]).unwrap();
        assert_eq!(partition.start_offset(), start_offset, "{stored}");
        assert_eq!(partition.next_fetch_offset(), start_offset, "{stored}");
    }
    for stored in [i64::MAX - 1, i64::MAX] {
        let mut partition = SharePartition::new(LIMITS, 1, stored, &[]).unwrap();
        // No log ever reaches it, and nothing overflows on the way.
        let offset = partition.next_fetch_offset();
        assert!(offset > i64::MAX / 2, "{offset}");
        let log = [fetched(0, 9)];
        let mode = AcquireMode::BatchOptimized;
        assert_eq!(acquire(&mut partition, at(0), "a", mode, 9, &log), []);
        partition.log_start_moved(10);
        assert_eq!(partition.release(&member("a")), None);
        let late = partition.acknowledge(at(0), &member("a"), &[say(0, 9, Accept)], LOCK);
        assert_eq!(late, Ok(None));
        let far = say(offset, i64::MAX, Accept);
        let far = partition.acknowledge(at(0), &member("a"), &[far], LOCK);
        assert_eq!(far, Err(AcknowledgeError::InvalidRecordState));
        assert_eq!(partition.in_flight(), 0);
    }
}

#[test]
fn persisted_states_that_cannot_be_are_refused() {
    let batch = |first, last| StateBatch {
        first,
        last,
        state: RecordState::Acknowledged,
        delivery_count: 1,
    };
    for batches in [
        vec![batch(3, 9)],
        vec![batch(9, 8)],
        vec![batch(5, 9), batch(9, 12)],
        vec![batch(5, i64::MAX)],
    ] {
        assert!(
            SharePartition::new(LIMITS, 1, 5, &batches).is_err(),
            "{batches:?}"
        );
    }
}

#[test]
fn records_of_aborted_transactions_are_archived_for_groups_that_read_committed() {
    let producer = ProducerId::new(7);
    let transactional = |base, last| FetchedBatch {
        producer,
        transactional: true,
        ..fetched(base, last)
    };
    let marker = |base| FetchedBatch {
        abort_marker: true,
        ..transactional(base, base)
    };
    let log = [
        fetched(0, 4),
        transactional(5, 9),
        marker(10),
        transactional(11, 12),
    ];
    let mut partition = empty_partition(LIMITS);
    let request = AcquireRequest {
        member: &member("a"),
        mode: AcquireMode::BatchOptimized,
        batch_size: 500,
        records_max: 500,
        fetch_offset: 0,
        lock_duration: LOCK,
    };
    let aborted = [AbortedTransaction {
        producer: producer.unwrap(),
        first_offset: 5,
    }];
    let acquired = partition.acquire(at(0), &request, &log, &aborted);
    assert_eq!(acquired.ranges, [range(0, 4, 1), range(10, 12, 1)]);
    assert_eq!(acquired.count, 8);
    assert_eq!(partition.delivery_complete_count(), 5);
    acknowledge(&mut partition, at(1), "a", &[say(0, 4, Accept)]).unwrap();
    assert_eq!(partition.start_offset(), 10);
}
