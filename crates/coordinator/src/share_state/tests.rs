//! The share coordinator against a model of single offsets, its fences, its log.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use types::{GroupId, Instant, LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId};

use super::combine::combine;
use super::*;
use crate::machine::{Machine, Origin, ReplyToken};
use crate::share_partition::{RecordState, StateBatch};
use crate::time::Now;

const SETTINGS: ShareStateSettings = ShareStateSettings {
    updates_per_snapshot: 3,
    maintenance_interval: Duration::from_secs(300),
};

fn key(partition: i32) -> SharePartitionKey {
    SharePartitionKey {
        group: GroupId::new("group"),
        topic: TopicId::new([7; 16]).unwrap(),
        partition: PartitionIndex::new(partition).unwrap(),
    }
}

fn at(seconds: u64) -> Now {
    Now {
        instant: Instant::from_origin(Duration::from_secs(seconds)),
        wall: Timestamp::from_ms(i64::try_from(seconds).unwrap() * 1000),
    }
}

fn state_batch(first: i64, last: i64, state: RecordState, delivery_count: i16) -> StateBatch {
    StateBatch {
        first,
        last,
        state,
        delivery_count,
    }
}

/// A machine with the log it writes to.
struct Partition {
    machine: ShareStateShard,
    log: Vec<ShareStateRecord>,
    cut: Vec<Offset>,
}

impl Partition {
    fn new() -> Self {
        let mut machine = ShareStateShard::new(SETTINGS);
        machine.start(at(0));
        Self {
            machine,
            log: Vec::new(),
            cut: Vec::new(),
        }
    }

    fn take(
        &mut self,
        output: crate::machine::MachineOutput<ShareStateShard>,
    ) -> Option<ShareStateReply> {
        let base = Offset::new(i64::try_from(self.log.len()).unwrap()).unwrap();
        self.log.extend(output.records);
        self.machine.appended(base);
        for ShareStateEffect::CutLog { before, .. } in output.effects {
            self.cut.push(before);
        }
        output.replies.into_iter().next().map(|(_, reply)| reply)
    }

    fn ask(&mut self, now: Now, request: ShareStateRequest) -> ShareStateReply {
        let output = self.machine.handle(now, ReplyToken(1), request);
        self.take(output).unwrap()
    }

    fn tick(&mut self, now: Now) {
        let output = self.machine.tick(now);
        self.take(output);
    }

    fn initialize(&mut self, partition: i32, state_epoch: i32) -> ShareStateReply {
        self.ask(
            at(1),
            ShareStateRequest::Initialize(InitializeShareState {
                key: key(partition),
                partition_exists: true,
                state_epoch,
                start_offset: 0,
            }),
        )
    }

    fn write(&mut self, now: Now, write: WriteShareState) -> ShareStateReply {
        self.ask(now, ShareStateRequest::Write(write))
    }

    fn read(&mut self, partition: i32, leader_epoch: i32) -> ShareStateReply {
        self.ask(
            at(2),
            ShareStateRequest::Read(ReadShareState {
                key: key(partition),
                partition_exists: true,
                leader_epoch: LeaderEpoch::new(leader_epoch),
            }),
        )
    }

    fn loaded(&self, from: usize) -> ShareStateShard {
        let mut machine = ShareStateShard::new(SETTINGS);
        for (offset, record) in self.log.iter().enumerate().skip(from) {
            let origin = Origin {
                offset: Offset::new(i64::try_from(offset).unwrap()).unwrap(),
                producer: None,
            };
            machine.replay(at(9), origin, record.clone()).unwrap();
        }
        machine
    }
}

fn write_of(partition: i32, batches: Vec<StateBatch>) -> WriteShareState {
    WriteShareState {
        key: key(partition),
        partition_exists: true,
        state_epoch: 1,
        leader_epoch: LeaderEpoch::new(1),
        start_offset: 0,
        delivery_complete_count: 0,
        batches,
    }
}

#[test]
fn what_nobody_initialised_cannot_be_read_or_written_but_summed_up() {
    let mut partition = Partition::new();
    let refused = Err(ShareStateError::Uninitialized);
    assert_eq!(
        partition.read(0, 1),
        ShareStateReply::State(Err(ShareStateError::Uninitialized))
    );
    assert_eq!(
        partition.write(at(1), write_of(0, vec![])),
        ShareStateReply::Done(refused)
    );
    let summary = ShareStateRequest::ReadSummary {
        key: key(0),
        partition_exists: true,
    };
    assert_eq!(
        partition.ask(at(1), summary),
        ShareStateReply::Summary(Ok(ShareStateSummary {
            state_epoch: 0,
            leader_epoch: 0,
            start_offset: -1,
            delivery_complete_count: -1,
        }))
    );
    assert!(partition.log.is_empty());
}

#[test]
fn old_epochs_are_fenced_and_none_never_is() {
    let mut partition = Partition::new();
    assert_eq!(partition.initialize(0, 5), ShareStateReply::Done(Ok(())));
    assert_eq!(
        partition.initialize(0, 4),
        ShareStateReply::Done(Err(ShareStateError::FencedStateEpoch))
    );
    assert_eq!(
        partition.read(0, 3),
        ShareStateReply::State(Ok((5, 0, vec![])))
    );
    assert_eq!(
        partition.read(0, 2),
        ShareStateReply::State(Err(ShareStateError::FencedLeaderEpoch))
    );
    let write = |state_epoch, leader_epoch| WriteShareState {
        state_epoch,
        leader_epoch: LeaderEpoch::new(leader_epoch),
        ..write_of(0, vec![])
    };
    for (state_epoch, leader_epoch, expected) in [
        (5, 2, Err(ShareStateError::FencedLeaderEpoch)),
        (4, 3, Err(ShareStateError::FencedStateEpoch)),
        (5, 3, Ok(())),
        (-1, -1, Ok(())),
    ] {
        let reply = partition.write(at(1), write(state_epoch, leader_epoch));
        assert_eq!(
            reply,
            ShareStateReply::Done(expected),
            "{state_epoch} {leader_epoch}"
        );
    }
    let unknown = WriteShareState {
        partition_exists: false,
        ..write(5, 3)
    };
    assert_eq!(
        partition.write(at(1), unknown),
        ShareStateReply::Done(Err(ShareStateError::UnknownTopicOrPartition))
    );
}

#[test]
fn a_write_that_comes_late_takes_no_start_offset_back() {
    let mut partition = Partition::new();
    partition.initialize(0, 1);
    let accepted = |first, last| state_batch(first, last, RecordState::Acknowledged, 1);
    let in_time = WriteShareState {
        start_offset: 5,
        delivery_complete_count: 2,
        ..write_of(0, vec![accepted(8, 9)])
    };
    let late = write_of(0, vec![accepted(3, 6)]);
    for write in [in_time, late] {
        let reply = partition.write(at(1), write);
        assert_eq!(reply, ShareStateReply::Done(Ok(())));
    }
    let batches = vec![accepted(5, 6), accepted(8, 9)];
    let state = ShareStateReply::State(Ok((1, 5, batches)));
    assert_eq!(partition.read(0, 1), state);
}

#[test]
fn every_few_updates_a_snapshot_is_written_and_the_log_is_cut_before_it() {
    let mut partition = Partition::new();
    partition.initialize(0, 1);
    for offset in 0..9 {
        let batch = state_batch(offset, offset, RecordState::Acknowledged, 1);
        partition.write(at(10), write_of(0, vec![batch]));
    }
    let snapshots = partition
        .log
        .iter()
        .enumerate()
        .filter_map(|(offset, record)| {
            matches!(record, ShareStateRecord::Snapshot { .. }).then_some(offset)
        });
    assert_eq!(snapshots.collect::<Vec<_>>(), [0, 4, 8]);
    partition.tick(at(299));
    assert_eq!(partition.cut, []);
    partition.tick(at(301));
    assert_eq!(partition.cut, [Offset::new(8).unwrap()]);
    let loaded = partition.loaded(8);
    assert_eq!(
        loaded.state(&key(0)).unwrap().state,
        partition.machine.state(&key(0)).unwrap().state
    );
}

#[test]
fn a_state_nobody_changes_does_not_hold_the_log_back() {
    let mut partition = Partition::new();
    partition.initialize(0, 1);
    partition.initialize(1, 1);
    for offset in 0..9 {
        let batch = state_batch(offset, offset, RecordState::Acknowledged, 1);
        partition.write(at(400), write_of(1, vec![batch]));
    }
    partition.tick(at(500));
    // The cold snapshot has a place only now.
    partition.tick(at(801));
    let needed = partition.cut.last().copied();
    assert!(
        needed.is_some_and(|offset| offset.value() > 5),
        "{:?}",
        partition.cut
    );
}

#[test]
fn deleted_states_and_topics_are_gone() {
    let mut partition = Partition::new();
    partition.initialize(0, 1);
    partition.initialize(1, 1);
    let delete = ShareStateRequest::Delete {
        key: key(0),
        partition_exists: true,
    };
    assert_eq!(
        partition.ask(at(2), delete.clone()),
        ShareStateReply::Done(Ok(()))
    );
    assert_eq!(partition.ask(at(2), delete), ShareStateReply::Done(Ok(())));
    assert!(partition.machine.state(&key(0)).is_none());
    let topics = ShareStateRequest::TopicsDeleted(vec![key(1).topic]);
    assert_eq!(partition.ask(at(2), topics), ShareStateReply::TopicsDeleted);
    assert!(partition.machine.state(&key(1)).is_none());
    assert!(partition.loaded(0).state(&key(1)).is_none());
}

fn any_state() -> impl Strategy<Value = RecordState> {
    prop_oneof![
        Just(RecordState::Available),
        Just(RecordState::Acknowledged),
        Just(RecordState::Archived),
    ]
}

prop_compose! {
    fn any_batch()(first in 0_i64..40, length in 0_i64..12, state in any_state(), count in 1_i16..5) -> StateBatch {
        state_batch(first, first + length, state, count)
    }
}

fn offsets(batches: &[StateBatch], start: i64) -> BTreeMap<i64, (i16, RecordState)> {
    let mut map = BTreeMap::new();
    for batch in batches {
        for offset in batch.first.max(start)..=batch.last {
            let rank = (batch.delivery_count, batch.state);
            let entry = map.entry(offset).or_insert(rank);
            *entry = rank.max(*entry);
        }
    }
    map
}

proptest! {
    #[test]
    fn combining_is_the_highest_state_of_each_offset(
        so_far in proptest::collection::vec(any_batch(), 0..8),
        new in proptest::collection::vec(any_batch(), 0..8),
        start in -1_i64..30,
    ) {
        let combined = combine(&so_far, &new, start);
        let all: Vec<_> = so_far.iter().chain(&new).copied().collect();
        prop_assert_eq!(offsets(&combined, start), offsets(&all, start));
        for pair in combined.windows(2) {
            prop_assert!(pair[0].last < pair[1].first);
            let same = (pair[0].state, pair[0].delivery_count) == (pair[1].state, pair[1].delivery_count);
            prop_assert!(!(same && pair[0].last + 1 == pair[1].first));
        }
    }

    #[test]
    fn what_was_replayed_equals_what_lived(
        writes in proptest::collection::vec((0_i32..3, proptest::collection::vec(any_batch(), 0..3), 0_i64..20), 1..40),
    ) {
        let mut partition = Partition::new();
        for index in 0..3 {
            partition.initialize(index, 1);
        }
        for (index, batches, start_offset) in writes {
            let write = WriteShareState { start_offset, ..write_of(index, batches) };
            partition.write(at(5), write);
        }
        let loaded = partition.loaded(0);
        for index in 0..3 {
            prop_assert_eq!(loaded.state(&key(index)), partition.machine.state(&key(index)));
        }
    }
}
