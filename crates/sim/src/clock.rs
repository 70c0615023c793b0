//! The clock of a simulated process: monotonic from its start; the wall clock may be set.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use env::{BoxFuture, Clock};
use types::{Instant, Timestamp};

use crate::scheduler::Scheduler;

/// 2026-01-01 UTC, when the world begins.
const WALL_BEGIN_MS: i64 = 1_767_225_600_000;

/// The machine's wall clock: by how much it is off.
pub(crate) type WallOffset = Arc<AtomicI64>;

#[derive(Debug)]
pub(crate) struct SimClock {
    scheduler: Arc<Scheduler>,
    started: Duration,
    wall_offset_ms: WallOffset,
}

impl SimClock {
    /// A clock whose monotonic origin is now.
    pub(crate) fn new(scheduler: Arc<Scheduler>, wall_offset_ms: WallOffset) -> Self {
        Self {
            started: scheduler.now(),
            scheduler,
            wall_offset_ms,
        }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Instant {
        Instant::from_origin(self.scheduler.now() - self.started)
    }

    fn wall(&self) -> Timestamp {
        let elapsed = i64::try_from(self.scheduler.now().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_ms(WALL_BEGIN_MS + elapsed + self.wall_offset_ms.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let deadline = self.started.saturating_add(deadline.since_origin());
        Box::pin(sleep_until(&self.scheduler, deadline))
    }
}

/// Waits for a time of the world.
pub(crate) fn sleep_until(scheduler: &Arc<Scheduler>, deadline: Duration) -> Sleep {
    Sleep {
        scheduler: Arc::clone(scheduler),
        deadline,
        timer: None,
    }
}

/// Waits.
#[derive(Debug)]
pub(crate) struct Sleep {
    scheduler: Arc<Scheduler>,
    deadline: Duration,
    timer: Option<(Duration, u64)>,
}

impl Sleep {
    fn cancel(&mut self) {
        if let Some(timer) = self.timer.take() {
            self.scheduler.cancel_timer(timer);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.cancel();
        if self.scheduler.now() >= self.deadline {
            return Poll::Ready(());
        }
        // A deadline that no clock reaches is none.
        if self.deadline < Duration::MAX / 2 {
            let waker = context.waker().clone();
            self.timer = Some(self.scheduler.wake_at(self.deadline, waker));
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}
