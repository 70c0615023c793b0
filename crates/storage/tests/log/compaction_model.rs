//! Compaction against a reference: random records, tombstones, transactions of several producers, codecs, clocks that
//! move, maps that are too small, and stops of every kind.
//!
//! At every moment the log read as a table (as a consumer with `read_committed` reads it) is the table that all records
//! ever written give; after a cleaning the records that are left are exactly those that the reference keeps.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use protocol::records::{
    BatchBuilder, BatchIterator, BatchOptions, Compression, ControlRecordType,
    EndTransactionMarker, control,
};
use storage::{
    AppendContext, CleanerSettings, CleanupPolicy, Isolation, LocalLog, LogDirectory, LogSettings,
    PartitionLog,
};

use crate::support::*;

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Open,
    Committed,
    Aborted,
}

#[derive(Clone, Debug)]
pub(crate) struct ModelRecord {
    pub(crate) offset: i64,
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    /// Not compacted away.
    pub(crate) is_left: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct ModelBatch {
    pub(crate) records: Vec<ModelRecord>,
    /// The number of its transaction.
    pub(crate) transaction: Option<usize>,
    horizon: Option<i64>,
}

#[derive(Clone, Debug, Default)]
struct Producer {
    sequence: i32,
    open: Option<usize>,
}

/// All that was ever written, and what the reference keeps of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) batches: Vec<ModelBatch>,
    outcomes: Vec<Outcome>,
    producers: BTreeMap<i64, Producer>,
    pub(crate) log_end: i64,
    written: u64,
}

pub(crate) type Table = BTreeMap<String, String>;
pub(crate) type Survivor = (i64, String, Option<String>);

impl Model {
    fn is_visible(&self, batch: &ModelBatch) -> bool {
        batch
            .transaction
            .is_none_or(|number| self.outcomes[number] == Outcome::Committed)
    }

    fn is_aborted(&self, batch: &ModelBatch) -> bool {
        batch
            .transaction
            .is_some_and(|number| self.outcomes[number] == Outcome::Aborted)
    }

    /// The last value of each key below `end`, of all records that were ever written.
    pub(crate) fn table(&self, end: i64) -> Table {
        let mut table = Table::new();
        for batch in self.batches.iter().filter(|batch| self.is_visible(batch)) {
            for record in batch.records.iter().filter(|record| record.offset < end) {
                match &record.value {
                    Some(value) => table.insert(record.key.clone(), value.clone()),
                    None => table.remove(&record.key),
                };
            }
        }
        table
    }

    /// What is left, in order.
    pub(crate) fn survivors(&self) -> Vec<Survivor> {
        let records = self.batches.iter().flat_map(|batch| &batch.records);
        records
            .filter(|record| record.is_left)
            .map(|record| (record.offset, record.key.clone(), record.value.clone()))
            .collect()
    }

    /// The reference compaction of everything below `end`.
    pub(crate) fn clean(&mut self, end: i64, now_ms: i64, delete_retention_ms: u64) {
        let mut latest: HashMap<String, i64> = HashMap::new();
        for batch in self.batches.iter().filter(|batch| !self.is_aborted(batch)) {
            for record in &batch.records {
                if record.is_left && record.offset < end {
                    latest.insert(record.key.clone(), record.offset);
                }
            }
        }
        let aborted: Vec<_> = self
            .batches
            .iter()
            .map(|batch| self.is_aborted(batch))
            .collect();
        for (batch, is_aborted) in self.batches.iter_mut().zip(aborted) {
            let is_due = batch.horizon.is_some_and(|horizon| horizon <= now_ms);
            for record in batch
                .records
                .iter_mut()
                .filter(|record| record.offset < end)
            {
                let is_latest = latest
                    .get(&record.key)
                    .is_none_or(|last| *last <= record.offset);
                let is_over = record.value.is_none() && is_due;
                record.is_left &= !is_aborted && is_latest && !is_over;
            }
            let has_tombstone = batch
                .records
                .iter()
                .any(|record| record.offset < end && record.is_left && record.value.is_none());
            if has_tombstone && batch.horizon.is_none() {
                batch.horizon = Some(now_ms + i64::try_from(delete_retention_ms).unwrap());
            }
        }
    }

    /// Appends a batch, in a transaction if `producer` is given and `transactional`.
    pub(crate) fn write(
        &mut self,
        log: &LocalLog,
        clock: &TestClock,
        producer: Option<(i64, bool)>,
        codec: Compression,
        records: &[(u8, Option<u8>)],
    ) {
        let mut options = BatchOptions {
            compression: codec,
            ..BatchOptions::default()
        };
        let mut transaction = None;
        if let Some((id, is_transactional)) = producer {
            let state = self.producers.entry(id).or_default();
            options.producer_id = id;
            options.producer_epoch = 0;
            options.base_sequence = state.sequence;
            options.is_transactional = is_transactional;
            state.sequence += i32::try_from(records.len()).unwrap();
            if is_transactional {
                let number = *state.open.get_or_insert_with(|| {
                    self.outcomes.push(Outcome::Open);
                    self.outcomes.len() - 1
                });
                transaction = Some(number);
            }
        }
        let mut builder = BatchBuilder::new(options);
        let mut written = Vec::new();
        let now = env::Clock::wall(clock).ms();
        for (number, (key, value)) in records.iter().enumerate() {
            let key = format!("key-{key}");
            self.written += 1;
            let value =
                value.map(|length| format!("{}-{}", self.written, "x".repeat(usize::from(length))));
            let header = [(b"h".as_slice(), Some(b"1".as_slice()))];
            let headers: &[_] = if number % 2 == 0 { &header } else { &[] };
            builder
                .push(
                    now - i64::try_from(number).unwrap() * 7,
                    Some(key.as_bytes()),
                    value.as_ref().map(String::as_bytes),
                    headers,
                )
                .unwrap();
            written.push(ModelRecord {
                offset: self.log_end + i64::try_from(number).unwrap(),
                key,
                value,
                is_left: true,
            });
        }
        let base = write(log, builder.build().unwrap());
        assert_eq!(base, self.log_end);
        self.log_end += i64::try_from(records.len()).unwrap();
        self.batches.push(ModelBatch {
            records: written,
            transaction,
            horizon: None,
        });
    }

    /// Ends the open transaction of a producer, if there is one.
    pub(crate) fn end(&mut self, log: &LocalLog, clock: &TestClock, producer: i64, commit: bool) {
        let Some(number) = self
            .producers
            .get_mut(&producer)
            .and_then(|state| state.open.take())
        else {
            return;
        };
        let (kind, outcome) = if commit {
            (ControlRecordType::Commit, Outcome::Committed)
        } else {
            (ControlRecordType::Abort, Outcome::Aborted)
        };
        let options = BatchOptions {
            producer_id: producer,
            producer_epoch: 0,
            ..BatchOptions::default()
        };
        let marker = EndTransactionMarker {
            coordinator_epoch: 1,
        };
        let now = env::Clock::wall(clock).ms();
        let batch = BatchBuilder::end_transaction(options, now, kind, marker).unwrap();
        let ticket = log
            .append(batch, AppendContext::coordinator(epoch(log)))
            .unwrap();
        committed(ticket).unwrap();
        self.outcomes[number] = outcome;
        self.log_end += 1;
    }
}

/// The records that are left in the log, markers aside; offsets must rise.
pub(crate) fn survivors_of(log: &LocalLog) -> Vec<Survivor> {
    let mut all = Vec::new();
    walk(log, Isolation::ReadUncommitted, |batch, _aborted| {
        if !batch.is_control() {
            all.extend(records(batch));
        }
    });
    all
}

fn records(batch: &protocol::records::BatchView<'_>) -> Vec<Survivor> {
    let payload = batch.payload(1 << 24).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    batch
        .records(&payload)
        .map(|record| {
            let record = record.unwrap();
            let offset = batch.offset_of(record.offset_delta);
            (offset, text(record.key.unwrap()), record.value.map(text))
        })
        .collect()
}

/// Reads the log as a consumer does; `visit` is called for each batch, and told whether it is of an aborted transaction
/// (`CompletedFetch` of the Java client).
pub(crate) fn walk(
    log: &LocalLog,
    isolation: Isolation,
    mut visit: impl FnMut(&protocol::records::BatchView<'_>, bool),
) {
    let offsets = log.offsets();
    let end = match isolation {
        Isolation::ReadUncommitted => offsets.high_watermark,
        Isolation::ReadCommitted => offsets.last_stable,
    };
    let mut next = offsets.log_start.value();
    while next < end.value() {
        let plan = log.read(at(next), 700, isolation, true).unwrap();
        let mut ahead: Vec<_> = plan
            .aborted
            .iter()
            .map(|(producer, first)| (first.value(), producer.value()))
            .collect();
        ahead.sort_unstable();
        ahead.reverse();
        let mut aborted = BTreeSet::new();
        let bytes = bytes_of(&plan.slices);
        let before = next;
        for batch in BatchIterator::new(&bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            assert!(batch.base_offset() >= next || before > batch.base_offset());
            while let Some((_, producer)) = ahead.pop_if(|(first, _)| *first <= batch.last_offset())
            {
                aborted.insert(producer);
            }
            if batch.is_control() {
                let payload = batch.payload(1 << 16).unwrap();
                let is_abort = batch.records(&payload).next().is_some_and(|record| {
                    let key = record.unwrap().key.unwrap();
                    control::decode_key(key) == Ok(ControlRecordType::Abort)
                });
                if is_abort {
                    aborted.remove(&batch.producer_id());
                }
            }
            let is_aborted = batch.is_transactional() && aborted.contains(&batch.producer_id());
            visit(&batch, is_aborted);
            next = batch.next_offset();
        }
        // Who loads a log goes to its end so: the batch before it stays, if need be without records.
        assert!(next > before, "nothing from {before} to {end}");
    }
}

/// The log as a table.
pub(crate) fn table_of(log: &LocalLog) -> Table {
    let mut table = Table::new();
    walk(log, Isolation::ReadCommitted, |batch, is_aborted| {
        if is_aborted || batch.is_control() {
            return;
        }
        for (_, key, value) in records(batch) {
            match value {
                Some(value) => table.insert(key, value),
                None => table.remove(&key),
            };
        }
    });
    table
}

/// Where a cleaning of the log ends: the last segment stays, and what holds the last stable offset.
pub(crate) fn upper_bound(world: &World, log: &LocalLog) -> i64 {
    let bases: Vec<i64> = world
        .names()
        .iter()
        .filter_map(|name| name.strip_suffix(".log")?.parse().ok())
        .collect();
    let stable = log.offsets().last_stable.value();
    let below = bases.iter().filter(|base| **base <= stable);
    below.copied().max().unwrap_or_default()
}

pub(crate) fn compacted(segment_bytes: u32, delete_retention_ms: u64) -> LogSettings {
    LogSettings {
        cleanup: CleanupPolicy {
            delete: false,
            compact: true,
        },
        min_cleanable_dirty_ratio: 0.0,
        delete_retention_ms,
        ..small_segments(segment_bytes)
    }
}

/// A world whose logs are cleaned when a test says so.
pub(crate) fn quiet(mut world: World) -> World {
    world.options.cleaner = CleanerSettings {
        enabled: false,
        io_buffer_bytes: 1 << 16,
        ..CleanerSettings::default()
    };
    world.options.verify_transactions = false;
    world
}

#[derive(Clone, Debug)]
enum Step {
    Write {
        producer: Option<(i64, bool)>,
        codec: u8,
        records: Vec<(u8, Option<u8>)>,
    },
    End {
        producer: i64,
        commit: bool,
    },
    Clean,
    Advance(u64),
    Close,
    Crash,
    CrashWithoutCheckpoint,
}

fn step() -> impl Strategy<Value = Step> {
    let record = (0..12_u8, prop::option::weighted(0.75, 0..40_u8));
    let producer = prop_oneof![
        2 => Just(None),
        1 => Just(Some((7, false))),
        4 => (1..4_i64).prop_map(|id| Some((id, true))),
    ];
    prop_oneof![
        12 => (producer, 0..5_u8, prop::collection::vec(record, 1..6))
            .prop_map(|(producer, codec, records)| Step::Write { producer, codec, records }),
        5 => (1..4_i64, any::<bool>()).prop_map(|(producer, commit)| Step::End { producer, commit }),
        3 => Just(Step::Clean),
        2 => (1..30_000_u64).prop_map(Step::Advance),
        1 => Just(Step::Close),
        1 => Just(Step::Crash),
        1 => Just(Step::CrashWithoutCheckpoint),
    ]
}

static HISTORIES: AtomicU64 = AtomicU64::new(0);
static CLEANINGS: AtomicU64 = AtomicU64::new(0);
static WRITTEN: AtomicU64 = AtomicU64::new(0);
static REMOVED: AtomicU64 = AtomicU64::new(0);

/// Cleans until nothing is due, and has the reference do the same.
pub(crate) fn clean(
    world: &World,
    directory: &LogDirectory,
    log: &Arc<LocalLog>,
    model: &mut Model,
) {
    let end = upper_bound(world, log);
    let before = directory.metrics().cleanings.get();
    while directory.clean_once() {}
    let cleanings = directory.metrics().cleanings.get() - before;
    assert_eq!(directory.metrics().failed_cleanings.get(), 0);
    if cleanings > 0 {
        let now = env::Clock::wall(&*world.clock).ms();
        model.clean(end, now, log.settings().delete_retention_ms);
        CLEANINGS.fetch_add(cleanings, Ordering::Relaxed);
    }
    assert_eq!(survivors_of(log), model.survivors());
}

pub(crate) fn check(log: &LocalLog, model: &Model) {
    let offsets = log.offsets();
    assert_eq!(offsets.log_end.value(), model.log_end);
    assert_eq!(offsets.high_watermark, offsets.log_end);
    check_table(log, model);
}

/// The log is the table that all records ever written give.
pub(crate) fn check_table(log: &LocalLog, model: &Model) {
    let end = log.offsets().last_stable.value();
    assert_eq!(table_of(log), model.table(end));
}

fn run(steps: &[Step], map_keys: u64, segment_bytes: u32, delete_retention_ms: u64) {
    let mut world = quiet(World::new());
    world.options.cleaner.dedupe_buffer_bytes = map_keys * 24;
    world.options.cleaner.load_factor = 1.0;
    let settings = compacted(segment_bytes, delete_retention_ms);
    let mut directory = world.open();
    let mut current = log(&directory, settings.clone());
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Write {
                producer,
                codec,
                records,
            } => {
                let codec = Compression::from_id(*codec).unwrap();
                model.write(&current, &world.clock, *producer, codec, records);
            }
            Step::End { producer, commit } => {
                model.end(&current, &world.clock, *producer, *commit);
            }
            Step::Clean if model.log_end > 0 => {
                clean(&world, &directory, &current, &mut model);
            }
            Step::Clean => {}
            Step::Advance(ms) => world.clock.advance(*ms),
            Step::Close | Step::Crash | Step::CrashWithoutCheckpoint => {
                if matches!(step, Step::Close) {
                    directory.close().unwrap();
                }
                drop(current);
                drop(directory);
                if matches!(step, Step::CrashWithoutCheckpoint) {
                    std::fs::remove_file(world.root.join("checkpoint")).ok();
                }
                directory = world.open();
                current = log(&directory, settings.clone());
                assert_eq!(directory.metrics().truncated_bytes.get(), 0);
                assert_eq!(survivors_of(&current), model.survivors());
            }
        }
        check(&current, &model);
    }
    let left = model.survivors().len() as u64;
    HISTORIES.fetch_add(1, Ordering::Relaxed);
    WRITTEN.fetch_add(model.written, Ordering::Relaxed);
    REMOVED.fetch_add(model.written - left, Ordering::Relaxed);
}

/// How many histories: `COMPACTION_HISTORIES`, or few enough for every day.
fn cases() -> u32 {
    let wanted = std::env::var("COMPACTION_HISTORIES");
    wanted
        .ok()
        .and_then(|wanted| wanted.parse().ok())
        .unwrap_or(80)
}

/// What was compared, once all is; `--nocapture` shows it.
#[allow(clippy::print_stdout, reason = "the count of what was compared")]
fn tell() {
    let histories = HISTORIES.load(Ordering::Relaxed);
    if histories == u64::from(cases()) {
        println!(
            "compaction: {histories} histories, {} records written, {} cleanings, {} records removed, all as in the reference",
            WRITTEN.load(Ordering::Relaxed),
            CLEANINGS.load(Ordering::Relaxed),
            REMOVED.load(Ordering::Relaxed),
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn compaction_equals_the_reference_and_the_table_never_changes(
        steps in prop::collection::vec(step(), 1..80),
        map_keys in prop_oneof![2..10_u64, Just(1000)],
        segment_bytes in 500..2500_u32,
        delete_retention_ms in prop_oneof![Just(20_000_u64), Just(86_400_000)],
    ) {
        run(&steps, map_keys, segment_bytes, delete_retention_ms);
        tell();
    }
}
