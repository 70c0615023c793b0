//! [`GroupCommit`]: one thread per disk that makes all logs with news durable together.
//!
//! A round takes every log that was submitted, syncs them, and publishes what became durable. There is no timer: what
//! arrives while a round syncs is the next round. Up to [`FILE_SYNCS_MAX`] logs are synced one by one, overlapping on a
//! few helper threads so that device and journal work at once; more are covered by one sync of the file system.
//!
//! Invariants: a round reports only what was appended before its syncs began; a failed sync fails every log of its round
//! and is never repeated. A crash at any point leaves logs that were not reported, which recovery may keep or cut.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use env::Spawner;
use env::disk::Disk;
use parking_lot::{Condvar, Mutex};

use crate::metrics::StorageMetrics;
use crate::{CommitFailed, Durability, SyncTarget};

/// Logs that are synced one by one. Beyond it one sync of the file system costs less than the sum, although it also
/// writes what others left dirty there.
pub(crate) const FILE_SYNCS_MAX: usize = 8;
/// Threads that sync beside the commit thread.
const HELPERS: usize = 3;

/// Commits for all logs on one disk.
#[derive(Debug)]
pub struct GroupCommit {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    metrics: Arc<StorageMetrics>,
    queue: Mutex<Queue>,
    work: Condvar,
    rounds: Mutex<RoundBoard>,
    round_posted: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Arc<dyn SyncTarget>>,
    stopping: bool,
}

/// Where the commit thread posts rounds that helpers may join.
#[derive(Debug, Default)]
struct RoundBoard {
    round: Option<Arc<Round>>,
    posted: u64,
    stopping: bool,
}

/// The file syncs of one round, taken one by one by whoever is free.
#[derive(Debug)]
struct Round {
    targets: Vec<Arc<dyn SyncTarget>>,
    next: AtomicUsize,
    outcomes: Mutex<Outcomes>,
    finished: Condvar,
}

#[derive(Debug, Default)]
struct Outcomes {
    done: usize,
    failure: Option<CommitFailed>,
}

impl Durability for GroupCommit {
    fn submit(&self, target: Arc<dyn SyncTarget>) {
        let mut queue = self.queue.lock();
        queue.waiting.push(target);
        // Only the first wakes the thread: later ones find it awake or about to look.
        if queue.waiting.len() == 1 {
            self.work.notify_one();
        }
    }
}

impl GroupCommit {
    /// Commits for logs below `root`. Nothing runs until [`GroupCommit::start`], or [`GroupCommit::run_once`] by hand.
    pub(crate) fn new(disk: Arc<dyn Disk>, root: PathBuf, metrics: Arc<StorageMetrics>) -> Self {
        Self {
            disk,
            root,
            metrics,
            queue: Mutex::default(),
            work: Condvar::new(),
            rounds: Mutex::default(),
            round_posted: Condvar::new(),
        }
    }

    /// Starts the commit thread and its helpers.
    ///
    /// # Errors
    /// When the system refuses threads.
    pub(crate) fn start(
        self: &Arc<Self>,
        spawner: &dyn Spawner,
    ) -> std::io::Result<Vec<env::Thread>> {
        let mut threads = Vec::new();
        let commit = Arc::clone(self);
        threads.push(spawner.spawn_thread(
            "log-commit",
            Box::new(move || {
                let _guard = AbortOnPanic;
                commit.run();
            }),
        )?);
        for number in 0..HELPERS {
            let commit = Arc::clone(self);
            threads.push(spawner.spawn_thread(
                &format!("log-sync-{number}"),
                Box::new(move || {
                    let _guard = AbortOnPanic;
                    commit.help();
                }),
            )?);
        }
        Ok(threads)
    }

    /// Lets the threads end once everything that was submitted is committed.
    pub(crate) fn stop(&self) {
        self.queue.lock().stopping = true;
        self.work.notify_all();
    }

    fn run(&self) {
        loop {
            {
                let mut queue = self.queue.lock();
                while queue.waiting.is_empty() && !queue.stopping {
                    self.work.wait(&mut queue);
                }
                if queue.waiting.is_empty() {
                    break;
                }
            }
            self.run_once();
        }
        self.rounds.lock().stopping = true;
        self.round_posted.notify_all();
    }

    /// One round over all logs that wait now; false if there were none.
    pub fn run_once(&self) -> bool {
        let targets = std::mem::take(&mut self.queue.lock().waiting);
        if targets.is_empty() {
            return false;
        }
        let ends: Vec<_> = targets.iter().map(|target| target.appended()).collect();
        let round = Arc::new(Round::new(targets));
        let outcome = if round.targets.len() > FILE_SYNCS_MAX {
            self.sync_file_system()
        } else {
            self.sync_each(&round)
        };
        self.metrics.commits.add(1);
        match outcome {
            Ok(()) => {
                self.metrics.committed_logs.add(round.targets.len() as u64);
                for (target, end) in round.targets.iter().zip(ends) {
                    target.committed(end);
                }
            }
            Err(failure) => {
                self.metrics.failed_commits.add(1);
                tracing::error!(
                    cause = %failure.cause,
                    logs = round.targets.len(),
                    "a sync of the log failed; its partitions are offline until the broker is restarted"
                );
                for target in &round.targets {
                    target.failed(failure.clone());
                }
            }
        }
        true
    }

    fn sync_file_system(&self) -> Result<(), CommitFailed> {
        self.metrics.file_system_syncs.add(1);
        self.disk
            .sync_file_system(&self.root)
            .map_err(|error| CommitFailed {
                cause: Arc::new(error),
            })
    }

    fn sync_each(&self, round: &Arc<Round>) -> Result<(), CommitFailed> {
        if let [target] = round.targets.as_slice() {
            return target.sync();
        }
        {
            let mut board = self.rounds.lock();
            board.round = Some(Arc::clone(round));
            board.posted += 1;
        }
        self.round_posted.notify_all();
        round.take_part();
        let failure = round.wait();
        self.rounds.lock().round = None;
        failure.map_or(Ok(()), Err)
    }

    /// Joins each round that is posted, until the commit thread stops.
    fn help(&self) {
        let mut seen = 0;
        loop {
            let round = {
                let mut board = self.rounds.lock();
                loop {
                    if board.posted != seen {
                        seen = board.posted;
                        break board.round.clone();
                    }
                    if board.stopping {
                        return;
                    }
                    self.round_posted.wait(&mut board);
                }
            };
            if let Some(round) = round {
                round.take_part();
            }
        }
    }
}

impl Round {
    fn new(targets: Vec<Arc<dyn SyncTarget>>) -> Self {
        Self {
            targets,
            next: AtomicUsize::new(0),
            outcomes: Mutex::default(),
            finished: Condvar::new(),
        }
    }

    /// Syncs logs of the round until all are taken.
    fn take_part(&self) {
        while let Some(target) = self.targets.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = target.sync();
            let mut outcomes = self.outcomes.lock();
            outcomes.done += 1;
            if let Err(failure) = outcome {
                outcomes.failure.get_or_insert(failure);
            }
            if outcomes.done == self.targets.len() {
                self.finished.notify_all();
            }
        }
    }

    /// Waits until all logs of the round were synced; the first failure, if there was one.
    fn wait(&self) -> Option<CommitFailed> {
        let mut outcomes = self.outcomes.lock();
        while outcomes.done < self.targets.len() {
            self.finished.wait(&mut outcomes);
        }
        outcomes.failure.take()
    }
}

/// Ends the process when its thread panics: without commits no ack is ever sent, without checkpoints recovery grows
/// without bound, and a half-done round must not be taken for a success.
pub(crate) struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}
