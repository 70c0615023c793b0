//! Searches for the topics that match patterns: away from the shards and the tasks, because a group of many members may
//! have many patterns.
//!
//! Invariant: one search runs at a time, so that patterns take one processor at most, and few wait. What finds no place is
//! dropped; its group asks again.

use coordinator::{FoundTopics, TopicSearch};
use env::Spawner;
use parking_lot::Mutex;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Searches that wait, each of one group.
const WAITING_MAX: usize = 1024;

/// The searches the shards of groups ask for.
#[derive(Debug)]
pub(super) struct TopicSearches {
    /// Until somebody runs [`Self::run`].
    wanted: Mutex<Option<Receiver<TopicSearch>>>,
}

impl TopicSearches {
    /// The searches, and what takes them up.
    pub(super) fn new() -> (Self, Sender<TopicSearch>) {
        let (want, wanted) = channel(WAITING_MAX);
        let wanted = Mutex::new(Some(wanted));
        (Self { wanted }, want)
    }

    /// Searches until `stopping`, and hands on what is found.
    pub(super) async fn run(
        &self,
        spawner: &dyn Spawner,
        stopping: CancellationToken,
        found: impl Fn(FoundTopics),
    ) {
        let Some(mut wanted) = self.wanted.lock().take() else {
            return;
        };
        loop {
            let search = tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                search = wanted.recv() => search,
            };
            let Some(search) = search else { return };
            let (sender, receiver) = oneshot::channel();
            let work = Box::new(move || drop(sender.send(search.run())));
            spawner.run_blocking(work).await;
            if let Ok(topics) = receiver.await {
                found(topics);
            }
        }
    }
}
