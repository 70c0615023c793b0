//! Random histories: no record has two owners, none is lost, none is delivered too often, none comes back once it is
//! done, and a partition rebuilt from what was persisted knows the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use AcknowledgeType::{Accept, Gap, Reject, Release, Renew};

const RECORDS: i64 = 120;
const MEMBERS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Acquire {
        member: usize,
        records_max: i64,
        strict: bool,
    },
    Acknowledge {
        member: usize,
        first: i64,
        length: i64,
        kind: AcknowledgeType,
    },
    Release {
        member: usize,
    },
    Wait {
        seconds: u64,
    },
    Settle {
        newest: bool,
        committed: bool,
    },
    Rebuild,
}

fn any_step() -> impl Strategy<Value = Step> {
    let member = 0_usize..3;
    let kind = prop_oneof![
        Just(Accept),
        Just(Release),
        Just(Reject),
        Just(Renew),
        Just(Gap)
    ];
    prop_oneof![
        5 => (member.clone(), 1_i64..60, any::<bool>())
            .prop_map(|(member, records_max, strict)| Step::Acquire { member, records_max, strict }),
        6 => (member.clone(), 0_i64..RECORDS, 0_i64..30, kind)
            .prop_map(|(member, first, length, kind)| Step::Acknowledge { member, first, length, kind }),
        1 => member.prop_map(|member| Step::Release { member }),
        2 => (1_u64..20).prop_map(|seconds| Step::Wait { seconds }),
        6 => (any::<bool>(), prop_oneof![4 => Just(true), 1 => Just(false)])
            .prop_map(|(newest, committed)| Step::Settle { newest, committed }),
        1 => Just(Step::Rebuild),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    member: usize,
    until: Instant,
}

/// What is true of each offset, as seen from outside.
#[derive(Debug, Default)]
struct Seen {
    deliveries: i16,
    owner: Option<Owner>,
    /// Accepted or rejected, and persisted.
    done: bool,
}

/// What the share coordinator has: the highest state of each offset and the start offset.
#[derive(Debug, Default)]
struct Persisted {
    start_offset: i64,
    states: BTreeMap<i64, (i16, RecordState)>,
}

impl Persisted {
    fn write(&mut self, write: &StateWrite) {
        // As the share coordinator does with a write that comes late.
        self.start_offset = self.start_offset.max(write.start_offset);
        for batch in &write.batches {
            for offset in batch.first..=batch.last {
                let rank = (batch.delivery_count, batch.state);
                let entry = self.states.entry(offset).or_insert(rank);
                *entry = rank.max(*entry);
            }
        }
        self.states = self.states.split_off(&self.start_offset);
    }

    fn batches(&self) -> Vec<StateBatch> {
        let mut batches: Vec<StateBatch> = Vec::new();
        for (&offset, &(delivery_count, state)) in &self.states {
            match batches.last_mut() {
                Some(last)
                    if last.last + 1 == offset
                        && last.state == state
                        && last.delivery_count == delivery_count =>
                {
                    last.last = offset;
                }
                _ => batches.push(StateBatch {
                    first: offset,
                    last: offset,
                    state,
                    delivery_count,
                }),
            }
        }
        batches
    }
}

struct World {
    partition: SharePartition,
    persisted: Persisted,
    pending: Vec<StateWrite>,
    now: Instant,
    seen: Vec<Seen>,
    log: Vec<FetchedBatch>,
}

impl World {
    fn new(sizes: &[i64]) -> Self {
        let mut log = Vec::new();
        let mut base = 0;
        for size in sizes.iter().cycle() {
            if base >= RECORDS {
                break;
            }
            let last = (base + size - 1).min(RECORDS - 1);
            log.push(fetched(base, last));
            base = last + 1;
        }
        Self {
            partition: empty_partition(ShareLimits {
                in_flight_max: 50,
                ..LIMITS
            }),
            persisted: Persisted::default(),
            pending: Vec::new(),
            now: at(0),
            seen: (0..RECORDS).map(|_| Seen::default()).collect(),
            log,
        }
    }

    fn seen(&mut self, offset: i64) -> &mut Seen {
        &mut self.seen[usize::try_from(offset).unwrap()]
    }

    fn acquire(&mut self, member: usize, records_max: i64, strict: bool) {
        let mode = if strict {
            AcquireMode::RecordLimit
        } else {
            AcquireMode::BatchOptimized
        };
        if !self.partition.can_acquire() {
            return;
        }
        let log = self.log.clone();
        let now = self.now;
        let name = MEMBERS[member];
        let got = acquire(&mut self.partition, now, name, mode, records_max, &log);
        let count: i64 = got.iter().map(|range| range.last - range.first + 1).sum();
        assert!(
            !strict || count <= records_max,
            "{count} of {records_max}: {got:?}"
        );
        for range in got {
            for offset in range.first..=range.last {
                let seen = self.seen(offset);
                assert!(!seen.done, "{offset} is done");
                assert!(
                    seen.owner.is_none_or(|owner| owner.until <= now),
                    "{offset}: {seen:?}"
                );
                seen.deliveries += 1;
                assert_eq!(seen.deliveries, range.delivery_count, "{offset}");
                assert!(seen.deliveries <= 5, "{offset}");
                seen.owner = Some(Owner {
                    member,
                    until: now.plus(LOCK),
                });
            }
        }
    }

    fn acknowledge(&mut self, member: usize, first: i64, last: i64, kind: AcknowledgeType) -> bool {
        let now = self.now;
        let id = super::member(MEMBERS[member]);
        let start_offset = self.partition.start_offset();
        let result = self
            .partition
            .acknowledge(now, &id, &[say(first, last, kind)], LOCK);
        let Ok(write) = result else {
            return false;
        };
        for offset in first.max(start_offset)..=last {
            let owner = self.seen(offset).owner.expect("acknowledged by its owner");
            assert_eq!(owner.member, member, "{offset}");
            if kind == Renew {
                self.seen(offset).owner = Some(Owner {
                    member,
                    until: now.plus(LOCK),
                });
            }
        }
        self.pending.extend(write);
        true
    }

    fn tick(&mut self) {
        let now = self.now;
        if let Some(write) = self.partition.tick(now) {
            for batch in &write.batches {
                for offset in batch.first..=batch.last {
                    let owner = self.seen(offset).owner.take().expect("had an owner");
                    assert!(owner.until <= now, "{offset} was taken away too early");
                }
            }
            // Told before anything else can happen to them.
            self.persisted.write(&write);
            self.partition.complete(now, write.id, true);
        }
    }

    fn settle(&mut self, newest: bool, committed: bool) {
        if self.pending.is_empty() {
            return;
        }
        let index = if newest { self.pending.len() - 1 } else { 0 };
        let write = self.pending.remove(index);
        if committed {
            self.persisted.write(&write);
            for batch in &write.batches {
                for offset in batch.first..=batch.last {
                    let seen = self.seen(offset);
                    seen.owner = None;
                    seen.done |= batch.state.is_terminal();
                }
            }
        }
        self.partition.complete(self.now, write.id, committed);
    }

    /// The leader starts again: locks and counts that were not persisted are forgotten.
    fn rebuild(&mut self) {
        self.pending.clear();
        let batches = self.persisted.batches();
        let start_offset = self.persisted.start_offset;
        let limits = ShareLimits {
            in_flight_max: 50,
            ..LIMITS
        };
        self.partition = SharePartition::new(limits, 1, start_offset, &batches).unwrap();
        for offset in 0..RECORDS {
            let persisted = self.persisted.states.get(&offset).copied();
            let seen = self.seen(offset);
            seen.owner = None;
            // Below the start offset nothing is forgotten: it is over.
            if !seen.done && offset >= start_offset {
                seen.deliveries = persisted.map_or(0, |(count, _)| count);
            }
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Acquire {
                member,
                records_max,
                strict,
            } => self.acquire(member, records_max, strict),
            Step::Acknowledge {
                member,
                first,
                length,
                kind,
            } => {
                // Mostly about something the member has.
                let owned = (first..RECORDS).find(|offset| {
                    let seen = &self.seen[usize::try_from(*offset).unwrap()];
                    seen.owner.is_some_and(|owner| owner.member == member)
                });
                let first = owned.unwrap_or(first);
                let last = (first + length).min(RECORDS - 1);
                if !self.acknowledge(member, first, last, kind) {
                    self.acknowledge(member, first, first, kind);
                }
            }
            Step::Release { member } => {
                let id = super::member(MEMBERS[member]);
                let write = self.partition.release(&id);
                self.pending.extend(write);
            }
            Step::Wait { seconds } => {
                self.now = self.now.plus(Duration::from_secs(seconds));
                self.tick();
            }
            Step::Settle { newest, committed } => self.settle(newest, committed),
            Step::Rebuild => self.rebuild(),
        }
        let (start, end) = (self.partition.start_offset(), self.partition.end_offset());
        assert!(start <= end + 1, "{start} {end}");
        let done = i64::from(self.partition.delivery_complete_count());
        assert!(
            (0..=(end - start + 1)).contains(&done),
            "{done} of {start} to {end}"
        );
    }

    /// Everything is handed out until it is done.
    fn drain(&mut self) {
        for _ in 0..2000 {
            self.now = self.now.plus(Duration::from_secs(31));
            self.tick();
            while !self.pending.is_empty() {
                self.settle(false, true);
            }
            self.acquire(0, 500, false);
            let owned: Vec<i64> = (0..RECORDS)
                .filter(|offset| {
                    let seen = &self.seen[usize::try_from(*offset).unwrap()];
                    seen.owner
                        .is_some_and(|owner| owner.member == 0 && owner.until > self.now)
                })
                .collect();
            for offset in owned {
                self.acknowledge(0, offset, offset, Accept);
            }
            if self.partition.start_offset() == RECORDS {
                return;
            }
        }
        panic!("records are never done: {:?}", self.partition);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_record_is_delivered_until_it_is_done_and_never_twice_at_once(
        sizes in proptest::collection::vec(1_i64..15, 1..6),
        steps in proptest::collection::vec(any_step(), 0..120),
    ) {
        let mut world = World::new(&sizes);
        for step in steps {
            world.run(step);
        }
        world.drain();
        prop_assert_eq!(world.partition.in_flight(), 0);
        for (offset, seen) in world.seen.iter().enumerate() {
            prop_assert!(seen.done || seen.deliveries == 5, "{offset}: {seen:?}");
        }
    }
}
