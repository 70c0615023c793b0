//! A fetch that waits for more bytes.
//!
//! Logs tell the waiter how many bytes have become visible; it wakes its fetch once, when they add up to what is missing,
//! or when a partition went offline or away. Nothing is evaluated per append but one addition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use env::Env;
use storage::{PartitionLog, VisibleSubscriber};
use tokio::sync::Notify;
use types::Instant;

/// A fetch that waits. Dropping it ends its subscriptions.
#[derive(Debug)]
pub(crate) struct Waiter {
    gathered: Arc<Gathered>,
    logs: Vec<Arc<dyn PartitionLog>>,
}

#[derive(Debug)]
struct Gathered {
    bytes: AtomicU64,
    needed: AtomicU64,
    enough: Notify,
}

impl VisibleSubscriber for Gathered {
    fn visible(&self, _token: u64, bytes: u64) {
        let before = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        if bytes == 0 || before.saturating_add(bytes) >= self.needed.load(Ordering::Acquire) {
            self.enough.notify_one();
        }
    }
}

impl Waiter {
    /// Listens to `logs` until `needed` more bytes are there. The caller reads once more after this: what became visible
    /// before the subscriptions is told to nobody.
    pub(crate) fn new(logs: Vec<Arc<dyn PartitionLog>>, needed: u64) -> Self {
        let gathered = Arc::new(Gathered {
            bytes: AtomicU64::new(0),
            needed: AtomicU64::new(needed),
            enough: Notify::new(),
        });
        let subscriber: Arc<dyn VisibleSubscriber> = Arc::clone(&gathered) as _;
        for log in &logs {
            log.subscribe(&subscriber, 0);
        }
        Self { gathered, logs }
    }

    /// Begins to count anew towards `needed` bytes.
    pub(crate) fn reset(&self, needed: u64) {
        self.gathered.needed.store(needed, Ordering::Release);
        self.gathered.bytes.store(0, Ordering::Release);
    }

    /// Waits for the bytes or for `deadline`. True if there may be enough now.
    pub(crate) async fn wait(&self, env: &Env, deadline: Instant) -> bool {
        tokio::select! {
            biased;
            () = self.gathered.enough.notified() => true,
            () = env.clock.sleep_until(deadline) => false,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let subscriber: Arc<dyn VisibleSubscriber> = Arc::clone(&self.gathered) as _;
        for log in &self.logs {
            log.unsubscribe(&subscriber, 0);
        }
    }
}
