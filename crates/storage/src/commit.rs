//! [`GroupCommit`]: one thread per disk that makes all logs with news durable together.
//!
//! A round takes every log that was submitted, syncs them, and publishes what became durable. There is no timer: what
//! arrives while a round syncs is the next round. Up to [`FILE_SYNCS_MAX`] logs are synced one by one; more are covered by
//! one sync of the file system. Syncing on several threads at once costs more than it gains (docs/performance.md, S3).
//!
//! Whose sync fails goes offline, and no other. A sync of the file system does not say whose error it met: each log of the
//! round then syncs its own files, which report errors of their own (the kernel keeps one per file); if none does, the error
//! may be anybody's, and all of them go offline.
//!
//! Invariants: a round reports only what was appended before its syncs began; a file's failed sync is never repeated, and a
//! log is reported only after a sync that covers it returned without an error of its own. A crash at any point leaves logs
//! that were not reported, which recovery may keep or cut.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use env::disk::Disk;
use env::{Clock, Env, Spawner, Thread, Worker};
use parking_lot::{Condvar, Mutex};

use crate::metrics::StorageMetrics;
use crate::planted::{Bug, is_planted};
use crate::{CommitFailed, Durability, SyncTarget};

/// Logs that are synced one by one. One sync of the file system is faster from two logs on if nobody else writes, and
/// slower below about 25 if somebody does, since it writes that too; at eight either loses little.
const FILE_SYNCS_MAX: usize = 8;

/// The name of the thread that commits.
pub const COMMIT_THREAD: &str = "log-commit";

/// Commits for all logs on one disk.
#[derive(Debug)]
pub struct GroupCommit {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    root: PathBuf,
    metrics: Arc<StorageMetrics>,
    queue: Mutex<Queue>,
    work: Condvar,
    /// One round at a time: a log has one window.
    round: Mutex<()>,
    /// A sync of the whole file system failed: its error may have been that of a log outside of its round, whose next
    /// sync of the file system would then succeed. From now on only files are synced, which each know their own errors.
    file_system_failed: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Arc<dyn SyncTarget>>,
    stopping: bool,
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
    pub(crate) fn new(env: &Env, root: PathBuf, metrics: Arc<StorageMetrics>) -> Self {
        Self {
            disk: Arc::clone(&env.disk),
            clock: Arc::clone(&env.clock),
            root,
            metrics,
            queue: Mutex::default(),
            work: Condvar::new(),
            round: Mutex::default(),
            file_system_failed: AtomicBool::new(false),
        }
    }

    /// Starts the commit thread.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(crate) fn start(self: &Arc<Self>, spawner: &dyn Spawner) -> std::io::Result<Thread> {
        spawner.spawn_worker(COMMIT_THREAD, Arc::new(CommitThread(Arc::clone(self))))
    }

    /// Lets the thread end once everything that was submitted is committed.
    pub(crate) fn stop(&self) {
        self.queue.lock().stopping = true;
        self.work.notify_all();
    }

    /// Waits until a log is submitted. False once the thread shall end.
    fn wait_for_work(&self) -> bool {
        let mut queue = self.queue.lock();
        while queue.waiting.is_empty() && !queue.stopping {
            self.work.wait(&mut queue);
        }
        !queue.waiting.is_empty()
    }

    /// Logs that wait for the next round.
    pub fn waiting(&self) -> usize {
        self.queue.lock().waiting.len()
    }

    /// One round over all logs that wait now; false if there were none.
    pub fn run_once(&self) -> bool {
        let _one = self.round.lock();
        let targets = std::mem::take(&mut self.queue.lock().waiting);
        if targets.is_empty() {
            return false;
        }
        let begun = self.clock.now();
        let ends: Vec<_> = targets.iter().map(|target| target.appended()).collect();
        let is_whole =
            targets.len() > FILE_SYNCS_MAX && !self.file_system_failed.load(Ordering::Relaxed);
        let outcomes = if is_whole {
            self.sync_together(&targets)
        } else {
            sync_each(&targets)
        };
        let took = self.clock.now().since(begun);
        self.metrics.commit_durations.add(took);
        self.metrics.commits.add(1);
        let mut failed = 0;
        let mut first = None;
        for ((target, end), outcome) in targets.iter().zip(ends).zip(outcomes) {
            match outcome {
                Ok(()) => {
                    self.metrics.committed_logs.add(1);
                    target.committed(end);
                }
                Err(failure) => {
                    failed += 1;
                    first.get_or_insert_with(|| Arc::clone(&failure.cause));
                    target.failed(failure);
                }
            }
        }
        if let Some(cause) = first {
            self.metrics.failed_commits.add(1);
            tracing::error!(
                %cause,
                logs = failed,
                of = targets.len(),
                "a sync of the log failed; its partitions are offline until the broker is restarted"
            );
        }
        true
    }

    /// One sync for all logs of a round.
    fn sync_together(&self, targets: &[Arc<dyn SyncTarget>]) -> Vec<Result<(), CommitFailed>> {
        let Err(failure) = self.sync_file_system() else {
            return targets.iter().map(|_| Ok(())).collect();
        };
        self.file_system_failed.store(true, Ordering::Relaxed);
        let outcomes = sync_each(targets);
        if outcomes.iter().any(Result::is_err) {
            return outcomes;
        }
        targets.iter().map(|_| Err(failure.clone())).collect()
    }

    fn sync_file_system(&self) -> Result<(), CommitFailed> {
        self.metrics.file_system_syncs.add(1);
        self.disk
            .sync_file_system(&self.root)
            .map_err(|error| CommitFailed {
                cause: Arc::new(error),
            })
    }
}

fn sync_each(targets: &[Arc<dyn SyncTarget>]) -> Vec<Result<(), CommitFailed>> {
    targets.iter().map(|target| sync(&**target)).collect()
}

fn sync(target: &dyn SyncTarget) -> Result<(), CommitFailed> {
    if is_planted(Bug::AckBeforeSync) {
        return Ok(());
    }
    target.sync()
}

/// Commits what is submitted.
struct CommitThread(Arc<GroupCommit>);

impl Worker for CommitThread {
    fn run(&self) {
        let _guard = AbortOnPanic;
        while self.0.wait_for_work() {
            self.0.run_once();
        }
    }

    fn turn(&self) -> bool {
        self.0.run_once()
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
