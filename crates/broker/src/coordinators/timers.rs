//! Sleeping until the next deadline of any shard.
//!
//! Invariant: the sleeper wakes at or before every deadline that [`Wakeup::wake_at`] was told. Shards tell theirs after
//! each call, and mostly a nearer one is known, so that costs one atomic operation.

use std::sync::atomic::{AtomicU64, Ordering};

use env::Clock;
use tokio::sync::Notify;
use types::Instant;

/// No deadline is known.
const NEVER_MS: u64 = u64::MAX;

/// The earliest deadline, and a bell to ring when it moves forward.
#[derive(Debug)]
pub(crate) struct Wakeup {
    /// Milliseconds from the clock's origin.
    earliest_ms: AtomicU64,
    moved: Notify,
}

impl Wakeup {
    pub(crate) fn new() -> Self {
        Self {
            earliest_ms: AtomicU64::new(NEVER_MS),
            moved: Notify::new(),
        }
    }

    /// Wakes the sleeper at `deadline` at the latest.
    pub(crate) fn wake_at(&self, deadline: Instant) {
        let deadline_ms = milliseconds(deadline);
        if self.earliest_ms.fetch_min(deadline_ms, Ordering::AcqRel) > deadline_ms {
            self.moved.notify_one();
        }
    }

    /// Forgets what was told so far: the sleeper is about to ask every shard.
    pub(crate) fn begin_round(&self) {
        self.earliest_ms.store(NEVER_MS, Ordering::Release);
    }

    /// Sleeps until `deadline`, or until an earlier one is told.
    pub(crate) async fn sleep(&self, clock: &dyn Clock, deadline: Option<Instant>) {
        if let Some(deadline) = deadline {
            self.earliest_ms
                .fetch_min(milliseconds(deadline), Ordering::AcqRel);
        }
        let asleep = async {
            match deadline {
                Some(deadline) => clock.sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = asleep => {}
            () = self.moved.notified() => {}
        }
    }
}

fn milliseconds(instant: Instant) -> u64 {
    u64::try_from(instant.since_origin().as_millis()).unwrap_or(NEVER_MS)
}
