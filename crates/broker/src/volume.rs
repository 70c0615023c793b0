//! The room on the disk, asked for without waiting for a disk that does not answer.
//!
//! Invariant: at most one question is under way, so that a disk that hangs costs one thread, however often somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::topics::Topics;

/// How long the disk is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The room on the disk of the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeSpace {
    /// The size of the file system, in bytes.
    pub total: u64,
    /// What may still be written, in bytes.
    pub free: u64,
}

#[derive(Debug)]
pub(crate) struct Volume {
    topics: Arc<Topics>,
    last: Mutex<Option<VolumeSpace>>,
    is_asked: AtomicBool,
}

impl Volume {
    pub(crate) fn new(topics: Arc<Topics>) -> Self {
        Self {
            topics,
            last: Mutex::new(None),
            is_asked: AtomicBool::new(false),
        }
    }

    /// What the disk says now, or has said before if it does not answer; `None` if it never has.
    pub(crate) async fn space(self: Arc<Self>) -> Option<VolumeSpace> {
        if !self.is_asked.swap(true, Ordering::AcqRel) {
            let env = self.topics.env.clone();
            let volume = Arc::clone(&self);
            let asked = env.spawner.run_blocking(Box::new(move || volume.ask()));
            let deadline = env.clock.now().plus(PATIENCE);
            tokio::select! {
                biased;
                () = asked => {}
                () = env.clock.sleep_until(deadline) => {}
            }
        }
        *self.last.lock()
    }

    fn ask(&self) {
        let directory = &self.topics.directory;
        let asked = directory
            .total_bytes()
            .and_then(|total| Ok((total, directory.free_bytes()?)));
        match asked {
            Ok((total, free)) => *self.last.lock() = Some(VolumeSpace { total, free }),
            Err(error) => tracing::debug!(%error, "could not ask for the room on the disk"),
        }
        self.is_asked.store(false, Ordering::Release);
    }
}
