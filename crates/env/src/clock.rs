//! What time it is, and waiting for a time.

#![allow(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the machine's clocks"
)]

use std::fmt::Debug;
use std::time::SystemTime;

use types::{Instant, Timestamp};

use crate::BoxFuture;

/// Clocks. The monotonic one orders and measures, the wall clock only labels.
pub trait Clock: Debug + Send + Sync {
    /// Never goes back.
    fn now(&self) -> Instant;
    /// What people and records call the time; may jump.
    fn wall(&self) -> Timestamp;
    /// Completes once [`Clock::now`] has reached `deadline`, to the millisecond.
    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()>;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic origin is now.
    pub fn new() -> Self {
        Self {
            origin: std::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }

    fn wall(&self) -> Timestamp {
        // A clock set before 1970 reads as 1970: nothing sensible can be stored for it.
        let elapsed = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_ms(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let deadline = self.origin.checked_add(deadline.since_origin());
        Box::pin(async move {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                // Past what the machine's clock can express: never.
                None => std::future::pending().await,
            }
        })
    }
}
