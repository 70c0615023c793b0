//! Work that waits for a time and must not hold up an append: removing files after their delay, `flush.ms`,
//! checkpoints.
//!
//! Invariant: one thread, one job at a time, in order of time; a job that fails is logged and not repeated, since none of
//! them is needed for what was acknowledged.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use env::Clock;
use env::disk::Disk;
use parking_lot::{Condvar, Mutex};
use types::Instant;

use crate::local_log::LocalLog;

/// The longest wait without a look at the clock: clocks of a simulation jump.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Something to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Remove a file or folder that was moved away.
    Remove { path: PathBuf, is_directory: bool },
    /// Sync what a log with write caching has not synced.
    Flush(Weak<LocalLog>),
}

/// The jobs that wait.
#[derive(Debug)]
pub(crate) struct Background {
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: BinaryHeap<Timed>,
    next_number: u64,
    checkpoint_wanted: bool,
    stopping: bool,
}

/// A job and its time; the earliest is the greatest.
#[derive(Debug)]
struct Timed {
    due: Instant,
    number: u64,
    job: Job,
}

impl PartialEq for Timed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Timed {}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timed {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

/// What the thread shall do next.
#[derive(Debug)]
pub(crate) enum Next {
    Job(Job),
    Checkpoint,
    Stop,
}

impl Background {
    pub(crate) fn new(clock: Arc<dyn Clock>, disk: Arc<dyn Disk>) -> Self {
        Self {
            clock,
            disk,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Does `job` after `delay`.
    pub(crate) fn after(&self, delay: Duration, job: Job) {
        let due = self.clock.now().plus(delay);
        let mut state = self.state.lock();
        let number = state.next_number;
        state.next_number += 1;
        state.jobs.push(Timed { due, number, job });
        self.changed.notify_one();
    }

    /// Asks for a checkpoint as soon as may be.
    pub(crate) fn want_checkpoint(&self) {
        self.state.lock().checkpoint_wanted = true;
        self.changed.notify_one();
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.changed.notify_all();
    }

    /// Waits for the next thing to do.
    pub(crate) fn next(&self) -> Next {
        let mut state = self.state.lock();
        loop {
            if state.stopping {
                return Next::Stop;
            }
            if let Some(due) = self.take_due(&mut state) {
                return due;
            }
            match state.jobs.peek() {
                Some(first) => {
                    let wait = first.due.since(self.clock.now()).min(LOOK_EVERY);
                    self.changed.wait_for(&mut state, wait);
                }
                None => self.changed.wait(&mut state),
            }
        }
    }

    /// The next thing that is due, without waiting.
    pub(crate) fn next_due(&self) -> Option<Next> {
        self.take_due(&mut self.state.lock())
    }

    fn take_due(&self, state: &mut State) -> Option<Next> {
        if std::mem::take(&mut state.checkpoint_wanted) {
            return Some(Next::Checkpoint);
        }
        if state.jobs.peek()?.due > self.clock.now() {
            return None;
        }
        state.jobs.pop().map(|first| Next::Job(first.job))
    }

    /// Does one job.
    pub(crate) fn perform(&self, job: Job) {
        match job {
            Job::Remove { path, is_directory } => self.remove(&path, is_directory),
            Job::Flush(log) => {
                if let Some(log) = log.upgrade() {
                    log.flush_due();
                }
            }
        }
    }

    /// Does all removals that wait, whatever their time; for a clean stop.
    pub(crate) fn remove_now(&self) {
        let jobs = std::mem::take(&mut self.state.lock().jobs);
        for timed in jobs {
            if matches!(timed.job, Job::Remove { .. }) {
                self.perform(timed.job);
            }
        }
    }

    fn remove(&self, path: &std::path::Path, is_directory: bool) {
        let outcome = if is_directory {
            self.disk.remove_directory(path)
        } else {
            self.disk.remove_file(path)
        };
        match outcome {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "could not remove a file of a deleted log");
            }
        }
    }
}
