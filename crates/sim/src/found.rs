//! What the simulation found, each as a test of its own on the simulated disk, without the rest of the world.

use std::any::Any;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use bytes::Bytes;
use env::Env;
use env::disk::OpenMode;
use metadata::{LocalStore, MetadataStore as _, Transaction};
use parking_lot::Mutex;
use protocol::records::BatchOptions;
use protocol::{Records, Slice};
use storage::{
    AppendContext, DirectoryOptions, Isolation, LocalLog, LogDirectory, LogSettings,
    PartitionLog as _, SegmentFile,
};
use types::{Offset, PartitionIndex, TopicId, TopicName, TopicPartition};

use crate::clock::SimClock;
use crate::disk::{Faults, Loss, Machine, SimDisk};
use crate::network::{SimNetwork, Wires};
use crate::process::Life;
use crate::random::{Random, SimRandom};
use crate::requests;
use crate::scheduler::{Scheduler, WORLD};
use crate::spawner::SimSpawner;
use crate::trace::Trace;

/// Runs of a test: the disk chooses anew in each.
const RUNS: u64 = 30;
const ALL_LOST: Loss = Loss { kept: 0, torn: 0 };

/// A disk and what a process needs to use it.
struct Bench {
    scheduler: Arc<Scheduler>,
    machine: Arc<Machine>,
    /// The process that runs now.
    life: Arc<Life>,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let scheduler = Scheduler::new(random.fork(), Trace::new(false));
        Self {
            machine: Machine::new(Arc::clone(&scheduler), random.fork()),
            scheduler,
            life: Arc::new(Life::new(WORLD)),
        }
    }

    /// The process dies; the page cache stays.
    fn kill(&self) {
        self.life.end();
        self.scheduler.kill(self.life.process);
        self.machine.release(self.life.process);
    }

    /// The surroundings of a new process.
    fn process(&mut self) -> Env {
        let scheduler = &self.scheduler;
        let life = Arc::new(Life::new(self.life.process + 1));
        self.life = Arc::clone(&life);
        let random = || Mutex::new(Random::new(1));
        Env {
            clock: Arc::new(SimClock::new(
                Arc::clone(scheduler),
                Arc::new(AtomicI64::new(0)),
            )),
            random: Arc::new(SimRandom(random())),
            disk: Arc::new(SimDisk::new(Arc::clone(&self.machine), Arc::clone(&life))),
            network: Arc::new(SimNetwork {
                wires: Wires::new(Arc::clone(scheduler), Random::new(1)),
                life: Arc::clone(&life),
            }),
            spawner: Arc::new(SimSpawner {
                scheduler: Arc::clone(scheduler),
                life,
                random: random(),
            }),
        }
    }

    /// So many syncs of a thousand fail.
    fn syncs_fail(&self, sync: u64) {
        self.machine.set_faults(Faults {
            sync,
            ..Faults::default()
        });
    }

    fn open(&mut self) -> (LogDirectory, Arc<LocalLog>) {
        self.open_with(false)
    }

    fn open_with(&mut self, own_threads: bool) -> (LogDirectory, Arc<LocalLog>) {
        let options = DirectoryOptions {
            own_threads,
            ..DirectoryOptions::default()
        };
        let opened = LogDirectory::open(self.process(), Path::new("/data"), options);
        let directory = opened.unwrap().directory;
        let partition = TopicPartition {
            topic: TopicName::new("t"),
            partition: PartitionIndex::new(0).unwrap(),
        };
        let topic_id = TopicId::new([1; 16]).unwrap();
        let log = directory
            .log(&partition, topic_id, LogSettings::default())
            .unwrap();
        (directory, log)
    }

    /// Runs what the scheduler has until `task` is done.
    fn wait_for<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> T {
        let outcome = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&outcome);
        let task = async move {
            let done = task.await;
            *slot.lock() = Some(done);
        };
        self.scheduler.spawn(WORLD, Box::pin(task));
        loop {
            if let Some(done) = outcome.lock().take() {
                return done;
            }
            assert!(self.scheduler.step(), "everybody waits");
        }
    }
}

fn append(log: &LocalLog, value: u64) {
    assert!(!try_append(log, value));
}

/// What readers get from the beginning on.
fn values(log: &LocalLog) -> Vec<u64> {
    let plan = log.read(Offset::ZERO, 1 << 20, Isolation::ReadUncommitted, true);
    let mut bytes = Vec::new();
    for slice in plan.unwrap().slices {
        match slice {
            Slice::Memory(memory) => bytes.extend_from_slice(&memory),
            Slice::File(range) => {
                let file: &dyn Any = &*range.file;
                let file: &SegmentFile = file.downcast_ref().unwrap();
                let mut part = vec![0; range.length];
                file.disk_file().read_at(&mut part, range.offset).unwrap();
                bytes.extend_from_slice(&part);
            }
        }
    }
    let fetched = requests::read(
        Some(Records::from(Bytes::from(bytes))),
        requests::Aborted::default(),
    )
    .unwrap();
    fetched
        .records
        .into_iter()
        .map(|(_, value)| value)
        .collect()
}

/// Whether the disk refused.
fn try_append(log: &LocalLog, value: u64) -> bool {
    let batch: Bytes = requests::batch(BatchOptions::default(), 0, &[value], 10);
    let context = AppendContext::client(log.offsets().leader_epoch);
    log.append(batch, context).is_err()
}

#[test]
fn what_a_failed_sync_left_in_the_page_cache_is_written_again_before_it_counts() {
    for seed in 0..RUNS {
        let mut bench = Bench::new(seed);
        let (directory, log) = bench.open();
        append(&log, 1);
        directory.run_once();
        append(&log, 2);
        bench.syncs_fail(1000);
        directory.run_once();
        assert_eq!(log.offsets().high_watermark.value(), 1);
        bench.kill();
        drop((directory, log));
        bench.syncs_fail(0);

        let (directory, log) = bench.open();
        assert_eq!(
            log.offsets().high_watermark.value(),
            2,
            "readers see it now"
        );
        append(&log, 3);
        directory.run_once();
        assert_eq!(log.offsets().high_watermark.value(), 3);
        bench.kill();
        drop((directory, log));
        bench.machine.lose_power(ALL_LOST);

        let (_directory, log) = bench.open();
        assert_eq!(values(&log), [1, 2, 3], "seed {seed}");
    }
}

#[test]
fn what_is_appended_while_a_sync_fails_is_never_committed() {
    let mut interrupted = 0;
    for seed in 0..RUNS {
        let mut bench = Bench::new(seed);
        let (directory, log) = bench.open_with(true);
        append(&log, 1);
        while log.offsets().high_watermark.value() < 1 {
            bench.scheduler.step();
        }
        append(&log, 2);
        bench.syncs_fail(1000);
        let later = Arc::clone(&log);
        let task = async move {
            // Refused if the sync has failed by then.
            try_append(&later, 3);
        };
        bench.scheduler.spawn(WORLD, Box::pin(task));
        while directory.metrics().failed_commits.get() == 0 {
            bench.scheduler.step();
        }
        bench.syncs_fail(0);
        interrupted += u64::from(log.offsets().log_end.value() == 3);
        for _step in 0..50 {
            bench.scheduler.step();
        }
        assert_eq!(log.offsets().high_watermark.value(), 1, "seed {seed}");
        assert_eq!(directory.metrics().failed_commits.get(), 1);
    }
    assert!(interrupted > 0);
}

#[test]
fn a_segment_made_for_a_refused_write_is_durable_before_records_in_it_are_acknowledged() {
    for seed in 0..RUNS {
        let mut bench = Bench::new(seed);
        let (directory, log) = bench.open();
        bench.machine.set_faults(Faults {
            is_full: true,
            ..Faults::default()
        });
        for _attempt in 0..20 {
            let refused = try_append(&log, 1);
            assert!(refused || log.offsets().log_end.value() > 0);
            if !refused {
                break;
            }
        }
        bench.machine.set_faults(Faults::default());
        drop(log);
        directory.close().unwrap();
        bench.kill();
        drop(directory);

        let (directory, log) = bench.open();
        append(&log, 2);
        directory.run_once();
        let acknowledged = log.offsets().high_watermark;
        bench.kill();
        drop((directory, log));
        bench.machine.lose_power(ALL_LOST);

        let (_directory, log) = bench.open();
        assert_eq!(log.offsets().log_end, acknowledged, "seed {seed}");
        assert_eq!(values(&log).last(), Some(&2));
    }
}

/// Puts a batch that an earlier process lost the beginning of behind a hole of the same size at the end of the log.
fn leave_behind_a_hole(bench: &mut Bench, base_offset: i64, value: u64) {
    let options = BatchOptions {
        base_offset,
        partition_leader_epoch: 1,
        ..BatchOptions::default()
    };
    let stale = requests::batch(options, 0, &[value], 10);
    let disk = bench.process().disk;
    let path = Path::new("/data/logs/t-0/00000000000000000000.log");
    let file = disk.open(path, OpenMode::ReadWrite).unwrap();
    let position = file.length().unwrap() + stale.len() as u64;
    file.write_at(&[IoSlice::new(&stale)], position).unwrap();
    file.sync_data().unwrap();
    bench.kill();
}

#[test]
fn what_was_cut_off_does_not_come_back_behind_what_is_written_over_it() {
    for seed in 0..RUNS {
        let mut bench = Bench::new(seed);
        let (directory, log) = bench.open();
        append(&log, 1);
        directory.run_once();
        directory.checkpoint().unwrap();
        bench.kill();
        drop((directory, log));
        leave_behind_a_hole(&mut bench, 2, 9);

        let (directory, log) = bench.open();
        append(&log, 2);
        bench.kill();
        drop((directory, log));
        bench.machine.lose_power(Loss { kept: 500, torn: 0 });

        let (_directory, log) = bench.open();
        assert!(!values(&log).contains(&9), "seed {seed}");
    }
}

fn put(key: &'static str) -> Transaction {
    let mut transaction = Transaction::default();
    transaction.put(key, "value");
    transaction
}

#[test]
fn metadata_of_a_failed_sync_is_written_again_before_more_is_built_on_it() {
    for seed in 0..RUNS {
        let mut bench = Bench::new(seed);
        let path = Path::new("/metadata");
        let store = LocalStore::open(&bench.process(), path).unwrap();
        bench.wait_for(store.transact(put("first"))).unwrap();
        bench.syncs_fail(500);
        // More than one page, so that the third does not write all of it anew.
        let mut second = put("second");
        for number in 0..400 {
            second.put(format!("key-{number}"), "a value of some length".repeat(4));
        }
        // It begins with a sync of its own; where the one at its end fails is where it matters.
        drop(bench.wait_for(store.transact(second)));
        bench.kill();
        drop(store);
        bench.syncs_fail(0);

        let store = LocalStore::open(&bench.process(), path).unwrap();
        bench.wait_for(store.transact(put("third"))).unwrap();
        bench.kill();
        drop(store);
        bench.machine.lose_power(ALL_LOST);

        let store = LocalStore::open(&bench.process(), path).unwrap();
        let (_, entries) = store.range(b"");
        let has = |key: &str| entries.iter().any(|entry| entry.key == key);
        assert!(has("first") && has("third"), "seed {seed}");
    }
}
