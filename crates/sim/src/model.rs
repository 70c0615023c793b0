//! What must hold at every moment, checked with every answer of the broker. Each failed check names what was promised.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::plan::Partition;
use crate::scheduler::Scheduler;

/// What was ever told of a partition.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    high_watermark: i64,
    /// The end of what was acknowledged as durable.
    acknowledged: i64,
}

/// What a fetch may rely on, from when it was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bound {
    acknowledged: i64,
    high_watermark: i64,
}

/// A batch that was fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchedBatch {
    pub(crate) base: i64,
    pub(crate) end: i64,
    pub(crate) leader_epoch: i32,
}

/// What the broker ever told, and the checks.
#[derive(Debug)]
pub(crate) struct Model {
    scheduler: Arc<Scheduler>,
    seen: Mutex<BTreeMap<Partition, Seen>>,
    /// By group and partition.
    commits: Mutex<BTreeMap<(String, Partition), Commits>>,
}

/// Offsets that a group committed.
#[derive(Debug, Default)]
struct Commits {
    /// What may be committed: the last acknowledged one, and those nobody answered, each with the process that may still
    /// write it.
    possible: BTreeMap<i64, Option<u32>>,
}

impl Model {
    pub(crate) fn new(scheduler: Arc<Scheduler>) -> Self {
        Self {
            scheduler,
            seen: Mutex::default(),
            commits: Mutex::default(),
        }
    }

    pub(crate) fn fail(&self, why: impl FnOnce() -> String) {
        self.scheduler.fail(why);
    }

    fn check(&self, holds: bool, why: impl FnOnce() -> String) {
        if !holds {
            self.fail(why);
        }
    }

    /// Records up to `end` were acknowledged as durable.
    pub(crate) fn acknowledged(&self, partition: &Partition, end: i64) {
        let mut seen = self.seen.lock();
        let seen = seen.entry(partition.clone()).or_default();
        seen.acknowledged = seen.acknowledged.max(end);
    }

    /// What an answer to a fetch that is sent now must go beyond.
    pub(crate) fn bound(&self, partition: &Partition) -> Bound {
        let seen = self.seen.lock().get(partition).copied().unwrap_or_default();
        Bound {
            acknowledged: seen.acknowledged,
            high_watermark: seen.high_watermark,
        }
    }

    /// An answer to a fetch.
    pub(crate) fn fetched(
        &self,
        partition: &Partition,
        bound: Bound,
        high_watermark: i64,
        log_start: i64,
        batches: &[FetchedBatch],
    ) {
        self.check(high_watermark >= bound.high_watermark, || {
            format!(
                "{partition}: the high watermark went back from {} to {high_watermark}",
                bound.high_watermark
            )
        });
        self.check(high_watermark >= bound.acknowledged, || {
            format!("{partition}: records up to {} were acknowledged, the high watermark is {high_watermark}", bound.acknowledged)
        });
        self.check(log_start == 0, || {
            format!("{partition}: nothing was deleted, but the log starts at {log_start}")
        });
        for pair in batches.windows(2) {
            let [one, next] = pair else { continue };
            self.check(one.end == next.base, || {
                format!(
                    "{partition}: a batch ends at {}, the next one begins at {}",
                    one.end, next.base
                )
            });
            self.check(one.leader_epoch <= next.leader_epoch, || {
                format!(
                    "{partition}: the leader epoch goes back from {} to {} at {}",
                    one.leader_epoch, next.leader_epoch, next.base
                )
            });
        }
        if let Some(last) = batches.last() {
            self.check(last.end <= high_watermark, || {
                format!("{partition}: records up to {} were served, the high watermark is {high_watermark}", last.end)
            });
        }
        let mut seen = self.seen.lock();
        let seen = seen.entry(partition.clone()).or_default();
        seen.high_watermark = seen.high_watermark.max(high_watermark);
    }

    /// A commit of `offset` was sent to the broker's process `process`.
    pub(crate) fn commit_sent(
        &self,
        group: &str,
        partition: &Partition,
        offset: i64,
        process: u32,
    ) {
        let mut commits = self.commits.lock();
        let commits = commits
            .entry((group.to_owned(), partition.clone()))
            .or_default();
        commits.possible.insert(offset, Some(process));
    }

    /// A commit was acknowledged: from now on it counts, or one that the same process may still write.
    pub(crate) fn commit_acknowledged(
        &self,
        group: &str,
        partition: &Partition,
        offset: i64,
        process: u32,
    ) {
        let mut commits = self.commits.lock();
        let commits = commits
            .entry((group.to_owned(), partition.clone()))
            .or_default();
        commits
            .possible
            .retain(|_, writer| *writer == Some(process));
        commits.possible.insert(offset, None);
    }

    /// What the broker says is committed; `None` if nothing is.
    pub(crate) fn commit_fetched(&self, group: &str, partition: &Partition, offset: Option<i64>) {
        let commits = self.commits.lock();
        let Some(commits) = commits.get(&(group.to_owned(), partition.clone())) else {
            self.check(offset.is_none(), || {
                format!("{group} {partition}: {offset:?} is committed, but nothing ever was")
            });
            return;
        };
        let is_acknowledged = commits.possible.values().any(Option::is_none);
        let is_possible = match offset {
            Some(offset) => commits.possible.contains_key(&offset),
            None => !is_acknowledged,
        };
        self.check(is_possible, || {
            format!(
                "{group} {partition}: {offset:?} is committed, possible are {:?}",
                commits.possible
            )
        });
    }
}
