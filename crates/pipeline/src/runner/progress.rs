//! [`Progress`]: what a task that runs tells of itself, for run records, metrics and `sys.lag`.
//!
//! Invariant: it tells of what was committed, never of what may still be thrown away.

use std::collections::BTreeMap;
use std::time::Duration;

use client::TopicPartition;
use parking_lot::Mutex;

use super::tally::Tally;

/// The stages of a batch, by which the slowest is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Waiting for records, and reading them.
    Fetch,
    /// Records become rows.
    Decode,
    /// The query with its checks.
    Sql,
    /// Rows become records.
    Encode,
    /// Writing them, until they count.
    Commit,
}

impl Stage {
    /// All, in their order.
    pub const ALL: [Self; 5] = [
        Self::Fetch,
        Self::Decode,
        Self::Sql,
        Self::Encode,
        Self::Commit,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Decode => "decode",
            Self::Sql => "sql",
            Self::Encode => "encode",
            Self::Commit => "commit",
        }
    }
}

/// What a task tells of itself.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Seen>);

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What became of records.
    pub tally: Tally,
    /// How often something was committed.
    pub batches: u64,
    /// How long each stage took, all batches together.
    pub stages: BTreeMap<Stage, Duration>,
    /// Partitions that are read.
    pub partitions: BTreeMap<TopicPartition, PartitionSeen>,
    /// When something was committed last, in milliseconds since 1970.
    pub committed_ms: Option<i64>,
    /// What somebody has to look at although the task goes on, as files that were rewritten.
    pub problems: Vec<String>,
    /// What somebody has to hear once.
    notes: Vec<String>,
}

/// Where a task is in a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionSeen {
    /// The offset that is read next.
    pub next: i64,
    /// The end of what can be read, as it was last told.
    pub end: i64,
    /// The time of the last record that was read.
    pub newest_ms: Option<i64>,
}

impl Progress {
    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.0.lock().clone()
    }

    pub(crate) fn took(&self, stage: Stage, time: Duration) {
        *self.0.lock().stages.entry(stage).or_default() += time;
    }

    pub(crate) fn committed(&self, tally: &Tally, now_ms: i64) {
        let mut seen = self.0.lock();
        seen.tally.add(tally);
        seen.batches += 1;
        seen.committed_ms = Some(now_ms);
    }

    pub(crate) fn partition(
        &self,
        partition: TopicPartition,
        next: i64,
        end: i64,
        newest_ms: Option<i64>,
    ) {
        let mut seen = self.0.lock();
        let place = seen.partitions.entry(partition).or_default();
        place.next = next;
        place.end = end.max(next);
        place.newest_ms = newest_ms.or(place.newest_ms);
    }

    /// Somebody has to hear this, once.
    pub(crate) fn note(&self, note: String) {
        self.0.lock().notes.push(note);
    }

    /// What nobody has heard yet.
    pub(crate) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().notes)
    }

    pub(crate) fn problems(&self, problems: Vec<String>) {
        self.0.lock().problems = problems;
    }
}
