//! [`Life`]: whether a simulated process still runs.
//!
//! A process dies between two steps, or in the middle of one: after so many changes of the disk. Once it is dead its calls
//! have no effect any more, whatever code of it still runs.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::scheduler::ProcessId;

#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) process: ProcessId,
    alive: AtomicBool,
    /// Changes of the disk that still succeed.
    changes_left: AtomicI64,
}

impl Life {
    pub(crate) fn new(process: ProcessId) -> Self {
        Self {
            process,
            alive: AtomicBool::new(true),
            changes_left: AtomicI64::new(i64::MAX),
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.alive.store(false, Ordering::Relaxed);
    }

    /// The process dies at the change after `changes` more.
    pub(crate) fn end_after(&self, changes: i64) {
        self.changes_left.store(changes, Ordering::Relaxed);
    }

    /// A change of the disk begins. False if it is the one in which the process dies.
    pub(crate) fn survives_change(&self) -> bool {
        if self.changes_left.fetch_sub(1, Ordering::Relaxed) > 0 {
            return true;
        }
        self.end();
        false
    }
}
