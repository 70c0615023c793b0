//! Random histories of idempotent and transactional producers against Kafka's rules, written down once more and as
//! plainly as they can be (`ProducerAppendInfo`, `ProducerStateManager`, `UnifiedLog`), with stops of every kind.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;
use protocol::records::{BatchBuilder, BatchOptions, ControlRecordType, EndTransactionMarker};
use storage::{
    AppendContext, AppendError, FirstBatch, Isolation, LocalLog, PartitionLog, TransactionVersion,
    VerificationGuard,
};
use types::ProducerId;

use crate::support::*;

#[derive(Clone, Copy, Debug)]
enum Sequence {
    /// What follows the last batch.
    Next,
    Zero,
    /// So many too many.
    Skip(i32),
    /// The batch so many before the last, again.
    Again(usize),
    /// Near the largest.
    Largest(i32),
}

#[derive(Clone, Debug)]
enum Step {
    Plain {
        records: usize,
    },
    Begin {
        producer: i64,
        epoch: i16,
        sequence: Sequence,
        has_own_epochs: bool,
    },
    Produce {
        producer: i64,
        epoch: i16,
        sequence: Sequence,
        records: usize,
        transactional: bool,
        /// Shows the guard that was given last.
        guarded: bool,
    },
    Marker {
        producer: i64,
        epoch: i16,
        coordinator_epoch: i32,
        version: TransactionVersion,
        committed: bool,
    },
    Delete {
        share: u8,
    },
    SegmentBytes(u32),
    Checkpoint,
    Close,
    Crash,
    CrashWithoutCheckpoint,
}

fn sequence() -> impl Strategy<Value = Sequence> {
    prop_oneof![
        8 => Just(Sequence::Next),
        2 => Just(Sequence::Zero),
        1 => (1..4_i32).prop_map(Sequence::Skip),
        3 => (0..7_usize).prop_map(Sequence::Again),
        1 => (0..4_i32).prop_map(Sequence::Largest),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    // Few producers and epochs, so that they meet.
    let producer = 0..3_i64;
    let epoch = prop_oneof![4 => Just(0_i16), 2 => Just(1_i16), 1 => 0..5_i16];
    let version = prop_oneof![Just(TransactionVersion::V1), Just(TransactionVersion::V2)];
    prop_oneof![
        2 => (1..4_usize).prop_map(|records| Step::Plain { records }),
        5 => (producer.clone(), epoch.clone(), sequence(), any::<bool>()).prop_map(
            |(producer, epoch, sequence, has_own_epochs)| Step::Begin {
                producer,
                epoch,
                sequence,
                has_own_epochs,
            }
        ),
        14 => (producer.clone(), epoch.clone(), sequence(), 1..4_usize, any::<bool>(), any::<bool>())
            .prop_map(
                |(producer, epoch, sequence, records, transactional, guarded)| Step::Produce {
                    producer,
                    epoch,
                    sequence,
                    records,
                    transactional,
                    guarded,
                }
            ),
        5 => (producer, epoch, 0..3_i32, version, any::<bool>()).prop_map(
            |(producer, epoch, coordinator_epoch, version, committed)| Step::Marker {
                producer,
                epoch,
                coordinator_epoch,
                version,
                committed,
            }
        ),
        1 => (0..100_u8).prop_map(|share| Step::Delete { share }),
        1 => (400..2000_u32).prop_map(Step::SegmentBytes),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Close),
        1 => Just(Step::Crash),
        1 => Just(Step::CrashWithoutCheckpoint),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Batch {
    first_sequence: i32,
    last_sequence: i32,
    first_offset: i64,
}

#[derive(Clone, Debug, Default)]
struct Known {
    epoch: i16,
    coordinator_epoch: i32,
    batches: VecDeque<Batch>,
    transaction: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    guard: VerificationGuard,
    lowest: i32,
    epoch: i16,
    has_own_epochs: bool,
}

/// What Kafka would know.
#[derive(Debug, Default)]
struct Model {
    producers: BTreeMap<i64, Known>,
    asked: HashMap<i64, Asked>,
    /// The guard a client was given last, whatever became of it.
    held: HashMap<i64, VerificationGuard>,
    aborted: Vec<(i64, i64, i64)>,
    start: i64,
    end: i64,
}

fn plus(sequence: i32, count: usize) -> i32 {
    let space = i64::from(i32::MAX) + 1;
    let count = i64::try_from(count).unwrap();
    i32::try_from((i64::from(sequence) + count) % space).unwrap()
}

impl Model {
    fn sequence(&self, producer: i64, wanted: Sequence) -> i32 {
        let batches = self.producers.get(&producer).map(|known| &known.batches);
        let next = batches
            .and_then(|batches| batches.back())
            .map_or(0, |last| plus(last.last_sequence, 1));
        match wanted {
            Sequence::Next => next,
            Sequence::Zero => 0,
            Sequence::Skip(count) => plus(next, usize::try_from(count).unwrap()),
            Sequence::Again(back) => batches
                .and_then(|batches| batches.iter().rev().nth(back))
                .map_or(next, |batch| batch.first_sequence),
            Sequence::Largest(less) => i32::MAX - less,
        }
    }

    fn begin(&self, producer: i64, epoch: i16) -> Result<Option<VerificationGuard>, &'static str> {
        if let Some(known) = self.producers.get(&producer) {
            if epoch < known.epoch {
                return Err("fenced");
            }
            if known.transaction.is_some() && known.epoch == epoch {
                return Ok(None);
            }
        }
        Ok(self.asked.get(&producer).map(|asked| asked.guard))
    }

    fn note_begun(
        &mut self,
        producer: i64,
        epoch: i16,
        sequence: i32,
        has_own_epochs: bool,
        guard: VerificationGuard,
    ) {
        self.held.insert(producer, guard);
        let asked = self.asked.entry(producer).or_insert(Asked {
            guard,
            lowest: sequence,
            epoch,
            has_own_epochs,
        });
        if epoch == asked.epoch {
            asked.lowest = asked.lowest.min(sequence);
        } else if epoch > asked.epoch {
            asked.epoch = epoch;
            asked.lowest = sequence;
        }
    }

    /// What becomes of a client's batch: the offset of the original, or why it is refused, or nothing of both.
    fn judge(
        &self,
        producer: i64,
        epoch: i16,
        sequence: i32,
        records: usize,
        transactional: bool,
        guard: Option<VerificationGuard>,
    ) -> Result<Option<i64>, &'static str> {
        let known = self.producers.get(&producer);
        let last = plus(sequence, records - 1);
        if let Some(known) = known.filter(|known| known.epoch == epoch) {
            let same =
                |batch: &&Batch| batch.first_sequence == sequence && batch.last_sequence == last;
            if let Some(batch) = known.batches.iter().find(same) {
                return Ok(Some(batch.first_offset));
            }
        }
        if known.is_some_and(|known| epoch < known.epoch) {
            return Err("fenced");
        }
        let asked = self.asked.get(&producer);
        let ongoing =
            known.is_some_and(|known| known.transaction.is_some() && known.epoch == epoch);
        if transactional && !ongoing {
            let verified = guard.is_some() && asked.map(|asked| asked.guard) == guard;
            if !verified {
                return Err("unverified");
            }
        }
        if let Some(asked) = asked {
            let is_empty = known.is_none_or(|known| known.batches.is_empty());
            if asked.has_own_epochs && sequence != 0 && is_empty {
                return Err("order");
            }
            if sequence > asked.lowest {
                return Err("order");
            }
        }
        if let Some(known) = known {
            let expected = match known.batches.back() {
                Some(last) if known.epoch == epoch => plus(last.last_sequence, 1),
                _ => 0,
            };
            if sequence != expected {
                return Err("order");
            }
            if known.transaction.is_some() && !transactional {
                return Err("transaction");
            }
        }
        Ok(None)
    }

    fn known(&mut self, producer: i64, epoch: i16) -> &mut Known {
        let known = self.producers.entry(producer).or_insert(Known {
            epoch,
            coordinator_epoch: -1,
            ..Known::default()
        });
        if known.epoch != epoch {
            known.epoch = epoch;
            known.batches.clear();
        }
        known
    }

    fn append(
        &mut self,
        producer: i64,
        epoch: i16,
        sequence: i32,
        records: usize,
        transactional: bool,
    ) {
        let first_offset = self.end;
        self.end += i64::try_from(records).unwrap();
        if transactional {
            self.asked.remove(&producer);
        }
        let known = self.known(producer, epoch);
        if known.batches.len() == 5 {
            known.batches.pop_front();
        }
        known.batches.push_back(Batch {
            first_sequence: sequence,
            last_sequence: plus(sequence, records - 1),
            first_offset,
        });
        if transactional && known.transaction.is_none() {
            known.transaction = Some(first_offset);
        }
    }

    fn judge_marker(
        &self,
        producer: i64,
        epoch: i16,
        coordinator_epoch: i32,
        version: TransactionVersion,
    ) -> Result<(), &'static str> {
        let Some(known) = self.producers.get(&producer) else {
            return Ok(());
        };
        let late = match version {
            TransactionVersion::V1 => epoch < known.epoch,
            TransactionVersion::V2 => {
                epoch < known.epoch || (epoch == known.epoch && known.transaction.is_some())
            }
        };
        if late {
            return Err("fenced");
        }
        if coordinator_epoch < known.coordinator_epoch {
            return Err("coordinator");
        }
        Ok(())
    }

    fn mark(&mut self, producer: i64, epoch: i16, coordinator_epoch: i32, committed: bool) {
        let at = self.end;
        self.end += 1;
        let stays = self
            .asked
            .get(&producer)
            .is_some_and(|asked| asked.has_own_epochs && asked.epoch == epoch);
        if !stays {
            self.asked.remove(&producer);
        }
        let known = self.known(producer, epoch);
        known.coordinator_epoch = coordinator_epoch;
        if let Some(first) = known.transaction.take()
            && !committed
        {
            self.aborted.push((producer, first, at));
        }
    }

    fn last_stable(&self) -> i64 {
        let open = self
            .producers
            .values()
            .filter_map(|known| known.transaction);
        open.min().unwrap_or(self.end).max(self.start)
    }
}

fn reason(error: &AppendError) -> &'static str {
    match error {
        AppendError::ProducerFenced { .. } => "fenced",
        AppendError::OutOfOrderSequence { .. } => "order",
        AppendError::UnverifiedTransaction { .. } => "unverified",
        AppendError::InvalidTransactionState { .. } => "transaction",
        AppendError::CoordinatorFenced { .. } => "coordinator",
        _ => "other",
    }
}

fn of_producer(
    producer: i64,
    epoch: i16,
    sequence: i32,
    records: usize,
    is_transactional: bool,
) -> Bytes {
    let options = BatchOptions {
        producer_id: producer,
        producer_epoch: epoch,
        base_sequence: sequence,
        is_transactional,
        ..BatchOptions::default()
    };
    batch_with(options, NOW_MS, &vec!["value"; records])
}

fn marker(producer: i64, epoch: i16, coordinator_epoch: i32, committed: bool) -> Bytes {
    let options = BatchOptions {
        producer_id: producer,
        producer_epoch: epoch,
        ..BatchOptions::default()
    };
    let kind = match committed {
        true => ControlRecordType::Commit,
        false => ControlRecordType::Abort,
    };
    let marker = EndTransactionMarker { coordinator_epoch };
    BatchBuilder::end_transaction(options, NOW_MS, kind, marker).unwrap()
}

/// The log knows what the model knows.
fn compare(log: &LocalLog, model: &Model) {
    let offsets = log.offsets();
    assert_eq!(offsets.log_end.value(), model.end);
    assert_eq!(offsets.log_start.value(), model.start);
    assert_eq!(offsets.last_stable.value(), model.last_stable());
    let known: Vec<_> = log
        .producers()
        .iter()
        .map(|known| {
            (
                known.producer.value(),
                known.epoch,
                known.last_sequence,
                known.coordinator_epoch,
                known.transaction_start.map(types::Offset::value),
            )
        })
        .collect();
    let expected: Vec<_> = model
        .producers
        .iter()
        .map(|(id, known)| {
            let last = known.batches.back().map(|batch| batch.last_sequence);
            (
                *id,
                known.epoch,
                last,
                known.coordinator_epoch,
                known.transaction,
            )
        })
        .collect();
    assert_eq!(known, expected);
    let plan = log
        .read(at(model.start), 1 << 24, Isolation::ReadCommitted, true)
        .unwrap();
    let aborted: Vec<_> = plan
        .aborted
        .iter()
        .map(|(id, first)| (id.value(), first.value()))
        .collect();
    let stable = model.last_stable();
    let overlapping = |(_, first, last): &&(i64, i64, i64)| {
        *last >= model.start && *first < stable && stable > model.start
    };
    let expected: Vec<_> = model
        .aborted
        .iter()
        .filter(overlapping)
        .map(|(id, first, _)| (*id, *first))
        .collect();
    assert_eq!(aborted, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn producers_and_transactions_are_kept_by_kafkas_rules(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let world = World::new();
        let mut directory = world.open();
        let mut settings = small_segments(600);
        let mut log = log(&directory, settings.clone());
        let mut model = Model::default();
        for step in steps {
            match step.clone() {
                Step::Plain { records } => {
                    write(&log, batch(&vec!["plain"; records]));
                    model.end += i64::try_from(records).unwrap();
                }
                Step::Begin { producer, epoch, sequence, has_own_epochs } => {
                    let sequence = model.sequence(producer, sequence);
                    let told = log.begin_verification(FirstBatch {
                        producer: ProducerId::new(producer).unwrap(),
                        epoch,
                        sequence,
                        has_own_epochs,
                    });
                    match (told, model.begin(producer, epoch)) {
                        (Err(error), Err(expected)) => {
                            prop_assert_eq!(reason(&error), expected);
                        }
                        (Ok(Some(guard)), Ok(known)) => {
                            prop_assert!(known.is_none_or(|known| known == guard));
                            let is_open = model.producers.get(&producer).is_some_and(|known| {
                                known.transaction.is_some() && known.epoch == epoch
                            });
                            prop_assert!(!is_open, "nobody has to ask");
                            model.note_begun(producer, epoch, sequence, has_own_epochs, guard);
                        }
                        (Ok(None), Ok(None)) => {}
                        (told, expected) => prop_assert!(false, "{told:?} {expected:?}"),
                    }
                }
                Step::Produce { producer, epoch, sequence, records, transactional, guarded } => {
                    let sequence = model.sequence(producer, sequence);
                    let guard = model.held.get(&producer).copied().filter(|_| guarded);
                    let batch = of_producer(producer, epoch, sequence, records, transactional);
                    let told = log.append(batch, client(&log).with_guard(guard));
                    let expected =
                        model.judge(producer, epoch, sequence, records, transactional, guard);
                    match (told, expected) {
                        (Ok(ticket), Ok(original)) => {
                            prop_assert_eq!(ticket.outcome.duplicate, original.is_some());
                            let offset = original.unwrap_or(model.end);
                            prop_assert_eq!(ticket.outcome.base_offset.value(), offset);
                            committed(ticket).unwrap();
                            if original.is_none() {
                                model.append(producer, epoch, sequence, records, transactional);
                            }
                        }
                        (Err(error), Err(expected)) => {
                            prop_assert_eq!(reason(&error), expected, "{:?}", step);
                        }
                        (told, expected) => prop_assert!(false, "{step:?}: {told:?} {expected:?}"),
                    }
                }
                Step::Marker { producer, epoch, coordinator_epoch, version, committed: kept } => {
                    let context =
                        AppendContext::coordinator(self::epoch(&log)).with_transaction_version(version);
                    let told = log.append(marker(producer, epoch, coordinator_epoch, kept), context);
                    match (told, model.judge_marker(producer, epoch, coordinator_epoch, version)) {
                        (Ok(ticket), Ok(())) => {
                            committed(ticket).unwrap();
                            model.mark(producer, epoch, coordinator_epoch, kept);
                        }
                        (Err(error), Err(expected)) => {
                            prop_assert_eq!(reason(&error), expected, "{:?}", step);
                        }
                        (told, expected) => prop_assert!(false, "{step:?}: {told:?} {expected:?}"),
                    }
                }
                Step::Delete { share } => {
                    let before = model.end * i64::from(share) / 100;
                    model.start = model.start.max(before);
                    log.delete_records(Some(at(before))).unwrap();
                }
                Step::SegmentBytes(bytes) => {
                    settings.segment_bytes = bytes;
                    log.configure(settings.clone());
                }
                Step::Checkpoint => directory.checkpoint().unwrap(),
                Step::Close | Step::Crash | Step::CrashWithoutCheckpoint => {
                    if matches!(step, Step::Close) {
                        directory.close().unwrap();
                    }
                    drop(log);
                    drop(directory);
                    if matches!(step, Step::CrashWithoutCheckpoint) {
                        std::fs::remove_file(world.root.join("checkpoint")).ok();
                    }
                    directory = world.open();
                    log = crate::support::log(&directory, settings.clone());
                    model.asked.clear();
                    model.held.clear();
                }
            }
            compare(&log, &model);
        }
    }
}
