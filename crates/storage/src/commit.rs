//! [`GroupCommit`]: one thread per disk that makes all logs with news durable together.
//!
//! A round takes every log that was submitted, syncs them, and publishes what became durable. There is no timer: what
//! arrives while a round syncs is the next round. Up to [`FILE_SYNCS_MAX`] logs are synced one by one; more are covered by
//! one sync of the file system. Syncing on several threads at once costs more than it gains (docs/performance.md, S3).
//!
//! Invariants: a round reports only what was appended before its syncs began; a failed sync fails every log of its round
//! and is never repeated. A crash at any point leaves logs that were not reported, which recovery may keep or cut.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use env::disk::Disk;
use env::{Spawner, Thread};
use parking_lot::{Condvar, Mutex};

use crate::metrics::StorageMetrics;
use crate::{CommitFailed, Durability, SyncTarget};

/// Logs that are synced one by one. One sync of the file system is faster from two logs on if nobody else writes, and
/// slower below about 25 if somebody does, since it writes that too; at eight either loses little.
const FILE_SYNCS_MAX: usize = 8;

/// Commits for all logs on one disk.
#[derive(Debug)]
pub struct GroupCommit {
    disk: Arc<dyn Disk>,
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
    pub(crate) fn new(disk: Arc<dyn Disk>, root: PathBuf, metrics: Arc<StorageMetrics>) -> Self {
        Self {
            disk,
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
        let commit = Arc::clone(self);
        spawner.spawn_thread(
            "log-commit",
            Box::new(move || {
                let _guard = AbortOnPanic;
                commit.run();
            }),
        )
    }

    /// Lets the thread end once everything that was submitted is committed.
    pub(crate) fn stop(&self) {
        self.queue.lock().stopping = true;
        self.work.notify_all();
    }

    fn run(&self) {
        while self.wait_for_work() {
            self.run_once();
        }
    }

    /// Waits until a log is submitted. False once the thread shall end.
    fn wait_for_work(&self) -> bool {
        let mut queue = self.queue.lock();
        while queue.waiting.is_empty() && !queue.stopping {
            self.work.wait(&mut queue);
        }
        !queue.waiting.is_empty()
    }

    /// One round over all logs that wait now; false if there were none.
    pub fn run_once(&self) -> bool {
        let _one = self.round.lock();
        let targets = std::mem::take(&mut self.queue.lock().waiting);
        if targets.is_empty() {
            return false;
        }
        let ends: Vec<_> = targets.iter().map(|target| target.appended()).collect();
        let is_whole =
            targets.len() > FILE_SYNCS_MAX && !self.file_system_failed.load(Ordering::Relaxed);
        let outcome = if is_whole {
            self.sync_file_system()
        } else {
            targets.iter().try_for_each(|target| target.sync())
        };
        self.metrics.commits.add(1);
        match outcome {
            Ok(()) => {
                self.metrics.committed_logs.add(targets.len() as u64);
                for (target, end) in targets.iter().zip(ends) {
                    target.committed(end);
                }
            }
            Err(failure) => {
                self.metrics.failed_commits.add(1);
                self.file_system_failed
                    .fetch_or(is_whole, Ordering::Relaxed);
                tracing::error!(
                    cause = %failure.cause,
                    logs = targets.len(),
                    "a sync of the log failed; its partitions are offline until the broker is restarted"
                );
                for target in &targets {
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
