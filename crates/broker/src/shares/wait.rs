//! A share fetch that waits: for records in the logs, for records that come back, for partitions that load.

use std::sync::Arc;

use env::Env;
use storage::{PartitionLog, VisibleSubscriber};
use tokio::sync::Notify;
use types::Instant;

use super::partition::LivePartition;

/// A bell. What rings before somebody waits is kept.
#[derive(Debug, Default)]
pub(super) struct FetchWaiter {
    bell: Notify,
}

impl FetchWaiter {
    pub(super) fn wake(&self) {
        self.bell.notify_one();
    }

    /// Waits for the bell or for `deadline`. True if it rang.
    pub(super) async fn wait(&self, env: &Env, deadline: Instant) -> bool {
        tokio::select! {
            biased;
            () = self.bell.notified() => true,
            () = env.clock.sleep_until(deadline) => false,
        }
    }
}

impl VisibleSubscriber for FetchWaiter {
    fn visible(&self, _token: u64, _bytes: u64) {
        self.wake();
    }
}

/// Subscriptions of one waiter, ended when dropped.
#[derive(Debug)]
pub(super) struct Subscriptions {
    pub(super) waiter: Arc<FetchWaiter>,
    logs: Vec<Arc<dyn PartitionLog>>,
}

impl Subscriptions {
    pub(super) fn new<'a>(partitions: impl Iterator<Item = &'a Arc<LivePartition>>) -> Self {
        let waiter = Arc::new(FetchWaiter::default());
        let subscriber: Arc<dyn VisibleSubscriber> = Arc::clone(&waiter) as _;
        let mut logs = Vec::new();
        for partition in partitions {
            partition.subscribe(&waiter);
            partition.log.subscribe(&subscriber, 0);
            logs.push(Arc::clone(&partition.log));
        }
        Self { waiter, logs }
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        let subscriber: Arc<dyn VisibleSubscriber> = Arc::clone(&self.waiter) as _;
        for log in &self.logs {
            log.unsubscribe(&subscriber, 0);
        }
    }
}
